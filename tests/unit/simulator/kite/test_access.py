"""What an app may do and for how long: plans, addresses, tokens and their renewal, each told apart (A1, A2, A5)."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import ClientSession, WSServerHandshakeError

from tests.unit.simulator.conftest import SECRETS, Bench, Make

DEAD = "Incorrect `api_key` or `access_token`."


def error(answer: httpx.Response) -> tuple[int, str, str]:
    body = answer.json()
    return answer.status_code, body["error_type"], body["message"]


@pytest.mark.parametrize("path", ["/quote?i=NSE:INFY", "/quote/ltp?i=NSE:INFY", "/quote/ohlc?i=NSE:INFY"])
async def test_a_personal_app_gets_no_prices_and_its_session_lives(make: Make, path: str) -> None:
    bench = await make("plan=personal")
    assert error(await bench.http.get(path)) == (403, "PermissionException", "Insufficient permission for that call.")
    assert (await bench.http.get("/user/profile")).status_code == 200
    assert (await bench.try_place()).status_code == 200


@pytest.mark.parametrize("status", [403, 400])
async def test_it_gets_no_candles_either(make: Make, status: int) -> None:
    bench = await make("plan=personal", f"plan_status={status}")
    path = "/instruments/historical/408065/day?from=2026-11-01 00:00:00&to=2026-11-20 00:00:00"
    assert error(await bench.http.get(path))[:2] == (status, "PermissionException")


async def handshake(bench: Bench, token: str) -> int:
    query = {"api_key": SECRETS.api_key, "access_token": token}
    async with ClientSession() as session:
        try:
            async with session.ws_connect(bench.exchange.urls["ws_url"], params=query):
                return 101
        except WSServerHandshakeError as refused:
            return refused.status


async def test_nor_ticks(make: Make) -> None:
    bench = await make("plan=personal", login=False)
    token = await bench.login()
    assert await handshake(bench, token) == 403
    bench.faults("plan=connect")
    assert await handshake(bench, token) == 101


@pytest.mark.parametrize(("kind", "status"), [("PermissionException", 403), ("InputException", 400)])
async def test_orders_from_a_strange_address(make: Make, kind: str, status: int) -> None:
    bench = await make("static_ip=on", f"static_ip_error={kind}")
    answers = [
        await bench.try_place(),
        await bench.http.put("/orders/regular/1", data={"price": "1"}),
        await bench.http.delete("/orders/regular/1"),
    ]
    for answer in answers:
        assert error(answer)[:2] == (status, kind)
        assert answer.json()["message"].startswith("IP (127.0.0.1) is not allowed to place orders for this app.")
    assert (await bench.http.get("/orders")).status_code == 200


@pytest.mark.parametrize("status", [400, 403])
async def test_shares_that_are_not_held(make: Make, status: int) -> None:
    bench = await make(f"holding_status={status}")
    refused = await bench.refused(product="CNC", transaction_type="SELL")
    assert refused[:2] == (status, "HoldingException")


# -- tokens


async def opened(bench: Bench) -> dict[str, Any]:
    answer = await bench.exchange_token(await bench.request_token())
    data: dict[str, Any] = answer.json()["data"]
    return data


async def renew(bench: Bench, token: str, secret: str = SECRETS.api_secret) -> httpx.Response:
    checksum = hashlib.sha256(f"{SECRETS.api_key}{token}{secret}".encode()).hexdigest()
    form = {"api_key": SECRETS.api_key, "refresh_token": token, "checksum": checksum}
    return await bench.http.post("/session/refresh_token", data=form)


async def alive(bench: Bench, token: str) -> bool:
    header = {"Authorization": f"token {SECRETS.api_key}:{token}"}
    answer = await bench.http.get("/user/profile", headers=header)
    assert answer.status_code == 200 or error(answer) == (403, "TokenException", DEAD)
    return answer.status_code == 200


async def test_an_individual_has_no_refresh_token(bench: Bench) -> None:
    assert (await opened(bench))["refresh_token"] == ""
    assert error(await renew(bench, ""))[1] == "TokenException"


async def test_a_platform_renews_its_session_also_after_its_death(make: Make, tmp_path: Path) -> None:
    bench = await make("renewal=given", state=tmp_path)
    first = await opened(bench)
    await make.end(bench)
    bench = await make("renewal=given", state=tmp_path)
    await bench.http.put("/simulator/clock", json={"now": "2026-11-21T06:00:01"})
    assert not await alive(bench, first["access_token"])
    assert error(await renew(bench, first["refresh_token"], "wrong"))[2] == "Invalid `checksum`."
    second = (await renew(bench, first["refresh_token"])).json()["data"]
    assert set(second) == {"user_id", "access_token", "refresh_token"}
    assert await alive(bench, second["access_token"])
    assert error(await renew(bench, first["refresh_token"]))[2] == "Invalid `refresh_token`."  # spent
    query = {"api_key": SECRETS.api_key, "refresh_token": second["refresh_token"]}
    assert (await bench.http.delete("/session/token", params=query)).json()["data"] is True
    assert error(await renew(bench, second["refresh_token"]))[1] == "TokenException"


@pytest.mark.parametrize(
    ("how", "first_lives", "same"), [("many", True, False), ("newest", False, False), ("same", True, True)]
)
async def test_a_second_login_on_one_day(make: Make, how: str, first_lives: bool, same: bool) -> None:
    bench = await make(f"relogin={how}")
    first, second = await opened(bench), await opened(bench)
    assert await alive(bench, second["access_token"])
    assert await alive(bench, first["access_token"]) is first_lives
    assert (first["access_token"] == second["access_token"]) is same


@pytest.mark.parametrize("extras", ["on", "off"])
async def test_the_redirect_with_and_without_what_the_documents_do_not_say(make: Make, extras: str) -> None:
    bench = await make(f"redirect_extras={extras}")
    location = (await bench.code_page(await bench.password_page("state=abc"))).headers["location"]
    assert ("action=login&type=login" in location) is (extras == "on")
    assert "status=success" in location
    assert location.endswith("state=abc")


async def test_changes_in_a_bucket_of_their_own(make: Make) -> None:
    bench = await make("limits=on", "modify_bucket=other")
    changes = [bench.http.delete("/orders/regular/1") for _ in range(20)]
    changes += [bench.http.delete("/gtt/triggers/x") for _ in range(20)]
    assert {answer.status_code for answer in await asyncio.gather(*changes)} == {400, 429}
    assert (await bench.try_place()).status_code == 200  # placing has its own


async def test_changes_in_the_bucket_of_orders(make: Make) -> None:
    bench = await make("limits=on")
    answers = await asyncio.gather(*(bench.http.delete("/gtt/triggers/x") for _ in range(40)))
    assert {answer.status_code for answer in answers} == {400, 429}
    assert (await bench.http.get("/user/profile")).status_code == 200  # the others have their own


async def test_the_whole_profile(bench: Bench) -> None:
    profile = await bench.get("/user/profile/full")
    assert (profile["user_id"], profile["meta"]["demat_consent"], profile["dp_ids"]) == (
        "AB1234",
        "consent",
        ["0000000000000000"],
    )
