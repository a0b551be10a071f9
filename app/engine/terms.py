"""What an exit of one account must look like: the dated tables, and what the broker's answers have taught today.

A contract whose MARKET order was refused takes LIMIT for the rest of the day; a circuit limit or a freeze quantity that
a refusal names holds until the next day. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

from app.domain.calendar import ist_date
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.order import OrderKind, Side
from app.engine.pricing import NO_BOUNDS, Bounds
from app.engine.refusals import Cause, Refusal
from app.engine.rules import ExitRules
from app.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a day's answers said of one contract."""

    day: date
    bounds: Bounds = NO_BOUNDS
    slice_size: int = 0
    no_market: bool = False


class ExitTerms:
    """Owner of what was learned."""

    def __init__(self, rules: ExitRules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._lessons: dict[InstrumentId, Lesson] = {}

    def kind(self, account: AccountId, instrument: Instrument) -> OrderKind:
        """Which kind an exit takes now. Raises Denied where no rule is known."""
        kind = self._rules.rule(broker_of(account), instrument, self._today).kind
        return OrderKind.LIMIT if self._lesson(instrument.id).no_market else kind

    def slice_size(self, instrument: Instrument) -> int:
        """Units that one order may carry; 0: no limit is known."""
        known = self._rules.slice_size(instrument, self._today)
        taught = self._lesson(instrument.id).slice_size
        return min(known, taught) if known and taught else known or taught

    def converts(self, account: AccountId) -> bool:
        """Whether a resting backstop becomes the exit by a change; else it is cancelled first."""
        return self._rules.converts(broker_of(account), self._today)

    def pricer(
        self, account: AccountId, instrument: Instrument, side: Side, *, widen: int = 1, narrow: int = 1
    ) -> Callable[[Price], Price]:
        """From a last price to the worst price accepted. Raises Denied where no rule is known."""
        return self._rules.pricer(
            broker_of(account),
            instrument,
            side,
            self._today,
            widen=widen,
            narrow=narrow,
            bounds=self._lesson(instrument.id).bounds,
        )

    def bounds(self, instrument: InstrumentId) -> Bounds:
        """The day's circuit limits as far as they are known."""
        return self._lesson(instrument).bounds

    def bound(self, instrument: InstrumentId, bounds: Bounds) -> None:
        """The day's circuit limits, as a quote has them."""
        lesson = self._lesson(instrument)
        self._lessons[instrument] = replace(lesson, bounds=lesson.bounds.tightened(bounds))

    def learn(self, instrument: Instrument, refusal: Refusal) -> None:
        """A refusal was read."""
        lesson = self._lesson(instrument.id)
        size = refusal.quantity // max(instrument.lot_size, 1) * max(instrument.lot_size, 1)
        self._lessons[instrument.id] = replace(
            lesson,
            bounds=lesson.bounds.tightened(refusal.bounds),
            slice_size=min(size, lesson.slice_size or size) or lesson.slice_size,
            no_market=lesson.no_market or refusal.cause is Cause.MARKET,
        )

    def _lesson(self, instrument: InstrumentId) -> Lesson:
        today = self._today
        known = self._lessons.get(instrument)
        return known if known is not None and known.day == today else Lesson(today)

    @property
    def _today(self) -> date:
        return ist_date(self._clock.now())


def broker_of(account: AccountId) -> str:
    """The broker's name, which an account's id begins with."""
    return account.partition("-")[0]
