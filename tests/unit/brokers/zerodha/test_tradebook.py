"""The Console's tradebook file: its exchanges, its identities, and files that are something else."""

from __future__ import annotations

import re

import pytest

from app.brokers.zerodha.mapping import fill_from_row
from app.brokers.zerodha.tradebook import read_tradebook
from app.domain.errors import BadAnswer, Denied
from app.domain.fill import Source
from app.domain.ids import AccountId
from app.domain.instrument import InstrumentKind, Product, Segment

A = AccountId("zerodha-AB1234")
HEAD = (
    "symbol,isin,trade_date,exchange,segment,series,trade_type,auction,quantity,price,trade_id,order_id,"
    "order_execution_time"
)
SHARE = (
    "INFY,INE009A01021,2026-11-20,NSE,EQ,EQ,sell,false,10.000000,1500.050000,30000001,1100000000000042,"
    "2026-11-20T09:16:01"
)


def book(*lines: str) -> str:
    return "\n".join((HEAD, *lines, ""))


def test_a_share_has_the_identity_that_the_api_gives_it() -> None:
    (past,) = read_tradebook("\ufeff" + book(SHARE), A)
    from_api = fill_from_row(
        {
            "trade_id": "30000001", "order_id": "1100000000000042", "exchange": "NSE", "tradingsymbol": "INFY",
            "product": "CNC", "average_price": 1500.05, "quantity": 10, "transaction_type": "SELL",
            "fill_timestamp": "2026-11-20 09:16:01",
        },
        A,
    )  # fmt: skip
    assert past.fill.id == from_api.id
    assert (past.fill.price, past.fill.filled_at) == (from_api.price, from_api.filled_at)
    assert past.fill.source is Source.FILE
    assert past.order_known
    assert past.time_known
    assert not past.product_known  # the file does not say


def test_derivatives_are_named_as_the_api_names_them() -> None:
    option = "NIFTY26NOV26000CE,,2026-11-20,NSE,FO,,buy,false,75.000000,120.500000,5,6,2026-11-20T10:00:00"
    future = "SENSEX26NOVFUT,,2026-11-20,BSE,FO,,buy,false,20.000000,84000.000000,5,7,"
    first, second = read_tradebook(book(option, future), A)
    assert (first.fill.instrument, first.fill.segment, first.fill.kind, first.fill.product) == (
        "NFO:NIFTY26NOV26000CE", Segment.OPTIONS, InstrumentKind.CALL, Product.NRML,
    )  # fmt: skip
    assert second.fill.instrument == "BFO:SENSEX26NOVFUT"
    assert not second.time_known


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (SHARE.replace("NSE", "NASDAQ"), "exchange: 'NASDAQ'"),
        (SHARE.replace("sell", "gift"), "trade_type: 'gift' is neither buy nor sell"),
        (SHARE.replace("10.000000", "0.5"), "quantity: '0.5'"),
        (SHARE.replace("10.000000", "-10"), "quantity: '-10'"),
        (SHARE.replace("1500.050000", '"1,500.05"'), "price: '1,500.05' is no price like 1500.05"),
        (SHARE.replace("1500.050000", "-1"), "price: '-1'"),
        (SHARE.replace("2026-11-20,", "20-11-2026,"), "trade_date: '20-11-2026' is no date like"),
        (SHARE.replace("2026-11-20T", "2026-11-19T"), "order_execution_time: .* is not on the trade date"),
        (SHARE.replace("30000001", ""), "trade_id: ''"),
        (SHARE + ",more", "more fields than the first line"),
    ],
)
def test_a_line_that_cannot_be_read_refuses_the_file_and_its_column_is_named(line: str, named: str) -> None:
    with pytest.raises(BadAnswer, match=r"Line 3 .* nothing was imported") as bad:
        read_tradebook(book(SHARE, line), A)
    assert re.search(named, str(bad.value)), str(bad.value)


def test_a_comma_at_the_end_is_no_field() -> None:
    assert len(read_tradebook(book(SHARE + ","), A)) == 1


def test_what_is_no_csv_with_commas_is_called_so() -> None:
    with pytest.raises(Denied, match="not separated by commas"):
        read_tradebook(book(SHARE).replace(",", ";"), A)
    with pytest.raises(Denied, match="The file is empty"):
        read_tradebook("\ufeff\r\n", A)


def test_another_file_is_refused_by_what_it_lacks() -> None:
    with pytest.raises(Denied, match=r"lacks .*order_id.*trade_id"):
        read_tradebook("symbol,isin,quantity\nINFY,x,1\n", A)
