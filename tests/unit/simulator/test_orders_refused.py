from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.simulator.exchange import Opening
from app.simulator.refusal import Refused
from app.simulator.refusals import check_kind
from app.simulator.switches import Switches
from tests.unit.simulator.conftest import Bench, Make, contract, lot

DEEP = 10_000_000
INFY = "NSE:INFY"


@pytest.fixture
async def bench(make: Make) -> Bench:
    made = await make()
    made.price(INFY, 1120_00)
    return made


NO_PROTECTION = (
    "Market orders without market protection are not allowed via API. "
    "Please set market protection or use a Limit order."
)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"market_protection": None}, NO_PROTECTION),
        ({"market_protection": 0}, NO_PROTECTION),
        (
            {"market_protection": "True"},
            "Invalid request (failed to decode market_protection, got: True (expected decimal))",
        ),
        ({"market_protection": 101}, "market_protection"),
        ({"order_type": "SL-M", "trigger_price": "1140", "market_protection": 0}, NO_PROTECTION),
        ({"order_type": "LIMIT", "price": "1120.03"}, "Tick size for this script is 0.10"),
        ({"order_type": "LIMIT", "price": "1120.005"}, "tick size"),
        ({"order_type": "LIMIT", "price": None}, "Invalid `price`"),
        ({"order_type": "LIMIT", "price": "1.00"}, "lower circuit limit"),
        ({"order_type": "LIMIT", "price": "9000.00"}, "upper circuit limit"),
        ({"order_type": "SL", "price": "1130", "trigger_price": "1110"}, "higher than the last traded price"),
        ({"order_type": "SL", "price": "1130", "trigger_price": "1135"}, "above the limit price"),
        ({"tag": "x" * 21}, "20 characters"),
        ({"tradingsymbol": "NOSUCH"}, "does not exist"),
        ({"tradingsymbol": "NIFTY 50"}, "is an index"),
        ({"quantity": 0}, "`quantity`"),
        ({"quantity": "ten"}, "failed to decode quantity, got: ten"),
        ({"quantity": None}, "`quantity`"),
        ({"product": "NRML"}, "product NRML"),
        ({"product": "BO"}, "Invalid `product`."),
        ({"transaction_type": "HOLD"}, "Invalid `transaction_type`."),
        ({"validity": "GTC"}, "Invalid `validity`."),
        ({"exchange": None}, "Invalid `exchange`."),
        ({"disclosed_quantity": 11}, "disclosed_quantity"),
        ({"price": "NaN", "order_type": "LIMIT"}, "failed to decode price"),
    ],
)
async def test_refused_with_words_before_there_is_an_order(bench: Bench, form: dict[str, Any], words: str) -> None:
    status, kind, message = await bench.refused(**form)
    assert (status, kind) == (400, "InputException")
    assert words in message
    assert await bench.get("/orders") == []


async def test_a_sample_refusal_to_the_letter(bench: Bench) -> None:
    answer = await bench.try_place(market_protection=None)
    assert answer.status_code == 400
    assert answer.json() == {
        "status": "error",
        "message": NO_PROTECTION,
        "data": None,
        "error_type": "InputException",
    }


async def test_funds_in_the_brokers_words(make: Make) -> None:
    bench = await make(cash=1_000_00)
    bench.price(INFY, 1120_00)
    status, kind, message = await bench.refused(product="CNC", order_type="LIMIT", price="1120.00", quantity=1)
    assert (status, kind) == (400, "MarginException")
    assert message == (
        "Insufficient funds. Required margin is 1120.00 but available margin is 1000.00. "
        "Check the orderbook for open orders."
    )


async def test_funds_late_come_as_a_rejected_order(make: Make) -> None:
    bench = await make("funds=late", cash=1_000_00)
    bench.price(INFY, 1120_00)
    order_id = await bench.place(product="CNC", order_type="LIMIT", price="1120.00", quantity=1)
    row = await bench.order(order_id)
    assert row["status"] == "REJECTED"
    assert "Insufficient funds" in row["status_message"]
    assert row["exchange_order_id"] is None


async def test_open_orders_tie_up_money(make: Make) -> None:
    bench = await make(cash=2_000_00)
    bench.price(INFY, 1120_00)
    await bench.place(product="CNC", order_type="LIMIT", price="1100.00", quantity=1)
    assert (await bench.get("/user/margins/equity"))["net"] == 900
    assert (await bench.refused(product="CNC", order_type="LIMIT", price="1100.00", quantity=1))[1] == "MarginException"


async def test_shares_that_are_not_held_cannot_be_delivered(make: Make) -> None:
    bench = await make(openings=(Opening(INFY, 10, "CNC", 1400_00),))
    bench.price(INFY, 1120_00)
    bench.depth(INFY, [(1120_00, DEEP, 1)], [])
    assert (await bench.refused(transaction_type="SELL", product="CNC", quantity=11))[1] == "HoldingException"
    await bench.place(transaction_type="SELL", product="CNC", quantity=10)
    assert (await bench.refused(transaction_type="SELL", product="CNC", quantity=1))[1] == "HoldingException"
    held = await bench.get("/portfolio/holdings")
    assert (held[0]["quantity"], held[0]["used_quantity"]) == (0, 10)


@pytest.mark.parametrize(("switch", "status"), [("protection=required", 400), ("protection=optional", 200)])
async def test_market_protection_both_ways(bench: Bench, switch: str, status: int) -> None:
    bench.faults(switch)
    assert (await bench.try_place(market_protection=None)).status_code == status


@pytest.mark.parametrize("kind", ["InputException", "OrderException"])
async def test_the_error_type_of_missing_protection_both_ways(bench: Bench, kind: str) -> None:
    bench.faults(f"protection_error={kind}")
    assert (await bench.refused(market_protection=None))[1] == kind


@pytest.mark.parametrize(("switch", "status"), [("static_ip=off", 200), ("static_ip=on", 403)])
async def test_registered_addresses_both_ways(bench: Bench, switch: str, status: int) -> None:
    bench.faults(switch)
    answer = await bench.try_place()
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error_type"] == "PermissionException"
        assert answer.json()["message"].startswith("IP (127.0.0.1) is not allowed to place orders for this app.")
    assert (await bench.http.get("/orders")).status_code == 200  # reads are not checked


@pytest.mark.parametrize(
    ("switch", "status"), [("stock_option_market=refused", 400), ("stock_option_market=allowed", 200)]
)
async def test_market_on_stock_options_both_ways(bench: Bench, switch: str, status: int) -> None:
    bench.faults(switch)
    names = {row.name for row in bench.exchange.market.listings.by_key.values() if row.is_option}
    stock = min(names - {"NIFTY", "BANKNIFTY", "FINNIFTY", "SENSEX"})
    symbol = contract(bench, stock, "CE")
    order = {"exchange": "NFO", "tradingsymbol": symbol, "product": "NRML", "quantity": lot(bench, symbol)}
    assert (await bench.try_place(**order)).status_code == status


@pytest.mark.parametrize(("exchange", "name"), [("CDS", "USDINR"), ("MCX", "CRUDEOIL"), ("NCO", "GOLD")])
async def test_market_on_options_that_are_on_no_share_is_taken(bench: Bench, exchange: str, name: str) -> None:
    listings = bench.exchange.market.listings.by_key.values()
    stock_option = next(row for row in listings if row.is_option and row.exchange == "NFO" and row.name == "RELIANCE")
    check_kind("MARKET", replace(stock_option, exchange=exchange, name=name), Switches())
    with pytest.raises(Refused, match="stock options"):
        check_kind("MARKET", stock_option, Switches())


@pytest.mark.parametrize(("switch", "status"), [("index_option_slm=refused", 400), ("index_option_slm=allowed", 200)])
async def test_slm_on_index_options_both_ways(bench: Bench, switch: str, status: int) -> None:
    bench.faults(switch)
    symbol = contract(bench, "NIFTY", "CE")
    trigger = (bench.last(f"NFO:{symbol}") + 500) / 100
    order = {"exchange": "NFO", "tradingsymbol": symbol, "product": "NRML", "quantity": lot(bench, symbol)}
    assert (await bench.try_place(**order, order_type="SL-M", trigger_price=trigger)).status_code == status
    assert (await bench.try_place(**order)).status_code == 200  # MARKET on index options is fine


async def test_derivatives_go_by_lot_freeze_and_product(bench: Bench) -> None:
    symbol = contract(bench, "NIFTY", "FUT")
    listing = bench.exchange.market.listings.by_key[f"NFO:{symbol}"]
    order = {"exchange": "NFO", "tradingsymbol": symbol, "product": "NRML"}
    assert "lot size" in (await bench.refused(**order, quantity=listing.lot_size + 1))[2]
    assert listing.freeze_quantity
    above = (listing.freeze_quantity // listing.lot_size + 1) * listing.lot_size
    assert "freeze quantity" in (await bench.refused(**order, quantity=above))[2]
    assert "product CNC" in (await bench.refused(**{**order, "product": "CNC"}, quantity=listing.lot_size))[2]


@pytest.mark.parametrize("variety", ["amo", "co", "iceberg", "auction", "nonsense"])
async def test_a_variety_without_its_fields_is_refused_in_words(bench: Bench, variety: str) -> None:
    answer = await bench.http.post(f"/orders/{variety}", data={"exchange": "NSE"})
    assert (answer.status_code, answer.json()["error_type"]) == (400, "InputException")


@pytest.mark.parametrize("path", ["/mf/orders/1", "/nowhere"])
async def test_what_is_not_there_is_answered_in_the_envelope(bench: Bench, path: str) -> None:
    answer = await bench.http.get(path)
    assert (answer.status_code, answer.json()["status"]) == (404, "error")
    assert (await bench.http.post("/orders")).status_code == 405
