"""A position is closed by hand, through its stops where it can be: they know what is on its way already, follow it
until nothing is left, and take back what is closed twice. An order beside them would know none of that. Loop thread
only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial

from app.desk.account import AccountDesk
from app.desk.patience import AGAIN_SECONDS, READ_SECONDS, soon
from app.domain.errors import AppError, Denied, NotYet
from app.domain.ids import BrokerOrderId, OrderId
from app.domain.portfolio import PositionKey
from app.domain.stop import FiredBy, Stop, stop_of_tag
from app.engine.exit_plan import SETTLED_SECONDS

log = logging.getLogger(__name__)

WATCHED_SECONDS = 10.0
"""Until the stops of a position must be watched again after a login."""


async def square_off(desk: AccountDesk, key: PositionKey) -> OrderId:
    """Returns when the exit is on its way; its tag, or the order's id where the market does not trade and the broker
    decides, and of shares that are bought back. Where the positions cannot be read soon, the exit goes by what is known
    of them, as that of a stop does.

    Raises Denied (nothing is open, or it is being closed already), and what placing an order raises.
    """
    if not desk.stops.can_leave(key) or _is_sold(desk, key):
        return await desk.orders.square_off(key)
    try:
        await soon(partial(desk.state.read_since_fills, key), READ_SECONDS)
    except AppError as failure:
        if desk.state.reading is None:
            raise
        log.info("%s is closed by what was known last: %s", key.instrument, failure)
    desk.orders.leavings.deny(key)
    settling, orders = desk.stops.claims.settling(key), _others(desk, key)
    left = await _leave(desk, key)
    if settling:  # so many units were not closed: the positions might still have had what another exit has closed
        await asyncio.sleep(SETTLED_SECONDS)
    if settling and _others(desk, key) == orders:  # else the trader has opened it anew, perhaps
        with contextlib.suppress(AppError):
            await soon(desk.state.read_positions, READ_SECONDS)
            left += await _leave(desk, key)
    if not left:
        raise Denied("This position is being closed already.", "See the stops list.")
    return OrderId(left[0].tag())


def _others(desk: AccountDesk, key: PositionKey) -> set[BrokerOrderId]:
    """Orders of a position that are no stop's."""
    return {order.broker_order_id for order in desk.state.orders.of(key) if stop_of_tag(order.tag) is None}


def _is_sold(desk: AccountDesk, key: PositionKey) -> bool:
    """Shares that were sold out of demat today: the trader wants them back, and stops know what is left of the holding
    alone."""
    day = None if desk.state.reading is None else desk.state.reading.positions.get(key)
    return day is not None and day.sold_shares


async def _leave(desk: AccountDesk, key: PositionKey) -> list[Stop]:
    """Stops that are being changed, or in the seconds after a login are not watched again yet, are waited for."""
    loop = asyncio.get_running_loop()
    until = loop.time() + WATCHED_SECONDS
    while True:
        try:
            return await desk.stops.leave(key, FiredBy.TRADER)
        except NotYet:
            if loop.time() >= until:
                raise
        await asyncio.sleep(AGAIN_SECONDS)
