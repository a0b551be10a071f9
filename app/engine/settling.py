"""What became of a request that nobody answered: read from the broker's list, never sent again. Loop thread only.

Two readings, a second apart, must say the same before "it did not reach the broker" is said; a failed reading says
nothing. Done means what the list shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto

from app.domain.errors import AppError, BrokerError, Denied, OutcomeUnknown, Rejected
from app.domain.ids import BrokerOrderId, Tag
from app.domain.order import Order, OrderStatus
from app.engine.account import AccountState
from app.engine.exit_plan import LOOKUP_SPACING, LOOKUPS
from app.engine.wire import OrderChange

TRIES = 10
"""Readings of the order book before an open question is handed to the caller."""


class Verdict(Enum):
    """What one reading says of a request."""

    DONE = auto()
    UNDONE = auto()
    TOO_LATE = auto()
    """The order had ended before."""


async def find(state: AccountState, tag: Tag) -> Order | None:
    """An order by its tag, for as long as it takes; None: two readings, a second apart, did not show it."""
    absent = 0
    while True:
        if not state.active:
            await state.wait_active()
        try:
            for order in await state.read_orders():
                if order.tag == tag:
                    return order
            absent += 1
        except AppError:
            absent = 0  # a failed look-up says nothing
        if absent >= LOOKUPS:
            return None
        await asyncio.sleep(LOOKUP_SPACING)


async def settle_change(state: AccountState, number: BrokerOrderId, change: OrderChange, lost: OutcomeUnknown) -> None:
    """Returns when the list shows the order changed.

    Raises Rejected when it ended before, Denied when the change never arrived, OutcomeUnknown when nothing could be
    read.
    """

    def judge(order: Order) -> Verdict:
        if _changed(order, change):
            return Verdict.DONE
        return Verdict.TOO_LATE if order.status.is_final else Verdict.UNDONE

    await _settle(state, number, judge, lost, "The change did not reach the broker; the order stands as it was.")


async def settle_cancel(state: AccountState, number: BrokerOrderId, lost: OutcomeUnknown) -> None:
    """Returns when the list shows the order cancelled, or being so. Raises as `settle_change`."""

    def judge(order: Order) -> Verdict:
        if order.status is OrderStatus.FILLED:
            return Verdict.TOO_LATE
        ended = order.status.is_final or order.status is OrderStatus.CANCEL_PENDING
        return Verdict.DONE if ended else Verdict.UNDONE

    await _settle(state, number, judge, lost, "The cancel did not reach the broker; the order still stands.")


def _changed(order: Order, change: OrderChange) -> bool:
    wanted = (change.quantity, change.price, change.trigger_price)
    shown = (order.quantity, order.price, order.trigger_price)
    return all(want is None or want == now for want, now in zip(wanted, shown, strict=True))


async def _settle(
    state: AccountState, number: BrokerOrderId, judge: Callable[[Order], Verdict], lost: OutcomeUnknown, undone: str
) -> None:
    against = 0
    for _ in range(TRIES):
        try:
            order = next((one for one in await state.read_orders() if one.broker_order_id == number), None)
        except BrokerError:
            order, against = None, 0
        if order is not None:
            verdict = judge(order)
            if verdict is Verdict.DONE:
                return
            if verdict is Verdict.TOO_LATE:
                raise Rejected(f"The order was {order.status} before the request arrived.") from lost
            against += 1
            if against >= LOOKUPS:
                raise Denied(undone, "You may send it again.") from lost
        await asyncio.sleep(LOOKUP_SPACING)
    raise lost
