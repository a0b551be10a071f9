"""`metrics`: figures by day, of each account, each broker's host and the program."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.cli.commands import COULD_NOT_START, FINE, Metrics, OutwardCommand
from app.cli.export import run_export
from app.cli.output import Output
from app.domain.errors import AppError
from app.domain.metrics import Metric, MetricHistory

if TYPE_CHECKING:
    from app.desk.api_data import MetricVerbs
    from app.desk.verbs import CommandDesk

NAME = "metrics"
_SHOWN = 7
"""Days that fit on a terminal; --json has all."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """The command for the parser."""
    metrics = commands.add_parser(
        NAME,
        parents=[common],
        allow_abbrev=False,
        help="orders, exits, gaps, syncs, errors and memory by day",
        description="Figures of the newest days at work, the newest on the right. They are kept for two years.",
    )
    metrics.add_argument("--days", type=_days, default=30, metavar="N", help="how many (default 30)")
    metrics.add_argument("--json", action="store_true", help="print one JSON object")


def parsed(asked: argparse.Namespace, profile: Path) -> Metrics:
    """The command asked for."""
    return Metrics(profile, asked.days, asked.json)


async def run_outward(desk: CommandDesk, command: OutwardCommand, out: Output) -> int:
    """What tells others of the book; exit codes as each says."""
    if isinstance(command, Metrics):
        return await run_metrics(desk.metrics, command, out)
    return await run_export(desk.exports, command, out)


async def run_metrics(desk: MetricVerbs, command: Metrics, out: Output) -> int:
    """Exit code 0, or 2 where they could not be read."""
    try:
        history = await desk.history(command.days)
    except AppError as error:
        out.failed(error)
        return COULD_NOT_START
    out.result({"ok": True, **msgspec.to_builtins(history)}, _table(history))
    return FINE


def _table(history: MetricHistory) -> str:
    """A block for each subject, a line for each figure that it has."""
    if not history.figures:
        return "There are no figures yet."
    days = history.days[-_SHOWN:]
    head = f"{'':34}" + "".join(f"{day[5:]:>12}" for day in days)
    lines = [head]
    for subject in sorted({one.subject for one in history.figures}):
        lines.append(subject or "Stopline")
        for metric in Metric:
            series = history.series(subject, metric)[-_SHOWN:]
            if any(value is not None for value in series):
                cells = "".join(f"{'–' if value is None else f'{value:,}':>12}" for value in series)
                lines.append(f"  {metric.caption:32}{cells}")
    return "\n".join(lines)


def _days(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 1 to 1000")
    return number
