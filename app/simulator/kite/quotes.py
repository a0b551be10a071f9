"""Routes of market data: instruments, quotes, candles (A12, A13, A14)."""

from __future__ import annotations

import asyncio
import gzip
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from app.simulator.bodies import count, whole_number
from app.simulator.candles import MAX_DAYS
from app.simulator.clock import IST
from app.simulator.figures import number, stamp
from app.simulator.kite.envelope import success
from app.simulator.market import Market
from app.simulator.quote import Level, Quote
from app.simulator.refusal import bad_input

EXCHANGES = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO", "GLOBAL", "NSEIX")
MOST_QUOTES, MOST_PRICES = 500, 1000
_DEPTH = 5


class QuoteRoutes:
    """Handlers over one market."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._dumps: dict[tuple[str, str | None], bytes] = {}

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_get("/instruments", self.instruments, name="instruments")
        router.add_get("/instruments/historical/{token}/{interval}", self.historical, name="historical")
        router.add_get("/instruments/trigger_range/{side}", self.trigger_range, name="quote:range")
        router.add_get("/instruments/{exchange}", self.instruments, name="instruments:exchange")
        router.add_get("/quote", self.quote, name="quote")
        router.add_get("/quote/ohlc", self.ohlc, name="quote:ohlc")
        router.add_get("/quote/ltp", self.ltp, name="quote:ltp")

    async def instruments(self, request: web.Request) -> web.Response:
        """GET /instruments[/{exchange}]: CSV, gzip-encoded, made once a day."""
        exchange = request.match_info.get("exchange")
        if exchange is not None and exchange not in EXCHANGES:
            raise bad_input("Invalid `exchange`.")
        today = self._market.clock.now().date().isoformat()
        key = (today, exchange)
        if key not in self._dumps:
            self._dumps = {k: v for k, v in self._dumps.items() if k[0] == today}
            text = self._market.listings.csv(exchange)
            self._dumps[key] = await asyncio.to_thread(gzip.compress, text, 6)
        return web.Response(body=self._dumps[key], content_type="text/csv", headers={"Content-Encoding": "gzip"})

    async def quote(self, request: web.Request) -> web.Response:
        """GET /quote."""
        return success({key: full_row(quote) for key, quote in self._asked(request, MOST_QUOTES).items()})

    async def ohlc(self, request: web.Request) -> web.Response:
        """GET /quote/ohlc."""
        return success(
            {
                key: {
                    "instrument_token": quote.listing.token,
                    "last_price": _price(quote, quote.last_price),
                    "ohlc": _ohlc(quote),
                }
                for key, quote in self._asked(request, MOST_PRICES).items()
            }
        )

    async def ltp(self, request: web.Request) -> web.Response:
        """GET /quote/ltp."""
        return success(
            {
                key: {"instrument_token": quote.listing.token, "last_price": _price(quote, quote.last_price)}
                for key, quote in self._asked(request, MOST_PRICES).items()
            }
        )

    async def trigger_range(self, request: web.Request) -> web.Response:
        """GET /instruments/trigger_range/{buy|sell}: legacy; the circuit limits."""
        if request.match_info["side"] not in ("buy", "sell"):
            raise bad_input("Invalid `transaction_type`.")
        return success(
            {
                key: {
                    "instrument_token": quote.listing.token,
                    "lower": _price(quote, quote.listing.lower_circuit),
                    "upper": _price(quote, quote.listing.upper_circuit),
                }
                for key, quote in self._asked(request, MOST_PRICES).items()
            }
        )

    async def historical(self, request: web.Request) -> web.Response:
        """GET /instruments/historical/{token}/{interval}."""
        interval = request.match_info["interval"]
        start, end = _moment(request, "from"), _moment(request, "to")
        if start > end:
            raise bad_input("Invalid `from` date: it lies after `to`.")
        most = MAX_DAYS.get(interval, 0)
        if most and end - start > timedelta(days=most):
            raise bad_input(f"interval exceeds max limit: {most} days")
        if request.query.get("continuous") == "1" and interval != "day":
            raise bad_input("Invalid `interval` for continuous data: only day.")
        try:
            token = whole_number(request.match_info["token"])
            candles = self._market.candles(token, interval, start, end)
        except KeyError:
            raise bad_input("invalid token") from None
        except ValueError as error:
            raise bad_input("invalid interval" if "interval" in str(error) else "invalid token") from None
        quote = self._market.quotes[token]
        with_interest = request.query.get("oi") == "1"
        rows = []
        for at, opening, high, low, close, volume, interest in candles:
            prices = (_price(quote, price) for price in (opening, high, low, close))
            row: list[Any] = [at.strftime("%Y-%m-%dT%H:%M:%S+0530"), *prices, volume]
            rows.append([*row, interest] if with_interest else row)
        return success({"candles": rows})

    def _asked(self, request: web.Request, most: int) -> dict[str, Quote]:
        """By key as asked for; what is not listed is silently missing. Tokens are taken as keys too."""
        keys = request.query.getall("i", [])
        if len(keys) > most:
            raise bad_input(f"Too many instruments: at most {most} in one request.")
        found = {}
        for key in keys:
            listing = self._market.listings.by_key.get(key)
            if listing is None and count(key) > 0:
                listing = self._market.listings.by_token.get(count(key))
            if listing is not None:
                found[key] = self._market.quotes[listing.token]
        return found


def _price(quote: Quote, price: int) -> int | float:
    return number(price / quote.listing.price_scale)


def _ohlc(quote: Quote) -> dict[str, Any]:
    return {
        "open": _price(quote, quote.open),
        "high": _price(quote, quote.high),
        "low": _price(quote, quote.low),
        "close": _price(quote, quote.close),
    }


def full_row(quote: Quote) -> dict[str, Any]:
    """A full quote (A13)."""
    row: dict[str, Any] = {
        "instrument_token": quote.listing.token,
        "timestamp": _time(quote.timestamp),
        "last_trade_time": _time(quote.last_trade_time),
        "last_price": _price(quote, quote.last_price),
        "last_quantity": quote.last_quantity,
        "buy_quantity": quote.buy_quantity,
        "sell_quantity": quote.sell_quantity,
        "volume": quote.volume,
        "average_price": _price(quote, quote.average_price),
        "oi": quote.oi,
        "oi_day_high": quote.oi_day_high,
        "oi_day_low": quote.oi_day_low,
        "net_change": number((quote.last_price - quote.close) / quote.listing.price_scale) if quote.close else 0,
        "lower_circuit_limit": _price(quote, quote.listing.lower_circuit),
        "upper_circuit_limit": _price(quote, quote.listing.upper_circuit),
        "ohlc": _ohlc(quote),
        "depth": {"buy": _levels(quote, quote.depth_buy), "sell": _levels(quote, quote.depth_sell)},
    }
    return row


def _levels(quote: Quote, levels: list[Level]) -> list[dict[str, Any]]:
    rows = [
        {"price": _price(quote, price), "quantity": quantity, "orders": orders}
        for price, quantity, orders in levels[:_DEPTH]
    ]
    return rows + [{"price": 0, "quantity": 0, "orders": 0}] * (_DEPTH - len(rows))


def _time(epoch: int) -> str | None:
    return stamp(datetime.fromtimestamp(epoch, IST)) if epoch else None


def _moment(request: web.Request, field: str) -> datetime:
    text = request.query.get(field, "")
    for shape in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, shape).replace(tzinfo=IST)
        except ValueError:
            continue
    raise bad_input(f"Invalid `{field}` date.")
