"""The workstation's process in a run: the real account desk, adapter, feed, engine and journal, and its trader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy import select

from app.analytics.charge_table import ChargeTable
from app.brokers.base import Session
from app.desk.account import AccountDesk
from app.desk.day_charges import DayCharges
from app.desk.engine_parts import Trading
from app.desk.flatten import FlattenDesk
from app.desk.flatten_messages import FlattenChoice, FlattenReport
from app.domain.account import Endpoints
from app.domain.calendar import TradingCalendar
from app.domain.errors import AppError, DiskFull, SessionExpired
from app.domain.events import Event, FeedState, Level, Noticed
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Instrument
from app.domain.stop import Stop
from app.domain.strategy import Strategy
from app.engine.rules import ExitRules
from app.market.charts import Charts
from app.market.underlyings import Underlyings
from app.runtime.paths import resource
from app.runtime.secret import Secret
from app.storage.database import StoreKind
from app.storage.journal import Journal
from app.storage.schema_journal import intents
from app.storage.store import open_store
from tests.harness.virtual import Side
from tests.harness.wires import Wire

if TYPE_CHECKING:
    from app.desk.workspace import Workspace

T = TypeVar("T")

KEY = Secret("5" * 64)
"""Of the journal in a run: nothing in it is anybody's."""
LOGIN_SECONDS = 6.0
"""A trader who was called logs in again after this long."""
LOGIN_AGAIN = 3.0
SPACE_AGAIN = 0.5


def _texts(*parts: str, pattern: str) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(resource(*parts).glob(pattern))]


RULES = ExitRules.parse(
    *(resource("rules", f"{name}.csv").read_text("utf-8") for name in ("exits", "protection", "freeze", "backstop"))
)
UNDERLYINGS = resource("rules", "underlyings.csv").read_text(encoding="utf-8")
CHARGES = ChargeTable.parse(*_texts("charges", pattern="*.csv"))
CALENDAR = TradingCalendar.parse(*_texts("calendar", pattern="*.json"))


class Disk:
    """What the machine's disk does to whoever writes the journal."""

    full = 0
    """How many filled it: 0 while there is space."""
    slow = 0.0
    """Seconds that each write takes: another program is busy with the disk."""
    refused = 0
    """Works that found it full."""
    delayed = 0
    """Works that had to wait for it."""
    on_work: Callable[[], None] = staticmethod(lambda: None)
    """Hears of each work, done or not."""


class InlineWorker:
    """Stands for `storage.worker.Worker`: the same work, without the thread. It takes no time but the disk's."""

    disk = Disk()

    def __init__(self, name: str) -> None:
        del name
        self.is_open = True
        self._turn = asyncio.Lock()

    async def call(self, function: Callable[[], T]) -> T:
        async with self._turn:
            disk = self.disk
            disk.delayed += disk.slow > 0
            await asyncio.sleep(0.001 + disk.slow)
            disk.on_work()
            if disk.full:
                disk.refused += 1
                raise DiskFull("There is no space left to write journal.db.")
            return function()

    async def stop(self, last: Callable[[], None], within: float = 10.0) -> bool:
        del within
        self.is_open = False
        last()
        return True


class Station:
    """One life of the program, from its start to `kill`."""

    def __init__(
        self,
        number: int,
        folder: Path,
        instruments: Mapping[InstrumentId, Instrument],
        wire: Wire,
        endpoints: Endpoints,
        token: Callable[[], str],
        told: Callable[[Station, Event], None],
    ) -> None:
        self.number = number
        self.side = Side(f"station {number}")
        self.desk: AccountDesk
        self.journal: Journal
        self.bugs: list[BaseException] = []
        self.logins = 0
        self.is_open = False
        """Its profile is open: there is a desk."""
        self._folder = folder
        self.instruments = instruments
        self._wire = wire
        self._endpoints = endpoints
        self._factory = wire.factory(instruments)
        self._token = token
        self._told = told
        self._logging_in: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """As unlocking a profile: the journal, and its stops. Where the disk is full, the trader tries again."""
        account = self._wire.account
        store, _ = await _until_space(lambda: open_store(self._folder, KEY, StoreKind.JOURNAL))
        # The kernel lets go of a dead program's file.
        self.side.on_death.append(store.close_file)
        self.journal = Journal(store)
        self.desk = AccountDesk(account, self._trading(), self._died)
        stops = await _until_space(lambda: self.journal.recent_stops(500))
        strategies = await _until_space(lambda: self.journal.strategies.strategies(account))
        self.desk.adopt(stops, strategies)
        self.is_open = True
        await self.log_in()

    def _trading(self) -> Trading:
        from app.runtime.loop import Tasks

        self._tasks = Tasks(self.bugs.append)
        return Trading(
            journal=self.journal,
            rules=RULES,
            calendar=CALENDAR,
            charges=DayCharges(CHARGES),
            instrument=self.instruments.get,
            ends_in_auction=lambda _: False,
            info=lambda _: self._wire.info,
            charts=Charts(self._publish, _keep),
            underlyings=Underlyings.parse(UNDERLYINGS, self._search),
            publish=self._publish,
            tasks=self._tasks,
        )

    async def close(self) -> None:
        """The trader ends the program: its tasks end, and what they still had to write is written."""
        self.is_open = False
        await self.desk.end(FeedState.OFF)
        await self._tasks.stop()
        await self.journal.store.close()

    def _search(self, words: str, most: int) -> list[Instrument]:
        name, _, kind = words.partition(" ")
        return [one for one in self.instruments.values() if one.name == name and kind in one.symbol][:most]

    def _publish(self, event: Event) -> None:
        self._told(self, event)

    async def flatten(self) -> FlattenReport:
        """The trader presses the chord and confirms."""
        return await FlattenDesk(cast("Workspace", OneAccount(self, self._publish))).run(FlattenChoice())

    # -- the trader's login ------------------------------------------------------------------------------------------

    async def log_in(self) -> None:
        """Until it works; a broker that is down is tried again."""
        while True:
            try:
                await self._begin()
            except AppError:
                await asyncio.sleep(LOGIN_AGAIN)
            else:
                return

    async def _begin(self) -> None:
        now = self.desk.clock.now()
        session = Session(self._wire.account, "H", "Harness", Secret(self._token()), now, now + self._wire.lives)
        broker = self._factory.session(session, self._wire.credentials, self._endpoints)
        await self.desk.begin(session, broker)
        self.logins += 1

    async def _died(self, account: AccountId, cause: SessionExpired) -> None:
        """What the session desk does: the stops are blind until the trader, who is called, logs in again."""
        await self.desk.end(FeedState.REFUSED)
        if self.desk.active:
            return
        if self.desk.stops.armed:
            self._publish(Noticed(Level.ALARM, "Stops are blind", str(cause), "Log in again.", account))
        if self._logging_in is None or self._logging_in.done():
            self._logging_in = asyncio.get_running_loop().create_task(self._log_in_again())

    async def _log_in_again(self) -> None:
        await asyncio.sleep(LOGIN_SECONDS)
        if not self.desk.active:
            await self.log_in()

    async def tags(self) -> frozenset[str]:
        """Of every order that was written down before it left."""
        return await self.journal.store.run(lambda c: frozenset(c.execute(select(intents.c.tag)).scalars()))

    # -- what a run asks ---------------------------------------------------------------------------------------------

    @property
    def stops(self) -> tuple[Stop, ...]:
        """As the engine has them."""
        return self.desk.stops.stops

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """As the engine has them."""
        return self.desk.strategies.strategies


class OneAccount:
    """Of a workspace what flattening asks for: this program has one account."""

    rules = RULES

    def __init__(self, station: Station, publish: Callable[[Event], None]) -> None:
        self._station = station
        self.publish = publish

    @property
    def journal(self) -> Journal:
        return self._station.journal

    @property
    def accounts(self) -> dict[AccountId, AccountDesk]:
        return {self._station.desk.account: self._station.desk}

    def account(self, account: AccountId) -> AccountDesk:
        return self.accounts[account]

    def live(self) -> list[AccountDesk]:
        return [self._station.desk] if self._station.desk.active else []

    def instrument(self, instrument: InstrumentId) -> Instrument:
        return self._station.instruments[instrument]


async def _until_space(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    while True:
        try:
            return await work()
        except DiskFull:
            await asyncio.sleep(SPACE_AGAIN)


async def _keep(*_: Any) -> None:
    """Candles are not kept in a run: no chart is open."""
