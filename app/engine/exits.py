"""Follows one fired stop until its position is proven flat. `exit_plan` decides; here is the I/O around it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from app.brokers.base import ExitLine, ExitReply
from app.domain.errors import (
    AppError,
    Denied,
    NotPermitted,
    RateLimited,
    Rejected,
    SessionExpired,
    Unreachable,
)
from app.domain.ids import BrokerOrderId, Tag
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest
from app.domain.stop import Stop, StopState, exit_tag, stop_of_tag
from app.engine.account import AccountState, PositionReading
from app.engine.exit_plan import (
    LOOKUP_SPACING,
    LOOKUPS,
    CancelOrders,
    Close,
    ExitView,
    Reprice,
    Send,
    SquareOffExcess,
    Wait,
    next_step,
)
from app.engine.record import StopRecord
from app.engine.rules import ExitRules, limit_pricer
from app.engine.watching import exit_request
from app.runtime.clock import to_datetime

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often a fired stop looks again when the stream says nothing."""
FIRST_ATTEMPTS = 3
"""Attempts that follow each other at once; later ones wait `LATER_SECONDS` and raise an alarm each."""
LATER_SECONDS = 2.0
REFUSED = (Rejected, NotPermitted, SessionExpired, RateLimited, Denied)
"""Answers that prove that no order exists."""


class ExitFollower:
    """One fired stop. Started by the stop engine; ends when the stop is closed."""

    def __init__(
        self,
        stop: Stop,
        instrument: Instrument,
        state: AccountState,
        record: StopRecord,
        rules: ExitRules,
        line: Callable[[], ExitLine | None],
        last_price: Callable[[], Price | None],
        changed: Callable[[Stop], None],
    ) -> None:
        self.stop = stop
        self._instrument = instrument
        self._state = state
        self._record = record
        self._rules = rules
        self._line = line
        self._last_price = last_price
        self._changed = changed
        self._orders: dict[BrokerOrderId, Order] = {}
        self._news = asyncio.Event()
        self._in_flight: Tag | None = None
        self._unresolved: Tag | None = None
        self._lookups = 0
        self._looked_up_at = 0.0
        self._refused: AppError | None = None
        self._kind = self._first_kind()
        self._acted_at = self._loop_time()
        self._reprices = 0
        self._position: int | None = None
        self._position_since = 0.0
        state.on_order.append(self._on_order)
        state.on_positions.append(self._on_positions)
        for order in state.orders.values():
            self._adopt(order)

    def _first_kind(self) -> OrderKind:
        try:
            day = to_datetime(self._state.clock.now()).date()
            return self._rules.rule(self._broker, self._instrument, day).kind
        except Denied:
            return OrderKind.LIMIT

    @property
    def _broker(self) -> str:
        return self.stop.key.account.partition("-")[0]

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()

    # -- what happens to us ------------------------------------------------------------------------------------------

    def sent(self, tag: Tag) -> None:
        """An attempt was written to the wire (or waits for a connection of the exit line)."""
        self._in_flight = tag
        self._acted_at = self._loop_time()

    def replied(self, reply: ExitReply) -> None:
        """The broker's answer to an attempt. Called on the loop, from the exit line."""
        if self._in_flight == reply.tag:
            self._in_flight = None
        if reply.error is None:
            self._refused = None
            self._record.note(self.stop, "acknowledged", f"order {reply.order}")
        elif isinstance(reply.error, REFUSED):
            self._refused = reply.error
            self._record.note(self.stop, "refused", str(reply.error))
        elif isinstance(reply.error, Unreachable):
            self._record.note(self.stop, "not sent", str(reply.error))
        else:
            self._give_up_waiting(Tag(reply.tag), str(reply.error))
        self._news.set()

    def presume_sent(self, tag: Tag) -> None:
        """After a restart: an earlier process may have sent this attempt. Look it up before anything else."""
        if not any(order.tag == tag for order in self._orders.values()):
            self._give_up_waiting(tag, "sent by an earlier run")

    def _give_up_waiting(self, tag: Tag, why: str) -> None:
        self._unresolved = tag
        self._lookups = 0
        self._looked_up_at = self._loop_time()
        self._record.note(self.stop, "unknown", why)

    def _on_order(self, order: Order) -> None:
        if self._adopt(order):
            self._news.set()

    def _adopt(self, order: Order) -> bool:
        if stop_of_tag(order.tag) != self.stop.id:
            return False
        self._orders[order.broker_order_id] = order
        if order.tag == self._unresolved:
            self._unresolved = None
        return True

    def _on_positions(self, reading: PositionReading) -> None:
        quantity = reading.quantity(self.stop.key)
        if quantity != self._position:
            self._position = quantity
            self._position_since = self._loop_time()

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> Stop:
        """Until the position is flat. Returns the closed stop."""
        try:
            while not self.stop.state.is_final:
                if not self._state.active:
                    self._record.alarm(
                        self.stop, "The exit waits for a login.", "Log in again now: the position is still open."
                    )
                    await self._state.wait_active()
                await self._look()
                step = next_step(self._view())
                try:
                    await self._take(step)
                except AppError as failure:
                    self._record.note(self.stop, "step failed", str(failure))
                    self._record.alarm(self.stop, "An exit step failed.", "Stopline keeps trying.", str(failure))
                    await self._wait(LOOK_SECONDS)
            return self.stop
        finally:
            self._state.on_order.remove(self._on_order)
            self._state.on_positions.remove(self._on_positions)

    def _view(self) -> ExitView:
        now = self._loop_time()
        return ExitView(
            side=self.stop.side,
            quantity=self.stop.quantity,
            orders=tuple(sorted(self._orders.values(), key=lambda order: order.tag or "")),
            position=self._position,
            position_age=now - self._position_since,
            in_flight=self._in_flight is not None,
            unresolved=self._unresolved is not None,
            lookups=self._lookups,
            refused=self._refused is not None,
            resting=now - self._acted_at,
            reprices=self._reprices,
            kind=self._kind,
        )

    async def _look(self) -> None:
        """Reads what the next decision needs. A failed read leaves the picture as it was, and unknown where it was."""
        if self._in_flight is not None:
            return
        try:
            # Orders before the position: a fill between the two reads shows as "not yet updated", never as doubled.
            await self._state.read_orders()
            now = self._loop_time()
            if self._unresolved is not None and now - self._looked_up_at >= LOOKUP_SPACING:
                self._lookups += 1
                self._looked_up_at = now
                if self._lookups == LOOKUPS:
                    self._record.note(self.stop, "absent", f"order {self._unresolved} does not exist")
            await self._state.read_positions()
        except AppError as failure:
            self._position = None
            log.info("stop %s: %s", self.stop.id, failure.cause)

    async def _wait(self, seconds: float) -> None:
        """Until there is news, at most so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)
        self._news.clear()

    async def _take(self, step: Wait | Send | Reprice | CancelOrders | SquareOffExcess | Close) -> None:
        if isinstance(step, Wait):
            await self._mark_exiting()
            await self._wait(LOOK_SECONDS)
        elif isinstance(step, Send):
            await self._send(step)
        elif isinstance(step, Reprice):
            await self._reprice(step)
        elif isinstance(step, CancelOrders):
            self._record.note(self.stop, "cancelling", f"{', '.join(step.orders)}: {step.reason}")
            for order in step.orders:
                await self._state.session.cancel(order)
            self._acted_at = self._loop_time()
            await self._wait(LOOK_SECONDS)
        elif isinstance(step, SquareOffExcess):
            await self._square_off_excess(step)
        else:
            await self._close(step)

    async def _mark_exiting(self) -> None:
        """The broker knows the exit: the journal hears which order it is."""
        newest = max(self._orders.values(), key=lambda order: order.tag or "", default=None)
        if newest is not None and self.stop.exit_order != newest.broker_order_id:
            self.stop = replace(self.stop, state=StopState.EXITING, exit_order=newest.broker_order_id)
            await self._save("exiting", f"order {newest.broker_order_id}")

    async def _send(self, step: Send) -> None:
        """The next attempt: intent on disk first, then the wire."""
        if self.stop.attempt >= FIRST_ATTEMPTS:
            self._record.alarm(
                self.stop,
                f"{self._instrument.symbol} is still open after {self.stop.attempt} exit attempts.",
                "Stopline keeps trying; consider closing it by hand.",
                str(self._refused or step.reason),
            )
            await self._wait(LATER_SECONDS)
        elif isinstance(self._refused, RateLimited):
            await asyncio.sleep(1.0)  # the broker counts per calendar second
        elif self._refused is not None:
            self._record.alarm(
                self.stop, "The exit was refused; the next price or kind follows at once.", "", str(self._refused)
            )
        self._unresolved = None
        self._refused = None
        self._kind = step.kind
        self.stop = replace(self.stop, attempt=self.stop.attempt + 1)
        request = exit_request(self.stop, step.quantity, step.kind)
        await self._save("attempt", f"{self.stop.attempt}: {step.quantity} {step.kind}, {step.reason}", request)
        last = self._last_price() or self.stop.fired_price or self.stop.trigger
        price = self._limit(last) if step.kind is OrderKind.LIMIT else None
        tag = self.stop.tag()
        line = self._line()
        if line is not None:
            self.sent(tag)
            prepared = line.prepare(request, self.stop.price_scale)
            if line.fire(prepared, self.replied, price):
                return
            self._in_flight = None
        await self._place(replace(request, price=price), tag)

    async def _place(self, request: OrderRequest, tag: Tag) -> None:
        """The long way, when no connection of the exit line is ready."""
        self.sent(tag)
        try:
            order = await self._state.session.place(request)
            self.replied(ExitReply(tag, order, None, 0, 0))
        except AppError as failure:
            self.replied(ExitReply(tag, None, failure, 0, 0))

    def _limit(self, last: Price) -> Price:
        day = to_datetime(self._state.clock.now()).date()
        rule = self._rules.rule(self._broker, self._instrument, day)
        return limit_pricer(rule, self._instrument, self.stop.side, widen=min(1 + self._reprices, 3))(last)

    async def _reprice(self, step: Reprice) -> None:
        self._reprices += 1
        self._acted_at = self._loop_time()
        price = self._limit(self._last_price() or self.stop.fired_price or self.stop.trigger)
        self._record.note(self.stop, "priced anew", f"order {step.order} at {price}")
        with contextlib.suppress(Rejected):  # filled or cancelled meanwhile: the next look tells
            await self._state.session.modify(step.order, price=price)
        await self._wait(LOOK_SECONDS)

    async def _square_off_excess(self, step: SquareOffExcess) -> None:
        """Two exits crossed on the wire (F4): the excess goes back, loudly."""
        self._record.alarm(
            self.stop,
            f"{self._instrument.symbol} was closed twice; the excess of {step.quantity} is being squared off.",
            "Check the position.",
        )
        tag = exit_tag(self.stop.id, self.stop.attempt + 1, 1)
        self.stop = replace(self.stop, attempt=self.stop.attempt + 1)
        request = replace(exit_request(self.stop, step.quantity, OrderKind.MARKET), side=step.side, tag=tag)
        if self._first_kind() is OrderKind.LIMIT:
            reach = self._last_price() or self.stop.trigger
            rule = self._rules.rule(self._broker, self._instrument, to_datetime(self._state.clock.now()).date())
            price = limit_pricer(rule, self._instrument, step.side)(reach)
            request = replace(request, kind=OrderKind.LIMIT, price=price)
        await self._save("excess", f"{step.side} {step.quantity}", request)
        await self._state.session.place(request)
        # The opposite order is not an exit: it ends this stop, whatever the position does next.
        await self._close(Close(sum(order.filled_quantity for order in self._orders.values())))

    async def _close(self, step: Close) -> None:
        filled = [order for order in self._orders.values() if order.filled_quantity and order.side is self.stop.side]
        value = sum((order.average_price or 0) * order.filled_quantity for order in filled)
        units = sum(order.filled_quantity for order in filled)
        self.stop = replace(
            self.stop,
            state=StopState.CLOSED,
            closed_at=self._state.clock.now(),
            exit_average=value // units if units else None,
            exit_order=filled[-1].broker_order_id if filled else self.stop.exit_order,
            note="position flat" if step.filled else "position was closed by another order",
        )
        await self._save("position flat", f"{step.filled} units by {len(filled)} orders")

    async def _save(self, what: str, detail: str, intent: OrderRequest | None = None) -> None:
        """State to the journal and to whoever watches the stop."""
        await self._record.keep(self.stop, what, detail, intent)
        self._changed(self.stop)
