"""Orders that wait at the broker for their price (A9)."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.simulator.clock import IST
from app.simulator.exchange import Opening
from tests.unit.simulator.conftest import Bench, Make, contract, lot

INFY = "NSE:INFY"
TEN = (Opening(INFY, 10, "CNC", 1000_00),)


@pytest.fixture
async def bench(make: Make) -> Bench:
    made = await make(openings=TEN)
    made.price(INFY, 1120_00)
    return made


def form(
    *triggers: float, prices: tuple[float, ...] = (), key: str = INFY, last: float = 1120.0, **changed: Any
) -> dict[str, str]:
    exchange, _, symbol = key.partition(":")
    order = {
        "exchange": exchange,
        "tradingsymbol": symbol,
        "transaction_type": "SELL",
        "quantity": 10,
        "order_type": "LIMIT",
        "product": "CNC",
    }
    condition = {"exchange": exchange, "tradingsymbol": symbol, "trigger_values": list(triggers), "last_price": last}
    orders = [{**order, "price": price, **changed} for price in prices or triggers]
    return {
        "type": "single" if len(triggers) == 1 else "two-leg",
        "condition": json.dumps(condition),
        "orders": json.dumps(orders),
    }


async def placed(bench: Bench, sent: dict[str, str]) -> int:
    answer = await bench.http.post("/gtt/triggers", data=sent)
    assert answer.status_code == 200, answer.text
    gtt_id: int = answer.json()["data"]["trigger_id"]
    return gtt_id


def words(answer: httpx.Response) -> str:
    body = answer.json()
    assert (answer.status_code, body["error_type"]) == (400, "InputException"), body
    message: str = body["message"]
    return message


async def test_a_single_one_fires_once_when_the_price_reaches_it(bench: Bench) -> None:
    gtt_id = await placed(bench, form(1110.0, prices=(1105.0,)))
    bench.price(INFY, 1110_10)
    assert (await bench.get(f"/gtt/triggers/{gtt_id}"))["status"] == "active"
    assert await bench.get("/orders") == []
    bench.price(INFY, 1109_00)  # also across a gap
    await bench.settle()
    gtt = await bench.get(f"/gtt/triggers/{gtt_id}")
    (order,) = await bench.get("/orders")
    result = gtt["orders"][0]["result"]
    assert (gtt["status"], result["triggered_at"], result["price"]) == ("triggered", 1109, 1105)
    assert result["order_result"] == {"status": "success", "order_id": order["order_id"], "rejection_reason": ""}
    assert json.loads(result["meta"]) == {"app_id": 1234, "gtt": gtt_id}
    assert (order["status"], order["transaction_type"], order["quantity"]) == ("COMPLETE", "SELL", 10)
    bench.price(INFY, 1120_00)
    bench.price(INFY, 1100_00)
    await bench.settle()
    assert len(await bench.get("/orders")) == 1


async def test_one_above_the_price_fires_upwards(bench: Bench) -> None:
    gtt_id = await placed(bench, form(1130.0))
    bench.price(INFY, 1100_00)
    assert (await bench.get(f"/gtt/triggers/{gtt_id}"))["status"] == "active"
    bench.price(INFY, 1130_00)
    assert (await bench.get(f"/gtt/triggers/{gtt_id}"))["status"] == "triggered"


@pytest.mark.parametrize(("price", "fired", "asleep"), [(1099_00, 0, 1), (1150_00, 1, 0)])
async def test_either_leg_of_a_pair_ends_it(bench: Bench, price: int, fired: int, asleep: int) -> None:
    gtt_id = await placed(bench, form(1100.0, 1150.0, prices=(1095.0, 1150.0)))
    bench.price(INFY, price)
    await bench.settle()
    gtt = await bench.get(f"/gtt/triggers/{gtt_id}")
    assert gtt["status"] == "triggered"
    assert gtt["orders"][fired]["result"]["triggered_at"] == price / 100
    assert gtt["orders"][asleep]["result"] is None
    assert len(await bench.get("/orders")) == 1


async def test_a_fired_one_may_hide_a_refused_order(bench: Bench) -> None:
    gtt_id = await placed(bench, form(1110.0, prices=(1.0,)))
    bench.price(INFY, 1110_00)
    gtt = await bench.get(f"/gtt/triggers/{gtt_id}")
    result = gtt["orders"][0]["result"]["order_result"]
    assert (gtt["status"], result["status"], result["order_id"]) == ("triggered", "failed", "")
    assert "lower circuit limit" in result["rejection_reason"]
    assert await bench.get("/orders") == []


async def test_it_fires_in_market_hours_only(bench: Bench) -> None:
    gtt_id = await placed(bench, form(1110.0))
    bench.faults("hours=clock")
    bench.exchange.market.clock.set(datetime(2026, 11, 20, 15, 45, tzinfo=IST))
    bench.price(INFY, 1100_00)
    assert (await bench.get(f"/gtt/triggers/{gtt_id}"))["status"] == "active"
    bench.exchange.market.clock.set(datetime(2026, 11, 20, 15, 20, tzinfo=IST))
    bench.price(INFY, 1100_05)
    assert (await bench.get(f"/gtt/triggers/{gtt_id}"))["status"] == "triggered"


async def test_it_is_changed_and_deleted_while_it_waits(bench: Bench) -> None:
    gtt_id = await placed(bench, form(1110.0))
    answer = await bench.http.put(f"/gtt/triggers/{gtt_id}", data=form(1090.0, 1160.0))
    assert answer.json()["data"] == {"trigger_id": gtt_id}
    gtt = await bench.get(f"/gtt/triggers/{gtt_id}")
    assert (gtt["type"], gtt["condition"]["trigger_values"], gtt["meta"]) == ("two-leg", [1090, 1160], {})
    bench.price(INFY, 1105_00)
    assert (await bench.http.delete(f"/gtt/triggers/{gtt_id}")).json()["data"] == {"trigger_id": gtt_id}
    bench.price(INFY, 1080_00)
    gtt = await bench.get(f"/gtt/triggers/{gtt_id}")
    assert (gtt["status"], gtt["meta"], await bench.get("/orders")) == ("deleted", None, [])
    again = await bench.http.delete(f"/gtt/triggers/{gtt_id}")
    assert words(again) == "Trigger cannot be changed. Trigger is deleted."


async def test_it_expires_after_a_year_and_leaves_the_list_a_week_later(bench: Bench) -> None:
    gtt_id = await placed(bench, form(1110.0))
    assert (await bench.get(f"/gtt/triggers/{gtt_id}"))["expires_at"] == "2027-11-20 10:00:00"

    async def on(day: datetime) -> list[int]:
        await bench.http.put("/simulator/clock", json={"now": day.isoformat()})
        await bench.login()
        return [gtt["id"] for gtt in await bench.get("/gtt/triggers")]

    assert await on(datetime(2027, 11, 20, 9, 59, tzinfo=IST)) == [gtt_id]
    assert await on(datetime(2027, 11, 20, 10, 1, tzinfo=IST)) == [gtt_id]
    assert (await bench.get(f"/gtt/triggers/{gtt_id}"))["status"] == "expired"
    assert await on(datetime(2027, 11, 28, 10, 1, tzinfo=IST)) == []
    assert (await bench.get(f"/gtt/triggers/{gtt_id}"))["status"] == "expired"


async def test_its_order_and_its_end_reach_the_disk_together(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gtt_id = await placed(bench, form(1110.0))
    book, saved = bench.exchange.book, list[set[tuple[str, str]]]()
    put, commit = book.put, book.commit
    pending: dict[tuple[str, str], Any] = {}

    def remember(kind: str, key: str, value: Any) -> None:
        pending[kind, key] = value
        put(kind, key, value)

    def look(*, durable: bool = False) -> None:
        saved.append({(kind, value["status"]) for (kind, _), value in pending.items() if kind in ("order", "gtt")})
        pending.clear()
        commit(durable=durable)

    monkeypatch.setattr(book, "put", remember)
    monkeypatch.setattr(book, "commit", look)
    bench.price(INFY, 1110_00)
    assert {("gtt", "triggered"), ("order", "PUT ORDER REQ RECEIVED")} in saved
    assert (await bench.get(f"/gtt/triggers/{gtt_id}"))["status"] == "triggered"


async def test_the_broker_itself_can_end_one(bench: Bench) -> None:
    gtt_id = await placed(bench, form(1110.0))
    ended = {"id": gtt_id, "status": "disabled", "reason": "Corporate action"}
    assert (await bench.http.put("/simulator/gtt", json=ended)).status_code == 200
    gtt = await bench.get(f"/gtt/triggers/{gtt_id}")
    assert (gtt["status"], gtt["meta"]) == ("disabled", {"rejection_reason": "Corporate action"})


async def test_it_survives_the_death_of_the_exchange(make: Make, tmp_path: Path) -> None:
    first = await make(state=tmp_path, openings=TEN)
    first.price(INFY, 1120_00)
    waiting, fired = await placed(first, form(1090.0, 1160.0)), await placed(first, form(1110.0))
    first.price(INFY, 1110_00)
    await first.settle()
    await make.end(first)
    second = await make(state=tmp_path)
    rows = {row["id"]: row for row in await second.get("/gtt/triggers")}
    assert (rows[waiting]["status"], rows[fired]["status"]) == ("active", "triggered")
    assert rows[fired]["orders"][0]["result"]["order_result"]["status"] == "success"
    second.price(INFY, 1160_00)
    assert (await second.get(f"/gtt/triggers/{waiting}"))["status"] == "triggered"
    assert await placed(second, form(1090.0, last=1160.0)) > fired


REFUSED: list[tuple[dict[str, str], str]] = [
    ({"type": "oco"}, "Invalid `type`"),
    ({"condition": "{"}, "Invalid `condition`: JSON is expected."),
    ({"orders": "[]"}, "needs 1 `trigger_values`"),
    (form(1110.0, product="MIS"), "Invalid product MIS"),
    (form(1110.0, product="NRML"), "Invalid product NRML for NSE"),
    (form(1110.0, quantity=0), "Invalid `quantity`"),
    (form(1110.0, quantity=1.5), "Invalid `quantity`"),
    (form(1110.0, transaction_type="HOLD"), "Invalid `transaction_type`"),
    (form(1110.0, tradingsymbol="SBIN"), "of the condition's instrument"),
    (form(1120.0), "Trigger already met"),
    (form(1110.0, key="NSE:NOSUCH"), "does not exist"),
    (form(1110.0, key="NSE:NIFTY 50"), "is an index"),
    (form(1150.0, 1100.0), "on both sides of the last price"),
    (form(1100.0, 1150.0, transaction_type="BUY"), "allowed for F&O only"),
    (form(1110.0, last=0), "Invalid `last_price`"),
]


async def test_what_is_refused(bench: Bench) -> None:
    for sent, expected in REFUSED:
        answer = await bench.http.post("/gtt/triggers", data={**form(1110.0), **sent})
        assert expected in words(answer)


async def test_two_legs_may_buy_derivatives(bench: Bench) -> None:
    symbol = contract(bench, "NIFTY", "FUT")
    key, last = f"NFO:{symbol}", bench.last(f"NFO:{symbol}") / 100
    sent = form(
        last - 100, last + 100, key=key, last=last, product="NRML", transaction_type="BUY", quantity=lot(bench, symbol)
    )
    await placed(bench, sent)


async def test_an_unknown_one(bench: Bench) -> None:
    answer = await bench.http.get("/gtt/triggers/99")
    assert (answer.status_code, answer.json()["error_type"]) == (404, "GeneralException")


async def test_market_legs_where_the_broker_takes_them(make: Make) -> None:
    sent = form(1110.0, order_type="MARKET")
    bench = await make(openings=TEN)
    bench.price(INFY, 1120_00)
    assert "only LIMIT orders" in words(await bench.http.post("/gtt/triggers", data=sent))
    bench.faults("gtt_market=allowed")
    gtt_id = await placed(bench, sent)
    bench.price(INFY, 1110_00)
    await bench.settle()
    result = (await bench.get(f"/gtt/triggers/{gtt_id}"))["orders"][0]["result"]
    assert result["order_result"]["status"] == "success"


async def test_the_least_distance_where_the_broker_has_one(bench: Bench) -> None:
    near = form(1119.0)
    await placed(bench, near)
    bench.faults("gtt_distance=0.25")
    assert "at least 0.25% away" in words(await bench.http.post("/gtt/triggers", data=near))
    await placed(bench, form(1117.2))
