"""What day of a strategy follows, and one word to the trader where none does."""

from __future__ import annotations

from collections.abc import Callable

from app.domain.errors import Denied
from app.domain.events import Level
from app.domain.ids import StrategyId
from app.domain.strategy import Strategy, StrategyPlan
from app.domain.strategy_times import Cycle, Outlook
from app.engine.strategies.happenings import NewDay
from app.engine.strategies.record import StrategyRecord


class Following:
    """Of all strategies of an account."""

    def __init__(self, outlook: Callable[[StrategyPlan], Outlook], record: StrategyRecord) -> None:
        self._outlook = outlook
        self._record = record
        self._without: set[StrategyId] = set()
        """Repeat, and no day follows; that was said."""

    def cycle(self, strategy: Strategy) -> Cycle | None:
        """The next one; None where none is known."""
        return self._look(strategy)[0]

    def new_day(self, strategy: Strategy) -> NewDay | None:
        """For one that repeats and whose day is done. Where no day follows it would rest and nobody know: that is said,
        once."""
        cycle, why = self._look(strategy)
        if cycle is not None:
            self._without.discard(strategy.id)
            return NewDay(cycle)
        if strategy.id not in self._without:
            self._without.add(strategy.id)
            self._record.tell(strategy, Level.WARNING, f"it makes no entries, no day follows. {why}".strip(), "no day")
        return None

    def _look(self, strategy: Strategy) -> tuple[Cycle | None, str]:
        try:
            outlook = self._outlook(strategy.plan)
        except Denied as failure:
            return None, str(failure)
        return outlook.cycle, "".join(outlook.skipped[-1:])
