from __future__ import annotations

import csv
import gzip
import io
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from app.simulator.listing import COLUMNS, PRICE_SCALE, Listings, last_tuesday, load_file, load_sample
from tests.shared_data import shared_data

DAY = date(2026, 11, 20)


@pytest.fixture(scope="module")
def sample() -> Listings:
    return load_sample(DAY)


def test_the_sample_holds_every_kind_of_instrument(sample: Listings) -> None:
    kinds = {(row.exchange, row.segment, row.instrument_type) for row in sample.by_token.values()}
    assert kinds == {
        ("NSE", "INDICES", "EQ"),
        ("NSE", "NSE", "EQ"),
        ("BSE", "BSE", "EQ"),
        ("NFO", "NFO-FUT", "FUT"),
        ("NFO", "NFO-OPT", "CE"),
        ("NFO", "NFO-OPT", "PE"),
    }
    assert len(sample) >= 60
    names = {row.name for row in sample.by_token.values() if row.is_option}
    assert {"NIFTY", "BANKNIFTY", "RELIANCE", "SBIN"} <= names


@pytest.mark.parametrize(
    ("key", "token"),
    [
        ("NSE:NIFTY 50", 256265),
        ("NSE:NIFTY BANK", 260105),
        ("NSE:INDIA VIX", 264969),
        ("NSE:INFY", 408065),
        ("NSE:SBIN", 779521),
        ("NSE:RELIANCE", 738561),
        ("NSE:TCS", 2953217),
        ("NSE:HDFCBANK", 341249),
        ("NSE:ICICIBANK", 1270529),
        ("NSE:AXISBANK", 1510401),
        ("NSE:KOTAKBANK", 492033),
        ("NSE:ITC", 424961),
        ("NSE:LT", 2939649),
        ("NSE:TATASTEEL", 895745),
        ("BSE:INFY", 128053508),
        ("NFO:NIFTY26DEC26000CE", 18305282),
    ],
)
def test_the_sample_has_real_tokens(sample: Listings, key: str, token: int) -> None:
    assert sample.by_key[key].token == token


def test_tokens_follow_exchange_token_and_segment(sample: Listings) -> None:
    segment = {"INDICES": 9, "NSE": 1, "BSE": 4, "NFO-FUT": 2, "NFO-OPT": 2}
    for row in sample.by_token.values():
        assert row.token == row.exchange_token * 256 + segment[row.segment]


def test_every_tradable_sample_row_can_be_traded(sample: Listings) -> None:
    for row in sample.by_token.values():
        if not row.tradable:
            assert (row.tick_size, row.lot_size, row.upper_circuit) == (0, 0, 0)
            continue
        assert row.lower_circuit < row.previous_close < row.upper_circuit, row
        assert row.previous_close % row.tick_size == 0
        assert row.lower_circuit % row.tick_size == row.upper_circuit % row.tick_size == 0
        assert row.freeze_quantity >= row.lot_size > 0
        assert (row.exchange == "NFO") == bool(row.expiry)
        assert bool(row.isin) == (row.exchange != "NFO")


def test_index_lots_and_freeze_quantities(sample: Listings) -> None:
    nifty, bank = sample.by_key["NFO:NIFTY26DECFUT"], sample.by_key["NFO:BANKNIFTY26DECFUT"]
    assert (nifty.lot_size, nifty.freeze_quantity, nifty.tick_size) == (65, 1800, 10)
    assert (bank.lot_size, bank.freeze_quantity) == (30, 600)
    assert sample.by_key["NFO:NIFTY26DEC24500CE"].tick_size == 5


def test_a_sample_whose_month_has_passed_moves_on() -> None:
    later = load_sample(date(2027, 3, 1))
    row = later.by_key["NFO:NIFTY27MAR26000CE"]
    assert (row.expiry, row.strike, row.token) == (date(2027, 3, 30), Decimal(26000), 18305282)
    assert load_sample(date(2026, 12, 29)).by_key["NFO:NIFTY26DECFUT"].expiry == date(2026, 12, 29)
    assert load_sample(date(2026, 12, 30)).by_key["NFO:NIFTY27JANFUT"].expiry == date(2027, 1, 26)


@pytest.mark.parametrize(("year", "month", "day"), [(2026, 12, 29), (2026, 9, 29), (2027, 2, 23), (2026, 6, 30)])
def test_monthly_expiry_is_the_last_tuesday(year: int, month: int, day: int) -> None:
    assert last_tuesday(year, month) == date(year, month, day)


def test_the_instrument_file_has_kites_columns_and_types(sample: Listings) -> None:
    rows = list(csv.DictReader(io.StringIO(sample.csv(None).decode())))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(sample)
    option = next(row for row in rows if row["tradingsymbol"] == "NIFTY26DEC24500CE")
    assert option == {
        "instrument_token": "13163010",
        "exchange_token": "51418",
        "tradingsymbol": "NIFTY26DEC24500CE",
        "name": "NIFTY",
        "last_price": "0",
        "expiry": "2026-12-29",
        "strike": "24500",
        "tick_size": "0.05",
        "lot_size": "65",
        "instrument_type": "CE",
        "segment": "NFO-OPT",
        "exchange": "NFO",
    }
    only = list(csv.DictReader(io.StringIO(sample.csv("BSE").decode())))
    assert {row["exchange"] for row in only} == {"BSE"}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_dump_is_read_back_plain_or_gzipped(sample: Listings, tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    file = tmp_path / "instruments"
    file.write_bytes(pack(sample.csv(None)))
    again = load_file(file, DAY)
    assert again.csv(None) == sample.csv(None)
    assert load_file(file, DAY).by_token == again.by_token  # made-up prices are repeatable


def test_a_row_without_a_price_gets_one_from_its_underlying(tmp_path: Path) -> None:
    file = tmp_path / "few.csv"
    file.write_text(
        ",".join(COLUMNS)
        + ",previous_close\n"
        + "408065,1594,INFY,INFOSYS,0,,0,0.1,1,EQ,NSE,NSE,1500\n"
        + "258,1,INFY26DEC1400CE,INFY,0,2026-12-29,1400,0.05,400,CE,NFO-OPT,NFO,\n"
        + "514,2,INFY26DECFUT,INFY,0,2026-12-29,0,0.1,400,FUT,NFO-FUT,NFO,\n"
    )
    rows = load_file(file, DAY)
    assert rows.by_key["NSE:INFY"].previous_close == 150_000
    assert 150_000 < rows.by_key["NFO:INFY26DECFUT"].previous_close < 152_000
    assert 10_000 < rows.by_key["NFO:INFY26DEC1400CE"].previous_close < 14_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column instrument_token"),
        ("a,b\n1,2\n", "no column instrument_token"),
        (",".join(COLUMNS) + "\n", "lists nothing"),
        (",".join(COLUMNS) + "\nx,1,A,A,0,,0,0.05,1,EQ,NSE,NSE\n", "line 2: not an instrument row"),
        (",".join(COLUMNS) + "\n257,1,A,A,0,,0,0.05,1,EQ,NSE\n", "line 2: not an instrument row"),
        (",".join(COLUMNS) + "\n257,1,A,A,0,soon,0,0.05,1,EQ,NSE,NSE\n", "line 2: not an instrument row"),
        (",".join(COLUMNS) + "\n" + "257,1,A,A,0,,0,0.05,1,EQ,NSE,NSE\n" * 2, "listed twice"),
    ],
)
def test_a_file_that_is_no_dump_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        load_file(file)


def test_currency_prices_keep_their_four_decimals(tmp_path: Path) -> None:
    file = tmp_path / "cds.csv"
    file.write_text(
        ",".join(COLUMNS)
        + ",previous_close\n259,1,USDINR26NOVFUT,USDINR,0,2026-11-26,0,0.0025,1,FUT,CDS-FUT,CDS,84.1225\n"
    )
    row = load_file(file, DAY).by_token[259]
    assert (row.price_scale, row.tick_size, row.previous_close) == (PRICE_SCALE[3], 25_000, 841_225_000)


def test_a_real_dump_of_the_derivatives_segment_loads() -> None:
    rows = load_file(shared_data("instruments", "kite_NFO_2026-08-10.csv.gz"), date(2026, 8, 10))
    assert len(rows) == 34_950
    row = rows.by_key["NFO:NIFTY26AUGFUT"]
    assert (row.token, row.lot_size, row.tick_size) == (14866434, 65, 10)
    assert 2_000_000 < row.previous_close < 3_000_000
