"""Kite's tick stream. A frame is checked against the stops inside the callback that read it.

The official client's ticker runs a global Twisted reactor and never notices a dead feed; hence ours.
Loop thread only. Source of the wire: Kite Connect v3, WebSocket streaming.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode, urlsplit

import msgspec

from app.brokers.base import Credentials, FeedSink, Mark, Session
from app.brokers.link import tls_context
from app.brokers.redial import Redial
from app.brokers.stream import Stream
from app.brokers.zerodha import codec
from app.brokers.zerodha.orders import order_from_update
from app.domain.account import Endpoints
from app.domain.errors import AppError, Unreachable, printable
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.market import Tick

log = logging.getLogger(__name__)

BATCH = 1_000
"""Tokens in one subscribe message."""


class ZerodhaFeed:
    """One ticker connection of one account; reconnects and resubscribes by itself until stopped."""

    def __init__(
        self, session: Session, credentials: Credentials, endpoints: Endpoints, sink: FeedSink, *, orders: bool = True
    ) -> None:
        self._session = session
        self._credentials = credentials
        self._endpoints = endpoints
        self._sink = sink
        self._orders = orders
        self._full: frozenset[int] = frozenset()
        self._quote: frozenset[int] = frozenset()
        self._connection: _Connection | None = None
        self._redial = Redial(self._connect_once, sink.disconnected, "zerodha ticker", behind=not orders)
        secure = urlsplit(endpoints.ws_url).scheme == "wss"
        # Made once: reading the system's authorities holds the loop for milliseconds.
        self._tls = tls_context(endpoints.ca_file) if secure else None

    def start(self) -> None:
        """Dials, and keeps dialling."""
        self._redial.start()

    async def stop(self) -> None:
        """Closes the connection and ends. A second call does nothing."""
        await self._redial.stop()

    def subscribe(self, full: Iterable[int], quote: Iterable[int] = ()) -> None:
        """The whole wanted set; only the difference goes over the wire."""
        new_full = frozenset(full)
        new_quote = frozenset(quote) - new_full
        old_full, old_quote = self._full, self._quote
        self._full, self._quote = new_full, new_quote
        connection = self._connection
        if connection is not None and connection.stream.ready:
            connection.change(old_full, old_quote, new_full, new_quote)

    def set_urgent(self, urgent: bool) -> None:
        """Stops are armed: never back off (E3)."""
        self._redial.set_urgent(urgent)

    def poll(self) -> bool:
        """See `Feed.poll`."""
        return self._connection is not None and self._connection.stream.poll()

    async def reconnect(self) -> None:
        """Drops a connection that has gone silent; the next dial follows at once."""
        if self._connection is not None:
            self._redial.at_once()
            self._connection.stream.drop(Unreachable("The price feed went silent."))

    def marks(self, payload: bytes) -> Iterable[Mark]:
        """See `codec.marks`."""
        return codec.marks(payload)

    def packets(self, payload: bytes) -> Sequence[tuple[int, bytes]]:
        """See `codec.packets`."""
        return codec.packets(payload)

    def fault(self, payload: bytes) -> str:
        """See `codec.fault`."""
        return codec.fault(payload)

    def decode(self, packet: bytes, instrument: InstrumentId, received_at: Nanos) -> Tick:
        """See `codec.decode`."""
        return codec.decode(packet, instrument, received_at)

    async def _connect_once(self) -> Exception:
        """One connection from dial to end. Returns why it ended."""
        connection = _Connection(self._sink, self._session.account, orders=self._orders)
        url = f"{self._endpoints.ws_url}?" + urlencode(
            {"api_key": self._credentials.api_key, "access_token": self._session.access_token.reveal()}
        )
        try:
            await connection.stream.open(url, self._tls, {"X-Kite-Version": "3"})
            self._connection = connection
            connection.change(frozenset(), frozenset(), self._full, self._quote)
            self._sink.connected()
            return await connection.stream.closed()
        except AppError as failure:
            return failure
        finally:
            self._connection = None
            connection.close()


class _Connection:
    """What Kite says over one WebSocket."""

    def __init__(self, sink: FeedSink, account: AccountId, *, orders: bool) -> None:
        self.stream = Stream(self._on_binary, self._on_text)
        self._sink = sink
        self._account = account
        self._orders = orders
        self._texts: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Lets go of the socket; what was heard is still told."""
        self.stream.close()
        self._read_texts()

    def change(
        self, old_full: frozenset[int], old_quote: frozenset[int], full: frozenset[int], quote: frozenset[int]
    ) -> None:
        """Sends the difference between two wanted sets."""
        gone = (old_full | old_quote) - (full | quote)
        new = (full | quote) - (old_full | old_quote)
        self._send_each("unsubscribe", gone)
        self._send_each("subscribe", new)
        self._send_mode("full", full - old_full)
        self._send_mode("quote", quote - old_quote)

    def _send_each(self, action: str, tokens: frozenset[int]) -> None:
        ordered = sorted(tokens)
        for start in range(0, len(ordered), BATCH):
            self._send({"a": action, "v": ordered[start : start + BATCH]})

    def _send_mode(self, mode: str, tokens: frozenset[int]) -> None:
        ordered = sorted(tokens)
        for start in range(0, len(ordered), BATCH):
            self._send({"a": "mode", "v": [mode, ordered[start : start + BATCH]]})

    def _send(self, message: dict[str, object]) -> None:
        self.stream.send_text(json.dumps(message, separators=(",", ":")).encode())

    def _on_binary(self, payload: bytes, readable_ns: int) -> None:
        if len(payload) < 4:
            return  # heartbeat
        sink = self._sink
        sink.marks(codec.marks(payload), readable_ns)
        # Every stop was checked. From here on nothing is urgent, and the sink does it when the socket is drained.
        sink.frame(payload, time.time_ns())

    def _on_text(self, payload: bytes) -> None:
        """News of an order comes before the next price where a stop guards its instrument; else once all is read."""
        self._texts.append(payload)
        if self._orders and self._sink.watched(_token_of(payload)):
            self._read_texts()
        elif len(self._texts) == 1:
            self._loop.call_soon(self._read_one)

    def _read_one(self) -> None:
        if self._texts:
            self._read_text(self._texts.popleft())
        if self._texts:
            self._loop.call_soon(self._read_one)

    def _read_texts(self) -> None:
        while self._texts:
            self._read_text(self._texts.popleft())

    def _read_text(self, payload: bytes) -> None:
        try:
            message = json.loads(payload)
            kind = message["type"]
            if kind == "order" and self._orders:
                self._sink.order_update(order_from_update(message["data"], self._account))
            elif kind == "error":
                log.warning("the price feed says: %s", printable(str(message.get("data", ""))))
        except (AppError, ValueError, KeyError, TypeError, AttributeError) as failure:
            self._sink.malformed(f"text event: {type(failure).__name__}", payload[:16])


class _News(msgspec.Struct):
    instrument_token: int = 0


class _Update(msgspec.Struct):
    data: _News | str = ""


_UPDATE = msgspec.json.Decoder(_Update)


def _token_of(payload: bytes) -> int:
    """The instrument that an order update is about; 0: none, or not to be read."""
    try:
        data = _UPDATE.decode(payload).data
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0
    return data.instrument_token if isinstance(data, _News) else 0
