"""The strategies view: the table, the editor's words, what the timeline says, and the questions before money moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TypeVar

import pytest
from PySide6.QtCore import QTime
from PySide6.QtWidgets import QAbstractButton, QLabel, QPushButton, QWidget

from app.domain.errors import Denied
from app.domain.events import OrderChanged, StopChanged, StrategyChanged, StrategyMarked, TicksConflated
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.instrument import Exchange, Product
from app.domain.market import Interval
from app.domain.order import Side
from app.domain.stop import Stop, StopPlan, StopState, Trail, TrailKind, TriggerSource, exit_tag
from app.domain.strategy import (
    Days,
    DaysKind,
    Leaving,
    Level,
    MarkKind,
    Measure,
    Strategy,
    StrategyMark,
    StrategyPlan,
    StrategyProblem,
    StrategyState,
)
from app.ui.dialogs.strategy import StrategyDialog
from app.ui.dialogs.strategy_parts import read_dates
from app.ui.models.facts import Facts
from app.ui.views.strategies import StrategiesPanel
from app.ui.views.strategy_timeline import Picture, segments_of, span_of
from app.ui.views.strategy_words import NOTHING_OUT, Out, result_of
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Stage
from tests.ui.scripted_strategies import HELD, NEXT, OVER, marks, minute
from tests.ui.scripted_strategies import plan as scripted_plan

S = StrategyState
W = TypeVar("W", bound=QWidget)


class Bench:
    """The panel over the scripted desk."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.facts = Facts(stage.bridge)
        self.panel = StrategiesPanel(stage.bridge, self.facts)
        self.panel.resize(1100, 460)
        self.panel.show()
        stage.loop.run_until_complete(self.facts.load())
        stage.loop.run_until_complete(self.panel.load())
        self.script = stage.desk.script

    def find(self, kind: type[W], name: str) -> W:
        found = self.panel.findChild(kind, name)
        assert found is not None, name
        return found

    def cells(self, strategy: str) -> dict[str, str]:
        model = self.panel.table.model()
        self.panel._model.flush()
        at = self.panel._model.place_of(strategy)
        assert at is not None
        return {c.key: str(model.index(at, n).data() or "") for n, c in enumerate(self.panel._model.columns)}

    def select(self, strategy: str) -> None:
        at = self.panel._model.place_of(strategy)
        assert at is not None
        self.panel.table.selectRow(at)
        self.stage.until(lambda: bool(self.panel.kept.marks))

    def click(self, name: str) -> None:
        button = self.find(QPushButton, name)
        assert button.isEnabled(), name
        button.click()

    def asked(self, verb: str) -> list[tuple[object, ...]]:
        self.stage.until(lambda: bool(self.script.called(verb)))
        return self.script.called(verb)


@pytest.fixture
def bench(stage: Stage) -> Iterator[Bench]:
    made = Bench(stage)
    yield made
    made.panel.close()


def test_each_strategy_says_where_it_stands_what_comes_next_and_what_it_made(bench: Bench) -> None:
    held, over, following = (bench.cells(one) for one in (HELD, OVER, NEXT))
    assert (held["state"], held["next"], held["held"]) == ("bought", "sell 15:00", "150")
    assert (over["state"], over["side"]) == ("exited by stop", "short")
    assert over["result"].startswith("-") or "▼" in over["result"], over["result"]
    assert (following["state"], following["next"]) == ("waiting", "buy Fri 20 Nov 15:05")
    assert (following["times"], following["days"]) == ("15:05 to 09:30 +1", "Fri")


def test_in_the_narrow_table_of_several_accounts_the_result_is_seen_whole(bench: Bench) -> None:
    """Gain or loss is never cut or scrolled away; what comes next is in the timeline below too."""
    first = bench.stage.desk.script.accounts[market.ACCOUNT]
    other = AccountId("upstox-11AA22BB")
    bench.script.accounts[other] = replace(first, id=other, broker="upstox", broker_title="Upstox", user_id="UP77")
    bench.stage.loop.run_until_complete(bench.facts.load_accounts())
    bench.panel.resize(690, 460)  # the least that the default layout gives it
    table, at = bench.panel.table, bench.panel._model.column("result")

    def right() -> int:
        return table.columnViewportPosition(at) + table.columnWidth(at)

    bench.stage.until(lambda: not table.isColumnHidden(bench.panel._model.column("account")))
    bench.stage.until(lambda: not table.isColumnHidden(at) and right() <= table.viewport().width())


def test_the_timeline_shows_the_states_of_the_selected_one_and_grows_with_it(bench: Bench) -> None:
    bench.select(HELD)
    bench.stage.until(lambda: (p := bench.panel.timeline.picture) is not None and len(p.marks) == 6)
    picture = bench.panel.timeline.picture
    assert picture is not None
    assert [state for _, _, state in segments_of(picture, minute(400))] == [S.WAITING, S.BUYING, S.BOUGHT]
    fired = StrategyMark(HELD, minute(40), MarkKind.STATE, S.SELLING, "its stop was reached")
    bench.stage.publish(StrategyMarked(fired))
    bench.stage.publish(StrategyChanged(replace(bench.panel.kept.strategies[HELD], state=S.SELLING)))
    bench.stage.until(lambda: "its stop was reached" in bench.panel.timeline.accessibleDescription())
    assert bench.cells(HELD)["state"] == "selling"


def test_the_timeline_is_painted_with_stop_target_timers_and_fills(bench: Bench) -> None:
    bench.select(HELD)
    instrument = InstrumentId("NSE:INFY")
    tick = bench.facts.ticks[instrument]
    for n in range(5):
        later = replace(tick, exchange_time=minute(10 + n), last_price=1_482_00 + 40 * n)
        bench.stage.publish(TicksConflated((later,)))
    bench.stage.until(lambda: (p := bench.panel.timeline.picture) is not None and len(p.prices) >= 5)
    image = bench.panel.timeline.grab().toImage()
    colors = {image.pixelColor(x, y).name() for x in range(0, image.width(), 2) for y in range(0, image.height(), 2)}
    assert len(colors) > 12


def test_the_axis_spans_what_happened_and_what_is_to_come() -> None:
    plan = StrategyPlan(
        HELD, "", market.ACCOUNT, InstrumentId("NSE:INFY"), Product.MIS, Side.BUY, 1, 1, 2, Days()
    )  # fmt: skip
    waiting = Strategy(plan, S.WAITING, entry_at=minute(5), exit_at=minute(345))
    since, until = span_of(Picture(waiting, tuple(marks(NEXT)), minute(1), (), None, None, 100, 5))
    assert since < minute(5)
    assert until > minute(345)


def test_stopping_what_holds_a_position_asks_whether_to_close_it(bench: Bench) -> None:
    bench.select(HELD)
    bench.click("strategies.stop")
    words = bench.find(QLabel, "strategies.question.text").text()
    assert "It holds 150 INFY" in words
    assert not bench.script.called("stop strategy")
    bench.click("strategies.question.yes")
    assert bench.asked("stop and close") == [(HELD,)]


def test_one_whose_exit_is_under_way_counts_what_that_has_closed_and_is_stopped_without_a_question(
    bench: Bench,
) -> None:
    """40 of 150 are out at 1,490.00: 7.60 each are earned, whatever the others still come to."""
    bench.select(HELD)
    stop = StopId("0123456789AB")
    selling = replace(bench.panel.kept.strategies[HELD], state=S.SELLING, stop=stop)
    bench.stage.publish(StrategyChanged(selling))
    part = replace(
        market.orders()[0], instrument=selling.plan.instrument, side=Side.SELL, quantity=150, filled_quantity=40,
        average_price=1_490_00, tag=exit_tag(stop, 1, 1),
    )  # fmt: skip
    bench.stage.publish(OrderChanged(part))
    bench.stage.until(lambda: bench.cells(HELD)["held"] == "110")
    last = bench.facts.last(selling.plan.instrument)
    assert last is not None
    row = bench.panel._row(selling)
    assert row.result == (last - 1_482_40) * 110 + 7_60 * 40
    assert bench.cells(HELD)["next"] == "sell now"
    bench.click("strategies.stop")
    assert bench.asked("stop strategy") == [(HELD,)]


def test_what_was_closed_in_parts_counts_each_at_its_price_and_a_lot_for_what_it_holds() -> None:
    plan = scripted_plan(HELD, "Opening", "NSE:INFY", 100)
    sold = Strategy(
        plan, S.SOLD, bought=100, entry_average=100_00, exit_average=105_00, closed=60, leaving=Leaving.TIME
    )
    assert result_of(sold, None, 100, NOTHING_OUT) == 5_00 * 60, "40 were closed elsewhere"
    assert result_of(sold, None, 100, NOTHING_OUT, 10) == 5_00 * 60 * 10
    assert result_of(sold, None, 100, NOTHING_OUT, None) is None
    assert result_of(replace(sold, closed=0), None, 100, NOTHING_OUT) == 5_00 * 100, "as it was kept before"
    selling = replace(sold, state=S.SELLING, held=40)
    assert result_of(selling, 103_00, 100, Out(10, 10 * 104_00)) == 5_00 * 60 + 4_00 * 10 + 3_00 * 30


def test_of_a_contract_in_lots_nothing_is_said_until_its_position_has_told_their_size(bench: Bench) -> None:
    held = bench.panel.kept.strategies[HELD]
    instrument = bench.facts.instruments[held.plan.instrument]
    bench.facts.instruments[held.plan.instrument] = replace(instrument, exchange=Exchange.MCX)
    known = bench.facts.positions.pop(held.plan.key, None) or replace(market.positions()[0], key=held.plan.key)
    assert bench.panel._row(held).result is None
    bench.facts.positions[held.plan.key] = known
    one = bench.panel._row(held).result
    bench.facts.positions[held.plan.key] = replace(known, multiplier=100)
    assert one is not None
    assert bench.panel._row(held).result == one * 100


def test_one_that_buys_again_tomorrow_says_so_and_can_be_paused_and_stopped_today(bench: Bench) -> None:
    bench.select(OVER)
    assert bench.cells(OVER)["next"] == "sell short next day"
    assert bench.find(QPushButton, "strategies.pause").isEnabled()
    over = bench.panel.kept.strategies[OVER]
    bench.stage.publish(StrategyChanged(replace(over, paused=True)))
    bench.stage.until(lambda: bench.cells(OVER)["next"] == "sell short next day (paused)")
    assert bench.find(QPushButton, "strategies.pause").text() == "Res&ume"
    dated = replace(over.plan, days=Days(DaysKind.DATES, dates=(date(2026, 11, 2),)))
    bench.stage.publish(StrategyChanged(replace(over, plan=dated)))
    bench.stage.until(lambda: bench.cells(OVER)["next"] == "")
    assert not bench.find(QPushButton, "strategies.stop").isEnabled()
    bench.stage.publish(StrategyChanged(over))
    bench.stage.until(lambda: bench.find(QPushButton, "strategies.stop").isEnabled())
    bench.click("strategies.stop")
    assert bench.asked("stop strategy") == [(OVER,)]


def test_leaving_units_open_whose_stop_was_disarmed_promises_none(bench: Bench) -> None:
    bench.select(HELD)
    held = bench.panel.kept.strategies[HELD]
    bench.stage.publish(StrategyChanged(replace(held, stop=None, unguarded=150)))
    bench.stage.until(lambda: bench.panel.kept.strategies[HELD].unguarded == 150)
    bench.click("strategies.stop")
    assert "open with nothing to guard it" in bench.find(QLabel, "strategies.question.text").text()


def test_stopping_one_whose_entry_has_filled_nothing_yet_does_not_ask_about_0_shares(bench: Bench) -> None:
    bench.select(HELD)
    buying = replace(bench.panel.kept.strategies[HELD], state=S.BUYING, held=0, bought=0)
    bench.stage.publish(StrategyChanged(buying))
    bench.stage.until(lambda: bench.cells(HELD)["state"] == "buying")
    assert bench.find(QLabel, "strategies.words").text() == "2 running"
    bench.click("strategies.stop")
    words = bench.find(QLabel, "strategies.question.text").text()
    assert "Its entry is at the broker and is cancelled." in words
    bench.click("strategies.question.yes")
    assert bench.asked("stop and close") == [(HELD,)]


def test_it_may_be_left_open_or_kept_running(bench: Bench) -> None:
    bench.select(HELD)
    bench.click("strategies.stop")
    bench.click("strategies.question.no")
    assert not bench.find(QWidget, "strategies.question").isVisible()
    bench.click("strategies.stop")
    bench.click("strategies.question.other")
    assert bench.asked("stop strategy") == [(HELD,)]


def test_what_waits_is_stopped_paused_and_resumed_without_a_question(bench: Bench) -> None:
    bench.select(NEXT)
    bench.click("strategies.pause")
    assert bench.asked("pause strategy") == [(NEXT,)]
    kept = bench.panel.kept.strategies
    bench.stage.publish(StrategyChanged(replace(kept[NEXT], state=S.PAUSED, paused=True)))
    bench.stage.until(lambda: bench.find(QPushButton, "strategies.pause").text() == "Res&ume")
    bench.click("strategies.pause")
    assert bench.asked("resume strategy") == [(NEXT,)]
    bench.click("strategies.stop")
    assert bench.asked("stop strategy") == [(NEXT,)]


def test_what_does_not_run_is_started_copied_and_deleted_after_a_question(bench: Bench) -> None:
    bench.select(OVER)
    bench.click("strategies.copy")
    bench.stage.until(lambda: len(bench.panel.kept.strategies) == 4)
    bench.click("strategies.start")
    assert bench.asked("start strategy") == [(OVER,)]
    bench.stage.publish(StrategyChanged(replace(bench.panel.kept.strategies[OVER], state=S.SOLD)))
    bench.stage.until(lambda: bench.find(QPushButton, "strategies.delete").isEnabled())
    bench.click("strategies.delete")
    assert not bench.script.called("delete strategy")
    bench.stage.desk.strategies.kept[OVER] = replace(bench.stage.desk.strategies.kept[OVER], state=S.SOLD)
    bench.click("strategies.question.yes")
    bench.stage.until(lambda: OVER not in bench.panel.kept.strategies)


def test_a_refusal_is_said_in_place(bench: Bench) -> None:
    bench.select(OVER)
    bench.script.fail("start strategy", Denied("“Other” trades NSE:SBIN the other way round.", "Stop that one."))
    bench.click("strategies.start")
    bench.stage.until(lambda: "other way round" in bench.panel.message.text)


def test_a_prepared_exit_without_a_level_is_not_shown_as_a_stop(bench: Bench) -> None:
    bare = Stop(
        StopId("BARESTOP0001"), market.positions()[0].key, Side.SELL, 0, 10, StopState.ARMED, market.NOW,
        StopPlan(0, source=TriggerSource.NONE, strategy=HELD),
    )  # fmt: skip
    before = len(bench.facts.armed())
    bench.stage.publish(StopChanged(bare))
    bench.stage.publish(StopChanged(replace(bare, id=StopId("LEVELSTOP001"), plan=StopPlan(90_000), trigger=90_000)))
    bench.stage.until(lambda: StopId("LEVELSTOP001") in bench.facts.stops)
    assert bare.id not in bench.facts.stops
    assert len(bench.facts.armed()) <= before + 1


# -- the editor --------------------------------------------------------------------------------------------------------


class Editor:
    def __init__(self, bench: Bench, plan: StrategyPlan | None = None) -> None:
        self.bench = bench
        self.dialog = StrategyDialog(bench.stage.bridge, bench.facts, bench.panel, plan)
        self.dialog.open()

    def choose(self, name: str) -> None:
        self.dialog._on_picked(self.bench.script.instruments[InstrumentId(name)])

    def says(self, words: str) -> None:
        self.bench.stage.until(lambda: words in self.dialog.preview_words.text())


@pytest.fixture
def editor(bench: Bench) -> Iterator[Editor]:
    made = Editor(bench)
    yield made
    made.dialog.close()


def test_each_letter_of_the_editor_means_one_thing(editor: Editor) -> None:
    said = [one.text() for one in editor.dialog.findChildren(QLabel)]
    said += [one.text() for one in editor.dialog.findChildren(QAbstractButton)]
    letters = [words[words.index("&") + 1].lower() for words in said if "&" in words]
    assert len(letters) > 6
    assert sorted(letters) == sorted(set(letters))


def test_the_editor_says_what_is_missing_then_what_it_would_mean(editor: Editor) -> None:
    editor.says("Choose an instrument.")
    assert not editor.dialog._start.isEnabled()
    editor.choose("NSE:INFY")
    editor.says("Buys next Sat 21 Nov 09:20, sells Sat 21 Nov 15:00 IST.")
    editor.says("Tue 24 Nov: holiday.")
    editor.says("₹1,665.00 at risk; target 1,504.60, ₹3,330.00 to gain")
    assert editor.dialog._start.isEnabled()


def test_what_is_wrong_is_said_in_words_and_cannot_be_started(editor: Editor) -> None:
    editor.bench.stage.desk.strategies.problems = (StrategyProblem("exit_second", "The exit must be later."),)
    editor.choose("NSE:INFY")
    editor.says("The exit must be later.")
    assert not editor.dialog._save.isEnabled()


def test_everything_that_was_typed_is_saved_and_started(editor: Editor) -> None:
    dialog = editor.dialog
    editor.choose("NSE:INFY")
    dialog.name.setText("Opening")
    dialog.side.setCurrentIndex(1)
    dialog.quantity.set_value(150)
    dialog.entry.setTime(QTime(9, 31, 30))
    dialog.exit.setTime(QTime(14, 45))
    dialog.stop.show_level(Level(Measure.POINTS, 1_250))
    dialog.target.show_level(Level(Measure.PERCENT, 250))
    dialog.beyond.trail.show_level(Level(Measure.POINTS, 800))
    dialog.weekly.setChecked(True)
    dialog.weekdays[1].setChecked(True)
    dialog.weekdays[3].setChecked(True)
    editor.says("Sells short next")
    dialog._start.click()
    editor.bench.stage.until(lambda: bool(editor.bench.script.called("start strategy")))
    (plan,) = editor.bench.script.called("save strategy")[0]
    assert isinstance(plan, StrategyPlan)
    assert (plan.name, plan.side, plan.quantity) == ("Opening", Side.SELL, 150)
    assert (plan.entry_second, plan.exit_second) == (9 * 3600 + 31 * 60 + 30, 14 * 3600 + 45 * 60)
    assert (plan.stop, plan.target) == (Level(Measure.POINTS, 1_250), Level(Measure.PERCENT, 250))
    assert (plan.trail, plan.days.kind, plan.days.weekdays) == (Level(Measure.POINTS, 800), DaysKind.WEEKDAYS, (1, 3))
    editor.bench.stage.until(lambda: not dialog.isVisible())


def test_a_strategy_is_edited_as_it_is(bench: Bench) -> None:
    plan = bench.panel.kept.strategies[NEXT].plan
    editor = Editor(bench, plan)
    assert editor.dialog.plan() == plan
    editor.dialog.close()


def test_all_that_its_stop_does_is_edited_as_it_is(bench: Bench) -> None:
    rich = replace(
        bench.panel.kept.strategies[NEXT].plan,
        stop=Level(Measure.PERCENT, 100),
        trail=None,
        range_trail=Trail(TrailKind.ATR, Decimal("2.5"), period=10, interval=Interval.MINUTES_15),
        break_even=Level(Measure.POINTS, 1_500),
        backstop=Level(Measure.PERCENT, 50),
        source=TriggerSource.MID,
    )
    editor = Editor(bench, rich)
    assert editor.dialog.plan() == rich
    editor.dialog.close()


def test_a_stop_that_looks_at_the_underlying_has_a_stop_of_its_own_beside(bench: Bench) -> None:
    away = replace(
        bench.panel.kept.strategies[NEXT].plan,
        stop=Level(Measure.POINTS, 5_000),
        source=TriggerSource.UNDERLYING,
        own_stop=Level(Measure.PERCENT, 3_000),
    )
    editor = Editor(bench, away)
    beyond = editor.dialog.beyond
    assert editor.dialog.plan() == away
    assert beyond.own.isEnabled()
    assert not beyond.backstop.isEnabled(), "the exchange cannot watch the underlying"
    beyond.source.setCurrentIndex(beyond.source.findData(TriggerSource.LAST))
    assert not beyond.own.isEnabled()
    assert beyond.backstop.isEnabled()
    assert editor.dialog.plan().own_stop is None
    editor.dialog.close()


def test_a_failed_start_stays_in_the_editor_with_its_reason(editor: Editor) -> None:
    editor.choose("NSE:INFY")
    editor.says("Buys next")
    editor.bench.script.fail("start strategy", Denied("There is no day to buy on.", "Choose other days."))
    editor.dialog._start.click()
    editor.bench.stage.until(lambda: "no day to buy on" in editor.dialog.message.text)
    assert editor.dialog.isVisible()


def test_dates_are_read_in_one_way() -> None:
    assert read_dates("2026-11-27, 2026-11-25;2026-11-25") == (date(2026, 11, 25), date(2026, 11, 27))
    with pytest.raises(ValueError, match="25 Nov"):
        read_dates("25 Nov")
