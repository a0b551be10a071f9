"""The day's P&L: figures and curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from app.desk.messages import CurvePoint
from app.domain.errors import Unreachable
from app.domain.events import BookChanged
from app.runtime.clock import SECOND
from app.ui.theme import DARK, contrast
from app.ui.views.pnl import PnlView
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Mouse, Stage

MINUTE = 60 * SECOND


def curve(*net: int) -> list[CurvePoint]:
    return [CurvePoint(market.NOW + i * MINUTE, paise + 5_000, paise) for i, paise in enumerate(net)]


class Day:
    """What the scripted desk answers for the day's curve."""

    def __init__(self, stage: Stage) -> None:
        self.points: list[CurvePoint] = []
        self.asked = 0
        self.failure: Exception | None = None
        stage.desk.portfolio.day_curve = self.day_curve  # type: ignore[method-assign]  # a scripted answer of its own

    async def day_curve(self) -> Sequence[CurvePoint]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return tuple(self.points)


@pytest.fixture
def day(stage: Stage) -> Day:
    return Day(stage)


@pytest.fixture
def view(stage: Stage, day: Day, qtbot: QtBot) -> Iterator[PnlView]:
    made = PnlView(stage.bridge)
    made.resize(1000, 400)
    yield made
    made.dispose()
    made.hide()
    stage.settle()
    made.deleteLater()


def figures(view: PnlView) -> dict[str, str]:
    return {label.accessibleName(): label.text() for label in view.findChildren(QLabel) if label.accessibleName()}


def test_before_the_first_trade_there_is_no_number(stage: Stage, day: Day, view: PnlView) -> None:
    view.show()
    stage.until(lambda: day.asked > 0)
    assert set(figures(view).values()) == {"–"}


def test_the_day_in_figures(stage: Stage, day: Day, view: PnlView) -> None:
    day.points = curve(0, 80_000, 120_050, -30_000)
    view.show()
    stage.until(lambda: figures(view)["Net today"] != "–")
    assert figures(view) == {
        "Net today": "-₹300.00 ▼",
        "Gross": "-₹250.00",
        "Charges": "₹50.00",
        "Peak net": "+₹1,200.50",
        "From peak": "-₹1,500.50",
    }


def test_a_fill_is_shown_at_once_and_reads_never_pile_up(stage: Stage, day: Day, view: PnlView) -> None:
    day.points = curve(10_000)
    view.show()
    stage.until(lambda: figures(view)["Net today"] == "+₹100.00 ▲")
    day.points = curve(10_000, 20_000)
    before = day.asked
    stage.publish(*(BookChanged(market.ACCOUNT, 1) for _ in range(40)))
    stage.until(lambda: figures(view)["Net today"] == "+₹200.00 ▲")
    assert day.asked - before <= 3


def test_a_hidden_view_asks_nothing(stage: Stage, day: Day, view: PnlView) -> None:
    stage.publish(BookChanged(market.ACCOUNT, 1))
    assert day.asked == 0
    view.show()
    stage.until(lambda: day.asked > 0)
    view.hide()
    assert not view._timer.isActive()


def test_a_failed_read_keeps_the_last_figures_and_says_so(stage: Stage, day: Day, view: PnlView) -> None:
    day.points = curve(10_000)
    view.show()
    stage.until(lambda: figures(view)["Net today"] == "+₹100.00 ▲")
    day.failure = Unreachable("The broker does not answer.")
    view.refresh()
    stage.until(view._problem.isVisible)
    assert figures(view)["Net today"] == "+₹100.00 ▲"
    assert "does not answer" in view._problem.toolTip()
    day.failure = None
    view.refresh()
    stage.until(lambda: not view._problem.isVisible())


def test_gains_are_green_above_zero_and_losses_red_below(view: PnlView, qtbot: QtBot) -> None:
    view.show()
    view.canvas.show_points(curve(*([200_000] * 30), *([-200_000] * 30)))
    image = view.canvas.viewport().grab().toImage()
    pane = view.canvas._pane
    gain, loss = (
        image.pixelColor(round(pane.x(market.NOW + minute * MINUTE)), round(pane.y(0)) + offset)
        for minute, offset in ((10, -8), (50, 8))
    )
    assert gain.green() > gain.red()
    assert loss.red() > loss.green()
    assert contrast(DARK.up, QColor(gain).name()) > 3


def test_the_mouse_reads_the_curve(view: PnlView, qtbot: QtBot) -> None:
    view.show()
    view.canvas.show_points(curve(0, 10_000, 20_000, 30_000))
    pane, layer = view.canvas._pane, view.canvas._layer
    Mouse(view.canvas.viewport()).move(pane.x(market.NOW + 2 * MINUTE) - 1, 50)
    assert layer.pointed == 2
    assert [tag.text for tag in layer._tags()] == ["+₹200.00", "+₹250.00"]


def test_a_long_day_is_reduced_to_pixels(view: PnlView, qtbot: QtBot) -> None:
    view.show()
    points = [CurvePoint(market.NOW + i * SECOND, i * 10, i * 9) for i in range(22_500)]
    view.canvas.show_points(points)
    layer, pane = view.canvas._layer, view.canvas._pane
    x = pane.rect.left() + (layer.at - pane.first) * pane.pixels_per_index
    line = layer._line(x, layer.net)
    assert line.size() <= pane.rect.width() + 1
    assert line.last().y() == pytest.approx(pane.y(22_499 * 9))
