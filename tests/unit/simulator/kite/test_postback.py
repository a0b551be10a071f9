"""Order news that are posted to the app's address (A16)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from app.simulator.kite.postback import checked
from tests.shared_data import shared_data
from tests.unit.simulator.conftest import SECRETS, Bench

INFY = "NSE:INFY"


class Desk:
    """The app's registered address."""

    def __init__(self) -> None:
        self.url = ""
        self.came: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self.status = 200

    async def take(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.came.put_nowait((request.content_type, body))
        return web.Response(status=self.status)

    async def news(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            return (await self.came.get())[1]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    app = web.Application()
    app.router.add_post("/postback", made.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/postback"
    yield made
    await runner.cleanup()


async def register(bench: Bench, url: str) -> dict[str, Any]:
    answer = await bench.http.put("/simulator/postback", json={"url": url})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_each_ending_and_change_is_posted_and_signed(bench: Bench, desk: Desk) -> None:
    await register(bench, desk.url)
    bench.price(INFY, 1120_00)
    bench.depth(INFY, [], [(1120_00, 4, 1)])
    order_id = await bench.place(order_type="LIMIT", price="1120.00", quantity=10)
    partly = await desk.news()
    assert (partly["order_id"], partly["status"], partly["filled_quantity"]) == (order_id, "UPDATE", 4)
    assert partly["unfilled_quantity"] == 6
    signed = f"{order_id}{partly['order_timestamp']}{SECRETS.api_secret}"
    assert partly["checksum"] == hashlib.sha256(signed.encode()).hexdigest()
    sample = json.loads(shared_data("kite", "postback.json").read_text())
    assert set(partly) == set(sample)
    await bench.http.put(f"/orders/regular/{order_id}", data={"price": "1119.00"})
    await bench.settle()
    assert (await desk.news())["price"] == 1119
    await bench.http.delete(f"/orders/regular/{order_id}")
    assert (await desk.news())["status"] == "CANCELLED"
    bench.faults("reject:text=RMS: no")
    await bench.place()
    assert (await desk.news())["status_message"] == "RMS: no"


async def test_orders_of_other_terminals_are_not_the_apps_business(bench: Bench, desk: Desk) -> None:
    await register(bench, desk.url)
    await bench.http.put("/simulator/trade", json={"instrument": INFY, "quantity": 5})
    bench.depth(INFY, [], [(bench.last(INFY), 100, 1)])
    order_id = await bench.place()
    assert (await desk.news())["order_id"] == order_id


async def test_it_is_posted_while_nobody_is_logged_in(bench: Bench, desk: Desk) -> None:
    await register(bench, desk.url)
    bench.price(INFY, 1120_00)
    order_id = await bench.place(order_type="LIMIT", price="1100.00")
    bench.faults("end-session:route=orders")
    assert (await bench.http.get("/orders")).status_code == 403
    bench.depth(INFY, [], [(1099_00, 100, 1)])
    assert (await desk.news())["order_id"] == order_id


@pytest.mark.parametrize("content", ["application/json", "application/x-www-form-urlencoded"])
async def test_its_content_type_is_not_to_be_relied_on(bench: Bench, desk: Desk, content: str) -> None:
    bench.faults(f"postback_content={content}")
    await register(bench, desk.url)
    bench.depth(INFY, [], [(bench.last(INFY), 100, 1)])
    await bench.place()
    async with asyncio.timeout(10):
        assert (await desk.came.get())[0] == content


async def test_an_address_that_fails_gets_nothing_twice(bench: Bench, desk: Desk) -> None:
    await register(bench, desk.url)
    desk.status = 500
    bench.depth(INFY, [], [(bench.last(INFY), 100, 1)])
    first = await bench.place(quantity=1)
    assert (await desk.news())["order_id"] == first
    desk.status = 200
    second = await bench.place(quantity=1)
    assert (await desk.news())["order_id"] == second
    told = (await bench.http.get("/simulator/postback")).json()
    assert told["failed"] == 1


@pytest.mark.parametrize("url", ["http://example.com/x", "https://127.0.0.1/x", "ftp://127.0.0.1/x", "nonsense"])
async def test_nothing_leaves_this_machine(bench: Bench, url: str) -> None:
    with pytest.raises(ValueError, match="of this machine only"):
        checked(url)
    answer = await bench.http.put("/simulator/postback", json={"url": url})
    assert answer.status_code == 400
