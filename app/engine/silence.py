"""A broker that answers nothing while an exit is under way. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from app.domain.errors import AppError

SILENT_SECONDS = 5.0
"""Readings that fail for so long: the trader is called, for whether the position is still open is not known."""


class Silence:
    """Of one exit's follower."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since: float | None = None
        self._is_told = False
        self.why: AppError | None = None
        """Of the last reading that failed."""

    def heard(self) -> None:
        """The order book and the position were read."""
        self._since, self._is_told, self.why = None, False, None

    def failed(self, why: AppError) -> None:
        """One of them could not be read."""
        self._since = self._now() if self._since is None else self._since
        self.why = why

    def is_news(self) -> bool:
        """It has lasted long enough to be told. True once, until the broker was heard again."""
        if self._is_told or self._since is None or self._now() - self._since < SILENT_SECONDS:
            return False
        self._is_told = True
        return True
