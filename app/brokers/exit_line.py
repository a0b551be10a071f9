"""The exit line: warm connections to a broker's order entry, over which a prepared exit leaves with one write.

No HTTP library on the way out: the request's bytes are made when the stop is armed. The way back is read with h11.
Loop thread only. What a broker's orders look like is in its own `exit_line` module.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any
from urllib.parse import urlsplit

import h11

from app import __version__
from app.brokers.base import ExitReply, Prepared
from app.brokers.link import Link, tls_context
from app.brokers.pacing import seconds_asked
from app.domain.errors import OutcomeUnknown, Unreachable
from app.domain.ids import BrokerOrderId
from app.domain.money import Price
from app.domain.order import OrderKind, OrderRequest

log = logging.getLogger(__name__)

CONNECTIONS = 10
"""As many as the broker takes orders in a second: of many exits at once none waits for the answer to another."""
WARM_SECONDS = 20.0
"""An idle connection is used this often, so that neither side nor anything between forgets it."""
REPLY_SECONDS = 7.0
"""After this the outcome is unknown and the connection is closed, so that a late acceptance cannot be mistaken."""
REDIAL_SECONDS = 1.0
MAX_REPLY = 64 * 1024
HTTP_OK = 200
USER_AGENT = f"Stopline/{__version__}"


@dataclass(frozen=True, slots=True)
class PreparedExit:
    """An exit order's bytes, cut where the price goes."""

    request: OrderRequest
    head: bytes
    """Up to and including `Content-Length: `."""
    body: bytes
    before_price: bytes
    behind_price: bytes
    price_scale: int

    def __repr__(self) -> str:
        return f"PreparedExit({self.request.tag})"

    def wire(self, price: Price | None) -> bytes:
        """The whole request; a LIMIT gets its price here."""
        body = self.body
        if price is not None and self.request.kind is OrderKind.LIMIT:
            body = b"%b%b%b" % (self.before_price, _rupees(price, self.price_scale), self.behind_price)
        return b"%b%d\r\n\r\n%b" % (self.head, len(body), body)


def _rupees(price: Price, scale: int) -> bytes:
    digits = len(str(scale)) - 1
    whole, rest = divmod(price, scale)
    return b"%d.%0*d" % (whole, digits, rest)


@dataclass(frozen=True, slots=True)
class Wire:
    """How a broker is spoken to on this line."""

    url: str
    """The host that takes orders; its path stands in front of all others."""
    ca_file: str
    headers: tuple[tuple[str, str], ...]
    """Beside host, user agent, type and length of the body."""
    order_path: str
    content_type: str
    warm_path: str
    """A light read that keeps a connection warm."""


class WarmLine(ABC):
    """The pool. `fire` is the hot path."""

    def __init__(self, wire: Wire) -> None:
        parts = urlsplit(wire.url)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._tls = tls_context(wire.ca_file) if self._secure else None
        path = self._path = parts.path.rstrip("/")
        lines = [("Host", parts.netloc.rpartition("@")[2]), ("User-Agent", USER_AGENT), *wire.headers]
        common = "".join(f"{name}: {value}\r\n" for name, value in lines)
        self._common = f"{common}Content-Type: {wire.content_type}\r\nContent-Length: "
        self._head = f"POST {path}{wire.order_path} HTTP/1.1\r\n{self._common}".encode()
        self._warm = f"GET {path}{wire.warm_path} HTTP/1.1\r\n{common}\r\n".encode()
        self._slots = [_Slot(self, n) for n in range(CONNECTIONS)]
        self._tasks: list[asyncio.Task[None]] = []
        self.on_ready: Callable[[], None] | None = None
        """Called when a connection can fire again: what found none ready may go now."""

    @abstractmethod
    def bodies(self, request: OrderRequest) -> tuple[bytes, bytes, bytes]:
        """(the whole body; and for a LIMIT whose price comes later: what stands before the price, and behind it)."""

    @abstractmethod
    def change(self, order: BrokerOrderId, request: OrderRequest) -> tuple[str, str, tuple[bytes, bytes, bytes]]:
        """(method, path, body as `bodies` has it) of what makes a resting order the LIMIT that is described."""

    @abstractmethod
    def order_of(self, status: int, answer: Mapping[str, Any]) -> str:
        """The order id of an acceptance; empty when the answer is none."""

    @abstractmethod
    def refusal(self, status: int, answer: Mapping[str, Any] | None, retry_after: float | None) -> Exception:
        """What an answer that is no acceptance means; OutcomeUnknown unless it proves a refusal."""

    def prepare(self, request: OrderRequest, price_scale: int = 100) -> PreparedExit:
        """Serialises an exit. A LIMIT's price may be left open: `fire` puts it in."""
        body, before, behind = self.bodies(request)
        return PreparedExit(request, self._head, body, before, behind, price_scale)

    def prepare_change(self, order: BrokerOrderId, request: OrderRequest, price_scale: int = 100) -> PreparedExit:
        """Serialises the change of a resting order to the marketable LIMIT that `request` describes."""
        method, path, (body, before, behind) = self.change(order, request)
        head = f"{method} {self._path}{path} HTTP/1.1\r\n{self._common}".encode()
        return PreparedExit(request, head, body, before, behind, price_scale)

    def fire(self, prepared: Prepared, on_reply: Callable[[ExitReply], None], price: Price | None = None) -> int:
        """Writes the order now on the first idle connection. 0: none was ready and nothing was sent."""
        for slot in self._slots:
            if slot.idle:
                return slot.send_order(prepared.wire(price), prepared.request.tag or "", on_reply)
        return 0

    @property
    def ready(self) -> int:
        """Connections that could fire now."""
        return sum(slot.idle for slot in self._slots)

    async def start(self) -> None:
        """Dials all connections; returns when the first is ready or could not be made."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(slot.run(), name=f"exit line {slot.number}") for slot in self._slots]
        first = [loop.create_task(slot.first_try.wait()) for slot in self._slots]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        for task in first:
            task.cancel()

    async def stop(self) -> None:
        """Closes everything. An exit in flight becomes unknown."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for slot in self._slots:
            slot.close(Unreachable("The exit line was closed."))

    def redial(self) -> None:
        """The machine slept: whether a connection of before still stands nobody knows until it is used, and an exit
        must not be what finds out. Those that wait for no answer are made anew."""
        for slot in self._slots:
            if slot.idle:
                slot.close(Unreachable("The machine slept."))

    async def open_link(self, slot: _Slot) -> Link:
        """A connected link for a slot. Raises OSError."""
        return await Link.connect(self._host, self._port, self._tls, slot.on_data, slot.on_closed)

    def warm_request(self) -> bytes:
        """A light read that keeps a connection warm."""
        return self._warm

    def may_warm(self) -> bool:
        """One connection always stays idle for exits."""
        return self.ready > 1


class _Slot:
    """One connection of the pool: closed, idle, or waiting for one answer."""

    def __init__(self, line: WarmLine, number: int) -> None:
        self.number = number
        self.idle = False
        self.first_try = asyncio.Event()
        self._line = line
        self._link: Link | None = None
        self._gone = asyncio.Event()
        self._pending: _Pending | None = None
        self._deadline: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Keeps the connection open and warm until cancelled."""
        while True:
            self._gone.clear()
            try:
                self._link = await self._line.open_link(self)
            except OSError as failure:
                log.info("exit line %d: %s", self.number, failure.strerror or failure)
                self.first_try.set()
                await asyncio.sleep(REDIAL_SECONDS)
                continue
            self._become_idle()
            self.first_try.set()
            # Spread over the interval, so that the pool is never warmed all at once.
            wait = WARM_SECONDS * (1 + self.number) / CONNECTIONS
            while not self._gone.is_set():
                try:
                    # Not `wait_for`: on Python 3.11 it may swallow the cancellation that ends this task.
                    async with asyncio.timeout(wait):
                        await self._gone.wait()
                except TimeoutError:
                    wait = WARM_SECONDS
                    if self.idle and self._line.may_warm():
                        self._send(self._line.warm_request(), _Pending(self._line, "", None, "GET"))

    def send_order(self, data: bytes, tag: str, on_reply: Callable[[ExitReply], None]) -> int:
        """The hot path: one write, then the bookkeeping."""
        link = self._link
        if link is None:
            return 0
        self.idle = False
        whole = link.write(data)
        written_ns = perf_counter_ns()
        pending = _Pending(self._line, tag, on_reply, "POST")
        pending.written_ns = written_ns
        self._pending = pending
        if not whole and not link.open:
            # The write failed; whether the broker saw a part of it cannot be told, so `on_closed` makes it unknown.
            return written_ns
        self._deadline = asyncio.get_running_loop().call_later(REPLY_SECONDS, self._late)
        return written_ns

    def _send(self, data: bytes, pending: _Pending) -> None:
        self.idle = False
        self._pending = pending
        if self._link is not None:
            self._link.write(data)
            self._deadline = asyncio.get_running_loop().call_later(REPLY_SECONDS, self._late)

    def _become_idle(self) -> None:
        self.idle = True
        if self._line.on_ready is not None:
            self._line.on_ready()

    def _late(self) -> None:
        self.close(Unreachable("The broker did not answer in time."))

    def on_closed(self, cause: Exception | None) -> None:
        """The connection ended under us."""
        self.close(Unreachable("The exit line's connection was lost.", detail=str(cause or "")))

    def close(self, cause: Exception) -> None:
        """Lets go of the connection; an order without an answer becomes unknown."""
        self.idle = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        link, self._link = self._link, None
        if link is not None:
            link.close()
        self._gone.set()
        pending, self._pending = self._pending, None
        if pending is not None and pending.on_reply is not None:
            unknown = OutcomeUnknown("The exit order was sent, and the broker did not answer.", detail=str(cause))
            pending.on_reply(ExitReply(pending.tag, None, unknown, pending.written_ns, perf_counter_ns()))

    def on_data(self, data: bytes, readable_ns: int) -> None:
        """Bytes of an answer."""
        pending = self._pending
        if pending is None:
            self.close(Unreachable("The broker sent an answer to no question."))
            return
        try:
            done = pending.feed(data)
        except h11.RemoteProtocolError as failure:
            self.close(Unreachable("The broker's answer could not be read.", detail=str(failure)))
            return
        if not done:
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._pending = None
        if pending.keep_alive:
            self._become_idle()
        else:
            self.close(Unreachable("The broker closed the connection after its answer."))
        if pending.on_reply is not None:
            pending.on_reply(pending.reply(readable_ns))


class _Pending:
    """One question on the wire, and its answer as it arrives."""

    def __init__(self, line: WarmLine, tag: str, on_reply: Callable[[ExitReply], None] | None, method: str) -> None:
        self.tag = tag
        self.on_reply = on_reply
        self.written_ns = 0
        self.keep_alive = True
        self._line = line
        self._method = method
        self._status = 0
        self._retry_after = ""
        self._body = bytearray()
        self._parser: h11.Connection | None = None

    def feed(self, data: bytes) -> bool:
        """Takes bytes; True when the answer is whole. Raises h11.RemoteProtocolError."""
        if self._parser is None:
            # The request left by another road; the parser is told of one like it, to know what answer to expect.
            self._parser = h11.Connection(h11.CLIENT)
            self._parser.send(h11.Request(method=self._method, target="/", headers=[("Host", "broker")]))
            self._parser.send(h11.EndOfMessage())
        self._parser.receive_data(data)
        while True:
            event = self._parser.next_event()
            if event is h11.NEED_DATA:
                return False
            if isinstance(event, h11.Response):
                self._status = event.status_code
                self._retry_after = next((v.decode() for k, v in event.headers if k == b"retry-after"), "")
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_REPLY:
                    raise h11.RemoteProtocolError("the answer is too long")
            elif isinstance(event, h11.EndOfMessage):
                self.keep_alive = self._parser.their_state is h11.DONE
                return True
            elif isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("closed before the answer was whole")

    def reply(self, replied_ns: int) -> ExitReply:
        """What the answer says."""
        answer: object = None
        with contextlib.suppress(ValueError):
            answer = json.loads(self._body)
        if isinstance(answer, dict):
            order = self._line.order_of(self._status, answer)
            if order:
                return ExitReply(self.tag, BrokerOrderId(order), None, self.written_ns, replied_ns)
        # A gateway's page instead of the broker's word leaves the outcome open.
        failure = self._line.refusal(
            self._status, answer if isinstance(answer, dict) else None, seconds_asked(self._retry_after)
        )
        return ExitReply(self.tag, None, failure, self.written_ns, replied_ns)
