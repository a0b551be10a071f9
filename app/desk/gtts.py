"""Triggers that rest at the broker (GTT), as the window asks for them. Loop thread only.

Nobody tells when one fires: the broker is asked, when the trader looks and once a minute.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.brokers.parts import GttBroker
from app.desk.account import AccountDesk
from app.desk.listed import listed
from app.desk.workspace import Workspace
from app.domain.errors import AppError, Denied, NotPermitted
from app.domain.events import GttsChanged, GttTold, Level, Noticed
from app.domain.gtt import Gtt, GttRequest, GttRole
from app.domain.ids import AccountId, GttId

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0


class GttDesk:
    """Implements `desk.api.GttVerbs`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[AccountId, tuple[Gtt, ...]] = {}

    async def gtts(self) -> Sequence[Gtt]:
        """Read now, of every account that is logged in and has such triggers. Raises when one cannot be read."""
        return [gtt for desk in self._able() for gtt in await self._read(desk)]

    @property
    def known(self) -> Mapping[AccountId, tuple[Gtt, ...]]:
        """As last read, by account."""
        return self._known

    async def place(self, request: GttRequest) -> GttId:
        """Sent once. When nobody answered, the list says whether it is there."""
        desk = self._workspace.account(request.account)
        shown, request = request, await _priced(desk, request)
        _deny_passed(shown, request)
        number = await desk.orders.gtts.place(request, listed(desk, request.instrument))
        await self._read_quietly(desk)
        return number

    async def modify(self, gtt: GttId, request: GttRequest) -> None:
        """The whole of it again."""
        desk = self._workspace.account(request.account)
        request = await _priced(desk, request)
        try:
            await desk.orders.gtts.modify(gtt, request, listed(desk, request.instrument))
        finally:
            await self._read_quietly(desk)

    async def delete(self, account: AccountId, gtt: GttId) -> None:
        """Takes it back."""
        desk = self._workspace.account(account)
        try:
            await desk.orders.gtts.delete(gtt)
        finally:
            await self._read_quietly(desk)

    async def keep_watch(self) -> None:
        """Reads the lists once a minute, so that one that fired for nothing is an alarm. Runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for desk in self._able():
                await self._read_quietly(desk)

    def told(self, event: GttTold) -> None:
        """The broker says how one trigger stands, before anybody asks: it fired, or was changed elsewhere."""
        account = event.gtt.account
        before = self._known.get(account)
        if before is None:
            return  # nobody has looked yet: the first look reads them all
        others = tuple(gtt for gtt in before if gtt.id != event.gtt.id)
        self._take(account, (*others, event.gtt))

    def _able(self) -> list[AccountDesk]:
        return [desk for desk in self._workspace.live() if isinstance(desk.broker, GttBroker)]

    async def _read(self, desk: AccountDesk) -> tuple[Gtt, ...]:
        found = tuple(await desk.orders.gtts.read())
        self._take(desk.account, found)
        return found

    def _take(self, account: AccountId, found: tuple[Gtt, ...]) -> None:
        before = self._known.get(account)
        self._known[account] = found
        if found != before:
            self._workspace.publish(GttsChanged(account, found))
        if before is not None:
            seen = {gtt.id for gtt in before if gtt.failed}
            for gtt in found:
                if gtt.failed and gtt.id not in seen:
                    self._alarm(gtt)

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


async def _priced(desk: AccountDesk, request: GttRequest) -> GttRequest:
    """With the price of now: brokers tell by it from which side a trigger is reached, and one that lies on the wrong
    side fires at once. The window may show no price of it, or an old one; then the broker is asked. Raises AppError."""
    last = desk.last_price(request.instrument) if desk.sees else None
    try:
        last = last or (await desk.broker.last_prices([request.instrument])).get(request.instrument)
    except NotPermitted as refusal:  # a key without prices: what the trader sees elsewhere counts
        log.info("no price of %s: %s", request.instrument, refusal)
        last = request.last_price
    if not last:
        raise Denied("The broker tells no price of it, so the side of the trigger is not known.", "Try again later.")
    return replace(request, last_price=last)


def _deny_passed(shown: GttRequest, now: GttRequest) -> None:
    """Raises Denied where the price has passed a trigger since the window showed it: from there it would wait for the
    way back, and a stop would guard nothing."""
    waiting = [leg.trigger for leg in now.legs if leg.role in (GttRole.TRIGGER, GttRole.ENTRY) and not leg.at_once]
    if any((trigger > shown.last_price) != (trigger > now.last_price) for trigger in waiting):
        raise Denied("The price has passed the trigger meanwhile.", "Look at the price, and place it again.")
