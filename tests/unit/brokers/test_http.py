from __future__ import annotations

import asyncio
import gc
import gzip
import socket
import weakref
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest

from app.brokers.documents import cut_rows, decode_json
from app.brokers.http import CONNECTIONS, INLINE, KEPT_FOR_ORDERS, HttpClient
from app.domain.errors import BadAnswer, OutcomeUnknown, Unreachable
from app.runtime.helper import Helper
from app.runtime.log import correlated
from tests.fakes.scripted_server import CLOSE_AFTER, HANG, Script, ScriptedServer, Seen, answer


async def ask(script: Script, *, placement: bool = False, deadline: float = 5.0, cap: int = 1 << 20) -> object:
    async with ScriptedServer(script) as server:
        client = HttpClient(server.url, deadline=deadline, cap=cap)
        try:
            got = await client.request(
                "POST" if placement else "GET", "/orders", form={"a": "1"} if placement else None, placement=placement
            )
            return decode_json(got.body)
        finally:
            await client.close()


async def test_fractions_stay_exact() -> None:
    got = await ask(lambda _: answer(b'{"price": 0.1, "big": 1953341975595868160, "sum": 99725.05000000002}'))
    assert got == {"price": Decimal("0.1"), "big": 1953341975595868160, "sum": Decimal("99725.05000000002")}
    assert isinstance(got["price"], Decimal)


async def test_says_who_it_is_and_carries_the_users_action() -> None:
    async with ScriptedServer(lambda _: answer(b"{}")) as server:
        client = HttpClient(server.url, headers={"X-Kite-Version": "3"})
        with correlated("click-17"):
            await client.request("GET", "/x", params=[("i", "NSE:NIFTY 50"), ("i", "NSE:M&M")])
        await client.close()
    (seen,) = server.seen
    assert seen.headers["user-agent"].startswith("Stopline/")
    assert seen.headers["x-correlation-id"] == "click-17"
    assert seen.headers["x-kite-version"] == "3"
    assert seen.path in ("/x?i=NSE%3ANIFTY%2050&i=NSE%3AM%26M", "/x?i=NSE%3ANIFTY+50&i=NSE%3AM%26M")


async def test_an_answer_that_was_read_is_freed_without_a_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[weakref.ref[httpx.Response]] = []
    send = httpx.AsyncClient.send

    async def sent(client: httpx.AsyncClient, request: httpx.Request, *, stream: bool) -> httpx.Response:
        response = await send(client, request, stream=stream)
        answers.append(weakref.ref(response))
        return response

    monkeypatch.setattr(httpx.AsyncClient, "send", sent)
    async with ScriptedServer(lambda _: answer(b"{}")) as server:
        client = HttpClient(server.url)
        collecting = gc.isenabled()
        gc.disable()
        try:
            await client.request("GET", "/x")
            await client.request("GET", "/x")
            assert [ref() for ref in answers] == [None, None]
        finally:
            if collecting:
                gc.enable()
            await client.close()


async def test_gzip_is_unpacked() -> None:
    body = gzip.compress(b'{"a": 1}')
    assert await ask(lambda _: answer(body, extra="Content-Encoding: gzip\r\n")) == {"a": 1}


async def test_a_gzip_bomb_stops_at_the_cap() -> None:
    bomb = gzip.compress(b"0" * (50 << 20))
    with pytest.raises(BadAnswer, match="larger than"):
        await ask(lambda _: answer(bomb, extra="Content-Encoding: gzip\r\n"))


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip"])
async def test_other_compression_is_refused(encoding: str) -> None:
    with pytest.raises(BadAnswer, match="compressed"):
        await ask(lambda _: answer(b"xx", extra=f"Content-Encoding: {encoding}\r\n"))


@pytest.mark.parametrize("body", [gzip.compress(b'{"a": 1}', mtime=0)[:-9], b"not gzip at all"], ids=["cut", "none"])
async def test_damaged_gzip_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        await ask(lambda _: answer(body, extra="Content-Encoding: gzip\r\n"))


async def test_a_plain_body_above_the_cap_is_not_read() -> None:
    with pytest.raises(BadAnswer, match="larger than"):
        await ask(lambda _: answer(b"1" * 5000), cap=4999)


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe{}", b"NaN", b"[" * 5000])
async def test_unreadable_json_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="JSON"):
        await ask(lambda _: answer(body))


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("placement", [False, True])
async def test_a_refused_connection_sent_nothing(placement: bool) -> None:
    client = HttpClient(f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(Unreachable, match="refused"):
        await client.request("POST", "/orders/regular", form={"a": "1"}, placement=placement)
    await client.close()


async def test_an_unknown_name_sent_nothing() -> None:
    client = HttpClient("http://no-such-host.invalid")
    with pytest.raises(Unreachable, match=r"DNS|refused"):
        await client.request("POST", "/orders/regular", form={}, placement=True)
    await client.close()


def cut_short(_: Seen) -> bytes:
    return answer(b'{"status": "success", "data": {"order_id": "1"}}')[:-20] + CLOSE_AFTER


@pytest.mark.parametrize("script", [lambda _: None, lambda _: HANG, cut_short])
async def test_a_read_without_a_whole_answer_is_unreachable(script: Script) -> None:
    with pytest.raises(Unreachable):
        await ask(script, deadline=0.3)


@pytest.mark.parametrize("script", [lambda _: None, lambda _: HANG, cut_short])
async def test_a_sent_placement_without_a_whole_answer_is_unknown(script: Script) -> None:
    with pytest.raises(OutcomeUnknown):
        await ask(script, placement=True, deadline=0.3)


async def test_a_placement_is_sent_once_whatever_happens() -> None:
    async with ScriptedServer(lambda _: None) as server:
        client = HttpClient(server.url)
        for _ in range(3):
            with pytest.raises(OutcomeUnknown):
                await client.request("POST", "/orders/regular", form={"a": "1"}, placement=True)
        await client.close()
    assert len(server.seen) == 3


async def test_a_damaged_answer_to_a_placement_is_unknown() -> None:
    with pytest.raises(OutcomeUnknown):
        await ask(lambda _: answer(b"no gzip", extra="Content-Encoding: gzip\r\n"), placement=True)


async def test_the_deadline_is_total_not_per_byte() -> None:
    """A server that keeps dripping would hold a client with only a read timeout for ever."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"

    async with ScriptedServer(lambda _: head + b" ") as server:  # then silence, byte by byte or not
        client = HttpClient(server.url, deadline=0.3)
        with pytest.raises(Unreachable, match="in time"):
            await client.request("GET", "/slow")
        await client.close()


@pytest.fixture
async def helper() -> AsyncIterator[Helper]:
    helper = Helper()
    yield helper
    await helper.stop()


def book(rows: int) -> bytes:
    row = b'{"order_id": "1953341975595868160", "price": 159.82, "tags": ["a]", "}\\""], "text": "' + b"x" * 200 + b'"}'
    return b'{"status": "success", "data": {"net": [' + b",".join([row] * rows) + b'], "day": []}}'


async def test_rows_are_the_same_through_the_helper_process(helper: Helper) -> None:
    client = HttpClient("http://127.0.0.1:1", helper=helper)
    for rows in (0, 1, 500):
        body = book(rows)
        assert (len(body) > INLINE) == (rows == 500)
        found = [row async for batch in client.rows(body, ("data", "net")) for row in batch]
        assert found == decode_json(body)["data"]["net"]
    await client.close()


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (book(3)[:-1], ("data", "net")),
        (book(3), ("data", "gross")),
        (book(3), ("data",)),
        (b'{"data": null}', ("data",)),
        (b"[]", ("data",)),
        (b'{"status": "error", "message": "Busy", "data": []}', ("data",)),
        (b'{"status": null, "data": []}', ("data",)),
    ],
)
def test_no_array_there_is_a_bad_answer_and_not_an_empty_one(body: bytes, at: tuple[str, ...]) -> None:
    with pytest.raises(BadAnswer):
        list(cut_rows(body, at))


async def test_a_big_damaged_body_is_a_bad_answer_across_the_process_boundary(helper: Helper) -> None:
    client = HttpClient("http://127.0.0.1:1", helper=helper)
    with pytest.raises(BadAnswer) as caught:
        async for _ in client.rows(book(500)[:-1], ("data", "net")):
            pass
    await client.close()
    assert "JSON" in caught.value.cause


async def test_reads_that_hang_keep_no_order_from_leaving() -> None:
    hanging = asyncio.Semaphore(0)

    def script(seen: Seen) -> bytes:
        if seen.method == "GET":
            hanging.release()
            return HANG
        return answer(b'{"id": 1}')

    async with ScriptedServer(script) as server:
        client = HttpClient(server.url, deadline=30.0)
        reads = [asyncio.create_task(client.request("GET", f"/{n}")) for n in range(3 * CONNECTIONS)]
        for _ in range(CONNECTIONS - KEPT_FOR_ORDERS):
            await hanging.acquire()
        got = await client.request("POST", "/orders", form={"a": "1"}, placement=True, deadline=5.0)
        assert decode_json(got.body) == {"id": 1}
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
        await client.close()
