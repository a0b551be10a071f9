"""Numbers, money and moments as Indian traders read them, and back again. Pure: no Qt, no clock, no locale.

Money comes as paise (int) or rupees (Decimal), prices as minor units with their instrument's `price_scale`. Grouping is
Indian (12,34,56,789.50), the minus stands before the symbol (-₹1,234.50), times are IST in 24 hours.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path

from app.domain.ids import Nanos
from app.domain.money import PAISA, Paise, Price, grouped

RUPEE = "₹"
NOTHING = "–"
"""Stands where there is no value; never a zero that nobody measured."""

IST = timezone(timedelta(hours=5, minutes=30), "IST")
"""India has one zone and no summer time."""

_LAKH = Decimal(100_000)
_CRORE = Decimal(10_000_000)
_UNITS = {
    "k": Decimal(1000),
    "l": _LAKH,
    "lakh": _LAKH,
    "lac": _LAKH,
    "cr": _CRORE,
    "crore": _CRORE,
    "m": Decimal(1_000_000),
}
_TYPED = re.compile(
    r"^(?P<sign>[+-]?)(?P<digits>(?:\d+|\d{1,3}(?:,\d{2,3})*,\d{3})(?:\.\d*)?|\.\d+)(?P<unit>[a-z]*)$", re.ASCII
)
"""Commas group, by the Indian or the western way; a decimal comma would read 1055,50 as a lakh."""
_LARGEST = 10**14
"""Far above any money or price there is, and in minor units still a number that every store holds."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


# --- numbers -------------------------------------------------------------------------------------------------------


def group(whole: int) -> str:
    """A whole number with Indian commas: the last three digits, then pairs."""
    return grouped(whole)


def decimal(value: Decimal, places: int) -> str:
    """A number with Indian commas and exactly `places` decimals, half up."""
    rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    whole, _, fraction = f"{abs(rounded):f}".partition(".")
    text = group(int(whole)) + (f".{fraction}" if fraction else "")
    return f"-{text}" if rounded < 0 else text


def _sign(value: Decimal | int, *, signed: bool) -> str:
    if value < 0:
        return "-"
    return "+" if signed and value > 0 else ""


# --- money ---------------------------------------------------------------------------------------------------------


def rupees(value: Decimal, *, signed: bool = False) -> str:
    """An amount in rupees: `₹1,234.50`, `-₹1,234.50`, signed `+₹1,234.50`. Zero never has a sign."""
    rounded = value.quantize(PAISA, ROUND_HALF_UP)
    return f"{_sign(rounded, signed=signed)}{RUPEE}{decimal(abs(rounded), 2)}"


def amount(paise: Paise, *, signed: bool = False) -> str:
    """An amount in paise, exactly: `₹1,234.50`."""
    whole, rest = divmod(abs(paise), 100)
    return f"{_sign(paise, signed=signed)}{RUPEE}{group(whole)}.{rest:02d}"


def pnl(paise: Paise) -> str:
    """A profit or loss: always with its sign, so that colour never speaks alone."""
    return amount(paise, signed=True)


def compact(paise: Paise, *, signed: bool = False) -> str:
    """Short for large amounts: `₹1.25 L`, `₹3.4 Cr`; in full below a lakh. Show the whole on hover."""
    value = Decimal(abs(paise)) / 100
    if value < _LAKH:
        return amount(paise, signed=signed)
    short, name = (value / _LAKH).quantize(PAISA, ROUND_HALF_UP), "L"
    if short >= 100:
        short, name = (value / _CRORE).quantize(PAISA, ROUND_HALF_UP), "Cr"
    whole, _, fraction = f"{short:f}".partition(".")
    fraction = fraction.rstrip("0")
    return f"{_sign(paise, signed=signed)}{RUPEE}{group(int(whole))}{'.' if fraction else ''}{fraction} {name}"


def arrow(value: Decimal | int) -> str:
    """▲ above zero, ▼ below, nothing at zero: the mark beside the colour."""
    if value == 0:
        return ""
    return "▲" if value > 0 else "▼"


# --- prices --------------------------------------------------------------------------------------------------------


def price_places(price_scale: int, tick_size: Price = 1) -> int:
    """How many decimals an instrument's prices are printed with: what its tick needs, never fewer than two."""
    places = len(str(price_scale)) - 1
    while places > 2 and tick_size % 10 == 0:
        tick_size //= 10
        places -= 1
    return places


def price(value: Price, price_scale: int = 100, tick_size: Price = 1, *, signed: bool = False) -> str:
    """A price without symbol: `1,234.50`; four decimals in the currency segment."""
    text = decimal(Decimal(abs(value)) / price_scale, price_places(price_scale, tick_size))
    return _sign(value, signed=signed) + text


def change(value: Price, base: Price, price_scale: int = 100, tick_size: Price = 1) -> str:
    """A change in points and percent of `base`: `+12.50 (+0.84%)`."""
    points = price(value, price_scale, tick_size, signed=True)
    if base == 0:
        return points
    return f"{points} ({percent(Decimal(value) * 100 / base, signed=True)})"


def percent(value: Decimal, places: int = 2, *, signed: bool = False) -> str:
    """A percentage: `0.84%`, signed `+0.84%`."""
    rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return f"{_sign(rounded, signed=signed)}{decimal(abs(rounded), places)}%"


def quantity(units: int, lot_size: int = 1) -> str:
    """Units, and lots where the contract trades in lots: `75 · 1 lot`, `-150 · 2 lots`."""
    if lot_size <= 1 or units % lot_size or units == 0:
        return group(units)
    lots = abs(units) // lot_size
    return f"{group(units)} · {group(lots)} {'lot' if lots == 1 else 'lots'}"


def volume(units: int) -> str:
    """Traded units, short: `842`, `12.4k`, `3.18 L`, `1.2 Cr`."""
    for unit, name in ((_CRORE, " Cr"), (_LAKH, " L"), (Decimal(1000), "k")):
        if units >= unit:
            short = f"{(units / unit).quantize(PAISA, ROUND_HALF_UP):f}".rstrip("0").rstrip(".")
            return f"{short}{name}"
    return str(units)


# --- moments -------------------------------------------------------------------------------------------------------


def moment(at: Nanos) -> datetime:
    """The moment in IST, to the microsecond."""
    seconds, nanos = divmod(at, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000).astimezone(IST)


def time(at: Nanos) -> str:
    """`14:05:09`."""
    return f"{moment(at):%H:%M:%S}"


def clock(at: Nanos) -> str:
    """`14:05`."""
    return f"{moment(at):%H:%M}"


def day(value: date) -> str:
    """`21 Nov 2026`, in English whatever the system speaks."""
    return f"{value.day:02d} {_MONTHS[value.month - 1]} {value.year}"


def short_day(value: date) -> str:
    """`21 Nov`."""
    return f"{value.day} {_MONTHS[value.month - 1]}"


def month(value: date) -> str:
    """`Nov`."""
    return _MONTHS[value.month - 1]


def day_of(at: Nanos) -> str:
    """The day of a moment in IST."""
    return day(moment(at).date())


def date_time(at: Nanos) -> str:
    """`21 Nov 2026 14:05:09`."""
    return f"{day_of(at)} {time(at)}"


def age(milliseconds: int | None) -> str:
    """How old something is: `0.4 s`, `12 s`, `3 min`, `2 h`."""
    if milliseconds is None:
        return NOTHING
    seconds = milliseconds / 1000
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


# --- what a trader types -------------------------------------------------------------------------------------------


def from_home(folder: str) -> str:
    """A path as people write it: `~/.local/share/stopline`."""
    try:
        return str("~" / Path(folder).relative_to(Path.home()))
    except (ValueError, RuntimeError):  # elsewhere, or nobody's home
        return folder


def parse(text: str) -> Decimal:
    """A typed number: `1,23,456.50`, `₹1.5L`, `2cr`, `75k`, `-₹12`.

    Raises ValueError in words for the trader; never guesses.
    """
    plain = "".join(text.split()).lower().replace(RUPEE, "").replace("−", "-").removesuffix("%")
    found = _TYPED.match(plain)
    if found is None:
        if not text.strip():
            raise ValueError("a number is missing")
        mark = ": a comma groups thousands, a point begins the decimals" if "," in text else ""
        raise ValueError(f"“{text.strip()}” is not a number{mark}")
    unit = found["unit"]
    if unit and unit not in _UNITS:
        raise ValueError(f"“{unit}” is not a unit: k, L and Cr are")
    try:
        value = Decimal(found["sign"] + found["digits"].replace(",", ""))
    except InvalidOperation:
        raise ValueError(f"“{text.strip()}” is not a number") from None
    value *= _UNITS.get(unit, Decimal(1))
    if abs(value) >= _LARGEST:
        raise ValueError("the number is too large")
    return value


def parse_amount(text: str) -> Paise:
    """Typed money as paise. Raises ValueError for fractions of a paisa."""
    paise = parse(text) * 100
    if paise != int(paise):
        raise ValueError("money has no more than two decimals")
    return int(paise)


def parse_price(text: str, price_scale: int = 100) -> Price:
    """A typed price in minor units. Raises ValueError when it has more decimals than the instrument."""
    value = parse(text) * price_scale
    if abs(value) >= _LARGEST * 10:
        raise ValueError("the number is too large")
    if value != int(value):
        raise ValueError(f"this instrument has {price_places(price_scale)} decimals")
    return int(value)


def parse_quantity(text: str) -> int:
    """Typed units: `75k` is 75,000; `75 · 1 lot` reads its units. Raises ValueError for fractions."""
    value = parse(text.partition("·")[0])
    if value != int(value):
        raise ValueError("a quantity is a whole number")
    return int(value)
