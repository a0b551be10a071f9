"""Routes of orders and trades (A7.1)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from app.simulator.bodies import form_of
from app.simulator.faults import Faults
from app.simulator.kite.envelope import success
from app.simulator.kite.form import modify_form, order_form
from app.simulator.kite.server import RECEIVED
from app.simulator.legs import Legs
from app.simulator.listing import scale_of
from app.simulator.oms import OrderSystem
from app.simulator.order import Order
from app.simulator.refusal import Refused, bad_input
from app.simulator.varieties import VARIETIES

RUPEE = 100
"""Price units of what is not listed: the refusal follows."""


class OrderRoutes:
    """Handlers over one order system and what follows from its orders."""

    def __init__(self, oms: OrderSystem, legs: Legs, faults: Faults) -> None:
        self._oms = oms
        self._legs = legs
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
        """POST /orders/{variety}."""
        fields = await form_of(request)
        listing = self._oms.market.listings.by_key.get(f"{fields.get('exchange')}:{fields.get('tradingsymbol')}")
        form = order_form(fields, _variety(request), listing.price_scale if listing is not None else RUPEE)
        if form.product == "MTF":
            raise bad_input("MTF is not available on the paper exchange.")
        if form.autoslice:
            return success(self._sliced(self._legs.slices(form, request[RECEIVED])))
        return success({"order_id": self._legs.place(form, request[RECEIVED]).order_id})

    async def modify(self, request: web.Request) -> web.Response:
        """PUT /orders/{variety}/{id}."""
        order_id = self._of_variety(request)
        order = self._oms.records.orders.get(order_id)
        asked = modify_form(await form_of(request), scale_of(order.token) if order is not None else RUPEE)
        return success({"order_id": self._oms.modify(order_id, asked).order_id})

    async def cancel(self, request: web.Request) -> web.Response:
        """DELETE /orders/{variety}/{id}."""
        order_id = self._of_variety(request)
        ended = self._legs.exit(order_id) if _variety(request) == "co" else self._oms.cancel(order_id)
        return success({"order_id": ended.order_id})

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

    def _of_variety(self, request: web.Request) -> str:
        """The order that is named, which is of the variety that is named beside it (A7.4)."""
        order_id = request.match_info["order_id"]
        order = self._oms.records.orders.get(order_id)
        if order is not None and order.variety != _variety(request):
            raise bad_input(f"Invalid `variety`: order {order_id} is of variety {order.variety}.")
        return order_id

    def _sliced(self, slices: list[Order | Refused]) -> object:
        """Autoslice (A7.3) answers in two shapes; successes and failures side by side in either."""
        children = list[dict[str, Any]]()
        for child in slices:
            if isinstance(child, Refused):
                error = {"code": child.status, "error_type": child.error_type, "message": child.message}
                children.append({"error": {**error, "data": None}})
            else:
                children.append({"order_id": child.order_id})
        if self._faults.switches.autoslice_answer == "list":
            return children
        return {"order_id": children[0]["order_id"], "children": children}


def _variety(request: web.Request) -> str:
    variety = request.match_info["variety"]
    if variety not in VARIETIES:
        raise bad_input("Invalid `variety`.")
    return variety


def _unknown_order() -> Refused:
    return Refused(404, "GeneralException", "Couldn't find that `order_id`.")
