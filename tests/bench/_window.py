"""How long the window's thread does not come round, and why: its own work, no core, or another thread's hold on the
interpreter. Linux.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.bench._threads import Spent, Threads, place, spent_since

LOOK_MS = 5
"""How often the window's thread is asked to come round."""
LATE_MS = 15.0
"""From here on it is looked at where the thread is."""
SAMPLE_S = 0.003
NOTED = 5


@dataclass(slots=True)
class Stretch:
    """The window's thread did not come round for so long. Milliseconds."""

    lasted: float = 0.0
    own: float = 0.0
    """It computed."""
    core: float = 0.0
    """It could have, but another program had the core."""
    others: dict[str, float] = field(default_factory=dict)
    """What the other threads computed meanwhile."""
    places: Counter[str] = field(default_factory=Counter)
    """Where it was seen, how often."""

    @property
    def lock(self) -> float:
        """What is left: it waited for the interpreter, or for nothing at all."""
        return max(0.0, self.lasted - self.own - self.core)

    def told(self) -> str:
        """In one line."""
        others = ", ".join(f"{name} {spent:.0f}" for name, spent in self.others.items())
        seen = "; ".join(f"{times}x {where}" for where, times in self.places.most_common(5))
        shares = f"own work {self.own:.1f}, no core {self.core:.1f}, no interpreter {self.lock:.1f}"
        return f"{self.lasted:.1f} ms: {shares} ({others}): {seen}"


class WindowWatch:
    """`look` is called on the window's thread, by a timer. What it costs is next to nothing until `explain`."""

    def __init__(self) -> None:
        self._threads = Threads()
        self._last = 0.0
        self._before: dict[int, Spent] = {}
        self._places: Counter[str] = Counter()
        self._window = self._native = 0
        self._longest: list[Stretch] = []
        self._explains = False

    @property
    def begun(self) -> bool:
        """There is a window."""
        return self._window != 0

    def begin(self) -> None:
        """On the window's thread."""
        self._window, self._native = threading.get_ident(), threading.get_native_id()
        self._last = time.perf_counter()

    def explain(self) -> None:
        """From now on also why: another thread looks where the window's is, and both compete with what is measured."""
        if self.begun and not self._explains:
            self._explains = True
            threading.Thread(target=self._sample, name="window watch", daemon=True).start()

    def look(self) -> None:
        """The thread came round."""
        now, spent = time.perf_counter(), self._threads.read() if self._explains else {}
        lasted = (now - self._last) * 1000 - LOOK_MS
        if lasted > LOOK_MS:
            self._note(lasted, spent_since(self._before, spent))
        self._places = Counter()
        self._last, self._before = now, spent

    def take(self) -> list[Stretch]:
        """The longest since it was last asked, longest first."""
        longest, self._longest = self._longest, []
        return longest

    def _note(self, lasted: float, spent: dict[int, Spent]) -> None:
        own = spent.pop(self._native, Spent(0, 0))
        others = {self._threads.name(thread): one.cpu / 1e6 for thread, one in spent.items() if one.cpu > 500_000}
        self._longest.append(Stretch(lasted, own.cpu / 1e6, own.core / 1e6, others, self._places))
        self._longest.sort(key=lambda stretch: -stretch.lasted)
        del self._longest[NOTED:]

    def _sample(self) -> None:
        while True:
            time.sleep(SAMPLE_S)
            if (time.perf_counter() - self._last) * 1000 > LATE_MS:
                self._places[place(sys._current_frames().get(self._window))] += 1
