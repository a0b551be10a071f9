"""`export`: rows of the book and the journal for other programs, as CSV or JSON."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.cli.commands import COULD_NOT_START, FINE, SOME_FAILED, Export
from app.cli.output import NOTHING_DONE, Output
from app.domain.errors import AppError
from app.domain.exports import ExportChoice, ExportFormat, ExportKind
from app.domain.ids import AccountId

if TYPE_CHECKING:
    from app.desk.api_data import ExportVerbs

NAME = "export"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """The command for the parser."""
    export = commands.add_parser(
        NAME,
        parents=[common],
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="trades, fills, orders and the rest as CSV or JSON",
        description="Writes a new file, readable by you alone. Amounts and prices are exact, in rupees; times are\n"
        "Indian. In CSV a text that a spreadsheet would run as a formula gets an apostrophe in front;\n"
        "spreadsheets cut long order ids to 15 digits unless the column is read as text: JSON keeps them.\n\n"
        + "\n".join(f"  {kind.value:10} {kind.words}" for kind in ExportKind),
    )
    export.add_argument("what", choices=[kind.value for kind in ExportKind], metavar="WHAT", help="one of the above")
    export.add_argument("file", metavar="FILE", help="a new file")
    export.add_argument("--from", dest="since", type=day, metavar="DATE", help="from this date on (2026-11-02)")
    export.add_argument("--to", dest="until", type=day, metavar="DATE", help="up to and with this date")
    export.add_argument("--account", metavar="ID", help="only of this account")
    export.add_argument(
        "--format",
        dest="form",
        choices=[form.value for form in ExportFormat],
        help="default: JSON for a FILE that ends in .json, else CSV",
    )
    export.add_argument("--json", action="store_true", help="print one JSON object about the export")


def parsed(asked: argparse.Namespace, profile: Path) -> Export:
    """The command asked for."""
    file = Path(asked.file).expanduser().absolute()
    form = asked.form or (ExportFormat.JSON if file.suffix.lower() == ".json" else ExportFormat.CSV)
    account = None if asked.account is None else AccountId(asked.account)
    choice = ExportChoice(ExportKind(asked.what), str(file), ExportFormat(form), account, asked.since, asked.until)
    return Export(profile, choice, asked.json)


async def run_export(desk: ExportVerbs, command: Export, out: Output) -> int:
    """Exit code 0 written, 1 it failed, 2 nothing was begun."""
    try:
        made = await desk.export(command.choice)
    except NOTHING_DONE as error:
        out.failed(error)
        return COULD_NOT_START
    except AppError as error:
        out.failed(error)
        return SOME_FAILED
    what = command.choice.kind.value
    out.result(
        {"ok": True, "what": what, "format": command.choice.form.value, **msgspec.to_builtins(made)},
        f"{made.rows} {what} in {made.file}",
    )
    return FINE


def day(text: str) -> date:
    """A date typed as 2026-11-02."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date like 2026-11-02") from None
