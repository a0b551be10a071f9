"""Login at Upstox: the page's address, the exchange of its code, tokens made by hand, logout.

What a token is worth is read from the token itself: it is a JWT with its end in it. Source: Upstox developer
documentation, authorize, get token, extended and analytics tokens.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from dataclasses import replace
from datetime import time, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from app.brokers.base import Credentials, Session
from app.brokers.documents import decode_json
from app.brokers.market_parts import ApprovalRequest
from app.brokers.rows import Row
from app.brokers.upstox import mapping
from app.brokers.upstox.hosts import in_sandbox
from app.brokers.upstox.rest import UpstoxRest
from app.domain.account import Endpoints
from app.domain.errors import (
    BadAnswer,
    BrokerError,
    Denied,
    LoginFailed,
    RateLimited,
    Rejected,
    SessionExpired,
    Unreachable,
)
from app.domain.ids import AccountId, BrokerOrderId, Nanos
from app.runtime.clock import SECOND, from_datetime, to_datetime
from app.runtime.secret import Secret

DEATH = time(3, 30)
"""Every access token dies at 03:30 Indian time, whenever it was made."""

DAY: Nanos = 24 * 3600 * SECOND
LONGEST_DAY_TOKEN: Nanos = 2 * DAY
"""A token that lives longer is an extended or an analytics token: it only reads."""

READS = "read"
TRADES = "trade"
PRACTISES = "sandbox"
"""Orders in Upstox's sandbox, and nothing else."""

NOBODY = BrokerOrderId("000000000000000")
"""An order that does not exist: cancelling it proves a token of the sandbox, which has no reads."""


def next_death(now: Nanos) -> Nanos:
    """The next 03:30 Indian time after a moment."""
    local = to_datetime(now)
    death = local.replace(hour=DEATH.hour, minute=DEATH.minute, second=0, microsecond=0)
    return from_datetime(death if death > local else death + timedelta(days=1))


def claims(token: Secret) -> dict[str, Any] | None:
    """What a JWT says of itself; None when it is none. The signature is the broker's business: it is only read."""
    parts = token.reveal().split(".")
    if len(parts) != 3:
        return None
    try:
        middle = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(middle, type=dict[str, Any])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None


def end_of(token: Secret) -> Nanos | None:
    """When a token dies by its own words; None when it does not say."""
    end = (claims(token) or {}).get("exp")
    return int(end) * SECOND if isinstance(end, int | float) and end > 0 else None


def only_reads(session: Session) -> bool:
    """Whether a session cannot trade: its token outlives the day, and is not the sandbox's."""
    return PRACTISES not in session.scopes and session.expires_at - session.issued_at > LONGEST_DAY_TOKEN


def reading(session: Session) -> Session | None:
    """The same client by its extended token, which only reads and outlives the day; None without one."""
    if session.read_token is None or session.read_token_expires_at is None:
        return None
    return replace(
        session,
        access_token=session.read_token,
        expires_at=session.read_token_expires_at,
        read_token=None,
        read_token_expires_at=None,
        scopes=(READS,),
    )


class UpstoxLogin:
    """Turns a human login, or a token made by hand, into a session. Loop thread."""

    def __init__(self, account: AccountId, credentials: Credentials, endpoints: Endpoints) -> None:
        self._account = account
        self._credentials = credentials
        self._endpoints = endpoints

    def login_url(self, state: str) -> str:
        """The authorise dialog; `state` comes back with the redirect (A2). Raises Denied without a redirect URL."""
        if not self._endpoints.redirect_url:
            raise Denied(
                "Upstox wants to hear the redirect URL that is registered for this API key.",
                "Enter it among the account's addresses, exactly as on Upstox's developer page.",
            )
        query = {
            "response_type": "code",
            "client_id": self._credentials.api_key,
            "redirect_uri": self._endpoints.redirect_url,
            "state": state,
        }
        return f"{self._endpoints.login_url}?{urlencode(query)}"

    async def exchange(self, request_token: str) -> Session:
        """The code of the redirect for a session. Raises LoginFailed, Unreachable, RateLimited, BadAnswer."""
        rest = UpstoxRest(None, self._endpoints)
        fields = {
            "code": request_token,
            "client_id": self._credentials.api_key,
            "client_secret": self._credentials.api_secret.reveal(),
            "redirect_uri": self._endpoints.redirect_url,
            "grant_type": "authorization_code",
            # A year begins anew with every login: else the reading token of the first one would end unseen.
            "refresh_extended_token": "true",
        }
        try:
            row = Row(await rest.form("/v2/login/authorization/token", fields), "login answer")
            now = (await rest.clock()).now
        except (RateLimited, Unreachable, BadAnswer):
            raise
        except BrokerError as refused:
            raise LoginFailed(
                "Upstox refused the login.",
                "Log in again; if it happens twice, compare API key, secret and redirect URL with Upstox's page.",
                detail=refused.detail,
            ) from refused
        finally:
            await rest.close()
        token = Secret(row.text("access_token"))
        extended = row.maybe_text("extended_token")
        return Session(
            account=self._account,
            user_id=row.text("user_id"),
            user_name=row.maybe_text("user_name") or row.text("user_id"),
            access_token=token,
            issued_at=now,
            expires_at=end_of(token) or next_death(now),
            read_token=Secret(extended) if extended else None,
            read_token_expires_at=end_of(Secret(extended)) if extended else None,
            scopes=(TRADES, READS),
        )

    async def logout(self, session: Session) -> None:
        """Kills the session at the broker. One that is dead already is fine."""
        rest = UpstoxRest(session.access_token, self._endpoints)
        try:
            await rest.delete("/v2/logout")
        except SessionExpired:
            return
        finally:
            await rest.close()

    async def adopt(self, access_token: Secret) -> Session:
        """A session by a token that the trader has: the day's access token, an extended or an analytics token. The
        last two live for a year and only read. Raises LoginFailed, NotPermitted, Unreachable, BadAnswer."""
        again = "Make a new one at Upstox's site."
        if claims(access_token) is None:
            raise LoginFailed("This is no token of Upstox.", "Copy it again, alone: three parts with a dot between.")
        if in_sandbox(self._endpoints):
            return await self._practise(access_token, again)
        rest = UpstoxRest(access_token, self._endpoints)
        try:
            now = (await rest.clock()).now
            end = end_of(access_token) or next_death(now)
            if end <= now:
                raise LoginFailed("This token has expired.", again)
            profile = mapping.profile_from(await rest.get("/v2/user/profile"))
        except SessionExpired as dead:
            raise LoginFailed("Upstox does not accept this token.", again) from dead
        finally:
            await rest.close()
        long = end - now > LONGEST_DAY_TOKEN
        return Session(
            account=self._account,
            user_id=profile.user_id,
            user_name=profile.user_name,
            access_token=access_token,
            issued_at=now,
            expires_at=end,
            scopes=(READS,) if long else (TRADES, READS),
        )

    async def _practise(self, access_token: Secret, again: str) -> Session:
        """A session in the sandbox. Its token says whose it is; a cancellation of no order proves it."""
        rest = UpstoxRest(access_token, self._endpoints)
        try:
            now = (await rest.clock()).now
            end, said = end_of(access_token) or next_death(now), claims(access_token) or {}
            if end <= now:
                raise LoginFailed("This token has expired.", again)
            with contextlib.suppress(Rejected):
                await rest.send("DELETE", "/v3/order/cancel", params=[("order_id", NOBODY)])
        except SessionExpired as dead:
            raise LoginFailed("Upstox's sandbox does not accept this token.", again) from dead
        finally:
            await rest.close()
        client = str(said.get("sub") or "sandbox")
        return Session(self._account, client, client, access_token, now, end, scopes=(PRACTISES,))

    # -- approved on the phone ---------------------------------------------------------------------------------------

    async def request_approval(self) -> ApprovalRequest:
        """Upstox asks the trader on the phone (semi-automatic login). Raises LoginFailed, RateLimited, Unreachable."""
        rest = UpstoxRest(None, self._endpoints)
        path = f"/v3/login/auth/token/request/{quote(self._credentials.api_key, safe='')}"
        try:
            body = {"client_secret": self._credentials.api_secret.reveal()}
            row = Row((await rest.send("POST", path, body=body))["data"], "approval answer")
        except (RateLimited, Unreachable, BadAnswer):
            raise
        except BrokerError as refused:
            raise LoginFailed(
                "Upstox did not take the request for a login.",
                "Compare API key and secret with Upstox's page, or log in by its login page.",
                detail=refused.detail,
            ) from refused
        finally:
            await rest.close()
        until = row.number("authorization_expiry")
        return ApprovalRequest(int(until) * 1_000_000, row.maybe_text("notifier_url") or "")

    async def approved(self, notice: bytes) -> Session:
        """The session of a notice that arrived at the registered address. It carries no signature: whose it is is
        compared, and its token proved with a real call. Raises LoginFailed, BadAnswer, Unreachable."""
        row = Row(decode_json(notice), "login notice")
        if row.text("message_type") != "access_token":
            raise row.bad("message_type")
        if row.text("client_id") != self._credentials.api_key:
            raise LoginFailed("This login is of another app.", "Check which app the address is registered for.")
        session = await self.adopt(Secret(row.text("access_token")))
        if session.user_id != row.text("user_id"):
            raise LoginFailed("This login says another client than its token.", "Log in by Upstox's login page.")
        return session
