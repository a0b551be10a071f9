"""Leases between processes, conflicts, days without closing sync, the past, jobs, alerts (C1, C5, C6, C11, C12)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime

import pytest

from app.brokers.info import shipped_info
from app.brokers.parts import FillPage, PastFill
from app.brokers.zerodha.adapter import ZerodhaSession
from app.brokers.zerodha.tradebook import read_tradebook
from app.domain.calendar import IST, AlwaysOpen, TradingCalendar, ist_date
from app.domain.errors import BadAnswer, Denied, Rejected, SessionExpired, Unreachable
from app.domain.events import Level, Noticed, SyncStep
from app.domain.fill import Source
from app.domain.ids import AccountId
from app.domain.instrument import Segment
from app.domain.order import Side
from app.domain.sync import Conflicts, ErrorClass, SyncFigures, SyncPlan
from app.runtime.clock import SECOND, from_datetime
from app.runtime.paths import resource
from app.runtime.process import ProcessMark, own_process
from app.storage.book import Book
from app.storage.fills import FillNotes
from app.storage.leases import Lease
from app.sync.scheduler import Scheduler
from app.sync.service import SyncService
from app.sync.target import Dates, SyncTarget
from app.sync.trouble import alerts_of
from tests.fakes.history_broker import HistoryFake, past_fill, with_history
from tests.fakes.paper_exchange import eventually
from tests.fakes.scripted_server import HANG
from tests.unit.sync.conftest import DAY, A, Desk, charge_table, trade_row, trades_of
from tests.unit.sync.test_service import ROUND_TRIP, failure

U = AccountId("upstox-5C3A91FE")
HOUR = 3600 * 10**9
ZERODHA = shipped_info("zerodha")


# -- leases ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def another_process() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.wait()
    if child.stdin is not None:
        child.stdin.close()


def mark_of(child: subprocess.Popen[bytes]) -> ProcessMark:
    from app.runtime import process

    return ProcessMark(child.pid, process._started(child.pid))


async def test_an_account_that_another_process_syncs_is_left_to_it_until_that_process_dies(
    service: SyncService, desk: Desk, book: Book, another_process: subprocess.Popen[bytes]
) -> None:
    desk.trades = ROUND_TRIP
    theirs = Lease(A, "other run", mark_of(another_process), SyncStep.FETCHING, time.time_ns() + 300 * 10**9)
    assert theirs.owner.started
    assert theirs.owner != own_process()
    await book.leases.take(theirs, time.time_ns())
    (result,) = await service.run()
    assert result.step is SyncStep.SKIPPED
    assert str(another_process.pid) in result.error
    assert await book.fills.all() == []
    another_process.kill()
    another_process.wait()
    (result,) = await service.run()
    assert (result.step, result.created) == (SyncStep.COMPLETED, 2)
    assert await book.leases.load() == []


async def test_a_run_whose_lease_was_taken_over_writes_nothing(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP
    taken = asyncio.Event()

    async def take_over() -> None:
        await book.leases.release(A, next(iter(service.running.values())).run)
        await book.leases.take(Lease(A, "later run", own_process(), SyncStep.FETCHING, 2**62), 0)
        taken.set()

    desk.on_fetching = take_over
    (result,) = await service.run()
    assert taken.is_set()
    assert result.step is SyncStep.FAILED
    assert "took this sync over" in result.error
    assert await book.fills.all() == []
    assert await book.leases.load() == [A]  # the other's stands


async def test_no_lease_is_left_after_whatever_end(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP
    for broken in ("403 Forbidden", "TokenException"), ("500 Oops", "GeneralException"):
        desk.broken["/trades"] = [failure(*broken)] * 3
        (result,) = await service.run()
        assert result.step is SyncStep.FAILED
        assert await book.leases.load() == []
    desk.broken["/user/margins"] = [HANG]
    desk.struck.clear()
    running = asyncio.ensure_future(service.run())
    await desk.struck.wait()
    assert await book.leases.load() == [A]
    await service.cancel()
    (result,) = await running
    assert result.step is SyncStep.CANCELLED
    assert await book.leases.load() == []


# -- conflicts ---------------------------------------------------------------------------------------------------------


async def test_both_sides_of_a_conflict_are_kept_until_the_user_takes_one(
    service: SyncService, desk: Desk, book: Book
) -> None:
    desk.trades = ROUND_TRIP
    await service.run()
    (first, _) = await book.fills.all(A)
    await book.fills.annotate(first.id, FillNotes("mine", ("breakout",)))
    desk.trades = [ROUND_TRIP[0] | {"average_price": 999.95}, ROUND_TRIP[1]]
    for _ in range(2):
        (result,) = await service.run()
        assert result.conflicting == 1
    (conflict,) = await book.conflicts.open()
    assert (conflict.ours.price, conflict.theirs.price) == (100_000, 99_995)
    await service.settle(conflict.id, Conflicts.BROKER, desk.at)
    (trade,) = await trades_of(book)
    assert trade.gross == 100_050
    notes = await book.fills.notes(first.id)
    assert notes is not None
    assert notes.note == "mine"
    (result,) = await service.run()
    assert (result.conflicting, result.updated, result.skipped) == (0, 0, 2)
    with pytest.raises(Denied, match="settled"):
        await service.settle(conflict.id, Conflicts.BOOK, desk.at)


async def test_what_is_open_in_a_settled_fill_is_charged_by_the_clock_of_its_account(
    service: SyncService, desk: Desk, book: Book
) -> None:
    """By another clock the day were over, and what is open of it were delivery, at ten times the tax."""
    desk.trades = ROUND_TRIP[:1]
    await service.run()
    (before,) = await trades_of(book)
    desk.trades = [ROUND_TRIP[0] | {"average_price": 1000.05}]
    await service.run()
    (conflict,) = await book.conflicts.open()
    await service.settle(conflict.id, Conflicts.BROKER, desk.at + 6 * 86_400 * SECOND)
    (after,) = await trades_of(book)
    assert after.charges.transaction_tax == before.charges.transaction_tax
    assert after.charges.stamp_duty == before.charges.stamp_duty


async def test_a_conflict_settled_for_the_book_stays_settled(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP
    await service.run()
    before = await trades_of(book)
    desk.trades = [ROUND_TRIP[0] | {"average_price": 999.95}, ROUND_TRIP[1]]
    await service.run()
    (conflict,) = await book.conflicts.open()
    await service.settle(conflict.id, Conflicts.BOOK, desk.at)
    (result,) = await service.run()
    assert (result.conflicting, result.updated, result.skipped) == (0, 0, 2)
    assert await trades_of(book) == before
    assert await book.conflicts.open() == []


async def test_a_conflict_that_the_broker_takes_back_is_gone(service: SyncService, desk: Desk, book: Book) -> None:
    desk.trades = ROUND_TRIP
    await service.run()
    desk.trades = [ROUND_TRIP[0] | {"quantity": 9}, ROUND_TRIP[1]]
    await service.run()
    assert len(await book.conflicts.open()) == 1
    desk.trades = ROUND_TRIP
    await service.run()
    assert await book.conflicts.open() == []


async def test_a_conflict_that_comes_back_is_shown_again(service: SyncService, desk: Desk, book: Book) -> None:
    """Whether the broker itself or the trader had ended it before."""
    changed = [ROUND_TRIP[0] | {"quantity": 9}, ROUND_TRIP[1]]
    desk.trades = ROUND_TRIP
    await service.run()
    for end in ("gone", "settled"):
        desk.trades = changed
        (result,) = await service.run()
        (conflict,) = await book.conflicts.open()
        assert (end, result.conflicting, conflict.ours.quantity, conflict.theirs.quantity) == (end, 1, 10, 9)
        if end == "settled":
            await service.settle(conflict.id, Conflicts.BROKER, desk.at)
        desk.trades = ROUND_TRIP
        await service.run()
    (other_way,) = await book.conflicts.open()
    assert (other_way.ours.quantity, other_way.theirs.quantity) == (9, 10)
    await service.settle(other_way.id, Conflicts.BROKER, desk.at)
    desk.trades = changed
    (result,) = await service.run()
    assert (result.conflicting, len(await book.conflicts.open())) == (1, 1)


async def test_a_fill_that_the_broker_takes_back_is_no_conflict_any_more(
    service: SyncService, desk: Desk, book: Book
) -> None:
    desk.trades = ROUND_TRIP
    await service.run()
    desk.trades = [ROUND_TRIP[0] | {"quantity": 9}, ROUND_TRIP[1]]
    await service.run()
    desk.trades = ROUND_TRIP[1:]
    (result,) = await service.run()
    assert (result.updated, await book.conflicts.open()) == (1, [])


@pytest.mark.parametrize(("rule", "gross"), [(Conflicts.BROKER, 100_050), (Conflicts.BOOK, 100_000)])
async def test_a_rule_settles_conflicts_without_asking(
    desk: Desk, book: Book, broker: ZerodhaSession, rule: Conflicts, gross: int
) -> None:
    target = SyncTarget(A, broker, desk, plan=SyncPlan(A, conflicts=rule))
    service = service_of(desk, book, target)
    desk.trades = ROUND_TRIP
    await service.run()
    desk.trades = [ROUND_TRIP[0] | {"average_price": 999.95}, ROUND_TRIP[1]]
    for _ in range(2):
        (result,) = await service.run()
        assert result.conflicting == 0
    assert await book.conflicts.open() == []
    assert desk.told(Noticed) == []
    (trade,) = await trades_of(book)
    assert trade.gross == gross


def service_of(desk: Desk, book: Book, *targets: SyncTarget) -> SyncService:
    return SyncService(
        book, charge_table(), lambda: targets, desk.events.append, desk.on_dead, desk.on_result, desk.sleep
    )


# -- what a fill is ----------------------------------------------------------------------------------------------------


async def test_equal_trade_ids_on_two_days_two_exchanges_and_two_sides_are_four_fills(
    service: SyncService, desk: Desk, book: Book
) -> None:
    desk.trades = [
        trade_row(1, order_id="1"),
        trade_row(1, order_id="2", transaction_type="SELL"),  # a self-match has one trade id for both sides
        trade_row(1, order_id="3", exchange="BSE"),
    ]
    (result,) = await service.run()
    assert result.created == 3
    desk.at += 3 * 24 * HOUR
    stamp = "2026-11-23 09:16:01"
    desk.trades = [trade_row(1, order_id="1", fill_timestamp=stamp, exchange_timestamp=stamp)]
    (result,) = await service.run()
    assert result.created == 1
    assert len(await book.fills.all(A)) == 4


async def test_late_fills_belong_to_the_day_on_which_they_were_done(
    service: SyncService, desk: Desk, book: Book
) -> None:
    late = [
        trade_row(1, exchange="NFO", tradingsymbol="NIFTY26NOVFUT", fill_timestamp=f"{DAY} 15:38:02"),
        trade_row(2, exchange="MCX", tradingsymbol="GOLD26DECFUT", fill_timestamp=f"{DAY} 23:20:41"),
    ]
    desk.trades = late
    desk.at += 12 * HOUR + HOUR // 2  # half past midnight: the list is still yesterday's
    assert ist_date(desk.at) == date(2026, 11, 21)
    (result,) = await service.run()
    assert result.created == 2
    assert {fill.id.trade_date for fill in await book.fills.all(A)} == {DAY}
    desk.trades = []  # and in the morning it is empty: nothing is taken back
    desk.at += 8 * HOUR
    (result,) = await service.run()
    assert (result.updated, len(await book.fills.all(A))) == (0, 2)


async def test_a_clock_that_is_wrong_takes_no_fill_away(desk: Desk, book: Book, broker: ZerodhaSession) -> None:
    """Ours shows yesterday: an empty list of today is not an empty list of yesterday."""
    right = desk.at + 24 * HOUR
    service = service_of(desk, book, SyncTarget(A, broker, desk, broker_time=lambda: right))
    desk.trades = ROUND_TRIP
    await service.run()
    desk.trades = []
    (result,) = await service.run()
    assert (result.step, result.updated, len(await book.fills.all(A))) == (SyncStep.COMPLETED, 0, 2)


async def test_fills_that_arrive_while_the_sync_reads_are_there_after_the_next_one(
    service: SyncService, desk: Desk, book: Book
) -> None:
    desk.trades = ROUND_TRIP[:1]

    async def another() -> None:
        desk.trades = ROUND_TRIP

    desk.on_saving = another
    await service.run()
    desk.on_saving = None
    await service.run()
    assert len(await book.fills.all(A)) == 2


async def test_a_day_without_trades_is_a_day_with_a_sync(service: SyncService, book: Book) -> None:
    (result,) = await service.run()
    assert (result.step, result.fetched) == (SyncStep.COMPLETED, 0)
    assert [day.day for day in await book.sync_days.open()] == [DAY]  # at noon: its closing sync is to come


# -- days and the past -------------------------------------------------------------------------------------------------


def scheduler_of(desk: Desk, book: Book, service: SyncService, *targets: SyncTarget, since: str = DAY) -> Scheduler:
    return Scheduler(
        book, service, lambda: targets, lambda _: date.fromisoformat(since), lambda _: None, sleep=desk.sleep
    )


async def test_a_trading_day_without_closing_sync_stays_flagged(desk: Desk, book: Book, broker: ZerodhaSession) -> None:
    target = SyncTarget(A, broker, desk, ZERODHA, calendar=AlwaysOpen())
    service = service_of(desk, book, target)
    scheduler = scheduler_of(desk, book, service, target, since="2026-11-18")
    await scheduler.look(target)
    await scheduler.settled()
    assert [r.trigger for r in await book.sync_log.recent()] == ["scheduled"]
    desk.at += 12 * HOUR + HOUR // 2
    await scheduler.look(target)
    await scheduler.settled()
    closing = (await book.sync_log.recent())[0]
    assert (closing.trigger, closing.step) == ("closing", SyncStep.COMPLETED)
    assert [day.day for day in await book.sync_days.open()] == ["2026-11-18", "2026-11-19"]
    assert await book.sync_days.is_closed(A, DAY)


async def test_accounts_without_a_login_are_skipped_once_a_day_and_synced_when_somebody_logs_in(
    desk: Desk, book: Book, broker: ZerodhaSession
) -> None:
    out = SyncTarget(A, None, desk, ZERODHA)
    targets = [out]
    service = SyncService(book, charge_table(), lambda: targets, desk.events.append, desk.on_dead, sleep=desk.sleep)
    scheduler = Scheduler(book, service, lambda: targets, lambda _: date(2026, 11, 20), lambda _: None)
    for _ in range(3):
        await scheduler.look(out)
        await scheduler.settled()
        desk.at += HOUR
    assert [r.step for r in await book.sync_log.recent()] == [SyncStep.SKIPPED]
    targets[0] = replace(out, broker=broker)
    await scheduler.look(targets[0])
    await scheduler.settled()
    assert [r.step for r in await book.sync_log.recent()] == [SyncStep.COMPLETED, SyncStep.SKIPPED]


async def test_an_earlier_range_is_refused_in_words_where_the_broker_keeps_today_only(
    desk: Desk, book: Book, broker: ZerodhaSession
) -> None:
    target = SyncTarget(A, broker, desk, ZERODHA)
    service = service_of(desk, book, target)
    with pytest.raises(Denied, match="trades of today only") as refused:
        await service.run(A, dates=Dates(date(2026, 11, 2), date(2026, 11, 6)))
    assert "Console" in refused.value.next_step
    with pytest.raises(Denied, match="future"):
        await service.run(A, dates=Dates(date(2026, 12, 2), date(2026, 12, 6)))
    desk.trades = ROUND_TRIP
    (result,) = await service.run(A, dates=Dates(date(2026, 11, 20), date(2026, 11, 20)))
    assert (result.step, result.created) == (SyncStep.COMPLETED, 2)


@dataclass
class Past:
    """A broker with history, and its sync."""

    broker: HistoryFake
    target: SyncTarget
    service: SyncService


@pytest.fixture
def past(desk: Desk, book: Book) -> Past:
    broker = HistoryFake(U)
    target = SyncTarget(U, broker, desk, with_history(ZERODHA, 400))
    return Past(broker, target, service_of(desk, book, target))


async def test_a_range_is_read_page_by_page_and_a_second_time_changes_nothing(past: Past, book: Book) -> None:
    past.broker.days = {f"2026-11-{n:02}": [past_fill(U, f"2026-11-{n:02}", k) for k in range(4)] for n in (2, 3, 4)}
    dates = Dates(date(2026, 11, 2), date(2026, 11, 3))
    (result,) = await past.service.run(dates=dates)
    assert (result.step, result.created, result.operation) == (SyncStep.COMPLETED, 8, "2026-11-02..2026-11-03")
    assert [page for _, _, page in past.broker.asked] == [1, 2, 3]
    (again,) = await past.service.run(dates=dates)
    assert (again.created, again.updated, again.skipped) == (0, 0, 8)
    assert len(await book.fills.all(U)) == 8


async def test_pages_that_repeat_or_move_are_read_again_and_never_taken_for_the_whole(past: Past, book: Book) -> None:
    fills = [past_fill(U, "2026-11-02", k) for k in range(5)]
    past.broker.days = {"2026-11-02": fills}
    first = past.broker.page_of(fills, 1)
    dates = Dates(date(2026, 11, 2), date(2026, 11, 2))
    past.broker.wrong = [first, first]  # the second page is the first one again
    (result,) = await past.service.run(dates=dates)
    assert (result.step, result.created) == (SyncStep.COMPLETED, 5)
    past.broker.wrong = [first, first] * 3
    (result,) = await past.service.run(dates=dates)
    assert (result.step, result.error_class) == (SyncStep.FAILED, ErrorClass.ANSWER)
    assert "do not fit together" in result.error
    assert len(await book.fills.all(U)) == 5


async def test_pages_that_moved_by_one_fill_are_not_the_whole_though_their_sum_is_right(past: Past, book: Book) -> None:
    fills = [past_fill(U, "2026-11-02", k) for k in range(6)]
    past.broker.days = {"2026-11-02": fills}
    dates = Dates(date(2026, 11, 2), date(2026, 11, 2))
    # One that came in at the front pushed the third to the second page: the sixth is passed over.
    moved = past.broker.page_of([fills[0], fills[1], fills[2], fills[2], fills[3], fills[4]], 2)
    past.broker.wrong = [past.broker.page_of(fills, 1), moved]
    (result,) = await past.service.run(dates=dates)
    assert (result.step, result.created) == (SyncStep.COMPLETED, 6)


async def test_an_empty_page_of_a_range_that_has_fills_takes_none_of_them_back(past: Past, book: Book) -> None:
    past.broker.days = {"2026-11-02": [past_fill(U, "2026-11-02", k) for k in range(5)]}
    dates = Dates(date(2026, 11, 2), date(2026, 11, 2))
    await past.service.run(dates=dates)
    past.broker.wrong = [FillPage((), 1, 0, 5)] * 3
    (result,) = await past.service.run(dates=dates)
    assert (result.step, result.error_class) == (SyncStep.FAILED, ErrorClass.ANSWER)
    assert len(await book.fills.all(U)) == 5


async def test_a_range_over_a_year_s_end_and_a_holiday_belongs_to_its_days(past: Past, book: Book) -> None:
    """1 April begins another financial year; on 26 January nobody trades."""
    days = ("2026-01-23", "2026-01-27", "2026-03-31", "2026-04-01")
    past.broker.days = {day: [past_fill(U, day, 1), past_fill(U, day, 2)] for day in days}
    (result,) = await past.service.run(dates=Dates(date(2026, 1, 23), date(2026, 4, 1)))
    assert (result.step, result.created) == (SyncStep.COMPLETED, 8)
    assert sorted({fill.id.trade_date for fill in await book.fills.all(U)}) == list(days)


async def test_a_fill_of_today_is_found_again_in_a_history_that_knows_less(past: Past, book: Book) -> None:
    today = past_fill(U, DAY, 1, order="26112000042")
    past.broker.today = [today]
    await past.service.run()
    later = replace(past_fill(U, DAY, 1), filled_at=5)
    past.broker.days = {DAY: [later, past_fill(U, DAY, 1, side=Side.SELL)], "2026-11-19": []}
    (result,) = await past.service.run(dates=Dates(date(2026, 11, 19), date(2026, 11, 20)))
    assert (result.created, result.skipped, result.updated, result.conflicting) == (1, 1, 0, 0)
    assert today in await book.fills.all(U)


async def test_a_fill_that_a_history_no_longer_tells_of_is_withdrawn_and_counts_again_when_it_returns(
    past: Past, desk: Desk, book: Book
) -> None:
    fills = {day: [past_fill(U, day, 1), past_fill(U, day, 2)] for day in ("2026-11-17", "2026-11-18", "2026-11-19")}
    dates = Dates(date(2026, 11, 16), date(2026, 11, 20))
    past.broker.days = dict(fills)
    await past.service.run(dates=dates)
    past.broker.days = {day: rows[:1] for day, rows in fills.items()}
    past.broker.days["2026-11-17"] = []
    (result,) = await past.service.run(dates=dates)
    # Of the 19th, yesterday, the history may not have everything yet.
    assert (result.step, result.updated, result.skipped) == (SyncStep.COMPLETED, 3, 2)
    assert {fill.id for fill in await book.fills.all(U)} == {
        f.id for f in (fills["2026-11-18"][0], *fills["2026-11-19"])
    }
    assert await book.fills.raw(fills["2026-11-17"][0].id)  # marked, not deleted
    past.broker.days = dict(fills)
    past.broker.order_known = True
    await past.service.run(dates=dates)
    assert len(await book.fills.all(U)) == 6


async def test_a_range_does_not_take_back_what_a_file_brought(past: Past, desk: Desk, book: Book) -> None:
    fill = replace(past_fill(U, "2026-11-17", 9), source=Source.FILE)
    await past.service.take_file(U, [PastFill(fill, "{}", True, True, True)])
    (result,) = await past.service.run(dates=Dates(date(2026, 11, 16), date(2026, 11, 18)))
    assert (result.step, result.updated) == (SyncStep.COMPLETED, 0)
    assert await book.fills.all(U) == [fill]


async def test_a_tradebook_file_fills_the_days_that_the_broker_no_longer_tells_of(
    desk: Desk, book: Book, broker: ZerodhaSession
) -> None:
    target = SyncTarget(A, broker, desk, ZERODHA)
    service = service_of(desk, book, target)
    desk.trades = ROUND_TRIP
    await service.run()
    (bought, _) = await book.fills.all(A)
    await book.sync_days.note(A, ["2026-11-18", "2026-11-19"])
    lines = [
        "symbol,isin,trade_date,exchange,segment,trade_type,quantity,price,trade_id,order_id,order_execution_time",
        "INFY,INE009A01021,2026-11-19,NSE,EQ,buy,10.000000,1500.050000,7,70,2026-11-19T09:20:00",
        f"INFY,INE009A01021,{DAY},NSE,EQ,buy,10.000000,1000.000000,1,1,{DAY}T09:16:01",
    ]
    file = read_tradebook("\n".join(lines), A)
    result = await service.take_file(A, file)
    assert (result.step, result.trigger, result.created, result.skipped) == (SyncStep.COMPLETED, "file import", 1, 1)
    assert bought in await book.fills.all(A)  # what today's sync knew better stands: its product, its source
    assert [day.day for day in await book.sync_days.open(before=DAY)] == ["2026-11-18"]
    again = await service.take_file(A, file)
    assert (again.created, again.updated, again.skipped) == (0, 0, 2)
    assert {fill.source for fill in await book.fills.all(A)} == {Source.SYNC, Source.FILE}


async def test_a_backfill_goes_on_where_it_was_interrupted(past: Past, desk: Desk, book: Book) -> None:
    days = [f"2026-{month:02}-{day:02}" for month in (10, 11) for day in (1, 8, 15)]
    past.broker.days = {day: [past_fill(U, day, n)] for n, day in enumerate(days)}
    scheduler = Scheduler(
        book,
        past.service,
        lambda: [past.target],
        lambda _: None,
        lambda _: None,
        sleep=lambda s: asyncio.sleep(s // 60),
    )
    past.broker.wrong = [past.broker.page_of([past_fill(U, "2026-11-15", 5)], 1), SessionExpired("dead")]
    await scheduler.backfill(past.target, date(2026, 9, 30))

    async def interrupted() -> bool:
        return any(job.error for job in await book.backfills.load())

    await eventually(interrupted)
    (job,) = await book.backfills.load()
    assert (job.next_day, job.fills) == ("2026-11-12", 1)
    await scheduler.stop()

    async def done() -> bool:
        return all(job.done for job in await book.backfills.load())

    past.broker.asked.clear()
    again = scheduler_of(desk, book, past.service, past.target)  # the next start of the program
    await again.look(past.target)
    await eventually(done)
    assert past.broker.asked[0][:2] == ("2026-11-06", "2026-11-12")  # nothing that was read is read again
    assert {fill.id.trade_date for fill in await book.fills.all(U)} == set(days)
    await again.stop()


async def test_a_backfill_that_was_stopped_stays_stopped_and_keeps_what_it_had(
    past: Past, desk: Desk, book: Book
) -> None:
    past.broker.days = {"2026-11-15": [past_fill(U, "2026-11-15", 1)], "2026-10-01": [past_fill(U, "2026-10-01", 2)]}
    scheduler = Scheduler(
        book, past.service, lambda: [past.target], lambda _: None, lambda _: None, sleep=lambda _: asyncio.sleep(3600)
    )
    with pytest.raises(Denied, match="not being fetched"):
        await scheduler.stop_backfill(U)
    await scheduler.backfill(past.target, date(2026, 9, 1))

    async def one_week() -> bool:
        return any(job.fills for job in await book.backfills.load())

    await eventually(one_week)
    await scheduler.stop_backfill(U)
    (job,) = await book.backfills.load()
    assert job.done
    assert job.since == "2026-11-13"
    again = scheduler_of(desk, book, past.service, past.target)  # the next start of the program
    past.broker.asked.clear()
    await again.look(past.target)
    await again.settled()
    await again.stop()
    assert not [asked for asked in past.broker.asked if asked[0] < "2026-11"]
    assert [fill.id.trade_date for fill in await book.fills.all(U)] == ["2026-11-15"]


async def test_a_scheduled_sync_fills_the_days_that_were_missed(past: Past, desk: Desk, book: Book) -> None:
    past.broker.days = {"2026-11-18": [past_fill(U, "2026-11-18", 1)], "2026-11-19": []}
    scheduler = scheduler_of(desk, book, past.service, past.target, since="2026-11-17")
    await scheduler.look(past.target)
    await scheduler.settled()
    # Of yesterday the history may not have everything yet: it stays flagged for a day.
    assert [day.day for day in await book.sync_days.open(before=DAY)] == ["2026-11-19"]
    assert [fill.id.trade_date for fill in await book.fills.all(U)] == ["2026-11-18"]
    assert [r.operation for r in await book.sync_log.recent()] == ["today", "2026-11-17..2026-11-19"]
    past.broker.days["2026-11-19"] = [past_fill(U, "2026-11-19", 2)]  # that broker was late
    desk.at += 24 * HOUR
    await scheduler.look(past.target)
    await scheduler.settled()
    assert [day.day for day in await book.sync_days.open(before=DAY)] == []
    assert [fill.id.trade_date for fill in await book.fills.all(U)] == ["2026-11-18", "2026-11-19"]


async def test_a_flagged_day_that_the_broker_no_longer_keeps_holds_up_no_sync(desk: Desk, book: Book) -> None:
    broker = HistoryFake(U)
    target = SyncTarget(U, broker, desk, with_history(ZERODHA, 30))
    service = service_of(desk, book, target)
    await book.sync_days.note(U, ["2026-10-05", "2026-11-17"])
    scheduler = scheduler_of(desk, book, service, target)
    broker.today = [past_fill(U, DAY, 1, order="1")]
    await scheduler.look(target)
    await scheduler.settled()
    assert [r.operation for r in await book.sync_log.recent()] == ["today", "2026-11-17..2026-11-17"]
    assert len(await book.fills.all(U)) == 1
    assert [day.day for day in await book.sync_days.open(before=DAY)] == ["2026-10-05"]  # for the trader to see to


async def test_missed_days_that_cannot_be_told_yet_are_not_asked_for_each_time(
    past: Past, desk: Desk, book: Book
) -> None:
    scheduler = scheduler_of(desk, book, past.service, past.target, since="2026-11-19")
    for _ in range(5):
        await scheduler.look(past.target)
        await scheduler.settled()
        desk.at += HOUR // 4
    assert len([r for r in await book.sync_log.recent() if r.operation == "today"]) == 5
    assert len(past.broker.asked) == 2  # at once, and an hour later


async def test_missed_days_that_the_broker_refuses_are_asked_for_once_a_day(
    past: Past, desk: Desk, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_start: date, _end: date, _page: int = 1) -> FillPage:
        raise Rejected("The broker refused.", detail="no history for this account")

    monkeypatch.setattr(past.broker, "fills_between", refused)
    scheduler = scheduler_of(desk, book, past.service, past.target, since="2026-11-19")
    for _ in range(6):
        await scheduler.look(past.target)
        await scheduler.settled()
        desk.at += HOUR // 2
    runs = await book.sync_log.recent()
    assert [run.step for run in runs if run.operation == "today"] == [SyncStep.COMPLETED] * 6
    (range_,) = [run for run in runs if run.operation != "today"]
    assert (range_.step, range_.error_class) == (SyncStep.FAILED, ErrorClass.CLIENT)
    assert "no history for this account" in range_.error


async def test_a_day_that_was_closed_before_the_account_s_last_market_is_opened_again(
    desk: Desk, book: Book, broker: ZerodhaSession
) -> None:
    """Shares close in the afternoon; in the evening the account buys gold for the first time."""
    calendar = TradingCalendar.parse(
        *(path.read_text(encoding="utf-8") for path in sorted(resource("calendar").glob("*.json")))
    )
    plan = SyncPlan(A)
    targets = [SyncTarget(A, broker, desk, ZERODHA, plan, calendar)]
    service = SyncService(book, charge_table(), lambda: targets, desk.events.append, desk.on_dead, desk.on_result)
    scheduler = Scheduler(book, service, lambda: targets, lambda _: date(2026, 11, 20), lambda _: None)

    async def at(hour: int, minute: int) -> None:
        desk.at = from_datetime(datetime(2026, 11, 20, tzinfo=IST)) + hour * HOUR + minute * HOUR // 60
        await scheduler.look(targets[0])
        await scheduler.settled()
        for result in desk.results:
            scheduler.ran(result)

    await at(16, 20)
    assert await book.sync_days.is_closed(A, DAY)
    await at(20, 0)
    assert len(await book.sync_log.recent()) == 1  # nothing is due any more
    gold = trade_row(2, exchange="MCX", tradingsymbol="GOLD26DECFUT", fill_timestamp=f"{DAY} 23:20:41", product="NRML")
    desk.trades = [gold]
    targets[0] = replace(targets[0], plan=replace(plan, on=False, segments=(*plan.segments, Segment.COMMODITY)))
    await at(20, 1)
    assert not await book.sync_days.is_closed(A, DAY)
    await at(24, 11)
    assert await book.sync_days.is_closed(A, DAY)
    assert [fill.id.trade_date for fill in await book.fills.all(A)] == [DAY]
    assert [r.trigger for r in await book.sync_log.recent()] == ["closing", "closing"]


# -- failed jobs and alerts --------------------------------------------------------------------------------------------


async def test_a_job_that_keeps_failing_is_listed_tried_again_and_forgotten_when_it_works(
    past: Past, desk: Desk, book: Book
) -> None:
    past.broker.days = {"2026-11-02": [past_fill(U, "2026-11-02", 1)]}
    dates = Dates(date(2026, 11, 2), date(2026, 11, 2))
    for _ in range(4):
        past.broker.wrong = [BadAnswer("Something else came.")]
        await past.service.run(dates=dates)
    (job,) = await book.failed_jobs.listed()
    assert (job.account, job.job, job.tries, job.error_class) == (U, "2026-11-02..2026-11-02", 4, ErrorClass.ANSWER)
    assert [notice.title for notice in desk.told(Noticed)] == ["A sync keeps failing"]
    (result,) = await past.service.retry(job.id)
    assert (result.trigger, result.step, result.created) == ("retry", SyncStep.COMPLETED, 1)
    assert await book.failed_jobs.listed() == []
    with pytest.raises(Denied, match="no longer"):
        await past.service.retry(job.id)


async def test_a_read_that_times_out_is_tried_three_times(past: Past, desk: Desk) -> None:
    dates = Dates(date(2026, 11, 2), date(2026, 11, 2))
    past.broker.wrong = [Unreachable("gone")] * 2
    (result,) = await past.service.run(dates=dates)
    assert (result.step, result.retries) == (SyncStep.COMPLETED, 2)
    assert len(desk.pauses) == 2


def test_alerts_say_what_the_figures_give_reason_for() -> None:
    calm = SyncFigures(40, 4, 10, took_ms=9, refreshes_failed=3)
    assert alerts_of(SyncFigures(9, 5), calm, 60_000) == ()
    names = [alert.name for alert in alerts_of(SyncFigures(9, 6), replace(calm, failed=5, refreshes_failed=4), 60_001)]
    assert names == ["errors", "share", "slow", "refresh"]
    assert alerts_of(SyncFigures(), SyncFigures(4, 4), 0) == ()  # four runs are no statistics


async def test_an_alert_is_raised_once_until_its_reason_is_gone(service: SyncService, desk: Desk, book: Book) -> None:
    def alarms() -> list[str]:
        return [notice.title for notice in desk.told(Noticed) if notice.level is Level.ALARM]

    for _ in range(7):
        desk.at += HOUR // 60
        desk.broken["/trades"] = [failure("403 Forbidden", "InputException")]
        await service.run()
    assert alarms() == ["Many syncs fail"]
    assert [alert.name for alert in service.alerts] == ["errors"]
    desk.at += 2 * HOUR
    await service.run()
    assert service.alerts == ()


async def test_logins_that_keep_failing_are_an_alert(service: SyncService, desk: Desk) -> None:
    for _ in range(4):
        await service.refreshed(A, desk.at, good=False)
    assert [notice.title for notice in desk.told(Noticed)] == ["Logins keep failing"]
