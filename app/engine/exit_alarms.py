"""What the trader is told of an exit that does not get through. Pure.

A refusal that wants margin or shares often has its cause in the trader's own book: another order on the same units. It
is named, with the way out. Orders that were placed elsewhere are named too, and never touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.errors import AppError
from app.domain.ids import BrokerOrderId
from app.domain.money import said_price
from app.domain.order import Order, OrderStatus
from app.domain.origin import placed_here
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, stop_of_tag
from app.engine.exit_pace import FIRST_ATTEMPTS
from app.engine.refusals import Cause, Refusal

_BY_ANOTHER = frozenset({Cause.MARGIN, Cause.HOLDING, Cause.OTHER})
"""Refusals that another order on the same units explains."""
_NOT_THROUGH = "exit not through"
"""One key for all that is said of refused attempts: the newest says it all."""


@dataclass(frozen=True, slots=True)
class Call:
    """Words for the trader."""

    cause: str
    next_step: str
    detail: str = ""
    key: str = ""
    """Calls of one key take each other's place. One that begins with `exit` is history once the position is flat."""
    order: BrokerOrderId | None = None
    """The trader's own order whose cancel solves it."""
    held_by: frozenset[BrokerOrderId] = frozenset()
    """All orders that hold the units: when one of them ends the next attempt has a reason to go at once."""


WAITS_FOR_LOGIN = Call(
    "The exit waits for a login.", "Log in again now: the position is still open.", key="exit waits for a login"
)


def closed_twice(symbol: str, excess: int) -> Call:
    """Two exits crossed."""
    told = f"{symbol} was closed twice; the excess of {excess} is being squared off."
    return Call(told, "Check the position.")


def unguarded(symbol: str, units: int) -> Call:
    """What came late is dealt with, as far as it is known, and a position stands unguarded: `units`, signed."""
    held = f"{units} units are" if units > 0 else f"{-units} units short are"
    told = f"Late orders of a stop on {symbol} are dealt with, and {held} open that no stop guards."
    return Call(told, "Close them or set a stop, unless you want them so.", key="unguarded")


def step_failed(failure: AppError) -> Call:
    """Cancelling, changing or closing did not work out this time."""
    return Call("An exit step failed.", "Stopline keeps trying.", str(failure), "exit step failed")


def not_heard_of(symbol: str, works: bool, failure: AppError | None) -> Call:
    """The broker says nothing for a while. `works`: when it was last heard, an order of the exit was there."""
    return Call(
        f"Whether the exit of {symbol} has filled is not known: the broker says nothing."
        if works
        else f"The exit of {symbol} is not known to be at the broker, which says nothing.",
        "Stopline keeps trying. Look at the broker's own app; if nothing works there, close the position by phone.",
        "" if failure is None else str(failure),
        "exit not heard of",
    )


def priced_anew(symbol: str) -> Call:
    """An exit rests, and nobody takes it."""
    return Call(
        f"{symbol} is not out yet: the exit rests, and nobody takes it.",
        "Stopline keeps following the price; nobody may be there to trade.",
        key="exit priced anew",
    )


def holders(orders: Iterable[Order], stop: Stop) -> list[Order]:
    """The trader's open orders that would close the units which a stop's exit is to close, the largest first."""
    found = [
        order
        for order in orders
        if not order.status.is_final
        and PositionKey(order.account, order.instrument, order.product) == stop.key
        and order.side is stop.side
        and stop_of_tag(order.tag) is None
    ]
    return sorted(found, key=lambda order: order.filled_quantity - order.quantity)


def call(
    stop: Stop, symbol: str, attempts: int, refusal: Refusal | None, otherwise: str, orders: Iterable[Order]
) -> Call | None:
    """After so many attempts; None: nothing to be told. `otherwise`: what is known where the broker gave no reason."""
    why = refusal.words if refusal is not None else ""
    held_by = holders(orders, stop) if refusal is not None and refusal.cause in _BY_ANOTHER else []
    if attempts >= FIRST_ATTEMPTS:
        why = why or otherwise
        cause = f"{symbol} is still open after {attempts} exit attempts."
        next_step = "Stopline keeps trying; consider closing it by hand."
    elif refusal is not None:
        cause = f"The exit was refused ({refusal.cause})."
        next_step = refusal.next_step
    else:
        return None
    if not held_by:
        return Call(cause, next_step, why, _NOT_THROUGH)
    detail = f"{_sentence(why)} {_named(held_by, stop)}".strip()
    numbers = frozenset(order.broker_order_id for order in held_by)
    return Call(cause, _way_out(held_by), detail, _NOT_THROUGH, _ours(held_by), numbers)


def left_over(stop: Stop, symbol: str, orders: Iterable[Order]) -> Call | None:
    """The position is closed, and so are the units that the trader's own open orders were for. None: there are none."""
    held_by = [order for order in holders(orders, stop) if order.status is not OrderStatus.CANCEL_PENDING]
    if not held_by:
        return None
    cause = f"{symbol} is closed, and an order of your own would open a position the other way."
    return Call(cause, "Cancel it unless you want that.", _named(held_by, stop), "left over", _ours(held_by))


def _ours(held_by: list[Order]) -> BrokerOrderId | None:
    return next((order.broker_order_id for order in held_by if placed_here(order)), None)


def _named(held_by: list[Order], stop: Stop) -> str:
    told = [f"{order.side} {order.quantity - order.filled_quantity}{_at(order, stop)}" for order in held_by]
    numbers = [f"{words} (order {order.broker_order_id})" for words, order in zip(told, held_by, strict=True)]
    what = "order on these units is" if len(held_by) == 1 else "orders on these units are"
    return f"Your own {what} open: {', '.join(numbers)}."


def _at(order: Order, stop: Stop) -> str:
    price = order.price or order.trigger_price
    return f" at {said_price(price, stop.price_scale)}" if price else ""


def _way_out(held_by: list[Order]) -> str:
    ours = [order for order in held_by if placed_here(order)]
    if len(ours) == len(held_by):
        return (
            "Cancel it: the exit follows by itself." if len(ours) == 1 else "Cancel them: the exit follows by itself."
        )
    elsewhere = "placed elsewhere and left alone: cancel that one where it was placed. Stopline keeps trying."
    return f"Cancel what was placed here; the rest was {elsewhere}" if ours else f"It was {elsewhere}"


def _sentence(words: str) -> str:
    return words if not words or words.rstrip('"').endswith((".", "!", "?")) else f"{words}."
