"""The exit line over real sockets: what a server does with a written order, and what the line says of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from app.brokers import exit_line
from app.brokers.base import Credentials, ExitReply, Session
from app.brokers.zerodha.exit_line import ZerodhaExitLine
from app.brokers.zerodha.instruments import read
from app.brokers.zerodha.ticker import ZerodhaFeed
from app.domain.account import Endpoints
from app.domain.errors import Denied, OutcomeUnknown, RateLimited, Rejected
from app.domain.ids import BrokerOrderId
from app.domain.instrument import Product
from app.domain.listing import InstrumentMaker
from app.domain.order import OrderKind, OrderRequest, Side
from app.engine.limits import check_order
from app.runtime.secret import Secret
from tests.fakes.trading import ACCOUNT, INFY

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
ORDER = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 10, Product.MIS, OrderKind.MARKET, tag="AAAAAAAAAAAA0000101")  # type: ignore[arg-type]  # a tag is a text
DONE = b'{"status": "success", "data": {"order_id": "7"}}'


def answer(status: str, body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status.encode(), len(body), more, body)


@asynccontextmanager
async def line_to(serve: Serve) -> AsyncIterator[ZerodhaExitLine]:
    """A started line to a server that does this with every request."""
    handlers: list[asyncio.Task[None] | None] = []

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.startswith(b"Content-Length")), 0
                )
                await serve(head + await reader.readexactly(length), writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    session = Session(ACCOUNT, "AB1234", "A", Secret("token"), 0, 0)
    line = ZerodhaExitLine(session, Credentials("key", Secret("secret")), Endpoints(url, url, url, url))
    await line.start()
    await _all_dialled(line)
    try:
        yield line
    finally:
        await line.stop()
        await asyncio.get_running_loop().shutdown_default_executor()  # what was still being dialled arrives
        await asyncio.sleep(0.05)  # and is hung up; the server's side notices
        server.close()
        for task in filter(None, handlers):
            task.cancel()
        await asyncio.gather(*filter(None, handlers), return_exceptions=True)


async def _all_dialled(line: ZerodhaExitLine) -> None:
    async with asyncio.timeout(5):
        while line.ready < exit_line.CONNECTIONS:  # noqa: ASYNC110 - `on_ready` belongs to the engine
            await asyncio.sleep(0.005)


async def fire(line: ZerodhaExitLine, price: int | None = None, order: OrderRequest = ORDER) -> ExitReply:
    replied: asyncio.Future[ExitReply] = asyncio.get_running_loop().create_future()
    assert line.fire(line.prepare(order), replied.set_result, price) > 0
    return await asyncio.wait_for(replied, 10)


async def test_an_order_leaves_in_one_write_and_its_answer_comes_back() -> None:
    seen: list[bytes] = []

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(answer("200 OK", DONE))

    async with line_to(serve) as line:
        reply = await fire(line)
        assert (reply.order, reply.error, reply.tag) == ("7", None, ORDER.tag)
        assert reply.written_ns <= reply.replied_ns
        again = await fire(line)
        assert again.order == "7"
        assert repr(line.prepare(ORDER)) == f"PreparedExit({ORDER.tag})"
    assert seen[0].startswith(b"POST /orders/regular HTTP/1.1\r\n")
    assert b"Authorization: token key:token" in seen[0]
    assert b"tag=AAAAAAAAAAAA0000101" in seen[0]


async def test_after_a_sleep_no_exit_leaves_over_a_connection_of_before() -> None:
    """What stood between has forgotten it: the bytes would go nowhere, and only the silence would tell."""
    forgotten: set[object] = set()
    served: list[object] = []

    async def serve(_request: bytes, writer: asyncio.StreamWriter) -> None:
        served.append(writer)
        if writer not in forgotten:
            writer.write(answer("200 OK", DONE))

    async with line_to(serve) as line:
        waits: asyncio.Future[ExitReply] = asyncio.get_running_loop().create_future()
        for _ in range(exit_line.CONNECTIONS - 1):
            assert line.fire(line.prepare(ORDER), lambda _reply: None) > 0
        await _all_dialled(line)
        forgotten.update(served)
        assert line.fire(line.prepare(ORDER), waits.set_result) > 0
        line.redial()
        assert not waits.done()  # that order may be on its way
        async with asyncio.timeout(5):
            while line.ready < exit_line.CONNECTIONS - 1:  # noqa: ASYNC110 - `on_ready` belongs to the engine
                await asyncio.sleep(0.005)
        assert (await fire(line)).order == "7"


async def test_a_limit_gets_its_price_when_it_is_fired() -> None:
    seen: list[bytes] = []

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(answer("200 OK", DONE))

    async with line_to(serve) as line:
        limit = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 10, Product.MIS, OrderKind.LIMIT, tag=ORDER.tag)
        await fire(line, 98_705, limit)
    assert b"&price=987.05" in seen[0]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer("400 Bad Request", b'{"error_type": "InputException", "message": "no"}'), Rejected),
        (answer("429 Too Many", b'{"error_type": "NetworkException"}', b"Retry-After: 3\r\n"), RateLimited),
        (answer("502 Bad Gateway", b"<html>"), OutcomeUnknown),
        (answer("200 OK", b'{"status": "success"}'), OutcomeUnknown),
        (answer("200 OK", b"[]"), OutcomeUnknown),
        (b"nonsense\r\n\r\n", OutcomeUnknown),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 66_000, OutcomeUnknown),
    ],
    ids=["refused", "throttled", "gateway", "no order", "no object", "nonsense", "endless"],
)
async def test_what_an_answer_means(reply: bytes, error: type[Exception]) -> None:
    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)

    async with line_to(serve) as line:
        assert isinstance((await fire(line)).error, error)


async def test_a_connection_that_breaks_leaves_the_outcome_open_and_is_replaced() -> None:
    broken = asyncio.Event()

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        if not broken.is_set():
            broken.set()
            writer.close()
        else:
            writer.write(answer("200 OK", DONE))

    async with line_to(serve) as line:
        assert isinstance((await fire(line)).error, OutcomeUnknown)
        assert (await fire(line)).order == "7"


async def test_an_answer_that_closes_the_connection_is_taken_and_the_line_dials_again() -> None:
    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("200 OK", DONE, b"Connection: close\r\n"))
        writer.close()

    async with line_to(serve) as line:
        for _ in range(6):
            ready = asyncio.Event()
            line.on_ready = ready.set
            if not line.ready:
                await asyncio.wait_for(ready.wait(), 5)
            assert (await fire(line)).order == "7"


async def test_a_server_that_does_not_answer_is_given_up_and_its_connection_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exit_line, "REPLY_SECONDS", 0.05)

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None: ...

    async with line_to(serve) as line:
        assert isinstance((await fire(line)).error, OutcomeUnknown)


async def test_when_every_connection_is_busy_nothing_is_sent() -> None:
    held: list[asyncio.StreamWriter] = []
    requests = 0

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        held.append(writer)

    async with line_to(serve) as line:
        replies: list[ExitReply] = []
        written = 0
        while line.ready or written < exit_line.CONNECTIONS:
            if line.ready:
                written += line.fire(line.prepare(ORDER), replies.append) > 0
            await asyncio.sleep(0)
        assert line.fire(line.prepare(ORDER), replies.append) == 0
        assert written == exit_line.CONNECTIONS
    assert [type(reply.error) for reply in replies] == [OutcomeUnknown] * exit_line.CONNECTIONS


async def test_idle_connections_are_kept_warm_and_one_stays_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_line, "WARM_SECONDS", 0.05)
    warmed = asyncio.Event()

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        if request.startswith(b"GET /user/profile"):
            warmed.set()
            writer.write(answer("200 OK", b"{}"))
        else:
            writer.write(answer("200 OK", DONE))

    async with line_to(serve) as line:
        await asyncio.wait_for(warmed.wait(), 5)
        assert (await fire(line)).order == "7"


async def test_words_that_nobody_asked_for_close_the_connection() -> None:
    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("200 OK", DONE) + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with line_to(serve) as line:
        assert (await fire(line)).order == "7"


async def test_a_server_that_is_not_there_makes_no_connection_and_no_noise() -> None:
    url = "http://127.0.0.1:1"
    session = Session(ACCOUNT, "AB1234", "A", Secret("token"), 0, 0)
    line = ZerodhaExitLine(session, Credentials("key", Secret("secret")), Endpoints(url, url, url, url))
    await line.start()
    assert line.ready == 0
    assert line.fire(line.prepare(ORDER), lambda _: None) == 0
    await line.stop()


ROWS = {
    "NSE": "408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE",
    "NFO": "1,1,NIFTY26NOV25500CE,NIFTY,0,2026-11-24,25500,0.05,65,CE,NFO-OPT,NFO",
    "BFO": "2,2,SENSEX26NOVFUT,SENSEX,0,2026-11-26,0,0.05,20,FUT,BFO-FUT,BFO",
    "MCX": "3,3,LEADMINI26DECFUT,LEADMINI,0,2026-12-31,0,0.05,1000,FUT,MCX-FUT,MCX",
    "NCO": "4,4,GOLD26DECFUT,GOLD,0,2026-12-31,0,1,1000,FUT,NCO-FUT,NCO",
    "CDS": "5,5,USDINR26NOVFUT,USDINR,0,2026-11-26,0,0.0025,1000,FUT,CDS-FUT,CDS",
    "BCD": "6,6,USDINR26NOVFUT,USDINR,0,2026-11-26,0,0.0025,1000,FUT,BCD-FUT,BCD",
}
"""One line of the list for each market: shares and equity derivatives by units, commodities and currencies by lots."""


@pytest.mark.parametrize(
    ("market", "one"), [("NSE", 1), ("NFO", 65), ("BFO", 20), *((m, 1) for m in ("MCX", "NCO", "CDS", "BCD"))]
)
async def test_an_exit_of_each_market_counts_as_its_broker_does(market: str, one: int) -> None:
    """The least that can be traded is one lot: so many units, or the number 1 where the wire counts lots."""
    head = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    source = f"{head}instrument_type,segment,exchange\n{ROWS[market]}\n".encode()
    (row,) = [row for part in read(source) for row in part.rows]
    instrument = InstrumentMaker().make(row)
    assert instrument.lot_size == one
    product = Product.MIS if market == "NSE" else Product.NRML
    tick = instrument.tick_size
    request = OrderRequest(ACCOUNT, instrument.id, Side.SELL, 3 * one, product, OrderKind.LIMIT, price=tick)
    check_order(request, instrument)
    if one > 1:
        with pytest.raises(Denied, match="lot size"):
            check_order(replace(request, quantity=one + 1), instrument)
    line = ZerodhaExitLine(
        Session(ACCOUNT, "AB1234", "A", Secret("token"), 0, 0),
        Credentials("key", Secret("secret")),
        Endpoints("http://x", "http://x", "http://x", "http://x"),
    )
    assert f"quantity={3 * one}&".encode() in line.prepare(request, instrument.price_scale).wire(None)


async def test_a_change_of_a_resting_order_is_one_write_that_names_it() -> None:
    seen: list[bytes] = []

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(answer("200 OK", DONE))

    async with line_to(serve) as line:
        limit = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 10, Product.MIS, OrderKind.LIMIT, tag=ORDER.tag)
        prepared = line.prepare_change(BrokerOrderId("2125446881176715264"), limit)
        replied: asyncio.Future[ExitReply] = asyncio.get_running_loop().create_future()
        assert line.fire(prepared, replied.set_result, 98_705) > 0
        reply = await asyncio.wait_for(replied, 10)
        assert (reply.order, reply.error, reply.tag) == ("7", None, ORDER.tag)
    (sent,) = seen
    assert sent.startswith(b"PUT /orders/regular/2125446881176715264 HTTP/1.1\r\n")
    assert sent.endswith(b"\r\n\r\norder_type=LIMIT&quantity=10&validity=DAY&price=987.05")


def test_exits_and_prices_trust_the_authorities_that_the_program_brings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A packed program may not find the system's, and reading the broker is not all that it must do then."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    session, keys = Session(ACCOUNT, "AB1234", "A", Secret("token"), 0, 0), Credentials("key", Secret("secret"))
    endpoints = Endpoints("https://api.kite.example", "https://kite.example", "wss://ws.kite.example", "http://x")
    line, feed = ZerodhaExitLine(session, keys, endpoints), ZerodhaFeed(session, keys, endpoints, Mock())
    for context in (line._tls, feed._tls):
        assert context is not None
        assert context.cert_store_stats()["x509_ca"] > 100
