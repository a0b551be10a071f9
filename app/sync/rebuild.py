"""Works out anew what depends on fills that changed. The interpreter is not held meanwhile: many fills go packed to the
helper process, and their trades come back packed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from datetime import datetime

import msgspec

from app.analytics.charge_table import ChargeTable
from app.analytics.contract_sizes import Sizer, Told
from app.domain.ids import AccountId, Nanos
from app.runtime.clock import IST, from_datetime
from app.runtime.framing import framed
from app.runtime.helper import Helper, HelperDied
from app.storage.book import Book
from app.storage.fills import PackedFills
from app.sync import bulk
from app.sync.recompute import NO_GAPS, Gaps, Group, Note

FEW = 100
"""Fills up to which they are worked out here, in a few milliseconds of a thread of their own."""

log = logging.getLogger(__name__)


class Rebuilder:
    """Trades out of fills, account by account. Loop thread. Without a helper process a thread does it."""

    def __init__(self, book: Book, table: ChargeTable, helper: Helper | None = None) -> None:
        self._book = book
        self._table = table
        self._helper = helper

    async def rebuild(self, notes: Collection[Note] = (), today: str = "") -> Gaps:
        """Works out the trades of all stale groups again, and of the groups that share a note with them or have a fill
        on one of `notes`. `today` as in `recompute`. Returns what some of them lack."""
        stale = set(await self._book.fills.stale_groups())
        gaps = NO_GAPS
        for account in sorted({group[0] for group in stale} | {note[0] for note in notes}):
            mine = {group for group in stale if group[0] == account}
            theirs = [note for note in notes if note[0] == account]
            try:
                gaps += await self._account(account, mine, theirs, today, self._helper)
            except HelperDied:
                log.warning("the helper process ended while it worked out trades; they are worked out here")
                gaps += await self._account(account, mine, theirs, today, None)
        return gaps

    async def look_again(self) -> None:
        """Trades of unknown size that this program's table knows the size of become stale. For the start."""
        await self._book.contract_sizes.look_again(self._table.sizes.listed)

    async def sizer(self, account: AccountId) -> Sizer:
        """How much lots hold, as far as is known."""
        return Sizer(self._table.sizes, await self._book.contract_sizes.told(account))

    async def _account(
        self, account: AccountId, stale: set[Group], notes: Collection[Note], today: str, helper: Helper | None
    ) -> Gaps:
        """Reads back to the start of the oldest day on which a touched group has a fill: its notes are needed whole."""
        groups = set(stale)
        since = min((_start_of(day) for _, day, _ in notes), default=None)
        since = await self._earlier(groups, since)
        told = await self._book.contract_sizes.told(account)
        while True:
            fills = PackedFills(0, ()) if since is None else await self._book.fills.packed(account, since)
            async with aclosing(self._worked_out(fills, stale, notes, groups, today, told, helper)) as pieces:
                more = msgspec.msgpack.decode(await anext(pieces), type=bulk.Found).more
                groups |= set(more)
                before = since
                if more and (since := await self._earlier(more, since)) != before:
                    continue
                return await self._write(pieces)

    async def _worked_out(
        self,
        fills: PackedFills,
        stale: set[Group],
        notes: Collection[Note],
        groups: set[Group],
        today: str,
        told: Told,
        helper: Helper | None,
    ) -> AsyncGenerator[bytes, None]:
        body, rest = framed(fills.pieces), (stale, notes, groups, self._table, today, told)
        if helper is not None and fills.rows > FEW:
            async with aclosing(helper.slices(bulk.recomputed, body, *rest)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        for piece in await asyncio.to_thread(lambda: list(bulk.recomputed(b"".join(body), *rest))):
            yield piece

    async def _write(self, pieces: AsyncGenerator[bytes, None]) -> Gaps:
        """Part by part. Returns what some trades lack."""
        said = msgspec.msgpack.decode(await anext(pieces), type=bulk.Said)
        async for piece in pieces:
            part = msgspec.msgpack.decode(piece, type=bulk.PartBegins)
            rows = [(await anext(pieces)).decode() for _ in range(part.pieces)]
            await self._book.trades.replace_packed(part.groups, rows)
        return Gaps(tuple(said.uncharged), tuple(said.unsized))

    async def _earlier(self, groups: Collection[Group], since: Nanos | None) -> Nanos | None:
        """The start of the oldest day on which a group has a fill, when that is before `since`."""
        first = await self._book.fills.first_date(groups)
        starts = [start for start in (since, None if first is None else _start_of(first)) if start is not None]
        return min(starts, default=None)


def _start_of(day: str) -> Nanos:
    """The first moment of an ISO trade date in India."""
    return from_datetime(datetime.fromisoformat(day).replace(tzinfo=IST))
