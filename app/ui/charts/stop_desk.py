"""The talk between the stop lines of one chart and the desk: what is held, what guards it, what was asked and answered.

GUI thread. Every answer is checked against what happened while it was under way: a fired stop is never painted armed
again by a late reply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from app.desk.messages import StopPreview
from app.domain.errors import AppError, Cancelled
from app.domain.events import FeedState
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.instrument import Instrument, Product
from app.domain.money import Paise, Price
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, StopPlan
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.charts.overlays import PositionMark
from app.ui.charts.stop_line import StopLine
from app.ui.charts.target_line import TargetLine

_SIGHTED = frozenset({FeedState.LIVE, FeedState.CLOSED})
"""With the market closed no price is missing; everything else leaves a stop blind."""


_DELIVERED = (Product.CNC, Product.MTF)


class StopDesk:
    """Positions and stops of one instrument, as lines. `changed` is called when something is to be painted anew."""

    def __init__(self, bridge: Bridge, changed: Callable[[], None]) -> None:
        self._bridge = bridge
        self._changed = changed
        self._instrument: Instrument | None = None
        self._lines: dict[PositionKey, StopLine] = {}
        self._targets: dict[PositionKey, TargetLine] = {}
        self._break_even: dict[PositionKey, Price | None] = {}
        self._feeds: dict[AccountId, FeedState] = {}
        self._names: dict[AccountId, str] = {}
        self._heard: dict[PositionKey, int] = {}
        """How many events came of each position's stop: an answer older than an event is not believed."""
        self._standing: dict[PositionKey, Stop] = {}
        """The first stop of each position that is not final, also of positions not yet heard of."""
        self._further: dict[StopId, tuple[StopLine, TargetLine]] = {}
        """Lines of the other stops that share a position."""
        self._asking: set[int] = set()

    # --- what is shown ---------------------------------------------------------------------------------------------

    def lines(self) -> list[StopLine]:
        """What the canvas draws."""
        return [line for line in self._all() if line.shown]

    def _all(self) -> list[StopLine]:
        further = (line for pair in self._further.values() for line in pair)
        return [*self._lines.values(), *self._targets.values(), *further]

    def marks(self, last: Price | None) -> list[PositionMark]:
        """Open positions at the last price."""
        return [
            _mark(line.instrument, line.position, last, self._break_even.get(key), line.whose)
            for key, line in self._lines.items()
            if line.position.quantity and line.position.average_price
        ]

    @property
    def feed(self) -> FeedState | None:
        """The best feed of any account, None before one was heard of."""
        order = (FeedState.LIVE, FeedState.CLOSED, FeedState.SILENT, FeedState.CONNECTING, FeedState.DOWN)
        known = set(self._feeds.values())
        return next((state for state in order if state in known), next(iter(known), None))

    # --- what the desk says ----------------------------------------------------------------------------------------

    def show(self, instrument: Instrument) -> None:
        """Another instrument: its lines come with `read`."""
        self._instrument = instrument
        self._lines.clear()
        self._targets.clear()
        self._break_even.clear()
        self._heard.clear()
        self._standing.clear()
        self._further.clear()
        self._changed()

    async def read(self) -> None:
        """Reads positions, stops and feeds. Raises AppError."""
        instrument, desk = self._instrument, self._bridge.desk
        if instrument is None:
            return
        heard = dict(self._heard)
        accounts = await self._bridge.call(desk.session.accounts())
        positions = await self._bridge.call(desk.portfolio.positions())
        stops = await self._bridge.call(desk.stops.stops())
        if self._instrument is not instrument:
            return
        for account in accounts:
            self._feeds.setdefault(account.id, account.feed)
            self._names[account.id] = account.name
        for position in positions:
            self._take(position)
        for stop in stops:
            if (
                stop.key.instrument == instrument.id
                and not stop.state.is_final
                and self._heard.get(stop.key) == heard.get(stop.key)
            ):
                self._acknowledge(stop)
        self._look()

    def on_positions(self, account: AccountId, positions: Sequence[Position]) -> None:
        """All positions of an account; one that is not among them is not held any more."""
        if self._instrument is None:
            return
        ours = [p for p in positions if p.key.instrument == self._instrument.id]
        for position in ours:
            self._take(position)
        told = {p.key for p in ours}
        for key in [k for k in self._lines if k.account == account and k not in told]:
            if self._lines[key].stop is None and self._lines[key].wish is None:
                del self._lines[key]
                self._targets.pop(key, None)
        self._look()

    def on_stop(self, stop: Stop) -> None:
        """The desk's word on a stop."""
        if self._instrument is None or stop.key.instrument != self._instrument.id:
            return
        self._heard[stop.key] = self._heard.get(stop.key, 0) + 1
        self._acknowledge(stop)
        self._look()

    def on_feed(self, account: AccountId, state: FeedState) -> None:
        """Whether prices reach the account's stops."""
        if self._feeds.get(account) is not state:
            self._feeds[account] = state
            self._look()

    def _take(self, position: Position) -> None:
        instrument = self._instrument
        if instrument is None or position.key.instrument != instrument.id:
            return
        line = self._lines.get(position.key)
        if line is None:
            if not position.quantity:
                return
            line = self._lines[position.key] = StopLine(instrument, position)
            target = self._targets[position.key] = TargetLine(instrument, position)
            if position.key in self._standing:
                line.acknowledge(self._standing[position.key])
                target.acknowledge(self._standing[position.key])
        elif (line.position.quantity, line.position.average_price, line.position.sell_value) != (
            position.quantity,
            position.average_price,
            position.sell_value,
        ):
            line.forget()
            self._targets[position.key].forget()
            self._break_even.pop(position.key, None)
        line.position = self._targets[position.key].position = position
        for further in (line for pair in self._further.values() for line in pair):
            if further.key == position.key:
                further.position = position
                further.forget()
        if position.quantity and position.key not in self._break_even:
            self._break_even[position.key] = None
            self._bridge.start(self._read_break_even(instrument.id, position.key), "break-even")

    def _acknowledge(self, stop: Stop) -> None:
        standing = self._standing.get(stop.key)
        if standing is not None and standing.id != stop.id:
            self._acknowledge_further(stop)
            return
        if not stop.state.is_final:
            self._standing[stop.key] = stop
            self._guarded(stop)
        elif standing is None:
            return  # an older stop of the position ended
        else:
            del self._standing[stop.key]
        for line in (self._lines.get(stop.key), self._targets.get(stop.key)):
            if line is not None:
                line.acknowledge(stop)
        if stop.state.is_final:
            self._promote(stop.key)

    def _guarded(self, stop: Stop) -> None:
        """A stop on a holding has no position of today: its own units stand for it."""
        instrument, none = self._instrument, Decimal(0)
        if instrument is not None and stop.key.product in _DELIVERED and stop.key not in self._lines:
            units = -stop.side.sign * stop.quantity
            position = Position(stop.key, units, none, stop.trigger, stop.trigger, 0, none, 0, none)
            self._lines[stop.key] = StopLine(instrument, position)
            self._targets[stop.key] = TargetLine(instrument, position)

    def _acknowledge_further(self, stop: Stop) -> None:
        if stop.state.is_final:
            self._further.pop(stop.id, None)
            return
        first = self._lines.get(stop.key)
        if first is not None and stop.id not in self._further:
            pair = StopLine(first.instrument, first.position), TargetLine(first.instrument, first.position)
            self._further[stop.id] = pair
        for line in self._further.get(stop.id, ()):
            line.acknowledge(stop)

    def _promote(self, key: PositionKey) -> None:
        """The first stop of a position has ended: another one's line takes its place."""
        for stop_id, (other, _target) in list(self._further.items()):
            if other.key == key and other.stop is not None:
                del self._further[stop_id]
                self._acknowledge(other.stop)
                return
        first = self._lines.get(key)
        if first is not None and not first.position.average_price:
            del self._lines[key]  # of a holding
            self._targets.pop(key, None)

    def _look(self) -> None:
        several = len({line.key.account for line in self._all()}) > 1
        for line in self._all():
            line.whose = self._names.get(line.key.account, str(line.key.account)) if several else ""
            line.blind = self._feeds.get(line.key.account) not in _SIGHTED
            self.foresee(line)
        self._changed()

    # --- what the trader wants -------------------------------------------------------------------------------------

    def wish(self, line: StopLine, trigger: Price | None) -> None:
        """Arm or move to `trigger`, or disarm (None). One wish at a time; a second one is ignored."""
        if line.wish is not None or (trigger is None and line.stop is None):
            return
        line.ask(trigger)
        self.foresee(line)
        self._changed()
        self._bridge.start(self._send(line, trigger), "stop")

    async def _send(self, line: StopLine, trigger: Price | None) -> None:
        desk, stop = self._bridge.desk, line.stop
        heard = self._heard.get(line.key, 0)
        try:
            if stop is None:
                if trigger is None:
                    line.answer()
                    return
                answer = await self._bridge.call(desk.stops.arm(line.key, StopPlan(trigger)))
            elif (plan := line.plan(stop, trigger)) is not None:
                answer = await self._bridge.call(desk.stops.change(stop.id, plan))
            elif trigger is None:
                answer = await self._bridge.call(desk.stops.disarm(stop.id))
            else:
                answer = await self._bridge.call(desk.stops.move(stop.id, trigger))
        except Cancelled:
            line.answer()
        except AppError as refused:
            line.refuse(str(refused))
        except Exception:
            line.refuse("something went wrong inside Stopline; look at the list of stops for what guards")
            raise
        else:
            line.answer()
            if self._heard.get(line.key, 0) == heard:
                self._acknowledge(answer)
        finally:
            self.foresee(line)
            self._changed()

    # --- what it would mean ----------------------------------------------------------------------------------------

    def foresee(self, line: StopLine) -> None:
        """Asks the desk what a stop at the shown trigger would bring, unless that is known or being asked."""
        if line.trigger is not None and line.trigger != line.foreseen and id(line) not in self._asking:
            self._asking.add(id(line))
            self._bridge.start(self._foresee(line), "stop preview")

    async def _foresee(self, line: StopLine) -> None:
        try:
            while (asked := line.trigger) is not None and asked != line.foreseen:
                position = line.position
                preview = await self._bridge.call(self._preview(line, asked))
                if line.position is position or line.position.quantity == position.quantity:
                    line.foresee(asked, preview)
                self._changed()
        except AppError:
            # Told without the net amount: the verb itself will say what is wrong when it is asked for.
            self._changed()
        finally:
            self._asking.discard(id(line))

    async def _preview(self, line: StopLine, asked: Price) -> StopPreview:
        """A target is foreseen with its whole plan: alone it would be a stop on the wrong side."""
        verbs, stop = self._bridge.desk.stops, line.stop
        if stop is not None and stop.plan.quantity is not None and not isinstance(line, TargetLine):
            return await verbs.foresee(line.key, line.plan(stop, asked) or replace(stop.plan, trigger=asked))
        plan = line.plan(stop, asked) if isinstance(line, TargetLine) and stop is not None else None
        if plan is None or stop is None:
            return await verbs.preview(line.key, asked)
        found = await verbs.foresee(line.key, replace(plan, trigger=stop.trigger))
        return replace(found, outcome=found.outcome if found.target_outcome is None else found.target_outcome)

    async def _read_break_even(self, instrument: InstrumentId, key: PositionKey) -> None:
        try:
            price = await self._bridge.call(self._bridge.desk.portfolio.break_even(key))
        except AppError:
            return  # a line less; the position itself stays shown
        if self._instrument is not None and self._instrument.id == instrument and key in self._break_even:
            self._break_even[key] = price
            self._changed()


def _mark(
    instrument: Instrument, position: Position, last: Price | None, break_even: Price | None, whose: str
) -> PositionMark:
    price = position.last_price if last is None else last
    scale = instrument.price_scale
    places = fmt.price_places(scale, instrument.tick_size)
    return PositionMark(
        position.quantity,
        instrument.lot_size,
        float(position.average_price * scale),
        fmt.decimal(position.average_price, places),
        None if position.sold_shares else unrealised(position, price),
        None if position.sold_shares else break_even,
        f"{whose} {position.key.product}" if whose else str(position.key.product),
    )


def unrealised(position: Position, last: Price) -> Paise:
    """Of the open quantity at a last price, against the average, before charges; half up to the paisa."""
    away = Decimal(last) / position.price_scale - position.average_price
    return int((away * position.quantity * position.multiplier * 100).quantize(Decimal(1), ROUND_HALF_UP))
