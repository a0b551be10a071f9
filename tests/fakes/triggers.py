"""Triggers (GTT) of a broker in memory, and the journal's rows of those behind stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from app.domain.backstop import RestingTrigger
from app.domain.errors import OutcomeUnknown, Rejected, StorageError
from app.domain.events import AuditEntry
from app.domain.gtt import Gtt, GttRequest, GttResult, GttStatus
from app.domain.ids import AccountId, BrokerOrderId, GttId, Nanos, Tag
from app.domain.order import Order, OrderRequest

MADE_AT: Nanos = 1_700_000_000 * 10**9
"""Of every one: a moment after the account's clock in `Rig`."""


class FakeTriggers:
    """`parts.GttBroker` of a `FakeBroker`."""

    def __init__(self) -> None:
        self.triggers: dict[GttId, Gtt] = {}
        self.asked: list[tuple[str, GttId | None]] = []
        """Every request that changes something, in order."""
        self.gtt_answers: list[Exception | str] = []
        """For the next placements: an error (nothing done), `lost` (done, no answer)."""
        self.gtt_failures: dict[str, list[Exception]] = {}
        """By method: errors of the next calls; nothing is done."""

    def accept(self, request: OrderRequest) -> Order:
        """Of the broker: an order reaches the exchange."""
        raise NotImplementedError

    @property
    def gtts_waiting(self) -> list[Gtt]:
        return [gtt for gtt in self.triggers.values() if gtt.status is GttStatus.ACTIVE]

    def put(self, request: GttRequest, made_at: Nanos = MADE_AT) -> GttId:
        """One is there, whoever asked for it."""
        number = GttId(str(500 + len(self.triggers)))
        legs, none = request.legs, (None,) * len(request.legs)
        account, kind, last = request.account, request.kind, request.last_price
        self.triggers[number] = Gtt(
            account, number, request.instrument, kind, GttStatus.ACTIVE, last, legs, none, made_at, made_at, None
        )
        return number

    def end(self, number: GttId, status: GttStatus = GttStatus.DELETED, refusal: str = "") -> None:
        """By phone, or by the broker."""
        self.triggers[number] = replace(self.triggers[number], status=status, refusal=refusal)

    def reach(self, number: GttId, *, refused: str = "") -> BrokerOrderId | None:
        """Its price is reached: it sends its order, without a tag."""
        gtt = self.triggers[number]
        leg, sent = gtt.legs[0], None
        if not refused:
            request = OrderRequest(
                gtt.account, gtt.instrument, leg.side, leg.quantity, leg.product, leg.kind, leg.price or None
            )
            sent = self.accept(request).broker_order_id
        result = GttResult("failed" if refused else "success", sent, leg.trigger, MADE_AT, refused)
        self.triggers[number] = replace(gtt, status=GttStatus.TRIGGERED, results=(result,))
        return sent

    async def gtts(self) -> Sequence[Gtt]:
        await asyncio.sleep(0.01)
        self._break("gtts")
        return list(self.triggers.values())

    async def gtt(self, gtt: GttId) -> Gtt:
        return self.triggers[gtt]

    async def place_gtt(self, request: GttRequest) -> GttId:
        await asyncio.sleep(0.01)
        self.asked.append(("place", None))
        answer = self.gtt_answers.pop(0) if self.gtt_answers else ""
        if isinstance(answer, Exception):
            raise answer
        number = self.put(request)
        if answer == "lost":
            raise OutcomeUnknown("The broker did not answer.")
        return number

    async def modify_gtt(self, gtt: GttId, request: GttRequest) -> None:
        await asyncio.sleep(0.01)
        self.asked.append(("modify", gtt))
        self._break("modify_gtt")
        self._waits(gtt)
        self.triggers[gtt] = replace(self.triggers[gtt], legs=request.legs, last_price=request.last_price)

    async def delete_gtt(self, gtt: GttId) -> None:
        await asyncio.sleep(0.01)
        self.asked.append(("delete", gtt))
        self._break("delete_gtt")
        self._waits(gtt)
        self.end(gtt)

    def _waits(self, gtt: GttId) -> None:
        if self.triggers[gtt].status is not GttStatus.ACTIVE:
            raise Rejected("Trigger cannot be changed.")

    def _break(self, method: str) -> None:
        scripted = self.gtt_failures.get(method)
        if scripted:
            raise scripted.pop(0)


class TriggerRows:
    """`engine.gtt_book.GttJournal` in memory."""

    def __init__(self, write: Callable[[], Awaitable[None]], line: Callable[[AuditEntry], None]) -> None:
        self._write = write
        self._line = line
        self.rows: dict[Tag, RestingTrigger] = {}
        self.broken = False
        """Every write fails."""

    async def load(self, account: AccountId, since: Nanos) -> Sequence[RestingTrigger]:
        await self._write()
        return list(self.rows.values())

    async def save(self, trigger: RestingTrigger, entry: AuditEntry) -> None:
        await self._write()
        if self.broken:
            raise StorageError("The disk is full.")
        self.rows[trigger.tag] = trigger
        self._line(entry)
