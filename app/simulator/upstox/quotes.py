"""Routes of quotes: full, last price, OHLC in v2 and v3, option greeks (B10).

Answers are keyed by segment and trading symbol (`NSE_EQ:INFY`), not by what was asked; the key as asked is inside.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from app.simulator.candles import DAY, Bar, aggregate, day_start, local_day
from app.simulator.clock import IST
from app.simulator.market import Market
from app.simulator.quote import Level, Quote
from app.simulator.upstox import greeks
from app.simulator.upstox.envelope import refuse, success
from app.simulator.upstox.keys import SHAPE, KeyBook, key_of, segment_of, symbol_of

MOST_KEYS, MOST_GREEKS = 500, 50
DEPTH = 5
INTERVALS = {"1d": 0, "I1": 1, "I30": 30}
"""Interval of the OHLC calls -> minutes; 0 is the day."""
YEAR_DAYS = 365
Told = Callable[[Quote], dict[str, Any]]


class QuoteRoutes:
    """Handlers over one market."""

    def __init__(self, market: Market, keys: KeyBook) -> None:
        self._market = market
        self._keys = keys

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_get("/v2/market-quote/quotes", self.full, name="quote:full")
        router.add_get("/v3/market-quote/quotes", self.full_v3, name="quote:full3")
        router.add_get("/v2/market-quote/ltp", self.ltp, name="quote:ltp")
        router.add_get("/v3/market-quote/ltp", self.ltp_v3, name="quote:ltp3")
        router.add_get("/v2/market-quote/ohlc", self.ohlc, name="quote:ohlc")
        router.add_get("/v3/market-quote/ohlc", self.ohlc_v3, name="quote:ohlc3")
        router.add_get("/v3/market-quote/option-greek", self.greeks, name="quote:greeks")

    async def full(self, request: web.Request) -> web.Response:
        """GET /v2/market-quote/quotes."""
        return success(self._each(request, "symbol", self._full))

    async def full_v3(self, request: web.Request) -> web.Response:
        """GET /v3/market-quote/quotes."""
        return success(self._each(request, "instrument_key", self._full_v3))

    async def ltp(self, request: web.Request) -> web.Response:
        """GET /v2/market-quote/ltp."""
        return success(self._each(request, "symbol", _last))

    async def ltp_v3(self, request: web.Request) -> web.Response:
        """GET /v3/market-quote/ltp."""
        return success(self._each(request, "instrument_key", _last_v3))

    async def ohlc(self, request: web.Request) -> web.Response:
        """GET /v2/market-quote/ohlc."""
        minutes = _interval(request)

        def told(quote: Quote) -> dict[str, Any]:
            bar = self._bars(quote, minutes)[-1]
            return {**_last(quote), "ohlc": _prices(bar, quote.listing.price_scale)}

        return success(self._each(request, "symbol", told))

    async def ohlc_v3(self, request: web.Request) -> web.Response:
        """GET /v3/market-quote/ohlc: the running interval, and the one before it (null for the day)."""
        minutes = _interval(request)

        def told(quote: Quote) -> dict[str, Any]:
            bars, scale = self._bars(quote, minutes), quote.listing.price_scale
            before = _bar(bars[-2], scale) if len(bars) > 1 and minutes else None
            return {**_last(quote), "prev_ohlc": before, "live_ohlc": _bar(bars[-1], scale)}

        return success(self._each(request, "instrument_key", told))

    async def greeks(self, request: web.Request) -> web.Response:
        """GET /v3/market-quote/option-greek."""

        def told(quote: Quote) -> dict[str, Any]:
            found = greeks.of(quote, self._market)
            shown = {name: getattr(found, name) for name in ("iv", "vega", "gamma", "theta", "delta")}
            return {**_last_v3(quote), **shown, "oi": float(quote.oi)}

        return success(self._each(request, "instrument_key", told, MOST_GREEKS))

    # -- parts

    def _each(self, request: web.Request, name: str, told: Told, most: int = MOST_KEYS) -> dict[str, Any]:
        """Of every key that is listed; unknown ones are left out. Raises Refused for what is no key at all."""
        asked = [key for key in request.query.get(name, "").split(",") if key]
        if not asked:
            raise refuse("UDAPI1009", f"The {name} is required", path=name)
        if len(asked) > most:
            raise refuse("UDAPI100042" if most == MOST_KEYS else "UDAPI100043", f"At most {most} keys are allowed")
        found: dict[str, Any] = {}
        for key in asked:
            if SHAPE.fullmatch(key) is None:
                raise refuse("UDAPI1011", f"The {name} is of an invalid format", path=name, value=key)
            token = self._keys.token(key)
            if token is not None:
                quote = self._market.quotes[token]
                found[f"{segment_of(quote.listing)}:{symbol_of(quote.listing)}"] = told(quote)
        return found

    def _full(self, quote: Quote) -> dict[str, Any]:
        listing, scale = quote.listing, quote.listing.price_scale
        return {
            "ohlc": {name: value / scale for name, value in _day(quote).items()},
            "depth": {"buy": _levels(quote.depth_buy, scale), "sell": _levels(quote.depth_sell, scale)},
            "timestamp": _iso(self._market.clock.now()),
            "instrument_token": key_of(listing),
            "symbol": symbol_of(listing),
            "last_price": quote.last_price / scale,
            "volume": quote.volume,
            "average_price": quote.average_price / scale,
            "oi": float(quote.oi),
            "net_change": (quote.last_price - quote.close) / scale,
            "total_buy_quantity": float(quote.buy_quantity),
            "total_sell_quantity": float(quote.sell_quantity),
            "lower_circuit_limit": listing.lower_circuit / scale,
            "upper_circuit_limit": listing.upper_circuit / scale,
            "last_trade_time": str((quote.last_trade_time or quote.timestamp) * 1000),
            "oi_day_high": float(quote.oi_day_high),
            "oi_day_low": float(quote.oi_day_low),
        }

    def _full_v3(self, quote: Quote) -> dict[str, Any]:
        row, scale = self._full(quote), quote.listing.price_scale
        now = int(self._market.clock.epoch())
        days = self._market.feed.days(quote.listing.token, now - YEAR_DAYS * DAY, now)
        highs, lows = [bar[2] for bar in days] + [quote.high], [bar[3] for bar in days] + [quote.low]
        row["ohlc"] = {**row["ohlc"], "volume": quote.volume, "ts": day_start(local_day(now)) * 1000}
        return {
            **row,
            "prev_close_price": quote.close / scale,
            "year_high": max(highs) / scale,
            "year_low": min(low for low in lows if low or len(lows) == 1) / scale,
            "previous_oi": float(days[-1][6]) if days else 0.0,
            "indicative_equilibrium_price": 0.0,
            "reference_price": 0.0,
            "indicative_equilibrium_quantity": 0,
            "indicative_imbalance_quantity_total": 0,
            "indicative_imbalance_quantity_market": 0,
            "cas_eligible": False,
        }

    def _bars(self, quote: Quote, minutes: int) -> list[Bar]:
        """Of the present day, the running one last; never empty."""
        now = int(self._market.clock.epoch())
        start = day_start(local_day(now))
        if minutes:
            token = quote.listing.token
            lived = self._market.feed.minutes(token, start, now + 1) + self._market.bars.between(token, start, now + 1)
            if bars := aggregate(lived, minutes):
                return bars
        day = _day(quote)
        return [(start, day["open"], day["high"], day["low"], day["close"], quote.volume, quote.oi)]


def _day(quote: Quote) -> dict[str, int]:
    """The running day; its close is the last price. Before the first price everything is that price."""
    opening = quote.open or quote.last_price
    return {
        "open": opening,
        "high": quote.high or opening,
        "low": quote.low or opening,
        "close": quote.last_price,
    }


def _last(quote: Quote) -> dict[str, Any]:
    return {"last_price": quote.last_price / quote.listing.price_scale, "instrument_token": key_of(quote.listing)}


def _last_v3(quote: Quote) -> dict[str, Any]:
    return {
        **_last(quote),
        "ltq": quote.last_quantity,
        "volume": quote.volume,
        "cp": quote.close / quote.listing.price_scale,
    }


def _prices(bar: Bar, scale: int) -> dict[str, float]:
    return {name: bar[place] / scale for place, name in enumerate(("open", "high", "low", "close"), start=1)}


def _bar(bar: Bar, scale: int) -> dict[str, Any]:
    return {**_prices(bar, scale), "volume": bar[5], "ts": bar[0] * 1000}


def _levels(levels: list[Level], scale: int) -> list[dict[str, Any]]:
    rows = [
        {"quantity": quantity, "price": price / scale, "orders": orders} for price, quantity, orders in levels[:DEPTH]
    ]
    return rows + [{"quantity": 0, "price": 0.0, "orders": 0}] * (DEPTH - len(rows))


def _iso(moment: datetime) -> str:
    return moment.astimezone(IST).isoformat(timespec="milliseconds")


def _interval(request: web.Request) -> int:
    text = request.query.get("interval", "")
    if not text:
        raise refuse("UDAPI1027", "The interval is required", path="interval")
    if text not in INTERVALS:
        raise refuse("UDAPI1028", "The interval is invalid", path="interval", value=text)
    return INTERVALS[text]
