"""Reads the command line. What a command does is in the module of its name; who builds the desk is bootstrap."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from app import __version__
from app.cli import accounts, data, exits, export, flatten, guard, instruments, metrics, quotes
from app.cli.commands import Command, Connect, Simulate, Sync, Workstation
from app.domain.account import Endpoints
from app.domain.ids import AccountId
from app.runtime.paths import default_profile

_PROGRAM = "main.py"

_DESCRIPTION = """\
Stopline, a trading workstation that guards open positions with local stops.

Without a command the window opens. Everything lives in one encrypted folder, the
profile. While the workstation runs, commands talk to it; else they open the profile.
"""

_EPILOG = """\
examples:
  main.py --paper                      the window, with the paper exchange to try things on
  main.py guard                        watch on without a window when the workstation dies
  main.py simulate --port 0            the paper exchange alone; `simulate --help` tells more
  main.py connect zerodha --api-key K --api-secret-file FILE
  main.py connect upstox --api-key K --api-secret-file FILE --redirect-url URL
  main.py sync --json                  bring today's trades home, result as JSON
  main.py backup                       an encrypted, verified copy; `restore FILE` brings it back
  main.py tidy                         drop old ticks, notices and sync runs; --notifications-days N
  main.py export trades FILE           rows as CSV or JSON; --from DATE --to DATE --account ID
  main.py doctor                       is everything well?
  main.py metrics                      orders, exits, gaps, syncs, errors and memory by day
  main.py accounts                     who is connected; `accounts pause|resume|disconnect ID`
  main.py quotes                       who is asked for prices that no feed brings; `quotes order NAME…`
  main.py flatten --yes                cancel all orders, exit all positions; without --yes only listed
  main.py portfolio-stop --loss 20000  close everything and halt at a day's loss; without limits only shown
  main.py flights --export FILE        recorded exits, step by step, as JSON
  main.py instruments sync             refresh the instrument lists; --source FILE takes over a file

The passphrase is read from STOPLINE_PASSPHRASE, or asked for on the terminal.
Exit codes: 0 all fine, 1 something failed, 2 could not start.
"""


_PARSED: dict[str, Callable[[argparse.Namespace, Path], Command]] = {
    guard.NAME: guard.parsed,
    instruments.NAME: instruments.parsed,
    accounts.NAME: accounts.parsed,
    quotes.NAME: quotes.parsed,
    flatten.NAME: flatten.parsed,
    export.NAME: export.parsed,
    metrics.NAME: metrics.parsed,
    **dict.fromkeys(exits.NAMES, exits.parsed),
}
"""Commands that have a module of their own."""


def parse(arguments: Sequence[str]) -> Command:
    """The command asked for. Exits with code 2 and a usage line when it makes no sense, 0 after --help."""
    if arguments[:1] == ["simulate"]:
        return Simulate(tuple(arguments[1:]))
    parser = _parser()
    asked = parser.parse_args(arguments)
    profile = Path(asked.profile).expanduser() if "profile" in asked else default_profile()
    if asked.command == "connect":
        return Connect(
            profile=profile,
            broker=asked.broker,
            api_key=asked.api_key,
            api_secret_file=Path(asked.api_secret_file),
            request_token=asked.request_token,
            access_token_file=None if asked.access_token_file is None else Path(asked.access_token_file),
            browser=asked.browser,
            endpoints=_endpoints(parser, asked),
            as_json=asked.json,
        )
    if asked.command == "sync":
        if asked.until is not None and asked.since is None:
            parser.error("--to needs --from")
        if asked.account == "" or asked.file == "":  # a script's variable that is not set is no wish for all accounts
            parser.error("--account and --file need a value")
        account = AccountId(asked.account) if asked.account is not None else None
        if asked.file is not None and (account is None or asked.since is not None):
            parser.error("--file needs --account, and takes all dates of the file")
        file = Path(asked.file) if asked.file is not None else None
        return Sync(profile, account, asked.json, asked.since, asked.until, file)
    if asked.command in data.NAMES:
        return data.parsed(asked, profile)
    parsed = _PARSED.get(asked.command)
    return Workstation(profile, paper=asked.paper) if parsed is None else parsed(asked, profile)


def _parser() -> argparse.ArgumentParser:
    # The profile may be named before or after the command; what is not given must not overwrite what is.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--profile", metavar="DIR", help="the profile's folder (default: the platform's data folder)")
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[common],
    )
    parser.add_argument("--paper", action="store_true", help="start the paper exchange and connect to it")
    parser.add_argument("--version", action="version", version=f"Stopline {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    commands.add_parser("simulate", help="the paper exchange alone", add_help=False)
    _add_connect(commands, common)
    _add_sync(commands, common)
    data.add_commands(commands, common)
    instruments.add_commands(commands, common)
    accounts.add_commands(commands, common)
    quotes.add_commands(commands, common)
    guard.add_command(commands, common)
    flatten.add_command(commands, common)
    export.add_command(commands, common)
    metrics.add_command(commands, common)
    exits.add_commands(commands, common)
    return parser


def _add_connect(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    common: argparse.ArgumentParser,
) -> None:
    connect = commands.add_parser(
        "connect",
        parents=[common],
        allow_abbrev=False,
        help="connect an account without a window",
        description="Connects an account. Without --request-token the login page's address is printed, and the "
        "address that it ends on is read from the terminal.",
    )
    connect.add_argument("broker", metavar="BROKER", help="zerodha, upstox, or what an installed provider is called")
    connect.add_argument("--api-key", required=True, metavar="K", help="from the broker's developer page")
    connect.add_argument(
        "--api-secret-file", required=True, metavar="F", help="file holding the API secret (never given as an argument)"
    )
    token = connect.add_mutually_exclusive_group()
    token.add_argument("--request-token", metavar="T", help="the one-time token of a login just made")
    token.add_argument("--access-token-file", metavar="F", help="file holding an access token: no login page then")
    token.add_argument(
        "--browser", action="store_true", help="log in with the system's browser; the redirect URL is on 127.0.0.1"
    )
    where = connect.add_argument_group("another address than the broker's (stored with the account)")
    where.add_argument("--api-url", metavar="URL")
    where.add_argument("--login-url", metavar="URL")
    where.add_argument("--ws-url", metavar="URL")
    where.add_argument("--redirect-url", metavar="URL", default="", help="as registered with the broker")
    where.add_argument("--ca-file", metavar="F", default="", help="PEM of a private authority, for TLS")
    connect.add_argument("--json", action="store_true", help="print one JSON object")


def _add_sync(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    common: argparse.ArgumentParser,
) -> None:
    sync = commands.add_parser(
        "sync",
        parents=[common],
        allow_abbrev=False,
        help="bring the broker's trades, positions and holdings home",
        description="Syncs every connected account, or one: what the broker lists today, or the trades of some dates.",
    )
    sync.add_argument("--account", metavar="ID", help="only this account")
    sync.add_argument(
        "--from", dest="since", type=export.day, metavar="DATE", help="trades from this date on (2026-11-02)"
    )
    sync.add_argument(
        "--to", dest="until", type=export.day, metavar="DATE", help="up to and with this date (default: today)"
    )
    sync.add_argument("--file", metavar="F", help="take the broker's tradebook file instead (Zerodha: Console, CSV)")
    sync.add_argument("--json", action="store_true", help="print one JSON object")


def _endpoints(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> Endpoints | None:
    given = [asked.api_url, asked.login_url, asked.ws_url]
    if not any([*given, asked.redirect_url, asked.ca_file]):
        return None
    if any(given) and not all(given):
        parser.error("--api-url, --login-url and --ws-url go together")
    # A redirect URL alone stands beside the broker's own addresses.
    api_url, login_url, ws_url = (address or "" for address in given)
    return Endpoints(api_url, login_url, ws_url, asked.redirect_url, asked.ca_file)
