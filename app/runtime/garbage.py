"""Garbage collection on one thread, in small portions.

Python's collector runs on whichever thread happens to allocate. Two things forbid that here: a Qt object that dies on
the loop thread leaves its timers behind, and they fire into freed memory (a crash, seen); and a collection of the
oldest generation holds the interpreter for 10 ms at 100,000 objects, 129 ms at a million (measured, product.md).
"""

from __future__ import annotations

import gc
import threading

YOUNG = 5_000
"""Containers made and not freed before the youngest generation is looked at: well below a millisecond of work."""
BURST = 8_000
"""More than this is not looked through in one go: it would hold the interpreter above a millisecond. What came in a
burst is data (an answer of ten thousand rows), which counted references free; it is set aside, at no cost."""
OWED = 50_000
"""Containers set aside in bursts from which on everything is worth a look, once nobody is kept waiting by it."""
UNCOUNTED = 16
"""So often what is due is set aside uncounted after a count that found a burst: prices come and go as containers, tens
of thousands of them live at any time, and counting these holds the interpreter for 3 to 7 ms (measured)."""
MIDDLE_EVERY = 20
"""Young collections to one of the middle generation."""


class GarbageCollector:
    """Takes the collector away from the interpreter. Everything but `take_over` runs on the thread that called that:
    the GUI thread, whose objects must die on it; without a window the loop's. Call `turn` a few times a second.
    """

    def __init__(self) -> None:
        self._thread = 0
        self._young = 0
        self._uncounted = 0
        """So often it is not counted any more."""
        self._aside = 0
        """Containers set aside unseen since everything was looked through."""

    @property
    def owes(self) -> bool:
        """So much was set aside unseen that everything should be looked through at the next quiet moment."""
        return self._aside >= OWED

    def take_over(self, *, collect: bool = True) -> None:
        """Collects once, sets what is left aside for good, and switches automatic collection off.

        Without `collect` at no cost: somebody is in a hurry.
        """
        self._thread = threading.get_ident()
        gc.disable()
        if collect:
            gc.collect()
        gc.freeze()

    def set_aside(self) -> None:
        """Spares what there is now from every later look, at no cost: what was loaded stays."""
        self._check()
        gc.freeze()

    def turn(self, *, hurried: bool = False, quiet: bool = False) -> None:
        """Collects what is due: the young, now and then the middle generation; the oldest where much is owed and the
        moment is `quiet`. `hurried`: what is due is set aside, for even counting it would keep somebody waiting; until
        the next quiet moment nothing that refers to itself is freed then."""
        self._check()
        if quiet and self.owes:
            self.collect_all()
            return
        young = gc.get_count()[0]
        if young < YOUNG:
            return
        if hurried:
            self._set_aside(young)
            return
        if young > BURST or self._uncounted:  # at least so many: counting them exactly would take milliseconds
            self._uncounted = max(0, self._uncounted - 1)
            self._set_aside(young)
            return
        self._young += 1
        middle = self._young % MIDDLE_EVERY == 0
        # Counted exactly: what was freed meanwhile, of whatever age, was taken off Python's own count.
        seen = max(_in(0), _in(1))
        if seen > BURST:
            self._uncounted = UNCOUNTED
            self._set_aside(seen)
        else:
            gc.collect(1 if middle else 0)

    def collect_all(self) -> None:
        """Everything, the oldest generation and what was set aside too. Only while nobody waits: it holds the
        interpreter for long."""
        self._check()
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._aside = 0

    def give_back(self, *, collect: bool = True) -> None:
        """As Python had it; a last full collection takes what the window left, on its own thread."""
        self._check()
        gc.unfreeze()
        if collect:
            gc.collect()
        gc.enable()

    def _set_aside(self, count: int) -> None:
        gc.freeze()
        self._aside += count

    def _check(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError("garbage is collected on another thread than the one that took over")


def _in(generation: int) -> int:
    """How many containers it has. A tenth of the work of collecting it.

    In one call into C, so that no other thread runs while the list is there: it holds every container, also the tuple
    that a `tuple(...)` of another thread is just filling, and that one could not be finished while it is held.
    """
    return next(map(len, map(gc.get_objects, (generation,))))
