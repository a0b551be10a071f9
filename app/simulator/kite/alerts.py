"""Alerts that the broker keeps (A10): watched on every tick, counted, remembered; an ATO places its basket once.

Kite's own service: no other wire has it. An alert fires when its condition becomes true, the first look included; it
fires again only after the condition was false. Indices are called `INDICES:NIFTY 50` here. Loop thread only.
"""

from __future__ import annotations

import operator
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from app.simulator.book import Book
from app.simulator.figures import stamp
from app.simulator.kite.form import order_form
from app.simulator.kite.quotes import full_row
from app.simulator.legs import Legs
from app.simulator.market import Market
from app.simulator.quote import Quote
from app.simulator.refusal import Refused, bad_input

SIMPLE, ATO = "simple", "ato"
ENABLED, DISABLED, DELETED = "enabled", "disabled", "deleted"
CONSTANT, INSTRUMENT = "constant", "instrument"
ATTRIBUTE = "LastTradedPrice"
MOST_ENABLED = 500
OPERATORS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks an alert to be."""

    name: str
    kind: str
    lhs: str
    """`NSE:INFY` or `INDICES:NIFTY 50`."""
    operator: str
    rhs_constant: str
    """Rupees in plain decimals; empty when it compares with an instrument."""
    rhs: str
    """The other instrument; empty when it compares with a constant."""
    basket: dict[str, Any] | None


@dataclass(slots=True)
class Alert:
    """One alert. Times as printed."""

    uuid: str
    wish: Wish
    created: str
    updated: str
    status: str = ENABLED
    reason: str = ""
    count: int = 0
    armed: bool = True
    """The condition has been false since it fired last."""
    history: list[dict[str, Any]] = field(default_factory=list)


class Alerts:
    """All alerts of the client."""

    def __init__(self, market: Market, legs: Legs, book: Book) -> None:
        self._market = market
        self._legs = legs
        self._book = book
        self._all: dict[str, Alert] = {}
        self._watched: dict[int, set[str]] = {}
        """Token -> alerts that look at it."""
        self._keys = {_name(quote): token for token, quote in market.quotes.items()}

    # -- asked for

    def create(self, wish: Wish) -> Alert:
        """A new one. Raises Refused."""
        self._check(wish)
        if sum(alert.status == ENABLED for alert in self._all.values()) >= MOST_ENABLED:
            raise bad_input(f"Maximum allowed active alerts ({MOST_ENABLED}) exceeded.")
        now = stamp(self._market.clock.now())
        alert = Alert(str(uuid.uuid4()), wish, now, now)
        self._all[alert.uuid] = alert
        self._watch(alert)
        self._save(alert)
        return alert

    def change(self, name: str, wish: Wish) -> Alert:
        """Everything is given anew; it is enabled again. Raises Refused."""
        self._check(wish)
        alert = self.get(name)
        if alert.status == DELETED:
            raise bad_input("Alert is deleted.")
        self._forget(alert)
        alert.wish, alert.status, alert.reason, alert.armed = wish, ENABLED, "", True
        alert.updated = stamp(self._market.clock.now())
        self._watch(alert)
        self._save(alert)
        return alert

    def delete(self, names: Sequence[str]) -> None:
        """They never fire again. Raises Refused, before any is touched, when one is unknown."""
        for alert in [self.get(name) for name in names]:
            self._end(alert, DELETED, "")

    def get(self, name: str) -> Alert:
        """One of any status. Raises Refused."""
        alert = self._all.get(name)
        if alert is None:
            raise Refused(404, "GeneralException", "Alert not found.")
        return alert

    def listed(self, status: str = "") -> list[Alert]:
        """Of a status, or all that are not deleted; newest first."""
        found = [a for a in self._all.values() if (a.status == status if status else a.status != DELETED)]
        return found[::-1]

    # -- what happens

    def on_quotes(self, quotes: Sequence[Quote]) -> None:
        """Looks at what moved."""
        for quote in quotes:
            for name in list(self._watched.get(quote.listing.token, ())):
                self._look(self._all[name])

    def load(self) -> None:
        """From the book."""
        for record in self._book.load("alert").values():
            alert = Alert(**{**record, "wish": Wish(**record["wish"])})
            self._all[alert.uuid] = alert
            if alert.status == ENABLED:
                self._watch(alert)

    def _look(self, alert: Alert) -> None:
        wish = alert.wish
        left = self._price(wish.lhs)
        right = Decimal(wish.rhs_constant) if wish.rhs_constant else self._price(wish.rhs)
        holds = OPERATORS[wish.operator](left, right)
        if holds == alert.armed:
            alert.armed = not holds
            if holds:
                self._fire(alert)

    def _fire(self, alert: Alert) -> None:
        wish = alert.wish
        alert.count += 1
        if wish.kind == ATO:  # on the disk before its orders are: a crash never places them twice
            self._end(alert, DISABLED, "Orders were placed.")
        against = wish.rhs_constant or wish.rhs.partition(":")[2]
        alert.history.append(
            {
                "uuid": alert.uuid,
                "type": wish.kind,
                "meta": [self._snapshot(key) for key in (wish.lhs, wish.rhs) if key],
                "condition": f"{wish.lhs.partition(':')[2]} {wish.operator} {against}",
                "created_at": stamp(self._market.clock.now()),
                "order_meta": self._place(wish.basket) if wish.basket else None,
            }
        )
        self._save(alert)

    def _place(self, basket: Mapping[str, Any]) -> list[dict[str, Any]]:
        results = []
        for item in basket["items"]:
            order_id, refusal = "", ""
            try:
                order_id = self._legs.place(order_form(form_of_item(item), variety_of(item))).order_id
            except Refused as refused:
                refusal = refused.message
            results.append(
                {
                    "exchange": item["exchange"],
                    "tradingsymbol": item["tradingsymbol"],
                    "status": "failed" if refusal else "success",
                    "order_id": order_id,
                    "rejection_reason": refusal,
                }
            )
        return results

    def _end(self, alert: Alert, status: str, reason: str) -> None:
        self._forget(alert)
        alert.status, alert.reason = status, reason
        alert.updated = stamp(self._market.clock.now())
        self._save(alert)

    def _check(self, wish: Wish) -> None:
        for key in (wish.lhs, wish.rhs):
            if key and key not in self._keys:
                raise bad_input(f"The instrument {key} does not exist or has expired.")
        if wish.basket is not None:
            for item in wish.basket["items"]:
                order_form(form_of_item(item), variety_of(item))

    def _watch(self, alert: Alert) -> None:
        for key in (alert.wish.lhs, alert.wish.rhs):
            if key in self._keys:
                self._watched.setdefault(self._keys[key], set()).add(alert.uuid)

    def _forget(self, alert: Alert) -> None:
        for names in self._watched.values():
            names.discard(alert.uuid)

    def _price(self, key: str) -> Decimal:
        quote = self._market.quotes[self._keys[key]]
        return Decimal(quote.last_price) / quote.listing.price_scale

    def _snapshot(self, key: str) -> dict[str, Any]:
        exchange, _, symbol = key.partition(":")
        row = full_row(self._market.quotes[self._keys[key]])
        del row["depth"]
        return {**row, "exchange": exchange, "tradingsymbol": symbol, "volume_tick": 0}

    def _save(self, alert: Alert) -> None:
        self._book.put("alert", alert.uuid, asdict(alert))
        self._book.commit(durable=True)


def form_of_item(item: Mapping[str, Any]) -> dict[str, str]:
    """The form fields that a basket's item stands for."""
    params = {name: _text(value) for name, value in item["params"].items() if not isinstance(value, dict | list)}
    return {**params, "exchange": str(item["exchange"]), "tradingsymbol": str(item["tradingsymbol"])}


def variety_of(item: Mapping[str, Any]) -> str:
    """Of a basket's item."""
    return str(item["params"].get("variety", "regular"))


def _text(value: object) -> str:
    if value is None or value == 0:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _name(quote: Quote) -> str:
    """How alerts call an instrument: indices are an exchange of their own."""
    return quote.listing.key if quote.listing.tradable else f"INDICES:{quote.listing.tradingsymbol}"
