"""How old what is known of a position is, and since when it has been turned round."""

from __future__ import annotations

from dataclasses import replace

from app.domain.ids import BrokerOrderId
from app.domain.order import Order, OrderKind, OrderStatus, Side
from app.engine.account import PositionReading
from app.engine.seen import SeenPosition
from tests.fakes.trading import ACCOUNT, INFY, KEY, position

FILLED = Order(
    ACCOUNT, BrokerOrderId("1"), INFY.id, Side.SELL, KEY.product, OrderKind.MARKET, OrderStatus.FILLED,
    100, 100, 0, 99_000,
)  # fmt: skip


class Watched:
    """A position that is sold, at moments that are told."""

    def __init__(self) -> None:
        self.now = 10.0
        self.seen = SeenPosition(KEY, Side.SELL, lambda: self.now)

    def read(self, quantity: int, began: float) -> None:
        self.seen.take(PositionReading({KEY: position(KEY, quantity)}, 0, began))


def test_a_fill_makes_what_was_read_before_old() -> None:
    at = Watched()
    at.read(100, began=9.9)
    at.seen.heard(FILLED, ours=True)
    assert at.seen.current is None
    at.read(-100, began=10.1)
    assert at.seen.current == -100


def test_a_list_that_repeats_what_the_stream_told_makes_no_reading_old() -> None:
    at = Watched()
    at.seen.heard(FILLED, ours=True)
    at.now = 10.2
    at.read(-100, began=10.1)
    at.now = 10.3
    at.seen.heard(replace(FILLED, updated_at=5, average_price=99_050), ours=True)
    assert (at.seen.current, at.seen.recent) == (-100, True)
    at.now = 11.2
    assert round(at.seen.turned_for, 6) == 1.0


def test_an_order_that_ends_makes_what_was_read_before_old() -> None:
    at = Watched()
    at.seen.heard(replace(FILLED, status=OrderStatus.PARTIALLY_FILLED, filled_quantity=40), ours=True)
    at.now = 10.2
    at.read(60, began=10.1)
    at.seen.heard(replace(FILLED, status=OrderStatus.CANCELLED, filled_quantity=40), ours=True)
    assert at.seen.current is None


def test_an_order_that_has_filled_nothing_leaves_the_reading_as_it_is() -> None:
    at = Watched()
    at.read(100, began=9.9)
    at.seen.heard(replace(FILLED, status=OrderStatus.OPEN, filled_quantity=0), ours=True)
    assert at.seen.current == 100
