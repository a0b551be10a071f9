"""What the engine knows of one account at its broker: orders of the day and open positions.

Fed by the stream, by reads at every reconnect, and every 30 s. A failed read changes nothing and is said aloud:
unknown is not flat.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from app.brokers.base import ReadSession
from app.domain.errors import AppError, SessionExpired
from app.domain.events import Event, OrderChanged, PositionsChanged, PositionsUnknown
from app.domain.ids import AccountId, BrokerOrderId, Nanos, OrderId, StopId, Tag
from app.domain.order import Order, OrderStatus, is_stale, may_follow
from app.domain.order_list import PartlyRead
from app.domain.origin import own_order
from app.domain.portfolio import Holding, Position, PositionKey
from app.domain.stop import stop_of_tag
from app.engine.delivery import DELIVERED, Delivery, Held
from app.engine.grouped import Grouped
from app.engine.reads import READ_SPACING, Coalesced, Haste, used_share
from app.engine.unread import Unread, surprise
from app.runtime.clock import AccountClock

T = TypeVar("T")

SLICE = 20
"""Orders of a long book that are looked at in one turn of the loop: 0.2 ms."""

READINGS = 5
"""Of positions in which fills come faster than answers."""
CANCEL_SECONDS = 3.0
"""How long a cancel that the broker took may go unseen in its list."""
_CANCELLABLE = frozenset({OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING, OrderStatus.PARTIALLY_FILLED})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PositionReading:
    """All positions of an account as one successful read gave them."""

    positions: Mapping[PositionKey, Position]
    read_at: Nanos
    began: float = 0.0
    """Loop time when it was asked for: a fill that was heard of later may not be in it."""
    held: Held | None = None
    """Holdings (`engine.delivery`); `positions` has the broker's rows of the day alone."""
    holdings_known: bool = True

    def knows(self, key: PositionKey) -> bool:
        """Whether its quantity can be told: of delivery only once the holdings were read."""
        return self.holdings_known or key.product not in DELIVERED

    def lists(self, key: PositionKey) -> bool:
        """Whether the broker named the position at all. Closed ones stay listed for the day."""
        return key in self.positions or (self.held is not None and key in self.held.holdings)

    def find(self, key: PositionKey) -> Position | None:
        """What can be guarded and left under a key: of delivery, holdings and the day's net together."""
        day = self.positions.get(key)
        return (None if self.held is None else self.held.find(key, day)) or day

    def quantity(self, key: PositionKey) -> int:
        """Signed units; a position that the broker does not list is flat, for this read succeeded."""
        position = self.find(key)
        return 0 if position is None else position.quantity

    def bought_today(self, key: PositionKey) -> int:
        """The day's net alone: what a delivery position has that was not held before."""
        position = self.positions.get(key)
        return 0 if position is None else position.quantity


class AccountState:
    """Owner of an account's orders and positions. Loop thread only."""

    def __init__(self, account: AccountId, clock: AccountClock, publish: Callable[[Event], None]) -> None:
        self.account = account
        self.clock = clock
        self._publish = publish
        self._session: ReadSession | None = None
        self._active = asyncio.Event()
        self.orders: Grouped[BrokerOrderId, Order, StopId | PositionKey] = Grouped(_belongs_to)
        self._listed: dict[BrokerOrderId, Order] = {}
        """As the broker's list last had them: of a day's orders most have ended, and are the same at every read."""
        self.unlisted: dict[OrderId, Order] = {}
        """Orders of ours that have no number of the broker's: queued, sent, unknown, refused, never arrived."""
        self.numbers: dict[OrderId, BrokerOrderId] = {}
        """The broker's number of each order of ours that has one; of a sliced one, the last slice's."""
        self.changes: dict[BrokerOrderId, int] = {}
        """How often each order was changed, as far as this program knows."""
        self.reading: PositionReading | None = None
        """The last successful read of the positions; None: not known."""
        self.unread = Unread(account, publish)
        self.delivery = Delivery(clock)
        self.delivers: Callable[[], bool] = _no_shares
        """Whether something hangs on the holdings: then a reading of positions does not do without."""
        self.on_order: list[Callable[[Order], None]] = []
        self.on_positions: list[Callable[[PositionReading], None]] = []
        self.on_listed: list[Callable[[Sequence[Order], float], None]] = []
        """Called with every whole list of orders, and the loop's time when its reading began."""
        self._mine: dict[BrokerOrderId, OrderId] = {}
        self._marked: dict[BrokerOrderId, Tag] = {}
        """Orders that the broker sent for a trigger of ours, and the tags that they would have."""
        self._filled_at: dict[PositionKey, float] = {}
        """Loop time of the last fill in a position that was heard of, whoever's."""
        self._heard_at: dict[BrokerOrderId, float] = {}
        self._cancelling: dict[BrokerOrderId, float] = {}
        """Orders whose cancel is on its way: until when one that is listed as alive counts as being cancelled."""
        self._listed_as: dict[BrokerOrderId, OrderStatus] = {}
        self.on_session_dead: Callable[[SessionExpired], None] | None = None
        self._orders_read = Coalesced(self._read_orders, f"orders of {account}", READ_SPACING, self.reads_used)
        self._positions_read = Coalesced(self._read_positions, f"positions of {account}", READ_SPACING, self.reads_used)

    @property
    def session(self) -> ReadSession:
        """The live session, to read by: orders leave by the order manager. Raises SessionExpired without one."""
        if self._session is None:
            raise SessionExpired("The account is not logged in.")
        return self._session

    @property
    def active(self) -> bool:
        """Logged in."""
        return self._session is not None

    def attach(self, session: ReadSession) -> None:
        """A login succeeded."""
        self._session = session
        self.delivery.forget()
        self._active.set()

    def detach(self) -> None:
        """The session is dead. What is known stays; it is only no longer fresh."""
        self._session = None
        self._active.clear()

    def multiplier(self, key: PositionKey) -> int:
        """Units of the contract behind one unit of a position, as the broker last said; 1 while nobody did."""
        position = None if self.reading is None else self.reading.find(key)
        return 1 if position is None else position.multiplier

    async def wait_active(self) -> None:
        """Until there is a session."""
        await self._active.wait()

    async def read_orders(self, haste: Haste = Haste.SOON) -> Sequence[Order]:
        """The order book by a read that begins now or later. Raises AppError."""
        return await self._orders_read.read(haste)

    async def read_since_fills(self, key: PositionKey) -> PositionReading:
        """Positions as they are after every fill in one of them that was heard of: an answer that was on its way
        meanwhile is older. Raises what `read_positions` raises."""
        reading = await self.read_positions()
        for _ in range(READINGS):
            if reading.began >= self._filled_at.get(key, 0.0):
                break
            reading = await self.read_positions()
        return reading

    async def known_since_fills(self, key: PositionKey) -> PositionReading:
        """The same without a read, where the last one is not older than those fills."""
        reading = self.reading
        if reading is not None and reading.began >= self._filled_at.get(key, 0.0):
            return reading
        return await self.read_since_fills(key)

    async def read_positions(self, haste: Haste = Haste.SOON) -> PositionReading:
        """The positions, as `read_orders` reads orders. Raises AppError."""
        return await self._positions_read.read(haste)

    def reads_used(self) -> float:
        """The share of the broker's requests that is used, from 0 to 1."""
        return used_share(self._session)

    def order_update(self, order: Order) -> None:
        """One order's news from the broker, by stream or read. Stale news is dropped."""
        number = order.broker_order_id
        order = self._seen_from_here(order)
        known = self.orders.get(number)
        if known == order or (known is not None and is_stale(known, order)):
            return
        waiting = None if order.id is None else self.unlisted.pop(order.id, None)
        before = known or waiting
        if before is not None and before.status is not order.status and not may_follow(before.status, order.status):
            log.warning("order %s went from %s to %s", number, before.status, order.status)
            self._publish(surprise(self.account, before, order))
        self._take(order)

    def claim(self, order: Order) -> None:
        """What we ourselves know of an order of ours, or conclude: sent, unknown, never arrived, being cancelled, gone
        from the broker's list. One that has no number of the broker's yet is kept apart, by our own."""
        if order.broker_order_id:
            known = self.orders.get(order.broker_order_id)
            if known is None or (known != order and may_follow(known.status, order.status)):
                self._take(order)
        elif order.id is not None and order.id not in self.numbers:
            self.unlisted[order.id] = order
            self._tell(order)

    def acknowledge(self, order_id: OrderId, number: BrokerOrderId) -> None:
        """The broker gave an order of ours its number. Not every broker repeats our tag."""
        self._mine[number] = order_id
        known = self.orders.get(number)
        if known is not None and known.id is None:
            self.order_update(known)

    def mark(self, number: BrokerOrderId, tag: Tag) -> None:
        """The broker sent this order for a trigger of ours: from now on it counts as if it bore our tag."""
        self._marked[number] = tag
        known = self.orders.get(number)
        if known is not None and known.tag != tag:
            self._take(replace(known, tag=tag))

    def begin_cancel(self, number: BrokerOrderId) -> None:
        """A cancel is on its way: until its outcome is known an order that is listed as alive is being cancelled."""
        self._cancelling[number] = math.inf
        known = self.orders.get(number)
        if known is not None and known.status in _CANCELLABLE:
            self._listed_as[number] = known.status
            self.claim(replace(known, status=OrderStatus.CANCEL_PENDING))

    def end_cancel(self, number: BrokerOrderId, *, asked: bool) -> None:
        """The broker took the request (`asked`), and may be a moment in working it; or it did not."""
        if asked:
            self._cancelling[number] = _now() + CANCEL_SECONDS
            return
        self._cancelling.pop(number, None)
        known = self.orders.get(number)
        if known is not None and known.status is OrderStatus.CANCEL_PENDING and number in self._listed_as:
            self._take(replace(known, status=self._listed_as[number]))

    def count_change(self, number: BrokerOrderId, by: int = 1) -> None:
        """An order of ours was changed (or, -1, was not after all)."""
        self.changes[number] = max(0, self.changes.get(number, 0) + by)
        known = self.orders.get(number)
        if known is not None:
            self.orders[number] = replace(known, changes=self.changes[number])
            self._publish(OrderChanged(self.orders[number]))

    def forget(self, numbers: Collection[BrokerOrderId]) -> None:
        """Ended orders that nobody asks for any more."""
        for number in numbers:
            known = self.orders.pop(number, None)
            for kept in (self._listed, self._mine, self._heard_at, self.changes, self._cancelling, self._listed_as):
                kept.pop(number, None)
            self._marked.pop(number, None)
            if known is not None and known.id is not None and self.numbers.get(known.id) == number:
                del self.numbers[known.id]

    def quiet_for(self, number: BrokerOrderId) -> float:
        """Seconds since an order's last news."""
        return _now() - self._heard_at.get(number, 0.0)

    def _seen_from_here(self, order: Order) -> Order:
        """With what the broker does not say of it."""
        number = order.broker_order_id
        tag = self._marked.get(number, order.tag)
        order = replace(
            order, tag=tag, id=own_order(tag) or self._mine.get(number), changes=self.changes.get(number, 0)
        )
        until = self._cancelling.get(number)
        if until is None:
            return order
        if order.status in _CANCELLABLE and _now() < until:
            self._listed_as[number] = order.status
            return replace(order, status=OrderStatus.CANCEL_PENDING)
        del self._cancelling[number]
        return order

    def _take(self, order: Order) -> None:
        before = self.orders.get(order.broker_order_id)
        if order.filled_quantity > (0 if before is None else before.filled_quantity):
            self._filled_at[PositionKey(order.account, order.instrument, order.product)] = _now()
        self.orders[order.broker_order_id] = order
        if order.id is not None:
            self.numbers[order.id] = order.broker_order_id
        self._heard_at[order.broker_order_id] = _now()
        self._tell(order)

    def _tell(self, order: Order) -> None:
        self._publish(OrderChanged(order))
        for handler in tuple(self.on_order):
            handler(order)

    async def _read_orders(self) -> Sequence[Order]:
        session, began = self.session, _now()
        try:
            orders = await self._guard(session, session.orders())
            self.unread.now = ()
            await self._take_listed(orders)
        except PartlyRead as part:
            whole = self.unread.stand_in(part, self.orders, {*self._mine, *self._marked})
            await self._take_listed(part.orders)
            if whole is None:
                raise
            orders = whole
        for handler in tuple(self.on_listed):
            handler(orders, began)
        return orders

    async def _take_listed(self, orders: Sequence[Order]) -> None:
        for place, order in enumerate(orders):
            if place % SLICE == SLICE - 1:
                await asyncio.sleep(0)  # a long book must not hold up a stop; news of the stream may come in between
            number = order.broker_order_id
            known = self.orders.get(number)
            ended = known is not None and known.status.is_final and order.status.is_final
            if not ended or self._listed.get(number) != order:
                self.order_update(order)
                self._listed[number] = order

    async def _read_positions(self) -> PositionReading:
        began = asyncio.get_running_loop().time()
        try:
            session = self.session
            positions = await self._guard(session, session.positions())
        except AppError as failure:
            self._publish(PositionsUnknown(self.account, failure.cause))
            raise
        if not self.delivery.known and self.delivers():
            await self._first_holdings(session)
        rows, now = {p.key: p for p in positions}, self.clock.now()
        self.reading = self._together(rows, now, began)
        self._publish(PositionsChanged(self.account, tuple(positions), now))
        return self._tell_reading(self.reading)

    async def _first_holdings(self, session: ReadSession) -> None:
        """What cannot be read stays unknown, and holds nothing else up."""
        try:
            self.delivery.heard(await self._guard(session, session.holdings()), _now())
        except SessionExpired:
            raise
        except AppError as failure:
            log.info("holdings of %s are not known: %s", self.account, failure.cause)

    def holdings_heard(self, holdings: Sequence[Holding]) -> None:
        """A reading of the holdings succeeded: what is guarded of them follows."""
        self.delivery.heard(holdings, _now())
        known = self.reading
        if known is not None:
            self.reading = self._together(known.positions, known.read_at, known.began)
            self._tell_reading(self.reading)

    def _together(self, rows: Mapping[PositionKey, Position], read_at: Nanos, began: float) -> PositionReading:
        return PositionReading(rows, read_at, began, self.delivery.now(), self.delivery.known)

    def _tell_reading(self, reading: PositionReading) -> PositionReading:
        for handler in tuple(self.on_positions):
            handler(reading)
        return reading

    async def _guard(self, session: ReadSession, read: Awaitable[T]) -> T:
        """Passes a read through and notices when it says that the session is dead."""
        try:
            return await read
        except SessionExpired as failure:
            # A late answer about the session before says nothing about this one.
            if session is self._session:
                self.session_died(failure)
            raise

    def session_died(self, failure: SessionExpired) -> None:
        """The broker says so."""
        if self.on_session_dead is not None:
            self.on_session_dead(failure)


def _no_shares() -> bool:
    """Nothing does, until the stop engine says so."""
    return False


def _belongs_to(order: Order) -> tuple[StopId | PositionKey, ...]:
    key, stop = PositionKey(order.account, order.instrument, order.product), stop_of_tag(order.tag)
    return (key,) if stop is None else (stop, key)


def _now() -> float:
    return asyncio.get_running_loop().time()
