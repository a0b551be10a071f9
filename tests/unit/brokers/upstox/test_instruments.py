"""Upstox's instrument files, JSON and CSV, to rows."""

import gzip
import json
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.brokers import instrument_lines
from app.brokers.instrument_lines import beginning, unpack
from app.brokers.upstox.instruments import is_ours, pack_file, read
from app.brokers.upstox.namesakes import is_ordinary_share
from app.domain.errors import BadAnswer
from app.domain.instrument import Instrument, InstrumentKind, Segment
from app.domain.listing import InstrumentMaker
from tests.shared_data import shared_data


def read_whole(source: bytes) -> dict[str, Instrument]:
    maker = InstrumentMaker()
    made = [maker.make(row) for part in read(source) for row in part.rows]
    assert len({one.id for one in made}) == len(made), "an id twice"
    return {str(one.id): one for one in made}


def end_of(day: date) -> int:
    """Epoch milliseconds of the last second of a day in India, as the JSON gives an expiry."""
    return int(datetime(day.year, day.month, day.day, 18, 29, 59, tzinfo=UTC).timestamp() * 1000)


INFY = {
    "segment": "NSE_EQ",
    "name": "INFOSYS LIMITED",
    "exchange": "NSE",
    "isin": "INE009A01021",
    "instrument_type": "EQ",
    "instrument_key": "NSE_EQ|INE009A01021",
    "lot_size": 1,
    "freeze_quantity": 100000.0,
    "exchange_token": "1594",
    "tick_size": 10.0,
    "trading_symbol": "INFY",
    "short_name": "Infosys",
    "qty_multiplier": 1.0,
}
CALL = {
    "weekly": False,
    "segment": "NSE_FO",
    "name": "NIFTY",
    "exchange": "NSE",
    "expiry": end_of(date(2026, 11, 24)),
    "instrument_type": "CE",
    "asset_symbol": "NIFTY",
    "underlying_symbol": "NIFTY",
    "instrument_key": "NSE_FO|43919",
    "lot_size": 65,
    "freeze_quantity": 1800.0,
    "exchange_token": "43919",
    "minimum_lot": 65,
    "tick_size": 5.0,
    "trading_symbol": "NIFTY 24000 CE 24 NOV 26",
    "strike_price": 24000.0,
}
INDEX = {
    "segment": "NSE_INDEX",
    "name": "Nifty 50",
    "exchange": "NSE",
    "instrument_type": "INDEX",
    "instrument_key": "NSE_INDEX|Nifty 50",
    "exchange_token": "26000",
    "trading_symbol": "NIFTY",
}


def listed(*rows: dict[str, Any]) -> bytes:
    return json.dumps(list(rows)).encode()


def test_the_json_of_today() -> None:
    future = {**CALL, "instrument_type": "FUT", "trading_symbol": "NIFTY FUT 24 NOV 26", "strike_price": 0.0}
    weekly = {
        **CALL,
        "weekly": True,
        "expiry": end_of(date(2026, 11, 3)),
        "trading_symbol": "NIFTY 24050.5 PE 03 NOV 26",
        "instrument_type": "PE",
        "strike_price": 24050.5,
    }
    dollar = {
        **future,
        "segment": "NCD_FO",
        "instrument_key": "NCD_FO|1",
        "underlying_symbol": "USDINR",
        "tick_size": 0.25,
        "lot_size": 1,
    }
    illiquid = {**INFY, "instrument_type": "BE", "trading_symbol": "KCK", "instrument_key": "NSE_EQ|INE0J1E01027"}
    found = read_whole(listed(INFY, CALL, INDEX, future, weekly, dollar, illiquid))
    assert list(found) == [
        "NSE:INFY",
        "NFO:NIFTY26NOV24000CE",
        "NFO:NIFTY26NOVFUT",
        "NFO:NIFTY26N0324050.5PE",
        "CDS:USDINR26NOVFUT",
        "NSE:KCK-BE",
        "NSE:NIFTY 50",
    ]
    infy, call = found["NSE:INFY"], found["NFO:NIFTY26NOV24000CE"]
    assert (infy.token, infy.key, infy.tick_size, infy.kind) == (
        408_065,
        "NSE_EQ|INE009A01021",
        10,
        InstrumentKind.SHARE,
    )
    assert (call.name, call.lot_size, call.tick_size, call.expiry, call.strike, call.key) == (
        "NIFTY",
        65,
        5,
        date(2026, 11, 24),
        Decimal(24000),
        "NSE_FO|43919",
    )
    assert found["NFO:NIFTY26N0324050.5PE"].expiry == date(2026, 11, 3)
    assert (found["CDS:USDINR26NOVFUT"].tick_size, found["CDS:USDINR26NOVFUT"].price_scale) == (25_000, 10_000_000)
    assert (found["NSE:NIFTY 50"].segment, found["NSE:NIFTY 50"].tradable) == (Segment.INDEX, False)


def test_the_share_keeps_its_symbol_and_its_namesakes_do_not() -> None:
    def share(isin: str) -> dict[str, Any]:
        return {**INFY, "instrument_key": f"NSE_EQ|{isin}"}

    rights = share("INE009A14012")
    assert list(read_whole(listed(rights, INFY))) == list(read_whole(listed(INFY, rights)))
    assert list(read_whole(listed(rights, INFY))) == ["NSE:INFY", "NSE:INFY-INE009A14012"]
    bonds = read_whole(listed(share("INE009A07012"), share("INE009A07020")))
    assert list(bonds) == ["NSE:INFY-INE009A07012", "NSE:INFY-INE009A07020"]
    assert list(read_whole(listed(share("INF204KB14I2")))) == ["NSE:INFY"], "a fund alone with its symbol"
    assert [is_ordinary_share(isin) for isin in ("INE009A01021", "INE009A07012", "INF204KB14I2", "")] == [
        True,
        False,
        False,
        False,
    ]


def test_an_instrument_that_is_listed_twice_is_there_once() -> None:
    (part,) = read(listed(INFY, INFY, CALL))
    assert sorted(row[0] for row in part.rows) == ["NFO:NIFTY26NOV24000CE", "NSE:INFY"]


def test_a_mark_of_an_editor_in_front_changes_nothing() -> None:
    body = b"\xef\xbb\xbf\r\n" + json.dumps([INFY], indent=2).replace("\n", "\r\n").encode()
    (part,) = read(body)
    assert [row[0] for row in part.rows] == ["NSE:INFY"]
    assert is_ours(body)


BROKEN = {
    "a segment that nobody knows": {**INFY, "segment": "NSE_XX"},
    "a key of another segment": {**INFY, "instrument_key": "BSE_EQ|INE009A01021"},
    "no number": {**INFY, "exchange_token": "x"},
    "a text for a tick": {**INFY, "tick_size": "wide"},
    "a tick between two paise": {**INFY, "tick_size": 0.5},
    "a tick below nothing": {**INFY, "tick_size": -5},
    "a lot beyond this world": {**INFY, "lot_size": 1e300},
    "a symbol that cannot be seen": {**INFY, "trading_symbol": "IN\0FY"},
    "no symbol": {**INFY, "trading_symbol": ""},
    "a contract without an expiry": {**CALL, "expiry": None},
    "an option without a strike": {**CALL, "strike_price": 0.0},
    "a type that nobody knows": {**CALL, "instrument_type": "SWAP"},
    "no type": {key: value for key, value in CALL.items() if key != "instrument_type"},
    "an expiry outside of time": {**CALL, "expiry": 10**18},
}


@pytest.mark.parametrize("row", BROKEN.values(), ids=BROKEN)
def test_a_malformed_object_is_counted_and_the_rest_read(row: dict[str, Any]) -> None:
    (part,) = read(listed(row, INDEX))
    assert [r[0] for r in part.rows] == ["NSE:NIFTY 50"]
    assert (part.lines, part.malformed) == (2, 1)
    assert part.first_malformed


@pytest.mark.parametrize(
    "piece",
    [b"{not json}", b'{"a": "unterminated},', b'{"a" 1 "b"}', b"plain words", b'{"deep": {"deeper": {"deepest": 1}}}'],
)
def test_what_is_no_object_is_counted_and_the_rest_read(piece: bytes) -> None:
    one = json.dumps(INFY).encode()
    parts = list(read(b"[" + one + b"," + piece + b"," + json.dumps(CALL).encode() + b"]"))
    assert {row[0] for part in parts for row in part.rows} == {"NSE:INFY", "NFO:NIFTY26NOV24000CE"}
    assert sum(part.malformed for part in parts) >= 1


@pytest.mark.parametrize(
    "piece",
    [
        json.dumps({**CALL, "tick_size": 5.5}).encode(),
        json.dumps({**CALL, "tick_size": "five"}).encode(),
        json.dumps(CALL).encode().replace(b'"lot_size"', b"lot_size"),
        json.dumps(CALL).encode().replace(b"}", b""),
    ],
    ids=["a price off its steps", "another type", "no object", "one that does not end"],
)
def test_a_malformed_object_says_whose_it_is(piece: bytes) -> None:
    parts = list(read(b"[" + piece + b"," + json.dumps(INFY).encode() + b"]"))
    assert [row[0] for part in parts for row in part.rows] == ["NSE:INFY"]
    assert [name for part in parts for name in part.unread] == [CALL["instrument_key"]]


def test_markets_abroad_and_test_contracts_are_not_carried() -> None:
    abroad = {**INDEX, "segment": "GLOBAL_INDEX", "instrument_key": "GLOBAL_INDEX|DJI"}
    test = {**CALL, "trading_symbol": "011NSETEST FUT 27 NOV 36"}
    (part,) = read(listed(abroad, test, INFY))
    assert (len(part.rows), part.malformed, part.not_carried) == (1, 0, 2)


def test_objects_are_whole_wherever_the_pieces_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {**CALL, "strike_price": float(strike), "name": 'braces {} and "quotes"', "extra": {"nested": "}"}}
        for strike in range(100, 400)
    ]
    expected = list(read_whole(listed(*rows)))
    assert len(expected) == 300
    for size in (61, 97, 256):
        monkeypatch.setattr("app.brokers.upstox.instruments._PIECE", size)
        assert list(read_whole(listed(*rows))) == expected


@pytest.mark.parametrize("keep", [0.3, 0.999])
def test_a_list_that_was_cut_off_is_a_bad_answer(keep: float) -> None:
    whole = listed(*[CALL] * 2000)
    with pytest.raises(BadAnswer, match="cut off"):
        list(read(whole[: int(len(whole) * keep)]))
    packed = gzip.compress(whole)
    with pytest.raises(BadAnswer, match="cut off"):
        list(read(packed[: int(len(packed) * keep)]))


def test_a_list_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instrument_lines, "LIST_CAP", 100_000)
    with pytest.raises(BadAnswer):
        list(read(gzip.compress(listed(*[INFY] * 5000))))


@pytest.mark.parametrize("body", [b"", b"<html>error 1010</html>", b'{"status": "error"}', b"\x1f\x8bno"])
def test_what_is_no_list_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        list(read(body))
    assert not is_ours(body)


def test_the_csv_of_before_with_every_segment_kept() -> None:
    path = shared_data("instruments", "upstox_complete_2026-02-03.csv.gz")
    maker = InstrumentMaker()
    parts = [unpack(piece) for piece in pack_file(path)]
    found = {str(one.id): one for part in parts for one in map(maker.make, part.rows)}
    assert (len(found), sum(p.malformed for p in parts), sum(p.lines for p in parts)) == (204_218, 0, 204_218)
    assert Counter(one.key.partition("|")[0] for one in found.values()) == {
        "MCX_FO": 64_273,
        "NSE_COM": 48_296,
        "NSE_FO": 43_901,
        "BSE_EQ": 12_570,
        "BCD_FO": 10_508,
        "NCD_FO": 9_764,
        "NSE_EQ": 8_778,
        "BSE_FO": 5_925,
        "NSE_INDEX": 134,
        "BSE_INDEX": 69,
    }
    assert found["NSE:NIFTY 50"].key == "NSE_INDEX|Nifty 50"
    option = found["NFO:NATIONALUM26FEB355PE"]
    assert (option.name, option.expiry, option.strike, option.tick_size, option.is_stock_option) == (
        "NATIONALUM",
        date(2026, 2, 24),
        Decimal(355),
        5,
        True,
    )
    assert found["CDS:EURINR26SEP98.75PE"].tick_size == 25_000, "a quarter paisa"
    assert found["MCX:GOLDTEN26FEBFUT"].tick_size == 100, "a rupee"
    assert {found["NSE:AARTISURF"].key, found["NSE:AARTISURF-INE09EO04017"].key} == {
        "NSE_EQ|INE09EO01013",
        "NSE_EQ|INE09EO04017",
    }
    assert (found["BSE:METAL"].kind, found["BSE:METAL INDEX"].kind) == (InstrumentKind.SHARE, InstrumentKind.INDEX)
    assert is_ours(beginning(path))


def test_a_contract_has_one_id_at_both_brokers() -> None:
    from app.brokers.zerodha.instruments import read as read_kite

    kite = {
        row[0]: row for part in read_kite(shared_data("instruments", "kite_NFO_2026-08-10.csv.gz")) for row in part.rows
    }
    maker = InstrumentMaker()
    for name in ("NFO:NIFTY2681125500CE", "NFO:NIFTY26AUGFUT", "NFO:M&M26AUG3000PE"):
        theirs = maker.make(kite[name])
        assert theirs.expiry is not None
        row = {
            **CALL,
            "trading_symbol": "with spaces",
            "weekly": "26811" in name,
            "expiry": end_of(theirs.expiry),
            "instrument_type": {"future": "FUT", "call": "CE", "put": "PE"}[theirs.kind.value],
            "underlying_symbol": theirs.name,
            "strike_price": float(theirs.strike or 0),
            "exchange_token": str(theirs.token // 256),
            "instrument_key": f"NSE_FO|{theirs.token // 256}",
        }
        (ours,) = read_whole(listed(row)).values()
        assert (ours.id, ours.token, ours.name, ours.segment) == (name, theirs.token, theirs.name, theirs.segment)
