"""Kite's WebSocket stream, served: subscriptions, binary ticks, heartbeats, text order updates.

Every packet is made once and shared by all that want it in that mode. A connection's messages leave in the order in
which things happened; ticks that happen while an earlier frame is still leaving travel together in the next frame,
none dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from aiohttp import WSCloseCode, WSMsgType, web

from app.simulator.bodies import json_value
from app.simulator.kite import wire
from app.simulator.market import Market
from app.simulator.quote import Quote
from app.simulator.switches import Switches

CONNECTIONS_PER_KEY = 3
TOKENS_PER_CONNECTION = 3000
QUIET = 1.0
"""Real seconds without a message after which the heartbeat is sent; clients call 5 s of silence dead."""
BACKLOG = 64 * 1024 * 1024
"""Bytes that may wait for a client that does not read; beyond, it is cut off."""
LARGEST_REQUEST = 1024 * 1024


class _Raw(bytes):
    """A whole binary message, sent as it is."""


class Connection:
    """One client's socket: what it wants, and what waits to leave."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport, user_id: str) -> None:
        self.socket = socket
        self.transport = transport
        self.user_id = user_id
        self.silent = False
        self.modes: dict[int, str] = {}
        self._waiting: deque[bytes | str] = deque()
        self._size = 0
        self._some = asyncio.Event()

    def packet(self, packet: bytes) -> None:
        """A tick leaves with the next frame."""
        if self.silent:
            return
        self._waiting.append(packet)
        self._size += len(packet)
        self._some.set()

    def text(self, message: str) -> None:
        """A text event leaves after what waits already."""
        if self.silent:
            return
        self._waiting.append(message)
        self._size += len(message)
        self._some.set()

    @property
    def overrun(self) -> bool:
        """The client reads too slowly to be served on."""
        return self._size > BACKLOG

    async def write(self) -> None:
        """Sends what waits, and the heartbeat when nothing does. Ends with the socket."""
        while not self.socket.closed:
            if not self._waiting:
                self._some.clear()
                try:
                    async with asyncio.timeout(QUIET):
                        await self._some.wait()
                except TimeoutError:
                    if not self.silent:
                        await self.socket.send_bytes(wire.HEARTBEAT)
                    continue
            packets: list[bytes] = []
            while self._waiting and type(first := self._waiting[0]) is bytes:
                packets.append(first)
                self._waiting.popleft()
            for frame in wire.frames(packets):
                await self.socket.send_bytes(frame)
            self._size -= sum(map(len, packets))
            while self._waiting and type(event := self._waiting[0]) is not bytes:
                self._waiting.popleft()
                self._size -= len(event)
                if isinstance(event, str):
                    await self.socket.send_str(event)
                else:
                    await self.socket.send_bytes(event)


class TickerHub:
    """All ticker connections of one exchange. Lives on the loop thread; `market` tells it every batch."""

    def __init__(
        self, market: Market, authorise: Callable[[str, str], str | None], switches: Callable[[], Switches] = Switches
    ) -> None:
        self._market = market
        self._switches = switches
        self._authorise = authorise
        self._connections: set[Connection] = set()
        self._silent = False
        self._per_key: Counter[str] = Counter()
        self._wanted: dict[int, dict[str, set[Connection]]] = {}
        market.add_listener(self._on_batch)

    # -- the market's side

    def _on_batch(self, quotes: Sequence[Quote]) -> None:
        wanted = self._wanted
        for quote in quotes:
            by_mode = wanted.get(quote.listing.token)
            if by_mode is None:
                continue
            for mode, connections in by_mode.items():
                if connections:
                    packet = wire.packet(quote, mode)
                    for connection in connections:
                        connection.packet(packet)
        for connection in [c for c in self._connections if c.overrun]:
            self._abort(connection)

    def order_update(self, user_id: str, data: dict[str, object]) -> None:
        """Tells every connection of a user that an order changed, after the ticks so far and before the next."""
        message = json.dumps({"type": "order", "data": data}, separators=(",", ":"))
        for connection in self._connections:
            if connection.user_id == user_id:
                connection.text(message)

    # -- the clients' side

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The handshake, then the client's requests until it leaves."""
        api_key = request.query.get("api_key", "")
        user_id = self._authorise(api_key, request.query.get("access_token", ""))
        if user_id is None:
            return _refusal(403, "Incorrect `api_key` or `access_token`.", "TokenException")
        if self._switches().plan == "personal":
            return _refusal(403, "Insufficient permission for that call.", "PermissionException")
        if self._per_key[api_key] >= CONNECTIONS_PER_KEY:
            return _refusal(429, "Too many WebSocket connections of this `api_key`.", "NetworkException")
        self._per_key[api_key] += 1
        try:
            return await self._serve(request, user_id)
        finally:
            self._per_key[api_key] -= 1

    async def _serve(self, request: web.Request, user_id: str) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=LARGEST_REQUEST)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket  # gone already
        connection = Connection(socket, transport, user_id)
        connection.silent = self._silent
        self._connections.add(connection)
        if self._switches().stream_meta == "on":
            meta = {"type": "instruments_meta", "data": {"count": len(self._market.quotes), "etag": "W/paper"}}
            connection.text(json.dumps(meta, separators=(",", ":")))
        writer = asyncio.create_task(self._write(connection))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._request(connection, message.data)
                # binary from a client means nothing; pings are answered by the library
        finally:
            self._forget(connection)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return socket

    async def _write(self, connection: Connection) -> None:
        # the client went away: the reading side ends by itself
        with contextlib.suppress(ConnectionError):
            await connection.write()

    def _request(self, connection: Connection, text: str) -> None:
        try:
            request = json_value(text)
            action, value = request["a"], request["v"]
            if action == "subscribe":
                self._subscribe(connection, _tokens(value))
            elif action == "unsubscribe":
                self._unsubscribe(connection, _tokens(value))
            elif action == "mode":
                mode, tokens = value
                self._mode(connection, str(mode), _tokens(tokens))
            else:
                connection.text(_error(f"Unknown action {str(action)[:40]!r}"))
        except (ValueError, KeyError, TypeError):
            connection.text(_error("Invalid request"))

    def _subscribe(self, connection: Connection, tokens: list[int]) -> None:
        refused, switches = 0, self._switches()
        for token in tokens:
            quote = self._market.quotes.get(token)
            if quote is None:
                continue  # nothing ever ticks for an unknown token
            if token not in connection.modes:
                if len(connection.modes) >= TOKENS_PER_CONNECTION:
                    refused += 1
                    continue
                self._want(connection, token, switches.stream_mode)
            if switches.stream_snapshot == "on":
                connection.packet(wire.packet(quote, connection.modes[token]))
        if refused:
            connection.text(
                _error(
                    f"Subscription limit of {TOKENS_PER_CONNECTION} instruments reached; "
                    f"{refused} instruments were not subscribed"
                )
            )

    def _unsubscribe(self, connection: Connection, tokens: list[int]) -> None:
        for token in tokens:
            mode = connection.modes.pop(token, None)
            if mode is not None:
                self._wanted[token][mode].discard(connection)

    def _mode(self, connection: Connection, mode: str, tokens: list[int]) -> None:
        if mode not in wire.MODES:
            connection.text(_error(f"Unknown mode {mode[:40]!r}"))
            return
        for token in tokens:
            if token in connection.modes:
                self._want(connection, token, mode)
                connection.packet(wire.packet(self._market.quotes[token], mode))

    def _want(self, connection: Connection, token: int, mode: str) -> None:
        by_mode = self._wanted.setdefault(token, {})
        before = connection.modes.get(token)
        if before is not None:
            by_mode[before].discard(connection)
        by_mode.setdefault(mode, set()).add(connection)
        connection.modes[token] = mode

    # -- endings

    def _forget(self, connection: Connection) -> None:
        self._unsubscribe(connection, list(connection.modes))
        self._connections.discard(connection)

    def _abort(self, connection: Connection) -> None:
        """Cuts the line without a goodbye."""
        self._forget(connection)
        connection.transport.abort()

    # -- faults, for scripts

    @property
    def silent(self) -> bool:
        """A dead feed: connections stay up and hear nothing, not even the heartbeat."""
        return self._silent

    @silent.setter
    def silent(self, silent: bool) -> None:
        self._silent = silent
        for connection in self._connections:
            connection.silent = silent

    def inject(self, payload: bytes) -> None:
        """Sends any bytes to every connection as one binary message, a malformed one for instance."""
        for connection in self._connections:
            connection.packet(_Raw(payload))

    def drop_all(self) -> None:
        """Every line breaks, without a goodbye."""
        for connection in list(self._connections):
            self._abort(connection)

    async def close_user(self, user_id: str) -> None:
        """Ends a user's connections, as when the token dies; a new handshake then gets 403."""
        await self._close([c for c in self._connections if c.user_id == user_id])

    async def close_all(self) -> None:
        """Ends every connection."""
        await self._close(list(self._connections))

    async def _close(self, connections: Iterable[Connection]) -> None:
        await asyncio.gather(*(c.socket.close(code=WSCloseCode.GOING_AWAY) for c in connections))


def _tokens(value: object) -> list[int]:
    if not isinstance(value, list) or not all(type(token) is int for token in value):
        raise ValueError("tokens must be a list of numbers")
    return value


def _error(text: str) -> str:
    return json.dumps({"type": "error", "data": text}, separators=(",", ":"))


def _refusal(status: int, message: str, error_type: str) -> web.Response:
    return web.json_response({"status": "error", "message": message, "error_type": error_type}, status=status)
