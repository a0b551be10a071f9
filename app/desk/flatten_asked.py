"""What flattening touches only when it is asked to: holdings and triggers (GTT). That they cannot be read, or do
not sell, holds back no position. Loop thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from app.desk.account import AccountDesk
from app.desk.flatten_books import counted, sellable
from app.desk.flatten_messages import FlattenChoice
from app.desk.listed import listed
from app.desk.workspace import Workspace
from app.domain.errors import AppError, Denied
from app.domain.gtt import Gtt
from app.domain.ids import OrderId
from app.domain.order import OrderKind, OrderRequest, Purpose, Side
from app.domain.portfolio import Holding, PositionKey
from app.engine.rules import limit_pricer
from app.runtime.clock import to_datetime

SALE_SECONDS = 30.0
LOOK_SECONDS = 0.3


@dataclass(slots=True)
class Work:
    """One account's part, and what it came to."""

    desk: AccountDesk
    choice: FlattenChoice
    cancelled: int = 0
    exited: set[PositionKey] = field(default_factory=set)
    sold: int = 0
    deleted: int = 0
    paused: int = 0
    failed: list[str] = field(default_factory=list)
    refused: dict[PositionKey, str] = field(default_factory=dict)
    """Positions whose exit was denied, and why; not tried again and again, and said if they are open in the end."""
    left: list[str] = field(default_factory=list)
    """Triggers and holdings that were not asked for."""
    alone: list[str] = field(default_factory=list)
    """Orders from elsewhere, likewise, as last read."""


async def waiting(desk: AccountDesk) -> list[Gtt]:
    """Triggers of the trader's own; those behind stops go with their stops. Raises AppError."""
    try:
        listed = await desk.orders.gtts.read()
        ours = desk.stops.backstops.triggers.ids
        return [gtt for gtt in listed if gtt.status.can_change and gtt.id not in ours]
    except Denied:
        return []  # this broker keeps none


async def delete_triggers(work: Work) -> None:
    """Or counts them as left alone."""
    try:
        found = await waiting(work.desk)
    except AppError as failure:
        _unread(work, "triggers (GTT)", work.choice.gtts, failure)
        return
    if not work.choice.gtts:
        if found:
            work.left.append(f"{work.desk.account}: {counted(len(found), 'trigger')} (GTT)")
        return
    for gtt in found:
        try:
            await work.desk.orders.gtts.delete(gtt.id, purpose=Purpose.EXIT)
        except AppError as failure:
            work.failed.append(f"The trigger of {gtt.instrument} could not be deleted: {failure}")
        else:
            work.deleted += 1


async def sell_holdings(work: Work, workspace: Workspace) -> None:
    """All at once, or counts them as left alone."""
    try:
        there = sellable(await work.desk.broker.holdings())
    except AppError as failure:
        _unread(work, "holdings", work.choice.holdings, failure)
        return
    if work.choice.holdings:
        await asyncio.gather(*(_sell(work, workspace, holding) for holding in there))
    elif there:
        work.left.append(f"{work.desk.account}: {counted(len(there), 'holding')}")


async def _sell(work: Work, workspace: Workspace, holding: Holding) -> None:
    try:
        order = await work.desk.orders.place(_sale(work.desk, workspace, holding), purpose=Purpose.EXIT)
        await _filled(work.desk, order)
    except AppError as failure:
        work.failed.append(f"The holding of {holding.instrument} could not be sold: {failure}")
    else:
        work.sold += 1


def _sale(desk: AccountDesk, workspace: Workspace, holding: Holding) -> OrderRequest:
    instrument = listed(desk, holding.instrument)
    day = to_datetime(desk.clock.now()).date()
    rule = workspace.rules.rule(desk.account.partition("-")[0], instrument, day)
    last = desk.last_price(instrument.id) or holding.last_price
    price = limit_pricer(rule, instrument, Side.SELL)(last) if rule.kind is OrderKind.LIMIT else None
    return OrderRequest(
        desk.account, instrument.id, Side.SELL, holding.sellable, holding.product, rule.kind, price=price
    )


def _unread(work: Work, what: str, asked: bool, failure: AppError) -> None:
    words = f"{work.desk.account}: {what} could not be read"
    if asked:
        work.failed.append(f"{words}: {failure}")
    else:
        work.left.append(words)


async def _filled(desk: AccountDesk, order: OrderId) -> None:
    """Until the sale has ended. Raises Denied when it did not fill."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SALE_SECONDS
    while True:
        with contextlib.suppress(AppError):  # unknown is not unsold
            await desk.state.read_orders()
        known = desk.state.orders.values()
        found = next((one for one in known if one.id == order or str(one.tag) == str(order)), None)
        if found is not None and found.status.is_final:
            if found.filled_quantity < found.quantity:
                raise Denied(f"{found.filled_quantity} of {found.quantity} were sold.", detail=found.status_text or "")
            return
        if loop.time() >= until:
            raise Denied("The order still waits.", "See the orders list.")
        await asyncio.sleep(LOOK_SECONDS)
