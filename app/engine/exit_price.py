"""How one fired stop's exit is priced, and what its refusals have taught. No I/O. Loop thread only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from app.domain.errors import AppError, Denied
from app.domain.ids import BrokerOrderId
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.order import OrderKind, Side
from app.domain.stop import Stop
from app.engine.exit_plan import MODIFICATIONS, REPRICES
from app.engine.pricing import NO_BOUNDS
from app.engine.refusals import Cause, Refusal, read_refusal
from app.engine.terms import ExitTerms

WIDEST = 3
"""Times the usual reach that a price goes at most."""
NARROWEST = 8
"""By what the reach is divided at most, where the exchange said that it was too far."""


class ExitPrice:
    """Of one stop."""

    def __init__(self, stop: Stop, instrument: Instrument, terms: ExitTerms, last: Callable[[], Price | None]) -> None:
        self._account = stop.key.account
        self._scale = stop.price_scale
        self._instrument = instrument
        self._terms = terms
        self._last = last
        self._fallback = stop.fired_price or stop.trigger
        self.usual = self._usual_kind()
        """What the tables say when the stop fired."""
        self.steps = 0
        """How often the exit was priced anew, whichever of its orders: each time it reaches further."""
        self.refusal: Refusal | None = None
        """Of the last attempt."""
        self._narrow = 1
        self._read: AppError | str = ""
        self._changes: dict[BrokerOrderId, int] = {}

    @property
    def slice_size(self) -> int:
        """Units that one order may carry; 0: no limit is known."""
        return self._terms.slice_size(self._instrument)

    @property
    def converts(self) -> bool:
        """A resting backstop becomes the exit by a change."""
        return self._terms.converts(self._account)

    def limit(self, side: Side) -> Price:
        """The worst price accepted now; each time a little further."""
        widen = min(1 + self.steps, WIDEST)
        pricer = self._terms.pricer(self._account, self._instrument, side, widen=widen, narrow=self._narrow)
        price = pricer(self._last() or self._fallback)
        return price if self.refusal is None else self.refusal.bounds.hold(price, self._instrument.tick_size)

    def rests(self) -> None:
        """The exit was taken and rests: it reaches further, and from where it is it follows the market."""
        self.steps += 1
        self._narrow = min(self._narrow, NARROWEST)

    def changed(self, order: BrokerOrderId) -> None:
        """An order got another price."""
        self._changes[order] = self._changes.get(order, 0) + 1

    def changes_left(self, live: Collection[BrokerOrderId], used: Mapping[BrokerOrderId, int]) -> int:
        """How often these may still be priced anew. `used`: all changes of each order; a backstop has been changed
        before, and the last five are there for now."""
        anew = max((self._changes.get(order, 0) for order in live), default=0)
        return min(REPRICES - anew, MODIFICATIONS - max((used.get(order, 0) for order in live), default=0))

    def learn(self, answer: AppError | str, asked: int) -> Cause | None:
        """Why the last attempt was turned down; empty: it was not. Each answer is read once. `asked`: units of its
        largest order."""
        if not answer:
            self.refusal, self._read = None, ""
        elif answer is not self._read:
            lot = max(self._instrument.lot_size, 1)
            self.refusal, self._read = read_refusal(answer, self._scale, asked, lot), answer
            self._terms.learn(self._instrument, self.refusal)
            if self.refusal.cause is Cause.PRICE_BAND:
                self._narrow = min(self._narrow * 2, NARROWEST)
            elif self.refusal.cause is Cause.CIRCUIT and self.refusal.bounds == NO_BOUNDS:
                self._narrow *= NARROWEST  # it says too far and not how far: nearer, and at the last price in the end
        return None if self.refusal is None else self.refusal.cause

    def _usual_kind(self) -> OrderKind:
        try:
            return self._terms.kind(self._account, self._instrument)
        except Denied:
            return OrderKind.LIMIT
