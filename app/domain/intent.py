"""Orders that we meant to send: written to the journal before the wire, so that a crash forgets none of them."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.ids import BrokerOrderId, Nanos, OrderId, StopId, Tag
from app.domain.order import OrderRequest, OrderStatus, Purpose


@dataclass(frozen=True, slots=True)
class Intent:
    """One of them, with what is known of it. After a crash its tag says what to look for at the broker."""

    order_id: OrderId
    tag: Tag
    request: OrderRequest
    created_at: Nanos
    stop: StopId | None
    """Whose exit it is; None: not a stop's."""
    purpose: Purpose = Purpose.MANUAL
    status: OrderStatus = OrderStatus.SUBMITTED
    broker_order_id: BrokerOrderId | None = None
    filled: int = 0
    """Units."""
    changes: int = 0
    """How often it was changed from here; brokers allow so many."""


@dataclass(frozen=True, slots=True)
class IntentNews:
    """What was learnt of an order that we meant to send."""

    tag: Tag
    status: OrderStatus
    broker_order_id: BrokerOrderId | None
    at: Nanos
    filled: int = 0
    changes: int = 0
