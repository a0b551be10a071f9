"""One client's socket: what waits to leave, in the order in which things happened."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from aiohttp import WSCloseCode, web

BACKLOG = 64 * 1024 * 1024
"""Bytes that may wait for a client that does not read; beyond, it is cut off."""
PING_SECONDS = 10.0
"""Real seconds of quiet after which the server pings."""
LARGEST_REQUEST = 4 * 1024 * 1024


class Line:
    """A prepared socket with a writer of its own. `silent` is a fault: nothing leaves, not even a ping."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self.socket = socket
        self.silent = False
        self._transport = transport
        self._waiting: deque[bytes | str] = deque()
        self._size = 0
        self._some = asyncio.Event()

    def send(self, message: bytes | str) -> None:
        """One whole message; a client that never reads is cut off."""
        if self.silent:
            return
        self._waiting.append(message)
        self._size += len(message)
        self._some.set()
        if self._size > BACKLOG:
            self.cut()

    def cut(self) -> None:
        """The line breaks, without a goodbye."""
        self._transport.abort()

    async def close(self) -> None:
        """Ends it properly."""
        await self.socket.close(code=WSCloseCode.GOING_AWAY)

    async def write(self) -> None:
        """Sends what waits. Ends with the socket."""
        with contextlib.suppress(ConnectionError):  # the client went away: the reading side ends by itself
            while not self.socket.closed:
                if not self._waiting:
                    self._some.clear()
                    try:
                        async with asyncio.timeout(PING_SECONDS):
                            await self._some.wait()
                    except TimeoutError:
                        if not self.silent:
                            await self.socket.ping()
                        continue
                message = self._waiting.popleft()
                self._size -= len(message)
                if isinstance(message, str):
                    await self.socket.send_str(message)
                else:
                    await self.socket.send_bytes(message)


async def opened(request: web.Request) -> Line | None:
    """The handshake; None when the client has gone already."""
    socket = web.WebSocketResponse(compress=False, max_msg_size=LARGEST_REQUEST)
    await socket.prepare(request)
    return Line(socket, request.transport) if request.transport is not None else None
