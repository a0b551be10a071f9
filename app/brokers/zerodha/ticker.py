"""Kite's tick stream: WebSocket by `websockets`' Sans-I/O protocol over our own link, so that a frame is checked
against the stops inside the callback that read it, without a task switch.

The official client's ticker runs a global Twisted reactor and never notices a dead feed; hence ours.
Loop thread only. Source of the wire: Kite Connect v3, WebSocket streaming.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import ssl
import time
from collections.abc import Iterable
from urllib.parse import urlencode, urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from app.brokers.base import Credentials, FeedSink, Mark, Session
from app.brokers.link import Link
from app.brokers.zerodha import codec
from app.brokers.zerodha.mapping import order_from_update
from app.domain.account import Endpoints
from app.domain.errors import AppError, SessionExpired, Unreachable, printable
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.market import Tick

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
RETRY_JITTER = 0.2
RETRY_CEILING = 60.0
PING_SECONDS = 2.5
PONG_SECONDS = 5.0
"""Without a pong for this long the connection is dead, whatever the socket says (the official client never pings)."""
CONNECT_SECONDS = 5.0
BATCH = 1_000
"""Tokens in one subscribe message."""
MAX_FRAME = 4 * 1024 * 1024


class ZerodhaFeed:
    """One ticker connection of one account; reconnects and resubscribes by itself until stopped."""

    def __init__(self, session: Session, credentials: Credentials, endpoints: Endpoints, sink: FeedSink) -> None:
        self._session = session
        self._credentials = credentials
        self._endpoints = endpoints
        self._sink = sink
        self._full: frozenset[int] = frozenset()
        self._quote: frozenset[int] = frozenset()
        self._urgent = False
        self._task: asyncio.Task[None] | None = None
        self._connection: _Connection | None = None
        self._again = asyncio.Event()
        secure = urlsplit(endpoints.ws_url).scheme == "wss"
        # Made once: reading the system's authorities holds the loop for milliseconds.
        self._tls = ssl.create_default_context(cafile=endpoints.ca_file or None) if secure else None

    def start(self) -> None:
        """Dials, and keeps dialling."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="zerodha ticker")

    async def stop(self) -> None:
        """Closes the connection and ends. A second call does nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def subscribe(self, full: Iterable[int], quote: Iterable[int] = ()) -> None:
        """The whole wanted set; only the difference goes over the wire."""
        new_full = frozenset(full)
        new_quote = frozenset(quote) - new_full
        old_full, old_quote = self._full, self._quote
        self._full, self._quote = new_full, new_quote
        connection = self._connection
        if connection is not None and connection.ready:
            connection.change(old_full, old_quote, new_full, new_quote)

    def set_urgent(self, urgent: bool) -> None:
        """Stops are armed: never back off (E3)."""
        if urgent and not self._urgent and self._connection is None:
            self._again.set()  # a long wait between two dials ends now
        self._urgent = urgent

    async def reconnect(self) -> None:
        """Drops a connection that has gone silent; the next dial follows at once."""
        if self._connection is not None:
            self._again.set()
            self._connection.drop(Unreachable("The price feed went silent."))

    def marks(self, payload: bytes) -> Iterable[Mark]:
        """See `codec.marks`."""
        return codec.marks(payload)

    def packets(self, payload: bytes) -> Iterable[tuple[int, bytes]]:
        """See `codec.packets`."""
        return codec.packets(payload)

    def decode(self, packet: bytes, instrument: InstrumentId, received_at: Nanos) -> Tick:
        """See `codec.decode`."""
        return codec.decode(packet, instrument, received_at)

    async def _run(self) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            cause = await self._connect_once()
            self._sink.disconnected(cause)
            if isinstance(cause, SessionExpired):
                return  # a new login brings a new session, and with it a new feed
            failures = 0 if time.monotonic() - started > 2 * RETRY_CEILING else failures + 1
            delay = RETRY_SECONDS if self._urgent else min(RETRY_SECONDS * 2 ** min(failures - 1, 5), RETRY_CEILING)
            delay *= random.uniform(1 - RETRY_JITTER, 1 + RETRY_JITTER)
            # Not `wait_for`: on Python 3.11 it may swallow the cancellation that ends this task.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._again.wait()
            self._again.clear()

    async def _connect_once(self) -> Exception:
        """One connection from dial to end. Returns why it ended."""
        connection = _Connection(self._sink, self._session.account)
        url = f"{self._endpoints.ws_url}?" + urlencode(
            {"api_key": self._credentials.api_key, "access_token": self._session.access_token.reveal()}
        )
        try:
            await connection.open(url, self._tls)
            self._connection = connection
            connection.change(frozenset(), frozenset(), self._full, self._quote)
            self._sink.connected()
            return await connection.closed()
        except AppError as failure:
            return failure
        finally:
            self._connection = None
            connection.close()


class _Connection:
    """One WebSocket. `ready` from the finished handshake until it closes."""

    def __init__(self, sink: FeedSink, account: AccountId) -> None:
        self._sink = sink
        self._account = account
        self._link: Link | None = None
        self._protocol: ClientProtocol | None = None
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[Exception] = self._loop.create_future()
        self._partial: list[bytes] = []
        self._partial_is_text = False
        self._pong_at = 0.0
        self._pinger: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        """Open in both directions."""
        return self._protocol is not None and self._protocol.state is State.OPEN and not self._closed.done()

    async def open(self, url: str, tls: ssl.SSLContext | None) -> None:
        """Dials and shakes hands. Raises SessionExpired (403: the token is dead) or Unreachable."""
        parts = urlsplit(url)
        port = parts.port or (80 if tls is None else 443)
        try:
            link = await Link.connect(parts.hostname or "", port, tls, self._on_data, self._on_closed)
        except OSError as failure:
            raise Unreachable("The price feed cannot be reached.", detail=failure.strerror or str(failure)) from None
        self._link = link
        protocol = ClientProtocol(parse_uri(url), max_size=MAX_FRAME)
        self._protocol = protocol
        request = protocol.connect()
        request.headers["X-Kite-Version"] = "3"
        protocol.send_request(request)
        self._flush()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._opened
        except TimeoutError:
            raise Unreachable("The price feed did not answer.") from None
        self._pong_at = self._loop.time()
        self._ping()

    async def closed(self) -> Exception:
        """Waits for the end, whatever brings it."""
        return await asyncio.shield(self._closed)

    def close(self) -> None:
        """Lets go of the socket."""
        if self._pinger is not None:
            self._pinger.cancel()
            self._pinger = None
        if self._protocol is not None and self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()
        if self._link is not None:
            self._link.close()
        self._end(Unreachable("The price feed was closed."))

    def drop(self, cause: Exception) -> None:
        """Ends the connection for a reason of our own."""
        if self._link is not None:
            self._link.close()
        self._end(cause)

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
        if self._protocol is not None:
            self._protocol.send_text(json.dumps(message, separators=(",", ":")).encode())
            self._flush()

    def _flush(self) -> None:
        if self._protocol is None or self._link is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                self._link.write(data)

    def _ping(self) -> None:
        if not self.ready or self._protocol is None:
            return
        if self._loop.time() - self._pong_at > PONG_SECONDS:
            self.drop(Unreachable("The price feed does not answer."))
            return
        self._protocol.send_ping(b"")
        self._flush()
        self._pinger = self._loop.call_later(PING_SECONDS, self._ping)

    def _end(self, cause: Exception) -> None:
        if not self._closed.done():
            self._closed.set_result(cause)
        if not self._opened.done():
            self._opened.set_exception(cause)
            self._opened.exception()  # read here: nobody may be waiting any more

    def _on_closed(self, cause: Exception | None) -> None:
        self._end(Unreachable("The price feed's connection was lost.", detail=str(cause or "")))

    def _on_data(self, data: bytes, readable_ns: int) -> None:
        protocol = self._protocol
        if protocol is None:
            return
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame):
                # The common case first: a whole binary frame.
                if event.opcode is Opcode.BINARY and event.fin:
                    self._on_binary(bytes(event.data), readable_ns)
                else:
                    self._on_other(event, readable_ns)
            elif protocol.handshake_exc is not None:
                self.drop(_refused(protocol.handshake_exc))
            elif not self._opened.done():
                self._opened.set_result(None)
        self._flush()
        if protocol.state is State.CLOSED or protocol.close_expected():
            if protocol.handshake_exc is not None:
                self.drop(_refused(protocol.handshake_exc))
            elif self._opened.done():
                self.drop(Unreachable("The broker closed the price feed."))

    def _on_binary(self, payload: bytes, readable_ns: int) -> None:
        if len(payload) < 4:
            return  # heartbeat
        sink = self._sink
        sink.marks(codec.marks(payload), readable_ns)
        # Every stop was checked. From here on nothing is urgent.
        sink.frame(payload, time.time_ns())
        reason = codec.fault(payload)
        if reason:
            sink.malformed(reason, payload[:16])

    def _on_other(self, frame: Frame, readable_ns: int) -> None:
        if frame.opcode is Opcode.PONG:
            self._pong_at = self._loop.time()
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._partial.clear()
                self._partial_is_text = frame.opcode is Opcode.TEXT
            self._partial.append(bytes(frame.data))
            if frame.fin:
                whole = b"".join(self._partial)
                self._partial.clear()
                if self._partial_is_text:
                    self._on_text(whole)
                else:
                    self._on_binary(whole, readable_ns)

    def _on_text(self, payload: bytes) -> None:
        try:
            message = json.loads(payload)
            kind = message["type"]
            if kind == "order":
                self._sink.order_update(order_from_update(message["data"], self._account))
            elif kind == "error":
                log.warning("the price feed says: %s", printable(str(message.get("data", ""))))
        except (AppError, ValueError, KeyError, TypeError, AttributeError) as failure:
            self._sink.malformed(f"text event: {type(failure).__name__}", payload[:16])


def _refused(cause: Exception) -> AppError:
    if isinstance(cause, InvalidStatus):
        status = cause.response.status_code
        if status == 403:
            return SessionExpired("The price feed refused the access token.")
        return Unreachable("The price feed refused the connection.", detail=f"HTTP {status}")
    if isinstance(cause, InvalidHandshake | WebSocketException | EOFError):
        return Unreachable("The price feed's answer could not be read.", detail=type(cause).__name__)
    return Unreachable("The price feed cannot be used.", detail=type(cause).__name__)
