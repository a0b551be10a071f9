"""The sessions of all accounts: taken up, renewed, found dead. Loop thread only."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from app.brokers.base import Credentials, Session
from app.brokers.parts import RefreshingLogin
from app.desk.token_watch import TokenFacts, TokenWatch, Watched
from app.desk.tokens import Tokens, pack, secrets_of, unpack
from app.desk.workspace import Workspace
from app.domain.account import Endpoints
from app.domain.errors import AppError, Denied, LoginFailed, SessionExpired, StorageError
from app.domain.events import FeedState, Level, Noticed, SessionChanged, SessionState
from app.domain.ids import AccountId
from app.engine.entry_bar import NoEntries
from app.runtime.clock import SECOND, SystemClock
from app.runtime.redaction import redact
from app.runtime.secret import Secret
from app.storage.accounts import AccountRecord

log = logging.getLogger(__name__)

EARLY = 120 * SECOND
"""A token that is refused so long before its end did not die: it was ended."""
PAUSES = "paused accounts"
"""The setting that names them: what becomes of a session, or of this program, ends no pause."""
RESUME_TRIES = 5
RESUME_SECONDS = 1.0
RESUME_LONGEST = 4.0
"""Between two tries while stops are armed: then a broker that is down is tried until it is back."""


class Sessions:
    """What a login brings, until its token is dead."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._ending: set[AccountId] = set()
        self._offered: dict[AccountId, AccountRecord] = {}
        """Records with a new secret or new addresses, until a login has proved them."""
        self._paused = "[]"
        """As stored."""
        self._clock = SystemClock()
        self.readers = workspace.readers
        self.watch = TokenWatch(self._watched, self.renew, workspace.publish)
        workspace.session_died = self.died

    async def load(self) -> None:
        """The pauses of earlier runs, before any session is taken up. Raises StorageError."""
        self._paused = await self._workspace.book.settings.get(PAUSES) or "[]"
        for account in json.loads(self._paused):
            if (desk := self._workspace.accounts.get(AccountId(account))) is not None:
                desk.orders.bar.set(NoEntries.PAUSED, True)

    def credentials(self, record: AccountRecord) -> Credentials:
        """Key and secret. Raises Denied when there is none."""
        if record.sealed_secret is None:
            raise Denied("The account has no API secret.", "Enter API key and secret again.")
        secret = self._workspace.vault.open(record.id, record.sealed_secret)
        redact(secret)
        return Credentials(record.api_key, secret)

    def offer(self, account: AccountId, api_secret: Secret, endpoints: Endpoints) -> bool:
        """These are for the account's next login, and kept if that ends well (A4). False: it has no others to keep."""
        record = self._workspace.records.get(account)
        if record is None or record.sealed_secret is None:
            return False
        redact(api_secret)
        sealed = self._workspace.vault.seal(account, api_secret)
        self._offered[account] = replace(record, endpoints=endpoints, sealed_secret=sealed)
        return True

    def offer_redirect(self, account: AccountId, redirect_url: str) -> None:
        """The account's next login ends there, and later ones too if it ends well."""
        record = self.for_login(account)
        if redirect_url != record.endpoints.redirect_url:
            self._offered[account] = replace(record, endpoints=replace(record.endpoints, redirect_url=redirect_url))

    def for_login(self, account: AccountId) -> AccountRecord:
        """With what was offered last; else as it is stored."""
        return self._offered.get(account) or self._workspace.record(account)

    def withdraw(self, account: AccountId) -> None:
        """What was offered is forgotten."""
        self._offered.pop(account, None)

    async def accept(self, account: AccountId) -> None:
        """What was offered is proved, and takes the place of what was stored."""
        offered = self._offered.pop(account, None)
        if offered is not None:
            record = self._workspace.record(account)
            proved = replace(record, endpoints=offered.endpoints, sealed_secret=offered.sealed_secret)
            await self._keep(proved)

    async def take(self, account: AccountId, session: Session) -> None:
        """A fresh session: sealed, stored where the disk takes it, and put to work."""
        self.watch.logged_in(account)
        for secret in secrets_of(session):
            redact(secret)
        record = self._workspace.record(account)
        await self._keep(
            replace(
                record,
                user_id=session.user_id,
                client_name=session.user_name,
                state=SessionState.PAUSED if self._is_paused(account) else SessionState.ACTIVE,
                sealed_token=self._workspace.vault.seal(account, pack(session)),
                token_issued_at=session.issued_at,
                token_expires_at=session.expires_at,
                connected_at=record.connected_at or self._clock.now(),
                last_refresh=self._clock.now(),
                last_error="",
                error_count=0,
            )
        )
        try:
            await self._begin(account, session)
        except SessionExpired as failure:
            await self.died(account, failure)
            raise
        except AppError as failure:
            if not self._workspace.account(account).active:
                # The one before has ended, and this one is good: what is armed is not left blind until a login.
                await self.set_state(account, SessionState.ERROR, str(failure))
                self._workspace.tasks.start(self.resume(account), f"resume {account}")
            raise

    async def resume(self, account: AccountId) -> None:
        """Takes up the stored session. One that is dead is said to be; a broker that is down is tried again."""
        told = False
        for attempt in count():
            record = self._workspace.record(account)  # a login may have brought another one meanwhile
            try:
                session = self._stored(record)
            except AppError as failure:
                await self.set_state(account, SessionState.EXPIRED, failure.cause)
                return
            if session is None:
                self.announce(record)
                return
            try:
                await self._begin(account, session, late=True)
            except SessionExpired as failure:
                if self._workspace.record(account).sealed_token != record.sealed_token:
                    continue
                await self.died(account, failure)
            except AppError as failure:
                log.info("resume %s, try %d: %s", account, attempt + 1, failure.cause)
                await self.set_state(account, SessionState.ERROR, str(failure))
                if attempt and not told:  # not a moment's trouble; and once their market opens
                    step = "Stopline keeps trying. To get out now, exit at the broker's own site."
                    told = self._tell_blind(account, failure.cause, step)
                if not await self._try_again(account, attempt):
                    return
                continue
            return

    async def _try_again(self, account: AccountId, attempt: int) -> bool:
        """Waits for the next try, where there is one: what is armed is blind until a session is there."""
        pause = RESUME_SECONDS * 2 ** min(attempt, RESUME_TRIES)
        desk = self._workspace.account(account)
        watched = self._workspace.guarding and (desk.stops.armed or desk.day_stop.may_guard)
        if not watched and attempt + 1 >= RESUME_TRIES:
            return False
        await asyncio.sleep(min(pause, RESUME_LONGEST) if watched else pause)
        # A login by hand, or a disconnection, may have come first.
        known = self._workspace.records.get(account)
        return known is not None and known.state is SessionState.ERROR and not self._workspace.account(account).active

    async def renew(self, account: AccountId) -> None:
        """A fresh session without the trader. Raises SessionExpired when only a login helps, or others."""
        record = self._workspace.record(account)
        session = self._stored(record)
        login = self._workspace.factory(record.broker).login(account, self.credentials(record), record.endpoints)
        if session is None or not isinstance(login, RefreshingLogin):
            raise SessionExpired("This broker renews no session.", "Log in again.")
        try:
            fresh = await login.refresh(session)
        except AppError:
            await self._workspace.login_ended(account, False)
            raise
        await self.take(account, fresh)
        await self._workspace.login_ended(account, True)

    async def end_at_broker(self, account: AccountId, live: Session | None) -> str:
        """Kills the session at the broker: the live one, or the one that is stored of an account that could not be
        taken up. Why it could not, in words; empty when it is dead."""
        record = self._workspace.record(account)
        try:
            session = live or self._stored(record)
            if session is not None:
                factory = self._workspace.factory(record.broker)
                await factory.login(account, self.credentials(record), record.endpoints).logout(session)
        except AppError as failure:
            return str(failure)
        return ""

    async def died(self, account: AccountId, cause: SessionExpired, of: object = None) -> None:
        """The token is dead: stops are blind until the next login, which is offered in place. `of`: whose session; one
        that has begun since is let be."""
        if account in self._ending:
            return
        self._ending.add(account)
        try:
            desk = self._workspace.account(account)
            await desk.learn_time()
            await desk.end(FeedState.REFUSED, of)
            if desk.active:
                return  # a new login was quicker
            if not await self.readers.end(account):
                self._read_on(account)
            await self.set_state(account, *self._why_dead(account, cause))
            self._tell_blind(account, cause.cause, "Log in again.")
        finally:
            self._ending.discard(account)

    def _tell_blind(self, account: AccountId, cause: str, next_step: str) -> bool:
        """At night nobody is woken for what can wait: the watch over tokens asks before the session opens. False:
        nothing was said."""
        desk = self._workspace.account(account)
        held = (position.key.instrument for position in desk.positions if position.quantity)
        if not desk.exit_may_come and not (desk.day_stop.guards and any(map(desk.trades, held))):
            return False
        armed = desk.stops.armed + desk.day_stop.guards
        words = f"{armed} {'stop' if armed == 1 else 'stops'} of {account} without prices: {cause}"
        self._workspace.publish(Noticed(Level.ALARM, "Stops are blind", words, next_step, account, f"blind:{account}"))
        return True

    def _why_dead(self, account: AccountId, cause: SessionExpired) -> tuple[SessionState, str]:
        ends = self._workspace.record(account).token_expires_at
        if ends is None or self._workspace.account(account).broker_time >= ends - EARLY:
            return SessionState.EXPIRED, cause.cause
        words = "The broker ended the session before its time: a login or logout elsewhere, or a new password."
        return SessionState.REVOKED, words

    def _read_on(self, account: AccountId) -> None:
        """By the token that outlives the day, where the login brought one."""
        record = self._workspace.record(account)
        session = self._stored(record)
        if session is not None:
            factory = self._workspace.factory(record.broker)
            now = self._workspace.account(account).clock.now()
            self.readers.begin(session, factory, self.credentials(record), record.endpoints, now)

    async def set_state(self, account: AccountId, state: SessionState, reason: str) -> None:
        """Kept and told."""
        if state in (SessionState.ACTIVE, SessionState.PAUSED):  # at once, whatever the disk takes
            self._workspace.account(account).orders.bar.set(NoEntries.PAUSED, state is SessionState.PAUSED)
        record = self._workspace.record(account)
        if record.state is not state or record.last_error != reason:
            await self._keep(replace(record, state=state, last_error=reason))
        await self._keep_pauses()
        self.announce(self._workspace.record(account))

    async def _keep_pauses(self) -> None:
        desks = self._workspace.accounts.items()
        paused = json.dumps([account for account, desk in desks if desk.orders.bar.stands(NoEntries.PAUSED)])
        if paused == self._paused:
            return
        try:
            await self._workspace.book.settings.put(PAUSES, paused)
            self._paused = paused
        except StorageError as failure:
            log.info("which accounts are paused could not be stored: %s", failure.cause)

    async def _keep(self, record: AccountRecord) -> None:
        """Stored. A disk that takes nothing keeps no session from beginning, and its end from being told."""
        try:
            await self._workspace.save(record)
        except StorageError as failure:
            words = "How an account stands could not be stored"
            step = f"{failure.next_step} Until it can, the next start may ask for a login.".strip()
            self._workspace.publish(
                Noticed(Level.WARNING, words, failure.cause, step, record.id, f"unstored:{record.id}")
            )

    def announce(self, record: AccountRecord) -> None:
        """Tells everybody how an account stands."""
        self._workspace.publish(
            SessionChanged(
                record.id,
                record.broker,
                record.client_name,
                record.state,
                record.endpoints.paper,
                record.last_error,
            )
        )

    async def _begin(self, account: AccountId, session: Session, *, late: bool = False) -> None:
        self._is_paused(account)  # before a strategy is taken up
        record = self._workspace.record(account)
        factory = self._workspace.factory(record.broker)
        broker = factory.session(session, self.credentials(record), record.endpoints)
        await self._workspace.list_instruments(broker, record)
        desk = self._workspace.account(account)
        await desk.begin(session, broker, guard=self._workspace.guarding, late=late)
        await self.readers.end(account)
        await self.set_state(account, SessionState.PAUSED if self._is_paused(account) else SessionState.ACTIVE, "")

    def _is_paused(self, account: AccountId) -> bool:
        """By hand. A session that dies, or cannot be taken up at once, ends no pause: who paused, resumes."""
        bar = self._workspace.account(account).orders.bar
        if self._workspace.record(account).state is SessionState.PAUSED:
            bar.set(NoEntries.PAUSED, True)
        return bar.stands(NoEntries.PAUSED)

    async def pause(self, account: AccountId) -> None:
        """No sync by itself and no new order from now on; stops and exits go on. Raises Denied when not logged in."""
        if not self._workspace.account(account).active:
            raise Denied("The account is not logged in: there is nothing to pause.", "Log in first.")
        await self.set_state(account, SessionState.PAUSED, "")

    async def go_on(self, account: AccountId) -> None:
        """Ends a pause. Raises Denied when it is not paused."""
        if not self._is_paused(account):
            raise Denied("The account is not paused.")
        desk, record = self._workspace.account(account), self._workspace.record(account)
        desk.orders.bar.set(NoEntries.PAUSED, False)
        if desk.active:
            await self.set_state(account, SessionState.ACTIVE, "")
        elif record.state is SessionState.PAUSED:  # else it says why there is no session, and whether it is tried again
            await self.set_state(account, SessionState.EXPIRED, "")
        await self._keep_pauses()

    def _stored(self, record: AccountRecord) -> Session | None:
        tokens = self._tokens(record) if record.token_expires_at is not None else None
        if tokens is None or record.token_expires_at is None:
            return None
        session = Session(
            record.id,
            record.user_id,
            record.client_name,
            Secret(tokens.access),
            record.token_issued_at or 0,
            record.token_expires_at,
            Secret(tokens.refresh) if tokens.refresh else None,
            Secret(tokens.read) if tokens.read else None,
            tokens.read_expires_at,
            tokens.scopes,
        )
        for secret in secrets_of(session):
            redact(secret)
        return session

    def _tokens(self, record: AccountRecord) -> Tokens | None:
        if record.sealed_token is None:
            return None
        return unpack(self._workspace.vault.open(record.id, record.sealed_token))

    def _watched(self) -> Iterator[Watched]:
        for record in self._workspace.records.values():
            desk, info = self._workspace.accounts.get(record.id), self._workspace.info(record.broker)
            if desk is None or info is None or record.token_expires_at is None:
                continue
            armed = (desk.instrument(stop.key.instrument) for stop in desk.stops.stops if not stop.state.is_final)
            facts = TokenFacts(
                record.state,
                record.token_expires_at,
                dies_at_fixed_hour=bool(info.session_dies_at),
                renewable=self._renewable(record),
                tried_at=self.watch.tried_at(record.id),
                asked_at=self.watch.asked_at(record.id),
                markets=frozenset(known.segment for known in armed if known is not None),
            )
            clock = desk.clock
            yield Watched(
                record.id, facts, clock.now(), clock.speed, desk.hours.calendar, desk.stops.armed,
                f"{info.title} {record.user_id}",
            )  # fmt: skip

    def _renewable(self, record: AccountRecord) -> bool:
        """A token that renews is at hand. What cannot be opened says so when the session is taken up."""
        try:
            tokens = self._tokens(record)
        except AppError:
            return False
        return tokens is not None and bool(tokens.refresh)


def check_client(record: AccountRecord, session: Session) -> None:
    """Raises LoginFailed when somebody else than the account's client logged in."""
    if record.user_id and session.user_id != record.user_id:
        raise LoginFailed(
            f"This login belongs to {session.user_id}, the account to {record.user_id}.",
            "Log in as the right client, or connect the other one as a new account.",
        )
