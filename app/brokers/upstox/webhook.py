"""Messages that Upstox posts to an app's registered address (webhook): orders, and triggers where asked for. Pure.

They are the same rows as those of the portfolio stream, and nothing proves where they come from: there is no signature.
So what is wrong with them is said, and what is right is still only a hint.
"""

from __future__ import annotations

from app.brokers.base import Session
from app.brokers.documents import decode_json
from app.brokers.rows import Row
from app.brokers.upstox.keys import Directory
from app.brokers.upstox.mapping import order_from_row
from app.brokers.upstox.resting import gtt_from_row
from app.domain.errors import BadAnswer, Denied
from app.domain.gtt import Gtt
from app.domain.order import Order

LARGEST = 64 * 1024
"""Bytes; an order's message has about a thousand."""


def news_from(body: bytes, session: Session, directory: Directory) -> Order | Gtt:
    """An order or a trigger of this session's client. Raises Denied for another client's, BadAnswer for the rest."""
    if len(body) > LARGEST:
        raise BadAnswer(
            "A message at the registered address is larger than any of the broker's.", detail=str(len(body))
        )
    data = decode_json(body)
    row = Row(data, "webhook")
    kind = row.maybe_text("update_type") or "order"
    if kind == "gtt_order":  # says nothing of its client
        return gtt_from_row(data, session.account, directory)
    if kind != "order":
        raise row.bad("update_type")
    client = row.maybe_text("user_id") or row.text("userId")
    if client != session.user_id:
        raise Denied("A message at the registered address is about another client.", "Check who knows the address.")
    return order_from_row(data, session.account, directory)
