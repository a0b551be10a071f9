"""What an order or a position ties up. Pure; paise.

The paper exchange's own rules (a real broker asks its exchange's SPAN files):
- shares: CNC the full value when bought, nothing when sold (the shares themselves cover it), MTF a quarter of it; MIS
  and CO 20 % both ways
- futures: 15 % of the value, of which 10 are called span and 5 exposure
- options: bought, the premium; sold, 12 % of the strike's value (9 span, 3 exposure), the premium being credited
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from app.simulator.listing import Listing
from app.simulator.refusals import is_option, multiplier, worth

INTRADAY = ("MIS", "CO")
"""Products that are squared off at the day's end."""
MIS_PERCENT = 20
FUNDED_PERCENT = 25
"""Of shares bought with the broker's money: the client's own part."""
FUTURE_SPAN, FUTURE_EXPOSURE = 10, 5
OPTION_SPAN, OPTION_EXPOSURE = 9, 3


@dataclass(frozen=True, slots=True)
class Margin:
    """Heads of a requirement, paise."""

    var: int = 0
    """Of shares."""
    span: int = 0
    exposure: int = 0
    option_premium: int = 0
    """Paid (above 0) or received (below 0)."""

    @property
    def total(self) -> int:
        """What must be available; a premium received does not pay for the order that receives it."""
        return self.var + self.span + self.exposure + max(0, self.option_premium)


def required(listing: Listing, side: str, product: str, quantity: int, price: int) -> Margin:
    """To open `quantity` units of the wire at `price`, in the listing's unit."""
    value = worth(listing, quantity, price)
    if is_option(listing):
        if side == "BUY":
            return Margin(option_premium=value)
        strike = int(listing.strike * 100) * quantity * multiplier(listing)
        return Margin(span=strike * OPTION_SPAN // 100, exposure=strike * OPTION_EXPOSURE // 100, option_premium=-value)
    if listing.instrument_type == "FUT":
        return Margin(span=value * FUTURE_SPAN // 100, exposure=value * FUTURE_EXPOSURE // 100)
    if product in INTRADAY:
        return Margin(var=value * MIS_PERCENT // 100)
    if product == "MTF":
        return Margin(var=value * FUNDED_PERCENT // 100 if side == "BUY" else 0)
    return Margin(var=value if side == "BUY" else 0)


def leverage(listing: Listing, product: str) -> Decimal:
    """Value for each rupee of margin."""
    return Decimal(5) if product in INTRADAY and not listing.underlying else Decimal(1)
