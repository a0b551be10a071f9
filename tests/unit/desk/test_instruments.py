"""The instrument lists of a whole desk: by the clock, at login, from the command line here and through the socket."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest

from app.bootstrap import build_desk
from app.brokers.upstox.factory import UpstoxFactory
from app.cli.commands import COULD_NOT_START, FINE, SOME_FAILED, InstrumentStats, InstrumentSync
from app.cli.instruments import run_instruments
from app.cli.main import parse
from app.cli.output import Output
from app.desk import instruments
from app.desk.desk import LocalDesk
from app.desk.instrument_verbs import DirectInstruments, InstrumentCommands, RemoteInstruments
from app.desk.remote import RemoteServer
from app.desk.verbs import remote_verbs
from app.desk.workspace import Workspace
from app.domain.account import Endpoints
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment
from app.domain.listing import InstrumentsChanged, ListSource
from app.market.import_days import list_day
from app.market.instruments import InstrumentMaster, InstrumentStore, Later
from app.market.table import InstrumentTable
from app.runtime.clock import from_datetime, to_datetime
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from app.storage.accounts import AccountRecord
from app.vault.keystore import Keystore
from app.vault.vault import Vault
from tests.fakes.scripted_server import ScriptedServer, answer
from tests.unit.desk import profiles
from tests.unit.desk.profiles import CHEAP, PASSPHRASE, make_profile

LIVE = Endpoints("https://api.kite.trade", "https://kite.zerodha.com/connect/login", "wss://ws.kite.trade")
HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)
INFY = "408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE"
FUTURE = "14866434,58072,NIFTY26AUGFUT,NIFTY,0,2026-08-25,0,0.1,65,FUT,NFO-FUT,NFO"
LIST = "\n".join([HEADER, INFY, FUTURE]).encode()


@asynccontextmanager
async def opened(profile: Path) -> AsyncIterator[LocalDesk]:
    paths = ProfilePaths(profile)
    paths.create()
    if not paths.vault.exists():
        await asyncio.to_thread(Vault(profile, Keystore(), CHEAP).create, PASSPHRASE, use_keyring=False)
    desk = await build_desk(paths, paper=False, guarding=False)
    try:
        await desk.session.unlock(PASSPHRASE)
        yield desk
    finally:
        await desk.stop()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[LocalDesk]:
    async with opened(tmp_path / "profile") as made:
        yield made


async def test_the_future_that_stands_in_for_an_index_is_the_one_that_the_accounts_own_broker_lists(
    desk: LocalDesk,
) -> None:
    """A paper exchange's has a number of its own, and months of its own: a live stop would watch another contract."""
    index, mine = (
        Instrument(InstrumentId(name), token, Exchange(name[:3]), segment, kind, "NIFTY", 5, 65, expiry=expiry)
        for name, token, segment, kind, expiry in (
            ("NSE:NIFTY 50", 256_265, Segment.INDEX, InstrumentKind.INDEX, None),
            ("NFO:NIFTY26DECFUT", 14_866_434, Segment.FUTURES, InstrumentKind.FUTURE, date(2026, 12, 29)),
        )
    )
    papers = replace(mine, token=12_468_226)
    sooner = replace(mine, id=InstrumentId("NFO:NIFTY26NOVFUT"), token=12_466_946, expiry=date(2026, 11, 24))
    workspace = desk._workspace
    for name, listed in (("zerodha", [index, mine]), ("zerodha-paper", [index, papers, sooner])):
        await workspace.book.instruments.replace(name, None, listed)
        await workspace.master.reload(workspace.book.instruments, name)
    trading = workspace.trading(AccountRecord(AccountId("zerodha-7F3A"), "zerodha", LIVE, "key"))
    assert trading.underlyings.stand_in(index, date(2026, 11, 20)) == mine


@pytest.fixture(params=["in this process", "through the socket of the workstation"])
async def commands(
    request: pytest.FixtureRequest, desk: LocalDesk, tmp_path: Path
) -> AsyncIterator[InstrumentCommands]:
    if request.param == "in this process":
        yield DirectInstruments(desk)
        return
    paths = ProfilePaths(tmp_path / "profile")
    server = RemoteServer(paths, remote_verbs(desk, lambda: None), asyncio.get_running_loop())
    await asyncio.to_thread(server.start)
    try:
        yield RemoteInstruments(paths)
    finally:
        await asyncio.to_thread(server.stop)


async def told(desk: InstrumentCommands, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a command line."""
    command = parse(["instruments", *arguments, "--json"])
    assert isinstance(command, InstrumentSync | InstrumentStats)
    stdout = io.StringIO()
    code = await run_instruments(desk, command, Output(stdout, io.StringIO(), as_json=True))
    answered: dict[str, Any] = json.loads(stdout.getvalue())
    return code, answered


async def test_a_file_is_taken_over_and_counted(commands: InstrumentCommands, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    await asyncio.to_thread(file.write_bytes, LIST)
    code, answered = await told(commands, "sync", "--source", str(file))
    (report,) = answered["imports"]
    assert (code, answered["ok"], report["broker"], report["source"]) == (FINE, True, "zerodha", "file")
    assert report["counts"]["created"] == 2
    assert (report["before"]["active"], report["after"]["active"]) == (0, 2)
    assert {check["name"]: check["passed"] for check in report["checks"]} == {
        "source": True,
        "error rate": True,
        "futures and options": True,
        "segments": True,
        "tokens": True,
        "duration": True,
    }
    code, answered = await told(commands, "stats")
    (listed,) = answered["lists"]
    assert (code, listed["name"], listed["stats"]["active"]) == (FINE, "zerodha", 2)
    assert listed["stats"]["kinds"] == [{"kind": "future", "active": 1}, {"kind": "share", "active": 1}]
    assert {"exchange": "NFO", "segment": "futures", "active": 1, "inactive": 0} in listed["stats"]["segments"]
    assert listed["last"]["ok"] is True


async def test_exit_codes_of_a_failed_check_and_of_a_file_that_is_nobodys(
    commands: InstrumentCommands, tmp_path: Path
) -> None:
    page = tmp_path / "page"
    await asyncio.to_thread(page.write_text, "<html></html>")
    code, answered = await told(commands, "sync", "--source", str(page))
    assert code == COULD_NOT_START
    assert "no instrument list" in answered["error"]["cause"]
    cut = tmp_path / "cut.json"
    await asyncio.to_thread(cut.write_text, '[{"instrument_key": "NSE_EQ|INE009A01021", ')
    code, answered = await told(commands, "sync", "--source", str(cut))
    assert code == SOME_FAILED
    assert "cut off" in answered["imports"][0]["error"]
    code, answered = await told(commands, "sync", "--broker", "nobody")
    assert (code, answered["error"]["next_step"]) == (COULD_NOT_START, "Known: upstox, zerodha.")
    code, answered = await told(commands, "sync", "--source", "sample", "--broker", "upstox")
    assert (code, answered["imports"][0]["source"]) == (FINE, "sample")
    code, answered = await told(commands, "stats")
    assert [(one["name"], one["stats"]["active"]) for one in answered["lists"]] == [("upstox", 152)]


async def test_without_a_network_the_sample_serves_and_that_is_said(
    desk: LocalDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for broker in ("ZERODHA", "UPSTOX"):
        monkeypatch.setenv(f"STOPLINE_INSTRUMENTS_{broker}", "http://127.0.0.1:9/list")
    code, answered = await told(DirectInstruments(desk), "sync")
    assert code == SOME_FAILED
    assert [(one["broker"], one["source"]) for one in answered["imports"]] == [
        ("upstox", "sample"),
        ("zerodha", "sample"),
    ]
    assert "refused the connection" in answered["imports"][0]["alerts"][0]
    found = await desk.market.search("nifty bank")
    assert found[0].id == "NSE:NIFTY BANK"
    # With something stored the sample is no answer any more.
    code, answered = await told(DirectInstruments(desk), "sync", "--broker", "zerodha")
    assert code == SOME_FAILED
    assert answered["imports"][0]["counts"] is None


def test_the_day_of_a_list_begins_at_six_in_india() -> None:
    def at(text: str) -> str:
        moment = to_datetime(0).strptime(f"{text}+0530", "%Y-%m-%d %H:%M%z")
        return list_day(from_datetime(moment), 6, 0)

    assert [at("2026-11-20 05:59"), at("2026-11-20 06:00"), at("2026-11-21 00:30")] == [
        "2026-11-19",
        "2026-11-20",
        "2026-11-20",
    ]


async def test_a_list_that_was_missed_is_fetched_after_the_start_and_once_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instruments, "FIRST_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(instruments, "LOOK_SECONDS", 0.001)
    async with (
        ScriptedServer(lambda _: answer(LIST, kind="text/csv")) as server,
        opened(tmp_path / "profile") as desk,
    ):
        monkeypatch.setenv("STOPLINE_INSTRUMENTS_ZERODHA", f"{server.url}/instruments")
        workspace = desk._workspace
        account = AccountId("zerodha-AB1234")
        sealed = workspace.vault.seal(account, Secret("secret"))
        await workspace.save(AccountRecord(account, "zerodha", LIVE, "key", sealed_secret=sealed))
        arrived = asyncio.Event()
        desk.listen(lambda event: arrived.set() if isinstance(event, InstrumentsChanged) else None)
        looking = asyncio.ensure_future(desk.instruments.keep_fresh())
        async with asyncio.timeout(20):
            await arrived.wait()
            while not await workspace.book.settings.get("instruments_day:zerodha"):  # noqa: ASYNC110 - a setting
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)  # several looks: the list of the day is there
        looking.cancel()
        (report,) = await desk.instruments.log()
        assert (report.trigger, report.source) == ("scheduled", ListSource.PUBLIC)
        assert len(server.seen) == 1
        assert workspace.master.has("zerodha")


async def test_a_list_that_lost_a_segment_is_confirmed_from_the_command_line(desk: LocalDesk, tmp_path: Path) -> None:
    lists = iter([LIST, "\n".join([HEADER, INFY, FUTURE, FUTURE.replace("NFO", "BFO").replace("58072", "9")]).encode()])
    commands = DirectInstruments(desk)
    second, first = next(lists), next(lists)
    async with ScriptedServer(lambda _: answer(bodies.pop(0), kind="text/csv")) as server:
        bodies = [first.replace(b"14866434,9", b"2309,9"), second]
        address = f"{server.url}/instruments"
        assert (await told(commands, "sync", "--broker", "zerodha", "--source", address))[0] == FINE
        code, answered = await told(commands, "sync", "--broker", "zerodha", "--source", address)
    assert code == SOME_FAILED
    assert answered["imports"][0]["alerts"] == ["The list has lost BFO futures; nothing was deactivated."]
    assert (await desk.instruments.lists())[0].awaits
    code, answered = await told(commands, "sync", "--broker", "zerodha", "--confirm")
    assert code == FINE
    assert answered["imports"][0]["counts"]["deactivated"] == 1
    assert not (await desk.instruments.lists())[0].awaits


def list_of_upstox(workspace: Workspace) -> list[Instrument]:
    """A thousand shares, as the broker's list has them."""
    listed = [
        Instrument(
            InstrumentId(f"NSE:S{number}"), number << 8 | 1, Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, "", 5,
            1, key=f"NSE_EQ|INE{number:06}01",
        )
        for number in range(1, 1001)
    ]  # fmt: skip
    workspace.master._tables["upstox"] = cast("InstrumentTable", listed)
    return listed


async def test_of_two_accounts_of_a_broker_none_begins_with_a_part_of_its_list(desk: LocalDesk) -> None:
    """Both are taken up at once after a restart. A contract that is not known yet would be read under another name, so
    as a position that is gone, and no exit could be prepared for it."""
    workspace = desk._workspace
    listed = list_of_upstox(workspace)
    directory = cast("UpstoxFactory", workspace.factory("upstox"))._real
    first = asyncio.create_task(workspace.teach("upstox"))
    await asyncio.sleep(0)
    assert 0 < len(directory) < len(listed)
    await workspace.teach("upstox")
    assert len(directory) == len(listed)
    await first


async def test_what_was_learnt_in_part_is_learnt_again(desk: LocalDesk) -> None:
    """A login that was given up has not taught the list."""
    workspace = desk._workspace
    listed = list_of_upstox(workspace)
    directory = cast("UpstoxFactory", workspace.factory("upstox"))._real
    first = asyncio.create_task(workspace.teach("upstox"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await workspace.teach("upstox")
    assert len(directory) == len(listed)


async def test_a_list_that_no_account_needs_holds_up_no_armed_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To make the lists searchable takes seconds: sessions are taken up before that."""
    await make_profile(tmp_path)
    async with profiles.opened(tmp_path) as made:
        await made.instruments.sync("upstox", "sample")
    waits: dict[str, bool] = {}
    load = InstrumentMaster.load

    async def heard(self: InstrumentMaster, store: InstrumentStore, name: str, later: Later | None = None) -> None:
        waits[name] = later is None
        await load(self, store, name, later)

    monkeypatch.setattr(InstrumentMaster, "load", heard)
    async with profiles.opened(tmp_path):
        pass
    assert waits == {"zerodha": False, "upstox": False}
