"""What a day's fills cost in charges; many go packed to the helper process, which holds up nothing here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import aclosing

import msgspec

from app.analytics.charge_table import ChargeTable
from app.analytics.contract_sizes import Sizer, Told
from app.desk.outcome import charges_of
from app.domain.fill import Fill
from app.domain.ids import InstrumentId
from app.domain.money import Paise
from app.runtime.framing import framed, unframed
from app.runtime.helper import Helper, HelperDied

log = logging.getLogger(__name__)

FEW = 20
"""Fills whose charges are worked out at once, in 0.3 ms; of ten thousand they would hold up a stop for 0.1 s."""
SOME = 500
"""Fills up to which a thread does it. Of more, single steps (a sort, a frame that lets go of its lists) would hold the
interpreter lock for above a millisecond; of ten thousand for up to 10."""
PIECE = 250

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Fill]).decode


class Charged(msgspec.Struct, frozen=True):
    """The charges of all whose size is known."""

    paise: Paise
    unsized: list[InstrumentId]
    """Contracts that are left out: how much a lot of them holds is not known."""


class DayCharges:
    """Without a helper process a thread does it. Loop thread."""

    def __init__(self, table: ChargeTable, helper: Helper | None = None) -> None:
        self.table = table
        self._helper = helper

    async def of(self, fills: Sequence[Fill], told: Told, plan: str, today: str) -> Paise:
        """Of one account's fills, MIS that is open on `today` (ISO) squared off. Raises ChargesUnknown."""
        if len(fills) <= FEW:
            done = _charged(fills, self.table, told, plan, today)
        elif len(fills) <= SOME or self._helper is None:
            done = await asyncio.to_thread(_charged, fills, self.table, told, plan, today)
        else:
            try:
                done = await self._in_helper(self._helper, fills, told, plan, today)
            except HelperDied:
                log.warning("the helper process ended while it worked out charges; they are worked out here")
                done = await asyncio.to_thread(_charged, fills, self.table, told, plan, today)
        for name in done.unsized:
            log.info("charges of %s are left out: how much a lot of it holds is not known", name)
        return done.paise

    async def _in_helper(self, helper: Helper, fills: Sequence[Fill], told: Told, plan: str, today: str) -> Charged:
        body = framed(_encode(fills[at : at + PIECE]) for at in range(0, len(fills), PIECE))
        async with aclosing(helper.slices(charged, body, self.table, told, plan, today)) as pieces:
            return msgspec.msgpack.decode(await anext(pieces), type=Charged)


def charged(body: bytes, table: ChargeTable, told: Told, plan: str, today: str) -> Iterator[bytes]:
    """`Charged` of the fills that the body has, framed. In the helper process. Raises ChargesUnknown."""
    fills = [fill for piece in unframed(body) for fill in _decode(piece)]
    yield _encode(_charged(fills, table, told, plan, today))


def _charged(fills: Sequence[Fill], table: ChargeTable, told: Told, plan: str, today: str) -> Charged:
    sized, unsized = Sizer(table.sizes, told).split(fills)
    return Charged(charges_of(sized, table, plan, today), sorted({fill.instrument for fill in unsized}))
