"""Upstox's streams: prices (market data feed v3, protobuf) and, on a socket of its own, order updates (portfolio).

Each dial fetches a fresh address first: they are good for one connection. Requests are JSON in binary messages, and are
not acknowledged. Loop thread only. Source of the wire: Upstox developer documentation, market data feed v3, portfolio
stream feed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from urllib.parse import urlsplit

import msgspec

from app.brokers.base import FeedSink, Mark
from app.brokers.exit_line import USER_AGENT
from app.brokers.link import tls_context
from app.brokers.redial import Redial
from app.brokers.stream import Stream
from app.brokers.upstox import codec
from app.brokers.upstox.keys import Directory
from app.brokers.upstox.mapping import order_from_row
from app.brokers.upstox.news import news_from
from app.brokers.upstox.rest import UpstoxRest
from app.domain.account import Endpoints
from app.domain.errors import AppError, SessionExpired, StreamsFull, Unreachable
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.market import Tick
from app.domain.order import Order

log = logging.getLogger(__name__)

MARKET = "/v3/feed/market-data-feed/authorize"
PORTFOLIO = "/v2/feed/portfolio-stream-feed/authorize"
UPDATES = (("update_types", "order,gtt_order,position,holding"),)
"""What the portfolio stream is asked for. Its positions and holdings carry no prices: they say what is to be read."""

BATCH = 500
"""Keys in one subscribe message."""

FULL_ALONE = 2_000
"""Keys in full mode when there is no other mode on the connection."""
FULL_MIXED = 1_500
LTPC_MIXED = 2_000
"""Keys in either mode when both are there: what does not fit in full gets last prices, which is all a stop needs."""

_HEADERS = {"User-Agent": USER_AGENT}


class UpstoxFeed:
    """The streams of one account; reconnect and resubscribe by themselves until stopped."""

    def __init__(
        self,
        account: AccountId,
        rest: UpstoxRest,
        endpoints: Endpoints,
        directory: Directory,
        sink: FeedSink,
        notice: Callable[[Order], None],
        *,
        orders: bool = True,
    ) -> None:
        self._account = account
        self._rest = rest
        self._endpoints = endpoints
        self._directory = directory
        self._sink = sink
        self._notice = notice
        """Hears of every order update before the sink does."""
        self._with_orders = orders
        self._full: frozenset[int] = frozenset()
        self._ltpc: frozenset[int] = frozenset()
        self._known: dict[bytes, tuple[int, int]] = {}
        """Never shrinks: a price may still arrive behind an unsubscribe."""
        self._prices: Stream | None = None
        self._orders: Stream | None = None
        self._orders_failed = False
        """The order updates' socket ended, and the sink was told."""
        self._said = False
        """Of the present price connection: the sink knows that it stands."""
        self._texts: deque[bytes] = deque()
        self._tls: ssl.SSLContext | None = None
        self._loop = asyncio.get_running_loop()
        self._price_dial = Redial(self._connect_prices, sink.disconnected, "upstox prices", behind=not orders)
        # Nobody else dials it anew where the session proves to live.
        self._order_dial = Redial(self._connect_orders, self._orders_lost, "upstox orders", gives_up=False)
        if urlsplit(endpoints.ws_url).scheme == "wss":
            # Made once: reading the system's authorities holds the loop for milliseconds.
            self._tls = tls_context(endpoints.ca_file)

    def start(self) -> None:
        """Dials both, and keeps dialling."""
        self._directory.on_renamed.append(self._renamed)
        if self._with_orders:
            self._order_dial.start()
        self._price_dial.start()

    async def stop(self) -> None:
        """Closes the connections and ends. A second call does nothing."""
        if self._renamed in self._directory.on_renamed:
            self._directory.on_renamed.remove(self._renamed)
        await self._price_dial.stop()
        await self._order_dial.stop()

    def subscribe(self, full: Iterable[int], quote: Iterable[int] = ()) -> None:
        """The whole wanted set; only the difference goes over the wire. `quote` is Upstox's ltpc mode."""
        wanted = set(full)
        light = set(quote) - wanted
        if len(wanted) > FULL_ALONE or (light and len(wanted) > FULL_MIXED):
            # Stops first: they keep the mode that they have.
            ordered = sorted(wanted, key=lambda token: (not self._sink.watched(token), token))
            wanted = set(ordered[:FULL_MIXED])
            light |= set(ordered[FULL_MIXED:])
        if len(light) > LTPC_MIXED:
            log.warning("%d instruments are wanted, %d get no prices", len(light), len(light) - LTPC_MIXED)
            light = set(sorted(light, key=lambda token: (not self._sink.watched(token), token))[:LTPC_MIXED])
        old_full, old_ltpc = self._full, self._ltpc
        self._full, self._ltpc = self._named(wanted), self._named(light)
        if self._prices is not None and self._prices.ready:
            self._change(old_full, old_ltpc)

    def _named(self, tokens: Iterable[int]) -> frozenset[int]:
        """Those whose key is known; the others cannot be asked for."""
        found, nameless = set(), []
        for token in tokens:
            one = self._directory.by_token(token)
            if one is not None:
                self._known[one.key.encode()] = (token, one.price_scale)
                found.add(token)
            else:
                nameless.append(token)
        if nameless:
            log.info("no key for %d instruments, the first is %d", len(nameless), nameless[0])
        return frozenset(found)

    def _renamed(self, tokens: AbstractSet[int]) -> None:
        """Under the keys that they were asked for by, nothing comes any more."""
        for mode, carried in (("full", self._full & tokens), ("ltpc", self._ltpc & tokens)):
            self._send("sub", mode, self._named(carried))

    def set_urgent(self, urgent: bool) -> None:
        """Stops are armed: never back off (E3)."""
        self._price_dial.set_urgent(urgent)
        self._order_dial.set_urgent(urgent)

    def poll(self) -> bool:
        """See `Feed.poll`."""
        return self._prices is not None and self._prices.poll()

    async def reconnect(self) -> None:
        """Drops a connection that has gone silent; the next dial follows at once."""
        if self._prices is not None:
            self._price_dial.at_once()
            self._prices.drop(Unreachable("The price feed went silent."))

    def marks(self, payload: bytes) -> Iterable[Mark]:
        """See `codec.marks`."""
        return codec.marks(payload, self._known)

    def packets(self, payload: bytes) -> Sequence[tuple[int, bytes]]:
        """See `codec.packets`."""
        return codec.packets(payload, self._known)

    def fault(self, payload: bytes) -> str:
        """See `codec.fault`."""
        return codec.fault(payload)

    def decode(self, packet: bytes, instrument: InstrumentId, received_at: Nanos) -> Tick:
        """See `codec.decode`."""
        return codec.decode(packet, instrument, received_at)

    # -- prices ------------------------------------------------------------------------------------------------------

    async def _connect_prices(self) -> Exception:
        """One connection from its address to its end. Returns why it ended."""
        stream = Stream(self._on_binary, self._on_odd_text)
        try:
            await self._open(stream, MARKET, ())
            self._prices = stream
            self._said = False
            self._change(frozenset(), frozenset())
            self._say_connected()
            return await stream.closed()
        except AppError as failure:
            return failure
        finally:
            self._prices = None
            stream.close()

    async def _open(self, stream: Stream, path: str, params: Sequence[tuple[str, str]]) -> None:
        """Fetches an address and dials it. Raises SessionExpired (of the fetching alone), Unreachable and others."""
        address = await self._rest.socket(path, params)
        try:
            await stream.open(address, self._tls, _HEADERS)
        except SessionExpired as refused:
            # The token was good a moment ago: the address is used up, or there are too many connections.
            raise StreamsFull("The broker refused one more stream.", detail=refused.detail) from refused

    def _change(self, old_full: frozenset[int], old_ltpc: frozenset[int]) -> None:
        """Sends the difference between two wanted sets."""
        before, now = old_full | old_ltpc, self._full | self._ltpc
        self._send("unsub", None, before - now)
        self._send("sub", "full", self._full - before)
        self._send("sub", "ltpc", self._ltpc - before)
        self._send("change_mode", "full", self._full & old_ltpc)
        self._send("change_mode", "ltpc", self._ltpc & old_full)

    def _send(self, method: str, mode: str | None, tokens: frozenset[int]) -> None:
        if self._prices is None:
            return
        keys = [one.key for one in map(self._directory.by_token, sorted(tokens)) if one is not None]
        for start in range(0, len(keys), BATCH):
            data: dict[str, object] = {"mode": mode} if mode is not None else {}
            data["instrumentKeys"] = keys[start : start + BATCH]
            message = {"guid": uuid.uuid4().hex, "method": method, "data": data}
            self._prices.send_binary(json.dumps(message, separators=(",", ":")).encode())

    def _on_binary(self, payload: bytes, readable_ns: int) -> None:
        sink = self._sink
        sink.marks(codec.marks(payload, self._known), readable_ns)
        # Every stop was checked. From here on nothing is urgent, and the sink does it when the socket is drained.
        if payload[:2] != _MARKET_INFO:
            sink.frame(payload, time.time_ns())

    def _on_odd_text(self, payload: bytes) -> None:
        self._sink.malformed("a text among the prices", payload[:16])

    # -- orders ------------------------------------------------------------------------------------------------------

    async def _connect_orders(self) -> Exception:
        """The same for order updates."""
        stream = Stream(lambda payload, _: self._on_text(payload), self._on_text)
        try:
            await self._open(stream, PORTFOLIO, UPDATES)
            self._orders = stream
            if self._orders_failed:
                self._orders_failed = False
                self._sink.order_stream(None)
            self._say_connected()
            return await stream.closed()
        except AppError as failure:
            return failure
        finally:
            self._orders = None
            stream.close()

    def _say_connected(self) -> None:
        """Once for every price connection, when the order updates have come as far as they come: there is no replay,
        so books must be read."""
        settled = not self._with_orders or self._orders_failed or (self._orders is not None and self._orders.ready)
        if settled and not self._said and self._prices is not None and self._prices.ready:
            self._said = True
            self._sink.connected()

    def _orders_lost(self, cause: Exception) -> None:
        """Prices go on; what happens to orders until the stream is back must be read."""
        log.info("order updates of %s: %s", self._account, cause)
        if not self._orders_failed or isinstance(cause, SessionExpired):
            self._orders_failed = True
            self._sink.order_stream(cause)
        self._say_connected()

    def _on_text(self, payload: bytes) -> None:
        """News of an order comes before the next price where a stop guards its instrument; else once all is read."""
        self._texts.append(payload)
        if self._guarded(payload):
            while self._texts:
                self._read_text(self._texts.popleft())
        elif len(self._texts) == 1:
            self._loop.call_soon(self._read_one)

    def _read_one(self) -> None:
        if self._texts:
            self._read_text(self._texts.popleft())
        if self._texts:
            self._loop.call_soon(self._read_one)

    def _guarded(self, payload: bytes) -> bool:
        try:
            update = _UPDATE.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        known = self._directory.by_key(update.instrument_key or update.instrument_token)
        return known is not None and self._sink.watched(known.token)

    def _read_text(self, payload: bytes) -> None:
        try:
            message = json.loads(payload)
            if message.get("update_type", "order") == "order":
                order = order_from_row(message, self._account, self._directory)
                self._notice(order)
                self._sink.order_update(order)
            else:
                self._sink.book_news(news_from(message, self._account, self._directory))
        except (AppError, ValueError, AttributeError) as failure:
            self._sink.malformed(f"portfolio update: {type(failure).__name__}", payload[:16])


_MARKET_INFO = b"\x08\x02"
"""How a message about the market's state begins: it has no prices, and does not show that they flow."""


class _Update(msgspec.Struct):
    instrument_key: str = ""
    instrument_token: str = ""


_UPDATE = msgspec.json.Decoder(_Update)
