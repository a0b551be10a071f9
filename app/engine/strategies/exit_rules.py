"""What a strategy's table makes of its guard and of its exit. Pure; no clock, no I/O."""

from __future__ import annotations

from dataclasses import replace

from app.domain.events import Level
from app.domain.strategy import Leaving, Strategy
from app.domain.strategy import StrategyState as S
from app.engine.strategies.happenings import (
    Armed,
    ExitOver,
    ExitStarted,
    Guard,
    GuardLost,
    ShareChanged,
    Tell,
)
from app.engine.strategies.moves import Decision, cancel_rest, hand_over, leave


def armed(strategy: Strategy, event: Armed) -> Decision:
    """A guard smaller than the share grows."""
    guarded = replace(strategy, stop=event.stop, unguarded=0)
    if event.quantity < guarded.held:
        return Decision(guarded, (Guard(),))
    return hand_over(guarded) if guarded.hands_over else Decision(guarded)


def guard_lost(strategy: Strategy, _: GuardLost) -> Decision:
    """Its times go on; nothing else gets it out, also after a restart: until more is bought, which is guarded."""
    if strategy.hands_over:
        return hand_over(replace(strategy, stop=None))
    note = "its stop was disarmed by hand; it is left at its sell time only"
    return Decision(replace(strategy, stop=None, unguarded=strategy.bought, note=note), (Tell(Level.WARNING, note),))


def share_changed(strategy: Strategy, event: ShareChanged) -> Decision:
    """It never owns more than there is, nor more than it bought."""
    held = min(event.quantity, strategy.bought)
    if held == strategy.held:
        return Decision(strategy)
    lost = strategy.bought - held
    return Decision(replace(strategy, held=held, note=f"{lost} units were closed elsewhere" if lost else ""))


def exit_started(strategy: Strategy, event: ExitStarted) -> Decision:
    """Its own level fired: both timers are void from here."""
    cancelling = cancel_rest(strategy)
    note = f"its {event.why} was reached"
    return Decision(replace(cancelling.strategy, state=S.SELLING, leaving=event.why, note=note), cancelling.actions)


def exit_over(strategy: Strategy, event: ExitOver) -> Decision:
    """Closed, unless more was bought late."""
    left = 0 if event.elsewhere else max(0, strategy.held - event.quantity)
    why = event.why or strategy.leaving or Leaving.TIME
    strategy = _with_exit(strategy, event)
    if left:
        again = replace(strategy, held=left, stop=None)
        return leave(again, why, f"{left} units more, bought late, are closed too")
    state = S.EXITED_BY_SL if why is Leaving.STOP else S.SOLD
    note = event.words if event.elsewhere and event.words else f"closed: {why}"
    return Decision(replace(strategy, state=state, held=0, leaving=why, note=note))


def _with_exit(strategy: Strategy, event: ExitOver) -> Strategy:
    """What it closed counts with what was closed before."""
    closed = strategy.closed + event.quantity
    if event.elsewhere or event.average is None or not closed:
        return strategy
    value = (strategy.exit_average or 0) * strategy.closed + event.average * event.quantity
    return replace(strategy, closed=closed, exit_average=value // closed)


def closed_unasked(strategy: Strategy, event: ExitOver) -> Decision:
    """While it was held: by its own stop, of which nothing was heard until now; or by somebody else, which ends it."""
    cancelling = cancel_rest(strategy)
    if not event.elsewhere:
        over = exit_over(cancelling.strategy, event)
        return Decision(over.strategy, (*cancelling.actions, *over.actions))
    note = f"{event.words or 'its position was closed elsewhere'}; the strategy has ended"
    ended = replace(cancelling.strategy, state=S.ABORTED, leaving=Leaving.ELSEWHERE, held=0, note=note)
    return Decision(ended, (*cancelling.actions, Tell(Level.WARNING, note)))
