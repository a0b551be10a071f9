"""What each happening makes of a strategy in each state: the rules that `plan.TABLE` names. Pure; no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.domain.events import Level
from app.domain.ids import Nanos, Tag
from app.domain.strategy import Leaving, Strategy
from app.domain.strategy import StrategyState as S
from app.domain.strategy_times import Cycle
from app.engine.strategies.excess import too_much
from app.engine.strategies.happenings import (
    Action,
    Adopted,
    Armed,
    BrokerBack,
    BrokerDown,
    CancelEntry,
    End,
    EntryAbsent,
    EntryDenied,
    EntryDue,
    EntryMissed,
    EntryNews,
    EntryRefused,
    EntryTimeOver,
    ExitDue,
    ExitOver,
    ExitStarted,
    FireExit,
    Guard,
    GuardLost,
    NewDay,
    Pause,
    PlaceEntry,
    Release,
    Replanned,
    Resume,
    ShareChanged,
    Start,
    Tell,
)

ATTEMPTS = 3
"""Entry orders of a day that may be sent one after the other, each proven absent before the next (F5)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a happening leads to."""

    strategy: Strategy
    actions: tuple[Action, ...] = ()


# -- the trader --------------------------------------------------------------------------------------------------------


def start(strategy: Strategy, event: Start) -> Decision:
    """From the next buy time on; nothing of an earlier day is left."""
    return Decision(_waiting(replace(Strategy(strategy.plan), note=event.cycle.words), event.cycle))


def _waiting(strategy: Strategy, cycle: Cycle) -> Strategy:
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


def pause(strategy: Strategy, _: Pause) -> Decision:
    """No entry until it is resumed."""
    return Decision(replace(strategy, state=S.PAUSED, paused=True, note="paused by the trader"))


def pause_buying(strategy: Strategy, _: Pause) -> Decision:
    """What is bought stays guarded, nothing more is bought."""
    paused = replace(strategy, paused=True, note="paused: what is bought stays guarded, nothing more is bought")
    return _cancelling(paused)


def pause_later(strategy: Strategy, _: Pause) -> Decision:
    """It goes on with what it holds; there is no entry after this one."""
    return Decision(replace(strategy, paused=True, note="paused: no entry after this one"))


def resume(strategy: Strategy, event: Resume) -> Decision:
    """Entries again."""
    awake = replace(strategy, paused=False, note="")
    return Decision(awake if event.cycle is None else _waiting(awake, event.cycle))


def resume_later(strategy: Strategy, _: Resume) -> Decision:
    """Entries again, after this one."""
    return Decision(replace(strategy, paused=False, note=""))


def rest(strategy: Strategy, _: End) -> Decision:
    """Nothing is open: it rests at once."""
    return Decision(Strategy(strategy.plan, note="stopped by the trader"))


def end_buying(strategy: Strategy, event: End) -> Decision:
    """The rest of the entry is cancelled; what is bought is closed if asked."""
    note = "stopped by the trader: the rest of the entry is cancelled"
    ending = replace(strategy, ending=True, leaving=Leaving.TRADER if event.close else None, note=note)
    cancelling = _cancelling(ending)
    if event.close and strategy.held:
        return _leave(cancelling.strategy, Leaving.TRADER, note, *cancelling.actions)
    return cancelling


def end_bought(strategy: Strategy, event: End) -> Decision:
    """Closed, or handed over to the trader."""
    if event.close:
        return _leave(replace(strategy, ending=True), Leaving.TRADER, "stopped by the trader: the position is closed")
    return _hand_over(strategy)


def _hand_over(strategy: Strategy) -> Decision:
    guarded = "its stop stays armed" if strategy.plan.stop is not None else "nothing guards it"
    note = f"stopped by the trader: {strategy.held} units stay open, {guarded}"
    level = Level.INFO if strategy.plan.stop is not None else Level.WARNING
    return Decision(Strategy(strategy.plan, note=note), (Release(strategy.stop), Tell(level, note)))


def end_selling(strategy: Strategy, _: End) -> Decision:
    """It rests when its exit is over."""
    return Decision(replace(strategy, ending=True))


# -- the clock ---------------------------------------------------------------------------------------------------------


def entry_due(strategy: Strategy, event: EntryDue) -> Decision:
    """The tag is stored before anything leaves."""
    return Decision(_ordered(strategy, 1, event.tag, event.at), (PlaceEntry(),))


def _ordered(strategy: Strategy, attempt: int, tag: Tag, at: Nanos) -> Strategy:
    note = "the entry is sent" if attempt == 1 else f"the entry is sent again, attempt {attempt}"
    return replace(strategy, state=S.BUYING, attempt=attempt, tag=tag, ordered_at=at, note=note)


def entry_missed(strategy: Strategy, event: EntryMissed) -> Decision:
    """Skipped and said; the next day, where there is one."""
    tell = Tell(Level.WARNING, event.words)
    if event.next is None:
        return Decision(replace(strategy, state=S.BUY_FAILED, note=event.words), (tell,))
    return Decision(_waiting(replace(strategy, note=event.words), event.next), (tell,))


def missed_while_paused(strategy: Strategy, event: EntryMissed) -> Decision:
    """Nothing to say: no entry was wanted."""
    if event.next is None:
        return Decision(replace(strategy, entry_at=None, exit_at=None, note="paused; no day to buy on is left"))
    return Decision(_waiting(replace(strategy, note="paused by the trader"), event.next))


def entry_time_over(strategy: Strategy, _: EntryTimeOver) -> Decision:
    """The rest may not fill any more."""
    note = f"not all was bought within {strategy.plan.entry_seconds} s: the rest is cancelled"
    return _cancelling(strategy if strategy.cancelling else replace(strategy, note=note))


def _cancelling(strategy: Strategy) -> Decision:
    if strategy.cancelling or strategy.entry_over:
        return Decision(strategy)
    return Decision(replace(strategy, cancelling=True), (CancelEntry(),))


def exit_due(strategy: Strategy, event: ExitDue) -> Decision:
    """By time."""
    if not event.missed:
        return _leave(strategy, Leaving.TIME, "its sell time has come")
    note = "its sell time passed while Stopline was away: sold at once"
    return _leave(strategy, Leaving.TIME, note, Tell(Level.WARNING, note))


def exit_due_buying(strategy: Strategy, event: ExitDue) -> Decision:
    """Both times met: what is bought leaves, what is not is not bought."""
    cancelling = _cancelling(replace(strategy, leaving=Leaving.TIME))
    if not strategy.held:
        return cancelling
    leaving = exit_due(cancelling.strategy, event)
    return Decision(leaving.strategy, (*cancelling.actions, *leaving.actions))


def _leave(strategy: Strategy, why: Leaving, note: str, *first: Action) -> Decision:
    return Decision(replace(strategy, state=S.SELLING, leaving=why, note=note), (*first, FireExit(why)))


def replanned(strategy: Strategy, event: Replanned) -> Decision:
    """Its day has other hours."""
    return Decision(replace(strategy, entry_at=event.entry_at, exit_at=event.exit_at, note=event.words))


def replanned_open(strategy: Strategy, event: Replanned) -> Decision:
    """The same once it has entered: only the exit is still to come."""
    return Decision(replace(strategy, exit_at=event.exit_at, note=event.words or strategy.note))


def new_day(strategy: Strategy, event: NewDay) -> Decision:
    """Where it repeats, its next day."""
    under_way = strategy.cancelling and not strategy.entry_over
    if event.next is None or strategy.ending or under_way or not strategy.plan.days.repeats:
        return Decision(strategy)
    return Decision(_waiting(replace(strategy, note=""), event.next))


# -- the entry ---------------------------------------------------------------------------------------------------------


def _filled(strategy: Strategy, event: EntryNews) -> tuple[Strategy, bool]:
    """With what the entry has filled, and whether that is more than before."""
    more = max(0, event.filled - strategy.bought)
    after = replace(
        strategy,
        bought=strategy.bought + more,
        held=strategy.held + more,
        entry_average=event.average or strategy.entry_average,
        looked=strategy.looked or (event.looked if more else None),
        entry_over=strategy.entry_over or event.over,
    )
    return after, more > 0


def entry_news(strategy: Strategy, event: EntryNews) -> Decision:
    """Every fill is guarded at once; when the order is over the filled part is the strategy's."""
    after, grew = _filled(strategy, event)
    if not after.entry_over:
        return Decision(after, (*((Guard(),) if grew else ()), *too_much(strategy, after)))
    if not after.bought:
        return _nothing_bought(after, event.words)
    done = _bought(after, event.words, grew=grew)
    return replace(done, actions=(*done.actions, *too_much(strategy, after)))


def _nothing_bought(strategy: Strategy, words: str) -> Decision:
    if strategy.ending:
        return Decision(replace(strategy, state=S.IDLE, note="stopped by the trader; nothing was bought"))
    note = words or f"nothing was bought within {strategy.plan.entry_seconds} s"
    return Decision(replace(strategy, state=S.BUY_FAILED, note=note), (Tell(Level.WARNING, note),))


def _bought(strategy: Strategy, words: str, *, grew: bool) -> Decision:
    """The entry is over, and something is held."""
    if strategy.leaving is not None:
        return _leave(strategy, strategy.leaving, strategy.note)
    if strategy.ending:
        return _hand_over(strategy)
    part = strategy.bought < strategy.plan.quantity
    note = f"{strategy.bought} of {strategy.plan.quantity} were bought, the rest is cancelled" if part else ""
    tell = (Tell(Level.WARNING, note),) if part else ()
    guard = (Guard(),) if grew or strategy.stop is None else ()
    return Decision(replace(strategy, state=S.BOUGHT, note=words if words and part else note), (*guard, *tell))


def late_fill_held(strategy: Strategy, event: EntryNews) -> Decision:
    """After the cancel, while it is held: the exchange had traded before it saw the cancel."""
    after, grew = _filled(strategy, event)
    return Decision(after, (*((Guard(),) if grew else ()), *too_much(strategy, after)))


def late_fill_leaving(strategy: Strategy, event: EntryNews) -> Decision:
    """While the exit is followed: what came is closed when that exit is over."""
    return Decision(after := _filled(strategy, event)[0], too_much(strategy, after))


def late_fill_over(strategy: Strategy, event: EntryNews) -> Decision:
    """After it was given up: loud, and held under guard, or closed where the strategy had left already."""
    after, grew = _filled(strategy, event)
    if not grew:
        return Decision(after)
    note = f"{after.held} units were filled late, after the entry had been given up"
    loud = Tell(Level.ALARM, note)
    late = replace(after, stop=None, note=note)
    if late.leaving is not None and late.leaving is not Leaving.ELSEWHERE:
        return _leave(late, late.leaving, note, loud)
    return Decision(replace(late, state=S.BOUGHT, leaving=None), (Guard(), loud))


def entry_refused(strategy: Strategy, event: EntryRefused) -> Decision:
    """The broker rejected it: only the trader starts it again."""
    return _given_up(strategy, S.ABORTED, event.words)


def entry_denied(strategy: Strategy, event: EntryDenied) -> Decision:
    """It was not sent."""
    return _given_up(strategy, S.BUY_FAILED, event.words)


def _given_up(strategy: Strategy, state: S, words: str) -> Decision:
    over = replace(strategy, entry_over=True, cancelling=False)
    if over.bought:
        return _bought(over, words, grew=False)
    if over.ending:
        return _nothing_bought(over, words)
    return Decision(replace(over, state=state, note=words), (Tell(Level.ALARM, words),))


def entry_absent(strategy: Strategy, event: EntryAbsent) -> Decision:
    """The next attempt, or none."""
    stopped = strategy.cancelling or strategy.leaving is not None or strategy.ending or strategy.paused
    if stopped or strategy.attempt >= ATTEMPTS:
        return _given_up(strategy, S.BUY_FAILED, f"no entry order exists after {strategy.attempt} attempts")
    return Decision(_ordered(strategy, strategy.attempt + 1, event.tag, event.at), (PlaceEntry(),))


def broker_down(strategy: Strategy, event: BrokerDown) -> Decision:
    """It provably did not leave."""
    if strategy.ending or strategy.bought:
        return _given_up(strategy, S.BUY_FAILED, event.words)
    down = replace(strategy, state=S.BROKER_UNREACHABLE, tag=None, cancelling=False, note=event.words)
    return Decision(down, (Tell(Level.ALARM, f"{event.words} No entry is made until it answers again."),))


def broker_back(strategy: Strategy, event: BrokerBack) -> Decision:
    """What was missed meanwhile is not made up for."""
    words = "the broker answers again; the entry that it missed is not made up for"
    return entry_missed(strategy, EntryMissed(words, event.next))


def adopted(strategy: Strategy, event: Adopted) -> Decision:
    """The broker's position stands in for an order book that is empty."""
    tell = Tell(Level.WARNING, event.words)
    if not event.held:
        return Decision(replace(strategy, state=S.BUY_FAILED, entry_over=True, note=event.words), (tell,))
    held = replace(
        strategy,
        state=S.BOUGHT,
        bought=event.held,
        held=event.held,
        entry_average=strategy.entry_average or event.average,
        entry_over=True,
        note=event.words,
    )
    return Decision(held, (Guard(), tell))


# -- the exit ----------------------------------------------------------------------------------------------------------


def armed(strategy: Strategy, event: Armed) -> Decision:
    """A guard smaller than the share grows."""
    guarded = replace(strategy, stop=event.stop)
    return Decision(guarded, (Guard(),) if event.quantity < guarded.held else ())


def guard_lost(strategy: Strategy, _: GuardLost) -> Decision:
    """Its times go on; nothing else gets it out."""
    note = "its stop was disarmed by hand; it is left at its sell time only"
    return Decision(replace(strategy, stop=None, note=note), (Tell(Level.WARNING, note),))


def share_changed(strategy: Strategy, event: ShareChanged) -> Decision:
    """It never owns more than there is, nor more than it bought."""
    held = min(event.quantity, strategy.bought)
    if held == strategy.held:
        return Decision(strategy)
    lost = strategy.bought - held
    return Decision(replace(strategy, held=held, note=f"{lost} units were closed elsewhere" if lost else ""))


def exit_started(strategy: Strategy, event: ExitStarted) -> Decision:
    """Its own level fired: both timers are void from here."""
    cancelling = _cancelling(strategy)
    note = f"its {event.why} was reached"
    return Decision(replace(cancelling.strategy, state=S.SELLING, leaving=event.why, note=note), cancelling.actions)


def exit_over(strategy: Strategy, event: ExitOver) -> Decision:
    """Closed, unless more was bought late."""
    left = 0 if event.elsewhere else max(0, strategy.held - event.quantity)
    why = event.why or strategy.leaving or Leaving.TIME
    average = event.average if event.average is not None else strategy.exit_average
    if left:
        again = replace(strategy, held=left, stop=None, exit_average=average)
        return _leave(again, why, f"{left} units more, bought late, are closed too")
    state = S.EXITED_BY_SL if why is Leaving.STOP else S.SOLD
    note = event.words if event.elsewhere and event.words else f"closed: {why}"
    return Decision(replace(strategy, state=state, held=0, leaving=why, exit_average=average, note=note))


def closed_unasked(strategy: Strategy, event: ExitOver) -> Decision:
    """While it was held: by its own stop, of which nothing was heard until now; or by somebody else, which ends it."""
    cancelling = _cancelling(strategy)
    if not event.elsewhere:
        over = exit_over(cancelling.strategy, event)
        return Decision(over.strategy, (*cancelling.actions, *over.actions))
    note = f"{event.words or 'its position was closed elsewhere'}; the strategy has ended"
    ended = replace(cancelling.strategy, state=S.ABORTED, leaving=Leaving.ELSEWHERE, held=0, note=note)
    return Decision(ended, (*cancelling.actions, Tell(Level.WARNING, note)))
