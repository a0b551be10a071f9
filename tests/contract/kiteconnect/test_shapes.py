"""Answers have the keys and JSON types of the broker's own published samples."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.paper_exchange import PaperExchange
from tests.shared_data import shared_data

ORDER = {
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": "5",
    "product": "CNC",
    "order_type": "LIMIT",
    "price": "1050.00",
}


def sample(name: str) -> Any:
    return json.loads(shared_data("kite", name).read_text())


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def differences(ours: Any, theirs: Any, where: str = "$") -> Iterator[str]:
    """Where the shape of our JSON is not the sample's. null goes with every type (the documents say `or null`)."""
    if ours is None or theirs is None:
        return
    if kind(ours) != kind(theirs):
        yield f"{where}: {kind(ours)} instead of {kind(theirs)}"
    elif isinstance(theirs, dict):
        if set(ours) != set(theirs):
            yield f"{where}: extra {sorted(set(ours) - set(theirs))}, missing {sorted(set(theirs) - set(ours))}"
        for key in set(ours) & set(theirs):
            yield from differences(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, list) and theirs:
        if not ours:
            yield f"{where}: nothing to compare"
        for index, item in enumerate(ours):
            yield from differences(item, theirs[min(index, len(theirs) - 1)], f"{where}[{index}]")


def test_the_comparison_finds_what_is_wrong() -> None:
    assert list(differences({"a": 1}, {"a": "x"})) == ["$.a: number instead of str"]
    assert list(differences({"b": 1}, {"a": 1})) == ["$: extra ['b'], missing ['a']"]
    assert list(differences([], [1])) == ["$: nothing to compare"]
    assert list(differences({"a": True}, {"a": 1})) == ["$.a: boolean instead of number"]
    assert list(differences({"a": [1.5, 2]}, {"a": [1]})) == []


@pytest.fixture(scope="module")
def http(exchange: PaperExchange) -> Iterator[httpx.Client]:
    with exchange.client() as client:
        yield client


def filled(http: httpx.Client) -> str:
    form = {**ORDER, "order_type": "MARKET", "market_protection": "-1", "price": ""}
    order_id: str = http.post("/orders/regular", data=form).json()["data"]["order_id"]
    for _ in range(2000):
        if http.get(f"/orders/{order_id}").json()["data"][-1]["status"] == "COMPLETE":
            return order_id
    pytest.fail("not filled")


def resting(http: httpx.Client) -> str:
    order_id: str = http.post("/orders/regular", data=ORDER).json()["data"]["order_id"]
    for _ in range(2000):
        if http.get(f"/orders/{order_id}").json()["data"][-1]["status"] == "OPEN":
            return order_id
    pytest.fail("not open")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("profile.json", "/user/profile"),
        ("margins.json", "/user/margins"),
        ("holdings.json", "/portfolio/holdings"),
        ("quote.json", "/quote?i=NSE:INFY"),
        ("ohlc.json", "/quote/ohlc?i=NSE:INFY"),
        ("ltp.json", "/quote/ltp?i=NSE:INFY"),
        (
            "historical_minute.json",
            "/instruments/historical/408065/minute?from=2026-11-20 09:15:00&to=2026-11-20 09:20:00",
        ),
    ],
)
def test_reads(http: httpx.Client, name: str, path: str) -> None:
    assert list(differences(http.get(path).json(), sample(name))) == []


def test_candles_print_as_in_the_sample(http: httpx.Client) -> None:
    path = "/instruments/historical/408065/minute?from=2026-11-20 09:15:00&to=2026-11-20 09:20:00"
    rows = http.get(path).json()["data"]["candles"]
    assert [row[0] for row in rows] == [f"2026-11-20T09:{minute}:00+0530" for minute in range(15, 21)]


def test_session(exchange: PaperExchange) -> None:
    line, token = exchange.line, exchange.request_token()
    checksum = hashlib.sha256(f"{line['api_key']}{token}{line['api_secret']}".encode()).hexdigest()
    form = {"api_key": line["api_key"], "request_token": token, "checksum": checksum}
    with exchange.client(logged_in=False) as http:
        opened = http.post("/session/token", data=form).json()
        query = {"api_key": line["api_key"], "access_token": opened["data"]["access_token"]}
        closed = http.delete("/session/token", params=query).json()
    assert list(differences(opened, sample("generate_session.json"))) == []
    assert closed == sample("session_logout.json")


def test_orders(http: httpx.Client) -> None:
    placed = http.post("/orders/regular", data=ORDER)
    assert list(differences(placed.json(), sample("order_response.json"))) == []
    order_id = resting(http)
    modified = http.put(f"/orders/regular/{order_id}", data={"price": "1051.00"})
    assert list(differences(modified.json(), sample("order_modify.json"))) == []
    rows: dict[str, Any] = {}
    for _ in range(2000):
        rows = http.get(f"/orders/{order_id}").json()
        if len(rows["data"]) == len(sample("order_info.json")["data"]):
            break
    assert list(differences(rows, sample("order_info.json"))) == []
    statuses = [row["status"] for row in rows["data"]]
    assert statuses == [row["status"] for row in sample("order_info.json")["data"]]
    cancelled = http.delete(f"/orders/regular/{order_id}")
    assert list(differences(cancelled.json(), sample("order_cancel.json"))) == []


def test_trades(http: httpx.Client) -> None:
    filled(http)
    assert list(differences(http.get("/trades").json(), sample("trades.json"))) == []


def test_triggers(exchange: PaperExchange, http: httpx.Client) -> None:
    symbol = {"exchange": "NSE", "tradingsymbol": "RELIANCE"}
    last = http.get("/quote/ltp?i=NSE:RELIANCE").json()["data"]["NSE:RELIANCE"]["last_price"]
    tick = round(last * 1.01, 0)
    order = {**symbol, "transaction_type": "SELL", "quantity": 1, "order_type": "LIMIT", "product": "CNC", "price": 1}

    def place(*triggers: float) -> Any:
        condition = {**symbol, "trigger_values": triggers, "last_price": last}
        kind = "two-leg" if len(triggers) > 1 else "single"
        orders = [order] * len(triggers)
        form = {"type": kind, "condition": json.dumps(condition), "orders": json.dumps(orders)}
        return http.post("/gtt/triggers", data=form).json()

    fired = place(last - 20, tick)
    assert list(differences(fired, sample("gtt_place_order.json"))) == []
    exchange.print_price("NSE:RELIANCE", tick)
    one = http.get(f"/gtt/triggers/{fired['data']['trigger_id']}").json()
    assert list(differences(one, sample("gtt_get_order.json"))) == []
    place(last - 20)
    assert list(differences(http.get("/gtt/triggers").json(), sample("gtt_get_orders.json"))) == []


def test_contract_note(http: httpx.Client) -> None:
    theirs = sample("virtual_contract_note.json")
    future = next(row for row in instruments(http, "NFO") if row["instrument_type"] == "FUT")
    items = [
        {**row, "order_id": "1", "average_price": row["price"]} for row in theirs["data"] if row["exchange"] == "NSE"
    ]
    items.append({**items[0], "exchange": "NFO", "tradingsymbol": future["tradingsymbol"], "product": "NRML"})
    for item in items:
        del item["charges"]
    ours = http.post("/charges/orders", json=items).json()
    assert list(differences(ours, theirs)) == []


def instruments(http: httpx.Client, exchange: str) -> list[dict[str, str]]:
    answer = http.get(f"/instruments/{exchange}")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_the_instrument_dump(http: httpx.Client) -> None:
    theirs = list(csv.DictReader(io.StringIO(shared_data("kite", "instruments_nse.csv").read_text().lstrip())))
    ours = instruments(http, "NSE")
    assert list(ours[0]) == list(theirs[0])
    assert all(float(row["tick_size"]) < 100 for row in ours)


def test_errors_are_enveloped(http: httpx.Client) -> None:
    answer = http.post("/orders/regular", data={**ORDER, "price": "1050.01"})
    assert answer.status_code == 400
    assert set(answer.json()) == {"status", "message", "error_type", "data"}
