"""How much a lot holds: by the table that ships, and by what a broker told."""

from __future__ import annotations

import csv

import pytest

from app.analytics.charge_table import BadChargeTable, ChargeTable
from app.analytics.contract_sizes import COLUMNS, Sizer
from app.domain.ids import AccountId, InstrumentId
from tests.unit.analytics.builders import BUY, CHARGES, fill, shipped

ACCOUNT = AccountId("zerodha-AB1234")
DAY = "2026-11-20"


@pytest.mark.parametrize(
    ("contract", "size"),
    [
        ("MCX:CRUDEOIL26DECFUT", 100),
        ("MCX:CRUDEOILM26DECFUT", 10),
        ("MCX:CRUDEOIL26DEC5800CE", 100),
        ("MCX:GOLDPETAL23JULFUT", 1),
        ("MCX:LEADMINI20MAYFUT", 1_000),
        ("CDS:USDINR26DEC85CE", 1_000),
        ("CDS:USDINR26N1384.5PE", 1_000),
        ("BCD:JPYINR26NOVFUT", 1_000),
        ("NSE:INFY", 1),
        ("NFO:NIFTY26NOVFUT", 1),
        # Not told anywhere, changed meanwhile, or no contract at all.
        ("MCX:COPPER19DECFUT", None),
        ("MCX:NICKEL26DECFUT", None),
        ("NCO:GOLD26DECFUT", None),
        ("CDS:EURUSD26DECFUT", None),
        ("MCX:CRUDEOIL26XYZFUT", None),
        ("MCX:MCXBULLDEX", None),
    ],
)
def test_the_table_knows_a_contract_by_its_underlying_and_month(contract: str, size: int | None) -> None:
    assert shipped().sizes.listed("zerodha", InstrumentId(contract)) == size
    assert shipped().sizes.listed("upstox", InstrumentId(contract)) == size


def test_of_a_broker_that_may_count_otherwise_the_table_says_nothing() -> None:
    assert shipped().sizes.listed("template", InstrumentId("MCX:CRUDEOIL26DECFUT")) is None
    assert shipped().sizes.listed("template", InstrumentId("NSE:INFY")) == 1


def test_what_the_broker_told_goes_before_the_table() -> None:
    crude, nickel = InstrumentId("MCX:CRUDEOIL26DECFUT"), InstrumentId("MCX:NICKEL26DECFUT")
    sizer = Sizer(shipped().sizes, {(ACCOUNT, crude): 50, (ACCOUNT, nickel): 250})
    fills = [fill(name, BUY, 2, 100, DAY) for name in (crude, nickel, "NSE:INFY", "MCX:KAPAS27APRFUT")]
    sized, unsized = sizer.split(fills)
    assert [one.quantity for one in sized] == [100, 500, 2]
    assert unsized == [fills[3]]


def test_every_row_that_ships_says_where_it_is_from() -> None:
    with (CHARGES / "contract-sizes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert all(row["source"] and row["mark"] in "CSM" for row in rows)
    assert not any(row["size"] == "1" for row in rows if row["exchange"] != "MCX")


@pytest.mark.parametrize(
    "row",
    [
        "MCX,GOLD,2026-01,,0,zerodha,C,x",
        "MCX,GOLD,2026-1,,100,zerodha,C,x",
        "MCX,GOLD,2026-05,2026-04,100,zerodha,C,x",
        "NSE,INFY,2026-01,,100,zerodha,C,x",
        "MCXX,GOLD,2026-01,,100,zerodha,C,x",
        "MCX,GOLD,2026-01,,many,zerodha,C,x",
        "MCX,GOLD,2026-01,,100,zerodha,C,x\nMCX,GOLD,2026-06,,10,zerodha,C,x",
    ],
)
def test_a_table_that_contradicts_itself_is_refused(row: str) -> None:
    with pytest.raises(BadChargeTable, match="contract sizes"):
        ChargeTable.parse(",".join(COLUMNS) + "\n" + row)
