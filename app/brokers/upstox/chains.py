"""Upstox's option chains, Greeks and expired contracts as our types. Pure.

Volatility comes as a fraction from the Greeks call and in percent from the chain; probabilities in percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from app.brokers.rows import Row
from app.brokers.upstox.keys import Directory
from app.domain.errors import BadAnswer
from app.domain.instrument import Instrument
from app.domain.options import ChainOption, ChainStrike, GreekQuote, Greeks, OptionChain

HUNDRED = Decimal(100)


def greek_quote(row: Row, one: Instrument) -> GreekQuote:
    """An entry of `option-greek`."""
    return GreekQuote(
        one.id,
        row.price("last_price", one.price_scale),
        row.maybe_price("cp", one.price_scale),
        row.whole("volume"),
        row.whole("oi"),
        _greeks(row, row.number("iv")),
    )


def _greeks(row: Row, volatility: Decimal) -> Greeks:
    return Greeks(row.number("delta"), row.number("gamma"), row.number("theta"), row.number("vega"), volatility)


def chain_from(rows: Sequence[object], underlying: Instrument, expiry: date, directory: Directory) -> OptionChain:
    """The rows of `option/chain`. Options that no list names are left out; their names are not in the answer."""
    strikes, spot = list[ChainStrike](), 0
    for data in rows:
        row = Row(data, "option chain")
        if day_of(row.text("expiry")) != expiry:
            raise row.bad("expiry")
        spot = row.price("underlying_spot_price", underlying.price_scale)
        call, put = (_side(row, name, directory) for name in ("call_options", "put_options"))
        if call is not None or put is not None:
            strikes.append(ChainStrike(row.number("strike_price"), call, put, row.number("pcr", Decimal(0))))
    return OptionChain(underlying.id, expiry, spot, tuple(sorted(strikes, key=lambda one: one.strike)))


def _side(row: Row, name: str, directory: Directory) -> ChainOption | None:
    if row.data.get(name) is None:
        return None
    part = row.part(name)
    one = directory.by_key(part.text("instrument_key"))
    if one is None:
        return None
    market, slopes, scale = part.part("market_data"), part.part("option_greeks"), one.price_scale
    return ChainOption(
        one.id,
        market.price("ltp", scale),
        market.price("close_price", scale),
        market.whole("volume"),
        market.whole("oi"),
        market.whole("prev_oi"),
        market.price("bid_price", scale),
        market.whole("bid_qty"),
        market.price("ask_price", scale),
        market.whole("ask_qty"),
        _greeks(slopes, slopes.number("iv") / HUNDRED),
        slopes.number("pop", Decimal(0)) / HUNDRED,
    )


def expiries_from(data: object) -> list[date]:
    """Dates, oldest first. Raises BadAnswer."""
    if not isinstance(data, list) or not all(isinstance(one, str) for one in data):
        raise BadAnswer("The broker's list of expiries cannot be read.", detail=type(data).__name__)
    return sorted(day_of(one) for one in data)


def day_of(text: str) -> date:
    """`2026-11-24`, maybe with a time behind it. Raises BadAnswer."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise BadAnswer("The broker sent a date that cannot be read.", detail=text[:20]) from None
