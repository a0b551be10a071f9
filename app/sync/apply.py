"""Writes what a sync found into the book, and works out anew what depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

from app.analytics.charge_table import ChargeTable
from app.domain.calendar import ist_date
from app.domain.fill import Fill, Trade
from app.domain.ids import AccountId, FillId, Nanos
from app.domain.portfolio import Funds, Holding, Position
from app.domain.sync import Conflicts, DataSet
from app.runtime.clock import IST, from_datetime
from app.storage.book import Book
from app.storage.fills import WriteCounts
from app.sync.conflicts import settled_by_rule
from app.sync.diff import Conflict, Difference, compare
from app.sync.recompute import Group, Note, Recomputed, note_of, recompute, touched_groups

T = TypeVar("T")
P = ParamSpec("P")

FEW = 100
"""Fills up to which work stays on the loop thread: about 0.3 ms of it. More goes through a thread of its own, which
the interpreter interrupts every 0.1 ms."""

TOGETHER = 1_000
"""Trades that one transaction writes."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """All that one account's broker told, read together. None: not read, or refused, so nothing is known of it."""

    fills: Sequence[tuple[Fill, str]] | None
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
    uncharged: tuple[str, ...] = ()

    @property
    def changed(self) -> int:
        """Fills whose rows changed."""
        return self.created + self.updated


async def apply(
    book: Book, account: AccountId, fetched: Fetched, table: ChargeTable, rule: Conflicts = Conflicts.ASK
) -> Applied:
    """Fills in one transaction a day, positions, holdings, and the trades of every group that is touched.

    The groups are marked stale in the transaction that changes their fills: cut short anywhere, the next run (or
    `rebuild` at start) finishes the rest. `rule` settles what the broker tells differently now.
    """
    listed = fetched.fills or ()
    raw, by_day = await aside(len(listed), _sorted_out, listed, fetched.whole_days)
    created = updated = skipped = 0
    conflicts: list[Conflict] = []
    notes: set[Note] = set()
    for day, fills in sorted(by_day.items()):
        difference = await _compared(await book.fills.of_day(account, day), fills, day in fetched.whole_days)
        settled = await settled_by_rule(book, account, difference, fills, raw, fetched.at, rule)
        difference = settled.difference
        skipped += difference.skipped
        conflicts += settled.open
        if not difference.empty:
            notes |= await aside(len(fills), _notes_of, difference)
            counts = await _written(book, difference, raw, fetched.at)
            created += counts.created
            updated += counts.updated + counts.withdrawn
    if fetched.positions is not None:
        await book.positions.replace(account, fetched.positions, fetched.at)
    if fetched.holdings is not None:
        await book.holdings.replace(account, fetched.holdings, fetched.at)
    today = ist_date(fetched.at).isoformat()
    uncharged = await rebuild(book, table, notes | await _over_since(book, account, today), today)
    return Applied(created, updated, skipped, tuple(conflicts), uncharged)


async def _over_since(book: Book, account: AccountId, today: str) -> set[Note]:
    """The notes of the day that was the last one to be synced, at the first sync of a later one: what was open in MIS
    then and was not squared off was delivered."""
    states = await book.data_sets.load()
    read = [s.good_at for s in states if (s.account, s.data_set) == (account, DataSet.TRADES) and s.good_at is not None]
    days = {ist_date(at).isoformat() for at in read} - {today}
    return {(account, day, exchange) for day in days for exchange in ("NSE", "BSE")}


async def rebuild(book: Book, table: ChargeTable, notes: Collection[Note] = (), today: str = "") -> tuple[str, ...]:
    """Works out the trades of all stale groups again, and of the groups that share a note with them or have a fill on
    one of `notes`. `today` as in `recompute`. Returns why some fills carry no charges."""
    stale = set(await book.fills.stale_groups())
    uncharged: list[str] = []
    for account in sorted({group[0] for group in stale} | {note[0] for note in notes}):
        mine = {group for group in stale if group[0] == account}
        done = await _recomputed(book, account, mine, [note for note in notes if note[0] == account], table, today)
        # Stale groups last: while one is marked, a crash in between makes the next start do all of them again.
        ordered = sorted(done.trades, key=lambda g: (g in mine, *g))
        for part in _parts([(group, done.trades[group]) for group in ordered]):
            await _replaced(book, part)
        uncharged += done.uncharged
    return tuple(uncharged)


async def _recomputed(
    book: Book, account: AccountId, stale: set[Group], notes: Collection[Note], table: ChargeTable, today: str
) -> Recomputed:
    """Reads back to the start of the oldest day that any touched group has a fill on: its notes are needed whole."""
    groups: set[Group] = set()
    since = min((_start_of(day) for _, day, _ in notes), default=None)
    fills: list[Fill] = []
    pending, read = set(stale), False
    while pending or not read:
        first = await book.fills.first_date(pending)
        starts = [] if first is None else [_start_of(first)]
        if since is not None:
            starts.append(since)
        groups |= pending
        if starts and (not read or min(starts) != since):
            since = min(starts)
            fills = await book.fills.all(account, since)
        read = True
        pending = await asyncio.to_thread(touched_groups, fills, stale, notes) - groups
    return await asyncio.to_thread(recompute, fills, groups, table, today)


def _start_of(day: str) -> Nanos:
    """The first moment of an ISO trade date in India."""
    return from_datetime(datetime.fromisoformat(day).replace(tzinfo=IST))


Part = list[tuple[Group, Sequence[Trade]]]


def _parts(groups: Sequence[tuple[Group, Sequence[Trade]]]) -> list[Part]:
    """Groups that are written together: a transaction for each of them would be a wait for the disk for each."""
    parts: list[Part] = [[]]
    size = 0
    for group, trades in groups:
        if parts[-1] and size + len(trades) > TOGETHER:
            parts.append([])
            size = 0
        parts[-1].append((group, trades))
        size += len(trades) + 1
    return [part for part in parts if part]


async def _replaced(book: Book, part: Part) -> None:
    def replace() -> Coroutine[Any, Any, None]:
        return book.trades.replace_many(part)

    await (replace() if sum(len(trades) for _, trades in part) <= FEW else off_loop(replace))


async def aside(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The work's result; what is long is worked out in a thread, where a firing stop interrupts it."""
    if size <= FEW:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def _sorted_out(
    listed: Sequence[tuple[Fill, str]], whole_days: Collection[str]
) -> tuple[dict[FillId, str], dict[str, list[Fill]]]:
    """The broker's words by fill, and the fills by day."""
    by_day: dict[str, list[Fill]] = {day: [] for day in whole_days}
    for fill, _ in listed:
        by_day.setdefault(fill.id.trade_date, []).append(fill)
    return {fill.id: words for fill, words in listed}, by_day


def _notes_of(difference: Difference) -> set[Note]:
    return {note_of(fill) for fill in (*difference.created, *difference.updated, *difference.withdrawn)}


async def _compared(known: Mapping[FillId, Fill], fills: list[Fill], whole_day: bool) -> Difference:
    if len(known) + len(fills) <= FEW:
        return compare(known, fills, whole_day=whole_day)
    return await asyncio.to_thread(compare, known, fills, whole_day=whole_day)


async def _written(book: Book, difference: Difference, raw: Mapping[FillId, str], at: Nanos) -> WriteCounts:
    def write() -> Coroutine[Any, Any, WriteCounts]:
        created = [(fill, raw[fill.id]) for fill in difference.created]
        updated = [(fill, raw[fill.id]) for fill in difference.updated]
        return book.fills.write(created, updated, [fill.id for fill in difference.withdrawn], at)

    few = len(difference.created) + len(difference.updated) + len(difference.withdrawn) <= FEW
    return await write() if few else await off_loop(write)


async def off_loop(start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine of the store on a loop of its own in a thread: it prepares rows before it waits, and thousands
    of them would hold up a firing stop. The store may be awaited from any loop."""
    return await asyncio.to_thread(lambda: asyncio.run(start()))
