"""The one path of every order: check, journal, send once, resolve. Loop thread only.

`place`, `modify` and `cancel` are whole: they journal, wait for their turn, and settle what was not answered. `send`
and `fire` are for exits of stops, whose follower journals them and settles them itself; they too leave by `wire`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from app.brokers.base import BrokerSession
from app.domain.broker import BrokerInfo
from app.domain.errors import AppError, BrokerError, Denied, NeverArrived, OutcomeUnknown, SessionExpired
from app.domain.events import AuditEntry, Event, Level, Noticed, OrderChanged, OrderUnresolved
from app.domain.ids import BrokerOrderId, InstrumentId, OrderId, Tag
from app.domain.instrument import Instrument, Product
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Purpose, Variety
from app.domain.portfolio import PositionKey
from app.engine.account import AccountState
from app.engine.arming import open_position
from app.engine.attempts import REFUSED
from app.engine.exit_plan import LOOKUP_SPACING, LOOKUPS
from app.engine.gtts import GttOrders
from app.engine.limits import check_order
from app.engine.rules import ExitRules, limit_pricer
from app.engine.wire import OrderChange, OrderWire
from app.runtime.clock import to_datetime
from app.runtime.loop import Tasks

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class OrderJournal(Protocol):
    """What order placing needs of the journal."""

    async def record_intent(self, order_id: OrderId, request: OrderRequest, entry: AuditEntry) -> None:
        """Durable before the order leaves."""
        ...

    async def resolve_intent(
        self, tag: Tag, status: OrderStatus, broker_order_id: BrokerOrderId | None, entry: AuditEntry
    ) -> None:
        """What became of it."""
        ...

    async def audit(self, *entries: AuditEntry) -> None:
        """Lines of the audit trail."""
        ...


def new_order_tag() -> Tag:
    """A mark for a manual order: `M` and 13 letters and digits, so never taken for a stop's (19)."""
    return Tag("M" + "".join(secrets.choice(_LETTERS) for _ in range(13)))


class OrderManager:
    """Places, modifies and cancels: nobody else does. A request says what it is for; exits go first."""

    def __init__(
        self,
        state: AccountState,
        journal: OrderJournal,
        rules: ExitRules,
        instrument: Callable[[InstrumentId], Instrument | None],
        last_price: Callable[[InstrumentId], Price | None],
        publish: Callable[[Event], None],
        tasks: Tasks,
        info: Callable[[], BrokerInfo],
    ) -> None:
        self._state = state
        self._journal = journal
        self._rules = rules
        self._instrument = instrument
        self._last_price = last_price
        self._publish = publish
        self._tasks = tasks
        self.wire = OrderWire(info)
        self.fire = self.wire.fire
        """A prepared exit over the exit line, now."""
        self.gtts = GttOrders(state, self.wire, journal)
        self.entries_refused = ""
        """Why no position may be opened or enlarged now; empty: it may. Exits never ask."""
        self.gate: Callable[[OrderRequest], None] = _open_gate
        """Raises Denied for what the account may not enter now. Never asked for an exit."""

    def attach(self, session: BrokerSession | None) -> None:
        """The session over which orders leave from now on; None: there is none."""
        self.wire.attach(session)

    async def send(self, request: OrderRequest, purpose: Purpose) -> BrokerOrderId:
        """A request whose intent is in the journal already: sent once, in its turn. The caller settles its outcome.

        Raises what the broker's `place` raises.
        """
        return (await self.wire.place(request, purpose)).order

    async def place(self, request: OrderRequest, *, purpose: Purpose = Purpose.MANUAL) -> OrderId:
        """Journals, sends once, returns when the broker acknowledged. A tag that the caller has journalled is kept.

        Raises Denied (nothing sent), Rejected and the like (refused for certain), Unreachable (nothing sent), or
        OutcomeUnknown when two readings of the order book could not settle it either.
        """
        instrument = self._instrument(request.instrument)
        if instrument is None:
            raise Denied(f"{request.instrument} is not in the instrument list.", "Refresh the instruments.")
        if purpose is not Purpose.EXIT:
            check_order(request, instrument)
            self._deny_entry(request)
            self.gate(request)
        if not self._state.active:
            raise SessionExpired("The account is not logged in.")
        tag = request.tag or new_order_tag()
        order_id = OrderId(tag)
        request = replace(request, tag=tag)
        await self._journal.record_intent(order_id, request, self._entry(tag, "submitted", _words(request)))
        try:
            placed = await self._send(request, purpose)
        except OutcomeUnknown as failure:
            self._publish(OrderUnresolved(request.account, order_id, tag, request))
            await self._resolve(tag, OrderStatus.UNKNOWN, None, str(failure))
            found = await self._look_up(request, tag, failure)
            await self._resolve(tag, found.status, found.broker_order_id, "found in the order book")
            return order_id
        except AppError as failure:
            status = OrderStatus.REJECTED if isinstance(failure, REFUSED) else OrderStatus.DENIED
            await self._resolve(tag, status, None, str(failure))
            raise
        await self._resolve(tag, OrderStatus.OPEN, placed, "acknowledged")
        self._tasks.start(self._refresh(), "orders after a placement")
        return order_id

    def _deny_entry(self, request: OrderRequest) -> None:
        """While entries are refused only what makes a known position smaller may go."""
        if not self.entries_refused:
            return
        reading = self._state.reading
        held = (
            0
            if reading is None
            else reading.quantity(PositionKey(request.account, request.instrument, request.product))
        )
        if held * request.side.sign >= 0 or abs(held) < request.quantity:
            raise Denied(
                f"{self.entries_refused} Only orders that make a position smaller are taken.", "Resume it first."
            )

    async def _send(self, request: OrderRequest, purpose: Purpose) -> BrokerOrderId:
        """Once. Slices that the broker refused, of an order whose others it took, are said aloud."""
        placement = await self.wire.place(request, purpose)
        if placement.refused:
            self._publish(
                Noticed(
                    Level.ALARM,
                    f"{len(placement.refused)} of {len(placement.slices)} slices were refused",
                    f'{request.side.capitalize()} {request.instrument}: "{placement.refused[0].refusal}"',
                    "Less was ordered than you asked for: see the orders list.",
                    request.account,
                )
            )
        return placement.order

    async def square_off(self, key: PositionKey) -> OrderId:
        """Closes a whole position with the kind that its class takes."""
        position = open_position(await self._state.read_positions(), key)
        if key.product is Product.CO:
            return await self._leave_cover(key)
        instrument = self._instrument(key.instrument)
        if instrument is None:
            raise Denied(f"{key.instrument} is not in the instrument list.", "Refresh the instruments.")
        broker = key.account.partition("-")[0]
        rule = self._rules.rule(broker, instrument, to_datetime(self._state.clock.now()).date())
        price = None
        if rule.kind is OrderKind.LIMIT:
            last = self._last_price(key.instrument) or position.last_price
            price = limit_pricer(rule, instrument, position.exit_side)(last)
        return await self.place(
            OrderRequest(
                key.account,
                key.instrument,
                position.exit_side,
                abs(position.quantity),
                key.product,
                rule.kind,
                price=price,
            ),
            purpose=Purpose.EXIT,
        )

    async def _leave_cover(self, key: PositionKey) -> OrderId:
        """A cover order is left by ending its second leg; an opposite order would open another position."""
        for order in await self._state.read_orders():
            second = order.parent is not None and order.product is Product.CO and not order.status.is_final
            if second and order.instrument == key.instrument:
                await self.cancel(order.broker_order_id, purpose=Purpose.EXIT)
                return OrderId(order.broker_order_id)
        raise Denied("The order that would leave this cover order is not there.", "Leave it at the broker's site.")

    async def modify(
        self,
        order: BrokerOrderId,
        *,
        quantity: int | None = None,
        price: Price | None = None,
        trigger_price: Price | None = None,
        purpose: Purpose = Purpose.MANUAL,
    ) -> None:
        """Changes an open order. Raises Denied when it was changed as often as the broker allows."""
        await self.wire.modify(order, OrderChange(quantity, price, trigger_price), purpose)
        self._read_after("orders after a change", purpose)

    async def cancel(self, order: BrokerOrderId, *, purpose: Purpose = Purpose.MANUAL) -> None:
        """Asks for a cancel. It is cancelled when the order book says so."""
        await self.wire.cancel(order, purpose)
        self._read_after("orders after a cancel", purpose)

    def _read_after(self, name: str, purpose: Purpose) -> None:
        if purpose is not Purpose.EXIT:  # who follows an exit reads for itself
            self._tasks.start(self._refresh(), name)

    async def _look_up(self, request: OrderRequest, tag: Tag, failure: OutcomeUnknown) -> Order:
        """The order by its tag, read twice at least a second apart. Absent twice: it never arrived."""
        absent = 0
        for _ in range(10):
            try:
                for order in await self._state.read_orders():
                    if order.tag == tag:
                        return order
                absent += 1
            except BrokerError:
                absent = 0  # a failed look-up says nothing
            if absent >= LOOKUPS:
                await self._resolve(tag, OrderStatus.DENIED, None, "absent from the order book twice")
                self._publish(OrderChanged(_never_arrived(request)))
                raise NeverArrived(
                    "The order did not reach the broker.", "Nothing was traded; you may send it again."
                ) from failure
            await asyncio.sleep(LOOKUP_SPACING)
        raise failure

    async def _refresh(self) -> None:
        try:
            await self._state.read_orders()
            await self._state.read_positions()
        except AppError as failure:
            self._publish(
                Noticed(
                    Level.WARNING,
                    "Orders could not be read",
                    failure.cause,
                    failure.next_step,
                    self._state.account,
                    "orders unread",
                )
            )

    async def _resolve(self, tag: Tag, status: OrderStatus, order: BrokerOrderId | None, detail: str) -> None:
        await self._journal.resolve_intent(tag, status, order, self._entry(tag, status.value, detail))

    def _entry(self, tag: Tag, what: str, detail: str) -> AuditEntry:
        return AuditEntry(self._state.clock.now(), self._state.account, f"order:{tag}", what, detail)


def _never_arrived(request: OrderRequest) -> Order:
    """What views show of an order that was proved absent: denied, with no order of the broker's behind it."""
    return Order(
        account=request.account,
        broker_order_id=BrokerOrderId(""),
        instrument=request.instrument,
        side=request.side,
        product=request.product,
        kind=request.kind,
        status=OrderStatus.DENIED,
        quantity=request.quantity,
        filled_quantity=0,
        pending_quantity=0,
        average_price=None,
        price=request.price,
        trigger_price=request.trigger_price,
        tag=request.tag,
        id=None if request.tag is None else OrderId(request.tag),
        status_text="The order did not reach the broker.",
    )


def _open_gate(request: OrderRequest) -> None:
    """Nothing holds an order back."""


def _words(request: OrderRequest) -> str:
    price = f" at {request.price}" if request.price is not None else ""
    special = "" if request.variety is Variety.REGULAR else f" {request.variety}"
    if request.variety is Variety.ICEBERG:
        special += f" of {request.iceberg_legs} legs"
    if request.autoslice:
        special += " in slices"
    return f"{request.side} {request.quantity} {request.instrument} {request.product} {request.kind}{price}{special}"
