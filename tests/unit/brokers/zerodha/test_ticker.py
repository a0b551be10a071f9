"""The price stream against a real WebSocket server that says exactly what a scene wants."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from app.brokers.base import Credentials, Mark, Session
from app.brokers.zerodha.ticker import ZerodhaFeed
from app.domain.account import Endpoints
from app.domain.errors import SessionExpired, Unreachable
from app.domain.ids import AccountId, Nanos
from app.domain.news import BookNews
from app.domain.order import Order
from app.runtime.secret import Secret

ACCOUNT = AccountId("zerodha-AB1234")
GUARDED, OTHER = 408065, 779521
Scene = Callable[[ServerConnection], Awaitable[None]]


class Ears:
    """Everything that a feed says, in its order."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        self._news = asyncio.Event()

    def marks(self, marks: Iterable[Mark], readable_ns: int) -> None:
        assert readable_ns > 0
        for token, price, _, _ in marks:
            self._hear("price", (token, price))

    def frame(self, payload: bytes, received_at: Nanos) -> None:
        assert payload
        assert received_at

    def watched(self, token: int) -> bool:
        return token == GUARDED

    def order_update(self, order: Order) -> None:
        self._hear("order", order.broker_order_id)

    def book_news(self, news: BookNews) -> None:
        raise AssertionError

    def connected(self) -> None:
        self._hear("connected", None)

    def disconnected(self, cause: Exception) -> None:
        self._hear("disconnected", cause)

    def order_stream(self, cause: Exception | None) -> None:
        raise AssertionError

    def malformed(self, reason: str, sample: bytes) -> None:
        self._hear("malformed", reason)

    def _hear(self, kind: str, what: object) -> None:
        self.heard.append((kind, what))
        self._news.set()

    async def until(self, kind: str, count: int = 1) -> list[Any]:
        """Waits until so many things of a kind were said; returns them."""
        async with asyncio.timeout(10):
            while len(found := [what for said, what in self.heard if said == kind]) < count:
                self._news.clear()
                await self._news.wait()
        return found


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Ears]:
    ears = Ears()
    session = Session(ACCOUNT, "AB1234", "A Trader", Secret("token"), 0, 1 << 62)
    feed = ZerodhaFeed(session, Credentials("key", Secret("secret")), Endpoints("", "", url, ""), ears)
    feed.start()
    try:
        yield ears
    finally:
        await feed.stop()


@asynccontextmanager
async def server(scene: Scene) -> AsyncIterator[str]:
    async def hold(connection: ServerConnection) -> None:
        await scene(connection)
        await connection.wait_closed()

    async with serve(hold, "127.0.0.1", 0, compression=None) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """A server that gives one answer to everything and hangs up."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for start in range(0, len(answer), 7):  # never whole in one read
            writer.write(answer[start : start + 7])
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    running = await asyncio.start_server(reply, "127.0.0.1", 0)
    async with running:
        yield f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}"


def price(token: int, last: int) -> bytes:
    return struct.pack(">HHII", 1, 8, token, last)


def update(token: int, number: str) -> str:
    row = {
        "order_id": number,
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "instrument_token": token,
        "transaction_type": "SELL",
        "product": "MIS",
        "order_type": "MARKET",
        "validity": "DAY",
        "quantity": 10,
        "filled_quantity": 10,
        "pending_quantity": 0,
        "cancelled_quantity": 0,
        "price": 0,
        "trigger_price": 0,
        "average_price": 100.5,
        "status": "COMPLETE",
        "order_timestamp": "2026-11-25 10:00:00",
        "exchange_timestamp": "2026-11-25 10:00:00",
        "exchange_update_timestamp": "2026-11-25 10:00:00",
        "status_message": None,
        "tag": None,
        "variety": "regular",
    }
    return json.dumps({"type": "order", "data": row})


def at_once(connection: ServerConnection, *messages: str | bytes) -> None:
    """Everything in one write, so that the feed finds it in one read."""
    for message in messages:
        if isinstance(message, str):
            connection.protocol.send_text(message.encode())
        else:
            connection.protocol.send_binary(message)
    connection.transport.write(b"".join(connection.protocol.data_to_send()))


async def test_an_exit_made_elsewhere_is_known_before_the_next_price_of_a_guarded_instrument() -> None:
    async def scene(connection: ServerConnection) -> None:
        at_once(connection, price(GUARDED, 1), update(GUARDED, "77"), price(GUARDED, 2))

    async with server(scene) as url, listening(url) as ears:
        await ears.until("price", 2)
        await ears.until("order")
    told = [said for said in ears.heard if said[0] in ("price", "order")]
    assert told == [("price", (GUARDED, 1)), ("order", "77"), ("price", (GUARDED, 2))]


async def test_news_of_other_orders_does_not_hold_up_prices() -> None:
    async def scene(connection: ServerConnection) -> None:
        at_once(connection, update(OTHER, "1"), update(OTHER, "2"), price(GUARDED, 5))

    async with server(scene) as url, listening(url) as ears:
        await ears.until("order", 2)
    told = [said for said in ears.heard if said[0] in ("price", "order")]
    assert told == [("price", (GUARDED, 5)), ("order", "1"), ("order", "2")]


async def test_news_stay_in_their_order_when_one_of_them_is_urgent() -> None:
    async def scene(connection: ServerConnection) -> None:
        at_once(connection, update(OTHER, "1"), update(GUARDED, "2"), price(GUARDED, 5))

    async with server(scene) as url, listening(url) as ears:
        await ears.until("price")
    told = [said for said in ears.heard if said[0] in ("price", "order")]
    assert told == [("order", "1"), ("order", "2"), ("price", (GUARDED, 5))]


async def test_a_price_in_pieces_between_pings_and_heartbeats() -> None:
    whole = price(GUARDED, 1234)

    async def scene(connection: ServerConnection) -> None:
        await connection.send(b"\0")
        await connection.ping()
        await connection.send([whole[:3], whole[3:7], whole[7:]])
        await connection.send(price(OTHER, 7))

    async with server(scene) as url, listening(url) as ears:
        told = await ears.until("price", 2)
    assert told == [(GUARDED, 1234), (OTHER, 7)]


async def test_a_text_that_cannot_be_read_is_named_and_the_prices_go_on() -> None:
    async def scene(connection: ServerConnection) -> None:
        at_once(connection, "{not json", json.dumps({"type": "order", "data": 5}), price(OTHER, 7))

    async with server(scene) as url, listening(url) as ears:
        await ears.until("price")
        assert len(await ears.until("malformed", 2)) == 2


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", SessionExpired),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n<html>until the end</html>", SessionExpired),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", Unreachable),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Unreachable),
        (b"x" * 200_000, Unreachable),
    ],
    ids=["refused", "refused, its body ends with the connection", "busy", "another service", "no end of a head"],
)
async def test_a_handshake_that_fails_says_why(answer: bytes, cause: type[Exception]) -> None:
    async with answering(answer) as url, listening(url) as ears:
        (told, *_) = await ears.until("disconnected")
    assert isinstance(told, cause)


async def test_a_frame_beyond_the_limit_ends_the_connection() -> None:
    async def scene(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await connection.send(bytes(5 * 1024 * 1024))

    async with server(scene) as url, listening(url) as ears:
        (told, *_) = await ears.until("disconnected")
    assert isinstance(told, Unreachable)
