"""Alerts that the broker keeps: it says when a price is reached, and may place the orders of a basket then."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.domain.ids import AccountId, AlertId, InstrumentId, Nanos
from app.domain.order import OrderRequest


class AlertKind(StrEnum):
    """Whether it only tells."""

    SIMPLE = "simple"
    ORDERS = "ato"
    """Alert triggers order: a basket of orders is placed when it fires."""


class AlertStatus(StrEnum):
    """Whether it watches."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    DELETED = "deleted"


class Comparison(StrEnum):
    """How the watched price is compared."""

    AT_MOST = "<="
    AT_LEAST = ">="
    BELOW = "<"
    ABOVE = ">"
    EQUAL = "=="


@dataclass(frozen=True, slots=True)
class AlertRequest:
    """What to watch: an instrument's last price against an amount, or against another instrument's last price.

    An index is named with the exchange `INDICES`.
    """

    account: AccountId
    name: str
    instrument: InstrumentId
    comparison: Comparison
    amount: Decimal | None = None
    """In rupees; None where `other` is watched against."""
    other: InstrumentId | None = None
    orders: tuple[OrderRequest, ...] = ()
    """Placed by the broker when it fires."""

    @property
    def kind(self) -> AlertKind:
        """By whether orders come with it."""
        return AlertKind.ORDERS if self.orders else AlertKind.SIMPLE


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as the broker keeps it."""

    account: AccountId
    id: AlertId
    name: str
    kind: AlertKind
    status: AlertStatus
    instrument: InstrumentId
    comparison: Comparison
    amount: Decimal | None
    other: InstrumentId | None
    fired: int
    """How often."""
    created_at: Nanos
    updated_at: Nanos | None
    disabled_because: str = ""


@dataclass(frozen=True, slots=True)
class AlertFiring:
    """One time that an alert fired."""

    alert: AlertId
    kind: AlertKind
    condition: str
    """As the broker words it."""
    at: Nanos
