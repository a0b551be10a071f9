"""Sockets in memory, for everything that speaks: the exit line and the streams (`Link`), HTTP reads (httpx), and the
paper exchange's server (aiohttp). Bytes take a while, arrive in order, and every fault of a line can be told to happen.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import httpcore
from aiohttp import web_app
from httpcore._backends import auto

from tests.harness.virtual import Side, Stalled, VirtualLoop, current_side

FIRST = 1 << 20
"""Numbers of our sockets: far above the kernel's."""
DIAL_SECONDS = 5.0


@dataclass(slots=True)
class Weather:
    """How the line is now. Changed by the script of a run."""

    least: float = 0.0005
    most: float = 0.004
    """Seconds that a piece of data is under way."""
    no_name: bool = False
    """The name of the broker cannot be resolved."""
    refuse: bool = False
    """Nobody answers at the address: refused."""
    hole: bool = False
    """Packets vanish: nothing arrives, nothing is refused."""


class Network:
    """All connections of a run."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.weather = Weather()
        self._chance = random.Random(f"network {seed}")
        self._listening: dict[int, tuple[Callable[[], Any], Side | None]] = {}
        self._ends: dict[int, End] = {}
        self.on_send: Callable[[Side | None, bytes], None] | None = None
        """Hears what leaves, in the moment it leaves."""
        self.unnamed = 0
        """Dials that failed for want of a name."""
        self.swallowed = 0
        """Pieces of data, and dials, that vanished."""
        self.cut_short = 0
        """Pieces of data of which a part got through."""
        self._next = FIRST
        self._next_port = 20_000
        loop.network = self

    # -- the loop's side

    def owns(self, number: int) -> bool:
        return number >= FIRST

    def add_reader(self, number: int, callback: Callable[..., Any], *args: Any) -> None:
        end = self._ends[number]
        end.reader = lambda: callback(*args)
        end.tell()

    def remove_reader(self, number: int) -> bool:
        end = self._ends.get(number)
        had = end is not None and end.reader is not None
        if end is not None:
            end.reader = None
        return had

    # -- the exchange's side

    def listen(self, factory: Callable[[], Any], host: str, port: int) -> Server:
        if port in self._listening:
            raise OSError(98, "Address already in use")
        if not port:
            self._next_port += 1
            port = self._next_port
        self._listening[port] = (factory, current_side())
        return Server(self, host, port)

    def unlisten(self, port: int) -> None:
        self._listening.pop(port, None)

    # -- the workstation's side

    def connect(self, host: str, port: int) -> End:
        """A connected end. Raises OSError as the kernel would, or Stalled where that takes its time."""
        weather = self.weather
        if weather.no_name:
            self.unnamed += 1
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        if weather.hole:
            self.swallowed += 1
            raise Stalled(DIAL_SECONDS, TimeoutError("timed out"))
        door = self._listening.get(port)
        if door is None or weather.refuse:
            raise ConnectionRefusedError(111, "Connection refused")
        factory, server = door
        mine, theirs = self._pair(current_side(), server)
        transport = Transport(self, theirs)

        def accept() -> None:
            if not theirs.closed:
                transport.begin(factory())

        self.later(server, accept)
        return mine

    def _pair(self, mine: Side | None, theirs: Side | None) -> tuple[End, End]:
        one, two = End(self, self._next, mine), End(self, self._next + 1, theirs)
        self._next += 2
        one.peer, two.peer = two, one
        for end in (one, two):
            self._ends[end.number] = end
            if end.side is not None:
                end.side.on_death.append(end.die)
        return one, two

    def delay(self) -> float:
        """Of one piece of data."""
        return self._chance.uniform(self.weather.least, self.weather.most)

    def later(self, side: Side | None, call: Callable[[], None], at: float | None = None) -> None:
        """In the other process, when the data is there."""
        context = None if side is None else side.context
        self.loop.call_at(self.loop.time() + self.delay() if at is None else at, call, context=context)

    def forget(self, end: End) -> None:
        self._ends.pop(end.number, None)

    def forget_all(self) -> None:
        """The run is over: nothing may keep its protocols alive."""
        for end in self._ends.values():
            end.closed, end.reader = True, None
        self._ends.clear()
        self._listening.clear()
        self.on_send = None

    def cut(self, *, side: Side | None = None) -> int:
        """Every connection (of a process) breaks. How many did."""
        broken = [end for end in self._ends.values() if side is None or end.side is side]
        for end in broken:
            end.reset()
        return len(broken)

    def between(self, side: Side) -> list[End]:
        """Open ends of a process."""
        return [end for end in self._ends.values() if end.side is side and not end.closed]


class End:
    """One end of a connection; also the socket that `Link` holds."""

    def __init__(self, network: Network, number: int, side: Side | None) -> None:
        self.network = network
        self.number = number
        self.side = side
        self.peer: End
        self.inbox = bytearray()
        self.ended = False
        """The other end has closed."""
        self.broken = False
        self.closed = False
        self.reader: Callable[[], None] | None = None
        self._arrival = 0.0
        self._telling = False
        self.cut_after: int | None = None
        """Bytes that still get through to the other end before the line breaks."""

    # -- data

    def send(self, data: Any) -> int:
        """All of it leaves at once. Raises OSError where the connection is known to be broken."""
        if self.broken or self.closed:
            raise BrokenPipeError(32, "Broken pipe")
        whole = bytes(data)
        if self.network.on_send is not None:
            self.network.on_send(self.side, whole)
        if self.cut_after is not None:
            piece, self.cut_after = whole[: self.cut_after], self.cut_after - len(whole)
            if self.cut_after < 0:
                self.network.cut_short += 1
                self._forward(lambda: self.peer.arrive(piece))
                self.reset()
                return len(whole)
        if self.network.weather.hole:
            self.network.swallowed += 1
        else:
            self._forward(lambda: self.peer.arrive(whole))
        return len(whole)

    def _forward(self, call: Callable[[], None]) -> None:
        """In order, however long each piece takes."""
        now = self.network.loop.time()
        self._arrival = max(self._arrival + 1e-7, now + self.network.delay())
        self.network.later(self.peer.side, call, self._arrival)

    def arrive(self, data: bytes) -> None:
        if not self.closed and not self.broken:
            self.inbox += data
            self.tell()

    def finish(self) -> None:
        """The other end closed in order: what was sent before is still read."""
        if not self.closed:
            self.ended = True
            self.tell()

    def tell(self) -> None:
        """Level-triggered, as a poll: told again while something is left to read."""
        if self._telling or self.reader is None or not (self.inbox or self.ended or self.broken):
            return
        self._telling = True
        context = None if self.side is None else self.side.context
        self.network.loop.call_soon(self._readable, context=context)

    def _readable(self) -> None:
        self._telling = False
        if self.reader is not None and not self.closed:
            self.reader()
            self.tell()

    def reset(self) -> None:
        """The line breaks for both ends."""
        for end in (self, self.peer):
            if not end.closed and not end.broken:
                end.broken = True
                self.network.later(end.side, end.tell)

    def die(self) -> None:
        """The process is gone: what it wrote still arrives, then the connection ends."""
        self.close()

    # -- a socket's face

    def fileno(self) -> int:
        return self.number

    def setsockopt(self, *_: object) -> None:
        """Nothing to choose in memory."""

    def setblocking(self, flag: bool) -> None:
        """Never blocks."""
        del flag

    def recv_into(self, buffer: Any) -> int:
        if self.broken:
            raise ConnectionResetError(104, "Connection reset by peer")
        if not self.inbox:
            if self.ended:
                return 0
            raise BlockingIOError(11, "Resource temporarily unavailable")
        size = min(len(buffer), len(self.inbox))
        buffer[:size] = self.inbox[:size]
        del self.inbox[:size]
        return size

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.reader = None
        if not self.peer.closed and not self.broken:
            self._forward(self.peer.finish)
        self.network.forget(self)


class Transport(asyncio.Transport):
    """What aiohttp's server writes to."""

    def __init__(self, network: Network, end: End) -> None:
        super().__init__({"peername": ("127.0.0.1", end.number), "sockname": ("127.0.0.1", 0)})
        self._network = network
        self._end = end
        self._protocol: Any = None
        self._closing = False
        self._paused = False

    def begin(self, protocol: Any) -> None:
        self._protocol = protocol
        protocol.connection_made(self)
        self._end.reader = self._readable
        self._end.tell()

    def _readable(self) -> None:
        if self._paused or self._closing:
            return
        buffer = bytearray(1 << 16)
        try:
            size = self._end.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error)
            return
        if size:
            self._protocol.data_received(bytes(buffer[:size]))
        elif not self._protocol.eof_received():
            self.close()

    def _lost(self, error: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            self._end.close()
            self._network.loop.call_soon(self._protocol.connection_lost, error)

    def write(self, data: Any) -> None:
        if self._closing:
            return
        try:
            self._end.send(data)
        except OSError as error:
            self._lost(error)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self._lost(None)

    def abort(self) -> None:
        if not self._closing:
            self._end.reset()
            self._lost(None)

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._end.tell()

    def is_reading(self) -> bool:
        return not self._paused

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever held back."""


class Server:
    """What `create_server` gives."""

    def __init__(self, network: Network, host: str, port: int) -> None:
        self._network = network
        self._address = (host, port)
        side = current_side()
        if side is not None:
            side.on_death.append(self.close)

    @property
    def sockets(self) -> list[Server]:
        return [self]

    def getsockname(self) -> tuple[str, int]:
        return self._address

    def is_serving(self) -> bool:
        return True

    def close(self) -> None:
        self._network.unlisten(self._address[1])

    async def wait_closed(self) -> None:
        """Closed at once."""


class Stream(httpcore.AsyncNetworkStream):
    """What httpx reads and writes."""

    def __init__(self, end: End) -> None:
        self._end = end

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        buffer = bytearray(max_bytes)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        return bytes(buffer[: self._end.recv_into(buffer)])
                    except BlockingIOError:
                        await self._ready()
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def _ready(self) -> None:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told() -> None:
            self._end.reader = None
            if not ready.done():
                ready.set_result(None)

        self._end.reader = told
        self._end.tell()
        try:
            await ready
        finally:
            self._end.reader = None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        del timeout
        if not buffer:
            return
        try:
            self._end.send(buffer)
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self._end.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            end = self._end
            return bool(end.inbox or end.ended or end.broken or end.closed)
        return None


class Backend(httpcore.AsyncNetworkBackend):
    """How httpx dials."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        del local_address, socket_options
        await asyncio.sleep(self._network.delay())
        try:
            return Stream(self._network.connect(host, port))
        except Stalled:
            await asyncio.sleep(DIAL_SECONDS if timeout is None else min(timeout, DIAL_SECONDS))
            raise httpcore.ConnectTimeout from None
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@contextmanager
def network(loop: VirtualLoop, seed: int) -> Iterator[Network]:
    """While inside, whoever dials, dials here."""
    net = Network(loop, seed)

    async def backend(self: auto.AutoBackend) -> None:
        self._backend = Backend(net)

    def dial(address: tuple[str, int], timeout: float | None = None, **_: Any) -> End:
        del timeout
        return net.connect(*address)

    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(auto.AutoBackend, "_init_backend", backend))
        patches.enter_context(mock.patch.object(socket, "create_connection", dial))
        try:
            yield net
        finally:
            net.forget_all()
            web_app._cached_build_middleware.cache_clear()  # it would keep the exchanges of a thousand runs
