"""What there is to flatten: read now, and where a broker does not answer soon, as it was known last. Loop thread only.

A stop that is hit goes by what is known and waits for no reading; who flattens everything in a hurry waits a moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

from app.desk.account import AccountDesk
from app.desk.flatten_asked import waiting
from app.desk.flatten_books import open_positions, resting, running, sellable, working
from app.desk.flatten_messages import FlattenPlan
from app.desk.patience import READ_SECONDS, soon
from app.domain.errors import AppError
from app.domain.order import Order
from app.domain.portfolio import Position
from app.domain.stop import StopState
from app.engine.reads import Haste

log = logging.getLogger(__name__)

EXITING = (StopState.FIRED, StopState.EXITING)


async def books(
    desk: AccountDesk, seconds: float, haste: Haste = Haste.SOON
) -> tuple[Sequence[Order], Sequence[Position], str]:
    """Orders, positions, and why they are those that were known last; empty when they were read now."""
    state = desk.state
    try:
        orders, reading = await asyncio.gather(
            soon(partial(state.read_orders, haste), seconds),
            soon(partial(state.read_positions, haste), seconds),
        )
    except AppError as failure:
        log.info("%s is flattened by what was known last: %s", desk.account, failure)
        known = state.reading
        positions = () if known is None else tuple(known.positions.values())
        return tuple(state.orders.values()), positions, str(failure)
    return orders, tuple(reading.positions.values()), ""


async def plan_of(desk: AccountDesk) -> FlattenPlan:
    """Of one account."""
    unread: list[str] = []
    (orders, positions, why), holdings, gtts = await asyncio.gather(
        books(desk, READ_SECONDS),
        _counted(desk, "holdings", _holdings, unread),
        _counted(desk, "triggers (GTT)", _triggers, unread),
    )
    if why:
        unread.insert(0, f"{desk.account}, counted as it was known last: {why}")
    mine, others = working(desk, orders)
    open_ = open_positions(positions)
    behind, kept = resting(desk, [position.key for position in open_])
    guards = [desk.stops.stops_on(position.key) for position in open_]
    return FlattenPlan(
        (desk.account,),
        tuple(mine),
        tuple(others),
        tuple(open_),
        sum(stop.state is StopState.ARMED for stop in chain(*guards)),
        sum(any(stop.state in EXITING for stop in stops) for stops in guards),
        holdings,
        gtts,
        len(running(desk)),
        sum(_worth(desk, position) for position in open_),
        tuple(unread),
        behind,
        kept,
    )


def together(plans: Sequence[FlattenPlan]) -> FlattenPlan:
    """Of several accounts."""
    whole = plans[0]
    for plan in plans[1:]:
        whole = replace(
            whole,
            accounts=whole.accounts + plan.accounts,
            orders=whole.orders + plan.orders,
            elsewhere=whole.elsewhere + plan.elsewhere,
            positions=whole.positions + plan.positions,
            stops=whole.stops + plan.stops,
            exiting=whole.exiting + plan.exiting,
            holdings=whole.holdings + plan.holdings,
            gtts=whole.gtts + plan.gtts,
            strategies=whole.strategies + plan.strategies,
            value=whole.value + plan.value,
            unread=whole.unread + plan.unread,
            behind=whole.behind + plan.behind,
            kept=whole.kept + plan.kept,
        )
    return whole


async def _counted(
    desk: AccountDesk, what: str, count: Callable[[AccountDesk], Awaitable[int]], unread: list[str]
) -> int:
    try:
        return await soon(lambda: count(desk), READ_SECONDS)
    except AppError as failure:
        unread.append(f"{what} of {desk.account}: {failure}")
        return 0


async def _holdings(desk: AccountDesk) -> int:
    return len(sellable(await desk.broker.holdings()))


async def _triggers(desk: AccountDesk) -> int:
    return len(await waiting(desk))


def _worth(desk: AccountDesk, position: Position) -> int:
    """In paise, at the last price."""
    last = desk.last_price(position.key.instrument) or position.last_price
    return abs(position.quantity) * position.multiplier * last * 100 // position.price_scale
