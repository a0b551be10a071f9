"""Fills (one execution) and trades (a round trip from entry to flat)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId, Nanos
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.money import Paise, Price
from app.domain.order import Side


class Source(StrEnum):
    """Where a fill came from."""

    SYNC = "broker sync"
    FILE = "file import"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution as the broker reported it; never edited."""

    id: FillId
    account: AccountId
    instrument: InstrumentId
    segment: Segment
    kind: InstrumentKind
    product: Product
    side: Side
    quantity: int
    """As the broker counts, positive: lots where it counts lots (`Trade.multiplier`), units everywhere else."""
    price: Price
    filled_at: Nanos
    broker_order_id: BrokerOrderId
    price_scale: int = 100
    source: Source = Source.SYNC


@dataclass(frozen=True, slots=True)
class Charges:
    """Costs by head, in rupees, each rounded as a contract note prints it."""

    brokerage: Decimal = Decimal(0)
    transaction_tax: Decimal = Decimal(0)
    """STT, or CTT for commodities."""
    exchange_charge: Decimal = Decimal(0)
    """Exchange transaction charge, with the investor protection levy (IPFT) where there is one."""
    sebi_fee: Decimal = Decimal(0)
    stamp_duty: Decimal = Decimal(0)
    gst: Decimal = Decimal(0)
    other: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        """Sum of the heads."""
        return (
            self.brokerage
            + self.transaction_tax
            + self.exchange_charge
            + self.sebi_fee
            + self.stamp_duty
            + self.gst
            + self.other
        )

    def __add__(self, more: Charges) -> Charges:
        return Charges(
            self.brokerage + more.brokerage,
            self.transaction_tax + more.transaction_tax,
            self.exchange_charge + more.exchange_charge,
            self.sebi_fee + more.sebi_fee,
            self.stamp_duty + more.stamp_duty,
            self.gst + more.gst,
            self.other + more.other,
        )


@dataclass(frozen=True, slots=True)
class Trade:
    """A round trip: entry matched with exit first in, first out; or the open rest of an entry (`closed_at` None)."""

    account: AccountId
    instrument: InstrumentId
    segment: Segment
    product: Product
    side: Side
    """Of the entry: BUY is a long trade."""
    quantity: int
    entry_price: Price
    """Average, in minor units, rounded half up; `gross` is exact."""
    opened_at: Nanos
    exit_price: Price | None
    closed_at: Nanos | None
    gross: Paise
    charges: Charges
    net: Paise
    """gross - charges. 0 gross while open; charges of the entry count at once."""
    price_scale: int = 100
    broker: str = ""
    kind: InstrumentKind = InstrumentKind.SHARE
    entry_order: BrokerOrderId | None = None
    """The order that opened it; more may have added to it. None: not told, as `broker` when empty."""
    exit_order: BrokerOrderId | None = None
    """The order whose fill came last; None while it is open."""
    source: Source = Source.SYNC
    """Of its first fill."""
    expiry: date | None = None
    """Of a derivative, where the instrument is on file; likewise `strike`."""
    strike: Decimal | None = None
    multiplier: int | None = 1
    """Units that one of `quantity` holds, as `Position.multiplier`. None: nobody has told yet how much a lot of this
    contract is; then `gross`, `charges` and `net` are nothing, and not known."""

    @property
    def long(self) -> bool:
        """Bought first."""
        return self.side is Side.BUY
