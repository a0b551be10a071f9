"""The login page: user id and password, then the code of an authenticator (A2.1, A2.2). Works without JavaScript.

After success the browser is sent to the registered redirect address with a request token; Cancel sends it there without
one. What the app passed as `redirect_params` comes back as ordinary query parameters.
"""

from __future__ import annotations

import html
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

from app.simulator.bodies import form_of
from app.simulator.kite.sessions import Sessions
from app.simulator.pages import page

ATTEMPT_SECONDS = 300
WRONG_CODES = 5
"""After so many wrong codes a login attempt begins again with the password."""


@dataclass(slots=True)
class Attempt:
    """A login of which the password was right."""

    redirect_params: str
    until: float
    wrong: int = 0


class LoginPage:
    """GET and POST /connect/login."""

    def __init__(self, sessions: Sessions, redirect_url: Callable[[], str]) -> None:
        self._sessions = sessions
        self._redirect_url = redirect_url
        self._attempts: dict[str, Attempt] = {}

    async def show(self, request: web.Request) -> web.Response:
        """The first page."""
        api_key = request.query.get("api_key", "")
        if not self._sessions.knows_app(api_key):
            return page("Unknown app", "<p>No app with this <code>api_key</code> is registered here.</p>", status=400)
        if request.query.get("v") != "3":
            return page("Unknown version", "<p>The login address needs <code>v=3</code>.</p>", status=400)
        return _password_page(api_key, request.query.get("redirect_params", ""))

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Either page's form."""
        form = await form_of(request)
        api_key, params = form.get("api_key", ""), form.get("redirect_params", "")
        if not self._sessions.knows_app(api_key):
            return page("Unknown app", "<p>No app with this <code>api_key</code> is registered here.</p>", status=400)
        if form.get("action") == "cancel":
            attempt = self._attempts.pop(form.get("attempt", ""), None)
            raise web.HTTPFound(self._target({"status": "cancelled"}, attempt.redirect_params if attempt else params))
        if "attempt" in form:
            return self._code(api_key, form)
        user_id = form.get("user_id", "")
        if not self._sessions.check_password(user_id, form.get("password", "")):
            return _password_page(api_key, params, user_id, "Invalid user ID or password.", status=403)
        self._forget_old()
        name = secrets.token_urlsafe(24)
        self._attempts[name] = Attempt(params, time.monotonic() + ATTEMPT_SECONDS)
        return _code_page(api_key, name, self._sessions.user_id)

    def _code(self, api_key: str, form: dict[str, str]) -> web.StreamResponse:
        self._forget_old()
        name = form["attempt"]
        attempt = self._attempts.get(name)
        if attempt is None:
            return _password_page(api_key, "", "", "The login took too long. Please start again.", status=403)
        if not self._sessions.check_totp(form.get("totp", "")):
            attempt.wrong += 1
            if attempt.wrong >= WRONG_CODES:
                del self._attempts[name]
                words = "Too many wrong codes. Please start again."
                return _password_page(api_key, attempt.redirect_params, "", words, status=403)
            return _code_page(api_key, name, self._sessions.user_id, "Invalid TOTP. Check the code.", status=403)
        del self._attempts[name]
        answer = {"request_token": self._sessions.new_request_token(), "status": "success"}
        raise web.HTTPFound(self._target(answer, attempt.redirect_params))

    def _target(self, answer: dict[str, str], params: str) -> str:
        parts = urlsplit(self._redirect_url())
        extras = [("action", "login"), ("type", "login")] if self._sessions.switches.redirect_extras == "on" else []
        pairs = [
            *parse_qsl(parts.query, keep_blank_values=True),
            *answer.items(),
            *extras,
            *parse_qsl(params, keep_blank_values=True),
        ]
        return urlunsplit(parts._replace(query=urlencode(pairs)))

    def _forget_old(self) -> None:
        now = time.monotonic()
        self._attempts = {name: attempt for name, attempt in self._attempts.items() if attempt.until > now}


async def landing(request: web.Request) -> web.Response:
    """Where the redirect leads when nobody catches it: says so, shows no token."""
    done = request.query.get("status") == "success"
    words = "You can close this page now." if done else "Nothing was changed. You can close this page."
    return page("Logged in" if done else "Login cancelled", f"<p>{words}</p>")


def _password_page(api_key: str, params: str, user_id: str = "", error: str = "", *, status: int = 200) -> web.Response:
    first, second = ("", "autofocus") if user_id else ("autofocus", "")
    fields = f"""
<label for="user_id">User ID</label>
<input id="user_id" name="user_id" autocomplete="username" required {first} value="{html.escape(user_id)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required {second}>
<input type="hidden" name="redirect_params" value="{html.escape(params)}">"""
    return _form_page("Log in", "Your account at the paper exchange.", api_key, fields, "Log in", error, status)


def _code_page(api_key: str, attempt: str, user_id: str, error: str = "", *, status: int = 200) -> web.Response:
    fields = f"""
<label for="totp">Code of your authenticator for {html.escape(user_id)}</label>
<input id="totp" name="totp" inputmode="numeric" autocomplete="one-time-code" maxlength="6" required autofocus>
<input type="hidden" name="attempt" value="{html.escape(attempt)}">"""
    return _form_page(
        "Two-factor check", "Six digits, new every half minute.", api_key, fields, "Continue", error, status
    )


def _form_page(title: str, words: str, api_key: str, fields: str, go: str, error: str, status: int) -> web.Response:
    box = f'<div class="error" id="error" role="alert">{html.escape(error)}</div>' if error else ""
    return page(
        title,
        f"""<p>{words}</p>{box}<form method="post" action="/connect/login">{fields}
<input type="hidden" name="api_key" value="{html.escape(api_key)}">
<div class="buttons"><button class="go" id="submit" type="submit">{go}</button>
<button class="no" id="cancel" type="submit" name="action" value="cancel" formnovalidate>Cancel</button></div>
</form>""",
        status=status,
    )
