"""Zerodha's adapter on the bench: the paper exchange speaks Kite Connect's wire and shares no code with the adapter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx

from app.brokers.base import BrokerFactory
from app.brokers.conformance.bench import Bench, Canned
from app.brokers.conformance.rig import until
from app.brokers.pacing import Window
from app.brokers.zerodha.factory import ZerodhaFactory
from app.brokers.zerodha.rest import Limits
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side
from tests.fakes.paper_exchange import PaperExchange, paper_exchange

START = "2026-11-20T10:00:00"
RUPEE = 100


def error(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> Canned:
    body = {"status": "error", "message": message, "error_type": kind}
    return Canned(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


class ZerodhaBench(Bench):
    account = AccountId("zerodha-paper")
    share = InstrumentId("NSE:INFY")
    product = Product.MIS
    refused = OrderRequest(
        AccountId("zerodha-paper"), share, Side.BUY, 1, Product.MIS, OrderKind.LIMIT, price=100_003
    )  # off the tick
    words: Mapping[str, Sequence[str]] = {
        "orders": ("transaction_type", "product", "order_type", "exchange"),
        "order_history": ("transaction_type", "product"),
        "fills": ("transaction_type", "product", "exchange"),
        "reported_fills": ("transaction_type",),
        "positions": ("product", "exchange"),
        "holdings": ("exchange",),
    }
    too_many = error(429, "NetworkException", "Too many requests", {"Retry-After": "7"})
    not_permitted = (
        error(403, "PermissionException", "Insufficient permission for that call."),
        error(403, "PermissionException", "IP (203.0.113.7) is not allowed to place orders for this app."),
        error(400, "InputException", "IP (203.0.113.7) is not allowed to place orders for this app."),
    )

    def __init__(self, exchange: PaperExchange) -> None:
        self._exchange = exchange
        self.credentials = exchange.credentials
        self.endpoints = exchange.endpoints
        self.lots = next(
            InstrumentId(name) for name in exchange_names(exchange, "NFO") if name.endswith(("FUT", "CE", "PE"))
        )

    def factory(self) -> BrokerFactory:
        """Unpaced: its pacing is tested by itself, and here it would only take time."""
        factory = ZerodhaFactory()
        limits = factory._limits[self.credentials.api_key] = Limits()
        limits.reads = limits.quotes = limits.history = Window(1000)
        return factory

    async def one_time_token(self, login_url: str) -> str:
        redirected_to = await self._exchange.log_in(login_url)
        return parse_qs(urlsplit(redirected_to).query)["request_token"][0]

    async def expire(self) -> None:
        assert self.remembered is not None
        query = {"api_key": self.credentials.api_key, "access_token": self.remembered.access_token.reveal()}
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.delete(f"{self.endpoints.api_url}/session/token", params=query)
        assert answer.status_code == 200, answer.text

    async def set_price(self, instrument: InstrumentId, price: Price) -> None:
        await self._exchange.control("PUT", "/market", {instrument: price / RUPEE})

    async def trade(self) -> None:
        """A share bought for delivery, a night to settle it, and a day's trade: a holding, a fill and an order."""
        share = OrderRequest(self.account, self.share, Side.BUY, 1, Product.CNC, OrderKind.MARKET)
        await self._filled(share)
        for day in ("2026-11-23", "2026-11-24"):
            await self._exchange.control("PUT", "/clock", {"now": f"{day}T10:00:00"})
        await self._filled(replace(share, product=Product.MIS))

    async def _filled(self, request: OrderRequest) -> None:
        login = self.factory().login(self.account, self.credentials, self.endpoints)
        self.remembered = await login.exchange(await self.one_time_token(login.login_url("x")))
        session = self.factory().session(self.remembered, self.credentials, self.endpoints)
        number = await session.place(request)

        async def look() -> Order | None:
            found = [order for order in await session.orders() if order.broker_order_id == number]
            return found[0] if found and found[0].status is OrderStatus.FILLED else None

        await until(look, "the bench's order fills")
        await session.close()


def exchange_names(exchange: PaperExchange, segment: str) -> list[str]:
    lines = httpx.get(f"{exchange.endpoints.api_url}/instruments/{segment}", trust_env=False).text.splitlines()
    return [f"{segment}:{line.split(',')[2]}" for line in lines[1:]]


@contextmanager
def bench() -> Iterator[ZerodhaBench]:
    """For `--conform tests.contract.conformance.zerodha:bench`."""
    options = ("--seed", "3", "--clock", START, "--order-delay", "0", "--fault", "limits=off")
    with paper_exchange(*options) as exchange:
        made = ZerodhaBench(exchange)
        asyncio.run(made.trade())
        yield made
