"""Fills with two stories: settled by rule, or kept side by side until the user settles them (C5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain.calendar import ist_date
from app.domain.fill import Fill
from app.domain.ids import AccountId, FillId, Nanos
from app.domain.sync import Conflicts
from app.storage.book import Book
from app.sync.diff import Conflict, Difference
from app.sync.rebuild import Rebuilder
from app.sync.recompute import note_of


@dataclass(frozen=True, slots=True)
class Settled:
    """A difference without what was settled, and what was not."""

    difference: Difference
    open: tuple[Conflict, ...]


async def settled_by_rule(
    book: Book,
    account: AccountId,
    difference: Difference,
    fills: Sequence[Fill],
    raw: Mapping[FillId, str],
    at: Nanos,
    rule: Conflicts,
) -> Settled:
    """What the rule, or the user before, says of each conflict. Where the broker took back its story, or the fill, it
    is settled too.

    `fills`: what the broker lists of the day.
    """
    await _gone(book, account, fills, difference.withdrawn, at)
    conflicts = difference.conflicting
    if not conflicts:
        return Settled(difference, ())
    heard = await book.conflicts.kept([conflict.theirs for conflict in conflicts])
    fresh = [conflict for index, conflict in enumerate(conflicts) if index not in heard]
    skipped = difference.skipped + len(heard)
    if rule is Conflicts.BROKER:
        # Of a row that was listed twice with two stories neither is more the broker's than the other.
        theirs = tuple(c.theirs for c in fresh if c.ours not in difference.created)
        left = tuple(c for c in fresh if c.ours in difference.created)
        await _kept(book, left, raw, at)
        updated = (*difference.updated, *theirs)
        return Settled(replace(difference, updated=updated, skipped=skipped, conflicting=()), left)
    await _kept(book, fresh, raw, at)
    if rule is Conflicts.BOOK:
        names = {(c.ours.id, c.theirs) for c in fresh}
        for known in await book.conflicts.open(account):
            if (known.ours.id, known.theirs) in names:
                await book.conflicts.settle(known.id, Conflicts.BOOK.value, at)
        return Settled(replace(difference, skipped=skipped + len(fresh), conflicting=()), ())
    return Settled(replace(difference, skipped=skipped, conflicting=()), tuple(fresh))


async def _kept(book: Book, conflicts: Sequence[Conflict], raw: Mapping[FillId, str], at: Nanos) -> None:
    await book.conflicts.found([(c.ours, c.theirs, raw.get(c.theirs.id, "{}")) for c in conflicts], at)


async def _gone(book: Book, account: AccountId, fills: Sequence[Fill], withdrawn: Sequence[Fill], at: Nanos) -> None:
    waiting = await book.conflicts.open(account)
    if not waiting:
        return
    now = {fill.id: fill for fill in fills}
    lost = {fill.id for fill in withdrawn}
    for conflict in waiting:
        if conflict.ours.id in lost or now.get(conflict.ours.id) == conflict.ours:
            await book.conflicts.settle(conflict.id, "gone", at)


async def settle(book: Book, conflict: int, take: Conflicts, rebuilder: Rebuilder, at: Nanos) -> AccountId:
    """The user's word on one conflict. What the user wrote beside the fill stays either way. Returns the account.

    Raises Denied when it is settled already.
    """
    found, raw = await book.conflicts.get(conflict)
    if take is Conflicts.BROKER:
        await book.fills.write([], [(found.theirs, raw)], at=at)
        await rebuilder.rebuild({note_of(found.ours), note_of(found.theirs)}, ist_date(at).isoformat())
    await book.conflicts.settle(conflict, Conflicts.BROKER.value if take is Conflicts.BROKER else "book", at)
    return found.ours.account
