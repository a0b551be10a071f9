"""What is open, what is owned, what is available."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.money import Paise, Price
from app.domain.order import Side


@dataclass(frozen=True, slots=True)
class PositionKey:
    """A position is (account, instrument, product): the opposite order in another product opens a second one (F4)."""

    account: AccountId
    instrument: InstrumentId
    product: Product


@dataclass(frozen=True, slots=True)
class Position:
    """Open today at the broker. Quantity in units, negative when short."""

    key: PositionKey
    quantity: int
    average_price: Decimal
    """Rupees, as the broker computes it (may have more decimals than a tick)."""
    last_price: Price
    close_price: Price
    buy_quantity: int
    buy_value: Decimal
    sell_quantity: int
    sell_value: Decimal
    multiplier: int = 1
    price_scale: int = 100

    @property
    def exit_side(self) -> Side:
        """The side that closes it."""
        return Side.SELL if self.quantity > 0 else Side.BUY

    def pnl_at(self, last: Price) -> Decimal:
        """The day's P&L in rupees at a last price: sell value - buy value + quantity x price."""
        return self.sell_value - self.buy_value + Decimal(self.quantity * last * self.multiplier) / self.price_scale


@dataclass(frozen=True, slots=True)
class Holding:
    """Settled shares in demat."""

    account: AccountId
    instrument: InstrumentId
    isin: str
    quantity: int
    t1_quantity: int
    """Bought, not yet delivered; not included in `quantity`."""
    average_price: Decimal
    last_price: Price
    close_price: Price


@dataclass(frozen=True, slots=True)
class Funds:
    """Cash and margin of one account."""

    account: AccountId
    available: Paise
    used: Paise
    opening_balance: Paise
