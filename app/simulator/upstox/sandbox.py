"""Upstox's own practice world (B18): with a sandbox token seven order calls answer, and nothing else does.

Orders are checked and forgotten: they move no market, no book and no money, and cannot be read back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from app.simulator.refusal import Refused
from app.simulator.upstox import form as forms
from app.simulator.upstox.envelope import INVALID_INPUT, NOT_FOUND, error_row, json_response, refuse, success
from app.simulator.upstox.jsons import any_json, json_of
from app.simulator.upstox.trading import Trading


class Sandbox:
    """Answers in place of the exchange. Loop thread."""

    def __init__(self, trading: Trading) -> None:
        self._trading = trading
        self._live: dict[str, int] = {}
        """Order ids, with the units of their prices in a rupee."""
        self._last = 0

    async def answer(self, request: web.Request) -> web.Response:
        """One request by a sandbox token."""
        version, _, rest = request.path.removeprefix("/").partition("/")
        match request.method, rest:
            case "POST", "order/place":
                order_id = self._placed(await json_of(request))
                data = {"order_ids": [order_id]} if version == "v3" else {"order_id": order_id}
            case "POST", "order/multi/place" if version == "v2":
                return self._many(await any_json(request))
            case "PUT", "order/modify":
                body = await json_of(request)
                order_id = self._known(body.get("order_id"))
                forms.modify_form(body, self._trading.switches, self._live[order_id])
                data = {"order_id": order_id}
            case "DELETE", "order/cancel":
                order_id = self._known(request.query.get("order_id"))
                del self._live[order_id]
                data = {"order_id": order_id}
            case _:
                raise refuse(NOT_FOUND, "Resource not Found.", 404)
        return success(data, metadata={"latency": 0}) if version == "v3" else success(data)

    def _placed(self, body: Mapping[str, Any]) -> str:
        listing = self._trading.listing(body.get("instrument_token"))
        forms.order_form(body, listing, self._trading.switches)
        if not self._trading.oms.is_open(listing):
            raise refuse("UDAPI100057", "Order placement is not allowed: the market is closed")
        self._last += 1
        order_id = f"{self._trading.oms.market.clock.now():%y%m%d}{self._last:09d}"
        self._live[order_id] = listing.price_scale
        return order_id

    def _many(self, lines: object) -> web.Response:
        if not isinstance(lines, list) or not lines or not all(isinstance(line, dict) for line in lines):
            raise refuse(INVALID_INPUT, "Invalid Input")
        done, failed = list[dict[str, Any]](), list[dict[str, Any]]()
        for line in lines:
            name = str(line.get("correlation_id", ""))
            try:
                done.append({"correlation_id": name, "order_id": self._placed(line)})
            except Refused as refused:
                failed.append({"correlation_id": name, **error_row(refused)})
        summary = {"total": len(lines), "payload_error": 0, "success": len(done), "error": len(failed)}
        word, status = ("success", 200) if not failed else ("partial_success", 207) if done else ("error", 400)
        document = {"status": word, "data": done or None, "errors": failed or None, "summary": summary}
        return json_response(document, status)

    def _known(self, order_id: object) -> str:
        if not isinstance(order_id, str) or order_id not in self._live:
            raise refuse("UDAPI100010", "Order not found", 404, path="order_id", value=order_id)
        return order_id
