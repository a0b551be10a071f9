from __future__ import annotations

import re
import time
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pyotp
import pytest

from tests.unit.simulator.conftest import MORNING, SECRETS, Bench, Make


@pytest.fixture
async def bench(make: Make) -> Bench:
    return await make(login=False)


async def test_the_page_needs_nothing_from_elsewhere_and_no_script(bench: Bench) -> None:
    page = await bench.http.get("/connect/login", params={"v": "3", "api_key": SECRETS.api_key})
    assert page.status_code == 200
    assert "<script" not in page.text
    assert not re.search(r"(?:src|href)=|url\(|@import", page.text)
    for name in ("user_id", "password"):
        assert f'name="{name}"' in page.text
    assert page.headers["cache-control"] == "no-store"


async def test_success_comes_back_with_token_and_what_the_app_passed(bench: Bench) -> None:
    answer = await bench.code_page(await bench.password_page("state=a%26b&more=Y"))
    assert answer.status_code == 302
    target = urlsplit(answer.headers["location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" == bench.exchange.urls["redirect_url"]
    pairs = dict(parse_qsl(target.query))
    assert len(pairs.pop("request_token")) == 32
    assert pairs == {"status": "success", "action": "login", "type": "login", "state": "a&b", "more": "Y"}


async def test_cancel_comes_back_without_a_token(bench: Bench) -> None:
    for page in (await bench.password_page("state=x", action="cancel"),):
        pairs = dict(parse_qsl(urlsplit(page.headers["location"]).query))
        assert pairs["status"] == "cancelled"
        assert pairs["state"] == "x"
        assert "request_token" not in pairs


async def test_cancel_on_the_second_page_keeps_the_state(bench: Bench) -> None:
    page = await bench.password_page("state=x")
    attempt = re.search(r'name="attempt" value="([^"]+)"', page.text)
    assert attempt
    form = {"api_key": SECRETS.api_key, "attempt": attempt[1], "action": "cancel", "totp": ""}
    answer = await bench.http.post("/connect/login", data=form)
    pairs = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert (pairs["status"], pairs["state"]) == ("cancelled", "x")


@pytest.mark.parametrize("wrong", [{"password": "nope"}, {"user_id": "ZZ9999"}, {"password": ""}])
async def test_wrong_password_says_so_and_says_nothing_else(bench: Bench, wrong: dict[str, str]) -> None:
    page = await bench.password_page("state=x", **wrong)
    assert page.status_code == 403
    assert "Invalid user ID or password." in page.text
    assert "state=x" in page.text  # the next try still carries it
    assert SECRETS.password not in page.text


async def test_user_id_in_small_letters_is_the_same(bench: Bench) -> None:
    assert (await bench.password_page(user_id="ab1234")).status_code == 200


async def test_codes_one_step_off_are_taken_two_steps_are_not(bench: Bench) -> None:
    code = pyotp.TOTP(SECRETS.totp_secret)
    now = int(time.time())
    assert (await bench.code_page(await bench.password_page(), code.at(now - 30))).status_code == 302
    page = await bench.code_page(await bench.password_page(), code.at(now - 90))
    assert page.status_code == 403
    assert "Invalid TOTP" in page.text


async def test_too_many_wrong_codes_begin_again(bench: Bench) -> None:
    page = await bench.password_page()
    for _ in range(4):
        assert "Invalid TOTP" in (await bench.code_page(page, "000000")).text
    assert "Too many wrong codes" in (await bench.code_page(page, "000000")).text
    assert "start again" in (await bench.code_page(page)).text  # even the right one


async def test_an_unknown_app_gets_no_form(bench: Bench) -> None:
    page = await bench.http.get("/connect/login", params={"v": "3", "api_key": "other"})
    assert page.status_code == 400
    assert "<form" not in page.text


async def test_what_the_caller_passes_cannot_break_out_of_the_page(bench: Bench) -> None:
    evil = '"><script>alert(1)</script>'
    query = {"v": "3", "api_key": SECRETS.api_key, "redirect_params": evil}
    assert evil not in (await bench.http.get("/connect/login", params=query)).text
    assert evil not in (await bench.password_page(evil, user_id=evil, password="x")).text


async def test_a_request_token_works_once(bench: Bench) -> None:
    token = await bench.request_token()
    first = await bench.exchange_token(token)
    assert first.status_code == 200
    data = first.json()["data"]
    assert data["refresh_token"] == ""
    assert data["user_id"] == SECRETS.user_id
    again = await bench.exchange_token(token)
    assert again.status_code == 403
    assert again.json()["error_type"] == "TokenException"


async def test_a_wrong_secret_is_refused_and_spends_the_token(bench: Bench) -> None:
    token = await bench.request_token()
    wrong = await bench.exchange_token(token, "another secret")
    assert (wrong.status_code, wrong.json()["error_type"]) == (403, "TokenException")
    assert (await bench.exchange_token(token)).status_code == 403


async def test_a_request_token_dies_after_five_minutes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await bench.request_token()
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 301)
    answer = await bench.exchange_token(token)
    monkeypatch.undo()
    assert answer.json()["message"] == "Token is invalid or has expired."


async def test_the_published_checksum() -> None:
    import hashlib

    assert hashlib.sha256(b"api_key_1request_token_1api_secret_1").hexdigest() == (
        "ccef8442c63a75a1f1e88209cc19a819f673a7c5525bfa8a9a6f1e5e3660b709"
    )


async def test_a_session_dies_at_six_and_stays_dead(bench: Bench) -> None:
    await bench.login()
    assert (await bench.http.get("/user/profile")).status_code == 200
    next_six = MORNING.replace(hour=6) + timedelta(days=1)
    await bench.http.put("/simulator/clock", json={"now": (next_six - timedelta(seconds=1)).isoformat()})
    assert (await bench.http.get("/user/profile")).status_code == 200
    await bench.http.put("/simulator/clock", json={"now": next_six.isoformat()})
    dead = await bench.http.get("/user/profile")
    assert (dead.status_code, dead.json()["error_type"]) == (403, "TokenException")
    assert dead.json()["message"] == "Incorrect `api_key` or `access_token`."
    await bench.http.put("/simulator/clock", json={"now": MORNING.isoformat()})
    assert (await bench.http.get("/user/profile")).status_code == 403


async def test_a_session_before_six_dies_the_same_morning(make: Make) -> None:
    bench = await make(now=MORNING.replace(hour=5))
    await bench.http.put("/simulator/clock", json={"now": MORNING.replace(hour=6).isoformat()})
    assert (await bench.http.get("/user/profile")).status_code == 403


async def test_logout_kills_the_session(bench: Bench) -> None:
    token = await bench.login()
    gone = await bench.http.delete("/session/token", params={"api_key": SECRETS.api_key, "access_token": token})
    assert gone.json() == {"status": "success", "data": True}
    assert (await bench.http.get("/user/profile")).status_code == 403


@pytest.mark.parametrize(("switch", "first_lives"), [("relogin=many", True), ("relogin=newest", False)])
async def test_a_second_login_both_ways(make: Make, switch: str, first_lives: bool) -> None:
    bench = await make(switch)
    first = dict(bench.http.headers)
    await bench.login()
    assert (await bench.http.get("/user/profile")).status_code == 200
    answer = await bench.http.get("/user/profile", headers={"Authorization": first["authorization"]})
    assert (answer.status_code == 200) is first_lives


async def test_individuals_cannot_renew(bench: Bench) -> None:
    form = {"api_key": SECRETS.api_key, "refresh_token": "", "checksum": "x"}
    answer = await bench.http.post("/session/refresh_token", data=form)
    assert (answer.status_code, answer.json()["error_type"]) == (403, "TokenException")


@pytest.mark.parametrize(
    "header", ["", "Token {key}:{token}", "token {token}", "token other:{token}", "token {key}:other", "Bearer {token}"]
)
async def test_only_the_documented_header_opens(bench: Bench, header: str) -> None:
    token = await bench.login()
    sent = header.format(key=SECRETS.api_key, token=token)
    answer = await bench.http.get("/orders", headers={"Authorization": sent})
    assert (answer.status_code, answer.json()["error_type"]) == (403, "TokenException")


@pytest.mark.parametrize(("switch", "status"), [("version_header=tolerated", 200), ("version_header=required", 400)])
async def test_the_version_header_both_ways(make: Make, switch: str, status: int) -> None:
    bench = await make()
    bench.faults(switch)
    del bench.http.headers["X-Kite-Version"]
    assert (await bench.http.get("/user/profile")).status_code == status


async def test_the_landing_page_shows_no_token(bench: Bench) -> None:
    page = await bench.http.get("/connect/done", params={"status": "success", "request_token": "canary"})
    assert page.status_code == 200
    assert "canary" not in page.text
