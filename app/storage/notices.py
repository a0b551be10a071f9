"""What the trader was told, read or unread; kept for as long as the retention says (B6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from app.domain.events import Level, Noticed
from app.domain.ids import AccountId, Nanos
from app.storage.schema_book import notifications
from app.storage.store import Store

MERGED_WITHIN: Nanos = 86_400 * 1_000_000_000
"""A repeat within a day is the same notice once more; later it is a new one."""


@dataclass(frozen=True, slots=True)
class StoredNotice:
    """One notice as it was kept."""

    id: int
    at: Nanos
    """When it came last, by this machine."""
    notice: Noticed
    times: int
    read_at: Nanos | None


class Notices:
    """The notices of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, heard: Sequence[tuple[Noticed, Nanos]]) -> None:
        """Keeps them; a repeat makes its notice unread again and counts."""

        def work(connection: Connection) -> None:
            for notice, at in heard:
                if not notice.repeat_key or not _repeated(connection, notice, at):
                    connection.execute(insert(notifications).values(_row(notice, at)))

        if heard:
            await self._store.run(work)

    async def recent(self, limit: int = 500) -> list[StoredNotice]:
        """Newest first."""
        query = select(notifications).order_by(notifications.c.at.desc(), notifications.c.id.desc()).limit(limit)

        def work(connection: Connection) -> list[StoredNotice]:
            return [
                StoredNotice(
                    row.id,
                    row.at,
                    Noticed(
                        Level(row.level),
                        row.title,
                        row.cause,
                        row.next_step,
                        None if row.account is None else AccountId(row.account),
                        row.repeat_key,
                    ),
                    row.repeats,
                    row.read_at,
                )
                for row in connection.execute(query)
            ]

        return await self._store.run(work)

    async def unread(self) -> int:
        """How many nobody has looked at."""
        query = select(func.count()).select_from(notifications).where(notifications.c.read_at.is_(None))
        return await self._store.run(lambda c: int(c.execute(query).scalar_one()))

    async def mark_read(self, at: Nanos) -> int:
        """All that came until now. How many were unread."""
        unread = notifications.c.read_at.is_(None)
        change = update(notifications).where(unread, notifications.c.at <= at).values(read_at=at)
        return await self._store.run(lambda c: c.execute(change).rowcount)


def _repeated(connection: Connection, notice: Noticed, at: Nanos) -> bool:
    row = connection.execute(
        select(notifications.c.id)
        .where(notifications.c.repeat_key == notice.repeat_key, notifications.c.at >= at - MERGED_WITHIN)
        .order_by(notifications.c.at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return False
    fresh = _row(notice, at) | {"repeats": notifications.c.repeats + 1, "read_at": None}
    connection.execute(update(notifications).where(notifications.c.id == row.id).values(fresh))
    return True


def _row(notice: Noticed, at: Nanos) -> dict[str, object]:
    return {
        "at": at,
        "level": notice.level.value,
        "title": notice.title,
        "cause": notice.cause,
        "next_step": notice.next_step,
        "account": notice.account,
        "repeat_key": notice.repeat_key,
    }
