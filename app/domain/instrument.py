"""What can be traded, on one exchange."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from app.domain.ids import InstrumentId, split_instrument_id
from app.domain.money import Price


class Exchange(StrEnum):
    """Exchange and segment codes as Indian brokers print them."""

    NSE = "NSE"
    BSE = "BSE"
    NFO = "NFO"
    BFO = "BFO"
    CDS = "CDS"
    BCD = "BCD"
    MCX = "MCX"
    NCO = "NCO"


COUNTED_IN_LOTS = frozenset({Exchange.MCX, Exchange.NCO, Exchange.CDS, Exchange.BCD})
"""Where a broker's quantities may be of lots, whose size only its positions tell. Everywhere else they are of units."""


class Segment(StrEnum):
    """Which market a contract trades in; sessions and charges go by it."""

    EQUITY = "equity"
    INDEX = "index"
    FUTURES = "futures"
    OPTIONS = "options"
    COMMODITY = "commodity"
    CURRENCY = "currency"


class InstrumentKind(StrEnum):
    """What the contract is."""

    SHARE = "share"
    INDEX = "index"
    FUTURE = "future"
    CALL = "call"
    PUT = "put"


class Product(StrEnum):
    """How the broker carries the position: delivery, intraday, carried derivative, margin-funded delivery."""

    CNC = "CNC"
    MIS = "MIS"
    NRML = "NRML"
    MTF = "MTF"
    CO = "CO"
    """Of a cover order: for the day, with a stop of its own at the broker; left by that stop's order."""

    @property
    def intraday(self) -> bool:
        """Closed by the broker at the end of the day."""
        return self in (Product.MIS, Product.CO)


INDEX_UNDERLYINGS = frozenset(
    {"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "SENSEX", "BANKEX", "SENSEX50"}
)
"""Underlyings of index derivatives; everything else in NFO and BFO is a stock derivative."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """One contract as the broker's daily list has it. Keyed by `id`; the token is reused after expiry."""

    id: InstrumentId
    token: int
    """The broker's number, key of ticks and history."""
    exchange: Exchange
    segment: Segment
    kind: InstrumentKind
    name: str
    """Company name; for derivatives the underlying's symbol."""
    tick_size: Price
    lot_size: int
    price_scale: int = 100
    expiry: date | None = None
    strike: Decimal | None = None
    active: bool = True
    key: str = ""
    """The broker's own name of the contract, where orders and streams do not go by symbol and token. Another broker's
    list has another key for the same id."""

    @property
    def symbol(self) -> str:
        """The broker's trading symbol."""
        return split_instrument_id(self.id)[1]

    @property
    def tradable(self) -> bool:
        """False for an index: it has a price and no orders."""
        return self.kind is not InstrumentKind.INDEX

    @property
    def is_option(self) -> bool:
        """A call or a put."""
        return self.kind in (InstrumentKind.CALL, InstrumentKind.PUT)

    @property
    def is_stock_option(self) -> bool:
        """An option on a share: brokers refuse MARKET orders on these. Options on currencies and commodities are no
        such ones."""
        on_shares = self.exchange in (Exchange.NFO, Exchange.BFO)
        return self.is_option and on_shares and self.name not in INDEX_UNDERLYINGS
