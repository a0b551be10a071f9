"""`instruments`: the brokers' lists, refreshed and counted."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from app.cli.commands import COULD_NOT_START, FINE, SOME_FAILED, InstrumentCommand, InstrumentStats, InstrumentSync
from app.cli.output import Output
from app.domain.errors import AppError
from app.domain.listing import ImportReport, InstrumentList, ListStats

if TYPE_CHECKING:
    from app.desk.instrument_verbs import InstrumentCommands

NAME = "instruments"


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    common: argparse.ArgumentParser,
) -> None:
    """`instruments sync` and `instruments stats`."""
    instruments = commands.add_parser(
        NAME,
        parents=[common],
        allow_abbrev=False,
        help="refresh the brokers' instrument lists, or count them",
        description="Refreshes the lists of the connected brokers (without accounts: of all), or counts them.",
    )
    what = instruments.add_subparsers(dest="what", metavar="sync|stats", required=True)
    sync = what.add_parser(
        "sync",
        parents=[common],
        allow_abbrev=False,
        help="import the lists",
        description="From the broker with the session's token, else from its public file, else, where nothing is "
        "stored yet, from the sample that ships with the program.",
    )
    sync.add_argument(
        "--source", metavar="FILE", help="a file (whose list it is is told by its content), a web address, or `sample`"
    )
    sync.add_argument("--broker", metavar="NAME", help="only this broker's list")
    sync.add_argument(
        "--confirm", action="store_true", help="a list that lost a whole segment is right: deactivate what it lost"
    )
    stats = what.add_parser("stats", parents=[common], allow_abbrev=False, help="count what is stored")
    for one in (sync, stats):
        one.add_argument("--json", action="store_true", help="print one JSON object")


def parsed(asked: argparse.Namespace, profile: Path) -> InstrumentCommand:
    """The command asked for."""
    if asked.what == "stats":
        return InstrumentStats(profile, asked.json)
    return InstrumentSync(profile, asked.broker, _place(asked.source), asked.confirm, asked.json)


def _place(source: str | None) -> str | None:
    """A file by its whole path: the workstation that reads it may run in another folder."""
    if source is None or "://" in source or source in ("api", "public file", "sample"):
        return source
    return str(Path(source).expanduser().absolute())


async def run_instruments(desk: InstrumentCommands, command: InstrumentCommand, out: Output) -> int:
    """Exit code 0 all fine, 1 an import failed or a check did not pass, 2 could not start."""
    if isinstance(command, InstrumentStats):
        return await run_instrument_stats(desk, out)
    return await run_instrument_sync(desk, command, out)


async def run_instrument_sync(desk: InstrumentCommands, command: InstrumentSync, out: Output) -> int:
    """Exit code 0 all fine, 1 an import failed or a check did not pass, 2 could not start."""
    told: list[tuple[str, str]] = []

    def progress(name: str, step: str, lines: int) -> None:
        if (name, step) not in told or lines:
            told.append((name, step))
            out.say(f"{name}: {step}" + (f", {lines:,} lines" if lines else ""))

    try:
        reports = await desk.import_instruments(
            command.list_name, command.source, progress, confirmed=command.confirmed
        )
    except AppError as error:
        out.failed(error)
        return COULD_NOT_START
    fine = all(report.fine for report in reports)
    out.result(
        {"ok": fine, "imports": [_as_object(report) for report in reports]},
        "\n".join(line for report in reports for line in _as_lines(report)),
    )
    return FINE if fine else SOME_FAILED


async def run_instrument_stats(desk: InstrumentCommands, out: Output) -> int:
    """Exit code 0, or 2 when the profile could not be read."""
    try:
        lists = await desk.instrument_lists()
    except AppError as error:
        out.failed(error)
        return COULD_NOT_START
    out.result(
        {"ok": True, "lists": [_list_object(one) for one in lists]},
        "\n".join(line for one in lists for line in _list_lines(one)) or "No list was imported yet.",
    )
    return FINE


def _as_object(report: ImportReport) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(report)
    told["ok"] = report.fine
    told["seconds"] = round((report.ended_at - report.started_at) / 1e9, 3)
    told["alerts"] = list(report.alerts)
    return told


def _list_object(one: InstrumentList) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(one)
    if one.last is not None:
        told["last"] = _as_object(one.last)
    return told


def _as_lines(report: ImportReport) -> list[str]:
    seconds = (report.ended_at - report.started_at) / 1e9
    lines = [f"{report.broker}: passed over {why}" for why in report.passed_over]
    if report.counts is None:
        return [*lines, f"{report.broker}: failed: {report.error}"]
    counts = report.counts
    lines.append(
        f"{report.broker}: {counts.read:,} instruments from {report.source} ({report.origin}) in {seconds:.1f} s: "
        f"{counts.created:,} created, {counts.updated:,} updated, {counts.revived:,} revived, "
        f"{counts.deactivated:,} deactivated, {counts.renamed:,} renamed, {counts.reused:,} tokens reused"
    )
    lines.append(
        f"  {report.lines:,} lines, {report.malformed:,} malformed, {report.not_carried:,} of other markets; "
        f"active before {report.before.active:,}, after {report.after.active:,}; "
        f"inactive before {report.before.inactive:,}, after {report.after.inactive:,}"
    )
    lines += _breakdown(report.after, report.before)
    lines += [f"  {'ok  ' if check.passed else 'LOOK'} {check.name}: {check.finding}" for check in report.checks]
    if report.awaits:
        lines.append("  Nothing was deactivated. `instruments sync --confirm` takes the list whole.")
    return lines


def _list_lines(one: InstrumentList) -> list[str]:
    lines = [f"{one.name}: {one.stats.active:,} active, {one.stats.inactive:,} inactive", *_breakdown(one.stats, None)]
    last = one.last
    if last is not None:
        state = "failed: " + last.error if last.counts is None else "fine" if last.fine else " ".join(last.alerts)
        lines.append(f"  last import from {last.source} ({last.origin}), {last.trigger}: {state}")
    return lines


def _breakdown(stats: ListStats, before: ListStats | None) -> list[str]:
    was = {(s.exchange, s.segment): s.active for s in before.segments} if before is not None else {}
    lines = []
    for s in stats.segments:
        change = f" ({s.active - was.get((s.exchange, s.segment), 0):+,})" if before is not None else ""
        lines.append(f"  {s.exchange} {s.segment}: {s.active:,} active{change}, {s.inactive:,} inactive")
    if stats.kinds:
        lines.append("  " + ", ".join(f"{kind.active:,} {_plural(kind.kind, kind.active)}" for kind in stats.kinds))
    return lines


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 else "indices" if kind == "index" else f"{kind}s"
