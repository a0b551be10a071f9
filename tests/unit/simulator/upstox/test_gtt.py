from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.unit.simulator.conftest import MORNING
from tests.unit.simulator.upstox.conftest import INFY, MakeUpstox, UpstoxBench

KEY = "NSE:INFY"


def entry(**changed: Any) -> dict[str, Any]:
    return {"strategy": "ENTRY", "trigger_type": "ABOVE", "trigger_price": 1200, **changed}


def leg(strategy: str, price: float, **changed: Any) -> dict[str, Any]:
    return {"strategy": strategy, "trigger_type": "IMMEDIATE", "trigger_price": price, **changed}


def body(*rules: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "type": "SINGLE" if len(rules) == 1 else "MULTIPLE",
        "quantity": 5,
        "product": "I",
        "instrument_token": INFY,
        "transaction_type": "BUY",
        "rules": list(rules),
        **changed,
    }


async def place(bench: UpstoxBench, *rules: dict[str, Any], **changed: Any) -> str:
    answer = await bench.http.post("/v3/order/gtt/place", json=body(*rules, **changed))
    assert answer.status_code == 200, answer.text
    assert "latency" in answer.json()["metadata"]
    (gtt_id,) = answer.json()["data"]["gtt_order_ids"]
    await bench.settle()
    return str(gtt_id)


async def statuses(bench: UpstoxBench, gtt_id: str) -> dict[str, str]:
    (row,) = await bench.get("/v3/order/gtt", gtt_order_id=gtt_id)
    return {rule["strategy"]: rule["status"] for rule in row["rules"]}


async def move(bench: UpstoxBench, rupees: float) -> None:
    bench.price(KEY, round(rupees * 100))
    await bench.settle()


@pytest.fixture
async def bench(upstox: UpstoxBench) -> UpstoxBench:
    await move(upstox, 1100)
    return upstox


async def test_a_single_one_fires_once_its_price_is_reached(bench: UpstoxBench) -> None:
    gtt_id = await place(bench, entry())
    (row,) = await bench.get("/v3/order/gtt")
    assert (row["gtt_order_id"], row["exchange"], row["rules"][0]["status"]) == (gtt_id, "NSE_EQ", "PENDING")
    assert row["created_at"] == int(MORNING.timestamp() * 1_000_000), "microseconds"
    await move(bench, 1199.9)
    assert await bench.get("/v2/order/retrieve-all") == []
    await move(bench, 1200)
    (rule,) = (await bench.get("/v3/order/gtt", gtt_order_id=gtt_id))[0]["rules"]
    assert rule["status"] == "COMPLETED"
    order = await bench.order(rule["order_id"])
    assert (order["quantity"], order["order_type"], order["price"]) == (5, "LIMIT", 1200.0)
    await move(bench, 1201)
    assert len(await bench.get("/v2/order/retrieve-all")) == 1


@pytest.mark.parametrize(("price", "fires", "rests"), [(1120, "TARGET", "STOPLOSS"), (1080, "STOPLOSS", "TARGET")])
async def test_exits_wake_with_the_entrys_fill_and_one_cancels_the_other(
    bench: UpstoxBench, price: float, fires: str, rests: str
) -> None:
    rules = (
        entry(trigger_type="IMMEDIATE", trigger_price=1100, market_protection=5),
        leg("TARGET", 1120, market_protection=5),
        leg("STOPLOSS", 1080, market_protection=5),
    )
    gtt_id = await place(bench, *rules)
    assert await statuses(bench, gtt_id) == {"ENTRY": "COMPLETED", "TARGET": "OPEN", "STOPLOSS": "OPEN"}
    await move(bench, price)
    assert await statuses(bench, gtt_id) == {"ENTRY": "COMPLETED", fires: "COMPLETED", rests: "CANCELLED"}
    (position,) = await bench.get("/v2/portfolio/short-term-positions")
    assert position["quantity"] == 0


async def test_a_trailing_stop_follows_the_price_up_and_not_down(bench: UpstoxBench) -> None:
    rules = (
        entry(trigger_type="IMMEDIATE", trigger_price=1100, market_protection=5),
        leg("STOPLOSS", 1090, trailing_gap=10),
    )
    gtt_id = await place(bench, *rules)
    for price in (1110, 1125, 1118):
        await move(bench, price)
    (row,) = await bench.get("/v3/order/gtt", gtt_order_id=gtt_id)
    assert (row["rules"][1]["trigger_price"], row["rules"][1]["trailing_gap"]) == (1115.0, 10.0)
    await move(bench, 1115)
    assert (await statuses(bench, gtt_id))["STOPLOSS"] == "COMPLETED"


async def test_an_entry_that_is_refused_takes_its_exits_along(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox(cash=100_00)
    await move(bench, 1100)
    gtt_id = await place(bench, entry(trigger_type="IMMEDIATE", trigger_price=1100), leg("TARGET", 1120))
    assert await statuses(bench, gtt_id) == {"ENTRY": "FAILED", "TARGET": "CANCELLED"}


async def test_changed_and_cancelled_while_it_waits(bench: UpstoxBench) -> None:
    gtt_id = await place(bench, entry())
    change = {"gtt_order_id": gtt_id, "type": "SINGLE", "quantity": 7, "rules": [entry(trigger_price=1150)]}
    assert (await bench.http.put("/v3/order/gtt/modify", json=change)).status_code == 200
    (row,) = await bench.get("/v3/order/gtt", gtt_order_id=gtt_id)
    assert (row["quantity"], row["rules"][0]["trigger_price"]) == (7, 1150.0)
    cancel = {"gtt_order_id": gtt_id}
    answer = await bench.http.request("DELETE", "/v3/order/gtt/cancel", json=cancel)
    assert answer.json()["data"]["gtt_order_ids"] == [gtt_id]
    await move(bench, 1200)
    assert await bench.get("/v2/order/retrieve-all") == []
    assert await bench.refused("DELETE", "/v3/order/gtt/cancel", json=cancel) == (400, "UDAPI1144")
    assert await bench.refused("GET", "/v3/order/gtt", params={"gtt_order_id": "GTT-X"}) == (404, "UDAPI1145")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (body(entry(), quantity=0), "UDAPI1052"),
        (body(entry(), type="TRIPLE"), "UDAPI1126"),
        (body(entry(), type="MULTIPLE"), "UDAPI1127"),
        (body(leg("TARGET", 1120), type="SINGLE"), "UDAPI1128"),
        (body(entry(), leg("TARGET", 1120), leg("TARGET", 1130)), "UDAPI1129"),
        (body(entry(strategy="EXIT")), "UDAPI1130"),
        (body(entry(trigger_type="NEAR")), "UDAPI1131"),
        (body(entry(), leg("TARGET", 1120, trigger_type="ABOVE")), "UDAPI1132"),
        (body(entry(trigger_price=0)), "UDAPI1133"),
        (body(entry(), leg("TARGET", 1120, trailing_gap=5)), "UDAPI1134"),
    ],
)
async def test_what_is_wrong_with_a_trigger(upstox: UpstoxBench, document: dict[str, Any], code: str) -> None:
    assert await upstox.refused("POST", "/v3/order/gtt/place", json=document) == (400, code)
    assert await upstox.get("/v3/order/gtt") == []


async def test_triggers_survive_and_expire_after_a_year(make_upstox: MakeUpstox, tmp_path: Path) -> None:
    bench = await make_upstox(state=tmp_path)
    await move(bench, 1100)
    gtt_id = await place(bench, entry())
    await make_upstox.end(bench)
    again = await make_upstox(state=tmp_path)
    assert await statuses(again, gtt_id) == {"ENTRY": "PENDING"}
    await again.clock(MORNING + timedelta(days=366))
    await again.login()
    assert await statuses(again, gtt_id) == {"ENTRY": "EXPIRED"}


async def test_the_stream_tells_of_triggers(bench: UpstoxBench) -> None:
    path = "/v2/feed/portfolio-stream-feed/authorize"
    url = (await bench.get(path, update_types="gtt_order"))["authorized_redirect_uri"]
    async with connect(url, proxy=None) as line:
        gtt_id = await place(bench, entry())
        told = json.loads(await asyncio.wait_for(line.recv(), 10))
    assert (told["update_type"], told["gtt_order_id"]) == ("gtt_order", gtt_id)
