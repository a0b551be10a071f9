"""What the window asks of strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.ids import StrategyId
from app.domain.strategy import Strategy, StrategyMark, StrategyPlan, StrategyPreview


class StrategyVerbs(Protocol):
    """Strategies: bought by the clock, guarded by a stop, sold by the clock. All raise Denied in words."""

    async def strategies(self) -> Sequence[Strategy]:
        """Of all accounts."""
        ...

    async def preview(self, plan: StrategyPlan) -> StrategyPreview:
        """What a plan would do next, and what is wrong with it."""
        ...

    async def save(self, plan: StrategyPlan) -> Strategy:
        """A new one, or another plan for one that does not run."""
        ...

    async def start(self, strategy: StrategyId) -> Strategy:
        """From its next buy time on."""
        ...

    async def pause(self, strategy: StrategyId) -> Strategy:
        """No entries; exits go on."""
        ...

    async def resume(self, strategy: StrategyId) -> Strategy:
        """Entries again."""
        ...

    async def stop(self, strategy: StrategyId, *, close: bool) -> Strategy:
        """It rests. `close`: what it holds is closed; else that stays open, as the trader's own."""
        ...

    async def copy(self, strategy: StrategyId) -> Strategy:
        """The same plan once more, not started."""
        ...

    async def delete(self, strategy: StrategyId) -> None:
        """Its timeline goes with it; the audit trail keeps what happened."""
        ...

    async def timeline(self, strategy: StrategyId) -> Sequence[StrategyMark]:
        """What happened to it, oldest first; StrategyMarked events bring what comes."""
        ...
