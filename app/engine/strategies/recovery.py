"""Entries of an earlier day: the order book is of today only, so what the broker holds decides (F8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from app.domain.errors import AppError
from app.domain.strategy import Strategy
from app.engine.account import AccountState, PositionReading
from app.engine.strategies.happenings import Adopted

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
NOT_MADE_UP_FOR = "the entry had not reached the broker when Stopline ended; it is not made up for"


async def reading_of(state: AccountState) -> PositionReading:
    """The positions, whatever that takes: unknown is not flat."""
    while True:
        await state.wait_active()
        try:
            return await state.read_positions()
        except AppError as failure:
            log.info("strategies wait for the positions: %s", failure.cause)
            await asyncio.sleep(RETRY_SECONDS)


def by_position(strategy: Strategy, reading: PositionReading, others: Iterable[Strategy], price_scale: int) -> Adopted:
    """What of a position is the strategy's, of whose entry nobody has heard since. Pure."""
    plan = strategy.plan
    position = reading.find(plan.key)
    held = max(0, reading.quantity(plan.key) * plan.side.sign)
    taken = sum(other.held for other in others if other.plan.key == plan.key and other.id != strategy.id)
    mine = min(plan.quantity, max(0, held - taken))
    average = 0 if position is None else int(position.average_price * price_scale)
    told = "its entry was never heard of again; "
    told += f"the broker holds {mine}, which are taken for it" if mine else "the broker holds nothing of it"
    return Adopted(mine, strategy.entry_average or average, told)
