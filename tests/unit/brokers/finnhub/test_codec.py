"""What Finnhub's words mean to us."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from app.brokers.finnhub.codec import failure_from, symbol_of, tick_from
from app.brokers.quote_providers import shipped_provider
from app.domain.errors import BadAnswer, NotPermitted, RateLimited, Unreachable
from app.domain.ids import InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment

SHARE = Instrument(InstrumentId("NSE:SBIN"), 1, Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, "SBI", 5, 1)
INFO = shipped_provider("finnhub")
SUFFIXES = dict(INFO.suffixes)
ANSWER = {
    "c": Decimal("812.35"), "d": Decimal("2.35"), "dp": Decimal("0.2901"), "h": Decimal(815), "l": Decimal("808.1"),
    "o": Decimal("809.95"), "pc": Decimal(810), "t": 1_795_000_000,
}  # fmt: skip


def test_shares_go_by_their_suffix_and_nothing_else_is_asked_for() -> None:
    assert symbol_of(SHARE, SUFFIXES) == "SBIN.NS"
    assert symbol_of(replace(SHARE, id=InstrumentId("BSE:SBIN"), exchange=Exchange.BSE), SUFFIXES) == "SBIN.BO"
    assert symbol_of(replace(SHARE, kind=InstrumentKind.INDEX), SUFFIXES) is None
    future = replace(SHARE, exchange=Exchange.NFO, segment=Segment.FUTURES, kind=InstrumentKind.FUTURE)
    assert symbol_of(future, SUFFIXES) is None


def test_a_quote_has_the_day_and_the_time_of_its_trade() -> None:
    tick = tick_from(ANSWER, SHARE, 7)
    assert tick is not None
    assert (tick.last_price, tick.open, tick.high, tick.low, tick.close) == (812_35, 809_95, 815_00, 808_10, 810_00)
    assert (tick.exchange_time, tick.received_at, tick.change) == (1_795_000_000_000_000_000, 7, 2_35)


def test_zeros_are_a_symbol_that_it_does_not_know() -> None:
    assert tick_from({"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}, SHARE, 7) is None


@pytest.mark.parametrize("odd", [[], {}, {**ANSWER, "c": "x"}, {**ANSWER, "t": None}, {**ANSWER, "c": -1}])
def test_what_is_no_quote_is_no_price(odd: object) -> None:
    with pytest.raises(BadAnswer):
        tick_from(odd, SHARE, 7)


def test_each_refusal_says_what_to_do() -> None:
    poor = failure_from(403, {"error": "You don't have access to this resource."}, "")
    assert isinstance(poor, NotPermitted)
    assert "paid plan" in str(poor)
    assert "does not accept the key" in str(failure_from(401, {"error": "Invalid API key"}, ""))
    waits = failure_from(429, {"error": "API limit reached."}, "17")
    assert isinstance(waits, RateLimited)
    assert waits.retry_after == 17
    silent = failure_from(429, None, "")
    assert isinstance(silent, RateLimited)
    assert silent.retry_after == 60
    assert isinstance(failure_from(502, None, ""), Unreachable)
    assert isinstance(failure_from(418, None, ""), BadAnswer)


def test_its_dated_facts_are_read() -> None:
    assert INFO.title == "Finnhub"
    assert [(limit.amount, limit.seconds) for limit in INFO.requests] == [(60, 60), (30, 1)]
