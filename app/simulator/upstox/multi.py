"""Many orders in one request: place, cancel, exit all positions (B7.4). Some may fail: HTTP 207 tells of both."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aiohttp import web

from app.simulator.faults import Faults
from app.simulator.refusal import Refused
from app.simulator.upstox import form as forms
from app.simulator.upstox.envelope import INVALID_INPUT, error_row, json_response, refuse
from app.simulator.upstox.gate import RECEIVED
from app.simulator.upstox.guard import SEGMENTS
from app.simulator.upstox.jsons import any_json
from app.simulator.upstox.keys import segment_of
from app.simulator.upstox.trading import Trading

MAX_CORRELATION = 20


class MultiRoutes:
    """Handlers over one order system."""

    def __init__(self, trading: Trading, faults: Faults) -> None:
        self._trading = trading
        self._faults = faults

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        app.router.add_post("/v2/order/multi/place", self.place, name="place:multi")
        app.router.add_delete("/v2/order/multi/cancel", self.cancel, name="cancel:multi")
        app.router.add_post("/v2/order/positions/exit", self.exit, name="place:exit")

    async def place(self, request: web.Request) -> web.Response:
        """POST /v2/order/multi/place: each line for itself, perhaps every BUY before the first SELL."""
        lines = self._lines(await any_json(request))
        done, failed = list[dict[str, Any]](), list[dict[str, Any]]()
        if self._faults.switches.multi_order == "buys-first":
            lines = sorted(lines, key=lambda line: line.get("transaction_type") == "SELL")
        for line in lines:
            name = str(line["correlation_id"])
            try:
                orders = self._trading.place(line, request[RECEIVED])
            except Refused as refused:
                failed.append({"correlation_id": name, **_short(refused)})
                continue
            names = [f"{name}_{n}" for n in range(1, len(orders) + 1)] if len(orders) > 1 else [name]
            done += [{"correlation_id": n, "order_id": o.order_id} for n, o in zip(names, orders, strict=True)]
        succeeded = len(lines) - len(failed)
        summary = {"total": len(lines), "payload_error": 0, "success": succeeded, "error": len(failed)}
        return _result(done or None, failed, summary, succeeded)

    def _lines(self, document: object) -> list[dict[str, Any]]:
        if not isinstance(document, list) or not document or not all(isinstance(line, dict) for line in document):
            raise refuse(INVALID_INPUT, "Invalid Input")
        most = int(self._faults.switches.multi_lines)
        if len(document) > most:
            raise refuse("UDAPI1118", f"At most {most} orders can be placed in one request")
        names = [forms.text(line, "correlation_id") for line in document]
        if not all(names):
            raise refuse("UDAPI1114", "The correlation_id is required for every order", path="correlation_id")
        if any(len(name) > MAX_CORRELATION for name in names):
            words = f"The correlation_id cannot be longer than {MAX_CORRELATION} characters"
            raise refuse("UDAPI1115", words, path="correlation_id")
        name, count = Counter(names).most_common(1)[0]
        if count > 1:
            raise refuse("UDAPI1117", "The correlation_id must be unique", path="correlation_id", value=name)
        return document

    async def cancel(self, request: web.Request) -> web.Response:
        """DELETE /v2/order/multi/cancel: all open orders, of a tag, of a segment."""
        orders = self._trading.live(*_filter(request))
        if not orders:
            raise refuse("UDAPI100010", "There are no open orders to cancel", 404)
        done, failed = list[str](), list[dict[str, Any]]()
        for order in orders:
            try:
                done.append(self._trading.cancel(order.order_id).order_id)
            except Refused as refused:
                key = self._trading.keys.key(order.token)
                failed.append({**_short(refused), "instrument_key": key, "order_id": order.order_id})
        summary = {"total": len(orders), "success": len(done), "error": len(failed)}
        return _result({"order_ids": done}, failed, summary, len(done))

    async def exit(self, request: web.Request) -> web.Response:
        """POST /v2/order/positions/exit: market orders against every open position, but perhaps delivered shares."""
        tag, segment = _filter(request)
        oms = self._trading.oms
        by_token = oms.market.listings.by_token
        opened = [
            position
            for position in oms.ledger.account.positions.values()
            if position.quantity
            and (position.product != "CNC" or self._faults.switches.exit_delivery == "sold")
            and (segment is None or segment_of(by_token[position.token]) == segment)
            and (tag is None or self._is_tagged(position.token, position.product, tag))
        ]
        if not opened:
            raise refuse("UDAPI1111", "There are no open positions to exit")
        done, failed = list[str](), list[dict[str, Any]]()
        for position in opened:
            key = self._trading.keys.key(position.token)
            body: dict[str, object] = {
                "instrument_token": key,
                "quantity": abs(position.quantity),
                "transaction_type": "SELL" if position.quantity > 0 else "BUY",
                "product": forms.product_word(position.product),
                "order_type": "MARKET",
                "validity": "DAY",
                "price": 0,
                "trigger_price": 0,
                "market_protection": -1,
                "tag": tag,
                "slice": True,
            }
            try:
                done += [order.order_id for order in self._trading.place(body, request[RECEIVED])]
            except Refused as refused:
                failed.append({**_short(refused), "instrument_key": key, "order_id": None})
        summary = {"total": len(opened), "success": len(opened) - len(failed), "error": len(failed)}
        return _result({"order_ids": done}, failed, summary, len(opened) - len(failed))

    def _is_tagged(self, token: int, product: str, tag: str) -> bool:
        """Whether an order with this tag has traded in a position today."""
        return any(
            order.tag == tag and order.filled and (order.token, order.product) == (token, product)
            for order in self._trading.oms.records.orders.values()
        )


def _filter(request: web.Request) -> tuple[str | None, str | None]:
    segment = request.query.get("segment") or None
    if segment is not None and segment not in SEGMENTS:
        raise refuse("UDAPI1066", "The segment is invalid", path="segment", value=segment)
    return request.query.get("tag") or None, segment


def _short(refused: Refused) -> dict[str, Any]:
    row = error_row(refused)
    return {name: row[name] for name in ("error_code", "message", "property_path", "invalid_value")}


def _result(data: object, failed: list[dict[str, Any]], summary: dict[str, int], succeeded: int) -> web.Response:
    """200 when all went well, 207 when some did, 400 when none did."""
    word, status = ("success", 200) if not failed else ("partial_success", 207) if succeeded else ("error", 400)
    return json_response({"status": word, "data": data, "errors": failed or None, "summary": summary}, status)
