"""The day's P&L after charges, for whoever shows it while the curve itself is out of sight."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from app.domain.errors import AppError
from app.domain.events import BookChanged, PositionsChanged
from app.ui.bridge import Bridge

_EVERY_MS = 5_000
_SOON_MS = 300


class DayResult(QObject):
    """Reads the newest point of the day's curve every five seconds, and soon after a fill or a sync. GUI thread."""

    changed = Signal(object)
    """Net P&L in paise; None before the first point."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._reading = False
        self._timer = QTimer(self)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self.read)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._soon.timeout.connect(self.read)
        for kind in (BookChanged, PositionsChanged):
            bridge.subscribe(kind, self._on_event)

    def start(self) -> None:
        """From now on."""
        self.read()
        self._timer.start()

    def stop(self) -> None:
        """No timer runs on behind a closed window."""
        self._timer.stop()
        self._soon.stop()

    def read(self) -> None:
        """Once; a read that is under way is enough."""
        if not self._reading:
            self._reading = True
            self._bridge.start(self._read(), "day's result")

    async def _read(self) -> None:
        try:
            points = await self._bridge.call(self._bridge.desk.portfolio.day_curve())
        except AppError:
            return  # the view of the curve says why; the last figure stays
        finally:
            self._reading = False
        self.changed.emit(points[-1].net if points else None)

    def _on_event(self, _event: object) -> None:
        if not self._soon.isActive():
            self._soon.start()
