"""The hot path: a tick's marks against the armed levels, and the prepared bytes out.

Between breach and write there is no network call but the write, no disk, no log, no await: comparisons and one `fire`.
A stop whose levels move, or that looks at more than the last price, has a mind; it is asked only where a price leaves
the quiet band between the levels, and it moves levels after the whole frame was checked.
Loop thread only; one `WatchTable` per account, fed by that account's feed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter_ns
from typing import Protocol

from app.brokers.base import ExitLine, Mark
from app.domain.ids import InstrumentId, StopId, Tag
from app.domain.instrument import Instrument
from app.domain.market import Tick
from app.domain.money import Price
from app.domain.stop import FiredBy, Stop
from app.engine.levels import Levels
from app.engine.volley import Entry, Gate, Load, Volley

SECOND = 1_000_000_000
DOUBTED = 2
"""Seconds by which a tick may seem older than the arming and be of after it: ticks are cut to the second, and of two
clocks that count as right one may be so far behind."""

Counts = Callable[["Watch", int], bool]
"""(watch, exchange seconds of the tick) -> the tick's segment trades continuously in the session it belongs to."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What happened in the hot path, to be worked up afterwards."""

    stop: StopId
    price: Price
    exchange_seconds: int
    readable_ns: int
    decided_ns: int
    written_ns: int
    """0: it has not left whole yet."""
    fired_by: FiredBy | None = None
    """None: the level test of `Watch.levels` says it."""
    tags: Mapping[Tag, int] = field(default_factory=dict)
    """Units of each order of the exit."""
    held: str = ""
    """Why it had to wait; empty when it left at once."""
    looked: InstrumentId | None = None
    """Whose price decided; None where no price that arrived did (time, the trader, the longest wait)."""
    began_ns: int = 0
    """When its turn to be written came; 0 where it had to wait."""


class Mind(Protocol):
    """Thinks for a watch whose levels move, or that looks at more than the last price."""

    def hit(self, price: Price, volume: int) -> FiredBy | None:
        """Whether a price outside the quiet band is reason to leave. Hot path."""
        ...

    def think(self, price: Price) -> None:
        """The same price, after every level of the frame was checked: levels may move."""
        ...

    def look(self, tick: Tick) -> FiredBy | None:
        """The whole tick, for a watch that was put among `WatchTable.rich`, after the frame was checked."""
        ...


class Watch:
    """One armed stop, or a further place where it looks, with its exit prepared. Changed only on the loop thread."""

    __slots__ = (
        "armed_at",
        "fired",
        "high",
        "instrument",
        "levels",
        "load",
        "low",
        "main",
        "mind",
        "others",
        "rich",
        "stop_id",
        "token",
        "tradable",
    )

    def __init__(
        self,
        stop: Stop,
        load: Load,
        looks_at: Instrument | None = None,
        gains: int | None = None,
    ) -> None:
        """`looks_at`: whose price is compared, where that is not the instrument itself. `gains`: +1 where the position
        gains as that price rises, -1 where it gains as it falls."""
        self.stop_id = stop.id
        self.token = stop.token if looks_at is None else looks_at.token
        self.instrument = stop.key.instrument if looks_at is None else looks_at.id
        """Whose price it looks at."""
        self.tradable: InstrumentId = stop.key.instrument
        """What its exit trades."""
        self.armed_at = stop.armed_at
        self.load = load
        """The exit's bytes."""
        self.fired = False
        self.main = self
        """The stop's own watch, which holds the exit; another one for a further place where the stop looks."""
        self.others: tuple[Watch, ...] = ()
        """Further places where the stop looks."""
        self.rich = False
        """Its mind wants whole ticks."""
        self.mind: Mind | None = None
        """None: the band is all there is, and whatever leaves it fires."""
        self.levels = Levels(
            stop.plan, -stop.side.sign if gains is None else gains, stop.tick_size, stop.trigger, stop.best
        )
        self.low, self.high = self.levels.quiet()
        """Prices strictly between them change nothing and fire nothing."""

    def settle_band(self) -> None:
        """The quiet band follows the levels."""
        self.low, self.high = self.levels.quiet()


class WatchTable:
    """All armed levels of one account by the broker's token."""

    def __init__(
        self,
        line: ExitLine,
        gate: Gate,
        counts: Counts,
        on_shots: Callable[[list[Shot]], None],
        on_doubt: Callable[[Watch], None] | None = None,
    ) -> None:
        self._by_token: dict[int, tuple[Watch, ...]] = {}
        self._places: dict[StopId, tuple[Watch, ...]] = {}
        self.rich: dict[int, tuple[Watch, ...]] = {}
        """Watches that want whole ticks, by token."""
        self.rich_names: dict[int, InstrumentId] = {}
        self._readable_ns = 0
        self._thoughts: list[tuple[Mind, Price]] = []
        """Of the frame that is being checked."""
        self._counts = counts
        self._on_shots = on_shots
        self._on_doubt = on_doubt
        """Hears of a price beyond the level in the seconds of the arming: nobody can tell which came first."""
        self._hits: list[tuple[Entry, int, FiredBy | None, InstrumentId | None]] = []
        """Of the frame that is being checked: what fires, when that was decided, why, by whose price."""
        self._volley = Volley(line, gate, self._left)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, token: int) -> bool:
        return token in self._by_token

    @property
    def names(self) -> dict[int, InstrumentId]:
        """What must be subscribed in full mode."""
        return {token: watches[0].instrument for token, watches in self._by_token.items()}

    def waiting_on(self, token: int) -> list[StopId]:
        """The stops whose own watch looks there, and that have not fired."""
        return [watch.stop_id for watch in self._by_token.get(token, ()) if watch.main is watch and not watch.fired]

    def add(self, watch: Watch) -> None:
        """From the next tick on it is checked, wherever it looks."""
        self._places[watch.stop_id] = (watch, *watch.others)
        for place in self._places[watch.stop_id]:
            self._by_token[place.token] = (*self._by_token.get(place.token, ()), place)
            if place.rich:
                self.rich[place.token] = (*self.rich.get(place.token, ()), place)
                self.rich_names[place.token] = place.instrument

    def remove(self, stop: StopId) -> None:
        """It is not checked any more, and an exit that waits for a connection is forgotten."""
        for place in self._places.pop(stop, ()):
            for table in (self._by_token, self.rich):
                kept = tuple(w for w in table.get(place.token, ()) if w.stop_id != stop)
                if kept:
                    table[place.token] = kept
                else:
                    table.pop(place.token, None)
            if place.token not in self.rich:
                self.rich_names.pop(place.token, None)
        self._volley.drop(stop)

    def holds(self, stop: StopId) -> bool:
        """Its exit waits only for the broker's next second: it will leave by itself."""
        return self._volley.holds(stop)

    def close(self) -> list[Load]:
        """The session is over: nothing fires any more. The exits that never left, or not whole."""
        self._by_token.clear()
        self.rich.clear()
        self.rich_names.clear()
        self._places.clear()
        return self._volley.close()

    def check(self, marks: Iterable[Mark], readable_ns: int) -> None:
        """Every tick passes here before anything else is done with it."""
        self._readable_ns = readable_ns
        watched = self._by_token.get
        for token, price, volume, seconds in marks:
            watches = watched(token)
            if watches is None:
                continue
            for watch in watches:
                if (watch.low < price < watch.high) or watch.main.fired:
                    continue
                self._beyond(watch, price, volume, seconds)
        if self._hits:
            self._shoot()
        if self._thoughts:
            thoughts, self._thoughts = self._thoughts, []
            for mind, price in thoughts:
                mind.think(price)

    def _beyond(self, watch: Watch, price: Price, volume: int, seconds: int) -> None:
        """A price outside the quiet band. Nought is none: a broker that has no price sends it all the same."""
        if price <= 0:
            return
        if seconds * SECOND <= watch.armed_at:
            if self._on_doubt is not None and seconds >= watch.armed_at // SECOND - DOUBTED:
                self._on_doubt(watch)
            return
        if not self._counts(watch, seconds):
            return
        mind, why = watch.mind, None
        if mind is not None:
            why = mind.hit(price, volume)
            if why is None:
                self._thoughts.append((mind, price))
                return
        self._hit(watch.main, price, seconds, why, watch.instrument)

    def look(self, token: int, tick: Tick) -> None:
        """A whole tick of a token among `rich`; the frame that brought it has been checked."""
        if tick.last_price <= 0:
            return
        seconds = (tick.exchange_time or 0) // SECOND
        for watch in self.rich.get(token, ()):
            mind = watch.mind
            if mind is None or watch.main.fired or seconds * SECOND <= watch.armed_at:
                continue
            if not self._counts(watch, seconds):
                continue
            why = mind.look(tick)
            if why is not None:
                self._hit(watch.main, tick.last_price, seconds, why, watch.instrument)
                self._shoot()

    def fire(self, stop: StopId, price: Price, seconds: int, why: FiredBy) -> bool:
        """Leaves now, for another reason than a tick at its level. False: it is not watched, or has fired."""
        watch = next((place.main for place in self._places.get(stop, ())), None)
        if watch is None or watch.fired:
            return False
        self._readable_ns = perf_counter_ns()
        self._hit(watch, price, seconds, why, None)
        self._shoot()
        return True

    def _hit(self, watch: Watch, price: Price, seconds: int, why: FiredBy | None, looked: InstrumentId | None) -> None:
        watch.fired = True
        self._hits.append((Entry(watch.load, price, seconds, self._readable_ns), perf_counter_ns(), why, looked))

    def _shoot(self) -> None:
        """Everything that the frame fired, the most endangered money first."""
        hits, self._hits = self._hits, []
        if len(hits) > 1:
            hits.sort(key=_least_risk_last)
        shots = []
        for entry, decided_ns, why, looked in hits:
            began_ns = perf_counter_ns()
            written_ns = self._volley.fire(entry)
            load = entry.load
            shots.append(
                Shot(
                    load.stop_id,
                    entry.price,
                    entry.exchange_seconds,
                    entry.readable_ns,
                    decided_ns,
                    written_ns,
                    why,
                    load.tags,
                    entry.held,
                    looked,
                    began_ns,
                )
            )
        self._on_shots(shots)

    def _left(self, entry: Entry, written_ns: int) -> None:
        """What had waited has left whole."""
        readable_ns = entry.readable_ns
        shot = Shot(entry.load.stop_id, entry.price, entry.exchange_seconds, readable_ns, readable_ns, written_ns)
        self._on_shots([replace(shot, tags=entry.load.tags, held=entry.held)])


def _least_risk_last(hit: tuple[Entry, int, FiredBy | None, InstrumentId | None]) -> int:
    return -hit[0].risk
