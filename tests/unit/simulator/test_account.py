from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.simulator.account import Account, Holding, Position, carry_over
from app.simulator.charges import note
from app.simulator.exchange import Opening
from app.simulator.kite.portfolio import day_row, net_row
from app.simulator.listing import Listing
from app.simulator.margins import required
from tests.unit.simulator.conftest import Bench, Make

SHARE = Listing(408065, 1594, "INFY", "INFOSYS", None, Decimal(0), 5, 1, "EQ", "NSE", "NSE", "INE009A01021", 100_00)
FUTURE = Listing(2, 1, "NIFTY26DECFUT", "NIFTY", date(2026, 12, 29), Decimal(0), 10, 75, "FUT", "NFO-FUT", "NFO")
PUT = Listing(258, 2, "NIFTY26DEC25000PE", "NIFTY", date(2026, 12, 29), Decimal(25000), 5, 75, "PE", "NFO-OPT", "NFO")
METAL = Listing(7, 3, "LEADMINI26DECFUT", "LEADMINI", date(2026, 12, 31), Decimal(0), 5, 1000, "FUT", "MCX-FUT", "MCX")
FIELDS = """
tradingsymbol exchange instrument_token product quantity overnight_quantity multiplier average_price close_price
last_price value pnl m2m unrealised realised buy_quantity buy_price buy_value buy_m2m sell_quantity sell_price
sell_value sell_m2m day_buy_quantity day_buy_price day_buy_value day_sell_quantity day_sell_price day_sell_value
"""


def test_a_position_row_has_the_29_fields() -> None:
    row = net_row(Position(SHARE.token, "MIS", bought=1, bought_value=100_00), SHARE, 110_00, 100_00)
    assert sorted(row) == sorted(FIELDS.split())
    assert len(row) == 29


def test_an_overnight_position_partly_sold() -> None:
    # carried 10 @ 90, previous close 100; sold 4 @ 110 today; last 105
    position = Position(SHARE.token, "NRML", overnight_quantity=10, overnight_value=900_00, sold=4, sold_value=440_00)
    row = net_row(position, SHARE, 105_00, 100_00)
    expected = {
        "quantity": 6,
        "overnight_quantity": 10,
        "average_price": 90,
        "buy_quantity": 10,
        "buy_value": 900,
        "sell_quantity": 4,
        "sell_value": 440,
        "value": -460,
        "pnl": 440 - 900 + 6 * 105,
        "buy_m2m": 1000,
        "sell_m2m": 440,
        "m2m": 440 - 1000 + 6 * 105,
        "unrealised": 170,
        "realised": 0,
    }
    assert {name: row[name] for name in expected} == expected
    day = day_row(position, SHARE, 105_00, 100_00)
    assert (day["quantity"], day["overnight_quantity"], day["sell_value"]) == (-4, 0, 440)


def test_lots_of_a_commodity_count_by_their_multiplier() -> None:
    account = Account("AB1234", 0)
    position = account.apply(METAL, "NRML", "BUY", 1, 161_05)
    row = net_row(position, METAL, 161_05, 161_05)
    assert (row["multiplier"], row["quantity"], row["average_price"]) == (1000, 1, 161.05)
    assert (row["buy_value"], row["pnl"]) == (161050, 0)


fills = st.lists(st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 50), st.integers(100, 20_000)), max_size=12)


@given(fills, st.integers(-40, 40), st.integers(100, 20_000), st.integers(100, 20_000), st.integers(100, 20_000))
def test_profit_is_what_came_in_less_what_went_out(
    trades: list[tuple[str, int, int]], carried: int, carried_at: int, last: int, close: int
) -> None:
    account = Account("AB1234", 0)
    position = account.position(SHARE.token, "MIS")
    position.overnight_quantity, position.overnight_value = carried, abs(carried) * carried_at
    cash, quantity = -carried * carried_at, carried
    day_cash = -carried * close
    for side, count, price in trades:
        account.apply(SHARE, "MIS", side, count, price)
        sign = 1 if side == "BUY" else -1
        cash -= sign * count * price
        day_cash -= sign * count * price
        quantity += sign * count
    row = net_row(position, SHARE, last, close)
    assert row["quantity"] == quantity
    assert round(row["pnl"] * 100) == cash + quantity * last
    assert round(row["m2m"] * 100) == day_cash + quantity * last
    assert round(row["value"] * 100) == cash
    # what is realised and what is open make the whole
    open_part = position.open_value() if quantity >= 0 else -position.open_value()
    assert position.realised() - open_part == cash


def prices(_token: int) -> tuple[int, int]:
    return 110_00, 100_00


LISTED = {row.token: row for row in (SHARE, FUTURE, PUT)}


def test_shares_bought_are_held_the_next_day_and_settle_the_day_after() -> None:
    account = Account("AB1234", 10_000_00)
    account.apply(SHARE, "CNC", "BUY", 10, 100_00)
    carry_over(account, LISTED, prices)
    assert account.positions == {}
    assert account.cash == 9_000_00
    held = account.holdings[SHARE.token]
    assert (held.quantity, held.t1_quantity, held.value) == (0, 10, 1_000_00)
    carry_over(account, LISTED, prices)
    assert (held.quantity, held.t1_quantity, held.opening_quantity) == (10, 0, 10)
    account.apply(SHARE, "CNC", "SELL", 10, 120_00)
    carry_over(account, LISTED, prices)
    assert account.holdings == {}
    assert account.cash == 10_200_00


def test_intraday_is_squared_off_and_derivatives_are_carried() -> None:
    account = Account("AB1234", 10_000_00)
    account.apply(SHARE, "MIS", "SELL", 10, 120_00)
    account.apply(FUTURE, "NRML", "BUY", 75, 100_00)
    squared = carry_over(account, LISTED, prices, charges=5_00)
    assert squared == [(SHARE.token, "MIS")]
    assert account.cash == 10_000_00 + 10 * 10_00 - 5_00
    carried = account.positions[FUTURE.token, "NRML"]
    assert (carried.quantity, carried.overnight_quantity, carried.overnight_value) == (75, 75, 7_500_00)
    assert (SHARE.token, "MIS") not in account.positions


def test_a_sale_out_of_the_holding_leaves_its_average() -> None:
    account = Account("AB1234", 0, holdings={SHARE.token: Holding(SHARE.token, 10, 0, 900_00, 10)})
    account.apply(SHARE, "CNC", "SELL", 4, 120_00)
    assert account.net_quantity(SHARE.token, "CNC") == 6
    carry_over(account, LISTED, prices)
    held = account.holdings[SHARE.token]
    assert (held.quantity, held.value) == (6, 540_00)


@pytest.mark.parametrize(
    ("listing", "side", "product", "total"),
    [
        (SHARE, "BUY", "CNC", 75_00_00),
        (SHARE, "SELL", "CNC", 0),
        (SHARE, "BUY", "MIS", 15_00_00),
        (SHARE, "SELL", "MIS", 15_00_00),
        (FUTURE, "BUY", "NRML", 11_25_00),
        (PUT, "BUY", "NRML", 75_00_00),
        (PUT, "SELL", "NRML", 2_25_000_00),
    ],
)
def test_what_seventy_five_at_a_hundred_tie_up(listing: Listing, side: str, product: str, total: int) -> None:
    assert required(listing, side, product, 75, 100_00).total == total


def charges(listing: Listing, product: str, side: str, turnover: str, on: date) -> dict[str, Any]:
    return note(listing, product, side, Decimal(turnover), on).row()


def test_the_brokers_own_sample_note() -> None:
    july_2023 = date(2023, 7, 13)
    assert charges(SHARE, "CNC", "BUY", "560", july_2023) == {
        "transaction_tax": 0.56,
        "transaction_tax_type": "stt",
        "exchange_turnover_charge": 0.01876,
        "sebi_turnover_charge": 0.00056,
        "brokerage": 0,
        "stamp_duty": 0,
        "gst": {"igst": 0.0033768, "cgst": 0, "sgst": 0, "total": 0.0033768},
        "total": 0.5826968,
    }
    option = charges(PUT, "NRML", "BUY", "150", july_2023)
    assert (option["exchange_turnover_charge"], option["brokerage"], option["total"]) == (0.07575, 20, 23.689427)
    metal = charges(METAL, "NRML", "SELL", "5862", july_2023)
    assert (metal["transaction_tax"], metal["transaction_tax_type"], metal["total"]) == (0.5862, "ctt", 2.84811132)


def test_rates_since_april_2026() -> None:
    on = date(2026, 11, 20)
    assert charges(FUTURE, "NRML", "SELL", "1657500", on)["transaction_tax"] == 828.75
    assert charges(PUT, "NRML", "SELL", "110000", on)["transaction_tax"] == 165
    assert charges(SHARE, "CNC", "BUY", "5000000", on)["stamp_duty"] == 750


def test_what_is_not_taxed_and_what_is_funded() -> None:
    on = date(2026, 11, 20)
    dollar = replace(FUTURE, exchange="CDS", tradingsymbol="USDINR26DECFUT", name="USDINR", lot_size=1000)
    row = charges(dollar, "NRML", "BUY", "1000000", on)
    assert (row["transaction_tax"], row["transaction_tax_type"]) == (0, "")
    # 0.00035 % and the levy of 0.00005 %; stamp 0.0001 %
    assert (row["exchange_turnover_charge"], row["stamp_duty"]) == (4, 1)
    other = replace(PUT, exchange="BFO", name="RELIANCE")
    assert charges(other, "NRML", "BUY", "100000", on)["exchange_turnover_charge"] == 5
    assert charges(replace(other, name="SENSEX"), "NRML", "BUY", "100000", on)["exchange_turnover_charge"] == 32.5
    assert [charges(SHARE, "MTF", "BUY", worth, on)["brokerage"] for worth in ("1000", "100000")] == [3, 20]


# -- over the wire


async def holding(bench: Bench) -> dict[str, Any]:
    rows: list[dict[str, Any]] = await bench.get("/portfolio/holdings")
    return rows[0]


async def test_positions_follow_fills_and_closed_ones_stay_listed(make: Make) -> None:
    bench = await make(openings=(Opening("NSE:INFY", 100, "MIS", 1120_00),))
    bench.price("NSE:INFY", 1130_00)
    bench.depth("NSE:INFY", [(1130_00, 1000, 1)], [])
    (row,) = (await bench.get("/portfolio/positions"))["net"]
    assert (row["quantity"], row["average_price"], row["pnl"]) == (100, 1120, 1000)
    await bench.place(transaction_type="SELL", quantity=100)
    (row,) = (await bench.get("/portfolio/positions"))["net"]
    assert (row["quantity"], row["average_price"], row["pnl"]) == (0, 0, 1000)
    margins = await bench.get("/user/margins")
    assert margins["equity"]["net"] == margins["equity"]["available"]["live_balance"] == 1_001_000
    assert margins["equity"]["utilised"]["m2m_realised"] == 1000


async def test_a_week_of_the_exchanges_clock(make: Make) -> None:
    bench = await make()
    bench.price("NSE:INFY", 1120_00)
    bench.depth("NSE:INFY", [(1120_00, 1000, 1)], [(1120_00, 1000, 1)])
    await bench.place(product="CNC", quantity=10)
    await bench.place(product="MIS", quantity=10)
    await bench.http.put("/simulator/clock", json={"now": "2026-11-23T09:30:00"})
    await bench.login()
    assert await bench.get("/portfolio/positions") == {"net": [], "day": []}
    row = await holding(bench)
    assert (row["t1_quantity"], row["quantity"], row["average_price"]) == (10, 0, 1120)
    await bench.http.put("/simulator/clock", json={"now": "2026-11-24T09:30:00"})
    await bench.login()
    row = await holding(bench)
    assert (row["t1_quantity"], row["quantity"], row["opening_quantity"]) == (0, 10, 10)
    cash = (await bench.get("/user/margins/equity"))["available"]["cash"]
    # shares paid for, charges of the day taken: STT 11.2 and its companions, brokerage of one intraday order each way
    assert 1_000_000 - 11_200 - 100 < cash < 1_000_000 - 11_200 - 11.2


def test_a_lot_of_dollars_is_a_thousand_of_them_at_prices_of_a_quarter_paisa() -> None:
    dollar = replace(
        FUTURE, token=259, exchange="CDS", tradingsymbol="USDINR26DECFUT", name="USDINR", lot_size=1, tick_size=25_000
    )
    account = Account("AB1234", 10_000_00)
    account.apply(dollar, "NRML", "BUY", 3, 841_225_000)
    held = account.positions[dollar.token, "NRML"]
    assert held.open_value() == 3_000 * 84_1225 // 100
    assert account.used(held, dollar)[0].total == required(dollar, "BUY", "NRML", 3, 841_225_000).total == 37_855_12
    account.apply(dollar, "NRML", "SELL", 3, 841_200_000)
    assert held.realised() == -7_50
