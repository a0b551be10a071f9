"""What the broker's fills change in the book. Pure.

A fill is known by its identity alone (C2); two fills of one order are two. What the broker owns follows the broker,
except what was traded: the same identity with another price, quantity, side or contract is a conflict, which is
shown and not written. A fill that the broker no longer lists is withdrawn: marked, never deleted. One that the user
deleted is still known here, so it is never taken for a new one (C4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.domain.fill import Fill, Source
from app.domain.ids import FillId


@dataclass(frozen=True, slots=True)
class Conflict:
    """One identity, two stories."""

    ours: Fill
    theirs: Fill


@dataclass(frozen=True, slots=True)
class Difference:
    """What to write, and what to count."""

    created: tuple[Fill, ...] = ()
    updated: tuple[Fill, ...] = ()
    """Known fills whose other particulars changed."""
    skipped: int = 0
    """Known and the same."""
    withdrawn: tuple[Fill, ...] = ()
    conflicting: tuple[Conflict, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing to write."""
        return not (self.created or self.updated or self.withdrawn)


class Comparison:
    """A day of the book (without what was withdrawn before) against the broker's list of it, some at a time."""

    def __init__(self, known: Mapping[FillId, Fill]) -> None:
        self._known = known
        self._theirs: dict[FillId, Fill] = {}
        self._created: list[Fill] = []
        self._updated: list[Fill] = []
        self._conflicting: list[Conflict] = []
        self._skipped = 0

    def take(self, broker: Iterable[Fill]) -> None:
        """More of the list."""
        for fill in broker:
            before = self._theirs.setdefault(fill.id, fill)
            ours = self._known.get(fill.id)
            if before is not fill:  # listed twice
                if before == fill:
                    self._skipped += 1
                else:
                    self._conflicting.append(Conflict(before, fill))
            elif ours is None:
                self._created.append(fill)
            elif ours == fill:
                self._skipped += 1
            elif _traded(ours) != _traded(fill):
                self._conflicting.append(Conflict(ours, fill))
            else:
                self._updated.append(fill)

    def lacks(self, some: Iterable[FillId]) -> list[Fill]:
        """Those of the known that the list has not. A file's, or the user's own, is not the broker's to take back."""
        known, theirs = self._known, self._theirs
        return [known[one] for one in some if one not in theirs and known[one].source is Source.SYNC]

    def ended(self, withdrawn: Iterable[Fill] = ()) -> Difference:
        """After the last of the list."""
        return Difference(
            tuple(self._created), tuple(self._updated), self._skipped, tuple(withdrawn), tuple(self._conflicting)
        )


def compare(known: Mapping[FillId, Fill], broker: Iterable[Fill], *, whole_day: bool) -> Difference:
    """All at once. `whole_day`: the list is all that the broker has of the day, so what it lacks is withdrawn."""
    comparison = Comparison(known)
    comparison.take(broker)
    return comparison.ended(comparison.lacks(known) if whole_day else ())


def _traded(fill: Fill) -> tuple[object, ...]:
    return fill.instrument, fill.side, fill.quantity, fill.price, fill.price_scale
