"""Orders of the trader's hand: journalled first, sent once, looked up when nobody answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.domain.errors import (
    Denied,
    NeverArrived,
    OutcomeUnknown,
    Rejected,
    SessionExpired,
    StorageError,
    Unreachable,
)
from app.domain.events import Noticed, OrderUnresolved
from app.domain.ids import BrokerOrderId, OrderId, Tag
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.intent import Intent
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Purpose, Side
from app.domain.portfolio import Position, PositionKey
from app.engine.entry_bar import NoEntries
from app.engine.limits import check_order
from app.engine.orders import OrderManager
from app.engine.rules import ExitRules, InstrumentClass, class_of, limit_pricer
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, OPTION, RULES, LostAfter, Rig, refusal

TEXT = RULES.read_text(encoding="utf-8")
LIMIT = OrderRequest(
    ACCOUNT, INFY.id, Side.BUY, 10, Product.MIS, OrderKind.LIMIT, price=98_000, tag=Tag("M0123456789ABC")
)
BUY = OrderRequest(ACCOUNT, INFY.id, Side.BUY, 10, Product.MIS, OrderKind.MARKET)


def play(script: Callable[[Rig, OrderManager], Awaitable[None]]) -> Rig:
    async def scene() -> Rig:
        rig = Rig()
        await script(rig, rig.orders)
        await settle()
        await rig.tasks.stop()
        return rig

    return run(scene())


def test_an_order_is_on_disk_before_it_is_sent_and_resolved_after() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        number = await orders.place(BUY)
        assert [str(request.tag) for request in (*rig.journal.intents, *rig.broker.placed)] == [number, number]
        await orders.log.flush()
        assert rig.journal.statuses(number) == [OrderStatus.OPEN, OrderStatus.FILLED]

    play(script)


@pytest.mark.parametrize(
    ("failure", "status"), [(refusal(), OrderStatus.REJECTED), (Unreachable("down"), OrderStatus.DENIED)]
)
def test_a_refused_order_is_resolved_and_raised(failure: Exception, status: OrderStatus) -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.answers = [failure]
        with pytest.raises(type(failure)):
            await orders.place(BUY)
        await orders.log.flush()
        assert [news.status for news in rig.journal.news] == [status]

    play(script)


def test_a_position_above_the_freeze_quantity_is_closed_in_slices() -> None:
    async def scene() -> None:
        rules = ExitRules.parse(TEXT, freeze="exchange,underlying,since,quantity\nNSE,*,2016-01-01,50\n")
        rig = Rig(rules=rules)
        rig.broker.freeze = 50
        rig.broker.hold(KEY, 120)
        await rig.state.read_positions()
        await rig.orders.square_off(KEY)
        assert ([request.quantity for request in rig.exits], rig.broker.held[KEY]) == ([50, 50, 20], 0)
        await rig.tasks.stop()

    run(scene())


def test_a_position_whose_stop_works_in_the_closing_auction_is_not_closed_a_second_time() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        await rig.guard()
        rig.broker.answers = ["open", "open"]
        rig.tick(98_900)
        await asyncio.sleep(1)
        rig.around.closed = {INFY.id}
        with pytest.raises(Denied, match="of a stop is closing this position"):
            await orders.square_off(KEY)
        rig.broker.finish(BrokerOrderId("1000"), OrderStatus.CANCELLED)
        await orders.square_off(KEY)

    play(script)


def test_an_order_that_the_broker_takes_and_turns_down_afterwards_is_said_aloud() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.answers = ["rejected", "rejected", "resting"]
        await orders.place(BUY)
        await orders.place(replace(BUY, quantity=20), intent="a strategy's buy")  # which says so itself
        await orders.place(replace(BUY, quantity=30))
        rig.broker.finish(list(rig.broker.book)[-1], OrderStatus.REJECTED)
        told = [event.cause for event in rig.events if isinstance(event, Noticed) and "refused" in event.title]
        assert [words.partition(" NSE:")[0] for words in told] == ["Buy 10", "Buy 30"]

    play(script)


def test_an_unanswered_order_that_exists_is_found_by_its_tag_and_not_sent_again() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.state = None
        rig.broker.answers = ["lost"]
        number = await orders.place(BUY)
        assert any(isinstance(event, OrderUnresolved) for event in rig.events)
        await orders.log.flush()
        assert rig.journal.statuses(number) == [OrderStatus.UNKNOWN, OrderStatus.FILLED]

    assert len(play(script).broker.placed) == 1


def test_an_unanswered_order_that_is_absent_twice_was_never_sent() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.broker.failures = {"orders": [Unreachable("down")]}
        with pytest.raises(Denied, match="did not reach"):
            await orders.place(BUY)

    play(script)


def test_an_unanswered_order_that_cannot_be_looked_up_stays_unknown() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.broker.failures = {"orders": [Unreachable("down")] * 50}
        with pytest.raises(OutcomeUnknown):
            await orders.place(BUY)
        await orders.log.flush()
        assert rig.journal.news[-1].status is OrderStatus.UNKNOWN

    play(script)


def test_the_same_intent_is_not_sent_again_while_the_first_is_open() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.broker.failures = {"orders": [Unreachable("down")] * 30}
        first = asyncio.ensure_future(orders.place(BUY))
        await asyncio.sleep(0.5)
        with pytest.raises(Denied, match="on its way"):
            await orders.place(BUY)
        await orders.place(replace(BUY, quantity=11))  # another intent
        with pytest.raises(OutcomeUnknown):
            await first
        with pytest.raises(Denied, match="on its way"):  # no timer lets it go
            await orders.place(BUY)
        (row,) = [o for o in rig.state.unlisted.values() if o.quantity == BUY.quantity]
        assert (row.status, "looked up" in str(row.status_text)) == (OrderStatus.UNKNOWN, True)
        rig.broker.failures = {}
        await asyncio.sleep(10)
        assert rig.state.unlisted[row.id or OrderId("")].status is OrderStatus.DENIED
        await orders.place(BUY)

    play(script)


def test_a_named_intent_pauses_a_strategys_next_entry() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.answers = [OutcomeUnknown("lost")]
        first = asyncio.ensure_future(orders.place(BUY, purpose=Purpose.ENTRY, intent="opening range"))
        await asyncio.sleep(0.5)
        with pytest.raises(Denied, match="on its way"):
            await orders.place(replace(BUY, quantity=20), purpose=Purpose.ENTRY, intent="opening range")
        await orders.place(BUY, purpose=Purpose.ENTRY, intent="another")
        with pytest.raises(NeverArrived):
            await first

    play(script)


def test_who_waits_in_the_queue_is_shown_with_its_place() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        orders.wire.queue.count(10)
        tasks = [asyncio.ensure_future(orders.place(replace(BUY, quantity=n))) for n in (1, 2, 3)]
        await asyncio.sleep(0.5)
        words = [str(row.status_text) for row in rig.state.unlisted.values()]
        assert words == [
            "Waits for its turn: it is the next.",
            "Waits for its turn: 1 order is ahead of it.",
            "Waits for its turn: 2 orders are ahead of it.",
        ]
        assert rig.broker.placed == []
        await asyncio.gather(*tasks)
        assert rig.state.unlisted == {}

    play(script)


def test_the_hand_takes_one_back_that_waits_and_may_send_it_again() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        orders.wire.queue.count(10)
        waiting = asyncio.ensure_future(orders.place(BUY))
        await asyncio.sleep(0.5)
        (row,) = rig.state.unlisted.values()
        assert orders.wire.queue.take_back(row.id or OrderId(""))
        with pytest.raises(Denied, match="Taken back before it was sent"):
            await waiting
        assert rig.state.unlisted[row.id or OrderId("")].status is OrderStatus.DENIED
        assert rig.broker.placed == []
        await orders.place(BUY)
        assert len(rig.broker.placed) == 1

    play(script)


def test_an_order_taken_back_from_the_queue_was_never_sent() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        orders.wire.queue.count(10)
        waiting = asyncio.ensure_future(orders.place(BUY))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.wait([waiting])
        (row,) = rig.state.unlisted.values()
        assert (row.status, row.status_text) == (OrderStatus.DENIED, "Taken back before it was sent.")
        await asyncio.sleep(2)
        assert rig.broker.placed == []

    play(script)


def test_a_journal_that_cannot_be_written_holds_back_all_but_exits() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.journal.broken = True
        rig.broker.held = {KEY: 10}
        with pytest.raises(StorageError):
            await orders.place(BUY)
        assert rig.broker.placed == []
        await orders.square_off(KEY)
        assert [request.side for request in rig.broker.placed] == [Side.SELL]
        assert any("journal cannot be written" in e.title for e in rig.events if isinstance(e, Noticed))

    play(script)


@pytest.mark.parametrize("lost", [OutcomeUnknown("lost"), LostAfter("lost")])
def test_a_change_that_nobody_answered_is_read_and_never_repeated(lost: OutcomeUnknown) -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        number = rig.broker.accept(LIMIT).broker_order_id
        rig.broker.failures = {"modify": [lost]}
        if isinstance(lost, LostAfter):
            await orders.modify(number, price=99_000)
        else:
            with pytest.raises(Denied, match="did not reach the broker; the order stands as it was"):
                await orders.modify(number, price=99_000)
        assert len(rig.broker.priced) == 1
        assert rig.state.orders[number].changes == 1

    play(script)


@pytest.mark.parametrize("lost", [OutcomeUnknown("lost"), LostAfter("lost")])
def test_a_cancel_that_nobody_answered_is_read_and_never_repeated(lost: OutcomeUnknown) -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        number = rig.broker.accept(LIMIT).broker_order_id
        rig.broker.state = None if isinstance(lost, LostAfter) else rig.state
        rig.broker.failures = {"cancel": [lost]}
        asked = asyncio.ensure_future(orders.cancel(number))
        await settle()
        assert rig.state.orders[number].status is OrderStatus.CANCEL_PENDING
        if isinstance(lost, LostAfter):
            await asked
            assert rig.state.orders[number].status is OrderStatus.CANCELLED
        else:
            await asyncio.sleep(0.5)
            assert rig.state.orders[number].status is OrderStatus.CANCEL_PENDING, "one reading is not enough"
            with pytest.raises(Denied, match="the order still stands"):
                await asked
            assert rig.state.orders[number].status is OrderStatus.OPEN
        assert rig.broker.cancelled == [number]

    play(script)


def test_a_cancel_of_an_order_that_filled_meanwhile_says_so() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        number = rig.broker.accept(LIMIT).broker_order_id
        rig.broker.failures = {"cancel": [OutcomeUnknown("lost")]}
        asked = asyncio.ensure_future(orders.cancel(number))
        await settle()
        rig.broker.fill(number)
        with pytest.raises(Rejected, match="was filled before"):
            await asked

    play(script)


def test_of_25_changes_five_are_kept_for_exits() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        number = rig.broker.accept(LIMIT).broker_order_id
        for price in range(20):
            await orders.modify(number, price=90_000 + 5 * price)
        with pytest.raises(Denied, match="changed 20 times, and the broker allows 25; the last 5 are kept for exits"):
            await orders.modify(number, price=80_000)
        for price in range(5):
            await orders.modify(number, price=80_000 + 5 * price, purpose=Purpose.EXIT)
        with pytest.raises(Denied, match="changed 25 times"):
            await orders.modify(number, price=70_000, purpose=Purpose.EXIT)
        assert len(rig.broker.priced) == 25
        assert rig.state.orders[number].changes == 25

    play(script)


def test_no_rule_touches_an_order_from_elsewhere_and_the_hand_may() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        number = rig.broker.accept(replace(LIMIT, tag=None)).broker_order_id
        for purpose in (Purpose.EXIT, Purpose.ENTRY):
            with pytest.raises(Denied, match="placed elsewhere"):
                await orders.cancel(number, purpose=purpose)
            with pytest.raises(Denied, match="placed elsewhere"):
                await orders.modify(number, price=99_000, purpose=purpose)
        assert (rig.broker.cancelled, rig.broker.priced) == ([], [])
        await orders.cancel(number)

    play(script)


def test_a_position_that_is_being_closed_is_not_closed_twice() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.held = {KEY: 10}
        rig.broker.answers = ["open"]
        await orders.square_off(KEY)
        with pytest.raises(Denied, match="is closing this position already"):
            await orders.square_off(KEY)
        rig.broker.finish(next(iter(rig.broker.book)), OrderStatus.CANCELLED)
        await orders.square_off(KEY)

    play(script)


CALL = PositionKey(ACCOUNT, OPTION.id, Product.NRML)


def test_a_position_is_not_closed_twice_while_its_order_is_not_listed_yet() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.held = {KEY: 10}
        rig.broker.state = None
        rig.broker.answers = ["open"]
        rig.broker.failures = {"orders": [Unreachable("down")] * 30}
        await orders.square_off(KEY)
        with pytest.raises(Denied, match="An order is closing this position already"):
            await orders.square_off(KEY)
        await asyncio.sleep(25)
        assert rig.alarms == [], "a list that cannot be read misses no order"
        await asyncio.sleep(15)
        with pytest.raises(Denied, match="Order 1000 is closing"):
            await orders.square_off(KEY)
        assert len(rig.broker.placed) == 1

    play(script)


def test_a_position_whose_order_nobody_answered_is_not_closed_again_at_another_price() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.held = {CALL: 500}
        rig.last[OPTION.id] = 10_000
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.broker.failures = {"orders": [Unreachable("down")] * 30}
        with pytest.raises(OutcomeUnknown):
            await orders.square_off(CALL)
        rig.last[OPTION.id] = 9_000
        with pytest.raises(Denied, match="what became of it is not known yet"):
            await orders.square_off(CALL)
        rig.broker.failures = {}
        await asyncio.sleep(10)
        await orders.square_off(CALL)  # it never arrived

    assert len(play(script).broker.placed) == 2


def test_a_position_is_not_closed_twice_while_the_disk_is_busy() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.held = {CALL: 500}
        rig.last[OPTION.id] = 10_000
        rig.journal.gate = asyncio.Event()
        first = asyncio.ensure_future(orders.square_off(CALL))
        await asyncio.sleep(1)
        rig.last[OPTION.id] = 9_000
        with pytest.raises(Denied, match="on its way"):
            await orders.square_off(CALL)
        rig.journal.gate.set()
        await first

    assert len(play(script).broker.placed) == 1


def test_an_order_larger_than_before_is_an_entry() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        number = rig.broker.accept(LIMIT).broker_order_id
        await rig.state.read_positions()
        orders.bar.set(NoEntries.PAUSED, True)
        with pytest.raises(Denied, match="The account is paused"):
            await orders.modify(number, quantity=20)
        assert rig.broker.priced == []
        await orders.modify(number, quantity=5)
        await orders.modify(number, price=97_000)

    play(script)


@pytest.mark.parametrize("late", [False, True])
def test_an_order_that_is_told_that_the_session_is_dead_says_so_to_all(late: bool) -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        died: list[SessionExpired] = []
        rig.state.on_session_dead = died.append
        rig.broker.answers = [SessionExpired("The broker ended the session.")]
        placing = asyncio.ensure_future(orders.place(BUY))
        if late:
            await asyncio.sleep(0.005)
            rig.log_out()
            orders.attach(None)
        with pytest.raises(SessionExpired):
            await placing
        assert len(died) == (not late)

    play(script)


def test_two_orders_that_close_a_position_each_are_one_entry_too_many() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.hold(KEY, 10)
        await rig.state.read_positions()
        orders.bar.set(NoEntries.PAUSED, True)
        number = rig.broker.accept(replace(LIMIT, side=Side.SELL, quantity=6)).broker_order_id
        sell = replace(BUY, side=Side.SELL)
        for units in (10, 5):
            with pytest.raises(Denied, match="The account is paused"):
                await orders.place(replace(sell, quantity=units))
        with pytest.raises(Denied, match="The account is paused"):
            await orders.modify(number, quantity=11)
        await orders.modify(number, quantity=7)
        await orders.cancel(number)
        await orders.place(sell)
        assert rig.broker.held[KEY] == 0

    play(script)


def test_in_a_paused_account_a_stop_order_may_rest_beside_a_target() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        target = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 100, KEY.product, OrderKind.LIMIT, price=110_000)
        rig.broker.answers = ["open"]
        await orders.place(target)
        orders.bar.set(NoEntries.PAUSED, True)
        with pytest.raises(Denied, match="paused"):
            await orders.place(replace(target, price=111_000))
        stop = replace(target, kind=OrderKind.SL, price=94_000, trigger_price=95_000)
        await orders.place(stop)
        with pytest.raises(Denied, match="paused"):
            await orders.place(replace(stop, quantity=101))

    play(script)


def test_an_order_whose_end_is_not_known_may_have_closed_the_position_already() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.hold(KEY, 10)
        await rig.state.read_positions()
        orders.bar.set(NoEntries.PAUSED, True)
        rig.broker.answers = [OutcomeUnknown("Nobody answered.")]
        rig.broker.failures["orders"] = [Unreachable("down")] * 1_000
        sell = replace(BUY, side=Side.SELL)
        first = asyncio.ensure_future(orders.place(sell))
        await asyncio.sleep(1)
        with pytest.raises(Denied, match="The account is paused"):
            await orders.place(replace(sell, kind=OrderKind.LIMIT, price=98_000))
        first.cancel()

    play(script)


# -- after a restart -----------------------------------------------------------------------------------------------


def left_open(rig: Rig, *, days: int = 0, **known: Any) -> Intent:
    """An order of an earlier run, as the journal has it."""
    request = replace(LIMIT, tag=Tag("M00000000000AB"))
    since = rig.clock.now() - days * 86_400 * 10**9
    intent = Intent(OrderId("M00000000000AB"), Tag("M00000000000AB"), request, since, None, **known)
    rig.journal.unfinished = [intent]
    return intent


def test_an_order_sent_in_the_last_moment_of_a_run_is_found_and_not_sent_again() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        intent = left_open(rig)
        rig.broker.state = None
        rig.broker.accept(intent.request)
        await orders.recover()
        assert rig.state.unlisted[intent.order_id].status is OrderStatus.UNKNOWN
        with pytest.raises(Denied, match="on its way"):
            await orders.place(replace(LIMIT, tag=None))
        await asyncio.sleep(1)
        assert [order.status for order in rig.state.orders.values()] == [OrderStatus.OPEN]
        assert rig.state.unlisted == {}
        await orders.log.flush()
        assert rig.journal.statuses(intent.tag) == [OrderStatus.UNKNOWN, OrderStatus.OPEN]

    assert play(script).broker.placed == []


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [(0, OrderStatus.DENIED, "did not reach the broker"), (1, OrderStatus.EXPIRED, "of a new day")],
)
def test_an_order_of_before_that_is_nowhere_ends_by_rule(days: int, status: OrderStatus, words: str) -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        intent = left_open(rig, days=days)
        await orders.recover()
        await asyncio.sleep(5)
        row = rig.state.unlisted[intent.order_id]
        assert (row.status, words in str(row.status_text)) == (status, True)

    assert play(script).broker.placed == []


def test_what_was_open_yesterday_has_expired_and_its_changes_still_count_today() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        number = BrokerOrderId("77")
        left_open(rig, days=1, status=OrderStatus.OPEN, broker_order_id=number, changes=7)
        await orders.recover()
        assert (rig.state.orders[number].status, rig.state.orders[number].changes) == (OrderStatus.OPEN, 7)
        for _ in range(2):
            await rig.state.read_orders()
            await asyncio.sleep(1)
        assert rig.state.orders[number].status is OrderStatus.EXPIRED

    play(script)


def test_an_order_of_before_that_closes_a_position_is_not_doubled() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.held = {KEY: 10}
        request = replace(LIMIT, side=Side.SELL, tag=Tag("M00000000000AB"))
        number = rig.broker.accept(request).broker_order_id
        known = (OrderId("M00000000000AB"), Tag("M00000000000AB"), request, rig.clock.now(), None, Purpose.EXIT)
        rig.journal.unfinished = [Intent(*known, OrderStatus.OPEN, number)]
        await orders.recover()
        with pytest.raises(Denied, match=f"Order {number} is closing this position already"):
            await orders.square_off(KEY)

    assert play(script).broker.placed == []


def test_an_order_of_before_that_waits_in_a_stops_place_holds_back_no_exit() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.held = {KEY: 10}
        request = replace(LIMIT, side=Side.SELL, kind=OrderKind.SL, trigger_price=98_500, tag=Tag("M00000000000AB"))
        number = rig.broker.accept(request, OrderStatus.TRIGGER_PENDING).broker_order_id
        known = (OrderId("M00000000000AB"), Tag("M00000000000AB"), request, rig.clock.now(), None, Purpose.EXIT)
        rig.journal.unfinished = [Intent(*known, OrderStatus.TRIGGER_PENDING, number)]
        await orders.recover()
        await orders.square_off(KEY)

    assert len(play(script).broker.placed) == 1


def test_a_position_is_squared_off_with_the_kind_of_its_class() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        key = PositionKey(ACCOUNT, OPTION.id, Product.NRML)
        rig.broker.held = {KEY: -10, key: 500}
        await orders.square_off(KEY)
        await orders.square_off(key)
        share, option = rig.broker.placed
        assert (share.side, share.quantity, share.kind) == (Side.BUY, 10, OrderKind.MARKET)
        assert (option.side, option.quantity, option.kind) == (Side.SELL, 500, OrderKind.LIMIT)
        assert option.price

    play(script)


def test_an_exit_by_hand_is_as_large_as_what_is_there_after_the_last_fill() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.held = {KEY: 10}
        told = rig.broker.positions

        async def slowly() -> Sequence[Position]:
            answer = await told()
            await asyncio.sleep(2.0)
            return answer

        rig.broker.positions = slowly  # type: ignore[method-assign]
        leaving = asyncio.create_task(orders.square_off(KEY))
        await asyncio.sleep(1.0)
        by_phone = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 7, KEY.product, OrderKind.MARKET)
        rig.broker.fill(rig.broker.accept(by_phone).broker_order_id)
        await leaving
        assert [request.quantity for request in rig.broker.placed] == [3]

    play(script)


def test_an_exit_by_hand_that_waited_for_the_disk_does_not_turn_round_what_was_closed_meanwhile() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.held = {KEY: 10}
        rig.journal.gate = asyncio.Event()
        leaving = asyncio.create_task(orders.square_off(KEY))
        await asyncio.sleep(1.0)
        by_phone = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 10, KEY.product, OrderKind.MARKET)
        rig.broker.fill(rig.broker.accept(by_phone).broker_order_id)
        rig.journal.gate.set()
        with pytest.raises(Denied, match="meanwhile"):
            await leaving
        assert rig.broker.placed == []

    play(script)


def test_what_is_unknown_is_denied() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        orders._instrument = lambda _: None
        rig.broker.held = {KEY: 10}
        with pytest.raises(Denied, match="instrument list"):
            await orders.place(BUY)
        with pytest.raises(Denied, match="instrument list"):
            await orders.square_off(KEY)

    play(script)


def test_changes_and_cancels_read_the_book_again() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.answers = ["open"]
        await orders.place(BUY)
        number = next(iter(rig.broker.book))
        await orders.modify(number, price=99_000)
        await orders.cancel(number)
        rig.broker.failures = {"positions": [Unreachable("down")]}
        await orders.cancel(number)
        for _ in range(20):
            await settle(200)
        assert rig.broker.priced == [(number, 99_000)]

    play(script)


def test_a_book_that_cannot_be_read_afterwards_is_a_warning() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.failures = {"orders": [Unreachable("down")]}
        await orders._refresh()
        assert any(isinstance(e, Noticed) and "could not be read" in e.title for e in rig.events)

    play(script)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quantity": 0}, "quantity is zero"),
        ({"product": Product.NRML}, "NRML is for futures"),
        ({"kind": OrderKind.LIMIT}, "needs a price"),
        ({"kind": OrderKind.LIMIT, "price": 99_001}, "on a tick"),
        ({"kind": OrderKind.SL_M}, "needs a trigger"),
        ({"kind": OrderKind.SL_M, "trigger_price": 99_001}, "trigger is not on a tick"),
    ],
)
def test_what_the_broker_would_refuse_is_denied_with_what_to_change(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Denied, match=words):
        check_order(replace(BUY, **change), INFY)


def test_derivatives_have_lots_products_and_kinds_of_their_own() -> None:
    option = replace(BUY, instrument=OPTION.id, product=Product.NRML, quantity=500, kind=OrderKind.LIMIT, price=100)
    check_order(option, OPTION)
    changes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"quantity": 400}, "lot size"),
        ({"product": Product.CNC}, "for shares"),
        ({"kind": OrderKind.MARKET, "price": None}, "no market orders"),
    )
    for change, words in changes:
        with pytest.raises(Denied, match=words):
            check_order(replace(option, **change), OPTION)
    with pytest.raises(Denied, match="is an index"):
        check_order(BUY, replace(INFY, kind=InstrumentKind.INDEX))


@pytest.mark.parametrize(
    ("exchange", "segment", "name"),
    [(Exchange.CDS, Segment.CURRENCY, "USDINR"), (Exchange.MCX, Segment.COMMODITY, "CRUDEOIL")],
)
def test_market_orders_on_options_that_are_on_no_share_are_the_brokers_to_refuse(
    exchange: Exchange, segment: Segment, name: str
) -> None:
    option = replace(OPTION, exchange=exchange, segment=segment, name=name, lot_size=1)
    check_order(replace(BUY, instrument=option.id, product=Product.NRML, quantity=3, kind=OrderKind.MARKET), option)
    with pytest.raises(Denied, match="no market orders on stock options"):
        check_order(replace(BUY, product=Product.NRML, quantity=500, kind=OrderKind.MARKET), OPTION)


# -- the exit table ----------------------------------------------------------------------------------------------------


def of_kind(kind: InstrumentKind, name: str = "RELIANCE") -> Instrument:
    return replace(OPTION, kind=kind, name=name, exchange=Exchange.NFO)


def test_every_class_has_its_row() -> None:
    assert class_of(INFY) is InstrumentClass.SHARE
    assert class_of(of_kind(InstrumentKind.FUTURE)) is InstrumentClass.FUTURE
    assert class_of(OPTION) is InstrumentClass.STOCK_OPTION
    assert class_of(of_kind(InstrumentKind.PUT, "NIFTY")) is InstrumentClass.INDEX_OPTION
    with pytest.raises(Denied, match="is an index"):
        class_of(replace(INFY, kind=InstrumentKind.INDEX))


def test_a_missing_rule_is_denied_and_a_broken_table_names_its_line() -> None:
    from datetime import date

    rules = ExitRules.parse(TEXT)
    with pytest.raises(Denied, match="no exit rule"):
        rules.rule("nobody", INFY, date(2026, 11, 20))
    with pytest.raises(Denied, match="no exit rule"):
        rules.rule("zerodha", INFY, date(1990, 1, 1))
    with pytest.raises(ValueError, match="line 2"):
        ExitRules.parse("broker,class,since,kind,bands\nzerodha,share,2016-01-01,MAGIC,*:1\n")


def test_a_limit_reaches_the_band_beyond_the_last_price_on_a_tick_rounded_towards_a_fill() -> None:
    from datetime import date

    rule = ExitRules.parse(TEXT).rule("zerodha", INFY, date(2026, 11, 20))
    sell, buy = limit_pricer(rule, INFY, Side.SELL), limit_pricer(rule, INFY, Side.BUY)
    assert sell(9_999) == 9_800  # 2 % below 100 rupees
    assert buy(9_999) == 10_200
    assert sell(40_000) == 39_600  # 1 %
    assert sell(100_001) == 99_500  # 0.5 %
    assert limit_pricer(rule, INFY, Side.SELL, widen=2)(100_000) == 99_000
    assert sell(1) == 5, "never below one tick"
    endless = replace(rule, bands=rule.bands[:1])
    assert limit_pricer(endless, INFY, Side.SELL)(1_000_000) == 1_000_000
