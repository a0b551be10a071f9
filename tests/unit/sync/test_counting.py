"""Past fills of contracts that are counted in lots: a file that counts units is told by evidence, or refused."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from app.analytics.contract_sizes import Sizer
from app.brokers.parts import PastFill
from app.brokers.zerodha.tradebook import read_tradebook
from app.domain.errors import Denied
from app.domain.events import SyncStep
from app.domain.fill import Fill, Source
from app.domain.ids import FillId, InstrumentId
from app.domain.order import Side
from app.storage.book import Book
from app.sync.counting import counted_in_lots
from app.sync.service import SyncService
from tests.unit.sync.conftest import A, charge_table
from tests.unit.sync.test_lots import CRUDE, DAY, IN_AND_OUT, NICKEL, deal

GOLDM, PETAL = InstrumentId("MCX:GOLDM26DECFUT"), InstrumentId("MCX:GOLDPETAL26DECFUT")
SHARE = InstrumentId("NSE:INFY")


def past(instrument: InstrumentId, quantity: int, minute: int = 1, source: Source = Source.FILE) -> PastFill:
    return PastFill(replace(deal(instrument, Side.BUY, quantity, 6_000, minute), source=source), "{}")


def told(items: list[PastFill], known: dict[FillId, Fill] | None = None) -> list[int]:
    found = counted_in_lots(items, known or {}, Sizer(charge_table().sizes))
    assert [(one.fill.id, one.raw) for one in found] == [(one.fill.id, one.raw) for one in items]
    return [one.fill.quantity for one in found]


def test_a_file_of_lots_and_one_of_units_come_to_the_same() -> None:
    assert told([past(CRUDE, 1), past(CRUDE, 200, 2), past(GOLDM, 10, 3)]) == [1, 200, 10]
    assert told([past(CRUDE, 100), past(CRUDE, 200, 2), past(GOLDM, 10, 3), past(PETAL, 7, 4)]) == [1, 2, 1, 7]


def test_what_the_day_said_of_the_same_deal_goes_first() -> None:
    items = [past(CRUDE, 300), past(GOLDM, 10, 2)]
    day = deal(CRUDE, Side.BUY, 3, 6_000, 1)
    assert told(items, {day.id: day}) == [3, 1]
    day = replace(day, quantity=300)
    assert told(items, {day.id: day}) == [300, 10]


def test_what_a_deal_was_worth_tells_how_it_is_counted() -> None:
    lots = replace(past(CRUDE, 100, source=Source.SYNC), worth=Decimal(100 * 100 * 6_000))
    units = replace(past(CRUDE, 100, 2, source=Source.SYNC), worth=Decimal(100 * 6_000))
    assert told([lots, units]) == [100, 1]


def test_what_says_nothing_in_a_history_is_left_as_it_is() -> None:
    assert told([past(CRUDE, 100, source=Source.SYNC), past(NICKEL, 250, 2, source=Source.SYNC)]) == [100, 250]


def test_shares_need_no_evidence() -> None:
    assert told([past(SHARE, 100), past(PETAL, 5, 2)]) == [100, 5]


@pytest.mark.parametrize(
    "items",
    [
        [past(GOLDM, 10)],  # ten lots, or one
        [past(NICKEL, 250)],  # nobody knows how much a lot is
        [past(CRUDE, 100), past(NICKEL, 250, 2)],  # of units, and how many lots these are is not known
    ],
)
def test_a_file_of_which_it_cannot_be_told_is_refused(items: list[PastFill]) -> None:
    with pytest.raises(Denied, match="nothing was imported") as refused:
        told(items)
    assert "import again" in refused.value.next_step


def test_stories_that_contradict_each_other_are_refused() -> None:
    days = [deal(CRUDE, Side.BUY, 3, 6_000, 1), deal(CRUDE, Side.BUY, 200, 6_000, 2)]
    with pytest.raises(Denied, match="cannot be told"):
        told([past(CRUDE, 300), past(CRUDE, 200, 2), past(CRUDE, 400, 3)], {day.id: day for day in days})


async def test_a_tradebook_in_units_and_a_sync_in_lots_are_one_trade_each(service: SyncService, book: Book) -> None:
    await book.fills.write([(fill, "{}") for fill in IN_AND_OUT])
    lines = ["symbol,trade_date,exchange,segment,trade_type,quantity,price,trade_id,order_id,order_execution_time"]
    lines += [
        f"CRUDEOIL26DECFUT,{DAY},MCX,COM,{fill.side.lower()},100.000000,{fill.price // 100}.000000,"
        f"{fill.id.trade_id},{fill.broker_order_id},"
        for fill in IN_AND_OUT
    ]
    lines += [
        "CRUDEOIL26NOVFUT,2026-11-10,MCX,COM,sell,300.000000,5900.000000,91,92,2026-11-10T20:00:00",
        "CRUDEOIL26NOVFUT,2026-11-11,MCX,COM,buy,300.000000,5890.000000,93,94,2026-11-11T20:00:00",
    ]
    result = await service.take_file(A, read_tradebook("\n".join(lines), A))
    assert (result.step, result.created, result.updated, result.skipped) == (SyncStep.COMPLETED, 2, 0, 2)
    assert result.conflicting == 0
    gross = {trade.instrument: (trade.quantity, trade.gross) for trade in (await book.trades.page()).rows}
    assert gross == {CRUDE: (1, 1_000_00), "MCX:CRUDEOIL26NOVFUT": (3, 3_000_00)}
