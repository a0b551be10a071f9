"""The chart view: history and live candles, zoom and pan, intervals, feed, orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QColor, QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton
from pytestqt.qtbot import QtBot

from app.domain.errors import SessionExpired, Unreachable
from app.domain.events import (
    BookChanged,
    CandleChanged,
    CandleClosed,
    FeedChanged,
    FeedState,
    OrderChanged,
    PositionsChanged,
    SessionChanged,
    SessionState,
    TicksConflated,
)
from app.domain.ids import InstrumentId
from app.domain.market import Candle, Interval
from app.domain.order import Side
from app.domain.quotes import PolledPrice, PricesPolled
from app.runtime.clock import SECOND
from app.ui import format as fmt
from app.ui.theme import DARK
from app.ui.views.chart import ChartView
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Mouse, Stage

TCS = InstrumentId("NSE:TCS")
LAST = market.LASTS["NSE:TCS"]


@pytest.fixture
def view(stage: Stage, qtbot: QtBot) -> Iterator[ChartView]:
    made = ChartView(stage.bridge)
    made.resize(1000, 600)
    made.show()
    made.open(TCS)
    stage.until(lambda: len(made.canvas.series) == 375)
    stage.settle()
    made.canvas.flush()
    yield made
    made.dispose()
    stage.settle()
    made.hide()
    assert not [t for t in made.findChildren(QTimer) if t.isActive()]
    made.deleteLater()


def words(view: ChartView) -> list[str]:
    return [label.text() for label in view.findChildren(QLabel) if label.isVisibleTo(view)]


def button(view: ChartView, text: str) -> QPushButton:
    return next(b for b in view.findChildren(QPushButton) if b.text() == text)


def after(view: ChartView, steps: int, close: int) -> Candle:
    start = view.canvas.series.start(len(view.canvas.series) - 1) + steps * 60 * SECOND
    return Candle(start, close, close + 10, close - 10, close, 500)


def test_it_names_the_instrument_its_price_and_its_change(view: ChartView) -> None:
    shown = words(view)
    assert "TCS" in shown
    assert "3,141.60" in shown
    assert "▲ +37.60 (+1.21%)" in shown


def test_the_live_candle_changes_and_the_next_one_is_followed(stage: Stage, view: ChartView) -> None:
    right = view.canvas.view.last
    stage.publish(CandleChanged(TCS, Interval.MINUTE, after(view, 0, LAST + 50)))
    assert len(view.canvas.series) == 375
    assert view.canvas.series.candle(374).close == LAST + 50
    stage.publish(CandleClosed(TCS, Interval.MINUTE, after(view, 1, LAST + 60)))
    assert len(view.canvas.series) == 376
    assert view.canvas.view.last == right + 1


def test_a_chart_that_looks_at_the_past_stays_there(stage: Stage, view: ChartView) -> None:
    view.canvas.setFocus()
    QTest.keyClick(view.canvas, Qt.Key.Key_Home)
    view.canvas.flush()
    before = view.canvas.view.last
    stage.publish(CandleClosed(TCS, Interval.MINUTE, after(view, 1, LAST)))
    assert view.canvas.view.last == before
    QTest.keyClick(view.canvas, Qt.Key.Key_End)
    assert view.canvas.view.follows(376)


def test_candles_of_another_instrument_or_interval_are_not_ours(stage: Stage, view: ChartView) -> None:
    stage.publish(
        CandleChanged(InstrumentId("NSE:INFY"), Interval.MINUTE, after(view, 1, 1)),
        CandleChanged(TCS, Interval.MINUTES_5, after(view, 1, 1)),
    )
    assert len(view.canvas.series) == 375


def test_candles_that_come_while_history_is_read_are_kept(stage: Stage, qtbot: QtBot) -> None:
    gate = stage.desk.script.hold("open_chart")
    view = ChartView(stage.bridge)
    view.open(TCS)
    stage.until(lambda: bool(stage.desk.script.called("open_chart")))
    ends = market.candles(TCS, 60, 1)[0].start
    stage.publish(CandleChanged(TCS, Interval.MINUTE, Candle(ends + 60 * SECOND, 1, 3, 1, 2, 9)))
    assert len(view.canvas.series) == 0
    stage.thread.loop.call_soon_threadsafe(gate.set)
    stage.until(lambda: len(view.canvas.series) == 376)
    assert view.canvas.series.candle(375).close == 2
    view.dispose()
    stage.settle()
    view.deleteLater()


def test_another_interval_is_read_and_the_old_one_forgotten(stage: Stage, view: ChartView) -> None:
    button(view, "15m").click()
    stage.until(lambda: len(stage.desk.script.called("open_chart")) == 2)
    stage.until(lambda: len(view.canvas.series) == 375)
    assert view.interval is Interval.MINUTES_15
    assert view.canvas.series.start(1) - view.canvas.series.start(0) == 900 * SECOND


def test_switching_quickly_ends_with_the_last_choice(stage: Stage, view: ChartView) -> None:
    for symbol in ("NSE:INFY", "NSE:SBIN", "NSE:RELIANCE"):
        view.show_instrument(stage.desk.script.instruments[InstrumentId(symbol)])
    stage.until(lambda: len(view.canvas.series) == 375)
    stage.settle()
    assert view.canvas.series.candle(374).close == market.LASTS["NSE:RELIANCE"]
    assert len(view.canvas.series) == 375
    assert "1,489.20" in words(view)


def test_history_that_cannot_be_read_is_said_and_live_candles_go_on(stage: Stage, qtbot: QtBot) -> None:
    stage.desk.script.fail("open_chart", Unreachable("The broker does not answer."))
    view = ChartView(stage.bridge)
    view.show()
    view.open(TCS)
    stage.until(lambda: "does not answer" in view.canvas.overlay.message)
    stage.publish(CandleChanged(TCS, Interval.MINUTE, Candle(market.NOW, 5, 9, 4, 7, 1)))
    assert view.canvas.overlay.message == ""
    assert len(view.canvas.series) == 1
    view.dispose()
    stage.settle()
    view.deleteLater()


def test_positions_that_cannot_be_read_are_said_over_the_history(stage: Stage, qtbot: QtBot) -> None:
    stage.desk.script.fail("positions", Unreachable("The broker does not answer."))
    view = ChartView(stage.bridge)
    view.open(TCS)
    stage.until(lambda: len(view.canvas.series) == 375)
    stage.settle()
    assert view.canvas.overlay.warning.startswith("Positions and stops could not be read: The broker does not answer.")
    view.dispose()
    stage.settle()
    view.deleteLater()


def test_history_is_read_again_once_the_account_is_logged_in(stage: Stage, qtbot: QtBot) -> None:
    stage.desk.script.fail("open_chart", SessionExpired("The session has ended."))
    view = ChartView(stage.bridge)
    view.open(TCS)
    stage.until(lambda: "session has ended" in view.canvas.overlay.message)
    stage.publish(SessionChanged(market.ACCOUNT, "zerodha", "Asha Rao", SessionState.ACTIVE, paper=True))
    stage.until(lambda: len(view.canvas.series) == 375)
    assert view.canvas.overlay.message == ""
    view.dispose()
    stage.settle()
    view.deleteLater()


def test_a_silent_feed_is_told_with_its_age(stage: Stage, view: ChartView) -> None:
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.SILENT, 4200, 3))
    assert "No prices for 4.2 s" in words(view)
    assert view.canvas.overlay.stale
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.SILENT, None, 3))
    assert "No prices" in words(view), "there never was one: no age to tell"
    stage.publish(FeedChanged(market.ACCOUNT, FeedState.LIVE, 12, 3))
    assert not any("No prices" in text for text in words(view))
    assert not view.canvas.overlay.stale


def test_b_and_s_ask_for_a_ticket(view: ChartView, qtbot: QtBot) -> None:
    asked: list[tuple[object, object]] = []
    view.order_requested.connect(lambda side, price: asked.append((side, price)))
    view.canvas.setFocus()
    QTest.keyClick(view.canvas, Qt.Key.Key_B)
    QTest.keyClick(view.canvas, Qt.Key.Key_S)
    QTest.keyClick(view.canvas, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    button(view, "B").click()
    menu = view.canvas._build_menu(LAST - 600)
    next(a for a in menu.actions() if a.text() == "Sell at 3,135.60…").trigger()
    menu.deleteLater()
    assert asked == [(Side.BUY, None), (Side.SELL, None), (Side.BUY, None), (Side.SELL, LAST - 600)]


def test_an_index_has_a_price_and_no_orders(stage: Stage, view: ChartView) -> None:
    view.open(InstrumentId("NSE:NIFTY 50"))
    stage.until(lambda: view.instrument is not None and view.instrument.id == "NSE:NIFTY 50")
    assert not button(view, "B").isEnabled()
    stage.settle()


def test_the_wheel_zooms_and_the_newest_candle_stays(view: ChartView) -> None:
    canvas = view.canvas
    span, x = canvas.view.span, canvas._panes.price.x(374)
    at = QPointF(400, 200)
    wheel = QWheelEvent(
        at, canvas.viewport().mapToGlobal(at.toPoint()).toPointF(), QPoint(), QPoint(0, 120),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(canvas.viewport(), wheel)
    canvas.flush()
    assert canvas.view.span == pytest.approx(span * 0.85)
    assert canvas._panes.price.x(374) == pytest.approx(x)


def test_dragging_the_picture_moves_it_with_the_mouse(view: ChartView) -> None:
    canvas = view.canvas
    mouse = Mouse(canvas.viewport())
    x = canvas._panes.price.x(300)
    mouse.drag((400, 150), (520, 150))
    canvas.flush()
    assert canvas._panes.price.x(300) == pytest.approx(x + 120, abs=0.5)


def test_a_double_click_shows_everything(view: ChartView) -> None:
    canvas = view.canvas
    at = QPointF(300, 150)
    event = QMouseEvent(
        QEvent.Type.MouseButtonDblClick, at, canvas.viewport().mapToGlobal(at.toPoint()).toPointF(),
        Qt.MouseButton.LeftButton, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    QApplication.sendEvent(canvas.viewport(), event)
    canvas.flush()
    pane = canvas._panes.price
    assert pane.first <= 0
    assert pane.last >= 374


def test_every_visible_candle_fits_into_the_picture(view: ChartView) -> None:
    pane = view.canvas._panes.price
    low, high = view.canvas.series.extent(*pane.visible(375)) or (0, 0)
    assert pane.rect.top() < pane.y(high) < pane.y(low) < pane.rect.bottom()


def test_the_length_of_a_gap_is_read_in_full_at_the_newest_candle_too(view: ChartView) -> None:
    def width(candle: int) -> int:
        """Of the words at the foot of a gap that begins there, in pixels."""
        since = view.canvas.series.start(candle)
        view.canvas.set_gaps([(since, since + 9 * SECOND)])
        view.canvas.flush()
        picture, pane = view.canvas.grab().toImage(), view.canvas._panes.price.rect
        scale = picture.width() / view.canvas.width()
        foot = range(int((pane.bottom() - 22) * scale), int((pane.bottom() - 2) * scale))
        amber = [
            x for x in range(int(pane.right() * scale))
            if any(_near(picture.pixelColor(x, y), QColor(DARK.warning)) for y in foot)
        ]  # fmt: skip
        return amber[-1] - amber[0]

    newest = len(view.canvas.series) - 1
    assert abs(width(newest) - width(newest - 60)) <= 2 < width(newest)  # drawn between two pixels, or not


def _near(one: QColor, other: QColor) -> bool:
    return max(abs(one.red() - other.red()), abs(one.green() - other.green()), abs(one.blue() - other.blue())) < 90


def test_a_hidden_chart_keeps_its_candles_and_draws_nothing(stage: Stage, view: ChartView) -> None:
    view.hide()
    stage.publish(
        CandleClosed(TCS, Interval.MINUTE, after(view, 1, LAST)), TicksConflated((market.tick(TCS, LAST + 5),))
    )
    assert len(view.canvas.series) == 376
    assert not view.canvas._timer.isActive()


def test_many_changes_make_one_frame(stage: Stage, view: ChartView) -> None:
    frames: list[int] = []
    draw = view.canvas._on_frame
    view.canvas._timer.timeout.disconnect()

    def frame() -> None:
        frames.append(1)
        draw()

    view.canvas._timer.timeout.connect(frame)
    for step in range(50):
        view.canvas.put(after(view, 0, LAST + step))
    stage.until(lambda: bool(frames))
    assert len(frames) == 1
    assert not view.canvas._timer.isActive()


def test_fills_of_the_book_stand_on_the_chart(stage: Stage, view: ChartView) -> None:
    view.open(InstrumentId("NSE:SBIN"))
    trades = [t for t in market.trades() if t.instrument == "NSE:SBIN"]
    known = {(t.opened_at, t.entry_price, t.side) for t in trades}
    # Today's orders may stand there before the book was read.
    stage.until(lambda: bool({(f.at, f.price, f.side) for f in view.canvas.overlay.fills} & known))


def test_an_exit_stands_on_the_chart_before_any_sync_and_once_after_it(stage: Stage, view: ChartView) -> None:
    exit_ = replace(market.orders()[0], instrument=TCS, side=Side.SELL, updated_at=market.NOW, average_price=3_100_40)
    stage.publish(OrderChanged(replace(exit_, filled_quantity=0, average_price=None)))
    assert not view.canvas.overlay.fills
    stage.publish(OrderChanged(exit_))
    assert [(f.at, f.price, f.side) for f in view.canvas.overlay.fills] == [(market.NOW, 3_100_40, Side.SELL)]
    trade = next(t for t in market.trades() if t.closed_at is not None)
    stage.desk.portfolio.book = [
        replace(trade, instrument=TCS, opened_at=market.NOW - SECOND, closed_at=market.NOW - 1, exit_price=3_100_40,
                side=Side.BUY, exit_order=exit_.broker_order_id)
    ]  # fmt: skip
    stage.publish(BookChanged(market.ACCOUNT, 1))
    stage.until(lambda: len(view.canvas.overlay.fills) == 2)
    assert [f.side for f in view.canvas.overlay.fills] == [Side.BUY, Side.SELL]


def test_a_disposed_view_hears_nothing(stage: Stage, qtbot: QtBot) -> None:
    view = ChartView(stage.bridge)
    view.open(TCS)
    stage.until(lambda: len(view.canvas.series) == 375)
    view.dispose()
    stage.settle()
    assert stage.desk.script.called("close_chart") == [("chart",)]
    assert stage.desk.script.subscriptions["chart"] == ()
    stage.publish(PositionsChanged(market.ACCOUNT, (), market.NOW))
    stage.publish(CandleClosed(TCS, Interval.MINUTE, replace(after(view, 1, LAST))))
    assert len(view.canvas.series) == 375
    view.deleteLater()


def test_no_stop_line_is_offered_while_the_scale_is_about_to_jump(stage: Stage, view: ChartView) -> None:
    gate = stage.desk.script.hold("open_chart")
    view.open(InstrumentId("NSE:INFY"))
    stage.until(lambda: bool(view.canvas.overlay.stops))
    stage.until(lambda: view.canvas.overlay.last is not None)
    view.canvas.flush()
    assert view.canvas.overlay.layout() == []
    stage.thread.loop.call_soon_threadsafe(gate.set)
    stage.until(lambda: len(view.canvas.series) > 100)
    stage.until(lambda: len(view.canvas.overlay.layout()) == 1)


def test_a_price_that_no_feed_brings_names_who_told_it_and_moves_no_line(view: ChartView, stage: Stage) -> None:
    before = view.canvas.overlay.last
    told = replace(market.tick(TCS, LAST + 1_00), exchange_time=market.tick(TCS, LAST).received_at)
    stage.publish(PricesPolled((PolledPrice(told, "Finnhub"), PolledPrice(market.tick("NSE:INFY", 1), "Finnhub"))))
    stage.until(lambda: view._source.isVisibleTo(view))
    assert view._source.text().startswith("Finnhub ")
    assert not view._name.isVisibleTo(view)
    assert "no stop hears it" in view._source.toolTip()
    assert fmt.price(LAST + 1_00, 100, 5) in words(view)
    assert view.canvas.overlay.last == before
    stage.publish(TicksConflated((market.tick(TCS, LAST + 2_00),)))
    stage.until(lambda: not view._source.isVisibleTo(view))
    assert fmt.price(LAST + 2_00, 100, 5) in words(view)
