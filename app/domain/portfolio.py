"""What is open, what is owned, what is available."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from app.domain.ids import AccountId, InstrumentId, Nanos
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
    """Open today at the broker. Quantity as the broker counts, negative when short; one is `multiplier` units."""

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
    carried_quantity: int = 0
    """What was open when the day began, signed; the same when it is closed meanwhile."""
    carried_cost: Decimal = Decimal(0)
    """What of `buy_value` less `sell_value` is of earlier days, in rupees."""

    @property
    def sold_shares(self) -> bool:
        """Short in delivery: shares that were sold out of demat. Nothing is owed, and closing it buys them back."""
        return self.quantity < 0 and self.key.product in (Product.CNC, Product.MTF)

    @property
    def exit_side(self) -> Side:
        """The side that closes it."""
        return Side.SELL if self.quantity > 0 else Side.BUY

    def pnl_at(self, last: Price) -> Decimal:
        """P&L since the entry in rupees at a last price: sell value - buy value + quantity x price."""
        return self.sell_value - self.buy_value + self._worth(self.quantity, last)

    def day_pnl_at(self, last: Price) -> Decimal:
        """The day's part: what was carried over counts from the previous close (Kite's `m2m`), and from its entry where
        the broker tells no previous close. Shares that were sold out of demat are gone: what they cost since then is
        neither won nor lost."""
        if self.sold_shares:
            sold = self.sell_value / self.sell_quantity if self.sell_quantity else Decimal(0)
            return sold * self.buy_quantity - self.buy_value
        if not self.carried_quantity or not self.close_price:
            return self.pnl_at(last)
        return self.pnl_at(last) + self.carried_cost - self._worth(self.carried_quantity, self.close_price)

    def _worth(self, quantity: int, price: Price) -> Decimal:
        return Decimal(quantity * price * self.multiplier) / self.price_scale


@dataclass(frozen=True, slots=True)
class FundedShares:
    """The part of a holding that the broker lent the money for (MTF)."""

    quantity: int
    used_quantity: int
    average_price: Decimal
    value: Decimal
    initial_margin: Decimal


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
    product: Product = Product.CNC
    used_quantity: int = 0
    """Sold today."""
    realised_quantity: int = 0
    """Delivered."""
    authorised_quantity: int = 0
    """Released at the depository for sale today."""
    authorised_at: Nanos | None = None
    opening_quantity: int = 0
    short_quantity: int = 0
    collateral_quantity: int = 0
    """Pledged."""
    collateral_type: str = ""
    discrepancy: bool = False
    """The broker doubts its own figures (a corporate action under way)."""
    funded: FundedShares | None = None

    @property
    def sellable(self) -> int:
        """Units that are there to be sold: settled or on the way, less what was sold today."""
        return max(0, self.quantity + self.t1_quantity - self.used_quantity)


@dataclass(frozen=True, slots=True)
class AuctionOffer:
    """A holding that may be sold in today's auction."""

    account: AccountId
    instrument: InstrumentId
    auction_number: str
    isin: str
    quantity: int
    average_price: Decimal
    last_price: Price
    close_price: Price


@dataclass(frozen=True, slots=True)
class Conversion:
    """Part or all of a position, moved to another product (MIS to CNC, say)."""

    position: PositionKey
    side: Side
    """Of the position: BUY for a long one."""
    quantity: int
    to: Product
    overnight: bool = False
    """Of the part that was carried over, not of today's."""


@dataclass(frozen=True, slots=True)
class HoldingsAuthorisation:
    """A depository authorisation that the trader has to give (TPIN) before holdings can be sold."""

    account: AccountId
    url: str
    """The page that asks for it. Nothing is stored of what is typed there."""


@dataclass(frozen=True, slots=True)
class Funds:
    """Cash and margin of one account."""

    account: AccountId
    available: Paise
    used: Paise
    opening_balance: Paise
