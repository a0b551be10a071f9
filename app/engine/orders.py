"""The one path of every order: check, journal, send once, resolve. Loop thread only.

`place`, `modify` and `cancel` are whole: they journal, wait for their turn, and settle what was not answered. `send`
and `fire` are for exits of stops, whose follower journals them and settles them itself; they too leave by `wire`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from app.brokers.base import BrokerSession
from app.domain.broker import BrokerInfo
from app.domain.calendar import ist_day
from app.domain.errors import AppError, Denied, NeverArrived, OutcomeUnknown, SessionExpired
from app.domain.events import AuditEntry, Event, Level, Noticed, OrderUnresolved
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, OrderId, Tag
from app.domain.instrument import Instrument, Product
from app.domain.intent import Intent
from app.domain.money import Price
from app.domain.order import Order, OrderRequest, OrderStatus, Placement, Purpose
from app.domain.origin import placed_here
from app.domain.portfolio import PositionKey
from app.engine.absences import Absences
from app.engine.account import AccountState
from app.engine.arming import closing_request, deny_reversal, open_position
from app.engine.attempts import ACKNOWLEDGED_LOOKUPS, REFUSED
from app.engine.entry_bar import EntryBar
from app.engine.exit_plan import LOOKUP_SPACING
from app.engine.gtts import GttOrders
from app.engine.late_refusals import LateRefusals
from app.engine.leavings import Leavings
from app.engine.limits import check_order
from app.engine.order_log import NewsJournal, OrderLog
from app.engine.placing import Placing, more_of, order_words, remembered
from app.engine.rules import ExitRules
from app.engine.settling import TRIES, find, settle_cancel, settle_change
from app.engine.wire import OrderChange, OrderWire
from app.runtime.clock import to_datetime
from app.runtime.loop import Tasks

TAG_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class OrderJournal(NewsJournal, Protocol):
    """What order placing needs of the journal; every call returns when it is durable."""

    async def record_intent(
        self, order_id: OrderId, request: OrderRequest, purpose: Purpose, entry: AuditEntry
    ) -> None:
        """Before the order leaves."""
        ...

    async def unfinished_intents(self, account: AccountId) -> Sequence[Intent]:
        """Orders that may still trade, as far as the journal knows."""
        ...

    async def audit(self, *entries: AuditEntry) -> None:
        """Lines of the audit trail."""
        ...


def new_order_tag() -> Tag:
    """A mark for a manual order: `M` and 13 letters and digits, so never taken for a stop's (19)."""
    return Tag("M" + "".join(secrets.choice(TAG_LETTERS) for _ in range(13)))


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
        self.wire = OrderWire(state, info)
        self.fire = self.wire.fire
        """A prepared exit over the exit line, now."""
        self.gtts = GttOrders(state, self.wire, journal)
        self.bar = EntryBar(state)
        self.gate: Callable[[OrderRequest], Awaitable[None]] = _open_gate
        """Raises Denied for what the account may not enter now. Never asked for an exit."""
        self.log = OrderLog(state, journal, publish, tasks)
        self._absences = Absences(state, publish)
        self._late = LateRefusals(state, publish)
        self._open: dict[OrderRequest | str, OrderId] = {}
        """What was meant by each order whose outcome is not known yet: nothing is sent twice meanwhile."""
        self._changing: set[tuple[BrokerOrderId, OrderChange]] = set()
        self.leavings = Leavings(state, self._open)
        self._recovered = False
        state.on_listed.append(self._on_listed)

    def attach(self, session: BrokerSession | None) -> None:
        """The session over which orders leave from now on; None: there is none."""
        self.wire.attach(session)

    async def send(
        self, request: OrderRequest, purpose: Purpose, fits: Callable[[], bool] = lambda: True
    ) -> BrokerOrderId:
        """A request whose intent is in the journal already: sent once, in its turn. The caller settles its outcome.

        Raises what the broker's `place` raises, Unreachable where it does not fit the position when its turn has come.
        """
        return (await self.wire.place(request, purpose, fits=fits)).order

    async def place(
        self, request: OrderRequest, *, purpose: Purpose = Purpose.MANUAL, intent: str = "", closing: bool = False
    ) -> OrderId:
        """Journals, waits for its turn, sends once, returns when the broker acknowledged.

        `intent` names what is meant (a strategy's buy); without it the request itself does. The same intent is not
        sent again while the outcome of the last is open. A tag that the caller has journalled is kept. `closing`: not
        sent where the position has become too small for it while the disk was busy.

        Raises Denied (nothing sent), Rejected and the like (refused for certain), Unreachable (nothing sent), or
        OutcomeUnknown when the order book could not be read for a while either: it is looked up until it is known.
        """
        instrument = self._instrument(request.instrument)
        if instrument is None:
            raise Denied(f"{request.instrument} is not in the instrument list.", "Refresh the instruments.")
        tag = request.tag or new_order_tag()
        admit = None if purpose is Purpose.EXIT else self.bar.admission(replace(request, tag=tag), self.gate)
        if admit is not None:
            check_order(request, instrument)
            await admit()
        if not self._state.active:
            raise SessionExpired("The account is not logged in.")
        meant = intent or request
        if meant in self._open:
            raise Denied(
                "The same order is on its way, and what became of it is not known yet.",
                "Wait until the orders list says; it is looked up.",
            )
        placing = Placing(self._state, replace(request, tag=tag), tag, meant, self._state.clock.now())
        self._open[meant] = placing.order_id
        try:
            await self._write_down(placing, purpose)
            if admit is not None:
                await admit()  # the account may have been halted while the disk was busy
            elif closing:
                key = PositionKey(request.account, request.instrument, request.product)
                deny_reversal(request, await self._state.known_since_fills(key))
            if purpose is Purpose.MANUAL and not intent:
                self._late.expect(tag, request)
            placement = await self.wire.place(placing.request, purpose, placing, admit=admit)
        except (OutcomeUnknown, asyncio.CancelledError) as failure:
            if not placing.left:
                self._give_up(placing, OrderStatus.DENIED, "Taken back before it was sent.")
                raise
            return await self._settle(placing, failure)
        except AppError as failure:
            refused = isinstance(failure, REFUSED) and placing.left
            self._give_up(placing, OrderStatus.REJECTED if refused else OrderStatus.DENIED, str(failure))
            raise
        except BaseException:
            self._open.pop(meant, None)
            raise
        self._open.pop(meant, None)
        self._acknowledged(placing, placement)
        return placing.order_id

    def _give_up(self, placing: Placing, status: OrderStatus, words: str) -> None:
        """There is no such order at the broker."""
        self._open.pop(placing.meant, None)
        placing.claim(status, words)

    async def _write_down(self, placing: Placing, purpose: Purpose) -> None:
        """Durable before it leaves. A journal that cannot be written holds back everything but exits."""
        entry = AuditEntry(
            placing.since, self._state.account, f"order:{placing.tag}", "submitted", order_words(placing.request)
        )
        try:
            await self._journal.record_intent(placing.order_id, placing.request, purpose, entry)
        except AppError as failure:
            if purpose is not Purpose.EXIT:
                raise
            self._notice(Level.ALARM, "The journal cannot be written", str(failure), "The exit is sent all the same.")

    async def _settle(self, placing: Placing, lost: BaseException) -> OrderId:
        """Sent, and nobody answered: looked up until it is known, by a task that outlives the caller's patience."""
        placing.claim(OrderStatus.UNKNOWN, "Sent and not answered; it is looked up in the order book.")
        self._publish(OrderUnresolved(placing.request.account, placing.order_id, placing.tag, placing.request))
        search = self._tasks.start(self._search(placing), f"order {placing.tag} is looked up")
        if not isinstance(lost, OutcomeUnknown):
            raise lost
        done, _ = await asyncio.wait([search], timeout=TRIES * LOOKUP_SPACING)
        if not done:
            raise lost
        if not search.result():
            raise NeverArrived(
                "The order did not reach the broker.", "Nothing was traded; you may send it again."
            ) from lost
        return placing.order_id

    async def _search(self, placing: Placing) -> bool:
        """Whether the broker has it. Not there: it never arrived, or it went with the list of its day."""
        if await find(self._state, placing.tag) is not None:
            self._open.pop(placing.meant, None)
            return True
        if placing.since < ist_day(self._state.clock.now())[0]:
            words = "The broker's list is of a new day: what became of the order stands in the trade book."
            self._give_up(placing, OrderStatus.EXPIRED, words)
        else:
            self._give_up(placing, OrderStatus.DENIED, "The order did not reach the broker.")
        return False

    def _acknowledged(self, placing: Placing, placement: Placement) -> None:
        self._state.acknowledge(placing.order_id, placement.order)
        self._tasks.start(self._until_listed(placing), "orders after a placement")
        if placement.refused:
            request = placing.request
            self._notice(
                Level.ALARM,
                f"{len(placement.refused)} of {len(placement.slices)} slices were refused",
                f'{request.side.capitalize()} {request.instrument}: "{placement.refused[0].refusal}"',
                "Less was ordered than you asked for: see the orders list.",
            )

    async def _until_listed(self, placing: Placing) -> None:
        """The list shows it soon. One that does not appear is said aloud; a list that cannot be read says nothing."""
        looks = 0
        while looks < ACKNOWLEDGED_LOOKUPS:
            await self._state.wait_active()
            looks += await self._refresh()
            if placing.listed:
                return
            await asyncio.sleep(LOOKUP_SPACING)
        words = "The broker acknowledged the order and does not list it."
        placing.claim(OrderStatus.UNKNOWN, words)
        told = f"{order_words(placing.request)}: {words}"
        self._notice(Level.ALARM, "An order is missing", told, "Look at the broker's own site.")

    async def recover(self) -> None:
        """What an earlier run left open: each is looked up, and none is sent again."""
        if self._recovered:
            return
        try:
            intents = await self._journal.unfinished_intents(self._state.account)
        except AppError as failure:
            self._notice(Level.WARNING, "Orders of earlier runs are not known", str(failure), failure.next_step)
            return
        self._recovered = True
        for intent in intents:
            number = intent.broker_order_id
            if number is not None:
                self._state.changes.setdefault(number, intent.changes)
            if intent.stop is not None:
                continue  # its follower settles it
            if intent.purpose is Purpose.EXIT:
                self.leavings.recall(intent.request, intent.order_id)
            if intent.order_id in (*self._open.values(), *self._state.numbers):
                continue  # it is of this run
            if number is not None:
                self._state.claim(remembered(intent, number))
                continue
            placing = Placing(
                self._state, intent.request, intent.tag, replace(intent.request, tag=None), intent.created_at
            )
            self._open.setdefault(placing.meant, placing.order_id)
            placing.claim(OrderStatus.UNKNOWN, "Sent before the program ended, and not answered; it is looked up.")
            self._tasks.start(self._search(placing), f"order {intent.tag} of before")

    def _on_listed(self, orders: Sequence[Order], _began: float) -> None:
        """The day's orders count, from whatever program they came."""
        first, last = ist_day(self._state.clock.now())
        placed = sum(order.placed_at is not None and first <= order.placed_at < last for order in orders)
        self.wire.queue.listed(placed)

    async def square_off(self, key: PositionKey) -> OrderId:
        """Closes a whole position with the kind that its class takes."""
        position = open_position(await self._state.read_since_fills(key), key, of_today=True)
        self.leavings.deny(key)
        self.leavings.deny_beside_exit(key)
        if key.product is Product.CO:
            return await self._leave_cover(key)
        instrument = self._instrument(key.instrument)
        if instrument is None:
            raise Denied(f"{key.instrument} is not in the instrument list.", "Refresh the instruments.")
        day = to_datetime(self._state.clock.now()).date()
        rule = self._rules.rule(key.account.partition("-")[0], instrument, day)
        request = closing_request(position, rule, instrument, self._last_price(key.instrument))
        if 0 < self._rules.slice_size(instrument, day) < request.quantity:
            request = replace(request, autoslice=self.wire.slices)
        tag = new_order_tag()
        self.leavings.begin(key, OrderId(tag))  # before anything is waited for
        return await self.place(
            replace(request, tag=tag),
            purpose=Purpose.EXIT,
            intent=f"close {key.instrument} {key.product}",
            closing=True,
        )

    async def _leave_cover(self, key: PositionKey) -> OrderId:
        """A cover order is left by ending its second leg; an opposite order would open another position."""
        for order in await self._state.read_orders():
            second = order.parent is not None and order.product is Product.CO and not order.status.is_final
            if second and order.instrument == key.instrument:
                await self._cancel(order.broker_order_id, Purpose.EXIT)
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
        fits: Callable[[], bool] = lambda: True,
    ) -> None:
        """Changes an open order, once; what was not answered is read from the list. `fits`: whether the change is still
        wanted when its turn has come.

        Raises Denied (not changed: as often as the broker allows, placed elsewhere, never arrived, larger where no
        entry is let through), Rejected, OutcomeUnknown when nothing could be read, Unreachable where it does not fit.
        """
        self._deny_foreign(order, purpose)
        known = self._state.orders.get(order)
        if known is not None and quantity is not None and quantity > known.quantity and not purpose.closes:
            await self.bar.admission(more_of(known, quantity), self.gate)()
        change = OrderChange(quantity, price, trigger_price)
        if (order, change) in self._changing:
            raise Denied("The same change is on its way.", "Wait until the orders list shows it.")
        self._changing.add((order, change))
        try:
            await self.wire.modify(order, change, purpose, fits)
        except OutcomeUnknown as failure:
            await settle_change(self._state, order, change, failure)
        finally:
            self._changing.discard((order, change))
        self._read_after("orders after a change", purpose)

    async def cancel(self, order: BrokerOrderId, *, purpose: Purpose = Purpose.MANUAL, confirmed: bool = False) -> None:
        """Asks for a cancel, once. It is cancelled when the order book says so, and cancel pending until then.

        `confirmed`: the trader has agreed to orders from elsewhere, too. Raises as `modify`.
        """
        if not confirmed:
            self._deny_foreign(order, purpose)
        await self._cancel(order, purpose)
        self._read_after("orders after a cancel", purpose)

    async def _cancel(self, order: BrokerOrderId, purpose: Purpose) -> None:
        self._state.begin_cancel(order)
        asked = False
        try:
            await self.wire.cancel(order, purpose)
            asked = True
        except OutcomeUnknown as failure:
            await settle_cancel(self._state, order, failure)
            asked = True
        finally:
            self._state.end_cancel(order, asked=asked)

    def _deny_foreign(self, order: BrokerOrderId, purpose: Purpose) -> None:
        """What was placed elsewhere is the trader's own: no rule of ours touches it."""
        known = self._state.orders.get(order)
        if purpose is not Purpose.MANUAL and known is not None and not placed_here(known):
            raise Denied(f"Order {order} was placed elsewhere.", "Only you change or cancel it.")

    def _read_after(self, name: str, purpose: Purpose) -> None:
        if not purpose.closes and purpose is not Purpose.PROTECT:  # their followers read for themselves
            self._tasks.start(self._refresh(), name)

    async def _refresh(self) -> bool:
        """Whether the orders could be read."""
        read = False
        try:
            await self._state.read_orders()
            read = True
            await self._state.read_positions()
        except AppError as failure:
            self._notice(Level.WARNING, "Orders could not be read", failure.cause, failure.next_step, "orders unread")
        return read

    def _notice(self, level: Level, title: str, cause: str, next_step: str, repeat: str = "") -> None:
        self._publish(Noticed(level, title, cause, next_step, self._state.account, repeat))


async def _open_gate(request: OrderRequest) -> None:
    """Nothing holds an order back."""
