"""The margin calculator: single orders, baskets with and without what is held, in short (A11)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.simulator.conftest import Bench, contract, lot


async def basket(bench: Bench, *items: dict[str, Any], **query: str) -> dict[str, Any]:
    answer = await bench.http.post("/margins/basket", json=list(items), params=query)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def item(symbol: str, side: str, quantity: int, price: float, product: str = "NRML") -> dict[str, Any]:
    return {
        "exchange": "NSE" if symbol == "INFY" else "NFO",
        "tradingsymbol": symbol,
        "transaction_type": side,
        "variety": "regular",
        "product": product,
        "order_type": "LIMIT",
        "quantity": quantity,
        "price": price,
        "trigger_price": 0,
    }


def calls(bench: Bench) -> list[str]:
    """Two calls of one underlying and expiry, the lower strike first."""
    rows = [row for row in bench.exchange.market.listings.by_key.values() if row.instrument_type == "CE"]
    same = [row for row in rows if row.name == rows[0].name and row.expiry == rows[0].expiry]
    low, high, *_ = sorted(same, key=lambda row: row.strike)
    return [low.tradingsymbol, high.tradingsymbol]


async def test_a_spread_needs_less_than_its_legs(bench: Bench) -> None:
    low, high = calls(bench)
    size = lot(bench, low)
    strikes = [bench.exchange.market.listings.by_key[f"NFO:{symbol}"].strike for symbol in (low, high)]
    found = await basket(bench, item(high, "BUY", size, 10), item(low, "SELL", size, 40))
    initial, final = found["initial"], found["final"]
    assert (initial["option_premium"], final["option_premium"]) == (-30 * size, -30 * size)
    assert initial["span"] == pytest.approx(float(strikes[0]) * size * 0.09)
    # no more can be lost than the strikes are apart
    assert final["span"] == pytest.approx(min(float(strikes[1] - strikes[0]) * size, initial["span"]))
    assert final["exposure"] == initial["exposure"]
    assert final["total"] < initial["total"]
    assert [row["tradingsymbol"] for row in found["orders"]] == [high, low]


async def test_the_money_is_asked_for_as_the_calculator_says(bench: Bench) -> None:
    low, high = calls(bench)
    size = lot(bench, low)
    for symbol in (low, high):
        last = bench.last(f"NFO:{symbol}")
        bench.depth(f"NFO:{symbol}", [(last, 10 * size, 1)], [(last, 10 * size, 1)])
    prices = {symbol: bench.last(f"NFO:{symbol}") / 100 for symbol in (low, high)}
    order = {"exchange": "NFO", "product": "NRML", "order_type": "LIMIT", "quantity": size}
    await bench.place(tradingsymbol=high, **order, price=prices[high])
    before = (await bench.get("/user/margins"))["equity"]["net"]
    written = item(low, "SELL", size, prices[low])
    alone = (await basket(bench, written))["final"]["total"]
    beside = (await basket(bench, written, consider_positions="True"))["final"]["total"]
    assert beside < alone
    bench.exchange.ledger.account.cash -= int((before - beside) * 100)  # exactly enough, and not for it alone
    await bench.place(tradingsymbol=low, transaction_type="SELL", **order, price=prices[low])
    assert (await bench.get("/user/margins"))["equity"]["utilised"]["span"] == (
        (await basket(bench, written, item(high, "BUY", size, prices[high])))["final"]["span"]
    )


async def test_closing_needs_nothing_when_positions_are_considered(bench: Bench) -> None:
    last = bench.last("NSE:INFY")
    bench.depth("NSE:INFY", [], [(last, 1000, 1)])
    await bench.place(quantity=10)
    out = item("INFY", "SELL", 10, 1120, "MIS")
    assert (await basket(bench, out))["final"]["total"] == 2240
    assert (await basket(bench, out, consider_positions="true"))["final"]["total"] == 0
    turn = item("INFY", "SELL", 25, 1120, "MIS")
    assert (await basket(bench, turn, consider_positions="true"))["final"]["total"] == 15 * 1120 / 5


async def test_futures_both_ways_cover_each_other(bench: Bench) -> None:
    symbol = contract(bench, "NIFTY", "FUT")
    size = lot(bench, symbol)
    found = await basket(bench, item(symbol, "BUY", size, 24000), item(symbol, "SELL", size, 24000, "MIS"))
    assert found["initial"]["span"] == pytest.approx(2 * 2400 * size)
    assert found["final"]["span"] == pytest.approx(2400 * size)


async def test_in_short_only_totals_are_told(bench: Bench) -> None:
    order = item("INFY", "BUY", 10, 1100, "CNC")
    answer = await bench.http.post("/margins/orders", json=[order], params={"mode": "compact"})
    short = {"type": "equity", "tradingsymbol": "INFY", "exchange": "NSE", "total": 11000}
    assert answer.json()["data"] == [short]
    found = await basket(bench, order, mode="compact")
    assert found["orders"] == [short]
    assert found["final"] == {"type": "", "tradingsymbol": "", "exchange": "", "total": 11000}
