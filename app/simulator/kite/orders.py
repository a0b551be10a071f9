"""Routes of orders and trades (A7.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiohttp import web

from app.simulator.faults import Faults
from app.simulator.form import OrderForm
from app.simulator.kite.envelope import success
from app.simulator.kite.form import modify_form, order_form
from app.simulator.kite.server import RECEIVED, form_of
from app.simulator.oms import OrderSystem
from app.simulator.refusal import Refused, bad_input
from app.simulator.refusals import slice_size

VARIETIES = ("regular", "amo", "co", "iceberg", "auction")


class OrderRoutes:
    """Handlers over one order system."""

    def __init__(self, oms: OrderSystem, faults: Faults) -> None:
        self._oms = oms
        self._faults = faults

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        app.router.add_post("/orders/{variety}", self.place, name="place")
        app.router.add_put("/orders/{variety}/{order_id}", self.modify, name="modify")
        app.router.add_delete("/orders/{variety}/{order_id}", self.cancel, name="cancel")
        app.router.add_get("/orders", self.book, name="orders")
        app.router.add_get("/orders/{order_id}", self.history, name="order")
        app.router.add_get("/orders/{order_id}/trades", self.order_trades, name="trades:order")
        app.router.add_get("/trades", self.trades, name="trades")

    async def place(self, request: web.Request) -> web.Response:
        """POST /orders/regular."""
        _check_variety(request)
        form = order_form(await form_of(request))
        most = self._slice_size(form)
        if form.autoslice and most and form.quantity > most:
            return success(self._sliced(form, most, request[RECEIVED]))
        order = self._oms.place(form, request[RECEIVED])
        if form.autoslice:
            return success({"order_id": order.order_id, "children": [{"order_id": order.order_id}]})
        return success({"order_id": order.order_id})

    async def modify(self, request: web.Request) -> web.Response:
        """PUT /orders/regular/{id}."""
        _check_variety(request)
        order = self._oms.modify(request.match_info["order_id"], modify_form(await form_of(request)))
        return success({"order_id": order.order_id})

    async def cancel(self, request: web.Request) -> web.Response:
        """DELETE /orders/regular/{id}."""
        _check_variety(request)
        return success({"order_id": self._oms.cancel(request.match_info["order_id"]).order_id})

    async def book(self, _request: web.Request) -> web.Response:
        """GET /orders."""
        shown = self._faults.switches.market_row
        return success([order.row(shown) for order in self._oms.records.orders.values()])

    async def history(self, request: web.Request) -> web.Response:
        """GET /orders/{id}."""
        rows = self._oms.records.history.get(request.match_info["order_id"])
        if rows is None:
            raise _unknown_order()
        return success(rows)

    async def trades(self, _request: web.Request) -> web.Response:
        """GET /trades."""
        return success([fill.row() for fill in self._oms.records.fills])

    async def order_trades(self, request: web.Request) -> web.Response:
        """GET /orders/{id}/trades."""
        order_id = request.match_info["order_id"]
        if order_id not in self._oms.records.orders:
            raise _unknown_order()
        return success([fill.row() for fill in self._oms.records.fills if fill.order_id == order_id])

    def _slice_size(self, form: OrderForm) -> int:
        listing = self._oms.market.listings.by_key.get(form.key)
        return slice_size(listing) if listing else 0

    def _sliced(self, form: OrderForm, most: int, received_ns: int) -> dict[str, Any]:
        """Autoslice (A7.3): every slice an order of its own; successes and failures side by side in one answer."""
        left, parent, children = form.quantity, "", list[dict[str, Any]]()
        while left > 0:
            part = replace(form, quantity=min(most, left), autoslice=False)
            left -= part.quantity
            try:
                order = self._oms.place(part, received_ns, parent)
            except Refused as refused:
                if not parent:
                    raise
                error = {"code": refused.status, "error_type": refused.error_type, "message": refused.message}
                children.append({"error": {**error, "data": None}})
            else:
                parent = parent or order.order_id
                children.append({"order_id": order.order_id})
        return {"order_id": parent, "children": children}


def _check_variety(request: web.Request) -> None:
    variety = request.match_info["variety"]
    if variety not in VARIETIES:
        raise bad_input("Invalid `variety`.")
    if variety != "regular":
        raise bad_input(f"Orders of variety {variety} are not available on the paper exchange yet; use regular.")


def _unknown_order() -> Refused:
    return Refused(404, "GeneralException", "Couldn't find that `order_id`.")
