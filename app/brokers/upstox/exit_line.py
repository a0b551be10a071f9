"""Upstox's exits on the exit line. Source of the wire: Upstox developer documentation, place order v3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.brokers.base import Session
from app.brokers.documents import encode_json
from app.brokers.exit_line import HTTP_OK, WarmLine, Wire
from app.brokers.upstox.auth import only_reads
from app.brokers.upstox.hosts import hosts_of
from app.brokers.upstox.keys import Directory
from app.brokers.upstox.refusals import broker_error
from app.brokers.upstox.requests import marketable_body, order_body
from app.domain.account import Endpoints
from app.domain.errors import Denied
from app.domain.ids import BrokerOrderId
from app.domain.order import OrderRequest

_LAST = b',"price":'


class UpstoxExitLine(WarmLine):
    """The pool at the host that takes orders."""

    def __init__(self, session: Session, endpoints: Endpoints, directory: Directory) -> None:
        super().__init__(
            Wire(
                url=hosts_of(endpoints).orders,
                ca_file=endpoints.ca_file,
                headers=(
                    ("Authorization", f"Bearer {session.access_token.reveal()}"),
                    ("Accept", "application/json"),
                    ("Api-Version", "2.0"),
                ),
                order_path="/v3/order/place",
                content_type="application/json",
                # Any answer keeps the connection warm, also one that this host does not serve it.
                warm_path="/v2/user/profile",
            )
        )
        self._directory = directory
        self._read_only = only_reads(session)

    def bodies(self, request: OrderRequest) -> tuple[bytes, bytes, bytes]:
        """JSON whose last item is the price. Raises Denied for a token that only reads, or an unlisted contract."""
        if self._read_only:
            raise Denied("This token only reads.", "Log in for the day to trade.")
        body = encode_json(order_body(request, self._directory))
        return body, body[: body.rindex(_LAST) + len(_LAST)], b"}"

    def change(self, order: BrokerOrderId, request: OrderRequest) -> tuple[str, str, tuple[bytes, bytes, bytes]]:
        """PUT whose body names the order. Raises Denied for a token that only reads."""
        if self._read_only:
            raise Denied("This token only reads.", "Log in for the day to trade.")
        body = encode_json(marketable_body(order, request.quantity, request.price, request.instrument))
        return "PUT", "/v3/order/modify", (body, body[: body.rindex(_LAST) + len(_LAST)], b"}")

    def order_of(self, status: int, answer: Mapping[str, Any]) -> str:
        """`data.order_ids` of a placement, one of them (exits are never cut up here); `data.order_id` of a change."""
        data = answer.get("data")
        if status != HTTP_OK or answer.get("status") != "success" or not isinstance(data, dict):
            return ""
        ids = data.get("order_ids")
        if isinstance(ids, list) and ids:
            return str(ids[0] or "")
        return str(data.get("order_id") or "")

    def refusal(self, status: int, answer: Mapping[str, Any] | None, retry_after: float | None) -> Exception:
        """See `refusals.broker_error`."""
        return broker_error(status, answer, retry_after)
