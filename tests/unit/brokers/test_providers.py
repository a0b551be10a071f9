"""Third parties' providers: found by their entry point, believed when they fit, named when they do not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from app.brokers.base import Credentials, Session
from app.brokers.registry import Registry
from app.domain.account import Endpoints
from app.domain.errors import Denied
from app.domain.ids import AccountId
from app.runtime.secret import Secret

GOOD = """
    from app.domain.account import Endpoints
    from app.domain.broker import AuthKind, BrokerInfo

    class Factory:
        contract = 1
        info = BrokerInfo({name!r}, "Good", AuthKind.LOGIN_PAGE, False, None, "https://x.example/doc",
                          Endpoints("https://x.example", "https://x.example/login", "wss://x.example"))
        def __init__(self, helper): self.helper = helper
        def login(self, account, credentials, endpoints): raise NotImplementedError
        def session(self, session, credentials, endpoints): raise NotImplementedError
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that packages are installed into, off the path again afterwards with what was imported from it."""
    yield tmp_path
    sys.path[:] = [place for place in sys.path if place != str(tmp_path)]
    for name in [n for n, m in sys.modules.items() if str(tmp_path) in str(getattr(m, "__file__", ""))]:
        del sys.modules[name]


def install(folder: Path, provider: str, source: str, *, target: str = "Factory", package: str = "") -> str:
    """Writes what pip would: a module and the metadata of its package."""
    package = package or f"stopline-{provider}"
    module = package.replace("-", "_")
    (folder / f"{module}.py").write_text(dedent(source))
    about = folder / f"{module}-2.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.5\n")
    (about / "entry_points.txt").write_text(f"[stopline.brokers]\n{provider} = {module}:{target}\n")
    return f"{package} 2.5"


def registry(folder: Path) -> Registry:
    return Registry(third_parties=True, folders=[str(folder)])


def test_a_provider_that_fits_is_there_with_its_package(folder: Path) -> None:
    package = install(folder, "goodbroker", GOOD.format(name="goodbroker"))
    found = registry(folder)
    assert found.problems == ()
    listing = found.available()[-1]
    assert (listing.info.name, listing.package) == ("goodbroker", package)
    assert found.factory("goodbroker").info is listing.info
    assert "goodbroker" not in {known.info.name for known in Registry().available()}


BROKEN = [
    ("import nowhere_at_all", "ModuleNotFoundError"),
    ("raise SystemExit(3)", "SystemExit"),
    ("1 / 0", "ZeroDivisionError"),
    ("def Factory(helper): raise RuntimeError('no licence')", "no licence"),
    ("OtherName = 1", "AttributeError"),
    ("Factory = 3", "TypeError"),
    ("Factory = lambda helper: object()", "does not say for which version of the broker contract"),
    (GOOD.format(name="badbroker").replace("contract = 1", "contract = 99"), "version 99"),
    (GOOD.format(name="badbroker").replace("def session", "def sezzion"), "session"),
    (GOOD.format(name="badbroker").replace("info =", "about ="), "does not say what it is"),
    (GOOD.format(name="Bad Broker"), "lower-case"),
    (GOOD.format(name="otherbroker"), "calls itself otherbroker"),
    (GOOD.format(name="badbroker").replace("wss://", "ws://"), "without encryption"),
]


@pytest.mark.parametrize(("source", "words"), BROKEN, ids=[words for _, words in BROKEN])
@pytest.mark.expects_log("provider badbroker of stopline-badbroker 2.5 is left out")
def test_a_broken_provider_is_named_with_its_cause_and_stops_nothing(folder: Path, source: str, words: str) -> None:
    package = install(folder, "badbroker", source)
    install(folder, "goodbroker", GOOD.format(name="goodbroker"))
    found = registry(folder)
    (problem,) = found.problems
    assert (problem.package, problem.provider) == (package, "badbroker")
    assert words in problem.cause
    assert problem.next_step
    assert {"zerodha", "goodbroker"} <= {listing.info.name for listing in found.available()}
    with pytest.raises(Denied, match="cannot be used"):
        found.factory("badbroker")


@pytest.mark.expects_log("is left out: The name zerodha is already taken by Stopline itself")
def test_nobody_takes_the_name_of_a_shipped_broker(folder: Path) -> None:
    install(folder, "zerodha", GOOD.format(name="zerodha"))
    found = registry(folder)
    assert found.factory("zerodha").info.title == "Zerodha"
    assert "already taken by Stopline itself" in found.problems[0].cause


@pytest.mark.expects_log("is left out: The name twin is already taken by stopline-first 2.5")
def test_of_two_packages_with_one_name_the_first_serves_and_the_second_is_named(folder: Path) -> None:
    install(folder, "twin", GOOD.format(name="twin"), package="stopline-first")
    second = install(folder, "twin", GOOD.format(name="twin"), package="stopline-second")
    (problem,) = registry(folder).problems
    assert problem.package == second


@pytest.mark.expects_log("settings that this program does not store: pin")
def test_a_provider_that_asks_for_what_is_not_stored_is_refused(folder: Path) -> None:
    source = GOOD.format(name="asks").replace("AuthKind,", "AuthKind, ConfigField,")
    source += (
        "    Factory.info = __import__('dataclasses').replace(Factory.info, fields=(ConfigField('pin', 'PIN'),))\n"
    )
    install(folder, "asks", source)
    assert "pin" in registry(folder).problems[0].cause


def test_a_provider_that_says_it_trades_and_cannot_is_not_taken_for_one_that_only_reads(folder: Path) -> None:
    source = GOOD.format(name="halfbroker").replace("import AuthKind,", "import AuthKind, Capabilities, Support,")
    source = source.replace(
        '"wss://x.example"))', '"wss://x.example"), capabilities=Capabilities(trading=Support.YES))'
    )
    source = source.replace("session(self, session, credentials, endpoints): raise NotImplementedError", HALF)
    install(folder, "halfbroker", source)
    found = registry(folder)
    assert found.problems == ()
    here = Endpoints("http://127.0.0.1:1", "http://127.0.0.1:1/login", "ws://127.0.0.1:1")
    session = Session(AccountId("halfbroker-1"), "1", "A", Secret("t"), 0, 0)
    with pytest.raises(Denied, match=r"says that it trades and lacks what that needs: .*StreamBroker"):
        found.factory("halfbroker").session(session, Credentials("k", Secret("s")), here)


HALF = "session(self, session, credentials, endpoints): return object()"
