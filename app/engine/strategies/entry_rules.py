"""What a strategy's table makes of its entry. Pure; no clock, no I/O."""

from __future__ import annotations

from dataclasses import replace

from app.domain.events import Level
from app.domain.ids import Nanos, Tag
from app.domain.strategy import Leaving, Strategy
from app.domain.strategy import StrategyState as S
from app.engine.strategies.excess import too_much
from app.engine.strategies.happenings import (
    Adopted,
    BrokerBack,
    BrokerDown,
    EntryAbsent,
    EntryDenied,
    EntryDue,
    EntryMissed,
    EntryNews,
    EntryRefused,
    Guard,
    PlaceEntry,
    Tell,
)
from app.engine.strategies.moves import Decision, hand_over_guarded, leave
from app.engine.strategies.rules import entry_missed

ATTEMPTS = 3
"""Entry orders of a day that may be sent one after the other, each proven absent before the next (F5)."""


def entry_due(strategy: Strategy, event: EntryDue) -> Decision:
    """The tag is stored before anything leaves."""
    return Decision(_ordered(strategy, 1, event.tag, event.at), (PlaceEntry(),))


def _ordered(strategy: Strategy, attempt: int, tag: Tag, at: Nanos) -> Strategy:
    note = "the entry is sent" if attempt == 1 else f"the entry is sent again, attempt {attempt}"
    return replace(strategy, state=S.BUYING, attempt=attempt, tag=tag, ordered_at=at, note=note)


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
        return leave(strategy, strategy.leaving, strategy.note)
    if strategy.ending:
        return hand_over_guarded(strategy)
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
    after, grew = _filled(_back(strategy), event)
    if not grew:
        return Decision(replace(strategy, entry_over=strategy.entry_over or event.over))
    note = f"{after.held} units were filled late, after the entry had been given up"
    loud = Tell(Level.ALARM, note)
    late = replace(after, stop=None, note=note)
    if late.leaving is not None and late.leaving is not Leaving.ELSEWHERE:
        return leave(late, late.leaving, note, loud)
    return Decision(replace(late, state=S.BOUGHT, leaving=None), (Guard(), loud))


def _back(strategy: Strategy) -> Strategy:
    """To the entry that fills, where the strategy has gone on from it: its day and its sell time are those of that."""
    ended = replace(strategy, ending=strategy.ending or strategy.state is S.IDLE)
    last = strategy.last
    if strategy.tag is not None or last is None:
        return ended
    return replace(ended, day=last.day, exit_at=last.exit_at, leaving=last.leaving, entry_over=True)


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
    down = replace(strategy, state=S.BROKER_UNREACHABLE, entry_over=True, cancelling=False, note=event.words)
    return Decision(down, (Tell(Level.ALARM, f"{event.words} No entry is made until it answers again."),))


def broker_back(strategy: Strategy, event: BrokerBack) -> Decision:
    """What was missed meanwhile is not made up for."""
    words = "the broker answers again; the entry that it missed is not made up for"
    return entry_missed(strategy, EntryMissed(words, event.next))


def adopted(strategy: Strategy, event: Adopted) -> Decision:
    """The broker's position stands in for an order book that is empty."""
    if strategy.entry_over:
        return Decision(strategy)
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
    if held.leaving is not None:
        return leave(held, held.leaving, event.words, tell)
    if held.ending:
        kept = hand_over_guarded(held)
        return replace(kept, actions=(*kept.actions, tell))
    return Decision(held, (Guard(), tell))
