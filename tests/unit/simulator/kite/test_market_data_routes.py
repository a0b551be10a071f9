from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from app.simulator.clock import IST
from app.simulator.hours import is_open
from tests.unit.simulator.conftest import Bench, Make, contract, lot

INFY = "NSE:INFY"


@pytest.fixture
async def bench(make: Make) -> Bench:
    return await make()


async def test_unknown_keys_are_silently_missing(bench: Bench) -> None:
    keys = [INFY, "NSE:NOSUCH", "INFY", "NSE:NIFTY 50"]
    for path in ("/quote", "/quote/ohlc", "/quote/ltp"):
        assert set(await bench.get(path, i=keys)) == {INFY, "NSE:NIFTY 50"}
    assert await bench.get("/quote/ltp") == {}


@pytest.mark.parametrize(("path", "most"), [("/quote", 500), ("/quote/ohlc", 1000), ("/quote/ltp", 1000)])
async def test_too_many_keys_are_refused(bench: Bench, path: str, most: int) -> None:
    assert (await bench.http.get(path, params={"i": ["NSE:X"] * most})).status_code == 200
    answer = await bench.http.get(path, params={"i": ["NSE:X"] * (most + 1)})
    assert (answer.status_code, answer.json()["error_type"]) == (400, "InputException")


async def test_a_printed_price_is_in_every_answer(bench: Bench) -> None:
    await bench.http.put("/simulator/market", json={INFY: 1123.4})
    quote = (await bench.get("/quote", i=INFY))[INFY]
    assert quote["last_price"] == 1123.4
    assert quote["net_change"] == pytest.approx(1123.4 - quote["ohlc"]["close"])
    assert quote["last_trade_time"] == "2026-11-20 10:00:00"
    assert [len(quote["depth"][side]) for side in ("buy", "sell")] == [5, 5]


HISTORY = "/instruments/historical/408065"


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        (f"{HISTORY}/minute", {"from": "2026-09-01", "to": "2026-11-20"}, "interval exceeds max limit: 60 days"),
        (f"{HISTORY}/day", {"from": "2020-01-01", "to": "2026-11-20"}, "interval exceeds max limit: 2000 days"),
        (f"{HISTORY}/fortnight", {"from": "2026-11-20", "to": "2026-11-20"}, "invalid interval"),
        ("/instruments/historical/1/minute", {"from": "2026-11-20", "to": "2026-11-20"}, "invalid token"),
        ("/instruments/historical/x/minute", {"from": "2026-11-20", "to": "2026-11-20"}, "invalid token"),
        (f"{HISTORY}/minute", {"from": "today", "to": "2026-11-20"}, "Invalid `from` date"),
        (f"{HISTORY}/minute", {"from": "2026-11-20"}, "Invalid `to` date"),
        (f"{HISTORY}/minute", {"from": "2026-11-20", "to": "2026-11-19"}, "lies after `to`"),
        (f"{HISTORY}/minute", {"from": "2026-11-20", "to": "2026-11-20", "continuous": "1"}, "continuous"),
    ],
)
async def test_history_refuses_in_words(bench: Bench, path: str, query: dict[str, str], words: str) -> None:
    answer = await bench.http.get(path, params=query)
    assert (answer.status_code, answer.json()["error_type"]) == (400, "InputException")
    assert words in answer.json()["message"]


async def test_history_with_open_interest(bench: Bench) -> None:
    query = {"from": "2026-11-20 09:15:00", "to": "2026-11-20 09:17:00"}
    assert {len(row) for row in (await bench.get(f"{HISTORY}/minute", **query))["candles"]} == {6}
    assert {len(row) for row in (await bench.get(f"{HISTORY}/minute", **query, oi="1"))["candles"]} == {7}


@pytest.mark.parametrize(("switch", "status"), [("instruments_auth=open", 200), ("instruments_auth=required", 403)])
async def test_the_dump_without_a_session_both_ways(bench: Bench, switch: str, status: int) -> None:
    bench.faults(switch)
    del bench.http.headers["Authorization"]
    answer = await bench.http.get("/instruments/NSE")
    assert answer.status_code == status
    assert (await bench.http.get("/quote/ltp", params={"i": INFY})).status_code == 403


async def test_an_exchange_that_does_not_exist(bench: Bench) -> None:
    assert (await bench.http.get("/instruments/XYZ")).status_code == 400
    assert len((await bench.http.get("/instruments/CDS")).text.splitlines()) == 1


@pytest.mark.parametrize(
    ("switch", "shown"), [("market_row=LIMIT", ("LIMIT", True)), ("market_row=MARKET", ("MARKET", False))]
)
async def test_how_a_market_order_reads_both_ways(bench: Bench, switch: str, shown: tuple[str, bool]) -> None:
    bench.faults(switch)
    row = await bench.order(await bench.place(quantity=1))
    assert (row["order_type"], row["price"] > 0) == shown
    assert row["market_protection"] == (0 if shown[1] else -1)


async def test_the_margin_calculators(bench: Bench) -> None:
    symbol = contract(bench, "NIFTY", "CE")
    item: dict[str, Any] = {
        "exchange": "NFO",
        "tradingsymbol": symbol,
        "transaction_type": "SELL",
        "variety": "regular",
        "product": "NRML",
        "order_type": "LIMIT",
        "quantity": lot(bench, symbol),
        "price": 100,
    }
    answer = await bench.http.post("/margins/orders", json=[item])
    (row,) = answer.json()["data"]
    assert row["option_premium"] == -6500
    assert row["total"] == row["span"] + row["exposure"] > 100_000
    bought = (await bench.http.post("/margins/orders", json=[{**item, "transaction_type": "BUY"}])).json()["data"][0]
    assert (bought["total"], bought["span"]) == (6500, 0)
    wrong: list[Any] = [[], {}, "x", [{**item, "quantity": 0}], [{**item, "tradingsymbol": "NOSUCH"}]]
    for bad in [*wrong, [{**item, "price": "x"}]]:
        refused = await bench.http.post("/margins/orders", json=bad)
        assert (refused.status_code, refused.json()["error_type"]) == (400, "InputException")
    note = await bench.http.post("/charges/orders", json=[{**item, "order_id": "1", "average_price": 0}])
    assert "average_price" in note.json()["message"]


@pytest.mark.parametrize(
    ("key", "moment", "opened"),
    [
        (INFY, "2026-11-20T09:14:59", False),
        (INFY, "2026-11-20T09:15:00", True),
        (INFY, "2026-11-20T15:29:59", True),
        (INFY, "2026-11-20T15:30:00", False),
        ("NFO", "2026-11-20T15:39:59", True),
        ("NFO", "2026-11-20T15:40:00", False),
        ("NFO", "2026-07-31T15:30:00", False),
        (INFY, "2026-11-21T11:00:00", False),
    ],
)
async def test_when_orders_are_taken(bench: Bench, key: str, moment: str, opened: bool) -> None:
    name = key if key == INFY else f"NFO:{contract(bench, 'NIFTY', 'FUT')}"
    listing = bench.exchange.market.listings.by_key[name]
    assert is_open(listing, datetime.fromisoformat(moment).replace(tzinfo=IST)) is opened


async def test_a_closed_market_takes_no_orders(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.exchange.market.feed, "always_open", False)
    await bench.http.put("/simulator/clock", json={"now": "2026-11-20T16:00:00"})
    status, kind, message = await bench.refused()
    assert (status, kind) == (400, "OrderException")
    assert "closed" in message
