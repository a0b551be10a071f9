"""How old a price is, as a colour: amber and red on the instrument's name. A quiet instrument may be in order; the
engine decides by its canary, and this only says what is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QWidget

from app.ui import format as fmt
from app.ui.models.table import Key, Tone

AMBER_SECONDS, RED_SECONDS = 2, 5
_LOOK_MS = 500


def age_tone(seconds: int) -> Tone:
    """Of a price so old."""
    if seconds < AMBER_SECONDS:
        return Tone.PLAIN
    return Tone.ALARM if seconds >= RED_SECONDS else Tone.WARN


def age_tip(seconds: int) -> str:
    """What is added to a tooltip."""
    return f" · the last price is {fmt.age(seconds * 1000)} old" if seconds >= AMBER_SECONDS else ""


class AgeWatch:
    """A clock runs on although no tick comes: rows whose colour has changed are made anew. Ends with its view."""

    def __init__(
        self, view: QWidget, ages: Callable[[], Iterable[tuple[Key, int]]], again: Callable[[Key], None]
    ) -> None:
        self._view = view
        self._ages = ages
        self._again = again
        self._tones: dict[Key, Tone] = {}
        self._clock = QTimer(view)
        self._clock.setInterval(_LOOK_MS)
        self._clock.timeout.connect(self.look)
        self._clock.start()

    def look(self) -> None:
        """Now."""
        if not self._view.isVisible():
            return
        for key, age in self._ages():
            tone = age_tone(age)
            if self._tones.get(key, Tone.PLAIN) is not tone:
                self._tones[key] = tone
                self._again(key)

    def end(self) -> None:
        """No timer runs on behind a closed window."""
        self._clock.stop()
