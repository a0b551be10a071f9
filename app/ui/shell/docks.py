"""Docks: where each view lives, by default and after the trader moved it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QByteArray, QPoint, QSettings, QSize, Qt, QTimer
from PySide6.QtWidgets import (
    QApplication,
    QDockWidget,
    QHBoxLayout,
    QMainWindow,
    QMenu,
    QTabBar,
    QTabWidget,
    QToolButton,
    QWidget,
)

from app.ui import theme
from app.ui.shell.letters import Letters
from app.ui.views.table_view import TableView
from app.ui.widgets.text import caption, label

_VERSION = 4
"""Of the default layout: a stored one of an older version is not restored."""

LEFT = Qt.DockWidgetArea.LeftDockWidgetArea
RIGHT = Qt.DockWidgetArea.RightDockWidgetArea
BOTTOM = Qt.DockWidgetArea.BottomDockWidgetArea


@dataclass(frozen=True, slots=True)
class Place:
    """Where a view stands by default. Views of one `group` are tabs of each other, the first one on top."""

    name: str
    title: str
    area: Qt.DockWidgetArea
    group: str
    widget: QWidget
    shortcut: str = ""


_SMALLEST = (200, 96)
"""Pixels that a view may be squeezed to; without it the widest table would decide how small the window can be."""


_TITLE_HEIGHT = 35
"""Of a title bar, as high as a row of tabs: tables side by side begin on one line."""


class TitleBar(QWidget):
    """A dock's handle: drag it to tear the view off, double-click to float it. Put away where a tab says the name."""

    def __init__(self, dock: QDockWidget, title: str) -> None:
        super().__init__(dock)
        self._away = False
        self._float = self._button("layout", "Float or dock this view")
        self._float.clicked.connect(lambda: dock.setFloating(not dock.isFloating()))
        close = self._button("close", "Hide this view")
        close.clicked.connect(dock.close)
        name = label(title, "tab")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 4, 0)
        row.setSpacing(0)
        row.addWidget(name)
        row.addStretch(1)
        row.addWidget(self._float)
        row.addWidget(close)
        self._name = name
        self.setFixedHeight(_TITLE_HEIGHT)

    def rename(self, title: str) -> None:
        """Another text on it."""
        self._name.setText(title)

    def put_away(self, *, away: bool) -> None:
        """Takes no room while the dock's tab has its name."""
        if away is self._away:
            return
        self._away = away
        self.setFixedHeight(0 if away else _TITLE_HEIGHT)
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Qt. The dock goes by it."""
        return QSize(0, 0) if self._away else super().sizeHint()

    def minimumSizeHint(self) -> QSize:
        """Qt."""
        return QSize(0, 0) if self._away else super().minimumSizeHint()

    def _button(self, icon: str, tip: str) -> QToolButton:
        button = QToolButton(self)
        button.setIcon(theme.icon(icon))
        button.setIconSize(QSize(14, 14))
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        return button


class Docks:
    """Makes, shows, saves and restores the docks of the main window."""

    def __init__(self, window: QMainWindow, places: list[Place]) -> None:
        self._window = window
        self._places = places
        self._docks: dict[str, QDockWidget] = {}
        window.setDockOptions(
            QMainWindow.DockOption.AllowTabbedDocks
            | QMainWindow.DockOption.AllowNestedDocks
            | QMainWindow.DockOption.AnimatedDocks
        )
        window.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        window.setCorner(Qt.Corner.BottomLeftCorner, BOTTOM)
        window.setCorner(Qt.Corner.BottomRightCorner, RIGHT)
        self._titles = QTimer(window)
        self._titles.setSingleShot(True)
        self._titles.setInterval(0)
        self._titles.timeout.connect(self._show_titles)
        self._titles.timeout.connect(self._keep_letters)
        self._letters = Letters(window)
        self._letters.moved.connect(self._keep_letters)  # at once: the next key may come before the timer
        self._letters.moved.connect(self._titles.start)
        for place in places:
            dock = QDockWidget(caption(place.title), window)
            dock.setObjectName(f"dock.{place.name}")
            dock.setWidget(place.widget)
            dock.setTitleBarWidget(TitleBar(dock, place.title))
            place.widget.setMinimumSize(*_SMALLEST)
            for moved in (dock.dockLocationChanged, dock.topLevelChanged, dock.visibilityChanged):
                moved.connect(lambda *_: self._titles.start())
            self._docks[place.name] = dock
        self.arrange()

    def __getitem__(self, name: str) -> QDockWidget:
        return self._docks[name]

    def _keep_letters(self) -> None:
        """Each letter (Alt+…) means one thing."""
        self._letters.settle(self._docks.values(), QApplication.focusWidget())

    def arrange(self) -> None:
        """The default: watchlist left, ticket right, tables below the chart, the stops always in sight beside them."""
        first: dict[str, QDockWidget] = {}
        for place in self._places:
            dock = self._docks[place.name]
            dock.setFloating(False)  # while it still has a place to go back to
            self._window.removeDockWidget(dock)
            if place.group not in first:
                first[place.group] = dock
                self._window.addDockWidget(place.area, dock)
        if "tables" in first and "guard" in first:  # before anything is tabbed: a split of a tabbed dock makes a tab
            self._window.splitDockWidget(first["tables"], first["guard"], Qt.Orientation.Horizontal)
        for place in self._places:
            dock = self._docks[place.name]
            if dock is not first[place.group]:
                self._window.tabifyDockWidget(first[place.group], dock)
            dock.show()
        for dock in first.values():
            dock.raise_()
        self._size(first)

    def _size(self, first: dict[str, QDockWidget]) -> None:
        size = self._window.size()
        wide = size.width() >= 1500
        horizontal = Qt.Orientation.Horizontal
        sides = [
            (first[g], w) for g, w in (("watch", 376 if wide else 320), ("ticket", 316 if wide else 288)) if g in first
        ]
        self._window.resizeDocks([d for d, _ in sides], [w for _, w in sides], horizontal)
        low = [d for g, d in first.items() if g in ("tables", "guard")]
        height = max(220, int(size.height() * 0.34))
        self._window.resizeDocks(low, [height] * len(low), Qt.Orientation.Vertical)
        if len(low) == 2:
            room = size.width() - sides[-1][1]
            self._window.resizeDocks(low, [int(room * 0.54), int(room * 0.46)], horizontal)

    def _show_titles(self) -> None:
        """A name is written once: on the tab where there is one, else on the title bar."""
        for dock in self._docks.values():
            title = dock.titleBarWidget()
            if isinstance(title, TitleBar):
                others = [d for d in self._window.tabifiedDockWidgets(dock) if not d.isHidden()]
                title.put_away(away=bool(others) and not dock.isFloating())
        for bar in self._window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
            if bar.contextMenuPolicy() is not Qt.ContextMenuPolicy.CustomContextMenu:
                bar.setElideMode(Qt.TextElideMode.ElideNone)  # a name is read whole, or scrolled to
                bar.setUsesScrollButtons(True)
                bar.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
                bar.customContextMenuRequested.connect(lambda at, bar=bar: self._offer(bar, at))
                bar.tabBarDoubleClicked.connect(lambda tab, bar=bar: self._float(bar.tabText(tab)))

    def _offer(self, bar: QTabBar, at: QPoint) -> None:
        """What a title bar's buttons do, for a tab."""
        tab = bar.tabAt(at)
        if tab < 0:
            return
        text = bar.tabText(tab)
        menu = QMenu(bar)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("&Float this view").triggered.connect(lambda _checked=False: self._float(text))
        menu.addAction("&Hide this view").triggered.connect(lambda _checked=False: self._named(text).close())
        menu.popup(bar.mapToGlobal(at))

    def _float(self, text: str) -> None:
        self._named(text).setFloating(True)

    def _named(self, text: str) -> QDockWidget:
        return next(dock for dock in self._docks.values() if dock.windowTitle() == text)

    def count(self, name: str, waiting: int) -> None:
        """Says on a view's tab and title how many lines of it wait to be read: `(3) Notices`, in front, where
        a narrow tab does not cut it off."""
        title = next(place.title for place in self._places if place.name == name)
        title = f"({waiting}) {title}" if waiting else title
        dock = self._docks[name]
        dock.setWindowTitle(caption(title))
        bar = dock.titleBarWidget()
        if isinstance(bar, TitleBar):
            bar.rename(title)

    def bring(self, name: str) -> None:
        """Shows a view, brings its tab to the front and gives it the focus."""
        dock = self._docks[name]
        dock.show()
        dock.raise_()
        if dock.isFloating():
            dock.activateWindow()
        widget = dock.widget()
        if widget is not None:
            table = widget.findChild(TableView)
            (table or widget).setFocus(Qt.FocusReason.ShortcutFocusReason)

    def tables(self) -> list[TableView]:
        """Every table in a dock."""
        return [t for dock in self._docks.values() for t in dock.findChildren(TableView)]


class Layout:
    """Keeps geometry, docks and columns in a plain file of the profile. Nothing secret is in it."""

    def __init__(self, file: Path, window: QMainWindow, docks: Docks) -> None:
        self._settings = QSettings(str(file), QSettings.Format.IniFormat)
        self._window = window
        self._docks = docks

    def restore(self) -> bool:
        """Everything where it was. False when there is nothing stored, or of another version."""
        if int(str(self._settings.value("version", 0))) != _VERSION:
            return False
        geometry, state = self._settings.value("geometry"), self._settings.value("state")
        if not isinstance(geometry, QByteArray) or not isinstance(state, QByteArray):
            return False
        self._window.restoreGeometry(geometry)
        restored = self._window.restoreState(state, _VERSION)
        for table in self._docks.tables():
            columns = self._settings.value(f"columns/{table.objectName()}")
            if isinstance(columns, QByteArray):
                table.room.restore(columns)
        return bool(restored)

    def save(self) -> None:
        """As it is now."""
        self._settings.setValue("version", _VERSION)
        self._settings.setValue("geometry", self._window.saveGeometry())
        self._settings.setValue("state", self._window.saveState(_VERSION))
        for table in self._docks.tables():
            self._settings.setValue(f"columns/{table.objectName()}", table.horizontalHeader().saveState())
        self._settings.sync()

    def text(self, key: str) -> str:
        """A small remembered word, e.g. which instrument the chart showed."""
        return str(self._settings.value(f"view/{key}", ""))

    def set_text(self, key: str, value: str) -> None:
        """Remembers it."""
        self._settings.setValue(f"view/{key}", value)


def default_size(screen: QSize) -> QSize:
    """Most of the screen, so that a first start looks like a workstation."""
    return QSize(min(screen.width(), 1920), min(screen.height(), 1200))
