"""One WebSocket to a broker's stream: `websockets`' Sans-I/O protocol over our own link, so that a message is handled
inside the callback that read it, without a task switch. Whole binary messages, which is what prices come in, are cut
out before the library sees them.

Loop thread only.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from app.brokers.frames import FrameSplitter
from app.brokers.link import Link
from app.domain.errors import AppError, SessionExpired, Unreachable

PING_SECONDS = 2.5
PONG_SECONDS = 5.0
"""Without a pong for this long the connection is dead, whatever the socket says (the official clients never ping)."""
CONNECT_SECONDS = 5.0
MAX_MESSAGE = 4 * 1024 * 1024
MAX_HEAD = 64 * 1024
HEAD_END = b"\r\n\r\n"
_REFUSED = (401, 403)


class Stream:
    """One connection. `ready` from the finished handshake until it closes."""

    def __init__(self, on_binary: Callable[[bytes, int], None], on_text: Callable[[bytes], None]) -> None:
        self._on_binary = on_binary
        """(message, `perf_counter_ns` when the socket was found readable). The hot path begins here."""
        self._on_text = on_text
        self._link: Link | None = None
        self._protocol: ClientProtocol | None = None
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[Exception] = self._loop.create_future()
        self._splitter = FrameSplitter(MAX_MESSAGE)
        self._answer = b""
        """To our request for an upgrade, until its head is whole."""
        self._headed = False
        self._partial: list[bytes] = []
        self._partial_is_text = False
        self._pong_at = 0.0
        self._pinger: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        """Open in both directions."""
        return self._protocol is not None and self._protocol.state is State.OPEN and not self._closed.done()

    async def open(self, url: str, tls: ssl.SSLContext | None, headers: Mapping[str, str]) -> None:
        """Dials and shakes hands. Raises SessionExpired (401, 403: the token is dead) or Unreachable."""
        parts = urlsplit(url)
        port = parts.port or (80 if tls is None else 443)
        try:
            link = await Link.connect(parts.hostname or "", port, tls, self._on_data, self._on_closed)
        except OSError as failure:
            raise Unreachable("The price feed cannot be reached.", detail=failure.strerror or str(failure)) from None
        self._link = link
        protocol = ClientProtocol(parse_uri(url), max_size=MAX_MESSAGE)
        self._protocol = protocol
        request = protocol.connect()
        request.headers.update(headers)
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

    def poll(self) -> bool:
        """See `Link.poll`."""
        return self._link is not None and self.ready and self._link.poll()

    def send_text(self, message: bytes) -> None:
        """Sends a message; nothing happens when the connection is gone."""
        if self.ready and self._protocol is not None:
            self._protocol.send_text(message)
            self._flush()

    def send_binary(self, message: bytes) -> None:
        """The same for a binary one."""
        if self.ready and self._protocol is not None:
            self._protocol.send_binary(message)
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
        if self._protocol is not None and not self._opened.done():
            self._protocol.receive_eof()  # a refusal's body may end with its connection
            self._take_events(self._protocol, 0)
        self._end(Unreachable("The price feed's connection was lost.", detail=str(cause or "")))

    def _on_data(self, data: bytes, readable_ns: int) -> None:
        if not self._opened.done():
            self._shake_hands(data, readable_ns)
            return
        for whole, part in self._splitter.feed(data):
            if whole:
                self._on_binary(part, readable_ns)
            else:
                self._receive(part, readable_ns)

    def _shake_hands(self, data: bytes, readable_ns: int) -> None:
        """The head of the answer goes to the library; what follows is frames if it was an upgrade, else its body."""
        if not self._headed:
            self._answer += data
            head, blank, data = self._answer.partition(HEAD_END)
            if not blank and len(head) <= MAX_HEAD:
                return
            self._headed = True
            self._receive(head + blank, readable_ns)
        if not self._opened.done():
            self._receive(data, readable_ns)
        elif data and self.ready:
            self._on_data(data, readable_ns)

    def _receive(self, data: bytes, readable_ns: int) -> None:
        """Everything that is not a whole binary frame, by the library."""
        protocol = self._protocol
        if protocol is None:
            return
        protocol.receive_data(data)
        self._take_events(protocol, readable_ns)

    def _take_events(self, protocol: ClientProtocol, readable_ns: int) -> None:
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._on_frame(event, readable_ns)
            elif protocol.handshake_exc is not None:
                self.drop(_refused(protocol.handshake_exc))
            elif not self._opened.done():
                self._opened.set_result(None)
        self._flush()
        if protocol.state is State.CLOSED or protocol.close_expected():
            if protocol.handshake_exc is not None:
                self.drop(_refused(protocol.handshake_exc))
            elif self._opened.done():
                self.drop(Unreachable("The broker closed the connection."))

    def _on_frame(self, frame: Frame, readable_ns: int) -> None:
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


def _refused(cause: Exception) -> AppError:
    if isinstance(cause, InvalidStatus):
        status = cause.response.status_code
        if status in _REFUSED:
            return SessionExpired("The price feed refused the access token.")
        return Unreachable("The price feed refused the connection.", detail=f"HTTP {status}")
    if isinstance(cause, InvalidHandshake | WebSocketException | EOFError):
        return Unreachable("The price feed's answer could not be read.", detail=type(cause).__name__)
    return Unreachable("The price feed cannot be used.", detail=type(cause).__name__)
