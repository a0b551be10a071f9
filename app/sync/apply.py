"""Writes what a sync found into the book, and works out anew what depends on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.calendar import ist_date
from app.domain.fill import Fill
from app.domain.ids import AccountId, FillId, Nanos
from app.domain.portfolio import Funds, Holding, Position
from app.domain.sync import Conflicts, DataSet
from app.runtime.letting_go import let_go
from app.storage.book import Book
from app.storage.fill_rows import packed_fills
from app.storage.fills import WriteCounts
from app.sync.aside import some_at_a_time
from app.sync.conflicts import settled_by_rule
from app.sync.diff import Comparison, Conflict, Difference
from app.sync.rebuild import Rebuilder
from app.sync.recompute import NO_GAPS, Gaps, Note, note_of

QUICK = 100
"""Fills of a turn, where each takes no more than a look-up."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """All that one account's broker told, read together. None: not read, or refused, so nothing is known of it."""

    fills: list[tuple[Fill, str]] | None
    positions: Sequence[Position] | None
    holdings: Sequence[Holding] | None
    funds: Funds | None
    at: Nanos
    """Exchange time of the read."""
    whole_days: frozenset[str] = frozenset()
    """The ISO trade dates of which `fills` is everything; none when the day changed while reading."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a sync changed."""

    created: int
    updated: int
    """Changed and withdrawn ones together."""
    skipped: int
    conflicts: tuple[Conflict, ...]
    gaps: Gaps = NO_GAPS
    """What trades lack that were worked out again."""
    withdrawn: tuple[Fill, ...] = ()
    """That the broker no longer tells of, though it did."""

    @property
    def changed(self) -> int:
        """Fills whose rows changed."""
        return self.created + self.updated


async def apply(
    book: Book, account: AccountId, fetched: Fetched, rebuilder: Rebuilder, rule: Conflicts = Conflicts.ASK
) -> Applied:
    """Fills in one transaction a day, positions, holdings, and the trades of every group that is touched.

    The groups are marked stale in the transaction that changes their fills: cut short anywhere, the next run (or
    `Rebuilder` at start) finishes the rest. `rule` settles what the broker tells differently now.
    """
    listed = fetched.fills or ()
    raw, by_day = await _sorted_out(listed, fetched.whole_days)
    created = updated = skipped = 0
    conflicts: list[Conflict] = []
    withdrawn: list[Fill] = []
    notes: set[Note] = set()
    for day, fills in sorted(by_day.items()):
        known = await book.fills.of_day(account, day)
        difference = await _compared(known, fills, day in fetched.whole_days)
        await let_go(known)
        settled = await settled_by_rule(book, account, difference, fills, raw, fetched.at, rule)
        difference = settled.difference
        skipped += difference.skipped
        conflicts += settled.open
        withdrawn += difference.withdrawn
        if not difference.empty:
            counts = await _written(book, difference, raw, fetched.at, notes)
            created += counts.created
            updated += counts.updated + counts.withdrawn
    if fetched.positions is not None:
        await book.positions.replace(account, fetched.positions, fetched.at)
    if fetched.holdings is not None:
        await book.holdings.replace(account, fetched.holdings, fetched.at)
    today = ist_date(fetched.at).isoformat()
    gaps = await rebuilder.rebuild(notes | await _over_since(book, account, today), today)
    return Applied(created, updated, skipped, tuple(conflicts), gaps, tuple(withdrawn))


async def _over_since(book: Book, account: AccountId, today: str) -> set[Note]:
    """The notes of the day that was the last one to be synced, at the first sync of a later one: what was open in MIS
    then and was not squared off was delivered."""
    states = await book.data_sets.load()
    read = [s.good_at for s in states if (s.account, s.data_set) == (account, DataSet.TRADES) and s.good_at is not None]
    days = {ist_date(at).isoformat() for at in read} - {today}
    return {(account, day, exchange) for day in days for exchange in ("NSE", "BSE")}


async def _sorted_out(
    listed: Sequence[tuple[Fill, str]], whole_days: frozenset[str]
) -> tuple[dict[FillId, str], dict[str, list[Fill]]]:
    """The broker's words by fill, and the fills by day."""
    raw: dict[FillId, str] = {}
    by_day: dict[str, list[Fill]] = {day: [] for day in whole_days}
    async for some in some_at_a_time(listed, QUICK):
        for fill, words in some:
            raw[fill.id] = words
            by_day.setdefault(fill.id.trade_date, []).append(fill)
    return raw, by_day


async def _compared(known: Mapping[FillId, Fill], fills: Sequence[Fill], whole_day: bool) -> Difference:
    comparison = Comparison(known)
    async for some in some_at_a_time(fills):
        comparison.take(some)
    gone: list[Fill] = []
    if whole_day:
        async for names in some_at_a_time(known, QUICK):
            gone += comparison.lacks(names)
    return comparison.ended(gone)


async def _written(
    book: Book, difference: Difference, raw: Mapping[FillId, str], at: Nanos, notes: set[Note]
) -> WriteCounts:
    """Adds the notes of what changes to `notes`."""
    rows: list[str] = []
    for fills in (difference.created, difference.updated):
        async for some in some_at_a_time(fills):
            rows += packed_fills((fill, raw[fill.id]) for fill in some)
            notes.update(note_of(fill) for fill in some)
    async for some in some_at_a_time(difference.withdrawn, QUICK):
        notes.update(note_of(fill) for fill in some)
    return await book.fills.write_packed(rows, [fill.id for fill in difference.withdrawn], at)
