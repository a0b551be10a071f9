"""Kite's quotes on request (`/quote`, `/quote/ohlc`, `/quote/ltp`) to our types. Pure."""

from __future__ import annotations

from app.brokers.rows import PRICE_SCALE, Row
from app.domain.errors import BadAnswer
from app.domain.ids import InstrumentId, Nanos, split_instrument_id
from app.domain.instrument import Exchange
from app.domain.market import Depth, DepthLevel, Quote, Tick
from app.domain.money import Price


def scale_of(key: str) -> int:
    """Of an answer's key, `EXCHANGE:SYMBOL`. Raises BadAnswer for an exchange that cannot have been asked for."""
    exchange = split_instrument_id(InstrumentId(key))[0]
    if exchange not in PRICE_SCALE:
        raise BadAnswer("The broker quoted an exchange that was not asked for.", detail=key)
    return PRICE_SCALE[Exchange(exchange)]


def last_price_from(key: str, data: object) -> tuple[InstrumentId, Price]:
    """One entry of `/quote/ltp`."""
    return InstrumentId(key), Row(data, "quote").price("last_price", scale_of(key))


def day_from(key: str, data: object, received_at: Nanos) -> Tick:
    """One entry of `/quote/ohlc`: last price, and the day's open, high, low and previous close."""
    row, scale = Row(data, "quote"), scale_of(key)
    day = row.part("ohlc")
    return Tick(
        InstrumentId(key),
        row.price("last_price", scale),
        received_at,
        open=day.price("open", scale),
        high=day.price("high", scale),
        low=day.price("low", scale),
        close=day.price("close", scale),
    )


def quote_from(key: str, data: object, received_at: Nanos) -> Quote:
    """One entry of `/quote`. An index has neither depth nor volume."""
    row, scale = Row(data, "quote"), scale_of(key)
    day = row.part("ohlc")
    tick = Tick(
        InstrumentId(key),
        row.price("last_price", scale),
        received_at,
        exchange_time=row.maybe_time("timestamp"),
        last_trade_time=row.maybe_time("last_trade_time"),
        last_quantity=_maybe_whole(row, "last_quantity"),
        average_price=None if row.data.get("average_price") is None else row.price("average_price", scale),
        volume=_maybe_whole(row, "volume"),
        buy_quantity=_maybe_whole(row, "buy_quantity"),
        sell_quantity=_maybe_whole(row, "sell_quantity"),
        open=day.price("open", scale),
        high=day.price("high", scale),
        low=day.price("low", scale),
        close=day.price("close", scale),
        open_interest=_maybe_whole(row, "oi"),
        depth=None if row.data.get("depth") is None else _depth(row.part("depth"), scale),
    )
    return Quote(
        tick,
        lower_circuit=row.maybe_price("lower_circuit_limit", scale),
        upper_circuit=row.maybe_price("upper_circuit_limit", scale),
        open_interest_high=_maybe_whole(row, "oi_day_high"),
        open_interest_low=_maybe_whole(row, "oi_day_low"),
    )


def _maybe_whole(row: Row, key: str) -> int | None:
    return None if row.data.get(key) is None else row.whole(key)


def _depth(row: Row, scale: int) -> Depth:
    return Depth(_levels(row, "buy", scale), _levels(row, "sell", scale))


def _levels(row: Row, side: str, scale: int) -> tuple[DepthLevel, ...]:
    """Five rows a side; those without a quantity are empty places, as in the ticks."""
    levels = row.data.get(side)
    if not isinstance(levels, list):
        raise row.bad(side)
    found = (Row(level, "depth level") for level in levels)
    read = (DepthLevel(one.price("price", scale), one.whole("quantity"), one.whole("orders")) for one in found)
    return tuple(level for level in read if level.quantity)
