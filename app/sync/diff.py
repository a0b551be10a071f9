"""What the broker's fills change in the book. Pure.

A fill is known by its identity alone (C2); two fills of one order are two. What the broker owns follows the broker,
except what was traded: the same identity with another price, quantity, side or contract is a conflict, which is
shown and not written. A fill that the user deleted stays deleted (C4); one that the broker no longer lists is marked,
never deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.fill import Fill
from app.domain.ids import FillId


@dataclass(frozen=True, slots=True)
class StoredFill:
    """A fill as the book has it."""

    fill: Fill
    withdrawn: bool = False
    """The broker listed it once and does not any more."""
    deleted: bool = False
    """A tombstone: the user deleted it."""


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
    """Known fills whose other particulars changed, or that came back after they were withdrawn."""
    skipped: int = 0
    """Known and the same, or deleted by the user."""
    withdrawn: tuple[Fill, ...] = ()
    conflicting: tuple[Conflict, ...] = ()

    @property
    def changed(self) -> tuple[Fill, ...]:
        """Every fill whose row in the book changes."""
        return self.created + self.updated + self.withdrawn

    @property
    def empty(self) -> bool:
        """Nothing to write."""
        return not self.changed


def compare(stored: Iterable[StoredFill], broker: Iterable[Fill]) -> Difference:
    """The stored fills of the days that the broker's list covers, against that list."""
    known = {row.fill.id: row for row in stored}
    theirs: dict[FillId, Fill] = {}
    created: list[Fill] = []
    updated: list[Fill] = []
    conflicting: list[Conflict] = []
    skipped = 0
    for fill in broker:
        before = theirs.get(fill.id)
        if before is not None:
            if before == fill:
                skipped += 1
            else:
                conflicting.append(Conflict(before, fill))
            continue
        theirs[fill.id] = fill
        row = known.get(fill.id)
        if row is None:
            created.append(fill)
        elif row.deleted or (row.fill == fill and not row.withdrawn):
            skipped += 1
        elif _traded(row.fill) != _traded(fill):
            conflicting.append(Conflict(row.fill, fill))
        else:
            updated.append(fill)
    withdrawn = [
        row.fill for identity, row in known.items() if identity not in theirs and not row.withdrawn and not row.deleted
    ]
    return Difference(tuple(created), tuple(updated), skipped, tuple(withdrawn), tuple(conflicting))


def _traded(fill: Fill) -> tuple[object, ...]:
    return fill.instrument, fill.side, fill.quantity, fill.price, fill.price_scale
