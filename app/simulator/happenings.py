"""Scripted faults that are no fault of the line: what happens at the broker between a client's requests.

A session dies; the same client trades on another terminal; the exchange withdraws a trade that was reported. Each is
tied to a request, before or after which it happens, so a test says exactly between which two reads. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from app.simulator.faults import HAPPENING, Fault, Faults
from app.simulator.form import OrderForm
from app.simulator.listing import Listing
from app.simulator.oms import OrderSystem
from app.simulator.order import Fill
from app.simulator.refusal import bad_input

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Happenings:
    """See the module. `end_sessions` ends every session of every wire."""

    def __init__(self, oms: OrderSystem, faults: Faults, end_sessions: Callable[[], Awaitable[None]]) -> None:
        self._oms = oms
        self._faults = faults
        self._end_sessions = end_sessions

    def middleware(self, route_of: Callable[[web.Request], str]) -> Middleware:
        """Outermost on a wire; `route_of` names its requests as faults know them."""

        @web.middleware
        async def between(request: web.Request, handler: Handler) -> web.StreamResponse:
            route = route_of(request)
            fault = self._faults.strike(HAPPENING, route) if route else None
            if fault is None:
                return await handler(request)
            if fault.name == "fill-after":
                answer = await handler(request)
                await self._happen(fault)
                return answer
            await self._happen(fault)
            return await handler(request)

        return between

    async def _happen(self, fault: Fault) -> None:
        if fault.name == "end-session":
            await self._end_sessions()
        elif fault.name == "withdraw":
            fills = [f for f in self._oms.records.fills if fault.about in ("", f"{f.exchange}:{f.tradingsymbol}")]
            if fills:
                self._oms.withdraw(fills[-1])
        else:
            self.trade_elsewhere(fault.about, int(float(fault.value)))

    def trade_elsewhere(self, key: str, quantity: int, product: str = "MIS") -> None:
        """The client buys (below nought: sells) on another terminal, at once and at the last price. Raises Refused."""
        listing = self._tradable(key)
        form = OrderForm(
            exchange=listing.exchange,
            tradingsymbol=listing.tradingsymbol,
            side="BUY" if quantity > 0 else "SELL",
            quantity=abs(quantity),
            product=product,
            order_type="LIMIT",
            price=self._oms.market.quotes[listing.token].last_price,
            trigger_price=0,
            validity="DAY",
            disclosed_quantity=0,
            market_protection=None,
            tag=None,
            autoslice=False,
        )
        self._oms.fill_at_once(form, listing)

    def withdraw(self, exchange: str, trade_id: str) -> None:
        """The exchange takes a trade back. Raises Refused."""
        self._oms.withdraw(self._fill(exchange, trade_id))

    def _fill(self, exchange: str, trade_id: str) -> Fill:
        for fill in self._oms.records.fills:
            if (fill.exchange, fill.trade_id) == (exchange, trade_id):
                return fill
        raise bad_input(f"There is no trade {trade_id} on {exchange}.")

    def _tradable(self, key: str) -> Listing:
        listings = self._oms.market.listings
        if not key:
            return next(listing for listing in listings.by_key.values() if listing.tradable)
        listing = listings.by_key.get(key)
        if listing is None or not listing.tradable:
            raise bad_input(f"{key} is not listed or cannot be traded.")
        return listing
