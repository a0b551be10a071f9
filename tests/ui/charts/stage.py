"""A view on a real bridge, a real loop thread and a scripted desk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import cast

from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget
from qasync import QEventLoop

from app.desk.api import Desk
from app.domain.events import Event
from app.runtime.loop import LoopThread
from app.ui.bridge import Bridge
from tests.ui.scripted_desk import ScriptedDesk


class Stage:
    """What a test holds: the desk to script, the bridge to give to a view, and time to pass."""

    def __init__(self, app: QApplication) -> None:
        self.thread = LoopThread()
        self.thread.start()
        self.loop = QEventLoop(app)
        self.desk = ScriptedDesk()
        # A protocol's plain attributes are invariant; the scripted desk's are the narrower scripted ones.
        self.bridge = Bridge(cast("Desk", self.desk), self.thread.submit, self.loop)
        self.bridge.listen()
        self.problems: list[object] = []
        self.bridge.failed.connect(self.problems.append)

    def until(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Lets the window live until something holds. Fails when it never does."""

        async def poll() -> None:
            async with asyncio.timeout(within):
                while not condition():  # noqa: ASYNC110  any condition of the window, not one event
                    await asyncio.sleep(0.005)

        self.loop.run_until_complete(poll())

    def settle(self) -> None:
        """Lets everything that is under way on both threads end."""

        async def turns() -> None:
            for _ in range(5):
                await asyncio.wrap_future(self.thread.submit(asyncio.sleep(0)))
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    def publish(self, *events: Event) -> None:
        """As the bus would, from the loop thread."""

        async def tell() -> None:
            for event in events:
                self.desk.script.publish(event)

        self.thread.submit(tell()).result(5)
        self.settle()

    def close(self) -> None:
        """Ends both loops."""
        self.loop.run_until_complete(self.bridge.close())
        self.settle()
        self.thread.stop()
        self.loop.close()


def stages(app: QApplication) -> Iterator[Stage]:
    """For a fixture."""
    stage = Stage(app)
    yield stage
    stage.close()


class Mouse:
    """A mouse over one widget, as the window system would report it."""

    def __init__(self, widget: QWidget) -> None:
        self._widget = widget
        self._down = Qt.MouseButton.NoButton

    def press(self, x: float, y: float, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """The left button goes down."""
        self._down = Qt.MouseButton.LeftButton
        self._send(QEvent.Type.MouseButtonPress, x, y, Qt.MouseButton.LeftButton, modifiers)

    def move(self, x: float, y: float) -> None:
        """With whatever is pressed."""
        self._send(QEvent.Type.MouseMove, x, y, Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier)

    def release(self, x: float, y: float) -> None:
        """The left button goes up."""
        self._down = Qt.MouseButton.NoButton
        self._send(QEvent.Type.MouseButtonRelease, x, y, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press, a few moves, release."""
        self.press(*start)
        for step in range(1, 6):
            self.move(*(a + (b - a) * step / 5 for a, b in zip(start, end, strict=True)))
        self.release(*end)

    def _send(
        self, kind: QEvent.Type, x: float, y: float, button: Qt.MouseButton, modifiers: Qt.KeyboardModifier
    ) -> None:
        at = QPointF(x, y)
        there = QPointF(self._widget.mapToGlobal(at.toPoint()))
        QApplication.sendEvent(self._widget, QMouseEvent(kind, at, there, button, self._down, modifiers))
