"""What a contract is written on, by the shipped table and the instrument list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest

from app.domain.ids import InstrumentId
from app.domain.instrument import INDEX_UNDERLYINGS, Exchange, Instrument, InstrumentKind, Segment
from app.market.underlyings import Underlyings
from app.runtime.paths import resource

TABLE = resource("rules", "underlyings.csv").read_text(encoding="utf-8")


def future(exchange: Exchange, name: str, month: str, expiry: date) -> Instrument:
    return Instrument(
        InstrumentId(f"{exchange}:{name}26{month}FUT"),
        1,
        exchange,
        Segment.FUTURES,
        InstrumentKind.FUTURE,
        name,
        5,
        75,
        expiry=expiry,
    )


NOV, DEC = date(2026, 11, 24), date(2026, 12, 29)
LISTED = [
    future(Exchange.NFO, "NIFTY", "DEC", DEC),
    future(Exchange.NFO, "NIFTY", "NOV", NOV),
    future(Exchange.NFO, "NIFTYNXT50", "NOV", NOV),
    future(Exchange.MCX, "CRUDEOIL", "NOV", date(2026, 11, 19)),
    future(Exchange.MCX, "CRUDEOIL", "DEC", date(2026, 12, 18)),
]
INDEX = Instrument(InstrumentId("NSE:NIFTY 50"), 9, Exchange.NSE, Segment.INDEX, InstrumentKind.INDEX, "NIFTY 50", 5, 1)


def search(text: str, limit: int) -> Sequence[Instrument]:
    return [one for one in LISTED if one.name.startswith(text.split(maxsplit=1)[0])][:limit]


def option(exchange: Exchange, name: str, expiry: date = DEC) -> Instrument:
    one = future(exchange, name, "DEC", expiry)
    return replace(one, id=InstrumentId(f"{exchange}:{name}26DEC100CE"), kind=InstrumentKind.CALL)


@pytest.mark.parametrize(
    ("instrument", "underlying"),
    [
        (option(Exchange.NFO, "NIFTY"), "NSE:NIFTY 50"),
        (option(Exchange.BFO, "SENSEX"), "BSE:SENSEX"),
        (option(Exchange.NFO, "RELIANCE"), "NSE:RELIANCE"),
        (LISTED[0], "NSE:NIFTY 50"),
        (option(Exchange.MCX, "CRUDEOIL", date(2026, 12, 16)), "MCX:CRUDEOIL26DECFUT"),
        (option(Exchange.MCX, "GOLD"), None),
        (LISTED[3], None),
        (INDEX, None),
    ],
)
def test_the_underlying_of_a_contract(instrument: Instrument, underlying: str | None) -> None:
    assert Underlyings.parse(TABLE, search).of(instrument) == underlying


def test_the_nearest_future_that_has_not_expired_stands_in_for_an_index() -> None:
    known = Underlyings.parse(TABLE, search)
    assert known.stand_in(INDEX, NOV) == LISTED[1]
    assert known.stand_in(INDEX, date(2026, 11, 25)) == LISTED[0]
    assert known.stand_in(INDEX, date(2027, 1, 1)) is None
    assert known.stand_in(replace(INDEX, id=InstrumentId("NSE:INDIA VIX")), NOV) is None


def test_every_index_with_derivatives_is_in_the_table() -> None:
    known = Underlyings.parse(TABLE, search)
    assert {name for name in INDEX_UNDERLYINGS if known.of(option(Exchange.NFO, name)) == f"NSE:{name}"} == set()


def test_a_table_that_cannot_be_read_names_its_line() -> None:
    with pytest.raises(ValueError, match="line 3"):
        Underlyings.parse("name,index,since\nA,NSE:A,2020-01-01\nB,NSE:B,soon\n", search)
