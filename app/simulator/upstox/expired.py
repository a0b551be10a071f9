"""Routes of contracts that have expired (B12): for Plus alone. The exchange knows those that expired while it ran.

Their key has the expiry behind it: `NSE_FO|54452|24-04-2025`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from aiohttp import web

from app.simulator.listing import Listing
from app.simulator.market import Market
from app.simulator.switches import Switches
from app.simulator.upstox.envelope import refuse, success
from app.simulator.upstox.history import Asked, candles_of
from app.simulator.upstox.instruments import contract_row, shares_of
from app.simulator.upstox.keys import KeyBook, key_of, underlying_key

INTERVALS = {
    "1minute": ("minutes", 1),
    "3minute": ("minutes", 3),
    "5minute": ("minutes", 5),
    "15minute": ("minutes", 15),
    "30minute": ("minutes", 30),
    "day": ("days", 1),
}


class ExpiredRoutes:
    """Handlers over one market."""

    def __init__(self, market: Market, keys: KeyBook, switches: Callable[[], Switches]) -> None:
        self._market = market
        self._keys = keys
        self._switches = switches

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router, folder = app.router, "/v2/expired-instruments"
        router.add_get(folder + "/expiries", self.expiries, name="expired:expiries")
        router.add_get(folder + "/option/contract", self.contracts, name="expired:options")
        router.add_get(folder + "/future/contract", self.contracts, name="expired:futures")
        router.add_get(folder + "/historical-candle/{key}/{interval}/{to}/{from}", self.candles, name="expired:candles")

    async def expiries(self, request: web.Request) -> web.Response:
        """GET …/expiries: of an underlying, oldest first."""
        found = {listing.expiry for listing in self._expired(request.query.get("instrument_key"))}
        return success(sorted(day.isoformat() for day in found if day is not None))

    async def contracts(self, request: web.Request) -> web.Response:
        """GET …/option/contract and …/future/contract."""
        self._check_plan()
        options = "/option/" in request.path
        asked = _day(request.query.get("expiry_date", ""), "expiry_date")
        shares = shares_of(self._market.listings.by_token.values())
        rows = [
            _row(listing, shares)
            for listing in self._expired(request.query.get("instrument_key"))
            if listing.expiry == asked and listing.is_option == options
        ]
        return success(rows)

    async def candles(self, request: web.Request) -> web.Response:
        """GET …/historical-candle/{key}/{interval}/{to}/{from}."""
        self._check_plan()
        path = request.match_info
        if path["interval"] not in INTERVALS:
            raise refuse("UDAPI1028", "The interval is invalid", path="interval", value=path["interval"])
        asked = Asked(*INTERVALS[path["interval"]])
        until, since = _day(path["to"], "to_date"), _day(path["from"], "from_date")
        if since > until or (until - since).days > asked.most_days:
            raise refuse("UDAPI1148", "Invalid date range", path="from_date", value=path["from"])
        return success({"candles": candles_of(self._market, self._token(path["key"]), asked, since, until)})

    def _token(self, key: str) -> int:
        plain, _, behind = key.rpartition("|")
        token = self._keys.token(plain)
        listing = self._market.listings.by_token.get(token) if token is not None else None
        if listing is None or listing.expiry is None or _key(listing) != f"{plain}|{behind}" or not self._over(listing):
            raise refuse("UDAPI100011", "Invalid Instrument key", path="expired_instrument_key", value=key)
        return listing.token

    def _expired(self, key: str | None) -> list[Listing]:
        self._check_plan()
        if not key:
            raise refuse("UDAPI1026", "The instrument key is required", path="instrument_key")
        if self._keys.token(key) is None:
            raise refuse("UDAPI100011", "Invalid Instrument key", path="instrument_key", value=key)
        listings = self._market.listings.by_token.values()
        shares = shares_of(listings)
        return [row for row in listings if self._over(row) and underlying_key(row, shares) == key]

    def _over(self, listing: Listing) -> bool:
        return listing.expiry is not None and listing.expiry < self._market.clock.now().date()

    def _check_plan(self) -> None:
        if self._switches().plus_plan != "on":
            raise refuse("UDAPI1149", "This API is available with Upstox Plus only.")


def _key(listing: Listing) -> str:
    return f"{key_of(listing)}|{listing.expiry:%d-%m-%Y}"


def _row(listing: Listing, shares: dict[str, str]) -> dict[str, Any]:
    return {**contract_row(listing, shares), "instrument_key": _key(listing)}


def _day(text: str, path: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refuse("UDAPI1088", "Invalid date", path=path, value=text) from None
