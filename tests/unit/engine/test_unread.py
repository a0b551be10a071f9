"""One order in the broker's list that cannot be read: nobody is blind for the others, and it is not taken for gone."""

from __future__ import annotations

import asyncio

import pytest

from app.domain.errors import BadAnswer, OutcomeUnknown
from app.domain.ids import BrokerOrderId
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side
from app.domain.order_list import UnreadOrder
from app.domain.stop import Stop, StopPlan, StopState
from tests.fakes.trading import INFY, KEY, Rig
from tests.unit.engine.rigged import play_quoted as play

WHY = "status: 'LEVITATING'"
BY_PHONE = UnreadOrder(BrokerOrderId("77"), "", WHY)


async def guarded(rig: Rig) -> Stop:
    rig.broker.hold(KEY, 75)
    await rig.state.read_positions()
    return await rig.engine.arm(KEY, StopPlan(99_000))


def test_an_exit_without_an_answer_goes_on_beside_an_odd_order_of_somebody_else() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.broker.odd = [BY_PHONE]
        rig.broker.answers = [OutcomeUnknown("The broker did not answer.")]  # it never arrived
        rig.tick(98_900)
        closed = await rig.ended(stop)
        assert closed.state is StopState.CLOSED
        assert [request.quantity for request in rig.broker.placed] == [75, 75]

    told = [alarm for alarm in play(script).alarms if WHY in alarm]
    assert len(told) == 1, "once, however often the list is read"


def test_an_odd_order_that_may_be_the_exit_is_not_sent_again() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.broker.state = None  # the stream is silent
        rig.broker.answers = ["lost"]
        rig.broker.odd = [UnreadOrder(BrokerOrderId("1000"), stop.tag(), WHY)]
        rig.tick(98_900)
        await asyncio.sleep(20)
        assert len(rig.broker.placed) == 1
        rig.broker.odd = []
        await rig.ended(stop)
        assert len(rig.broker.placed) == 1
        assert rig.broker.held[KEY] == 0

    play(script)


@pytest.mark.parametrize("odd", [UnreadOrder(None, None, WHY), UnreadOrder(BrokerOrderId("77"), None, WHY)])
def test_the_readable_orders_count_although_the_reading_failed(odd: UnreadOrder) -> None:
    async def script(rig: Rig) -> None:
        order = rig.broker.accept(OrderRequest(KEY.account, INFY.id, Side.BUY, 5, KEY.product, OrderKind.LIMIT, 99_000))
        rig.broker.state = None
        rig.broker.fill(order.broker_order_id)
        rig.broker.odd = [odd]
        with pytest.raises(BadAnswer, match="1 of 2 orders"):
            await rig.state.read_orders()
        assert rig.state.orders[order.broker_order_id].status is OrderStatus.FILLED

    play(script)


def test_a_known_order_that_cannot_be_read_any_more_is_not_gone() -> None:
    async def script(rig: Rig) -> None:
        order = rig.broker.accept(OrderRequest(KEY.account, INFY.id, Side.BUY, 5, KEY.product, OrderKind.LIMIT, 99_000))
        await rig.state.read_orders()
        rig.broker.odd = [UnreadOrder(order.broker_order_id, None, WHY)]
        for _ in range(5):
            await asyncio.sleep(30)
            await rig.state.read_orders()
        assert rig.state.orders[order.broker_order_id].status is OrderStatus.OPEN
        rig.broker.odd = []
        rig.broker.book.clear()
        for _ in range(5):
            await asyncio.sleep(30)
            await rig.state.read_orders()
        assert rig.state.orders[order.broker_order_id].status is OrderStatus.EXPIRED, "that is what absence means"

    play(script)


def test_after_a_restart_stops_are_watched_although_an_order_by_phone_cannot_be_read() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.log_out()
        rig.broker.odd = [BY_PHONE]
        again = Rig(rig.broker, rig.journal, around=rig.around)
        again.last[INFY.id] = 100_000
        again.engine.adopt(rig.journal.stops[stop.id])
        await again.recover()
        assert again.engine.watching == 1
        await again.tasks.stop()

    play(script)
