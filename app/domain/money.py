"""Exact money. Prices are integers in the instrument's minor unit; amounts are paise, or Decimals in rupees."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from enum import StrEnum

Price = int
"""In minor units: `rupees * instrument.price_scale` (100 for shares and equity derivatives, so paise)."""

Paise = int
"""An amount of money in hundredths of a rupee."""

PAISA = Decimal("0.01")


class Rounding(StrEnum):
    """Which way a price goes when it does not sit on a tick."""

    DOWN = "down"
    UP = "up"
    NEAREST = "nearest"


def from_minor(price: int, scale: int) -> Decimal:
    """Minor units to rupees, exactly."""
    return Decimal(price) / scale


def grouped(whole: int) -> str:
    """A whole number with Indian commas: the last three digits, then pairs."""
    digits = str(abs(whole))
    head, tail = digits[:-3], digits[-3:]
    pairs = []
    while head:
        pairs.append(head[-2:])
        head = head[:-2]
    text = ",".join([*reversed(pairs), tail])
    return f"-{text}" if whole < 0 else text


def said_price(price: Price, scale: int) -> str:
    """A price in words for the trader: `1,306.60`."""
    whole, _, rest = in_rupees(abs(price), scale).partition(".")
    return f"{'-' if price < 0 else ''}{grouped(int(whole))}.{rest}"


def said_money(amount: Paise) -> str:
    """Money in words for the trader: `-₹1,20,669.23`."""
    return f"{'-' if amount < 0 else ''}₹{said_price(abs(amount), 100)}"


def in_rupees(price: Price, scale: int) -> str:
    """A price in logs and in the audit trail: `1306.60`. Without commas, for these are searched and reckoned with."""
    return f"{from_minor(price, scale):.{len(str(scale)) - 1}f}"


def to_tick(price: int, tick: int, rounding: Rounding) -> int:
    """The multiple of `tick` next to `price`, both in minor units; NEAREST goes up on a tie."""
    if tick <= 0:
        raise ValueError(f"tick size was {tick}")
    floor = price // tick * tick
    if floor == price or rounding is Rounding.DOWN:
        return floor
    if rounding is Rounding.UP:
        return floor + tick
    return floor + tick if 2 * (price - floor) >= tick else floor


def round_paisa(amount: Decimal) -> Decimal:
    """To the paisa, half up (how contract notes print)."""
    return amount.quantize(PAISA, ROUND_HALF_UP)


def floor_units(amount: Decimal) -> int:
    """Largest whole number not above `amount`."""
    return int(amount.to_integral_value(ROUND_FLOOR))


def ceil_units(amount: Decimal) -> int:
    """Smallest whole number not below `amount`."""
    return int(amount.to_integral_value(ROUND_CEILING))
