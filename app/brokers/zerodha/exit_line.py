"""Zerodha's exits on the exit line. Source of the wire: Kite Connect v3, orders (POST /orders/regular)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from app.brokers.base import Credentials, Session
from app.brokers.exit_line import HTTP_OK, WarmLine, Wire
from app.brokers.zerodha.orders import order_form
from app.brokers.zerodha.refusals import broker_error
from app.domain.account import Endpoints
from app.domain.ids import BrokerOrderId
from app.domain.order import OrderRequest


class ZerodhaExitLine(WarmLine):
    """The pool at Kite's order entry."""

    def __init__(self, session: Session, credentials: Credentials, endpoints: Endpoints) -> None:
        token = f"token {credentials.api_key}:{session.access_token.reveal()}"
        super().__init__(
            Wire(
                url=endpoints.api_url,
                ca_file=endpoints.ca_file,
                headers=(("X-Kite-Version", "3"), ("Authorization", token)),
                order_path="/orders/regular",
                content_type="application/x-www-form-urlencoded",
                warm_path="/user/profile",
            )
        )

    def bodies(self, request: OrderRequest) -> tuple[bytes, bytes, bytes]:
        """A form; the price goes to its end."""
        body = urlencode(order_form(request)).encode()
        return body, body + b"&price=", b""

    def change(self, order: BrokerOrderId, request: OrderRequest) -> tuple[str, str, tuple[bytes, bytes, bytes]]:
        """PUT of the order itself; its variety is always regular."""
        form = {"order_type": request.kind.value, "quantity": str(request.quantity), "validity": request.validity.value}
        body = urlencode(form).encode()
        return "PUT", f"/orders/regular/{quote(order, safe='')}", (body, body + b"&price=", b"")

    def order_of(self, status: int, answer: Mapping[str, Any]) -> str:
        """`data.order_id`."""
        data = answer.get("data")
        if status != HTTP_OK or answer.get("status") != "success" or not isinstance(data, dict):
            return ""
        return str(data.get("order_id") or "")

    def refusal(self, status: int, answer: Mapping[str, Any] | None, retry_after: float | None) -> Exception:
        """See `refusals.broker_error`."""
        return broker_error(status, answer, retry_after)
