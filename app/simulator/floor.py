"""What the order system stands on: market, account, records, faults; timers, the outbox, commits. Decides nothing."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

from app.simulator import hours, intake, matching
from app.simulator.faults import Faults
from app.simulator.form import OrderForm
from app.simulator.ledger import Ledger
from app.simulator.listing import Listing
from app.simulator.market import Market
from app.simulator.order import Order
from app.simulator.records import Records

Announce = Callable[[dict[str, Any]], None]
"""Called with an order update, ready for the stream."""


class Floor:
    """`announce` is called after the change is in the book. Loop thread only."""

    def __init__(
        self,
        market: Market,
        ledger: Ledger,
        records: Records,
        faults: Faults,
        announce: Announce,
        *,
        api_secret: str,
        seed: int | None = None,
        delay: tuple[float, float] = (0.005, 0.020),
    ) -> None:
        self.market = market
        self.ledger = ledger
        self.records = records
        self._faults = faults
        self._announce = announce
        self._api_secret = api_secret
        self._delay = delay
        self._random = random.Random(seed)
        self._taken: dict[int, matching.Taken] = {}
        self._outbox: list[dict[str, Any]] = []
        self._unsaved = False
        self._timers: set[asyncio.TimerHandle] = set()
        self.followers: list[Callable[[Order], None]] = []
        """Called when an order has filled or finished, before anybody is told."""
        self.checks: list[Callable[[Order], None]] = []
        """What else an order must pass, beside funds, before it is taken or changed; each raises Refused."""

    def is_open(self, listing: Listing) -> bool:
        """Whether orders are taken and matched now."""
        sleepless = self.market.always_open and self._faults.switches.hours == "feed"
        return sleepless or hours.is_open(listing, self.market.clock.now())

    def new_order(self, form: OrderForm, listing: Listing, received_ns: int) -> Order:
        """What a form asks for, with the next order id; taken or refused by the caller."""
        now = self.market.clock.now()
        order_id = self.records.next_order_id(now)
        user_id = self.ledger.account.user_id
        return intake.new_order(form, listing, order_id, user_id, now, received_ns or time.monotonic_ns())

    def close(self) -> None:
        """Stops what is on its way; it goes on when the book is loaded again."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _follow(self, order: Order) -> None:
        for follower in self.followers:
            follower(order)

    def _later(self, step: Callable[[str], None], order_id: str) -> None:
        def run() -> None:
            self._timers.discard(timer)
            if order_id in self.records.orders:
                step(order_id)

        seconds = self._random.uniform(*self._delay) / 2
        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)

    def _log(self, order: Order) -> None:
        self.records.log(order, order.history_row(self._faults.switches.market_row))

    def _tell(self, order: Order, event: str) -> None:
        self._outbox.append(order.update(event, self._faults.switches.market_row, self._api_secret))

    def _flush(self, *, durable: bool = False) -> None:
        self.records.commit(durable=durable)
        self._unsaved = False
        outbox, self._outbox = self._outbox, []
        for update in outbox:
            self._announce(update)
