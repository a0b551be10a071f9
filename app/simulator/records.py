"""The day's orders, their histories and fills, in memory and in the book. Holds them; decides nothing.

Owned by the order system; runs on the loop thread.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from app.simulator import intake
from app.simulator.book import Book
from app.simulator.order import Fill, Order

DAY_CHANGE_HOUR = 6
"""Order book, day positions and access tokens end at 06:00 IST."""
_EXCHANGE_PREFIX = {"NSE": "13", "NFO": "20", "BSE": "17", "BFO": "18"}
_FIRST_TRADE = 10_000_000
"""Trade ids restart here every day on every exchange, so they repeat between days and exchanges."""


def trading_day(now: datetime) -> str:
    """The day that ends at the next 06:00, as an ISO date."""
    return (now - timedelta(hours=DAY_CHANGE_HOUR)).date().isoformat()


class Records:
    """See the module. Nothing is on disk before `commit`."""

    def __init__(self, book: Book, day: str) -> None:
        self.orders: dict[str, Order] = {}
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.fills: list[Fill] = []
        self._fill_keys: list[str] = []
        """Their keys in the book."""
        self.past: dict[str, list[Fill]] = {}
        """Fills of earlier days, by day."""
        self.day = day
        self.placed_today = 0
        """Placements asked for, refused ones included."""
        self._book = book
        self._live: dict[int, dict[str, Order]] = {}
        """By token: orders that are not final, in order of placing."""
        self._open: dict[str, Order] = {}
        """The same by id, in order of placing."""
        self._timed: dict[str, Order] = {}
        """Those of them that wait for the market or end at a time of their own."""
        self._counters: dict[str, int] = {}
        self._last_order_id = 0

    # -- asked

    def live(self) -> list[Order]:
        """Orders that are not final, oldest first."""
        return list(self._open.values())

    def live_of(self, token: int) -> list[Order]:
        """The same of one instrument."""
        found = self._live.get(token)
        return list(found.values()) if found else []

    def timed(self) -> list[Order]:
        """Open orders to which the clock alone does something."""
        return list(self._timed.values()) if self._timed else []

    def beside(self, order: Order) -> list[Order]:
        """Other open orders of the same instrument."""
        return [o for o in self.live_of(order.token) if o.order_id != order.order_id]

    # -- numbers

    def next_order_id(self, now: datetime) -> int:
        """What the next order is called; taken when it is added."""
        return intake.next_order_id(now, self._last_order_id)

    def next_exchange_order_id(self, exchange: str) -> str:
        """16 digits, counted daily."""
        return f"{_EXCHANGE_PREFIX.get(exchange, '10')}{self._count(f'order {exchange}', 1):014d}"

    def next_trade_id(self, exchange: str) -> str:
        """Counted daily on each exchange."""
        return str(self._count(f"trade {exchange}", _FIRST_TRADE))

    def _count(self, name: str, first: int) -> int:
        number = self._counters[name] = self._counters.get(name, first - 1) + 1
        return number

    # -- changed

    def add(self, order: Order) -> None:
        """A new order."""
        self._last_order_id = int(order.order_id)
        self.orders[order.order_id] = order
        self._is_open(order)

    def _is_open(self, order: Order) -> None:
        self._live.setdefault(order.token, {})[order.order_id] = order
        self._open[order.order_id] = order
        if order.waiting or order.expires_at:
            self._timed[order.order_id] = order

    def finish(self, order: Order) -> None:
        """It is final."""
        self._live.get(order.token, {}).pop(order.order_id, None)
        self._open.pop(order.order_id, None)
        self._timed.pop(order.order_id, None)

    def log(self, order: Order, row: dict[str, Any]) -> None:
        """The order as it is now, and one more row of its history."""
        rows = self.history.setdefault(order.order_id, [])
        rows.append(row)
        self._book.put("history", order.order_id, rows)
        self.save(order)

    def save(self, order: Order) -> None:
        """The order as it is now."""
        self._book.put("order", order.order_id, order.record())

    def add_fill(self, fill: Fill) -> None:
        """A new fill."""
        self.fills.append(fill)
        self._fill_keys.append(f"{self._count('fill row', 1):09d}")
        self._book.put("fill", self._fill_keys[-1], fill.record())

    def drop_fill(self, fill: Fill) -> None:
        """It never was."""
        place = self.fills.index(fill)
        del self.fills[place]
        self._book.drop("fill", self._fill_keys.pop(place))

    def begin_day(self, day: str) -> None:
        """Forgets the day's orders but those that wait, keeps its fills as past; ids begin again, but for order ids."""
        kept = [(order, self.history[order.order_id]) for order in self.live() if order.waiting]
        if self.fills:
            self.past[self.day] = list(self.fills)
            self._book.put("past", self.day, [fill.record() for fill in self.fills])
        for order_id in self.orders:
            self._book.drop("order", order_id)
            self._book.drop("history", order_id)
        for key in self._fill_keys:
            self._book.drop("fill", key)
        self._fill_keys.clear()
        self.orders.clear()
        self.history.clear()
        self.fills.clear()
        self._live.clear()
        self._open.clear()
        self._timed.clear()
        self._counters.clear()
        self.placed_today = 0
        self.day = day
        for order, rows in kept:
            self.orders[order.order_id], self.history[order.order_id] = order, rows
            self._is_open(order)
            self._book.put("history", order.order_id, rows)
            self.save(order)

    # -- memory

    def commit(self, *, durable: bool) -> None:
        """Everything so far in one transaction, the account's changes included."""
        counters = {
            "day": self.day,
            "counters": self._counters,
            "last_order_id": self._last_order_id,
            "placed_today": self.placed_today,
        }
        self._book.put("oms", "counters", counters)
        self._book.commit(durable=durable)

    def load(self) -> None:
        """From the book."""
        self.orders = {key: Order(**record) for key, record in self._book.load("order").items()}
        self.history = self._book.load("history")
        fills = self._book.load("fill")
        self.fills, self._fill_keys = [Fill(**record) for record in fills.values()], list(fills)
        self.past = {day: [Fill(**row) for row in rows] for day, rows in self._book.load("past").items()}
        for record in self._book.load("oms").values():
            self.day, self._counters = record["day"], record["counters"]
            self._counters.setdefault("fill row", len(self.fills))
            self._last_order_id, self.placed_today = record["last_order_id"], record["placed_today"]
        for order in self.orders.values():
            if not order.final:
                self._is_open(order)
