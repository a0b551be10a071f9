"""The stop engine: sole owner of an account's stops. Arms, moves, disarms, hands a fired stop to its follower, keeps
armed ones in step with their positions. Loop thread only.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from app.brokers.base import BrokerSession, ExitLine, Mark
from app.domain.errors import Denied
from app.domain.events import Event, StopChanged
from app.domain.ids import InstrumentId, StopId
from app.domain.instrument import Instrument, InstrumentKind, Product
from app.domain.money import Price
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, StopState, is_triggered
from app.engine.account import AccountState, PositionReading
from app.engine.backstops import Backstops
from app.engine.circuits import Circuits
from app.engine.claims import Claims
from app.engine.delivery import DELIVERED
from app.engine.distances import Distances
from app.engine.earlier_days import EarlierDays
from app.engine.firing import Firing
from app.engine.flight import FlightRecorder
from app.engine.furnish import misses_stand_in
from app.engine.grouped import Grouped
from app.engine.keeper import Keeper
from app.engine.late import LateOrders
from app.engine.orders import OrderManager
from app.engine.orphans import Orphans
from app.engine.posts import Posts
from app.engine.record import StopJournal, StopRecord
from app.engine.releases import Releases
from app.engine.renamed import follow_rename
from app.engine.restated import Restated
from app.engine.rules import ExitRules
from app.engine.shares import Shares
from app.engine.stop_verbs import StopVerbs
from app.engine.surroundings import Surroundings
from app.engine.watch import Counts
from app.engine.watching import Watching
from app.engine.yesterday import Yesterday
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)


class StopEngine:
    """All stops of one account."""

    def __init__(
        self,
        state: AccountState,
        orders: OrderManager,
        journal: StopJournal,
        rules: ExitRules,
        instrument: Callable[[InstrumentId], Instrument | None],
        last_price: Callable[[InstrumentId], Price | None],
        counts: Counts,
        around: Surroundings,
        publish: Callable[[Event], None],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._orders = orders
        record = self._record = StopRecord(journal, state.clock, publish)
        self._instrument = instrument
        self._listed: dict[InstrumentId, Instrument] = {}
        """As last listed: what a later list leaves out is still what stops guard, and leaves as it always did."""
        self.known = self._listed.get
        self._last_price = last_price
        self.polled: Callable[[InstrumentId], Price | None] = lambda _: None
        """A price that was asked for because the feed is silent: newer than its last."""
        self._publish = publish
        self._tasks = tasks
        self._stops: Grouped[StopId, Stop, PositionKey] = Grouped(lambda stop: (stop.key,))
        self.on_changed: list[Callable[[Stop], None]] = []
        distances = Distances(state.account, around, state.clock, self._known, publish, tasks)
        self._keeper = Keeper(
            record, state.clock, self._stops, around, distances, self._known, self.last_price, self._set, tasks
        )
        restated = Restated(record, state.clock, self._stops, around, self._known, self._set, publish, tasks)
        self._firing = Firing(
            state, orders, record, rules, self._stops, self._known, self.last_price, self._set, publish, tasks
        )
        self._watching = Watching(
            self._firing.terms,
            orders.wire.queue,
            state.clock,
            counts,
            self._firing.on_shots,
            self._firing.replied,
            self.last_price,
            self._known,
            around,
            distances,
            self._keeper.moved,
            restated.doubt,
            self._keeper.passed,
        )
        self._watching.multiplier = state.multiplier
        self._firing.watching = self._keeper.watching = restated.watching = self._watching
        self.claims = Claims(state, self._stops, self._watching)
        self._shares = Shares(
            state,
            record,
            self._stops,
            self.claims,
            self._watching,
            self._known,
            self._set,
            self.close_elsewhere,
            self._trades,
            self._firing.recall,
            tasks,
        )
        self._around = around
        state.delivers, state.delivery.guarded = self._delivers, self._guarded_units
        held_back = self._shares.holds_back
        self._late = LateOrders(
            state, record, self._stops, self._firing, self._watching, self._set, self.follow, held_back, tasks
        )
        self.may_cross = self._late.may_cross
        self._firing.own, self._firing.trades = self.claims.own, self._trades
        self.backstops = Backstops(
            state,
            orders,
            record,
            self._stops,
            self._watching,
            self._firing.terms,
            self._known,
            tasks,
            journal.gtt_backstops,
            self.last_price,
            self._trades,
        )
        self._earlier = EarlierDays(
            state, record, self._stops, self.backstops.triggers, self._set, self.close_elsewhere, tasks
        )
        self._yesterday = Yesterday(state, self._stops, publish)
        self._orphans = Orphans(state, orders, self._stops, instrument, publish, tasks)
        self._circuits = Circuits(state, self._watching, self._firing.terms, self._stops, self._known, tasks)
        self.circuit_limits = self._circuits.of
        posts = Posts(
            state,
            self._stops,
            self._watching,
            self._keeper,
            self._shares,
            Releases(state, record, self._stops, around),
            around,
            self._known,
            self._set,
        )
        verbs = StopVerbs(
            state,
            record,
            self._stops,
            self._watching,
            self._keeper,
            self.claims,
            posts,
            around,
            self._known,
            self.last_price,
            self._set,
            publish,
            self.close_elsewhere,
        )
        self._keeper.rewatch = self._rewatch = self._shares.rewatch = posts.rewatch
        self._shares.tell_levels = self._keeper.tell
        self._busy = verbs.busy
        self.released = verbs.released
        self.arm = verbs.arm
        self.move = verbs.move
        self.change = verbs.change
        self.leave = verbs.leave
        self.fire = verbs.fire
        self.resume = verbs.resume
        self.disarm = verbs.disarm
        self.rearm = verbs.rearm
        self.check: Callable[[Iterable[Mark], int], None] = self._watching.check
        """Hot path: every frame of the account's own feed."""
        self.watched = self._watching.watches
        self.redial = self._watching.redial
        self.rich = self._watching
        """Who wants whole ticks after the check of their frame (`market.lane.RichTicks`)."""

    # -- what others may know ----------------------------------------------------------------------------------------

    @property
    def stops(self) -> tuple[Stop, ...]:
        """All known to this run, oldest first."""
        return tuple(self._stops.values())

    @property
    def armed(self) -> int:
        """Stops that are neither closed nor disarmed."""
        return sum(not stop.state.is_final for stop in self._stops.values())

    @property
    def watching(self) -> int:
        """Stops that a tick can fire."""
        return len(self._watching)

    @property
    def can_fire(self) -> bool:
        """There is a line over which exits leave."""
        return self._watching.attached

    def can_leave(self, key: PositionKey) -> bool:
        """A position can be left through its stops now: there is a line, and its market trades."""
        return self.can_fire and key.product is not Product.CO and self._trades(key.instrument)

    @property
    def exiting(self) -> int:
        """Fired stops that are followed to flat."""
        return len(self._firing)

    @property
    def engine_us(self) -> deque[int]:
        """Socket readable to last byte written of each exit, microseconds."""
        return self._firing.engine_us

    def find(self, stop_id: StopId) -> Stop | None:
        """One of them."""
        return self._stops.get(stop_id)

    def record_flights(self, recorder: FlightRecorder) -> None:
        """From now on what happens around each exit is written down."""
        self._firing.flights = recorder

    def stops_on(self, key: PositionKey) -> list[Stop]:
        """All that guard a share of a position, oldest first."""
        return [stop for stop in self._stops.of(key) if not stop.state.is_final]

    def stop_on(self, key: PositionKey) -> Stop | None:
        """The stop that guards a position."""
        return next((stop for stop in self._stops.of(key) if not stop.state.is_final), None)

    def armed_on(self, token: int) -> list[Stop]:
        """Those that watch this instrument's own price now."""
        return [self._stops[stop] for stop in self._watching.watched_by(token) if stop in self._stops]

    @property
    def looked_at(self) -> Mapping[int, InstrumentId]:
        """Whose prices decide and price the exits of watched stops, by token."""
        return self._watching.names

    def last_price(self, instrument: InstrumentId) -> Price | None:
        """The newest that is known."""
        asked = self.polled(instrument)
        return self._last_price(instrument) if asked is None else asked

    def when_watched(self, handler: Callable[[Mapping[int, InstrumentId]], None]) -> None:
        """Calls with what must be subscribed in full mode whenever that changes."""
        self._watching.on_watched = handler

    def prices_come(self, comes: Callable[[InstrumentId], bool]) -> None:
        """Who knows whether an instrument's last price is of now."""
        self._watching.prices_come = comes

    # -- session -----------------------------------------------------------------------------------------------------

    def attach(self, session: BrokerSession, line: ExitLine) -> None:
        """A session is there: stops can be prepared and fired. Recovery re-arms what the journal holds."""
        self._state.attach(session)
        self._orders.attach(session)
        self._watching.attach(line)
        self.backstops.begin()

    def detach(self) -> None:
        """The session is dead: nothing can fire. The stops stay armed in the journal and are shown as blind."""
        self._keeper.tell()  # while the levels are still there to be read
        for load in self._watching.detach():
            self._firing.never_sent(load.stop_id, load.unsent)
        self._orders.attach(None)
        self._state.detach()

    async def renamed(self, old: Instrument, new: Instrument) -> None:
        """The exchange calls a contract by another symbol now. Raises Denied and StorageError where a stop could not be
        prepared anew; a later login does it."""
        while any(stop.key.instrument == old.id and self.is_claimed(stop) for stop in self._stops.values()):
            await self.released()  # what is being written has the old name
        moved = await follow_rename(old, new, self._stops, self._watching, self._record, self._set, self._publish)
        for stop in moved:
            if stop.state is StopState.ARMED and self._watching.attached:
                await self.rearm(stop, None, stop.note)

    # -- recovery ----------------------------------------------------------------------------------------------------

    def adopt(self, stop: Stop) -> None:
        """A stop from the journal, before anything is known of it at the broker. One that has ended is kept for the
        sake of orders that may turn up late."""
        self._set(stop)
        if stop.state.is_final:
            self._late.ended_earlier(stop.id)

    def listed_anew(self) -> None:
        """Instruments can be searched from now on, or the list is another: stops on an index that were armed before its
        future was known get it beside them."""
        for stop in tuple(self._stops.values()):
            watch, underlying = self._watching.of(stop.id), self._instrument(stop.plan.underlying or InstrumentId(""))
            on_index = underlying is not None and underlying.kind is InstrumentKind.INDEX
            if watch is not None and not watch.fired and on_index and misses_stand_in(watch, stop):
                try:
                    self._rewatch(stop)
                except Denied as failure:
                    log.info("stop %s goes on without a future beside its index: %s", stop.id, failure.cause)

    def unwatched(self) -> list[Stop]:
        """Open stops that nothing watches or follows, and that no verb is busy with."""
        return [stop for stop in self._stops.values() if self._lacks_watch(stop) and not self.is_claimed(stop)]

    def claimed(self) -> list[Stop]:
        """Open stops that nothing watches or follows, and that a verb is busy with: when it has let go they may still
        be."""
        return [stop for stop in self._stops.values() if self._lacks_watch(stop) and self.is_claimed(stop)]

    def _lacks_watch(self, stop: Stop) -> bool:
        return (
            not stop.state.is_final
            and stop.state is not StopState.SUSPENDED
            and stop.id not in self._firing
            and self._watching.of(stop.id) is None
        )

    def is_claimed(self, stop: Stop) -> bool:
        """A verb is busy with it."""
        return not {stop.key, stop.id}.isdisjoint(self._busy)

    async def close_elsewhere(self, stop: Stop, note: str) -> None:
        """The position is proven gone without an exit of ours. What rests behind the stop may have done it, or has to
        go: then its follower closes it."""
        await self.backstops.triggers.settle(stop.id)
        if self._stops[stop.id].state is not stop.state:
            return  # a trigger's order has turned up, and is followed
        if self.backstops.legs(stop.id) or any(
            is_triggered(order.tag) and order.filled_quantity for order in self._state.orders.of(stop.id)
        ):
            self.follow(stop)
            return
        self._watching.stop(stop.id)
        closed = replace(stop, state=StopState.CLOSED, closed_at=self._state.clock.now(), note=note)
        self._set(closed)
        await self._record.keep(closed, "closed", note)

    def follow(self, stop: Stop) -> None:
        """A stop that fired in an earlier run: followed until flat. Raises Denied."""
        self._watching.stop(stop.id)
        if stop.state is StopState.ARMED:
            stop = replace(stop, state=StopState.FIRED, note="left by an order that is out already")
            self._set(stop)
        # One that had closed its position already only takes back what came after.
        self._firing.follow(stop, cleanup=stop.closed_at is not None)

    async def left_of_earlier_days(self, stop: Stop, reading: PositionReading) -> Stop | None:
        """A stop whose orders no list has: with what its exits and triggers of earlier days have left of its units;
        None: they left nothing, and it is closed."""
        return await self._earlier.settle(stop, reading, settled=self.settles(stop.key, reading))

    def settles(self, key: PositionKey, reading: PositionReading) -> bool:
        """Whether a reading says for certain what is left of a position."""
        moves = key.product in DELIVERED and not self._trades(key.instrument)
        return reading.knows(key) and not moves and not self.claims.comes_back(key)

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _known(self, instrument: InstrumentId) -> Instrument:
        found = self._instrument(instrument) or self._listed.get(instrument)
        if found is None:
            raise Denied(f"{instrument} is not in the instrument list.", "Refresh the instruments.")
        self._listed[instrument] = found
        return found

    def _trades(self, instrument: InstrumentId) -> bool:
        return self._around.continuous(instrument, self._state.clock.now())

    def _delivers(self) -> bool:
        return any(s.key.product in DELIVERED and not s.state.is_final for s in self._stops.values())

    def _guarded_units(self, key: PositionKey) -> int:
        return sum(stop.quantity for stop in self.stops_on(key))

    def _set(self, stop: Stop) -> None:
        self._stops[stop.id] = stop
        self.backstops.follow(stop)
        self._circuits.want(stop)
        self._publish(StopChanged(stop))
        for handler in self.on_changed:
            handler(stop)
