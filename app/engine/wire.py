"""The one place where an order leaves: every call that places, changes or cancels anything at a broker is here.

`tests/test_one_path.py` proves it. Nothing is decided here but who goes first (`order_queue`) and how often an order
may still be changed; nothing is repeated. The hot path's write goes through `fire`, or is counted by `volley`. Loop
thread only.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from app.brokers.base import BrokerSession, ExitLine, ExitReply, Prepared
from app.brokers.parts import ConvertingBroker, GttBroker, SlicingBroker
from app.domain.broker import BrokerInfo, Support
from app.domain.errors import Denied, RateLimited, Rejected, SessionExpired, Unreachable
from app.domain.gtt import GttRequest
from app.domain.ids import BrokerOrderId, GttId, OrderId
from app.domain.money import Price
from app.domain.order import OrderRequest, Placement, Purpose
from app.engine.account import AccountState
from app.engine.order_queue import OrderQueue

T = TypeVar("T")

log = logging.getLogger(__name__)

KEPT_CHANGES = 5
"""Of the changes that a broker allows an order, those that only an exit may use."""
RATE_SECONDS = 1.0
"""The broker counts orders per calendar second; after "too many" the next second is waited for."""


@dataclass(frozen=True, slots=True)
class OrderChange:
    """What of an open order is to be different. None: as it is."""

    quantity: int | None = None
    price: Price | None = None
    trigger_price: Price | None = None


class Underway(Protocol):
    """Who wants to know where a placement is."""

    @property
    def order_id(self) -> OrderId:
        """By which it may be taken back while it waits."""
        ...

    def queued(self, ahead: int) -> None:
        """So many are in front of it."""
        ...

    def leaving(self) -> None:
        """From now on it may be at the broker."""
        ...


class OrderWire:
    """One account's way out. Empty between two sessions."""

    def __init__(self, state: AccountState, info: Callable[[], BrokerInfo]) -> None:
        self._state = state
        self._info = info
        self._session: BrokerSession | None = None
        self.queue = OrderQueue(lambda: info().rate_limits, state.clock)

    def attach(self, session: BrokerSession | None) -> None:
        """The session over which orders leave; None: there is none."""
        self._session = session

    async def place(
        self,
        request: OrderRequest,
        purpose: Purpose,
        underway: Underway | None = None,
        fits: Callable[[], bool] = lambda: True,
        admit: Callable[[], Awaitable[None]] | None = None,
    ) -> Placement:
        """In its turn, once. `fits`: whether the position has room for it, also when its turn has come; `admit` raises
        Denied where it is not wanted any more by then.

        Raises what the broker's `place` raises, Denied when the day's orders are used up, Unreachable where it does not
        fit any more.
        """
        _require(fits)
        if underway is None:
            await self.queue.turn(purpose, placing=True)
        else:
            await self.queue.turn(purpose, placing=True, tell=underway.queued, name=underway.order_id)
        if admit is not None:
            await admit()
        session = self._live()
        _require(fits)
        if underway is not None:
            underway.leaving()
        if request.autoslice and isinstance(session, SlicingBroker):
            placed = await self._noticing(session.place_sliced(request))
        else:
            placed = Placement(await self._noticing(session.place(request)))
        log.info("order %s of %s is %s at the broker", request.tag, request.account, placed.order)
        return placed

    async def modify(
        self, order: BrokerOrderId, change: OrderChange, purpose: Purpose, fits: Callable[[], bool] = lambda: True
    ) -> None:
        """In its turn, once. Raises what the broker's `modify` raises, Denied when the order was changed too often,
        Unreachable where it does not fit any more by then."""
        self._deny_change(order, purpose)
        await self.queue.turn(purpose, placing=False)
        _require(fits)
        self.changed(order)
        try:
            await self._noticing(
                self._live().modify(
                    order, quantity=change.quantity, price=change.price, trigger_price=change.trigger_price
                )
            )
        except (Unreachable, SessionExpired):
            self._state.count_change(order, -1)  # it never left, or was not looked at
            raise

    async def make_marketable(self, order: BrokerOrderId, price: Price, quantity: int) -> None:
        """A resting stop order becomes an exit, in its turn. Raises what the broker's `make_marketable` raises."""
        session = self._live()
        if not isinstance(session, ConvertingBroker):
            raise Rejected("This broker cannot turn a resting stop order into an exit.")
        self._deny_change(order, Purpose.EXIT)
        await self.queue.turn(Purpose.EXIT, placing=False)
        self.changed(order)
        await self._noticing(session.make_marketable(order, price, quantity))

    async def cancel(self, order: BrokerOrderId, purpose: Purpose) -> None:
        """In its turn, once. Raises what the broker's `cancel` raises."""
        await self.queue.turn(purpose, placing=False)
        await self._noticing(self._live().cancel(order))

    async def place_gtt(self, request: GttRequest, purpose: Purpose, fits: Callable[[], bool] = lambda: True) -> GttId:
        """The same of a trigger that rests at the broker."""
        self._triggers()
        await self.queue.turn(purpose, placing=False)
        _require(fits)
        return await self._noticing(self._triggers().place_gtt(request))

    async def modify_gtt(
        self, gtt: GttId, request: GttRequest, purpose: Purpose, fits: Callable[[], bool] = lambda: True
    ) -> None:
        """The whole of it again."""
        self._triggers()
        await self.queue.turn(purpose, placing=False)
        _require(fits)
        await self._noticing(self._triggers().modify_gtt(gtt, request))

    async def delete_gtt(self, gtt: GttId, purpose: Purpose) -> None:
        """Takes it back."""
        self._triggers()
        await self.queue.turn(purpose, placing=False)
        await self._noticing(self._triggers().delete_gtt(gtt))

    def fire(
        self, line: ExitLine, prepared: Prepared, on_reply: Callable[[ExitReply], None], price: Price | None = None
    ) -> int:
        """A prepared exit, now: it waits for no queue. Returns as `ExitLine.fire` does."""
        written = line.fire(prepared, on_reply, price)
        if written:
            self.queue.count()
        return written

    @property
    def allowance(self) -> int | None:
        """How often the broker lets one order be changed; None where nobody has said."""
        return self._info().modifications

    @property
    def slices(self) -> bool:
        """The broker cuts up what is above the freeze quantity."""
        return self._info().capabilities.autoslice is Support.YES

    @property
    def limits_triggers(self) -> bool:
        """What a trigger sends has a limit price; else it goes at market, with protection."""
        return self._info().capabilities.gtt_limit is not Support.NO

    def changed(self, order: BrokerOrderId) -> None:
        """The order was changed once more, by whatever road."""
        self._state.count_change(order)

    def _deny_change(self, order: BrokerOrderId, purpose: Purpose) -> None:
        allowance, used = self.allowance, self._state.changes.get(order, 0)
        if allowance is None:
            return
        if used >= allowance - (0 if purpose.closes else KEPT_CHANGES):
            kept = "" if purpose.closes else f"; the last {KEPT_CHANGES} are kept for exits"
            raise Denied(
                f"The order was changed {used} times, and the broker allows {allowance}{kept}.",
                "Cancel it and place it anew.",
            )

    def _live(self) -> BrokerSession:
        if self._session is None:
            raise SessionExpired("The account is not logged in.")
        return self._session

    def _triggers(self) -> GttBroker:
        session = self._live()
        if not isinstance(session, GttBroker):
            raise Denied("This broker keeps no triggers (GTT).", "Use a local stop.")
        return session

    async def _noticing(self, request: Awaitable[T]) -> T:
        """Passes an answer through; slows the others down when the broker says that it was too much, and notices when
        it says that the session is dead."""
        session = self._session
        try:
            return await request
        except RateLimited:
            self.queue.hold(RATE_SECONDS)
            raise
        except SessionExpired as failure:
            if session is self._session:  # a late answer about the session before says nothing about this one
                self._state.session_died(failure)
            raise


def _require(fits: Callable[[], bool]) -> None:
    if not fits():
        raise Unreachable("The position became smaller before this order left.")
