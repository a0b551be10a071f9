"""Routes of single orders, v2 and v3, and of the day's orders and trades (B6, B7)."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from app.simulator.faults import Faults
from app.simulator.order import Fill
from app.simulator.upstox import rows
from app.simulator.upstox.envelope import refuse, success
from app.simulator.upstox.gate import RECEIVED
from app.simulator.upstox.jsons import json_of
from app.simulator.upstox.trading import Trading


class OrderRoutes:
    """Handlers over one order system."""

    def __init__(self, trading: Trading, faults: Faults) -> None:
        self._trading = trading
        self._faults = faults

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        for version in ("v2", "v3"):
            router.add_post(f"/{version}/order/place", self.place, name=f"place:{version}")
            router.add_put(f"/{version}/order/modify", self.modify, name=f"modify:{version}")
            router.add_delete(f"/{version}/order/cancel", self.cancel, name=f"cancel:{version}")
        router.add_get("/v2/order/retrieve-all", self.book, name="orders")
        router.add_get("/v2/order/details", self.details, name="order:details")
        router.add_get("/v2/order/history", self.history, name="order:history")
        router.add_get("/v2/order/trades/get-trades-for-day", self.trades, name="trades")
        router.add_get("/v2/order/trades", self.order_trades, name="trades:order")

    async def place(self, request: web.Request) -> web.Response:
        """POST /v2 and /v3/order/place."""
        body = await json_of(request)
        if _is_v3(request):
            orders = self._trading.place(body, request[RECEIVED])
            return _timed(request, {"order_ids": [order.order_id for order in orders]})
        (order,) = self._trading.place({**body, "slice": False}, request[RECEIVED])
        return success({"order_id": order.order_id})

    async def modify(self, request: web.Request) -> web.Response:
        """PUT /v2 and /v3/order/modify."""
        order = self._trading.modify(await json_of(request))
        return _answer(request, {"order_id": order.order_id})

    async def cancel(self, request: web.Request) -> web.Response:
        """DELETE /v2 and /v3/order/cancel."""
        order = self._trading.cancel(request.query.get("order_id"))
        return _answer(request, {"order_id": order.order_id})

    async def book(self, _request: web.Request) -> web.Response:
        """GET /v2/order/retrieve-all."""
        return success([self._trading.row(order) for order in self._trading.oms.records.orders.values()])

    async def details(self, request: web.Request) -> web.Response:
        """GET /v2/order/details: the latest row of one order."""
        return success(self._trading.row(self._trading.order(request.query.get("order_id"))))

    async def history(self, request: web.Request) -> web.Response:
        """GET /v2/order/history: every state of an order, or of all orders with a tag; newest order last."""
        records = self._trading.oms.records
        order_id, tag = request.query.get("order_id"), request.query.get("tag")
        if not order_id and not tag:
            raise refuse("UDAPI100059", "Either order_id or tag is required")
        if order_id:
            asked = [self._trading.order(order_id)]
        else:
            asked = [order for order in records.orders.values() if order.tag == tag]
        found = list[dict[str, Any]]()
        for order in asked:
            listing = self._trading.oms.market.listings.by_token[order.token]
            number = 1
            for logged in records.history.get(order.order_id, ()):
                number += logged["status"] == "MODIFY VALIDATION PENDING"
                found.append(rows.history_row(logged, order, listing, self._trading.user_id, number))
        return success(found)

    async def trades(self, _request: web.Request) -> web.Response:
        """GET /v2/order/trades/get-trades-for-day."""
        return success([self._trade(fill) for fill in self._trading.oms.records.fills])

    async def order_trades(self, request: web.Request) -> web.Response:
        """GET /v2/order/trades."""
        order = self._trading.order(request.query.get("order_id"))
        fills = self._trading.oms.records.fills
        return success([self._trade(fill) for fill in fills if fill.order_id == order.order_id])

    def _trade(self, fill: Fill) -> dict[str, Any]:
        oms = self._trading.oms
        words = self._faults.switches.trade_time == "words"
        order = oms.records.orders.get(fill.order_id)
        return rows.trade_row(fill, order, oms.market.listings.by_token[fill.token], words=words)


def _is_v3(request: web.Request) -> bool:
    return request.path.startswith("/v3/")


def _answer(request: web.Request, data: dict[str, Any]) -> web.Response:
    return _timed(request, data) if _is_v3(request) else success(data)


def _timed(request: web.Request, data: dict[str, Any]) -> web.Response:
    """v3 order answers say how long they took, in whole milliseconds."""
    return success(data, metadata={"latency": (time.monotonic_ns() - request[RECEIVED]) // 1_000_000})
