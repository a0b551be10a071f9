"""An order's life as one table: what may follow what, what is told when it does not, and where news comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from app.domain.errors import Unreachable
from app.domain.events import Level, Noticed
from app.domain.ids import BrokerOrderId, OrderId, Tag
from app.domain.instrument import Product
from app.domain.order import FINAL, NEXT, Order, OrderKind, OrderRequest, OrderStatus, Side, may_follow
from app.domain.origin import placed_here
from app.domain.stop import StopPlan, StopState, exit_tag, new_stop_id
from app.engine.quiet_orders import QuietOrders
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, Rig, refusal

S = OrderStatus
RESTING = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 10, Product.MIS, OrderKind.LIMIT, price=100_000)
DAY = 86_400 * 10**9


def order(status: OrderStatus, filled: int = 0, **changes: object) -> Order:
    bare = Order(
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("1"),
        instrument=INFY.id,
        side=Side.SELL,
        product=Product.MIS,
        kind=OrderKind.LIMIT,
        status=status,
        quantity=100,
        filled_quantity=filled,
        pending_quantity=0 if status.is_final else 100 - filled,
        average_price=None,
        tag=Tag("M0123456789ABC"),
    )
    return replace(bare, **changes)  # type: ignore[arg-type]  # fields by name


def play(script: Callable[[Rig], Awaitable[None]]) -> Rig:
    async def scene() -> Rig:
        rig = Rig()
        await script(rig)
        await settle()
        await rig.tasks.stop()
        return rig

    return run(scene())


ENDS = "filled|cancelled|rejected|expired"
LEGAL = {
    S.SUBMITTED: f"unknown|open|trigger pending|partially filled|cancel pending|denied|{ENDS}",
    S.UNKNOWN: f"submitted|open|trigger pending|partially filled|cancel pending|denied|{ENDS}",
    S.OPEN: f"unknown|trigger pending|partially filled|cancel pending|{ENDS}",
    S.TRIGGER_PENDING: f"unknown|open|partially filled|cancel pending|{ENDS}",
    S.PARTIALLY_FILLED: "unknown|filled|cancel pending|cancelled|expired",
    S.CANCEL_PENDING: f"unknown|open|trigger pending|partially filled|{ENDS}",
    S.CANCELLED: "partially filled|filled",
    S.EXPIRED: "partially filled|filled",
    S.FILLED: "",
    S.REJECTED: "",
    S.DENIED: "",
}


@pytest.mark.parametrize("before", list(S))
def test_the_table_says_what_may_follow(before: OrderStatus) -> None:
    assert {after for after in S if may_follow(before, after)} == {S(name) for name in LEGAL[before].split("|") if name}


def test_every_state_has_its_row_and_only_a_late_fill_follows_an_end() -> None:
    assert set(NEXT) == set(S)
    assert {after for status in FINAL for after in NEXT[status]} == {S.PARTIALLY_FILLED, S.FILLED}


FILLED_IN = {S.PARTIALLY_FILLED: 40, S.FILLED: 100}
PAIRS = [(one, two) for one in S for two in S if one is not two]


def news_of(before: OrderStatus, after: OrderStatus) -> tuple[Order, bool]:
    """The news, and whether it is stale: nothing more filled, and alive after an end by the broker's own word, or only
    submitted when it stood already."""
    filled = max(FILLED_IN.get(before, 0), FILLED_IN.get(after, 0))
    ended = before.is_final and before is not S.EXPIRED and not after.is_final
    overtaken = after is S.SUBMITTED and before not in (S.UNKNOWN, S.EXPIRED)
    return order(after, filled), (ended or overtaken) and filled == FILLED_IN.get(before, 0)


def is_illegal(before: OrderStatus, after: OrderStatus) -> bool:
    return not may_follow(before, after) and not news_of(before, after)[1]


def told_of(before: OrderStatus, after: OrderStatus) -> list[Noticed]:
    """What the trader hears; the news is taken unless it is stale."""
    news, stale = news_of(before, after)

    async def script(rig: Rig) -> None:
        rig.state.order_update(order(before, FILLED_IN.get(before, 0)))
        rig.events.clear()
        rig.state.order_update(news)
        assert rig.state.orders[news.broker_order_id].status is (before if stale else after)

    return [event for event in play(script).events if isinstance(event, Noticed)]


@pytest.mark.parametrize(("before", "after"), [p for p in PAIRS if not is_illegal(*p)], ids=lambda status: status.value)
def test_a_legal_transition_is_taken_and_stale_news_is_dropped(before: OrderStatus, after: OrderStatus) -> None:
    assert told_of(before, after) == []


@pytest.mark.expects_log("went from")
@pytest.mark.parametrize(("before", "after"), [p for p in PAIRS if is_illegal(*p)], ids=lambda status: status.value)
def test_an_illegal_transition_is_taken_for_the_truth_and_told(before: OrderStatus, after: OrderStatus) -> None:
    assert len(told_of(before, after)) == 1


@pytest.mark.expects_log("went from denied to filled")
def test_an_order_that_counted_as_never_arrived_and_trades_is_an_alarm() -> None:
    async def script(rig: Rig) -> None:
        rig.state.claim(replace(order(S.DENIED), broker_order_id=BrokerOrderId(""), id=OrderId("M0123456789ABC")))
        rig.state.order_update(order(S.FILLED, 100))
        (told,) = [event for event in rig.events if isinstance(event, Noticed)]
        assert told.level is Level.ALARM
        assert "it was denied, and is filled" in told.cause
        assert rig.state.unlisted == {}

    play(script)


def test_a_late_fill_after_a_cancel_is_taken_without_a_word() -> None:
    async def script(rig: Rig) -> None:
        rig.state.order_update(order(S.CANCELLED))
        rig.state.order_update(order(S.CANCELLED, 30))
        rig.state.order_update(order(S.FILLED, 100))
        assert rig.state.orders[BrokerOrderId("1")].filled_quantity == 100
        assert not any(isinstance(event, Noticed) for event in rig.events)

    play(script)


# -- the broker's list ---------------------------------------------------------------------------------------------


def test_an_order_of_yesterday_that_is_not_listed_twice_has_expired_in_words() -> None:
    async def script(rig: Rig) -> None:
        rig.state.order_update(order(S.OPEN, placed_at=rig.clock.now() - DAY))
        await rig.state.read_orders()
        assert rig.state.orders[BrokerOrderId("1")].status is S.OPEN, "one list may be late"
        await asyncio.sleep(1)
        await rig.state.read_orders()
        gone = rig.state.orders[BrokerOrderId("1")]
        assert (gone.status, gone.pending_quantity) == (S.EXPIRED, 0)
        assert "of a new day" in str(gone.status_text)

    play(script)


def test_an_order_of_today_that_the_list_loses_is_unknown_and_an_alarm_until_it_is_back() -> None:
    async def script(rig: Rig) -> None:
        rig.state.order_update(order(S.OPEN, placed_at=rig.clock.now()))
        for _ in range(20):
            await rig.state.read_orders()
        assert rig.state.orders[BrokerOrderId("1")].status is S.OPEN, "a list lags"
        await asyncio.sleep(30)
        await rig.state.read_orders()
        lost = rig.state.orders[BrokerOrderId("1")]
        assert (lost.status, lost.pending_quantity) == (S.UNKNOWN, 100)
        assert [e.level for e in rig.events if isinstance(e, Noticed)] == [Level.ALARM]
        rig.broker.book[BrokerOrderId("1")] = order(S.OPEN)
        await rig.state.read_orders()
        assert rig.state.orders[BrokerOrderId("1")].status is S.OPEN

    play(script)


def test_an_order_that_the_list_has_lost_ends_with_its_day() -> None:
    async def script(rig: Rig) -> None:
        rig.state.order_update(order(S.OPEN, placed_at=rig.clock.now()))
        for _ in range(2):
            await rig.state.read_orders()
            await asyncio.sleep(30)
        assert rig.state.orders[BrokerOrderId("1")].status is S.UNKNOWN
        rig.clock.set(rig.clock.now() + DAY)
        for _ in range(2):
            await rig.state.read_orders()
            await asyncio.sleep(1)
        assert rig.state.orders[BrokerOrderId("1")].status is S.EXPIRED

    play(script)


def test_an_exit_that_the_list_has_lost_holds_back_none_on_the_next_day() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_000)
        await asyncio.sleep(2)
        (number,) = rig.broker.book
        rig.state.order_update(replace(rig.broker.book.pop(number), placed_at=rig.clock.now()))
        rig.broker.book[BrokerOrderId("1")] = order(S.CANCELLED, tag=None)
        rig.broker.failures = {"modify": [refusal("There is no such order.")] * 100_000}
        await asyncio.sleep(60)
        assert rig.state.orders[number].status is S.UNKNOWN
        rig.clock.set(rig.clock.now() + DAY)
        closed = await rig.ended(stop)
        assert (rig.broker.held[KEY], closed.state) == (0, StopState.CLOSED)

    play(script)


def test_a_failed_reading_says_nothing_of_what_it_does_not_show() -> None:
    async def script(rig: Rig) -> None:
        rig.state.order_update(order(S.OPEN, placed_at=rig.clock.now() - DAY))
        rig.broker.failures = {"orders": [Unreachable("down")] * 5}
        for _ in range(5):
            with pytest.raises(Unreachable):
                await rig.state.read_orders()
            await asyncio.sleep(1)
        assert rig.state.orders[BrokerOrderId("1")].status is S.OPEN

    play(script)


def test_an_order_from_elsewhere_is_seen_and_is_not_ours() -> None:
    phone = order(S.OPEN, tag=None)
    assert not placed_here(phone)
    assert placed_here(order(S.OPEN))
    assert placed_here(order(S.OPEN, tag=exit_tag(new_stop_id(), 1)))

    async def script(rig: Rig) -> None:
        rig.broker.book[BrokerOrderId("1")] = phone
        await rig.state.read_orders()
        assert rig.state.orders[BrokerOrderId("1")].id is None

    play(script)


# -- asking where nobody tells -------------------------------------------------------------------------------------


def listings(rig: Rig) -> list[float]:
    found: list[float] = []
    rig.state.on_listed.append(lambda _orders, began: found.append(began))
    return found


@pytest.mark.parametrize(("kind", "connected", "soon"), [
    (OrderKind.MARKET, True, True),
    (OrderKind.LIMIT, True, False),
    (OrderKind.LIMIT, False, True),
])  # fmt: skip
def test_a_silent_order_is_asked_after(kind: OrderKind, connected: bool, soon: bool) -> None:
    async def script(rig: Rig) -> None:
        found = listings(rig)
        rig.broker.book[BrokerOrderId("1")] = order(S.OPEN, kind=kind)
        rig.state.order_update(rig.broker.book[BrokerOrderId("1")])
        follower = rig.tasks.start(QuietOrders(rig.state, lambda: connected).run(), "quiet")
        await asyncio.sleep(5)
        assert bool(found) is soon
        await asyncio.sleep(15)
        assert found
        follower.cancel()

    play(script)


def test_a_fill_that_nobody_told_of_is_found_and_the_positions_are_read() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.state = None
        number = rig.broker.accept(RESTING).broker_order_id
        rig.state.order_update(rig.broker.book[number])
        rig.broker.fill(number)
        follower = rig.tasks.start(QuietOrders(rig.state, lambda: True).run(), "quiet")
        await asyncio.sleep(20)
        assert rig.state.orders[number].status is S.FILLED
        assert rig.state.reading is not None
        assert rig.state.reading.quantity(KEY) == -10
        follower.cancel()

    play(script)


def test_an_order_from_elsewhere_beside_a_position_that_a_stop_has_just_closed_is_asked_after_soon() -> None:
    """Its updates may be lost while the stream stands: unseen, it would leave the position turned round for long."""

    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 10)
        await rig.state.read_positions()
        other = rig.broker.accept(RESTING).broker_order_id
        rig.state.order_update(rig.broker.book[other])
        stop = await rig.engine.arm(KEY, StopPlan(99_000))
        quiet = QuietOrders(rig.state, lambda: True, rig.engine.may_cross)
        follower = rig.tasks.start(quiet.run(), "quiet")
        rig.tick(98_900)
        await asyncio.sleep(0.2)
        rig.broker.fill(next(number for number in rig.broker.book if number != other))
        await rig.ended(stop)
        rig.broker.state = None  # what fills now is told by nobody
        rig.broker.fill(other)
        assert rig.broker.held[KEY] == -10
        await asyncio.sleep(4)
        follower.cancel()
        await asyncio.sleep(4)
        back = [order for order in rig.broker.book.values() if order.side is Side.BUY]
        assert [order.quantity for order in back] == [10]

    play(script)


def test_nothing_is_asked_while_no_order_is_open_and_less_and_less_of_one_that_rests() -> None:
    async def script(rig: Rig) -> None:
        found = listings(rig)
        follower = rig.tasks.start(QuietOrders(rig.state, lambda: True).run(), "quiet")
        await asyncio.sleep(600)
        assert found == []
        rig.broker.book[BrokerOrderId("1")] = order(S.OPEN)
        rig.state.order_update(rig.broker.book[BrokerOrderId("1")])
        await asyncio.sleep(600)
        assert 15 <= len(found) <= 25
        follower.cancel()

    play(script)
