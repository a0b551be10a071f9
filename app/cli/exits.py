"""`flights`: recorded exits, listed or written to a file. `portfolio-stop`: what a day may lose, win or give back."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from app.cli.commands import COULD_NOT_START, FINE, ExitCommand, Flights, PortfolioStop
from app.cli.output import Output
from app.desk.exit_commands import ExitCommands
from app.domain.day_stop import DayLimits, DayStop
from app.domain.errors import AppError, Denied
from app.domain.flight import Flight
from app.domain.ids import AccountId, StopId
from app.domain.money import Paise, in_rupees

NAMES = frozenset({"flights", "portfolio-stop"})
_LIMITS = ("loss", "profit", "drawdown")
_NONE = "none"


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    common: argparse.ArgumentParser,
) -> None:
    """Both."""
    flights = commands.add_parser(
        "flights",
        parents=[common],
        allow_abbrev=False,
        help="recorded exits, step by step",
        description="Lists the newest exits with what they took and cost; --export writes every step of them to a "
        "file, as JSON.",
    )
    flights.add_argument("--limit", type=_positive, default=20, metavar="N", help="how many are listed (default 20)")
    flights.add_argument("--export", metavar="FILE", help="write all of them, or those of --stop, to a new file")
    flights.add_argument("--stop", action="append", metavar="ID", help="with --export: of this stop; again for more")
    flights.add_argument("--json", action="store_true", help="print one JSON object")
    day = commands.add_parser(
        "portfolio-stop",
        parents=[common],
        allow_abbrev=False,
        help="close everything and halt at a day's loss, profit or drawdown",
        description="Shows the limits of each account and how the day stands; with amounts in rupees, or `none`, it "
        "sets them. Tighter ones hold at once, looser ones from tomorrow. What is not named stays.",
    )
    for name in _LIMITS:
        day.add_argument(f"--{name}", type=_amount, metavar="RUPEES", help=f"the day's {name}, or `none`")
    day.add_argument("--account", metavar="ID", help="whose; needed where several are connected")
    day.add_argument("--json", action="store_true", help="print one JSON object")


def parsed(asked: argparse.Namespace, profile: Path) -> ExitCommand:
    """The command asked for."""
    if asked.command == "flights":
        file = None if asked.export is None else Path(asked.export).absolute()
        return Flights(profile, asked.limit, file, tuple(StopId(stop) for stop in asked.stop or ()), asked.json)
    named = ((name, getattr(asked, name)) for name in _LIMITS)
    given = tuple((name, None if value == _NONE else value) for name, value in named if value is not None)
    account = None if asked.account is None else AccountId(asked.account)
    return PortfolioStop(profile, account, given, asked.json)


async def run_exits(desk: ExitCommands, command: ExitCommand, out: Output) -> int:
    """Exit code 0, or 2 where nothing was done."""
    try:
        if isinstance(command, Flights):
            await _flights(desk, command, out)
        else:
            await _portfolio_stop(desk, command, out)
    except AppError as error:
        out.failed(error)
        return COULD_NOT_START
    return FINE


async def _flights(desk: ExitCommands, command: Flights, out: Output) -> None:
    if command.file is not None:
        if command.file.exists():
            raise Denied(f"{command.file} exists already.", "Choose another name.")
        written = await desk.export(command.file, command.stops)
        out.result(
            {"ok": True, "file": str(command.file), "flights": written},
            f"{written} {'exit' if written == 1 else 'exits'} in {command.file}",
        )
        return
    found = await desk.flights(command.limit)
    told = [{**msgspec.to_builtins(one), "marks": len(one.marks), "sent": len(one.sent)} for one in found]
    out.result({"ok": True, "flights": told}, "\n".join(map(_line, found)) or "No exit is recorded.")


def _line(flight: Flight) -> str:
    took = "not over the exit line" if flight.engine_us is None else f"{flight.engine_us / 1000:.2f} ms"
    cost = "" if flight.slippage is None else f", slippage {_rupees(flight.slippage)}"
    cause = f", {flight.cause}" if flight.cause else ""
    price = in_rupees(flight.price, flight.price_scale)
    whose = "" if flight.looked is None else f"{flight.looked} "
    return f"{flight.stop}  {flight.side} {flight.instrument} by {flight.why} at {whose}{price}: {took}{cost}{cause}"


async def _portfolio_stop(desk: ExitCommands, command: PortfolioStop, out: Output) -> None:
    stops = list(await desk.day_stops())
    if command.limits:
        stop = _chosen(stops, command.account)
        limits = replace(stop.tomorrow or stop.limits, **dict(command.limits))
        stops = [await desk.set_limits(stop.account, limits)]
    elif command.account is not None:
        stops = [_chosen(stops, command.account)]
    out.result(
        {"ok": True, "portfolio_stops": [msgspec.to_builtins(stop) for stop in stops]},
        "\n".join(map(_told, stops)) or "No account is connected.",
    )


def _chosen(stops: Sequence[DayStop], account: AccountId | None) -> DayStop:
    found = [stop for stop in stops if account in (None, stop.account)]
    if len(found) != 1:
        names = ", ".join(stop.account for stop in stops) or "none is connected"
        raise Denied("It is not clear whose portfolio stop is meant.", f"Name the account with --account: {names}.")
    return found[0]


def _told(stop: DayStop) -> str:
    parts = [f"{stop.account}: the day stands at {'not known' if stop.net is None else _rupees(stop.net)}"]
    parts.append(f"today {_limits(stop.limits)}")
    if stop.tomorrow is not None:
        parts.append(f"from tomorrow {_limits(stop.tomorrow)}")
    if stop.halted is not None:
        until = "everything is closed" if stop.overdue else stop.until
        parts.append(f"HALTED by {stop.halted} until {until}")
    return "; ".join(parts)


def _limits(limits: DayLimits) -> str:
    named = ((name, getattr(limits, name)) for name in _LIMITS)
    return ", ".join(f"{name} {_rupees(value)}" for name, value in named if value is not None) or "no limit"


def _rupees(amount: Paise) -> str:
    return f"{Decimal(amount) / 100:,.2f}"


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("above zero")
    return number


def _amount(text: str) -> Paise | str:
    """Paise; `none` stays a word until it is parsed."""
    if text.lower() == "none":
        return _NONE
    try:
        amount = Decimal(text.replace(",", ""))
    except InvalidOperation:
        raise argparse.ArgumentTypeError("an amount in rupees, or none") from None
    paise = amount * 100
    if paise <= 0 or paise != int(paise):
        raise argparse.ArgumentTypeError("an amount above zero, in rupees and whole paise")
    return int(paise)
