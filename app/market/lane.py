"""One connection of an account's price stream: what is subscribed there, and whether anything comes.

Loop thread only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from app.brokers.base import Feed, Mark
from app.domain.errors import AppError, SessionExpired, StreamsFull
from app.domain.events import FeedState
from app.domain.ids import InstrumentId, Nanos
from app.domain.market import Tick
from app.domain.news import BookNews
from app.domain.order import Order

SILENT_SECONDS = 2.7
"""No data for this long while the market trades: the stream is dead, whatever the socket says. With the judge's own
interval it is noticed within the 3 s of E2."""
QUIET_SECONDS = 30.0
"""The same while none of the canaries trades (MCX in the evening, currencies before 09:15). What is left may be one
contract, quiet for longer than `SILENT_SECONDS`; that for so long not even a bid of it changed is seldom. Where it was
so, the redial brings what the feed last knew, and nobody is alarmed."""
CALMEST = 8
"""So many times `QUIET_SECONDS` at most: a redial that brought nothing but what was known has shown a quiet market, and
the next one waits twice as long."""
REFUSED_SECONDS = 2.0
"""Before a stream that was refused is dialled again; twice as long each time while no stop is armed."""
REFUSED_CEILING = 60.0
WARM_SECONDS = 0.004
"""A processor that has slept needs twice as long to read an encrypted record (80 us in place of 40, measured), and
a tick that breaches comes after a pause. While stops are armed and prices flow, the guarding connection is looked at
this often: a few thousandths of one processor."""
REDIAL_SECONDS = 6.0
"""A silent stream is dropped and dialled again after this long."""


class Hub(Protocol):
    """What a lane reports to."""

    def taken(self, feed: Feed, payload: bytes, received_at: Nanos) -> None:
        """A frame whose stops were checked."""
        ...

    on_order: Callable[[Order], None]
    """Hears of an order that changed."""
    on_news: Callable[[BookNews], object]
    """Hears of a position, a holding or a trigger that changed."""

    def lane_changed(self, lane: Lane, cause: Exception | None) -> None:
        """Its state is another one now."""
        ...

    def lane_refused(self, lane: Lane) -> None:
        """The broker takes no further stream of this user, and refused this one."""
        ...

    def order_stream(self, cause: Exception | None) -> None:
        """Order updates stopped alone, or come again."""
        ...

    def malformed(self, reason: str, sample: bytes) -> None:
        """A message was dropped."""
        ...


class RichTicks(Protocol):
    """Who wants whole ticks of some instruments with the frame that brings them."""

    def tokens(self) -> Mapping[int, InstrumentId]:
        """Of these; empty as a rule."""
        ...

    def look(self, token: int, tick: Tick) -> None:
        """One of them. Every stop of its frame was checked."""
        ...


class Candles(Protocol):
    """Who builds candles from marks."""

    @property
    def wanted(self) -> Mapping[int, object]:
        """Tokens with an open chart."""
        ...

    def tick(self, token: int, tick: Tick) -> None:
        """Every tick of a wanted token."""
        ...


class Lane:
    """Implements `FeedSink` for one connection."""

    def __init__(
        self,
        number: int,
        hub: Hub,
        check: Callable[[Iterable[Mark], int], None],
        watched: Callable[[int], bool],
        rich: RichTicks,
    ) -> None:
        self.number = number
        self._rich = rich
        # The hot path is a direct call: no code of ours between the feed and the stops.
        self.marks = check
        self.watched = watched
        self.state = FeedState.OFF
        self.tokens: frozenset[int] = frozenset()
        self._hub = hub
        self._feed: Feed | None = None
        self._connected = False
        self.data_at = 0.0
        """Monotonic seconds of the last prices; 0 before the first."""
        self._connected_at = 0.0
        self._closed_at = 0.0
        """When nothing that is carried traded, last: silence counts from the opening on."""
        self._redialled_at = 0.0
        self._calm = 1
        """So many times the patience, where the market may be quiet."""
        self._urgent = False
        self._beat: asyncio.TimerHandle | None = None
        self._refusals = 0
        """In a row."""
        self._resting = False
        """It was refused, and is dialled again after a while."""
        self._rest = 0.0
        """Seconds of that, while no stop is armed."""
        self._orders_failed = False
        """Order updates do not come over the present connection."""
        self._orders_had_failed = False
        """Nor over the one before, and of this one it is not known yet."""

    @property
    def running(self) -> bool:
        """It dials, is connected, or will be dialled again by itself."""
        return self._feed is not None or self._resting

    @property
    def data_age_ms(self) -> int | None:
        """Since the last prices; None before the first."""
        return int((time.monotonic() - self.data_at) * 1000) if self.data_at else None

    def start(self, feed: Feed, *, urgent: bool) -> None:
        """Takes over a fresh connection, which subscribes as soon as it stands."""
        self._feed = feed
        self._connected = False
        self.data_at = 0.0
        self._connected_at = time.monotonic()
        self.state = FeedState.CONNECTING
        self._orders_had_failed, self._orders_failed = self._orders_had_failed or self._orders_failed, False
        self._urgent = urgent
        feed.set_urgent(urgent)
        feed.subscribe(self.tokens)
        feed.start()

    async def stop(self, state: FeedState = FeedState.OFF) -> None:
        """Lets go of the connection. A second call does nothing."""
        feed, self._feed = self._feed, None
        self._connected = False
        self.state = state
        if feed is not None:
            await feed.stop()

    def carry(self, tokens: frozenset[int]) -> None:
        """The whole set. Full mode throughout: only its packets carry the exchange's time, which stops and candles
        need."""
        if tokens != self.tokens:
            if not self.tokens:
                self._connected_at = time.monotonic()  # nothing could come before
            self.tokens = tokens
            if self._feed is not None:
                self._feed.subscribe(tokens)

    def set_urgent(self, urgent: bool) -> None:
        """Stops are armed: never back off when reconnecting."""
        self._urgent = urgent
        if self._feed is not None:
            self._feed.set_urgent(urgent)
        self._keep_warm()

    def _keep_warm(self) -> None:
        if self._beat is None and self.number == 0 and self._urgent and self.state is FeedState.LIVE:
            self._beat = asyncio.get_running_loop().call_later(WARM_SECONDS, self._warm)

    def _warm(self) -> None:
        self._beat = None
        if self._feed is not None and self._feed.poll():
            self._keep_warm()

    def judge(self, patience: Callable[[frozenset[int]], float | None]) -> bool:
        """A few times a second. True: it was silent for too long and must be dialled again. `patience`: seconds for
        which a connection that carries these may bring nothing now; None while nothing of it trades."""
        if not self._connected or not self.tokens:
            return False
        now = time.monotonic()
        quiet = now - max(self.data_at, self._connected_at)
        if quiet < SILENT_SECONDS:
            return False
        patient = patience(self.tokens)
        if patient is None:
            self._closed_at = now
            self._become(FeedState.CLOSED)
            return False
        quiet = min(quiet, now - self._closed_at)
        if quiet < (patient if patient < QUIET_SECONDS else patient * self._calm):
            return False
        self._become(FeedState.SILENT)
        if quiet < REDIAL_SECONDS or now - self._redialled_at < REDIAL_SECONDS:
            return False
        self._redialled_at = now
        self._calm = min(2 * self._calm, CALMEST)
        return True

    async def redial(self, *, patient: bool = False) -> None:
        """Drops the connection; the next dial follows at once. One that was refused dials no more: it is let go of, and
        whoever refuses is given a moment; `patient`: a longer one each time, while no stop is armed (E3)."""
        if self.state is FeedState.REFUSED:
            self._resting = True
            self._rest = min(REFUSED_SECONDS * 2 ** min(self._refusals, 5), REFUSED_CEILING) if patient else 0.0
            self._refusals += 1
            try:
                await self.stop(FeedState.DOWN)
                self._hub.lane_changed(self, None)
                await self._wait()
            finally:
                self._resting = False
        elif self._feed is not None:
            await self._feed.reconnect()
        elif not patient:
            self._rest = 0.0  # asked for anew: the rest of its rest is forgone

    async def _wait(self) -> None:
        rested = 0.0
        while not rested or (not self._urgent and rested < self._rest):
            await asyncio.sleep(REFUSED_SECONDS)
            rested += REFUSED_SECONDS

    # -- what the connection says ------------------------------------------------------------------------------------

    def frame(self, payload: bytes, received_at: Nanos) -> None:
        """A frame, after its stops were checked."""
        if self._feed is None:
            return
        wanted = self._rich.tokens()
        if wanted:
            self._show(self._feed, payload, received_at, wanted)
        self.data_at = time.monotonic()
        if self.data_at - self._connected_at > SILENT_SECONDS:
            self._calm = 1  # not the first answer: prices move
        if self._connected and self.state is not FeedState.LIVE:  # else `connected` has the books read first
            self._become(FeedState.LIVE)
        self._hub.taken(self._feed, payload, received_at)

    def _show(self, feed: Feed, payload: bytes, received_at: Nanos, wanted: Mapping[int, InstrumentId]) -> None:
        """Whole ticks, for the stops that look at more than the last price: at once, with the frame."""
        for token, packet in feed.packets(payload):
            name = wanted.get(token)
            if name is None:
                continue
            try:
                tick = feed.decode(packet, name, received_at)
            except AppError as failure:
                self._hub.malformed(str(failure), packet[:16])
                continue
            self._rich.look(token, tick)

    def order_update(self, order: Order) -> None:
        """An order changed, from whatever origin."""
        self._hub.on_order(order)

    def book_news(self, news: BookNews) -> None:
        """A position, a holding or a trigger changed."""
        self._hub.on_news(news)

    def connected(self) -> None:
        """Subscribed again; what happened meanwhile must be read."""
        self._connected = True
        self._connected_at = time.monotonic()
        self._refusals = 0
        if self._orders_had_failed and not self._orders_failed:
            self._hub.order_stream(None)
        self._orders_had_failed = False
        self._hub.lane_changed(self, None)

    def disconnected(self, cause: Exception) -> None:
        """No prices until `connected`."""
        self._connected = False
        self._become(FeedState.REFUSED if isinstance(cause, SessionExpired) else FeedState.DOWN, cause)
        if isinstance(cause, StreamsFull):
            self._hub.lane_refused(self)

    def order_stream(self, cause: Exception | None) -> None:
        """Order updates stopped alone, or come again."""
        self._orders_failed = cause is not None
        self._hub.order_stream(cause)

    def malformed(self, reason: str, sample: bytes) -> None:
        """A message was dropped."""
        self._hub.malformed(reason, sample)

    @property
    def is_connected(self) -> bool:
        """The socket stands and what is wanted was subscribed."""
        return self._connected

    def _become(self, state: FeedState, cause: Exception | None = None) -> None:
        if state is not self.state:
            self.state = state
            self._keep_warm()
            self._hub.lane_changed(self, cause)
