"""A program that runs over the night keeps what still counts of the day before, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from app.brokers.base import BrokerSession
from app.domain.events import Event, OrdersForgotten
from app.domain.ids import OrderId, StopId, Tag
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side
from app.domain.stop import Stop, StopPlan, StopState, exit_tag
from app.engine.account import AccountState
from app.engine.yesterday import Yesterday
from app.runtime.clock import AccountClock
from tests.fakes.fast_loop import run
from tests.fakes.trading import ACCOUNT, INFY, KEY, FakeBroker

NOW = 1_700_000_000 * 10**9
DAY = 86_400 * 10**9
OVER, LEAVING, HAND = exit_tag(StopId("A" * 12), 1), exit_tag(StopId("B" * 12), 1), Tag("M0123456789ABC")


def stop(tag: Tag, state: StopState) -> Stop:
    return Stop(StopId(tag[:12]), KEY, Side.SELL, 99_000, 100, state, NOW, StopPlan(99_000))


def test_ended_orders_of_yesterday_go_with_the_first_list_of_another_day_and_what_counts_stays() -> None:
    async def scene() -> None:
        clock, events, broker = AccountClock(), list[Event](), FakeBroker()
        clock.set(NOW)
        state = AccountState(ACCOUNT, clock, events.append)
        state.attach(cast("BrokerSession", broker))
        stops = {s.id: s for s in (stop(OVER, StopState.CLOSED), stop(LEAVING, StopState.EXITING))}
        Yesterday(state, stops, events.append)
        for tag in (OVER, LEAVING, HAND, None, Tag("strategy0001")):
            broker.accept(OrderRequest(ACCOUNT, INFY.id, Side.SELL, 100, KEY.product, OrderKind.MARKET, tag=tag))
        for number, order in list(broker.book.items()):
            broker.book[number] = replace(order, placed_at=NOW, status=OrderStatus.CANCELLED, filled_quantity=40)
        await state.read_orders()
        assert len(state.orders) == 5
        today = broker.accept(OrderRequest(ACCOUNT, INFY.id, Side.BUY, 1, KEY.product, OrderKind.MARKET))
        broker.book = {today.broker_order_id: replace(today, placed_at=NOW + DAY)}
        clock.set(NOW + DAY)
        await state.read_orders()
        assert {order.tag for order in state.orders.values()} == {LEAVING, Tag("strategy0001"), today.tag}
        (told,) = [event for event in events if isinstance(event, OrdersForgotten)]
        assert len(told.orders) == 3
        assert OrderId(HAND) not in state.numbers
        assert today.broker_order_id in state.orders

    run(scene())
