"""Stops of every kind in the window: what the strip sends, what the list shows, and the portfolio stop over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import time
from decimal import Decimal

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QComboBox, QLabel, QLineEdit, QWidget

from app.domain.day_stop import DayBreach, DayLimits, DayStop
from app.domain.events import DayStopChanged, PositionsChanged, StopChanged, TicksConflated
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.instrument import Product
from app.domain.market import Interval, Tick
from app.domain.order import Side
from app.domain.portfolio import PositionKey
from app.domain.stop import (
    BreakEven,
    FiredBy,
    Stop,
    StopPlan,
    StopState,
    TimeExit,
    Trail,
    TrailKind,
    TriggerSource,
)
from app.ui import format as fmt
from app.ui.models.facts import Facts
from app.ui.models.table import KEY_ROLE
from app.ui.views.stops import StopsPanel
from app.ui.views.words import at_risk, plan_tip
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Stage

FUTURE = next(stop for stop in market.stops() if stop.state is StopState.ARMED)
PUT = PositionKey(market.ACCOUNT, InstrumentId("NFO:NIFTY26NOV25800PE"), Product.NRML)


@pytest.fixture
def panel(stage: Stage) -> Iterator[StopsPanel]:
    facts = Facts(stage.bridge)
    made = StopsPanel(stage.bridge, facts)
    made.resize(1100, 320)
    made.show()
    stage.loop.run_until_complete(facts.load())
    stage.until(lambda: made._model.rowCount() > 0)
    yield made
    made.strip.put_away()
    made.close()


def part(panel: QWidget, name: str) -> QWidget:
    found = panel.findChild(QWidget, name)
    assert isinstance(found, QWidget), name
    return found


def text(panel: QWidget, name: str) -> str:
    found = part(panel, name)
    assert isinstance(found, QLabel)
    return found.text()


def shown(panel: StopsPanel, stop: StopId, column: str) -> str:
    """What a cell of the list says."""
    model = panel._model
    model.flush()
    at = model.place_of(stop)
    assert at is not None
    return str(model.index(at, model.column(column)).data() or "")


def write(panel: QWidget, name: str, words: str) -> None:
    found = part(panel, name)
    assert isinstance(found, QLineEdit)
    found.setFocus()
    found.selectAll()
    QTest.keyClicks(found, words)


def choose(panel: QWidget, name: str, value: object) -> None:
    found = part(panel, name)
    assert isinstance(found, QComboBox)
    found.setCurrentIndex(found.findData(value))


def click(panel: QWidget, name: str) -> None:
    found = part(panel, name)
    assert isinstance(found, QAbstractButton)
    found.click()


def column(panel: StopsPanel, key: str, row: int = 0) -> str:
    return str(panel._model.index(row, panel._model.column(key)).data() or "")


def row_key(panel: StopsPanel, row: int) -> object:
    return panel._model.index(row, 0).data(KEY_ROLE)


def opened(stage: Stage, panel: StopsPanel, stop: Stop = FUTURE, key: PositionKey | None = None) -> None:
    if key is None:
        panel._move(stop.id)
    else:
        panel.strip.open_for(stage.desk.script.positions[key])
    stage.settle()
    if not part(panel, "stop.form").isVisible():
        click(panel, "stop.more")
    stage.settle()


def test_a_plan_typed_in_the_strip_is_sent_whole(stage: Stage, panel: StopsPanel) -> None:
    opened(stage, panel)
    write(panel, "stop.target", "26200")
    choose(panel, "stop.trail", TrailKind.POINTS)
    write(panel, "stop.amount", "40")
    write(panel, "stop.step", "5")
    write(panel, "stop.even", "60")
    write(panel, "stop.offset", "2.5")
    write(panel, "stop.when", "1510")
    choose(panel, "stop.source", TriggerSource.DOUBLE_LAST)
    write(panel, "stop.wait", "7")
    stage.until(lambda: "at target net" in text(panel, "stop.meaning"))
    assert "leaves" in text(panel, "stop.meaning")
    QTest.keyClick(part(panel, "stop.when"), Qt.Key.Key_Return)
    stage.until(lambda: not panel.strip.isVisible())
    assert stage.desk.script.called("change")
    (_, plan) = stage.desk.script.called("change")[0]
    assert plan == StopPlan(
        FUTURE.trigger,
        target=26_200_00,
        trail=Trail(TrailKind.POINTS, Decimal(40_00), step=5_00),
        break_even=BreakEven(60_00, offset=2_50),
        time_exit=TimeExit(time(15, 10)),
        source=TriggerSource.DOUBLE_LAST,
        longest_wait=7,
    )


def test_an_atr_trail_names_its_candles_and_its_distance(stage: Stage, panel: StopsPanel) -> None:
    opened(stage, panel)
    assert not part(panel, "stop.interval").isVisible()
    choose(panel, "stop.trail", TrailKind.ATR)
    write(panel, "stop.amount", "2.5")
    choose(panel, "stop.interval", Interval.MINUTES_15)
    write(panel, "stop.period", "21")
    stage.until(lambda: "trails 41.50 behind" in text(panel, "stop.meaning"))
    click(panel, "stop.arm")
    stage.until(lambda: not panel.strip.isVisible())
    assert stage.desk.script.called("change")
    (_, plan) = stage.desk.script.called("change")[0]
    assert isinstance(plan, StopPlan)
    assert plan.trail == Trail(TrailKind.ATR, Decimal("2.5"), period=21, interval=Interval.MINUTES_15)


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("stop.when", "25:00", "A time is written as 14:45"),
        ("stop.when", "-x", "Minutes before the end: “x” is not a number"),
        ("stop.wait", "soon", "Wait: “soon” is not a number"),
        ("stop.target", "26200.03", "Target: the tick is"),
        ("stop.price", "25940.03", "Stop price: the tick is"),
        ("stop.price", "25940,50", "Stop price: “25940,50” is not a number"),
        ("stop.price", "0", "Stop price: a price is above zero"),
        ("stop.price", "-5", "Stop price: a price is above zero"),
        ("stop.price", "9999999999999999", "Stop price: the number is too large"),
        ("stop.price", "  ", "Enter the stop price"),
        ("stop.backstop", "abc", "Backstop at the exchange: “abc” is not a number"),
        ("stop.units", "1,2", "Units: “1,2” is not a number"),
        ("stop.wait", "1_0", "Wait: “1_0” is not a number"),
    ],
)
def test_what_cannot_be_read_is_said_and_not_sent(
    stage: Stage, panel: StopsPanel, field: str, typed: str, words: str
) -> None:
    opened(stage, panel)
    choose(panel, "stop.source", TriggerSource.MID)
    write(panel, field, typed)
    stage.until(lambda: words in text(panel, "stop.meaning"))
    QTest.keyClick(part(panel, "stop.price"), Qt.Key.Key_Return)
    stage.settle()
    assert not stage.desk.script.called("change")
    assert not stage.desk.script.called("move")


def test_the_price_that_a_backstop_comes_to_stands_beside_its_distance(stage: Stage, panel: StopsPanel) -> None:
    opened(stage, panel)
    write(panel, "stop.price", "25900")
    write(panel, "stop.backstop", "40")
    assert text(panel, "stop.rests") == "behind: at 25,860.00"
    write(panel, "stop.backstop", "26000")
    assert text(panel, "stop.rests") == "behind: below zero"
    panel.strip.backstop.set_value(None)
    panel._move(FUTURE.id)
    assert text(panel, "stop.rests") == ""


def test_another_mistake_is_named_after_the_first_one(stage: Stage, panel: StopsPanel) -> None:
    opened(stage, panel)
    write(panel, "stop.price", "25940.03")
    stage.until(lambda: "the tick is" in text(panel, "stop.meaning"))
    write(panel, "stop.price", "later")
    stage.until(lambda: "“later” is not a number" in text(panel, "stop.meaning"))
    write(panel, "stop.price", "25940")
    stage.until(lambda: "out at 25,940.00" in text(panel, "stop.meaning"))


@pytest.mark.parametrize("typed", ["1e3", "nan", "inf", "4,0"])
def test_a_distance_is_read_like_every_other_number(stage: Stage, panel: StopsPanel, typed: str) -> None:
    opened(stage, panel)
    choose(panel, "stop.trail", TrailKind.POINTS)
    write(panel, "stop.amount", typed)
    stage.until(lambda: "Trail: " in text(panel, "stop.meaning"))


def test_a_stop_on_the_underlying_asks_for_its_level(stage: Stage, panel: StopsPanel) -> None:
    opened(stage, panel, key=PUT)
    stage.until(lambda: "NIFTY 50" in [part(panel, "stop.source").itemText(n) for n in range(5)])  # type: ignore[attr-defined]
    choose(panel, "stop.source", TriggerSource.UNDERLYING)
    stage.until(lambda: "Enter the level of the underlying" in text(panel, "stop.meaning"))
    write(panel, "stop.level", "25900")
    stage.until(lambda: "the underlying stands at 26,048.35" in text(panel, "stop.meaning"))
    price = panel.strip.price.value
    click(panel, "stop.arm")
    stage.until(lambda: not panel.strip.isVisible())
    assert stage.desk.script.called("arm")
    stop = next(s for s in stage.desk.script.stops.values() if s.key == PUT)
    assert (stop.plan.trigger, stop.plan.last_trigger, stop.plan.underlying) == (25_900_00, price, "NSE:NIFTY 50")
    nifty, at = InstrumentId("NSE:NIFTY 50"), 1_800_000_000
    stage.publish(TicksConflated((Tick(nifty, 26_048_35, at, at),)))
    stage.until(lambda: "148.35 (0.57%)" in shown(panel, stop.id, "distance"))
    assert shown(panel, stop.id, "outcome") == "looks at NIFTY 50"
    tip = plan_tip(stop, panel._facts.instruments[PUT.instrument])
    assert "looks at NIFTY 50" in tip
    assert "its own last price decides at" in tip


def test_a_share_has_no_underlying_to_choose(stage: Stage, panel: StopsPanel) -> None:
    infy = next(key for key in stage.desk.script.positions if key.instrument == "NSE:INFY")
    opened(stage, panel, key=infy)
    source = part(panel, "stop.source")
    assert isinstance(source, QComboBox)
    assert source.findData(TriggerSource.UNDERLYING) < 0


def test_a_price_alone_still_only_moves_and_keeps_the_plan(stage: Stage, panel: StopsPanel) -> None:
    plan = StopPlan(FUTURE.trigger, target=26_300_00, quantity=75, strategy="opening range")
    stage.publish(StopChanged(replace(FUTURE, plan=plan)))
    stage.desk.script.stops[FUTURE.id] = replace(FUTURE, plan=plan)
    opened(stage, panel)
    write(panel, "stop.price", "25940")
    click(panel, "stop.arm")
    stage.until(lambda: not panel.strip.isVisible())
    assert stage.desk.script.called("move")
    assert not stage.desk.script.called("change")


def test_the_list_shows_kind_level_in_force_target_time_and_why_one_left(stage: Stage, panel: StopsPanel) -> None:
    trailing = replace(
        FUTURE,
        plan=StopPlan(25_900_00, target=26_300_00, trail=Trail(TrailKind.PERCENT, Decimal("0.50"))),
        trigger=25_930_00,
        best=26_060_00,
        exit_at=market.NOW + 3 * 3600 * 10**9,
    )
    left = replace(FUTURE, id=StopId("LEFTBYTARGET"), state=StopState.CLOSED, fired_by=FiredBy.TARGET, exit_average=1)
    stage.publish(StopChanged(trailing), StopChanged(left))
    stage.until(lambda: panel._model.rowCount() == 3)
    names = {row_key(panel, n): n for n in range(panel._model.rowCount())}
    at = names[FUTURE.id]
    stage.until(lambda: column(panel, "target", at) != "")
    assert column(panel, "kind", at).startswith("trails 0.5 % · exit 14:")
    assert column(panel, "target", at) == "26,300.00"
    assert column(panel, "trigger", at) == "25,930.00"
    assert column(panel, "outcome", names[left.id]).endswith("by target")
    tip = str(panel._model.index(at, panel._model.column("kind")).data(Qt.ItemDataRole.ToolTipRole))
    assert "Began at 25,900.00, now 25,930.00" in tip
    assert "best price since arming 26,060.00" in tip


def test_a_suspended_stop_is_answered_in_the_strip(stage: Stage, panel: StopsPanel) -> None:
    held = replace(FUTURE, state=StopState.SUSPENDED, note="previous close is told as 130.00: split or bonus?")
    stage.desk.script.stops[FUTURE.id] = held
    stage.publish(StopChanged(held))
    stage.until(lambda: "suspended" in [column(panel, "state", n) for n in range(panel._model.rowCount())])
    stage.until(lambda: "none armed · 1 suspended, guarding nothing" in text(panel, "stops.summary"))
    opened(stage, panel)
    assert "again" in text(panel, "stop.title")
    click(panel, "stop.arm")
    stage.until(lambda: not panel.strip.isVisible())
    assert stage.desk.script.called("resume")


def test_a_stop_on_its_way_out_is_not_counted_as_armed(stage: Stage, panel: StopsPanel) -> None:
    stage.publish(StopChanged(replace(FUTURE, state=StopState.EXITING)))
    stage.until(lambda: text(panel, "stops.summary") == "none armed · 1 exiting")


def test_without_a_price_it_is_not_said_that_nothing_is_at_risk(stage: Stage, panel: StopsPanel) -> None:
    stage.until(lambda: "at risk" in text(panel, "stops.summary"))
    panel._facts.ticks.clear()
    panel._show_foot()
    assert text(panel, "stops.summary").startswith("1 armed · risk of 1 not known")


def test_a_change_of_something_else_keeps_what_the_trail_wins_while_it_is_typed(
    stage: Stage, panel: StopsPanel
) -> None:
    plan = StopPlan(25_900_00, trail=Trail(TrailKind.POINTS, Decimal(40_00)))
    trailing = replace(FUTURE, plan=plan, trigger=25_930_00, best=25_970_00)
    stage.desk.script.stops[FUTURE.id] = trailing
    stage.publish(StopChanged(trailing))
    opened(stage, panel)
    further = replace(trailing, trigger=25_990_00, best=26_030_00)
    stage.desk.script.stops[FUTURE.id] = further
    stage.publish(StopChanged(further))
    write(panel, "stop.target", "26300")
    stage.until(lambda: "at target net" in text(panel, "stop.meaning"))
    click(panel, "stop.arm")
    stage.until(lambda: not panel.strip.isVisible())
    assert stage.desk.script.called("change") == [(FUTURE.id, replace(plan, target=26_300_00))], "not back to 25,930"
    assert not stage.desk.script.called("move")


def test_a_strip_in_which_nothing_was_changed_leaves_a_stop_that_moved_meanwhile(
    stage: Stage, panel: StopsPanel
) -> None:
    plan = StopPlan(25_900_00, trail=Trail(TrailKind.POINTS, Decimal(40_00)))
    trailing = replace(FUTURE, plan=plan, trigger=25_930_00, best=25_970_00)
    stage.desk.script.stops[FUTURE.id] = trailing
    stage.publish(StopChanged(trailing))
    opened(stage, panel)
    stage.publish(StopChanged(replace(trailing, trigger=25_990_00, best=26_030_00)))
    click(panel, "stop.arm")
    stage.until(lambda: not panel.strip.isVisible())
    assert not stage.desk.script.called("move")
    assert not stage.desk.script.called("change")


def test_a_stop_for_ones_own_units_leaves_that_of_a_strategy_alone(stage: Stage, panel: StopsPanel) -> None:
    theirs = replace(FUTURE, plan=replace(FUTURE.plan, quantity=75, strategy="opening range"))
    held = replace(stage.desk.script.positions[FUTURE.key], quantity=150)
    stage.desk.script.stops[FUTURE.id] = theirs
    stage.desk.script.positions[FUTURE.key] = held
    stage.publish(StopChanged(theirs), PositionsChanged(market.ACCOUNT, (held,), market.NOW))
    panel.strip.open_for(held)
    stage.settle()
    assert text(panel, "stop.title").startswith("Stop for")
    write(panel, "stop.price", "25800")
    stage.until(lambda: "out at 25,800.00" in text(panel, "stop.meaning"))
    click(panel, "stop.arm")
    stage.until(lambda: not panel.strip.isVisible())
    assert stage.desk.script.called("arm") == [(FUTURE.key, 25_800_00)]
    assert not stage.desk.script.called("move")
    assert not stage.desk.script.called("change")
    mine = next(stop for stop in stage.desk.script.stops.values() if stop.trigger == 25_800_00)
    assert panel._facts.stop_of(FUTURE.key) == mine, "from now on that is the one to move"


def test_a_strategy_that_arms_its_stop_meanwhile_does_not_lose_it(stage: Stage, panel: StopsPanel) -> None:
    put = stage.desk.script.positions[PUT]
    panel.strip.open_for(put)
    stage.settle()
    theirs = replace(
        FUTURE, id=StopId("THEIRS"), key=PUT, side=Side.BUY, trigger=60_00, quantity=75,
        plan=StopPlan(60_00, quantity=75, strategy="opening range"),
    )  # fmt: skip
    stage.desk.script.stops[theirs.id] = theirs
    stage.publish(StopChanged(theirs))
    write(panel, "stop.price", "70")
    stage.until(lambda: "out at 70.00" in text(panel, "stop.meaning"))
    click(panel, "stop.arm")
    stage.until(lambda: not panel.strip.isVisible())
    assert stage.desk.script.called("arm") == [(PUT, 70_00)]
    assert not stage.desk.script.called("change")


# -- the portfolio stop ------------------------------------------------------------------------------------------------


def test_the_day_and_its_limits_are_shown(panel: StopsPanel) -> None:
    shown = text(panel, "day.words")
    assert "day +₹4,215.50" in shown
    assert "loss limit ₹25,000.00" in shown
    assert "₹10,065.50 to the drawdown limit" in shown, "the one that would be reached first"
    assert "best +₹9,150.00" in shown


def test_limits_are_set_and_what_is_looser_is_said_to_hold_tomorrow(stage: Stage, panel: StopsPanel) -> None:
    click(panel, "day.edit")
    stage.until(lambda: "best seen today" in text(panel, "day.said"))
    said = text(panel, "day.said")
    assert "what closing them costs is not" in said
    assert "Now +₹4,215.50; the drawdown counts from +₹9,150.00, the best seen today." in said
    write(panel, "day.loss", "20000")
    write(panel, "day.drawdown", "18000")
    click(panel, "day.save")
    stage.until(lambda: bool(stage.desk.script.called("set_day_limits")))
    assert stage.desk.script.called("set_day_limits")[0][1] == DayLimits(20_000_00, None, 18_000_00)
    stage.until(lambda: "from tomorrow: loss limit ₹20,000.00, drawdown limit ₹18,000.00" in text(panel, "day.words"))
    assert "drawdown limit ₹15,000.00" in text(panel, "day.words")


def test_a_halted_account_says_until_when(stage: Stage, panel: StopsPanel) -> None:
    halted = DayStop(
        market.ACCOUNT,
        "2026-11-20",
        DayLimits(loss=25_000_00),
        halted=DayBreach.LOSS,
        halted_net=-25_120_00,
        until="2026-11-23",
    )
    stage.publish(DayStopChanged(halted))
    shown = text(panel, "day.words")
    assert shown == "HALTED by day loss at -₹25,120.00 · closing every position · no entries until Mon 23 Nov"
    stage.publish(DayStopChanged(replace(halted, flat=True)))
    assert "everything was closed" in text(panel, "day.words")
    stage.publish(DayStopChanged(replace(halted, day="2026-11-23")))
    assert text(panel, "day.words").endswith("closed when its market opens · no entries until then")


def test_the_fields_of_the_portfolio_stop_stand_beside_each_other_in_a_narrow_panel(
    stage: Stage, panel: StopsPanel
) -> None:
    panel.resize(580, 320)
    click(panel, "day.edit")
    stage.settle()
    strip = part(panel, "day.strip")
    shown = [w for w in strip.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly) if w.isVisible()]
    assert len(shown) >= 9
    for number, one in enumerate(shown):
        assert one.width() >= one.minimumSizeHint().width(), one.objectName()
        assert not [w.objectName() for w in shown[:number] if w.geometry().intersects(one.geometry())], one.objectName()


def test_the_contract_is_named_whole_in_a_narrow_panel(stage: Stage, panel: StopsPanel) -> None:
    panel.resize(580, 420)
    opened(stage, panel, key=PUT)
    title = part(panel, "stop.title")
    assert text(panel, "stop.title").endswith("NIFTY26NOV25800PE")
    assert title.width() >= title.sizeHint().width()
    assert title.width() - title.sizeHint().width() > 100, "and the longest verb before it"


def test_several_stops_on_one_position_all_count_and_one_stays_when_another_ends(
    stage: Stage, panel: StopsPanel
) -> None:
    shares = [replace(FUTURE, id=StopId(name), plan=StopPlan(FUTURE.trigger, quantity=75)) for name in ("ONE", "TWO")]
    before = len(panel._facts.armed())
    stage.publish(*[StopChanged(share) for share in shares])
    stage.until(lambda: text(panel, "stops.summary").startswith(f"{before + 2} armed"))
    stage.publish(StopChanged(replace(shares[1], state=StopState.CLOSED, closed_at=market.NOW)))
    stage.until(lambda: text(panel, "stops.summary").startswith(f"{before + 1} armed"))
    assert panel._facts.stop_of(FUTURE.key) is not None
    stage.publish(StopChanged(replace(FUTURE, state=StopState.DISARMED, closed_at=market.NOW)))
    stage.until(lambda: text(panel, "stops.summary").startswith(f"{before} armed"))
    left = panel._facts.stop_of(FUTURE.key)
    assert left is not None
    assert left.id == "ONE"


def test_what_guards_stands_above_what_has_ended_and_the_latest_of_that_first(stage: Stage, panel: StopsPanel) -> None:
    """After a morning of exits the one stop that is armed must not be below the fold."""
    names = [StopId(f"DAY{n}") for n in range(4)]
    shares = [replace(FUTURE, id=name, plan=StopPlan(FUTURE.trigger, quantity=75)) for name in names]
    stage.publish(*[StopChanged(share) for share in shares])
    stage.publish(*[StopChanged(replace(one, state=StopState.CLOSED, closed_at=market.NOW)) for one in shares[:2]])

    def order() -> tuple[list[bool], list[str]]:
        ended = [panel._facts.stops[StopId(str(key))].state.is_final for key in panel._model.keys]
        return ended, [str(key) for key, over in zip(panel._model.keys, ended, strict=True) if over][:2]

    stage.until(lambda: order() == (sorted(order()[0]), [names[1], names[0]]))
    stage.publish(StopChanged(replace(shares[0], id=StopId("LATE"))))
    stage.until(lambda: "LATE" in panel._model.keys and order()[0] == sorted(order()[0]))


def test_a_contract_counted_in_lots_is_at_risk_for_what_a_lot_holds(stage: Stage, panel: StopsPanel) -> None:
    stage.publish(StopChanged(FUTURE))
    held = stage.desk.script.positions[FUTURE.key]
    alone = at_risk(FUTURE, panel._facts.last(FUTURE.key.instrument))
    assert alone is not None
    lots = {**stage.desk.script.positions, FUTURE.key: replace(held, multiplier=100)}
    stage.publish(PositionsChanged(market.ACCOUNT, tuple(lots.values()), market.NOW))
    stage.until(lambda: panel._facts.positions[FUTURE.key].multiplier == 100)
    stage.publish(StopChanged(replace(FUTURE, note="again")))
    stage.until(lambda: column(panel, "risk", 0) == fmt.amount(alone * 100))
    stage.publish(StopChanged(replace(FUTURE, state=StopState.EXITING)))
    stage.until(lambda: column(panel, "risk", 0) in ("", fmt.NOTHING))


def test_a_stop_that_no_price_reaches_today_says_so(stage: Stage, panel: StopsPanel) -> None:
    opened(stage, panel)
    write(panel, "stop.price", "15000")
    stage.until(lambda: text(panel, "stop.meaning").startswith("Beyond today's circuit limit of 23,4"))
    assert "it cannot be hit today" in text(panel, "stop.meaning")
    write(panel, "stop.price", "25940")
    stage.until(lambda: "out at 25,940.00" in text(panel, "stop.meaning"))
    assert "circuit" not in text(panel, "stop.meaning")


def test_a_target_that_no_price_reaches_today_says_so(stage: Stage, panel: StopsPanel) -> None:
    opened(stage, panel)
    write(panel, "stop.target", "40000")
    stage.until(lambda: "the target lies beyond today's circuit limit of 28,6" in text(panel, "stop.meaning"))
    write(panel, "stop.target", "26500")
    stage.until(lambda: "circuit" not in text(panel, "stop.meaning"))
    assert "at target net" in text(panel, "stop.meaning")


def test_with_two_accounts_stops_and_their_strip_say_whose_they_are(stage: Stage, panel: StopsPanel) -> None:
    panel.resize(640, 320)  # the least that the default layout gives it
    at = panel._model.column("account")
    assert panel.table.isColumnHidden(at)
    first = stage.desk.script.accounts[market.ACCOUNT]
    other = AccountId("upstox-11AA22BB")
    stage.desk.script.accounts[other] = replace(first, id=other, broker="upstox", broker_title="Upstox", user_id="UP77")
    stage.loop.run_until_complete(panel._facts.load_accounts())
    stage.until(lambda: not panel.table.isColumnHidden(at))
    assert column(panel, "account", 0) == first.name
    opened(stage, panel)
    assert first.name in text(panel, "stop.title")
    assert other not in text(panel, "stop.title")


def test_no_field_of_a_plan_covers_another_in_a_narrow_panel(stage: Stage, panel: StopsPanel) -> None:
    panel.resize(580, 520)
    opened(stage, panel, key=PUT)
    stage.until(lambda: "NIFTY 50" in [part(panel, "stop.source").itemText(n) for n in range(5)])  # type: ignore[attr-defined]
    choose(panel, "stop.source", TriggerSource.UNDERLYING)
    choose(panel, "stop.trail", TrailKind.ATR)
    stage.settle()
    form = part(panel, "stop.form")
    shown = [w for w in form.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly) if w.isVisible()]
    assert len(shown) > 20
    for number, one in enumerate(shown):
        assert form.rect().contains(one.geometry()), one.objectName()
        covered = [w.objectName() for w in shown[:number] if w.geometry().intersects(one.geometry())]
        assert covered == [], one.objectName()


def test_in_a_low_panel_the_fields_of_a_plan_scroll_and_never_lie_over_each_other(
    stage: Stage, panel: StopsPanel
) -> None:
    opened(stage, panel)
    stage.until(lambda: "net" in text(panel, "stop.meaning"))
    form, meaning = part(panel, "stop.form"), part(panel, "stop.meaning")
    panel.setMinimumSize(100, 100)  # as its dock does
    panel.resize(560, 330)
    panel.strip._say("Nobody takes over if this program dies: only your passphrase opens the profile. " * 2, "muted")
    stage.settle()
    shown = [w for w in form.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly) if w.isVisible()]
    assert len(shown) >= 9
    for number, one in enumerate(shown):
        assert form.rect().contains(one.geometry()), one.objectName()
        assert not [w.objectName() for w in shown[:number] if w.geometry().intersects(one.geometry())], one.objectName()
    assert meaning.height() >= meaning.heightForWidth(meaning.width())
    for name in ("stop.units", "stop.target"):
        part(panel, name).setFocus(Qt.FocusReason.ShortcutFocusReason)
        stage.settle()
        assert part(panel, name).visibleRegion().boundingRect().height() > 16, name
    click(panel, "stop.more")
    stage.settle()
    assert not form.isVisible()
    assert panel.strip.height() < 160
