"""Whose an order is: its tag says so."""

from __future__ import annotations

from app.domain.ids import OrderId
from app.domain.order import Order
from app.domain.stop import stop_of_tag

OWN_TAG_LENGTH = 14


def own_order(tag: str | None) -> OrderId | None:
    """Our order id, which is the tag of every order that the trader or a strategy sent from here; None for others."""
    return OrderId(tag) if tag is not None and len(tag) == OWN_TAG_LENGTH and tag[0] == "M" else None


def placed_here(order: Order) -> bool:
    """Sent by this program: by hand, by a strategy, or as a stop's exit. Others came from a phone, the broker's site,
    another program, or the broker itself."""
    return order.id is not None or own_order(order.tag) is not None or stop_of_tag(order.tag) is not None
