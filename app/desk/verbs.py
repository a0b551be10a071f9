"""What the command line asks of a desk: the same three verbs, whether the desk is in this process or in a running
workstation on the other end of the profile's local socket.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Protocol

import msgspec

from app import __version__
from app.desk.account_verbs import DirectAccounts, RemoteAccounts, account_verbs
from app.desk.api import Desk
from app.desk.api_data import ExportVerbs, MetricVerbs
from app.desk.api_quotes import QuoteVerbs
from app.desk.exit_commands import DirectExits, RemoteExits, exit_verbs
from app.desk.export_commands import RemoteExports, RemoteMetrics, export_verbs
from app.desk.flatten_verbs import FlattenCommands, RemoteFlatten, flatten_verbs
from app.desk.instrument_verbs import DirectInstruments, RemoteInstruments, instrument_verbs
from app.desk.messages import AccountView, LoginPage, SyncSummary, VaultState
from app.desk.quote_verbs import RemoteQuotes, quote_verbs
from app.desk.remote import Verb, call
from app.domain.account import Endpoints
from app.domain.errors import Denied, VaultLocked
from app.domain.events import Event, SyncProgressed
from app.domain.ids import AccountId
from app.domain.stop import StopState
from app.runtime import redaction
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret

_SECONDS = {
    "sync": 600.0,
    "sync.file": 600.0,
    "connect.begin": 90.0,
    "connect.complete": 90.0,
    "connect.hand": 90.0,
    "connect.browser": 90.0,
    "connect.back": 660.0,
}
"""How long a workstation may take to answer."""

Progress = Callable[[SyncProgressed], None]


class CommandDesk(Protocol):
    """The part of a desk that commands use. Raises AppError."""

    @property
    def exports(self) -> ExportVerbs:
        """Rows for other programs."""
        ...

    @property
    def metrics(self) -> MetricVerbs:
        """Figures by day."""
        ...

    async def begin_connect(
        self, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints | None
    ) -> LoginPage:
        """Stores the account's credentials and gives a login page for it."""
        ...

    async def complete_connect(self, account: AccountId, redirected_to: Secret) -> AccountView:
        """Ends the login with the address that the page redirected to."""
        ...

    async def begin_browser(
        self, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints | None
    ) -> LoginPage:
        """The same, for the system's browser: somebody listens where it will come back to."""
        ...

    async def finish_browser(self, account: AccountId) -> AccountView:
        """Waits until it came back."""
        ...

    async def connect_by_hand(
        self, broker: str, api_key: str, api_secret: Secret, access_token: Secret, endpoints: Endpoints | None
    ) -> AccountView:
        """With an access token, proved before anything is stored."""
        ...

    async def sync(
        self, account: AccountId | None, progress: Progress, since: date | None = None, until: date | None = None
    ) -> SyncSummary:
        """The sync of C1, of one account or of all, of today or of some dates. Raises Denied when there is none to
        sync, and where the broker does not keep the dates."""
        ...

    async def import_file(self, account: AccountId, path: str) -> SyncSummary:
        """Takes the broker's tradebook file into the book."""
        ...


class DirectDesk:
    """A desk in this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.instruments = DirectInstruments(desk)
        self.accounts = DirectAccounts(desk)
        self.exits = DirectExits(desk)

    @property
    def quotes(self) -> QuoteVerbs:
        """The desk's own."""
        return self._desk.quotes

    @property
    def exports(self) -> ExportVerbs:
        """The desk's own."""
        return self._desk.exports

    @property
    def metrics(self) -> MetricVerbs:
        """The desk's own."""
        return self._desk.metrics

    @property
    def flatten(self) -> FlattenCommands:
        """The desk's own."""
        return self._desk.flatten

    async def begin_connect(
        self, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints | None
    ) -> LoginPage:
        """The account's credentials go to the vault, a login begins."""
        redaction.redact(api_secret)
        account = await self._desk.session.add_account(broker, api_key, api_secret, endpoints)
        return await self._desk.session.begin_login(account)

    async def complete_connect(self, account: AccountId, redirected_to: Secret) -> AccountView:
        """The login ends in a session."""
        return await self._desk.session.complete_login(account, redirected_to.reveal())

    async def begin_browser(
        self, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints | None
    ) -> LoginPage:
        """A listener on this computer waits for the browser."""
        redaction.redact(api_secret)
        account = await self._desk.session.add_account(broker, api_key, api_secret, endpoints)
        return await self._desk.browser.begin(account)

    async def finish_browser(self, account: AccountId) -> AccountView:
        """Until it came back, ten minutes at most."""
        return await self._desk.browser.finish(account)

    async def connect_by_hand(
        self, broker: str, api_key: str, api_secret: Secret, access_token: Secret, endpoints: Endpoints | None
    ) -> AccountView:
        """The same, without a page."""
        return await self._desk.session.connect_by_hand(broker, api_key, api_secret, access_token, endpoints)

    async def sync(
        self, account: AccountId | None, progress: Progress, since: date | None = None, until: date | None = None
    ) -> SyncSummary:
        """Says which account it does not know; passes the desk's progress on."""
        known = [view.id for view in await self._desk.session.accounts()]
        if account is not None and account not in known:
            raise Denied(f"There is no account {account}.", f"Connected are: {', '.join(known) or 'none'}.")
        if not known:
            raise Denied("No account is connected.", "Connect one in the window or with `connect`.")

        def hear(event: Event) -> None:
            if isinstance(event, SyncProgressed):
                progress(event)

        self._desk.listen(hear)
        try:
            if since is not None:
                return await self._desk.sync.run(account, "command line", since, until)
            return await self._desk.portfolio.sync(account, trigger="command line")
        finally:
            self._desk.unlisten(hear)

    async def import_file(self, account: AccountId, path: str) -> SyncSummary:
        """All of the file, or nothing."""
        return await self._desk.sync.import_file(account, path)


class RemoteDesk:
    """The desk of the workstation that runs on a profile."""

    def __init__(self, paths: ProfilePaths) -> None:
        self._paths = paths
        self.instruments = RemoteInstruments(paths)
        self.accounts = RemoteAccounts(paths)
        self.flatten = RemoteFlatten(paths)
        self.quotes = RemoteQuotes(paths)
        self.exits = RemoteExits(paths)
        self.exports = RemoteExports(paths)
        self.metrics = RemoteMetrics(paths)

    async def begin_connect(
        self, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints | None
    ) -> LoginPage:
        """The same, in the workstation: the secret crosses the private socket only."""
        params = {
            "broker": broker,
            "api_key": api_key,
            "api_secret": api_secret.reveal(),
            "endpoints": msgspec.to_builtins(endpoints),
        }
        return msgspec.convert(await self._call("connect.begin", params), LoginPage)

    async def complete_connect(self, account: AccountId, redirected_to: Secret) -> AccountView:
        """The same, in the workstation."""
        params = {"account": account, "redirected_to": redirected_to.reveal()}
        return msgspec.convert(await self._call("connect.complete", params), AccountView)

    async def begin_browser(
        self, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints | None
    ) -> LoginPage:
        """The workstation listens."""
        params = {
            "broker": broker,
            "api_key": api_key,
            "api_secret": api_secret.reveal(),
            "endpoints": msgspec.to_builtins(endpoints),
        }
        return msgspec.convert(await self._call("connect.browser", params), LoginPage)

    async def finish_browser(self, account: AccountId) -> AccountView:
        """The same, in the workstation."""
        return msgspec.convert(await self._call("connect.back", {"account": account}), AccountView)

    async def connect_by_hand(
        self, broker: str, api_key: str, api_secret: Secret, access_token: Secret, endpoints: Endpoints | None
    ) -> AccountView:
        """The same, in the workstation."""
        params = {
            "broker": broker,
            "api_key": api_key,
            "api_secret": api_secret.reveal(),
            "access_token": access_token.reveal(),
            "endpoints": msgspec.to_builtins(endpoints),
        }
        return msgspec.convert(await self._call("connect.hand", params), AccountView)

    async def sync(
        self,
        account: AccountId | None,
        progress: Progress,  # noqa: ARG002 -- seen there
        since: date | None = None,
        until: date | None = None,
    ) -> SyncSummary:
        """The same, in the workstation; progress is seen in its window."""
        params = {"account": account, "since": msgspec.to_builtins(since), "until": msgspec.to_builtins(until)}
        return msgspec.convert(await self._call("sync", params), SyncSummary)

    async def import_file(self, account: AccountId, path: str) -> SyncSummary:
        """The same, in the workstation; it reads the file itself."""
        params = {"account": account, "path": path}
        return msgspec.convert(await self._call("sync.file", params), SyncSummary)

    async def _call(self, verb: str, params: Mapping[str, Any]) -> Any:
        return await asyncio.to_thread(call, self._paths, verb, params, timeout=_SECONDS[verb])


def remote_verbs(desk: Desk, show: Callable[[], None], *, role: str = "workstation") -> dict[str, Verb]:
    """What a workstation answers on its local socket. `show` brings its window forward; called on the loop thread."""
    direct = DirectDesk(desk)

    async def bring_forward(_: Mapping[str, Any]) -> None:
        show()

    async def ping(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"pid": os.getpid(), "version": __version__, "role": role}

    async def status(_: Mapping[str, Any]) -> dict[str, Any]:
        vault = await desk.session.vault()
        told: dict[str, Any] = {"pid": os.getpid(), "version": __version__, "role": role, "vault": vault.state}
        if vault.state is VaultState.OPEN:
            told["accounts"] = list(await desk.session.accounts())
            told["armed"] = sum(stop.state is StopState.ARMED for stop in await desk.stops.stops())
        return told

    async def sync(params: Mapping[str, Any]) -> SyncSummary:
        since, until = (msgspec.convert(params.get(name), date | None) for name in ("since", "until"))
        return await direct.sync(params.get("account"), lambda _: None, since, until)

    async def import_file(params: Mapping[str, Any]) -> SyncSummary:
        return await direct.import_file(AccountId(params["account"]), params["path"])

    async def begin(params: Mapping[str, Any]) -> LoginPage:
        endpoints = msgspec.convert(params["endpoints"], Endpoints | None)
        return await direct.begin_connect(params["broker"], params["api_key"], Secret(params["api_secret"]), endpoints)

    async def by_hand(params: Mapping[str, Any]) -> AccountView:
        endpoints = msgspec.convert(params["endpoints"], Endpoints | None)
        secret, token = Secret(params["api_secret"]), Secret(params["access_token"])
        return await direct.connect_by_hand(params["broker"], params["api_key"], secret, token, endpoints)

    async def browser(params: Mapping[str, Any]) -> LoginPage:
        endpoints = msgspec.convert(params["endpoints"], Endpoints | None)
        return await direct.begin_browser(params["broker"], params["api_key"], Secret(params["api_secret"]), endpoints)

    async def back(params: Mapping[str, Any]) -> AccountView:
        return await direct.finish_browser(params["account"])

    async def complete(params: Mapping[str, Any]) -> AccountView:
        return await direct.complete_connect(params["account"], Secret(params["redirected_to"]))

    of_an_open_profile = {
        "sync": sync,
        "sync.file": import_file,
        "connect.begin": begin,
        "connect.complete": complete,
        "connect.hand": by_hand,
        "connect.browser": browser,
        "connect.back": back,
        **instrument_verbs(desk),
        **account_verbs(desk),
        **flatten_verbs(desk),
        **quote_verbs(desk),
        **exit_verbs(desk),
        **export_verbs(desk),
    }
    unlocked = {name: _once_unlocked(desk, verb) for name, verb in of_an_open_profile.items()}
    return {"show": bring_forward, "ping": ping, "status": status, **unlocked}


def _once_unlocked(desk: Desk, verb: Verb) -> Verb:
    """Of a locked profile nobody knows accounts, lists and rows, which is not the same as none."""

    async def checked(params: Mapping[str, Any]) -> Any:
        if (await desk.session.vault()).state is not VaultState.OPEN:
            raise VaultLocked("The profile is locked.")
        return await verb(params)

    return checked
