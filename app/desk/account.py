"""One connected account at work: session, feed, engine, orders. Loop thread only.

Outlives its sessions: when a token dies the stops stay, blind, and the next login takes them up again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from app.brokers.base import BrokerSession, ExitLine, Session
from app.desk.account_books import AccountBooks
from app.desk.day_figures import DayFigures
from app.desk.engine_parts import Trading
from app.desk.hours import TradingHours
from app.desk.order_watch import OrderWatch
from app.desk.outcome import Outcome
from app.desk.price_trouble import PriceTrouble
from app.desk.rights import DataRights
from app.desk.surroundings import StopSurroundings
from app.desk.timekeeper import TimeKeeper
from app.domain.calendar import ist_date
from app.domain.errors import AppError, Denied, SessionExpired
from app.domain.events import FeedState
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.portfolio import Position
from app.domain.stop import Stop
from app.domain.strategy import Strategy
from app.engine.account import AccountState, PositionReading
from app.engine.day_stop import DayGuard
from app.engine.flight import FlightRecorder
from app.engine.orders import OrderManager
from app.engine.quiet_orders import QuietOrders
from app.engine.recovery import recover
from app.engine.stops import StopEngine
from app.engine.strategies.runner import StrategyEngine
from app.engine.watch import Watch
from app.market.feed import FeedHub
from app.market.kept import KeptPrices
from app.runtime.redaction import shared

log = logging.getLogger(__name__)

CLOCK_SECONDS = 60.0
PAPER_CLOCK_SECONDS = 2.0
"""A paper exchange's clock may be set or sped up at any moment."""

CONNECTED = frozenset({FeedState.LIVE, FeedState.SILENT, FeedState.CLOSED})
"""States of the feed in which order updates come by themselves."""


class AccountDesk:
    """Everything that runs for one account."""

    def __init__(
        self,
        account: AccountId,
        trading: Trading,
        on_session_dead: Callable[[AccountId, SessionExpired], Coroutine[Any, Any, None]],
    ) -> None:
        self.account = account
        self._time = TimeKeeper(account, trading.publish)
        self.clock = self._time.clock
        self._trading = trading
        self._publish = trading.publish
        self._dead = on_session_dead
        self.hours = TradingHours(trading.calendar, self.instrument, trading.ends_in_auction)
        self.state = AccountState(account, self.clock, trading.publish)
        self.books = AccountBooks(self.state, trading.charges, trading.publish, trading.tasks)
        self.orders = OrderManager(
            self.state,
            trading.journal,
            trading.rules,
            self.instrument,
            self.last_price,
            trading.publish,
            trading.tasks,
            lambda: trading.info(account),
        )
        self.surroundings = StopSurroundings(self.state, self.clock, self.hours, trading.underlyings, self.outcome)
        self.stops = StopEngine(
            self.state,
            self.orders,
            trading.journal,
            trading.rules,
            trading.instrument,
            self.last_price,
            self._counts,
            self.surroundings,
            trading.publish,
            trading.tasks,
        )
        self.strategies = StrategyEngine(
            self.state,
            self.orders,
            self.stops,
            trading.journal.strategies,
            trading.rules,
            self.hours,
            trading.instrument,
            self.last_price,
            trading.publish,
            trading.tasks,
        )
        self._order_watch = OrderWatch(self.state, trading.publish, trading.tasks)
        self.hub = FeedHub(
            account,
            self.stops.check,
            self.stops.watched,
            self.stops.rich,
            self.books.on_order,
            self._on_connected,
            self._order_watch.stream,
            self._on_feed_refused,
            lambda carried: self.hours.patience(carried, self.clock.now()),
            self.clock.now,
            trading.charts.of_account(account),
            trading.publish,
        )
        self.hub.on_news, self.books.on_gtt = self.books.on_news, self.stops.backstops.triggers.told
        self.books.read_triggers = self.stops.backstops.triggers.reread
        self.day = DayFigures(
            self.state, self.hours, self.last_price, lambda: self.books.charges_today, lambda: self.hub.live
        )
        self.day_stop = DayGuard(
            self.state,
            self.stops,
            self.orders,
            trading.journal.day_stops,
            self.day.decisive,
            self.hours.next_day,
            self._market_open,
            trading.publish,
        )
        self.day_stop.blindness.blind = self.day.blind
        self.orders.gate, self.orders.gtts.gate = self.day_stop.admit, self.day_stop.admit_gtt
        self._quiet = QuietOrders(self.state, lambda: self.hub.state in CONNECTED, self.stops.may_cross)
        self._trouble = PriceTrouble(account, self.stops, self.hub, self.trades, trading.guarding, trading.publish)
        self.stops.when_watched(self._on_watched)
        self.strategies.when_wanted(lambda names: self.hub.want("strategies", names))
        hide, flights = shared().text, trading.journal.flights
        self.stops.record_flights(
            FlightRecorder(self.state, KeptPrices(self.hub).of, hide, flights, trading.publish, trading.tasks)
        )
        self.state.on_session_dead = self._on_dead
        self.state.on_positions.append(self._on_positions)
        self.rights = DataRights(account, trading.publish)
        self.session: Session | None = None
        self._broker: BrokerSession | None = None
        self._line: ExitLine | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._recovered = asyncio.Event()
        self._changing = asyncio.Lock()
        """Held while a session begins or ends: one ends whole before the next begins."""
        self._dying: BrokerSession | None = None

    @property
    def broker_time(self) -> Nanos:
        """By the broker's own clock, as last read. This machine's may be wrong, or be set meanwhile."""
        return self._time.broker.now()

    @property
    def active(self) -> bool:
        """Logged in."""
        return self._broker is not None

    @property
    def broker(self) -> BrokerSession:
        """The live session. Raises SessionExpired."""
        if self._broker is None:
            raise SessionExpired("The account is not logged in.")
        return self._broker

    def instrument(self, instrument: InstrumentId) -> Instrument | None:
        """With the broker's own number, key, lot and tick; what stops guard also where a later list leaves it out."""
        return self._trading.instrument(instrument) or self.stops.known(instrument)

    @property
    def blind(self) -> int:
        """Armed stops that no live price reaches while their market trades."""
        return max(0, self.stops.armed - (self.stops.watching + self.stops.exiting if self.sees else 0))

    @property
    def sees(self) -> bool:
        """Prices reach the stops, or no session is open that could be missed."""
        return self.active and self.hub.state in (FeedState.LIVE, FeedState.CLOSED)

    @property
    def exit_may_come(self) -> bool:
        """The market of an armed stop trades."""
        return any(self.trades(stop.key.instrument) for stop in self.stops.stops if not stop.state.is_final)

    def adopt(self, stops: Sequence[Stop], strategies: Sequence[Strategy] = ()) -> None:
        """The journal's stops and strategies, before the first login of this run."""
        for stop in stops:
            self.stops.adopt(stop)
        self.strategies.adopt(strategies)

    async def begin(self, session: Session, broker: BrokerSession, *, guard: bool = True, late: bool = False) -> None:
        """A session is there: clock, exit line, feed, then the stops. Raises AppError; nothing is left half open.

        Without `guard` it only reads: a command beside no workstation must not take up stops that it would drop again.
        `late`: one of before, which gives way to a login that was quicker.
        """
        async with self._changing:
            if late and self._broker is not None:
                await broker.close()
                return
            await self._end(FeedState.OFF)
            line = broker.exit_line()
            try:
                await self._read_clock(broker)
                # A dead session says so here.
                self.surroundings.sells_freely = (await broker.profile()).sells_freely
                if guard:
                    await line.start()
            except BaseException:
                await line.stop()
                await broker.close()
                raise
            self.session, self._broker = session, broker
            self._recovered.clear()
            if not guard:
                self.state.attach(broker)
                self.orders.attach(broker)
                self._recovered.set()
                return
            self._line = line
            self.stops.attach(broker, line)
            self.hub.set_urgent(self.stops.armed > 0)
            info = self._trading.info(self.account)
            known = [self._trading.instrument(name) for name in info.canaries]
            canaries = {instrument.token: instrument.id for instrument in known if instrument is not None}
            if self.rights.begin(info):
                self.hub.start(lambda sink, orders: broker.feed(sink, orders=orders), info.stream, canaries)
            start = self._trading.tasks.start
            self._tasks = [
                start(self._recover(), f"recovery {self.account}"),
                start(self.orders.recover(), f"orders of before {self.account}"),
                start(self._quiet.run(), f"quiet orders {self.account}"),
                start(self.books.keep_reconciled(), f"reconcile {self.account}"),
                start(self._keep_time(), f"clock {self.account}"),
                start(self._keep_day_stop(), f"portfolio stop {self.account}"),
                start(self._trouble.run(broker), f"prices that fail {self.account}"),
                start(self._trading.charts.run(self.account, broker, self.clock.now), f"candles {self.account}"),
            ]

    async def end(self, state: FeedState, dead: object = None) -> None:
        """The session is over (logout, death, shutdown). Stops stay in the journal.

        The end of a dead session waits for a login that is under way, and then lets the new session be.
        """
        dead = dead or self._dying
        async with self._changing:
            if state is FeedState.REFUSED and self._broker is not None and dead is not self._broker:
                return
            await self._end(state)

    async def _end(self, state: FeedState) -> None:
        self._dying = None
        tasks, self._tasks = self._tasks, []
        current = asyncio.current_task()
        for task in tasks:
            if task is not current:
                task.cancel()
        await asyncio.gather(*(t for t in tasks if t is not current), return_exceptions=True)
        await self.orders.log.flush()
        self.stops.detach()
        self._order_watch.stop()
        await self.hub.stop(state)
        line, self._line = self._line, None
        if line is not None:
            await line.stop()
        broker, self._broker = self._broker, None
        self.session = None
        if broker is not None:
            await broker.close()

    async def recovered(self) -> None:
        """Until stops are watched or followed again after `begin`."""
        await self._recovered.wait()

    @property
    def positions(self) -> tuple[Position, ...]:
        """As last read; empty while they are not known."""
        reading = self.state.reading
        return () if reading is None else tuple(reading.positions.values())

    def outcome(self, position: Position) -> Outcome:
        """What closing a position would leave, after today's charges."""
        if (instrument := self.instrument(position.key.instrument)) is None:
            raise Denied(f"{position.key.instrument} is not in the instrument list.", "Refresh the instruments.")
        fills = [
            f for f in self.books.fills if (f.instrument, f.product) == (position.key.instrument, position.key.product)
        ]
        day, plan = ist_date(self.clock.now()).isoformat(), self.account.partition("-")[0]
        return Outcome(position, instrument, fills, self._trading.charges.table, plan, day)

    def last_price(self, instrument: InstrumentId) -> Price | None:
        """From the account's own feed; None before its first tick."""
        known = self.instrument(instrument)
        return None if known is None else self.hub.last_price(known.token)

    def trades(self, instrument: InstrumentId) -> bool:
        """Whether it trades continuously now: then no price of it may be missed."""
        return self.hours.trades(instrument, self.clock.now())

    def _market_open(self) -> bool:
        """Shares are traded, or something of the day's positions is."""
        return self.hours.patience((p.key.instrument for p in self.positions), self.clock.now()) is not None

    # -- inside ------------------------------------------------------------------------------------------------------

    def _counts(self, watch: Watch, seconds: int) -> bool:
        now = self.clock.now()
        counts = self.hours.counts
        # An exit is no use while what it trades is closed, whatever the stop looks at.
        counted = self.hub.freshness.counts(watch.token, seconds) and counts(watch.instrument, seconds, now)
        return counted and (watch.instrument == watch.tradable or counts(watch.tradable, seconds, now))

    async def _keep_day_stop(self) -> None:
        self.day_stop.expect()
        with contextlib.suppress(AppError):  # `run` says it and reads again
            await self.day_stop.load()  # before the first order can be asked for
        await self.recovered()
        await self.day_stop.run()

    async def _recover(self) -> None:
        try:
            await recover(self.state, self.stops, self._publish)
        except SessionExpired:
            return  # the next login starts again
        finally:
            self._recovered.set()
        await self.strategies.take_up()
        with contextlib.suppress(AppError):
            await self.books.refresh()

    async def _keep_time(self) -> None:
        while True:
            pause = CLOCK_SECONDS / max(self.clock.speed, 1.0)
            paper = self._broker is not None and self._broker.paper
            await asyncio.sleep(min(pause, PAPER_CLOCK_SECONDS) if paper else pause)
            session = self.session
            if session is not None and self.clock.now() >= session.expires_at:
                self._on_dead(SessionExpired("The broker's session has reached its end."))
                return
            try:
                await self._read_clock(self.broker)
            except AppError as failure:
                log.info("clock of %s: %s", self.account, failure.cause)

    async def _read_clock(self, broker: BrokerSession) -> None:
        reading = await self._time.read(broker, paper=broker.paper)
        if broker.paper:
            self.hours.set_always_open(reading.always_open)

    async def learn_time(self) -> None:
        """Reads the broker's clock anew, where it answers within a few seconds."""
        if (broker := self._broker) is not None:
            with contextlib.suppress(AppError, TimeoutError):
                await self._time.look(broker, paper=broker.paper)

    def _on_connected(self) -> None:
        """Events may have been missed while the stream was away: the books are read again."""
        self.rights.given()
        self.hub.set_urgent(self.stops.armed > 0)
        self._trading.tasks.start(self.learn_time(), f"clock after reconnect {self.account}")
        if self._recovered.is_set():
            self._trading.tasks.start(self.books.reconcile(), f"reconcile after reconnect {self.account}")

    def _on_feed_refused(self, cause: SessionExpired) -> None:
        if (broker := self._broker) is not None:
            again = partial(self.hub.redial, refused=True)
            judged = self.rights.judge(broker, cause, lambda: self._broker is broker, self._on_dead, again)
            self._trading.tasks.start(judged, f"feed refused {self.account}")

    def _on_dead(self, cause: SessionExpired) -> None:
        if self._broker is not None and self._dying is not self._broker:
            self._dying = self._broker
            self._trading.tasks.start(self._dead(self.account, cause), f"session end {self.account}")

    def _on_watched(self, names: Mapping[int, InstrumentId]) -> None:
        self.hub.want("stops", names)
        self.hub.set_urgent(self.stops.armed > 0)

    def _on_positions(self, reading: PositionReading) -> None:
        names = {}
        # A stop that fired on shares of an earlier day, too: no position lists them, and its exit is priced by theirs.
        leaving = [stop.key for stop in self.stops.stops if not stop.state.is_final]
        for key in [*reading.positions, *leaving]:
            if (known := self.instrument(key.instrument)) is not None:
                names[known.token] = known.id
        self.hub.want("positions", names)
