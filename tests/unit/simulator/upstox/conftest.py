from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest

from app.simulator.exchange import Exchange, Opening, Plan
from app.simulator.opening import open_market
from app.simulator.upstox.door import UpstoxDoor
from app.simulator.upstox.tokens import UpstoxCredentials
from tests.unit.simulator.conftest import MORNING
from tests.unit.simulator.conftest import SECRETS as KITE

SECRETS = UpstoxCredentials(
    api_key="b6f5e1a2-paper-4c1d-9e11-0123456789ab",
    api_secret="secret-canary",
    user_id="4CAB12",
    mobile="9876543210",
    password="246810",
    totp_secret="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
)
INFY, NIFTY = "NSE_EQ|INE009A01021", "NSE_INDEX|Nifty 50"
AGENT = "Stopline-Tests/1"
_HIDDEN = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')


class UpstoxBench:
    """An exchange that speaks Upstox on this loop, whose prices move only by hand, and a client of it."""

    def __init__(self, exchange: Exchange) -> None:
        assert exchange.upstox is not None
        self.exchange = exchange
        self.door: UpstoxDoor = exchange.upstox
        self.urls = self.door.urls
        self.http = httpx.AsyncClient(
            base_url=self.urls["api_url"], headers={"User-Agent": AGENT}, trust_env=False, timeout=10.0
        )

    # -- logging in

    def asked(self, **changed: str) -> dict[str, str]:
        return {
            "response_type": "code",
            "client_id": SECRETS.api_key,
            "redirect_uri": self.urls["redirect_url"],
            "state": "any & thing",
            **changed,
        }

    async def dialog(self, **changed: str) -> httpx.Response:
        return await self.http.get(self.urls["login_url"], params=self.asked(**changed))

    async def fill(self, page: httpx.Response, **typed: str) -> httpx.Response:
        """The page's form as a trader fills it in."""
        hidden = {name: html.unescape(value) for name, value in _HIDDEN.findall(page.text)}
        return await self.http.post(self.urls["login_url"], data={**hidden, **typed})

    async def authorise(self) -> dict[str, str]:
        """What the redirect brings."""
        page = await self.fill(await self.dialog(), user_id=SECRETS.mobile)
        page = await self.fill(page, totp=pyotp.TOTP(SECRETS.totp_secret).now())
        page = await self.fill(page, pin=SECRETS.password)
        assert page.status_code == 302, page.text
        return {name: values[0] for name, values in parse_qs(urlsplit(page.headers["location"]).query).items()}

    async def exchange_code(self, code: str, **changed: str) -> httpx.Response:
        form = {
            "code": code,
            "client_id": SECRETS.api_key,
            "client_secret": SECRETS.api_secret,
            "redirect_uri": self.urls["redirect_url"],
            "grant_type": "authorization_code",
        }
        return await self.http.post("/v2/login/authorization/token", data={**form, **changed})

    async def login(self) -> dict[str, Any]:
        answer = await self.exchange_code((await self.authorise())["code"])
        document: dict[str, Any] = answer.json()
        self.use(document["access_token"])
        return document

    def use(self, token: str) -> None:
        self.http.headers["Authorization"] = f"Bearer {token}"

    # -- asking

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def refused(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Status and code of a refusal; both spellings of the code agree."""
        answer = await self.http.request(method, path, **more)
        body = answer.json()
        assert body["status"] == "error", body
        (error,) = body["errors"]
        assert error["errorCode"] == error["error_code"]
        return answer.status_code, error["error_code"]

    def body(self, **changed: Any) -> dict[str, Any]:
        """Ten INFY at the market, intraday, but for what is given; None leaves a field out."""
        order = {
            "quantity": 10,
            "product": "I",
            "validity": "DAY",
            "price": 0,
            "instrument_token": INFY,
            "order_type": "MARKET",
            "transaction_type": "BUY",
            "disclosed_quantity": 0,
            "trigger_price": 0,
            "is_amo": False,
            "market_protection": -1,
            **changed,
        }
        return {name: value for name, value in order.items() if value is not None}

    async def place(self, **changed: Any) -> str:
        """Its order id, after everything that follows at once has happened."""
        answer = await self.http.post("/v3/order/place", json=self.body(**changed))
        assert answer.status_code == 200, answer.text
        await self.settle()
        (order_id,) = answer.json()["data"]["order_ids"]
        return str(order_id)

    async def not_placed(self, **changed: Any) -> tuple[int, str]:
        return await self.refused("POST", "/v3/order/place", json=self.body(**changed))

    async def order(self, order_id: str) -> dict[str, Any]:
        row: dict[str, Any] = await self.get("/v2/order/details", order_id=order_id)
        return row

    # -- the exchange's side

    def price(self, key: str, paise: int) -> None:
        self.exchange.market.set_price(key, paise)

    def last(self, key: str) -> int:
        market = self.exchange.market
        return market.quotes[market.listings.by_key[key].token].last_price

    def faults(self, *specs: str) -> None:
        for spec in specs:
            self.exchange.faults.add(spec)

    async def clock(self, moment: datetime) -> None:
        answer = await self.http.put("/simulator/clock", json={"now": moment.isoformat()})
        assert answer.status_code == 200, answer.text

    async def settle(self) -> None:
        """Until nothing is on its way any more."""
        for _ in range(100_000):
            if not self.exchange.oms._timers:
                return
            await asyncio.sleep(0)
        pytest.fail("an order never arrived")


class MakeUpstox:
    """Starts exchanges with options and ends them with the test."""

    def __init__(self, instruments: Path) -> None:
        self._instruments = instruments
        self.benches: list[UpstoxBench] = []

    async def __call__(
        self,
        *faults: str,
        state: Path | None = None,
        openings: tuple[Opening, ...] = (),
        cash: int = 10_00_000_00,
        now: datetime | None = MORNING,
        login: bool = True,
        brokers: tuple[str, ...] = ("upstox",),
        feed: str = "random",
    ) -> UpstoxBench:
        market = open_market(feed, seed=1, speed=0.0, clock=now, instruments=self._instruments)
        plan = Plan(
            market,
            KITE,
            state=state,
            faults=("limits=off", *faults),
            seed=1,
            cash=cash,
            delay=(0.0, 0.0),
            openings=openings,
            brokers=brokers,
            upstox=SECRETS,
        )
        exchange = Exchange(plan)
        await exchange.start()
        bench = UpstoxBench(exchange)
        self.benches.append(bench)
        if login:
            await bench.login()
        return bench

    async def end(self, bench: UpstoxBench) -> None:
        await bench.http.aclose()
        await bench.exchange.stop()
        self.benches.remove(bench)


@pytest.fixture
async def make_upstox(few: Path) -> AsyncIterator[MakeUpstox]:
    made = MakeUpstox(few)
    yield made
    for bench in list(made.benches):
        await made.end(bench)


@pytest.fixture
async def upstox(make_upstox: MakeUpstox) -> UpstoxBench:
    return await make_upstox()
