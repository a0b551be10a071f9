"""Stops handed to the broker: an order or a trigger that rests there takes the place of each, then ours is disarmed.

For the day: an SL-M order, or SL with a limit price where the instrument's class takes no market order. For delivery: a
trigger (GTT), which outlives the day. Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from app.desk.account import AccountDesk
from app.desk.listed import listed
from app.desk.workspace import Workspace
from app.domain.errors import AppError, BrokerError, Denied
from app.domain.events import AuditEntry, Level, Noticed
from app.domain.gtt import GttLeg, GttRequest
from app.domain.ids import BrokerOrderId, GttId
from app.domain.instrument import Instrument, Product
from app.domain.money import Price, said_price
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Purpose
from app.domain.stop import Stop, StopState
from app.engine.exit_plan import LOOKUP_SPACING
from app.engine.rules import ExitRule, limit_pricer
from app.runtime.clock import to_datetime

READINGS = 5
"""Of the broker's book, until an order that it acknowledged must be in it."""
_WAITS = frozenset({OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING, OrderStatus.PARTIALLY_FILLED})


@dataclass(frozen=True, slots=True)
class _Resting:
    """What now waits at the broker in place of a stop."""

    order: BrokerOrderId | None
    gtt: GttId | None
    words: str


async def hand_over(workspace: Workspace, desk: AccountDesk) -> Sequence[str]:
    """Every open stop of an account. What rests at the broker now, in words.

    Raises Denied when one could not be handed over: that one is armed as before, those before it are with the broker.
    """
    done: list[str] = []
    for known in desk.stops.stops:
        stop = desk.stops.find(known.id) or known  # the ones before it took their time
        if stop.state.is_final:
            continue
        try:
            done.append(await _one(workspace, desk, stop))
        except AppError as failure:
            before = f" Already with the broker: {'; '.join(done)}." if done else ""
            raise Denied(
                f"The stop of {stop.key.instrument} could not be handed to the broker: {failure.cause}{before}",
                f"{failure.next_step} Nothing was disconnected.".strip(),
                detail=failure.detail,
            ) from failure
    return done


async def _one(workspace: Workspace, desk: AccountDesk, stop: Stop) -> str:
    instrument = _checked(desk, stop)
    rule = workspace.rules.rule(desk.account.partition("-")[0], instrument, to_datetime(desk.clock.now()).date())
    if stop.key.product in (Product.CNC, Product.MTF):
        resting = await _trigger(workspace, desk, stop, instrument, rule)
    else:
        resting = await _order(workspace, desk, stop, instrument, rule)
    try:
        _deny_changed(desk, stop)
        await desk.stops.disarm(stop.id)
    except AppError:
        await _take_back(workspace, desk, stop, resting)
        raise
    await desk.stops.backstops.gone(stop.id)  # what stood behind ours goes while there is a session to say so
    entry = AuditEntry(desk.clock.now(), desk.account, f"stop:{stop.id}", "handed over", resting.words, stop.id)
    await workspace.journal.audit(entry)
    return resting.words


def _checked(desk: AccountDesk, stop: Stop) -> Instrument:
    """Raises Denied for a stop that no resting order can stand in for."""
    if stop.state is not StopState.ARMED:
        raise Denied(f"It is {stop.state}.", "Wait until it has ended, or settle it in the stops list.")
    if stop.key.product is Product.CO:
        raise Denied("A cover order has its own stop at the broker.", "Disarm ours.")
    if stop.plan.underlying is not None:
        raise Denied("It watches the underlying, which no order at the broker does.", "Disarm it, or set another one.")
    if not stop.has_level:
        raise Denied("It has no level that an order at the broker could wait for.", "Stop its strategy first.")
    instrument = listed(desk, stop.key.instrument)
    last = desk.last_price(instrument.id)
    if last is not None and stop.is_hit(last):
        raise Denied("Its price is reached.", "Wait until it has fired.")
    return instrument


def _deny_changed(desk: AccountDesk, stop: Stop) -> None:
    """Raises Denied for a stop that is not what now rests at the broker: an order of too many units would turn the
    position round."""
    now = desk.stops.find(stop.id)
    if now is not None and (now.quantity, now.plan) != (stop.quantity, stop.plan):
        raise Denied("Its position or its level changed meanwhile.", "Try again.")


async def _order(
    workspace: Workspace, desk: AccountDesk, stop: Stop, instrument: Instrument, rule: ExitRule
) -> _Resting:
    """An order of the day, once the broker's book shows that it waits."""
    market = rule.kind is OrderKind.MARKET
    price = None if market else limit_pricer(rule, instrument, stop.side)(stop.trigger)
    request = OrderRequest(
        desk.account,
        instrument.id,
        stop.side,
        stop.quantity,
        stop.key.product,
        OrderKind.SL_M if market else OrderKind.SL,
        price=price,
        trigger_price=stop.trigger,
    )
    tag = await desk.orders.place(request, purpose=Purpose.EXIT)
    words = f"{_words(stop, instrument)}, {request.kind} order"
    try:
        order = await _found(desk, str(tag))
    except AppError:
        await _take_back(workspace, desk, stop, _Resting(desk.state.numbers.get(tag), None, words))
        raise
    number = order.broker_order_id
    return _Resting(number, None, f"{words} {number}, until the end of today's session")


async def _found(desk: AccountDesk, tag: str) -> Order:
    """The order in the broker's book. Raises Denied when it does not wait there."""
    for reading in range(READINGS):
        if reading:
            await asyncio.sleep(LOOKUP_SPACING)
        try:
            order = next((order for order in await desk.state.read_orders() if order.tag == tag), None)
        except BrokerError:
            continue  # a failed look-up says nothing
        if order is None:
            continue
        if order.status in _WAITS:
            return order
        if order.status.is_final:
            raise Denied("The broker did not keep the order.", "The stop watches on.", detail=order.status_text or "")
    raise Denied("The broker's book does not show the order.", "Look at the orders list, and cancel it if it is there.")


async def _trigger(
    workspace: Workspace, desk: AccountDesk, stop: Stop, instrument: Instrument, rule: ExitRule
) -> _Resting:
    """A trigger, once the broker's list shows that it waits."""
    last = desk.last_price(instrument.id)
    if last is None:
        raise Denied("There is no price of it yet.", "Wait for its first price.")
    limited = desk.orders.wire.limits_triggers
    price = limit_pricer(rule, instrument, stop.side)(stop.trigger) if limited else 0
    kind = OrderKind.LIMIT if limited else OrderKind.MARKET
    leg = GttLeg(stop.trigger, stop.side, stop.quantity, stop.key.product, price, kind)
    request = GttRequest(desk.account, instrument.id, last, (leg,))
    number = await desk.orders.gtts.place(request, instrument, purpose=Purpose.EXIT)
    worst = f"limit {_price(price, instrument)}" if limited else "at market"
    resting = _Resting(None, number, f"{_words(stop, instrument)}, trigger {number}, {worst}")
    try:
        if not any(gtt.id == number and gtt.status.can_change for gtt in await desk.orders.gtts.read()):
            raise Denied("The broker's list does not show the trigger.", "Look at the triggers list.")
    except AppError:
        await _take_back(workspace, desk, stop, resting)
        raise
    return resting


async def _take_back(workspace: Workspace, desk: AccountDesk, stop: Stop, resting: _Resting) -> None:
    """Ours fired meanwhile, or watches on: two of them would sell twice."""
    known = None if resting.order is None else desk.state.orders.get(resting.order)
    if known is not None and known.status.is_final and not known.filled_quantity:
        return
    try:
        if resting.order is not None:
            await desk.orders.cancel(resting.order, purpose=Purpose.EXIT)
        elif resting.gtt is not None:
            await desk.orders.gtts.delete(resting.gtt, purpose=Purpose.EXIT)
        else:
            raise Denied("Nobody knows its number.")
    except AppError as failure:
        workspace.publish(
            Noticed(
                Level.ALARM,
                "Two exits may be on their way",
                f"{stop.key.instrument}: {resting.words} could not be taken back: {failure.cause}",
                "Cancel it at the broker now.",
                desk.account,
                f"handover:{stop.id}",
            )
        )


def _words(stop: Stop, instrument: Instrument) -> str:
    trail = " (it trails no more)" if stop.plan.trail is not None else ""
    return f"{stop.side} {stop.quantity} {instrument.symbol} at {_price(stop.trigger, instrument)}{trail}"


def _price(price: Price, instrument: Instrument) -> str:
    return said_price(price, instrument.price_scale)
