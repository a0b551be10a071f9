"""Which triggers (GTT) at the broker stand behind stops, and how each stands: the journal's rows and the broker's list
together. A trigger that the journal does not know is somebody else's. Loop thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from app.domain.backstop import RestingState, RestingTrigger
from app.domain.errors import AppError
from app.domain.events import AuditEntry
from app.domain.gtt import Gtt, GttLeg
from app.domain.ids import AccountId, BrokerOrderId, GttId, InstrumentId, Nanos, StopId, Tag
from app.domain.order import Order, OrderStatus
from app.domain.portfolio import PositionKey
from app.engine.account import AccountState
from app.engine.exit_plan import LOOKUP_SPACING
from app.engine.gtt_plan import FORGET_NS, found, seen
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

READINGS = 30
"""Of the order book, until it must show what a trigger has sent."""
KEPT_NS = 8 * 86_400 * 1_000_000_000
"""Of triggers that have ended those of the last days are known: the broker lists them for seven."""


class GttJournal(Protocol):
    """What is needed of the journal."""

    async def load(self, account: AccountId, since: Nanos) -> Sequence[RestingTrigger]:
        """Those that may still act or have fired, and those that ended since; oldest first."""
        ...

    async def save(self, trigger: RestingTrigger, entry: AuditEntry) -> None:
        """As it now stands, durable when this returns."""
        ...


class TriggerBook:
    """One account's."""

    def __init__(self, state: AccountState, journal: GttJournal, tasks: Tasks) -> None:
        self._state = state
        self._journal = journal
        self._tasks = tasks
        self._rows: dict[Tag, RestingTrigger] = {}
        self._loaded = False
        self._since: dict[Tag, float] = {}
        """Loop time of our last request: a list whose reading began before says nothing of it."""
        self._missing: dict[Tag, float] = {}
        """Since when (loop time) the broker's list has not shown one."""
        self._placing: set[Tag] = set()
        self._past: set[Tag] = set()
        """Fired on an earlier day."""
        self._owed: dict[Tag, tuple[RestingTrigger, AuditEntry]] = {}
        """What the journal could not take."""
        self.on_change: Callable[[RestingTrigger, RestingTrigger, str], None] = _unheard
        """Called with one as it was and as it is, and why, when the broker has told that it is another."""
        self.on_listed: Callable[[StopId], None] = _forgotten
        """Called for the stop of each that may still act, with every list."""
        self.on_fired: list[Callable[[RestingTrigger], None]] = []
        """Called with each of which the broker says for the first time that it has sent an order."""
        state.on_order.append(self._on_order)

    # -- what is known -----------------------------------------------------------------------------------------------

    def __getitem__(self, tag: Tag) -> RestingTrigger:
        return self._rows[tag]

    def __contains__(self, tag: Tag) -> bool:
        return tag in self._rows

    @property
    def backed(self) -> dict[StopId, int]:
        """Units that rest behind each stop."""
        units: dict[StopId, int] = {}
        for one in self._rows.values():
            if one.state is RestingState.RESTING:
                units[one.stop] = units.get(one.stop, 0) + one.leg.quantity
        return units

    @property
    def ids(self) -> set[GttId]:
        """The broker's numbers of ours."""
        return {one.gtt for one in self._rows.values() if one.gtt is not None}

    @property
    def open(self) -> list[RestingTrigger]:
        """Those that may still act, oldest first."""
        return [one for one in self._rows.values() if one.state.is_open]

    @property
    def misses(self) -> bool:
        """The last list did not show one that may still act."""
        return any(one.tag in self._missing for one in self.open)

    def open_of(self, stop: StopId) -> list[RestingTrigger]:
        """The same behind one stop."""
        return [one for one in self.open if one.stop == stop]

    def sent_by(self, stop: StopId) -> list[RestingTrigger]:
        """Those behind a stop that fired on an earlier day, by a list of orders that was read since: what they sent is
        in none any more. They do not act from now on."""
        rows = [
            one
            for one in self._rows.values()
            if one.stop == stop
            and one.state is RestingState.TRIGGERED
            and one.order is not None
            and one.order not in self._state.orders
        ]
        self._past.update(one.tag for one in rows)
        return rows

    def held(self, instrument: InstrumentId, leg: GttLeg) -> int | None:
        """Units of the position that a trigger would close of, as last read; None: not known."""
        reading, key = self._state.reading, PositionKey(self._state.account, instrument, leg.product)
        if reading is None or not reading.knows(key) or not reading.lists(key):
            return None
        return reading.quantity(key) * -leg.side.sign

    async def position(self, instrument: InstrumentId, leg: GttLeg) -> int | None:
        """The same, read where it is not known; on another day it tells what a trigger has sold. None: not known, and
        nothing waits."""
        if self.held(instrument, leg) is None:
            with contextlib.suppress(AppError):  # with the next list, then
                await self._state.read_positions()
        return self.held(instrument, leg)

    def acts(self, stop: StopId) -> bool:
        """One behind it has fired, and what it sent has filled, or may."""
        for one in self._rows.values():
            if one.stop == stop and one.state is RestingState.TRIGGERED and one.order is not None:
                order = self._state.orders.get(one.order)
                if order is None and (one.filled == 0 or one.tag in self._past):
                    continue  # it came to nothing, or what came of it is counted
                if order is None or order.filled_quantity or not order.status.is_final:
                    return True
        return False

    # -- what we do --------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """The journal's, once. Raises StorageError."""
        if self._loaded:
            return
        for one in await self._journal.load(self._state.account, self._state.clock.now() - KEPT_NS):
            self._rows.setdefault(one.tag, one)
            if one.state is RestingState.TRIGGERED and one.order is not None:
                self._state.mark(one.order, one.tag)
        self._loaded = True

    async def ask(self, one: RestingTrigger, words: str) -> None:
        """It is about to leave: durable when this returns. Raises StorageError."""
        await self._journal.save(one, self._entry(one, "backstop", words))
        self._rows[one.tag] = one
        self._placing.add(one.tag)

    def answered(self, tag: Tag) -> None:
        """The broker has answered our request, or will not any more."""
        self._placing.discard(tag)
        self._since[tag] = asyncio.get_running_loop().time()

    async def take_as_ended(self, one: RestingTrigger) -> None:
        """Nobody saw the end of what it sent on an earlier day; so much it is taken to have filled."""
        told = f"order {one.order}: its end was not seen; {one.filled} of {one.leg.quantity} are taken for filled"
        await self.keep(one, "trigger's order ended", told)

    async def keep(self, one: RestingTrigger, what: str, detail: str) -> None:
        """As it stands from now on; what the journal cannot take is written with the next."""
        self._rows[one.tag] = one
        await self._write(one, self._entry(one, what, detail))

    # -- what the broker says ----------------------------------------------------------------------------------------

    def hear(self, listed: Sequence[Gtt], began: float) -> None:
        """The whole list, by a reading that began then."""
        by_number = {gtt.id: gtt for gtt in listed}
        for one in self.open:
            if began < self._since.get(one.tag, 0.0):
                continue
            gtt = found(one, listed, self.ids) if one.gtt is None else by_number.get(one.gtt)
            if gtt is not None:
                self._missing.pop(one.tag, None)
                self._take(one, self._with_position(seen(one, gtt), began), gtt.refusal)
            elif self._is_absent(one, began):
                self._take(one, replace(one, state=RestingState.GONE), "The broker's list does not show it.")
            self.on_listed(one.stop)

    def told(self, gtt: Gtt) -> None:
        """One that the broker tells of by itself. What we changed a moment ago may not be in it."""
        for one in self.open:
            now = seen(one, gtt) if one.gtt == gtt.id else one
            if not now.state.is_open:
                self._take(one, now, gtt.refusal)

    def _with_position(self, one: RestingTrigger, began: float) -> RestingTrigger:
        """It still waits: the position that was read before is one from which it has sold nothing."""
        reading = self._state.reading
        if one.state is not RestingState.RESTING or reading is None or reading.began >= began:
            return one
        held = self.held(one.instrument, one.leg)
        return one if held is None else replace(one, held=held)

    def _on_order(self, order: Order) -> None:
        """What one has sent fills, or has ended: on another day no list shows the order, and what it filled must be
        known. One that is gone from the list has ended, and nobody has seen how."""
        one = self._rows.get(order.tag or Tag(""))
        if one is None or one.order != order.broker_order_id:
            return
        ended = order.status.is_final and order.status is not OrderStatus.EXPIRED
        now = replace(one, filled=order.filled_quantity) if ended else replace(one, heard=order.filled_quantity)
        if now != one and (ended or one.filled is None):
            self._rows[one.tag] = now
            told = f"order {one.order} is {order.status}: {order.filled_quantity} of {order.quantity} filled"
            self._keep_soon(now, "trigger's order ended" if ended else "trigger's order fills", told)

    def _is_absent(self, one: RestingTrigger, began: float) -> bool:
        """Of one that the list does not show: whether it is not there. Twice, a second apart."""
        if one.gtt is None:
            late = self._state.clock.now() - one.asked_at
            return one.tag not in self._placing and late > FORGET_NS
        return began - self._missing.setdefault(one.tag, began) >= LOOKUP_SPACING

    def _take(self, before: RestingTrigger, now: RestingTrigger, why: str) -> None:
        if now == before:
            return
        self._rows[now.tag] = now
        if now.state is RestingState.TRIGGERED and now.order is not None:
            self._keep_soon(now, "trigger fired", f"GTT {now.gtt} sent order {now.order}")
            self._state.mark(now.order, now.tag)
            self._tasks.start(self._see_order(now.order), f"order of trigger {now.gtt}")
            for handler in self.on_fired:
                handler(now)
        elif now.state is RestingState.GONE:
            self._keep_soon(now, "backstop ended", f"GTT {now.gtt}: {why}" if why else f"GTT {now.gtt}")
        else:
            self._keep_soon(now, "backstop seen", f"GTT {now.gtt}")
        self.on_change(before, now, why)

    async def _see_order(self, number: BrokerOrderId) -> None:
        for _ in range(READINGS):
            try:
                await self._state.read_orders()
            except AppError as failure:
                log.info("the order of a trigger: %s", failure)
            if number in self._state.orders or not self._state.active:
                return
            await asyncio.sleep(LOOKUP_SPACING)

    # -- writing -----------------------------------------------------------------------------------------------------

    def _keep_soon(self, one: RestingTrigger, what: str, detail: str) -> None:
        self._tasks.start(self._write(one, self._entry(one, what, detail)), f"journal trigger {one.tag}")

    async def _write(self, one: RestingTrigger, entry: AuditEntry) -> None:
        owed, self._owed = self._owed, {}
        for row, line in (*owed.values(), (one, entry)):
            try:
                await self._journal.save(row, line)
            except AppError as failure:
                self._owed[row.tag] = (row, line)
                log.info("a trigger is owed to the journal: %s", failure)

    def _entry(self, one: RestingTrigger, what: str, detail: str) -> AuditEntry:
        return AuditEntry(self._state.clock.now(), self._state.account, f"stop:{one.stop}", what, detail, one.stop)


def _unheard(before: RestingTrigger, now: RestingTrigger, why: str) -> None:
    """Before somebody listens."""
    del before, now, why


def _forgotten(stop: StopId) -> None:
    """Before somebody listens."""
    del stop
