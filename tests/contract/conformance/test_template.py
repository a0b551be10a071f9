"""The template of a provider: installed as a third party would, found by its entry point, and it conforms.

The suite is put to the proof with it too: a provider that breaks a clause fails the clause's card.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.bootstrap import build_desk
from app.brokers.base import Credentials, Session
from app.brokers.parts import CalendarSource, GttBroker, HistoryBroker
from app.brokers.registry import Registry
from app.domain.account import Endpoints
from app.domain.broker import Support
from app.domain.errors import Denied
from app.domain.events import FeedState, SessionState
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import StopPlan
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from tests.fakes.paper_exchange import eventually
from tests.program import ROOT, program

TEMPLATE = ROOT / "packaging" / "provider_template"
A = AccountId("ledgerline-LL42")
REPORT = re.compile(r"^ *(\d+) (FAILED|passed|not there) +[A-Z]", re.MULTILINE)


def installed(source: Path) -> Path:
    """The folder that `pip install --target` filled from a copy of the template; nothing is fetched."""
    target = source / "installed"
    options = ["--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    subprocess.run(command, check=True, timeout=120)
    return target


def copied(where: Path) -> Path:
    return Path(shutil.copytree(TEMPLATE, where / "provider", ignore=shutil.ignore_patterns("__pycache__")))


def cards(source: Path, packages: Path, *options: str) -> dict[int, str]:
    """What `pytest`, run by an author in the provider's folder, prints of each card."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    path = os.pathsep.join([str(ROOT), str(packages)])
    ran = subprocess.run(
        command,
        cwd=source,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    found = {int(number): word for number, word in REPORT.findall(ran.stdout)}
    assert found, ran.stdout + ran.stderr
    assert ran.returncode == (1 if "FAILED" in found.values() else 0), ran.stdout
    return found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(its folder, where it is installed)."""
    source = copied(tmp_path_factory.mktemp("template"))
    return source, installed(source)


@pytest.fixture
def folder(template: tuple[Path, Path]) -> Iterator[Path]:
    """Where it is installed; off the path again afterwards."""
    yield template[1]
    sys.path[:] = [place for place in sys.path if place != str(template[1])]
    for name in [name for name in sys.modules if name.partition(".")[0] == "stopline_ledgerline"]:
        del sys.modules[name]


def test_the_template_passes_every_card_of_what_it_has(template: tuple[Path, Path]) -> None:
    found = cards(*template)
    assert {number: word for number, word in found.items() if number <= 25} == {
        number: "not there" if number == 10 else "passed" for number in range(1, 26)
    }
    assert {word for number, word in found.items() if number > 25} == {"not there"}


UNKNOWN = """\
    if found is None:
        raise row.bad(key)
    return found"""
FAILED_READ = "        return await converted(self._http, answer.body, (what,), convert)"
EMPTY_LIST = """\
        try:
            return await converted(self._http, answer.body, (what,), convert)
        except BadAnswer:
            return []"""
SABOTAGE = [
    # (file, what stands there, what a careless author would write, the card that says so)
    ("provider.py", "        check_endpoints(self.info, endpoints)\n", "", 3),
    ("provider.py", "access_token=Secret(answer", "access_token=Shown(answer", 4),
    ("wire.py", 'row.text("id"), side)', "f\"{row.text('id')}-{id(row)}\", side)", 13),
    ("provider.py", FAILED_READ, EMPTY_LIST, 16),
    ("wire.py", UNKNOWN, "    return found or next(iter(words.values()))", 19),
    ("wire.py", "retry_after=_seconds(retry_after)", "retry_after=60.0", 20),
    ("wire.py", 'if code in ("no_session", "session_over"):', 'if code == "nothing":', 21),
    ("wire.py", 'if code in ("plan", "address"):', 'if code == "nothing":', 22),
    ("provider.py", "        if end < start:", "        if False:", 25),
]


def test_a_provider_that_breaks_a_clause_fails_its_card_and_no_other(tmp_path: Path) -> None:
    source = copied(tmp_path)
    for name, right, wrong, _ in SABOTAGE:
        module = source / "src" / "stopline_ledgerline" / name
        text = module.read_text()
        assert right in text, f"{name} has no {right!r}"
        module.write_text(text.replace(right, wrong))
    provider = source / "src" / "stopline_ledgerline" / "provider.py"
    shown = "\n\nclass Shown(Secret):\n    def __repr__(self): return self.reveal()\n"
    provider.write_text(provider.read_text().replace("\nINFO = ", f"{shown}\n\nINFO = ", 1))
    found = cards(source, installed(source), "-k", "not silence and not oversized")  # the slow ones, not sabotaged
    failed = {number for number, word in found.items() if word == "FAILED"}
    assert failed >= {number for *_, number in SABOTAGE}
    assert {1, 2, 5, 6, 7, 8, 11, 12, 14, 15, 23, 24} & failed == set()


async def test_the_registry_finds_it_and_denies_what_it_only_reads(folder: Path) -> None:
    registry = Registry(third_parties=True, folders=[str(folder)])
    assert registry.problems == ()
    listing = next(found for found in registry.available() if found.info.name == "ledgerline")
    assert listing.package == "stopline-ledgerline 1.0"
    assert listing.info.capabilities.trading is Support.NO
    here = Endpoints("http://127.0.0.1:1", "http://127.0.0.1:1/login", "ws://127.0.0.1:1")
    session = Session(A, "LL42", "Asha", Secret("t"), 0, 0)
    broker = registry.factory("ledgerline").session(session, Credentials("LL-0123ABCD", Secret("s")), here)
    request = OrderRequest(A, InstrumentId("NSE:INFY"), Side.BUY, 1, Product.CNC, OrderKind.MARKET)
    with pytest.raises(Denied, match="takes no orders"):
        await broker.place(request)
    with pytest.raises(Denied, match="takes no orders"):
        broker.exit_line().prepare(request)
    assert isinstance(broker, HistoryBroker)
    assert not isinstance(broker, CalendarSource | GttBroker)
    await broker.close()


def service_of(template: Path) -> ModuleType:
    """The template's own service, by its file: it is no module of ours."""
    spec = importlib.util.spec_from_file_location("ledgerline_service", template / "tests" / "ledgerline_service.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_at_the_desk_it_is_read_and_neither_stops_nor_orders_are_taken(
    template: tuple[Path, Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_of(template[0])
    monkeypatch.setenv("STOPLINE_PROVIDERS", str(folder))
    paths = ProfilePaths(tmp_path / "profile")
    paths.create()
    desk = await build_desk(paths, paper=False)
    try:
        await desk.session.create_vault(Secret("correct horse battery"), False)
        assert "ledgerline" in {listing.info.name for listing in await desk.session.brokers()}
        with service.serving() as running:
            where = Endpoints(running.url, f"{running.url}/login", "ws://127.0.0.1:1", service.REDIRECT)
            account = await desk.session.add_account("ledgerline", service.KEY, Secret(service.SECRET), where)
            page = await desk.session.begin_login(account)
            running.codes.add("code")
            state = page.url.rpartition("state=")[2]
            view = await desk.session.complete_login(account, f"{service.REDIRECT}?code=code&state={state}")
            assert (view.client_name, view.state, view.feed) == ("Asha Rao", SessionState.ACTIVE, FeedState.OFF)
            key = PositionKey(account, InstrumentId("NFO:NIFTY26NOVFUT"), Product.NRML)

            async def held() -> bool:
                return any(position.key == key for position in await desk.portfolio.positions())

            await eventually(held)
            with pytest.raises(Denied, match="gives no live prices"):
                await desk.stops.arm(key, StopPlan(2_480_000))
            exit_it = OrderRequest(account, key.instrument, Side.BUY, 75, Product.NRML, OrderKind.MARKET)
            with pytest.raises(Denied, match="Ledgerline takes no orders"):
                await desk.trading.place(exit_it)
            await desk.session.disconnect(account)
    finally:
        await desk.stop()


@pytest.mark.e2e
def test_the_program_connects_and_syncs_a_third_partys_broker(template: tuple[Path, Path], tmp_path: Path) -> None:
    source, packages = template
    service = service_of(source)
    secret = tmp_path / "secret"
    secret.write_text(service.SECRET)
    environment = {**os.environ, "STOPLINE_PROVIDERS": str(packages), "STOPLINE_PASSPHRASE": "correct horse battery"}

    def run(*arguments: str) -> dict[str, Any]:
        ran = subprocess.run(
            program("--profile", str(tmp_path / "profile"), *arguments, "--json"),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        told: dict[str, Any] = json.loads(ran.stdout)
        return told

    with service.serving() as running:
        running.codes.add("code-of-the-page")
        where = ["--api-url", running.url, "--login-url", f"{running.url}/login", "--ws-url", "ws://127.0.0.1:1"]
        keys = ["--api-key", service.KEY, "--api-secret-file", str(secret), "--redirect-url", service.REDIRECT]
        account = run("connect", "ledgerline", *keys, "--request-token", "code-of-the-page", *where)["account"]
        assert (account["broker"], account["client_name"], account["paper"]) == ("ledgerline", "Asha Rao", True)
        (first,) = run("sync")["accounts"]
        assert (first["step"], first["fetched"], first["created"]) == ("completed", 2, 2)
