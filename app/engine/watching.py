"""What a session lends to the stops: the exit line, the table of armed levels, the bytes prepared for each.

Loop thread only. Empty between two sessions: then nothing can fire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter_ns

from app.brokers.base import ExitLine, ExitReply, Mark, Prepared, RedialledLine
from app.brokers.parts import ConvertingLine
from app.domain.errors import Denied
from app.domain.ids import InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.market import Tick
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import FiredBy, Stop
from app.engine.distances import Distances
from app.engine.exit_plan import cut, remaining
from app.engine.first_tick import FirstTick, must_look
from app.engine.furnish import Outlook, furnish, gains_of, looks_at
from app.engine.minds import Moved, go_on
from app.engine.rules import MAX_SLICES
from app.engine.surroundings import Surroundings
from app.engine.terms import ExitTerms
from app.engine.volley import Gate, Load
from app.engine.watch import SECOND, Counts, Shot, Watch, WatchTable
from app.runtime.clock import Clock

FINEST_SCALE = 10_000_000
"""Minor units a rupee of the most finely priced contracts, those on currencies (`brokers.rows`)."""
DOUBT_SECONDS = 1.0
"""After a price beyond the level that may be from before the arming."""

_NONE: Mapping[int, InstrumentId] = {}

Replied = Callable[[StopId], Callable[[ExitReply], None]]


class Watching:
    """Owner of the watches of one account."""

    def __init__(
        self,
        terms: ExitTerms,
        gate: Gate,
        clock: Clock,
        counts: Counts,
        on_shots: Callable[[list[Shot]], None],
        replied: Replied,
        last_price: Callable[[InstrumentId], Price | None],
        known: Callable[[InstrumentId], Instrument],
        around: Surroundings,
        distances: Distances,
        moved: Moved,
        restated: Callable[[Watch, Price], None],
        passed: Callable[[Watch], None],
    ) -> None:
        self._terms = terms
        self._gate = gate
        self._clock = clock
        self._counts = counts
        self._on_shots = on_shots
        self._replied = replied
        self._last_price = last_price
        self._watches: dict[StopId, Watch] = {}
        self._table: WatchTable | None = None
        self._telling = False
        self.line: ExitLine | None = None
        self.multiplier: Callable[[PositionKey], int] = _single
        """Units of the contract behind one unit of a position."""
        self.resting: Callable[[StopId], Sequence[Order]] = _nothing
        """Orders that rest at the exchange behind a stop."""
        self.prices_come: Callable[[InstrumentId], bool] = _always
        """Whether the last price of an instrument is of now; a stream that says nothing has none."""
        self.on_watched: Callable[[Mapping[int, InstrumentId]], None] | None = None
        """Called with what must be subscribed in full mode whenever that changes."""
        self._around = around
        self._restated = restated
        self._on_passed = passed
        self._outlook = Outlook(around, known, last_price, moved, self._fire_alone, self._is_frozen, distances)

    def __len__(self) -> int:
        return 0 if self._table is None else len(self._table)

    @property
    def attached(self) -> bool:
        """A session is there."""
        return self._table is not None

    def check(self, marks: Iterable[Mark], readable_ns: int) -> None:
        """Hot path: every frame of the account's own feed."""
        if self._table is not None:
            self._table.check(marks, readable_ns)

    def tokens(self) -> Mapping[int, InstrumentId]:
        """Whose whole ticks are wanted after the check."""
        return _NONE if self._table is None else self._table.rich_names

    @property
    def names(self) -> Mapping[int, InstrumentId]:
        """Everything that stops look at, and what their exits trade."""
        return _NONE if self._table is None else self._table.names

    def look(self, token: int, tick: Tick) -> None:
        """A whole tick of one of them."""
        if self._table is not None:
            self._table.look(token, tick)

    def watches(self, token: int) -> bool:
        """Whether a level is armed on a token."""
        return self._table is not None and token in self._table

    def watched_by(self, token: int) -> list[StopId]:
        """The stops that wait for a price of this instrument."""
        return [] if self._table is None else self._table.waiting_on(token)

    def attach(self, line: ExitLine) -> None:
        """A session is there: exits can be prepared and fired. After `detach` only."""
        self.line = line
        self._table = WatchTable(line, self._gate, self._counts, self._on_shots, self._on_doubt)
        self._watches.clear()

    def redial(self) -> None:
        """The machine slept: connections of before are dead and do not know it. The first price may need one."""
        if isinstance(self.line, RedialledLine):
            self.line.redial()

    def detach(self) -> list[Load]:
        """The session is dead: nothing can fire. The exits of fired stops that never left, or not whole."""
        table, self._table = self._table, None
        self.line = None
        self._watches.clear()
        return [] if table is None else table.close()

    def prepare(self, stop: Stop, instrument: Instrument) -> Watch:
        """The exit's bytes. Raises Denied without a session or a rule."""
        if self.line is None:
            raise Denied("The account is not logged in: the stop would be blind.", "Log in first.")
        underlying = looks_at(stop.plan, self._outlook)
        watch = Watch(stop, self._load(self.line, stop, instrument), underlying, gains_of(stop, instrument))
        furnish(watch, stop, underlying, self._outlook)
        if stop.seen_price is not None and must_look(stop, instrument, self._clock.now()):
            FirstTick(watch, stop.seen_price, self._passed, self._restated)
        return watch

    def reload(self, stop: Stop, instrument: Instrument) -> None:
        """What rests behind it has changed: its exit is prepared anew. Raises Denied."""
        watch = self._watches.get(stop.id)
        if watch is not None and not watch.fired:
            watch.load = self.prepare(stop, instrument).load

    def reprice(self, stop: Stop, instrument: Instrument) -> None:
        """What its price may be has changed. An exit at market has none. Raises Denied."""
        watch = self._watches.get(stop.id)
        if watch is not None and watch.load.limit_price is not None:
            self.reload(stop, instrument)

    def _load(self, line: ExitLine, stop: Stop, instrument: Instrument) -> Load:
        """One order, or one for each slice of the freeze quantity, ten at most: the follower sends what is left.

        Where a backstop rests, the exit is its change to a marketable price, and orders only for what it does not
        cover. Where the broker does not convert, nothing is prepared: the follower takes the backstop back first.
        """
        kind = self._terms.kind(stop.key.account, instrument)
        changes, left = self._changes(line, stop)
        if left is None:
            return Load(stop.id, (), self._replied(stop.id))
        sizes = cut(left, self._terms.slice_size(instrument), MAX_SLICES - len(changes))
        slices = changes + tuple(
            line.prepare(exit_request(stop, units, kind, number=number), stop.price_scale)
            for number, units in enumerate(sizes, 1)
        )
        limited = kind is OrderKind.LIMIT or changes
        pricer = self._terms.pricer(stop.key.account, instrument, stop.side) if limited else None
        weight = stop.quantity * self.multiplier(stop.key) * (FINEST_SCALE // stop.price_scale)
        return Load(stop.id, slices, self._replied(stop.id), pricer, weight)

    def orders_of(self, watch: Watch, stop: Stop, instrument: Instrument) -> tuple[OrderRequest, ...]:
        """All that a prepared exit may send, for the journal: what it is now, and the orders of its own that it becomes
        where what rests behind the stop ends first. Raises Denied."""
        kind, known = self._terms.kind(stop.key.account, instrument), watch.load.tags
        sizes = cut(stop.quantity, self._terms.slice_size(instrument), MAX_SLICES)
        alone = (exit_request(stop, units, kind, number=number) for number, units in enumerate(sizes, 1))
        return watch.load.requests + tuple(request for request in alone if request.tag not in known)

    def _changes(self, line: ExitLine, stop: Stop) -> tuple[tuple[Prepared, ...], int | None]:
        """What makes the backstop the exit, and the units that it does not cover; None: it has to go first."""
        legs = self.resting(stop.id)
        if not legs:
            return (), stop.quantity
        if not isinstance(line, ConvertingLine) or not self._terms.converts(stop.key.account):
            return (), None
        left, changes = stop.quantity, []
        for leg in legs:
            units = min(remaining(leg), left)
            if units:
                request = replace(exit_request(stop, units, OrderKind.LIMIT), tag=leg.tag)
                changes.append(line.prepare_change(leg.broker_order_id, request, stop.price_scale))
                left -= units
        return tuple(changes), left

    def holds(self, stop: StopId) -> bool:
        """Its exit waits only for the broker's next second: it will leave by itself."""
        return self._table is not None and self._table.holds(stop)

    def _passed(self, watch: Watch) -> None:
        """Its first tick of the day was looked at: whole ticks are not wanted any more. Not from within their round."""
        self._on_passed(watch)
        asyncio.get_running_loop().call_soon(self._plain_again, watch)

    def _plain_again(self, watch: Watch) -> None:
        if self._table is not None and self._watches.get(watch.stop_id) is watch and not watch.fired:
            self._table.remove(watch.stop_id)
            self._table.add(watch)

    def fire(self, stop: Stop, why: FiredBy) -> bool:
        """Leaves now, by the last price, for another reason than a tick. False: it is not watched, or has fired, or its
        market does not trade now."""
        now = self._clock.now()
        if self._table is None or not self._around.continuous(stop.key.instrument, now):
            return False
        price = self._last_price(stop.key.instrument) or stop.seen_price or stop.trigger
        return self._table.fire(stop.id, price, now // SECOND, why)

    def _fire_alone(self, watch: Watch, why: FiredBy) -> None:
        """The last price alone decides: what the stop looks at said nothing for too long. A watch that was replaced
        has no say: its level may be an old one; nor has a price of before the stream failed (E3): the next one has."""
        if self._watches.get(watch.stop_id) is not watch.main or not self.prices_come(watch.tradable):
            return
        now, price = self._clock.now(), self._last_price(watch.tradable)
        if self._table is not None and price is not None and self._around.continuous(watch.tradable, now):
            self._table.fire(watch.stop_id, price, now // SECOND, why)

    def _is_frozen(self, instrument: InstrumentId) -> bool:
        return not self._around.continuous(instrument, self._clock.now())

    def start(self, watch: Watch) -> None:
        """From the next tick on."""
        if self._table is None:
            return
        self._watches[watch.stop_id] = watch
        self._table.add(watch)
        # Asked once now: what the answer rests on is at hand when it must be quick.
        for place in (watch, *watch.others):
            self._counts(place, self._clock.now() // SECOND)
        self._changed()

    def stop(self, stop: StopId) -> Watch | None:
        """Not any more. Returns what watched."""
        watch = self._watches.pop(stop, None)
        if self._table is not None:
            self._table.remove(stop)
        self._changed()
        return watch

    def take_over(self, watch: Watch) -> None:
        """A fresh watch in place of the one that the stop had."""
        old = self.stop(watch.stop_id)
        self.start(watch)
        if old is not None:
            go_on(old, watch)

    def of(self, stop: StopId) -> Watch | None:
        """What watches a stop."""
        return self._watches.get(stop)

    def look_soon(self, stop: StopId) -> None:
        """It begins to watch: what came while its arming was written nobody has compared."""
        watch = self._watches.get(stop)
        if watch is not None:
            self._on_doubt(watch)

    def _on_doubt(self, watch: Watch) -> None:
        asyncio.get_running_loop().call_later(DOUBT_SECONDS, self._settle_doubt, watch)

    def _settle_doubt(self, watch: Watch) -> None:
        """The second of the arming is over. A price that is not beyond the level is no news of what is looked at."""
        last = self._last_price(watch.instrument)
        if last is not None and watch.levels.hit(last) is not None:
            self.look_now(watch, watch.armed_at // SECOND + 1)

    def look_now(self, watch: Watch, seconds: int | None = None) -> None:
        """What the price is now decides: ticks were not looked at meanwhile, and a quiet instrument may not tick for
        long."""
        last, at = self._last_price(watch.instrument), seconds or self._clock.now() // SECOND
        if self._table is not None and self._watches.get(watch.stop_id) is watch.main and last is not None:
            self._table.check([(watch.token, last, 0, at)], perf_counter_ns())

    def _changed(self) -> None:
        """Told once for all that changes in one turn of the loop: a hundred stops may fire at once."""
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        if self.on_watched is not None and self._table is not None:
            self.on_watched(self._table.names)


def _nothing(stop: StopId) -> Sequence[Order]:
    del stop
    return ()


def _always(instrument: InstrumentId) -> bool:
    del instrument
    return True


def _single(key: PositionKey) -> int:
    del key
    return 1


def exit_request(
    stop: Stop, quantity: int, kind: OrderKind, side: Side | None = None, *, number: int = 1
) -> OrderRequest:
    """The order that closes so many units of a stop's position, tagged with stop, attempt and slice."""
    return OrderRequest(
        account=stop.key.account,
        instrument=stop.key.instrument,
        side=side or stop.side,
        quantity=quantity,
        product=stop.key.product,
        kind=kind,
        tag=stop.tag(number),
    )
