"""What is done to orders of an exit that rest at the broker: a marketable price, an end. Loop thread only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from app.brokers.base import ExitReply
from app.domain.errors import AppError, Rejected
from app.domain.ids import BrokerOrderId, Tag
from app.domain.instrument import Instrument
from app.domain.money import in_rupees
from app.domain.order import Purpose
from app.domain.stop import Stop
from app.engine.attempts import Attempts
from app.engine.exit_alarms import Call, priced_anew
from app.engine.exit_plan import CancelOrders, Convert, Reprice, remaining
from app.engine.exit_price import ExitPrice
from app.engine.orders import OrderManager
from app.engine.record import StopRecord

STEPS_BEFORE_ALARM = 3
"""New prices of a resting exit before the trader is called."""


class RestingExits:
    """Of one fired stop."""

    def __init__(
        self,
        stop: Stop,
        instrument: Instrument,
        attempts: Attempts,
        price: ExitPrice,
        orders: OrderManager,
        record: StopRecord,
        tell: Callable[[Call], None],
        replied: Callable[[ExitReply], None],
    ) -> None:
        self._stop = stop
        self._instrument = instrument
        self._attempts = attempts
        self._price = price
        self._orders = orders
        self._record = record
        self._tell = tell
        self._replied = replied

    async def convert(self, step: Convert, most: Callable[[], int]) -> None:
        """Backstops become the exit: no second order, no second margin. `most`: units that each may close now."""
        orders = [self._attempts.orders[number] for number in step.orders]
        self._attempts.converting([Tag(order.tag or "") for order in orders])
        for order in orders:
            units = min(remaining(order), most())
            number, failure = order.broker_order_id, None
            try:
                await self._orders.wire.make_marketable(number, self._price.limit(order.side), units)
            except AppError as error:
                failure = error
            self._replied(ExitReply(Tag(order.tag or ""), number if failure is None else None, failure, 0, 0))

    async def reprice(self, step: Reprice) -> None:
        """Nearer to where the market is."""
        self._price.rests()
        if self._price.steps == STEPS_BEFORE_ALARM:
            self._tell(priced_anew(self._instrument.symbol))
        self._attempts.acted()
        for order, total in zip(step.orders, step.totals or (None,) * len(step.orders), strict=True):
            price = self._price.limit((known := self._attempts.orders[order]).side)
            if total is None and price == known.price:
                continue  # at a circuit limit, say: a change would cost its place in the exchange's queue
            self._price.changed(order)
            told = f"order {order} at {in_rupees(price, self._stop.price_scale)}"
            self._record.note(self._stop, "priced anew", told)
            with contextlib.suppress(Rejected):  # filled or cancelled meanwhile: the next look tells
                await self._orders.modify(order, quantity=total, price=price, purpose=Purpose.REPRICE)

    async def cancel(self, step: CancelOrders) -> None:
        """They must not fill any more."""
        self._record.note(self._stop, "cancelling", f"{', '.join(step.orders)}: {step.reason}")
        await asyncio.gather(*map(self._end, step.orders))  # one that is not answered keeps no other working
        self._attempts.acted()

    async def _end(self, order: BrokerOrderId) -> None:
        with contextlib.suppress(Rejected):  # filled meanwhile: the next look tells
            await self._orders.cancel(order, purpose=Purpose.EXIT)
