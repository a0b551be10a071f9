"""`sync`: the same verb as the window's button."""

from __future__ import annotations

from typing import Any

import msgspec

from app.cli.commands import COULD_NOT_START, FINE, SOME_FAILED, Sync
from app.cli.output import Output
from app.desk.messages import SyncRun, SyncSummary
from app.desk.verbs import CommandDesk
from app.domain.errors import AppError
from app.domain.events import SyncProgressed


async def run_sync(desk: CommandDesk, command: Sync, out: Output) -> int:
    """Exit code 0 all fine, 1 some account failed or its outcome could not be written down, 2 could not start."""
    began = False

    def progress(event: SyncProgressed) -> None:
        nonlocal began
        began = True
        out.say(f"{event.account}: {event.step}")

    try:
        if command.file is not None and command.account is not None:
            summary = await desk.import_file(command.account, str(command.file.resolve()))
        else:
            summary = await desk.sync(command.account, progress, command.since, command.until)
    except AppError as error:
        out.failed(error)
        return SOME_FAILED if began else COULD_NOT_START
    out.result(_as_object(summary), "\n".join(_as_line(run) for run in summary.accounts))
    return SOME_FAILED if summary.failed else FINE


def _as_object(summary: SyncSummary) -> dict[str, Any]:
    return {"ok": not summary.failed, **msgspec.to_builtins(summary)}


def _as_line(run: SyncRun) -> str:
    counts = f"{run.fetched} fetched, {run.created} created, {run.updated} updated, {run.skipped} skipped"
    conflicts = f", {run.conflicting} conflicting" if run.conflicting else ""
    took = f", {(run.ended_at - run.started_at) / 1e9:.1f} s" if run.ended_at is not None else ""
    return f"{run.account}: {run.step}: {counts}{conflicts}{took}" + (f": {run.error}" if run.error else "")
