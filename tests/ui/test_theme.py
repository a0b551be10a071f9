from dataclasses import asdict
from itertools import product

import pytest
from PySide6.QtGui import QFontMetricsF, QPalette, QRawFont
from PySide6.QtWidgets import QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from app.runtime.paths import resource
from app.ui import theme
from app.ui.theme import DARK
from tests.program import ROOT

SURFACES = ("base", "panel", "raised", "overlay", "hover", "selection")
TEXTS = (
    "text",
    "muted",
    "accent_text",
    "up",
    "down",
    "buy",
    "sell",
    "danger",
    "warning",
    "stop",
    "position",
    "break_even",
)


@pytest.mark.parametrize(("text", "surface"), list(product(TEXTS, SURFACES)))
def test_text_can_be_read_on_every_surface(text: str, surface: str) -> None:
    colors = asdict(DARK)
    assert theme.contrast(colors[text], colors[surface]) >= 4.5


@pytest.mark.parametrize("surface", ["base", "panel", "raised", "overlay", "hover"])
def test_even_faint_text_can_be_read(surface: str) -> None:
    assert theme.contrast(DARK.faint, asdict(DARK)[surface]) >= 4.5


@pytest.mark.parametrize(
    ("text", "fill"),
    [
        *(("on_fill", fill) for fill in ("buy_fill", "sell_fill", "danger_fill", "live")),
        *(
            ("on_bright", fill)
            for fill in ("accent", "paper", "warning", "up", "down", "stop", "position", "break_even", "blind")
        ),
        ("text", "warning_fill"),
        ("warning", "warning_fill"),
    ],
)
def test_text_can_be_read_on_every_fill(text: str, fill: str) -> None:
    colors = asdict(DARK)
    assert theme.contrast(colors[text], colors[fill]) >= 4.5


def test_contrast_is_that_of_the_standard() -> None:
    assert theme.contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert theme.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_every_colour_of_the_style_sheet_is_defined() -> None:
    assert "$" not in theme.style_sheet()


def test_figures_keep_their_column(qtbot: QtBot) -> None:
    theme.load_fonts()
    for pixels in (12, 13, 24):
        metrics = QFontMetricsF(theme.font(pixels))
        assert metrics.horizontalAdvance("1,111.11") == metrics.horizontalAdvance("8,808.08")


def test_every_sign_that_the_window_writes_is_in_its_font(qtbot: QtBot) -> None:
    own = QRawFont(str(resource("fonts", "Inter-Regular.otf")), 13)
    written = {sign for file in (ROOT / "app").rglob("*.py") for sign in file.read_text("utf-8") if not sign.isascii()}
    assert {"₹", "■", "□", "↑"} <= written
    assert [sign for sign in sorted(written) if not own.supportsCharacter(ord(sign))] == []


def test_a_role_can_change_while_the_widget_is_shown(qtbot: QtBot) -> None:
    button = QPushButton("Buy")
    qtbot.addWidget(button)
    button.setStyleSheet(theme.style_sheet())
    theme.set_role(button, "buy")
    button.resize(80, 30)
    bought = button.grab().toImage().pixelColor(8, 15).name()
    theme.set_role(button, "sell")
    assert bought == DARK.buy_fill
    assert button.grab().toImage().pixelColor(8, 15).name() == DARK.sell_fill


@pytest.mark.parametrize("name", sorted(theme._ICONS))
def test_every_icon_exists(qtbot: QtBot, name: str) -> None:
    assert not theme.icon(name).pixmap(16, 16).isNull()


class QBalloonTip(QWidget):
    """Named as Qt's own: what the tray says, on its pale ground, where the desktop has no notifications."""


def test_what_the_tray_says_can_be_read(qtbot: QtBot) -> None:
    tip = QBalloonTip()
    qtbot.addWidget(tip)
    words = QLabel("No prices come", tip)
    tip.setStyleSheet(theme.style_sheet())
    words.ensurePolished()
    assert theme.contrast(words.palette().color(QPalette.ColorRole.WindowText).name(), "#ffffe1") >= 4.5
