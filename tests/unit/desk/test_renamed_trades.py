"""A contract that lives on under another symbol is one contract: its lots are matched across the name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from app.desk.desk import LocalDesk
from app.domain.fill import Fill, Source, Trade
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Side
from app.runtime.clock import SECOND, SystemClock
from app.runtime.secret import Secret
from tests.unit.desk import test_instruments as lists

OLD, NEW, NEWEST = (InstrumentId(f"NFO:HINDPETRO26AUG{strike}CE") for strike in ("440", "420.75", "400"))
DAY = 86_400 * SECOND


def option(strike: str, lot: int = 2025) -> str:
    return f"900001,3515,HINDPETRO26AUG{strike}CE,HINDPETRO,0,2026-08-27,{strike},0.05,{lot},CE,NFO-OPT,NFO"


class Bench:
    """A desk with one account, and a list that changes."""

    def __init__(self, desk: LocalDesk, account: AccountId, folder: Path) -> None:
        self.desk = desk
        self.account = account
        self._folder = folder
        self._number = 0

    async def listed(self, line: str) -> None:
        """The list of the day has the contract so."""
        file = self._folder / "zerodha.csv"
        whole = "\n".join([lists.HEADER, lists.INFY, lists.FUTURE, line])
        await asyncio.to_thread(file.write_text, whole)
        (report,) = await self.desk.instruments.sync("zerodha", str(file))
        assert report.counts is not None, report.error

    async def fill(self, name: InstrumentId, side: Side, quantity: int, price: int, days_ago: float) -> None:
        self._number += 1
        order = BrokerOrderId(str(self._number))
        at = SystemClock().now() - int(days_ago * DAY)
        day = f"2026-08-{self._number:02d}"
        identity = FillId("zerodha", self.account, "NFO", Segment.OPTIONS, day, order, f"T{self._number}", side)
        made = Fill(
            identity, self.account, name, Segment.OPTIONS, InstrumentKind.CALL, Product.NRML, side, quantity, price,
            at, order, 100, Source.SYNC,
        )  # fmt: skip
        await self.desk._workspace.book.fills.write([(made, "{}")])

    async def trades(self) -> Sequence[Trade]:
        await self.desk.sync.rebuild()
        return (await self.desk.portfolio.trades()).trades

    async def told(self) -> list[InstrumentId]:
        """What the broker called each, oldest first."""
        return [fill.instrument for fill in await self.desk._workspace.book.fills.all(self.account)]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with lists.opened(tmp_path / "profile") as desk:
        account = await desk.session.add_account("zerodha", "abcdefgh12345678", Secret("s" * 32))
        made = Bench(desk, account, tmp_path)
        await made.listed(option("440"))
        yield made


async def test_what_was_bought_under_the_old_name_is_sold_under_the_new_one(bench: Bench) -> None:
    await bench.fill(OLD, Side.BUY, 2025, 10_00, 3)
    (open_,) = await bench.trades()
    assert (open_.instrument, open_.closed_at) == (OLD, None)
    await bench.listed(option("420.75"))
    (open_,) = (await bench.desk.portfolio.trades()).trades  # at once, without a sync
    assert (open_.instrument, open_.closed_at, open_.quantity) == (NEW, None, 2025)
    await bench.fill(NEW, Side.SELL, 2025, 14_00, -1)
    (closed,) = await bench.trades()
    assert (closed.instrument, closed.quantity, closed.gross) == (NEW, 2025, 2025 * 4_00)
    assert closed.closed_at is not None
    assert await bench.told() == [OLD, NEW]


async def test_a_second_name_and_a_late_fill_of_the_first_are_the_same_contract(bench: Bench) -> None:
    await bench.fill(OLD, Side.BUY, 2025, 10_00, 9)
    await bench.listed(option("420.75"))
    await bench.fill(NEW, Side.BUY, 2025, 12_00, 0.001)
    await bench.listed(option("400"))
    await bench.fill(OLD, Side.BUY, 2025, 8_00, 10)  # of a tradebook file, told late and before all others
    await bench.fill(NEWEST, Side.SELL, 4050, 15_00, -1)
    trades = await bench.trades()
    assert {trade.instrument for trade in trades} == {NEWEST}
    assert sum(trade.gross for trade in trades) == 2025 * (7_00 + 5_00)  # the two oldest lots have left
    assert await bench.desk._workspace.book.fills.follow_renames(bench.account, "zerodha", 0) == []


async def test_a_name_that_comes_back_is_itself_again(bench: Bench) -> None:
    await bench.fill(OLD, Side.BUY, 2025, 10_00, 9)
    await bench.listed(option("420.75"))
    await bench.listed(option("440"))
    (trade,) = await bench.trades()
    assert (trade.instrument, trade.quantity) == (OLD, 2025)


async def test_units_that_were_restated_with_the_name_stay_apart(bench: Bench) -> None:
    await bench.fill(OLD, Side.BUY, 2025, 10_00, 3)
    await bench.listed(option("220", lot=4050))
    (trade,) = await bench.trades()
    assert trade.instrument == OLD


async def test_another_contract_that_takes_the_old_name_later_is_another_one(bench: Bench) -> None:
    await bench.fill(OLD, Side.BUY, 2025, 10_00, 3)
    await bench.listed(option("420.75"))
    await bench.fill(OLD, Side.BUY, 2025, 30_00, -5)
    found = {trade.instrument: trade.entry_price for trade in await bench.trades()}
    assert found == {NEW: 10_00, OLD: 30_00}


async def test_what_a_crash_left_is_done_at_the_next_start(bench: Bench) -> None:
    await bench.fill(OLD, Side.BUY, 2025, 10_00, 3)
    instruments = bench.desk._workspace.book.instruments
    kept = await instruments.get("zerodha", OLD)
    assert kept is not None
    renamed = replace(kept, id=NEW, strike=kept.strike)
    others = [one for one in await instruments.all_active("zerodha") if one.id != OLD]
    await instruments.replace("zerodha", None, [*others, renamed])
    await bench.desk._catch_up()
    (trade,) = (await bench.desk.portfolio.trades()).trades
    assert trade.instrument == NEW
