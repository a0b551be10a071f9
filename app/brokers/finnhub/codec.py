"""Finnhub's `/quote` to our types. Pure.

An answer is `{"c": last, "d": change, "dp": percent, "h": high, "l": low, "o": open, "pc": previous close, "t": seconds
of the last trade}`; a symbol that it does not know comes with zeros and nulls, and status 200. Errors are
`{"error": words}` with 401 (key), 403 (the plan lacks it, 401 in older answers) or 429. Indian shares are `SBIN.NS` and
`SBIN.BO` and need a paid plan. (Finnhub API documentation, and its issues 363, 405, 513.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.brokers.rows import Row, to_price
from app.domain.errors import BadAnswer, BrokerError, NotPermitted, RateLimited, Unreachable, printable
from app.domain.ids import Nanos
from app.domain.instrument import Instrument, InstrumentKind, Segment
from app.domain.market import Tick

SECOND: Nanos = 1_000_000_000
RETRY_AFTER = 60.0
"""Seconds after a 429 that does not say."""


def symbol_of(instrument: Instrument, suffixes: Mapping[str, str]) -> str | None:
    """`SBIN.NS`; None for what Finnhub does not quote: derivatives, indices, other exchanges."""
    suffix = suffixes.get(instrument.exchange.value)
    if suffix is None or instrument.segment is not Segment.EQUITY or instrument.kind is not InstrumentKind.SHARE:
        return None
    return f"{instrument.symbol}{suffix}"


def tick_from(answer: object, instrument: Instrument, received_at: Nanos) -> Tick | None:
    """None for a symbol that it does not know. Raises BadAnswer."""
    row = Row(answer, "quote")
    seconds = row.whole("t")
    if not seconds or not row.number("c"):
        return None
    if seconds < 0 or row.number("c") < 0:
        raise row.bad("c")

    def price(key: str) -> int | None:
        value = row.data.get(key)
        return None if value is None else to_price(row.number(key), instrument.price_scale)

    return Tick(
        instrument.id,
        to_price(row.number("c"), instrument.price_scale),
        received_at,
        exchange_time=seconds * SECOND,
        last_trade_time=seconds * SECOND,
        open=price("o"),
        high=price("h"),
        low=price("l"),
        close=price("pc"),
    )


def failure_from(status: int, answer: Mapping[str, Any] | None, retry_after: str) -> BrokerError:
    """What an answer that is not 200 means, in words."""
    told = printable(str((answer or {}).get("error") or ""))
    if status == 429:
        seconds = float(retry_after) if retry_after.isdecimal() else RETRY_AFTER
        return RateLimited("Finnhub asks for a pause: its request limit is used up.", retry_after=seconds)
    if status in (401, 403):
        if "access" in told:
            return NotPermitted(
                "Finnhub's plan of this key has no prices of Indian exchanges.",
                "Indian shares need a paid plan; without one, switch Finnhub off.",
            )
        return NotPermitted("Finnhub does not accept the key.", "Copy it again from finnhub.io, Dashboard.")
    if status >= 500:
        return Unreachable(f"Finnhub does not answer now ({status}).", "It is asked again by itself.")
    return BadAnswer(f"Finnhub refused a quote ({status}).", detail=told)
