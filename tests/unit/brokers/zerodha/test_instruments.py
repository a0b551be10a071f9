"""Kite's instrument dump to rows."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from app.brokers.instrument_lines import beginning, unpack
from app.brokers.zerodha.instruments import is_ours, pack_file, read
from app.domain.errors import BadAnswer
from app.domain.instrument import Instrument, InstrumentKind, Segment
from app.domain.listing import InstrumentMaker, row_of
from tests.shared_data import shared_data


def read_whole(source: bytes | Path) -> list[Instrument]:
    maker = InstrumentMaker()
    return [maker.make(row) for part in read(source) for row in part.rows]


def test_the_dump_of_the_brokers_sample() -> None:
    parts = list(read(shared_data("kite", "instruments_nse.csv")))
    first = InstrumentMaker().make(parts[0].rows[0])
    assert (sum(len(p.rows) for p in parts), sum(p.malformed for p in parts)) == (99, 0)
    assert (first.id, first.token, first.tick_size, first.lot_size) == ("NSE:CENTRALBK-BE", 3813889, 5, 1)
    assert (first.expiry, first.strike, first.kind) == (None, None, InstrumentKind.SHARE)


def test_a_real_derivatives_dump_unpacks_to_what_was_read() -> None:
    path = shared_data("instruments", "kite_NFO_2026-08-10.csv.gz")
    found = read_whole(path)
    kinds = [i.kind for i in found]
    assert [kinds.count(k) for k in (InstrumentKind.FUTURE, InstrumentKind.CALL, InstrumentKind.PUT)] == [
        637,
        17_108,
        17_205,
    ]
    (call,) = [i for i in found if i.id == "NFO:NIFTY2681125500CE"]
    assert (call.expiry, call.strike, call.lot_size, call.name, call.is_stock_option) == (
        date(2026, 8, 11),
        Decimal(25500),
        65,
        "NIFTY",
        False,
    )
    assert str(call.strike) == "25500"
    maker = InstrumentMaker()
    assert [maker.make(row) for piece in pack_file(path.read_bytes()) for row in unpack(piece).rows] == found
    assert maker.make(row_of(call)) == call
    assert is_ours(beginning(path))


HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)
GOOD = '256265,1001,NIFTY 50,"NIFTY 50",0,,0,0,0,EQ,INDICES,NSE'


def test_malformed_lines_are_counted_and_left_out() -> None:
    lines = [
        HEADER,
        "408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE",  # eleven fields, as one documentation sample has
        "x,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE",
        "408065,1594,INFY,INFOSYS,0,,0,0.05,1,WARRANT,NSE,NSE",
        "408065,1594,INFY,INFOSYS,0,,abc,0.05,1,EQ,NSE,NSE",
        "408065,1594,INFY,INFOSYS,0,2026-13-01,0,0.05,1,FUT,NFO-FUT,NFO",
        "408065,1594,INFY,INFOSYS,0,,0,0.055,1,EQ,NSE,NSE",
        "408065,1594,,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE",
        '408065,1594,INFY,"INFOSYS,0,,0,0.05,1,EQ,NSE,NSE',  # a stray quote, which swallows no other line
        "408065,1594,INFY,INF\ufffdSYS,0,,0,0.05,1,EQ,NSE,NSE",
        "99999999999999999999,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE",  # wider than the ticker's wire
        "408065,1594,IN\0FY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE",
        "408065,1594,INFY,INFOSYS,0,,0,0.05,1e999999999,EQ,NSE,NSE",  # counting to it would take for ever
        "408065,1594,INFY,INFOSYS,0,,0,1e999999999,1,EQ,NSE,NSE",
        "408065,1594,INFY,INFOSYS,0,,0,0.05,-5,EQ,NSE,NSE",
        "1,1,NIFTY26DECFUT,NIFTY,0,,0,0.05,65,FUT,NFO-FUT,NFO",
        "1,1,NIFTY26DEC0CE,NIFTY,0,2026-12-29,0,0.05,65,CE,NFO-OPT,NFO",
        "1,1,SPX,,0,,0,0,0,EQ,INDICES,GLOBAL",
        "2,1,011NSETEST36DECFUT,011NSETEST,0,2036-11-27,0,0.05,1,FUT,NFO-FUT,NFO",
        "",
        GOOD,
    ]
    (part,) = read("\r\n".join(lines).encode())
    assert [(row[0], row[4], row[3]) for row in part.rows] == [
        ("NSE:NIFTY 50", InstrumentKind.INDEX.value, Segment.INDEX.value)
    ]
    assert (part.lines, part.malformed, part.not_carried) == (19, 16, 2)
    assert part.first_malformed == f"line 2: {lines[1]}"


@pytest.mark.parametrize(
    ("line", "whose"),
    [
        ("408065,1594,INFY,INFOSYS,0,,0,0.055,1,EQ,NSE,NSE", "NSE:INFY"),
        ("408065,1594,INFY,INFOSYS, LIMITED,0,,0,0.05,1,EQ,NSE,NSE", "NSE:INFY"),
        ('408065,1594,INFY,"INFOSYS,0,,0,0.05,1,EQ,NSE,NSE', "NSE:INFY"),
        ("408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,MARS", ""),
        ("408065,1594,,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE", ""),
        ("408065,1594,INFY", ""),
        ("NSE", ""),
    ],
)
def test_a_malformed_line_says_whose_it_is_where_that_can_be_read(line: str, whose: str) -> None:
    (part,) = read(f"{HEADER}\n{line}\n{GOOD}".encode())
    assert (part.malformed, part.unread) == (1, (whose,) if whose else ())


@pytest.mark.parametrize("before", ["\ufeff", "\r\n", "\ufeff\r\n\r\n"], ids=["a mark", "an empty line", "both"])
def test_a_dump_that_went_through_an_editor_is_one_all_the_same(before: str) -> None:
    body = f"{before}{HEADER.replace(',', ', ')}\r\n{GOOD}\r\n".encode()
    (part,) = read(body)
    assert [row[0] for row in part.rows] == ["NSE:NIFTY 50"]
    assert is_ours(body)


def test_a_future_whose_strike_is_a_cent_below_nothing_has_none() -> None:
    (part,) = read(f"{HEADER}\n1,1,GOLD26DECFUT,GOLD,0,2026-12-04,-0.01,1,1,FUT,MCX-FUT,MCX\n".encode())
    assert (part.malformed, part.rows[0][10]) == (0, None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"\x1f\x8bnot gzip", b"\xff\xfe\x00"])
def test_what_is_no_dump_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        list(read(body))


def test_a_dump_that_was_cut_off_is_a_bad_answer() -> None:
    body = shared_data("instruments", "kite_NFO_2026-08-10.csv.gz").read_bytes()
    with pytest.raises(BadAnswer, match="cut off"):
        list(read(body[: len(body) // 2]))


def test_a_file_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(BadAnswer, match="not there"):
        list(read(tmp_path / "none.csv"))
