"""The Upstox app and its client: codes, signed tokens and their deaths (B2). Four kinds of token:

access    everything; dies at 03:30 IST of the next day, whenever it was issued
extended  one year, reads only
analytics one year, reads only, made once for the account
sandbox   30 days, orders of the sandbox only, made once for the sandbox's own app

Tokens are JWTs (HS256); their `exp` is on the exchange's clock. What is remembered is claims, never a token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import string
import time
import uuid
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any

import pyotp

from app.simulator.bodies import raw
from app.simulator.book import Book
from app.simulator.clock import ExchangeClock
from app.simulator.faults import Faults
from app.simulator.refusal import Refused
from app.simulator.upstox.envelope import INVALID_TOKEN, refuse

ACCESS, EXTENDED, ANALYTICS, SANDBOX = "access", "extended", "analytics", "sandbox"
CODE_SECONDS = 300
"""Real seconds that an authorisation code lives (its true life is not documented)."""
DEATH = (3, 30)
YEAR = timedelta(days=365)
SANDBOX_LIFE = timedelta(days=30)
ISSUER = "udapi-gateway-service"
_KIND = "token_use"
"""Our own claim; clients read `exp` alone."""


@dataclass(frozen=True, slots=True)
class UpstoxCredentials:
    """The client and the app of the paper exchange. `password` is the six-digit PIN."""

    api_key: str
    api_secret: str
    user_id: str
    mobile: str
    password: str
    totp_secret: str

    def __repr__(self) -> str:
        return f"UpstoxCredentials({self.user_id}, ***)"

    @classmethod
    def new(cls) -> UpstoxCredentials:
        """Fresh random ones."""
        return cls(
            api_key=str(uuid.UUID(int=secrets.randbits(128), version=4)),
            api_secret=_random(10, string.ascii_lowercase + string.digits),
            user_id=_random(6, string.ascii_uppercase + string.digits),
            mobile="9" + _random(9, string.digits),
            password=_random(6, string.digits),
            totp_secret=pyotp.random_base32(),
        )

    @classmethod
    def read(cls, document: object) -> UpstoxCredentials:
        """From a JSON object with exactly these six texts. Raises ValueError or TypeError, never with a value in it."""
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
class Code:
    """An authorisation code that was handed out."""

    redirect_uri: str
    until: float
    """Monotonic seconds."""


class Tokens:
    """Owned by the Upstox door; on the loop thread. Writes to the book."""

    def __init__(self, credentials: UpstoxCredentials, clock: ExchangeClock, book: Book, faults: Faults) -> None:
        self.credentials = credentials
        self._clock = clock
        self._book = book
        self._faults = faults
        self._key = secrets.token_bytes(32)
        self._codes: dict[str, Code] = {}
        self._claims: dict[str, dict[str, Any]] = {}
        """By jti: every token that lives."""
        self.notifier_url = ""
        """Where the token of an approved login goes; empty: no address is registered."""
        self._asked_until = 0.0
        """Until when the login that was asked for can be approved, on the exchange's clock; 0: none was."""

    # -- the client's proofs

    def knows_app(self, client_id: str) -> bool:
        """Whether an app of this key is registered."""
        return hmac.compare_digest(raw(client_id), self.credentials.api_key.encode())

    def knows_user(self, name: str) -> bool:
        """By mobile number or user id."""
        return name.strip().upper() in (self.credentials.user_id.upper(), self.credentials.mobile)

    def check_totp(self, code: str) -> bool:
        """The code of now, or of one step before or after. By real time, as the trader's authenticator has it."""
        return pyotp.TOTP(self.credentials.totp_secret).verify(code.strip(), valid_window=1)

    def check_pin(self, pin: str) -> bool:
        """The six digits."""
        return hmac.compare_digest(raw(pin.strip()), self.credentials.password.encode())

    # -- tokens

    def new_code(self, redirect_uri: str) -> str:
        """Single use, short-lived, good for this redirect address alone."""
        code = _random(6)
        self._codes[code] = Code(redirect_uri, time.monotonic() + CODE_SECONDS)
        return code

    def exchange(self, form: dict[str, str]) -> dict[str, Any]:
        """POST /v2/login/authorization/token. Raises Refused; a code is spent by its first use, right or wrong."""
        if form.get("grant_type") != "authorization_code":
            raise refuse("UDAPI100038", "Invalid grant_type: authorization_code is expected", path="grant_type")
        known = self._codes.pop(form.get("code", ""), None)
        if not self.knows_app(form.get("client_id", "")) or not hmac.compare_digest(
            raw(form.get("client_secret", "")), self.credentials.api_secret.encode()
        ):
            raise refuse("UDAPI100016", "Invalid Credentials", 401)
        if known is None or known.until < time.monotonic():
            raise refuse("UDAPI100057", "Invalid Auth code", 401)
        if known.redirect_uri != form.get("redirect_uri", ""):
            raise refuse("UDAPI100068", "Check your 'client_id' and 'redirect_uri'; one or both are incorrect.", 401)
        if self._faults.switches.relogin == "newest":
            self._drop(ACCESS)
        answer = {**self.profile(), "access_token": self._issue(ACCESS, self._next_death())}
        if self._faults.switches.extended == "entitled":
            answer["extended_token"] = self._long_lived(
                EXTENDED, renew=form.get("refresh_extended_token", "").lower() == "true"
            )
        self._book.commit(durable=True)
        return answer

    def death_of_request(self, client_id: str, client_secret: str) -> int:
        """The semi-automatic login: until when it can be approved and its token lives, epoch milliseconds. The client
        approves on the phone (`approve`). Raises Refused."""
        if not self.knows_app(client_id) or not hmac.compare_digest(
            raw(client_secret), self.credentials.api_secret.encode()
        ):
            raise refuse("UDAPI100016", "Invalid Credentials", 401)
        self._asked_until = self._next_death()
        return int(self._asked_until) * 1000

    def approve(self) -> dict[str, Any]:
        """What is sent to the registered address. Raises Refused: nobody asked, or no address is registered."""
        if not self.notifier_url or self._clock.epoch() >= self._asked_until:
            raise refuse("UDAPI100038", "No login waits for approval, or no notifier is registered.")
        self._asked_until = 0.0
        dies, now = self._next_death(), int(self._clock.epoch())
        token = self._issue(ACCESS, dies)
        self._book.commit(durable=True)
        return {
            "client_id": self.credentials.api_key,
            "user_id": self.credentials.user_id,
            "access_token": token,
            "token_type": "Bearer",
            "expires_at": str(dies * 1000),
            "issued_at": str(now * 1000),
            "message_type": "access_token",
        }

    def analytics(self) -> str:
        """The account's analytics token, the same until it dies."""
        token = self._long_lived(ANALYTICS, renew=False)
        self._book.commit(durable=True)
        return token

    def sandbox(self) -> str:
        """The token of the sandbox's app, the same until it dies."""
        token = self._long_lived(SANDBOX, renew=False)
        self._book.commit(durable=True)
        return token

    def kind_of(self, token: str) -> str:
        """Which kind a live token is. Raises Refused (401) for one that is none."""
        claims = self._claims.get(self._jti(token) or "")
        if claims is None or self._clock.epoch() >= claims["exp"]:
            raise refuse(INVALID_TOKEN, "Invalid token used to access API", 401)
        return str(claims[_KIND])

    def end(self, token: str) -> None:
        """DELETE /v2/logout."""
        jti = self._jti(token)
        if jti is not None:
            self._forget(jti)
        self._book.commit(durable=True)

    def end_access(self) -> None:
        """Every access token dies, as after a change of the registered addresses."""
        self._drop(ACCESS)
        self._book.commit(durable=True)

    def bury_dead(self) -> bool:
        """Forgets tokens that died; a clock set back does not revive them. True when there were any."""
        now = self._clock.epoch()
        dead = [jti for jti, claims in self._claims.items() if now >= claims["exp"]]
        for jti in dead:
            self._forget(jti)
        self._book.commit()
        return bool(dead)

    def profile(self) -> dict[str, Any]:
        """Who the client is, as the token answer and GET /v2/user/profile say it."""
        return {
            "email": f"{self.credentials.user_id.lower()}@paper.invalid",
            "exchanges": ["NSE", "NFO", "BSE", "BFO"],
            "products": ["D", "I", "MTF"],
            "broker": "UPSTOX",
            "user_id": self.credentials.user_id,
            "user_name": "Paper Trader",
            "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
            "user_type": "individual",
            "poa": False,
            "ddpi": True,
            "is_active": True,
        }

    # -- memory

    def load(self) -> None:
        """From the book."""
        keys = self._book.load("upstox-key")
        if "tokens" in keys:
            self._key = bytes.fromhex(keys["tokens"])
        else:
            self._book.put("upstox-key", "tokens", self._key.hex())
        self._claims = dict(self._book.load("upstox-token"))
        self.bury_dead()

    # -- within

    def _next_death(self) -> int:
        now = self._clock.now()
        death = now.replace(hour=DEATH[0], minute=DEATH[1], second=0, microsecond=0)
        if now >= death:
            death += timedelta(days=1)
        return int(death.timestamp())

    def _long_lived(self, kind: str, *, renew: bool) -> str:
        living = [claims for claims in self._claims.values() if claims[_KIND] == kind]
        if living and not renew:
            return self._sign(living[-1])
        self._drop(kind)
        life = SANDBOX_LIFE if kind == SANDBOX else YEAR
        return self._issue(kind, int((self._clock.now() + life).timestamp()))

    def _issue(self, kind: str, dies: int) -> str:
        jti = secrets.token_hex(12)
        claims: dict[str, Any] = {
            "sub": self.credentials.user_id,
            "jti": jti,
            "isMultiClient": False,
            "isPlusPlan": self._faults.switches.plus_plan == "on",
            "iat": int(self._clock.epoch()),
            "iss": ISSUER,
            "exp": dies,
            _KIND: kind,
        }
        self._claims[jti] = claims
        self._book.put("upstox-token", jti, claims)
        return self._sign(claims)

    def _sign(self, claims: dict[str, Any]) -> str:
        head = _packed(json.dumps({"typ": "JWT", "alg": "HS256"}, separators=(",", ":")).encode())
        body = _packed(json.dumps(claims, separators=(",", ":")).encode())
        signed = f"{head}.{body}"
        return f"{signed}.{_packed(hmac.digest(self._key, raw(signed), hashlib.sha256))}"

    def _jti(self, token: str) -> str | None:
        """The id of a token with our signature."""
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(
            raw(signature), _packed(hmac.digest(self._key, raw(signed), hashlib.sha256)).encode()
        ):
            return None
        body = signed.partition(".")[2]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return str(claims["jti"])

    def _drop(self, kind: str) -> None:
        for jti in [jti for jti, claims in self._claims.items() if claims[_KIND] == kind]:
            self._forget(jti)

    def _forget(self, jti: str) -> None:
        self._claims.pop(jti, None)
        self._book.drop("upstox-token", jti)


def not_permitted() -> Refused:
    """A read-only token at a call that it may not make."""
    return refuse("UDAPI100067", "The API you are trying to access is not permitted with this token.", 403)


def _packed(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _random(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
