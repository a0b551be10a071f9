"""Requests that nobody should send: answered in the envelope of Kite as a mistake, and the exchange goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.unit.simulator.conftest import SECRETS, Bench, Make

FORM = "application/x-www-form-urlencoded"
DEEP = b"[" * 100_000

UNREADABLE = {
    "not UTF-8": (b"exchange=NSE&tradingsymbol=\xff\xfe", FORM),
    "a charset that nobody knows": (b"exchange=NSE", f"{FORM}; charset=nonsense"),
    "multipart without a boundary": (b"x", "multipart/form-data"),
    "multipart that breaks off": (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
    "JSON where a form belongs": (b'{"exchange": "NSE"}', "application/json"),
    "nothing": (b"", FORM),
}


@pytest.fixture
async def kite(make: Make) -> Bench:
    return await make("limits=off")


async def refused(bench: Bench, path: str, content: bytes, kind: str) -> None:
    answer = await bench.http.post(path, content=content, headers={"Content-Type": kind})
    body = answer.json()
    assert (answer.status_code, body["status"], body["error_type"]) == (400, "error", "InputException"), answer.text


async def test_a_body_that_cannot_be_read_is_the_clients_mistake(kite: Bench) -> None:
    for content, kind in UNREADABLE.values():
        await refused(kite, "/orders/regular", content, kind)
        await refused(kite, "/gtt/triggers", content, kind)
    for content in (b"\xff", DEEP, b"[NaN]", b"{}", b"[1]"):
        await refused(kite, "/margins/orders", content, "application/json")
    answer = await kite.http.post("/session/token", content=b"\xff=\xff", headers={"Content-Type": FORM})
    assert answer.status_code == 400
    await kite.place(quantity=1)


@pytest.mark.parametrize("quantity", ["1_0", "１２", "0x10", "9" * 40, "1e3", "5.0"])
async def test_a_quantity_is_digits_alone(kite: Bench, quantity: str) -> None:
    status, kind, words = await kite.refused(quantity=quantity)
    assert (status, kind) == (400, "InputException")
    assert words == f"Invalid request (failed to decode quantity, got: {quantity} (expected integer))"


@pytest.mark.parametrize("price", ["1_400", "1e999999999", "1e-999999999", "NaN", "Infinity", "--1"])
async def test_a_price_is_a_number_of_a_sane_size(kite: Bench, price: str) -> None:
    status, _, words = await kite.refused(order_type="LIMIT", price=price)
    assert (status, words) == (400, f"Invalid request (failed to decode price, got: {price} (expected decimal))")


async def test_a_calculator_reckons_with_amounts_of_this_world(kite: Bench) -> None:
    item: dict[str, Any] = {
        "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "variety": "regular",
        "product": "CNC", "order_type": "LIMIT", "quantity": 1, "price": 1100,
    }  # fmt: skip
    for changed in ({"quantity": 1e308}, {"quantity": 10**40}, {"price": 1e300}, {"price": "1e999999999"}):
        await refused(kite, "/margins/orders", json.dumps([{**item, **changed}]).encode(), "application/json")


async def test_a_header_that_is_not_text_is_no_session(kite: Bench) -> None:
    answer = await kite.http.get("/user/profile", headers={b"Authorization": b"token \xff:\xff"})
    assert (answer.status_code, answer.json()["error_type"]) == (403, "TokenException")


async def test_an_endless_request_of_the_ticker_is_answered_and_the_line_stays(kite: Bench) -> None:
    token = kite.http.headers["Authorization"].partition(":")[2]
    query = {"api_key": SECRETS.api_key, "access_token": token}
    async with ClientSession() as client, client.ws_connect(kite.exchange.urls["ws_url"], params=query) as socket:
        await socket.send_str(DEEP.decode())
        assert json.loads(await socket.receive_str())["type"] == "error"
        await socket.send_str('{"a":"boo","v":[]}')
        assert "boo" in json.loads(await socket.receive_str())["data"]
