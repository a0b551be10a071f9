"""The official client's failures in our words; it runs for real, against scripted answers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.brokers.base import Credentials, ExchangeClockReading, Profile, Session
from app.brokers.zerodha import official
from app.brokers.zerodha.auth import ZerodhaLogin
from app.domain.account import Endpoints
from app.domain.errors import (
    AppError,
    BadAnswer,
    LoginFailed,
    NotPermitted,
    RateLimited,
    SessionExpired,
    Unreachable,
)
from app.domain.ids import AccountId
from app.runtime.clock import IST, from_datetime
from app.runtime.secret import Secret
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
    assert session == {
        "user_id": "XX0000", "access_token": "XXXXXX", "user_name": "Kite Connect", "refresh_token": "",
    }  # fmt: skip
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


# -- renewal ---------------------------------------------------------------------------------------------------------

A = AccountId("zerodha-AB1234")
OLD = Session(A, "XX0000", "Kite Connect", Secret("old-token"), 0, 0, refresh_token=Secret("refresh-canary"))


async def read_clock() -> ExchangeClockReading:
    return ExchangeClockReading(from_datetime(datetime(2026, 11, 20, 6, 30, tzinfo=IST)))


def login(url: str) -> ZerodhaLogin:
    endpoints = Endpoints(url, url + "/connect/login", url.replace("http", "ws"))

    async def read_profile(_: Secret) -> Profile:
        raise AssertionError("no test here adopts a token")

    return ZerodhaLogin(A, Credentials("api_key_1", Secret(SECRET)), endpoints, read_clock, read_profile)


def renewed(**data: object) -> bytes:
    return answer(json.dumps({"status": "success", "data": data}).encode())


async def test_a_refresh_token_renews_the_session_without_the_trader() -> None:
    reply = renewed(user_id="XX0000", access_token="new-token", refresh_token="next-canary")
    async with ScriptedServer(lambda _: reply) as server:
        fresh = await login(server.url).refresh(OLD)
    assert (fresh.access_token.reveal(), fresh.user_name) == ("new-token", "Kite Connect")
    assert fresh.refresh_token is not None
    assert fresh.refresh_token.reveal() == "next-canary"
    assert fresh.expires_at == from_datetime(datetime(2026, 11, 21, 6, 0, tzinfo=IST))
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/session/refresh_token")
    sent = dict(parse_qsl(seen.body.decode()))
    assert sent["checksum"] == sha256(f"api_key_1refresh-canary{SECRET}".encode()).hexdigest()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (failure("403 Forbidden", "TokenException", "Invalid `refresh_token`."), SessionExpired),
        (failure("403 Forbidden", "PermissionException", "No."), SessionExpired),
        (renewed(user_id="ZZ9999", access_token="new-token", refresh_token=""), BadAnswer),
        (failure("503 Service Unavailable", "NetworkException", "down"), Unreachable),
    ],
)
async def test_a_renewal_that_fails_says_what_helps(reply: bytes, kind: type[AppError]) -> None:
    async with ScriptedServer(lambda _: reply) as server:
        with pytest.raises(kind) as caught:
            await login(server.url).refresh(OLD)
    assert "canary" not in str(caught.value)


async def test_a_session_of_an_individual_has_nothing_to_renew_with() -> None:
    async with ScriptedServer(lambda _: None) as server:
        with pytest.raises(SessionExpired, match="no refresh token"):
            await login(server.url).refresh(replace(OLD, refresh_token=None))
    assert server.seen == []


async def test_a_logout_ends_the_refresh_token_too() -> None:
    reply = answer(shared_data("kite", "session_logout.json").read_bytes())
    async with ScriptedServer(lambda _: reply) as server:
        await login(server.url).logout(OLD)
    assert [(s.method, dict(parse_qsl(urlsplit(s.path).query))) for s in server.seen] == [
        ("DELETE", {"api_key": "api_key_1", "access_token": "old-token"}),
        ("DELETE", {"api_key": "api_key_1", "refresh_token": "refresh-canary"}),
    ]
