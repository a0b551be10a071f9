"""The life of a strategy as one table: state and happening give the next state and what to do. Pure; no clock, no I/O.

What is not in the table changes nothing: a stop that fired has left BOUGHT, so its sell time finds no row any more,
and a buy time that comes twice finds none either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.domain.strategy import Strategy
from app.domain.strategy import StrategyState as S
from app.engine.strategies import entry_rules, exit_rules, rules
from app.engine.strategies.happenings import (
    Adopted,
    Armed,
    BrokerBack,
    BrokerDown,
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
    GuardLost,
    Happening,
    NewDay,
    Pause,
    Replanned,
    Resume,
    ShareChanged,
    Start,
)
from app.engine.strategies.moves import Decision

Rule = Callable[[Strategy, Any], Decision]


def decide(strategy: Strategy, happening: Happening) -> Decision:
    """The next state and what to do."""
    rule = TABLE.get((strategy.state, type(happening)))
    return Decision(strategy) if rule is None else rule(strategy, happening)


TABLE: dict[tuple[S, type], Rule] = {
    (S.IDLE, Start): rules.start,
    (S.IDLE, EntryNews): entry_rules.late_fill_over,
    (S.WAITING, EntryNews): entry_rules.late_fill_over,
    (S.WAITING, Pause): rules.pause,
    (S.WAITING, End): rules.rest,
    (S.WAITING, EntryDue): entry_rules.entry_due,
    (S.WAITING, EntryMissed): rules.entry_missed,
    (S.WAITING, Replanned): rules.replanned,
    (S.PAUSED, EntryNews): entry_rules.late_fill_over,
    (S.PAUSED, Replanned): rules.replanned,
    (S.PAUSED, Resume): rules.resume,
    (S.PAUSED, End): rules.rest,
    (S.PAUSED, EntryMissed): rules.missed_while_paused,
    (S.BROKER_UNREACHABLE, EntryNews): entry_rules.late_fill_over,
    (S.BROKER_UNREACHABLE, Pause): rules.pause,
    (S.BROKER_UNREACHABLE, Resume): rules.resume,
    (S.BROKER_UNREACHABLE, End): rules.rest,
    (S.BROKER_UNREACHABLE, BrokerBack): entry_rules.broker_back,
    (S.BUYING, Pause): rules.pause_buying,
    (S.BUYING, Resume): rules.resume_later,
    (S.BUYING, End): rules.end_buying,
    (S.BUYING, EntryTimeOver): rules.entry_time_over,
    (S.BUYING, ExitDue): rules.exit_due_buying,
    (S.BUYING, EntryNews): entry_rules.entry_news,
    (S.BUYING, EntryRefused): entry_rules.entry_refused,
    (S.BUYING, EntryDenied): entry_rules.entry_denied,
    (S.BUYING, EntryAbsent): entry_rules.entry_absent,
    (S.BUYING, BrokerDown): entry_rules.broker_down,
    (S.BUYING, Adopted): entry_rules.adopted,
    (S.BUYING, Replanned): rules.replanned_open,
    (S.BUYING, GuardLost): exit_rules.guard_lost,
    (S.BUYING, Armed): exit_rules.armed,
    (S.BUYING, ShareChanged): exit_rules.share_changed,
    (S.BUYING, ExitStarted): exit_rules.exit_started,
    (S.BUYING, ExitOver): exit_rules.closed_unasked,
    (S.BOUGHT, Pause): rules.pause_later,
    (S.BOUGHT, Resume): rules.resume_later,
    (S.BOUGHT, End): rules.end_bought,
    (S.BOUGHT, ExitDue): rules.exit_due,
    (S.BOUGHT, EntryNews): entry_rules.late_fill_held,
    (S.BOUGHT, Replanned): rules.replanned_open,
    (S.BOUGHT, GuardLost): exit_rules.guard_lost,
    (S.BOUGHT, Armed): exit_rules.armed,
    (S.BOUGHT, ShareChanged): exit_rules.share_changed,
    (S.BOUGHT, ExitStarted): exit_rules.exit_started,
    (S.BOUGHT, ExitOver): exit_rules.closed_unasked,
    (S.SELLING, Pause): rules.pause_later,
    (S.SELLING, Resume): rules.resume_later,
    (S.SELLING, End): rules.end_selling,
    (S.SELLING, EntryNews): entry_rules.late_fill_leaving,
    (S.SELLING, Armed): exit_rules.armed,
    (S.SELLING, ShareChanged): exit_rules.share_changed,
    (S.SELLING, ExitOver): exit_rules.exit_over,
    (S.SOLD, Start): rules.start,
    (S.SOLD, Pause): rules.pause_later,
    (S.SOLD, Resume): rules.resume_later,
    (S.SOLD, End): rules.rest,
    (S.SOLD, NewDay): rules.new_day,
    (S.SOLD, EntryNews): entry_rules.late_fill_over,
    (S.EXITED_BY_SL, Start): rules.start,
    (S.EXITED_BY_SL, Pause): rules.pause_later,
    (S.EXITED_BY_SL, Resume): rules.resume_later,
    (S.EXITED_BY_SL, End): rules.rest,
    (S.EXITED_BY_SL, NewDay): rules.new_day,
    (S.EXITED_BY_SL, EntryNews): entry_rules.late_fill_over,
    (S.BUY_FAILED, Start): rules.start,
    (S.BUY_FAILED, Pause): rules.pause_later,
    (S.BUY_FAILED, Resume): rules.resume_later,
    (S.BUY_FAILED, End): rules.rest,
    (S.BUY_FAILED, NewDay): rules.new_day,
    (S.BUY_FAILED, EntryNews): entry_rules.late_fill_over,
    (S.ABORTED, Start): rules.start,
    (S.ABORTED, End): rules.rest,
    (S.ABORTED, EntryNews): entry_rules.late_fill_over,
}
"""Everything that changes a strategy."""
