"""Requests that nobody should send: answered in the envelope of Upstox as a mistake, and the exchange goes on."""

from __future__ import annotations

import json

from tests.unit.simulator.upstox.conftest import INFY, UpstoxBench

FORM = "application/x-www-form-urlencoded"
DEEP = b"[" * 100_000


async def test_upstox_names_what_it_cannot_read(upstox: UpstoxBench) -> None:
    kind = {"Content-Type": "application/json"}
    for content in (b"\xff\xfe", DEEP, b"{", b"null", b'{"quantity": NaN}', b""):
        found = await upstox.refused("POST", "/v3/order/place", content=content, headers=kind)
        assert found == (400, "UDAPI100036"), content
    charset = {"Content-Type": "application/json; charset=nope"}
    assert await upstox.refused("POST", "/v3/order/place", content=b"{}", headers=charset) == (400, "UDAPI100036")
    form = {"Content-Type": FORM}
    asked = await upstox.refused("POST", "/v2/login/authorization/token", content=b"\xff", headers=form)
    assert asked == (400, "UDAPI100036")
    assert (await upstox.refused("GET", "/v2/user/profile", headers={b"Authorization": b"Bearer \xff"}))[0] == 401


async def test_upstox_takes_no_numbers_beyond_this_world(upstox: UpstoxBench) -> None:
    huge = json.dumps(upstox.body(order_type="LIMIT", price=1)).encode().replace(b'"price": 1', b'"price": 1e999999999')
    kind = {"Content-Type": "application/json"}
    assert (await upstox.refused("POST", "/v3/order/place", content=huge, headers=kind))[0] == 400
    huge = json.dumps(upstox.body()).encode().replace(b'"quantity": 10', b'"quantity": 1e999999999')
    assert await upstox.refused("POST", "/v3/order/place", content=huge, headers=kind) == (400, "UDAPI1052")
    for quantity, price in (("9" * 18, "1e18"), ("²", "5"), ("10", "1e999999999")):
        asked = {
            "instrument_token": INFY, "quantity": quantity, "product": "D", "transaction_type": "BUY", "price": price,
        }  # fmt: skip
        assert (await upstox.refused("GET", "/v2/charges/brokerage", params=asked))[0] == 400


async def test_half_a_character_in_a_tag_does_not_spoil_the_order_book(upstox: UpstoxBench) -> None:
    answer = await upstox.http.post(
        "/v3/order/place",
        content=json.dumps(upstox.body(tag="\ud800x")).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    await upstox.settle()
    (row,) = await upstox.get("/v2/order/retrieve-all")
    assert row["tag"] == "?x"
