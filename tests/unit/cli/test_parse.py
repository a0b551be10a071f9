from __future__ import annotations

import io
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from app import __version__
from app.cli.commands import AccountList, Connect, Disconnect, Flatten, Pause, Simulate, Sync, Workstation
from app.cli.main import parse
from app.domain.account import Endpoints
from app.domain.ids import AccountId
from app.runtime.paths import default_profile

ROOT = Path(__file__).resolve().parents[3]
CONNECT = ["connect", "zerodha", "--api-key", "K", "--api-secret-file", "F"]
URLS = ["--api-url", "http://a", "--login-url", "http://b", "--ws-url", "ws://c"]


def refusal(*arguments: str) -> str:
    said = io.StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit) as left:
        parse(arguments)
    assert left.value.code == 2
    return said.getvalue()


def test_no_command_opens_the_window_on_the_default_profile() -> None:
    assert parse([]) == Workstation(default_profile(), paper=False)
    assert parse(["--paper"]) == Workstation(default_profile(), paper=True)


def test_the_profile_may_stand_before_or_after_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/asha")
    assert parse(["--profile", "/p"]) == Workstation(Path("/p"), paper=False)
    assert parse(["--profile", "/p", "sync"]) == parse(["sync", "--profile", "/p"]) == Sync(Path("/p"), None, False)
    assert parse(["--profile", "~/p"]) == Workstation(Path("/home/asha/p"), paper=False)


def test_the_paper_exchange_reads_its_own_arguments() -> None:
    assert parse(["simulate", "--port", "0", "--help"]) == Simulate(("--port", "0", "--help"))


def test_sync_of_one_account_as_json() -> None:
    command = parse(["sync", "--account", "zerodha-AB1234", "--json"])
    assert isinstance(command, Sync)
    assert (command.account, command.as_json) == ("zerodha-AB1234", True)


def test_connect_to_the_broker_itself() -> None:
    command = parse(CONNECT)
    assert isinstance(command, Connect)
    assert (command.broker, command.api_key, command.api_secret_file) == ("zerodha", "K", Path("F"))
    assert command.endpoints is None
    assert command.request_token is None


def test_connect_to_another_address() -> None:
    command = parse([*CONNECT, *URLS, "--redirect-url", "http://d", "--ca-file", "ca.pem", "--request-token", "canary"])
    assert isinstance(command, Connect)
    assert command.endpoints == Endpoints("http://a", "http://b", "ws://c", "http://d", "ca.pem")
    assert command.endpoints is not None
    assert not command.endpoints.paper
    assert "canary" not in repr(command)


def test_half_an_address_is_refused() -> None:
    assert "go together" in refusal(*CONNECT, "--api-url", "http://a")
    assert "go together" in refusal(*CONNECT, "--ws-url", "ws://a", "--redirect-url", "http://a")


def test_a_redirect_url_stands_alone_beside_the_brokers_addresses() -> None:
    asked = parse([*CONNECT, "--redirect-url", "http://127.0.0.1:8321/done"])
    assert isinstance(asked, Connect)
    assert asked.endpoints == Endpoints("", "", "", "http://127.0.0.1:8321/done")


@pytest.mark.parametrize("arguments", [["connect"], ["connect", "nobroker"], ["sinc"], ["sync", "--jso"], ["--papr"]])
def test_nonsense_is_refused_with_the_usage(arguments: list[str]) -> None:
    assert "usage: main.py" in refusal(*arguments)


def test_a_variable_that_a_script_did_not_set_is_no_wish_for_all_accounts() -> None:
    assert "need a value" in refusal("sync", "--account", "")
    assert "need a value" in refusal("sync", "--account", "zerodha-AB1234", "--file", "")


@pytest.mark.parametrize("arguments", [["--help"], ["connect", "--help"], ["sync", "--help"], ["--version"]])
def test_help_goes_to_stdout(arguments: list[str]) -> None:
    said = io.StringIO()
    with redirect_stdout(said), pytest.raises(SystemExit) as left:
        parse(arguments)
    assert left.value.code == 0
    assert len(said.getvalue()) > 10


def test_the_secret_itself_cannot_be_given_as_an_argument() -> None:
    assert "unrecognized arguments" in refusal(*CONNECT, "--api-secret", "S")


def test_the_version_is_the_projects() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["version"] == __version__


def test_accounts_are_listed_or_one_is_disconnected() -> None:
    assert parse(["accounts", "--json", "--profile", "/p"]) == AccountList(Path("/p"), True)
    assert parse(["accounts", "disconnect", "zerodha-AB", "--profile", "/p"]) == Disconnect(
        Path("/p"), AccountId("zerodha-AB"), False
    )
    for word in ("pause", "resume"):
        assert parse(["accounts", word, "zerodha-AB", "--profile", "/p"]) == Pause(
            Path("/p"), AccountId("zerodha-AB"), False, paused=word == "pause"
        )


def test_connect_through_the_systems_browser_takes_no_token_beside_it() -> None:
    command = parse([*CONNECT, "--browser", "--redirect-url", "http://127.0.0.1:8765/stopline"])
    assert isinstance(command, Connect)
    assert command.browser
    assert "not allowed with" in refusal(*CONNECT, "--browser", "--request-token", "t")


def test_flattening_is_only_listed_until_yes_is_said() -> None:
    assert parse(["flatten", "--profile", "/p"]) == Flatten(Path("/p"), (), False, False, False, False, False)
    asked = ["flatten", "--account", "a", "--account", "b", "--holdings", "--gtts", "--elsewhere", "--yes", "--json"]
    accounts = (AccountId("a"), AccountId("b"))
    assert parse([*asked, "--profile", "/p"]) == Flatten(Path("/p"), accounts, True, True, True, True, True)
