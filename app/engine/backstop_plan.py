"""Where a stop's backstop rests at the exchange, and when it follows: a pure function of what is known.

It stands behind the local stop, wider by a chosen distance, so that the local stop is always first. The broker takes 25
changes of an order, of which five are kept for the exit: so it follows in steps, and the steps grow as changes are used
up. Once all are used up the order is taken back and placed anew, with changes of its own, when it is far behind. A
backstop that would no longer be behind the local stop moves at once, whatever the step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.domain.ids import BrokerOrderId
from app.domain.money import Price, Rounding, to_tick
from app.domain.order import Side
from app.domain.stop import Stop, StopState
from app.engine.exit_plan import MODIFICATIONS, cut

KEPT = 5
"""Changes of each order that only the exit may use."""
BUDGET = MODIFICATIONS - KEPT
STEP_PARTS = 4
"""The first step is this part of the distance."""
STEP_GROWS_AFTER = 5
"""Changes after which the step grows by its first size."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should rest at the exchange."""

    trigger: Price
    price: Price
    """Worst price accepted once it is triggered."""
    quantity: int


@dataclass(frozen=True, slots=True)
class Leg:
    """What rests there: one order."""

    order: BrokerOrderId
    quantity: int
    trigger: Price
    changes: int = 0
    """How often it was changed."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """It stands as it should, or as well as it can."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Orders of so many units."""

    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """One order gets this trigger and price, or this many units."""

    order: BrokerOrderId
    trigger: Price | None = None
    price: Price | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Orders that must not rest there."""

    orders: tuple[BrokerOrderId, ...]
    reason: str


Action = Nothing | Rest | Move | TakeBack


def wanted(stop: Stop, price_at: Callable[[Price], Price], *, tight: bool = False) -> Wanted | None:
    """Of an armed stop; None where nothing should rest. `price_at`: the limit price for a trigger. `tight`: the local
    stop sees no prices, so it stands a tick behind that one's level."""
    distance = stop.plan.backstop
    if distance is None or stop.state is not StopState.ARMED:
        return None
    if tight:
        distance = min(distance, stop.tick_size)
    if stop.side is Side.SELL:
        trigger = max(to_tick(stop.trigger - distance, stop.tick_size, Rounding.DOWN), stop.tick_size)
        return Wanted(trigger, min(price_at(trigger), trigger), stop.quantity)
    trigger = to_tick(stop.trigger + distance, stop.tick_size, Rounding.UP)
    return Wanted(trigger, max(price_at(trigger), trigger), stop.quantity)


def stands(stop: Stop, want: Wanted | None, trigger: Price, quantity: int) -> bool:
    """Whether what was asked for may rest there still: its stop guards so much and is before it. Where that has moved
    meanwhile, it follows in steps like any other. `want`: what is wanted now."""
    return want is not None and quantity <= want.quantity and (stop.trigger - trigger) * -stop.side.sign > 0


def next_action(
    stop: Stop, want: Wanted | None, legs: Sequence[Leg], slice_size: int = 0, *, renewable: bool = True
) -> Action:
    """One thing at a time; called again once it is done. A fired stop's legs are its exit's business. `renewable`:
    there are tags left to place one anew."""
    if want is None:
        ended = stop.state.is_final or stop.state is StopState.ARMED
        return TakeBack(tuple(leg.order for leg in legs), "its stop has ended") if ended and legs else Nothing()
    return _size(want, legs, slice_size) or _place(stop, want, legs, renewable=renewable)


def _size(want: Wanted, legs: Sequence[Leg], slice_size: int) -> Action | None:
    """Never more than the stop guards, and all of it."""
    surplus = sum(leg.quantity for leg in legs) - want.quantity
    if surplus > 0:
        last = legs[-1]
        if last.quantity <= surplus or last.changes >= BUDGET:
            return TakeBack((last.order,), "the position became smaller")
        return Move(last.order, quantity=last.quantity - surplus)
    return Rest(cut(-surplus, slice_size)) if surplus < 0 else None


def _place(stop: Stop, want: Wanted, legs: Sequence[Leg], *, renewable: bool) -> Action:
    for leg in legs:
        if leg.trigger == want.trigger:
            continue
        ahead = leg.trigger >= stop.trigger if stop.side is Side.SELL else leg.trigger <= stop.trigger
        far = abs(leg.trigger - want.trigger) >= step(stop, leg.changes)
        if leg.changes >= BUDGET:
            if ahead:
                return TakeBack((leg.order,), "it would act before the local stop")
            if far and renewable:
                return TakeBack((leg.order,), "its changes are used up: it is placed anew")
            continue
        if ahead or far:
            return Move(leg.order, want.trigger, want.price)
    return Nothing()


def step(stop: Stop, changes: int) -> Price:
    """How far the local stop must have gone before the backstop follows."""
    first = max((stop.plan.backstop or 0) // STEP_PARTS, stop.tick_size)
    return first * (1 + changes // STEP_GROWS_AFTER)
