"""What happens at the broker between two reads, and answers that are hard to read."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.simulator.faults import Faults
from tests.unit.simulator.conftest import Bench, Make, contract, lot

INFY = "NSE:INFY"


async def held(bench: Bench) -> int:
    rows = (await bench.get("/portfolio/positions"))["net"]
    return sum(row["quantity"] for row in rows)


async def traded(bench: Bench) -> int:
    return sum(row["quantity"] for row in await bench.get("/trades"))


@pytest.mark.parametrize(
    ("fault", "trades"), [("fill-after=5:route=trades,instrument=NSE:INFY", 0), ("fill-before=5:route=trades", 5)]
)
async def test_a_fill_arrives_while_a_sync_reads(bench: Bench, fault: str, trades: int) -> None:
    bench.faults(fault)
    assert await traded(bench) == trades
    assert await held(bench) == 5
    assert await traded(bench) == 5


async def test_another_terminal_can_sell(bench: Bench) -> None:
    bench.faults("fill-after=-3:route=orders")
    assert await bench.get("/orders") == []
    assert await held(bench) == -3


async def test_the_session_dies_between_two_reads(bench: Bench) -> None:
    bench.faults("end-session:route=positions")
    assert await traded(bench) == 0
    answer = await bench.http.get("/portfolio/positions")
    assert (answer.status_code, answer.json()["error_type"]) == (403, "TokenException")
    await bench.login()
    assert await held(bench) == 0


async def test_a_fill_is_taken_back_after_it_was_reported(make: Make, tmp_path: Any) -> None:
    bench = await make(state=tmp_path)
    bench.depth(INFY, [], [(bench.last(INFY), 1000, 1)])
    first, second = await bench.place(quantity=4), await bench.place(quantity=6)
    bench.faults("withdraw:route=trades,nth=2")
    assert await traded(bench) == 10
    assert await traded(bench) == 4
    assert await held(bench) == 4
    row = await bench.order(second)
    assert (row["status"], row["filled_quantity"], row["average_price"]) == ("CANCELLED", 0, 0)
    assert (await bench.order(first))["status"] == "COMPLETE"
    third = await bench.place(quantity=1)
    await make.end(bench)
    again = await make(state=tmp_path)
    assert [row["order_id"] for row in await again.get("/trades")] == [first, third]
    assert await held(again) == 5


async def test_by_its_own_door_too(bench: Bench) -> None:
    bought = {"instrument": INFY, "quantity": 7, "product": "CNC"}
    assert (await bench.http.put("/simulator/trade", json=bought)).status_code == 200
    (trade,) = await bench.get("/trades")
    assert (trade["quantity"], trade["product"], trade["transaction_type"]) == (7, "CNC", "BUY")
    query = {"exchange": "NSE", "trade_id": trade["trade_id"]}
    assert (await bench.http.delete("/simulator/trade", params=query)).status_code == 200
    assert await bench.get("/trades") == []
    gone = await bench.http.delete("/simulator/trade", params=query)
    assert gone.json()["message"] == f"There is no trade {trade['trade_id']} on NSE."


async def test_trade_ids_repeat_between_exchanges_and_days(bench: Bench) -> None:
    symbol = contract(bench, "NIFTY", "FUT")
    for key, quantity in ((INFY, 1), (f"NFO:{symbol}", lot(bench, symbol))):
        await bench.http.put("/simulator/trade", json={"instrument": key, "quantity": quantity})
    first, second = await bench.get("/trades")
    assert first["trade_id"] == second["trade_id"]
    assert first["exchange"] != second["exchange"]
    await bench.http.put("/simulator/clock", json={"now": "2026-11-23T10:00:00"})
    await bench.login()
    await bench.http.put("/simulator/trade", json={"instrument": INFY, "quantity": 1})
    (third,) = await bench.get("/trades")
    assert third["trade_id"] == first["trade_id"]


@pytest.mark.parametrize("matched", ["on", "off"])
async def test_a_client_that_meets_itself(make: Make, matched: str) -> None:
    bench = await make(f"self_match={matched}")
    bench.price(INFY, 1120_00)
    bench.depth(INFY, [(1110_00, 100, 1)], [(1130_00, 100, 1)])
    resting = await bench.place(order_type="LIMIT", price="1120.00", quantity=10)
    arriving = await bench.place(order_type="LIMIT", price="1119.00", quantity=10, transaction_type="SELL")
    trades = await bench.get("/trades")
    if matched == "off":
        assert trades == []
        return
    assert [(t["order_id"], t["average_price"], t["transaction_type"]) for t in trades] == [
        (resting, 1120, "BUY"),
        (arriving, 1120, "SELL"),
    ]
    assert trades[0]["trade_id"] == trades[1]["trade_id"]
    assert await held(bench) == 0


# -- answers


async def test_every_status_with_and_without_a_hint(bench: Bench) -> None:
    for code in (400, 401, 403, 404, 408, 428, 429, 500, 502, 503, 504):
        for hint in ("", "7"):
            more = f",retry-after={hint}" if hint else ""
            bench.faults(f"status={code}:route=trades,kind=NetworkException{more}")
            answer = await bench.http.get("/trades")
            assert (answer.status_code, answer.json()["error_type"]) == (code, "NetworkException")
            assert answer.headers.get("retry-after", "") == hint
            assert (await bench.http.get("/trades")).status_code == 200


@pytest.mark.parametrize("code", [403, 502])
async def test_a_page_where_json_belongs(bench: Bench, code: int) -> None:
    bench.faults(f"html={code}:route=trades")
    answer = await bench.http.get("/trades")
    assert (answer.status_code, answer.headers["content-type"]) == (code, "text/html; charset=utf-8")
    assert str(code) in answer.text


async def test_a_body_that_does_not_end(bench: Bench) -> None:
    bench.faults("oversized=3:route=trades")
    async with bench.http.stream("GET", "/trades") as answer:
        assert "content-length" not in answer.headers
        assert sum([len(part) async for part in answer.aiter_bytes()]) > 3 * 1024 * 1024


async def test_a_client_may_leave_in_the_middle_of_it(bench: Bench) -> None:
    bench.faults("oversized=64:route=trades", "slow=5:route=orders")
    async with bench.http.stream("GET", "/trades") as answer:
        async for _ in answer.aiter_bytes():
            break
    bench.http.timeout = httpx.Timeout(0.2)
    with pytest.raises(httpx.ReadTimeout):
        await bench.http.get("/orders")
    bench.http.timeout = httpx.Timeout(10.0)
    assert (await bench.http.get("/orders")).status_code == 200


async def test_a_body_that_comes_byte_by_byte(bench: Bench) -> None:
    bench.faults("slow=0.001:route=trades")
    sizes: list[int] = []
    async with bench.http.stream("GET", "/trades") as answer:
        sizes.extend([len(part) async for part in answer.aiter_raw()])
    assert sum(sizes) == int(answer.headers["content-length"])
    assert len(sizes) > 5


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("status=200", "status needs a code from 400 to 599, not 200"),
        ("html=99", "html needs a code from 400 to 599"),
        ("fill-after=x", "fill-after needs a number"),
        ("slow", "slow needs a number"),
    ],
)
def test_a_wrong_spec_is_named(spec: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Faults([spec])
