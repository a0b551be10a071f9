"""The order system: takes orders, walks them through their statuses, fills them against quotes, keeps the account.

Decisions are in `refusals`, `intake`, `matching`, `account`; this is where they are applied, recorded and announced.
Runs on the exchange's one loop. Every change is committed before anybody can see it; an acceptance is on the disk
before it is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date

from app.simulator import intake, matching, refusals, varieties
from app.simulator import order as status
from app.simulator.faults import ORDER
from app.simulator.figures import stamp
from app.simulator.form import ModifyForm, OrderForm
from app.simulator.order import Order
from app.simulator.pit import Pit
from app.simulator.quote import Quote
from app.simulator.records import trading_day
from app.simulator.refusal import Refused

Prepare = Callable[[Order], None]


class OrderSystem(Pit):
    """See the module."""

    # -- requests

    def place(self, form: OrderForm, received_ns: int = 0, prepare: Prepare | None = None) -> Order:
        """Takes an order or raises Refused. When it returns, the order survives a crash.

        `prepare` gets the new order before anything else sees it.
        """
        listing = self.market.listings.by_key.get(form.key)
        quote = self.market.quotes[listing.token] if listing else None
        listing = refusals.check(form, listing, quote.last_price if quote else 0, self._faults.switches)
        order = self.new_order(form, listing, received_ns)
        if order.variety == "amo":
            varieties.check_closed(listing, self.market.clock.now())
            order.waiting = True
        elif not self.is_open(listing):
            raise Refused(400, "OrderException", "Markets are closed right now. Orders are taken from 09:15.")
        else:
            intake.set_limit(order, self.market.quotes[order.token])
        if prepare is not None:
            prepare(order)
        if self._faults.switches.funds == "sync":
            self.ledger.check(order, self.records.beside(order), self.records.live)
        for passes in self.checks:
            passes(order)
        return self.take(order)

    def take(self, order: Order) -> Order:
        """An order that passed its checks: it is in the book, and on its way or waiting."""
        self.records.add(order)
        self._log(order)
        if order.waiting:
            order.status = status.AMO_RECEIVED
            self._log(order)
            self._tell(order, status.AMO_RECEIVED)
        else:
            self._later(self._at_broker, order.order_id)
        self._flush(durable=True)
        return order

    def modify(self, order_id: str, form: ModifyForm) -> Order:
        """Takes a modification; it is applied a moment later, unless the order is finished by then."""
        order = intake.changeable(self.records.orders.get(order_id), order_id, "modified")
        quote, switches = self.market.quotes[order.token], self._faults.switches
        change = intake.change_of(order, form, quote, switches)
        changed = replace(order, system_tags=[])
        intake.apply(changed, change)
        intake.set_limit(changed, quote)
        if switches.modify_margin == "fresh":
            # the switch: it passes the risk check as if the old order stood beside it
            changed = replace(changed, order_id="", filled=0, quantity=changed.left)
        self.ledger.check(changed, self.records.beside(changed), self.records.live)
        for passes in self.checks:
            passes(changed)
        self.begin_change(order, change)
        return order

    def begin_change(self, order: Order, change: intake.Change) -> None:
        """A change that passed its checks is on its way."""
        order.modifications += 1
        order.change = change
        order.order_timestamp = stamp(self.market.clock.now())
        for step in (status.MODIFY_VALIDATION_PENDING, status.MODIFY_PENDING):
            order.status = step
            self._log(order)
        self._flush(durable=True)
        self._later(self._modified, order.order_id)

    def grow(self, order: Order, quantity: int) -> None:
        """More of an order that another one's fills ask for."""
        order.quantity = quantity
        self._log(order)
        self._tell(order, status.UPDATE)

    def cancel(self, order_id: str) -> Order:
        """Takes a cancellation; fills may come before it is applied."""
        order = intake.changeable(self.records.orders.get(order_id), order_id, "cancelled")
        order.cancelling = True
        order.status = status.CANCEL_PENDING
        self._log(order)
        self._flush(durable=True)
        self._later(self._cancelled, order_id)
        return order

    # -- the market moves

    def on_quotes(self, quotes: Sequence[Quote]) -> None:
        """Triggers and fills what the new quotes reach."""
        for quote in quotes:
            token = quote.listing.token
            self._taken.pop(token, None)
            for order in self.records.live_of(token):
                if order.working:
                    self._try(order, quote)
        if self._outbox or self._unsaved:
            self._flush()

    def release_held(self) -> None:
        """After a `partial` fault was taken away: the rest may fill."""
        for order in self.records.live():
            if order.held and not self._faults.holds(order.key):
                order.held = 0
                if order.working:
                    self._try(order, self.market.quotes[order.token])
        self._flush()

    def on_clock(self) -> None:
        """Call it often: the day's end, orders that waited for the market to open, orders whose time is over."""
        self.watch_day()
        now = self.market.clock.now()
        for order in self.records.timed():
            if order.waiting and order.change is None and not order.cancelling:
                if varieties.is_session(self.market.listings.by_token[order.token], now):
                    order.waiting = False
                    intake.set_limit(order, self.market.quotes[order.token])
                    self._later(self._at_broker, order.order_id)
            elif order.working and 0 < order.expires_at <= now.timestamp():
                self._finish_cancelled(order)
        if self._outbox:
            self._flush()

    def _try(self, order: Order, quote: Quote) -> None:
        if order.auction_number:
            return
        if order.is_stop and not order.triggered:
            if not matching.is_triggered(order.side, quote.last_price, order.trigger_price):
                return
            order.triggered = True
            intake.set_limit(order, quote)
            order.status = status.CANCEL_PENDING if order.cancelling else status.OPEN
            self._log(order)
            self._tell(order, status.OPEN)
        if self._faults.switches.self_match == "on":
            self._match_own(order)
        taken = self._taken.setdefault(order.token, matching.Taken())
        levels = taken.left(order.side, matching.visible(order.side, quote.depth_buy, quote.depth_sell))
        wanted = max(0, order.left - order.held)
        found = matching.match(order.side, wanted, order.limit, levels, resting=order.rests)
        taken.take(order.side, levels, found.quantity)
        for execution in found.executions:
            self._fill(order, execution)
        if levels and not found.swept and order.left and not order.rests:
            order.rests = True
            self.records.save(order)
            self._unsaved = True
        if found.executions:
            self._after_fill(order)
        if order.validity == "IOC" and not order.final:
            self._finish_cancelled(order)

    def _match_own(self, order: Order) -> None:
        """Both sides of a trade are the client's own: one trade id for two fills (the resting order's price)."""
        for other in self.records.beside(order):
            if other.side == order.side or not (other.working and other.rests) or other.auction_number:
                continue
            units = min(order.left - order.held, other.left - other.held)
            if units <= 0 or not matching.crosses(order.side, order.limit, other.limit):
                continue
            trade_id = self.records.next_trade_id(order.exchange)
            for side in (other, order):
                self._fill(side, matching.Execution(units, other.limit), trade_id)
                self._after_fill(side)

    # -- an order's way

    def _at_broker(self, order_id: str) -> None:
        order = self.records.orders[order_id]
        order.status = status.VALIDATION_PENDING
        self._log(order)
        fault = self._faults.strike(ORDER, instrument=order.key)
        if fault is not None and fault.name == "reject":
            self._reject(order, fault.text or "RMS: rejected by a scripted fault.")
        elif fault is not None:
            lot = refusals.traded_in(self.market.listings.by_token[order.token])
            order.held = max(0, order.quantity - -(-int(fault.seconds) // lot) * lot)
        if not order.final and self._faults.switches.funds == "late":
            try:
                self.ledger.check(order, self.records.beside(order), self.records.live)
            except Refused as refused:
                self._reject(order, refused.message)
        if not order.final:
            order.status = status.OPEN_PENDING
            self._log(order)
            self._later(self._at_exchange, order_id)
        self._flush()

    def _at_exchange(self, order_id: str) -> None:
        order = self.records.orders[order_id]
        if order.final:
            return
        order.exchange_order_id = self.records.next_exchange_order_id(order.exchange)
        order.exchange_timestamp = order.exchange_update_timestamp = stamp(self.market.clock.now())
        order.working = True
        order.status = status.TRIGGER_PENDING if order.is_stop else status.OPEN
        self._log(order)
        self._tell(order, order.status)
        self._meet(order)
        self._flush()

    def _modified(self, order_id: str) -> None:
        order = self.records.orders[order_id]
        change, order.change = order.change, None
        if order.final or change is None:
            return
        intake.apply(order, change)
        order.modified = True
        intake.set_limit(order, self.market.quotes[order.token])
        order.exchange_timestamp = order.exchange_update_timestamp = stamp(self.market.clock.now())
        order.status = status.MODIFIED
        self._log(order)
        if order.waiting:
            order.limit, order.exchange_timestamp, order.status = 0, None, status.AMO_RECEIVED
            self._log(order)
            self._flush()
            return
        order.status = status.TRIGGER_PENDING if order.is_stop and not order.triggered else status.OPEN
        if order.cancelling:
            order.status = status.CANCEL_PENDING
        self._log(order)
        self._tell(order, status.UPDATE)
        if order.left <= 0:  # it filled past the new quantity while the change was on its way
            self._finish(order, status.COMPLETE)
        else:
            self._meet(order)
        self._flush()

    def _cancelled(self, order_id: str) -> None:
        order = self.records.orders[order_id]
        if order.final:
            return
        self._finish_cancelled(order)
        self._flush()

    def _meet(self, order: Order) -> None:
        """An order arrives or comes back changed: it meets the book as it stands."""
        if self.is_open(self.market.listings.by_token[order.token]):
            self._try(order, self.market.quotes[order.token])

    # -- days and memory

    def next_day(self) -> None:
        """06:00: the order book empties but for what waits for the market; the account carries over, ids begin anew."""
        for order in self.records.live():
            if order.waiting:
                continue
            order.status_message = "Cancelled at the end of the day."
            self._finish_cancelled(order)
        brokers = {order.order_id: order.broker for order in self.records.orders.values()}
        self.ledger.next_day(self.records.fills, date.fromisoformat(self.records.day), brokers)
        self.records.begin_day(trading_day(self.market.clock.now()))
        self._taken.clear()
        self._flush(durable=True)

    def watch_day(self) -> bool:
        """Call it often: notices that the clock has passed 06:00 by running or by jumping. True when it had."""
        today = trading_day(self.market.clock.now())
        if today > self.records.day:
            self.next_day()
            return True
        self.records.day = today  # set back by hand: the same book goes on
        return False

    def load(self) -> None:
        """From the book. Orders on their way go on; a day that ended meanwhile is closed."""
        self.ledger.load()
        self.records.load()
        for order in self.records.live():
            if not self._faults.holds(order.key):
                order.held = 0
            if not order.working and not order.waiting:
                step = self._at_exchange if order.status == status.OPEN_PENDING else self._at_broker
                self._later(step, order.order_id)
            if order.change is not None:
                self._later(self._modified, order.order_id)
            if order.cancelling:
                self._later(self._cancelled, order.order_id)
        self.watch_day()
