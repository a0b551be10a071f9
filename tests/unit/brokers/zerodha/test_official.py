"""The official client's failures in our words; it runs for real, against scripted answers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

import pytest

from app.brokers.zerodha import official
from app.domain.errors import AppError, BadAnswer, LoginFailed, NotPermitted, RateLimited, Unreachable
from tests.fakes.scripted_server import ScriptedServer, answer
from tests.shared_data import shared_data

SECRET, TOKEN = "api-secret-canary", "access-token-canary"


def failure(status: str, kind: str, message: str) -> bytes:
    body = {"status": "error", "message": message, "error_type": kind}
    return answer(json.dumps(body).encode(), status=status)


async def ask(reply: bytes | None, call: Callable[[str], Any]) -> tuple[Any, ScriptedServer]:
    async with ScriptedServer(lambda _: reply) as server:
        return await asyncio.to_thread(call, server.url), server


def exchange(url: str) -> dict[str, str]:
    return official.exchange(url, "", "api_key_1", SECRET, "request_token_1")


async def test_the_brokers_sample_is_a_session() -> None:
    reply = answer(shared_data("kite", "generate_session.json").read_bytes())
    session, server = await ask(reply, exchange)
    assert session == {"user_id": "XX0000", "access_token": "XXXXXX", "user_name": "Kite Connect"}
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/session/token")
    assert (
        dict(parse_qsl(seen.body.decode()))["checksum"]
        == sha256(f"api_key_1request_token_1{SECRET}".encode()).hexdigest()
    )


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (failure("403 Forbidden", "TokenException", "Invalid `checksum`."), LoginFailed, "do not match"),
        (failure("403 Forbidden", "TokenException", "Token is invalid or has expired."), LoginFailed, "expired or was"),
        (failure("403 Forbidden", "TokenException", "No."), LoginFailed, "refused the login"),
        (failure("400 Bad Request", "InputException", "Invalid `api_key`."), LoginFailed, "does not know this API key"),
        (failure("403 Forbidden", "PermissionException", "No."), NotPermitted, "does not let"),
        (failure("429 Too Many Requests", "NetworkException", "Too many requests"), RateLimited, "no more logins"),
        (failure("503 Service Unavailable", "NetworkException", "down"), Unreachable, "could not answer"),
        (failure("500 Internal Server Error", "GeneralException", "oops"), Unreachable, "could not answer"),
        (answer(b"<html>" + TOKEN.encode() + b"</html>", kind="text/html"), BadAnswer, "cannot be read"),
        (answer(b"{"), BadAnswer, "cannot be read"),
        (answer(b"[]"), BadAnswer, "cannot be read"),
        (answer(b'{"status": "success", "data": {"login_time": ""}}'), BadAnswer, "lacks a field"),
        (None, Unreachable, "could not be reached"),
    ],
)
async def test_every_failure_has_words(reply: bytes | None, kind: type[AppError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        await ask(reply, exchange)
    assert type(caught.value) is kind
    assert SECRET not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_logout_leaves_no_token_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    reply = answer(shared_data("kite", "session_logout.json").read_bytes())
    _, server = await ask(reply, lambda url: official.logout(url, "", "api_key_1", TOKEN))
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("DELETE", f"/session/token?api_key=api_key_1&access_token={TOKEN}")
    assert TOKEN not in caplog.text


async def test_a_session_that_is_dead_already_is_logged_out() -> None:
    reply = failure("403 Forbidden", "TokenException", "Incorrect `api_key` or `access_token`.")
    _, server = await ask(reply, lambda url: official.logout(url, "", "api_key_1", TOKEN))
    assert len(server.seen) == 1
