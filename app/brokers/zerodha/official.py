"""What the official client does for us: session exchange and logout. Blocking; never on the loop thread.

`kiteconnect` is imported inside: it takes 0.6 s, and brings a Twisted reactor with it.
"""

from __future__ import annotations

import logging
from typing import Any

from app.domain.errors import BadAnswer, LoginFailed, NotPermitted, RateLimited, Unreachable, printable

TIMEOUT = 7.0
"""Seconds of silence; the callers put a total deadline on top."""


def exchange(api_url: str, ca_file: str, api_key: str, api_secret: str, request_token: str) -> dict[str, str]:
    """The one-time token of the redirect for a session: user_id, access_token; user_name, refresh_token may be empty.

    Raises LoginFailed, NotPermitted, RateLimited, Unreachable, BadAnswer.
    """
    answer = _call(api_url, ca_file, api_key, "generate_session", request_token, api_secret)
    return _texts(answer, ("user_id", "access_token"), ("user_name", "refresh_token"))


def refresh(api_url: str, ca_file: str, api_key: str, api_secret: str, refresh_token: str) -> dict[str, str]:
    """A fresh session for the refresh token that approved platforms get: user_id, access_token, refresh_token.

    Raises LoginFailed, NotPermitted, RateLimited, Unreachable, BadAnswer.
    """
    answer = _call(api_url, ca_file, api_key, "renew_access_token", refresh_token, api_secret)
    return _texts(answer, ("user_id", "access_token"), ("user_name", "refresh_token"))


def forget(api_url: str, ca_file: str, api_key: str, refresh_token: str) -> None:
    """Kills a refresh token at the broker; one that is dead already is fine. Raises Unreachable, BadAnswer."""
    try:
        _call(api_url, ca_file, api_key, "invalidate_refresh_token", refresh_token)
    except (LoginFailed, NotPermitted):
        return


def logout(api_url: str, ca_file: str, api_key: str, access_token: str) -> None:
    """Kills a session at the broker; one that is dead already is fine. Raises Unreachable, BadAnswer."""
    try:
        _call(api_url, ca_file, api_key, "invalidate_access_token", access_token)
    except (LoginFailed, NotPermitted):
        return


def _call(api_url: str, ca_file: str, api_key: str, method: str, *args: str) -> Any:
    # Before the import brings them up: these two log whole addresses, and a logout's carries the access token.
    logging.getLogger("urllib3").setLevel(logging.INFO)
    logging.getLogger("kiteconnect").setLevel(logging.INFO)
    import requests
    from kiteconnect import KiteConnect
    from kiteconnect.exceptions import KiteException

    kite = KiteConnect(api_key=api_key, root=api_url, timeout=TIMEOUT)
    kite.reqsession.trust_env = False
    if ca_file:
        kite.reqsession.mount("https://", _trusting(ca_file))
    try:
        return getattr(kite, method)(*args)
    except KiteException as refused:
        raise _in_words(type(refused).__name__, str(refused), refused.code) from None
    except requests.exceptions.SSLError:
        raise Unreachable("The broker could not prove who it is (TLS certificate).") from None
    except requests.RequestException as failure:
        raise Unreachable("The broker could not be reached.", detail=type(failure).__name__) from None
    except (KeyError, TypeError, ValueError, AttributeError) as odd:
        # The client indexes into whatever JSON came; its messages may quote the answer, so only the kind is kept.
        raise BadAnswer("The broker's answer to the login cannot be read.", detail=type(odd).__name__) from None
    finally:
        kite.reqsession.close()


def _trusting(ca_file: str) -> Any:
    from requests import PreparedRequest, Response
    from requests.adapters import HTTPAdapter

    class PrivateAuthority(HTTPAdapter):
        """Verifies against one private authority; the client itself passes only True or False."""

        def send(
            self,
            request: PreparedRequest,
            stream: bool = False,
            timeout: float | tuple[float | None, float | None] | None = None,
            verify: bool | str = True,
            cert: str | tuple[str, str] | None = None,
            proxies: dict[str, str] | None = None,
        ) -> Response:
            return super().send(request, stream, timeout, ca_file if verify else verify, cert, proxies)

    return PrivateAuthority()


def _in_words(kind: str, message: str, code: int) -> Exception:
    low = message.lower()
    if code == 429 or "too many requests" in low:
        return RateLimited("The broker takes no more logins for a moment.", detail=message)
    if kind == "TokenException":
        if "checksum" in low or "secret" in low:
            return LoginFailed(
                "API key and API secret do not match.", "Compare both with the broker's developer page.", detail=message
            )
        if "expired" in low or "invalid" in low:
            return LoginFailed(
                "The login's token has expired or was used before, or the API secret is wrong.",
                "Log in again; if it fails again, compare the secret with the broker's developer page.",
                detail=message,
            )
        return LoginFailed("The broker refused the login.", "Log in again.", detail=message)
    if kind == "InputException":
        return LoginFailed(
            "The broker does not know this API key.", "Compare it with the broker's developer page.", detail=message
        )
    if kind in ("PermissionException", "UserException"):
        return NotPermitted("The broker does not let this account use the API.", detail=message)
    if kind == "DataException":
        # Its message quotes the answer, which may be anything.
        return BadAnswer("The broker's answer to the login cannot be read.", detail=f"HTTP {code}")
    return Unreachable("The broker could not answer the login.", detail=printable(message))


def _texts(answer: Any, needed: tuple[str, ...], maybe: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(answer, dict):
        raise BadAnswer("The broker's answer to the login cannot be read.", detail=type(answer).__name__)
    for key in needed:
        if not isinstance(answer.get(key), str) or not answer[key]:
            raise BadAnswer("The broker's answer to the login lacks a field.", detail=key)
    return {key: str(answer.get(key) or "") for key in (*needed, *maybe)}
