"""The exchange's own door, for programs on this machine only: clock, prices, the whole book, faults.

No client of a broker has this. A web page in a browser on this machine cannot use it either.

GET  /simulator/health   {"status", "pid", "user_id", "orders", "fills"}
GET  /simulator/clock    {"now", "epoch", "speed", "always_open"}
PUT  /simulator/clock    any of {"now": ISO, "speed": X}
PUT  /simulator/market   {"NSE:INFY": 1480.05, ...}: a trade prints at each price
GET  /simulator/book     {"orders", "history", "trades", "net", "holdings", "cash"}, no session needed
GET  /simulator/faults   {"faults": [...], "switches": {...}}
PUT  /simulator/faults   {"faults": [SPEC, ...]} replaces all; POST adds; DELETE ?id=N releases one
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from app.simulator.clock import IST
from app.simulator.faults import Faults
from app.simulator.kite import portfolio
from app.simulator.kite.envelope import json_response
from app.simulator.listing import scale_of
from app.simulator.oms import OrderSystem
from app.simulator.refusal import Refused, bad_input


class AdminRoutes:
    """Handlers over the whole exchange. `clock_changed` runs what the new time brings, before the answer."""

    def __init__(self, oms: OrderSystem, faults: Faults, clock_changed: Callable[[], Awaitable[None]]) -> None:
        self._oms = oms
        self._faults = faults
        self._clock_changed = clock_changed

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_get("/simulator/health", local(self.health))
        router.add_get("/simulator/clock", local(self.clock))
        router.add_put("/simulator/clock", local(self.set_clock))
        router.add_put("/simulator/market", local(self.set_market))
        router.add_get("/simulator/book", local(self.book))
        router.add_get("/simulator/faults", local(self.faults))
        router.add_put("/simulator/faults", local(self.set_faults))
        router.add_post("/simulator/faults", local(self.add_faults))
        router.add_delete("/simulator/faults", local(self.release_fault))

    async def health(self, _request: web.Request) -> web.Response:
        """It lives."""
        oms = self._oms
        return json_response(
            {
                "status": "ok",
                "pid": os.getpid(),
                "user_id": oms.ledger.account.user_id,
                "orders": len(oms.records.orders),
                "fills": len(oms.records.fills),
            }
        )

    async def clock(self, _request: web.Request) -> web.Response:
        """What the exchange's clock shows."""
        market = self._oms.market
        return json_response(
            {
                "now": market.clock.now().isoformat(timespec="microseconds"),
                "epoch": market.clock.epoch(),
                "speed": market.clock.speed,
                "always_open": market.always_open and self._faults.switches.hours == "feed",
            }
        )

    async def set_clock(self, request: web.Request) -> web.Response:
        """Jumps or changes speed; tokens and the order book follow at once."""
        document = await object_of(request)
        clock = self._oms.market.clock
        try:
            if "speed" in document:
                clock.speed = float(document["speed"])
            if "now" in document:
                now = datetime.fromisoformat(str(document["now"]))
                clock.set(now if now.tzinfo else now.replace(tzinfo=IST))
        except (ValueError, TypeError) as error:
            raise bad_input(f"Invalid clock: {error}.") from None
        await self._clock_changed()
        return await self.clock(request)

    async def set_market(self, request: web.Request) -> web.Response:
        """Prints trades."""
        market = self._oms.market
        prices = list[tuple[str, int]]()
        for key, value in (await object_of(request)).items():
            if key not in market.listings.by_key:
                raise bad_input(f"{key} is not listed.")
            listing = market.listings.by_key[key]
            price = _units(key, value, listing.price_scale)
            if listing.upper_circuit and not listing.lower_circuit <= price <= listing.upper_circuit:
                low, high = listing.lower_circuit / listing.price_scale, listing.upper_circuit / listing.price_scale
                raise bad_input(f"{key} cannot trade at {value}: its circuit limits are {low} and {high}.")
            prices.append((key, price))
        for key, price in prices:
            market.set_price(key, price)
        return json_response({"status": "ok"})

    async def book(self, _request: web.Request) -> web.Response:
        """Everything that the exchange knows of the client's day."""
        oms = self._oms
        account = oms.ledger.account
        shown = self._faults.switches.market_row
        orders = [
            {**order.row(shown), "limit": order.limit / scale_of(order.token), "received_ns": order.received_ns}
            for order in oms.records.orders.values()
        ]
        net = [
            portfolio.net_row(position, quote.listing, quote.last_price, quote.close)
            for position in account.positions.values()
            if (quote := oms.market.quotes.get(position.token)) is not None
        ]
        holdings = {
            quote.listing.key: holding.quantity + holding.t1_quantity
            for holding in account.holdings.values()
            if (quote := oms.market.quotes.get(holding.token)) is not None
        }
        return json_response(
            {
                "day": oms.records.day,
                "orders": orders,
                "history": oms.records.history,
                "trades": [{**fill.row(), "filled_ns": fill.filled_ns} for fill in oms.records.fills],
                "net": net,
                "holdings": holdings,
                "cash": account.cash / 100,
            }
        )

    async def faults(self, _request: web.Request) -> web.Response:
        """What is set, and how often it has struck."""
        return json_response({"faults": self._faults.rows(), "switches": self._faults.switches.as_dict()})

    async def set_faults(self, request: web.Request) -> web.Response:
        """Replaces all of them."""
        specs = _specs(await object_of(request))
        try:
            self._faults.replace(specs)
        except ValueError as error:
            raise bad_input(f"{error}") from None
        self._oms.release_held()
        return await self.faults(request)

    async def add_faults(self, request: web.Request) -> web.Response:
        """More of them."""
        try:
            for spec in _specs(await object_of(request)):
                self._faults.add(spec)
        except ValueError as error:
            raise bad_input(f"{error}") from None
        return await self.faults(request)

    async def release_fault(self, request: web.Request) -> web.Response:
        """One less; what a `partial` held back may fill."""
        text = request.query.get("id", "")
        if not text.isdigit() or self._faults.release(int(text)) is None:
            raise bad_input(f"There is no fault {text!r}.")
        self._oms.release_held()
        return await self.faults(request)


_HOSTS = frozenset({"127.0.0.1", "localhost"})
Handler = Callable[[web.Request], Awaitable[web.Response]]


def local(handler: Handler) -> Handler:
    """Answers only programs on this machine: a browser names the page's origin, or a host of its own."""

    async def guarded(request: web.Request) -> web.Response:
        host = urlsplit(f"//{request.host}").hostname
        stranger = request.remote is None or not ip_address(request.remote).is_loopback
        if stranger or host not in _HOSTS or "Origin" in request.headers:
            raise Refused(403, "PermissionException", "Only from this machine.")
        return await handler(request)

    return guarded


async def object_of(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request, its numbers exact. Raises Refused."""
    try:
        document = json.loads(await request.text(), parse_float=Decimal)
    except ValueError:
        raise bad_input("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise bad_input("Invalid JSON: an object is expected.")
    return document


def _specs(document: dict[str, Any]) -> list[str]:
    specs = document.get("faults")
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        raise bad_input('A list of texts is expected: {"faults": [SPEC, ...]}.')
    return specs


def _units(key: str, value: object, scale: int) -> int:
    try:
        units = Decimal(str(value)) * scale
        if units <= 0 or units != units.to_integral_value():
            raise bad_input(f"{key} cannot trade at {value}.")
    except InvalidOperation:
        raise bad_input(f"{key} cannot trade at {value!r}.") from None
    return int(units)
