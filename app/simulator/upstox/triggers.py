"""Orders that wait for a price at Upstox (GTT, B7.5): an entry, and exits that follow its fill. The engine.

SINGLE is an entry alone. MULTIPLE adds a target, a stop-loss or both: they wake when the entry's order has filled, and
when one of them fires, the other is cancelled. A stop-loss may trail. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from app.simulator.book import Book
from app.simulator.form import OrderForm
from app.simulator.listing import Listing
from app.simulator.oms import OrderSystem
from app.simulator.order import COMPLETE, FINAL, Order
from app.simulator.quote import Quote
from app.simulator.refusal import Refused

ENTRY, TARGET, STOPLOSS = "ENTRY", "TARGET", "STOPLOSS"
ABOVE, BELOW, IMMEDIATE = "ABOVE", "BELOW", "IMMEDIATE"
PENDING, OPEN, COMPLETED, FAILED, CANCELLED, EXPIRED = "PENDING", "OPEN", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"
LIFE = timedelta(days=365)


@dataclass(slots=True)
class Rule:
    """One leg. Prices in paise. PENDING waits (an exit: for the entry), OPEN is an exit that watches."""

    strategy: str
    trigger_type: str
    trigger: int
    gap: int = 0
    """How far a stop-loss trails behind the best price; 0: it stays."""
    protection: str = ""
    """Percent of a MARKET order; empty: a LIMIT order at the trigger."""
    status: str = PENDING
    message: str = ""
    order_id: str = ""


@dataclass(slots=True)
class Trigger:
    """One GTT order with its legs. `side` is that of the entry."""

    id: str
    kind: str
    token: int
    side: str
    product: str
    quantity: int
    rules: list[Rule]
    created_us: int
    """Epoch microseconds."""
    expires_us: int

    @classmethod
    def read(cls, record: dict[str, Any]) -> Trigger:
        """From its record."""
        return cls(**{**record, "rules": [Rule(**rule) for rule in record["rules"]]})

    @property
    def entry(self) -> Rule:
        """The leg that begins it."""
        return next(rule for rule in self.rules if rule.strategy == ENTRY)

    @property
    def exits(self) -> list[Rule]:
        """Target and stop-loss, what there is of them."""
        return [rule for rule in self.rules if rule.strategy != ENTRY]

    @property
    def live(self) -> bool:
        """Something may still happen."""
        return any(rule.status in (PENDING, OPEN) for rule in self.rules) or self.filling

    @property
    def filling(self) -> bool:
        """The entry's order is on its way and exits wait for it."""
        return self.entry.status == COMPLETED and any(rule.status == PENDING for rule in self.exits)

    def exit_side(self) -> str:
        """Against the entry."""
        return "SELL" if self.side == "BUY" else "BUY"

    def reached(self, rule: Rule, last: int) -> bool:
        """Whether the last price fires a leg."""
        if rule.strategy == ENTRY:
            return rule.trigger_type == IMMEDIATE or (
                last >= rule.trigger if rule.trigger_type == ABOVE else last <= rule.trigger
            )
        upwards = (rule.strategy == TARGET) == (self.side == "BUY")
        return last >= rule.trigger if upwards else last <= rule.trigger

    def trail(self, rule: Rule, last: int) -> bool:
        """Moves a trailing stop-loss after the price; True when it moved."""
        if rule.strategy != STOPLOSS or not rule.gap:
            return False
        moved = max(rule.trigger, last - rule.gap) if self.side == "BUY" else min(rule.trigger, last + rule.gap)
        changed, rule.trigger = moved != rule.trigger, moved
        return changed


class TriggerEngine:
    """Keeps them, watches every tick and every order's end. `announce` is called after the change is on the disk."""

    def __init__(self, oms: OrderSystem, book: Book, announce: Callable[[Trigger], None]) -> None:
        self._oms = oms
        self._book = book
        self._announce = announce
        self._all: dict[str, Trigger] = {}
        self._by_token: dict[int, dict[str, Trigger]] = {}
        self._by_order: dict[str, Trigger] = {}
        """Entry's order -> the trigger whose exits wait for it."""
        oms.market.add_listener(self.on_quotes)
        oms.followers.append(self._on_order)

    # -- asked for

    def create(self, kind: str, listing: Listing, side: str, product: str, quantity: int, rules: list[Rule]) -> Trigger:
        """A new one, on the disk when this returns; an immediate entry fires at once."""
        now = self._oms.market.clock.now()
        number = len(self._all) + 1
        made = Trigger(
            id=f"GTT-C{now:%d%m%y}{number:09d}",
            kind=kind,
            token=listing.token,
            side=side,
            product=product,
            quantity=quantity,
            rules=rules,
            created_us=int(now.timestamp() * 1_000_000),
            expires_us=int((now + LIFE).timestamp() * 1_000_000),
        )
        self._all[made.id] = made
        self._by_token.setdefault(made.token, {})[made.id] = made
        self._save(made)
        self.on_quotes((self._oms.market.quotes[made.token],))
        return made

    def change(self, trigger: Trigger, quantity: int, rules: list[Rule]) -> None:
        """New figures for legs that have not fired; the others stay as they are."""
        fresh = {rule.strategy: rule for rule in rules}
        kept = [rule for rule in trigger.rules if rule.status not in (PENDING, OPEN)]
        known = {rule.strategy: rule.status for rule in trigger.rules}
        for rule in kept:
            fresh.pop(rule.strategy, None)
        for strategy, rule in fresh.items():
            rule.status = known.get(strategy, PENDING)
        if trigger.entry.status == PENDING:
            trigger.quantity = quantity
        order = (ENTRY, TARGET, STOPLOSS)
        trigger.rules = sorted([*kept, *fresh.values()], key=lambda rule: order.index(rule.strategy))
        self._save(trigger)
        self.on_quotes((self._oms.market.quotes[trigger.token],))

    def cancel(self, trigger: Trigger) -> None:
        """Nothing more of it fires; orders that it placed stay."""
        self._end(trigger, CANCELLED)

    def get(self, trigger_id: str) -> Trigger | None:
        """One of any age."""
        return self._all.get(trigger_id)

    def listed(self) -> list[Trigger]:
        """All of them, oldest first."""
        return list(self._all.values())

    # -- what happens

    def on_quotes(self, quotes: Sequence[Quote]) -> None:
        """Fires what the last prices reach, trails what follows them."""
        for quote in quotes:
            waiting = self._by_token.get(quote.listing.token)
            if waiting and self._oms.is_open(quote.listing):
                for trigger in list(waiting.values()):
                    self._look(trigger, quote)

    def _look(self, trigger: Trigger, quote: Quote) -> None:
        last = quote.last_price
        if trigger.entry.status == PENDING:
            if trigger.reached(trigger.entry, last):
                self._fire(trigger, trigger.entry, quote.listing, trigger.side)
            return
        watching = [rule for rule in trigger.exits if rule.status == OPEN]
        fired = next((rule for rule in watching if trigger.reached(rule, last)), None)
        if fired is not None:
            for other in watching:
                if other is not fired:
                    other.status = CANCELLED
            self._fire(trigger, fired, quote.listing, trigger.exit_side())
        elif any(trigger.trail(rule, last) for rule in watching):
            self._save(trigger)

    def _fire(self, trigger: Trigger, rule: Rule, listing: Listing, side: str) -> None:
        def fired(order: Order) -> None:
            """In the same transaction as the order: a crash never leaves one without the other."""
            order.broker = "upstox"
            rule.status, rule.order_id = COMPLETED, order.order_id
            if rule.strategy == ENTRY and trigger.exits:
                self._by_order[order.order_id] = trigger
            self._book.put("upstox-gtt", trigger.id, asdict(trigger))

        try:
            self._oms.place(_form(trigger, rule, listing, side), prepare=fired)
        except Refused as refused:
            self._by_order.pop(rule.order_id, None)
            rule.status, rule.message, rule.order_id = FAILED, refused.message, ""
            if rule.strategy == ENTRY:
                for other in trigger.exits:
                    other.status = CANCELLED
        self._save(trigger)

    def _on_order(self, order: Order) -> None:
        """The end of an entry's order wakes its exits, for as much as it filled, or cancels them."""
        if order.status not in FINAL:
            return
        trigger = self._by_order.pop(order.order_id, None)
        if trigger is None:
            return
        trigger.quantity = order.filled or trigger.quantity
        for rule in trigger.exits:
            if rule.status == PENDING:
                rule.status = OPEN if order.filled else CANCELLED
        if order.status != COMPLETE and not order.filled:
            trigger.entry.message = order.status_message or order.status
        self._save(trigger)

    def on_clock(self) -> None:
        """Ends what is a year old. Call it often."""
        now = int(self._oms.market.clock.epoch() * 1_000_000)
        for waiting in list(self._by_token.values()):
            for trigger in list(waiting.values()):
                if now >= trigger.expires_us:
                    self._end(trigger, EXPIRED)

    def _end(self, trigger: Trigger, status: str) -> None:
        for rule in trigger.rules:
            if rule.status in (PENDING, OPEN):
                rule.status = status
        self._by_order = {order_id: other for order_id, other in self._by_order.items() if other is not trigger}
        self._save(trigger)

    def _save(self, trigger: Trigger) -> None:
        if not trigger.live:
            self._by_token.get(trigger.token, {}).pop(trigger.id, None)
        self._book.put("upstox-gtt", trigger.id, asdict(trigger))
        self._book.commit(durable=True)
        self._announce(trigger)

    def load(self) -> None:
        """From the book."""
        self._all = {key: Trigger.read(record) for key, record in self._book.load("upstox-gtt").items()}
        for trigger in self._all.values():
            if trigger.live:
                self._by_token.setdefault(trigger.token, {})[trigger.id] = trigger
            if trigger.filling:
                self._by_order[trigger.entry.order_id] = trigger


def _form(trigger: Trigger, rule: Rule, listing: Listing, side: str) -> OrderForm:
    """A rule with protection becomes a MARKET order, others a LIMIT order at their trigger (not documented)."""
    market = bool(rule.protection)
    return OrderForm(
        exchange=listing.exchange,
        tradingsymbol=listing.tradingsymbol,
        side=side,
        quantity=trigger.quantity,
        product=trigger.product,
        order_type="MARKET" if market else "LIMIT",
        price=0 if market else listing.on_tick(rule.trigger),
        trigger_price=0,
        validity="DAY",
        disclosed_quantity=0,
        market_protection=Decimal(rule.protection) if market else None,
        tag=None,
        autoslice=False,
    )
