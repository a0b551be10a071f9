"""What a fired stop does next: a pure function of what is known. No clock, no I/O.

The three rules: unknown is not flat (no position read, no conclusion), accepted is not filled (only a flat position
ends it), and nothing is sent twice while an earlier order may still fill.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.ids import BrokerOrderId
from app.domain.order import Order, OrderKind, Side

LOOKUPS = 2
"""Readings of the order book, `LOOKUP_SPACING` apart, that must not show an order before it counts as absent."""
LOOKUP_SPACING = 1.0
"""Seconds (F5)."""
SETTLED_SECONDS = 3.0
"""How long the broker must insist on an open position when our own fills say that it is flat. Position rows may lag."""
REPRICE_SECONDS = 3.0
"""A resting exit is priced anew after this long."""
REPRICES = 20
"""Of the broker's 25 modifications an order; after these it is cancelled and sent anew."""


@dataclass(frozen=True, slots=True)
class ExitView:
    """All that is known about one fired stop at one moment."""

    side: Side
    """Of the exit."""
    quantity: int
    """Units the position had when the stop fired."""
    orders: tuple[Order, ...]
    """Ours, found by their tags, oldest attempt first."""
    position: int | None
    """Signed units now; None: not known."""
    position_age: float = 0.0
    """Seconds that consecutive readings have said the same."""
    in_flight: bool = False
    """An attempt was written and neither answered nor given up."""
    unresolved: bool = False
    """An attempt was given up without an answer: it may exist."""
    lookups: int = 0
    """Readings of the order book since then that did not show it."""
    refused: bool = False
    """The last attempt's price or kind was refused for certain."""
    resting: float = 0.0
    """Seconds since the live order was sent or last priced."""
    reprices: int = 0
    kind: OrderKind = OrderKind.MARKET
    """Of the last attempt."""
    takes_market: bool = True
    """The broker takes MARKET orders on this class of instrument."""
    cleanup: bool = False
    """The stop was closed already and something turned up late: take it back, close nothing more."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do but look again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Send:
    """The next attempt: so many units, this kind."""

    quantity: int
    kind: OrderKind
    reason: str


@dataclass(frozen=True, slots=True)
class Reprice:
    """The resting exit gets a marketable price."""

    order: BrokerOrderId


@dataclass(frozen=True, slots=True)
class CancelOrders:
    """Live orders that must not fill any more."""

    orders: tuple[BrokerOrderId, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class SquareOffExcess:
    """Our exits sold more than there was: buy it back (or the other way round), with an alarm."""

    quantity: int
    side: Side


@dataclass(frozen=True, slots=True)
class Close:
    """The position is proven flat."""

    filled: int


Step = Wait | Send | Reprice | CancelOrders | SquareOffExcess | Close


def next_step(view: ExitView) -> Step:
    """What to do now."""
    live = [order for order in view.orders if not order.status.is_final]
    exits = [order for order in live if order.side is view.side]
    if view.cleanup and exits:
        return _cancel(exits, "it turned up after the position was closed")
    if len(exits) > 1:
        # A late attempt turned up beside its successor: only the newest may fill.
        return _cancel(exits[:-1], "an earlier attempt turned up late")
    if exits:
        return _rest(view, exits[0])
    if live:  # an excess on its way back
        return Wait("the excess is being squared off") if view.resting < REPRICE_SECONDS else _price_anew(view, live[0])
    if view.in_flight:
        return Wait("waiting for the broker's answer")
    if view.unresolved and view.lookups < LOOKUPS:
        return Wait("looking the order up in the order book")
    if view.position is None:
        return Wait("the position cannot be read")
    return _settle(view, view.position)


def _cancel(orders: list[Order], reason: str) -> CancelOrders:
    return CancelOrders(tuple(order.broker_order_id for order in orders), reason)


def _rest(view: ExitView, order: Order) -> Step:
    if view.position is not None and not _guarded(view, view.position):
        return _cancel([order], "there is no position left to close")
    if (
        view.position is not None
        and view.position_age >= LOOKUP_SPACING
        and order.quantity - order.filled_quantity > abs(view.position)
    ):
        return _cancel([order], "the position became smaller than the order")
    if view.resting < REPRICE_SECONDS:
        return Wait("the exit is in the market")
    return _price_anew(view, order)


def _price_anew(view: ExitView, order: Order) -> Step:
    if view.reprices < REPRICES:
        return Reprice(order.broker_order_id)
    return _cancel([order], "it was priced anew often enough")


def _settle(view: ExitView, position: int) -> Step:
    """No order of ours is live: what the position says decides."""
    sold = sum(order.filled_quantity for order in view.orders if order.side is view.side)
    filled = sold - sum(order.filled_quantity for order in view.orders if order.side is not view.side)
    if position == 0:
        if sold >= view.quantity or view.position_age >= LOOKUP_SPACING:
            return Close(sold)
        return Wait("the position seems to have been closed by another order")
    if not _guarded(view, position):
        excess = min(abs(position), filled)
        if excess <= 0:
            return Close(sold)  # turned round by somebody else's order; nothing of ours to take back
        if view.position_age < LOOKUP_SPACING:
            return Wait("the position seems to have turned round")
        return SquareOffExcess(excess, view.side.opposite)
    if view.cleanup:
        return Close(sold)  # a position that came after the stop is not the stop's to close
    left = view.quantity - filled
    if left > 0:
        return _send(view, min(left, abs(position)), "the rest of the position" if filled else "no exit order exists")
    if view.position_age < SETTLED_SECONDS:
        return Wait("the fills are in, the position is not yet updated")
    return _send(view, abs(position), "the position grew while it was being closed")


def _guarded(view: ExitView, position: int) -> bool:
    """Whether there is still something for the exit to close."""
    return position > 0 if view.side is Side.SELL else position < 0


def _send(view: ExitView, quantity: int, reason: str) -> Send:
    kind = view.kind
    if view.refused:
        other = OrderKind.MARKET if view.takes_market else OrderKind.LIMIT
        kind = OrderKind.LIMIT if view.kind is OrderKind.MARKET else other
        reason = "the last attempt was refused"
    return Send(quantity, kind, reason)
