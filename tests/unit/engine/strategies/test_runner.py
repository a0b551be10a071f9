"""Strategies over a stop engine, an order manager and a broker in memory: what a trader would notice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date

import pytest

from app.domain.errors import Denied, OutcomeUnknown, Rejected, SessionExpired, StorageError, Unreachable
from app.domain.ids import Tag
from app.domain.order import OrderKind, OrderStatus, Side
from app.domain.stop import StopState
from app.domain.strategy import Days, DaysKind, Leaving, MarkKind, Measure
from app.domain.strategy import Level as At
from tests.fakes.trading import INFY, KEY
from tests.unit.engine.strategies.stage import PLAN, S, Stage, at, other, play, second

ONCE = replace(PLAN, days=Days(DaysKind.DATES, dates=(date(2026, 11, 25),)))
BARE = replace(PLAN, stop=None)

# -- a day -------------------------------------------------------------------------------------------------------------


def test_it_buys_at_its_time_is_guarded_by_its_stop_and_sells_at_its_time() -> None:
    async def script(stage: Stage) -> None:
        waiting = await stage.started()
        assert (waiting.state, waiting.entry_at) == (S.WAITING, at("2026-11-25 09:20"))
        await stage.until(S.BUYING, S.BOUGHT)
        assert stage.clock.now() - at("2026-11-25 09:20") < 2 * 10**9
        await stage.until(S.BOUGHT)
        stop = await stage.true(stage.guard)
        assert (stop.trigger, stop.quantity, stop.plan.strategy) == (98_010, 100, PLAN.id)  # 1 % below 990.00
        sold = await stage.until(S.SOLD)
        assert stage.clock.now() - at("2026-11-25 09:30") < 10 * 10**9
        assert (sold.leaving, sold.held, stage.held) == (Leaving.TIME, 0, 0)
        assert [(r.quantity, r.kind) for r in (*stage.entries, *stage.exits)] == [(100, OrderKind.MARKET)] * 2
        kinds = [mark.kind for mark in stage.book.marks]
        assert {MarkKind.STATE, MarkKind.ENTRY_FILL, MarkKind.STOP, MarkKind.EXIT_FILL} <= set(kinds)
        assert [w for w in stage.told() if w in list(S)] == ["waiting", "buying", "bought", "selling", "sold"]

    play(script)


def test_the_stop_is_hit_first_both_timers_are_void_and_the_next_day_begins_anew() -> None:
    async def script(stage: Stage) -> None:
        await stage.bought()
        stage.tick(98_000)
        hit = await stage.until(S.EXITED_BY_SL)
        assert (hit.leaving, stage.held) == (Leaving.STOP, 0)
        stage.clock.jump(at("2026-11-25 09:30"))
        await stage.rig.state.read_positions()
        stage.clock.jump(at("2026-11-25 23:59"))
        await stage.until(S.WAITING)
        stage.clock.jump(at("2026-11-26 09:19"))
        assert [request.quantity for request in stage.exits] == [100]
        again = await stage.until(S.BOUGHT)
        assert again.day == date(2026, 11, 26)
        assert len({request.tag for request in stage.entries}) == 2

    play(script)


def test_an_exit_without_a_level_is_armed_no_price_fires_it_and_time_does() -> None:
    async def script(stage: Stage) -> None:
        stop = await stage.bought(BARE)
        assert not stop.has_level
        for price in (5, 100_000, 10**9):
            stage.tick(price)
        assert stage.exits == []
        await stage.until(S.SOLD)
        assert (stage.held, len(stage.exits)) == (0, 1)

    play(script)


def test_a_short_one_sells_first_and_buys_back() -> None:
    async def script(stage: Stage) -> None:
        short = replace(PLAN, side=Side.SELL)
        stage.rig.last[INFY.id] = 99_000
        stop = await stage.bought(short)
        assert (stop.side, stop.trigger, stage.held) == (Side.BUY, 99_990, -100)
        await stage.until(S.SOLD)
        assert stage.held == 0
        assert [request.side for request in stage.broker.placed] == [Side.SELL, Side.BUY]

    play(script)


def test_a_target_sells_and_says_so() -> None:
    async def script(stage: Stage) -> None:
        await stage.bought(replace(PLAN, target=At(Measure.POINTS, 2_000)))
        stage.tick(101_000)
        sold = await stage.until(S.SOLD)
        assert (sold.leaving, stage.held) == (Leaving.TARGET, 0)

    play(script)


def test_a_price_that_is_beyond_the_stop_already_when_it_could_be_armed_gets_it_out_at_once() -> None:
    async def script(stage: Stage) -> None:
        await stage.started()
        stage.rig.last[INFY.id] = 90_000
        await stage.until(S.EXITED_BY_SL, seconds=400)
        assert (stage.held, len(stage.exits)) == (0, 1)

    play(script)


def test_what_is_carried_is_sold_on_the_next_day_with_an_empty_order_book() -> None:
    async def script(stage: Stage) -> None:
        await stage.bought(replace(ONCE, carry=1))
        stage.broker.book.clear()
        later = await stage.again("2026-11-26 09:28")
        assert (await later.until(S.BOUGHT)).held == 100
        await later.until(S.SOLD)
        assert (later.held, len(later.exits)) == (0, 1)
        assert later.clock.now() >= at("2026-11-26 09:30")

    play(script)


def test_of_several_dates_each_has_its_day() -> None:
    async def script(stage: Stage) -> None:
        dates = (date(2026, 11, 25), date(2026, 11, 27))
        await stage.bought(replace(PLAN, days=Days(DaysKind.DATES, dates=dates)))
        await stage.until(S.SOLD)
        stage.clock.jump(at("2026-11-26 09:19"))
        waiting = await stage.until(S.WAITING, seconds=10)
        assert waiting.day == date(2026, 11, 27)
        stage.clock.jump(at("2026-11-27 09:19"))
        await stage.until(S.BOUGHT)
        await stage.until(S.SOLD)
        stage.clock.jump(at("2026-11-28 09:19"))
        await asyncio.sleep(60)
        assert stage.engine.strategy(PLAN.id).state is S.SOLD
        assert (len(stage.entries), stage.held, stage.notices) == (2, 0, [])

    play(script)


# -- entries -----------------------------------------------------------------------------------------------------------


def test_a_partial_entry_at_its_limit_of_time_is_cancelled_and_the_stop_is_as_large_as_what_was_filled() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started()
        await stage.true(lambda: stage.broker.book)
        stage.broker.fill(stage.order(), 30)
        await stage.true(lambda: (stop := stage.guard()) is not None and stop.quantity == 30)
        assert stage.engine.strategy(PLAN.id).state is S.BUYING
        stage.broker.fill(stage.order(), 20)
        await stage.true(lambda: (stop := stage.guard()) is not None and stop.quantity == 50)
        held = await stage.until(S.BOUGHT, seconds=70)
        assert (held.held, stage.broker.cancelled) == (50, [stage.order()])
        assert held.note == "50 of 100 were bought, the rest is cancelled"
        await stage.until(S.SOLD)
        assert ([request.quantity for request in stage.exits], stage.held) == ([50], 0)

    play(script)


def test_an_entry_that_nobody_takes_is_a_failed_buy() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started(ONCE)
        failed = await stage.until(S.BUY_FAILED, seconds=400)
        assert (failed.held, stage.broker.cancelled, stage.open_orders()) == (0, [stage.order()], [])

    play(script)


def test_a_rejected_entry_aborts_and_tomorrow_nothing_is_bought() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["rejected"]
        await stage.started()
        aborted = await stage.until(S.ABORTED)
        assert "rejected" in aborted.note
        assert stage.alarms
        stage.clock.jump(at("2026-11-26 09:30"))
        await stage.rig.tasks.stop()
        assert len(stage.entries) == 1

    play(script)


def test_an_answer_that_was_lost_is_looked_up_by_its_tag_and_never_sent_again() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["lost"]
        await stage.started()
        await stage.until(S.BOUGHT)
        assert (stage.held, len(stage.entries)) == (100, 1)

    play(script)


def test_an_entry_that_never_arrives_is_sent_three_times_in_all() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = [OutcomeUnknown("lost")] * 5
        await stage.started(ONCE)
        await stage.until(S.BUY_FAILED)
        assert (stage.held, len({request.tag for request in stage.entries}), len(stage.entries)) == (0, 3, 3)

    play(script)


def test_a_broker_that_cannot_be_reached_at_the_buy_time_is_an_alarm_and_nothing_is_made_up_for() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = [Unreachable("no route")]
        await stage.started()
        await stage.until(S.BROKER_UNREACHABLE)
        assert any("No entry is made" in words for words in stage.alarms)
        await stage.rig.state.read_positions()  # it answers again
        waiting = await stage.until(S.WAITING)
        assert (waiting.day, len(stage.entries)) == (date(2026, 11, 26), 1)

    play(script)


def test_nobody_logged_in_at_the_buy_time_is_the_same_and_exits_of_others_keep_trying() -> None:
    async def script(stage: Stage) -> None:
        early = other(entry_second=second("09:19") + 10, exit_second=second("09:25"))
        await stage.started()
        await stage.bought(early)
        stage.rig.log_out()
        await stage.until(S.BROKER_UNREACHABLE)
        await stage.until(S.SELLING, plan=early)
        assert stage.exits == []
        stage.rig.log_in()
        await stage.rig.recover()
        await stage.engine.take_up()
        await stage.until(S.SOLD, plan=early)
        assert stage.held == 0

    play(script)


def test_an_entry_whose_intent_cannot_be_kept_is_not_made() -> None:
    async def script(stage: Stage) -> None:
        await stage.started()
        stage.book.broken = True
        stage.clock.jump(at("2026-11-25 09:20"))
        await stage.true(lambda: any("Nothing was bought" in words for words in stage.alarms))
        assert stage.entries == []
        with pytest.raises(StorageError):
            await stage.engine.pause(PLAN.id)

    play(script)


def test_units_that_were_bought_are_guarded_although_the_disk_has_become_full() -> None:
    """Accepted is not filled, and bought is not guarded: nobody may be there to hear that nothing was armed."""

    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started()
        await stage.true(lambda: stage.entries)
        await stage.true(stage.open_orders)
        stage.book.broken = stage.rig.journal.broken = True
        stage.broker.fill(stage.order(), 40)
        guard = await stage.true(stage.guard)
        assert guard.quantity == 40
        stage.broker.fill(stage.order(), 60)
        await stage.true(lambda: (found := stage.guard()) is not None and found.quantity == 100)
        assert any("journal cannot be written" in alarm for alarm in stage.alarms), stage.alarms
        stage.tick(98_000)
        await stage.true(lambda: stage.held == 0, 5)
        assert [request.quantity for request in stage.exits] == [100]
        stage.book.broken = stage.rig.journal.broken = False
        await stage.until(S.EXITED_BY_SL)

    play(script)


def test_an_opposite_position_is_not_closed_or_turned_by_an_entry() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.hold(KEY, -50)
        await stage.started(ONCE)
        failed = await stage.until(S.BUY_FAILED)
        assert "the other way round" in failed.note
        assert (stage.entries, stage.held) == ([], -50)

    play(script)


@pytest.mark.parametrize("ended", [True, False])
def test_an_entry_that_is_taken_back_before_it_leaves_does_not_leave(ended: bool) -> None:
    async def script(stage: Stage) -> None:
        stage.broker.slow = 8.0  # the positions are read before it leaves
        await stage.started()
        await stage.until(S.BUYING)
        await (stage.engine.stop(PLAN.id, close=False) if ended else stage.engine.pause(PLAN.id))
        stopped = await stage.until(S.IDLE, S.BUY_FAILED, seconds=60)
        assert (stopped.state, stopped.paused) == ((S.IDLE, False) if ended else (S.BUY_FAILED, True))
        await asyncio.sleep(60)
        assert (stage.entries, stage.held, stage.alarms) == ([], 0, [])

    play(script)


# -- sharing -----------------------------------------------------------------------------------------------------------


def test_two_strategies_and_the_trader_share_a_position_and_each_sells_its_own() -> None:
    async def script(stage: Stage) -> None:
        await stage.rig.guard(KEY, 40, 95_000)  # the trader's own units, with a stop on all of the position
        second_one = other(quantity=60, exit_second=second("09:25"))
        await stage.engine.save(second_one)
        await stage.engine.start(second_one.id)
        await stage.bought()
        await stage.until(S.BOUGHT, plan=second_one)
        await stage.true(lambda: stage.guard(second_one))
        assert stage.held == 200
        await stage.until(S.SOLD, plan=second_one)
        assert stage.held == 140
        await stage.until(S.SOLD)
        assert stage.held == 40
        (own,) = [stop for stop in stage.rig.engine.stops if stop.plan.strategy is None]
        await stage.true(lambda: own.id and stage.rig.of(own).quantity == 40)
        assert stage.rig.of(own).state is StopState.ARMED

    play(script)


def test_an_opposite_strategy_on_the_same_position_is_refused_in_words() -> None:
    async def script(stage: Stage) -> None:
        await stage.started()
        opposite = other(side=Side.SELL)
        await stage.engine.save(opposite)
        with pytest.raises(Denied, match="other way round"):
            await stage.engine.start(opposite.id)

    play(script)


def test_one_that_goes_on_tomorrow_stands_against_an_opposite_one_too() -> None:
    async def script(stage: Stage) -> None:
        await stage.bought()
        await stage.until(S.SOLD)
        opposite = other(side=Side.SELL)
        await stage.engine.save(opposite)
        with pytest.raises(Denied, match="other way round"):
            await stage.engine.start(opposite.id)
        await stage.engine.stop(PLAN.id, close=False)
        assert (await stage.engine.start(opposite.id)).state is S.WAITING

    play(script)


def test_a_position_closed_by_phone_ends_the_strategy_in_words_and_nothing_is_sold() -> None:
    for plan in (PLAN, BARE):

        async def script(stage: Stage, plan: object = plan) -> None:
            await stage.bought(plan)  # type: ignore[arg-type]
            stage.broker.hold(KEY, 0)
            await stage.rig.state.read_positions()
            ended = await stage.until(S.ABORTED)
            assert "closed elsewhere" in ended.note
            assert stage.exits == []

        play(script)


def test_a_position_made_smaller_by_phone_leaves_the_strategy_the_rest() -> None:
    async def script(stage: Stage) -> None:
        await stage.bought()
        stage.broker.hold(KEY, 30)
        await stage.rig.state.read_positions()
        await stage.true(lambda: stage.engine.strategy(PLAN.id).held == 30)
        await stage.until(S.SOLD)
        assert ([request.quantity for request in stage.exits], stage.held) == ([30], 0)

    play(script)


# -- the trader --------------------------------------------------------------------------------------------------------


def test_a_pause_stops_entries_only_and_a_missed_day_is_not_made_up_for() -> None:
    async def script(stage: Stage) -> None:
        await stage.started()
        await stage.engine.pause(PLAN.id)
        stage.clock.jump(at("2026-11-25 10:00"))
        paused = await stage.true(
            lambda: (s := stage.engine.strategy(PLAN.id)).entry_at == at("2026-11-26 09:20") and s
        )
        assert (paused.state, stage.entries) == (S.PAUSED, [])
        await stage.engine.resume(PLAN.id)
        stage.clock.jump(at("2026-11-26 09:19"))
        held = await stage.until(S.BOUGHT)
        assert held.day == date(2026, 11, 26)
        await stage.engine.pause(PLAN.id)
        await stage.until(S.SOLD)
        assert stage.held == 0
        stage.clock.jump(at("2026-11-27 00:01"))
        await stage.until(S.PAUSED)
        assert len(stage.entries) == 1

    play(script)


@pytest.mark.parametrize("close", [True, False])
def test_a_stop_by_the_trader_closes_what_is_held_or_leaves_it_under_its_stop(close: bool) -> None:
    async def script(stage: Stage) -> None:
        stop = await stage.bought()
        await stage.engine.stop(PLAN.id, close=close)
        if close:
            await stage.until(S.SOLD)
            assert (stage.held, len(stage.exits)) == (0, 1)
        else:
            await stage.true(lambda: stage.rig.of(stop).plan.strategy is None)
            assert stage.engine.strategy(PLAN.id).state is S.IDLE
            assert (stage.held, stage.rig.of(stop).state) == (100, StopState.ARMED)
        stage.clock.jump(at("2026-11-26 09:20"))
        await stage.rig.tasks.stop()
        assert len(stage.entries) == 1

    play(script)


@pytest.mark.parametrize("guarded", [0, 40])
def test_stopped_while_its_entry_fills_all_of_it_is_guarded_before_it_is_the_traders_own(guarded: int) -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started()
        await stage.true(stage.open_orders)
        if guarded:
            stage.broker.fill(stage.order(), guarded)
            await stage.true(stage.guard)
        stage.broker.failures["cancel"] = [Rejected("filled meanwhile")]
        await stage.engine.stop(PLAN.id, close=False)
        stage.broker.fill(stage.order())
        stopped = await stage.until(S.IDLE, seconds=10)
        assert "100 units stay open, its stop stays armed" in stopped.note
        (stop,) = await stage.true(
            lambda: [one for one in stage.rig.engine.stops if one.plan.strategy is None and one.quantity == 100]
        )
        assert (stop.state, stop.trigger) == (StopState.ARMED, 98_010)
        stage.clock.jump(at("2026-11-25 09:31"))
        stage.tick(98_000)
        await stage.true(lambda: stage.held == 0, 10)

    play(script)


def test_what_runs_can_be_copied_and_neither_changed_nor_deleted() -> None:
    async def script(stage: Stage) -> None:
        await stage.started()
        for verb in (stage.engine.save(PLAN), stage.engine.delete(PLAN.id), stage.engine.start(PLAN.id)):
            with pytest.raises(Denied):
                await verb
        copies = [await stage.engine.copy(PLAN.id) for _ in range(2)]
        assert [(one.plan.name, one.state) for one in copies] == [("Opening copy", S.IDLE), ("Opening copy 2", S.IDLE)]
        await stage.engine.save(replace(copies[0].plan, quantity=7))
        assert stage.book.kept[copies[0].id].plan.quantity == 7
        await stage.engine.delete(copies[1].id)
        assert copies[1].id not in stage.book.kept
        await stage.engine.stop(PLAN.id, close=True)
        await stage.engine.delete(PLAN.id)
        assert [one.id for one in stage.engine.strategies] == [copies[0].id]

    play(script)


def test_a_verb_that_makes_no_sense_now_is_refused_in_words() -> None:
    async def script(stage: Stage) -> None:
        await stage.engine.save(PLAN)
        with pytest.raises(Denied, match="idle"):
            await stage.engine.pause(PLAN.id)
        await stage.engine.save(replace(ONCE, days=Days(DaysKind.DATES, dates=(date(2026, 11, 2),))))
        with pytest.raises(Denied, match="no day to buy on"):
            await stage.engine.start(PLAN.id)

    play(script)


# -- restarts ----------------------------------------------------------------------------------------------------------


def test_a_buy_missed_while_down_is_skipped_and_shown() -> None:
    async def script(stage: Stage) -> None:
        await stage.started()
        later = await stage.again("2026-11-25 09:21")
        waiting = await later.true(
            lambda: (s := later.engine.strategy(PLAN.id)).entry_at == at("2026-11-26 09:20") and s
        )
        assert (waiting.state, later.entries) == (S.WAITING, [])
        assert any("missed and is skipped" in words for words in later.notices)

    play(script)


def test_a_sell_missed_while_down_is_done_at_once_and_shown() -> None:
    for plan in (PLAN, BARE):

        async def script(stage: Stage, plan: object = plan) -> None:
            await stage.bought(plan)  # type: ignore[arg-type]
            later = await stage.again("2026-11-25 09:35")
            await later.until(S.SOLD, seconds=60)
            assert (later.held, len(later.exits)) == (0, 1)
            assert any("while Stopline was away" in words for words in later.notices)

        play(script)


def test_killed_while_buying_the_order_is_found_by_its_tag_and_guarded() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started()
        await stage.true(lambda: stage.broker.book)
        later = await stage.again("2026-11-25 09:20")
        later.broker.fill(later.order())
        await later.until(S.BOUGHT)
        stop = await later.true(later.guard)
        assert (stop.quantity, len(later.entries)) == (100, 1)

    play(script)


def test_killed_before_the_entry_left_it_is_not_sent_later() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = [SessionExpired("gone")] * 3
        await stage.started(ONCE)
        stage.book.kept[PLAN.id] = replace(
            stage.book.kept[PLAN.id],
            state=S.BUYING,
            tag=Tag("M0000000000000"),
            attempt=1,
            ordered_at=at("2026-11-25 09:20"),
        )
        later = await stage.again("2026-11-25 09:20")
        failed = await later.until(S.BUY_FAILED, seconds=30)
        assert "not made up for" in failed.note
        assert later.entries == []

    play(script)


def test_on_the_next_day_the_position_says_what_became_of_an_entry() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started(replace(ONCE, carry=1))
        await stage.true(lambda: stage.broker.book)
        await stage.rig.tasks.stop()
        stage.broker.book.clear()
        stage.broker.hold(KEY, 70)
        later = await stage.again("2026-11-26 09:28")
        held = await later.until(S.BOUGHT)
        assert (held.held, len(later.entries)) == (70, 1)
        await later.true(later.guard)
        await later.until(S.SOLD)
        assert later.held == 0

    play(script)


def test_killed_between_the_stop_and_its_news_the_strategy_learns_of_it() -> None:
    async def script(stage: Stage) -> None:
        await stage.bought()
        held = stage.book.kept[PLAN.id]
        stage.tick(98_000)
        await stage.until(S.EXITED_BY_SL)
        stage.book.kept[PLAN.id] = held  # as if nothing of it had been written
        later = await stage.again("2026-11-25 09:25")
        assert (await later.until(S.EXITED_BY_SL, seconds=30)).leaving is Leaving.STOP
        assert len(later.exits) == 1

    play(script)


def test_killed_while_the_stop_was_armed_and_not_yet_known_it_is_found_again() -> None:
    async def script(stage: Stage) -> None:
        stop = await stage.bought()
        stage.book.kept[PLAN.id] = replace(stage.book.kept[PLAN.id], stop=None)
        later = await stage.again("2026-11-25 09:25")
        assert (await later.true(later.guard)).id == stop.id
        assert len([one for one in later.rig.engine.stops if not one.state.is_final]) == 1

    play(script)


def test_an_order_that_fills_after_its_cancel_is_held_guarded_and_loud() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started(ONCE)
        await stage.until(S.BUY_FAILED)
        number = stage.order()
        stage.broker.book[number] = replace(stage.broker.book[number], pending_quantity=100, status=OrderStatus.OPEN)
        stage.broker.fill(number, 20)
        held = await stage.until(S.BOUGHT, seconds=60)
        assert held.held == 20
        assert any("filled late" in words for words in stage.alarms)
        await stage.true(stage.guard)

    play(script)


@pytest.mark.expects_log("went from denied to open")
def test_an_attempt_that_turns_up_after_it_was_given_up_is_closed_too() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = [OutcomeUnknown("lost")]  # proven absent, and sent again
        await stage.bought(ONCE)
        first, second = stage.entries
        assert first.tag != second.tag
        await stage.until(S.SOLD)
        assert stage.held == 0
        stage.broker.fill(stage.broker.accept(first).broker_order_id)  # and there it is
        await stage.until(S.SELLING, S.BOUGHT, seconds=60)
        await stage.until(S.SOLD)
        assert stage.held == 0
        assert any("filled late" in words for words in stage.alarms)

    play(script)


def test_what_the_journal_did_not_take_it_gets_as_soon_as_it_can() -> None:
    async def script(stage: Stage) -> None:
        await stage.bought(ONCE)
        stage.book.broken = True
        await stage.until(S.SOLD)
        assert stage.book.kept[PLAN.id].state is S.BOUGHT
        assert any("journal cannot be written" in words for words in stage.alarms)
        stage.book.broken = False
        await stage.true(lambda: stage.told()[-2:] == ["selling", "sold"], seconds=10)
        assert stage.book.kept[PLAN.id].state is S.SOLD
        assert [mark.state for mark in stage.book.marks][-1] is S.SOLD

    play(script)


@pytest.mark.parametrize("armed", [True, False])
def test_killed_while_it_is_handed_over_it_is_guarded_and_handed_over_by_the_next_run(armed: bool) -> None:
    async def script(stage: Stage) -> None:
        await stage.bought()
        held = stage.book.kept[PLAN.id]
        stage.book.kept[PLAN.id] = replace(held, state=S.BUYING, ending=True, stop=held.stop if armed else None)
        if not armed:
            stage.rig.journal.stops.clear()
        later = await stage.again("2026-11-25 09:35")
        assert "its stop stays armed" in (await later.until(S.IDLE, seconds=30)).note
        (stop,) = await later.true(
            lambda: [s for s in later.rig.engine.stops if s.state is StopState.ARMED and s.plan.strategy is None]
        )
        assert (stop.quantity, stop.trigger, later.exits) == (100, 98_010, [])
        await later.rig.tasks.stop()

    play(script)
