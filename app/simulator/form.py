"""An order as it is asked for, whatever the wire. Prices in paise."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

MAX_TAG = 20


@dataclass(frozen=True, slots=True)
class OrderForm:
    """A placement. Prices in paise; quantity in the units of the wire."""

    exchange: str
    tradingsymbol: str
    side: str
    quantity: int
    product: str
    order_type: str
    price: int
    trigger_price: int
    validity: str
    disclosed_quantity: int
    market_protection: Decimal | None
    tag: str | None
    autoslice: bool

    @property
    def key(self) -> str:
        """`NSE:INFY`."""
        return f"{self.exchange}:{self.tradingsymbol}"


@dataclass(frozen=True, slots=True)
class ModifyForm:
    """A modification: only what is to change."""

    quantity: int | None
    price: int | None
    trigger_price: int | None
    order_type: str | None
    validity: str | None
    disclosed_quantity: int | None
    market_protection: Decimal | None
