"""The paper exchange put together: market, order system, sessions, routes, ticker, memory; started and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from app.simulator.account import Account
from app.simulator.admin import AdminRoutes
from app.simulator.auctions import Auctions
from app.simulator.backstage import Backstage
from app.simulator.book import Book
from app.simulator.depository import Depository
from app.simulator.faults import TICKER, Faults
from app.simulator.form import OrderForm
from app.simulator.gtt import GttEngine
from app.simulator.happenings import Happenings
from app.simulator.kite.accounts import AccountRoutes
from app.simulator.kite.alert_routes import AlertRoutes
from app.simulator.kite.alerts import Alerts
from app.simulator.kite.calculators import CalculatorRoutes
from app.simulator.kite.depository import DepositoryPage
from app.simulator.kite.funds import FundRoutes
from app.simulator.kite.gtt import GttRoutes
from app.simulator.kite.login import LoginPage, landing
from app.simulator.kite.orders import OrderRoutes
from app.simulator.kite.portfolios import PortfolioRoutes
from app.simulator.kite.postback import Postback
from app.simulator.kite.quotes import QuoteRoutes
from app.simulator.kite.server import Gate
from app.simulator.kite.server import route_of as kite_route
from app.simulator.kite.sessions import Credentials, Sessions
from app.simulator.kite.ticker import TickerHub
from app.simulator.ledger import Ledger
from app.simulator.legs import Legs
from app.simulator.market import Market, Quote
from app.simulator.memory import MarketMemory
from app.simulator.oms import OrderSystem
from app.simulator.records import Records, trading_day
from app.simulator.updates import Updates
from app.simulator.upstox.door import UpstoxDoor
from app.simulator.upstox.gate import route_of as upstox_route
from app.simulator.upstox.tokens import UpstoxCredentials

HOST = "127.0.0.1"
ZERODHA, UPSTOX = "zerodha", "upstox"
_PORT_KEYS = {ZERODHA: "port", UPSTOX: "upstox"}
"""What the book remembers a wire's port by."""
WATCH_SECONDS = 0.05
"""How often the clock is looked at for 06:00 having passed."""
LARGEST_REQUEST = 4 * 1024 * 1024
LONGEST_URL = 64 * 1024
"""A thousand keys fit into one request (A4)."""
OPENING_CASH = 10_00_000_00
"""Paise: ten lakh rupees."""


class CannotStart(Exception):
    """Said to the user, exit code 2."""


MALFORMED = bytes.fromhex("0002000700063a0100ffff002c")
"""Two packets announced: one of a length that does not exist, one longer than the message."""
CUT = bytes.fromhex("0002000800063a0100026683002c00063a0100026683")
"""A good packet and the beginning of another; then the line breaks."""
CUT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Opening:
    """A position or holding that the account has from the start."""

    key: str
    quantity: int
    """Signed."""
    product: str
    price: int | None = None
    """Paise; the last price when absent."""


@dataclass(slots=True)
class Plan:
    """What an exchange is built from."""

    market: Market
    credentials: Credentials
    port: int = 0
    state: Path | None = None
    tls: ssl.SSLContext | None = None
    faults: Sequence[str] = ()
    seed: int | None = None
    cash: int = OPENING_CASH
    delay: tuple[float, float] = (0.005, 0.020)
    openings: Sequence[Opening] = field(default_factory=tuple)
    postback: str = ""
    """Registered address of the app, on this machine."""
    brokers: Sequence[str] = ("zerodha",)
    """Whose wires it speaks, a port each."""
    upstox: UpstoxCredentials | None = None
    """Fresh ones when absent."""
    upstox_port: int = 0


class Exchange:
    """One account behind a port for each broker's wire. Build, `start`, `stop`, all on one loop."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.market = plan.market
        self.credentials = plan.credentials
        self.book = Book(plan.state)
        self.faults = Faults(plan.faults, plan.seed)
        self.sessions = Sessions(plan.credentials, plan.market.clock, self.book, self.faults)
        self.ledger = Ledger(Account(plan.credentials.user_id, plan.cash), plan.market, self.book)
        self.postback = Postback(plan.postback, self.faults)
        self.updates = Updates(self.faults, self._send_update, lambda: self.oms.records.day)
        self.oms = OrderSystem(
            plan.market,
            self.ledger,
            Records(self.book, trading_day(plan.market.clock.now())),
            self.faults,
            self._announce,
            api_secret=plan.credentials.api_secret,
            seed=plan.seed,
            delay=plan.delay,
        )
        self.auctions = Auctions(self.oms, self.book)
        self.depository = Depository(self.ledger, self.oms.records, plan.market, self.book, self.faults)
        self.oms.checks.append(self.depository.check)
        self.legs = Legs(self.oms, self.auctions, self.faults)
        self.happenings = Happenings(self.oms, self.faults, self._end_sessions)
        self.gtts = GttEngine(self.oms, self.book, self.faults)
        self.alerts = Alerts(plan.market, self.legs, self.book)
        self.memory = MarketMemory(plan.market, self.book)
        plan.market.add_listener(self._before_ticks)
        self.hub = TickerHub(plan.market, self.sessions.user_of, lambda: self.faults.switches)
        plan.market.add_listener(self.oms.on_quotes)
        plan.market.add_listener(self.gtts.on_quotes)
        plan.market.add_listener(self.alerts.on_quotes)
        self.port = 0
        self.upstox: UpstoxDoor | None = None
        if UPSTOX in plan.brokers:
            client = plan.upstox or UpstoxCredentials.new()
            secure = plan.tls is not None
            self.upstox = UpstoxDoor(client, self.oms, self.book, self.faults, secure=secure)
        self._runners: list[web.AppRunner] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def urls(self) -> dict[str, str]:
        """Where it listens."""
        secure = "s" if self._plan.tls else ""
        at = f"{HOST}:{self.port}"
        return {
            "api_url": f"http{secure}://{at}",
            "login_url": f"http{secure}://{at}/connect/login",
            "ws_url": f"ws{secure}://{at}/ws",
            "redirect_url": f"http{secure}://{at}/connect/done",
        }

    async def start(self) -> None:
        """Remembers what it knew, listens, lets the market run. Raises CannotStart."""
        self._recall()
        if ZERODHA in self._plan.brokers:
            self.port = await self._listen(self._kite(), ZERODHA, self._plan.port)
        if self.upstox is not None:
            app = web.Application(client_max_size=LARGEST_REQUEST)
            self.upstox.add_to(app, self._admin)
            app.middlewares.insert(0, self.happenings.middleware(upstox_route))
            self.upstox.port = await self._listen(app, UPSTOX, self._plan.upstox_port)
        self._tasks = [
            asyncio.create_task(self.market.run()),
            asyncio.create_task(self._watch()),
            asyncio.create_task(self._remember()),
            asyncio.create_task(self.postback.run()),
        ]
        if self.upstox is not None:
            self._tasks.append(asyncio.create_task(self.upstox.webhook.run()))
        for task in self._tasks:
            task.add_done_callback(_report)

    async def stop(self) -> None:
        """Says goodbye to the streams, keeps everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.hub.close_all()
        if self.upstox is not None:
            await self.upstox.close()
        for runner in self._runners:
            await runner.cleanup()
        self.oms.close()
        self.memory.everything()
        self.book.close()

    # -- the parts talk

    def _announce(self, update: dict[str, Any]) -> None:
        self.updates.announce(update)
        self.postback.announce(update)

    def _send_update(self, update: dict[str, Any]) -> None:
        self.hub.order_update(str(update["user_id"]), update)
        if self.upstox is not None:
            self.upstox.order_update(update)

    def _before_ticks(self, _quotes: Sequence[Quote]) -> None:
        fault = self.faults.strike(TICKER)
        if fault is None:
            return
        if self.upstox is not None:
            self.upstox.ticker_fault(fault)
        if fault.name == "ticker-disconnect":
            self.hub.drop_all()
        elif fault.name == "ticker-malformed":
            self.hub.inject(MALFORMED)
        elif fault.name == "ticker-cut":
            self.hub.inject(CUT)
            asyncio.get_running_loop().call_later(CUT_SECONDS, self.hub.drop_all)
        else:
            self.hub.silent = True
            asyncio.get_running_loop().call_later(fault.seconds, self._end_silence)

    def _end_silence(self) -> None:
        self.hub.silent = False

    async def _clock_changed(self) -> None:
        if self.sessions.bury_dead():
            await self.hub.close_user(self.sessions.user_id)
        if self.upstox is not None:
            await self.upstox.clock_changed()
        self.oms.on_clock()
        self.gtts.on_clock()

    async def _end_sessions(self) -> None:
        """Every wire's sessions die, as after a logout everywhere."""
        if self.sessions.end_all():
            await self._token_ended()
        if self.upstox is not None:
            self.upstox.tokens.end_access()
            await self.upstox.token_ended()

    async def _token_ended(self) -> None:
        await self.hub.close_user(self.sessions.user_id)

    # -- memory

    def _recall(self) -> None:
        clients = self.book.load("account")
        if clients and self.credentials.user_id not in clients:
            self.book.begin_again("of-another-client")
        try:
            self.memory.recall()
        except ValueError as error:
            raise CannotStart(f"the state folder does not fit: {error}") from error
        self.sessions.load()
        if self.upstox is not None:
            self.upstox.load()
        known = self.book.load("account")
        self.oms.load()
        self.gtts.load()
        self.alerts.load()
        self.auctions.load()
        self.depository.load()
        if not known:
            self._open_positions()
        self.ledger.save()
        self.book.commit(durable=True)

    def _open_positions(self) -> None:
        for opening in self._plan.openings:
            listing = self.market.listings.by_key.get(opening.key)
            if listing is None or not listing.tradable:
                raise CannotStart(f"--opening-position: {opening.key} is not listed or cannot be traded")
            asked = opening.price * listing.price_scale // 100 if opening.price else 0
            price = asked or self.market.quotes[listing.token].last_price
            if opening.product == "CNC":
                self.ledger.hold(listing.token, opening.quantity, opening.quantity * price)
                continue
            form = OrderForm(
                exchange=listing.exchange,
                tradingsymbol=listing.tradingsymbol,
                side="BUY" if opening.quantity > 0 else "SELL",
                quantity=abs(opening.quantity),
                product=opening.product,
                order_type="LIMIT",
                price=price,
                trigger_price=0,
                validity="DAY",
                disclosed_quantity=0,
                market_protection=None,
                tag="opening",
                autoslice=False,
            )
            self.oms.fill_at_once(form, listing, told=False)

    async def _remember(self) -> None:
        while True:
            self.memory.round()
            self.book.commit()
            await asyncio.sleep(self.memory.seconds)

    async def _watch(self) -> None:
        while True:
            await self._clock_changed()
            await asyncio.sleep(WATCH_SECONDS)

    # -- the server

    def _kite(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.middlewares.append(self.happenings.middleware(kite_route))
        app.middlewares.append(Gate(self.sessions, self.faults, self.oms).pass_through)
        OrderRoutes(self.oms, self.legs, self.faults).add_to(app)
        AccountRoutes(self.oms, self.sessions, self._token_ended).add_to(app)
        PortfolioRoutes(self.oms, self.auctions, self.depository).add_to(app)
        CalculatorRoutes(self.oms).add_to(app)
        QuoteRoutes(self.market).add_to(app)
        FundRoutes().add_to(app)
        AlertRoutes(self.alerts, self.credentials.user_id).add_to(app)
        GttRoutes(self.gtts, self.market.listings, self.credentials.user_id).add_to(app)
        DepositoryPage(self.sessions, self.depository).add_to(app)
        login = LoginPage(self.sessions, lambda: self.urls["redirect_url"])
        app.router.add_get("/connect/login", login.show, name="login:show")
        app.router.add_post("/connect/login", login.submit, name="login:submit")
        app.router.add_get("/connect/done", landing)
        app.router.add_get("/ws", self.hub.handle)
        self._admin(app)
        return app

    def _admin(self, app: web.Application) -> None:
        """The exchange's own door, on every port."""
        AdminRoutes(self.oms, self.faults, self._clock_changed).add_to(app)
        Backstage(self.gtts, self.auctions, self.happenings, self.postback, self.market).add_to(app)

    async def _listen(self, app: web.Application, broker: str, asked: int) -> int:
        """Serves a wire on the asked port, else on the remembered one, else on a free one. Raises CannotStart."""
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1.0, max_line_size=LONGEST_URL
        )
        self._runners.append(runner)
        await runner.setup()
        key = _PORT_KEYS[broker]
        remembered = self.book.load("port").get(key, 0)
        for port in (asked,) if asked else (remembered, 0):
            site = web.TCPSite(runner, HOST, port, ssl_context=self._plan.tls)
            try:
                await site.start()
            except OSError as error:
                if port == 0 or asked:
                    raise CannotStart(f"port {port} on {HOST} is taken: {error.strerror}") from error
                continue
            break
        taken: int = runner.addresses[0][1]
        self.book.put("port", key, taken)
        self.book.commit(durable=True)
        return taken


def _report(task: asyncio.Task[None]) -> None:
    """A part that dies takes the exchange with it: silence would look like a calm market."""
    if not task.cancelled() and (error := task.exception()) is not None:
        with contextlib.suppress(RuntimeError):
            task.get_loop().call_exception_handler({"message": "the paper exchange failed", "exception": error})
            task.get_loop().stop()
