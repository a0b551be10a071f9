"""The hot path: a tick's marks against the armed levels, and the prepared bytes out.

Between breach and write there is no network call but the write, no disk, no log, no await: comparisons and one `fire`.
Loop thread only; one `WatchTable` per account, fed by that account's feed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter_ns

from app.brokers.base import ExitLine, ExitReply, Mark, Prepared
from app.domain.ids import StopId
from app.domain.money import Price
from app.domain.order import Side
from app.domain.stop import Stop

_NEVER_LOW: Price = -1
_NEVER_HIGH: Price = 1 << 62
SECOND = 1_000_000_000

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
    """0: no connection was ready; nothing was sent yet."""


class Watch:
    """One armed level with its exit prepared. Changed only on the loop thread."""

    __slots__ = (
        "armed_at",
        "fired",
        "high",
        "instrument",
        "limit_price",
        "low",
        "on_reply",
        "prepared",
        "stop_id",
        "token",
    )

    def __init__(
        self,
        stop: Stop,
        prepared: Prepared,
        on_reply: Callable[[ExitReply], None],
        limit_price: Callable[[Price], Price] | None,
    ) -> None:
        self.stop_id = stop.id
        self.token = stop.token
        self.instrument = stop.key.instrument
        self.armed_at = stop.armed_at
        self.prepared = prepared
        self.on_reply = on_reply
        self.limit_price = limit_price
        """For a LIMIT exit: the worst price accepted, from the firing tick's. None for MARKET."""
        self.fired = False
        self.low = _NEVER_LOW
        self.high = _NEVER_HIGH
        self.set_trigger(stop.side, stop.trigger)

    def set_trigger(self, side: Side, trigger: Price) -> None:
        """The level. SELL fires at or below it, BUY at or above."""
        if side is Side.SELL:
            self.low = trigger
        else:
            self.high = trigger


class WatchTable:
    """All armed levels of one account by the broker's token."""

    def __init__(
        self,
        line: ExitLine,
        counts: Counts,
        on_shots: Callable[[list[Shot]], None],
        on_doubt: Callable[[Watch], None] | None = None,
    ) -> None:
        self._by_token: dict[int, tuple[Watch, ...]] = {}
        self._tokens: dict[StopId, int] = {}
        self._line = line
        self._counts = counts
        self._on_shots = on_shots
        self._on_doubt = on_doubt
        """Hears of a price beyond the level in the very second of the arming: ticks carry whole seconds, so nobody can
        tell which came first."""
        self._waiting: list[tuple[Watch, Price, int, int]] = []
        line.on_ready = self._line_ready

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, token: int) -> bool:
        return token in self._by_token

    @property
    def tokens(self) -> frozenset[int]:
        """What must be subscribed in full mode."""
        return frozenset(self._by_token)

    def add(self, watch: Watch) -> None:
        """From the next tick on it is checked."""
        self._by_token[watch.token] = (*self._by_token.get(watch.token, ()), watch)
        self._tokens[watch.stop_id] = watch.token

    def remove(self, stop: StopId) -> None:
        """It is not checked any more, and an exit that waits for a connection is forgotten."""
        token = self._tokens.pop(stop, None)
        if token is None:
            return
        kept = tuple(w for w in self._by_token[token] if w.stop_id != stop)
        if kept:
            self._by_token[token] = kept
        else:
            del self._by_token[token]
        self._waiting = [entry for entry in self._waiting if entry[0].stop_id != stop]

    def close(self) -> list[StopId]:
        """The session is over: nothing fires any more. The stops whose exits never left."""
        self._line.on_ready = None
        self._by_token.clear()
        self._tokens.clear()
        waiting, self._waiting = self._waiting, []
        return [watch.stop_id for watch, *_ in waiting]

    def check(self, marks: Iterable[Mark], readable_ns: int) -> None:
        """Every tick passes here before anything else is done with it."""
        shots: list[Shot] | None = None
        watched = self._by_token.get
        for token, price, _, seconds in marks:
            watches = watched(token)
            if watches is None:
                continue
            for watch in watches:
                if (watch.low < price < watch.high) or watch.fired:
                    continue
                if seconds * SECOND <= watch.armed_at:
                    if self._on_doubt is not None and seconds == watch.armed_at // SECOND:
                        self._on_doubt(watch)
                    continue
                if not self._counts(watch, seconds):
                    continue
                decided_ns = perf_counter_ns()
                watch.fired = True
                written_ns = self._fire(watch, price)
                if not written_ns:
                    self._waiting.append((watch, price, seconds, readable_ns))
                shot = Shot(watch.stop_id, price, seconds, readable_ns, decided_ns, written_ns)
                if shots is None:
                    shots = [shot]
                else:
                    shots.append(shot)
        if shots is not None:
            self._on_shots(shots)

    def _fire(self, watch: Watch, price: Price) -> int:
        limit = watch.limit_price
        return self._line.fire(watch.prepared, watch.on_reply, None if limit is None else limit(price))

    def _line_ready(self) -> None:
        """A connection is free again: what waited goes first."""
        while self._waiting:
            watch, price, seconds, readable_ns = self._waiting[0]
            written_ns = self._fire(watch, price)
            if not written_ns:
                return
            self._waiting.pop(0)
            self._on_shots([Shot(watch.stop_id, price, seconds, readable_ns, readable_ns, written_ns)])
