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


def compare(known: Mapping[FillId, Fill], broker: Iterable[Fill], *, whole_day: bool) -> Difference:
    """The book's fills of a day (without those withdrawn before) against what the broker lists of it.

    `whole_day`: the list is all that the broker has of the day, so what it lacks is withdrawn.
    """
    theirs: dict[FillId, Fill] = {}
    created: list[Fill] = []
    updated: list[Fill] = []
    conflicting: list[Conflict] = []
    skipped = 0
    for fill in broker:
        before = theirs.setdefault(fill.id, fill)
        ours = known.get(fill.id)
        if before is not fill:  # listed twice
            if before == fill:
                skipped += 1
            else:
                conflicting.append(Conflict(before, fill))
        elif ours is None:
            created.append(fill)
        elif ours == fill:
            skipped += 1
        elif _traded(ours) != _traded(fill):
            conflicting.append(Conflict(ours, fill))
        else:
            updated.append(fill)
    gone = []
    if whole_day:  # a file's, or the user's own, is not the broker's to take back
        gone = [f for identity, f in known.items() if identity not in theirs and f.source is Source.SYNC]
    return Difference(tuple(created), tuple(updated), skipped, tuple(gone), tuple(conflicting))


def _traded(fill: Fill) -> tuple[object, ...]:
    return fill.instrument, fill.side, fill.quantity, fill.price, fill.price_scale
