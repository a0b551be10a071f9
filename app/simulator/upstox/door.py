"""Upstox's side of the exchange put together: tokens, routes, streams behind one port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from app.simulator.book import Book
from app.simulator.faults import Fault, Faults
from app.simulator.oms import OrderSystem
from app.simulator.upstox.account import AccountRoutes
from app.simulator.upstox.calendar import CalendarRoutes
from app.simulator.upstox.charges import ChargeRoutes
from app.simulator.upstox.expired import ExpiredRoutes
from app.simulator.upstox.feed import CUT, MALFORMED, MarketFeed
from app.simulator.upstox.gate import KEYS, Gate
from app.simulator.upstox.gtt import GttRoutes, announcer
from app.simulator.upstox.guard import Guard
from app.simulator.upstox.history import HistoryRoutes
from app.simulator.upstox.instruments import FOLDER, InstrumentRoutes
from app.simulator.upstox.keys import KeyBook
from app.simulator.upstox.login import DIALOG, LoginPage, landing
from app.simulator.upstox.multi import MultiRoutes
from app.simulator.upstox.orders import OrderRoutes
from app.simulator.upstox.portfolio import PortfolioFeed
from app.simulator.upstox.quotes import QuoteRoutes
from app.simulator.upstox.sandbox import Sandbox
from app.simulator.upstox.sockets import SocketRoutes
from app.simulator.upstox.tokens import Tokens, UpstoxCredentials
from app.simulator.upstox.trading import Trading
from app.simulator.upstox.triggers import TriggerEngine
from app.simulator.upstox.webhook import Webhook

CUT_SECONDS = 0.05
"""Between a message that breaks off and the end of its line."""


class UpstoxDoor:
    """One client's Upstox wire over the exchange's order system."""

    def __init__(
        self, credentials: UpstoxCredentials, oms: OrderSystem, book: Book, faults: Faults, *, secure: bool
    ) -> None:
        self.credentials = credentials
        self._oms = oms
        self._faults = faults
        self._secure = "s" if secure else ""
        self.port = 0
        self.tokens = Tokens(credentials, oms.market.clock, book, faults)
        self._guard = Guard(oms.market.clock, book)
        self._keys = KeyBook(oms.market.listings.by_token.values())
        self._trading = Trading(oms, self._keys, self._guard, faults, credentials.user_id)
        self.feed = MarketFeed(oms.market, self._keys, faults)
        self.portfolio = PortfolioFeed(self._trading, faults)
        oms.ledger.converted = self.portfolio.converted
        self.webhook = Webhook(self.tokens, self.portfolio)
        self.triggers = TriggerEngine(oms, book, announcer(self._trading, self.portfolio))

    @property
    def urls(self) -> dict[str, str]:
        """Where it listens: `api_url` is main and order host in one."""
        http, ws = f"http{self._secure}://127.0.0.1:{self.port}", self._sockets()
        return {
            "api_url": http,
            "order_url": http,
            "login_url": http + DIALOG,
            "ws_url": ws + "/v3/feed/market-data-feed",
            "portfolio_url": ws + "/v2/feed/portfolio-stream-feed",
            "instruments_url": http + FOLDER,
            "redirect_url": http + "/connect/done",
        }

    def _sockets(self) -> str:
        return f"ws{self._secure}://127.0.0.1:{self.port}"

    def line(self) -> dict[str, str]:
        """What the command prints of this side."""
        return {**self.urls, **self.credentials.as_dict(), **self._made_by_hand()}

    def _made_by_hand(self) -> dict[str, str]:
        return {"analytics_token": self.tokens.analytics(), "sandbox_token": self.tokens.sandbox()}

    def load(self) -> None:
        """From the book."""
        self.tokens.load()
        self._guard.load()
        self.triggers.load()

    def add_to(self, app: web.Application, admin: Callable[[web.Application], None]) -> None:
        """Registers everything; `admin` adds the exchange's own routes."""
        app[KEYS] = self._keys
        app.middlewares.append(Gate(self.tokens, self._faults, Sandbox(self._trading)).pass_through)
        OrderRoutes(self._trading, self._faults).add_to(app)
        MultiRoutes(self._trading, self._faults).add_to(app)
        GttRoutes(self.triggers, self._trading, self._guard).add_to(app)
        AccountRoutes(self._trading, self.tokens, self._guard, self._faults, self.token_ended).add_to(app)
        InstrumentRoutes(self._oms.market, self._keys, lambda: self._faults.switches).add_to(app)
        ExpiredRoutes(self._oms.market, self._keys, lambda: self._faults.switches).add_to(app)
        QuoteRoutes(self._oms.market, self._keys).add_to(app)
        HistoryRoutes(self._oms.market, self._keys, self._faults).add_to(app)
        ChargeRoutes(self._trading, self._faults).add_to(app)
        CalendarRoutes(self._oms.market, self._faults).add_to(app)
        SocketRoutes(self.feed, self.portfolio, self._faults, self._sockets).add_to(app)
        self.webhook.add_to(app)
        login = LoginPage(self.tokens, lambda: self.urls["redirect_url"])
        app.router.add_get(DIALOG, login.show, name="login:show")
        app.router.add_post(DIALOG, login.submit, name="login:submit")
        app.router.add_get("/connect/done", landing)
        admin(app)

    async def clock_changed(self) -> None:
        """Tokens and triggers whose time has come die; segments open and close."""
        if self.tokens.bury_dead():
            await self.token_ended()
        self.triggers.on_clock()
        if self._faults.stands("order-stream-down"):
            self.portfolio.drop_all()
        self.feed.tell_statuses()

    async def token_ended(self) -> None:
        """Streams of dead tokens end."""
        await self.feed.close_all()
        await self.portfolio.close_all()

    def order_update(self, update: dict[str, Any]) -> None:
        """An order changed."""
        self.portfolio.announce(update)

    def ticker_fault(self, fault: Fault) -> None:
        """A scripted fault of the market feed."""
        loop = asyncio.get_running_loop()
        if fault.name == "ticker-disconnect":
            self.feed.drop_all()
        elif fault.name == "ticker-malformed":
            self.feed.inject(MALFORMED)
        elif fault.name == "ticker-cut":
            self.feed.inject(CUT)
            loop.call_later(CUT_SECONDS, self.feed.drop_all)
        else:
            self.feed.silent = True
            loop.call_later(fault.seconds, self._end_silence)

    def _end_silence(self) -> None:
        self.feed.silent = False

    async def close(self) -> None:
        """Says goodbye to the streams."""
        await self.token_ended()
