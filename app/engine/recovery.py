"""After a restart or a new login: what the journal remembers against what the broker says (F8).

The order book is read twice, at least one second apart: an exit that an earlier run wrote in its last moment may still
be on its way into the broker's book. Only then may a stop fire again, under a fresh tag. Nothing is concluded from a
read that failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from app.domain.errors import AppError, Denied, SessionExpired
from app.domain.events import Event, Level, Noticed
from app.domain.order import Order
from app.domain.stop import Stop, StopState
from app.engine.account import AccountState, PositionReading
from app.engine.exit_plan import LOOKUP_SPACING
from app.engine.late import exits_among
from app.engine.stops import StopEngine

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


async def recover(state: AccountState, engine: StopEngine, publish: Callable[[Event], None]) -> None:
    """Brings every open stop back to watching, to following, or to a close that is proven. One that is being changed or
    disarmed meanwhile is looked at when that is over: what watched it went with the session before.

    Keeps trying while reads fail; ends early when the session dies (the next login starts it again).
    """
    while await _round(state, engine, publish):
        while engine.claimed():
            await engine.released()


async def _round(state: AccountState, engine: StopEngine, publish: Callable[[Event], None]) -> bool:
    """All that can be brought back now. True: some were in the hands of a verb."""
    first = await _read(state)
    if not engine.unwatched():
        return bool(engine.claimed())
    await engine.backstops.triggers.looked()  # what they have sent meanwhile is in the order book, under a tag of ours
    await _orders(state)
    await asyncio.sleep(LOOKUP_SPACING)
    await _orders(state)
    second = await _read(state)
    # Only now: in the meantime the trader may have moved or disarmed one.
    stops, claimed = engine.unwatched(), bool(engine.claimed())
    for stop in stops:
        if second.quantity(stop.key) != first.quantity(stop.key):
            # Its trigger may have fired since its list was read: fired beside what that sold, it would sell twice.
            await engine.backstops.triggers.settle(stop.id)
        if engine.find(stop.id) is not stop or engine.is_claimed(stop):
            claimed = True
            continue
        try:
            await _settle(stop, state, (first, second), engine)
        except Exception as failure:
            words = str(failure)
            if not isinstance(failure, AppError):  # the others are not left unwatched for it
                log.exception("stop %s could not be taken up", stop.id)
                words = "Stopline itself failed here; its log says where."
            publish(
                Noticed(
                    Level.ALARM,
                    f"Stop on {stop.key.instrument} could not be armed again",
                    words,
                    "Guard this position by hand.",
                    stop.key.account,
                    f"rearm:{stop.id}",
                )
            )
    over = [known for known in engine.stops if known.state.is_final and known.id in {stop.id for stop in stops}]
    ended = f" Ended: {'; '.join(f'{stop.key.instrument}, {stop.note}' for stop in over)}." if over else ""
    left = engine.watching or engine.exiting
    publish(
        Noticed(
            Level.INFO,
            "Stops are watched again" if left else "No stop is left to watch",
            f"{engine.watching} armed, {engine.exiting} exit{'s' * (engine.exiting != 1)} followed.{ended}",
            account=state.account,
            repeat_key=f"recovered:{state.account}",
        )
    )
    return claimed


async def _settle(
    stop: Stop, state: AccountState, readings: tuple[PositionReading, PositionReading], engine: StopEngine
) -> None:
    """One stop, with both readings of the order book behind us."""
    if exits_among(state.orders.of(stop.id)):
        engine.follow(stop)
        return
    left = await engine.left_of_earlier_days(stop, readings[1])
    if left is None:
        return
    stop = left
    if stop.state in (StopState.FIRED, StopState.EXITING):
        engine.follow(stop)
        return
    held = [reading.quantity(stop.key) * -stop.side.sign for reading in readings]
    if max(held) > 0:
        # Where the second reading does not show the position, the next ones decide, as for any armed stop.
        await engine.rearm(stop, held[-1] if held[-1] > 0 else held[0], "after a restart or a new login")
    elif engine.settles(stop.key, readings[1]):
        await engine.close_elsewhere(stop, "position was closed while Stopline was away")
        return
    else:
        # Shares that do not trade now, or holdings that could not be read: unknown is not flat.
        await engine.rearm(stop, None, "after a restart or a new login; its shares are counted when they trade")
    armed = engine.find(stop.id)
    exits = exits_among(state.orders.of(stop.id))
    if armed is not None and armed.state is StopState.ARMED and any(order.filled_quantity for order in exits):
        engine.follow(armed)  # its backstop filled while the journal wrote


async def _orders(state: AccountState) -> Sequence[Order]:
    while True:
        try:
            return await state.read_orders()
        except (SessionExpired, Denied):
            raise
        except AppError as failure:
            log.info("recovery waits for the order book: %s", failure.cause)
            await asyncio.sleep(RETRY_SECONDS)


async def _read(state: AccountState) -> PositionReading:
    while True:
        try:
            return await state.read_positions()
        except (SessionExpired, Denied):
            raise
        except AppError as failure:
            log.info("recovery waits for the positions: %s", failure.cause)
            await asyncio.sleep(RETRY_SECONDS)
