"""Upstox's quotes on request (v3 `quotes`, `ohlc`, `ltp`) to our types. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar

from app.brokers.rows import Row
from app.domain.ids import Nanos
from app.domain.instrument import Instrument
from app.domain.market import Depth, DepthLevel, Quote, Tick
from app.domain.money import Price

T = TypeVar("T")

_MS: Nanos = 1_000_000


def last_price(row: Row, one: Instrument) -> Price:
    """Of an entry of any of the three."""
    return row.price("last_price", one.price_scale)


def day(row: Row, one: Instrument, received_at: Nanos) -> Tick:
    """An entry of `ohlc` with interval `1d`: last price and the day so far. It has no previous close."""
    live = row.part("live_ohlc")
    return Tick(
        one.id,
        last_price(row, one),
        received_at,
        volume=_maybe_whole(live, "volume") if one.tradable else None,
        open=live.price("open", one.price_scale),
        high=live.price("high", one.price_scale),
        low=live.price("low", one.price_scale),
    )


def day_v2(row: Row, one: Instrument, received_at: Nanos) -> Tick:
    """The same of version 2, which has neither volume nor the interval before."""
    bars = row.part("ohlc")
    opened, high, low = (bars.price(name, one.price_scale) for name in ("open", "high", "low"))
    return Tick(one.id, last_price(row, one), received_at, open=opened, high=high, low=low)


def quote(row: Row, one: Instrument, received_at: Nanos) -> Quote:
    """An entry of `quotes`. An index has neither depth nor volume. `ohlc.close` is the last price while the session
    runs; the previous close has a field of its own, or follows from the change."""
    scale, bars = one.price_scale, row.part("ohlc")
    share = one.tradable
    tick = Tick(
        one.id,
        last_price(row, one),
        received_at,
        exchange_time=row.maybe_time("timestamp"),
        last_trade_time=_maybe_ms(row, "last_trade_time"),
        average_price=row.price("average_price", scale)
        if share and row.data.get("average_price") is not None
        else None,
        volume=_maybe_whole(row, "volume") if share else None,
        buy_quantity=_maybe_whole(row, "total_buy_quantity") if share else None,
        sell_quantity=_maybe_whole(row, "total_sell_quantity") if share else None,
        open=bars.price("open", scale),
        high=bars.price("high", scale),
        low=bars.price("low", scale),
        close=_previous_close(row, scale),
        open_interest=_maybe_whole(row, "oi") if one.expiry is not None else None,
        depth=_depth(row.part("depth"), scale) if share and row.data.get("depth") is not None else None,
    )
    return Quote(
        tick,
        lower_circuit=row.maybe_price("lower_circuit_limit", scale),
        upper_circuit=row.maybe_price("upper_circuit_limit", scale),
        open_interest_high=_maybe_whole(row, "oi_day_high"),
        open_interest_low=_maybe_whole(row, "oi_day_low"),
    )


def _previous_close(row: Row, scale: int) -> Price | None:
    if row.data.get("prev_close_price") is not None:
        return row.maybe_price("prev_close_price", scale)
    if row.data.get("net_change") is None:
        return None
    return row.price("last_price", scale) - row.price("net_change", scale)


def _maybe_whole(row: Row, key: str) -> int | None:
    return None if row.data.get(key) is None else row.whole(key)


def _maybe_ms(row: Row, key: str) -> Nanos | None:
    """Milliseconds, which come as a text."""
    number = row.number(key, Decimal(0))
    return int(number) * _MS or None


def _depth(row: Row, scale: int) -> Depth:
    return Depth(_levels(row, "buy", scale), _levels(row, "sell", scale))


def _levels(row: Row, side: str, scale: int) -> tuple[DepthLevel, ...]:
    """Padded with zeros to five a side."""
    levels = row.data.get(side)
    if not isinstance(levels, list):
        raise row.bad(side)
    found = (Row(level, "depth level") for level in levels)
    read = (DepthLevel(one.price("price", scale), one.whole("quantity"), one.whole("orders")) for one in found)
    return tuple(level for level in read if level.quantity)
