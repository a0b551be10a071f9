"""What a test scripts of a desk: its state, which verb fails or waits, and what was asked of it."""

from __future__ import annotations

import asyncio

from app.brokers.info import shipped_info
from app.desk.api import EventHandler
from app.desk.messages import AccountView, LoginPage, PaperLogin, SyncRun, VaultState, WatchlistView
from app.domain.broker import BrokerListing
from app.domain.day_stop import DayStop
from app.domain.events import Event, SessionState
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.market import Tick
from app.domain.order import Order
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop
from tests.ui import scripted_market as market


class Script:
    """What the verbs share: state, failures to raise, verbs to hold, and who listens."""

    def __init__(self) -> None:
        self.handlers: list[EventHandler] = []
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.failures: dict[str, list[Exception]] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.vault_state = VaultState.OPEN
        self.passphrase = "correct horse"
        self.recovery_key = ""
        self.keyring = False
        self.session = SessionState.ACTIVE
        self.accounts: dict[AccountId, AccountView] = {}
        self.instruments: dict[InstrumentId, Instrument] = {i.id: i for i in market.INSTRUMENTS}
        self.ticks: dict[InstrumentId, Tick] = {
            InstrumentId(i): market.tick(i, last) for i, last in market.LASTS.items()
        }
        self.positions: dict[PositionKey, Position] = {p.key: p for p in market.positions()}
        self.stops: dict[StopId, Stop] = {s.id: s for s in market.stops()}
        self.day_stops: dict[AccountId, DayStop] = {d.account: d for d in market.day_stops()}
        self.backed: set[StopId] = set()
        """Stops with a backstop at the exchange."""
        self.orders: dict[BrokerOrderId, Order] = {o.broker_order_id: o for o in market.orders()}
        self.watchlist: WatchlistView | None = WatchlistView(
            "Watchlist", tuple(InstrumentId(i) for i in list(market.LASTS)[:8])
        )
        self.subscriptions: dict[str, tuple[InstrumentId, ...]] = {}
        self.brokers: tuple[BrokerListing, ...] = (BrokerListing(shipped_info("zerodha")),)
        self.login_page: LoginPage | None = None
        self.paper: PaperLogin | None = PaperLogin("PAPER1", "sunrise-4417", "482913", 17)
        self.runs: list[SyncRun] = []

    async def enter(self, verb: str, *arguments: object) -> None:
        """A verb begins: noted, held when the test holds it, failed when the test said so."""
        self.calls.append((verb, arguments))
        gate = self.held.get(verb)
        if gate is not None:
            await gate.wait()
        waiting = self.failures.get(verb)
        if waiting:
            raise waiting.pop(0)

    def fail(self, verb: str, failure: Exception) -> None:
        """The next call of `verb` raises this."""
        self.failures.setdefault(verb, []).append(failure)

    def hold(self, verb: str) -> asyncio.Event:
        """Calls of `verb` wait until the event is set (on the loop thread)."""
        self.held[verb] = asyncio.Event()
        return self.held[verb]

    def publish(self, event: Event) -> None:
        """On the loop thread, as the bus would."""
        for handler in tuple(self.handlers):
            handler(event)

    def called(self, verb: str) -> list[tuple[object, ...]]:
        """The arguments of each call of a verb."""
        return [arguments for name, arguments in self.calls if name == verb]
