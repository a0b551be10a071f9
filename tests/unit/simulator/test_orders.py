from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.unit.simulator.conftest import SECRETS, Bench, Make, contract, lot

DEEP = 10_000_000
INFY = "NSE:INFY"


@pytest.fixture
async def bench(make: Make) -> Bench:
    made = await make()
    made.price(INFY, 1120_00)
    made.depth(INFY, [(1120_00, 100, 3), (1119_90, 200, 4)], [(1120_10, 100, 2), (1120_20, 200, 5)])
    return made


async def test_a_market_order_walks_the_documented_way_and_takes_the_best_prices(bench: Bench) -> None:
    order_id = await bench.place(quantity=150)
    assert await bench.statuses(order_id) == [
        "PUT ORDER REQ RECEIVED",
        "VALIDATION PENDING",
        "OPEN PENDING",
        "OPEN",
        "COMPLETE",
    ]
    row = await bench.order(order_id)
    # 0.5 % above 1120.00 is 1125.60: a protected market order reads as a limit (A7.2)
    assert (row["order_type"], row["price"], row["market_protection"]) == ("LIMIT", 1125.6, 0)
    assert row["tags"] == ["mktp", "mktp:0.50"]
    assert (row["filled_quantity"], row["pending_quantity"]) == (150, 0)
    fills = await bench.get(f"/orders/{order_id}/trades")
    assert [(f["quantity"], f["average_price"]) for f in fills] == [(100, 1120.1), (50, 1120.2)]
    assert row["average_price"] == pytest.approx((100 * 1120.1 + 50 * 1120.2) / 150)
    assert len(order_id) == 19
    assert row["exchange_order_id"] == fills[0]["exchange_order_id"]


async def test_the_first_history_row_has_no_token_yet(bench: Bench) -> None:
    rows = await bench.get(f"/orders/{await bench.place()}")
    assert (rows[0]["instrument_token"], rows[0]["exchange_order_id"]) == (1, None)
    assert rows[-1]["instrument_token"] == 408065


async def test_more_than_is_visible_goes_on_with_the_next_quotes(bench: Bench) -> None:
    order_id = await bench.place(quantity=500)
    row = await bench.order(order_id)
    assert (row["status"], row["filled_quantity"], row["pending_quantity"]) == ("OPEN", 300, 200)
    bench.depth(INFY, [], [(1120_30, 150, 1)])
    assert (await bench.order(order_id))["filled_quantity"] == 450
    bench.depth(INFY, [], [(1130_00, 500, 1)])  # beyond the protection: not at any price
    assert (await bench.order(order_id))["filled_quantity"] == 450
    bench.depth(INFY, [], [(1120_00, 500, 1)])
    row = await bench.order(order_id)
    assert (row["status"], row["filled_quantity"]) == ("COMPLETE", 500)
    # it had come to rest at its limit, and rests trade at their own price
    assert (await bench.get("/trades"))[-1]["average_price"] == 1125.6


async def test_two_orders_do_not_share_the_same_shares(bench: Bench) -> None:
    first, second = await bench.place(quantity=250), await bench.place(quantity=250)
    rows = [await bench.order(first), await bench.order(second)]
    assert [row["filled_quantity"] for row in rows] == [250, 50]


async def test_a_limit_waits_for_its_price(bench: Bench) -> None:
    order_id = await bench.place(order_type="LIMIT", price="1110.00", quantity=20)
    assert (await bench.order(order_id))["status"] == "OPEN"
    bench.depth(INFY, [], [(1110_10, 50, 1)])
    assert (await bench.order(order_id))["filled_quantity"] == 0
    bench.depth(INFY, [], [(1109_00, 50, 1)])
    row = await bench.order(order_id)
    assert (row["status"], row["average_price"]) == ("COMPLETE", 1110)


async def test_what_an_ioc_leaves_is_cancelled(bench: Bench) -> None:
    order_id = await bench.place(quantity=500, validity="IOC")
    row = await bench.order(order_id)
    assert (row["status"], row["filled_quantity"], row["cancelled_quantity"]) == ("CANCELLED", 300, 200)
    assert row["pending_quantity"] == 200  # as the broker prints it: cancelled and pending both


@pytest.mark.parametrize(("kind", "price"), [("SL", "1090.00"), ("SL-M", None)])
async def test_a_stop_order_wakes_at_its_trigger(bench: Bench, kind: str, price: str | None) -> None:
    await bench.place(quantity=50)
    order_id = await bench.place(
        transaction_type="SELL", quantity=50, order_type=kind, price=price, trigger_price="1100.00"
    )
    assert (await bench.order(order_id))["status"] == "TRIGGER PENDING"
    bench.depth(INFY, [(1100_00, 10, 1)], [], last=1100_10)
    assert (await bench.order(order_id))["status"] == "TRIGGER PENDING"
    bench.depth(INFY, [(1099_90, 80, 1)], [], last=1100_00)
    row = await bench.order(order_id)
    assert (row["status"], row["average_price"]) == ("COMPLETE", 1099.9)
    assert (await bench.statuses(order_id))[-3:] == ["TRIGGER PENDING", "OPEN", "COMPLETE"]


async def test_a_stop_orders_ioc_rest_is_cancelled_when_it_wakes(bench: Bench) -> None:
    await bench.place(quantity=50)
    order_id = await bench.place(
        transaction_type="SELL",
        quantity=50,
        order_type="SL",
        price="1090.00",
        trigger_price="1100.00",
        validity="IOC",
    )
    assert (await bench.order(order_id))["status"] == "TRIGGER PENDING"
    bench.depth(INFY, [(1099_00, 20, 1)], [], last=1099_00)
    row = await bench.order(order_id)
    assert (row["status"], row["filled_quantity"], row["cancelled_quantity"]) == ("CANCELLED", 20, 30)


async def test_modify_moves_an_open_order_and_its_history_says_so(bench: Bench) -> None:
    order_id = await bench.place(order_type="LIMIT", price="1110.00", quantity=20)
    answer = await bench.http.put(f"/orders/regular/{order_id}", data={"price": "1120.10", "quantity": "30"})
    assert answer.json() == {"status": "success", "data": {"order_id": order_id}}
    await bench.settle()
    assert (await bench.statuses(order_id))[4:] == [
        "MODIFY VALIDATION PENDING",
        "MODIFY PENDING",
        "MODIFIED",
        "OPEN",
        "COMPLETE",
    ]
    row = await bench.order(order_id)
    assert (row["modified"], row["quantity"], row["average_price"]) == (True, 30, 1120.1)


async def test_a_resting_backstop_becomes_the_exit(bench: Bench) -> None:
    await bench.place(quantity=50)
    order_id = await bench.place(
        transaction_type="SELL", quantity=50, order_type="SL", price="1090.00", trigger_price="1100.00"
    )
    form = {"order_type": "LIMIT", "price": "1119.00"}
    await bench.http.put(f"/orders/regular/{order_id}", data=form)
    await bench.settle()
    row = await bench.order(order_id)
    assert (row["status"], row["order_type"], row["trigger_price"]) == ("COMPLETE", "LIMIT", 0)
    assert (await bench.get("/portfolio/positions"))["net"][0]["quantity"] == 0


@pytest.mark.parametrize(("switch", "quantity"), [("modify_quantity=total", 60), ("modify_quantity=remaining", 90)])
async def test_quantity_of_a_modification_both_ways(bench: Bench, switch: str, quantity: int) -> None:
    bench.faults(switch)
    bench.depth(INFY, [], [(1110_00, 30, 1)])
    order_id = await bench.place(order_type="LIMIT", price="1110.00", quantity=100)
    await bench.http.put(f"/orders/regular/{order_id}", data={"quantity": "60"})
    await bench.settle()
    row = await bench.order(order_id)
    assert (row["quantity"], row["filled_quantity"]) == (quantity, 30)


@pytest.mark.parametrize(("switch", "status"), [("modify_margin=none", 200), ("modify_margin=fresh", 400)])
async def test_the_risk_check_of_a_modified_exit_both_ways(make: Make, switch: str, status: int) -> None:
    bench = await make(switch, cash=40_000_00)
    bench.price(INFY, 1120_00)
    bench.depth(INFY, [(1120_00, DEEP, 1)], [(1120_10, DEEP, 1)])
    await bench.place(quantity=100)  # 20 % of 1,12,010: more than half of the money
    order_id = await bench.place(
        transaction_type="SELL", quantity=100, order_type="SL", price="1090.00", trigger_price="1100.00"
    )
    # a second exit beside it is a new position for the risk check, whatever the switch says
    assert (await bench.refused(transaction_type="SELL", quantity=100))[1] == "MarginException"
    form = {"order_type": "LIMIT", "price": "1119.00"}
    assert (await bench.http.put(f"/orders/regular/{order_id}", data=form)).status_code == status


async def test_cancel(bench: Bench) -> None:
    order_id = await bench.place(order_type="LIMIT", price="1110.00", quantity=20)
    answer = await bench.http.delete(f"/orders/regular/{order_id}")
    assert answer.json()["data"] == {"order_id": order_id}
    await bench.settle()
    row = await bench.order(order_id)
    assert (row["status"], row["cancelled_quantity"], row["filled_quantity"]) == ("CANCELLED", 20, 0)
    assert (await bench.statuses(order_id))[-2:] == ["CANCEL PENDING", "CANCELLED"]


async def test_a_fill_may_come_before_the_cancel(bench: Bench) -> None:
    order_id = await bench.place(order_type="LIMIT", price="1110.00", quantity=20)
    bench.exchange.oms._delay = (60.0, 60.0)
    await bench.http.delete(f"/orders/regular/{order_id}")
    bench.depth(INFY, [], [(1110_00, 50, 1)])
    assert (await bench.order(order_id))["status"] == "COMPLETE"


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_finished_order_cannot_be_touched(bench: Bench, method: str) -> None:
    order_id = await bench.place()
    answer = await bench.http.request(method, f"/orders/regular/{order_id}", data={"price": "1110.00"})
    assert (answer.status_code, answer.json()["error_type"]) == (400, "OrderException")
    answer = await bench.http.request(method, "/orders/regular/1", data={"price": "1110.00"})
    assert answer.status_code == 400


async def test_twenty_five_modifications_and_no_more(bench: Bench) -> None:
    order_id = await bench.place(order_type="LIMIT", price="1110.00")
    answers = []
    for n in range(26):
        form = {"price": f"{1100 + n % 2}.00"}
        answers.append((await bench.http.put(f"/orders/regular/{order_id}", data=form)).status_code)
        await bench.settle()
    assert answers == [200] * 25 + [400]
    assert (await bench.http.delete(f"/orders/regular/{order_id}")).status_code == 200


async def test_autoslice_makes_orders_that_name_their_parent(make: Make) -> None:
    bench = await make(cash=1_000_000_000_00)
    symbol = contract(bench, "NIFTY", "FUT")
    listing = bench.exchange.market.listings.by_key[f"NFO:{symbol}"]
    slice_size = listing.freeze_quantity // listing.lot_size * listing.lot_size
    quantity = slice_size * 2 + listing.lot_size
    answer = await bench.try_place(
        exchange="NFO", tradingsymbol=symbol, product="NRML", quantity=quantity, autoslice="true"
    )
    data = answer.json()["data"]
    rows = {row["order_id"]: row for row in await bench.get("/orders")}
    assert [rows[child["order_id"]]["quantity"] for child in data["children"]] == [
        slice_size,
        slice_size,
        listing.lot_size,
    ]
    assert f"autoslice:{data['order_id']}" in rows[data["children"][-1]["order_id"]]["tags"]


async def test_a_tag_comes_back_in_book_and_history(bench: Bench) -> None:
    order_id = await bench.place(tag="abc123abc123A1S1")
    row = await bench.order(order_id)
    assert row["tag"] == "abc123abc123A1S1"
    assert "abc123abc123A1S1" in row["tags"]
    assert (await bench.get(f"/orders/{order_id}"))[0]["tag"] == "abc123abc123A1S1"


async def test_order_updates_are_the_order_signed(bench: Bench) -> None:
    sent: list[dict[str, Any]] = []
    bench.exchange.updates._send = sent.append
    order_id = await bench.place(quantity=400)
    bench.depth(INFY, [], [(1120_00, 500, 1)])
    assert [u["status"] for u in sent] == ["OPEN", "UPDATE", "COMPLETE"]
    assert [u["unfilled_quantity"] for u in sent] == [400, 100, 0]
    last = sent[-1]
    signed = f"{order_id}{last['order_timestamp']}{SECRETS.api_secret}"
    assert last["checksum"] == hashlib.sha256(signed.encode()).hexdigest()
    assert (last["user_id"], last["placed_by"]) == (SECRETS.user_id, SECRETS.user_id)
    assert not {"tags", "modified"} & last.keys()


async def test_trade_ids_restart_daily_and_repeat_between_exchanges(make: Make) -> None:
    bench = await make(cash=1_00_00_000_00)
    symbol = contract(bench, "NIFTY", "FUT")
    await bench.place(quantity=1)
    await bench.place(exchange="NFO", tradingsymbol=symbol, product="NRML", quantity=lot(bench, symbol))
    first = await bench.get("/trades")
    assert first[0]["trade_id"] == first[-1]["trade_id"]
    assert first[0]["order_timestamp"] == first[0]["fill_timestamp"][11:]
    await bench.http.put("/simulator/clock", json={"now": "2026-11-23T10:00:00+05:30"})
    await bench.login()
    assert await bench.get("/trades") == []
    assert await bench.get("/orders") == []
    order_id = await bench.place(quantity=1)
    assert (await bench.get("/trades"))[0]["trade_id"] == first[0]["trade_id"]
    assert int(order_id) > int(first[-1]["order_id"])


async def test_the_book_of_the_back_door_counts_without_a_session(bench: Bench) -> None:
    order_id = await bench.place(quantity=30)
    del bench.http.headers["Authorization"]
    book = (await bench.http.get("/simulator/book")).json()
    assert [row["order_id"] for row in book["orders"]] == [order_id]
    assert book["orders"][0]["received_ns"] > 0
    assert sum(fill["quantity"] for fill in book["trades"]) == 30
    assert book["net"][0]["quantity"] == 30
