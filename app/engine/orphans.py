"""Orders of stops that this journal does not know: their profile was put back from a backup, or it is another
computer's.

Their tags have the form of ours, and whether somebody still follows them cannot be told from here. So they are named,
and left alone as long as their position is open; they may be all that guards it. Where it is closed, nobody's stop can
want them: filled they would open a position, and they are taken back. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from app.domain.errors import AppError
from app.domain.events import Event, Level, Noticed
from app.domain.ids import BrokerOrderId, InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.money import in_rupees
from app.domain.order import Order, Purpose
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, stop_of_tag
from app.engine.account import AccountState, PositionReading
from app.engine.delivery import DELIVERED
from app.engine.exit_plan import LOOKUP_SPACING, remaining
from app.engine.orders import OrderManager
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)


class Orphans:
    """One account's."""

    def __init__(
        self,
        state: AccountState,
        orders: OrderManager,
        stops: Mapping[StopId, Stop],
        instrument: Callable[[InstrumentId], Instrument | None],
        publish: Callable[[Event], None],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._orders = orders
        self._stops = stops
        self._instrument = instrument
        self._publish = publish
        self._tasks = tasks
        self._told: set[BrokerOrderId] = set()
        self._looking = False
        self._flat_since: dict[BrokerOrderId, float] = {}
        """Since the beginning of which reading (loop time) every one has shown the position of an order closed."""
        state.on_order.append(self._on_order)
        state.on_positions.append(self._on_positions)

    def _on_order(self, order: Order) -> None:
        if not self._is_orphan(order):
            self._flat_since.pop(order.broker_order_id, None)
        elif order.broker_order_id not in self._told:
            self._told.add(order.broker_order_id)
            self._tell(
                order,
                Level.WARNING,
                "a stop that this profile does not know has an order at the broker",
                "It counts as a stop at the broker, and is taken back once the position is closed. If no other "
                "computer runs its stop, set one here and cancel it in Orders.",
            )
            if self._state.reading is not None:
                self._on_positions(self._state.reading)

    def _is_orphan(self, order: Order) -> bool:
        stop = stop_of_tag(order.tag)
        return stop is not None and stop not in self._stops and not order.status.is_final

    def _on_positions(self, reading: PositionReading) -> None:
        for number in tuple(self._told):
            order = self._state.orders.get(number)
            if order is None or not self._is_orphan(order) or order.product in DELIVERED:
                self._flat_since.pop(number, None)  # a day's order on shares sells out of the holdings
            elif reading.quantity(_key_of(order)) * -order.side.sign > 0:
                self._flat_since.pop(number, None)
            elif reading.began - self._flat_since.setdefault(number, reading.began) >= LOOKUP_SPACING:
                del self._flat_since[number]
                self._tasks.start(self._take_back(order), f"orphan {number}")
        if self._flat_since and not self._looking:
            self._looking = True
            self._tasks.start(self._look_again(), f"orphans of {self._state.account}")

    async def _look_again(self) -> None:
        """A position row may lag: it must be closed for a second."""
        await asyncio.sleep(LOOKUP_SPACING)
        self._looking = False
        try:
            await self._state.read_positions()
        except AppError as failure:
            log.info("positions for orphans: %s", failure)  # the next reading decides

    async def _take_back(self, order: Order) -> None:
        try:
            await self._orders.cancel(order.broker_order_id, purpose=Purpose.EXIT)
        except AppError as failure:
            words = "an order of a stop that nobody here knows could not be taken back, and its position is closed"
            self._tell(order, Level.ALARM, words, f"Cancel it: filled it opens a position. {failure}")
        else:
            words = "an order of a stop that nobody here knows is taken back: its position is closed"
            self._tell(order, Level.WARNING, words, "")

    def _tell(self, order: Order, level: Level, words: str, next_step: str) -> None:
        instrument = self._instrument(order.instrument)
        scale = 100 if instrument is None else instrument.price_scale
        price = order.trigger_price or order.price
        at = f" at {in_rupees(price, scale)}" if price else ""
        what = f"{order.side.capitalize()} {remaining(order)}{at}, order {order.broker_order_id}."
        number = order.broker_order_id
        self._publish(
            Noticed(
                level,
                f"{order.instrument}: {words}",
                what,
                next_step,
                order.account,
                f"orphan:{number}:{words}",
                number if level is Level.ALARM else None,
            )
        )


def _key_of(order: Order) -> PositionKey:
    return PositionKey(order.account, order.instrument, order.product)
