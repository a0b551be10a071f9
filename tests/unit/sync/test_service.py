from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal

import pytest

from app.brokers.zerodha.adapter import ZerodhaSession
from app.domain.events import (
    BookChanged,
    FundsChanged,
    HoldingsChanged,
    Level,
    Noticed,
    SyncPaused,
    SyncProgressed,
    SyncStep,
)
from app.domain.ids import AccountId
from app.domain.instrument import Product
from app.domain.sync import DataSet
from app.storage.book import Book
from app.sync.service import SyncService, SyncTarget
from tests.fakes.scripted_server import HANG, answer
from tests.unit.sync.conftest import DAY, A, B, Desk, charge_table, trade_row, trades_of

ROUND_TRIP = [
    trade_row(1, transaction_type="BUY", average_price=1000, quantity=10, order_id="1"),
    trade_row(2, transaction_type="SELL", average_price=1100, quantity=10, order_id="2"),
]


def failure(status: str, kind: str, extra: str = "") -> bytes:
    body = {"status": "error", "message": "words", "error_type": kind}
    return answer(json.dumps(body).encode(), status=status, extra=extra)


async def test_one_click_brings_the_trades_home_net_of_charges(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP
    (result,) = await service.run()
    assert (result.step, result.fetched, result.created, result.skipped) == (SyncStep.COMPLETED, 2, 2, 0)
    (trade,) = await trades_of(book)
    assert (trade.gross, trade.product) == (100_000, Product.MIS)
    # Intraday in November 2026: brokerage 0.03 % a side 3.00 + 3.30; STT 0.025 % of the sale at the average price,
    # 2.625 -> 3; stamp 0.003 % of the purchase 0.30; the rest is the exchange's, SEBI's and GST.
    assert (trade.charges.brokerage, trade.charges.transaction_tax) == (Decimal("6.30"), Decimal(3))
    assert trade.charges.gst > 0
    assert trade.net == trade.gross - int(trade.charges.total * 100)
    assert [type(e) for e in desk.events if not isinstance(e, SyncProgressed)] == [
        FundsChanged,
        HoldingsChanged,
        BookChanged,
    ]
    assert [p.step for p in desk.told(SyncProgressed)] == [
        SyncStep.STARTED,
        SyncStep.FETCHING,
        SyncStep.SAVING,
        SyncStep.COMPLETED,
    ]


async def test_syncing_again_changes_nothing(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP
    await service.run()
    before = await trades_of(book)
    for _ in range(3):
        (again,) = await service.run()
        assert (again.created, again.updated, again.skipped) == (0, 0, 2)
    assert await trades_of(book) == before
    assert len(desk.told(BookChanged)) == 1
    log = await book.sync_log.recent()
    assert [(row.step, row.created, row.trigger) for row in log] == [(SyncStep.COMPLETED, 0, "manual")] * 3 + [
        (SyncStep.COMPLETED, 2, "manual")
    ]
    assert all(row.ended_at for row in log)


async def test_the_brokers_own_words_are_kept(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP[:1]
    await service.run()
    (fill,) = await book.fills.all(A)
    words = await book.fills.raw(fill.id)
    assert words is not None
    assert json.loads(words) == ROUND_TRIP[0]


async def test_a_later_fill_of_the_note_moves_the_charges_of_the_other_trades(
    service: SyncService, desk: Desk, book: Book
) -> None:
    desk.trades = list(ROUND_TRIP)
    await service.run()
    (first,) = await trades_of(book)
    # STT is on the average price and rounded to the rupee over the whole note: 2.625 -> 3 alone, 5.25 -> 5 for two.
    assert first.charges.transaction_tax == 3
    desk.trades += [
        row | {"tradingsymbol": "TCS", "order_id": f"9{n}", "trade_id": f"9{n}"} for n, row in enumerate(ROUND_TRIP)
    ]
    (result,) = await service.run()
    assert (result.created, result.skipped) == (2, 2)
    trades = {t.instrument: t for t in await trades_of(book)}
    assert sum(t.charges.transaction_tax for t in trades.values()) == 5
    desk.trades[-1]["average_price"] = 1100.05
    desk.trades = desk.trades[:2]  # the broker takes the other two back
    (result,) = await service.run()
    assert (result.created, result.updated, result.skipped) == (0, 2, 2)
    assert await trades_of(book) == [first]


async def test_a_withdrawn_fill_is_marked_and_counts_again_when_it_returns(
    service: SyncService, desk: Desk, book: Book
) -> None:
    desk.trades = ROUND_TRIP
    await service.run()
    desk.trades = ROUND_TRIP[:1]
    (result,) = await service.run()
    assert (result.updated, result.skipped) == (1, 1)
    (told,) = desk.told(Noticed)
    assert told.title == "The broker has taken back a fill that it had reported"
    assert told.cause == "NSE:INFY: SELL 10 at 1,100.00, order 2."
    (still_open,) = await trades_of(book)
    assert still_open.closed_at is None
    desk.trades = ROUND_TRIP
    await service.run()
    (closed,) = await trades_of(book)
    assert closed.gross == 100_000
    assert len(desk.told(Noticed)) == 1


async def test_an_empty_answer_on_the_next_day_withdraws_nothing(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP
    await service.run()
    desk.trades, desk.at = [], desk.at + 86_400 * 10**9
    (result,) = await service.run()
    assert (result.step, result.updated) == (SyncStep.COMPLETED, 0)
    assert len(await trades_of(book)) == 1


async def test_a_deleted_fill_is_not_revived(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP
    await service.run()
    for fill in await book.fills.all(A):
        await book.fills.delete(fill.id)
    await service.rebuild()
    (result,) = await service.run()
    assert result.skipped == 2
    assert await trades_of(book) == []


async def test_a_conflict_is_shown_and_not_written(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP
    await service.run()
    before = await trades_of(book)
    desk.trades = [ROUND_TRIP[0] | {"average_price": 999.95}, ROUND_TRIP[1]]
    (result,) = await service.run()
    assert (result.step, result.conflicting, result.skipped) == (SyncStep.COMPLETED, 1, 1)
    (notice,) = desk.told(Noticed)
    assert notice.level is Level.WARNING
    assert notice.title == "A fill differs from what the broker says now"
    assert "NSE:INFY: BUY 10 at 1,000.00 here, BUY 10 at 999.95 there." in notice.cause
    assert await trades_of(book) == before


async def test_a_conversion_moves_the_fill_to_the_other_product(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP[:1]
    await service.run()
    desk.trades = [ROUND_TRIP[0] | {"product": "CNC"}]
    (result,) = await service.run()
    assert result.updated == 1
    assert [t.product for t in await trades_of(book)] == [Product.CNC]


async def test_an_account_without_a_session_is_skipped_not_failed(
    desk: Desk, book: Book, broker: ZerodhaSession
) -> None:
    targets = [SyncTarget(A, broker, desk), SyncTarget(B, None, desk)]
    service = SyncService(book, charge_table(), lambda: targets, desk.events.append, desk.on_dead)
    steps = {result.account: result.step for result in await service.run()}
    assert steps == {A: SyncStep.COMPLETED, B: SyncStep.SKIPPED}
    (alone,) = await service.run(B, "scheduled")
    assert (alone.step, alone.trigger) == (SyncStep.SKIPPED, "scheduled")
    assert "not logged in" in alone.error
    assert await service.run(AccountId("nobody")) == ()


async def test_a_dead_session_in_the_middle_fails_in_words_and_expires_the_account(
    service: SyncService, desk: Desk, book: Book
) -> None:
    desk.trades = ROUND_TRIP
    desk.broken["/portfolio/holdings"] = [failure("403 Forbidden", "TokenException")]
    (result,) = await service.run()
    assert result.step is SyncStep.FAILED
    assert "Log in again" in result.error
    assert desk.dead == [A]
    assert desk.results == [result]
    assert await book.fills.all(A) == []
    assert desk.pauses == []


@pytest.mark.parametrize("path", ["/trades", "/portfolio/positions", "/portfolio/holdings", "/user/margins"])
async def test_a_read_that_fails_leaves_the_book_whole(service: SyncService, desk: Desk, book: Book, path: str) -> None:
    desk.trades = ROUND_TRIP
    await service.run()
    before = await trades_of(book)
    desk.trades = []  # half of an answer must not pass for "nothing"
    desk.broken[path] = [answer(b'{"status": "success", "data": [')] * 3
    (result,) = await service.run()
    assert result.step is SyncStep.FAILED
    assert "JSON" in result.error
    assert await trades_of(book) == before
    assert (await book.sync_log.recent())[0].error == result.error


async def test_network_and_server_failures_are_tried_three_times(service: SyncService, desk: Desk) -> None:
    busy = failure("503 Service Unavailable", "NetworkException")
    desk.broken["/trades"] = [busy, busy]
    (result,) = await service.run()
    assert result.step is SyncStep.COMPLETED
    first, second = desk.pauses
    assert 0.8 <= first <= 1.2
    assert 1.6 <= second <= 2.4
    desk.broken["/trades"] = [busy, busy, busy]
    (result,) = await service.run()
    assert result.step is SyncStep.FAILED
    assert "words" in result.error
    assert len(desk.pauses) == 4


async def test_a_rate_limit_waits_as_long_as_it_is_told_and_says_so(service: SyncService, desk: Desk) -> None:
    desk.broken["/trades"] = [failure("429 Too Many Requests", "NetworkException", "Retry-After: 7\r\n")]
    (result,) = await service.run()
    assert result.step is SyncStep.COMPLETED
    assert desk.pauses == [7]
    (pause,) = desk.told(SyncPaused)
    assert (pause.account, pause.data_set, pause.seconds) == (A, DataSet.TRADES, 7)
    assert result.rate_limited == 1


@pytest.mark.parametrize("kind", ["InputException", "PermissionException", "TokenException"])
async def test_a_refusal_is_not_tried_again(service: SyncService, desk: Desk, kind: str) -> None:
    desk.broken["/trades"] = [failure("403 Forbidden", kind)] * 3
    (result,) = await service.run()
    assert result.step is SyncStep.FAILED
    assert len(desk.broken["/trades"]) == 2
    assert desk.pauses == []


async def test_cancel_ends_a_sync_that_still_reads(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP
    desk.broken["/user/margins"] = [HANG]
    running = asyncio.ensure_future(service.run())
    await desk.struck.wait()
    await service.cancel()
    (result,) = await running
    assert result.step is SyncStep.CANCELLED
    assert await book.fills.all(A) == []
    assert (await book.sync_log.recent())[0].step is SyncStep.CANCELLED
    (after,) = await service.run()
    assert after.step is SyncStep.COMPLETED


async def test_a_second_click_shares_the_sync_under_way(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP
    first, second = await asyncio.gather(service.run(), service.run())
    assert first == second
    assert len(await book.sync_log.recent()) == 1


async def test_a_click_while_a_sync_reads_is_answered_by_one_that_reads_afterwards(
    service: SyncService, desk: Desk, book: Book
) -> None:
    desk.broken["/user/margins"] = [HANG]
    scheduled = asyncio.ensure_future(service.run(trigger="scheduled"))
    await desk.struck.wait()
    clicked = asyncio.ensure_future(service.run())
    shared = asyncio.ensure_future(service.run(trigger="scheduled"))
    desk.trades = ROUND_TRIP  # the first may have read before it
    await service.cancel()
    await asyncio.gather(scheduled, shared)
    assert (await shared)[0].step is SyncStep.CANCELLED
    (result,) = await clicked
    assert (result.step, result.created) == (SyncStep.COMPLETED, 2)


async def test_a_crash_between_fills_and_trades_is_finished_at_the_next_start(
    service: SyncService, desk: Desk, book: Book, broker: ZerodhaSession
) -> None:
    desk.trades = ROUND_TRIP
    fills = list(await broker.reported_fills())
    await book.fills.write(fills, at=desk.at)  # and then the power went
    assert await trades_of(book) == []
    await service.rebuild()
    (trade,) = await trades_of(book)
    assert trade.gross == 100_000
    assert await book.fills.stale_groups() == []


async def test_fills_of_days_without_rates_are_shown_without_charges_and_said(
    service: SyncService, desk: Desk, book: Book
) -> None:
    old = "2001-01-05"
    desk.trades = [row | {"fill_timestamp": f"{old} 09:16:00"} for row in ROUND_TRIP]
    (result,) = await service.run()
    assert result.step is SyncStep.COMPLETED
    (trade,) = await trades_of(book)
    assert (trade.gross, trade.net) == (100_000, 100_000)
    (notice,) = desk.told(Noticed)
    assert old in notice.cause
    assert "without charges" in notice.title


async def test_a_carried_position_takes_the_charges_of_both_days(service: SyncService, desk: Desk, book: Book) -> None:
    carried = [row | {"product": "CNC"} for row in ROUND_TRIP]
    mate = trade_row(7, tradingsymbol="TCS", order_id="7", product="CNC")
    desk.trades = [carried[0], mate]
    await service.run()
    next_day = "2026-11-23"
    desk.at += 3 * 86_400 * 10**9
    desk.trades = [
        carried[1] | {"fill_timestamp": f"{next_day} 10:00:00", "exchange_timestamp": f"{next_day} 10:00:00"}
    ]
    (result,) = await service.run()
    assert (result.created, result.updated) == (1, 0)
    trades = {t.instrument: t for t in await trades_of(book)}
    infy, tcs = trades["NSE:INFY"], trades["NSE:TCS"]  # type: ignore[index]  # ids are text
    assert infy.closed_at is not None
    # Delivery: STT 0.1 % of both sides (10 + 11), a part of the first day's note is TCS's.
    assert infy.charges.transaction_tax == 21
    assert tcs.charges.transaction_tax == 15


async def test_ten_thousand_fills(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = [
        trade_row(
            n,
            transaction_type="BUY" if n % 2 else "SELL",
            order_id=str(n),
            tradingsymbol=f"SYM{n % 50 // 2}",
            fill_timestamp=f"{DAY} 10:{n // 200:02}:{n % 60:02}",
        )
        for n in range(10_000)
    ]
    (result,) = await service.run()
    assert (result.step, result.created) == (SyncStep.COMPLETED, 10_000)
    (again,) = await service.run()
    assert (again.created, again.updated, again.skipped) == (0, 0, 10_000)
    page = await book.trades.page(limit=1)
    assert page.total > 0
    assert replace(result, run="") != replace(again, run="")
