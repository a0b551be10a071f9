"""Orders over the shared book, with Upstox's codes: what single, multiple and triggered orders have in common."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from typing import Any

from app.simulator.faults import Faults
from app.simulator.form import OrderForm
from app.simulator.listing import Listing, scale_of
from app.simulator.oms import OrderSystem
from app.simulator.order import Order
from app.simulator.refusal import Refused
from app.simulator.refusals import slice_size
from app.simulator.switches import Switches
from app.simulator.upstox import form as forms
from app.simulator.upstox import rows
from app.simulator.upstox.envelope import INVALID_INPUT, refuse
from app.simulator.upstox.guard import Guard, closed_at_night
from app.simulator.upstox.instruments import funded_of, is_funded
from app.simulator.upstox.keys import KeyBook, segment_of

MORNING = time(5, 30)
NOT_COVERED = frozenset({"MarginException", "HoldingException"})


def by_upstox(order: Order) -> None:
    """The order came over this wire: its broker's charges are due."""
    order.broker = "upstox"


class Trading:
    """Places, changes and cancels for the client of one account."""

    def __init__(self, oms: OrderSystem, keys: KeyBook, guard: Guard, faults: Faults, user_id: str) -> None:
        self.oms = oms
        self.keys = keys
        self.user_id = user_id
        self._guard = guard
        self._funded = funded_of(oms.market.listings.by_token.values())
        self._faults = faults

    @property
    def switches(self) -> Switches:
        """As they are set."""
        return self._faults.switches

    # -- named

    def listing(self, key: object, path: str = "instrument_token") -> Listing:
        """What a key names. Raises Refused."""
        if not isinstance(key, str) or not key:
            raise refuse("UDAPI1026", "The instrument key is required", path=path)
        token = self.keys.token(key)
        if token is None:
            raise forms.unknown_key(key, path)
        return self.oms.market.listings.by_token[token]

    def order(self, order_id: object) -> Order:
        """A day's order by its id. Raises Refused."""
        if not isinstance(order_id, str) or not order_id:
            raise refuse("UDAPI1010", "The order id is required", path="order_id")
        if not order_id.replace("-", "").isalnum():
            raise refuse("UDAPI1023", "The order id is malformed", path="order_id", value=order_id)
        found = self.oms.records.orders.get(order_id)
        if found is None:
            raise refuse("UDAPI100010", "Order not found", 404, path="order_id", value=order_id)
        return found

    def row(self, order: Order) -> dict[str, Any]:
        """Its row in the order book."""
        listing = self.oms.market.listings.by_token[order.token]
        return rows.order_row(order, listing, self.user_id, 1 + order.modifications)

    # -- done

    def place(self, body: forms.Body, received_ns: int) -> list[Order]:
        """One order, or its slices. Raises Refused when the first of them is refused."""
        self._check_hours()
        listing = self.listing(body.get("instrument_token"))
        asked = forms.order_form(body, listing, self._faults.switches)
        self._guard.check(listing)
        form = asked.form
        if form.product == "MTF" and not is_funded(listing, self._funded):
            raise refuse(INVALID_INPUT, "MTF is not allowed for this instrument", path="product", value="MTF")
        if not self.oms.is_open(listing):
            form = replace(form, variety="amo")  # the session decides, not what the client says
        most = slice_size(listing)
        if not asked.slice or not most or form.quantity <= most:
            return [self._take(form, listing, received_ns)]
        return self._sliced(form, listing, most, received_ns)

    def _sliced(self, form: OrderForm, listing: Listing, most: int, received_ns: int) -> list[Order]:
        count = -(-form.quantity // most)
        if count > int(self._faults.switches.slices):
            words = f"The order would need {count} slices; at most {self._faults.switches.slices} are allowed"
            raise refuse("UDAPI1118", words, path="quantity", value=form.quantity)
        placed: list[Order] = []
        for number in range(count):
            part = replace(form, quantity=min(most, form.quantity - number * most))
            try:
                placed.append(self._take(part, listing, received_ns))
            except Refused:
                if not placed:
                    raise
                break
        return placed

    def _take(self, form: OrderForm, listing: Listing, received_ns: int) -> Order:
        """What is not covered by funds or shares is taken all the same, and comes back rejected."""
        try:
            return self.oms.place(form, received_ns, by_upstox)
        except Refused as refused:
            if refused.error_type not in NOT_COVERED:
                raise
            order = self.oms.new_order(form, listing, received_ns)
            self.oms.refuse(order, f"RMS: {refused.message}")
            return order

    def modify(self, body: forms.Body) -> Order:
        """A change of one order. Raises Refused."""
        self._check_hours()
        order = self.order(body.get("order_id"))
        if order.final:
            words = f"Modification not allowed: the order is {order.status.lower()}"
            raise refuse("UDAPI100041", words, path="order_id", value=order.order_id)
        return self.oms.modify(order.order_id, forms.modify_form(body, self._faults.switches, scale_of(order.token)))

    def cancel(self, order_id: object) -> Order:
        """The end of one order. Raises Refused."""
        self._check_hours()
        order = self.order(order_id)
        if order.final:
            words = f"Cancellation not allowed: the order is {order.status.lower()}"
            raise refuse("UDAPI100040", words, path="order_id", value=order.order_id)
        return self.oms.cancel(order.order_id)

    def live(self, tag: str | None, segment: str | None) -> list[Order]:
        """Open orders with a tag, in a segment; None: any."""
        by_token = self.oms.market.listings.by_token
        return [
            order
            for order in self.oms.records.live()
            if (tag is None or order.tag == tag) and (segment is None or segment_of(by_token[order.token]) == segment)
        ]

    def _check_hours(self) -> None:
        sleepless = self.oms.market.always_open and self._faults.switches.hours == "feed"
        if not sleepless and self.oms.market.clock.now().time() < MORNING:
            raise closed_at_night()
