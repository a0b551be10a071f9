"""Vault, accounts, logins: the verbs around who is at the desk. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from app.brokers import configuration
from app.brokers.base import Credentials, Login, Session
from app.brokers.login_state import LoginAttempts
from app.desk import handover, opening
from app.desk.account import AccountDesk
from app.desk.messages import AccountView, LoginPage, PaperLogin, PassphraseStrength, VaultInfo, VaultState
from app.desk.paper import PaperExchange
from app.desk.rights import prove
from app.desk.sessions import Sessions, check_client
from app.desk.strategies import adopt
from app.desk.workspace import Workspace
from app.domain.account import Endpoints
from app.domain.broker import BrokerListing
from app.domain.errors import AppError, Denied
from app.domain.events import FeedState, Level, Noticed, SessionState
from app.domain.ids import AccountId
from app.domain.listing import list_name
from app.runtime.clock import SECOND, SystemClock
from app.runtime.redaction import redact
from app.runtime.secret import Secret
from app.storage.accounts import AccountRecord
from app.storage.book import Book
from app.storage.journal import Journal
from app.vault.strength import estimate

log = logging.getLogger(__name__)

LOGIN_SECONDS = 600


class SessionDesk:
    """Implements `desk.api.SessionVerbs`."""

    def __init__(self, workspace: Workspace, paper: PaperExchange | None) -> None:
        self._workspace = workspace
        self._paper = paper
        self._attempts = LoginAttempts()
        self._sessions = Sessions(workspace)
        self._clock = SystemClock()
        self.on_open: list[Callable[[], None]] = []
        """Called when the profile was opened."""
        self.before_open: Callable[[], Coroutine[Any, Any, None]] | None = None
        """Awaited when the key is there and nothing is opened yet: a guard may have to let go of the profile."""
        self._resuming: list[asyncio.Task[None]] = []

    # -- vault -------------------------------------------------------------------------------------------------------

    async def vault(self) -> VaultInfo:
        """Whether there is a vault, and what opens it."""
        info = await asyncio.to_thread(self._workspace.vault.info)
        state = VaultState.OPEN if self._workspace.is_open else VaultState.LOCKED if info.exists else VaultState.ABSENT
        return VaultInfo(
            state,
            info.keyring_available,
            info.opens_with_keyring,
            info.opens_with_passphrase,
            str(self._workspace.profile),
            info.has_recovery_key,
        )

    def strength(self, passphrase: Secret) -> PassphraseStrength:
        """A hint, never a bar. Any thread."""
        found = estimate(passphrase)
        return PassphraseStrength(found.score, found.hint)

    async def create_vault(self, passphrase: Secret | None, use_keyring: bool) -> None:
        """First run."""
        await asyncio.to_thread(self._workspace.vault.create, passphrase, use_keyring)
        await self._open()

    async def unlock(self, passphrase: Secret | None) -> None:
        """Opens the vault, the files, the accounts; stops are re-armed from here on."""
        if not self._workspace.is_open:
            await asyncio.to_thread(self._workspace.vault.unlock, passphrase)
            await self._open()

    async def open_in_hand(self) -> None:
        """As `unlock`, where the vault is open already: a guard has the key in memory."""
        if not self._workspace.is_open:
            await self._open()

    async def recover(self, recovery_key: Secret, new: Secret) -> None:
        """As `unlock`, by the recovery key."""
        if not self._workspace.is_open:
            await asyncio.to_thread(self._workspace.vault.recover, recovery_key, new)
            await self._open()

    async def _open(self) -> None:
        if self.before_open is not None:
            await self.before_open()
            self.before_open = None  # where it failed, the next unlock asks again
        workspace = self._workspace
        journal, book = await opening.open_files(workspace)
        try:
            await self._take_up(journal, book)
        except BaseException:  # what is half open must not be taken for a profile in which nothing is armed
            workspace.accounts.clear()
            workspace.records.clear()
            await workspace.close()
            raise

    async def _take_up(self, journal: Journal, book: Book) -> None:
        workspace = self._workspace
        stops = await opening.stops_of(workspace, journal, book)
        # What is armed is watched before anybody can search for an instrument.
        later = None if all(stop.state.is_final for stop in stops) else workspace.tasks.start
        for record in await book.accounts.load():
            workspace.records[record.id] = record
            name = list_name(record.broker, paper=record.endpoints.paper)
            await workspace.master.load(book.instruments, name, later)
            mine = [stop for stop in stops if stop.key.account == record.id]
            await adopt(workspace, self._add_desk(record), mine, clock_known=not record.endpoints.paper)
        await self._sessions.load()
        for name in await book.instruments.names():  # imported without an account
            await workspace.master.load(book.instruments, name, later)
        start = workspace.tasks.start
        if self._paper is not None:
            self._resuming.append(start(self._start_paper(self._paper), "paper exchange"))
        for account in list(workspace.records):
            if account != self._paper_id():
                self._resuming.append(start(self._sessions.resume(account), f"resume {account}"))
        if workspace.guarding:
            start(self._sessions.watch.run(), "tokens")
        for handler in self.on_open:
            handler()
        self._workspace.tell_providers()

    async def resumed(self) -> None:
        """Until every stored session was taken up, or found dead. Who waits no longer ends none of the tries."""
        if self._resuming:
            await asyncio.wait(self._resuming)

    def _add_desk(self, record: AccountRecord) -> AccountDesk:
        desk = AccountDesk(record.id, self._workspace.trading(record), self._sessions.died)
        self._workspace.accounts[record.id] = desk
        return desk

    # -- accounts ----------------------------------------------------------------------------------------------------

    async def brokers(self) -> Sequence[BrokerListing]:
        """What can be connected."""
        return self._workspace.brokers.available()

    async def accounts(self) -> Sequence[AccountView]:
        """All connected accounts."""
        return [self._view(record) for record in self._workspace.records.values()]

    def _view(self, record: AccountRecord) -> AccountView:
        desk = self._workspace.accounts.get(record.id)
        return AccountView(
            id=record.id,
            broker=record.broker,
            user_id=record.user_id,
            client_name=record.client_name,
            state=record.state,
            paper=record.endpoints.paper,
            feed=FeedState.OFF if desk is None else desk.hub.state,
            connected_at=record.connected_at,
            token_expires_at=record.token_expires_at,
            last_sync=record.last_sync,
            last_error=record.last_error,
            token_issued_at=record.token_issued_at,
            last_refresh=record.last_refresh,
            error_count=record.error_count,
            sync_on=record.sync_on,
            sync_every_s=record.sync_every_s,
            next_sync=record.next_sync,
            fills_synced=record.fills_synced,
            syncs_failed=record.syncs_failed,
            disconnected_at=record.disconnected_at,
            armed=0 if desk is None else desk.stops.armed,
            scopes=() if desk is None or desk.session is None else desk.session.scopes,
            broker_title=self._workspace.title(record.broker),
        )

    async def add_account(
        self, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints | None = None
    ) -> AccountId:
        """A new account, logged out until its login; or new keys for the one with this API key, which keeps those that
        it has until a login has proved the new ones."""
        account, where = self._checked(broker, api_key, api_secret, endpoints)
        if not self._sessions.offer(account, api_secret, where):
            await self._save_account(account, broker, api_key.strip(), api_secret, where)
        return account

    async def connect_by_hand(
        self, broker: str, api_key: str, api_secret: Secret, access_token: Secret, endpoints: Endpoints | None = None
    ) -> AccountView:
        """The same with an access token, all proved with real calls before anything is stored (A4)."""
        account, where = self._checked(broker, api_key, api_secret, endpoints)
        redact(api_secret)
        redact(access_token)
        credentials = Credentials(api_key.strip(), api_secret)
        proof = await prove(self._workspace.factory(broker), account, credentials, where, access_token)
        if (record := self._workspace.records.get(account)) is not None:
            check_client(record, proof.session)
        await self._save_account(account, broker, credentials.api_key, api_secret, where)
        await self._sessions.take(account, proof.session)
        if proof.no_prices:
            self._workspace.account(account).rights.tell(proof.no_prices)
        return self._view(self._workspace.record(account))

    def _checked(
        self, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints | None
    ) -> tuple[AccountId, Endpoints]:
        """The account that these keys belong to, new or known, and its addresses. Raises Denied in words."""
        info = self._workspace.factory(broker).info
        api_key = api_key.strip()
        where = configuration.completed(info, endpoints)
        configuration.check(info, {"api_key": api_key, "api_secret": api_secret.reveal()}, where)
        known = next((r for r in self._workspace.records.values() if r.broker == broker and r.api_key == api_key), None)
        if known is None:
            return AccountId(f"{broker}-{secrets.token_hex(4).upper()}"), where
        configuration.check_same_money(known.endpoints, where)
        return known.id, where

    async def _save_account(
        self, account: AccountId, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints
    ) -> None:
        redact(api_secret)
        record = self._workspace.records.get(account) or AccountRecord(account, broker, endpoints, api_key)
        sealed = self._workspace.vault.seal(account, api_secret)
        await self._workspace.save(replace(record, api_key=api_key, endpoints=endpoints, sealed_secret=sealed))
        if account not in self._workspace.accounts:
            self._add_desk(record)
        self._sessions.announce(self._workspace.record(account))

    async def disconnect(self, account: AccountId, *, hand_over: bool = False) -> Sequence[str]:
        """Ends the session at the broker and wipes the tokens; history stays (A7)."""
        desk = self._workspace.account(account)
        armed = desk.stops.armed
        if armed and not hand_over:
            count = "One stop is" if armed == 1 else f"{armed} stops are"
            raise Denied(f"{count} armed on this account.", "Disarm first, or hand them over to the broker.")
        resting = await handover.hand_over(self._workspace, desk) if armed else ()
        left = await self._sessions.end_at_broker(account, desk.session)
        await desk.end(FeedState.OFF)
        await self._workspace.readers.end(account)
        await self._workspace.book.accounts.remove_tokens(account)
        await self._workspace.save(
            replace(
                self._workspace.record(account),
                state=SessionState.LOGGED_OUT,
                sealed_token=None,
                token_issued_at=None,
                token_expires_at=None,
                last_error="",
                next_sync=None,
                disconnected_at=self._clock.now(),
            )
        )
        if left:
            self._workspace.publish(
                Noticed(
                    Level.WARNING,
                    "The session could not be ended at the broker",
                    left,
                    "Its tokens are wiped here. To end it there too, log out of all sessions at the broker's site.",
                    account,
                )
            )
        if resting:
            told = "; ".join(resting)
            self._workspace.publish(
                Noticed(
                    Level.INFO, "The broker keeps your stops", told, "Look after them at the broker's site.", account
                )
            )
        self._sessions.announce(self._workspace.record(account))
        return resting

    async def pause(self, account: AccountId) -> AccountView:
        """No sync by itself, no new order; stops and exits go on."""
        await self._sessions.pause(account)
        return self._view(self._workspace.record(account))

    async def go_on(self, account: AccountId) -> AccountView:
        """Ends a pause."""
        await self._sessions.go_on(account)
        return self._view(self._workspace.record(account))

    # -- login -------------------------------------------------------------------------------------------------------

    async def begin_login(self, account: AccountId) -> LoginPage:
        """A fresh page with a fresh single-use state (A1)."""
        record = self._sessions.for_login(account)
        attempt = self._attempts.begin(account, record.endpoints.redirect_url)
        factory = self._workspace.factory(record.broker)
        url = self.login_of(account).login_url(attempt.state)
        hosts = {urlsplit(url).netloc.rpartition("@")[2]}
        if not record.endpoints.paper:
            hosts |= set(factory.info.login_hosts)
        return LoginPage(
            account=account,
            url=url,
            redirect_url=record.endpoints.redirect_url,
            allowed_hosts=tuple(sorted(hosts)),
            ca_file=record.endpoints.ca_file,
            expires_at=self._clock.now() + LOGIN_SECONDS * SECOND,
            parameter=factory.info.redirect_parameter,
        )

    async def complete_login(self, account: AccountId, redirected_to: str) -> AccountView:
        """The redirect's one-time token for a session. Raises LoginFailed in words."""
        parameter = self._workspace.factory(self._workspace.record(account).broker).info.redirect_parameter
        token = self._attempts.check(account, redirected_to, parameter)
        login = self.login_of(account)
        try:
            session = await login.exchange(token)
            await self._sessions.accept(account)
            return await self.take(account, session)
        except AppError:
            self._sessions.withdraw(account)
            await self._workspace.login_ended(account, False)
            raise

    async def take(self, account: AccountId, session: Session) -> AccountView:
        """A session that a login ended in, of whatever kind. Raises LoginFailed for another client's."""
        check_client(self._workspace.record(account), session)
        await self._sessions.take(account, session)
        await self._workspace.login_ended(account, True)
        return self._view(self._workspace.record(account))

    def login_of(self, account: AccountId) -> Login:
        """With its key and secret, opened. Raises Denied."""
        record = self._sessions.for_login(account)
        credentials = self._sessions.credentials(record)
        return self._workspace.factory(record.broker).login(account, credentials, record.endpoints)

    async def cancel_login(self, account: AccountId) -> None:
        """The page was closed: a redirect that still comes is refused."""
        self._attempts.cancel(account)
        self._sessions.withdraw(account)

    def redirect_of(self, account: AccountId) -> str:
        """Where the account's next login ends."""
        return self._sessions.for_login(account).endpoints.redirect_url

    def offer_redirect(self, account: AccountId, redirect_url: str) -> None:
        """It ends there; kept with the account once it has ended well: a mistyped one spoils no other login."""
        self._sessions.offer_redirect(account, redirect_url)

    def awaits_login(self, account: AccountId) -> bool:
        """A page of the account is out, and its redirect has not come yet."""
        return self._attempts.waits(account)

    async def paper_login(self, account: AccountId) -> PaperLogin | None:
        """What to type into the paper exchange's page, for the exchange that this program started."""
        if self._paper is None or account != self._paper_id():
            return None
        return self._paper.login()

    # -- sessions ----------------------------------------------------------------------------------------------------

    async def _start_paper(self, paper: PaperExchange) -> None:
        """The exchange beside us, and its account; later starts use the stored session until it dies."""
        try:
            credentials, endpoints = await paper.start(self._workspace)
        except AppError as failure:
            self._workspace.publish(
                Noticed(Level.ALARM, "The paper exchange did not start", str(failure), "Start Stopline again.")
            )
            return
        account = paper.account
        await self._save_account(account, "zerodha", credentials.api_key, credentials.api_secret, endpoints)
        await self._sessions.resume(account)

    def _paper_id(self) -> AccountId | None:
        return None if self._paper is None else self._paper.account

    async def close(self, *, keep_exchange: bool = False) -> None:
        """Ends all sessions here (not at the brokers) and stops the paper exchange; one that another program began is
        kept on request."""
        for trying in self._resuming:  # a broker that hangs keeps nobody waiting for the profile
            trying.cancel()
        await asyncio.gather(*(desk.end(FeedState.OFF) for desk in self._workspace.accounts.values()))
        await self._workspace.readers.close()
        if self._paper is not None:
            await self._paper.stop(keep=keep_exchange)
