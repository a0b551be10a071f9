from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.unit.simulator.conftest import MORNING
from tests.unit.simulator.upstox.conftest import SECRETS, MakeUpstox, UpstoxBench

DEAD = (401, "UDAPI100050")


def claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


async def test_three_pages_lead_to_a_code_and_the_state_comes_back(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox(login=False)
    brought = await bench.authorise()
    assert brought.keys() == {"code", "state"}
    assert brought["state"] == "any & thing"


async def test_wrong_answers_stay_on_their_page_and_too_many_begin_again(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox(login=False)
    unknown = await bench.fill(await bench.dialog(), user_id="9000000000")
    assert unknown.status_code == 403
    page = await bench.fill(await bench.dialog(), user_id=SECRETS.user_id.lower())
    for _ in range(4):
        page = await bench.fill(page, totp="000000")
        assert "Invalid TOTP" in page.text
    assert "Too many wrong codes" in (await bench.fill(page, totp="000000")).text
    page = await bench.fill(await bench.dialog(), user_id=SECRETS.mobile)
    page = await bench.fill(page, totp=pyotp.TOTP(SECRETS.totp_secret).now())
    assert "Invalid PIN" in (await bench.fill(page, pin="111111")).text


async def test_cancel_goes_back_without_a_code(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox(login=False)
    answer = await bench.fill(await bench.dialog(), action="cancel")
    assert answer.status_code == 302
    assert "error=access_denied" in answer.headers["location"]
    assert "code=" not in answer.headers["location"]


@pytest.mark.parametrize(
    "wrong", [{"client_id": "another"}, {"redirect_uri": "https://elsewhere.invalid/"}, {"response_type": "token"}]
)
async def test_a_wrong_address_is_told_on_the_page(make_upstox: MakeUpstox, wrong: dict[str, str]) -> None:
    bench = await make_upstox(login=False)
    answer = await bench.dialog(**wrong)
    assert answer.status_code == 400
    assert "UDAPI1000" in answer.text


async def test_a_code_is_good_once(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox(login=False)
    code = (await bench.authorise())["code"]
    assert (await bench.exchange_code(code)).status_code == 200
    assert (await bench.exchange_code(code)).status_code == 401


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"client_secret": "guess"}, "UDAPI100016"),
        ({"redirect_uri": "https://elsewhere.invalid/"}, "UDAPI100068"),
        ({"grant_type": "password"}, "UDAPI100038"),
    ],
)
async def test_a_code_needs_the_apps_own_proofs(make_upstox: MakeUpstox, wrong: dict[str, str], code: str) -> None:
    bench = await make_upstox(login=False)
    answer = await bench.exchange_code((await bench.authorise())["code"], **wrong)
    assert answer.json()["errors"][0]["error_code"] == code


async def test_the_token_answer_is_flat_and_its_exp_is_half_past_three(upstox: UpstoxBench) -> None:
    answer = await upstox.login()
    assert answer.keys() >= {"email", "user_id", "broker", "access_token", "extended_token", "is_active"}
    assert answer["user_id"] == SECRETS.user_id
    death = (MORNING + timedelta(days=1)).replace(hour=3, minute=30)
    assert claims(answer["access_token"])["exp"] == death.timestamp()
    assert claims(answer["access_token"])["iss"] == "udapi-gateway-service"
    await upstox.clock(death - timedelta(seconds=1))
    assert (await upstox.get("/v2/user/profile"))["user_name"] == "Paper Trader"
    await upstox.clock(death)
    assert await upstox.refused("GET", "/v2/user/profile") == DEAD
    await upstox.clock(MORNING)
    assert await upstox.refused("GET", "/v2/user/profile") == DEAD, "a clock set back revives no token"


async def test_a_token_of_two_in_the_morning_lives_ninety_minutes(make_upstox: MakeUpstox) -> None:
    night = MORNING.replace(hour=2)
    bench = await make_upstox(now=night, login=False)
    answer = await bench.login()
    assert claims(answer["access_token"])["exp"] - night.timestamp() == 90 * 60


async def test_an_extended_token_reads_for_a_year_and_places_nothing(upstox: UpstoxBench) -> None:
    first = await upstox.login()
    again = await upstox.login()
    assert again["extended_token"] == first["extended_token"], "the same until it is renewed"
    renewed = await upstox.exchange_code((await upstox.authorise())["code"], refresh_extended_token="true")
    extended = renewed.json()["extended_token"]
    assert extended != first["extended_token"]
    upstox.use(extended)
    assert await upstox.not_placed() == (403, "UDAPI100067")
    await upstox.clock(MORNING + timedelta(days=200))
    assert (await upstox.get("/v2/user/profile"))["user_id"] == SECRETS.user_id
    upstox.use(first["extended_token"])
    assert await upstox.refused("GET", "/v2/user/profile") == DEAD


async def test_no_extended_token_without_the_right_to_one(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox("extended=none", login=False)
    assert "extended_token" not in await bench.login()


async def test_the_analytics_token_reads_only_and_needs_a_registered_address_for_the_account(
    upstox: UpstoxBench,
) -> None:
    upstox.use(upstox.door.line()["analytics_token"])
    assert await upstox.get("/v2/order/retrieve-all") == []
    assert await upstox.not_placed() == (403, "UDAPI100067")
    upstox.faults("static_ip=on")
    assert await upstox.refused("GET", "/v2/order/retrieve-all") == (403, "UDAPI1154")


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer abc.def.ghi", "token abc", "Bearer é"])
async def test_no_token_no_answer(make_upstox: MakeUpstox, header: str | None) -> None:
    bench = await make_upstox(login=False)
    headers = {} if header is None else {"Authorization": header.encode()}
    assert await bench.refused("GET", "/v2/user/profile", headers=headers) == DEAD


async def test_logout_ends_the_token(upstox: UpstoxBench) -> None:
    answer = await upstox.http.delete("/v2/logout")
    assert answer.json() == {"status": "success", "data": True}
    assert await upstox.refused("GET", "/v2/user/profile") == DEAD


async def test_another_login_ends_the_first_token_only_when_the_switch_says_so(upstox: UpstoxBench) -> None:
    first = (await upstox.login())["access_token"]
    await upstox.login()
    upstox.use(first)
    assert (await upstox.get("/v2/user/profile"))["is_active"] is True
    upstox.faults("relogin=newest")
    await upstox.login()
    upstox.use(first)
    assert await upstox.refused("GET", "/v2/user/profile") == DEAD


async def test_tokens_survive_the_exchange(make_upstox: MakeUpstox, tmp_path: Path) -> None:
    bench = await make_upstox(state=tmp_path)
    header, port = bench.http.headers["Authorization"], bench.door.port
    await make_upstox.end(bench)
    again = await make_upstox(state=tmp_path, login=False)
    again.http.headers["Authorization"] = header
    assert again.door.port == port
    assert (await again.get("/v2/user/profile"))["user_id"] == SECRETS.user_id
    assert header.removeprefix("Bearer ").encode() not in _kept(tmp_path)


@pytest.mark.parametrize(
    ("setting", "agent", "status"),
    [
        ("libraries", "Stopline/1.0", 200),
        ("libraries", "python-httpx/0.28.1", 403),
        ("libraries", "Python-urllib/3.11", 403),
        ("libraries", "", 403),
        ("urllib", "python-httpx/0.28.1", 200),
        ("urllib", "Python-urllib/3.11", 403),
        ("any", "Python-urllib/3.11", 200),
    ],
)
async def test_the_cdn_refuses_library_agents_without_an_envelope(
    upstox: UpstoxBench, setting: str, agent: str, status: int
) -> None:
    upstox.faults(f"user_agent={setting}")
    answer = await upstox.http.get("/v2/user/profile", headers={"User-Agent": agent})
    assert answer.status_code == status
    if status != 200:
        assert answer.headers["content-type"].startswith("text/plain")
        assert "1010" in answer.text


async def test_new_addresses_end_every_access_token_and_come_once_a_week(upstox: UpstoxBench) -> None:
    changed = {"primary_ip": "203.0.113.7", "secondary_ip": "203.0.113.8"}
    assert await upstox.refused("PUT", "/v2/user/ip", json={"primary_ip": "nowhere"}) == (400, "UDAPI1179")
    answer = (await upstox.http.put("/v2/user/ip", json=changed)).json()["data"]
    assert answer["access_tokens_invalidated"] is True
    assert await upstox.refused("GET", "/v2/user/profile") == DEAD
    await upstox.login()
    assert (await upstox.get("/v2/user/ip"))["primary_ip"] == "203.0.113.7"
    assert await upstox.refused("PUT", "/v2/user/ip", json=changed) == (400, "UDAPI1181")


async def test_the_funds_call_is_closed_at_night_unless_the_switch_opens_it(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox(now=datetime.fromisoformat("2026-11-20T01:00:00+05:30"))
    for path in ("/v2/user/get-funds-and-margin", "/v3/user/get-funds-and-margin"):
        assert await bench.refused("GET", path) == (423, "UDAPI100072")
    bench.faults("funds_night=open")
    funds = await bench.get("/v2/user/get-funds-and-margin", segment="SEC")
    assert funds.keys() == {"equity"}
    assert funds["equity"]["available_margin"] == 1_000_000.0


async def test_the_semi_automatic_login_says_when_its_token_will_die(upstox: UpstoxBench) -> None:
    path = f"/v3/login/auth/token/request/{SECRETS.api_key}"
    assert await upstox.refused("POST", path, json={"client_secret": "guess"}) == (401, "UDAPI100016")
    answer = await upstox.http.post(path, json={"client_secret": SECRETS.api_secret})
    death = (MORNING + timedelta(days=1)).replace(hour=3, minute=30)
    assert answer.json()["data"]["authorization_expiry"] == str(int(death.timestamp()) * 1000)


def _kept(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())
