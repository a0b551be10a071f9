"""How numbers and times print on every wire: JSON numbers in rupees, wall time of India."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction


def rupees(price: int, scale: int = 100) -> int | float:
    """A price as Kite prints it: whole rupees without a point (`1075`), others as the shortest float (`1074.35`).

    `scale`: its units in a rupee; paise, as every amount is, unless it is the price of a contract that is priced finer.
    """
    whole, rest = divmod(price, scale)
    return price / scale if rest else whole


def number(value: Decimal | Fraction | float) -> int | float:
    """Any other figure: unrounded double, whole numbers without a point."""
    as_float = float(value)
    return int(as_float) if as_float.is_integer() and abs(as_float) < 1e15 else as_float


def stamp(moment: datetime) -> str:
    """Wall time in India, naive, to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")
