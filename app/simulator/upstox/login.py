"""The authorise dialog (B2.1): mobile number or user id, the authenticator's code, then the PIN. No JavaScript needed.

After success the browser is sent to the redirect address with a code and the app's `state`; Cancel sends it there with
an error. A wrong app or redirect address is told on the page, never redirected.
"""

from __future__ import annotations

import html
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

from app.simulator.bodies import form_of
from app.simulator.pages import field, form_page, page
from app.simulator.upstox.tokens import Tokens

DIALOG = "/v2/login/authorization/dialog"
ATTEMPT_SECONDS = 300
WRONG_TRIES = 5


@dataclass(slots=True)
class Attempt:
    """A login on its way."""

    state: str
    until: float
    code_right: bool = False
    wrong: int = 0


class LoginPage:
    """GET and POST of the dialog."""

    def __init__(self, tokens: Tokens, redirect_url: Callable[[], str]) -> None:
        self._tokens = tokens
        self._redirect_url = redirect_url
        self._attempts: dict[str, Attempt] = {}

    async def show(self, request: web.Request) -> web.Response:
        """The first page."""
        refused = self._refusal(request.query)
        return refused if refused is not None else _name_page(_passed_on(request.query))

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Any page's form."""
        form = await form_of(request)
        refused = self._refusal(form)
        if refused is not None:
            return refused
        self._forget_old()
        passed, attempt = _passed_on(form), self._attempts.get(form.get("attempt", ""))
        if form.get("action") == "cancel":
            self._attempts.pop(form.get("attempt", ""), None)
            answer = {"error": "access_denied", "error_description": "The login was cancelled."}
            raise web.HTTPFound(self._target(answer, form.get("state", "")))
        if "attempt" not in form:
            return self._named(form, passed)
        if attempt is None:
            return _name_page(passed, error="The login took too long. Please start again.", status=403)
        return self._proved(form, passed, attempt)

    def _named(self, form: Mapping[str, str], passed: dict[str, str]) -> web.Response:
        name = form.get("user_id", "")
        if not self._tokens.knows_user(name):
            return _name_page(passed, name, "Unknown mobile number or user ID.", status=403)
        key = secrets.token_urlsafe(24)
        self._attempts[key] = Attempt(form.get("state", ""), time.monotonic() + ATTEMPT_SECONDS)
        return _code_page({**passed, "attempt": key})

    def _proved(self, form: Mapping[str, str], passed: dict[str, str], attempt: Attempt) -> web.Response:
        key = form["attempt"]
        hidden = {**passed, "attempt": key}
        if not attempt.code_right:
            if self._tokens.check_totp(form.get("totp", "")):
                attempt.code_right = True
                return _pin_page(hidden)
            if self._spent(key, attempt):
                return _name_page(passed, error="Too many wrong codes. Please start again.", status=403)
            return _code_page(hidden, "Invalid TOTP. Check the code.", status=403)
        if not self._tokens.check_pin(form.get("pin", "")):
            if self._spent(key, attempt):
                return _name_page(passed, error="Too many wrong PINs. Please start again.", status=403)
            return _pin_page(hidden, "Invalid PIN.", status=403)
        del self._attempts[key]
        answer = {"code": self._tokens.new_code(form.get("redirect_uri", ""))}
        raise web.HTTPFound(self._target(answer, attempt.state))

    def _spent(self, key: str, attempt: Attempt) -> bool:
        attempt.wrong += 1
        if attempt.wrong >= WRONG_TRIES:
            del self._attempts[key]
            return True
        return False

    def _refusal(self, asked: Mapping[str, str]) -> web.Response | None:
        if not self._tokens.knows_app(asked.get("client_id", "")) or asked.get("redirect_uri") != self._redirect_url():
            words = "UDAPI100068: Check your 'client_id' and 'redirect_uri'; one or both are incorrect."
            return page("Unknown app", f"<p>{html.escape(words)}</p>", status=400)
        if asked.get("response_type") not in (None, "", "code"):  # the official client leaves it out
            words = "UDAPI100016: The login address needs <code>response_type=code</code>."
            return page("Unknown response type", f"<p>{words}</p>", status=400)
        return None

    def _target(self, answer: dict[str, str], state: str) -> str:
        parts = urlsplit(self._redirect_url())
        pairs = [*parse_qsl(parts.query, keep_blank_values=True), *answer.items()]
        if state:
            pairs.append(("state", state))
        return urlunsplit(parts._replace(query=urlencode(pairs)))

    def _forget_old(self) -> None:
        now = time.monotonic()
        self._attempts = {key: attempt for key, attempt in self._attempts.items() if attempt.until > now}


async def landing(request: web.Request) -> web.Response:
    """Where the redirect leads when nobody catches it: says so, shows no code."""
    done = "code" in request.query
    words = "You can close this page now." if done else "Nothing was changed. You can close this page."
    return page("Logged in" if done else "Login cancelled", f"<p>{words}</p>")


def _passed_on(asked: Mapping[str, str]) -> dict[str, str]:
    return {name: asked.get(name, "") for name in ("response_type", "client_id", "redirect_uri", "state")}


def _name_page(passed: dict[str, str], name: str = "", error: str = "", *, status: int = 200) -> web.Response:
    fields = field("user_id", "Mobile number or user ID", value=name, autocomplete="username")
    return form_page(DIALOG, "Log in", "Your account at the paper exchange.", fields, passed, "Get code", error, status)


def _code_page(hidden: dict[str, str], error: str = "", *, status: int = 200) -> web.Response:
    fields = field("totp", "Code of your authenticator", autocomplete="one-time-code", numeric=True)
    return form_page(
        DIALOG, "Two-factor check", "Six digits, new every half minute.", fields, hidden, "Continue", error, status
    )


def _pin_page(hidden: dict[str, str], error: str = "", *, status: int = 200) -> web.Response:
    fields = field("pin", "Your six-digit PIN", autocomplete="current-password", numeric=True, secret=True)
    return form_page(DIALOG, "Enter PIN", "The last step.", fields, hidden, "Continue", error, status)
