"""Margin: what an account has by segment, what orders will block, and what a contract note will say of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from app.domain.fill import Charges
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, Side


@dataclass(frozen=True, slots=True)
class MarginUse:
    """What blocks a segment's money, in rupees, by head. `debits` is the broker's sum, never the sum of the others."""

    debits: Decimal
    exposure: Decimal
    span: Decimal
    option_premium: Decimal
    delivery: Decimal
    m2m_realised: Decimal
    m2m_unrealised: Decimal
    payout: Decimal
    holding_sales: Decimal
    turnover: Decimal
    liquid_collateral: Decimal
    stock_collateral: Decimal


@dataclass(frozen=True, slots=True)
class SegmentFunds:
    """One segment's money, in rupees. A rupee in one does not back an order in the other."""

    account: AccountId
    segment: str
    """`equity` (derivatives included) or `commodity`."""
    enabled: bool
    net: Decimal
    """Available to trade."""
    cash: Decimal
    opening_balance: Decimal
    live_balance: Decimal
    collateral: Decimal
    """Pledged."""
    adhoc_margin: Decimal
    intraday_payin: Decimal
    used: MarginUse


@dataclass(frozen=True, slots=True)
class Margin:
    """What one order, or a basket of them, blocks; in rupees."""

    total: Decimal
    span: Decimal
    exposure: Decimal
    option_premium: Decimal
    """Negative where premium is received."""
    additional: Decimal
    cash: Decimal
    var: Decimal
    leverage: Decimal


@dataclass(frozen=True, slots=True)
class BasketMargin:
    """Orders taken together. `final` is what counts: hedges in the basket have lowered it."""

    initial: Margin
    """Without the benefit of hedges."""
    final: Margin
    orders: tuple[Margin, ...]
    """Of each order, in the order asked."""


@dataclass(frozen=True, slots=True)
class PlannedNote:
    """One line of a virtual contract note: the charges that an order will have, unrounded as the broker computes."""

    instrument: InstrumentId
    side: Side
    product: Product
    kind: OrderKind
    quantity: int
    price: Decimal
    charges: Charges
    total: Decimal
    """The broker's own sum."""
    tax: str
    """`stt`, `ctt`, or empty where neither is due."""
