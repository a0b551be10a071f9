"""The window's copy of what the desk said last. One owner: views read it and hear its signals, none keeps its own."""

from __future__ import annotations

import time
from collections.abc import Iterable

from PySide6.QtCore import QObject, Signal

from app.desk.messages import AccountView
from app.domain.broker import BrokerInfo, Capabilities
from app.domain.coverage import Coverage, CoverageChanged
from app.domain.day_stop import DayStop
from app.domain.events import (
    CompanionsChanged,
    DayStopChanged,
    EngineBeat,
    FeedChanged,
    FeedState,
    FundsChanged,
    HoldingsChanged,
    OrderChanged,
    OrdersForgotten,
    OrderUnresolved,
    PositionsChanged,
    PositionsUnknown,
    SessionChanged,
    StopChanged,
    TicksConflated,
)
from app.domain.guard import Companion
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.market import Tick
from app.domain.order import Order, OrderStatus
from app.domain.portfolio import Funds, Holding, Position, PositionKey
from app.domain.quotes import PolledPrice, PricesPolled
from app.domain.stop import Stop, StopState
from app.ui.bridge import Bridge
from app.ui.frame import NextFrame
from app.ui.models.stop_index import StopIndex

OrderKey = tuple[AccountId, str]

_BLIND = frozenset({FeedState.OFF, FeedState.CONNECTING, FeedState.SILENT, FeedState.DOWN, FeedState.REFUSED})
"""Feed states in which no stop decides. CLOSED is not one of them: no session is open, and none can be missed."""


class Facts(QObject):
    """Accounts, prices, positions, orders, stops as last heard. GUI thread."""

    accounts_changed = Signal()
    ticks_changed = Signal(object)
    """A list: ids of the instruments whose tick is new. As an object: Qt would copy a list value by value."""
    instruments_known = Signal(object)
    """A list of ids."""
    positions_changed = Signal()
    positions_unknown = Signal(object)
    order_changed = Signal(object)
    order_gone = Signal(object)
    """The key of an unresolved order that now stands under the broker's id."""
    stop_changed = Signal(object)
    holdings_changed = Signal()
    funds_changed = Signal()
    coverage_changed = Signal()
    feed_changed = Signal(object)
    beat = Signal(object)
    guard_changed = Signal()
    day_stop_changed = Signal(object)

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self.accounts: dict[AccountId, AccountView] = {}
        self.instruments: dict[InstrumentId, Instrument] = {}
        self.ticks: dict[InstrumentId, Tick] = {}
        self.polled: dict[InstrumentId, PolledPrice] = {}
        """Prices that were asked for, because no feed brings them (E6); gone with the first tick."""
        self.positions: dict[PositionKey, Position] = {}
        self.orders: dict[OrderKey, Order] = {}
        self.stops: dict[StopId, Stop] = {}
        self.holdings: dict[AccountId, tuple[Holding, ...]] = {}
        self.funds: dict[AccountId, Funds] = {}
        self.feeds: dict[AccountId, FeedChanged] = {}
        self.coverage: dict[PositionKey, Coverage] = {}
        """What protects each open position."""
        self.day_stops: dict[AccountId, DayStop] = {}
        """Portfolio stops."""
        self.last_beat: EngineBeat | None = None
        self.companions: tuple[Companion, ...] = ()
        self.alone = ""
        """Why nobody takes over if this program dies, in words; empty when somebody does."""
        self._heard_at: dict[InstrumentId, float] = {}
        """When an instrument last ticked, monotonic."""
        self._brokers: dict[str, Capabilities] = {}
        self._infos: dict[str, BrokerInfo] = {}
        self._index = StopIndex()
        self._held_in: dict[InstrumentId, list[PositionKey]] = {}
        self._asked: set[InstrumentId] = set()
        self._unlearnt: dict[InstrumentId, None] = {}
        """Mentioned by events of this frame; learnt together, for every answer makes every list look at itself."""
        self._learning = NextFrame(self, self._learn_mentioned)
        self._heard: set[object] = set()
        bridge.subscribe(TicksConflated, self._on_ticks)
        bridge.subscribe(PricesPolled, self._on_polled)
        bridge.subscribe(PositionsChanged, self._on_positions)
        bridge.subscribe(PositionsUnknown, self.positions_unknown.emit)
        bridge.subscribe(OrderChanged, self._on_order)
        bridge.subscribe(OrderUnresolved, self._on_unresolved)
        bridge.subscribe(StopChanged, self._on_stop)
        bridge.subscribe(DayStopChanged, lambda event: self._keep_day_stop(event.stop))
        bridge.subscribe(CoverageChanged, self._on_coverage)
        bridge.subscribe(FundsChanged, self._on_funds)
        bridge.subscribe(HoldingsChanged, self._on_holdings)
        bridge.subscribe(FeedChanged, self._on_feed)
        bridge.subscribe(EngineBeat, self._on_beat)
        bridge.subscribe(OrdersForgotten, self._on_forgotten)
        bridge.subscribe(CompanionsChanged, self._on_companions)
        bridge.subscribe(SessionChanged, lambda _event: bridge.start(self.load_accounts(), "read accounts"))

    # Reading once; afterwards events keep it fresh

    async def load(self) -> None:
        """Everything at once, after the unlock. What an event said meanwhile is newer and stays."""
        desk = self._bridge.desk
        self._heard.clear()
        await self.load_accounts()
        for stop in await self._bridge.call(desk.stops.stops()):
            if stop.id not in self._heard:
                self._keep_stop(stop)
        for order in await self._bridge.call(desk.trading.orders()):
            if order_key(order) not in self._heard:
                self._keep_order(order)
        positions = [p for p in await self._bridge.call(desk.portfolio.positions()) if p.key.account not in self._heard]
        self._hold({**self.positions, **{p.key: p for p in positions}})
        for holding in await self._bridge.call(desk.portfolio.holdings()):
            self.holdings[holding.account] = (*self.holdings.get(holding.account, ()), holding)
        self.holdings_changed.emit()
        for funds in await self._bridge.call(desk.portfolio.funds()):
            self.funds[funds.account] = funds
        self.funds_changed.emit()
        self.coverage = {row.key: row for row in await self._bridge.call(desk.stops.coverage())}
        self.coverage_changed.emit()
        for day in await self._bridge.call(desk.stops.day_stops()):
            self._keep_day_stop(day)
        view = await self._bridge.call(desk.guard.view())
        self._on_companions(CompanionsChanged(view.companions, view.alone))
        await self.need(self._mentioned())

    async def load_accounts(self, *, by_the_clock: bool = False) -> None:
        """Reads the accounts again: one was connected, expired. `by_the_clock`: views hear only of what differs."""
        if not self._brokers:
            for listing in await self._bridge.call(self._bridge.desk.session.brokers()):
                self._brokers[listing.info.name] = listing.info.capabilities
                self._infos[listing.info.name] = listing.info
        views = await self._bridge.call(self._bridge.desk.session.accounts())
        accounts = {view.id: view for view in views}
        if by_the_clock and accounts == self.accounts:
            return
        self.accounts = accounts
        self.accounts_changed.emit()

    async def need(self, instruments: Iterable[InstrumentId]) -> None:
        """Learns instruments (name, tick, lot) and last prices that are not known yet."""
        wanted = [i for i in dict.fromkeys(instruments) if i not in self._asked]
        if not wanted:
            return
        self._asked.update(wanted)
        for instrument in await self._bridge.call(self._bridge.desk.market.instruments(wanted)):
            self.learn(instrument)
        learnt = [i for i in wanted if i in self.instruments]
        self._asked.difference_update(set(wanted).difference(learnt))  # asked for again when mentioned again
        for tick in await self._bridge.call(self._bridge.desk.market.last_ticks(wanted)):
            self.ticks.setdefault(tick.instrument, tick)
        self.instruments_known.emit(learnt)
        self.ticks_changed.emit(wanted)

    def learn(self, instrument: Instrument) -> None:
        """An instrument that a search brought."""
        self.instruments[instrument.id] = instrument
        self._asked.add(instrument.id)

    # Answers

    def last(self, instrument: InstrumentId) -> int | None:
        """Last price in minor units, None before the first tick."""
        tick = self.ticks.get(instrument)
        return None if tick is None else tick.last_price

    def price_age(self, account: AccountId | None, instrument: InstrumentId) -> int:
        """Whole seconds since an instrument last ticked, where an account's market (None: any) trades; 0 before its
        first tick."""
        heard = self._heard_at.get(instrument)
        asleep = {FeedState.CLOSED} if account is not None else {FeedState.CLOSED, FeedState.OFF}
        if heard is None or {self.feed_state(one) for one in ([account] if account else self.accounts)} <= asleep:
            return 0
        return int(time.monotonic() - heard)

    def stop_of(self, key: PositionKey) -> Stop | None:
        """The stop that now guards a position; of several the trader's own, else the oldest."""
        return self._index.of(key)

    def held_in(self, instruments: Iterable[InstrumentId]) -> list[PositionKey]:
        """Positions in any of these instruments."""
        return [key for instrument in instruments for key in self._held_in.get(instrument, ())]

    def stops_in(self, instruments: Iterable[InstrumentId]) -> list[StopId]:
        """Stops that look at any of these instruments, or are on it; ended ones too."""
        return self._index.looking_at(instruments)

    def can(self, view: AccountView | None) -> Capabilities | None:
        """What an account's broker can do; None while nobody has said."""
        return None if view is None else self._brokers.get(view.broker)

    def allowance(self, account: AccountId) -> int | None:
        """How often an account's broker lets one order be changed; None where nobody has said."""
        info = self.info(account)
        return None if info is None else info.modifications

    def info(self, account: AccountId) -> BrokerInfo | None:
        """What is known of an account's broker; None while nobody has said."""
        view = self.accounts.get(account)
        return None if view is None else self._infos.get(view.broker)

    def account_name(self, account: AccountId) -> str:
        """What a trader calls it: `Zerodha AB1234`."""
        view = self.accounts.get(account)
        return account if view is None else view.name

    def named(self, text: str) -> str:
        """A text of the desk's with accounts called by their names."""
        for account in self.accounts:
            text = text.replace(account, self.account_name(account))
        return text

    def open_positions(self) -> list[Position]:
        """Those with a quantity."""
        return [p for p in self.positions.values() if p.quantity != 0]

    def logged_in(self) -> bool:
        """Some account has a live session."""
        return any(view.state.may_live for view in self.accounts.values())

    def feed_state(self, account: AccountId) -> FeedState:
        """What an account's tick stream is worth now."""
        if (feed := self.feeds.get(account)) is not None:
            return feed.state
        view = self.accounts.get(account)
        return FeedState.OFF if view is None else view.feed

    def is_blind(self, stop: Stop) -> bool:
        """An armed stop that no live price reaches."""
        if stop.state is not StopState.ARMED:
            return False
        view = self.accounts.get(stop.key.account)
        logged_out = view is not None and not view.state.may_live
        return logged_out or self.feed_state(stop.key.account) in _BLIND

    def armed(self) -> list[Stop]:
        """Stops that are being watched, or whose exit is under way."""
        return self._index.armed()

    def blind(self, account: AccountId | None = None) -> list[Stop]:
        """Armed stops that no live price reaches, of one account or all."""
        return [s for s in self.armed() if self.is_blind(s) and account in (None, s.key.account)]

    # Events

    def _on_ticks(self, event: TicksConflated) -> None:
        now = time.monotonic()
        for tick in event.ticks:
            self.ticks[tick.instrument] = tick
            self._heard_at[tick.instrument] = now
            self.polled.pop(tick.instrument, None)
        self.ticks_changed.emit([tick.instrument for tick in event.ticks])

    def _on_polled(self, event: PricesPolled) -> None:
        """Shown with its source; the age of the feed's own word runs on."""
        for price in event.prices:
            self.polled[price.tick.instrument] = price
            self.ticks[price.tick.instrument] = price.tick
        self.ticks_changed.emit([price.tick.instrument for price in event.prices])

    def _on_coverage(self, event: CoverageChanged) -> None:
        kept = {key: row for key, row in self.coverage.items() if key.account != event.account}
        self.coverage = {**kept, **{row.key: row for row in event.rows}}
        self.coverage_changed.emit()

    def _on_positions(self, event: PositionsChanged) -> None:
        self._heard.add(event.account)
        kept = {k: p for k, p in self.positions.items() if k.account != event.account}
        self._hold({**kept, **{p.key: p for p in event.positions}})
        self._learn_about(p.key.instrument for p in event.positions)

    def _on_order(self, event: OrderChanged) -> None:
        self._heard.add(order_key(event.order))
        self._keep_order(event.order)
        self._learn_about([event.order.instrument])

    def _on_unresolved(self, event: OrderUnresolved) -> None:
        if any(o.id == event.order_id and o.broker_order_id for o in self.orders.values()):
            return  # the broker's stream was quicker than the failure of the reply
        request = event.request
        self._keep_order(
            Order(
                event.account, BrokerOrderId(""), request.instrument, request.side, request.product, request.kind,
                OrderStatus.UNKNOWN, request.quantity, 0, request.quantity, None, request.price, request.trigger_price,
                tag=event.tag, id=event.order_id,
                status_text="Sent and not answered. Stopline is looking it up in the order book.",
            )
        )  # fmt: skip
        self._learn_about([request.instrument])

    def _on_stop(self, event: StopChanged) -> None:
        self._heard.add(event.stop.id)
        self._keep_stop(event.stop)
        self._learn_about([event.stop.key.instrument])

    def _keep_day_stop(self, day: DayStop) -> None:
        self.day_stops[day.account] = day
        self.day_stop_changed.emit(day)

    def _on_funds(self, event: FundsChanged) -> None:
        self.funds[event.funds.account] = event.funds
        self.funds_changed.emit()

    def _on_holdings(self, event: HoldingsChanged) -> None:
        self.holdings[event.account] = event.holdings
        self.holdings_changed.emit()
        self._learn_about(h.instrument for h in event.holdings)

    def _on_feed(self, event: FeedChanged) -> None:
        before = self.feeds.get(event.account)
        self.feeds[event.account] = event
        self.feed_changed.emit(event)
        if before is None or before.state is not event.state:
            for stop in self.armed():
                if stop.key.account == event.account:
                    self.stop_changed.emit(stop)

    def _on_beat(self, event: EngineBeat) -> None:
        self.last_beat = event
        self.beat.emit(event)

    def _on_forgotten(self, event: OrdersForgotten) -> None:
        for number in event.orders:
            key = (event.account, str(number))
            if self.orders.pop(key, None) is not None:
                self.order_gone.emit(key)

    def _on_companions(self, event: CompanionsChanged) -> None:
        self.companions, self.alone = event.here, event.alone
        self.guard_changed.emit()

    # Inside

    def _keep_order(self, order: Order) -> None:
        if order.broker_order_id and order.id is not None:
            unresolved = (order.account, str(order.id))
            if self.orders.pop(unresolved, None) is not None:
                self.order_gone.emit(unresolved)
        self.orders[order_key(order)] = order
        self.order_changed.emit(order)

    def _hold(self, positions: dict[PositionKey, Position]) -> None:
        self.positions = positions
        self._held_in.clear()
        for key in positions:
            self._held_in.setdefault(key.instrument, []).append(key)
        self.positions_changed.emit()

    def _keep_stop(self, stop: Stop) -> None:
        self.stops[stop.id] = stop
        if not stop.has_level and stop.state in (StopState.ARMING, StopState.ARMED, StopState.DISARMED):
            del self.stops[stop.id]  # a prepared exit of a strategy, which shows it; no price fires it
            return
        self._index.keep(stop)
        self.stop_changed.emit(stop)

    def _learn_about(self, instruments: Iterable[InstrumentId]) -> None:
        self._unlearnt.update((i, None) for i in instruments if i not in self._asked)
        if self._unlearnt:
            self._learning.ask()

    def _learn_mentioned(self) -> None:
        mentioned, self._unlearnt = self._unlearnt, {}
        self._bridge.start(self.need(mentioned), "learn instruments")

    def _mentioned(self) -> list[InstrumentId]:
        return [
            *(key.instrument for key in self.positions),
            *(order.instrument for order in self.orders.values()),
            *(stop.key.instrument for stop in self.stops.values()),
            *(holding.instrument for held in self.holdings.values() for holding in held),
        ]


def order_key(order: Order) -> OrderKey:
    """The broker's id once there is one; until then ours."""
    return order.account, str(order.broker_order_id or order.id or order.tag or "")
