from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.simulator.exchange import Opening
from tests.unit.simulator.conftest import MORNING, Bench
from tests.unit.simulator.upstox.conftest import INFY, SECRETS, MakeUpstox, UpstoxBench

KEY = "NSE:INFY"


def option(bench: UpstoxBench, underlying: str) -> tuple[str, int]:
    """Key and lot of a listed call."""
    rows = bench.exchange.market.listings.by_token.values()
    row = next(row for row in rows if row.name == underlying and row.instrument_type == "CE")
    return f"NSE_FO|{row.exchange_token}", row.lot_size


async def test_a_market_order_fills_and_every_reading_agrees(upstox: UpstoxBench) -> None:
    order_id = await upstox.place(tag="a tag with spaces, up to forty letters")
    row = await upstox.order(order_id)
    assert (row["status"], row["filled_quantity"], row["pending_quantity"]) == ("complete", 10, 0)
    assert (row["instrument_token"], row["trading_symbol"], row["tradingsymbol"]) == (INFY, "INFY", "INFY")
    assert (row["product"], row["order_type"], row["price"]) == ("I", "MARKET", 0.0)
    assert row["placed_by"] == SECRETS.user_id
    assert row["tag"] == "a tag with spaces, up to forty letters"
    assert await upstox.get("/v2/order/retrieve-all") == [row]
    trades = await upstox.get("/v2/order/trades/get-trades-for-day")
    assert trades == await upstox.get("/v2/order/trades", order_id=order_id)
    assert sum(trade["quantity"] for trade in trades) == 10
    assert {trade["exchange_order_id"] for trade in trades} == {row["exchange_order_id"]}
    (position,) = await upstox.get("/v2/portfolio/short-term-positions")
    assert (position["quantity"], position["product"], position["day_sell_price"]) == (10, "I", None)
    assert position["average_price"] == pytest.approx(row["average_price"])


async def test_a_price_of_nothing_is_what_the_switch_says(upstox: UpstoxBench) -> None:
    await upstox.place()
    upstox.faults("no_price=empty")
    (position,) = await upstox.get("/v2/portfolio/short-term-positions")
    assert position["day_sell_price"] == ""


async def test_history_shows_every_state_by_id_and_by_tag(upstox: UpstoxBench) -> None:
    order_id = await upstox.place(tag="mine")
    await upstox.place()
    rows = await upstox.get("/v2/order/history", order_id=order_id)
    assert [row["status"] for row in rows] == [
        "put order req received",
        "validation pending",
        "open pending",
        "open",
        "complete",
    ]
    assert {row["price"] for row in rows} == {0.0}, "the order was at the market, whatever it became inside"
    assert await upstox.get("/v2/order/history", tag="mine") == rows
    assert not rows[0].keys() & {"guid", "pending_quantity", "status_message_raw", "order_ref_id"}
    assert await upstox.refused("GET", "/v2/order/history") == (400, "UDAPI100059")


async def test_both_wires_show_the_same_book(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox(brokers=("zerodha", "upstox"))
    kite = Bench(bench.exchange)
    try:
        await kite.login()
        ours = await bench.place()
        theirs = await kite.place(product="CNC", tag="from kite")
        assert (await kite.order(ours))["status"] == "COMPLETE"
        row = await bench.order(theirs)
        assert (row["status"], row["product"], row["tag"]) == ("complete", "D", "from kite")
        assert [row["order_id"] for row in await bench.get("/v2/order/retrieve-all")] == [ours, theirs]
    finally:
        await kite.http.aclose()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"quantity": 0}, "UDAPI1052"),
        ({"quantity": "10"}, "UDAPI1052"),
        ({"quantity": None}, "UDAPI1052"),
        ({"instrument_token": None}, "UDAPI1026"),
        ({"instrument_token": "NSE_EQ|INE000000000"}, "UDAPI100011"),
        ({"order_type": None}, "UDAPI1004"),
        ({"order_type": "STOP"}, "UDAPI1056"),
        ({"validity": None}, "UDAPI1007"),
        ({"validity": "GTC"}, "UDAPI1055"),
        ({"price": None}, "UDAPI1008"),
        ({"price": 1100}, "UDAPI1030"),
        ({"order_type": "LIMIT"}, "UDAPI1029"),
        ({"order_type": "SL", "price": 1100}, "UDAPI1031"),
        ({"order_type": "SL-M"}, "UDAPI1036"),
        ({"order_type": "SL-M", "trigger_price": 1200, "price": 1201}, "UDAPI1032"),
        ({"disclosed_quantity": 0.5}, "UDAPI100036"),
        ({"quantity": 100, "disclosed_quantity": 9}, "UDAPI1039"),
        ({"tag": "x" * 41}, "UDAPI1119"),
        ({"market_protection": 25.5}, "UDAPI1159"),
        ({"market_protection": -2}, "UDAPI1160"),
        ({"market_protection": "auto"}, "UDAPI1160"),
        ({"market_protection": 0}, "UDAPI1158"),
        ({"order_type": "LIMIT", "price": 1100.001}, "UDAPI100036"),
        ({"product": "D", "transaction_type": "HOLD"}, "UDAPI100036"),
    ],
)
async def test_what_is_wrong_with_an_order_has_its_code(
    upstox: UpstoxBench, changed: dict[str, Any], code: str
) -> None:
    assert await upstox.not_placed(**changed) == (400, code)
    assert await upstox.get("/v2/order/retrieve-all") == []


async def test_a_missing_protection_means_what_the_switch_says(upstox: UpstoxBench) -> None:
    await upstox.place(market_protection=None)
    upstox.faults("protection_default=none")
    assert await upstox.not_placed(market_protection=None) == (400, "UDAPI1158")
    upstox.faults("protection=optional")
    await upstox.place(market_protection=None)
    await upstox.place(market_protection=0)


async def test_an_order_waits_changes_and_ends(upstox: UpstoxBench) -> None:
    below = upstox.last(KEY) // 100 - 20
    order_id = await upstox.place(order_type="LIMIT", price=below)
    change = {"order_id": order_id, "validity": "DAY", "price": below + 1, "order_type": "LIMIT", "trigger_price": 0}
    answer = await upstox.http.put("/v3/order/modify", json={**change, "quantity": 12})
    assert answer.json()["data"] == {"order_id": order_id}
    assert isinstance(answer.json()["metadata"]["latency"], int)
    await upstox.settle()
    row = await upstox.order(order_id)
    assert (row["status"], row["price"], row["quantity"], row["order_request_id"]) == ("open", below + 1, 12, "2")
    answer = await upstox.http.delete("/v3/order/cancel", params={"order_id": order_id})
    assert answer.json()["data"] == {"order_id": order_id}
    await upstox.settle()
    assert (await upstox.order(order_id))["status"] == "cancelled"
    query = {"order_id": order_id}
    assert await upstox.refused("DELETE", "/v3/order/cancel", params=query) == (400, "UDAPI100040")
    assert await upstox.refused("PUT", "/v3/order/modify", json=change) == (400, "UDAPI100041")
    assert await upstox.refused("GET", "/v2/order/details", params={"order_id": "1"}) == (404, "UDAPI100010")


async def test_v2_answers_in_its_own_shapes(upstox: UpstoxBench) -> None:
    below = upstox.last(KEY) // 100 - 20
    body = upstox.body(order_type="LIMIT", price=below)
    placed = (await upstox.http.post("/v2/order/place", json=body)).json()
    assert placed.keys() == {"status", "data"}
    order_id = placed["data"]["order_id"]
    await upstox.settle()
    change = {"order_id": order_id, "validity": "DAY", "price": below, "order_type": "LIMIT", "trigger_price": 0}
    assert (await upstox.http.put("/v2/order/modify", json=change)).json()["data"]["order_id"] == order_id
    await upstox.settle()
    gone = await upstox.http.delete("/v2/order/cancel", params={"order_id": order_id})
    assert gone.json() == {"status": "success", "data": {"order_id": order_id}}


async def test_a_stop_waits_for_its_trigger(upstox: UpstoxBench) -> None:
    await upstox.place()
    trigger = upstox.last(KEY) // 100 - 10
    stop = await upstox.place(order_type="SL-M", transaction_type="SELL", trigger_price=trigger)
    assert (await upstox.order(stop))["status"] == "trigger pending"
    upstox.price(KEY, (trigger - 1) * 100)
    await upstox.settle()
    assert (await upstox.order(stop))["status"] == "complete"


@pytest.mark.parametrize(("most", "slices", "placed"), [("10", 10, True), ("10", 11, False), ("25", 11, True)])
async def test_slices_up_to_what_the_switch_allows(
    make_upstox: MakeUpstox, most: str, slices: int, placed: bool
) -> None:
    bench = await make_upstox(f"slices={most}", cash=10**13)
    key, lot = option(bench, "NIFTY")
    row = bench.exchange.market.listings.by_token[int(key.split("|")[1]) * 256 + 2]
    part = row.freeze_quantity // lot * lot
    price = max(row.lower_circuit, row.tick_size) / 100
    quantity = part * (slices - 1) + lot
    body = bench.body(instrument_token=key, quantity=quantity, slice=True, order_type="LIMIT", price=price)
    answer = await bench.http.post("/v3/order/place", json=body)
    await bench.settle()
    if placed:
        ids = answer.json()["data"]["order_ids"]
        assert len(ids) == slices
        quantities = [(await bench.order(order_id))["quantity"] for order_id in ids]
        assert quantities == [part] * (slices - 1) + [lot]
    else:
        assert answer.json()["errors"][0]["error_code"] == "UDAPI1118"
        assert await bench.get("/v2/order/retrieve-all") == []


async def test_some_lines_of_many_may_fail(upstox: UpstoxBench) -> None:
    lines = [
        upstox.body(correlation_id="sell", transaction_type="SELL"),
        upstox.body(correlation_id="none", quantity=0),
        upstox.body(correlation_id="buy"),
    ]
    answer = await upstox.http.post("/v2/order/multi/place", json=lines)
    document = answer.json()
    assert answer.status_code == 207
    assert document["status"] == "partial_success"
    assert [row["correlation_id"] for row in document["data"]] == ["buy", "sell"], "buyers first"
    assert [(row["correlation_id"], row["error_code"]) for row in document["errors"]] == [("none", "UDAPI1052")]
    assert document["summary"] == {"total": 3, "payload_error": 0, "success": 2, "error": 1}
    upstox.faults("multi_order=as-given")
    given = (await upstox.http.post("/v2/order/multi/place", json=lines)).json()
    assert [row["correlation_id"] for row in given["data"]] == ["sell", "buy"]
    good = await upstox.http.post("/v2/order/multi/place", json=lines[2:])
    assert (good.status_code, good.json()["status"], good.json()["errors"]) == (200, "success", None)
    bad = await upstox.http.post("/v2/order/multi/place", json=lines[1:2])
    assert (bad.status_code, bad.json()["status"], bad.json()["data"]) == (400, "error", None)


@pytest.mark.parametrize(
    ("names", "code"),
    [(["", "b"], "UDAPI1114"), (["x" * 21], "UDAPI1115"), (["a", "a"], "UDAPI1117"), (["abcdefghijk"], "UDAPI1118")],
)
async def test_lines_need_names_of_their_own(upstox: UpstoxBench, names: list[str], code: str) -> None:
    lines = [upstox.body(correlation_id=name) for name in (names[0] if code == "UDAPI1118" else names)]
    assert await upstox.refused("POST", "/v2/order/multi/place", json=lines) == (400, code)
    if code == "UDAPI1118":
        upstox.faults("multi_lines=25")
        assert (await upstox.http.post("/v2/order/multi/place", json=lines)).status_code == 200


async def test_cancel_many_takes_those_of_a_tag(upstox: UpstoxBench) -> None:
    below = upstox.last(KEY) // 100 - 20
    mine = await upstox.place(order_type="LIMIT", price=below, tag="mine")
    other = await upstox.place(order_type="LIMIT", price=below)
    answer = await upstox.http.delete("/v2/order/multi/cancel", params={"tag": "mine", "segment": "NSE_EQ"})
    assert answer.json()["data"] == {"order_ids": [mine]}
    await upstox.settle()
    assert [(await upstox.order(order_id))["status"] for order_id in (mine, other)] == ["cancelled", "open"]
    assert await upstox.refused("DELETE", "/v2/order/multi/cancel", params={"segment": "X"}) == (400, "UDAPI1066")


async def test_what_is_not_covered_is_taken_and_comes_back_rejected(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox(cash=1000_00)
    for uncovered in ({"quantity": 100}, {"product": "D", "transaction_type": "SELL"}):
        row = await bench.order(await bench.place(**uncovered))
        assert row["status"] == "rejected"
        assert row["status_message"].startswith("RMS: Insufficient")
    assert (await bench.get("/v2/user/get-funds-and-margin"))["equity"]["available_margin"] == 1000.0


async def test_an_order_outside_of_the_session_waits_for_the_next_one(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox("hours=clock", now=MORNING.replace(hour=19))
    waiting, unwanted = await bench.place(), await bench.place()
    row = await bench.order(waiting)
    assert (row["status"], row["is_amo"], row["variety"]) == ("after market order req received", True, "AMO")
    await bench.http.delete("/v3/order/cancel", params={"order_id": unwanted})
    await bench.settle()
    assert (await bench.order(unwanted))["status"] == "cancelled after market order"
    await bench.clock(MORNING.replace(day=23))
    await bench.settle()
    await bench.login()
    assert (await bench.order(waiting))["status"] == "complete"


async def test_no_orders_before_half_past_five(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox("hours=clock", now=MORNING.replace(hour=5, minute=29))
    assert await bench.not_placed() == (400, "UDAPI100074")
    await bench.clock(MORNING.replace(hour=5, minute=30))
    assert (await bench.order(await bench.place()))["is_amo"] is True


async def test_exit_closes_all_but_delivered_shares(make_upstox: MakeUpstox) -> None:
    openings = (Opening(KEY, 10, "MIS"), Opening("NSE:SBIN", -5, "MIS"))
    bench = await make_upstox(openings=openings)
    await bench.place(product="D")
    answer = await bench.http.post("/v2/order/positions/exit")
    assert answer.json()["summary"] == {"total": 2, "success": 2, "error": 0}
    await bench.settle()
    positions = await bench.get("/v2/portfolio/short-term-positions")
    assert {(row["trading_symbol"], row["product"]): row["quantity"] for row in positions} == {
        ("INFY", "I"): 0,
        ("SBIN", "I"): 0,
        ("INFY", "D"): 10,
    }
    assert await bench.refused("POST", "/v2/order/positions/exit") == (400, "UDAPI1111")
    bench.faults("exit_delivery=sold")
    assert (await bench.http.post("/v2/order/positions/exit")).json()["summary"]["success"] == 1


async def test_the_registered_address_and_the_kill_switch_stop_orders_alone(upstox: UpstoxBench) -> None:
    upstox.faults("static_ip=on")
    assert await upstox.not_placed() == (403, "UDAPI1154")
    assert await upstox.get("/v2/order/retrieve-all") == []
    upstox.faults("static_ip=off")
    pulled = await upstox.http.post("/v2/user/kill-switch", json=[{"segment": "NSE_EQ", "action": "ENABLE"}])
    assert pulled.json()["data"][0]["kill_switch_enabled"] is True
    assert (await upstox.not_placed())[1] == "UDAPI1184"
    again = [{"segment": "NSE_EQ", "action": "DISABLE"}]
    assert (await upstox.refused("POST", "/v2/user/kill-switch", json=again))[1] == "UDAPI1188"
    await upstox.clock(MORNING + timedelta(hours=12))
    assert (await upstox.http.post("/v2/user/kill-switch", json=again)).status_code == 200
    await upstox.place()


async def test_headers_that_are_wrong_are_named(upstox: UpstoxBench) -> None:
    for headers, code in (({"Api-Version": "1.0"}, "UDAPI100015"), ({"X-Algo-Name": "a/b"}, "UDAPI1156")):
        refused = await upstox.refused("POST", "/v3/order/place", json=upstox.body(), headers=headers)
        assert refused == (400, code)
    answer = await upstox.http.post("/v3/order/place", json=upstox.body(), headers={"X-Algo-Name": "stopline"})
    assert answer.status_code == 200


async def test_rate_limits_count_every_api_by_itself(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox("limits=on")
    codes = [(await bench.http.delete("/v3/order/cancel", params={"order_id": "1"})).status_code for _ in range(11)]
    assert codes == [404] * 10 + [429]
    refused = await bench.http.delete("/v3/order/cancel", params={"order_id": "1"})
    assert refused.json()["errors"][0]["error_code"] == "UDAPI10005"
    assert "Retry-After" not in refused.headers
    assert await bench.get("/v2/order/retrieve-all") == []


async def test_times_of_trades_print_as_the_switch_says(upstox: UpstoxBench) -> None:
    await upstox.place()
    assert (await upstox.get("/v2/order/trades/get-trades-for-day"))[0]["exchange_timestamp"] == "2026-11-20 10:00:00"
    upstox.faults("trade_time=words")
    assert (await upstox.get("/v2/order/trades/get-trades-for-day"))[0]["exchange_timestamp"] == "20-Nov-2026 10:00:00"


async def test_faults_strike_this_wire_too(upstox: UpstoxBench) -> None:
    upstox.faults("status=503:route=orders", "refuse=UDAPI1158:route=place,instrument=NSE:INFY,text=Blocked, today")
    assert await upstox.refused("GET", "/v2/order/retrieve-all") == (503, "UDAPI100500")
    assert await upstox.not_placed() == (400, "UDAPI1158")
    upstox.faults("html-403:route=orders")
    answer = await upstox.http.get("/v2/order/retrieve-all")
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")


async def test_a_route_that_does_not_exist_says_so(upstox: UpstoxBench) -> None:
    assert await upstox.refused("GET", "/v2/nowhere") == (404, "UDAPI100060")
    assert await upstox.refused("POST", "/v2/order/retrieve-all") == (405, "UDAPI10000")


async def test_the_book_survives_with_both_wires(make_upstox: MakeUpstox, tmp_path: Path) -> None:
    bench = await make_upstox(state=tmp_path)
    order_id = await bench.place()
    await make_upstox.end(bench)
    again = await make_upstox(state=tmp_path)
    assert (await again.order(order_id))["status"] == "complete"
