"""`accounts`: who is connected, and how it stands; `accounts pause|resume|disconnect ID`."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.cli.commands import COULD_NOT_START, FINE, SOME_FAILED, AccountCommand, AccountList, Disconnect, Pause
from app.cli.output import NOTHING_DONE, Output
from app.desk.messages import AccountView
from app.domain.errors import AppError
from app.domain.ids import AccountId, Nanos
from app.runtime.clock import to_datetime

if TYPE_CHECKING:
    from app.desk.account_verbs import AccountCommands

NAME = "accounts"


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    common: argparse.ArgumentParser,
) -> None:
    """`accounts`, and what is done with one of them."""
    accounts = commands.add_parser(
        NAME,
        parents=[common],
        allow_abbrev=False,
        help="list the accounts; pause, resume or disconnect one",
        description="Lists the accounts with their ids, states and totals. `pause ID` ends its sync by itself and its "
        "new orders, stops and exits go on; `resume ID` ends that. `disconnect ID` ends the session at the broker and "
        "wipes its tokens; trades and settings stay. Refused while stops are armed on the account, unless they are "
        "handed over to the broker.",
    )
    accounts.add_argument("--json", action="store_true", help="print one JSON object")
    what = accounts.add_subparsers(dest="what", metavar="pause|resume|disconnect")
    for verb, told in (
        ("pause", "no sync by itself, no new order"),
        ("resume", "end a pause"),
        ("disconnect", "end a session"),
    ):
        one = what.add_parser(verb, parents=[common], allow_abbrev=False, help=told)
        one.add_argument("account", metavar="ID", help="as `accounts` lists it")
        one.add_argument("--json", action="store_true", help="print one JSON object")
        if verb == "disconnect":
            one.add_argument(
                "--hand-over",
                action="store_true",
                help="first place an order or trigger at the broker for each armed stop, then disarm it",
            )


def parsed(asked: argparse.Namespace, profile: Path) -> AccountCommand:
    """The command asked for."""
    if asked.what == "disconnect":
        return Disconnect(profile, AccountId(asked.account), asked.json, asked.hand_over)
    if asked.what is not None:
        return Pause(profile, AccountId(asked.account), asked.json, paused=asked.what == "pause")
    return AccountList(profile, asked.json)


async def run_accounts(desk: AccountCommands, command: AccountCommand, out: Output) -> int:
    """Exit code 0 done, 1 it failed on the way, 2 it was refused or could not start: nothing was done."""
    if isinstance(command, AccountList):
        return await _list(desk, out)
    try:
        if isinstance(command, Pause):
            view = await desk.pause(command.account, paused=command.paused)
            out.result({"ok": True, "account": msgspec.to_builtins(view)}, f"{view.id}: {view.state}")
            return FINE
        done = await desk.disconnect(command.account, hand_over=command.hand_over)
    except AppError as error:
        out.failed(error)
        return COULD_NOT_START if isinstance(error, NOTHING_DONE) else SOME_FAILED
    lines = [f"{done.account.id}: disconnected; its trades stay"]
    lines += [f"The broker keeps: {words}" for words in done.resting]
    out.result({"ok": True, **msgspec.to_builtins(done)}, "\n".join(lines))
    return FINE


async def _list(desk: AccountCommands, out: Output) -> int:
    try:
        views = await desk.accounts()
    except AppError as error:
        out.failed(error)
        return COULD_NOT_START
    lines = [line for view in views for line in _lines(view)] or ["No account is connected."]
    synced, failed = sum(view.fills_synced for view in views), sum(view.syncs_failed for view in views)
    if len(views) > 1:
        lines.append(f"All {len(views)} accounts: {_counts(synced, failed)}")
    accounts = msgspec.to_builtins(list(views))
    totals = {"accounts": len(views), "fills_synced": synced, "syncs_failed": failed}
    out.result({"ok": True, "accounts": accounts, "totals": totals}, "\n".join(lines))
    return FINE


def _lines(view: AccountView) -> list[str]:
    money = "PAPER" if view.paper else "LIVE"
    who = f"{view.client_name} ({view.user_id})" if view.user_id else "not logged in yet"
    lines = [f"{view.id}  {view.title}  {money}  {view.state}  {who}"]
    times = (
        ("session ends", view.token_expires_at),
        ("last sync", view.last_sync),
        ("next sync", view.next_sync if view.sync_on else None),
    )
    told = [f"{name} {_moment(at)}" for name, at in times if at is not None]
    told.append(_counts(view.fills_synced, view.syncs_failed))
    lines.append("  " + "; ".join(told))
    if view.last_error:
        lines.append(f"  {view.last_error}")
    return lines


def _moment(at: Nanos) -> str:
    moment: datetime = to_datetime(at)
    return f"{moment:%Y-%m-%d %H:%M}"


def _counts(synced: int, failed: int) -> str:
    fills, syncs = "fill" if synced == 1 else "fills", "sync" if failed == 1 else "syncs"
    return f"{synced:,} {fills} synced, {failed:,} {syncs} failed"
