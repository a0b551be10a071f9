"""`connect`: an account connected without a window."""

from __future__ import annotations

import asyncio
import webbrowser
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from app.cli.commands import COULD_NOT_START, FINE, SOME_FAILED, Connect
from app.cli.output import Output
from app.desk.messages import AccountView, LoginPage
from app.desk.verbs import CommandDesk
from app.domain.errors import AppError, Cancelled, Denied
from app.runtime import redaction
from app.runtime.secret import Secret


async def run_connect(desk: CommandDesk, command: Connect, out: Output, read_line: Callable[[], str]) -> int:
    """Exit code 0 connected, 1 the login failed (the account is kept for another try), 2 could not start.

    `read_line` gives the next line of the terminal, empty at its end.
    """
    try:
        secret = _secret_in(command.api_secret_file, "API secret")
        connect = await _way_in(desk, command, secret, out, read_line)
    except AppError as error:
        out.failed(error)
        return COULD_NOT_START
    try:
        account = await connect()
    except AppError as error:
        out.failed(error)
        return SOME_FAILED
    kind = "PAPER" if account.paper else "LIVE"
    out.result(
        {"ok": True, "account": msgspec.to_builtins(account)},
        f"{account.id}: connected as {account.client_name} ({account.user_id}), {kind}",
    )
    return FINE


async def _way_in(
    desk: CommandDesk, command: Connect, secret: Secret, out: Output, read_line: Callable[[], str]
) -> Callable[[], Awaitable[AccountView]]:
    """What connects the account: its access token, or the end of its login page."""
    if command.access_token_file is not None:
        token = _secret_in(command.access_token_file, "access token")
        return lambda: desk.connect_by_hand(command.broker, command.api_key, secret, token, command.endpoints)
    if command.browser:
        waited_for = await desk.begin_browser(command.broker, command.api_key, secret, command.endpoints)
        out.say(f"Log in with your browser; if it does not open by itself, open this page:\n\n  {waited_for.url}\n")
        await asyncio.to_thread(webbrowser.open, waited_for.url)
        return lambda: desk.finish_browser(waited_for.account)
    page = await desk.begin_connect(command.broker, command.api_key, secret, command.endpoints)

    async def by_page() -> AccountView:
        return await desk.complete_connect(page.account, _redirected(command, page, out, read_line))

    return by_page


def _secret_in(file: Path, what: str) -> Secret:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Denied(f"The {what} in {file} cannot be read.", detail=str(error)) from error
    if not text or len(text.split()) != 1:
        raise Denied(f"{file} does not hold one {what}.", f"Put the {what} alone into the file.")
    return Secret(text)


def _redirected(command: Connect, page: LoginPage, out: Output, read_line: Callable[[], str]) -> Secret:
    """The address that the login page ends on: put together from a request token, or typed by the user."""
    if command.request_token is not None:
        redaction.redact(Secret(command.request_token))
        return Secret(redirect_address(page, command.request_token))
    out.say(f"Open this page and log in:\n\n  {page.url}\n\nThen paste the whole address that the browser ends on:")
    address = read_line().strip()
    if not address:
        raise Cancelled("No address was given.")
    return Secret(address)


def redirect_address(page: LoginPage, request_token: str) -> str:
    """What the login page would redirect to: the registered address, the token, and the `state` that the page's own
    address carries: by itself (OAuth), or inside Kite's `redirect_params` (reference A2.2).
    """
    login, target = urlsplit(page.url), urlsplit(page.redirect_url)
    asked = parse_qs(login.query)
    carried = parse_qsl(asked.get("redirect_params", [""])[0]) or [("state", state) for state in asked.get("state", ())]
    query = [*parse_qsl(target.query), ("status", "success"), (page.parameter, request_token), *carried]
    return urlunsplit(target._replace(query=urlencode(query)))
