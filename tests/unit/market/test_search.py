"""Search as you type, on a list made by hand and on a real NFO dump."""

from __future__ import annotations

import csv
import gzip
import random
from datetime import date
from decimal import Decimal

import pytest

from app.domain.ids import InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment
from app.market.search import SearchIndex
from tests.shared_data import shared_data

NOV, DEC = date(2026, 11, 23), date(2026, 12, 29)


def make(
    name: str,
    symbol: str,
    kind: InstrumentKind = InstrumentKind.SHARE,
    expiry: date | None = None,
    strike: str | None = None,
    active: bool = True,
) -> Instrument:
    exchange = Exchange(symbol.split(":", maxsplit=1)[0])
    return Instrument(
        InstrumentId(symbol), 1, exchange, Segment.EQUITY, kind, name, 5, 1,
        expiry=expiry, strike=Decimal(strike) if strike else None, active=active,
    )  # fmt: skip


CALL, PUT, FUTURE, INDEX = InstrumentKind.CALL, InstrumentKind.PUT, InstrumentKind.FUTURE, InstrumentKind.INDEX
LIST = [
    make("NIFTY", "NFO:NIFTY26DEC26000CE", CALL, DEC, "26000"),
    make("NIFTY", "NFO:NIFTY26DEC26000PE", PUT, DEC, "26000"),
    make("NIFTY", "NFO:NIFTY26NOV26000CE", CALL, NOV, "26000"),
    make("NIFTY", "NFO:NIFTY26DEC25000CE", CALL, DEC, "25000"),
    make("FINNIFTY", "NFO:FINNIFTY26DEC26000CE", CALL, DEC, "26000"),
    make("NIFTYNXT50", "NFO:NIFTYNXT5026DEC26000CE", CALL, DEC, "26000"),
    make("NIFTY", "NFO:NIFTY26DECFUT", FUTURE, DEC),
    make("NIFTY", "NFO:NIFTY26NOVFUT", FUTURE, NOV),
    make("BANKNIFTY", "NFO:BANKNIFTY26DECFUT", FUTURE, DEC),
    make("SBIN", "NFO:SBIN26DECFUT", FUTURE, DEC),
    make("SBIN", "NFO:SBIN26DEC892.5CE", CALL, DEC, "892.50"),
    make("NIPPON INDIA ETF NIFTY BEES", "NSE:NIFTYBEES"),
    make("NIFTY 50", "NSE:NIFTY 50", INDEX),
    make("NIFTY BANK", "NSE:NIFTY BANK", INDEX),
    make("NIFTY 500", "NSE:NIFTY 500", INDEX),
    make("STATE BANK OF INDIA", "BSE:SBIN"),
    make("STATE BANK OF INDIA", "NSE:SBIN"),
    make("SBI CARDS", "NSE:SBICARD"),
    make("BAJAJ AUTO", "NSE:BAJAJ-AUTO"),
    make("MAHINDRA & MAHINDRA", "NSE:M&M"),
    make("SBI OLD", "NSE:SBIOLD", active=False),
]
FOUND = SearchIndex(LIST)


def symbols(query: str, limit: int = 30) -> list[str]:
    return [one.id for one in FOUND.search(query, limit)]


@pytest.mark.parametrize(
    "query", ["nifty 26000 ce dec", "dec ce 26000 nifty", "NIFTY DEC26 CALL 260", "26dec nifty 26000 c"]
)
def test_words_in_any_order(query: str) -> None:
    assert symbols(query)[0] == "NFO:NIFTY26DEC26000CE"
    assert "NFO:NIFTY26DEC26000PE" not in symbols(query)
    assert "NFO:NIFTY26NOV26000CE" not in symbols(query)


def test_the_exact_underlying_comes_before_one_that_begins_so() -> None:
    found = symbols("nifty 26000 dec ce")
    assert found.index("NFO:NIFTY26DEC26000CE") < found.index("NFO:NIFTYNXT5026DEC26000CE")


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("sbin", ["NSE:SBIN", "BSE:SBIN", "NFO:SBIN26DECFUT"]),
        ("sbi", ["NSE:SBIN", "NSE:SBICARD"]),
        ("state ba", ["NSE:SBIN", "NFO:SBIN26DECFUT"]),
        ("state bank fut", ["NFO:SBIN26DECFUT"]),
        ("nifty 50", ["NSE:NIFTY 50", "NSE:NIFTY 500"]),
        ("nifty50", ["NSE:NIFTY 50"]),
        ("nifty bank", ["NSE:NIFTY BANK"]),
        ("banknifty", ["NSE:NIFTY BANK", "NFO:BANKNIFTY26DECFUT"]),
        ("nifty fut", ["NFO:NIFTY26NOVFUT", "NFO:NIFTY26DECFUT"]),
        ("bajaj-auto", ["NSE:BAJAJ-AUTO"]),
        ("auto", ["NSE:BAJAJ-AUTO"]),
        ("m&m", ["NSE:M&M"]),
        ("mahindra", ["NSE:M&M"]),
        ("sbin 892.5", ["NFO:SBIN26DEC892.5CE"]),
        ("nifty26dec2", ["NFO:NIFTY26DEC25000CE", "NFO:NIFTY26DEC26000CE", "NFO:NIFTY26DEC26000PE"]),
        ("29dec sbin fut", ["NFO:SBIN26DECFUT"]),
        ("bees", ["NSE:NIFTYBEES"]),
    ],
)
def test_best_first(query: str, first: list[str]) -> None:
    found = symbols(query)
    assert sorted(found[: len(first)]) == sorted(first)
    assert found[0] == first[0]


def test_derivatives_that_carry_the_company_name_are_found_by_the_symbol() -> None:
    listed = [
        make("NATIONAL ALUMINIUM CO LTD", "NFO:NATIONALUM26DEC355PE", PUT, DEC, "355"),
        make("NATIONAL ALUMINIUM CO LTD", "NSE:NATIONALUM"),
        make("", "NFO:ODD", FUTURE, DEC),
    ]
    index = SearchIndex(listed)
    assert [one.symbol for one in index.search("nationalum")] == ["NATIONALUM", "NATIONALUM26DEC355PE"]
    assert [one.symbol for one in index.search("aluminium pe")] == ["NATIONALUM26DEC355PE"]
    assert [one.symbol for one in index.search("odd")] == ["ODD"]


def test_nothing_for_nothing_and_for_nonsense() -> None:
    assert symbols("") == symbols("   ") == symbols("xyzzy") == symbols("nifty xyzzy") == []
    assert symbols("₹") == []
    assert symbols("sbin", 0) == []
    assert SearchIndex([]).search("sbin") == []


def test_inactive_instruments_are_left_out() -> None:
    assert len(FOUND) == len(LIST) - 1
    assert symbols("sbiold") == []


def test_limit() -> None:
    assert symbols("nifty", 3) == symbols("nifty", 30)[:3]


def test_every_match_of_a_real_dump_and_only_those() -> None:
    kinds = {"FUT": FUTURE, "CE": CALL, "PE": PUT}
    with gzip.open(shared_data("instruments", "kite_NFO_2026-08-10.csv.gz"), "rt", encoding="utf-8") as file:
        listed = [
            make(
                row["name"],
                f"NFO:{row['tradingsymbol']}",
                kinds[row["instrument_type"]],
                date.fromisoformat(row["expiry"]),
                row["strike"] if row["instrument_type"] != "FUT" else None,
            )
            for row in csv.DictReader(file)
        ]
    index = SearchIndex(listed)
    assert len(index) == 34950
    for one in random.Random(7).sample(listed, 40):
        assert index.search(one.symbol)[0] is one
        assert one.expiry is not None
        words = [
            one.name.lower(),
            f"{one.expiry:%d%b}".lower(),
            one.kind.value[:4],
            f"{one.strike.normalize():f}" if one.strike else "fut",
        ]
        found = index.search(" ".join(words), 5000)
        same_day = [
            other
            for other in listed
            if other.name.startswith(one.name)
            and other.expiry is not None
            and (other.expiry.month, other.expiry.day) == (one.expiry.month, one.expiry.day)
            and other.kind is one.kind
            and (one.strike is None or f"{other.strike.normalize() if other.strike else 0:f}".startswith(words[3]))
        ]
        assert {other.id for other in found} == {other.id for other in same_day}
        assert found[0].name == one.name


@pytest.mark.parametrize(
    "query",
    [
        "nifty26000ce dec",
        "nifty dec 26000ce",
        "NIFTYDEC26000CE",
        "nifty 26,000 ce dec",
        "nifty-26000-ce-29dec",
        "nifty 29-dec 26000 ce",
        "nifty 2026-12-29 26000 ce",
        "nifty 29/12/2026 26000 ce",
        "nifty dec २६००० ce",
        "nifty december 26000 calls",
        "nfo:nifty 26000.00 ce dec",
        "nifty\t26000/ce (dec)",
        "ｎｉｆｔｙ 26000 ce dec",
    ],
)
def test_what_is_typed_oddly_is_found_all_the_same(query: str) -> None:
    assert FOUND.search(query)[0].symbol == "NIFTY26DEC26000CE"


def test_an_exchange_before_the_symbol_and_kinds_in_full() -> None:
    assert [one.id for one in FOUND.search("NSE:SBIN")] == ["NSE:SBIN"]
    assert FOUND.search("sbin futures")[0].symbol == "SBIN26DECFUT"
    assert FOUND.search("sbin 892.50ce")[0].symbol == "SBIN26DEC892.5CE"
    assert FOUND.search("'nifty 50'")[0].symbol == "NIFTY 50"


def test_free_reading_makes_nothing_of_nonsense() -> None:
    for query in ("हिन्दी", "---", "nifty 99999ce", "\0", "%", "nifty ce pe dec jan"):
        assert FOUND.search(query) == []
