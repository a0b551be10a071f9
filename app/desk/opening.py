"""Opens a profile's files, says what that found, and lets nothing act that comes from a backup. Loop thread only.

A backup is of the past: what it has as armed may have been moved, disarmed or hit since, and its position closed and
opened anew. So its stops are suspended and its strategies rest, until the trader has looked at them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.desk.workspace import Workspace
from app.domain.errors import Damaged
from app.domain.events import AuditEntry, Level, Noticed
from app.domain.ids import AccountId, Nanos, StopId
from app.domain.stop import Stop, StopState
from app.domain.strategy import Strategy
from app.runtime.clock import SystemClock, to_datetime
from app.storage import switch
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.journal import Journal
from app.storage.store import Opened, open_store

RESTORED = "restored"
"""A file that comes with a backup's files: when the backup was made. Gone once the profile was opened to guard."""
ENDED_STOPS = 200
"""Of those that ended last: an exit order of theirs may still turn up, and the trader sees today's."""
LATER = 1_000
"""Attempts that a stop may have made after the backup: their orders are no orders of what it does from now on."""


async def open_files(workspace: Workspace) -> tuple[Journal, Book]:
    """Journal and book; the vault is open. Raises AppError; then neither is."""
    vault, profile = workspace.vault, workspace.profile
    # One that a guard was asked for: whoever takes the desk back from it finds the files settled.
    workspace.replaced = await asyncio.to_thread(switch.pending, profile) is not None
    journal_store, journal_found = await open_store(profile, vault.database_key("journal"), StoreKind.JOURNAL)
    try:
        book_store, book_found = await open_store(profile, vault.database_key("book"), StoreKind.BOOK)
    except BaseException:
        await journal_store.close()
        raise
    journal, book = Journal(journal_store), Book(book_store)
    workspace.opened(book, journal)
    lost = "Armed stops may be missing: check every open position."
    _tell(workspace, journal_found, "The journal", Level.ALARM, lost)
    _tell(workspace, book_found, "The trade book", Level.WARNING, "Sync brings today's trades back; use a backup.")
    return journal, book


async def stops_of(workspace: Workspace, journal: Journal, book: Book) -> Sequence[Stop]:
    """The open ones, and those that ended last. Raises StorageError."""
    stops = await journal.recent_stops(ENDED_STOPS)
    mark = workspace.profile / RESTORED
    made_at = await asyncio.to_thread(_read, mark) if workspace.guarding else None
    if made_at is None:
        return stops
    day = f"{to_datetime(made_at):%d %b %Y %H:%M}"
    note = f"from the backup of {day}: it may have been moved or ended since"
    held = [stop for stop in stops if not stop.state.is_final]
    stops = [stop if stop.state.is_final else _suspended(stop, note) for stop in stops]
    for stop in stops:
        if not stop.state.is_final:
            await journal.save_stop(stop, _entry(stop.key.account, f"stop:{stop.id}", "suspended", note, stop.id))
    resting = 0
    for record in await book.accounts.load():
        for strategy in await _at_work(journal, record.id):
            resting += 1
            entry = _entry(record.id, f"strategy:{strategy.id}", "stopped", note)
            await journal.strategies.save_strategy(Strategy(strategy.plan, note=note), (), entry)
    workspace.publish(
        Noticed(
            Level.ALARM if held or resting else Level.WARNING,
            f"The profile is that of {day}",
            f"It was put back from a backup. Suspended stops: {len(held)}; strategies stopped: {resting}.",
            "What was armed since is forgotten, and its triggers (GTT) rest at the broker still: look at every open"
            " position, the stops, the triggers, and the portfolio stop, whose limits are those of then.",
        )
    )
    await asyncio.to_thread(mark.unlink, missing_ok=True)
    return stops


def _suspended(stop: Stop, note: str) -> Stop:
    """It asks. Whatever it did after the backup has used attempts that it must not use again."""
    return replace(
        stop,
        state=StopState.SUSPENDED,
        attempt=stop.attempt + LATER,
        exit_order=None,
        fired_at=None,
        fired_price=None,
        fired_by=None,
        closed_at=None,
        note=note,
    )


async def _at_work(journal: Journal, account: AccountId) -> Sequence[Strategy]:
    """Those that run, and those that do again on another day."""
    try:
        found = await journal.strategies.strategies(account)
    except Damaged:  # said when they are adopted: none of them runs
        return ()
    return [one for one in found if one.state.is_running or one.goes_on]


def _entry(account: AccountId, subject: str, what: str, detail: str, stop: StopId | None = None) -> AuditEntry:
    return AuditEntry(SystemClock().now(), account, subject, what, detail, stop)


def _read(mark: Path) -> Nanos | None:
    try:
        return int(mark.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except ValueError:  # cut short, by a power cut: that it comes from a backup is what counts
        return mark.stat().st_mtime_ns


def _tell(workspace: Workspace, found: Opened, what: str, level: Level, next_step: str) -> None:
    if found.set_aside is None and not found.lost:
        return
    cause = f"{found.damage} It was kept as {found.set_aside}." if found.set_aside else "Its file is gone."
    workspace.publish(Noticed(level, f"{what} had to be started anew", cause, next_step))
