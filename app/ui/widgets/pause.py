"""What is wanted often and done seldom."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer

SUM_MS = 250
"""Between two sums below a table while prices move: they are for reading, not for watching."""


class Soon(QTimer):
    """Does a thing once, some time after it was first asked for. Idle when nobody asks. GUI thread."""

    def __init__(self, parent: QObject, milliseconds: int, do: Callable[[], object]) -> None:
        super().__init__(parent)
        self.setSingleShot(True)
        self.setInterval(milliseconds)
        self.timeout.connect(do)

    def ask(self) -> None:
        """Once more is still once."""
        if not self.isActive():
            self.start()
