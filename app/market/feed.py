"""The hub of one account's tick stream: stops first, then everything else.

Counts who wants what, judges whether the stream is worth anything (by the age of data, never by the socket), and hands
conflated ticks to the window. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from app.brokers.base import Feed, Mark
from app.domain.errors import AppError, SessionExpired
from app.domain.events import Event, FeedChanged, FeedState, Level, Noticed, TicksConflated
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.market import Tick
from app.domain.order import Order

log = logging.getLogger(__name__)

CONFLATE_SECONDS = 0.05
"""An instrument reaches the window at most this often (E4)."""
DIGEST_SLICE = 64
"""Packets taken out of frames in one go: about 0.1 ms."""
DECODE_SLICE = 64
"""Packets decoded in one go: the loop, and with it the next tick, never waits longer than this takes (about 0.3 ms)."""
SILENT_SECONDS = 2.7
"""No data for this long while the market trades: the stream is dead, whatever the socket says. With the judge's own
interval it is noticed within the 3 s of E2."""
REDIAL_SECONDS = 6.0
"""A silent stream is dropped and dialled again after this long."""
JUDGE_SECONDS = 0.25
REPORT_SECONDS = 1.0
MAX_TOKENS = 3_000
"""Kite's limit of instruments on one connection."""


class Candles(Protocol):
    """Who builds candles from marks."""

    @property
    def wanted(self) -> Mapping[int, object]:
        """Tokens with an open chart."""
        ...

    def tick(self, token: int, tick: Tick) -> None:
        """Every tick of a wanted token."""
        ...


class FeedHub:
    """Implements `FeedSink` for one account."""

    def __init__(
        self,
        account: AccountId,
        check: Callable[[Iterable[Mark], int], None],
        watched: Callable[[int], bool],
        on_order: Callable[[Order], None],
        on_connected: Callable[[], None],
        on_session_dead: Callable[[SessionExpired], None],
        market_open: Callable[[], bool],
        candles: Candles,
        publish: Callable[[Event], None],
    ) -> None:
        self.account = account
        self.state = FeedState.OFF
        # The hot path is a direct call: no hub code between the feed and the stops.
        self.marks = check
        self.watched = watched
        self._on_order = on_order
        self._on_connected = on_connected
        self._on_session_dead = on_session_dead
        self._market_open = market_open
        self._candles = candles
        self._publish = publish
        self._feed: Feed | None = None
        self._names: dict[int, InstrumentId] = {}
        self._wanted: dict[str, frozenset[int]] = {}
        self._latest: dict[int, tuple[bytes, Nanos]] = {}
        self._pending: dict[int, None] = {}
        self._frames: deque[tuple[bytes, Nanos]] = deque()
        """Checked against the stops, not looked at otherwise yet."""
        self._packets: deque[tuple[int, bytes, Nanos]] = deque()
        """Of the frame that is being taken apart."""
        self._digestion: asyncio.Handle | None = None
        self._ticks: dict[InstrumentId, Tick] = {}
        self._prices: dict[int, int] = {}
        self._connected = False
        self._data_at = 0.0
        self._connected_at = 0.0
        self._redialled_at = 0.0
        self._reported_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self, feed: Feed) -> None:
        """Takes over a fresh feed and subscribes what is wanted."""
        self._feed = feed
        self._connected = False
        self._data_at = 0.0
        self._connected_at = time.monotonic()
        self._set_state(FeedState.CONNECTING)
        self._subscribe()
        feed.start()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._judge(), name=f"feed watch {self.account}"),
            loop.create_task(self._conflate(), name=f"ticks to window {self.account}"),
        ]

    async def stop(self, state: FeedState = FeedState.OFF) -> None:
        """Lets go of the feed. What consumers want is kept for the next one."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        feed, self._feed = self._feed, None
        if feed is not None:
            await feed.stop()
        if self._digestion is not None:
            self._digestion.cancel()
            self._digestion = None
        self._frames.clear()
        self._packets.clear()
        self._connected = False
        self._set_state(state)

    # -- who wants what ----------------------------------------------------------------------------------------------

    def want(self, consumer: str, tokens: Mapping[int, InstrumentId]) -> None:
        """The whole set of a consumer, replacing its last one."""
        self._names.update(tokens)
        wanted = frozenset(tokens)
        if self._wanted.get(consumer, frozenset()) == wanted:
            return
        if wanted:
            self._wanted[consumer] = wanted
        else:
            self._wanted.pop(consumer, None)
        self._subscribe()

    def set_urgent(self, urgent: bool) -> None:
        """Stops are armed: never back off when reconnecting."""
        if self._feed is not None:
            self._feed.set_urgent(urgent)

    @property
    def live(self) -> bool:
        """Prices flow."""
        return self.state is FeedState.LIVE

    def last_tick(self, instrument: InstrumentId) -> Tick | None:
        """The last conflated tick; None before the first."""
        return self._ticks.get(instrument)

    def last_price(self, token: int) -> int | None:
        """The last price in minor units, of any instrument that ticked."""
        return self._prices.get(token)

    def _subscribe(self) -> None:
        if self._feed is None:
            return
        tokens: set[int] = set()
        for consumer in sorted(self._wanted, key=lambda name: name != "stops"):
            tokens |= self._wanted[consumer]
        if len(tokens) > MAX_TOKENS:
            keep = set(self._wanted.get("stops", ()))
            keep.update(sorted(tokens - keep)[: MAX_TOKENS - len(keep)])
            self._publish(
                Noticed(
                    Level.WARNING,
                    "Too many instruments",
                    f"{len(tokens)} are wanted, one connection carries {MAX_TOKENS}.",
                    "Close some charts or watchlists; stops are kept.",
                    self.account,
                    "too many instruments",
                )
            )
            tokens = keep
        # Full mode throughout: only its packets carry the exchange's time, which stops and candles need.
        self._feed.subscribe(tokens)

    # -- what the feed says ------------------------------------------------------------------------------------------

    def frame(self, payload: bytes, received_at: Nanos) -> None:
        """A frame, after its stops were checked. Only noted: the next frame may hold a breach."""
        if self._feed is None:
            return
        self._data_at = time.monotonic()
        if self.state is not FeedState.LIVE:
            self._set_state(FeedState.LIVE)
        self._frames.append((payload, received_at))
        if self._digestion is None:
            self._digestion = asyncio.get_running_loop().call_soon(self._digest)

    def _digest(self) -> None:
        """A slice of what frames brought; between two slices the loop looks at its sockets."""
        self._digestion = None
        if not self._packets:
            if not self._frames:
                return
            self._open_frame(*self._frames.popleft())
        for _ in range(min(DIGEST_SLICE, len(self._packets))):
            token, packet, received_at = self._packets.popleft()
            self._latest[token] = (packet, received_at)
            self._pending[token] = None
            if token in self._candles.wanted:
                tick = self._tick(token)
                if tick is not None:
                    self._candles.tick(token, tick)
        if self._packets or self._frames:
            self._digestion = asyncio.get_running_loop().call_soon(self._digest)

    def _open_frame(self, payload: bytes, received_at: Nanos) -> None:
        feed = self._feed
        if feed is None:
            return
        prices = self._prices
        for mark in feed.marks(payload):
            prices[mark[0]] = mark[1]
        self._packets.extend((token, packet, received_at) for token, packet in feed.packets(payload))
        reason = feed.fault(payload)
        if reason:
            self.malformed(reason, payload[:16])

    def order_update(self, order: Order) -> None:
        """An order changed, from whatever origin."""
        self._on_order(order)

    def connected(self) -> None:
        """Subscribed again; what happened meanwhile must be read."""
        self._connected = True
        self._connected_at = time.monotonic()
        self._on_connected()

    def disconnected(self, cause: Exception) -> None:
        """No prices until `connected`."""
        self._connected = False
        if self.state not in (FeedState.DOWN, FeedState.REFUSED):
            log.info("feed of %s: %s", self.account, cause)
        if isinstance(cause, SessionExpired):
            self._set_state(FeedState.REFUSED)
            self._on_session_dead(cause)
        else:
            self._set_state(FeedState.DOWN)

    def malformed(self, reason: str, sample: bytes) -> None:
        """A packet was dropped."""
        log.info("feed of %s: malformed packet (%s), begins %s", self.account, reason, sample.hex())
        self._publish(
            Noticed(
                Level.WARNING,
                "A price packet could not be read",
                f"It was dropped; the rest of its frame was used. ({reason})",
                "",
                self.account,
                f"malformed:{self.account}",
            )
        )

    # -- is it alive -------------------------------------------------------------------------------------------------

    async def _judge(self) -> None:
        while True:
            await asyncio.sleep(JUDGE_SECONDS)
            now = time.monotonic()
            quiet = now - max(self._data_at, self._connected_at)
            if self._connected and quiet >= SILENT_SECONDS:
                if not self._market_open():
                    self._set_state(FeedState.CLOSED)
                else:
                    self._set_state(FeedState.SILENT)
                    if quiet >= REDIAL_SECONDS and now - self._redialled_at >= REDIAL_SECONDS and self._feed:
                        self._redialled_at = now
                        await self._feed.reconnect()
            if now - self._reported_at >= REPORT_SECONDS:
                self._report()

    def _set_state(self, state: FeedState) -> None:
        if state is self.state:
            return
        self.state = state
        self._report()

    def _report(self) -> None:
        self._reported_at = time.monotonic()
        age = int((self._reported_at - self._data_at) * 1000) if self._data_at else None
        subscribed = len(frozenset().union(*self._wanted.values())) if self._wanted else 0
        self._publish(FeedChanged(self.account, self.state, age, subscribed))

    # -- to the window -----------------------------------------------------------------------------------------------

    async def _conflate(self) -> None:
        while True:
            await asyncio.sleep(CONFLATE_SECONDS)
            while self._pending:
                tokens = list(self._pending)[:DECODE_SLICE]
                ticks = self._decode(tokens)
                if ticks:
                    self._publish(TicksConflated(ticks))
                await asyncio.sleep(0)

    def _decode(self, tokens: list[int]) -> tuple[Tick, ...]:
        ticks = []
        for token in tokens:
            del self._pending[token]
            tick = self._tick(token)
            if tick is not None:
                self._ticks[tick.instrument] = tick
                ticks.append(tick)
        return tuple(ticks)

    def _tick(self, token: int) -> Tick | None:
        name = self._names.get(token)
        if name is None or self._feed is None:
            return None
        packet, received_at = self._latest[token]
        try:
            return self._feed.decode(packet, name, received_at)
        except AppError as failure:
            log.info("feed of %s: %s", self.account, failure)
            return None
