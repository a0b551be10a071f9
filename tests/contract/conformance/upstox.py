"""Upstox's adapter on the bench: the paper exchange speaks Upstox's wire and shares no code with the adapter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from urllib.parse import parse_qs, urlsplit

import httpx

from app.brokers.base import BrokerFactory
from app.brokers.conformance.bench import Bench, Canned
from app.brokers.conformance.rig import until
from app.brokers.pacing import Window
from app.brokers.upstox import reports
from app.brokers.upstox.factory import UpstoxFactory
from app.brokers.upstox.rest import Limits
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side
from tests.contract.upstox.conftest import Upstox, upstox_exchange

START = "2026-11-20T10:00:00"
RUPEE = 100


def error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Canned:
    problem = {"errorCode": code, "message": message, "error_code": code, "propertyPath": None, "invalidValue": None}
    body = {"status": "error", "errors": [problem]}
    return Canned(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


class UpstoxBench(Bench):
    account = AccountId("upstox-paper")
    share = InstrumentId("NSE:INFY")
    product = Product.MIS
    gtt_kind = OrderKind.MARKET
    refused = OrderRequest(
        AccountId("upstox-paper"), share, Side.BUY, 1, Product.MIS, OrderKind.LIMIT, price=100_003
    )  # off the tick
    words: Mapping[str, Sequence[str]] = {
        "orders": ("transaction_type", "product", "order_type", "exchange"),
        "order_history": ("transaction_type", "product"),
        "fills": ("transaction_type", "product", "exchange"),
        "reported_fills": ("transaction_type",),
        "positions": ("product", "exchange"),
        "holdings": ("exchange", "product"),
    }
    too_many = error(429, "UDAPI10005", "Too Many Requests", {"Retry-After": "7"})
    not_permitted = (
        error(403, "UDAPI1154", "Access to this API is restricted to registered static IPs."),
        error(403, "UDAPI1149", "This needs Upstox Plus."),
        error(403, "UDAPI100067", "The API you are trying to access is not permitted with an extended token."),
    )

    def __init__(self, exchange: Upstox) -> None:
        self._exchange = exchange
        self.credentials = exchange.credentials
        self.endpoints = exchange.endpoints
        self._listed: Sequence[Instrument] = ()

    def factory(self) -> BrokerFactory:
        """Unpaced: its pacing is tested by itself. It has learned the day's list, as the program's has."""
        factory = UpstoxFactory()
        factory.learn(self._listed, paper=True)
        limits = factory._limits[self.credentials.api_key] = Limits()
        limits._windows = (Window(10_000), Window(10_000), Window(10_000))
        return factory

    async def one_time_token(self, login_url: str) -> str:
        return parse_qs(urlsplit(await self._exchange.browse(login_url)).query)["code"][0]

    async def expire(self) -> None:
        assert self.remembered is not None
        bearer = {"Authorization": f"Bearer {self.remembered.access_token.reveal()}", "User-Agent": "Bench/1"}
        async with httpx.AsyncClient(trust_env=False, headers=bearer) as client:
            answer = await client.delete(f"{self.endpoints.api_url}/v2/logout")
        assert answer.status_code == 200, answer.text

    async def set_price(self, instrument: InstrumentId, price: Price) -> None:
        await self._exchange.control("PUT", "/market", {instrument: price / RUPEE})

    async def trade(self) -> None:
        """Two days of trades for delivery, a night to settle them, and a day's trade: a history, a holding, a fill."""
        share = OrderRequest(self.account, self.share, Side.BUY, 1, Product.CNC, OrderKind.MARKET)
        for _ in range(2):
            await self._filled(share)
        await self._exchange.control("PUT", "/clock", {"now": "2026-11-23T10:00:00"})
        await self._filled(share)
        await self._exchange.control("PUT", "/clock", {"now": "2026-11-25T10:00:00"})
        await self._filled(replace(share, product=Product.MIS))
        self.history = (date(2026, 11, 20), date(2026, 11, 24))

    async def _filled(self, request: OrderRequest) -> None:
        factory = self.factory()
        login = factory.login(self.account, self.credentials, self.endpoints)
        self.remembered = await login.exchange(await self.one_time_token(login.login_url("x")))
        session = factory.session(self.remembered, self.credentials, self.endpoints)
        self._listed = await session.instruments()
        self.lots = next(
            one.id for one in self._listed if one.exchange is Exchange.NFO and one.kind is InstrumentKind.FUTURE
        )
        number = await session.place(request)

        async def look() -> Order | None:
            found = [order for order in await session.orders() if order.broker_order_id == number]
            return found[0] if found and found[0].status is OrderStatus.FILLED else None

        await until(look, "the bench's order fills")
        await session.close()


@contextmanager
def bench() -> Iterator[UpstoxBench]:
    """For `--conform tests.contract.conformance.upstox:bench`. Pages of the history hold two fills."""
    options = ("--seed", "3", "--clock", START, "--order-delay", "0", "--fault", "limits=off")
    size, reports.PAGE_SIZE = reports.PAGE_SIZE, 2
    try:
        with upstox_exchange(*options) as exchange:
            made = UpstoxBench(exchange)
            asyncio.run(made.trade())
            yield made
    finally:
        reports.PAGE_SIZE = size
