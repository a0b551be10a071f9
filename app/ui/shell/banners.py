"""Strips at the top of the window that stay until something is done, and short messages that go by themselves."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from app.domain.events import Level
from app.ui import theme
from app.ui.views.notices import Entry
from app.ui.widgets.text import label, selectable

_INFO_MS, _WARNING_MS = 5_000, 10_000
_MOST_TOASTS = 3
_MOST_STRIPS = 4
"""In sight at once: a flood of alarms must not bury the chart and the tables that show what it is about."""
_HELD_MS = 40
"""Between two looks at a mouse button that is held down."""


class Banner(QFrame):
    """One strip: words, perhaps a button."""

    closed = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(f"banner.{name}")
        self._do: Callable[[], object] | None = None
        self.may_wait = False
        """It only tells, and another place tells it too."""
        self.words = selectable(label(wrap=True, name=f"banner.{name}.text"))
        self.button = QPushButton()
        self.button.setObjectName(f"banner.{name}.button")
        self.button.clicked.connect(self._act)
        self._dismiss = QToolButton()
        self._dismiss.setIcon(theme.icon("close", theme.DARK.text))
        self._dismiss.setToolTip("Dismiss")
        self._dismiss.setAccessibleName("Dismiss")
        self._dismiss.clicked.connect(self.closed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 8, 6)
        layout.addWidget(self.words, 1)
        layout.addWidget(self.button)
        layout.addWidget(self._dismiss)

    def set(self, text: str, role: str, button: str, do: Callable[[], object] | None, *, dismissable: bool) -> None:
        """What it says and offers."""
        self.words.setText(text)
        self.setAccessibleName(text)
        self.may_wait = dismissable
        theme.set_role(self, role)
        self.button.setText(button)
        self.button.setVisible(bool(button))
        self._do = do
        self._dismiss.setVisible(dismissable)

    def _act(self) -> None:
        if self._do is not None:
            self._do()


class Banners(QWidget):
    """The strips now shown, by name. Empty and invisible on a good day.

    A strip moves what lies below it: while a mouse button is down, a stop line on its way is not moved under the hand.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, Banner] = {}
        self._held: list[Callable[[], None]] = []
        self._look = QTimer(self)
        self._look.setSingleShot(True)
        self._look.setInterval(_HELD_MS)
        self._look.timeout.connect(self._catch_up)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(1)
        self._more = QLabel()
        self._more.setObjectName("banner.more")
        self._more.setContentsMargins(12, 4, 12, 4)
        self._layout.addWidget(self._more)
        self.setVisible(False)

    def show_banner(
        self,
        name: str,
        text: str,
        *,
        role: str = "strip-warning",
        button: str = "",
        do: Callable[[], object] | None = None,
        dismissable: bool = False,
    ) -> None:
        """Shows a strip, or changes the one of that name."""
        self._when_free(lambda: self._show(name, text, role=role, button=button, do=do, dismissable=dismissable))

    def drop(self, name: str) -> None:
        """Takes a strip away; an unknown one is ignored."""
        self._when_free(lambda: self._drop(name))

    @property
    def names(self) -> tuple[str, ...]:
        """Of all strips, also of those that wait for room."""
        return tuple(self._shown)

    def text_of(self, name: str) -> str:
        """What a strip says, empty when it is not shown."""
        banner = self._shown.get(name)
        return "" if banner is None else banner.words.text()

    def _when_free(self, change: Callable[[], None]) -> None:
        self._held.append(change)
        self._catch_up()

    def _catch_up(self) -> None:
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._look.start()
            return
        while self._held:
            self._held.pop(0)()

    def _show(
        self, name: str, text: str, *, role: str, button: str, do: Callable[[], object] | None, dismissable: bool
    ) -> None:
        banner = self._shown.get(name)
        if banner is None:
            banner = self._shown[name] = Banner(name)
            banner.closed.connect(lambda: self.drop(name))
            self._layout.insertWidget(self._layout.count() - 1, banner)
        banner.set(text, role, button, do, dismissable=dismissable)
        self._fit()

    def _drop(self, name: str) -> None:
        banner = self._shown.pop(name, None)
        if banner is not None:
            self._layout.removeWidget(banner)
            banner.hide()
            banner.deleteLater()
        self._fit()

    def _fit(self) -> None:
        """What must be acted on stands, and of the rest the newest; how many wait is said."""
        waiting = [banner for banner in self._shown.values() if banner.may_wait]
        room = max(1, _MOST_STRIPS - (len(self._shown) - len(waiting)))
        hidden = waiting[:-room]
        for banner in self._shown.values():
            banner.setVisible(banner not in hidden)
        self._more.setText(f"{len(hidden)} more in Notices (Ctrl+9)")
        self._more.setVisible(bool(hidden))
        self.setVisible(bool(self._shown))


class _Toast(QFrame):
    """One short message. It is kept and told again: a frame with two wrapped labels is costly to make."""

    over = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.entry: Entry | None = None
        self.setObjectName("toast")
        self.setAutoFillBackground(True)
        self._title = label("", wrap=True)
        self._rest = label("", "muted", wrap=True)
        box = QVBoxLayout(self)
        box.setContentsMargins(12, 8, 12, 8)
        box.setSpacing(2)
        box.addWidget(self._title)
        box.addWidget(self._rest)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.over)
        self.appear = QTimer(self)
        """Shows it in the next turn. Qt asks the X server where the mouse is and waits; from a call of ours it would do
        so with the interpreter lock, for up to 10 ms, and a toast tells of an exit that may not be the last."""
        self.appear.setSingleShot(True)
        self.appear.timeout.connect(self.show)
        self.hide()

    def tell(self, entry: Entry, width: int) -> None:
        """Its words, as tall as they need at this width, for a while."""
        notice = entry.notice
        self.entry = entry
        theme.set_role(self, "strip" if notice.level is Level.INFO else "strip-warning")
        rest = " ".join(part for part in (notice.cause, notice.next_step) if part)
        self._title.setText(notice.title)
        self._rest.setText(rest)
        self._rest.setVisible(bool(rest))
        self.ensurePolished()
        inside = self.layout()
        if inside is not None:  # a layout alone gives wrapped words the height of one line
            inside.invalidate()
            self.setFixedHeight(inside.totalHeightForWidth(width))
        self._timer.start(_INFO_MS if notice.level is Level.INFO else _WARNING_MS)
        self.appear.start()

    def put_away(self) -> None:
        """Until it is told the next."""
        self._timer.stop()
        self.appear.stop()
        self.entry = None
        self.hide()


class Toasts(QWidget):
    """Up to three short messages over the lower right corner. They never take the focus and never block."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._shown: list[_Toast] = []
        self._spare: list[_Toast] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(8)
        self.setFixedWidth(380)
        self.hide()
        window.installEventFilter(self)

    def add(self, entry: Entry) -> None:
        """Shows a notice for a while; a repeat takes the place of the first."""
        key = entry.notice.repeat_key
        for toast in [t for t in self._shown if key and t.entry is not None and t.entry.notice.repeat_key == key]:
            self._take_away(toast)
        while len(self._shown) >= _MOST_TOASTS:
            self._take_away(self._shown[0])
        toast = self._spare.pop() if self._spare else self._make()
        self._shown.append(toast)
        self._layout.addWidget(toast)
        toast.tell(entry, self.width())
        self._place()
        self.raise_()

    def clear(self) -> None:
        """All of them, at once."""
        for toast in list(self._shown):
            self._take_away(toast)
        self.hide()

    def _make(self) -> _Toast:
        toast = _Toast()
        toast.over.connect(lambda: self._remove(toast))
        toast.appear.timeout.connect(self.show)
        return toast

    def _remove(self, toast: _Toast) -> None:
        if toast in self._shown:
            self._take_away(toast)
            self.setVisible(bool(self._shown))
            self._place()

    def _take_away(self, toast: _Toast) -> None:
        self._shown.remove(toast)
        self._layout.removeWidget(toast)
        toast.put_away()
        self._spare.append(toast)

    def _place(self) -> None:
        height = sum(toast.height() for toast in self._shown)
        self.setFixedHeight(height + self._layout.spacing() * max(0, len(self._shown) - 1))
        self.move(self._window.width() - self.width() - 16, self._window.height() - self.height() - 40)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt. Stays in the corner, and above docks that were brought to the front."""
        if self._shown and event.type() is QEvent.Type.Resize:
            self._place()
        elif self._shown and event.type() is QEvent.Type.LayoutRequest:
            self.raise_()
        return super().eventFilter(watched, event)
