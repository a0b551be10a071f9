"""Triggers that rest at the broker (GTT), as the window asks for them. Loop thread only.

Nobody tells when one fires: the broker is asked, when the trader looks and once a minute.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from app.brokers.parts import GttBroker
from app.desk.account import AccountDesk
from app.desk.workspace import Workspace
from app.domain.errors import AppError, BrokerError, Denied, OutcomeUnknown
from app.domain.events import AuditEntry, GttsChanged, Level, Noticed
from app.domain.gtt import Gtt, GttLeg, GttRequest
from app.domain.ids import AccountId, GttId
from app.domain.instrument import Instrument
from app.domain.money import in_rupees
from app.engine.exit_plan import LOOKUP_SPACING, LOOKUPS
from app.engine.limits import check_gtt

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
TRIES = 10
"""Readings of the list before an open question is handed to the trader."""


class GttDesk:
    """Implements `desk.api.GttVerbs`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[AccountId, tuple[Gtt, ...]] = {}

    async def gtts(self) -> Sequence[Gtt]:
        """Read now, of every account that is logged in and has such triggers. Raises when one cannot be read."""
        return [gtt for desk in self._able() for gtt in await self._read(desk)]

    async def place(self, request: GttRequest) -> GttId:
        """Sent once. When nobody answered, the list says whether it is there."""
        instrument, broker = self._checked(request)
        before = {gtt.id for gtt in await broker.gtts()}
        await self._audit(request.account, "new", "submitted", _words(request, instrument))
        try:
            number = await broker.place_gtt(request)
        except OutcomeUnknown as failure:
            number = await self._look_up(broker, request, before, failure)
        except AppError as failure:
            await self._audit(request.account, "new", "refused", str(failure))
            raise
        await self._audit(request.account, number, "placed", _words(request, instrument))
        await self._read_quietly(self._workspace.account(request.account))
        return number

    async def modify(self, gtt: GttId, request: GttRequest) -> None:
        """The whole of it again."""
        instrument, broker = self._checked(request)
        try:
            await broker.modify_gtt(gtt, request)
            await self._audit(request.account, gtt, "changed", _words(request, instrument))
        finally:
            await self._read_quietly(self._workspace.account(request.account))

    async def delete(self, account: AccountId, gtt: GttId) -> None:
        """Takes it back."""
        desk = self._workspace.account(account)
        try:
            await _part(desk).delete_gtt(gtt)
            await self._audit(account, gtt, "deleted", "")
        finally:
            await self._read_quietly(desk)

    async def keep_watch(self) -> None:
        """Reads the lists once a minute, so that one that fired for nothing is an alarm. Runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for desk in self._able():
                await self._read_quietly(desk)

    def _able(self) -> list[AccountDesk]:
        return [desk for desk in self._workspace.live() if isinstance(desk.broker, GttBroker)]

    def _checked(self, request: GttRequest) -> tuple[Instrument, GttBroker]:
        instrument = self._workspace.instrument(request.instrument)
        check_gtt(request, instrument)
        return instrument, _part(self._workspace.account(request.account))

    async def _look_up(
        self, broker: GttBroker, request: GttRequest, before: set[GttId], failure: OutcomeUnknown
    ) -> GttId:
        """A trigger that was not there before and says the same. Absent twice: it never arrived."""
        absent = 0
        for _ in range(TRIES):
            try:
                for gtt in await broker.gtts():
                    if gtt.id not in before and (gtt.instrument, gtt.legs) == (request.instrument, request.legs):
                        return gtt.id
                absent += 1
            except BrokerError:
                absent = 0  # a failed look-up says nothing
            if absent >= LOOKUPS:
                await self._audit(request.account, "new", "denied", "absent from the list twice")
                raise Denied("The trigger did not reach the broker.", "You may send it again.") from failure
            await asyncio.sleep(LOOKUP_SPACING)
        raise failure

    async def _read(self, desk: AccountDesk) -> tuple[Gtt, ...]:
        found = tuple(await _part(desk).gtts())
        before = self._known.get(desk.account)
        self._known[desk.account] = found
        if found != before:
            self._workspace.publish(GttsChanged(desk.account, found))
        if before is not None:
            seen = {gtt.id for gtt in before if gtt.failed}
            for gtt in found:
                if gtt.failed and gtt.id not in seen:
                    self._alarm(gtt)
        return found

    async def _read_quietly(self, desk: AccountDesk) -> None:
        try:
            await self._read(desk)
        except AppError as failure:
            log.info("triggers of %s could not be read: %s", desk.account, failure)

    def _alarm(self, gtt: Gtt) -> None:
        refusal = next((result.refusal for result in gtt.results if result is not None), "")
        self._workspace.publish(
            Noticed(
                Level.ALARM,
                "A trigger fired and its order was refused",
                f'{gtt.instrument}: "{refusal}"',
                "Nothing waits at the broker any more: look at the position.",
                gtt.account,
                f"gtt:{gtt.account}:{gtt.id}",
            )
        )

    async def _audit(self, account: AccountId, gtt: str, what: str, detail: str) -> None:
        now = self._workspace.account(account).clock.now()
        await self._workspace.journal.audit(AuditEntry(now, account, f"gtt:{gtt}", what, detail))


def _part(desk: AccountDesk) -> GttBroker:
    broker = desk.broker
    if not isinstance(broker, GttBroker):
        raise Denied("This broker keeps no triggers (GTT).", "Use a local stop.")
    return broker


def _words(request: GttRequest, instrument: Instrument) -> str:
    return "; ".join(_leg(leg, instrument) for leg in request.legs) + f" {request.instrument}"


def _leg(leg: GttLeg, instrument: Instrument) -> str:
    trigger, price = (in_rupees(value, instrument.price_scale) for value in (leg.trigger, leg.price))
    return f"at {trigger} {leg.side} {leg.quantity} {leg.product} limit {price}"
