"""Orders that wait at the broker until a price is reached (good till triggered, A9): single ones and two-leg ones.

The engine keeps them, watches every tick, fires in market hours, lets them expire after a year. A trigger that has
fired may still hide an order that was refused: both are kept apart. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from app.simulator.book import Book
from app.simulator.faults import Faults
from app.simulator.figures import stamp
from app.simulator.form import OrderForm
from app.simulator.listing import Listing
from app.simulator.oms import OrderSystem
from app.simulator.quote import Quote
from app.simulator.refusal import Refused, bad_input
from app.simulator.refusals import is_derivative, on_index

SINGLE, TWO_LEG = "single", "two-leg"
ACTIVE, TRIGGERED, EXPIRED, DELETED = "active", "triggered", "expired", "deleted"
BY_BROKER = ("disabled", "cancelled", "rejected")
"""What only the broker's own side does to one."""
MOST_ACTIVE = 500
LISTED_DAYS = 7
"""How long those that are over stay in the list."""
PRODUCTS = ("CNC", "NRML", "MTF")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a leg that fired: an order, or the words of its refusal."""

    at: str
    price: int
    """At which it fired, paise."""
    order_id: str
    refusal: str


@dataclass(slots=True)
class Leg:
    """One order-to-be. Prices in paise."""

    trigger: int
    above: bool
    """Fires at its trigger or above; else at it or below."""
    side: str
    quantity: int
    product: str
    order_type: str
    price: int
    outcome: Outcome | None = None

    def reached(self, last_price: int) -> bool:
        """Whether the last price fires it."""
        return last_price >= self.trigger if self.above else last_price <= self.trigger


@dataclass(slots=True)
class Gtt:
    """One trigger with its legs. Times as printed; `expires` as epoch beside it, to be compared."""

    id: int
    kind: str
    token: int
    key: str
    last_price: int
    """When it was made or changed, paise: what decides on which side its triggers lie."""
    legs: list[Leg]
    created: str
    updated: str
    updated_at: float
    expires: str
    expires_at: float
    status: str = ACTIVE
    reason: str = ""
    """Why the broker ended it."""
    meta: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, record: dict[str, Any]) -> Gtt:
        """From its record."""
        legs = [
            Leg(**{**leg, "outcome": Outcome(**leg["outcome"]) if leg["outcome"] else None}) for leg in record["legs"]
        ]
        return cls(**{**record, "legs": legs})


class GttEngine:
    """See the module."""

    def __init__(self, oms: OrderSystem, book: Book, faults: Faults) -> None:
        self._oms = oms
        self._book = book
        self._faults = faults
        self._all: dict[int, Gtt] = {}
        self._active: dict[int, dict[int, Gtt]] = {}
        """By token."""
        self._last_id = 0

    # -- asked for

    def create(self, kind: str, listing: Listing, last_price: int, legs: Sequence[Leg]) -> Gtt:
        """A new one, on the disk when this returns. Raises Refused."""
        self._check(kind, listing, last_price, legs)
        if sum(len(found) for found in self._active.values()) >= MOST_ACTIVE:
            raise bad_input(f"Maximum allowed active triggers ({MOST_ACTIVE}) exceeded.")
        self._last_id += 1
        now = self._oms.market.clock.now()
        until = _year_later(now)
        made = Gtt(
            id=self._last_id,
            kind=kind,
            token=listing.token,
            key=listing.key,
            last_price=last_price,
            legs=list(legs),
            created=stamp(now),
            updated=stamp(now),
            updated_at=now.timestamp(),
            expires=stamp(until),
            expires_at=until.timestamp(),
        )
        self._all[made.id] = made
        self._active.setdefault(made.token, {})[made.id] = made
        self._save(made)
        return made

    def change(self, gtt_id: int, kind: str, listing: Listing, last_price: int, legs: Sequence[Leg]) -> Gtt:
        """Everything about an active one is given anew."""
        gtt = self._active_one(gtt_id)
        if listing.token != gtt.token:
            raise bad_input("The instrument of a trigger cannot be changed.")
        self._check(kind, listing, last_price, legs)
        gtt.kind, gtt.last_price, gtt.legs = kind, last_price, list(legs)
        self._touch(gtt)
        return gtt

    def delete(self, gtt_id: int) -> Gtt:
        """It never fires; it stays in the list for a week."""
        return self._end(self._active_one(gtt_id), DELETED)

    def by_broker(self, gtt_id: int, status: str, reason: str) -> Gtt:
        """Ended from the broker's side, as after a corporate action."""
        gtt = self._end(self._active_one(gtt_id), status)
        gtt.reason = reason
        self._save(gtt)
        return gtt

    def get(self, gtt_id: int) -> Gtt:
        """One of any age."""
        gtt = self._all.get(gtt_id)
        if gtt is None:
            raise Refused(404, "GeneralException", "Trigger not found.")
        return gtt

    def listed(self) -> list[Gtt]:
        """Active ones, and what has ended in the last seven days; newest first."""
        since = (self._oms.market.clock.now() - timedelta(days=LISTED_DAYS)).timestamp()
        found = [gtt for gtt in self._all.values() if gtt.status == ACTIVE or gtt.updated_at >= since]
        return sorted(found, key=lambda gtt: gtt.id, reverse=True)

    # -- what happens

    def on_quotes(self, quotes: Sequence[Quote]) -> None:
        """Fires what the last prices reach."""
        for quote in quotes:
            waiting = self._active.get(quote.listing.token)
            if not waiting or not self._oms.is_open(quote.listing):
                continue
            for gtt in list(waiting.values()):
                leg = next((leg for leg in gtt.legs if leg.reached(quote.last_price)), None)
                if leg is not None:
                    self._fire(gtt, leg, quote)

    def on_clock(self) -> None:
        """Ends what is a year old."""
        now = self._oms.market.clock.epoch()
        over = [gtt for found in self._active.values() for gtt in found.values() if now >= gtt.expires_at]
        for gtt in over:
            self._end(gtt, EXPIRED)

    def load(self) -> None:
        """From the book."""
        self._all = {gtt.id: gtt for gtt in map(Gtt.read, self._book.load("gtt").values())}
        self._last_id = max(self._all, default=0)
        for gtt in self._all.values():
            if gtt.status == ACTIVE:
                self._active.setdefault(gtt.token, {})[gtt.id] = gtt

    def _fire(self, gtt: Gtt, leg: Leg, quote: Quote) -> None:
        """The order and the end of the trigger reach the disk together: a crash never fires it twice."""
        self._oms.records.placed_today += 1
        try:
            self._oms.place(
                _form(quote.listing, leg), 0, lambda order: self._fired(gtt, leg, quote, order.order_id, "")
            )
        except Refused as refused:
            self._fired(gtt, leg, quote, "", refused.message)
            self._book.commit(durable=True)

    def _fired(self, gtt: Gtt, leg: Leg, quote: Quote, order_id: str, refusal: str) -> None:
        leg.outcome = Outcome(stamp(self._oms.market.clock.now()), quote.last_price, order_id, refusal)
        self._over(gtt, TRIGGERED)

    def _end(self, gtt: Gtt, status: str) -> Gtt:
        self._over(gtt, status)
        self._book.commit(durable=True)
        return gtt

    def _over(self, gtt: Gtt, status: str) -> None:
        """Ended, in the book's next commit."""
        gtt.status = status
        self._active.get(gtt.token, {}).pop(gtt.id, None)
        self._stamp(gtt)

    def _stamp(self, gtt: Gtt) -> None:
        now = self._oms.market.clock.now()
        gtt.updated, gtt.updated_at = stamp(now), now.timestamp()
        self._book.put("gtt", f"{gtt.id:012d}", asdict(gtt))

    def _touch(self, gtt: Gtt) -> None:
        self._stamp(gtt)
        self._book.commit(durable=True)

    def _save(self, gtt: Gtt) -> None:
        self._book.put("gtt", f"{gtt.id:012d}", asdict(gtt))
        self._book.commit(durable=True)

    def _active_one(self, gtt_id: int) -> Gtt:
        gtt = self.get(gtt_id)
        if gtt.status != ACTIVE:
            raise bad_input(f"Trigger cannot be changed. Trigger is {gtt.status}.")
        return gtt

    def _check(self, kind: str, listing: Listing, last_price: int, legs: Sequence[Leg]) -> None:
        if not listing.tradable:
            raise bad_input(f"{listing.tradingsymbol} is an index and cannot be traded.")
        if last_price <= 0:
            raise bad_input("Invalid `last_price`.")
        for leg in legs:
            self._check_leg(leg, listing, last_price)
        if kind == TWO_LEG:
            _check_pair(listing, last_price, legs)

    def _check_leg(self, leg: Leg, listing: Listing, last_price: int) -> None:
        switches = self._faults.switches
        if leg.order_type != "LIMIT" and not (leg.order_type == "MARKET" and switches.gtt_market == "allowed"):
            raise bad_input("Invalid `order_type`: only LIMIT orders can wait for a trigger.")
        if leg.product not in PRODUCTS:
            raise bad_input(f"Invalid product {leg.product}: use CNC, NRML or MTF.")
        if is_derivative(listing) != (leg.product == "NRML"):
            raise bad_input(f"Invalid product {leg.product} for {listing.exchange}.")
        if leg.quantity <= 0:
            raise bad_input("Invalid `quantity`: it must be above 0.")
        if leg.trigger <= 0 or (leg.order_type == "LIMIT" and leg.price <= 0):
            raise bad_input("Trigger values and prices must be above 0.")
        if leg.trigger == last_price:
            raise bad_input("Trigger already met: the trigger value is the last price.")
        if switches.gtt_distance == "0.25" and abs(leg.trigger - last_price) * 400 < last_price:
            raise bad_input("The trigger value must be at least 0.25% away from the last price.")


def _check_pair(listing: Listing, last_price: int, legs: Sequence[Leg]) -> None:
    stop, target = legs
    if not stop.trigger < last_price < target.trigger:
        raise bad_input("Trigger values must lie on both sides of the last price, the stoploss first.")
    if stop.side == "BUY" and not is_derivative(listing):
        raise bad_input("Two-leg triggers that buy are allowed for F&O only.")
    if on_index(listing) and is_derivative(listing) and stop.product != "NRML":
        raise bad_input("Two-leg triggers of index derivatives need product NRML.")


def _form(listing: Listing, leg: Leg) -> OrderForm:
    return OrderForm(
        exchange=listing.exchange,
        tradingsymbol=listing.tradingsymbol,
        side=leg.side,
        quantity=leg.quantity,
        product=leg.product,
        order_type=leg.order_type,
        price=leg.price,
        trigger_price=0,
        validity="DAY",
        disclosed_quantity=0,
        market_protection=Decimal(-1) if leg.order_type == "MARKET" else None,
        tag=None,
        autoslice=False,
    )


def _year_later(now: datetime) -> datetime:
    try:
        return now.replace(year=now.year + 1)
    except ValueError:  # 29 February
        return now.replace(year=now.year + 1, day=28)


def with_sides(kind: str, last_price: int, legs: Sequence[Leg]) -> list[Leg]:
    """Which way each leg is reached: a single one from where the price is, a pair downwards and upwards."""
    if kind == TWO_LEG:
        return [replace(leg, above=index == 1) for index, leg in enumerate(legs)]
    return [replace(leg, above=leg.trigger > last_price) for leg in legs]
