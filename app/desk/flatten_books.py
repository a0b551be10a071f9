"""What of an account's books is to be flattened, and in which words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.desk.account import AccountDesk
from app.desk.flatten_messages import FlattenChoice
from app.domain.instrument import Product
from app.domain.order import Order
from app.domain.portfolio import Holding, Position, PositionKey
from app.domain.stop import stop_of_tag
from app.domain.strategy import Strategy
from app.engine.delivery import DELIVERED


def working(desk: AccountDesk, orders: Sequence[Order]) -> tuple[list[Order], list[Order]]:
    """Orders that still work: ours, and those from elsewhere. Exits of open stops are their followers' own; the second
    leg of a cover order goes with its position."""
    followed = desk.stops.can_fire or not desk.active  # a command beside no workstation follows nothing
    live = {stop.id for stop in desk.stops.stops if not stop.state.is_final and followed}
    mine, others = [], []
    for order in orders:
        if order.status.is_final or (order.parent is not None and order.product is Product.CO):
            continue
        stop = stop_of_tag(order.tag)
        if stop is not None:
            if stop not in live:
                mine.append(order)  # an orphan
        elif order.id is not None or _is_ours(desk, order):
            mine.append(order)
        else:
            others.append(order)
    return mine, others


def _is_ours(desk: AccountDesk, order: Order) -> bool:
    known = desk.state.orders.get(order.broker_order_id)
    return known is not None and known.id is not None


def open_positions(positions: Iterable[Position]) -> list[Position]:
    """With a quantity. Shares that were sold out of demat stay so: buying them back would undo it."""
    return [p for p in positions if p.quantity and not p.sold_shares]


def closing(orders: Iterable[Order], positions: Iterable[Position]) -> set[PositionKey]:
    """The positions that an order among these could close as well, so that an exit beside it would be one too many."""
    held = {position.key: position.quantity for position in positions}
    return {key_of(order) for order in orders if held.get(key_of(order), 0) * order.side.sign < 0}


def running(desk: AccountDesk) -> list[Strategy]:
    """Strategies that may enter by themselves."""
    return [s for s in desk.strategies.strategies if (s.state.is_running or s.goes_on) and not s.paused]


def resting(desk: AccountDesk, exited: Sequence[PositionKey]) -> tuple[int, int]:
    """Triggers (GTT) of ours behind stops: those that go with the positions that are exited, and those that stay."""
    of = {stop.id: stop.key for stop in desk.stops.stops}
    going = [of.get(one.stop) in exited for one in desk.stops.backstops.triggers.book.open]
    return sum(going), len(going) - sum(going)


def orphan_triggers(desk: AccountDesk) -> list[str]:
    """Triggers of ours that still rest although their stop has ended, in words: one would open a position."""
    live = {stop.id for stop in desk.stops.stops if not stop.state.is_final}
    left = [one for one in desk.stops.backstops.triggers.book.open if one.stop not in live]
    return [f"The trigger (GTT) behind the ended stop on {one.instrument} still rests" for one in left]


def out_of_reach(desk: AccountDesk) -> str:
    """What an account that is not logged in may still have, as it was known last: positions, those that its stops
    guard, and orders of ours. Empty: nothing that is known."""
    reading = desk.state.reading
    held = {p.key for p in open_positions(() if reading is None else reading.positions.values())}
    held |= {s.key for s in desk.stops.stops if not s.state.is_final and s.key.product not in DELIVERED}
    orders, _ = working(desk, tuple(desk.state.orders.values()))
    parts = [counted(len(found), noun) for found, noun in ((held, "position"), (orders, "order")) if found]
    if not parts:
        return ""
    return f"{desk.account} is not logged in and not touched: {' and '.join(parts)} may be open there"


def sellable(holdings: Sequence[Holding]) -> list[Holding]:
    """With units that are there to be sold."""
    return [holding for holding in holdings if holding.sellable > 0]


def key_of(order: Order) -> PositionKey:
    """The position that an order opens or closes."""
    return PositionKey(order.account, order.instrument, order.product)


def counted(number: int, noun: str) -> str:
    """`1 trigger`, `3 triggers`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def position_words(position: Position) -> str:
    """`75 NSE:INFY (MIS)`."""
    return f"{position.quantity} {position.key.instrument} ({position.key.product})"


def choice_words(choice: FlattenChoice) -> str:
    """What was asked for, for the audit trail."""
    more = [
        words
        for words, asked in (
            ("orders from elsewhere", choice.elsewhere),
            ("holdings", choice.holdings),
            ("triggers", choice.gtts),
        )
        if asked
    ]
    return f"orders and positions{', ' if more else ''}{', '.join(more)}"
