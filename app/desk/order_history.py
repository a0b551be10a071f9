"""Keeps every order that the brokers tell of in the book: their own lists are of today only. Loop thread only."""

from __future__ import annotations

import asyncio
import logging

from app.desk.workspace import Workspace
from app.domain.errors import AppError
from app.domain.events import OrderChanged
from app.domain.ids import AccountId, BrokerOrderId
from app.domain.order import Order

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""A burst of news of one order is written once."""


class OrderHistory:
    """Collects news and writes it a second later, off the path of orders."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._fresh: dict[tuple[AccountId, BrokerOrderId], Order] = {}
        self._heard = asyncio.Event()

    def on_order(self, event: OrderChanged) -> None:
        """The latest word on an order."""
        order = event.order
        self._fresh[order.account, order.broker_order_id] = order
        self._heard.set()

    async def keep(self) -> None:
        """Writes until cancelled."""
        while True:
            await self._heard.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            await self.write()

    async def write(self) -> None:
        """What was heard and is not written yet. What cannot be written is kept for the next time."""
        self._heard.clear()
        told, self._fresh = self._fresh, {}
        if not told or not self._workspace.is_open:
            return
        try:
            await self._workspace.book.orders.save(list(told.values()))
        except AppError as failure:
            log.warning("orders were not written into the book: %s", failure)
            self._fresh = told | self._fresh
