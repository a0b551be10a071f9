"""The hub of one account's price streams: stops first, then everything else.

Counts who wants what, spreads it over the connections that the broker allows (stops and positions have one of their
own), judges whether each is worth anything (by the age of data, never by the socket), and hands conflated ticks to the
window. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from app.brokers.base import Feed, FeedSink, Mark
from app.domain.broker import StreamLimits
from app.domain.errors import AppError, SessionExpired
from app.domain.events import Event, FeedChanged, FeedState, Level, Noticed, TicksConflated
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.market import Tick
from app.domain.news import BookNews
from app.domain.order import Order
from app.market.freshness import Freshness
from app.market.gaps import Gaps
from app.market.lane import Candles, Lane, RichTicks
from app.market.slots import Slots
from app.market.spread import in_order, spread, without_room

log = logging.getLogger(__name__)

CONFLATE_SECONDS = 0.05
"""An instrument reaches the window at most this often (E4)."""
DIGEST_SLICE = 64
"""Packets taken out of frames in one go: about 0.1 ms."""
DECODED = 3
"""A packet that is decoded takes the time of so many more."""
DECODE_SLICE, PUBLISHED = 16, 64
"""Packets decoded in one go, about 0.3 ms: no longer do the loop and the next tick wait; ticks published together."""
JUDGE_SECONDS = 0.25
REPORT_SECONDS = 1.0
MOVE_SECONDS = 0.5
"""An instrument that is carried already waits this long for the connection that fits it."""
GUARDED = ("stops", "positions")
"""Consumers whose instruments ride on the guarding connection."""

Connect = Callable[[FeedSink, bool], Feed]
"""A fresh connection for a sink; the flag: it tells of orders too."""


class FeedHub:
    """All price connections of one account."""

    def __init__(
        self,
        account: AccountId,
        check: Callable[[Iterable[Mark], int], None],
        watched: Callable[[int], bool],
        rich: RichTicks,
        on_order: Callable[[Order], None],
        on_connected: Callable[[], None],
        on_order_stream: Callable[[Exception | None], None],
        on_session_dead: Callable[[SessionExpired], None],
        patience: Callable[[Iterable[InstrumentId]], float | None],
        now: Callable[[], Nanos],
        candles: Candles,
        publish: Callable[[Event], None],
    ) -> None:
        self.account = account
        self._check = check
        self._watched = watched
        self._rich = rich
        self.on_order = on_order
        self._on_connected = on_connected
        self._on_order_stream = on_order_stream
        self._on_session_dead = on_session_dead
        self._patience = patience
        self._now = now
        """The account's exchange time."""
        self._candles = candles
        self._publish = publish
        self.on_news: Callable[[BookNews], object] = lambda _news: None
        self._connect: Connect | None = None
        self._limits = StreamLimits()
        self._canaries: frozenset[int] = frozenset()
        self._lanes = [Lane(0, self, check, watched, rich)]
        self._urgent = False
        self._move: asyncio.TimerHandle | None = None
        self._gaps = Gaps(account, self._patience_with, now, self._shown, publish)
        self._slots = Slots(account, self._gave_way)
        self._names: dict[int, InstrumentId] = {}
        self._wanted: dict[str, frozenset[int]] = {}
        self._ordered: dict[str, tuple[int, ...]] = {}
        """The same in each consumer's own order."""
        self._left_out = 0
        """Instruments that no connection has room for."""
        self._latest: dict[int, tuple[Feed, bytes, Nanos]] = {}
        self._pending: dict[int, None] = {}
        self._frames: deque[tuple[Feed, bytes, Nanos]] = deque()
        """Checked against the stops, not looked at otherwise yet."""
        self._packets: deque[tuple[Feed, int, bytes, Nanos]] = deque()
        """Of the frame that is being taken apart."""
        self._digestion: asyncio.Handle | None = None
        self._ticks: dict[InstrumentId, Tick] = {}
        self._prices: dict[int, int] = {}
        self.freshness = Freshness(now)
        self.is_now = self.freshness.is_now
        self.on_watched_tick: Callable[[int, Tick], None] = _unheard
        """Every packet of an instrument with a stop or a chart, whole, after its frame was checked."""
        self._orders_read = False
        """Order updates do not come by themselves."""
        self._reported_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self, connect: Connect, limits: StreamLimits, canaries: Mapping[int, InstrumentId]) -> None:
        """A session is there: dials, and subscribes what is wanted."""
        self._connect = connect
        self._limits = limits
        self._canaries = frozenset(canaries)
        self._names.update(canaries)
        self._lanes = [
            Lane(number, self, self._check, self._watched, self._rich) for number in range(limits.connections)
        ]
        self._gaps.forget()
        self._orders_read, self._left_out = False, 0
        self._subscribe()
        self._report()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._judge(), name=f"feed watch {self.account}"),
            loop.create_task(self._conflate(), name=f"ticks to window {self.account}"),
        ]

    async def stop(self, state: FeedState = FeedState.OFF) -> None:
        """Lets go of the connections. What consumers want is kept for the next ones."""
        self._connect = None
        if self._move is not None:
            self._move.cancel()
            self._move = None
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._slots.stop()
        await asyncio.gather(*(lane.stop(state) for lane in self._lanes))
        if self._digestion is not None:
            self._digestion.cancel()
            self._digestion = None
        self._frames.clear()
        self._packets.clear()
        self._orders_read = False
        self._report()

    async def redial(self, *, refused: bool = False) -> None:
        """Drops every connection, or those alone that the broker `refused`; each dials again soon."""

        async def anew(lane: Lane) -> None:
            await lane.redial(patient=refused)
            self._subscribe()

        await asyncio.gather(*(anew(x) for x in self._lanes if not refused or x.state is FeedState.REFUSED))

    @property
    def state(self) -> FeedState:
        """Of the guarding connection: what a stop's prices are worth."""
        return self._lanes[0].state

    # -- who wants what ----------------------------------------------------------------------------------------------

    def want(self, consumer: str, tokens: Mapping[int, InstrumentId]) -> None:
        """The whole set of a consumer, replacing its last one."""
        self._names.update(tokens)
        wanted = frozenset(tokens)
        if self._wanted.get(consumer, frozenset()) == wanted:
            return
        if consumer == "stops":  # what is not carried yet begins with what the feed last knew
            self.freshness.connected(wanted.difference(*(lane.tokens for lane in self._lanes)))
        if wanted:
            self._wanted[consumer], self._ordered[consumer] = wanted, tuple(tokens)
        else:
            self._wanted.pop(consumer, None)
            self._ordered.pop(consumer, None)
        if any(wanted <= lane.tokens for lane in self._lanes):
            self._move_soon()
        else:
            self._subscribe()

    def set_urgent(self, urgent: bool) -> None:
        """Stops are armed: never back off when reconnecting."""
        self._urgent = urgent
        for lane in self._lanes:
            lane.set_urgent(urgent)

    @property
    def live(self) -> bool:
        """Prices flow to the stops."""
        return self.state is FeedState.LIVE

    def last_tick(self, instrument: InstrumentId) -> Tick | None:
        """The last conflated tick; None before the first."""
        return self._ticks.get(instrument)

    def last_price(self, token: int) -> int | None:
        """The last price in minor units, of any instrument that ticked."""
        return self._prices.get(token)

    def unheard(self) -> frozenset[InstrumentId]:
        """What views show and whose connection brings nothing, while the guarding one may well live."""
        dead_states = (FeedState.SILENT, FeedState.DOWN)
        dead = (lane.tokens - self._canaries for lane in self._lanes[1:] if lane.state in dead_states)
        return frozenset(self._names[token] for tokens in dead for token in tokens)

    def _move_soon(self) -> None:
        """Nothing new is wanted: what may change connections, or end, changes once for many exits in a row."""
        if self._move is None:
            self._move = asyncio.get_running_loop().call_later(MOVE_SECONDS, self._subscribe)

    def _subscribe(self) -> None:
        if self._move is not None:
            self._move.cancel()
            self._move = None
        connect = self._connect
        if connect is None:
            return
        guarded = frozenset[int]().union(*(self._wanted.get(name, frozenset()) for name in GUARDED))
        others = in_order({name: ordered for name, ordered in self._ordered.items() if name not in GUARDED})
        before = [lane.tokens for lane in self._lanes]
        plan = spread(guarded, others, self._canaries, self._limits, before)
        # The guarding connection first: an instrument that moves there is never without prices.
        for lane, tokens in zip(self._lanes, plan.lanes, strict=True):
            lane.carry(tokens)
            may_dial = lane.number == 0 or (tokens and not self._slots.kept_free)
            if may_dial and not lane.running:
                lane.start(connect(lane, lane.number == 0), urgent=self._urgent)
        left_out, self._left_out = self._left_out, len(plan.left_out)
        if self._left_out > left_out:  # said when it grows, not at every chart that is opened
            self._publish(without_room(self.account, len(guarded.union(others)), self._left_out))

    # -- what the connections say ------------------------------------------------------------------------------------

    def taken(self, feed: Feed, payload: bytes, received_at: Nanos) -> None:
        """A frame, after its stops were checked. Only noted: the next frame may hold a breach."""
        self._frames.append((feed, payload, received_at))
        if self._digestion is None:
            self._digestion = asyncio.get_running_loop().call_soon(self._digest)

    def _digest(self) -> None:
        """A slice of what frames brought; between two slices the loop looks at its sockets."""
        self._digestion = None
        if not self._packets:
            if not self._frames:
                return
            self._open_frame(*self._frames.popleft())
        awaiting, watched = self.freshness.awaiting, self._watched
        room = DIGEST_SLICE
        while room > 0 and self._packets:
            room -= 1
            feed, token, packet, received_at = self._packets.popleft()
            if awaiting:
                awaiting.discard(token)
            self._latest[token] = (feed, packet, received_at)
            self._pending[token] = None
            charted = token in self._candles.wanted
            if charted or watched(token):
                room -= DECODED
                tick = self._tick(token)
                if tick is not None:
                    self.on_watched_tick(token, tick)
                    if charted and tick.last_price > 0:
                        self._candles.tick(token, tick)
        if self._packets or self._frames:
            self._digestion = asyncio.get_running_loop().call_soon(self._digest)

    def _open_frame(self, feed: Feed, payload: bytes, received_at: Nanos) -> None:
        prices, newest = self._prices, 0
        for token, price, _, seconds in feed.marks(payload):
            if price > 0:  # nought is none
                prices[token] = price
            if seconds > newest:
                newest = seconds
        self.freshness.saw(newest)
        self._packets.extend((feed, token, packet, received_at) for token, packet in feed.packets(payload))
        if reason := feed.fault(payload):
            self.malformed(reason, payload[:16])

    def order_stream(self, cause: Exception | None) -> None:
        """Order updates stopped alone (why), or come again. Prices and stops go on."""
        self._orders_read = cause is not None
        if isinstance(cause, SessionExpired):
            self._on_session_dead(cause)
        self._on_order_stream(cause)
        self._report()

    def malformed(self, reason: str, sample: bytes) -> None:
        """A message was dropped."""
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

    def lane_changed(self, lane: Lane, cause: Exception | None) -> None:
        """A connection came, went, fell silent or speaks again."""
        if isinstance(cause, SessionExpired):
            self._on_session_dead(cause)
        if cause is not None:
            log.info("price connection %d of %s: %s", lane.number, self.account, cause)
        elif lane.is_connected and lane.number == 0 and lane.state is not FeedState.LIVE:
            self.freshness.connected(self._wanted.get("stops", frozenset()))
            self._on_connected()
            if self._slots.taken():
                self._move_soon()
        self._gave_way(lane)

    def lane_refused(self, lane: Lane) -> None:
        """The broker takes no further stream of this user, and refused this one."""
        self._slots.refused(lane, self._lanes)

    def _gave_way(self, lane: Lane) -> None:
        self._gaps.mark(lane)
        self._report()

    def _shown(self, lane: Lane) -> tuple[InstrumentId, ...]:
        """Of what a connection carries, what has a chart or a stop."""
        tokens = lane.tokens & (self._candles.wanted.keys() | self._wanted.get("stops", frozenset()))
        return tuple(sorted(self._names[token] for token in tokens))

    # -- is it alive -------------------------------------------------------------------------------------------------

    def _patience_with(self, tokens: frozenset[int]) -> float | None:
        return self._patience(self._names[token] for token in tokens)

    async def _judge(self) -> None:
        while True:
            await asyncio.sleep(JUDGE_SECONDS)
            for lane in self._lanes:
                if lane.judge(self._patience_with):
                    await lane.redial()
            if time.monotonic() - self._reported_at >= REPORT_SECONDS:
                self._report()

    def _report(self) -> None:
        self._reported_at = time.monotonic()
        subscribed = len(frozenset[int]().union(*self._wanted.values())) - self._left_out
        stands = self.account, self.state, self._lanes[0].data_age_ms, subscribed
        unheard, left_out = len(self.unheard()), self._left_out
        self._publish(FeedChanged(*stands, None, unheard, orders_are_read=self._orders_read, left_out=left_out))

    # -- to the window -----------------------------------------------------------------------------------------------

    async def _conflate(self) -> None:
        while True:
            await asyncio.sleep(CONFLATE_SECONDS)
            while self._pending:
                ticks: list[Tick] = []
                while self._pending and len(ticks) < PUBLISHED:
                    ticks += self._decode(list(islice(self._pending, DECODE_SLICE)))
                    await asyncio.sleep(0)
                if ticks:
                    self._publish(TicksConflated(tuple(ticks)))

    def _decode(self, tokens: list[int]) -> list[Tick]:
        ticks = []
        for token in tokens:
            del self._pending[token]
            tick = self._tick(token)
            if tick is not None:
                self._ticks[tick.instrument] = tick
                ticks.append(tick)
        return ticks

    def _tick(self, token: int) -> Tick | None:
        name = self._names.get(token)
        if name is None:
            return None
        feed, packet, received_at = self._latest[token]
        try:
            return feed.decode(packet, name, received_at)
        except AppError as failure:
            log.info("feed of %s: %s", self.account, failure)
            return None


def _unheard(_token: int, _tick: Tick) -> None:
    return
