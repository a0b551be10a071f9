"""A stop on the chart: dragged with the mouse, drawn solid only when the desk has acknowledged it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from app.domain.errors import Denied
from app.domain.events import FeedChanged, FeedState, PositionsChanged, StopChanged, TicksConflated
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.instrument import Product
from app.domain.order import Side
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, StopPlan, StopState, Trail, TrailKind, TriggerSource
from app.ui.charts.stop_line import Phase, StopLine
from app.ui.charts.stop_paint import PlacedStop
from app.ui.charts.target_line import TargetLine
from app.ui.theme import DARK
from app.ui.views.chart import ChartView
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Mouse, Stage

INFY = market.key("NSE:INFY", Product.MIS)
LAST = market.LASTS["NSE:INFY"]
NEAR, MIDDLE, FAR = LAST - 100, LAST - 150, LAST - 250
"""Triggers within the picture."""


class Bench:
    """The chart of a long position in INFY, with the mouse over it."""

    def __init__(self, stage: Stage, view: ChartView) -> None:
        self.stage = stage
        self.view = view
        self.canvas = view.canvas
        self.mouse = Mouse(view.canvas.viewport())
        self.pane = view.canvas._panes.price

    @property
    def line(self) -> StopLine:
        (line,) = (line for line in self.canvas.overlay.stops if not isinstance(line, TargetLine))
        return line

    @property
    def target(self) -> TargetLine:
        (line,) = (line for line in self.canvas.overlay.stops if isinstance(line, TargetLine))
        return line

    def target_words(self) -> str:
        (placed,) = (p for p in self.canvas.overlay.layout() if p.line is self.target)
        return "  ".join(piece.text for piece in placed.pieces)

    def phase(self) -> Phase:
        """Now."""
        return self.line.phase

    @property
    def placed(self) -> PlacedStop:
        (placed,) = self.canvas.overlay.layout()
        return placed

    def held(self) -> int | None:
        """The trigger in the hand, now."""
        return self.line.dragged

    def y(self, price: int) -> float:
        return self.pane.y(price)

    def words(self) -> str:
        return "  ".join(piece.text for piece in self.placed.pieces)

    def arm(self, price: int, plan: StopPlan | None = None) -> Stop:
        """A stop as the desk would have it."""
        stop = self.stage.loop.run_until_complete(
            self.stage.bridge.call(self.stage.desk.stops.arm(INFY, plan or StopPlan(price)))
        )
        self.stage.until(lambda: self.line.phase is Phase.ARMED and self.line.outcome() is not None)
        self.canvas.flush()
        self.stage.desk.script.calls.clear()
        return stop

    def color_at(self, price: int) -> QColor:
        """Of the pixel on the line, away from candles' labels."""
        self.canvas.flush()
        image = self.canvas.viewport().grab().toImage()
        return image.pixelColor(2, round(self.y(price)))


@pytest.fixture
def bench(stage: Stage, qtbot: QtBot) -> Iterator[Bench]:
    view = ChartView(stage.bridge)
    view.resize(1100, 640)
    view.show()
    view.open(InstrumentId("NSE:INFY"))
    made = Bench(stage, view)
    stage.until(lambda: len(view.canvas.series) == 375 and len(view.canvas.overlay.stops) == 1)
    stage.settle()
    view.canvas.flush()
    yield made
    view.dispose()
    stage.settle()
    view.hide()
    assert not [t for t in view.findChildren(QTimer) if t.isActive()]
    assert stage.problems == []
    view.deleteLater()


def test_the_label_of_a_level_above_the_picture_leaves_the_prices_of_the_candle_readable(bench: Bench) -> None:
    far = LAST * 2
    bench.arm(LAST - 20_00, StopPlan(LAST - 20_00, target=far))
    (above,) = [placed for placed in bench.canvas.overlay.layout() if placed.outside < 0]
    assert above.label.top() >= bench.pane.rect.top() + 24  # where the line of open, high, low and close ends
    assert above.label.contains(above.label.center().x(), above.handle.center().y())


def test_a_position_without_stop_offers_a_line_on_the_side_of_its_exit(bench: Bench) -> None:
    assert bench.phase() is Phase.OFFERED
    assert "Drag to set a stop" in bench.words()
    assert bench.y(LAST) < bench.placed.y < bench.pane.rect.bottom()


@pytest.mark.parametrize(("x", "offset"), [(30.0, -6.0), (600.0, 0.0), (1080.0, 6.0)])
def test_the_offered_line_is_dragged_to_arm_a_stop_on_a_tick(bench: Bench, x: float, offset: float) -> None:
    start, target = bench.placed.y, bench.y(FAR)
    bench.mouse.drag((x, start + offset), (x, target + offset + 0.3))
    bench.stage.until(lambda: bench.line.phase is Phase.ARMED)
    ((key, trigger),) = bench.stage.desk.script.called("arm")
    assert key == INFY
    assert isinstance(trigger, int)
    assert trigger % bench.line.instrument.tick_size == 0
    assert abs(bench.y(trigger) - target) <= 1.5
    assert bench.line.stop is not None
    assert bench.line.stop.trigger == trigger


def test_a_dragged_stop_is_moved_once_and_never_doubled(bench: Bench) -> None:
    stop = bench.arm(FAR)
    bench.mouse.drag((500, bench.y(FAR)), (500, bench.y(MIDDLE)))
    bench.stage.until(lambda: bench.line.stop is not None and bench.line.stop.trigger != FAR)
    assert [name for name, _ in bench.stage.desk.script.calls if name in ("arm", "move", "disarm")] == ["move"]
    ((moved, trigger),) = bench.stage.desk.script.called("move")
    assert moved == stop.id
    assert isinstance(trigger, int)
    assert abs(trigger - (MIDDLE)) <= bench.line.instrument.tick_size


def test_only_what_is_acknowledged_is_solid(bench: Bench) -> None:
    bench.arm(FAR)
    gate = bench.stage.desk.script.hold("move")
    solid = QColor(DARK.stop)
    assert bench.color_at(FAR) == solid
    bench.mouse.drag((500, bench.y(FAR)), (500, bench.y(MIDDLE)))
    bench.stage.until(lambda: bool(bench.stage.desk.script.called("move")))
    wish = bench.line.trigger
    assert wish is not None
    assert bench.color_at(FAR) == solid
    assert bench.color_at(wish) != solid
    assert "MOVING…" in bench.words()
    bench.mouse.drag((500, bench.y(wish)), (500, bench.y(NEAR)))
    bench.stage.settle()
    assert len(bench.stage.desk.script.called("move")) == 1
    bench.stage.loop.run_until_complete(_open(bench.stage, gate.set))
    bench.stage.until(lambda: bench.line.wish is None)
    assert bench.color_at(wish) == solid
    assert bench.color_at(FAR) != solid


async def _open(stage: Stage, release: object) -> None:
    async def on_loop() -> None:
        assert callable(release)
        release()

    await stage.bridge.call(on_loop())


def test_esc_lets_go_and_asks_for_nothing(bench: Bench) -> None:
    bench.arm(FAR)
    bench.mouse.press(500, bench.y(FAR))
    bench.mouse.move(500, bench.y(MIDDLE))
    assert bench.held() is not None
    QTest.keyClick(bench.canvas, Qt.Key.Key_Escape)
    assert bench.held() is None
    bench.mouse.release(500, bench.y(MIDDLE))
    bench.stage.settle()
    assert bench.stage.desk.script.called("move") == []
    assert bench.line.stop is not None
    assert bench.line.stop.trigger == FAR


def test_a_click_without_a_drag_asks_for_nothing(bench: Bench) -> None:
    bench.mouse.press(500, bench.placed.y)
    bench.mouse.move(501, bench.placed.y + 1)
    bench.mouse.release(501, bench.placed.y + 1)
    bench.stage.settle()
    assert bench.stage.desk.script.called("arm") == []
    assert bench.line.dragged is None


def test_the_wrong_side_is_refused_while_dragging_and_nothing_is_sent(bench: Bench) -> None:
    bench.arm(FAR)
    bench.mouse.press(500, bench.y(FAR))
    bench.mouse.move(500, bench.y(LAST + 100))
    assert "must be below the last price 1,531.80" in bench.words()
    assert bench.placed.color == DARK.danger
    bench.mouse.release(500, bench.y(LAST + 100))
    bench.stage.settle()
    assert bench.stage.desk.script.called("move") == []
    assert "REFUSED" in bench.words()
    assert bench.line.stop is not None
    assert bench.line.trigger == FAR


def test_a_refusal_snaps_back_with_its_reason(bench: Bench) -> None:
    bench.arm(FAR)
    bench.stage.desk.script.fail("move", Denied("The position changed.", "Look at it and drag again."))
    bench.mouse.drag((500, bench.y(FAR)), (500, bench.y(MIDDLE)))
    bench.stage.until(lambda: bool(bench.line.refused))
    assert "The position changed. Look at it and drag again." in bench.words()
    assert bench.line.trigger == FAR
    assert bench.phase() is Phase.ARMED


def click_cross(bench: Bench) -> None:
    close = bench.placed.close
    assert close is not None
    bench.mouse.press(close.center().x(), close.center().y())
    bench.mouse.release(close.center().x(), close.center().y())


def test_the_cross_asks_once_and_then_disarms(bench: Bench) -> None:
    stop = bench.arm(FAR)
    click_cross(bench)
    assert bench.words().startswith("DISARM?  nothing will guard 200 then")
    bench.stage.settle()
    assert bench.stage.desk.script.called("disarm") == []
    click_cross(bench)
    bench.stage.until(lambda: bench.line.stop is None)
    assert bench.stage.desk.script.called("disarm") == [(stop.id,)]
    assert bench.phase() is Phase.OFFERED


@pytest.mark.parametrize("how", ["esc", "click elsewhere"])
def test_a_stop_is_kept_when_the_question_is_not_answered(bench: Bench, how: str) -> None:
    bench.arm(FAR)
    click_cross(bench)
    if how == "esc":
        QTest.keyClick(bench.canvas, Qt.Key.Key_Escape)
    else:
        bench.mouse.press(300, 100)
        bench.mouse.release(300, 100)
    assert bench.words().startswith("STOP")
    click_cross(bench)
    bench.stage.settle()
    assert bench.stage.desk.script.called("disarm") == []


def test_shift_click_sets_a_stop_at_the_price(bench: Bench) -> None:
    y = bench.y(FAR)
    bench.mouse.press(300, y, Qt.KeyboardModifier.ShiftModifier)
    bench.mouse.release(300, y)
    bench.stage.until(lambda: bench.line.phase is Phase.ARMED)
    ((_, trigger),) = bench.stage.desk.script.called("arm")
    assert isinstance(trigger, int)
    assert abs(bench.y(trigger) - y) <= 1.5


def test_the_menu_arms_here_and_says_why_not_on_the_wrong_side(bench: Bench) -> None:
    menu = bench.canvas._build_menu(LAST + 50)
    wrong = menu.actions()[0]
    assert wrong.text() == "Arm a stop here: 1,532.30 (must be below the last price 1,531.80)"
    assert not wrong.isEnabled()
    menu.deleteLater()
    menu = bench.canvas._build_menu(MIDDLE)
    menu.actions()[0].trigger()
    bench.stage.until(lambda: bench.line.phase is Phase.ARMED)
    assert bench.stage.desk.script.called("arm") == [(INFY, MIDDLE)]
    menu.deleteLater()


def test_the_label_tells_distance_risk_and_the_net_outcome(bench: Bench) -> None:
    bench.arm(FAR)
    # 200 x (1,529.30 - 1,522.40) less the scripted charges of 89.40; 200 x 2.50 at risk.
    assert bench.words() == "STOP  SELL 200  -2.50 (-0.16%)  at stop +₹1,290.60 net  risk ₹500.00"


def test_a_silent_feed_makes_the_stop_blind_and_prices_bring_it_back(bench: Bench) -> None:
    bench.arm(FAR)
    bench.stage.publish(FeedChanged(market.ACCOUNT, FeedState.SILENT, 4200, 3))
    assert bench.phase() is Phase.BLIND
    assert bench.words().startswith("BLIND  no live prices")
    assert bench.color_at(FAR) != QColor(DARK.stop)
    bench.stage.publish(FeedChanged(market.ACCOUNT, FeedState.LIVE, 20, 3))
    assert bench.phase() is Phase.ARMED
    assert bench.color_at(FAR) == QColor(DARK.stop)


def test_a_fired_stop_is_out_of_the_hand_and_followed_until_flat(bench: Bench) -> None:
    stop = bench.arm(FAR)
    bench.mouse.press(500, bench.y(FAR))
    bench.mouse.move(500, bench.y(MIDDLE))
    bench.stage.publish(StopChanged(replace(stop, state=StopState.FIRED)))
    assert bench.held() is None
    bench.mouse.release(500, bench.y(MIDDLE))
    assert bench.words() == "FIRED  exit SELL 200 sent"
    bench.stage.publish(StopChanged(replace(stop, state=StopState.EXITING)))
    assert bench.words() == "EXITING  SELL 200 until flat"
    flat = replace(bench.line.position, quantity=0)
    bench.stage.publish(
        PositionsChanged(market.ACCOUNT, (flat,), market.NOW), StopChanged(replace(stop, state=StopState.CLOSED))
    )
    assert bench.canvas.overlay.stops == ()
    assert bench.stage.desk.script.called("move") == []


def test_a_late_answer_does_not_paint_a_fired_stop_armed(bench: Bench) -> None:
    stop = bench.arm(FAR)
    gate = bench.stage.desk.script.hold("move")
    bench.mouse.drag((500, bench.y(FAR)), (500, bench.y(MIDDLE)))
    bench.stage.until(lambda: bool(bench.stage.desk.script.called("move")))
    bench.stage.desk.script.handlers, handlers = [], bench.stage.desk.script.handlers
    bench.view.on_event(StopChanged(replace(stop, state=StopState.FIRED)))
    bench.stage.loop.run_until_complete(_open(bench.stage, gate.set))
    bench.stage.until(lambda: bench.line.wish is None)
    bench.stage.desk.script.handlers = handlers
    assert bench.phase() is Phase.FIRED


def test_a_short_position_has_its_stop_above(stage: Stage, qtbot: QtBot) -> None:
    view = ChartView(stage.bridge)
    view.resize(900, 500)
    view.show()
    view.open(InstrumentId("NFO:NIFTY26NOV25800PE"))
    overlay = view.canvas.overlay
    stage.until(lambda: len(overlay.stops) == 1 and overlay.last is not None and not overlay.loading)
    view.canvas.flush()
    (placed,) = overlay.layout()
    last = market.LASTS["NFO:NIFTY26NOV25800PE"]
    assert placed.y < view.canvas._panes.price.y(last)
    assert placed.line.side is Side.BUY
    assert "below" not in placed.line.wrong_side(last - 5, last)
    assert placed.line.wrong_side(last - 5, last) == "must be above the last price 41.15"
    assert placed.line.wrong_side(last + 5, last) == ""
    view.dispose()
    stage.settle()
    view.deleteLater()


def test_a_new_position_appears_and_a_stop_heard_of_before_it_is_kept(bench: Bench) -> None:
    key = PositionKey(market.ACCOUNT, InstrumentId("NSE:INFY"), Product.NRML)
    early = Stop(StopId("AAAAAAAAAAAA"), key, Side.SELL, MIDDLE, 10, StopState.ARMED, market.NOW, StopPlan(MIDDLE))
    held = replace(bench.line.position, key=key, quantity=10, average_price=Decimal(1500))
    bench.stage.desk.script.positions[key] = held
    bench.stage.publish(StopChanged(early))
    assert len(bench.canvas.overlay.stops) == 1
    bench.stage.publish(PositionsChanged(market.ACCOUNT, (bench.line.position, held), market.NOW))
    second = next(line for line in bench.canvas.overlay.stops if line.key == key)
    assert second.phase is Phase.ARMED
    assert second.trigger == MIDDLE


def test_prices_move_risk_and_the_position_line(bench: Bench) -> None:
    bench.arm(FAR)
    bench.stage.publish(TicksConflated((market.tick("NSE:INFY", LAST + 200),)))
    assert "risk ₹900.00" in bench.words()
    (mark,) = bench.canvas.overlay.positions
    assert mark.unrealised == (LAST + 200 - 152_240) * 200
    assert mark.average_text == "1,522.40"


# -- target, trail, underlying -----------------------------------------------------------------------------------------

ABOVE, HIGHER = LAST + 60, LAST + 90


def test_a_target_is_a_line_of_its_own_and_is_dragged_as_a_change_of_the_plan(bench: Bench) -> None:
    stop = bench.arm(FAR, StopPlan(FAR, target=ABOVE))
    bench.stage.until(lambda: bench.target.outcome() is not None)
    bench.canvas.flush()
    assert bench.target_words().startswith("TARGET  SELL 200")
    assert "at target +" in bench.target_words()
    assert "risk" not in bench.target_words()
    bench.mouse.drag((500, bench.y(ABOVE)), (500, bench.y(HIGHER)))
    bench.stage.until(lambda: bench.target.standing != ABOVE)
    ((changed, plan),) = bench.stage.desk.script.called("change")
    assert changed == stop.id
    assert isinstance(plan, StopPlan)
    assert plan.trigger == FAR
    assert plan.target is not None
    assert abs(plan.target - HIGHER) <= bench.line.instrument.tick_size
    assert not bench.stage.desk.script.called("move")


def test_a_target_below_the_price_is_refused_and_stays(bench: Bench) -> None:
    bench.arm(FAR, StopPlan(FAR, target=ABOVE))
    bench.mouse.drag((500, bench.y(ABOVE)), (500, bench.y(MIDDLE)))
    bench.stage.settle()
    assert "must be above the last price" in bench.target.refused
    assert bench.target.standing == ABOVE
    assert not bench.stage.desk.script.called("change")


def test_a_target_is_solid_only_where_it_is_acknowledged(bench: Bench) -> None:
    bench.arm(FAR, StopPlan(FAR, target=ABOVE))
    gate = bench.stage.desk.script.hold("change")
    bench.mouse.drag((500, bench.y(ABOVE)), (500, bench.y(HIGHER)))
    bench.stage.until(lambda: bool(bench.stage.desk.script.called("change")))
    assert bench.target.wish is not None
    assert bench.target.standing == ABOVE
    bench.stage.loop.run_until_complete(_open(bench.stage, gate.set))
    bench.stage.until(lambda: bench.target.wish is None and bench.target.standing != ABOVE)


def test_taking_the_target_away_keeps_the_stop(bench: Bench) -> None:
    bench.arm(FAR, StopPlan(FAR, target=ABOVE))
    bench.view._on_disarm_wished(bench.target)
    bench.stage.until(lambda: len(bench.canvas.overlay.stops) == 1)
    assert bench.phase() is Phase.ARMED
    assert not bench.stage.desk.script.called("disarm")


def test_a_trailing_stop_says_that_it_moves(bench: Bench) -> None:
    trail = Trail(TrailKind.POINTS, Decimal(250))
    bench.arm(FAR, StopPlan(FAR, trail=trail))
    assert bench.words().startswith("TRAILING STOP")


def test_a_stop_on_its_underlying_is_drawn_at_its_own_price_or_not_at_all(bench: Bench) -> None:
    plan = StopPlan(
        2_590_000, source=TriggerSource.UNDERLYING, underlying=InstrumentId("NSE:NIFTY 50"), last_trigger=FAR
    )
    stop = bench.arm(FAR, plan)
    assert bench.line.standing == FAR
    bench.mouse.drag((500, bench.y(FAR)), (500, bench.y(MIDDLE)))
    bench.stage.until(lambda: bool(bench.stage.desk.script.called("change")))
    ((_, changed),) = bench.stage.desk.script.called("change")
    assert isinstance(changed, StopPlan)
    assert changed.trigger == 2_590_000
    bench.stage.publish(StopChanged(replace(stop, plan=replace(plan, last_trigger=None))))
    assert bench.canvas.overlay.stops == ()


def standing(trigger: int, **changes: Any) -> Stop:
    """An armed stop on the long position."""
    made = Stop(
        StopId("S" * 12), INFY, Side.SELL, trigger, 25, StopState.ARMED, market.NOW, StopPlan(trigger), tick_size=10
    )
    return replace(made, **changes)


# -- several stops of one position -----------------------------------------------------------------------------------


def test_every_stop_of_a_position_is_drawn_and_the_next_takes_the_place_of_one_that_ended(bench: Bench) -> None:
    def share(name: str, trigger: int, units: int, target: int | None = None) -> Stop:
        plan = StopPlan(trigger, target=target, quantity=units)
        return standing(trigger, id=StopId(name), quantity=units, plan=plan)

    near, far = share("A" * 12, NEAR, 10, LAST + 200), share("B" * 12, FAR, 15, LAST + 300)
    for stop in (near, far):
        bench.stage.publish(StopChanged(stop))
    shown = bench.canvas.overlay

    def levels(kind: bool) -> list[tuple[int | None, int]]:
        return sorted((x.standing, x.quantity) for x in shown.stops if isinstance(x, TargetLine) is kind)

    bench.stage.until(lambda: levels(False) == [(FAR, 15), (NEAR, 10)])
    assert levels(True) == [(LAST + 200, 10), (LAST + 300, 15)]
    assert shown.layout(), "they can be laid out together"
    bench.stage.publish(StopChanged(replace(near, state=StopState.CLOSED)))
    bench.stage.until(lambda: levels(False) == [(FAR, 15)])
    assert bench.phase() is Phase.ARMED
    bench.stage.publish(StopChanged(replace(far, state=StopState.CLOSED)))
    bench.stage.until(lambda: levels(True) == [])
    assert bench.phase() is Phase.OFFERED


def test_shares_that_were_sold_out_of_demat_are_offered_no_stop(bench: Bench) -> None:
    sold = replace(bench.line.position, key=replace(INFY, product=Product.CNC), quantity=-10)
    bench.stage.desk.script.positions[sold.key] = sold
    bench.stage.publish(PositionsChanged(market.ACCOUNT, (bench.line.position, sold), market.NOW))
    assert len(bench.canvas.overlay.positions) == 2
    (mark,) = [mark for mark in bench.canvas.overlay.positions if mark.quantity < 0]
    assert (mark.unrealised, mark.break_even) == (None, None), "nothing is won or lost by them any more"
    bench.canvas.grab()
    assert [line.key for line in bench.canvas.overlay.stops if not isinstance(line, TargetLine)] == [INFY]


def test_the_stop_of_a_holding_is_drawn_although_nothing_was_bought_today(bench: Bench) -> None:
    key = replace(INFY, product=Product.CNC)
    stop = standing(MIDDLE, key=key)
    script = bench.stage.desk.script
    script.positions[key] = replace(script.positions[INFY], key=key)
    bench.stage.publish(StopChanged(stop))
    lines = bench.canvas.overlay
    bench.stage.until(lambda: any(line.key == key and line.standing == MIDDLE for line in lines.stops))
    bench.stage.publish(StopChanged(replace(stop, state=StopState.CLOSED)))
    bench.stage.until(lambda: not any(line.key == key for line in lines.stops))


def test_a_stop_on_shares_of_another_instrument_is_not_drawn_on_this_chart(bench: Bench) -> None:
    other = PositionKey(market.ACCOUNT, InstrumentId("NSE:RELIANCE"), Product.CNC)
    script = bench.stage.desk.script
    script.stops[StopId("R" * 12)] = standing(MIDDLE, id=StopId("R" * 12), key=other)
    bench.stage.loop.run_until_complete(bench.view._stops.read())
    assert [line.key for line in bench.canvas.overlay.stops if not isinstance(line, TargetLine)] == [INFY]


def test_where_two_accounts_hold_the_instrument_each_label_names_its_own(bench: Bench) -> None:
    script = bench.stage.desk.script
    assert "Zerodha" not in bench.words()
    other = AccountId("upstox-XY9876")
    script.accounts[other] = replace(script.accounts[market.ACCOUNT], id=other, broker="upstox", user_id="XY9876")
    key = replace(INFY, account=other)
    script.positions[key] = replace(bench.line.position, key=key)
    bench.stage.loop.run_until_complete(bench.view._stops.read())
    bench.canvas.flush()
    labels = ["  ".join(piece.text for piece in placed.pieces) for placed in bench.canvas.overlay.layout()]
    names = {script.accounts[account].name for account in (market.ACCOUNT, other)}
    assert len(names) == len(labels) == 2
    assert all(any(name in label for label in labels) for name in names), labels
    assert {mark.product for mark in bench.canvas.overlay.positions} == {f"{name} MIS" for name in names}
