"""What several rules of a strategy's table do. Pure; no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.domain.events import Level
from app.domain.strategy import LastEntry, Leaving, Strategy, StrategyPlan
from app.domain.strategy import StrategyState as S
from app.domain.strategy_times import Cycle
from app.engine.strategies.happenings import Action, CancelEntry, FireExit, Guard, Release, Tell


@dataclass(frozen=True, slots=True)
class Decision:
    """What a happening leads to."""

    strategy: Strategy
    actions: tuple[Action, ...] = ()


def waiting(strategy: Strategy, cycle: Cycle) -> Strategy:
    """Before an entry: of the last one it is only remembered what may turn up late."""
    return Strategy(
        strategy.plan,
        S.PAUSED if strategy.paused else S.WAITING,
        day=cycle.day,
        entry_at=cycle.entry_at,
        exit_at=cycle.exit_at,
        paused=strategy.paused,
        note=strategy.note or cycle.words,
        last=left_of(strategy),
    )


def left_of(strategy: Strategy) -> LastEntry | None:
    """What is remembered of its entry where it goes on."""
    if strategy.tag is not None:
        return LastEntry(strategy.tag, strategy.bought, strategy.day, strategy.exit_at, strategy.leaving)
    return strategy.last and replace(strategy.last, bought=strategy.last.bought + strategy.bought)


def planned(known: Strategy | None, plan: StrategyPlan) -> Strategy:
    """A new one, or `known` with another plan: not started. What may turn up late is remembered where it would be the
    same position."""
    same = known is not None and (known.plan.key, known.plan.side) == (plan.key, plan.side)
    return Strategy(plan, last=left_of(known) if known is not None and same else None)


def cancel_rest(strategy: Strategy) -> Decision:
    """What the entry has not filled may not fill any more."""
    if strategy.cancelling or strategy.entry_over:
        return Decision(strategy)
    return Decision(replace(strategy, cancelling=True), (CancelEntry(),))


def leave(strategy: Strategy, why: Leaving, note: str, *first: Action) -> Decision:
    """Its share is closed from here on."""
    return Decision(replace(strategy, state=S.SELLING, leaving=why, note=note), (*first, FireExit(why)))


def hand_over_guarded(strategy: Strategy) -> Decision:
    """The same as soon as all of it is guarded; what the trader disarmed stays so."""
    if strategy.bought <= strategy.unguarded:
        return hand_over(strategy)
    note = "stopped by the trader: what was bought is guarded, then it is the trader's own"
    return Decision(replace(strategy, state=S.BUYING, entry_over=True, ending=True, note=note), (Guard(),))


def hand_over(strategy: Strategy) -> Decision:
    """Its share is the trader's own from here on."""
    stays = strategy.plan.stop is not None and strategy.stop is not None
    note = f"stopped by the trader: {strategy.held} units stay open, "
    note += "its stop stays armed" if stays else "nothing guards it"
    level = Level.INFO if stays else Level.WARNING
    return Decision(
        Strategy(strategy.plan, note=note, last=left_of(strategy)), (Release(strategy.stop), Tell(level, note))
    )
