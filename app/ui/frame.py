"""The beat that all painting keeps: whatever moved is shown with the next frame, everything in one repaint.

Views with timers of their own would each make the window paint: at 30 updates a second from three of them it was
painted 90 times a second (measured), and every paint is time in which the engine waits for the interpreter.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, QTimer

FRAME_MS = 30
"""Thirty-three frames a second."""

MANY = 100
"""Rows up to which a table is put in order anew with every frame; beyond, `SUM_MS` apart."""

SUM_MS = 250
"""Between two sums below a table while prices move: they are for reading, not for watching."""


def until_next_frame() -> int:
    """Milliseconds to the next beat, 1 to `FRAME_MS`. The beat is the monotonic clock's, so nobody has to keep it."""
    return FRAME_MS - time.monotonic_ns() // 1_000_000 % FRAME_MS


class NextFrame(QTimer):
    """Does a thing once, with a frame after it was first asked for. Idle when nobody asks. GUI thread."""

    def __init__(self, parent: QObject, do: Callable[[], object], pause: int = 0) -> None:
        super().__init__(parent)
        self.pause = pause
        """Milliseconds to let go by first: what is wanted often and done seldom."""
        self.setSingleShot(True)
        self.setTimerType(Qt.TimerType.PreciseTimer)
        self.timeout.connect(do)

    def ask_for(self, rows: int) -> None:
        """As often as so many rows allow."""
        self.pause = 0 if rows <= MANY else SUM_MS
        self.ask()

    def ask(self) -> None:
        """Once more is still once."""
        if not self.isActive():
            self.start(self.pause + until_next_frame())
