"""Alerts that the broker keeps (A10)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.simulator.conftest import Bench, Make

INFY = "NSE:INFY"


@pytest.fixture
async def bench(make: Make) -> Bench:
    made = await make()
    made.price(INFY, 1120_00)
    return made


def form(**changed: str) -> dict[str, str]:
    asked = {
        "name": "Infosys is dear",
        "type": "simple",
        "lhs_exchange": "NSE",
        "lhs_tradingsymbol": "INFY",
        "lhs_attribute": "LastTradedPrice",
        "operator": ">=",
        "rhs_type": "constant",
        "rhs_constant": "1130",
    }
    return {**asked, **changed}


async def created(bench: Bench, **changed: str) -> dict[str, Any]:
    answer = await bench.http.post("/alerts", data=form(**changed))
    assert answer.status_code == 200, answer.text
    alert: dict[str, Any] = answer.json()["data"]
    return alert


async def test_a_simple_alert_counts_every_time_the_price_comes_there(bench: Bench) -> None:
    alert = await created(bench)
    assert (alert["status"], alert["alert_count"], alert["rhs_constant"], alert["rhs_type"]) == (
        "enabled",
        0,
        1130,
        "constant",
    )
    for paise in (1129_00, 1130_00, 1131_00, 1125_00, 1135_00):
        bench.price(INFY, paise)
    alert = await bench.get(f"/alerts/{alert['uuid']}")
    assert (alert["status"], alert["alert_count"]) == ("enabled", 2)
    first, second = await bench.get(f"/alerts/{alert['uuid']}/history")
    assert (first["condition"], first["type"], first["order_meta"]) == ("INFY >= 1130", "simple", None)
    assert [row["meta"][0]["last_price"] for row in (first, second)] == [1130, 1135]
    assert first["meta"][0]["tradingsymbol"] == "INFY"


@pytest.mark.parametrize(
    ("operator", "fires"), [("<=", 1129_00), (">=", 1131_00), ("<", 1129_95), (">", 1130_05), ("==", 1130_00)]
)
async def test_every_comparison(bench: Bench, operator: str, fires: int) -> None:
    bench.price(INFY, 1130_00 if operator in ("<", ">") else 1131_00 if operator == "<=" else 1129_00)
    alert = await created(bench, operator=operator)
    bench.price(INFY, bench.last(INFY))
    assert (await bench.get(f"/alerts/{alert['uuid']}"))["alert_count"] == 0
    bench.price(INFY, fires)
    assert (await bench.get(f"/alerts/{alert['uuid']}"))["alert_count"] == 1


async def test_an_index_against_an_instrument(bench: Bench) -> None:
    rhs = {"rhs_type": "instrument", "rhs_exchange": "INDICES", "rhs_tradingsymbol": "NIFTY 50"}
    alert = await created(bench, operator=">", **rhs, rhs_attribute="LastTradedPrice")
    index = "NSE:NIFTY 50"
    bench.price(INFY, 1121_00)
    bench.price(index, bench.last(index) + 100)
    assert (await bench.get(f"/alerts/{alert['uuid']}"))["alert_count"] == 0
    bench.price(index, 1100_00)
    (fired,) = await bench.get(f"/alerts/{alert['uuid']}/history")
    assert fired["condition"] == "INFY > NIFTY 50"
    assert [meta["exchange"] for meta in fired["meta"]] == ["NSE", "INDICES"]


def basket(**params: Any) -> str:
    order = {"transaction_type": "BUY", "product": "MIS", "order_type": "LIMIT", "quantity": 5, "price": 1110.0}
    zeros = {"trigger_price": 0, "disclosed_quantity": 0, "validity": "DAY", "validity_ttl": 0, "tags": [], "gtt": None}
    item = {"type": "insert", "tradingsymbol": "INFY", "exchange": "NSE", "weight": 0}
    item["params"] = {**order, **zeros, "variety": "regular", **params}
    return json.dumps({"name": "in", "type": "alert", "tags": [], "items": [item]})


async def test_an_ato_places_its_basket_once(bench: Bench) -> None:
    alert = await created(bench, type="ato", basket=basket())
    assert alert["basket"]["items"][0]["params"]["quantity"] == 5
    for paise in (1130_00, 1120_00, 1130_00):
        bench.price(INFY, paise)
    await bench.settle()
    (order,) = await bench.get("/orders")
    assert (order["quantity"], order["price"], order["transaction_type"]) == (5, 1110, "BUY")
    (fired,) = await bench.get(f"/alerts/{alert['uuid']}/history")
    assert fired["order_meta"][0]["order_id"] == order["order_id"]
    assert (await bench.get(f"/alerts/{alert['uuid']}"))["status"] == "disabled"


async def test_an_ato_tells_why_its_order_was_refused(bench: Bench) -> None:
    alert = await created(bench, type="ato", basket=basket(price=1.0))
    bench.price(INFY, 1130_00)
    (fired,) = await bench.get(f"/alerts/{alert['uuid']}/history")
    assert fired["order_meta"][0]["status"] == "failed"
    assert "lower circuit limit" in fired["order_meta"][0]["rejection_reason"]


async def test_changed_deleted_listed(bench: Bench) -> None:
    first, second = await created(bench), await created(bench, name="second")
    answer = await bench.http.put(f"/alerts/{first['uuid']}", data=form(rhs_constant="1125.5"))
    assert answer.json()["data"]["rhs_constant"] == 1125.5
    bench.price(INFY, 1126_00)
    assert (await bench.get(f"/alerts/{first['uuid']}"))["alert_count"] == 1
    assert [row["name"] for row in await bench.get("/alerts")] == ["second", "Infosys is dear"]
    assert [row["name"] for row in await bench.get("/alerts", page=2, page_size=1)] == ["Infosys is dear"]
    bench.faults("repeat-page:route=alerts")
    assert [row["name"] for row in await bench.get("/alerts", page=2, page_size=1)] == ["second"]
    query = [("uuid", first["uuid"]), ("uuid", second["uuid"])]
    gone = await bench.http.delete("/alerts", params=query)
    assert gone.json() == {"status": "success", "data": None}
    assert await bench.get("/alerts") == []
    assert len(await bench.get("/alerts", status="deleted")) == 2
    bench.price(INFY, 1140_00)
    assert (await bench.get(f"/alerts/{second['uuid']}"))["alert_count"] == 0


async def test_they_survive_the_death_of_the_exchange(make: Make, tmp_path: Path) -> None:
    first = await make(state=tmp_path)
    first.price(INFY, 1120_00)
    alert = await created(first)
    await make.end(first)
    second = await make(state=tmp_path)
    second.price(INFY, 1130_00)
    assert (await second.get(f"/alerts/{alert['uuid']}"))["alert_count"] == 1


REFUSED: list[tuple[dict[str, str], str]] = [
    ({"name": ""}, "Invalid `name`"),
    ({"type": "loud"}, "Invalid `type`"),
    ({"operator": "!="}, "Invalid `operator`"),
    ({"lhs_attribute": "Volume"}, "Invalid `lhs_attribute`"),
    ({"lhs_tradingsymbol": "NIFTY 50"}, "NSE:NIFTY 50 does not exist"),
    ({"rhs_constant": ""}, "Invalid `rhs_constant`"),
    ({"rhs_constant": "True"}, "failed to decode rhs_constant"),
    ({"rhs_type": "instrument"}, "Invalid `rhs_attribute`"),
    ({"type": "ato"}, "Invalid `basket`: JSON"),
    ({"type": "ato", "basket": "{}"}, "items are expected"),
    ({"type": "ato", "basket": basket(order_type="GUESS")}, "Invalid `order_type`"),
    ({"type": "ato", "basket": basket(gtt={"target": 5, "stoploss": 2})}, "not available"),
]


async def test_what_is_refused(bench: Bench) -> None:
    for changed, words in REFUSED:
        answer = await bench.http.post("/alerts", data=form(**changed))
        assert answer.status_code == 400, answer.text
        assert words in answer.json()["message"]
        assert await bench.get("/alerts") == []


async def test_an_unknown_one(bench: Bench) -> None:
    answer = await bench.http.get("/alerts/nothing")
    assert (answer.status_code, answer.json()["message"]) == (404, "Alert not found.")
