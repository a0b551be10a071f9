"""What a fired stop does next, case by case and as properties over everything it may know."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Tag
from app.domain.instrument import Product
from app.domain.order import Order, OrderKind, OrderStatus, Side
from app.engine.exit_plan import (
    CancelOrders,
    Close,
    ExitView,
    Reprice,
    Send,
    SquareOffExcess,
    Wait,
    next_look,
    next_step,
    remaining,
)
from app.engine.refusals import Cause
from app.engine.rules import MAX_SLICES


def order(status: OrderStatus, filled: int = 0, number: int = 1, quantity: int = 100) -> Order:
    return Order(
        account=AccountId("zerodha-X"),
        broker_order_id=BrokerOrderId(str(number)),
        instrument=InstrumentId("NSE:INFY"),
        side=Side.SELL,
        product=Product.MIS,
        kind=OrderKind.LIMIT,
        status=status,
        quantity=quantity,
        filled_quantity=filled,
        pending_quantity=quantity - filled,
        average_price=1000 if filled else None,
        tag=Tag(f"STOP{number}"),
    )


LONG = ExitView(Side.SELL, 100, (), 100)


def test_an_answer_is_awaited_before_anything_else_is_sent() -> None:
    assert isinstance(next_step(replace(LONG, in_flight=100)), Wait)


def test_a_failed_position_read_is_not_flat() -> None:
    filled = order(OrderStatus.FILLED, 100)
    assert isinstance(next_step(replace(LONG, orders=(filled,), position=None)), Wait)


def test_an_accepted_order_is_not_a_fill() -> None:
    assert isinstance(next_step(replace(LONG, orders=(order(OrderStatus.OPEN),))), Wait)


def test_flat_position_closes() -> None:
    assert next_step(replace(LONG, orders=(order(OrderStatus.FILLED, 100),), position=0)) == Close(100)


def test_an_unanswered_attempt_is_looked_up_twice_before_the_next() -> None:
    unresolved = replace(LONG, unresolved=True)
    assert isinstance(next_step(unresolved), Wait)
    assert isinstance(next_step(replace(unresolved, lookups=1)), Wait)
    step = next_step(replace(unresolved, lookups=2))
    assert isinstance(step, Send)
    assert step.quantity == 100


def test_a_refused_market_exit_goes_out_as_limit() -> None:
    step = next_step(replace(LONG, refused=Cause.MARKET, kind=OrderKind.MARKET))
    assert isinstance(step, Send)
    assert step.kind is OrderKind.LIMIT


def test_the_rest_of_a_cancelled_partial_fill_is_sent() -> None:
    step = next_step(replace(LONG, orders=(order(OrderStatus.CANCELLED, 30),), position=70))
    assert isinstance(step, Send)
    assert step.quantity == 70


def test_an_exit_never_exceeds_the_position() -> None:
    step = next_step(replace(LONG, position=40))
    assert isinstance(step, Send)
    assert step.quantity == 40


def test_a_position_row_that_lags_behind_the_fills_sends_nothing() -> None:
    filled = replace(LONG, orders=(order(OrderStatus.FILLED, 100),), position=100, position_age=0.5)
    assert isinstance(next_step(filled), Wait)


def test_a_resting_exit_is_priced_anew_then_cancelled() -> None:
    resting = replace(LONG, orders=(order(OrderStatus.PARTIALLY_FILLED, 20),), position=80, resting=10.0)
    assert next_step(resting) == Reprice((BrokerOrderId("1"),))
    assert isinstance(next_step(replace(resting, modifications=0)), CancelOrders)


def test_a_resting_exit_that_is_priced_anew_asks_for_no_more_than_is_left() -> None:
    resting = replace(LONG, orders=(order(OrderStatus.PARTIALLY_FILLED, 20),), position=1, resting=10.0)
    assert next_step(resting) == Reprice((BrokerOrderId("1"),), (21,)), "though the position went on changing"
    assert next_step(replace(resting, position=None)) == Reprice((BrokerOrderId("1"),)), "nothing is concluded"


def test_a_late_first_attempt_is_cancelled_and_the_newest_kept() -> None:
    two = (order(OrderStatus.OPEN, number=1), order(OrderStatus.OPEN, number=2))
    step = next_step(replace(LONG, orders=two))
    assert isinstance(step, CancelOrders)
    assert step.orders == (BrokerOrderId("1"),)


def test_a_live_exit_without_a_position_is_cancelled() -> None:
    step = next_step(replace(LONG, orders=(order(OrderStatus.OPEN),), position=0))
    assert isinstance(step, CancelOrders)


def test_a_double_exit_is_squared_off() -> None:
    both = (order(OrderStatus.FILLED, 100, 1), order(OrderStatus.FILLED, 100, 2))
    step = next_step(replace(LONG, orders=both, position=-100, position_age=2.0))
    assert step == SquareOffExcess((100,), Side.BUY)


statuses: st.SearchStrategy[OrderStatus] = st.sampled_from([s for s in OrderStatus if s is not OrderStatus.DENIED])


def _rows(rows: list[tuple[OrderStatus, int, int, Side]]) -> tuple[Order, ...]:
    return tuple(
        replace(order(status, min(filled, quantity), n, quantity), side=side)
        for n, (status, filled, quantity, side) in enumerate(rows, 1)
    )


orders = st.lists(
    st.tuples(statuses, st.integers(0, 100), st.integers(1, 100), st.sampled_from([Side.SELL, Side.SELL, Side.BUY])),
    max_size=12,
).map(_rows)
views = st.builds(
    ExitView,
    side=st.sampled_from(Side),
    quantity=st.integers(1, 400),
    orders=orders,
    position=st.none() | st.integers(-500, 500),
    position_age=st.floats(0, 10),
    in_flight=st.sampled_from([0, 0, 50]),
    unresolved=st.booleans(),
    lookups=st.integers(0, 3),
    refused=st.none() | st.sampled_from(Cause),
    resting=st.floats(0, 10),
    modifications=st.integers(-1, 20),
    kind=st.sampled_from([OrderKind.MARKET, OrderKind.LIMIT]),
    takes_market=st.booleans(),
    cleanup=st.booleans(),
    slice_size=st.sampled_from([0, 1, 25, 30, 100]),
    changing=st.booleans(),
    converts=st.booleans(),
    conversions=st.integers(0, 4),
)


def _asked(view: ExitView) -> int:
    """Units that live exits may still fill."""
    return sum(remaining(o) for o in view.orders if not o.status.is_final and o.side is view.side)


@settings(max_examples=300)
@given(views)
def test_nothing_is_sent_that_could_double_or_turn_the_position(view: ExitView) -> None:
    step = next_step(view)
    if isinstance(step, Send):
        assert not view.in_flight
        assert not view.unresolved or view.lookups >= 2
        assert view.position is not None
        assert (view.position > 0) == (view.side is Side.SELL)
        assert step.quantity > 0
        assert _asked(view) + step.quantity <= abs(view.position)
        live = sum(not o.status.is_final and o.side is view.side for o in view.orders)
        assert live + len(step.sizes) <= MAX_SLICES or not live
        assert len(step.sizes) <= MAX_SLICES
        assert all(0 < size <= (view.slice_size or size) for size in step.sizes)


@settings(max_examples=300)
@given(views)
def test_live_exits_that_ask_for_more_than_there_is_are_cut_back_at_once(view: ExitView) -> None:
    """The remaining sum of two live exits never stays above the position and what the stop had to close."""
    step = next_step(view)
    live = [o for o in view.orders if not o.status.is_final and o.side is view.side]
    if len(live) < 2 or view.cleanup:
        return
    held = 0 if view.position is None else max(0, view.position * -view.side.sign)
    closed = sum(o.filled_quantity * (1 if o.side is view.side else -1) for o in view.orders)
    room = max(view.quantity - closed, held)
    if _asked(view) > room:
        assert isinstance(step, CancelOrders)
        kept = [o for o in live if o.broker_order_id not in step.orders]
        assert sum(map(remaining, kept)) <= max(room, 0) or not kept


@settings(max_examples=300)
@given(views)
def test_there_is_always_a_way_on(view: ExitView) -> None:
    """Nothing waits for ever: once the broker has answered, readings agree and time has passed, something is done."""
    late = replace(
        view,
        position=view.position or 0,
        position_age=60.0,
        in_flight=0,
        unresolved=False,
        changing=False,
        resting=60.0,
    )
    assert not isinstance(next_step(late), Wait)


@given(views)
def test_it_closes_only_on_a_position_that_is_proven_not_to_need_it(view: ExitView) -> None:
    step = next_step(view)
    if isinstance(step, Close):
        assert view.position is not None
        assert view.cleanup or view.position == 0 or (view.position > 0) != (view.side is Side.SELL)
        assert not any(not o.status.is_final for o in view.orders)


# -- what turned up late, and what crossed -----------------------------------------------------------------------------


def back(status: OrderStatus, filled: int = 0) -> Order:
    return replace(order(status, filled, number=9), side=Side.BUY)


def test_a_flat_reading_without_fills_of_ours_must_stand_for_a_second() -> None:
    flat = replace(LONG, position=0)
    assert isinstance(next_step(replace(flat, position_age=0.5)), Wait)
    assert next_step(replace(flat, position_age=1.0)) == Close(0)


def test_an_excess_on_its_way_back_is_waited_for_then_priced_anew() -> None:
    view = replace(LONG, orders=(order(OrderStatus.FILLED, 100), back(OrderStatus.OPEN)), position=-50)
    assert isinstance(next_step(view), Wait)
    assert isinstance(next_step(replace(view, resting=0.9)), Wait)
    assert isinstance(next_step(replace(view, resting=1.0)), Reprice), "it is turned round until that has filled"


def test_an_excess_order_that_has_nothing_to_take_back_any_more_is_cancelled() -> None:
    view = replace(LONG, orders=(order(OrderStatus.FILLED, 100), back(OrderStatus.OPEN)), position=0)
    assert isinstance(next_step(view), Wait)
    assert next_step(replace(view, position_age=1.0)) == CancelOrders(
        (back(OrderStatus.OPEN).broker_order_id,), "nothing is left to take back"
    )


def test_an_excess_that_is_back_closes_the_stop() -> None:
    view = replace(LONG, orders=(order(OrderStatus.FILLED, 100), back(OrderStatus.FILLED, 50)), position=0)
    assert next_step(view) == Close(100)


def test_only_our_own_excess_is_taken_back() -> None:
    view = replace(
        LONG, orders=(order(OrderStatus.FILLED, 100), back(OrderStatus.FILLED, 100)), position=-50, position_age=5
    )
    assert next_step(view) == Close(100)


@pytest.mark.parametrize(("age", "seconds"), [(0.0, 1.0), (0.5, 0.501), (0.98, 0.021), (1.0, 1.0), (30.0, 1.0)])
def test_the_next_look_comes_when_the_position_can_be_believed(age: float, seconds: float) -> None:
    assert next_look(age, 1.0) == pytest.approx(seconds)


def test_cleaning_up_cancels_every_exit_and_closes_nothing_more() -> None:
    live = (order(OrderStatus.OPEN), order(OrderStatus.OPEN, number=2))
    assert next_step(replace(LONG, cleanup=True, orders=live)) == CancelOrders(
        (BrokerOrderId("1"), BrokerOrderId("2")), "it turned up after the position was closed"
    )
    assert next_step(replace(LONG, cleanup=True, position=100)) == Close(0)


def test_an_exit_larger_than_what_is_left_is_cancelled_once_the_position_is_sure() -> None:
    view = replace(LONG, orders=(order(OrderStatus.OPEN),), position=40)
    assert isinstance(next_step(view), Wait)
    assert isinstance(next_step(replace(view, position_age=1.0)), CancelOrders)


def test_a_refused_limit_stays_a_limit_where_the_class_takes_nothing_else() -> None:
    refused = replace(LONG, refused=Cause.OTHER, kind=OrderKind.LIMIT)
    assert next_step(refused) == Send((100,), OrderKind.MARKET, "the last attempt was refused")
    limit = next_step(replace(refused, takes_market=False))
    assert limit == Send((100,), OrderKind.LIMIT, "the last attempt was refused")
