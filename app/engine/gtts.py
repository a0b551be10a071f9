"""Triggers that rest at the broker (GTT): placed, changed, taken back, looked up when nobody answered.

Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.brokers.parts import GttBroker
from app.domain.errors import AppError, BrokerError, Denied, OutcomeUnknown
from app.domain.events import AuditEntry
from app.domain.gtt import Gtt, GttLeg, GttRequest, GttRole, as_asked
from app.domain.ids import AccountId, GttId
from app.domain.instrument import Instrument
from app.domain.money import in_rupees
from app.domain.order import Purpose
from app.engine.account import AccountState
from app.engine.debts import Debts
from app.engine.exit_plan import LOOKUP_SPACING, LOOKUPS
from app.engine.limits import check_gtt
from app.engine.wire import OrderWire

log = logging.getLogger(__name__)

TRIES = 10
"""Readings of the list before an open question is handed to the trader."""


class Auditor(Protocol):
    """What is needed of the journal."""

    async def audit(self, *entries: AuditEntry) -> None:
        """Lines of the audit trail."""
        ...


@dataclass(frozen=True, slots=True)
class _Owed:
    entry: AuditEntry


class GttOrders:
    """One account's triggers at its broker."""

    def __init__(self, state: AccountState, wire: OrderWire, journal: Auditor) -> None:
        self._state = state
        self._wire = wire
        self._journal = journal
        self._debts = Debts[_Owed](lambda owed: journal.audit(owed.entry), "audit lines of triggers")
        self.gate: Callable[[GttRequest], Awaitable[None]] = _open_gate
        """Raises Denied for a trigger that the account may not set now. Never asked for an exit."""
        self.on_read: list[Callable[[Sequence[Gtt], float], None]] = []
        """Called with every whole list, and the loop's time when its reading began."""

    @property
    def able(self) -> bool:
        """The broker keeps such triggers, and a session is there."""
        return self._state.active and isinstance(self._state.session, GttBroker)

    async def read(self) -> Sequence[Gtt]:
        """Those that wait, and those that ended lately. Raises Denied where the broker keeps none."""
        session = self._state.session
        if not isinstance(session, GttBroker):
            raise Denied("This broker keeps no triggers (GTT).", "Use a local stop.")
        began = asyncio.get_running_loop().time()
        listed = await session.gtts()
        for handler in self.on_read:
            handler(listed, began)
        return listed

    async def place(
        self,
        request: GttRequest,
        instrument: Instrument,
        *,
        purpose: Purpose = Purpose.MANUAL,
        fits: Callable[[], bool] = lambda: True,
    ) -> GttId:
        """Sent once. When nobody answered, the list says whether it is there. `fits`: whether it is still wanted when
        its turn has come.

        Raises Denied (nothing waits at the broker), Rejected, OutcomeUnknown when the list could not be read either,
        Unreachable where it does not fit.
        """
        check_gtt(request, instrument)
        if purpose not in (Purpose.EXIT, Purpose.PROTECT):
            await self.gate(request)
        before = {gtt.id for gtt in await self.read()}
        words = gtt_words(request, instrument)
        await self._journal.audit(self._entry(request.account, "new", "submitted", words))
        try:
            number = await self._wire.place_gtt(request, purpose, fits)
        except OutcomeUnknown as failure:
            number = await self._find(request, before, failure)
        except AppError as failure:
            await self._note(request.account, "new", "refused", str(failure))
            raise
        await self._note(request.account, number, "placed", words)
        return number

    async def modify(
        self,
        gtt: GttId,
        request: GttRequest,
        instrument: Instrument,
        *,
        purpose: Purpose = Purpose.MANUAL,
        fits: Callable[[], bool] = lambda: True,
    ) -> None:
        """The whole of it again. Raises as `place` does."""
        check_gtt(request, instrument)
        if purpose not in (Purpose.EXIT, Purpose.PROTECT):
            await self.gate(request)
        try:
            await self._wire.modify_gtt(gtt, request, purpose, fits)
        except OutcomeUnknown as failure:
            asked = as_asked(request.legs)
            found = await self._settled(gtt, failure, lambda known: known is not None and as_asked(known.legs) == asked)
            if not found:
                raise Denied("The change did not reach the broker; the trigger is as it was.") from failure
        await self._note(request.account, gtt, "changed", gtt_words(request, instrument))

    async def delete(self, gtt: GttId, *, purpose: Purpose = Purpose.MANUAL) -> None:
        """Takes it back. Raises Rejected when it has triggered meanwhile, Denied, OutcomeUnknown."""
        try:
            await self._wire.delete_gtt(gtt, purpose)
        except OutcomeUnknown as failure:
            if not await self._settled(gtt, failure, lambda known: known is None or not known.status.can_change):
                raise Denied("The request did not reach the broker; the trigger still waits.") from failure
        await self._note(self._state.account, gtt, "deleted", "")

    async def _find(self, request: GttRequest, before: set[GttId], failure: OutcomeUnknown) -> GttId:
        """A trigger that was not there before and says the same. Absent twice: it never arrived."""

        def same(gtts: Sequence[Gtt]) -> GttId | None:
            fresh = (gtt for gtt in gtts if gtt.id not in before)
            asked = as_asked(request.legs)
            return next((g.id for g in fresh if (g.instrument, as_asked(g.legs)) == (request.instrument, asked)), None)

        absent = 0
        for _ in range(TRIES):
            try:
                found = same(await self.read())
                if found is not None:
                    return found
                absent += 1
            except BrokerError:
                absent = 0  # a failed look-up says nothing
            if absent >= LOOKUPS:
                await self._note(request.account, "new", "denied", "absent from the list twice")
                raise Denied("The trigger did not reach the broker.", "You may send it again.") from failure
            await asyncio.sleep(LOOKUP_SPACING)
        raise failure

    async def _settled(self, gtt: GttId, failure: OutcomeUnknown, done: Callable[[Gtt | None], bool]) -> bool:
        """Whether the list shows that an unanswered change took effect; not within two readings: it did not."""
        undone = 0
        for _ in range(TRIES):
            try:
                if done(next((known for known in await self.read() if known.id == gtt), None)):
                    return True
                undone += 1
            except BrokerError:
                undone = 0
            if undone >= LOOKUPS:
                return False
            await asyncio.sleep(LOOKUP_SPACING)
        raise failure

    async def _note(self, account: AccountId, gtt: str, what: str, detail: str) -> None:
        """What the broker has done is so whether it can be written down or not: then the journal owes it."""
        entry = self._entry(account, gtt, what, detail)
        try:
            await self._journal.audit(entry)
        except AppError as failure:
            log.info("that trigger %s is %s is owed to the journal: %s", gtt, what, failure)
            self._debts.owe(_Owed(entry))

    def _entry(self, account: AccountId, gtt: str, what: str, detail: str) -> AuditEntry:
        return AuditEntry(self._state.clock.now(), account, f"gtt:{gtt}", what, detail)


async def _open_gate(_request: GttRequest) -> None:
    """Before there is a portfolio stop."""


def gtt_words(request: GttRequest, instrument: Instrument) -> str:
    """What a trigger does, for the audit trail."""
    return "; ".join(_leg(leg, instrument) for leg in request.legs) + f" {request.instrument}"


def _leg(leg: GttLeg, instrument: Instrument) -> str:
    trigger, price, gap = (in_rupees(value, instrument.price_scale) for value in (leg.trigger, leg.price, leg.gap))
    role = "" if leg.role is GttRole.TRIGGER else f"{leg.role} "
    when = "at once" if leg.at_once else f"at {trigger}" + (f" trailing by {gap}" if leg.gap else "")
    return f"{role}{when} {leg.side} {leg.quantity} {leg.product} " + (f"limit {price}" if leg.price else "at market")
