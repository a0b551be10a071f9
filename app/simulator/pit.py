"""Where orders fill and finish: what a fill or an end does to records, account and listeners. Loop thread only."""

from __future__ import annotations

import time

from app.simulator import matching
from app.simulator import order as status
from app.simulator.figures import stamp
from app.simulator.floor import Floor
from app.simulator.form import OrderForm
from app.simulator.listing import Listing
from app.simulator.order import Fill, Order


class Pit(Floor):
    """See the module."""

    def refuse(self, order: Order, words: str) -> None:
        """An order that was never asked for by itself does not pass its checks: REJECTED, in the book."""
        self.records.add(order)
        self._log(order)
        self._reject(order, words)
        self._flush(durable=True)

    def fill_at_once(self, form: OrderForm, listing: Listing, *, told: bool = True) -> None:
        """An order that is filled at its price, whatever the market says: of another terminal, or, untold, of an
        opening position.
        """
        order = self.new_order(form, listing, 0)
        order.limit = order.price
        order.own_app = False
        order.exchange_order_id = self.records.next_exchange_order_id(order.exchange)
        order.exchange_timestamp = stamp(self.market.clock.now())
        self.records.add(order)
        self._log(order)
        self._fill(order, matching.Execution(order.quantity, order.price))
        self._after_fill(order)
        if not told:
            self._outbox.clear()
        self._flush(durable=True)

    def withdraw(self, fill: Fill) -> None:
        """The exchange takes a trade back that was reported: trade, position and order are as if it had not been."""
        order = self.records.orders[fill.order_id]
        self.records.drop_fill(fill)
        self.ledger.take_back(fill)
        order.filled -= fill.quantity
        order.value -= fill.quantity * fill.price
        if order.final:
            order.cancelled += fill.quantity
            order.status, order.status_message = status.CANCELLED, "Trade cancelled by the exchange."
        self._log(order)
        self._tell(order, order.status)
        self._flush(durable=True)

    def settle_auction(self, order: Order, price: int) -> None:
        """The end of an auction: at its price for who asked for no more, nothing for the others."""
        if price and order.price <= price:
            self._fill(order, matching.Execution(order.left, price))
            self._after_fill(order)
        else:
            self._finish_cancelled(order)
        self._flush(durable=True)

    def _fill(self, order: Order, execution: matching.Execution, trade_id: str = "") -> None:
        now = self.market.clock.now()
        fill = Fill(
            trade_id=trade_id or self.records.next_trade_id(order.exchange),
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
        self.records.add_fill(fill)
        order.filled += execution.quantity
        order.value += execution.quantity * execution.price
        order.exchange_timestamp = order.exchange_update_timestamp = fill.fill_timestamp
        self.ledger.take(fill)

    def _after_fill(self, order: Order) -> None:
        if order.left == 0:
            self._finish(order, status.COMPLETE)
        else:
            self._log(order)
            self._tell(order, status.UPDATE)
            self._follow(order)

    def _finish(self, order: Order, final: str) -> None:
        order.status = final
        order.working = order.cancelling = False
        order.change = None
        order.waiting = False
        self.records.finish(order)
        self._log(order)
        self._tell(order, final)
        self._follow(order)

    def _finish_cancelled(self, order: Order) -> None:
        order.cancelled = order.left
        order.exchange_timestamp = order.exchange_update_timestamp = stamp(self.market.clock.now())
        self._finish(order, status.CANCELLED)

    def _reject(self, order: Order, words: str) -> None:
        order.status_message = words
        self._finish(order, status.REJECTED)
