from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest

from app.simulator.clock import IST
from app.simulator.exchange import Exchange, Opening, Plan
from app.simulator.kite.sessions import Credentials
from app.simulator.listing import samples
from app.simulator.opening import open_market

MORNING = datetime(2026, 11, 20, 10, 0, tzinfo=IST)
SECRETS = Credentials(
    "key0123456789abc", "api-secret-canary", "AB1234", "password-canary", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
)


class Bench:
    """An exchange on this loop whose prices move only by hand, and a client of it."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.http = httpx.AsyncClient(
            base_url=exchange.urls["api_url"], headers={"X-Kite-Version": "3"}, trust_env=False, timeout=10.0
        )

    async def login(self) -> str:
        answer = await self.exchange_token(await self.request_token())
        token: str = answer.json()["data"]["access_token"]
        self.http.headers["Authorization"] = f"token {SECRETS.api_key}:{token}"
        return token

    async def password_page(self, params: str = "", **changed: str) -> httpx.Response:
        form = {
            "api_key": SECRETS.api_key,
            "redirect_params": params,
            "user_id": SECRETS.user_id,
            "password": SECRETS.password,
        }
        return await self.http.post("/connect/login", data={**form, **changed})

    async def code_page(self, page: httpx.Response, code: str | None = None) -> httpx.Response:
        attempt = re.search(r'name="attempt" value="([^"]+)"', page.text)
        assert attempt, page.text
        totp = pyotp.TOTP(SECRETS.totp_secret).now() if code is None else code
        form = {"api_key": SECRETS.api_key, "attempt": attempt[1], "totp": totp}
        return await self.http.post("/connect/login", data=form)

    async def request_token(self, params: str = "") -> str:
        answer = await self.code_page(await self.password_page(params))
        return parse_qs(urlsplit(answer.headers["location"]).query)["request_token"][0]

    async def exchange_token(self, request_token: str, secret: str = SECRETS.api_secret) -> httpx.Response:
        checksum = hashlib.sha256(f"{SECRETS.api_key}{request_token}{secret}".encode()).hexdigest()
        form = {"api_key": SECRETS.api_key, "request_token": request_token, "checksum": checksum}
        return await self.http.post("/session/token", data=form)

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def try_place(self, **form: Any) -> httpx.Response:
        """An order for ten INFY at the market, but for what is given; None leaves a field out."""
        order = {
            "exchange": "NSE",
            "tradingsymbol": "INFY",
            "transaction_type": "BUY",
            "quantity": 10,
            "product": "MIS",
            "order_type": "MARKET",
            "validity": "DAY",
        }
        if form.get("order_type", "MARKET") in ("MARKET", "SL-M"):
            order["market_protection"] = -1
        sent = {name: value for name, value in {**order, **form}.items() if value is not None}
        return await self.http.post("/orders/regular", data=sent)

    async def place(self, **form: Any) -> str:
        """Its order id, after everything that follows at once has happened."""
        answer = await self.try_place(**form)
        assert answer.status_code == 200, answer.text
        await self.settle()
        order_id: str = answer.json()["data"]["order_id"]
        return order_id

    async def refused(self, **form: Any) -> tuple[int, str, str]:
        """Status, error type and words of a refused order."""
        answer = await self.try_place(**form)
        body = answer.json()
        assert body["status"] == "error", body
        return answer.status_code, body["error_type"], body["message"]

    async def order(self, order_id: str) -> dict[str, Any]:
        rows: list[dict[str, Any]] = await self.get("/orders")
        return next(row for row in rows if row["order_id"] == order_id)

    async def statuses(self, order_id: str) -> list[str]:
        return [row["status"] for row in await self.get(f"/orders/{order_id}")]

    def price(self, key: str, paise: int) -> None:
        self.exchange.market.set_price(key, paise)

    def depth(
        self, key: str, buy: list[tuple[int, int, int]], sell: list[tuple[int, int, int]], last: int | None = None
    ) -> None:
        """A new quote with exactly these levels."""
        market = self.exchange.market
        quote = market.quotes[market.listings.by_key[key].token]
        quote.depth_buy, quote.depth_sell = buy, sell
        if last is not None:
            quote.last_price = last
        self.exchange.oms.on_quotes((quote,))

    def last(self, key: str) -> int:
        market = self.exchange.market
        return market.quotes[market.listings.by_key[key].token].last_price

    def faults(self, *specs: str) -> None:
        for spec in specs:
            self.exchange.faults.add(spec)

    async def settle(self) -> None:
        """Until nothing is on its way any more."""
        for _ in range(100_000):
            if not self.exchange.oms._timers:
                return
            await asyncio.sleep(0)
        pytest.fail("an order never arrived")


def contract(bench: Bench, name: str, kind: str) -> str:
    """A listed derivative's symbol: the call or put nearest to its underlying's price, or the near future."""
    listings = [
        row
        for row in bench.exchange.market.listings.by_key.values()
        if row.exchange == "NFO" and row.name == name and row.instrument_type == kind
    ]
    return max(listings, key=lambda row: row.day_volume).tradingsymbol


def lot(bench: Bench, symbol: str) -> int:
    return bench.exchange.market.listings.by_key[f"NFO:{symbol}"].lot_size


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen of the shipped instruments: an exchange of these starts in no time."""
    wanted = re.compile(
        r"instrument_token,|\d+,\d+,(NIFTY 50|INFY|SBIN|NIFTY26DECFUT|NIFTY26DEC2[45]000[CP]E|[A-Z]+26DEC\d+CE),"
    )
    shares: dict[str, int] = {}
    lines = []
    for line in (samples() / "instruments.csv").read_text().splitlines():
        if wanted.match(line):
            underlying = line.split(",")[3] if "NFO-OPT" in line else ""
            shares[underlying] = shares.get(underlying, 0) + 1
            if not underlying or shares[underlying] <= 4:
                lines.append(line)
    path = tmp_path_factory.mktemp("listed") / "instruments.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


class Make:
    """Starts exchanges with options and ends them with the test."""

    def __init__(self, instruments: Path) -> None:
        self.instruments = instruments
        self.benches: list[Bench] = []

    async def __call__(
        self,
        *faults: str,
        state: Path | None = None,
        openings: tuple[Opening, ...] = (),
        cash: int = 10_00_000_00,
        now: datetime = MORNING,
        login: bool = True,
    ) -> Bench:
        market = open_market("random", seed=1, speed=0.0, clock=now, instruments=self.instruments)
        plan = Plan(
            market,
            SECRETS,
            state=state,
            faults=("limits=off", *faults),
            seed=1,
            cash=cash,
            delay=(0.0, 0.0),
            openings=openings,
        )
        exchange = Exchange(plan)
        await exchange.start()
        bench = Bench(exchange)
        self.benches.append(bench)
        if login:
            await bench.login()
        return bench

    async def end(self, bench: Bench) -> None:
        await bench.http.aclose()
        await bench.exchange.stop()
        self.benches.remove(bench)


@pytest.fixture
async def make(few: Path) -> AsyncIterator[Make]:
    made = Make(few)
    yield made
    for bench in list(made.benches):
        await made.end(bench)


@pytest.fixture
async def bench(make: Make) -> Bench:
    return await make()
