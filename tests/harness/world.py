"""One run's world: the paper exchange and the workstation on one virtual machine, and what happened in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from app.domain.events import Event
from app.simulator.clock import IST, ExchangeClock
from app.simulator.exchange import Exchange, Opening, Plan
from app.simulator.faults import Fault
from app.simulator.gtt import ACTIVE, SINGLE, Leg
from app.simulator.listing import Listings
from app.simulator.market import Market
from app.simulator.order import Fill, Order
from app.simulator.quote import Quote
from app.simulator.upstox.triggers import BELOW, ENTRY, PENDING, Rule
from tests.harness.network import Network
from tests.harness.script import Kind
from tests.harness.station import Station
from tests.harness.tape import Course, Tape
from tests.harness.virtual import Side, VirtualLoop
from tests.harness.wires import KITE, UPSTOX_CLIENT, Wire

MORNING = datetime(2026, 11, 25, 10, 0, tzinfo=IST)
FOREIGN_UNITS = 1
HELD_UNITS = 50
"""Shares in the demat account, where there are any."""
STRUCK = 9.0
"""Seconds that a fault of a request may cost: a lost answer is waited for, then looked up."""
UNHEARD = 9.0
"""The same of an update that never comes, about an order that nobody asks for: until all is reconciled."""
CASH = 100_00_00_000_00
"""Paise: what a run is about is never a lack of money."""


@dataclass(frozen=True, slots=True)
class Traded:
    """A fill as the exchange made it."""

    at: float
    """Loop time."""
    token: int
    product: str
    side: str
    quantity: int
    price: int
    order: str
    tag: str
    net: int
    """Signed position after it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A trigger (GTT) at the exchange."""

    id: str
    instrument: str
    units: int
    trigger: int
    active: bool
    order: str
    """The number of what it sent; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a station published."""

    at: float
    station: int
    event: Event


class World:
    """Builds, kills and starts again; keeps what happened."""

    def __init__(
        self,
        loop: VirtualLoop,
        network: Network,
        seed: int,
        folder: Path,
        listings: Listings,
        listed: Listings,
        courses: dict[int, Course],
        wire: Wire,
    ) -> None:
        self.loop = loop
        self.network = network
        self.seed = seed
        self.folder = folder
        self.tape = Tape(listings, courses)
        self.openings: list[Opening] = []
        self.switches: list[str] = []
        self.exchange_remembers = False
        """It will be started again in this run, and keeps its book on disk."""
        self.exchange: Exchange
        self.exchange_side: Side
        self.station: Station | None = None
        self.stations: list[Station] = []
        self.traded: list[Traded] = []
        self.heard: list[Heard] = []
        self.foreign: set[str] = set()
        """Triggers at the exchange that are not ours."""
        self.arrived: dict[str, float] = {}
        """When each order reached the exchange, by its number there."""
        self.printed: dict[int, list[tuple[float, int]]] = {}
        """By token: when each trade printed (loop time), and its price."""
        self.opened: dict[int, int] = {}
        """By token: the price at which the day's positions were opened."""
        self.tokens: set[str] = set()
        """Of every session: they may be nowhere."""
        self.deaths: list[float] = []
        """When the workstation was killed."""
        self.turned_day = 0.0
        """Loop time at which the exchange's next day began; 0: it is the first."""
        self.struck: list[tuple[float, float]] = []
        """When a scripted fault of the exchange struck, and for how many seconds that may cost something."""
        self.kinds: dict[str, Kind] = {}
        """What the script means by each fault that it set at the exchange."""
        self.happened: dict[Kind, int] = {}
        """How often each kind of fault has struck."""
        self.left: dict[str, float] = {}
        """When an order with a tag of ours was written to the wire."""
        network.on_send = self._sent
        self._lifetimes: list[float] = []
        self.wire = wire
        self.instruments = wire.instruments(listed)
        """By the list of the first day: it is the same in all runs."""
        self.on_step: Callable[[], None] | None = None
        """Hears of each step of the workstation that the world can see: bytes out, and works of its disk."""
        self._port = 0
        self._lives = 0

    def _sent(self, side: Side | None, data: bytes) -> None:
        if side is None or side is self.exchange_side:
            return
        if (found := self.wire.tag.search(data)) is not None:
            self.left.setdefault(found[1].decode(), self.loop.time())
        if self.on_step is not None:
            self.on_step()

    def count(self, kind: Kind) -> None:
        """It has happened, and to somebody."""
        self.happened[kind] = self.happened.get(kind, 0) + 1

    # -- the exchange ------------------------------------------------------------------------------------------------

    async def open_exchange(self) -> None:
        """Starts it, or starts it again after its death: it remembers."""
        self._lives += 1
        side = self.exchange_side = Side(f"exchange {self._lives}", keeps_time=True)
        clock = self.exchange.market.clock if self._lives > 1 else ExchangeClock(MORNING)
        at = clock.now()

        async def begin() -> None:
            market = Market(self.tape, ExchangeClock(at))
            plan = Plan(
                market,
                KITE,
                port=self._port,
                cash=CASH,
                brokers=(self.wire.name,),
                upstox=UPSTOX_CLIENT,
                upstox_port=self._port,
                state=self.folder / "exchange" if self.exchange_remembers else None,
                faults=self.switches,
                seed=self.seed,
                openings=self.openings,
            )
            market.add_listener(self._note_prices)
            exchange = Exchange(plan)
            side.on_death.append(lambda: _close_book(exchange))
            await exchange.start()
            self.exchange = exchange
            self._port = exchange.port if exchange.upstox is None else exchange.upstox.port
            if self._lives == 1:
                fills = exchange.oms.records.fills
                self.opened = {fill.token: fill.price for fill in fills}
            self._watch_fills(exchange)
            self._watch_faults(exchange)

        await side.start(begin())

    def buy_shares(self, wanted: Iterable[tuple[str, int]]) -> None:
        """Shares of delivery that were bought this morning, before anything else."""
        for instrument, units in wanted:
            self.exchange.happenings.trade_elsewhere(instrument, units, "CNC")

    # -- triggers at the broker

    def set_foreign_triggers(self, instruments: Iterable[str]) -> None:
        """Each instrument has one that the trader made elsewhere, so far off that it never fires."""
        for instrument in instruments:
            row = self.tape.listings.by_key[instrument]
            last = self.exchange.market.quotes[row.token].last_price
            far = last * 6 // 10 // row.tick_size * row.tick_size
            if self.exchange.upstox is None:
                leg = Leg(far, False, "SELL", FOREIGN_UNITS, "CNC", "LIMIT", far)
                self.exchange.gtts.create(SINGLE, row, last, [leg])
            else:
                rules = [Rule(ENTRY, BELOW, far)]
                self.exchange.upstox.triggers.create("SINGLE", row, "SELL", "CNC", FOREIGN_UNITS, rules)
        self.foreign = {one.id for one in self.triggers()}

    def triggers(self) -> list[Waiting]:
        """All that the exchange has ever kept."""
        rows = self.tape.listings.by_token
        if self.exchange.upstox is None:
            return [
                Waiting(
                    str(one.id),
                    rows[one.token].key,
                    one.legs[0].quantity,
                    one.legs[0].trigger,
                    one.status == ACTIVE,
                    one.legs[0].outcome.order_id if one.legs[0].outcome else "",
                )
                for one in self.exchange.gtts._all.values()
            ]
        return [
            Waiting(
                one.id,
                rows[one.token].key,
                one.quantity,
                one.entry.trigger,
                one.entry.status == PENDING,
                one.entry.order_id,
            )
            for one in self.exchange.upstox.triggers.listed()
        ]

    def delete_trigger(self, trigger: str) -> None:
        """By another terminal."""
        upstox = self.exchange.upstox
        if upstox is None:
            self.exchange.gtts.delete(int(trigger))
        elif (one := upstox.triggers.get(trigger)) is not None:
            upstox.triggers.cancel(one)

    def _note_prices(self, quotes: Sequence[Quote]) -> None:
        for quote in quotes:
            self.printed.setdefault(quote.listing.token, []).append((self.loop.time(), quote.last_price))

    def kill_exchange(self) -> None:
        """As a crash of the broker's systems."""
        self.loop.kill(self.exchange_side)

    def _watch_fills(self, exchange: Exchange) -> None:
        take = exchange.ledger.take

        def watched(fill: Fill) -> None:
            take(fill)
            order = exchange.oms.records.orders[fill.order_id]
            net = exchange.ledger.account.net_quantity(fill.token, fill.product)
            self.traded.append(
                Traded(
                    self.loop.time(),
                    fill.token,
                    fill.product,
                    fill.side,
                    fill.quantity,
                    fill.price,
                    fill.order_id,
                    order.tag or "",
                    net,
                )
            )

        exchange.ledger.take = watched  # type: ignore[method-assign]
        add = exchange.oms.records.add

        def added(order: Order) -> None:
            self.arrived[order.order_id] = self.loop.time()
            add(order)

        exchange.oms.records.add = added  # type: ignore[method-assign]

    def _watch_faults(self, exchange: Exchange) -> None:
        strike = exchange.faults.strike

        def struck(*args: Any, **options: Any) -> Fault | None:
            fault = strike(*args, **options)
            if fault is not None:
                self.struck.append((self.loop.time(), UNHEARD if fault.name == "update-drop" else STRUCK))
                if fault.spec in self.kinds:
                    self.count(self.kinds[fault.spec])
            return fault

        exchange.faults.strike = struck  # type: ignore[method-assign]

    def token(self) -> str:
        """What a login brings."""
        token = self.wire.token(self.exchange)
        self.tokens.add(token)
        return token

    def net(self, instrument: str, product: str) -> int:
        """Signed units at the exchange."""
        token = self.tape.listings.by_key[instrument].token
        return self.exchange.ledger.account.net_quantity(token, product)

    # -- the workstation ---------------------------------------------------------------------------------------------

    async def start_station(self) -> Station:
        """The program is started on its profile; returns when stops are watched or followed again."""
        station = Station(
            len(self.stations) + 1,
            self.folder,
            self.instruments,
            self.wire,
            self.wire.endpoints(self.exchange),
            self.token,
            self._told,
        )
        self.stations.append(station)
        self._lifetimes.append(self.loop.time())
        self.station = station

        async def begin() -> None:
            await station.open()
            await station.desk.recovered()

        # It may be killed while it starts: whoever killed it starts the next.
        gone: asyncio.Future[None] = self.loop.create_future()
        station.side.on_death.append(lambda: gone.set_result(None))
        started = station.side.start(begin())
        await asyncio.wait([started, gone], return_when=asyncio.FIRST_COMPLETED)
        if started.done():
            started.result()
        return station

    @property
    def running(self) -> Station | None:
        """The workstation, once its profile is open."""
        return self.station if self.station is not None and self.station.is_open else None

    def kill_station(self) -> None:
        """`kill -9`."""
        station, self.station = self.station, None
        if station is not None:
            self.deaths.append(self.loop.time())
            self.loop.kill(station.side)

    def _told(self, station: Station, event: Event) -> None:
        self.heard.append(Heard(self.loop.time(), station.number, event))

    def events(self, *kinds: type[Any]) -> Iterable[Heard]:
        """What was published of some kinds, in order."""
        return (heard for heard in self.heard if isinstance(heard.event, kinds))

    def born(self, life: int) -> float:
        """When a life of the workstation began."""
        return self._lifetimes[life - 1]

    def life_at(self, moment: float) -> int:
        """Which life of the workstation it was."""
        return sum(begun <= moment for begun in self._lifetimes)

    def net_at(self, instrument: str, product: str, moment: float) -> int:
        """Signed units at an earlier moment of the same day."""
        token = self.tape.listings.by_key[instrument].token
        later = [t for t in self.traded if (t.token, t.product) == (token, product) and t.at > moment]
        return self.net(instrument, product) - sum(t.quantity * (1 if t.side == "BUY" else -1) for t in later)

    async def wait(self, seconds: float) -> None:
        """Virtual seconds."""
        await asyncio.sleep(seconds)


def _close_book(exchange: Exchange) -> None:
    """The kernel lets go of a dead exchange's file; what was not committed is lost."""
    database = exchange.book._database
    if database is not None:
        exchange.book._database = None
        database.close()
