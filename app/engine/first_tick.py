"""The first tick of a day: a previous close that is not ours means that the price was restated (split, bonus), and a
stop at yesterday's level would sell into nothing that happened (F8). Loop thread only.

Ours is the last price that was seen while the stop was armed on an earlier day. Of shares and futures: an option's
close is reckoned in ways that differ from its last price every day, and a restated option is another contract.
"""

from __future__ import annotations

from collections.abc import Callable

from app.domain.calendar import ist_date
from app.domain.ids import Nanos
from app.domain.instrument import Instrument, InstrumentKind
from app.domain.market import Tick
from app.domain.money import Price
from app.domain.stop import FiredBy, Stop, TriggerSource
from app.engine.watch import Mind, Watch

PERCENT = 3
"""A previous close that differs by more is a question to the trader."""
_RESTATED = (InstrumentKind.SHARE, InstrumentKind.FUTURE)


def differs(close: Price, ours: Price) -> bool:
    """By more than `PERCENT` of ours."""
    return abs(close - ours) * 100 > PERCENT * ours


def must_look(stop: Stop, instrument: Instrument, now: Nanos) -> bool:
    """Whether a stop that is about to be watched was last priced on an earlier day."""
    return (
        stop.seen_price is not None
        and stop.seen_at is not None
        and instrument.kind in _RESTATED
        and stop.plan.source is not TriggerSource.UNDERLYING
        and ist_date(stop.seen_at) < ist_date(now)
    )


class FirstTick:
    """The mind of a watch until its first whole tick of the day has been looked at. Nothing fires before."""

    __slots__ = ("_asked", "_doubt", "_inner", "_ours", "_passed", "_rich", "watch")

    def __init__(
        self, watch: Watch, ours: Price, passed: Callable[[Watch], None], doubt: Callable[[Watch, Price], None]
    ) -> None:
        self.watch = watch
        self._inner: Mind | None = watch.mind
        self._rich = watch.rich
        self._ours = ours
        self._passed = passed
        self._doubt = doubt
        self._asked = False
        watch.mind = self
        watch.rich = True

    def hit(self, price: Price, volume: int) -> FiredBy | None:
        """Not yet: the whole tick follows at once, with the same frame."""
        del price, volume
        return None

    def think(self, price: Price) -> None:
        """Not yet."""

    def look(self, tick: Tick) -> FiredBy | None:
        """The close of the day before, against ours; where they agree, the tick itself decides at once."""
        if tick.close and differs(tick.close, self._ours):
            if not self._asked:
                self._asked = True
                self._doubt(self.watch, tick.close)
            return None
        return self.release(tick)

    def release(self, tick: Tick | None = None) -> FiredBy | None:
        """The level watches from now on."""
        watch = self.watch
        watch.mind, watch.rich = self._inner, self._rich
        self._passed(watch)
        if tick is None:
            return None
        if self._inner is None:
            return watch.levels.hit(tick.last_price)
        if self._rich:
            return self._inner.look(tick)
        why = self._inner.hit(tick.last_price, tick.volume or 0)
        if why is None:
            self._inner.think(tick.last_price)
        return why
