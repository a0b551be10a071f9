"""Who may do what: the one registered client, request tokens, access tokens and their death at 06:00 (A2).

No token is kept in plain: what is remembered is its salted SHA-256 (tokens are 190 random bits, so no slow hash is
needed). The password, known in plain only when it comes from outside, is compared through scrypt.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import time
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any

import pyotp

from app.simulator.bodies import raw
from app.simulator.book import Book
from app.simulator.clock import ExchangeClock
from app.simulator.faults import Faults
from app.simulator.figures import stamp
from app.simulator.kite.envelope import session_dead
from app.simulator.switches import Switches

REQUEST_TOKEN_SECONDS = 300
"""Real seconds that a request token lives."""
TOKEN_LENGTH = 32
DEATH_HOUR = 6
_ALPHABET = string.ascii_letters + string.digits
EXPIRED = "Token is invalid or has expired."


@dataclass(frozen=True, slots=True)
class Credentials:
    """The client and the app of the paper exchange."""

    api_key: str
    api_secret: str
    user_id: str
    password: str
    totp_secret: str

    def __repr__(self) -> str:
        return f"Credentials({self.user_id}, ***)"

    @classmethod
    def new(cls) -> Credentials:
        """Fresh random ones."""
        return cls(
            api_key=_random(16, string.ascii_lowercase + string.digits),
            api_secret=_random(32, string.ascii_lowercase + string.digits),
            user_id=_random(2, string.ascii_uppercase) + _random(4, string.digits),
            password=_random(12),
            totp_secret=pyotp.random_base32(),
        )

    @classmethod
    def read(cls, document: object) -> Credentials:
        """From a JSON object with exactly these five strings. Raises ValueError or TypeError, never
        with a value in it."""
        names = [f.name for f in fields(cls)]
        if not isinstance(document, dict):
            raise TypeError(f"credentials must be a JSON object with {', '.join(names)}")
        for name in names:
            if not isinstance(document.get(name), str) or not document[name]:
                raise ValueError(f"credentials need {name}, a text that is not empty")
        return cls(**{name: document[name] for name in names})

    def as_dict(self) -> dict[str, str]:
        """For the line on standard output."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Session:
    """One access token."""

    user_id: str
    login_time: str
    dies_at: float
    """Exchange time, Unix seconds."""


class Sessions:
    """Owned by the server; on the loop thread. Writes to the book."""

    def __init__(self, credentials: Credentials, clock: ExchangeClock, book: Book, faults: Faults) -> None:
        self._credentials = credentials
        self._clock = clock
        self._book = book
        self._faults = faults
        self._salt = secrets.token_bytes(16)
        self._request_tokens: dict[str, float] = {}
        self._sessions: dict[str, Session] = {}
        self._newest = ""
        """The last token handed out, in plain; in memory only."""
        self._refresh: dict[str, bool] = {}
        self._password_salt = secrets.token_bytes(16)
        self._password = self._scrypt(credentials.password)
        self._totp = pyotp.TOTP(credentials.totp_secret)

    @property
    def switches(self) -> Switches:
        """As they stand."""
        return self._faults.switches

    @property
    def user_id(self) -> str:
        """The client's."""
        return self._credentials.user_id

    # -- login

    def knows_app(self, api_key: str) -> bool:
        """Whether an app of this key is registered."""
        return hmac.compare_digest(raw(api_key), self._credentials.api_key.encode())

    def check_password(self, user_id: str, password: str) -> bool:
        """Both right?"""
        known = hmac.compare_digest(raw(user_id.strip().upper()), self._credentials.user_id.upper().encode())
        return hmac.compare_digest(self._scrypt(password), self._password) and known

    def check_totp(self, code: str) -> bool:
        """The code of now, or of one step before or after. By real time, as the trader's authenticator has it."""
        return self._totp.verify(code.strip(), valid_window=1)

    def new_request_token(self) -> str:
        """Single use, five minutes."""
        token = _random(TOKEN_LENGTH)
        self._request_tokens[self._hash(token)] = time.monotonic() + REQUEST_TOKEN_SECONDS
        return token

    # -- tokens

    def exchange(self, api_key: str, request_token: str, checksum: str) -> dict[str, Any]:
        """POST /session/token. Raises Refused; a request token is spent by its first use, right or wrong."""
        if not self.knows_app(api_key):
            raise session_dead("Invalid `api_key`.")
        valid_until = self._request_tokens.pop(self._hash(request_token), 0.0)
        if valid_until < time.monotonic():
            raise session_dead(EXPIRED)
        self._check(api_key, request_token, checksum)
        token = self._open()
        return {
            **self.profile(),
            "api_key": api_key,
            "access_token": token,
            "public_token": _random(TOKEN_LENGTH),
            "enctoken": _random(TOKEN_LENGTH),
            "refresh_token": self._new_refresh_token(),
            "silo": "",
            "login_time": self._sessions[self._hash(token)].login_time,
        }

    def _check(self, api_key: str, token: str, checksum: str) -> None:
        expected = hashlib.sha256(raw(f"{api_key}{token}{self._credentials.api_secret}")).hexdigest()
        if not hmac.compare_digest(expected.encode(), raw(checksum)):
            raise session_dead("Invalid `checksum`.")

    def _open(self) -> str:
        """A new session, or the one of today once more."""
        if self._faults.switches.relogin == "same" and self._hash(self._newest) in self._sessions:
            return self._newest
        token = self._newest = _random(TOKEN_LENGTH)
        if self._faults.switches.relogin == "newest":
            for key in list(self._sessions):
                self._drop(key)
        now = self._clock.now()
        session = Session(self.user_id, stamp(now), _next_death(now))
        self._sessions[self._hash(token)] = session
        self._book.put("session", self._hash(token), asdict(session))
        self._book.commit(durable=True)
        return token

    def _new_refresh_token(self) -> str:
        """For approved platforms; individuals get an empty one."""
        if self._faults.switches.renewal == "none":
            return ""
        token = _random(TOKEN_LENGTH)
        self._refresh[self._hash(token)] = True
        self._book.put("refresh", self._hash(token), True)
        self._book.commit(durable=True)
        return token

    def user_of(self, api_key: str, access_token: str) -> str | None:
        """Whose live token this is."""
        if not self.knows_app(api_key):
            return None
        session = self._sessions.get(self._hash(access_token))
        return session.user_id if session and self._clock.epoch() < session.dies_at else None

    def end(self, api_key: str, access_token: str) -> bool:
        """DELETE /session/token. False when there was no such session."""
        key = self._hash(access_token)
        if not self.knows_app(api_key) or key not in self._sessions:
            return False
        self._drop(key)
        self._book.commit(durable=True)
        return True

    def renew(self, api_key: str, refresh_token: str, checksum: str) -> dict[str, Any]:
        """POST /session/refresh_token: a new pair for a refresh token, which is spent. Raises Refused."""
        self._check_refresh(api_key, refresh_token)
        self._check(api_key, refresh_token, checksum)
        self.forget_refresh(api_key, refresh_token)
        return {
            "user_id": self.user_id,
            "access_token": self._open(),
            "refresh_token": self._new_refresh_token(),
        }

    def forget_refresh(self, api_key: str, refresh_token: str) -> None:
        """DELETE /session/token with a refresh token. Raises Refused."""
        self._check_refresh(api_key, refresh_token)
        key = self._hash(refresh_token)
        del self._refresh[key]
        self._book.drop("refresh", key)
        self._book.commit(durable=True)

    def _check_refresh(self, api_key: str, refresh_token: str) -> None:
        if not self.knows_app(api_key):
            raise session_dead("Invalid `api_key`.")
        if self._hash(refresh_token) not in self._refresh:
            raise session_dead("Invalid `refresh_token`.")

    def end_all(self) -> bool:
        """Every session dies at once, as after a master logout. True when there were any."""
        had = bool(self._sessions)
        for key in list(self._sessions):
            self._drop(key)
        self._book.commit(durable=True)
        return had

    def bury_dead(self) -> bool:
        """Forgets tokens that died; a clock set back does not revive them. True when there were any."""
        now = self._clock.epoch()
        dead = [key for key, session in self._sessions.items() if now >= session.dies_at]
        for key in dead:
            self._drop(key)
        self._book.commit()
        return bool(dead)

    def profile(self) -> dict[str, Any]:
        """GET /user/profile."""
        return {
            "user_id": self.user_id,
            "user_type": "individual",
            "email": f"{self.user_id.lower()}@paper.invalid",
            "user_name": "Paper Trader",
            "user_shortname": "Paper",
            "broker": "ZERODHA",
            "exchanges": ["NSE", "NFO", "BSE", "BFO"],
            "products": ["CNC", "NRML", "MIS", "CO"],
            "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
            "avatar_url": None,
            "meta": {"demat_consent": "consent" if self._faults.switches.authorisation == "given" else ""},
        }

    # -- memory

    def load(self) -> None:
        """From the book. The salt goes with the hashes."""
        salts = self._book.load("salt")
        if "tokens" in salts:
            self._salt = bytes.fromhex(salts["tokens"])
        else:
            self._book.put("salt", "tokens", self._salt.hex())
        self._sessions = {key: Session(**record) for key, record in self._book.load("session").items()}
        self._refresh = self._book.load("refresh")
        self.bury_dead()

    def _drop(self, key: str) -> None:
        self._sessions.pop(key, None)
        self._book.drop("session", key)

    def _hash(self, token: str) -> str:
        return hashlib.sha256(self._salt + raw(token)).hexdigest()

    def _scrypt(self, password: str) -> bytes:
        return hashlib.scrypt(raw(password), salt=self._password_salt, n=2**12, r=8, p=1)


def _next_death(now: datetime) -> float:
    death = now.replace(hour=DEATH_HOUR, minute=0, second=0, microsecond=0)
    if now >= death:
        death += timedelta(days=1)
    return death.timestamp()


def _random(length: int, alphabet: str = _ALPHABET) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
