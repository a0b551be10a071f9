"""How the window looks: one palette, one style sheet, one font, one set of icons. GUI thread only.

Widgets choose a look by dynamic property, never by a style sheet of their own: `set_role(button, "primary")`,
`set_role(label, "muted")`. The roles are listed in `resources/themes/stopline.qss`. Painted parts (charts, badges)
take their colours from `DARK`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from string import Template

from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QPalette
from PySide6.QtWidgets import QApplication, QWidget

from app.runtime.paths import resource

ROW_HEIGHT = 26
"""Of a table row, in pixels: dense, and still a safe click target."""

FOOT_HEIGHT = 36
"""Of the line below a table, in pixels."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Every colour of the window, as `#rrggbb`. Text reaches 4.5:1 on every surface it may stand on (tested)."""

    base: str
    """Behind everything: the window, the chart."""
    panel: str
    """Docks, tables, dialogs."""
    raised: str
    """Inputs, table headers, buttons."""
    overlay: str
    """Menus, tooltips, hovered rows, chart tags."""
    hover: str
    hairline: str
    """Separators, one pixel."""
    border: str
    """Around inputs."""
    grid: str
    """Lines behind candles."""
    text: str
    muted: str
    """Labels, units, headers."""
    faint: str
    """Axis figures, placeholders, disabled."""
    accent: str
    """The one accent: focus, selection, primary action."""
    accent_text: str
    selection: str
    """Behind a selected row."""
    up: str
    down: str
    flat: str
    buy: str
    sell: str
    buy_fill: str
    """Behind white text."""
    sell_fill: str
    danger: str
    danger_fill: str
    warning: str
    warning_fill: str
    paper: str
    """Amber: play money."""
    live: str
    """Red: real money."""
    on_fill: str
    """Text on buy_fill, sell_fill, danger_fill and live."""
    on_bright: str
    """Text on accent, paper, warning, up and down."""
    stop: str
    """The stop line, armed."""
    position: str
    break_even: str
    blind: str
    """A stop that no live price reaches."""


DARK = Palette(
    base="#0b0e13",
    panel="#10141b",
    raised="#171c25",
    overlay="#1e2530",
    hover="#1a202a",
    hairline="#1f2631",
    border="#303a49",
    grid="#161b24",
    text="#e6eaf0",
    muted="#9da8b8",
    faint="#8591a3",
    accent="#8091ff",
    accent_text="#a5b1ff",
    selection="#222b45",
    up="#2fbf8a",
    down="#f4606f",
    flat="#9da8b8",
    buy="#6ba3ff",
    sell="#ff9a4d",
    buy_fill="#2c63d6",
    sell_fill="#b4510f",
    danger="#ff7484",
    danger_fill="#c9303f",
    warning="#f0b13c",
    warning_fill="#3a2d12",
    paper="#f0b13c",
    live="#c9303f",
    on_fill="#ffffff",
    on_bright="#0b0e13",
    stop="#ff5d8f",
    position="#7fb2ff",
    break_even="#c3a6ff",
    blind="#d9a441",
)

_ICONS = {
    "account": "mdi6.account-circle-outline",
    "add": "mdi6.plus",
    "alarm": "mdi6.alert-octagon",
    "audit": "mdi6.clipboard-text-clock-outline",
    "book": "mdi6.book-open-variant",
    "browser": "mdi6.web",
    "cancel": "mdi6.close-circle-outline",
    "chart": "mdi6.chart-box-outline",
    "check": "mdi6.check",
    "guard": "mdi6.shield-check-outline",
    "close": "mdi6.close",
    "columns": "mdi6.view-column-outline",
    "connect": "mdi6.lan-connect",
    "copy": "mdi6.content-copy",
    "depth": "mdi6.format-list-numbered",
    "disconnect": "mdi6.lan-disconnect",
    "down": "mdi6.menu-down",
    "drag": "mdi6.drag-vertical",
    "edit": "mdi6.pencil-outline",
    "engine": "mdi6.heart-pulse",
    "export": "mdi6.export-variant",
    "feed": "mdi6.access-point",
    "feed_off": "mdi6.access-point-off",
    "funds": "mdi6.wallet-outline",
    "help": "mdi6.help-circle-outline",
    "hide": "mdi6.eye-off-outline",
    "holdings": "mdi6.briefcase-outline",
    "info": "mdi6.information-outline",
    "key": "mdi6.key-variant",
    "layout": "mdi6.view-dashboard-outline",
    "lock": "mdi6.lock-outline",
    "log": "mdi6.text-box-outline",
    "menu": "mdi6.dots-horizontal",
    "notice": "mdi6.bell-outline",
    "now": "mdi6.page-last",
    "ok": "mdi6.check-circle-outline",
    "orders": "mdi6.clipboard-list-outline",
    "pending": "mdi6.progress-clock",
    "pnl": "mdi6.chart-line",
    "positions": "mdi6.layers-outline",
    "refresh": "mdi6.refresh",
    "remove": "mdi6.minus",
    "search": "mdi6.magnify",
    "settings": "mdi6.cog-outline",
    "show": "mdi6.eye-outline",
    "stop": "mdi6.shield-check-outline",
    "stop_blind": "mdi6.shield-alert-outline",
    "stop_fired": "mdi6.shield-off-outline",
    "stops": "mdi6.shield-half-full",
    "sync": "mdi6.cloud-sync-outline",
    "ticket": "mdi6.receipt-text-outline",
    "trash": "mdi6.trash-can-outline",
    "unlock": "mdi6.lock-open-variant-outline",
    "up": "mdi6.menu-up",
    "warning": "mdi6.alert-outline",
    "watchlist": "mdi6.format-list-bulleted",
}
"""Our word -> the icon set's. A view never names an icon of the set."""


def apply(app: QApplication, palette: Palette = DARK) -> None:
    """Dresses the whole application. Call once, before the first widget."""
    load_fonts()
    app.setStyle("Fusion")
    app.setFont(font())
    app.setPalette(_qt_palette(palette))
    app.setStyleSheet(style_sheet(palette))


def load_fonts() -> None:
    """Registers the shipped Inter. Where it is missing, Qt falls back to the system's sans serif."""
    if "Inter" in QFontDatabase.families():
        return
    for file in sorted(resource("fonts").glob("*.otf")):
        QFontDatabase.addApplicationFont(str(file))


def font(pixels: int = 13, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
    """The window's font, with tabular figures: digits keep their column while prices change."""
    made = QFont(["Inter", "Segoe UI", "SF Pro Text", "Noto Sans", "DejaVu Sans"])
    made.setPixelSize(pixels)
    made.setWeight(weight)
    made.setFeature(QFont.Tag("tnum"), 1)
    made.setHintingPreference(QFont.HintingPreference.PreferVerticalHinting)
    return made


def style_sheet(palette: Palette = DARK) -> str:
    """The style sheet with the palette's colours filled in. Raises KeyError for a colour that nobody defined."""
    folder = resource("themes")
    text = (folder / "stopline.qss").read_text(encoding="utf-8")
    return Template(text).substitute(asdict(palette), assets=folder.as_posix())


def icon(name: str, color: str = DARK.muted) -> QIcon:
    """An icon by our word for it, in a palette colour. Raises KeyError for an unknown word."""
    import qtawesome  # 0.12 s that the first window need not wait for

    return qtawesome.icon(_ICONS[name], color=color, color_disabled=DARK.border, color_active=DARK.text)


def set_role(widget: QWidget, role: str) -> None:
    """Gives a widget one of the looks of the style sheet, also after it was shown."""
    if widget.property("role") == role:
        return
    widget.setProperty("role", role)
    style = widget.style()
    style.unpolish(widget)
    style.polish(widget)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two `#rrggbb` colours, 1 to 21 (WCAG 2.1, relative luminance)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (_linear(int(color[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    """The sRGB curve; threshold from IEC 61966-2-1."""
    return float(channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4)


def _qt_palette(palette: Palette) -> QPalette:
    """For what a style sheet does not reach: placeholders, links, native dialogs."""
    made = QPalette()
    role, group = QPalette.ColorRole, QPalette.ColorGroup
    for which, color in (
        (role.Window, palette.panel),
        (role.Base, palette.panel),
        (role.AlternateBase, palette.panel),
        (role.Button, palette.raised),
        (role.ToolTipBase, palette.overlay),
        (role.WindowText, palette.text),
        (role.Text, palette.text),
        (role.ButtonText, palette.text),
        (role.ToolTipText, palette.text),
        (role.BrightText, palette.on_fill),
        (role.PlaceholderText, palette.faint),
        (role.Highlight, palette.selection),
        (role.HighlightedText, palette.text),
        (role.Link, palette.accent_text),
        (role.LinkVisited, palette.accent_text),
        (role.Light, palette.border),
        (role.Midlight, palette.hairline),
        (role.Mid, palette.hairline),
        (role.Dark, palette.base),
        (role.Shadow, palette.base),
    ):
        made.setColor(which, QColor(color))
    for which in (role.WindowText, role.Text, role.ButtonText):
        made.setColor(group.Disabled, which, QColor(palette.faint))
    return made
