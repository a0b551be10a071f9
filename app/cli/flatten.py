"""`flatten`: what there is to cancel and exit; with --yes it is done, and the broker's books say what is left."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.cli.commands import COULD_NOT_START, FINE, SOME_FAILED, Flatten
from app.cli.output import Output
from app.desk.flatten_messages import FlattenChoice, FlattenPlan, FlattenReport
from app.domain.errors import AppError
from app.domain.ids import AccountId

if TYPE_CHECKING:
    from app.desk.flatten_verbs import FlattenCommands

NAME = "flatten"


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    common: argparse.ArgumentParser,
) -> None:
    """`flatten [--yes]`."""
    flatten = commands.add_parser(
        NAME,
        parents=[common],
        allow_abbrev=False,
        help="cancel all orders and exit all positions",
        description="Lists what would be cancelled and exited. With --yes it is done, and ends with `verified flat` or "
        "what is not. Holdings, triggers and orders from elsewhere are left alone unless asked for.",
    )
    flatten.add_argument("--account", action="append", metavar="ID", help="only this account; may be given again")
    flatten.add_argument("--elsewhere", action="store_true", help="also cancel orders that were placed elsewhere")
    flatten.add_argument("--holdings", action="store_true", help="also sell what is in the demat account")
    flatten.add_argument("--gtts", action="store_true", help="also delete triggers that wait at the broker")
    flatten.add_argument("--yes", action="store_true", help="do it")
    flatten.add_argument("--json", action="store_true", help="print one JSON object")


def parsed(asked: argparse.Namespace, profile: Path) -> Flatten:
    """The command asked for."""
    accounts = tuple(AccountId(account) for account in asked.account or ())
    return Flatten(profile, accounts, asked.elsewhere, asked.holdings, asked.gtts, asked.yes, asked.json)


async def run_flatten(desk: FlattenCommands, command: Flatten, out: Output) -> int:
    """Exit code 0 verified flat, or the whole listed; 1 something is not flat or could not be read; 2 could not
    start."""
    choice = FlattenChoice(command.accounts, elsewhere=command.elsewhere, holdings=command.holdings, gtts=command.gtts)
    try:
        if not command.yes:
            plan = await desk.plan(choice)
            fine = not (plan.unread or plan.out_of_reach)
            out.result({"ok": fine, "done": False, **msgspec.to_builtins(plan)}, _plan_words(plan, choice))
            return FINE if fine else SOME_FAILED
        report = await desk.run(choice)
    except AppError as error:
        out.failed(error)
        return COULD_NOT_START
    told = {"ok": report.verified, "done": True, "verified_flat": report.verified, **msgspec.to_builtins(report)}
    out.result(told, _report_words(report))
    return FINE if report.verified else SOME_FAILED


def _plan_words(plan: FlattenPlan, choice: FlattenChoice) -> str:
    lines = [f"cancel: {o.account} {o.side} {o.quantity - o.filled_quantity} {o.instrument}" for o in plan.orders]
    lines += [f"exit: {p.key.account} {p.quantity} {p.key.instrument} ({p.key.product})" for p in plan.positions]
    verb = "cancel" if choice.elsewhere else "left alone"
    lines += [
        f"{verb}: {o.account} {o.side} {o.quantity - o.filled_quantity} {o.instrument}, from elsewhere"
        for o in plan.elsewhere
    ]
    if plan.holdings:
        lines.append(f"{'sell' if choice.holdings else 'left alone'}: {_counted(plan.holdings, 'holding')}")
    if plan.gtts:
        lines.append(f"{'delete' if choice.gtts else 'left alone'}: {_counted(plan.gtts, 'trigger')} (GTT)")
    if plan.behind:
        lines.append(f"delete: {_counted(plan.behind, 'trigger')} (GTT) behind stops on these positions")
    if plan.kept:
        verb = "delete" if choice.holdings else "left alone"
        lines.append(f"{verb}: {_counted(plan.kept, 'trigger')} (GTT) behind stops on shares that are held")
    if plan.strategies:
        lines.append(f"pause: {plan.strategies} running strategies")
    lines += [f"could not be read: {words}" for words in plan.unread]
    lines += [f"out of reach: {words}" for words in plan.out_of_reach]
    return "\n".join([*lines, "Nothing was sent. Add --yes to do it."])


def _report_words(report: FlattenReport) -> str:
    done = f"{report.cancelled} orders cancelled, {report.exited} positions exited, {report.sold} holdings sold"
    lines = [f"{done}, {report.deleted} triggers deleted, {report.paused} strategies paused"]
    lines += [f"left alone: {words}" for words in report.left_alone]
    lines += [f"NOT FLAT: {words}" for words in report.not_flat]
    if report.verified:
        lines.append(f"verified flat in {report.took_ms / 1000:.1f} s")
    return "\n".join(lines)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
