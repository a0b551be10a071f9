"""Moves a position to another product, and takes its stop along. Loop thread only.

While the stop is between the two, nothing watches: that takes one request. It is armed again whatever becomes of the
conversion, and where that fails it is said aloud.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from app.brokers.parts import ConversionBroker
from app.desk.account import AccountDesk
from app.desk.listed import listed
from app.desk.patience import READ_SECONDS, soon
from app.desk.workspace import Workspace
from app.domain.errors import AppError, Denied, OutcomeUnknown
from app.domain.events import AuditEntry, Level, Noticed
from app.domain.portfolio import Conversion, PositionKey
from app.domain.stop import Stop, StopState, as_it_stands
from app.engine.exit_plan import LOOKUP_SPACING, LOOKUPS
from app.engine.limits import check_conversion

log = logging.getLogger(__name__)

READINGS = 5
"""Of the positions, until they must show what the broker has converted."""


async def convert(workspace: Workspace, conversion: Conversion) -> None:
    """Converts. An armed stop on the position follows what was converted when that is all of it; of a part, the stop
    stays with the rest, smaller. Where there are units of the new product already, it guards as many as it did.
    Raises Denied, Rejected, OutcomeUnknown (read the positions again)."""
    key = conversion.position
    desk = workspace.account(key.account)
    broker = desk.broker
    if not isinstance(broker, ConversionBroker):
        raise Denied("This broker converts no positions.", "Close it and open it anew in the other product.")
    reading = await desk.state.read_positions()
    held, there = reading.quantity(key), replace(key, product=conversion.to)
    alone = reading.knows(there) and reading.quantity(there) == 0
    check_conversion(conversion, held, listed(desk, key.instrument))
    stops = desk.stops.stops_on(key)
    if any(stop.state is not StopState.ARMED for stop in stops):
        raise Denied("The stop of this position is firing.", "Wait until the position is closed.")
    whole = conversion.quantity == abs(held)
    what, detail = "converted", f"{conversion.quantity} from {key.product} to {conversion.to}"
    keys: tuple[PositionKey, ...] = (key, there)
    disarmed: list[Stop] = []
    try:
        for stop in stops if whole else ():
            await desk.stops.disarm(stop.id)  # it would sell in the old product what is no longer there
            disarmed.append(stop)
        try:
            await broker.convert(conversion)
        except OutcomeUnknown:
            if not await _seen(desk, conversion, held, LOOKUPS):
                raise
        else:
            await _seen(desk, conversion, held, READINGS)
        keys = (there,)
    except AppError as failure:
        what, detail = "conversion failed", f"{detail}: {failure}"
        raise
    finally:
        # Whatever became of it: what was taken away guards again before anything else is done, by what is known.
        if disarmed:
            await _quietly(desk)
        for stop in disarmed:
            await _arm_again(workspace, desk, stop, alone, keys)
        await _audit(workspace, desk, key, what, detail)
    await desk.state.read_positions()


async def _seen(desk: AccountDesk, conversion: Conversion, held: int, readings: int) -> bool:
    """Whether the positions show it, within so many readings, a second apart."""
    left = held - conversion.quantity * conversion.side.sign
    for reading in range(readings):
        if reading:
            await asyncio.sleep(LOOKUP_SPACING)
        await _quietly(desk)
        known = desk.state.reading
        if known is not None and known.quantity(conversion.position) == left:
            return True
    return False


async def _quietly(desk: AccountDesk) -> None:
    """Positions that cannot be read are those that were known last: no failed look-up keeps a stop away."""
    try:
        await soon(desk.state.read_positions, READ_SECONDS)
    except AppError as failure:
        log.info("positions of %s after a conversion: %s", desk.account, failure.cause)


async def _arm_again(
    workspace: Workspace, desk: AccountDesk, stop: Stop, alone: bool, keys: tuple[PositionKey, ...]
) -> None:
    """On the first of these positions that is open. One that cannot be armed is an alarm: nothing guards any more.

    `alone`: nothing was there in the new product before. What was, no stop was asked to sell.
    """
    try:
        reading = desk.state.reading
        key = next((key for key in keys if reading is not None and reading.quantity(key) != 0), keys[0])
        mine = stop.plan.quantity
        if mine is not None or all(s.plan.quantity is not None for s in desk.stops.stops_on(key)):
            # Else the position there has a stop of its own, which grows with it.
            plan = as_it_stands(stop)
            if not alone and mine is None and key != stop.key:
                plan = replace(plan, quantity=stop.quantity)
            await desk.stops.arm(key, plan)
    except AppError as failure:
        workspace.publish(
            Noticed(
                Level.ALARM,
                "A position has lost its stop",
                f"{stop.key.instrument} was converted and its stop could not follow: {failure}",
                "Set the stop again.",
                stop.key.account,
                f"unguarded:{stop.key.account}:{stop.key.instrument}",
            )
        )


async def _audit(workspace: Workspace, desk: AccountDesk, key: PositionKey, what: str, detail: str) -> None:
    entry = AuditEntry(desk.clock.now(), key.account, f"position:{key.instrument}", what, detail)
    try:
        await workspace.journal.audit(entry)
    except AppError as failure:
        words = f"That {key.instrument} was to be converted ({what}) is not in the audit trail."
        workspace.publish(Noticed(Level.WARNING, words, str(failure), "", key.account))
