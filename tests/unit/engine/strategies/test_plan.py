"""The table of a strategy's life: every state against every happening, and long random lives."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import product
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.events import Level
from app.domain.ids import AccountId, InstrumentId, StopId, StrategyId, Tag
from app.domain.instrument import Product
from app.domain.order import Side
from app.domain.strategy import NEXT, OPEN, Days, DaysKind, Leaving, Measure, Strategy, StrategyPlan, StrategyState
from app.domain.strategy import Level as At
from app.domain.strategy_times import Cycle
from app.engine.strategies.entry_rules import ATTEMPTS
from app.engine.strategies.happenings import (
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
    Happening,
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
from app.engine.strategies.moves import Decision
from app.engine.strategies.plan import TABLE, decide
from app.engine.strategies.timers import exit_due

S = StrategyState
PLAN = StrategyPlan(
    StrategyId("0123456789AB"), "Opening", AccountId("zerodha-X"), InstrumentId("NSE:INFY"), Product.MIS, Side.BUY, 100,
    33_600, 54_000, Days(),
)  # fmt: skip
ONCE = replace(PLAN, days=Days(DaysKind.DATES, dates=(date(2026, 11, 25),)))
TODAY = Cycle(date(2026, 11, 25), 100, 200)
LATER = Cycle(date(2026, 11, 26), 300, 400)
HELD = Strategy(
    PLAN, S.BOUGHT, date(2026, 11, 25), 100, 200, tag=Tag("M1"), attempt=1, bought=100, held=100, entry_average=1000,
    entry_over=True, stop=StopId("STOP"),
)  # fmt: skip
BUYING = replace(HELD, state=S.BUYING, bought=0, held=0, entry_average=None, entry_over=False, stop=None)


def after(strategy: Strategy, *happenings: Happening) -> Strategy:
    for happening in happenings:
        strategy = decide(strategy, happening).strategy
    return strategy


def actions(strategy: Strategy, happening: Happening) -> list[type]:
    return [type(action) for action in decide(strategy, happening).actions]


# -- the way that all goes well ----------------------------------------------------------------------------------------


def test_a_day_from_start_to_sold_and_on_to_the_next() -> None:
    waiting = after(Strategy(PLAN), Start(TODAY))
    assert (waiting.state, waiting.entry_at, waiting.exit_at) == (S.WAITING, 100, 200)
    buying = decide(waiting, EntryDue(Tag("M1"), 100))
    assert (buying.strategy.state, buying.strategy.tag, buying.actions) == (S.BUYING, "M1", (PlaceEntry(),))
    filled = decide(buying.strategy, EntryNews(100, 1000, over=True))
    assert (filled.strategy.state, filled.strategy.held, filled.actions) == (S.BOUGHT, 100, (Guard(),))
    armed = after(filled.strategy, Armed(StopId("STOP"), 100))
    leaving = decide(armed, ExitDue())
    assert (leaving.strategy.state, leaving.actions) == (S.SELLING, (FireExit(Leaving.TIME),))
    sold = after(leaving.strategy, ExitOver(100, 1010, elsewhere=False))
    assert (sold.state, sold.exit_average, sold.held) == (S.SOLD, 1010, 0)
    again = after(sold, NewDay(LATER))
    assert (again.state, again.entry_at, again.bought, again.tag) == (S.WAITING, 300, 0, None)


def test_a_stop_ends_both_timers() -> None:
    hit = after(HELD, ExitStarted(Leaving.STOP))
    assert hit.state is S.SELLING
    for timer in (ExitDue(), EntryDue(Tag("M2"), 1), EntryTimeOver()):
        assert decide(hit, timer) == Decision(hit)
    assert after(hit, ExitOver(100, 990, elsewhere=False)).state is S.EXITED_BY_SL


def test_a_stop_that_is_hit_while_buying_cancels_the_rest_and_what_fills_late_is_closed_too() -> None:
    part = after(BUYING, EntryNews(30, 1000, over=False), Armed(StopId("STOP"), 30))
    hit = decide(part, ExitStarted(Leaving.STOP))
    assert hit.actions == (CancelEntry(),)
    late = after(hit.strategy, EntryNews(40, 1000, over=True))
    assert (late.state, late.held) == (S.SELLING, 40)
    rest = decide(late, ExitOver(30, 990, elsewhere=False))
    assert (rest.strategy.state, rest.strategy.held, rest.actions) == (S.SELLING, 10, (FireExit(Leaving.STOP),))
    assert after(rest.strategy, ExitOver(10, 985, elsewhere=False)).state is S.EXITED_BY_SL


def test_a_target_sells_and_is_no_stop() -> None:
    assert after(HELD, ExitStarted(Leaving.TARGET), ExitOver(100, 1100, elsewhere=False)).state is S.SOLD


def test_what_several_exits_have_closed_has_the_average_of_all_of_them() -> None:
    first = after(replace(HELD, held=30), ExitDue(), EntryNews(110, 1000, over=True))
    part = after(first, ExitOver(30, 990, elsewhere=False))
    assert (part.state, part.closed, part.exit_average) == (S.SELLING, 30, 990)
    over = after(part, ExitOver(part.held, 980, elsewhere=False))
    assert (over.closed, over.exit_average) == (30 + part.held, (30 * 990 + part.held * 980) // (30 + part.held))
    elsewhere = after(part, ExitOver(0, None, elsewhere=True))
    assert (elsewhere.closed, elsewhere.exit_average) == (30, 990)


# -- entries that do not go well ---------------------------------------------------------------------------------------


def test_a_partial_entry_at_its_limit_of_time_keeps_what_was_filled_and_guards_just_that() -> None:
    part = after(BUYING, EntryNews(30, 1000, over=False), Armed(StopId("STOP"), 30))
    over = decide(part, EntryTimeOver())
    assert over.actions == (CancelEntry(),)
    assert actions(over.strategy, EntryTimeOver()) == []
    kept = after(over.strategy, EntryNews(30, 1000, over=True))
    assert (kept.state, kept.held, kept.note) == (S.BOUGHT, 30, "30 of 100 were bought, the rest is cancelled")


def test_every_fill_asks_for_a_larger_guard() -> None:
    first = decide(BUYING, EntryNews(30, 1000, over=False))
    second = decide(first.strategy, EntryNews(60, 1001, over=False))
    assert first.actions == second.actions == (Guard(),)
    assert actions(second.strategy, EntryNews(60, 1001, over=False)) == []
    assert actions(second.strategy, Armed(StopId("STOP"), 30)) == [Guard]


def test_nothing_bought_in_time_is_a_failed_buy_and_tomorrow_is_another_day() -> None:
    failed = after(BUYING, EntryTimeOver(), EntryNews(0, None, over=True))
    assert failed.state is S.BUY_FAILED
    assert after(failed, NewDay(LATER)).state is S.WAITING
    assert after(replace(failed, plan=ONCE), NewDay(None)).state is S.BUY_FAILED


def test_a_rejected_entry_aborts_and_is_not_repeated() -> None:
    refused = decide(BUYING, EntryRefused('"margin"'))
    assert (refused.strategy.state, refused.strategy.note) == (S.ABORTED, '"margin"')
    assert [action.level for action in refused.actions if isinstance(action, Tell)] == [Level.ALARM]
    assert after(refused.strategy, NewDay(LATER)).state is S.ABORTED


def test_an_entry_that_is_proven_absent_is_sent_three_times_each_under_its_own_tag() -> None:
    strategy, tags = BUYING, [BUYING.tag]
    for number in range(2, ATTEMPTS + 1):
        decision = decide(strategy, EntryAbsent(Tag(f"M{number}"), 100))
        assert decision.actions == (PlaceEntry(),)
        strategy = decision.strategy
        tags.append(strategy.tag)
    assert len(set(tags)) == ATTEMPTS
    assert after(strategy, EntryAbsent(Tag("M9"), 100)).state is S.BUY_FAILED


@pytest.mark.parametrize("before", [EntryTimeOver(), Pause(), ExitDue(), End(close=True), End(close=False)])
def test_an_absent_entry_is_not_sent_again_once_it_is_not_wanted(before: Happening) -> None:
    assert PlaceEntry not in actions(after(BUYING, before), EntryAbsent(Tag("M2"), 100))


def test_a_broker_that_cannot_be_reached_is_an_alarm_and_makes_nothing_up() -> None:
    down = decide(BUYING, BrokerDown("No answer."))
    assert down.strategy.state is S.BROKER_UNREACHABLE
    assert [action.level for action in down.actions if isinstance(action, Tell)] == [Level.ALARM]
    assert actions(down.strategy, EntryDue(Tag("M2"), 1)) == []
    back = after(down.strategy, BrokerBack(LATER))
    assert (back.state, back.entry_at) == (S.WAITING, 300)
    assert after(down.strategy, BrokerBack(None)).state is S.BUY_FAILED


def test_a_late_fill_of_a_given_up_entry_is_held_guarded_and_loud() -> None:
    failed = after(BUYING, EntryTimeOver(), EntryNews(0, None, over=True))
    late = decide(failed, EntryNews(20, 1000, over=True))
    assert (late.strategy.state, late.strategy.held) == (S.BOUGHT, 20)
    assert [type(action) for action in late.actions] == [Guard, Tell]


def test_an_attempt_that_came_after_all_beside_the_next_is_guarded_and_said_once() -> None:
    held = decide(BUYING, EntryNews(100, 1000, over=False)).strategy
    both = decide(held, EntryNews(200, 1000, over=True))
    assert (both.strategy.state, both.strategy.held) == (S.BOUGHT, 200)
    told = [action for action in both.actions if isinstance(action, Tell)]
    assert [tell.level for tell in told] == [Level.ALARM]
    assert "200 units were filled, 100 were asked for" in told[0].words
    again = decide(both.strategy, EntryNews(201, 1000, over=True))
    assert [type(action) for action in again.actions] == [Guard]
    later = decide(HELD, EntryNews(140, 1000, over=True))
    assert [type(action) for action in later.actions] == [Guard, Tell]


# -- missed while away -------------------------------------------------------------------------------------------------


def test_a_missed_buy_is_skipped_and_shown_a_missed_sell_is_done_and_shown() -> None:
    waiting = after(Strategy(PLAN), Start(TODAY))
    skipped = decide(waiting, EntryMissed("09:20 passed while Stopline was away.", LATER))
    assert (skipped.strategy.state, skipped.strategy.entry_at) == (S.WAITING, 300)
    assert [type(action) for action in skipped.actions] == [Tell]
    assert after(replace(waiting, plan=ONCE), EntryMissed("passed", None)).state is S.BUY_FAILED
    sold = decide(HELD, ExitDue(missed=True))
    assert [type(action) for action in sold.actions] == [Tell, FireExit]
    assert "while Stopline was away" in sold.strategy.note


def test_where_the_order_book_is_empty_the_position_decides() -> None:
    held = decide(BUYING, Adopted(60, 1000, "the broker holds 60"))
    assert (held.strategy.state, held.strategy.held) == (S.BOUGHT, 60)
    assert Guard() in held.actions
    assert after(BUYING, Adopted(0, 0, "nothing is held")).state is S.BUY_FAILED


# -- the trader --------------------------------------------------------------------------------------------------------


def test_a_pause_stops_entries_only() -> None:
    waiting = after(Strategy(PLAN), Start(TODAY))
    paused = after(waiting, Pause())
    assert actions(paused, EntryDue(Tag("M1"), 1)) == []
    assert after(paused, EntryMissed("passed", LATER)).state is S.PAUSED
    assert after(paused, Resume(LATER)).state is S.WAITING
    held = after(HELD, Pause())
    assert held.state is S.BOUGHT
    assert actions(held, ExitDue()) == [FireExit]
    sold = after(held, ExitDue(), ExitOver(100, 1010, elsewhere=False))
    assert after(sold, NewDay(LATER)).state is S.PAUSED
    done = after(after(HELD, ExitDue(), ExitOver(100, 1010, elsewhere=False)), Pause())
    assert (done.state, done.exit_average, after(done, NewDay(LATER)).state) == (S.SOLD, 1010, S.PAUSED)
    assert after(done, Resume(LATER), NewDay(LATER)).state is S.WAITING
    assert after(after(held, Resume(None)), ExitDue(), ExitOver(100, 1, False), NewDay(LATER)).state is S.WAITING


def test_a_stopped_strategy_closes_its_position_or_leaves_it_guarded() -> None:
    closing = decide(HELD, End(close=True))
    assert closing.actions == (FireExit(Leaving.TRADER),)
    sold = after(closing.strategy, ExitOver(100, 1000, elsewhere=False))
    assert after(sold, NewDay(LATER)).state is S.SOLD
    left = decide(HELD, End(close=False))
    assert left.strategy.state is S.IDLE
    assert [type(action) for action in left.actions] == [Release, Tell]


def test_stopped_while_buying_closes_what_was_bought() -> None:
    closing = after(BUYING, End(close=True))
    assert closing.state is S.BUYING
    assert actions(closing, EntryNews(10, 1000, over=True)) == [FireExit]
    assert after(closing, EntryNews(0, None, over=True)).state is S.IDLE
    part = after(BUYING, EntryNews(30, 1000, over=False))
    assert actions(part, End(close=True)) == [CancelEntry, FireExit]


@pytest.mark.parametrize("filled", [30, 50])
def test_stopped_while_buying_what_was_bought_is_guarded_before_it_is_the_traders_own(filled: int) -> None:
    part = after(replace(BUYING, plan=replace(PLAN, stop=At(Measure.POINTS, 500))), EntryNews(30, 1000, over=False))
    kept = decide(after(part, Armed(StopId("STOP"), 30), End(close=False)), EntryNews(filled, 1000, over=True))
    assert (kept.strategy.state, kept.actions) == (S.BUYING, (Guard(),))
    assert exit_due(kept.strategy, 10**18, 0) is None, "the trader keeps it"
    left = decide(kept.strategy, Armed(StopId("STOP"), filled))
    assert (left.strategy.state, left.actions[0]) == (S.IDLE, Release(StopId("STOP")))
    assert f"{filled} units stay open, its stop stays armed" in left.strategy.note
    disarmed = decide(kept.strategy, GuardLost())
    assert "nothing guards it" in disarmed.strategy.note


def test_stopped_after_its_stop_was_disarmed_nothing_is_said_to_guard() -> None:
    held = replace(HELD, plan=replace(PLAN, stop=At(Measure.POINTS, 500)))
    left = decide(after(held, GuardLost()), End(close=False))
    assert "nothing guards it" in left.strategy.note
    assert [action.level for action in left.actions if isinstance(action, Tell)] == [Level.WARNING]
    early = decide(replace(held, stop=None), End(close=False))
    assert (early.strategy.state, early.actions) == (S.BUYING, (Guard(),))


def test_stopped_before_its_entry_was_heard_of_again_the_traders_word_holds_for_what_the_broker_has() -> None:
    told = Adopted(50, 1000, "the broker holds 50, which are taken for it")
    kept = decide(after(BUYING, End(close=False)), told)
    assert (kept.strategy.hands_over, [type(action) for action in kept.actions]) == (True, [Guard, Tell])
    assert exit_due(kept.strategy, 10**18, 0) is None, "the trader keeps it"
    closed = decide(after(BUYING, End(close=True)), told)
    assert (closed.strategy.state, FireExit(Leaving.TRADER) in closed.actions) == (S.SELLING, True)


def test_a_position_closed_by_phone_ends_the_strategy_in_words() -> None:
    ended = decide(HELD, ExitOver(0, None, elsewhere=True, words="The position was closed elsewhere"))
    assert (ended.strategy.state, ended.strategy.leaving) == (S.ABORTED, Leaving.ELSEWHERE)
    assert "closed elsewhere" in ended.strategy.note
    assert after(ended.strategy, NewDay(LATER)).state is S.ABORTED


# -- the table as a whole ----------------------------------------------------------------------------------------------

KINDS: tuple[type, ...] = get_args(Happening)


@pytest.mark.parametrize(("state", "kind"), list(product(S, KINDS)))
def test_what_is_not_in_the_table_changes_nothing(state: StrategyState, kind: type) -> None:
    if (state, kind) not in TABLE:
        strategy = replace(HELD, state=state)
        for happening in SAMPLES[kind]:
            decision = decide(strategy, happening)
            assert (decision.strategy, decision.actions) == (strategy, ())


SAMPLES: dict[type, list[Happening]] = {
    Start: [Start(TODAY)],
    Pause: [Pause()],
    Resume: [Resume(LATER), Resume(None)],
    End: [End(close=True), End(close=False)],
    EntryDue: [EntryDue(Tag("M7"), 100)],
    EntryMissed: [EntryMissed("missed", LATER), EntryMissed("missed", None)],
    EntryTimeOver: [EntryTimeOver()],
    ExitDue: [ExitDue(), ExitDue(missed=True)],
    NewDay: [NewDay(LATER), NewDay(None)],
    EntryNews: [EntryNews(n, 1000 if n else None, over) for n in (0, 30, 60, 100) for over in (False, True)],
    EntryRefused: [EntryRefused("refused")],
    EntryDenied: [EntryDenied("denied")],
    EntryAbsent: [EntryAbsent(Tag("M8"), 100)],
    BrokerDown: [BrokerDown("down")],
    BrokerBack: [BrokerBack(LATER), BrokerBack(None)],
    Adopted: [Adopted(0, 0, "nothing"), Adopted(50, 1000, "held")],
    GuardLost: [GuardLost()],
    Replanned: [Replanned(110, 190, "shorter")],
    Armed: [Armed(StopId("STOP"), n) for n in (10, 100)],
    ShareChanged: [ShareChanged(n) for n in (10, 1000)],
    ExitStarted: [ExitStarted(why) for why in (Leaving.STOP, Leaving.TARGET)],
    ExitOver: [ExitOver(n, 1000, elsewhere) for n in (0, 30, 100) for elsewhere in (False, True)],
}


def test_there_is_a_sample_of_every_happening() -> None:
    assert set(SAMPLES) == set(KINDS)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([one for many in SAMPLES.values() for one in many]), max_size=40), st.booleans())
def test_a_random_life_keeps_every_promise(happenings: list[Happening], once: bool) -> None:
    strategy = Strategy(ONCE if once else PLAN)
    for number, sample in enumerate(happenings):
        happening = replace(sample, tag=Tag(f"M{number}")) if isinstance(sample, EntryDue | EntryAbsent) else sample
        decision = decide(strategy, happening)
        done = [type(action) for action in decision.actions]
        before, strategy = strategy, decision.strategy
        assert strategy.state is before.state or strategy.state in NEXT[before.state], (before, happening)
        assert 0 <= strategy.held <= strategy.bought <= PLAN.quantity, (before, happening)
        if PlaceEntry in done:
            assert strategy.state is S.BUYING
            assert strategy.tag != before.tag
            assert strategy.attempt <= ATTEMPTS
            unwanted = before.paused or before.ending or before.cancelling
            assert not unwanted, (before, happening)
        if FireExit in done:
            assert strategy.state is S.SELLING
            assert strategy.held > 0, (before, happening)
        if before.held and not strategy.held and Release not in done:
            assert isinstance(happening, ExitOver | ShareChanged), (before, happening)
        if strategy.held:
            assert strategy.state in OPEN, (before, happening)
        regrown = isinstance(happening, ShareChanged)
        if strategy.state in (S.BUYING, S.BOUGHT) and strategy.held > before.held and not regrown:
            assert Guard in done, (before, happening)
