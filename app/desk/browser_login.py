"""Logins through the trader's own browser, with its password manager: a listener on this machine catches the redirect.

The redirect URL is the one registered with the broker; its port is fixed by that, and the listener takes no other.
Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.desk.browser_page import page_of
from app.desk.messages import AccountView, LoginPage
from app.desk.session import SessionDesk
from app.domain.account import LOOPBACK
from app.domain.errors import AppError, Cancelled, Denied, LoginFailed
from app.domain.ids import AccountId

log = logging.getLogger(__name__)

LOGIN_SECONDS = 600.0
"""As long as the attempt's state lives."""
REQUEST_SECONDS = 5.0
LONGEST_HEAD = 16 * 1024
"""Bytes of a request's head; a redirect with two tokens is far below it."""


@dataclass(eq=False)
class _Waiting:
    """One listener and what it waits for."""

    server: asyncio.Server
    redirect: str
    outcome: asyncio.Future[AccountView]
    asking: int = 0
    """Redirects that the broker is being asked about: the one that counts, while a second of the same is refused."""


class BrowserLogins:
    """Implements `desk.api.BrowserLoginVerbs`."""

    def __init__(self, session: SessionDesk) -> None:
        self._session = session
        self._waiting: dict[AccountId, _Waiting] = {}

    async def begin(self, account: AccountId, redirect_url: str = "") -> LoginPage:
        """Listens, and gives the page to open. A redirect URL that is given is kept once a login has come back to it.

        Raises Denied in words: not on this machine, encrypted, without a port, port taken.
        """
        redirect = redirect_url.strip() or self._session.redirect_of(account)
        port = listening_port(redirect)
        await self.cancel(account)
        self._session.offer_redirect(account, redirect)
        page = await self._session.begin_login(account)
        try:
            server = await asyncio.start_server(
                lambda reader, writer: self._serve(account, reader, writer), "127.0.0.1", port, limit=LONGEST_HEAD
            )
        except OSError as failure:
            await self._session.cancel_login(account)
            raise Denied(
                f"Port {port} of this computer is taken by another program.",
                "Close that program, or register a redirect URL with another port at the broker.",
            ) from failure
        outcome: asyncio.Future[AccountView] = asyncio.get_running_loop().create_future()
        self._waiting[account] = _Waiting(server, redirect, outcome)
        return page

    async def finish(self, account: AccountId) -> AccountView:
        """Waits for the browser to come back. Raises LoginFailed, or Cancelled when the trader gave up."""
        waiting = self._waiting.get(account)
        if waiting is None:
            raise LoginFailed("No login of this account is open in a browser.", "Start the login again.")
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                return await asyncio.shield(waiting.outcome)
        except TimeoutError:
            raise LoginFailed("The browser did not come back within ten minutes.", "Start the login again.") from None
        finally:
            if self._waiting.get(account) is waiting:
                await self.cancel(account)

    async def cancel(self, account: AccountId) -> None:
        """Listens no more; a redirect that still comes finds nobody."""
        waiting = self._waiting.pop(account, None)
        if waiting is None:
            return
        await self._session.cancel_login(account)
        waiting.server.close()
        if not waiting.outcome.done():
            waiting.outcome.set_exception(Cancelled("The login was given up."))
            waiting.outcome.exception()  # whoever waits hears it; nobody need be

    async def close(self) -> None:
        """At the end of the program."""
        for account in list(self._waiting):
            await self.cancel(account)

    async def _serve(self, account: AccountId, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(await self._answer(account, head))
            async with asyncio.timeout(REQUEST_SECONDS):
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as failure:
            log.info("a browser's request was not answered: %s", type(failure).__name__)
        finally:
            writer.close()

    async def _answer(self, account: AccountId, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        target = rest.partition(" ")[0]
        waiting = self._waiting.get(account)
        if waiting is None or method != "GET":
            return page_of("Nobody waits for this page", "Start the login in Stopline again.", status="404 Not Found")
        registered = urlsplit(waiting.redirect)
        if urlsplit(target).path != (registered.path or "/"):
            return page_of("Nothing is here", "This address is for the broker's login only.", status="404 Not Found")
        waiting.asking += 1
        try:
            view = await self._session.complete_login(account, f"{registered.scheme}://{registered.netloc}{target}")
        except AppError as failure:
            if waiting.asking > 1:  # a browser that asks twice: the first time is what counts
                return await self._same_as_first(waiting)
            if not self._session.awaits_login(account):  # else it was not the answer to our page: wait for that
                self._settle(waiting, failure)
            return page_of("Not logged in", str(failure), status="400 Bad Request")
        finally:
            waiting.asking -= 1
        self._settle(waiting, view)
        return page_of(f"Logged in as {view.client_name or view.user_id}", "You can close this page.", closes=True)

    @staticmethod
    async def _same_as_first(waiting: _Waiting) -> bytes:
        try:
            await asyncio.shield(waiting.outcome)  # which ends with the login, however that ends
        except AppError:
            return page_of("Not logged in", "Stopline says why.", status="400 Bad Request")
        return page_of("Logged in", "You can close this page.", closes=True)

    @staticmethod
    def _settle(waiting: _Waiting, outcome: AccountView | AppError) -> None:
        if waiting.outcome.done():
            return
        if isinstance(outcome, AppError):
            waiting.outcome.set_exception(outcome)
            waiting.outcome.exception()  # whoever waits hears it
        else:
            waiting.outcome.set_result(outcome)


def listening_port(redirect_url: str) -> int:
    """The port of a redirect URL on this machine. Raises Denied in words for any other address."""
    example = "Register one like http://127.0.0.1:8765/stopline at the broker, and enter it here."
    if not redirect_url:
        raise Denied("The redirect URL registered with the broker is not known.", example)
    address = urlsplit(redirect_url)
    try:
        port = address.port
    except ValueError:
        port = None
    if address.hostname not in LOOPBACK:
        raise Denied("The browser can only come back to this computer (127.0.0.1).", example, detail=redirect_url)
    if address.scheme != "http":
        raise Denied("The listener on this computer speaks http, not https.", example, detail=redirect_url)
    if not port:
        raise Denied("The redirect URL names no port.", example, detail=redirect_url)
    return port
