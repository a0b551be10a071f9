"""Writes what becomes of every order of ours into the journal and the audit trail, off the path of orders. Loop thread.

The intent itself is written before the wire, by whoever sends; what is learnt later may be written a moment later: a
crash in between is settled by reading the broker's list. A journal that cannot be written holds nothing back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from app.domain.errors import AppError
from app.domain.events import AuditEntry, Event, Level, Noticed
from app.domain.ids import Tag
from app.domain.intent import IntentNews
from app.domain.order import Order, OrderStatus
from app.domain.origin import placed_here
from app.domain.stop import stop_of_tag
from app.engine.account import AccountState
from app.runtime.loop import Tasks

TOGETHER_SECONDS = 0.05
"""A burst of news is one write."""
AGAIN_SECONDS = 5.0
"""After a write that failed."""

_Known = tuple[OrderStatus, str, int]


class NewsJournal(Protocol):
    """What is needed of the journal."""

    async def record_news(self, news: Sequence[IntentNews], entries: Sequence[AuditEntry]) -> None:
        """Both in one transaction. Orders that it does not know are left out."""
        ...


class OrderLog:
    """One account's."""

    def __init__(
        self, state: AccountState, journal: NewsJournal, publish: Callable[[Event], None], tasks: Tasks
    ) -> None:
        self._state = state
        self._journal = journal
        self._publish = publish
        self._tasks = tasks
        self._known: dict[tuple[str, str], _Known] = {}
        """By tag and the broker's number: slices of one order share a tag."""
        self._news: list[tuple[IntentNews, AuditEntry]] = []
        self._writing: asyncio.Task[None] | None = None
        state.on_order.append(self._on_order)

    def _on_order(self, order: Order) -> None:
        if order.tag is None or not placed_here(order):
            return
        key, now = (order.tag, order.broker_order_id), (order.status, order.broker_order_id, order.filled_quantity)
        if self._known.get(key) == now or order.status is OrderStatus.SUBMITTED:
            return  # the intent says "submitted" already
        self._known[key] = now
        at = self._state.clock.now()
        stop = stop_of_tag(order.tag)
        entry = AuditEntry(at, order.account, f"order:{order.tag}", order.status.value, _words(order), stop)
        number = order.broker_order_id or None
        news = IntentNews(Tag(order.tag), order.status, number, at, order.filled_quantity, order.changes)
        self._news.append((news, entry))
        if self._writing is None or self._writing.done():
            self._writing = self._tasks.start(self._write(), f"journal orders of {self._state.account}")

    async def flush(self) -> None:
        """Until everything that was learnt so far is written, or cannot be."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=AGAIN_SECONDS / 2)

    async def _write(self) -> None:
        while self._news:
            await asyncio.sleep(TOGETHER_SECONDS)
            batch, self._news = self._news, []
            try:
                await self._journal.record_news([news for news, _ in batch], [entry for _, entry in batch])
            except AppError as failure:
                self._news = batch + self._news
                account = self._state.account
                self._publish(
                    Noticed(
                        Level.WARNING,
                        "What became of orders could not be written down",
                        str(failure),
                        failure.next_step,
                        account,
                        f"order journal:{account}",
                    )
                )
                await asyncio.sleep(AGAIN_SECONDS)


def _words(order: Order) -> str:
    """What the audit trail says beside the status."""
    parts = [f"order {order.broker_order_id}" if order.broker_order_id else ""]
    if order.filled_quantity:
        parts.append(f"{order.filled_quantity} of {order.quantity} filled")
    if order.status_text:
        parts.append(order.status_text)
    return ", ".join(part for part in parts if part)
