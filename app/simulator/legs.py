"""Orders that follow from orders: the next leg of an iceberg, the stop of a cover order, the slices of a large order.

Sits beside the order system and follows what happens to its orders. Loop thread only.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial

from app.simulator import intake, varieties
from app.simulator import order as status
from app.simulator.auctions import Auctions
from app.simulator.faults import Faults
from app.simulator.form import OrderForm
from app.simulator.oms import OrderSystem
from app.simulator.order import Order
from app.simulator.refusal import Refused, bad_input
from app.simulator.refusals import slice_size


class Legs:
    """See the module."""

    def __init__(self, oms: OrderSystem, auctions: Auctions, faults: Faults) -> None:
        self._oms = oms
        self._auctions = auctions
        self._faults = faults
        oms.followers.append(self.follow)

    # -- placed

    def place(self, form: OrderForm, received_ns: int = 0) -> Order:
        """An order of any variety; of an iceberg its first leg. Raises Refused."""
        listing = self._oms.market.listings.by_key.get(form.key)
        if listing is None or not listing.tradable:
            return self._oms.place(form, received_ns)  # refused in its words
        varieties.check(form, self._oms.market.quotes[listing.token].last_price, listing)
        if form.variety == "auction":
            self._auctions.check(form)
        if form.variety == "co":
            if form.product not in ("MIS", "CO"):
                raise bad_input(f"Invalid product {form.product}: cover orders are intraday orders (MIS).")
            return self._oms.place(replace(form, product="CO"), received_ns)
        if form.variety == "iceberg":
            each = varieties.leg_quantity(form, listing)
            leg = {
                "leg": 1,
                "legs": form.iceberg_legs,
                "leg_quantity": each,
                "total_quantity": form.quantity,
                "remaining_quantity": form.quantity - each,
            }
            part = replace(form, quantity=each, disclosed_quantity=min(each, form.disclosed_quantity))
            return self._oms.place(part, received_ns, partial(_is_leg, leg))
        return self._oms.place(form, received_ns)

    def slices(self, form: OrderForm, received_ns: int = 0) -> list[Order | Refused]:
        """Autoslice (A7.3): every slice an order of its own. Raises Refused when not even the first is taken."""
        listing = self._oms.market.listings.by_key.get(form.key)
        most = slice_size(listing) if listing is not None else 0
        if not most or form.quantity <= most:
            return [self.place(replace(form, autoslice=False), received_ns)]
        taken, parent = list[Order | Refused](), ""
        for start in range(0, form.quantity, most):
            part = replace(form, quantity=min(most, form.quantity - start), autoslice=False)
            try:
                order = self._oms.place(part, received_ns, partial(_is_slice, parent))
            except Refused as refused:
                if not parent:
                    raise
                taken.append(refused)
            else:
                self._oms.records.placed_today += bool(parent)  # every slice counts for the day (A4)
                parent = parent or order.order_id
                taken.append(order)
        return taken

    def exit(self, order_id: str) -> Order:
        """The end of a cover order: an entry that waits is cancelled, a position is closed by its own stop."""
        order = self._oms.records.orders.get(order_id)
        if order is not None and order.parent_order_id is None and order.final:
            order = next(iter(self._live_stops(order)), order)
        if order is None or order.parent_order_id is None:
            return self._oms.cancel(order_id)
        stop = intake.changeable(order, order.order_id, "cancelled")
        if stop.change is not None:
            raise Refused(400, "OrderException", "Order cannot be cancelled as another request is being processed.")
        now: intake.Change = {"order_type": "MARKET", "price": 0, "trigger_price": 0, "market_protection": -1.0}
        self._oms.begin_change(stop, now)
        return stop

    # -- followed

    def follow(self, order: Order) -> None:
        """Something was filled or finished."""
        if order.iceberg is not None and order.status == status.COMPLETE and order.iceberg["remaining_quantity"] > 0:
            self._next_leg(order, order.iceberg)
        if order.variety == "co":
            if order.parent_order_id is None:
                self._cover(order)
            elif order.final:
                self._uncover(order)

    def _next_leg(self, last: Order, leg: dict[str, int]) -> None:
        quantity = min(leg["leg_quantity"], leg["remaining_quantity"])
        after = {**leg, "leg": leg["leg"] + 1, "remaining_quantity": leg["remaining_quantity"] - quantity}
        form = replace(_form_of(last), quantity=quantity)
        first = last.parent_order_id or last.order_id

        def prepare(order: Order) -> None:
            _is_leg(after, order)
            if self._faults.switches.iceberg_parent == "first":
                order.parent_order_id = first

        self._oms.records.placed_today += 1  # every leg counts for the day (A4)
        try:
            self._oms.place(form, 0, prepare)
        except Refused as refused:
            order = self._oms.new_order(form, self._oms.market.listings.by_token[last.token], 0)
            prepare(order)
            self._oms.refuse(order, refused.message)

    def _cover(self, entry: Order) -> None:
        """Every filled unit of the entry has a stop that waits."""
        stops = [o for o in self._oms.records.orders.values() if o.parent_order_id == entry.order_id]
        bare = entry.filled - sum(o.filled if o.final else o.quantity for o in stops)
        if bare <= 0:
            return
        live = next((o for o in stops if not o.final), None)
        if live is not None:
            self._oms.grow(live, live.quantity + bare)
            return
        side = "SELL" if entry.side == "BUY" else "BUY"
        form = replace(
            _form_of(entry), side=side, quantity=bare, order_type="SL-M", price=0, market_protection=Decimal(-1)
        )
        stop = self._oms.new_order(form, self._oms.market.listings.by_token[entry.token], 0)
        stop.parent_order_id = entry.order_id
        self._oms.take(stop)

    def _uncover(self, stop: Order) -> None:
        """The stop is gone: what of the entry still waits goes too."""
        entry = self._oms.records.orders.get(stop.parent_order_id or "")
        if entry is not None and entry.working and not entry.cancelling:
            self._oms.cancel(entry.order_id)

    def _live_stops(self, entry: Order) -> list[Order]:
        return [o for o in self._oms.records.live_of(entry.token) if o.parent_order_id == entry.order_id]


def _is_leg(leg: dict[str, int], order: Order) -> None:
    order.iceberg = leg


def _is_slice(parent: str, order: Order) -> None:
    order.system_tags += ["autoslice", f"autoslice:{parent or order.order_id}"]


def _form_of(order: Order) -> OrderForm:
    """What a new order like this one would have asked for."""
    return OrderForm(
        exchange=order.exchange,
        tradingsymbol=order.tradingsymbol,
        side=order.side,
        quantity=order.quantity,
        product=order.product,
        order_type=order.order_type,
        price=order.price,
        trigger_price=order.trigger_price,
        validity=order.validity,
        disclosed_quantity=order.disclosed_quantity,
        market_protection=Decimal(str(order.market_protection)),
        tag=order.tag,
        autoslice=False,
        variety=order.variety,
        validity_ttl=order.validity_ttl,
    )
