"""What the engine knows of one account at its broker: orders of the day and open positions.

Fed by the stream, by reads at every reconnect, and every 30 s. A failed read changes nothing and is said aloud:
unknown is not flat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from app.brokers.base import ReadSession
from app.domain.errors import AppError, SessionExpired
from app.domain.events import Event, OrderChanged, PositionsChanged, PositionsUnknown
from app.domain.ids import AccountId, BrokerOrderId, Nanos, OrderId
from app.domain.order import Order, may_follow
from app.domain.portfolio import Position, PositionKey
from app.engine.reads import Coalesced
from app.runtime.clock import AccountClock

T = TypeVar("T")

OWN_TAG_LENGTH = 14
READ_SPACING = 0.25
"""Seconds between two reads of the order book, or of the positions, whoever asks."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PositionReading:
    """All positions of an account as one successful read gave them."""

    positions: Mapping[PositionKey, Position]
    read_at: Nanos
    began: float = 0.0
    """Loop time when it was asked for: a fill that was heard of later may not be in it."""

    def lists(self, key: PositionKey) -> bool:
        """Whether the broker named the position at all. Closed ones stay listed for the day."""
        return key in self.positions

    def quantity(self, key: PositionKey) -> int:
        """Signed units; a position that the broker does not list is flat, for this read succeeded."""
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
        self.orders: dict[BrokerOrderId, Order] = {}
        self.reading: PositionReading | None = None
        """The last successful read of the positions; None: not known."""
        self.on_order: list[Callable[[Order], None]] = []
        self.on_positions: list[Callable[[PositionReading], None]] = []
        self.on_session_dead: Callable[[SessionExpired], None] | None = None
        self._orders_read = Coalesced(self._read_orders, f"orders of {account}", READ_SPACING)
        self._positions_read = Coalesced(self._read_positions, f"positions of {account}", READ_SPACING)

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
        self._active.set()

    def detach(self) -> None:
        """The session is dead. What is known stays; it is only no longer fresh."""
        self._session = None
        self._active.clear()

    def multiplier(self, key: PositionKey) -> int:
        """Units of the contract behind one unit of a position, as the broker last said; 1 while nobody did."""
        position = None if self.reading is None else self.reading.positions.get(key)
        return 1 if position is None else position.multiplier

    async def wait_active(self) -> None:
        """Until there is a session."""
        await self._active.wait()

    async def read_orders(self) -> Sequence[Order]:
        """The order book by a read that begins now or later. Raises AppError."""
        return await self._orders_read.fresh()

    async def read_positions(self) -> PositionReading:
        """The positions by a read that begins now or later. Raises AppError."""
        return await self._positions_read.fresh()

    def order_update(self, order: Order) -> None:
        """One order's news, from stream or read. Stale news is dropped."""
        order = replace(order, id=own_order(order.tag))
        known = self.orders.get(order.broker_order_id)
        if known == order or (known is not None and _is_stale(known, order)):
            return
        if known is not None and known.status is not order.status and not may_follow(known.status, order.status):
            log.info("order %s went from %s to %s", order.broker_order_id, known.status, order.status)
        self.orders[order.broker_order_id] = order
        self._publish(OrderChanged(order))
        for handler in tuple(self.on_order):
            handler(order)

    async def _read_orders(self) -> Sequence[Order]:
        session = self.session
        orders = await self._guard(session, session.orders())
        for order in orders:
            self.order_update(order)
        return orders

    async def _read_positions(self) -> PositionReading:
        began = asyncio.get_running_loop().time()
        try:
            session = self.session
            positions = await self._guard(session, session.positions())
        except AppError as failure:
            self._publish(PositionsUnknown(self.account, failure.cause))
            raise
        reading = PositionReading({p.key: p for p in positions}, self.clock.now(), began)
        self.reading = reading
        self._publish(PositionsChanged(self.account, tuple(positions), reading.read_at))
        for handler in tuple(self.on_positions):
            handler(reading)
        return reading

    async def _guard(self, session: ReadSession, read: Awaitable[T]) -> T:
        """Passes a read through and notices when it says that the session is dead."""
        try:
            return await read
        except SessionExpired as failure:
            # A late answer about the session before says nothing about this one.
            if self.on_session_dead is not None and session is self._session:
                self.on_session_dead(failure)
            raise


def own_order(tag: str | None) -> OrderId | None:
    """Our order id, which is the tag of every order that the trader sent from here; None for all others."""
    return OrderId(tag) if tag is not None and len(tag) == OWN_TAG_LENGTH and tag[0] == "M" else None


def _is_stale(known: Order, news: Order) -> bool:
    """News from before what is known: the stream and a read may cross."""
    if news.filled_quantity != known.filled_quantity:
        return news.filled_quantity < known.filled_quantity
    if known.status.is_final and not news.status.is_final:
        return True
    return (
        known.updated_at is not None
        and news.updated_at is not None
        and news.updated_at < known.updated_at
        and not news.status.is_final
    )
