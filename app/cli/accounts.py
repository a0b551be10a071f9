"""`accounts`: who is connected; `accounts disconnect ID`: the session ends, the trade book stays."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from app.cli.commands import COULD_NOT_START, FINE, SOME_FAILED, AccountCommand, AccountList, Disconnect
from app.cli.output import Output
from app.desk.account_verbs import AccountCommands
from app.desk.messages import AccountView
from app.domain.errors import AppError
from app.domain.ids import AccountId

NAME = "accounts"


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    common: argparse.ArgumentParser,
) -> None:
    """`accounts` and `accounts disconnect ID`."""
    accounts = commands.add_parser(
        NAME,
        parents=[common],
        allow_abbrev=False,
        help="list the accounts, or disconnect one",
        description="Lists the accounts with their ids and states. `disconnect ID` ends the session at the broker and "
        "wipes its tokens; trades and settings stay. Refused while stops are armed on the account, unless they are "
        "handed over to the broker.",
    )
    accounts.add_argument("--json", action="store_true", help="print one JSON object")
    what = accounts.add_subparsers(dest="what", metavar="disconnect")
    disconnect = what.add_parser("disconnect", parents=[common], allow_abbrev=False, help="end a session")
    disconnect.add_argument("account", metavar="ID", help="as `accounts` lists it")
    disconnect.add_argument(
        "--hand-over",
        action="store_true",
        help="first place an order or trigger at the broker for each armed stop, then disarm it",
    )
    disconnect.add_argument("--json", action="store_true", help="print one JSON object")


def parsed(asked: argparse.Namespace, profile: Path) -> AccountCommand:
    """The command asked for."""
    if asked.what == "disconnect":
        return Disconnect(profile, AccountId(asked.account), asked.json, asked.hand_over)
    return AccountList(profile, asked.json)


async def run_accounts(desk: AccountCommands, command: AccountCommand, out: Output) -> int:
    """Exit code 0 done, 1 the account could not be disconnected, 2 could not start."""
    if isinstance(command, Disconnect):
        try:
            done = await desk.disconnect(command.account, hand_over=command.hand_over)
        except AppError as error:
            out.failed(error)
            return SOME_FAILED
        lines = [f"{done.account.id}: disconnected; its trades stay"]
        lines += [f"The broker keeps: {words}" for words in done.resting]
        out.result({"ok": True, **msgspec.to_builtins(done)}, "\n".join(lines))
        return FINE
    try:
        views = await desk.accounts()
    except AppError as error:
        out.failed(error)
        return COULD_NOT_START
    lines = [_line(view) for view in views] or ["No account is connected."]
    out.result({"ok": True, "accounts": msgspec.to_builtins(list(views))}, "\n".join(lines))
    return FINE


def _line(view: AccountView) -> str:
    money = "PAPER" if view.paper else "LIVE"
    who = f"{view.client_name} ({view.user_id})" if view.user_id else "not logged in yet"
    return f"{view.id}  {view.broker}  {money}  {view.state}  {who}"
