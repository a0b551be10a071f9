"""Rows for other programs: the stores rest for a moment, a helper process reads and writes (K2). Loop thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Protocol, TypeVar

from app.brokers.rows import PRICE_SCALE
from app.desk.workspace import Workspace
from app.domain.errors import Denied
from app.domain.exports import ExportChoice, ExportMade
from app.domain.listing import list_name
from app.runtime.helper import Helper
from app.storage.export import ExportPlan, write_rows
from app.storage.export_tables import TABLES
from app.storage.sealed import nothing_else
from app.storage.snapshot import Source

T = TypeVar("T")


class Alone(Protocol):
    """Runs one piece of work on whole files at a time; raises Denied while another runs."""

    def __call__(self, work: Coroutine[None, None, T], /) -> Coroutine[None, None, T]:
        """The work's result."""
        ...


class ExportDesk:
    """Implements `desk.api.ExportVerbs`."""

    def __init__(self, workspace: Workspace, helper: Helper, alone: Alone) -> None:
        self._workspace = workspace
        self._helper = helper
        self._alone = alone

    async def export(self, choice: ExportChoice) -> ExportMade:
        """Raises Denied for what makes no sense or is there already, DiskFull, StorageError, Damaged; then there is no
        file."""
        self._check(choice)
        if await asyncio.to_thread(Path(choice.file).exists):
            raise Denied(f"{choice.file} exists already.", "Choose another name.")
        return await self._alone(self._write(choice))

    def _check(self, choice: ExportChoice) -> None:
        if not Path(choice.file).is_absolute():
            raise Denied("The file must be a whole path.", "Choose a folder.")
        if choice.account is not None:
            self._workspace.record(choice.account)
        if (choice.since or choice.until) and not choice.kind.has_days:
            raise Denied(
                f"{choice.kind.value.capitalize()} are as they were last read; there are none of other days.",
                "Leave the dates out.",
            )
        if choice.since and choice.until and choice.since > choice.until:
            raise Denied("The first date is after the last one.", "Swap them.")

    async def _write(self, choice: ExportChoice) -> ExportMade:
        workspace, table = self._workspace, TABLES[choice.kind]
        store = workspace.book.store if table.store == "book" else workspace.journal.store
        keys = workspace.vault.keys()
        target = Path(choice.file)
        try:
            plan = ExportPlan(
                Source(store.path, keys.database_key(table.store).reveal()),
                choice.kind,
                target,
                choice.form,
                choice.account,
                None if choice.since is None else choice.since.isoformat(),
                None if choice.until is None else choice.until.isoformat(),
                {one.id: list_name(one.broker, paper=one.endpoints.paper) for one in workspace.records.values()},
                {exchange.value: scale for exchange, scale in PRICE_SCALE.items()},
            )
            async with store.frozen(nothing_else):
                rows = await self._helper.call(write_rows, plan)
        finally:
            keys.wipe()
        return ExportMade(choice.file, rows, await asyncio.to_thread(lambda: target.stat().st_size))
