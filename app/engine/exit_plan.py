"""What a fired stop does next: a pure function of what is known. No clock, no I/O.

The three rules: unknown is not flat (no position read, no conclusion), accepted is not filled (only a flat position
ends it), and nothing is sent twice while an earlier order may still fill. An exit may be several orders (slices of the
freeze quantity, a backstop that rests at the exchange): together they never ask for more than there is to close.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.ids import BrokerOrderId
from app.domain.order import Order, OrderKind, OrderStatus, Side
from app.engine.refusals import Cause
from app.engine.rules import MAX_SLICES

LOOKUPS = 2
"""Readings of the order book, `LOOKUP_SPACING` apart, that must not show an order before it counts as absent."""
LOOKUP_SPACING = 1.0
"""Seconds (F5)."""
SETTLED_SECONDS = 3.0
"""How long the broker must insist on an open position when our own fills say that it is flat. Position rows may lag."""
REPRICE_SECONDS = 3.0
"""A resting exit is priced anew after this long."""
EXCESS_REPRICE_SECONDS = 1.0
"""What takes back an excess is: until it has, the position is turned round, and nothing guards it."""
MODIFICATIONS = 25
"""The broker's limit for one order."""
REPRICES = 20
"""Of these, how many an exit uses; then it is cancelled and sent anew."""
CONVERSIONS = 3
"""Attempts to turn a resting backstop into the exit; then it is cancelled and an exit sent."""


@dataclass(frozen=True, slots=True)
class ExitView:
    """All that is known about one fired stop at one moment."""

    side: Side
    """Of the exit."""
    quantity: int
    """Units the position had when the stop fired."""
    orders: tuple[Order, ...]
    """Ours, found by their tags, oldest attempt first; a backstop of the stop is one of them."""
    position: int | None
    """Signed units now; None: not known."""
    position_age: float = 0.0
    """Seconds that consecutive readings have said the same."""
    turned_for: float = 0.0
    """Seconds that every reading has shown the position turned round, however far; 0: it is not."""
    in_flight: int = 0
    """Units of orders that were written and neither answered nor given up."""
    unresolved: bool = False
    """An attempt was given up without an answer: it may exist."""
    lookups: int = 0
    """Readings of the order book since then that did not show it."""
    refused: Cause | None = None
    """Why the last attempt was turned down for certain."""
    resting: float = 0.0
    """Seconds since the live orders were sent or last priced."""
    modifications: int = REPRICES
    """How often the live orders may still be changed."""
    kind: OrderKind = OrderKind.MARKET
    """Of the last attempt."""
    takes_market: bool = True
    """The broker takes MARKET orders on this class of instrument."""
    cleanup: bool = False
    """The stop was closed already and something turned up late: take it back, close nothing more."""
    slice_size: int = 0
    """Units that one order may carry; 0: no limit."""
    changing: bool = False
    """A change of a live order was written and not answered."""
    converts: bool = True
    """A resting backstop becomes the exit by a change of its kind and price; else it is cancelled first."""
    conversions: int = 0
    """How often that was tried."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do but look again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Send:
    """The next attempt: orders of so many units, this kind."""

    sizes: tuple[int, ...]
    kind: OrderKind
    reason: str

    @property
    def quantity(self) -> int:
        """Units in all."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True)
class Reprice:
    """Resting exits get a marketable price."""

    orders: tuple[BrokerOrderId, ...]
    totals: tuple[int | None, ...] = ()
    """Units that each order has in all from now on, what it has filled among them; None: as before. Empty: all so."""


@dataclass(frozen=True, slots=True)
class Convert:
    """Backstops that rest untriggered become the exit: a marketable price in place of their trigger."""

    orders: tuple[BrokerOrderId, ...]


@dataclass(frozen=True, slots=True)
class CancelOrders:
    """Live orders that must not fill any more."""

    orders: tuple[BrokerOrderId, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class SquareOffExcess:
    """Our exits sold more than there was: buy it back (or the other way round), with an alarm."""

    sizes: tuple[int, ...]
    side: Side
    kind: OrderKind = OrderKind.MARKET

    @property
    def quantity(self) -> int:
        """Units in all."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True)
class Close:
    """The position is proven flat."""

    filled: int


Step = Wait | Send | Reprice | Convert | CancelOrders | SquareOffExcess | Close


def next_step(view: ExitView) -> Step:
    """What to do now."""
    live = [order for order in view.orders if not order.status.is_final]
    exits = [order for order in live if order.side is view.side]
    if view.cleanup and exits:
        return _cancel(exits, "it turned up after the position was closed")
    if exits:
        return _doubled(view, exits) or _without_need(view, exits) or _rest(view, exits)
    if live and _no_excess(view):
        return _cancel(live, "nothing is left to take back")
    if live:  # an excess on its way back
        waits = view.resting < EXCESS_REPRICE_SECONDS
        return Wait("the excess is being squared off") if waits else _price_anew(view, live)
    waiting = _unsettled(view)
    if waiting is not None:
        return waiting
    if view.position is None:
        return Wait("the position cannot be read")
    return _settle(view, view.position)


def next_look(age: float, longest: float) -> float:
    """Seconds until the next look, where nothing comes by itself: as soon as a position that has said the same for
    `age` seconds is believed. One that two exits have turned round must not stand a moment longer (F4)."""
    left = LOOKUP_SPACING - age
    return left + 0.001 if 0 < left < longest else longest


def cut(quantity: int, size: int, most: int = MAX_SLICES) -> tuple[int, ...]:
    """Units as orders of at most `size` (0: one order), no more than `most` of them; the rest comes with the next."""
    if size <= 0 or quantity <= size:
        return (quantity,) if quantity > 0 and most > 0 else ()
    whole, rest = divmod(quantity, size)
    sizes = (size,) * whole + ((rest,) if rest else ())
    return sizes[:most]


def remaining(order: Order) -> int:
    """Units that may still fill."""
    return max(order.quantity - order.filled_quantity, 0)


def _cancel(orders: Sequence[Order], reason: str) -> CancelOrders:
    return CancelOrders(tuple(order.broker_order_id for order in orders), reason)


def _unsettled(view: ExitView) -> Wait | None:
    """Orders of ours that may exist and are not seen: nothing more is sent before that is known."""
    if view.in_flight:
        return Wait("waiting for the broker's answer")
    if view.unresolved and view.lookups < LOOKUPS:
        return Wait("looking the order up in the order book")
    return None


def _doubled(view: ExitView, exits: list[Order]) -> Step | None:
    """Several that together ask for more than there is: a late attempt turned up beside its successor.

    The newest stay.
    """
    if len(exits) + bool(view.in_flight) < 2:
        return None
    held = abs(view.position) if view.position is not None and _guarded(view, view.position) else 0
    room = max(view.quantity - _closed(view), held) - view.in_flight
    surplus = _surplus(exits, room)
    return _cancel(surplus, "an earlier attempt turned up late") if surplus else None


def _without_need(view: ExitView, exits: list[Order]) -> Step | None:
    """What the position no longer needs."""
    if view.position is None:
        return None
    if not _guarded(view, view.position):
        return _cancel(exits, "there is no position left to close")
    if view.position_age < LOOKUP_SPACING:
        return None
    surplus = _surplus(exits, abs(view.position))
    return _cancel(surplus, "the position became smaller than the order") if surplus else None


def _surplus(exits: list[Order], room: int) -> list[Order]:
    """Those that must go so that the others fit: what still waits for its trigger first, then the oldest."""
    asked = sum(map(remaining, exits))
    surplus: list[Order] = []
    for order in sorted(exits, key=lambda one: one.status is not OrderStatus.TRIGGER_PENDING):
        if asked <= room:
            break
        surplus.append(order)
        asked -= remaining(order)
    return surplus


def _rest(view: ExitView, exits: list[Order]) -> Step:
    """They are in the market, and fit."""
    if view.changing:
        return Wait("waiting for the broker's answer")
    asleep = [order for order in exits if order.status is OrderStatus.TRIGGER_PENDING]
    if asleep:
        return _awake(view, asleep)
    if view.resting >= REPRICE_SECONDS:
        return _price_anew(view, exits)
    return _rest_of_it(view, exits) or Wait("the exit is in the market")


def _awake(view: ExitView, asleep: list[Order]) -> Step:
    """The backstop that rests behind the stop is the exit: a second order would ask for margin of its own."""
    if view.conversions and view.resting < LOOKUP_SPACING:
        return Wait("the backstop is becoming the exit")
    if view.converts and view.conversions < CONVERSIONS and view.modifications > 0:
        return Convert(tuple(order.broker_order_id for order in asleep))
    return _cancel(asleep, "the backstop makes room for the exit")


def _rest_of_it(view: ExitView, exits: list[Order]) -> Step | None:
    """Units that no live order asks for: slices that were refused, or the next after the first ten."""
    if view.position is None or view.position_age < LOOKUP_SPACING or _unsettled(view) is not None:
        return None
    missing = min(view.quantity - _closed(view), abs(view.position)) - sum(map(remaining, exits))
    most = MAX_SLICES - len(exits)
    if missing <= 0 or most <= 0:
        return None
    return _send(view, missing, "the rest of the position", most)


def _price_anew(view: ExitView, orders: list[Order]) -> Step:
    if view.modifications <= 0:
        return _cancel(orders, "it was priced anew often enough")
    numbers = tuple(order.broker_order_id for order in orders)
    if view.position is None or orders[0].side is not view.side:
        return Reprice(numbers)
    parts, room = [], abs(view.position)
    for order in reversed(orders):  # the newest stay as they are
        parts.append(min(remaining(order), room))
        room -= parts[-1]
    parts.reverse()
    without = [order for order, part in zip(orders, parts, strict=True) if not part]
    if without:
        return _cancel(without, "the position became smaller than the orders")
    totals = tuple(
        order.filled_quantity + part if part < remaining(order) else None
        for order, part in zip(orders, parts, strict=True)
    )
    return Reprice(numbers, totals if any(totals) else ())


def _sold(view: ExitView) -> int:
    return sum(order.filled_quantity for order in view.orders if order.side is view.side)


def _closed(view: ExitView) -> int:
    """Units that our exits closed, less what was squared off again."""
    return _sold(view) - sum(order.filled_quantity for order in view.orders if order.side is not view.side)


def _settle(view: ExitView, position: int) -> Step:
    """No order of ours is live: what the position says decides."""
    sold, filled = _sold(view), _closed(view)
    if position == 0:
        if sold >= view.quantity or view.position_age >= LOOKUP_SPACING:
            return Close(sold)
        return Wait("the position seems to have been closed by another order")
    if not _guarded(view, position):
        excess = min(abs(position), filled)
        if excess <= 0:
            return Close(sold)  # turned round by somebody else's order; nothing of ours to take back
        if max(view.turned_for, view.position_age) < LOOKUP_SPACING:
            return Wait("the position seems to have turned round")
        return SquareOffExcess(cut(excess, view.slice_size), view.side.opposite, _kind(view))
    if view.cleanup:
        return Close(sold)  # a position that came after the stop is not the stop's to close
    left = view.quantity - filled
    if left > 0:
        return _send(view, min(left, abs(position)), "the rest of the position" if filled else "no exit order exists")
    if view.position_age < SETTLED_SECONDS:
        return Wait("the fills are in, the position is not yet updated")
    return _send(view, abs(position), "the position grew while it was being closed")


def _no_excess(view: ExitView) -> bool:
    """Nothing is turned round any more: what would take it back opens a position."""
    position = view.position
    return position is not None and view.position_age >= LOOKUP_SPACING and (not position or _guarded(view, position))


def _guarded(view: ExitView, position: int) -> bool:
    """Whether there is still something for the exit to close."""
    return position > 0 if view.side is Side.SELL else position < 0


def _send(view: ExitView, quantity: int, reason: str, most: int = MAX_SLICES) -> Send:
    if view.refused is not None:
        reason = "the last attempt was refused"
    return Send(cut(quantity, view.slice_size, most), _kind(view), reason)


def _kind(view: ExitView) -> OrderKind:
    """The kind that the refusal leaves."""
    if view.refused in (Cause.MARKET, Cause.CIRCUIT, Cause.PRICE_BAND):
        return OrderKind.LIMIT
    if view.refused is Cause.OTHER:
        other = OrderKind.MARKET if view.takes_market else OrderKind.LIMIT
        return OrderKind.LIMIT if view.kind is OrderKind.MARKET else other
    return view.kind
