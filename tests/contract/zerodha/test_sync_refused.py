"""A part of the account that the broker always refuses: named, visible, asked for once a day; the rest goes on, and the
account is not in error because of it (C8, C11).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.desk.desk import LocalDesk
from app.desk.messages import Health, SyncRun
from app.domain.errors import Denied
from app.domain.events import Event, Level, Noticed, SessionState
from app.domain.ids import AccountId
from app.domain.sync import DataSet, ErrorClass
from app.runtime.paths import ProfilePaths
from tests.contract.zerodha.desks import connected, log_in, new_desk
from tests.fakes.paper_exchange import PaperExchange, paper_exchange

FORBIDDEN = "status=403:route=holdings,count=0,kind=PermissionException"
NO_TRADES = "status=400:route=trades,count=0,kind=InputException"


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with paper_exchange("--seed", "3", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off") as running:
        yield running


class Trader:
    """Who watches the syncs of one account."""

    def __init__(self, desk: LocalDesk, exchange: PaperExchange, account: AccountId) -> None:
        self.desk = desk
        self.exchange = exchange
        self.account = account
        self.heard: list[Event] = []
        desk.listen(self.heard.append)

    async def faults(self, *specs: str) -> None:
        await self.exchange.control("PUT", "/faults", {"faults": ["limits=off", *specs]})

    async def sync(self, trigger: str = "manual") -> SyncRun:
        (run,) = (await self.desk.sync.run(self.account, trigger)).accounts
        return run

    async def asked(self) -> int:
        """How often the refused part was asked for."""
        faults = (await self.exchange.control("GET", "/faults"))["faults"]
        return sum(int(fault["seen"]) for fault in faults)

    def state(self) -> tuple[SessionState, int]:
        record = self.desk._workspace.record(self.account)
        return record.state, record.error_count

    def said(self, level: Level) -> list[Noticed]:
        return [event for event in self.heard if isinstance(event, Noticed) and event.level is level]


@pytest.fixture
async def trader(exchange: PaperExchange, tmp_path: Path) -> AsyncIterator[Trader]:
    await exchange.control("PUT", "/faults", {"faults": ["limits=off"]})
    async with new_desk(ProfilePaths(tmp_path / "profile")) as desk:
        account = await connected(desk, exchange)
        await log_in(desk, exchange, account)
        yield Trader(desk, exchange, account)


async def test_a_part_that_is_always_refused_is_named_and_then_left_alone(trader: Trader) -> None:
    assert (await trader.sync()).step == "completed"
    await trader.faults(FORBIDDEN)
    for _ in range(4):
        run = await trader.sync("scheduled")
        assert (run.step, run.error_class) == ("failed", ErrorClass.CLIENT.value)
        assert "Holdings refused and skipped" in run.error
        assert "The rest was saved." in run.error
    (notice,) = [event for event in trader.said(Level.WARNING) if "refuses" in event.title]
    assert notice.title == "The broker refuses holdings"
    asked = await trader.asked()
    for _ in range(3):
        run = await trader.sync("scheduled")
        assert run.step == "completed"
        assert "keeps refusing holdings" in run.error
    assert await trader.asked() == asked
    assert trader.state() == (SessionState.ACTIVE, 0)
    status = await trader.desk.sync.status()
    (view,) = status.accounts
    assert view.health is Health.ATTENTION
    assert "refuses holdings" in view.words
    assert {state.data_set for state in view.data_sets if state.error} == {DataSet.HOLDINGS}
    assert [job.job for job in status.jobs] == ["holdings"]
    assert trader.said(Level.ALARM) == []


async def test_who_presses_sync_asks_at_once_and_what_answers_again_is_forgotten(trader: Trader) -> None:
    await trader.faults(FORBIDDEN)
    for _ in range(6):
        assert (await trader.sync()).step == "failed"
    assert trader.state() == (SessionState.ACTIVE, 0)
    (job,) = (await trader.desk.sync.status()).jobs
    await trader.faults()
    (run,) = (await trader.desk.sync.retry(job.id)).accounts
    assert (run.step, run.error) == ("completed", "")
    status = await trader.desk.sync.status()
    assert status.jobs == ()
    assert status.accounts[0].health is Health.GOOD


async def test_after_a_login_everything_is_asked_for_again(trader: Trader) -> None:
    await trader.faults(FORBIDDEN)
    for _ in range(5):
        await trader.sync("scheduled")
    assert (await trader.sync("scheduled")).step == "completed"
    await trader.faults()
    await log_in(trader.desk, trader.exchange, trader.account)
    run = await trader.sync("scheduled")
    assert (run.step, run.error) == ("completed", "")
    assert (await trader.desk.sync.status()).jobs == ()


async def test_trades_that_are_refused_are_a_failure_of_the_account(trader: Trader) -> None:
    await trader.faults(NO_TRADES)
    for _ in range(5):
        run = await trader.sync("scheduled")
        assert (run.step, run.error_class) == ("failed", ErrorClass.CLIENT.value)
        assert "Trades refused and skipped" in run.error
    assert trader.state() == (SessionState.ERROR, 5)
    (alarm,) = [event for event in trader.said(Level.ALARM) if "in error" in event.title]
    assert "Trades refused" in alarm.cause
    assert [job.job for job in (await trader.desk.sync.status()).jobs] == ["today"]
    await trader.faults(FORBIDDEN)  # the trades come again: the account is well, whatever else is refused
    assert (await trader.sync()).step == "failed"
    assert trader.state() == (SessionState.ACTIVE, 0)
    assert (await trader.desk.sync.status()).jobs == ()


async def test_a_tradebook_of_days_to_come_is_refused_whole(trader: Trader, tmp_path: Path) -> None:
    head = "symbol,isin,trade_date,exchange,segment,series,trade_type,auction,quantity,price,trade_id,order_id"
    day, later = (f"INFY,x,{on},NSE,EQ,EQ,buy,false,5,1500.05,{on},42" for on in ("2026-11-19", "2026-11-23"))
    file = tmp_path / "tradebook.csv"
    file.write_text("\n".join((head, day, later)))
    with pytest.raises(Denied, match="trades of 2026-11-23, which is still to come; nothing was imported"):
        await trader.desk.sync.import_file(trader.account, str(file))
    file.write_text("\n".join((head, day, "")))
    (run,) = (await trader.desk.sync.import_file(trader.account, str(file))).accounts
    assert (run.step, run.created) == ("completed", 1)
