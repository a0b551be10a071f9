from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.cli.accounts import run_accounts
from app.cli.commands import (
    COULD_NOT_START,
    FINE,
    SOME_FAILED,
    AccountList,
    Connect,
    Disconnect,
    Flatten,
    Flights,
    Pause,
    PortfolioStop,
    Sync,
)
from app.cli.connect import redirect_address, run_connect
from app.cli.exits import run_exits
from app.cli.flatten import run_flatten
from app.cli.main import parse
from app.cli.output import Output
from app.cli.passphrase import VARIABLE, Passphrases, open_vault
from app.cli.sync import run_sync
from app.desk.flatten_messages import FlattenChoice
from app.desk.messages import VaultState
from app.desk.remote import RemoteServer
from app.desk.verbs import CommandDesk, DirectDesk, RemoteDesk, remote_verbs
from app.domain.account import Endpoints
from app.domain.errors import Denied, DiskFull, LoginFailed, Unreachable, VaultLocked, WrongPassphrase
from app.domain.events import SyncPaused
from app.domain.ids import AccountId
from app.domain.sync import DataSet
from app.runtime import redaction
from app.runtime.loop import LoopThread
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from tests.unit.cli.fake_desk import ACCOUNT, PAGE, FakeDesk, run

ENDPOINTS = Endpoints("http://127.0.0.1:1", "http://127.0.0.1:1", "ws://127.0.0.1:1", "http://127.0.0.1:2")


@pytest.fixture
def fake() -> FakeDesk:
    return FakeDesk()


@pytest.fixture(params=["in this process", "in a running workstation"])
def desk(request: pytest.FixtureRequest, fake: FakeDesk, tmp_path: Path) -> Iterator[CommandDesk]:
    """The same commands must do the same either way."""
    if request.param == "in this process":
        yield DirectDesk(fake.as_desk())
        return
    paths = ProfilePaths(tmp_path / "profile")
    paths.create()
    loop = LoopThread()
    loop.start()
    server = RemoteServer(paths, remote_verbs(fake.as_desk(), lambda: None), loop.loop)
    server.start()
    yield RemoteDesk(paths)
    server.stop()
    loop.stop()


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    yield
    redaction.shared().clear()


def output(as_json: bool = False) -> Output:
    return Output(io.StringIO(), io.StringIO(), as_json)


def told(out: Output) -> str:
    assert isinstance(out.stdout, io.StringIO)
    return out.stdout.getvalue()


def said(out: Output) -> str:
    assert isinstance(out.stderr, io.StringIO)
    return out.stderr.getvalue()


def one_object(out: Output) -> dict[str, Any]:
    (line,) = told(out).splitlines()
    answer = json.loads(line)
    assert isinstance(answer, dict)
    return answer


def sync(account: str | None = None, as_json: bool = False) -> Sync:
    return Sync(Path("/p"), AccountId(account) if account else None, as_json)


async def test_a_sync_that_went_well(desk: CommandDesk, fake: FakeDesk) -> None:
    out = output()
    assert await run_sync(desk, sync(), out) == 0
    assert told(out) == "zerodha-AB1234: completed: 5 fetched, 3 created, 1 updated, 1 skipped, 1.5 s\n"
    assert fake.portfolio.asked == [(None, "command line")]
    assert fake.listeners == []


async def test_progress_goes_to_stderr(fake: FakeDesk) -> None:
    out = output()
    await run_sync(DirectDesk(fake.as_desk()), sync(), out)
    assert said(out) == "zerodha-AB1234: fetching\n"


def test_whoever_waits_is_told_for_what() -> None:
    out = output()
    out.heard(SyncPaused(ACCOUNT, DataSet.TRADES, "The broker takes no more requests for a moment.", 60.0))
    assert said(out) == ("zerodha-AB1234: waits 60 s to read trades. The broker takes no more requests for a moment.\n")


async def test_a_sync_that_ran_and_could_not_be_written_down_has_started(fake: FakeDesk) -> None:
    fake.portfolio.at_the_end = DiskFull("There is no space left to write book.db.")
    out = output(as_json=True)
    assert await run_sync(DirectDesk(fake.as_desk()), sync(as_json=True), out) == 1
    assert one_object(out)["error"]["kind"] == "DiskFull"


async def test_a_sync_of_one_account(desk: CommandDesk, fake: FakeDesk) -> None:
    assert await run_sync(desk, sync(ACCOUNT), output()) == 0
    assert fake.portfolio.asked == [(ACCOUNT, "command line")]


async def test_an_account_that_failed_gives_one(desk: CommandDesk, fake: FakeDesk) -> None:
    fake.portfolio.runs = [run("completed"), run("failed", "The session is dead.", AccountId("zerodha-XY"))]
    out = output(as_json=True)
    assert await run_sync(desk, sync(as_json=True), out) == 1
    answer = one_object(out)
    assert answer["ok"] is False
    assert [a["step"] for a in answer["accounts"]] == ["completed", "failed"]
    assert answer["accounts"][1]["error"] == "The session is dead."


async def test_a_skipped_account_is_not_a_failure(desk: CommandDesk, fake: FakeDesk) -> None:
    fake.portfolio.runs = [run("skipped")]
    assert await run_sync(desk, sync(), output()) == 0


async def test_json_is_one_object_and_nothing_else_is_on_stdout(desk: CommandDesk) -> None:
    out = output(as_json=True)
    assert await run_sync(desk, sync(as_json=True), out) == 0
    answer = one_object(out)
    assert answer["ok"] is True
    assert answer["accounts"][0]["created"] == 3


@pytest.mark.parametrize("as_json", [False, True])
async def test_a_sync_that_cannot_start_gives_two_and_says_why(
    desk: CommandDesk, fake: FakeDesk, as_json: bool
) -> None:
    fake.portfolio.error = Unreachable("The broker does not answer.")
    out = output(as_json)
    assert await run_sync(desk, sync(as_json=as_json), out) == 2
    assert "The broker does not answer. Check the connection" in said(out)
    if as_json:
        assert one_object(out)["error"]["kind"] == "Unreachable"
    else:
        assert told(out) == ""


async def test_without_accounts_there_is_nothing_to_sync(desk: CommandDesk, fake: FakeDesk) -> None:
    fake.session.known = []
    out = output()
    assert await run_sync(desk, sync(), out) == 2
    assert "No account is connected." in said(out)


async def test_an_unknown_account_is_named_beside_the_known_ones(desk: CommandDesk) -> None:
    out = output()
    assert await run_sync(desk, sync("zerodha-NOBODY"), out) == 2
    assert "There is no account zerodha-NOBODY. Connected are: zerodha-AB1234." in said(out)


async def test_a_locked_workstation_says_so(desk: CommandDesk, fake: FakeDesk) -> None:
    fake.session.state = VaultState.LOCKED
    out = output()
    assert await run_sync(desk, sync(), out) == 2
    assert "locked" in said(out)


def connect(folder: Path, token: str | None = None, content: str = "canary-secret\n", as_json: bool = False) -> Connect:
    file = folder / "secret.txt"
    file.write_text(content)
    return Connect(Path("/p"), "zerodha", "K", file, token, ENDPOINTS, as_json)


def never() -> str:
    raise AssertionError("nobody should be asked")


async def test_connect_with_a_request_token(desk: CommandDesk, fake: FakeDesk, tmp_path: Path) -> None:
    out = output()
    assert await run_connect(desk, connect(tmp_path, "tok/en"), out, never) == 0
    assert told(out) == "zerodha-AB1234: connected as Asha Rao (AB1234), PAPER\n"
    assert fake.session.added == [("zerodha", "K", Secret("canary-secret"), ENDPOINTS)]
    (address,) = fake.session.redirects
    assert address.startswith("http://127.0.0.1:9002/redirect?")
    assert parse_qs(urlsplit(address).query) == {
        "app": ["1"],
        "status": ["success"],
        "request_token": ["tok/en"],
        "state": ["n0nce"],
        "more": ["a+b"],
    }


async def test_connect_asks_for_the_address_that_the_login_ends_on(
    desk: CommandDesk, fake: FakeDesk, tmp_path: Path
) -> None:
    out = output(as_json=True)
    command = connect(tmp_path, as_json=True)
    assert await run_connect(desk, command, out, lambda: " http://127.0.0.1:9002/redirect?x=1\n") == 0
    assert PAGE.url in said(out)
    assert fake.session.redirects == ["http://127.0.0.1:9002/redirect?x=1"]
    assert one_object(out)["account"]["client_name"] == "Asha Rao"


async def test_connect_with_an_access_token_needs_no_page(
    desk: CommandDesk, fake: FakeDesk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text("canary-token\n")
    out = output()
    command = replace(connect(tmp_path), access_token_file=file)
    assert await run_connect(desk, command, out, never) == FINE
    assert fake.session.by_hand == [("zerodha", "K", Secret("canary-secret"), Secret("canary-token"), ENDPOINTS)]
    assert fake.session.redirects == []
    fake.session.login_error = LoginFailed("The token has expired.", "Log in again.")
    assert await run_connect(desk, command, out, never) == SOME_FAILED
    assert "canary" not in told(out) + said(out) + "".join(capsys.readouterr())


async def test_connect_given_up_says_nothing_more(desk: CommandDesk, fake: FakeDesk, tmp_path: Path) -> None:
    out = output()
    assert await run_connect(desk, connect(tmp_path), out, lambda: "") == 1
    assert said(out).count("\n") == 5  # the question only
    assert fake.session.redirects == []


async def test_a_login_that_fails_gives_one(desk: CommandDesk, fake: FakeDesk, tmp_path: Path) -> None:
    fake.session.login_error = LoginFailed("The API secret is wrong.", "Copy it again.")
    out = output()
    assert await run_connect(desk, connect(tmp_path, "t"), out, never) == 1
    assert said(out) == "The API secret is wrong. Copy it again.\n"


@pytest.mark.parametrize("content", ["", "two words", "\n"])
async def test_a_secret_file_without_a_secret(desk: CommandDesk, fake: FakeDesk, tmp_path: Path, content: str) -> None:
    out = output()
    assert await run_connect(desk, connect(tmp_path, "t", content), out, never) == 2
    assert "does not hold one API secret" in said(out)
    assert fake.session.added == []


async def test_a_secret_file_that_is_not_there(desk: CommandDesk, tmp_path: Path) -> None:
    out = output()
    command = Connect(Path("/p"), "zerodha", "K", tmp_path / "none", "t", None, False)
    assert await run_connect(desk, command, out, never) == 2
    assert "cannot be read" in said(out)


def test_a_page_without_parameters_gives_a_plain_redirect() -> None:
    page = type(PAGE)(ACCOUNT, "https://kite.zerodha.com/connect/login?v=3", "https://example.org/in", ())
    assert redirect_address(page, "T") == "https://example.org/in?status=success&request_token=T"


async def test_the_workstation_brings_its_window_forward_and_tells_its_state(fake: FakeDesk) -> None:
    shown: list[bool] = []
    verbs = remote_verbs(fake.as_desk(), lambda: shown.append(True))
    await verbs["show"]({})
    assert shown == [True]
    status: Any = await verbs["status"]({})
    assert (status["vault"], status["armed"]) == ("open", 0)
    fake.session.state = VaultState.LOCKED
    locked: Any = await verbs["status"]({})
    assert "accounts" not in locked
    ping: Any = await verbs["ping"]({})
    assert ping["pid"] > 0


def nobody(_: str) -> str:
    raise AssertionError("there is no terminal")


def by_variable(value: str) -> Passphrases:
    return Passphrases({VARIABLE: value}, terminal=False, ask=nobody)


def by_terminal(*answers: str) -> Passphrases:
    typed = iter(answers)
    return Passphrases({}, terminal=True, ask=lambda _: next(typed))


async def test_the_variable_unlocks_and_is_taken_from_the_environment(fake: FakeDesk) -> None:
    fake.session.state = VaultState.LOCKED
    environment = {VARIABLE: "right", "HOME": "/"}
    passphrases = Passphrases(environment, terminal=False, ask=nobody)
    await open_vault(fake.as_desk().session, passphrases, create=False)
    assert fake.session.state is VaultState.OPEN
    assert environment == {"HOME": "/"}
    assert redaction.shared().text("it was right") == "it was ***"


async def test_a_wrong_passphrase_is_refused(fake: FakeDesk) -> None:
    fake.session.state = VaultState.LOCKED
    with pytest.raises(WrongPassphrase):
        await open_vault(fake.as_desk().session, by_terminal("wrong"), create=False)
    with pytest.raises(VaultLocked):
        await fake.session.accounts()


async def test_the_keyring_needs_no_passphrase(fake: FakeDesk) -> None:
    fake.session.state = VaultState.LOCKED
    fake.session.opens_with_keyring = True
    await open_vault(fake.as_desk().session, Passphrases({}, terminal=True, ask=nobody), create=False)
    assert fake.session.state is VaultState.OPEN


async def test_an_open_vault_is_left_alone(fake: FakeDesk) -> None:
    await open_vault(fake.as_desk().session, by_variable("whatever"), create=True)
    assert fake.session.created is None


async def test_nobody_to_ask_is_said_in_words(fake: FakeDesk) -> None:
    for state in (VaultState.LOCKED, VaultState.ABSENT):
        fake.session.state = state
        with pytest.raises(Denied, match=VARIABLE):
            await open_vault(fake.as_desk().session, Passphrases({}, terminal=False, ask=nobody), create=True)
    assert fake.session.created is None


async def test_a_new_vault_by_terminal_wants_the_passphrase_twice(fake: FakeDesk) -> None:
    fake.session.state = VaultState.ABSENT
    with pytest.raises(Denied, match="differ"):
        await open_vault(fake.as_desk().session, by_terminal("one two", "one too"), create=True)
    assert fake.session.created is None
    await open_vault(fake.as_desk().session, by_terminal("one two", "one two"), create=True)
    assert fake.session.created == (Secret("one two"), False)


async def test_a_new_vault_by_keyring_where_there_is_one(fake: FakeDesk) -> None:
    fake.session.state, fake.session.keyring_available = VaultState.ABSENT, True
    await open_vault(fake.as_desk().session, Passphrases({}, terminal=False, ask=nobody), create=True)
    assert fake.session.created == (None, True)


async def test_sync_makes_no_profile(fake: FakeDesk) -> None:
    fake.session.state = VaultState.ABSENT
    with pytest.raises(Denied, match="no profile in /home/a/profile"):
        await open_vault(fake.as_desk().session, by_variable("right"), create=False)


# -- accounts --------------------------------------------------------------------------------------------------------


async def test_accounts_are_listed_with_their_ids(desk: DirectDesk | RemoteDesk, fake: FakeDesk) -> None:
    fake.session.known = [ACCOUNT, AccountId("zerodha-CD5678")]
    out = output()
    assert await run_accounts(desk.accounts, AccountList(Path(), False), out) == FINE
    lines = told(out).splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == [ACCOUNT, "zerodha-CD5678", "All"]
    assert lines[-1] == "All 2 accounts: 0 fills synced, 0 syncs failed"
    assert "PAPER  active  Asha Rao (AB1234)" in told(out)
    out = output(as_json=True)
    assert await run_accounts(desk.accounts, AccountList(Path(), True), out) == FINE
    assert [account["id"] for account in one_object(out)["accounts"]] == [ACCOUNT, "zerodha-CD5678"]


async def test_an_account_is_paused_and_resumed(desk: DirectDesk | RemoteDesk, fake: FakeDesk) -> None:
    out = output()
    assert await run_accounts(desk.accounts, Pause(Path(), ACCOUNT, False, paused=True), out) == FINE
    assert told(out) == f"{ACCOUNT}: paused\n"
    out = output()
    assert await run_accounts(desk.accounts, Pause(Path(), ACCOUNT, False, paused=True), out) == COULD_NOT_START
    assert "nothing to pause" in said(out)
    out = output(as_json=True)
    assert await run_accounts(desk.accounts, Pause(Path(), ACCOUNT, True, paused=False), out) == FINE
    assert one_object(out)["account"]["state"] == "active"
    out = output()
    unknown = Pause(Path(), AccountId("zerodha-XX"), False, paused=True)
    assert await run_accounts(desk.accounts, unknown, out) == COULD_NOT_START
    assert "There is no account zerodha-XX." in said(out)


async def test_one_account_is_disconnected_and_a_refusal_is_said(desk: DirectDesk | RemoteDesk, fake: FakeDesk) -> None:
    fake.session.known = [ACCOUNT, AccountId("zerodha-CD5678")]
    out = output()
    assert await run_accounts(desk.accounts, Disconnect(Path(), AccountId("zerodha-CD5678"), False), out) == FINE
    assert fake.session.gone == ["zerodha-CD5678"]
    out = output()
    assert await run_accounts(desk.accounts, Disconnect(Path(), AccountId("zerodha-XX"), False), out) == COULD_NOT_START
    assert "There is no account zerodha-XX." in said(out)
    fake.session.login_error = Denied("2 stops are armed on this account.", "Disarm them first, then disconnect.")
    out = output(as_json=True)
    assert await run_accounts(desk.accounts, Disconnect(Path(), ACCOUNT, True), out) == COULD_NOT_START
    assert one_object(out)["error"]["next_step"] == "Disarm them first, then disconnect."
    assert fake.session.gone == ["zerodha-CD5678"]


async def test_flatten_lists_first_and_ends_with_verified_flat_or_what_is_not(
    desk: DirectDesk | RemoteDesk, fake: FakeDesk
) -> None:
    out = output()
    listed = Flatten(Path(), (), False, False, False, False, False)
    assert await run_flatten(desk.flatten, listed, out) == FINE
    assert told(out) == "left alone: 1 holding\nNothing was sent. Add --yes to do it.\n"
    out = output()
    assert await run_flatten(desk.flatten, replace(listed, holdings=True, gtts=True), out) == FINE
    assert told(out).startswith("sell: 2 holdings\n")  # what is asked for is not called left alone
    assert fake.flatten.done == []
    fake.flatten.unread = (f"{ACCOUNT}: the broker is not there",)
    out = output(as_json=True)
    assert await run_flatten(desk.flatten, listed, out) == SOME_FAILED  # nothing read is not nothing there
    assert one_object(out)["ok"] is False
    out = output()
    assert await run_flatten(desk.flatten, replace(listed, yes=True, gtts=True), out) == FINE
    assert told(out).endswith("verified flat in 1.5 s\n")
    assert fake.flatten.done == [FlattenChoice(gtts=True)]
    fake.flatten.not_flat = ("75 NSE:INFY (MIS) is still open",)
    out = output(as_json=True)
    assert await run_flatten(desk.flatten, replace(listed, yes=True), out) == SOME_FAILED
    answer = one_object(out)
    assert (answer["verified_flat"], answer["not_flat"]) == (False, ["75 NSE:INFY (MIS) is still open"])


# -- exits -----------------------------------------------------------------------------------------------------------


def asked(*arguments: str) -> Flights | PortfolioStop:
    command = parse(arguments)
    assert isinstance(command, Flights | PortfolioStop)
    return command


async def test_recorded_exits_are_listed_and_written_to_a_new_file(
    desk: DirectDesk | RemoteDesk, tmp_path: Path
) -> None:
    out = output()
    assert await run_exits(desk.exits, asked("flights"), out) == FINE
    assert told(out) == "AAAAAAAAAAAA  SELL NSE:INFY by stop at 989.90: 0.31 ms, slippage 7.50\n"
    file = tmp_path / "exits.json"
    out = output(as_json=True)
    export = asked("flights", "--export", str(file), "--stop", "A" * 12, "--json")
    assert await run_exits(desk.exits, export, out) == FINE
    assert one_object(out)["flights"] == 1
    assert "AAAAAAAAAAAA" in file.read_text("utf-8")
    assert await run_exits(desk.exits, export, output()) == COULD_NOT_START, "no file is written over"


async def test_the_portfolio_stop_is_shown_and_set_and_loosened_from_tomorrow(
    desk: DirectDesk | RemoteDesk,
) -> None:
    out = output()
    assert await run_exits(desk.exits, asked("portfolio-stop"), out) == FINE
    assert "the day stands at -500.00; today loss 20,000.00" in told(out)
    out = output()
    tighter = asked("portfolio-stop", "--loss", "15,000", "--drawdown", "8000")
    assert await run_exits(desk.exits, tighter, out) == FINE
    assert "today loss 15,000.00, drawdown 8,000.00" in told(out)
    out = output(as_json=True)
    assert await run_exits(desk.exits, asked("portfolio-stop", "--loss", "none", "--json"), out) == FINE
    (stop,) = one_object(out)["portfolio_stops"]
    assert (stop["limits"]["loss"], stop["tomorrow"]["loss"]) == (1_500_000, None)
    assert await run_exits(desk.exits, asked("portfolio-stop", "--account", "x"), output()) == COULD_NOT_START


@pytest.mark.parametrize("amount", ["-5", "0", "1.234", "much"])
def test_an_amount_that_is_none_is_refused_by_the_parser(amount: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(("portfolio-stop", f"--loss={amount}"))
    assert "--loss" in capsys.readouterr().err
