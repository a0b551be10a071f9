"""Orders that are more than one plain order (A7): after market, iceberg, cover, sliced, with a time of their own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app.simulator.clock import IST
from app.simulator.exchange import Opening
from tests.unit.simulator.conftest import Bench, Make, contract, lot

INFY = "NSE:INFY"
EVENING = datetime(2026, 11, 19, 19, 0, tzinfo=IST)  # a Thursday
DEEP = [(1120_00, 100_000, 1)], [(1120_00, 100_000, 1)]


@pytest.fixture
async def bench(make: Make) -> Bench:
    made = await make()
    made.price(INFY, 1120_00)
    made.depth(INFY, *DEEP)
    return made


async def ask(bench: Bench, variety: str, **form: Any) -> Any:
    """The answer to an order of INFY of a variety."""
    order = {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "quantity": 10,
        "product": "MIS",
        "order_type": "LIMIT",
        "price": "1110.00",
        "variety": variety,  # the official client sends it in the form too
    }
    sent = {name: value for name, value in {**order, **form}.items() if value is not None}
    answer = await bench.http.post(f"/orders/{variety}", data=sent)
    await bench.settle()
    return answer.json()


async def placed(bench: Bench, variety: str, **form: Any) -> str:
    body = await ask(bench, variety, **form)
    assert body["status"] == "success", body
    order_id: str = body["data"]["order_id"]
    return order_id


async def go_to(bench: Bench, moment: datetime) -> None:
    assert (await bench.http.put("/simulator/clock", json={"now": moment.isoformat()})).status_code == 200
    await bench.login()
    await bench.settle()


# -- after market


async def evening(make: Make, **options: Any) -> Bench:
    bench = await make("hours=clock", now=EVENING, **options)
    bench.price(INFY, 1120_00)
    return bench


async def test_an_after_market_order_waits_through_the_night_and_goes_when_the_market_opens(make: Make) -> None:
    bench = await evening(make)
    assert "Markets are closed" in (await ask(bench, "regular"))["message"]
    order_id = await placed(bench, "amo", order_type="MARKET", price=None, market_protection=-1)
    row = await bench.order(order_id)
    assert (row["status"], row["variety"], row["exchange_order_id"]) == ("AMO REQ RECEIVED", "amo", None)
    await go_to(bench, datetime(2026, 11, 20, 6, 30, tzinfo=IST))  # past the day change, which empties the book
    assert [row["order_id"] for row in await bench.get("/orders")] == [order_id]
    await go_to(bench, datetime(2026, 11, 20, 9, 14, 59, tzinfo=IST))
    assert (await bench.order(order_id))["status"] == "AMO REQ RECEIVED"
    await go_to(bench, datetime(2026, 11, 20, 9, 15, tzinfo=IST))
    bench.depth(INFY, [], [(bench.last(INFY), 100, 1)])
    row = await bench.order(order_id)
    assert (row["status"], row["filled_quantity"], row["tags"]) == ("COMPLETE", 10, ["mktp", "mktp:0.50"])
    assert await bench.statuses(order_id) == [
        "PUT ORDER REQ RECEIVED",
        "AMO REQ RECEIVED",
        "VALIDATION PENDING",
        "OPEN PENDING",
        "OPEN",
        "COMPLETE",
    ]


async def test_it_waits_over_a_weekend_and_a_crash(make: Make, tmp_path: Path) -> None:
    bench = await evening(make, state=tmp_path)
    await go_to(bench, datetime(2026, 11, 20, 16, 0, tzinfo=IST))
    order_id = await placed(bench, "amo")
    await make.end(bench)
    bench = await make("hours=clock", now=datetime(2026, 11, 22, 12, 0, tzinfo=IST), state=tmp_path)
    assert (await bench.order(order_id))["status"] == "AMO REQ RECEIVED"
    await go_to(bench, datetime(2026, 11, 23, 9, 16, tzinfo=IST))
    assert "VALIDATION PENDING" in await bench.statuses(order_id)
    assert (await bench.order(order_id))["exchange_order_id"] is not None


async def test_it_can_be_changed_and_cancelled_while_it_waits(make: Make) -> None:
    bench = await evening(make)
    first, second = await placed(bench, "amo"), await placed(bench, "amo")
    assert (await bench.http.put(f"/orders/amo/{first}", data={"price": "1105.00"})).status_code == 200
    assert (await bench.http.delete(f"/orders/amo/{second}")).status_code == 200
    await bench.settle()
    row = await bench.order(first)
    assert (row["status"], row["price"], row["modified"]) == ("AMO REQ RECEIVED", 1105, True)
    assert (await bench.order(second))["status"] == "CANCELLED"


async def test_in_the_session_there_are_no_after_market_orders(bench: Bench) -> None:
    body = await ask(bench, "amo")
    assert body["error_type"] == "OrderException"
    assert body["message"] == "After market orders are accepted only when the market is closed."


# -- iceberg


async def test_an_iceberg_shows_one_leg_at_a_time(bench: Bench) -> None:
    first = await placed(bench, "iceberg", quantity=1000, iceberg_legs=5, iceberg_quantity=200)
    (row,) = await bench.get("/orders")
    assert (row["order_id"], row["quantity"], row["variety"]) == (first, 200, "iceberg")
    leg = {"leg": 1, "legs": 5, "leg_quantity": 200, "total_quantity": 1000, "remaining_quantity": 800}
    assert row["meta"] == {"iceberg": leg}
    for _ in range(4):
        bench.depth(INFY, [], [(1109_00, 200, 1)])
        await bench.settle()
    rows = await bench.get("/orders")
    assert [row["meta"]["iceberg"]["leg"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["status"] for row in rows] == ["COMPLETE"] * 4 + ["OPEN"]
    assert rows[-1]["meta"]["iceberg"]["remaining_quantity"] == 0
    assert [row["parent_order_id"] for row in rows] == [None] * 5
    bench.depth(INFY, [], [(1109_00, 200, 1)])
    await bench.settle()
    assert sum(row["filled_quantity"] for row in await bench.get("/orders")) == 1000


async def test_later_legs_name_the_first_where_the_broker_says_so(make: Make) -> None:
    bench = await make("iceberg_parent=first")
    bench.price(INFY, 1120_00)
    bench.depth(INFY, *DEEP)
    first = await placed(bench, "iceberg", price="1120.00", quantity=30, iceberg_legs=3)
    for _ in range(3):
        bench.depth(INFY, *DEEP)
        await bench.settle()
    rows = await bench.get("/orders")
    assert [(row["status"], row["parent_order_id"]) for row in rows] == [
        ("COMPLETE", None),
        ("COMPLETE", first),
        ("COMPLETE", first),
    ]


async def test_a_cancelled_leg_ends_the_iceberg_and_the_last_leg_may_be_smaller(bench: Bench) -> None:
    order_id = await placed(bench, "iceberg", quantity=100, iceberg_legs=3)
    bench.depth(INFY, [], [(1109_00, 34, 1)])
    await bench.settle()
    bench.depth(INFY, [], [(1109_00, 34, 1)])
    await bench.settle()
    rows = await bench.get("/orders")
    assert [row["quantity"] for row in rows] == [34, 34, 32]
    more = await bench.http.put(f"/orders/iceberg/{rows[-1]['order_id']}", data={"quantity": "40"})
    assert more.json()["message"] == "The quantity of an iceberg's leg cannot be changed."
    assert (await bench.http.delete(f"/orders/iceberg/{rows[-1]['order_id']}")).status_code == 200
    await bench.settle()
    rows = await bench.get("/orders")
    assert (rows[0]["order_id"], [row["status"] for row in rows]) == (order_id, ["COMPLETE", "COMPLETE", "CANCELLED"])


async def test_a_leg_that_the_money_does_not_reach_is_rejected_in_the_book(make: Make) -> None:
    bench = await make(cash=150_000_00)
    bench.price(INFY, 1120_00)
    bench.depth(INFY, [], [])
    await placed(bench, "iceberg", quantity=200, iceberg_legs=2, product="CNC")
    bench.depth(INFY, [], [(1109_00, 100, 1)])
    await bench.settle()
    first, second = await bench.get("/orders")
    assert (first["status"], second["status"], second["exchange_order_id"]) == ("COMPLETE", "REJECTED", None)
    assert second["status_message"].startswith("Insufficient funds. Required margin is")


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"iceberg_legs": 1}, "Invalid `iceberg_legs`: 2 to 50"),
        ({"iceberg_legs": 51}, "Invalid `iceberg_legs`: 2 to 50"),
        ({"iceberg_legs": 2, "iceberg_quantity": 4}, "10 do not make 2 legs of 4"),
        ({"iceberg_legs": 2, "order_type": "SL", "trigger_price": "1125"}, "MARKET and LIMIT"),
    ],
)
async def test_icebergs_that_are_refused(bench: Bench, form: dict[str, Any], words: str) -> None:
    assert words in (await ask(bench, "iceberg", **form))["message"]


# -- sliced


async def test_slices_answer_in_either_shape(make: Make) -> None:
    bench = await make(cash=100_00_00_000_00)
    symbol = contract(bench, "NIFTY", "FUT")
    listing = bench.exchange.market.listings.by_key[f"NFO:{symbol}"]
    big = listing.freeze_quantity // lot(bench, symbol) * lot(bench, symbol) * 2
    form = {"exchange": "NFO", "tradingsymbol": symbol, "product": "NRML", "quantity": big, "autoslice": "true"}
    form |= {"price": str(listing.previous_close / 100)}
    body = (await ask(bench, "regular", **form))["data"]
    first, second = (child["order_id"] for child in body["children"])
    assert body["order_id"] == first
    rows = await bench.get("/orders")
    assert [row["tags"] for row in rows] == [["autoslice", f"autoslice:{first}"]] * 2
    assert [row["order_id"] for row in rows] == [first, second]
    bench.faults("autoslice_answer=list")
    listed = (await ask(bench, "regular", **form))["data"]
    assert [set(child) for child in listed] == [{"order_id"}, {"order_id"}]


@pytest.mark.parametrize("shape", ["children", "list"])
async def test_slices_that_fail_stand_beside_those_that_do_not(make: Make, shape: str) -> None:
    bench = await make(f"autoslice_answer={shape}", cash=15_00_000_00)
    symbol = contract(bench, "NIFTY", "FUT")
    listing = bench.exchange.market.listings.by_key[f"NFO:{symbol}"]
    slice_size = listing.freeze_quantity // listing.lot_size * listing.lot_size
    needed = listing.previous_close * slice_size * 15 // 100
    bench.exchange.ledger.account.cash = needed * 3 // 2
    form = {"exchange": "NFO", "tradingsymbol": symbol, "product": "NRML", "quantity": slice_size * 2}
    form |= {"price": str(listing.previous_close / 100), "autoslice": "true"}
    body = (await ask(bench, "regular", **form))["data"]
    taken, refused = body if shape == "list" else body["children"]
    assert set(taken) == {"order_id"}
    assert (refused["error"]["code"], refused["error"]["error_type"]) == (400, "MarginException")


# -- cover


async def test_a_cover_order_brings_its_stop(bench: Bench) -> None:
    entry = await placed(bench, "co", order_type="MARKET", price=None, market_protection=-1, trigger_price="1100.00")
    row, stop = await bench.get("/orders")
    assert (row["order_id"], row["status"], row["product"], row["parent_order_id"]) == (entry, "COMPLETE", "CO", None)
    assert (stop["parent_order_id"], stop["status"], stop["order_type"]) == (entry, "TRIGGER PENDING", "SL-M")
    assert (stop["transaction_type"], stop["quantity"], stop["trigger_price"]) == ("SELL", 10, 1100)
    bench.price(INFY, 1100_00)
    await bench.settle()
    assert (await bench.order(stop["order_id"]))["status"] == "COMPLETE"
    assert [row["quantity"] for row in (await bench.get("/portfolio/positions"))["net"]] == [0]


async def test_the_stop_follows_a_partial_entry(bench: Bench) -> None:
    entry = await placed(bench, "co", trigger_price="1100.00")
    assert len(await bench.get("/orders")) == 1
    for filled in (4, 6):
        bench.depth(INFY, [], [(1109_00, filled, 1)])
        await bench.settle()
    row, stop = await bench.get("/orders")
    assert (row["order_id"], row["status"], stop["quantity"], stop["status"]) == (
        entry,
        "COMPLETE",
        10,
        "TRIGGER PENDING",
    )


async def test_a_stop_that_was_hit_takes_the_rest_of_its_entry_with_it(bench: Bench) -> None:
    entry = await placed(bench, "co", trigger_price="1100.00")
    bench.depth(INFY, [(1099_00, 100, 1)], [(1109_00, 4, 1)])
    await bench.settle()
    bench.depth(INFY, [(1099_00, 100, 1)], [], last=1099_00)
    await bench.settle()
    row, stop = await bench.get("/orders")
    assert (row["order_id"], row["status"], row["filled_quantity"]) == (entry, "CANCELLED", 4)
    assert (stop["status"], stop["filled_quantity"]) == ("COMPLETE", 4)


async def test_a_cover_order_is_exited_by_its_stop_or_its_entry(bench: Bench) -> None:
    market = {"order_type": "MARKET", "price": None, "market_protection": -1, "trigger_price": "1100.00"}
    for by_stop in (True, False):
        entry = await placed(bench, "co", **market)
        stop = (await bench.get("/orders"))[-1]["order_id"]
        query = {"parent_order_id": entry} if by_stop else {}
        answer = await bench.http.delete(f"/orders/co/{stop if by_stop else entry}", params=query)
        assert answer.json()["data"] == {"order_id": stop}
        await bench.settle()
        row = await bench.order(stop)
        assert (row["status"], row["filled_quantity"]) == ("COMPLETE", 10)
        bench.depth(INFY, *DEEP)
    assert [row["quantity"] for row in (await bench.get("/portfolio/positions"))["net"]] == [0]


async def test_a_waiting_cover_order_is_cancelled_and_its_stop_moved(bench: Bench) -> None:
    entry = await placed(bench, "co", trigger_price="1100.00")
    answer = await bench.http.put(f"/orders/co/{entry}", data={"price": "1112.00", "trigger_price": "1101.00"})
    await bench.settle()
    row = await bench.order(entry)
    assert (answer.status_code, row["price"], row["trigger_price"]) == (200, 1112, 1101)
    assert (await bench.http.put(f"/orders/co/{entry}", data={"quantity": "5"})).status_code == 400
    assert (await bench.http.delete(f"/orders/co/{entry}")).json()["data"] == {"order_id": entry}
    await bench.settle()
    assert [row["status"] for row in await bench.get("/orders")] == ["CANCELLED"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "Invalid `trigger_price`"),
        ({"trigger_price": "1115.00"}, "should be lower than the price"),
        ({"trigger_price": "1115.00", "transaction_type": "SELL", "price": "1125"}, "should be higher than the price"),
        ({"trigger_price": "1100.00", "product": "CNC"}, "Invalid product CNC: cover orders are intraday"),
        ({"trigger_price": "1100.00", "order_type": "SL"}, "MARKET and LIMIT"),
    ],
)
async def test_cover_orders_that_are_refused(bench: Bench, form: dict[str, Any], words: str) -> None:
    assert words in (await ask(bench, "co", **form))["message"]


# -- others


async def test_a_ttl_order_ends_by_itself(bench: Bench) -> None:
    order_id = await placed(bench, "regular", validity="TTL", validity_ttl=2)
    assert (await bench.order(order_id))["validity_ttl"] == 2
    await go_to(bench, datetime(2026, 11, 20, 10, 1, 59, tzinfo=IST))
    assert (await bench.order(order_id))["status"] == "OPEN"
    await go_to(bench, datetime(2026, 11, 20, 10, 2, 1, tzinfo=IST))
    row = await bench.order(order_id)
    assert (row["status"], row["cancelled_quantity"]) == ("CANCELLED", 10)
    assert "needs minutes" in (await ask(bench, "regular", validity="TTL"))["message"]


@pytest.mark.parametrize(("price", "expected"), [(815, "COMPLETE"), (800, "CANCELLED"), (0, "CANCELLED")])
async def test_an_auction_sells_to_who_was_not_delivered(make: Make, price: int, expected: str) -> None:
    bench = await make(openings=(Opening("NSE:SBIN", 10, "CNC"),))
    limit = bench.last("NSE:SBIN") // 100 * 100
    bid = {"tradingsymbol": "SBIN", "transaction_type": "SELL", "product": "CNC", "price": limit / 100}
    assert "Invalid `auction_number`" in (await ask(bench, "auction", auction_number="22", **bid))["message"]
    begun = await bench.http.put("/simulator/auction", json={"instrument": "NSE:SBIN", "number": "22"})
    assert begun.status_code == 200
    (row,) = await bench.get("/portfolio/holdings/auctions")
    assert (row["tradingsymbol"], row["auction_number"], row["quantity"]) == ("SBIN", "22", 10)
    order_id = await placed(bench, "auction", auction_number="22", **bid)
    bench.price("NSE:SBIN", limit + 100)  # the market itself does not fill it
    assert (await bench.order(order_id))["status"] == "OPEN"
    at = limit / 100 + (5 if price == 815 else -5) if price else 0
    await bench.http.put("/simulator/auction", json={"instrument": "NSE:SBIN", "price": at})
    row = await bench.order(order_id)
    assert (row["status"], row["auction_number"], row["variety"]) == (expected, "22", "auction")
    assert await bench.get("/portfolio/holdings/auctions") == []


async def test_an_order_is_named_with_its_own_variety(bench: Bench) -> None:
    order_id = await placed(bench, "regular")
    answer = await bench.http.delete(f"/orders/amo/{order_id}")
    assert answer.json()["message"] == f"Invalid `variety`: order {order_id} is of variety regular."
