"""Follows one fired stop until its position is proven flat. `exit_plan` decides; here is the I/O around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

from app.brokers.base import ExitLine, ExitReply
from app.domain.errors import AppError, RateLimited
from app.domain.ids import BrokerOrderId, InstrumentId, Tag
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Purpose, Side
from app.domain.stop import Stop, StopState
from app.engine.account import AccountState, PositionReading
from app.engine.asking import Asking
from app.engine.attempts import Attempts
from app.engine.delivery import DELIVERED
from app.engine.exit_alarms import (
    WAITS_FOR_LOGIN,
    Call,
    call,
    closed_twice,
    not_heard_of,
    step_failed,
)
from app.engine.exit_pace import ExitPace
from app.engine.exit_plan import (
    LOOKUP_SPACING,
    CancelOrders,
    Close,
    Convert,
    ExitView,
    Reprice,
    Send,
    SquareOffExcess,
    Step,
    Wait,
    next_look,
    next_step,
)
from app.engine.exit_price import ExitPrice
from app.engine.orders import OrderManager
from app.engine.reads import Haste
from app.engine.record import StopRecord
from app.engine.resting import RestingExits
from app.engine.seen import SeenPosition
from app.engine.silence import Silence
from app.engine.terms import ExitTerms
from app.engine.watching import exit_request

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often a fired stop looks again when the stream says nothing."""
HELD_UP_SECONDS = 3.0
"""A refused exit that is not sent again for so long is told: others may go on trading in its position, say."""


class ExitFollower:
    """One fired stop. Started by the stop engine; ends when the stop is closed."""

    def __init__(
        self,
        stop: Stop,
        instrument: Instrument,
        state: AccountState,
        orders: OrderManager,
        record: StopRecord,
        terms: ExitTerms,
        line: Callable[[], ExitLine | None],
        last_price: Callable[[], Price | None],
        changed: Callable[[Stop], None],
        own: Callable[[Stop, int, int], int | None],
        trades: Callable[[InstrumentId], bool],
        *,
        cleanup: bool = False,
    ) -> None:
        self.stop = stop
        self.instrument = instrument
        self._state = state
        self._orders = orders
        self._record = record
        self._price = ExitPrice(stop, instrument, terms, last_price)
        self._line = line
        self._changed = changed
        self._own = own
        self._trades = partial(trades, instrument.id)
        self.cleanup = cleanup
        self._due: int | None = None
        """Units that its orders will have closed when what was too much is back; None: nothing was asked back."""
        self._attempts = Attempts(stop.id, stop.side, self._loop_time)
        self._resting = RestingExits(
            stop, instrument, self._attempts, self._price, orders, record, self._tell, self.replied
        )
        self._kind = self._price.usual
        self._pace = ExitPace(self._loop_time, self._trades)
        self._asking = Asking()
        self._seen = SeenPosition(stop.key, stop.side, self._loop_time)
        self.gave_up = False
        """An attempt was proven absent: it may come all the same."""
        self._told = False
        """A reading that somebody else asked for has settled what was waited for."""
        self._silence = Silence(self._loop_time)
        self.settled: dict[BrokerOrderId, int] = {}
        """What each order had filled when the stop was closed: news beyond it came too late for this follower."""
        state.on_order.append(self._on_order)
        state.on_positions.append(self._on_positions)
        self._attempts.begin((*state.orders.of(stop.id), *state.orders.of(stop.key)), stop.key)

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()

    # -- what happens to us ------------------------------------------------------------------------------------------

    def sent(self, tags: Mapping[Tag, int], changed: Collection[Tag]) -> None:
        """The hot path wrote the first attempt (or it waits for a connection of the exit line): units by tag, and the
        backstops that it asked to become the exit."""
        self._pace.first_sent()
        self._attempts.sent(tags)
        self._attempts.converting(changed)

    def replied(self, reply: ExitReply) -> None:
        """The broker's answer to an attempt. Called on the loop, from the exit line."""
        if isinstance(reply.error, RateLimited):
            self._pace.rate_limited()
        self._record.note(self.stop, *self._attempts.answered(reply))
        self._asking.news()

    def presume_sent(self, tag: Tag) -> None:
        """After a restart: an earlier process may have sent this attempt. Look it up before anything else."""
        if self._attempts.presume_sent(tag):
            self._record.note(self.stop, "unknown", "it may have been sent before")

    def _on_order(self, order: Order) -> None:
        goes_on = order.status is OrderStatus.PARTIALLY_FILLED and self._attempts.knows(order.broker_order_id)
        self._pace.ended(order)
        if self._attempts.concerns(order, self.stop.key):
            self._seen.heard(order, ours=order.broker_order_id in self._attempts.orders)
            if not goes_on:  # else it fills on, as before: the next look is soon enough, and brokers count reads
                self._asking.news()

    def _on_positions(self, reading: PositionReading) -> None:
        self._seen.take(reading)
        # What still works while its position is turned round already is taken back at once.
        turned = self._seen.turned_for >= LOOKUP_SPACING or (self._seen.turned and bool(self._attempts.live))
        if self._seen.current is not None and turned:
            self._told = True
            self._asking.news()

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> Stop:
        """Until the position is flat. Returns the closed stop."""
        try:
            while not self.stop.state.is_final:
                if not self._state.active:
                    self._tell(WAITS_FOR_LOGIN)
                    await self._state.wait_active()
                if not self._told:
                    await self._look()
                self._told = False
                if self._silence.is_news():
                    self._tell(not_heard_of(self.instrument.symbol, bool(self._attempts.live), self._silence.why))
                step = next_step(view := self._view())
                refused = self._price.refusal is not None and not self._attempts.live
                if isinstance(step, Wait) and refused and view.resting >= HELD_UP_SECONDS:
                    self._tell_why(step.reason)
                try:
                    self._asking.check()
                    await self._take(Wait("the broker has not answered yet") if self._asking.holds(step) else step)
                except AppError as failure:
                    self._record.note(self.stop, "step failed", str(failure))
                    self._tell(step_failed(failure))
                    await self._asking.wait(LOOK_SECONDS)
            return self.stop
        finally:
            self._asking.end()
            self._state.on_order.remove(self._on_order)
            self._state.on_positions.remove(self._on_positions)

    @property
    def _own_position(self) -> int | None:
        """What of the position is this stop's, as far as it is known. Shares that do not trade may be on their way into
        a holding: that they are gone is believed where orders have sold them."""
        position, closed = self._seen.current, self._attempts.closed
        if position is None:
            return None
        if (mine := self._own(self.stop, position, closed)) is None:
            return 0 if self._attempts.live else None  # what is out is taken back by both: it would be sold twice
        sold = closed + self._attempts.elsewhere >= self.stop.quantity
        moves = self.stop.key.product in DELIVERED and not (sold or self._trades())
        return None if moves and mine * -self.stop.side.sign <= 0 else mine

    def _view(self) -> ExitView:
        now, attempts = self._loop_time(), self._attempts
        return ExitView(
            side=self.stop.side,
            quantity=self.stop.quantity,
            orders=attempts.in_order,
            position=self._own_position,
            position_age=self._seen.age,
            turned_for=self._seen.turned_for,
            in_flight=attempts.in_flight,
            unresolved=attempts.unresolved,
            lookups=attempts.lookups,
            refused=self._price.learn(attempts.turned_down(self.stop.tag()), attempts.asked or self.stop.quantity),
            resting=now - attempts.acted_at,
            modifications=self._price.changes_left(attempts.live, self._state.changes),
            kind=self._kind,
            takes_market=self._price.usual is OrderKind.MARKET,
            cleanup=self.cleanup,
            slice_size=self._price.slice_size,
            changing=attempts.changing,
            converts=self._price.converts and not attempts.unchangeable,
            conversions=attempts.conversions,
        )

    def leaves_open(self, *, followed_before: bool) -> bool:
        """Of a stop that had closed: its orders may have left units open. What went back went back twice, or an earlier
        run asked for it: how much of it is not known. `followed_before`: to its end, in this run."""
        if self._due is not None:
            return self.cleanup and self._attempts.closed < self._due
        return self.cleanup and not followed_before and (self._attempts.went_back or not self._attempts.orders)

    @property
    def _haste(self) -> Haste:
        return self._seen.haste(live=bool(self._attempts.live), open_question=self._attempts.unresolved or self.cleanup)

    async def _look(self) -> None:
        """Reads what the next decision needs. A failed read leaves the picture as it was, and unknown where it was."""
        if self._attempts.in_flight:
            return
        try:
            # Orders before the position: a fill between the two reads shows as "not yet updated", never as doubled.
            await self._state.read_orders(self._haste)
            for absent in self._attempts.looked_up():
                self.gave_up = True
                self._record.note(self.stop, "absent", f"order {absent} does not exist")
            elsewhere = self._told and self._seen.current is not None  # read meanwhile, as it was waited for
            if not (elsewhere or (self._haste is Haste.ROUTINE and self._seen.recent)):
                await self._state.read_positions(self._haste)
            self._silence.heard()
        except AppError as failure:
            self._seen.unread()
            self._silence.failed(failure)
            log.info("stop %s: %s", self.stop.id, failure.cause)

    async def _take(self, step: Step) -> None:
        if isinstance(step, Wait):
            await self._mark_exiting()
            await self._asking.wait(next_look(self._seen.settling, LOOK_SECONDS))
        elif isinstance(step, Send):
            await self._send(step)
        elif isinstance(step, Reprice):
            await self._asking.ask(step, self._resting.reprice(step), LOOK_SECONDS)
        elif isinstance(step, Convert):
            convert = self._resting.convert(step, lambda: abs(self._own_position or self.stop.quantity))
            await self._asking.ask(step, convert, LOOK_SECONDS)
        elif isinstance(step, CancelOrders):
            await self._asking.ask(step, self._resting.cancel(step), LOOK_SECONDS)
        elif isinstance(step, SquareOffExcess):
            await self._square_off_excess(step)
        else:
            await self._close(step)

    async def _mark_exiting(self) -> None:
        """The broker knows the exit: the journal hears which order it is."""
        newest = next(iter(reversed(self._attempts.in_order)), None)
        if newest is not None and self.stop.exit_order != newest.broker_order_id:
            self.stop = replace(self.stop, state=StopState.EXITING, exit_order=newest.broker_order_id)
            await self._save("exiting", f"order {newest.broker_order_id}")

    async def _send(self, step: Send) -> None:
        """The next attempt: intents on disk first, then the wire."""
        self._tell_why(step.reason)
        if self._pace.wait:
            await self._asking.wait(min(LOOK_SECONDS, self._pace.wait))
            return  # what was read may be old by now
        live = self._attempts.live
        requests = await self._write_down(step, self.stop.side, "attempt", step.reason)
        if self._attempts.live - live or not self._holds(self._seen.current, step.quantity):
            return  # while the journal wrote, a late order or a smaller position turned up: decide again
        self._pace.sent()
        await self._leave(step, requests)

    async def _write_down(self, step: Send | SquareOffExcess, side: Side, what: str, why: str) -> list[OrderRequest]:
        """The next attempt's orders, durable when this returns."""
        self.stop = replace(self.stop, attempt=self.stop.attempt + 1)
        requests = [exit_request(self.stop, units, step.kind, side, number=n) for n, units in enumerate(step.sizes, 1)]
        told = f"{self.stop.attempt}: {side} {' + '.join(map(str, step.sizes))} {step.kind}, {why}"
        await self._save(what, told, *requests)
        return requests

    async def _leave(self, step: Step, requests: list[OrderRequest]) -> None:
        side, self._kind = requests[0].side, requests[0].kind
        price = self._price.limit(side) if self._kind is OrderKind.LIMIT else None
        self._attempts.sent({Tag(one.tag or ""): one.quantity for one in requests}, side)
        await self._asking.ask(step, self._each(requests, side, price))

    async def _each(self, requests: list[OrderRequest], side: Side, price: Price | None) -> None:
        """One after the other, as long as what is left of them fits the position."""
        for sent, request in enumerate(requests):
            fits = partial(self._fits, sum(one.quantity for one in requests[sent:]), side)
            line = self._line() if fits() else None
            if line is None or not self._orders.fire(
                line, line.prepare(request, self.stop.price_scale), self.replied, price
            ):
                await self._place(replace(request, price=price), fits)

    def _holds(self, position: int | None, quantity: int, side: Side | None = None) -> bool:
        """What is this stop's of a position is large enough for so much (F4). `side`: of what takes it back."""
        held = None if position is None else self._own(self.stop, position, self._attempts.closed)
        return held is not None and held * -(side or self.stop.side).sign >= quantity

    def _tell_why(self, reason: str) -> None:
        """Calls the trader, once for each attempt, where an exit did not do its work."""
        pace, refusal = self._pace, self._price.refusal
        if pace.news("exit", pace.sends, refusal):
            orders, refused = self._state.orders.values(), self._attempts.refused
            told = call(self.stop, self.instrument.symbol, pace.sends, refusal, str(refused or reason), orders)
            pace.held_by = frozenset() if told is None else told.held_by
            if told is not None:
                self._tell(told)

    def _tell(self, told: Call) -> None:
        self._record.alarm(self.stop, told.cause, told.next_step, told.detail, key=told.key, order=told.order)

    def _fits(self, left: int, side: Side) -> bool:
        """So many units of an attempt are not out yet, and the long way takes a while for each order: whether they are
        there still. Our own fills change nothing."""
        return not self._attempts.overtaken and self._holds(self._seen.quantity, left, side)

    async def _place(self, request: OrderRequest, fits: Callable[[], bool]) -> None:
        """The long way, when no connection of the exit line is ready."""
        tag = request.tag or Tag("")
        try:
            order = await self._orders.send(request, Purpose.EXIT, fits)
            self.replied(ExitReply(tag, order, None, 0, 0))
        except AppError as failure:
            self.replied(ExitReply(tag, None, failure, 0, 0))

    async def _square_off_excess(self, step: SquareOffExcess) -> None:
        """Two exits crossed on the wire (F4): the excess goes back, loudly, and is followed like an exit."""
        if self._pace.news("excess", self.stop.attempt, step.quantity):
            self._tell(closed_twice(self.instrument.symbol, step.quantity))
        if self._pace.excess_wait:
            await self._asking.wait(min(LOOK_SECONDS, self._pace.excess_wait))
            return
        requests = await self._write_down(step, step.side, "excess", "it was closed twice")
        if not self._holds(self._seen.current, step.quantity, step.side):
            return  # while the journal wrote, somebody took it back: decide again
        self._due = self._attempts.closed - step.quantity
        self._pace.excess_sent(again=bool(self._attempts.refused or self._price.refusal))
        await self._leave(step, requests)

    async def _close(self, step: Close) -> None:
        exits = self._attempts.exits
        self.settled = self._attempts.filled
        self.stop = replace(
            self.stop,
            state=StopState.CLOSED,
            quantity=max(self.stop.quantity, self._attempts.closed),  # after a restart more than this came too late
            closed_at=self._state.clock.now(),
            exit_average=self._attempts.average,
            exit_order=exits[-1].broker_order_id if exits else self.stop.exit_order,
            note=self._attempts.how_closed(step.filled),
        )
        await self._save("position flat", f"{step.filled} units by {len(exits)} order{'s' * (len(exits) > 1)}")

    async def _save(self, what: str, detail: str, *intents: OrderRequest) -> None:
        """State to the journal and to whoever watches the stop."""
        await self._record.keep(self.stop, what, detail, *intents)
        self._changed(self.stop)
