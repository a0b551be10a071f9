"""Whether past fills count lots or units, which no file or history says: told by what is known of the same deals. Pure.

A day's fills count commodities and currencies in lots; contract notes, and what is made of them, may count units. Taken
for the other a figure would be wrong by the size of a lot, so it is decided by evidence, or nothing is imported:

* a fill that the book has already from the broker's day;
* what the broker says that the deal was worth;
* for a whole file: a quantity that is no multiple of its lot can only be of lots, and where all of them are multiples,
  of a large lot too, they are of units: nobody's every fill is of a round hundred lots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from app.analytics.contract_sizes import Sizer
from app.brokers.parts import PastFill
from app.domain.errors import Denied
from app.domain.fill import Fill, Source
from app.domain.ids import FillId

LARGE = 100
"""Units in a lot that is large enough for the last rule."""


class Count(Enum):
    """What quantities are of."""

    LOTS = auto()
    UNITS = auto()


def counted_in_lots(past: Sequence[PastFill], known: Mapping[FillId, Fill], sizer: Sizer) -> list[PastFill]:
    """The same deals, all counted as the broker's day counts them. `known`: what the book has of their days.

    Raises Denied for a file of which it cannot be told.
    """
    sizes = [sizer.of(item.fill) for item in past]
    if all(size == 1 for size in sizes):
        return list(past)
    evidence = [_evidence(item, size, known) for item, size in zip(past, sizes, strict=True)]
    whole = _of_the_file(past, sizes, evidence)
    return [
        _in_lots(item, size) if (one or whole) is Count.UNITS else item
        for item, size, one in zip(past, sizes, evidence, strict=True)
    ]


def _evidence(item: PastFill, size: int | None, known: Mapping[FillId, Fill]) -> Count | None:
    """Of one deal; None: it says nothing."""
    fill = item.fill
    if size is None or size == 1:
        return None
    ours = known.get(fill.id) if item.order_known else None
    if ours is not None and ours.quantity in (fill.quantity, fill.quantity // size):
        return Count.LOTS if ours.quantity == fill.quantity else Count.UNITS
    if item.worth is not None and fill.price:
        held = item.worth * fill.price_scale / (fill.quantity * fill.price)
        for count, units in ((Count.LOTS, size), (Count.UNITS, 1)):
            if abs(held - units) * 100 < units:
                return count
    return None


def _of_the_file(
    past: Sequence[PastFill], sizes: Sequence[int | None], evidence: Sequence[Count | None]
) -> Count | None:
    """Of a whole file, which counts in one way; None where it is none, or has nothing that is counted in lots."""
    open_ones = [
        (item.fill, size)
        for item, size, one in zip(past, sizes, evidence, strict=True)
        if item.fill.source is Source.FILE and size != 1 and one is None
    ]
    if not open_ones:
        return None
    found = {one for one in evidence if one is not None}
    if len(found) == 1:
        return found.pop()
    sized = [(fill.quantity, size) for fill, size in open_ones if size is not None]
    if not found and any(quantity % size for quantity, size in sized):
        return Count.LOTS
    if not found and any(size >= LARGE for _, size in sized):
        return Count.UNITS
    raise Denied(
        f"It cannot be told whether this file counts {open_ones[0][0].instrument} in lots or in units; nothing was"
        " imported.",
        "Sync on a day on which it is traded or held, then import again; or leave its lines out of the file.",
    )


def _in_lots(item: PastFill, size: int | None) -> PastFill:
    fill = item.fill
    if size == 1:
        return item
    if size is None or fill.quantity % size:
        raise Denied(
            f"The file counts units, and {fill.quantity} of {fill.instrument} are no whole lots as far as is known;"
            " nothing was imported.",
            "Sync on a day on which it is traded or held, then import again; or leave its lines out of the file.",
        )
    return replace(item, fill=replace(fill, quantity=fill.quantity // size))
