"""What the market feed says of one instrument, in each mode (B15). Pure.

A replayed recording of this very feed is passed on as it was recorded; everything else is told from the quote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.simulator.candles import Bar, day_start, local_day
from app.simulator.market import Market
from app.simulator.quote import Quote
from app.simulator.upstox import greeks
from app.simulator.upstox.proto import Message

LTPC, FULL, GREEKS, D30 = "ltpc", "full", "option_greeks", "full_d30"
MODES = (LTPC, FULL, GREEKS, D30)
WORDS = {LTPC: "ltpc", FULL: "full_d5", GREEKS: "option_greeks", D30: "full_d30"}
"""Mode as asked for -> as answered."""
LOOK_BACK = 600
"""Seconds in which the last whole minute is looked for."""


def feed(quote: Quote, mode: str, market: Market) -> Message:
    """The Feed message of one instrument."""
    word = WORDS[mode]
    body = _recorded(quote) or _told(quote, market, with_rest=mode != LTPC)
    if mode == LTPC:
        return {"ltpc": body["ltpc"], "requestMode": word}
    if mode == GREEKS:
        return {"firstLevelWithGreeks": _first_level(body), "requestMode": word}
    kind = "marketFF" if quote.listing.tradable else "indexFF"
    return {"fullFeed": {kind: body}, "requestMode": word}


def _recorded(quote: Quote) -> Mapping[str, Any] | None:
    if quote.recorded is None:
        return None
    full: Mapping[str, Any] = quote.recorded["fullFeed"]
    body: Mapping[str, Any] = full.get("marketFF") or full["indexFF"]
    return body


def _first_level(body: Mapping[str, Any]) -> Message:
    levels = (body.get("marketLevel") or {}).get("bidAskQuote") or [{}]
    first = {name: body[name] for name in ("ltpc", "optionGreeks", "vtt", "oi", "iv") if name in body}
    return {**first, "firstDepth": levels[0]}


def _told(quote: Quote, market: Market, *, with_rest: bool) -> dict[str, Any]:
    scale = quote.listing.price_scale
    ltpc: dict[str, Any] = {
        "ltp": quote.last_price / scale,
        "ltt": (quote.last_trade_time or quote.timestamp) * 1000,
        "ltq": quote.last_quantity,
        "cp": quote.close / scale,
    }
    if not with_rest:
        return {"ltpc": ltpc}
    body: dict[str, Any] = {"ltpc": ltpc, "marketOHLC": {"ohlc": _candles(quote, market)}}
    if not quote.listing.tradable:
        return body
    found = greeks.of(quote, market)
    sides = range(max(len(quote.depth_buy), len(quote.depth_sell)))
    return {
        **body,
        "marketLevel": {"bidAskQuote": [_level(quote, place) for place in sides]},
        "optionGreeks": {
            "delta": found.delta,
            "theta": found.theta,
            "gamma": found.gamma,
            "vega": found.vega,
            "rho": found.rho,
        },
        "atp": quote.average_price / scale,
        "vtt": quote.volume,
        "oi": float(quote.oi),
        "iv": found.iv,
        "tbq": float(quote.buy_quantity),
        "tsq": float(quote.sell_quantity),
    }


def _level(quote: Quote, place: int) -> Message:
    level: dict[str, object] = {}
    for levels, count, price in ((quote.depth_buy, "bidQ", "bidP"), (quote.depth_sell, "askQ", "askP")):
        if place < len(levels):
            level[count], level[price] = levels[place][1], levels[place][0] / quote.listing.price_scale
    return level


def _candles(quote: Quote, market: Market) -> list[Message]:
    """Of the day so far, and of the last whole minute."""
    now, scale = int(market.clock.epoch()), quote.listing.price_scale
    day: dict[str, object] = {
        "interval": "1d",
        "open": quote.open / scale,
        "high": quote.high / scale,
        "low": quote.low / scale,
        "close": quote.last_price / scale,
        "vol": quote.volume,
        "ts": day_start(local_day(now)) * 1000,
    }
    minute = now // 60 * 60
    whole = market.bars.between(quote.listing.token, minute - LOOK_BACK, minute)
    return [day, candle("I1", whole[-1], scale)] if whole else [day]


def candle(interval: str, bar: Bar, scale: int) -> Message:
    """A bar as the feed writes it."""
    start, opening, high, low, close, volume, _ = bar
    return {
        "interval": interval,
        "open": opening / scale,
        "high": high / scale,
        "low": low / scale,
        "close": close / scale,
        "vol": volume,
        "ts": start * 1000,
    }
