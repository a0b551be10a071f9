"""Postbacks: order news that Kite posts to an app's registered address (Kite Connect v3, postbacks). Pure.

The body is signed with the API secret; one that is not is nobody's word. Kite does not state the content type, so the
body is read as JSON whatever it is called.
"""

from __future__ import annotations

import hashlib
import hmac

from app.brokers.documents import decode_json
from app.brokers.rows import Row
from app.brokers.zerodha.orders import order_from_row
from app.domain.errors import BadAnswer
from app.domain.ids import AccountId
from app.domain.order import Order
from app.runtime.secret import Secret


def checksum(order_id: str, order_timestamp: str, api_secret: Secret) -> str:
    """SHA-256 over id, time (exactly as sent) and API secret, in lower-case hex."""
    return hashlib.sha256(f"{order_id}{order_timestamp}{api_secret.reveal()}".encode()).hexdigest()


def order_from_postback(body: bytes, api_secret: Secret, account: AccountId) -> Order:
    """The order that a postback tells of. Raises BadAnswer when it cannot be read or is not signed with our secret."""
    data = decode_json(body)
    row = Row(data, "postback")
    expected = checksum(row.text("order_id"), row.text("order_timestamp"), api_secret)
    if not hmac.compare_digest(expected.encode(), row.text("checksum").encode()):
        raise BadAnswer(
            "A postback is not signed with this account's API secret; it was not used.",
            "If the secret was renewed, enter the new one. Otherwise somebody else sent it.",
            detail=f"order {row.text('order_id')}",
        )
    return order_from_row(data, account)
