"""Positions that change their product, and shares that must be authorised before they are sold (A8)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.simulator.clock import IST
from app.simulator.exchange import Opening
from tests.unit.simulator.conftest import SECRETS, Bench, Make, contract, lot

INFY = "NSE:INFY"
SBIN = "NSE:SBIN"
HELD = (Opening(SBIN, 50, "CNC", 700_00), Opening(INFY, 10, "CNC", 1000_00))


@pytest.fixture
async def bench(make: Make) -> Bench:
    made = await make()
    made.price(INFY, 1120_00)
    made.depth(INFY, [(1120_00, 100_000, 1)], [(1120_00, 100_000, 1)])
    return made


async def convert(bench: Bench, **changed: Any) -> httpx.Response:
    form = {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "position_type": "day",
        "quantity": 4,
        "old_product": "MIS",
        "new_product": "CNC",
    }
    return await bench.http.put("/portfolio/positions", data={**form, **changed})


async def positions(bench: Bench) -> dict[str, dict[str, Any]]:
    return {row["product"]: row for row in (await bench.get("/portfolio/positions"))["net"]}


async def quantities(bench: Bench) -> dict[str, int]:
    return {product: row["quantity"] for product, row in (await positions(bench)).items()}


async def test_a_part_of_a_position_moves_at_its_average_price(bench: Bench) -> None:
    await bench.place(quantity=10)
    before = (await bench.get("/user/margins"))["equity"]["net"]
    answer = await convert(bench)
    assert answer.json() == {"status": "success", "data": True}
    assert await quantities(bench) == {"MIS": 6, "CNC": 4}
    assert {row["average_price"] for row in (await positions(bench)).values()} == {1120}
    # four shares are paid in full now, not with a fifth
    after = (await bench.get("/user/margins"))["equity"]["net"]
    assert before - after == pytest.approx(4 * 1120 * 0.8)


async def test_a_whole_position_leaves_nothing_behind_also_after_a_crash(make: Make, tmp_path: Path) -> None:
    bench = await make(state=tmp_path)
    await bench.place(quantity=4)
    assert (await convert(bench)).status_code == 200
    assert await quantities(bench) == {"CNC": 4}
    await make.end(bench)
    assert await quantities(await make(state=tmp_path)) == {"CNC": 4}


async def test_a_short_future_is_carried_over_when_it_is_converted(make: Make) -> None:
    bench = await make()
    symbol = contract(bench, "NIFTY", "FUT")
    size = lot(bench, symbol)
    key = {"exchange": "NFO", "tradingsymbol": symbol, "transaction_type": "SELL", "quantity": size}
    bench.depth(f"NFO:{symbol}", [(bench.last(f"NFO:{symbol}"), 10 * size, 1)], [])
    await bench.place(**key, product="MIS")
    answer = await convert(bench, **key, new_product="NRML")
    assert answer.status_code == 200, answer.text
    await bench.http.put("/simulator/clock", json={"now": "2026-11-21T06:01:00"})
    await bench.login()
    (row,) = (await positions(bench)).values()
    assert (row["product"], row["quantity"], row["overnight_quantity"]) == ("NRML", -size, -size)
    back = await convert(bench, **key, position_type="overnight", old_product="NRML", new_product="MIS")
    assert back.status_code == 200, back.text
    (row,) = (await positions(bench)).values()
    assert (row["product"], row["overnight_quantity"]) == ("MIS", -size)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"quantity": 11}, "the open BUY quantity in MIS is 10"),
    ({"transaction_type": "SELL"}, "the open SELL quantity in MIS is 10"),
    ({"position_type": "overnight"}, "0 can be converted with this `position_type`"),
    ({"new_product": "NRML"}, "between CNC and MIS"),
    ({"new_product": "MIS"}, "between CNC and MIS"),
    ({"quantity": 0}, "above 0"),
    ({"quantity": "x"}, "failed to decode quantity"),
    ({"position_type": "week"}, "Invalid `position_type`"),
    ({"tradingsymbol": "NOSUCH"}, "Invalid `tradingsymbol`"),
]


async def test_conversions_that_are_refused(bench: Bench) -> None:
    await bench.place(quantity=10)
    for changed, words in REFUSED:
        answer = await convert(bench, **changed)
        assert (answer.status_code, answer.json()["error_type"]) == (400, "InputException")
        assert words in answer.json()["message"]
        assert await quantities(bench) == {"MIS": 10}


async def test_a_conversion_needs_the_money_or_the_shares(make: Make) -> None:
    bench = await make(cash=30_000_00)
    bench.price(INFY, 1120_00)
    bench.depth(INFY, [(1120_00, 1000, 1)], [(1120_00, 1000, 1)])
    await bench.place(quantity=100)
    answer = await convert(bench, quantity=100)
    assert answer.json()["error_type"] == "MarginException"
    assert await quantities(bench) == {"MIS": 100}
    await bench.place(quantity=125, transaction_type="SELL")
    answer = await convert(bench, quantity=25, transaction_type="SELL")
    assert answer.json()["error_type"] == "HoldingException"
    assert await quantities(bench) == {"MIS": -25}


# -- authorisation


async def sell(bench: Bench, quantity: int) -> httpx.Response:
    return await bench.try_place(tradingsymbol="SBIN", transaction_type="SELL", product="CNC", quantity=quantity)


async def authorise(bench: Bench, action: str = "authorise", **shares: Any) -> str:
    """Through the page, as in a browser; where it ended."""
    answer = await bench.http.post("/portfolio/holdings/authorise", data=shares)
    assert answer.status_code == 200, answer.text
    request_id = answer.json()["data"]["request_id"]
    assert len(request_id) == 32
    path = f"/connect/portfolio/authorise/holdings/{SECRETS.api_key}/{request_id}"
    asked = await bench.http.get(path)
    assert "May these shares be sold" in asked.text
    answered = await bench.http.post(path, data={"action": action})
    assert answered.status_code == 302
    end: str = answered.headers["location"]
    assert (await bench.http.get(end)).status_code == 200
    again = await bench.http.post(path, data={"action": "authorise"})
    assert again.headers["location"].endswith("status=error")
    return end.removeprefix(path)


@pytest.fixture
async def needed(make: Make) -> Bench:
    made = await make("authorisation=needed", openings=HELD)
    last = made.last(SBIN)
    made.depth(SBIN, [(last, 100_000, 1)], [(last, 100_000, 1)])
    return made


async def test_shares_are_sold_once_they_are_authorised(needed: Bench) -> None:
    answer = await sell(needed, 30)
    assert (answer.status_code, answer.json()["message"]) == (428, "30 quantity needs authorisation at depository.")
    assert await needed.get("/orders") == []
    assert await authorise(needed) == "/finish?status=success"
    held = {row["tradingsymbol"]: row for row in await needed.get("/portfolio/holdings")}
    assert (held["SBIN"]["authorised_quantity"], held["INFY"]["authorised_quantity"]) == (50, 10)
    assert held["SBIN"]["authorised_date"] == "2026-11-20 10:00:00"
    assert (await sell(needed, 30)).status_code == 200


async def test_only_what_was_authorised_can_be_sold(needed: Bench) -> None:
    isin = needed.exchange.market.listings.by_key[SBIN].isin
    assert await authorise(needed, isin=[isin], quantity=["20"]) == "/finish?status=success"
    assert (await sell(needed, 15)).status_code == 200
    await needed.settle()
    answer = await sell(needed, 10)  # 15 are sold, 5 are left of the 20
    assert (answer.status_code, answer.json()["message"]) == (428, "5 quantity needs authorisation at depository.")
    assert (await sell(needed, 5)).status_code == 200


async def test_who_cancels_authorises_nothing(needed: Bench) -> None:
    assert await authorise(needed, "cancel") == "/finish?status=error"
    assert (await sell(needed, 1)).status_code == 428


@pytest.mark.parametrize(
    ("given", "still", "over"),
    [("20T10:00", "20T17:29", "20T17:31"), ("20T18:00", "21T17:29", "21T17:31")],
)
async def test_an_authorisation_ends_at_half_past_five(needed: Bench, given: str, still: str, over: str) -> None:
    async def at(moment: str) -> int:
        now = datetime.fromisoformat(f"2026-11-{moment}").replace(tzinfo=IST)
        await needed.http.put("/simulator/clock", json={"now": now.isoformat()})
        await needed.login()
        (row,) = [row for row in await needed.get("/portfolio/holdings") if row["tradingsymbol"] == "SBIN"]
        quantity: int = row["authorised_quantity"]
        return quantity

    await at(given)
    await authorise(needed)
    assert (await at(still), await at(over)) == (50, 0)


async def test_it_survives_the_death_of_the_exchange(make: Make, tmp_path: Path) -> None:
    bench = await make("authorisation=needed", openings=HELD, state=tmp_path)
    await authorise(bench)
    await make.end(bench)
    again = await make("authorisation=needed", state=tmp_path)
    assert (await sell(again, 30)).status_code == 200


async def test_shares_bought_today_need_none_and_a_power_of_attorney_covers_all(needed: Bench) -> None:
    assert (await needed.try_place(tradingsymbol="SBIN", product="CNC", quantity=5)).status_code == 200
    await needed.settle()
    assert (await sell(needed, 5)).status_code == 200
    await needed.settle()
    assert (await sell(needed, 1)).status_code == 428
    needed.faults("authorisation=given")
    assert (await sell(needed, 45)).status_code == 200


@pytest.mark.parametrize(
    "shares",
    [{"isin": ["INE000000000"], "quantity": ["1"]}, {"isin": ["SBIN"], "quantity": []}, {"isin": "?", "quantity": "x"}],
)
async def test_requests_that_make_no_sense(needed: Bench, shares: dict[str, Any]) -> None:
    answer = await needed.http.post("/portfolio/holdings/authorise", data=shares)
    assert (answer.status_code, answer.json()["error_type"]) == (400, "InputException")
    strange = await needed.http.get(f"/connect/portfolio/authorise/holdings/{SECRETS.api_key}/nothing")
    assert strange.status_code == 400


async def test_the_holdings_in_short(needed: Bench) -> None:
    rows = await needed.get("/portfolio/holdings")
    summary = await needed.get("/portfolio/holdings/summary")
    assert summary["invested_amount"] == 50 * 700 + 10 * 1000
    assert summary["current_value"] == pytest.approx(sum(row["last_price"] * row["quantity"] for row in rows))
    assert summary["total_pnl"] == pytest.approx(sum(row["pnl"] for row in rows))
    compact = await needed.get("/portfolio/holdings/compact")
    assert [(row["tradingsymbol"], row["quantity"], row["t1_quantity"]) for row in compact] == [
        ("SBIN", 50, 0),
        ("INFY", 10, 0),
    ]
