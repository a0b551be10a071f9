"""Which instrument a recording is of, told by its file's name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal

from app.simulator.listing import Listing, Listings, band
from app.simulator.starting import SHARE_BAND, fraction

ALIASES = {
    "NIFTY": "NIFTY 50",
    "NIFTY50": "NIFTY 50",
    "BANKNIFTY": "NIFTY BANK",
    "NIFTYBANK": "NIFTY BANK",
    "INDIAVIX": "INDIA VIX",
    "RELIND": "RELIANCE",
}
"""File names of indices, and a short name of another broker."""

RECORDED_OPTIONS = {
    51414: (59100, "CE"),
    51420: (59300, "CE"),
    51460: (59500, "CE"),
    51461: (59500, "PE"),
    51498: (59700, "PE"),
    51507: (60000, "CE"),
}
"""Exchange tokens of the options recorded on 2025-12-15, whose contracts the recording does not name.

Worked out from it: last-trade quantities are multiples of 35, BANKNIFTY's lot of December 2025; 51460 and 51461 are a
call and a put with deltas +0.51 and -0.49; the price steps between the calls, over their mean delta, give the strikes'
distances. 51507 fits 60000. The expiry is that month's last Tuesday."""
RECORDED_EXPIRY = date(2025, 12, 30)
RECORDED_LOT = 35

TICKS = (500, 100, 50, 20, 10, 5, 1)
"""Tick sizes in use, in paise, largest first."""

_FEED_KEY = re.compile(r"NSE_(EQ|FO)_(\w+)")


def identify(stem: str, known: Listings) -> Listing:
    """The listing that a file is of, from its name without endings. Prices are filled in by `fitted`.

    Looked for: an Upstox feed key (`NSE_EQ_<ISIN>`, `NSE_FO_<token>`), an index, a listed symbol among the parts of
    the name; else a share of that name is made up.
    """
    match = _FEED_KEY.fullmatch(stem)
    if match is not None:
        found = _by_isin(match[2], known) if match[1] == "EQ" else _option(int(match[2]), known)
        if found is not None:
            return found
    for part in (stem, *re.split(r"[_ .-]", stem)):
        symbol = ALIASES.get(part.upper(), part.upper())
        for exchange in ("NSE", "NFO", "BSE"):
            if listing := known.by_key.get(f"{exchange}:{symbol}"):
                return listing
    made = _made_up(stem.upper())
    return replace(made, isin=match[2]) if match is not None and match[1] == "EQ" else made


def _by_isin(isin: str, known: Listings) -> Listing | None:
    return next((row for row in known.by_token.values() if row.isin == isin and row.exchange == "NSE"), None)


def _option(exchange_token: int, known: Listings) -> Listing | None:
    token = exchange_token * 256 + 2
    if exchange_token not in RECORDED_OPTIONS:
        return known.by_token.get(token)
    strike, kind = RECORDED_OPTIONS[exchange_token]
    return Listing(
        token=token,
        exchange_token=exchange_token,
        tradingsymbol=f"BANKNIFTY25DEC{strike}{kind}",
        name="BANKNIFTY",
        expiry=RECORDED_EXPIRY,
        strike=Decimal(strike),
        tick_size=5,
        lot_size=RECORDED_LOT,
        instrument_type=kind,
        segment="NFO-OPT",
        exchange="NFO",
        freeze_quantity=600,
    )


def _made_up(symbol: str) -> Listing:
    exchange_token = 100_000 + int(fraction("token " + symbol) * 60_000)
    return Listing(
        token=exchange_token * 256 + 1,
        exchange_token=exchange_token,
        tradingsymbol=symbol,
        name=symbol,
        expiry=None,
        strike=Decimal(0),
        tick_size=5,
        lot_size=1,
        instrument_type="EQ",
        segment="NSE",
        exchange="NSE",
    )


def fitted(listing: Listing, close: int, prices: Iterable[int], day_volume: int) -> Listing:
    """The listing with the recording's tick size, previous close and limits that hold all its prices."""
    low, high, common = close, close, 0
    for price in prices:
        low, high, common = min(low, price), max(high, price), math.gcd(common, price)
    if not listing.tradable:
        return replace(listing, previous_close=close, lower_circuit=0, upper_circuit=0)
    tick = next((t for t in TICKS if common % t == 0), 1) if common else listing.tick_size
    if listing.is_option:
        limits = (tick, max(3 * close, 2 * high) // tick * tick)
    else:
        lower, upper = band(close, tick, SHARE_BAND)
        limits = (min(lower, band(low, tick, 1)[0]), max(upper, band(high, tick, 1)[1]))
    return replace(
        listing,
        tick_size=tick,
        previous_close=close,
        lower_circuit=limits[0],
        upper_circuit=limits[1],
        day_volume=day_volume,
    )
