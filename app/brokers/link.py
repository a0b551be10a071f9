"""A connected socket whose writes leave at once.

Event loops queue what a transport is given and write it when the running callback has ended; an exit order must not
wait for that. A `Link` writes to the (TLS) socket inside the call, and reads when the loop finds it readable.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from time import perf_counter_ns

import certifi

READ_SIZE = 262_144
"""Bytes per read: a frame of 1,000 full packets fits."""

_AGAIN = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Trusts the system's authorities and certifi's, or only the private one of a paper exchange."""
    if ca_file:
        return ssl.create_default_context(cafile=ca_file)
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())  # a packed program may not find the system's
    return context


def dial(host: str, port: int, tls: ssl.SSLContext | None, seconds: float) -> socket.socket:
    """A connected, non-blocking socket, TLS handshake done. Blocks up to `seconds`: run it off the loop thread.

    Raises OSError (refused, unreachable, name not found, timeout, bad certificate).
    """
    plain = socket.create_connection((host, port), timeout=seconds)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ready: socket.socket = plain if tls is None else tls.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
    ready.setblocking(False)
    return ready


def _hang_up(dialling: asyncio.Future[socket.socket]) -> None:
    if not dialling.cancelled() and dialling.exception() is None:
        dialling.result().close()


class Link:
    """One connection on the loop thread. `on_data(bytes, readable_ns)` and `on_closed(cause)` are called from the loop.

    `readable_ns` is `perf_counter_ns` when the loop reported the socket readable, before any byte was read.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        on_data: Callable[[bytes, int], None],
        on_closed: Callable[[Exception | None], None],
    ) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = loop
        self._on_data = on_data
        self._on_closed = on_closed
        self._unsent = bytearray()
        # Kept: a fresh buffer of this size is a map and unmap of memory at every read.
        self._buffer = bytearray(READ_SIZE)
        self._view = memoryview(self._buffer)
        self.open = True
        loop.add_reader(self._fd, self._readable)
        # TLS may have decrypted bytes that arrived with the handshake; the kernel will not report those again.
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            loop.call_soon(self._readable)

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        on_data: Callable[[bytes, int], None],
        on_closed: Callable[[Exception | None], None],
        seconds: float = 5.0,
    ) -> Link:
        """Dials in a worker thread, so that name look-up and handshake do not hold the loop. Raises OSError."""
        loop = asyncio.get_running_loop()
        dialling = loop.run_in_executor(None, dial, host, port, tls, seconds)
        try:
            sock = await asyncio.shield(dialling)
        except asyncio.CancelledError:
            dialling.add_done_callback(_hang_up)  # the thread goes on: what it connects is closed
            raise
        return cls(sock, loop, on_data, on_closed)

    def write(self, data: bytes) -> bool:
        """Writes now. True: every byte is with the kernel. False: the rest follows when the socket takes it, or the
        link just closed (`open` tells)."""
        if not self.open:
            return False
        if self._unsent:
            self._unsent += data
            return False
        try:
            sent = self._sock.send(data)
        except _AGAIN:
            sent = 0
        except OSError as failure:
            # Reported from the loop, not from inside the caller's write.
            self._loop.call_soon(self._close, failure)
            self.open = False
            return False
        if sent == len(data):
            return True
        self._unsent += data[sent:]
        self._loop.add_writer(self._fd, self._writable)
        return False

    def poll(self) -> bool:
        """Reads what has come, before the loop reports it. False: of no use, the link is closed or not encrypted."""
        if not self.open or not isinstance(self._sock, ssl.SSLSocket):
            return False
        self._readable()
        return self.open

    def close(self) -> None:
        """Closes without a call of `on_closed`. A second call does nothing."""
        self.open = False
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._fd = -1
        with contextlib.suppress(OSError):
            self._sock.close()

    def _close(self, cause: Exception | None) -> None:
        if self._fd >= 0:
            self.close()
            self._on_closed(cause)

    def _readable(self) -> None:
        readable_ns = perf_counter_ns()
        while self._fd >= 0:
            try:
                size = self._sock.recv_into(self._buffer)
            except _AGAIN:
                return
            except OSError as failure:
                self._close(failure)
                return
            if not size:
                self._close(None)
                return
            self._on_data(bytes(self._view[:size]), readable_ns)
            # A plain socket is reported again by the kernel; TLS keeps decrypted records to itself.
            if not isinstance(self._sock, ssl.SSLSocket):
                return

    def _writable(self) -> None:
        try:
            sent = self._sock.send(self._unsent)
        except _AGAIN:
            return
        except OSError as failure:
            self._close(failure)
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._fd)
