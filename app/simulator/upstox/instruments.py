"""Instrument files, search, option contracts and option chain (B12, B13).

A row of the files is one row of the list in another order: tick size in paise, expiry in epoch milliseconds at the end
of its day. Not every row with the type EQ is an ordinary share: fund units have it too, and other ISIN digits.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from typing import Any

from aiohttp import web

from app.simulator.bodies import count
from app.simulator.clock import IST
from app.simulator.listing import Listing
from app.simulator.margins import FUNDED_PERCENT
from app.simulator.market import Market
from app.simulator.quote import Quote
from app.simulator.switches import Switches
from app.simulator.upstox import greeks
from app.simulator.upstox.envelope import NOT_FOUND, refuse, success
from app.simulator.upstox.keys import (
    EXCHANGES,
    KeyBook,
    index_name,
    isin_of,
    key_of,
    segment_of,
    symbol_of,
    underlying_key,
)

FOLDER = "/market-quote/instruments/exchange"
FILES = ("complete", "NSE", "BSE", "MCX", "suspended-instrument", "MTF", "NSE_MIS", "BSE_MIS")
MOST_FOUND = 30
_MOMENTS = {"end": time(23, 59, 59), "start": time()}


class InstrumentRoutes:
    """Handlers over one market."""

    def __init__(self, market: Market, keys: KeyBook, switches: Callable[[], Switches]) -> None:
        self._switches = switches
        self._market = market
        self._keys = keys
        self._files: dict[tuple[date, str, str], bytes] = {}

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_get(FOLDER + "/{name}.json.gz", self.file, name="instruments")
        router.add_get("/v2/instruments/search", self.search, name="search")
        router.add_get("/v2/option/contract", self.contracts, name="options:contract")
        router.add_get("/v2/option/chain", self.chain, name="options:chain")

    # -- files

    async def file(self, request: web.Request) -> web.Response:
        """A JSON array inside gzip, made once a day."""
        name = request.match_info["name"]
        if name not in FILES:
            raise refuse(NOT_FOUND, "Resource not Found.", 404)
        today = self._market.clock.now().date()
        made = (today, name, self._switches().expiry_moment)
        if made not in self._files:
            self._files = {key: body for key, body in self._files.items() if key[0] == today}
            listings = self._listed()
            self._files[made] = await asyncio.to_thread(_file, name, listings, self._switches().expiry_moment)
        return web.Response(body=self._files[made], content_type="application/gzip")

    def _listed(self) -> list[Listing]:
        """Of today: what has expired is told by the calls for that alone."""
        today = self._market.clock.now().date()
        return [row for row in self._market.listings.by_token.values() if row.expiry is None or row.expiry >= today]

    def _shares(self) -> dict[str, str]:
        return shares_of(self._market.listings.by_token.values())

    # -- search

    async def search(self, request: web.Request) -> web.Response:
        """GET /v2/instruments/search."""
        query = request.query
        words = query.get("query", "").upper().split()
        filters = ("exchanges", "segments", "instrument_types")
        wanted = {name: set(query[name].split(",")) for name in filters if query.get(name)}
        number, size = _number(query.get("page_number"), 1), min(MOST_FOUND, _number(query.get("records"), MOST_FOUND))
        shares = self._shares()
        found = [
            contract_row(listing, shares)
            for listing in self._listed()
            if all(word in f"{symbol_of(listing)} {listing.name}".upper() for word in words)
            and _passes(listing, wanted)
        ]
        page = {
            "page_number": number,
            "total_pages": -(-len(found) // size),
            "records": len(found[(number - 1) * size : number * size]),
            "total_records": len(found),
        }
        return success(found[(number - 1) * size : number * size], meta_data={"page": page})

    # -- options

    async def contracts(self, request: web.Request) -> web.Response:
        """GET /v2/option/contract."""
        expiry = request.query.get("expiry_date")
        options = self._options(request.query.get("instrument_key"), _date(expiry) if expiry else None)
        shares = self._shares()
        return success([contract_row(listing, shares) for listing in options])

    async def chain(self, request: web.Request) -> web.Response:
        """GET /v2/option/chain: puts and calls of one expiry, strike by strike."""
        key, expiry = request.query.get("instrument_key"), _date(request.query.get("expiry_date", ""))
        options = self._options(key, expiry)
        spot = self._market.quotes[self._keys.token(key or "") or 0]
        by_strike: dict[float, dict[str, Quote]] = {}
        for listing in options:
            by_strike.setdefault(float(listing.strike), {})[listing.instrument_type] = self._market.quotes[
                listing.token
            ]
        rows = []
        for strike in sorted(by_strike):
            pair = by_strike[strike]
            calls, puts = pair.get("CE"), pair.get("PE")
            row: dict[str, Any] = {
                "expiry": expiry.isoformat(),
                "pcr": puts.oi / calls.oi if puts is not None and calls is not None and calls.oi else 0.0,
                "strike_price": strike,
                "underlying_key": key,
                "underlying_spot_price": spot.last_price / spot.listing.price_scale,
            }
            for side, quote in (("call_options", calls), ("put_options", puts)):
                if quote is not None:
                    row[side] = self._side(quote)
            rows.append(row)
        return success(rows)

    def _side(self, quote: Quote) -> dict[str, Any]:
        bid, ask = (levels[0] if levels else (0, 0, 0) for levels in (quote.depth_buy, quote.depth_sell))
        found, scale = greeks.of(quote, self._market), quote.listing.price_scale
        return {
            "instrument_key": key_of(quote.listing),
            "market_data": {
                "ltp": quote.last_price / scale,
                "volume": quote.volume,
                "oi": float(quote.oi),
                "close_price": quote.close / scale,
                "bid_price": bid[0] / scale,
                "bid_qty": bid[1],
                "ask_price": ask[0] / scale,
                "ask_qty": ask[1],
                "prev_oi": float(quote.oi_day_low),
            },
            "option_greeks": {
                "vega": found.vega,
                "theta": found.theta,
                "gamma": found.gamma,
                "delta": found.delta,
                "iv": found.iv * 100,
                "pop": abs(found.delta) * 100,
            },
        }

    def _options(self, key: str | None, expiry: date | None) -> list[Listing]:
        if not key:
            raise refuse("UDAPI1026", "The instrument key is required", path="instrument_key")
        if self._keys.token(key) is None:
            raise refuse("UDAPI100011", "Invalid Instrument key", path="instrument_key", value=key)
        shares = self._shares()
        return [
            row
            for row in self._listed()
            if row.is_option and expiry in (None, row.expiry) and underlying_key(row, shares) == key
        ]


def shares_of(listings: Iterable[Listing]) -> dict[str, str]:
    """Symbol of a share -> its key, NSE before BSE."""
    found: dict[str, str] = {}
    for row in listings:
        if row.tradable and row.expiry is None and (row.exchange == "NSE" or row.tradingsymbol not in found):
            found[row.tradingsymbol] = key_of(row)
    return found


def _file(name: str, listings: list[Listing], moment: str) -> bytes:
    """One of the files, packed. Takes a while for a whole market: not on the loop."""
    shares = shares_of(listings)
    if name == "suspended-instrument":
        return _packed([])
    funded = funded_of(listings)
    if name == "MTF":
        listed = [row for row in listings if is_funded(row, funded)]
    elif name in ("NSE_MIS", "BSE_MIS"):
        exchange = name.partition("_")[0]
        listed = [row for row in listings if row.exchange == exchange and row.tradable]
    else:
        listed = [row for row in listings if name in ("complete", EXCHANGES.get(segment_of(row), row.exchange))]
    return _packed(file_row(row, shares, moment, funded) for row in listed)


def funded_of(listings: Iterable[Listing]) -> frozenset[str]:
    """Shares that may be bought with the broker's money: those with derivatives."""
    return frozenset(row.underlying for row in listings if row.underlying)


def is_funded(listing: Listing, funded: frozenset[str]) -> bool:
    """Whether a listing is one of them."""
    return listing.tradable and listing.expiry is None and listing.tradingsymbol in funded


def file_row(
    listing: Listing, shares: dict[str, str], moment: str = "end", funded: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """A row of the instrument files."""
    segment = segment_of(listing)
    identity = {
        "segment": segment,
        "name": index_name(listing) if not listing.tradable else listing.name,
        "exchange": EXCHANGES.get(segment, listing.exchange),
        "instrument_type": _type(listing),
        "instrument_key": key_of(listing),
        "exchange_token": str(listing.exchange_token),
        "trading_symbol": symbol_of(listing),
    }
    if not listing.tradable:
        return identity
    # Paise, whatever the segment's price unit is; a hundredth of a paisa is the finest.
    tick = round(listing.tick_size * 100 / listing.price_scale, 4)
    sizes: dict[str, Any] = {
        "lot_size": listing.lot_size,
        "freeze_quantity": float(listing.freeze_quantity),
        "tick_size": tick,
        "qty_multiplier": 1.0,
    }
    if listing.expiry is None:
        row = {**identity, **sizes, "isin": isin_of(listing), "short_name": listing.name}
        row["mtf_enabled"] = is_funded(listing, funded)
        if row["mtf_enabled"]:
            row["mtf_bracket"] = float(FUNDED_PERCENT)
        return {**row, "security_type": "NORMAL"} if segment == "NSE_EQ" else row
    kind = "COM" if listing.exchange in ("MCX", "NCO") else "CUR" if listing.exchange in ("CDS", "BCD") else "EQUITY"
    if "_INDEX|" in underlying_key(listing, shares):
        kind = "INDEX"
    end = datetime.combine(listing.expiry, _MOMENTS[moment], IST)
    return {
        **identity,
        **sizes,
        "weekly": False,
        "expiry": int(end.timestamp()) * 1000,
        "asset_symbol": listing.underlying,
        "asset_key": underlying_key(listing, shares),
        "asset_type": kind,
        "underlying_symbol": listing.underlying,
        "underlying_key": underlying_key(listing, shares),
        "underlying_type": kind,
        "minimum_lot": listing.lot_size,
        "strike_price": float(listing.strike),
    }


def contract_row(listing: Listing, shares: dict[str, str]) -> dict[str, Any]:
    """The same as the calls show it: expiry as a date."""
    row = file_row(listing, shares)
    if listing.expiry is not None:
        row["expiry"] = listing.expiry.isoformat()
    return row


def _passes(listing: Listing, wanted: dict[str, set[str]]) -> bool:
    segment = segment_of(listing)
    exchange = EXCHANGES.get(segment, listing.exchange)
    facts = {"exchanges": exchange, "segments": segment, "instrument_types": _type(listing)}
    return all(facts[name] in words for name, words in wanted.items())


def _type(listing: Listing) -> str:
    return "INDEX" if not listing.tradable else listing.instrument_type


def _packed(rows: Iterable[dict[str, Any]]) -> bytes:
    return gzip.compress(json.dumps(list(rows), separators=(",", ":")).encode(), 6)


def _number(text: str | None, default: int) -> int:
    asked = count(text or "")
    return max(1, asked) if asked >= 0 else default


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refuse("UDAPI1088", "Invalid date", path="expiry_date", value=text) from None
