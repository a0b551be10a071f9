"""What a strategy's table makes of the trader's verbs and of the clock. Pure; no clock, no I/O."""

from __future__ import annotations

from dataclasses import replace

from app.domain.events import Level
from app.domain.strategy import Leaving, Strategy
from app.domain.strategy import StrategyState as S
from app.engine.strategies.happenings import (
    End,
    EntryMissed,
    EntryTimeOver,
    ExitDue,
    NewDay,
    Pause,
    Replanned,
    Resume,
    Start,
    Tell,
)
from app.engine.strategies.moves import Decision, cancel_rest, hand_over, hand_over_guarded, leave, left_of, waiting

# -- the trader --------------------------------------------------------------------------------------------------------


def start(strategy: Strategy, event: Start) -> Decision:
    """From the next buy time on, once the last entry is over."""
    if strategy.cancels:
        return Decision(strategy)
    return Decision(waiting(Strategy(strategy.plan, note=event.cycle.words, last=left_of(strategy)), event.cycle))


def pause(strategy: Strategy, _: Pause) -> Decision:
    """No entry until it is resumed."""
    return Decision(replace(strategy, state=S.PAUSED, paused=True, note="paused by the trader"))


def pause_buying(strategy: Strategy, _: Pause) -> Decision:
    """What is bought stays guarded, nothing more is bought."""
    paused = replace(strategy, paused=True, note="paused: what is bought stays guarded, nothing more is bought")
    return cancel_rest(paused)


def pause_later(strategy: Strategy, _: Pause) -> Decision:
    """It goes on with what it holds, and what it has closed stands; there is no entry after this one."""
    return Decision(replace(strategy, paused=True, note="paused: no entry after this one"))


def resume(strategy: Strategy, event: Resume) -> Decision:
    """Entries again, once the last entry is over."""
    if strategy.cancels:
        return Decision(strategy)
    awake = replace(strategy, paused=False, note="")
    return Decision(awake if event.cycle is None else waiting(awake, event.cycle))


def resume_later(strategy: Strategy, _: Resume) -> Decision:
    """Entries again, after this one."""
    return Decision(replace(strategy, paused=False, note=""))


def rest(strategy: Strategy, _: End) -> Decision:
    """Nothing is held: it rests, where the rest of its entry is still being cancelled when that is over."""
    note = "stopped by the trader"
    if strategy.cancels:
        return Decision(replace(strategy, ending=True, note=note))
    return Decision(Strategy(strategy.plan, note=note, last=left_of(strategy)))


def end_buying(strategy: Strategy, event: End) -> Decision:
    """The rest of the entry is cancelled; what is bought is closed if asked."""
    note = "stopped by the trader: the rest of the entry is cancelled"
    ending = replace(strategy, ending=True, leaving=Leaving.TRADER if event.close else None, note=note)
    cancelling = cancel_rest(ending)
    if event.close and strategy.held:
        return leave(cancelling.strategy, Leaving.TRADER, note, *cancelling.actions)
    return cancelling


def end_bought(strategy: Strategy, event: End) -> Decision:
    """Closed, or handed over to the trader."""
    if event.close:
        return leave(replace(strategy, ending=True), Leaving.TRADER, "stopped by the trader: the position is closed")
    whole = event.guarded and strategy.stop is not None
    return hand_over(strategy) if whole else hand_over_guarded(strategy)


def end_selling(strategy: Strategy, _: End) -> Decision:
    """It rests when its exit is over."""
    return Decision(replace(strategy, ending=True))


# -- the clock ---------------------------------------------------------------------------------------------------------


def entry_missed(strategy: Strategy, event: EntryMissed) -> Decision:
    """Skipped and said; the next day, where there is one."""
    tell = Tell(Level.WARNING, event.words)
    if event.next is None:
        return Decision(replace(strategy, state=S.BUY_FAILED, note=event.words), (tell,))
    return Decision(waiting(replace(strategy, note=event.words), event.next), (tell,))


def missed_while_paused(strategy: Strategy, event: EntryMissed) -> Decision:
    """Nothing to say: no entry was wanted."""
    if strategy.cancels:
        return Decision(strategy)
    if event.next is None:
        return Decision(replace(strategy, entry_at=None, exit_at=None, note="paused; no day to buy on is left"))
    return Decision(waiting(replace(strategy, note="paused by the trader"), event.next))


def entry_time_over(strategy: Strategy, _: EntryTimeOver) -> Decision:
    """The rest may not fill any more."""
    note = f"not all was bought within {strategy.plan.entry_seconds} s: the rest is cancelled"
    return cancel_rest(strategy if strategy.cancelling else replace(strategy, note=note))


def exit_due(strategy: Strategy, event: ExitDue) -> Decision:
    """By time."""
    if not event.missed:
        return leave(strategy, Leaving.TIME, "its sell time has come")
    note = "its sell time passed while Stopline was away: sold at once"
    return leave(strategy, Leaving.TIME, note, Tell(Level.WARNING, note))


def exit_due_buying(strategy: Strategy, event: ExitDue) -> Decision:
    """Both times met: what is bought leaves, what is not is not bought."""
    cancelling = cancel_rest(replace(strategy, leaving=Leaving.TIME))
    if not strategy.held:
        return cancelling
    leaving = exit_due(cancelling.strategy, event)
    return Decision(leaving.strategy, (*cancelling.actions, *leaving.actions))


def replanned(strategy: Strategy, event: Replanned) -> Decision:
    """Its day has other hours."""
    return Decision(replace(strategy, entry_at=event.entry_at, exit_at=event.exit_at, note=event.words))


def replanned_open(strategy: Strategy, event: Replanned) -> Decision:
    """The same once it has entered: only the exit is still to come."""
    return Decision(replace(strategy, exit_at=event.exit_at, note=event.words or strategy.note))


def new_day(strategy: Strategy, event: NewDay) -> Decision:
    """Its next day, where there is one."""
    if event.next is None or strategy.ending or strategy.cancels:
        return Decision(strategy)
    return Decision(waiting(replace(strategy, note=""), event.next))
