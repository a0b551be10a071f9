"""One run's world: the paper exchange and the workstation on one virtual machine, and what happened in it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from app.brokers.zerodha.instruments import read
from app.domain.events import Event
from app.domain.ids import InstrumentId
from app.domain.instrument import Instrument
from app.domain.listing import InstrumentMaker
from app.simulator.clock import IST, ExchangeClock
from app.simulator.exchange import Exchange, Opening, Plan
from app.simulator.faults import Fault
from app.simulator.kite.sessions import Credentials
from app.simulator.listing import Listings
from app.simulator.market import Market
from app.simulator.order import Fill, Order
from app.simulator.quote import Quote
from tests.harness.network import Network
from tests.harness.station import Station, checksum
from tests.harness.tape import Course, Tape
from tests.harness.virtual import Side, VirtualLoop

_TAG = re.compile(rb"[?&\n]tag=([A-Z0-9]+)")
MORNING = datetime(2026, 11, 25, 10, 0, tzinfo=IST)
CREDENTIALS = Credentials(
    "harnesskey", "harnesssecret", "HA1234", "harness-password", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
)


@dataclass(frozen=True, slots=True)
class Traded:
    """A fill as the exchange made it."""

    at: float
    """Loop time."""
    token: int
    product: str
    side: str
    quantity: int
    order: str
    tag: str
    net: int
    """Signed position after it."""


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
        courses: dict[int, Course],
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
        self.arrived: dict[str, float] = {}
        """When each order reached the exchange, by its number there."""
        self.printed: dict[int, list[tuple[float, int]]] = {}
        """By token: when each trade printed (loop time), and its price."""
        self.struck: list[float] = []
        """When a scripted fault of the exchange struck."""
        self.left: dict[str, float] = {}
        """When an order with a tag of ours was written to the wire."""
        network.on_send = self._sent
        self._lifetimes: list[float] = []
        self.instruments = instruments_of(listings)
        self._port = 0
        self._lives = 0

    def _sent(self, side: Side | None, data: bytes) -> None:
        if side is not None and side is not self.exchange_side and (found := _TAG.search(data)) is not None:
            self.left.setdefault(found[1].decode(), self.loop.time())

    # -- the exchange ------------------------------------------------------------------------------------------------

    async def open_exchange(self) -> None:
        """Starts it, or starts it again after its death: it remembers."""
        self._lives += 1
        side = self.exchange_side = Side(f"exchange {self._lives}")
        clock = self.exchange.market.clock if self._lives > 1 else ExchangeClock(MORNING)
        at = clock.now()

        async def begin() -> None:
            market = Market(self.tape, ExchangeClock(at))
            plan = Plan(
                market,
                CREDENTIALS,
                port=self._port,
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
            self._port = exchange.port
            self._watch_fills(exchange)
            self._watch_faults(exchange)

        await side.start(begin())

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
                self.struck.append(self.loop.time())
            return fault

        exchange.faults.strike = struck  # type: ignore[method-assign]

    def token(self) -> str:
        """What a login brings."""
        sessions = self.exchange.sessions
        asked = sessions.new_request_token()
        answer = sessions.exchange(
            CREDENTIALS.api_key, asked, checksum(CREDENTIALS.api_key, asked, CREDENTIALS.api_secret)
        )
        return str(answer["access_token"])

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
            {**self.exchange.urls, **CREDENTIALS.as_dict()},
            self.token,
            self._told,
        )
        self.stations.append(station)
        self._lifetimes.append(self.loop.time())
        self.station = station

        async def begin() -> None:
            await station.open()
            await station.desk.recovered()

        await station.side.start(begin())
        return station

    def kill_station(self) -> None:
        """`kill -9`."""
        station, self.station = self.station, None
        if station is not None:
            self.loop.kill(station.side)

    def _told(self, station: Station, event: Event) -> None:
        self.heard.append(Heard(self.loop.time(), station.number, event))

    def events(self, *kinds: type[Any]) -> Iterable[Heard]:
        """What was published of some kinds, in order."""
        return (heard for heard in self.heard if isinstance(heard.event, kinds))

    def life_at(self, moment: float) -> int:
        """Which life of the workstation it was."""
        return sum(begun <= moment for begun in self._lifetimes)

    async def wait(self, seconds: float) -> None:
        """Virtual seconds."""
        await asyncio.sleep(seconds)


def _close_book(exchange: Exchange) -> None:
    """The kernel lets go of a dead exchange's file; what was not committed is lost."""
    database = exchange.book._database
    if database is not None:
        exchange.book._database = None
        database.close()


def instruments_of(listings: Listings) -> dict[InstrumentId, Instrument]:
    """The exchange's list as the adapter reads it."""
    make = InstrumentMaker().make
    made = (make(row) for part in read(listings.csv(None)) for row in part.rows)
    return {instrument.id: instrument for instrument in made}
