"""An order as it is asked for, whatever the wire. Prices in paise."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


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
    variety: str = "regular"
    """regular, amo (waits for the market to open), iceberg, co (with a stop of its own), auction."""
    validity_ttl: int = 0
    """Minutes, of validity TTL."""
    iceberg_legs: int = 0
    iceberg_quantity: int = 0
    """Of one leg; 0: what the legs come to."""
    auction_number: str = ""

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
