"""The portfolio stream V2, served: JSON texts of orders, positions, holdings and triggers (B16). No replay."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from app.simulator.account import Conversion, Position
from app.simulator.faults import Faults
from app.simulator.oms import OrderSystem
from app.simulator.order import UPDATE
from app.simulator.upstox import rows
from app.simulator.upstox.line import Line, opened
from app.simulator.upstox.trading import Trading

ORDER, POSITION, HOLDING, GTT = "order", "position", "holding", "gtt_order"
TYPES = (ORDER, GTT, POSITION, HOLDING)


class PortfolioFeed:
    """All connections of the client. Lives on the loop thread."""

    def __init__(self, trading: Trading, faults: Faults) -> None:
        self._trading = trading
        self._oms: OrderSystem = trading.oms
        self._faults = faults
        self._lines: dict[Line, frozenset[str]] = {}
        self._filled: dict[str, int] = {}
        """Order -> units that its last announcement knew of."""
        self.heard: Callable[[str, dict[str, Any]], None] | None = None
        """Hears everything too (kind, document), whatever connections asked for."""

    def types(self, asked: str) -> tuple[str, ...]:
        """What a connection is told of."""
        if asked:
            return tuple(word for word in asked.split(",") if word in TYPES)
        return (ORDER,) if self._faults.switches.stream_default == "order" else TYPES

    def announce(self, update: dict[str, Any]) -> None:
        """An order as it stood when it changed; its position and holding too when it has filled."""
        order = self._oms.records.orders.get(str(update["order_id"]))
        if order is None or (not self._lines and self.heard is None):
            return
        listing = self._oms.market.listings.by_token[order.token]
        status = "open" if update["status"] == UPDATE else update["status"]
        logged = {**update, "status": status}
        row = self._trading.row(order)
        row.update(rows.history_row(logged, order, listing, self._trading.user_id, int(row["order_request_id"])))
        row["pending_quantity"] = update["unfilled_quantity"]
        self.send(ORDER, rows.order_update(row, listing, row["status"]))
        filled = int(update["filled_quantity"])
        if filled > self._filled.get(order.order_id, 0):
            self._filled[order.order_id] = filled
            self._tell_position(order.token, order.product)

    def converted(self, token: int, move: Conversion) -> None:
        """A position changed its product: both are told, the emptied one too."""
        quote, positions = self._oms.market.quotes[token], self._oms.ledger.account.positions
        for product in (move.old, move.new):
            position = positions.get((token, product)) or Position(token, product)
            self.send(POSITION, rows.position_update(position, quote.listing))

    def _tell_position(self, token: int, product: str) -> None:
        quote, account = self._oms.market.quotes[token], self._oms.ledger.account
        position = account.positions.get((token, product))
        if position is not None:
            self.send(POSITION, rows.position_update(position, quote.listing))
        holding = account.holdings.get(token)
        if product == "CNC" and position is not None and holding is not None:
            sold = max(0, position.sold - position.bought)
            row = rows.holding_row(holding, quote.listing, quote.last_price, quote.close, sold)
            self.send(HOLDING, rows.holding_update(row, quote.listing))

    def send(self, kind: str, document: dict[str, Any]) -> None:
        """To every connection that asked for the kind."""
        if self.heard is not None:
            self.heard(kind, document)
        message = json.dumps(document, separators=(",", ":"))
        for line, types in self._lines.items():
            if kind in types:
                line.send(message)

    async def handle(self, request: web.Request, types: tuple[str, ...]) -> web.StreamResponse:
        """The handshake; then only the server speaks, until the client leaves."""
        line = await opened(request)
        if line is None:
            return web.Response()
        self._lines[line] = frozenset(types)
        writer = asyncio.create_task(line.write())
        try:
            async for _ in line.socket:
                pass  # whatever a client says means nothing here
        finally:
            self._lines.pop(line, None)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return line.socket

    def drop_all(self) -> None:
        """Every line breaks, without a goodbye."""
        for line in list(self._lines):
            line.cut()

    async def close_all(self) -> None:
        """Ends every connection."""
        await asyncio.gather(*(line.close() for line in list(self._lines)))
