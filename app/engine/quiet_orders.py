"""Asks where nobody tells: orders of which no news came for a while, and all of them while the stream is down (F8).

One reading of the list answers for all. An order that should move is asked after at once, a resting one now and then;
one that does not move is asked after less and less often. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from app.domain.errors import AppError
from app.domain.ids import BrokerOrderId
from app.domain.order import Order, OrderKind, OrderStatus, Variety
from app.engine.account import AccountState

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
SOON_SECONDS = 2.0
"""For an order that should move by itself, and for every order while the stream is down."""
RESTING_SECONDS = 15.0
SELDOM_SECONDS = 30.0
"""At most: the whole account is read as often anyway."""

_ON_THE_WAY = frozenset({OrderStatus.SUBMITTED, OrderStatus.UNKNOWN, OrderStatus.CANCEL_PENDING})


def _none(_order: Order) -> bool:
    return False


class QuietOrders:
    """One account's."""

    def __init__(
        self, state: AccountState, connected: Callable[[], bool], crosses: Callable[[Order], bool] = _none
    ) -> None:
        self._state = state
        self._connected = connected
        """Order updates would come by themselves."""
        self._crosses = crosses
        """A fill of this order would turn round what a stop has just closed."""
        self._listed_at = 0.0
        self._fruitless: dict[BrokerOrderId, int] = {}
        """Lists in a row that said nothing new of an order."""
        state.on_listed.append(self._on_listed)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._state.active and self._due():
                await self._ask()

    def _due(self) -> bool:
        """Whether some order has been quiet for too long."""
        unheard = asyncio.get_running_loop().time() - self._listed_at
        return any(
            min(unheard, self._state.quiet_for(order.broker_order_id)) >= self._patience(order)
            for order in self._state.orders.values()
            if not order.status.is_final
        )

    def _patience(self, order: Order) -> float:
        if not self._connected() or self._crosses(order):
            return SOON_SECONDS
        on_the_way = order.status in _ON_THE_WAY and order.variety != Variety.AMO
        moving = on_the_way or order.kind is OrderKind.MARKET
        first = SOON_SECONDS if moving else RESTING_SECONDS
        return min(first * (1 << min(self._fruitless.get(order.broker_order_id, 0), 8)), SELDOM_SECONDS)

    async def _ask(self) -> None:
        filled = self._filled()
        try:
            await self._state.read_orders()
            if self._filled() != filled:
                await self._state.read_positions()
        except AppError as failure:  # said by who reads regularly; the next look is a second away
            log.info("quiet orders of %s could not be read: %s", self._state.account, failure.cause)

    def _filled(self) -> int:
        return sum(order.filled_quantity for order in self._state.orders.values())

    def _on_listed(self, _orders: Sequence[Order], began: float) -> None:
        self._listed_at = began
        since = asyncio.get_running_loop().time() - began
        for number, order in self._state.orders.items():
            if order.status.is_final or self._state.quiet_for(number) <= since:
                self._fruitless.pop(number, None)
            else:
                self._fruitless[number] = self._fruitless.get(number, 0) + 1
