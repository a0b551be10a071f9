"""The CSRF state of a login (A1): a fresh random nonce, ten minutes, one use, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from app.domain.errors import LoginFailed
from app.domain.ids import AccountId

LIFETIME = 600.0
"""Seconds from showing the login page to its redirect."""

_AGAIN = "Start the login again."


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """One showing of the login page."""

    account: AccountId
    state: str
    redirect_url: str
    expires_at: float
    """On the clock that the attempts were given (monotonic seconds)."""

    def __repr__(self) -> str:
        return f"LoginAttempt({self.account}, state=***)"


class LoginAttempts:
    """The outstanding attempts of all accounts. One owner, one thread.

    Time is this machine's monotonic clock: ten minutes of the trader, also where the exchange's clock runs faster.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, lifetime: float = LIFETIME) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._open: list[LoginAttempt] = []
        self._spent: deque[tuple[bytes, str]] = deque(maxlen=200)
        """Digests of states that cannot be used any more, with what became of them, to tell the words apart."""

    def begin(self, account: AccountId, redirect_url: str) -> LoginAttempt:
        """A fresh attempt; earlier ones of the same account end."""
        self.cancel(account)
        attempt = LoginAttempt(account, secrets.token_urlsafe(32), redirect_url, self._clock() + self._lifetime)
        self._open.append(attempt)
        return attempt

    def cancel(self, account: AccountId) -> None:
        """Ends the account's attempt: a redirect that still comes is refused."""
        for attempt in [a for a in self._open if a.account == account]:
            self._spend(attempt, "ended")

    def waits(self, account: AccountId) -> bool:
        """Whether an attempt of the account is still open."""
        return any(attempt.account == account for attempt in self._open)

    def check(self, account: AccountId, redirected_to: str, parameter: str = "request_token") -> str:
        """The one-time token of a redirect that answers the account's attempt, which is used up by that.

        `parameter` carries it (`BrokerInfo.redirect_parameter`). A broker that speaks OAuth says `error` where Kite
        says a `status` other than success. Raises LoginFailed with words for: another address, cancelled, missing,
        wrong, replayed or late state, and a redirect without a token.
        """
        query = self._query(account, redirected_to)
        token = query.get(parameter, "")
        refused = query.get("status", "success" if token else "") != "success" or "error" in query
        given = query.get("state", "")
        if not given:
            if refused and ("status" in query or "error" in query):
                raise _cancelled()
            raise LoginFailed("The login came back without the mark of this program (state).", _AGAIN)
        attempt = self._take(account, given)
        if self._clock() > attempt.expires_at:
            raise LoginFailed("The login page was open for too long: its answer came after ten minutes.", _AGAIN)
        if refused:
            raise _cancelled()
        if not token:
            raise LoginFailed("The login came back without a request token.", _AGAIN)
        return token

    def _query(self, account: AccountId, redirected_to: str) -> dict[str, str]:
        given = urlsplit(redirected_to)
        # Where nobody said which address is registered (a pasted one), the mark alone proves that the login is ours.
        expected = {a.redirect_url for a in self._open if a.account == account and a.redirect_url}
        if expected and not any(_same_place(redirected_to, url) for url in expected):
            raise LoginFailed(
                "The login page led to another address than the one registered for this account.",
                "Check the redirect URL in the broker's developer console.",
                detail=f"{given.scheme}://{given.netloc}{given.path}",
            )
        query = parse_qs(given.query, keep_blank_values=True)
        doubled = [key for key, values in query.items() if len(values) > 1]
        if doubled:
            raise LoginFailed("The login came back with a parameter twice.", _AGAIN, detail=", ".join(doubled))
        return {key: values[0] for key, values in query.items()}

    def _take(self, account: AccountId, given: str) -> LoginAttempt:
        """The attempt with this state, used up; every open one is compared, so that time tells nothing."""
        found = None
        for attempt in self._open:
            if hmac.compare_digest(attempt.state.encode(), given.encode()) and attempt.account == account:
                found = attempt
        if found is not None:
            self._spend(found, "used")
            return found
        digest = _digest(given)
        for spent, how in self._spent:
            if hmac.compare_digest(spent, digest):
                if how == "used":
                    raise LoginFailed("This login was used before; a login works once.", _AGAIN)
                raise LoginFailed("This login was cancelled or replaced by a newer one.", _AGAIN)
        raise LoginFailed("The login came back with a mark that is not ours (state); it was not used.", _AGAIN)

    def _spend(self, attempt: LoginAttempt, how: str) -> None:
        self._open.remove(attempt)
        self._spent.append((_digest(attempt.state), how))


def _digest(state: str) -> bytes:
    return hashlib.sha256(state.encode()).digest()


def _same_place(one: str, other: str) -> bool:
    a, b = urlsplit(one), urlsplit(other)
    return (a.scheme, a.hostname, a.port, a.path or "/") == (b.scheme, b.hostname, b.port, b.path or "/")


def _cancelled() -> LoginFailed:
    return LoginFailed("The login was cancelled at the broker's page.", _AGAIN)
