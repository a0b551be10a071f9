"""What several rules of a strategy's table do. Pure; no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.domain.events import Level
from app.domain.strategy import Leaving, Strategy
from app.domain.strategy import StrategyState as S
from app.domain.strategy_times import Cycle
from app.engine.strategies.happenings import Action, CancelEntry, FireExit, Release, Tell


@dataclass(frozen=True, slots=True)
class Decision:
    """What a happening leads to."""

    strategy: Strategy
    actions: tuple[Action, ...] = ()


def waiting(strategy: Strategy, cycle: Cycle) -> Strategy:
    """Before an entry: nothing of the last one is left."""
    return Strategy(
        strategy.plan,
        S.PAUSED if strategy.paused else S.WAITING,
        day=cycle.day,
        entry_at=cycle.entry_at,
        exit_at=cycle.exit_at,
        paused=strategy.paused,
        note=strategy.note or cycle.words,
    )


def cancel_rest(strategy: Strategy) -> Decision:
    """What the entry has not filled may not fill any more."""
    if strategy.cancelling or strategy.entry_over:
        return Decision(strategy)
    return Decision(replace(strategy, cancelling=True), (CancelEntry(),))


def leave(strategy: Strategy, why: Leaving, note: str, *first: Action) -> Decision:
    """Its share is closed from here on."""
    return Decision(replace(strategy, state=S.SELLING, leaving=why, note=note), (*first, FireExit(why)))


def hand_over(strategy: Strategy) -> Decision:
    """Its share is the trader's own from here on."""
    guarded = "its stop stays armed" if strategy.plan.stop is not None else "nothing guards it"
    note = f"stopped by the trader: {strategy.held} units stay open, {guarded}"
    level = Level.INFO if strategy.plan.stop is not None else Level.WARNING
    return Decision(Strategy(strategy.plan, note=note), (Release(strategy.stop), Tell(level, note)))
