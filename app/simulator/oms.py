"""The order system: takes orders, walks them through their statuses, fills them against quotes, keeps the account.

It owns every order, fill and the account. Decisions are in `refusals`, `matching`, `account`; this is where they are
applied, written to the book and announced. Runs on the exchange's one loop. Every change is committed before anybody can
see it; an acceptance is on the disk before it is answered.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.simulator import hours, matching, refusals
from app.simulator import order as status
from app.simulator.book import Book
from app.simulator.envelope import KiteError, bad_input, stamp
from app.simulator.faults import ORDER, Faults
from app.simulator.form import ModifyForm, OrderForm
from app.simulator.ledger import Ledger
from app.simulator.listing import Listing
from app.simulator.market import Market
from app.simulator.order import Fill, Order
from app.simulator.quote import Quote

DAY_CHANGE_HOUR = 6
"""Order book, day positions and access tokens end at 06:00 IST."""
MAX_MODIFICATIONS = 25
_SNOWFLAKE_EPOCH_MS = 1_288_834_974_657
"""Order ids since 2025 are 19 digits: milliseconds since 2010-11-04, shifted by 22 bits (the samples decode so)."""
_EXCHANGE_PREFIX = {"NSE": "13", "NFO": "20", "BSE": "17", "BFO": "18"}
_FIRST_TRADE = 10_000_000
"""Trade ids restart here every day on every exchange, so they repeat between days and exchanges."""
_IN_TRANSIT = frozenset({status.PUT_RECEIVED, status.VALIDATION_PENDING, status.OPEN_PENDING})

Announce = Callable[[dict[str, Any]], None]
"""Called with an order update, ready for the stream."""


def trading_day(now: datetime) -> str:
    """The day that ends at the next 06:00, as an ISO date."""
    return (now - timedelta(hours=DAY_CHANGE_HOUR)).date().isoformat()


class OrderSystem:
    """See the module. `announce` is called after the change is in the book."""

    def __init__(
        self,
        market: Market,
        ledger: Ledger,
        book: Book,
        faults: Faults,
        announce: Announce,
        *,
        api_secret: str,
        seed: int | None = None,
        delay: tuple[float, float] = (0.005, 0.020),
    ) -> None:
        self.market = market
        self.ledger = ledger
        self.orders: dict[str, Order] = {}
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.fills: list[Fill] = []
        self.day = trading_day(market.clock.now())
        self.placed_today = 0
        self._book = book
        self._faults = faults
        self._announce = announce
        self._api_secret = api_secret
        self._delay = delay
        self._random = random.Random(seed)
        self._live: dict[int, dict[str, Order]] = {}
        """By token: orders that are not final, in order of placing."""
        self._taken: dict[int, matching.Taken] = {}
        self._counters: dict[str, int] = {}
        self._outbox: list[dict[str, Any]] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._last_order_id = 0

    # -- requests

    def place(self, form: OrderForm, received_ns: int = 0, parent: str | None = None) -> Order:
        """Takes an order or raises KiteError. When it returns, the order survives a crash."""
        listing = self.market.listings.by_key.get(form.key)
        quote = self.market.quotes[listing.token] if listing else None
        listing = refusals.check(form, listing, quote.last_price if quote else 0, self._faults.switches)
        if not self.is_open(listing):
            raise KiteError(400, "OrderException", "Markets are closed right now. Orders are taken from 09:15.")
        order = self._new_order(form, listing, received_ns)
        if parent:
            order.system_tags += ["autoslice", f"autoslice:{parent}"]
        self._price(order, listing)
        if self._faults.switches.funds == "sync":
            self.ledger.check(order, self.live())
        self._last_order_id = int(order.order_id)
        self.placed_today += 1
        self.orders[order.order_id] = order
        self._live.setdefault(order.token, {})[order.order_id] = order
        self._log(order)
        self._flush(durable=True)
        self._later(self._at_broker, order.order_id)
        return order

    def modify(self, order_id: str, form: ModifyForm) -> Order:
        """Takes a modification; it is applied a moment later, unless the order is finished by then."""
        order = self._changeable(order_id, "modified")
        if order.change is not None or order.cancelling:
            raise KiteError(400, "OrderException", "Order cannot be modified as another request is being processed.")
        if order.modifications >= MAX_MODIFICATIONS:
            raise KiteError(400, "OrderException", "Maximum allowed order modifications exceeded.")
        change = self._change(order, form)
        order.modifications += 1
        order.change = change
        order.order_timestamp = stamp(self.market.clock.now())
        for step in (status.MODIFY_VALIDATION_PENDING, status.MODIFY_PENDING):
            order.status = step
            self._log(order)
        self._flush(durable=True)
        self._later(self._modified, order_id)
        return order

    def cancel(self, order_id: str) -> Order:
        """Takes a cancellation; fills may come before it is applied."""
        order = self._changeable(order_id, "cancelled")
        order.cancelling = True
        order.status = status.CANCEL_PENDING
        self._log(order)
        self._flush(durable=True)
        self._later(self._cancelled, order_id)
        return order

    def book_opening(self, form: OrderForm, listing: Listing) -> None:
        """A position that the account has from the start: an order filled at its price, whatever the market says."""
        order = self._new_order(form, listing, 0)
        self._last_order_id = int(order.order_id)
        order.limit = order.price
        order.exchange_order_id = self._exchange_order_id(order)
        self.orders[order.order_id] = order
        self._fill(order, matching.Execution(order.quantity, order.price))
        self._after_fill(order)
        self._outbox.clear()
        self._flush(durable=True)

    # -- the market moves

    def on_quotes(self, quotes: Sequence[Quote]) -> None:
        """Triggers and fills what the new quotes reach."""
        for quote in quotes:
            token = quote.listing.token
            self._taken.pop(token, None)
            live = self._live.get(token)
            if live:
                for order in list(live.values()):
                    if order.working:
                        self._try(order, quote)
        if self._outbox:
            self._flush()

    def release_held(self) -> None:
        """After a `partial` fault was taken away: the rest may fill."""
        for live in self._live.values():
            for order in list(live.values()):
                if order.held and not self._faults.holds(order.key):
                    order.held = 0
                    if order.working:
                        self._try(order, self.market.quotes[order.token])
        self._flush()

    def _try(self, order: Order, quote: Quote) -> None:
        if order.is_stop and not order.triggered:
            if not matching.is_triggered(order.side, quote.last_price, order.trigger_price):
                return
            order.triggered = True
            if order.order_type == "SL-M":
                order.limit = self._protected(order, quote)
            order.status = status.OPEN
            self._log(order)
            self._tell(order, status.OPEN)
        taken = self._taken.setdefault(order.token, matching.Taken())
        levels = taken.left(order.side, matching.visible(order.side, quote.depth_buy, quote.depth_sell))
        wanted = max(0, order.left - order.held)
        found = matching.match(order.side, wanted, order.limit, levels, resting=order.rests)
        taken.take(order.side, levels, found.quantity)
        for execution in found.executions:
            self._fill(order, execution)
        if levels and not found.swept and order.left:
            order.rests = True
        if found.executions:
            self._after_fill(order)

    def _fill(self, order: Order, execution: matching.Execution) -> None:
        now = self.market.clock.now()
        trade = self._count(f"trade {order.exchange}", _FIRST_TRADE)
        fill = Fill(
            trade_id=str(trade),
            order_id=order.order_id,
            exchange_order_id=order.exchange_order_id or "",
            token=order.token,
            exchange=order.exchange,
            tradingsymbol=order.tradingsymbol,
            product=order.product,
            side=order.side,
            quantity=execution.quantity,
            price=execution.price,
            fill_timestamp=stamp(now),
            order_time=now.strftime("%H:%M:%S"),
            filled_ns=time.monotonic_ns(),
        )
        self.fills.append(fill)
        self._book.put("fill", f"{len(self.fills):09d}", fill.record())
        order.filled += execution.quantity
        order.value += execution.quantity * execution.price
        order.exchange_timestamp = order.exchange_update_timestamp = fill.fill_timestamp
        self.ledger.take(fill)

    def _after_fill(self, order: Order) -> None:
        if order.left == 0:
            self._finish(order, status.COMPLETE)
        else:
            self._save(order)
            self._tell(order, status.UPDATE)

    # -- an order's way

    def _at_broker(self, order_id: str) -> None:
        order = self.orders[order_id]
        order.status = status.VALIDATION_PENDING
        self._log(order)
        fault = self._faults.strike(ORDER, instrument=order.key)
        if fault is not None and fault.name == "reject":
            self._reject(order, fault.text or "RMS: rejected by a scripted fault.")
        elif fault is not None:
            order.held = max(0, order.quantity - int(fault.seconds))
        if not order.final and self._faults.switches.funds == "late":
            try:
                self.ledger.check(order, self.live())
            except KiteError as refused:
                self._reject(order, refused.message)
        if not order.final:
            order.status = status.OPEN_PENDING
            self._log(order)
            self._later(self._at_exchange, order_id)
        self._flush()

    def _at_exchange(self, order_id: str) -> None:
        order = self.orders[order_id]
        if order.final:
            return
        order.exchange_order_id = self._exchange_order_id(order)
        order.exchange_timestamp = order.exchange_update_timestamp = stamp(self.market.clock.now())
        order.working = True
        order.status = status.TRIGGER_PENDING if order.is_stop else status.OPEN
        self._log(order)
        self._tell(order, order.status)
        self._meet(order)
        self._flush()

    def _modified(self, order_id: str) -> None:
        order = self.orders[order_id]
        change, order.change = order.change, None
        if order.final or change is None:
            return
        for name, value in change.items():
            setattr(order, name, value)
        order.modified = True
        if not order.is_stop or "trigger_price" in change or "order_type" in change:
            order.triggered = False
        order.rests = False
        self._price(order, self.market.listings.by_token[order.token])
        order.exchange_timestamp = order.exchange_update_timestamp = stamp(self.market.clock.now())
        order.status = status.MODIFIED
        self._log(order)
        order.status = status.TRIGGER_PENDING if order.is_stop and not order.triggered else status.OPEN
        self._log(order)
        self._tell(order, status.UPDATE)
        self._meet(order)
        self._flush()

    def _cancelled(self, order_id: str) -> None:
        order = self.orders[order_id]
        if order.final:
            return
        self._finish_cancelled(order)
        self._flush()

    def _meet(self, order: Order) -> None:
        """An order arrives or comes back changed: it meets the book as it stands. What an IOC leaves is cancelled."""
        if self.is_open(self.market.listings.by_token[order.token]):
            self._try(order, self.market.quotes[order.token])
        if order.validity == "IOC" and not order.final and not (order.is_stop and not order.triggered):
            self._finish_cancelled(order)

    def _finish_cancelled(self, order: Order) -> None:
        order.cancelled = order.left
        order.exchange_timestamp = order.exchange_update_timestamp = stamp(self.market.clock.now())
        self._finish(order, status.CANCELLED)

    def _reject(self, order: Order, words: str) -> None:
        order.status_message = words
        self._finish(order, status.REJECTED)

    def _finish(self, order: Order, final: str) -> None:
        order.status = final
        order.working = order.cancelling = False
        order.change = None
        self._live.get(order.token, {}).pop(order.order_id, None)
        self._log(order)
        self._tell(order, final)

    # -- checks and prices

    def _new_order(self, form: OrderForm, listing: Listing, received_ns: int) -> Order:
        now = self.market.clock.now()
        from_clock = max(10**18, (int(now.timestamp() * 1000) - _SNOWFLAKE_EPOCH_MS) << 22)
        return Order(
            order_id=str(max(from_clock, self._last_order_id + 1)),
            token=listing.token,
            exchange=listing.exchange,
            tradingsymbol=listing.tradingsymbol,
            side=form.side,
            quantity=form.quantity,
            product=form.product,
            order_type=form.order_type,
            price=form.price if form.order_type in ("LIMIT", "SL") else 0,
            trigger_price=form.trigger_price if form.order_type in ("SL", "SL-M") else 0,
            validity=form.validity,
            disclosed_quantity=form.disclosed_quantity,
            tag=form.tag,
            market_protection=float(form.market_protection or 0),
            placed_by=self.ledger.account.user_id,
            order_timestamp=stamp(now),
            received_ns=received_ns or time.monotonic_ns(),
        )

    def _price(self, order: Order, listing: Listing) -> None:
        """What the order may trade at. A MARKET order becomes a limit around the last price (A7.2)."""
        if order.order_type == "MARKET":
            order.limit = self._protected(order, self.market.quotes[listing.token])
        elif order.order_type == "SL-M":
            order.limit = 0
        else:
            order.limit = order.price

    def _protected(self, order: Order, quote: Quote) -> int:
        listing = quote.listing
        percent = Decimal(str(order.market_protection))
        if percent <= 0:
            percent = matching.band_percent(option=refusals.is_option(listing), last_price=quote.last_price)
        order.system_tags = [tag for tag in order.system_tags if not tag.startswith("mktp")]
        order.system_tags += ["mktp", f"mktp:{percent:.2f}"]
        limit = matching.protected_price(order.side, quote.last_price, percent, listing.tick_size)
        if listing.upper_circuit:
            limit = min(max(limit, listing.lower_circuit), listing.upper_circuit)
        return limit

    def _changeable(self, order_id: str, verb: str) -> Order:
        order = self.orders.get(order_id)
        if order is None:
            raise KiteError(400, "OrderException", f"Order {order_id} does not exist.")
        if order.final:
            raise KiteError(400, "OrderException", f"Order cannot be {verb}. Order is {order.status.lower()}.")
        if order.status in _IN_TRANSIT or order.cancelling:
            raise KiteError(400, "OrderException", f"Order cannot be {verb} as it is being processed. Try later.")
        return order

    def _change(self, order: Order, form: ModifyForm) -> dict[str, int | str | float]:
        listing = self.market.listings.by_token[order.token]
        switches = self._faults.switches
        kind = form.order_type or order.order_type
        quantity = order.quantity
        if form.quantity is not None:
            quantity = form.quantity + (order.filled if switches.modify_quantity == "remaining" else 0)
        price = order.price if form.price is None else form.price
        trigger = order.trigger_price if form.trigger_price is None else form.trigger_price
        if kind in ("MARKET", "SL-M") and (kind != order.order_type or form.market_protection is not None):
            refusals.check_protection(form.market_protection, switches)
        refusals.check_quantity(quantity, listing)
        if quantity <= order.filled:
            raise bad_input(f"Invalid `quantity`: {order.filled} are filled already.")
        checked = kind
        if kind == order.order_type and order.triggered:
            checked = "LIMIT" if kind == "SL" else "MARKET"
        refusals.check_prices(order.side, checked, price, trigger, listing, self.market.quotes[order.token].last_price)
        change: dict[str, int | str | float] = {"quantity": quantity, "order_type": kind}
        if kind == order.order_type and order.triggered:
            del change["order_type"]
        change["price"] = price if kind in ("LIMIT", "SL") else 0
        if kind not in ("SL", "SL-M"):
            change["trigger_price"] = 0
        elif form.trigger_price is not None and trigger != order.trigger_price:
            change["trigger_price"] = trigger
        if form.validity is not None:
            change["validity"] = form.validity
        if form.disclosed_quantity is not None:
            change["disclosed_quantity"] = form.disclosed_quantity
        if form.market_protection is not None:
            change["market_protection"] = float(form.market_protection)
        if switches.modify_margin == "fresh":
            self._fresh(order, quantity, price or trigger)
        else:
            self.ledger.check(order, self.live(), quantity, price or trigger)
        return change

    def _fresh(self, order: Order, quantity: int, price: int) -> None:
        """The switch: a changed order passes the risk check as if it stood beside itself, closing nothing."""
        twin = replace(order, order_id="", system_tags=[], filled=0, quantity=quantity - order.filled)
        self.ledger.check(twin, self.live(), None, price)

    def is_open(self, listing: Listing) -> bool:
        """Whether orders are taken and matched now."""
        return self.market.always_open or hours.is_open(listing, self.market.clock.now())

    def live(self) -> list[Order]:
        """Orders that are not final, oldest first."""
        return sorted((o for live in self._live.values() for o in live.values()), key=lambda o: int(o.order_id))

    # -- memory

    def next_day(self) -> None:
        """06:00: the order book empties, the account carries over, ids of the day begin again."""
        for order in self.live():
            order.status_message = "Cancelled at the end of the day."
            self._finish_cancelled(order)
        self.ledger.next_day(self.fills, date.fromisoformat(self.day))
        for order_id in self.orders:
            self._book.drop("order", order_id)
            self._book.drop("history", order_id)
        for number in range(1, len(self.fills) + 1):
            self._book.drop("fill", f"{number:09d}")
        self.orders.clear()
        self.history.clear()
        self.fills.clear()
        self._taken.clear()
        self._counters.clear()
        self.placed_today = 0
        self.day = trading_day(self.market.clock.now())
        self._flush(durable=True)

    def watch_day(self) -> bool:
        """Call it often: notices that the clock has passed 06:00 by running or by jumping. True when it had."""
        today = trading_day(self.market.clock.now())
        if today > self.day:
            self.next_day()
            return True
        self.day = today  # set back by hand: the same book goes on
        return False

    def load(self) -> None:
        """From the book. Orders on their way go on; a day that ended meanwhile is closed."""
        self.ledger.load()
        self.orders = {key: Order(**record) for key, record in self._book.load("order").items()}
        self.history = self._book.load("history")
        self.fills = [Fill(**record) for record in self._book.load("fill").values()]
        for record in self._book.load("oms").values():
            self.day, self._counters = record["day"], record["counters"]
            self._last_order_id, self.placed_today = record["last_order_id"], record["placed_today"]
        for order in self.orders.values():
            if order.final:
                continue
            self._live.setdefault(order.token, {})[order.order_id] = order
            if not order.working:
                step = self._at_exchange if order.status == status.OPEN_PENDING else self._at_broker
                self._later(step, order.order_id)
            elif order.change is not None:
                self._later(self._modified, order.order_id)
            elif order.cancelling:
                self._later(self._cancelled, order.order_id)
        self.watch_day()

    def close(self) -> None:
        """Stops what is on its way; it goes on when the book is loaded again."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _later(self, step: Callable[[str], None], order_id: str) -> None:
        def run() -> None:
            self._timers.discard(timer)
            if order_id in self.orders:
                step(order_id)

        seconds = self._random.uniform(*self._delay) / 2
        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)

    def _exchange_order_id(self, order: Order) -> str:
        prefix = _EXCHANGE_PREFIX.get(order.exchange, "10")
        return f"{prefix}{self._count(f'order {order.exchange}', 1):014d}"

    def _count(self, name: str, first: int) -> int:
        number = self._counters[name] = self._counters.get(name, first - 1) + 1
        return number

    def _save(self, order: Order) -> None:
        self._book.put("order", order.order_id, order.record())

    def _log(self, order: Order) -> None:
        """A new row of the order's history."""
        rows = self.history.setdefault(order.order_id, [])
        rows.append(order.history_row(self._faults.switches.market_row))
        self._book.put("history", order.order_id, rows)
        self._save(order)

    def _tell(self, order: Order, event: str) -> None:
        self._outbox.append(order.update(event, self._faults.switches.market_row, self._api_secret))

    def _flush(self, *, durable: bool = False) -> None:
        counters = {
            "day": self.day,
            "counters": self._counters,
            "last_order_id": self._last_order_id,
            "placed_today": self.placed_today,
        }
        self._book.put("oms", "counters", counters)
        self._book.commit(durable=durable)
        outbox, self._outbox = self._outbox, []
        for update in outbox:
            self._announce(update)
