"""Login at Zerodha: the page's address, the session exchange, logout. The official client does the last two, away
from the loop thread: in the helper process where there is one (its import would hold the interpreter lock), else in
a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import time, timedelta
from typing import TypeVar
from urllib.parse import urlencode

from app.brokers.base import Credentials, ExchangeClockReading, Profile, Session
from app.brokers.zerodha import official
from app.domain.account import Endpoints
from app.domain.errors import BadAnswer, LoginFailed, NotPermitted, SessionExpired, Unreachable
from app.domain.ids import AccountId, Nanos
from app.runtime.clock import from_datetime, to_datetime
from app.runtime.helper import Helper, HelperDied
from app.runtime.secret import Secret

T = TypeVar("T")

DEATH = time(6, 0)
"""Every access token dies at 06:00 Indian time on the next day (Kite Connect, user; a rule of the regulator)."""

DEADLINE = 20.0
"""Seconds for a whole exchange, the helper's start included."""


def next_death(now: Nanos) -> Nanos:
    """The next 06:00 Indian time after a moment."""
    local = to_datetime(now)
    death = local.replace(hour=DEATH.hour, minute=DEATH.minute, second=0, microsecond=0)
    return from_datetime(death if death > local else death + timedelta(days=1))


class ZerodhaLogin:
    """Turns a human login into a session. Loop thread."""

    def __init__(
        self,
        account: AccountId,
        credentials: Credentials,
        endpoints: Endpoints,
        read_clock: Callable[[], Awaitable[ExchangeClockReading]],
        read_profile: Callable[[Secret], Awaitable[Profile]],
        helper: Helper | None = None,
    ) -> None:
        self._account = account
        self._credentials = credentials
        self._endpoints = endpoints
        self._read_clock = read_clock
        self._read_profile = read_profile
        self._helper = helper

    def login_url(self, state: str) -> str:
        """The login page. Kite has no `state`; it hands back what it got in `redirect_params` (A1)."""
        query = {"v": "3", "api_key": self._credentials.api_key, "redirect_params": urlencode({"state": state})}
        return f"{self._endpoints.login_url}?{urlencode(query)}"

    async def exchange(self, request_token: str) -> Session:
        """The one-time token of the redirect for a session. Raises LoginFailed, Unreachable, BadAnswer."""
        answer = await self._run(
            official.exchange,
            self._endpoints.api_url,
            self._endpoints.ca_file,
            self._credentials.api_key,
            self._credentials.api_secret.reveal(),
            request_token,
        )
        return await self._session(answer, answer["user_name"] or answer["user_id"], "")

    async def adopt(self, access_token: Secret) -> Session:
        """A session by a token that the trader already has. Kite's tokens do not say when they were made: the next
        06:00 is their end at the latest. Kite has one answer for a dead token, a wrong one and one of another key."""
        if not access_token.reveal().isascii() or not access_token.reveal().isalnum():
            raise LoginFailed("This is no access token of Zerodha.", "Copy it again, alone, or log in on the page.")
        try:
            profile = await self._read_profile(access_token)
        except SessionExpired as dead:
            raise LoginFailed(
                "Zerodha does not accept this access token with this API key: it has expired, or is not of this key.",
                "Tokens die at 06:00 every morning and by a logout: log in on the page, or compare key and token.",
                detail=dead.detail,
            ) from dead
        now = (await self._read_clock()).now
        return Session(self._account, profile.user_id, profile.user_name, access_token, now, next_death(now))

    async def refresh(self, session: Session) -> Session:
        """A fresh session without the trader. Only approved platforms get a refresh token; for everybody else it is
        empty and a login is the only way. Raises SessionExpired when that is so, or when the broker refuses it."""
        if session.refresh_token is None:
            raise SessionExpired("The broker gave no refresh token with this login.")
        try:
            answer = await self._run(
                official.refresh,
                self._endpoints.api_url,
                self._endpoints.ca_file,
                self._credentials.api_key,
                self._credentials.api_secret.reveal(),
                session.refresh_token.reveal(),
            )
        except (LoginFailed, NotPermitted) as refused:
            raise SessionExpired("The broker does not renew this session.", detail=refused.detail) from refused
        if answer["user_id"] != session.user_id:
            raise BadAnswer("The broker renewed the session of another client; it was not used.")
        return await self._session(answer, session.user_name, session.refresh_token.reveal())

    async def _session(self, answer: dict[str, str], user_name: str, refresh_token: str) -> Session:
        now = (await self._read_clock()).now
        renewal = answer["refresh_token"] or refresh_token
        return Session(
            account=self._account,
            user_id=answer["user_id"],
            user_name=user_name,
            access_token=Secret(answer["access_token"]),
            issued_at=now,
            expires_at=next_death(now),
            refresh_token=Secret(renewal) if renewal else None,
        )

    async def logout(self, session: Session) -> None:
        """Kills the session at the broker. One that is dead already is fine."""
        await self._run(
            official.logout,
            self._endpoints.api_url,
            self._endpoints.ca_file,
            self._credentials.api_key,
            session.access_token.reveal(),
        )
        if session.refresh_token is not None:
            await self._run(
                official.forget,
                self._endpoints.api_url,
                self._endpoints.ca_file,
                self._credentials.api_key,
                session.refresh_token.reveal(),
            )

    async def _run(self, function: Callable[..., T], *args: str) -> T:
        try:
            async with asyncio.timeout(DEADLINE):
                if self._helper is not None:
                    return await self._helper.call(function, *args)
                return await asyncio.to_thread(function, *args)
        except TimeoutError as late:
            raise Unreachable("The broker did not answer the login in time.") from late
        except HelperDied as died:
            raise Unreachable("The helper process ended during the login.", "Log in again.") from died
