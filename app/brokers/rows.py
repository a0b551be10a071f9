"""Reading an Indian broker's JSON rows strictly: a missing or odd field is a `BadAnswer` that names it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from enum import Enum
from typing import Any, TypeVar

from app.domain.errors import BadAnswer
from app.domain.ids import Nanos
from app.domain.instrument import Exchange
from app.domain.market import Candle
from app.domain.money import Price

IST = timezone(timedelta(hours=5, minutes=30))
"""The brokers' naive times are Indian; no daylight saving."""

E = TypeVar("E", bound=Enum)

PRICE_SCALE: Mapping[Exchange, int] = {
    Exchange.NSE: 100,
    Exchange.NFO: 100,
    Exchange.BSE: 100,
    Exchange.BFO: 100,
    Exchange.MCX: 100,
    Exchange.CDS: 10_000_000,
    Exchange.BCD: 10_000,
    Exchange.NCO: 10_000,
}
"""Minor units in a rupee: the divisors of Kite's binary ticker (Kite Connect, WebSocket streaming), so that REST and
ticks speak the same integers, and both brokers the same of one contract."""

_UNREADABLE = (
    "Nothing of that answer was used, and what was read before stays. If it goes on, send the report of the Help menu."
)

LARGEST_POWER = 15
"""Of ten: beyond a thousand billions lies no quantity and no amount, and arithmetic with it may take for ever."""
LARGEST = 2**63 - 1
"""What the store can hold."""

NOISE = Decimal("0.0001")
"""Of a minor unit. Brokers send binary fractions unrounded (`0.5999999999999659`); anything above is a real decimal."""


def to_decimal(value: object) -> Decimal:
    """A JSON number, however it was decoded. Raises ValueError."""
    if isinstance(value, Decimal):
        number = value
    else:
        try:
            number = Decimal(str(value))  # null, true, lists and words fail here
        except InvalidOperation:
            raise ValueError("not a number") from None
    if not number.is_finite():
        raise ValueError("not a finite number")
    if number and number.adjusted() > LARGEST_POWER:
        raise ValueError("larger than any amount of this world")
    return number


def to_price(amount: Decimal, scale: int) -> Price:
    """Rupees to minor units, half up: for averages and marks, which may have more decimals than a tick. Raises
    ValueError for what no price can be."""
    price = int((amount * scale).to_integral_value(ROUND_HALF_UP))
    if abs(price) > LARGEST:
        raise ValueError("larger than any price of this world")
    return price


def to_exact_price(amount: Decimal, scale: int) -> Price:
    """Rupees to minor units for a price that was traded. Raises ValueError when it lies between two of them."""
    scaled = amount * scale
    price = scaled.to_integral_value(ROUND_HALF_UP)
    if abs(scaled - price) > NOISE or abs(price) > LARGEST:
        raise ValueError(f"{amount} is not a whole number of 1/{scale} rupees")
    return int(price)


def to_traded_price(amount: Decimal, scale: int) -> Price:
    """Rupees of a fill to minor units. Raises ValueError when they lie between two of them, or below nothing."""
    if amount < 0:
        raise ValueError(f"{amount} is below nothing")
    return to_exact_price(amount, scale)


def to_nanos(text: str) -> Nanos:
    """A broker's time, naive (then Indian) or with an offset, as a moment. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=IST)
    since = moment - _EPOCH
    nanos = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
    if abs(nanos) > LARGEST:
        raise ValueError("further away than this program counts")
    return nanos


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row:
    """One JSON object and what it is called in messages."""

    __slots__ = ("data", "what")

    def __init__(self, data: object, what: str) -> None:
        if not isinstance(data, Mapping):
            raise BadAnswer(f"The broker's answer has a {what} that is not an object.", detail=type(data).__name__)
        self.data: Mapping[str, Any] = data
        self.what = what

    def bad(self, key: str, why: str = "") -> BadAnswer:
        """The failure that names a field of this row."""
        shown = why or repr(self.data.get(key, "missing"))[:60]
        article = "an" if self.what[:1] in "aeiou" else "a"
        said = f"The broker sent {article} {self.what} that cannot be read."
        return BadAnswer(said, _UNREADABLE, detail=f"{key}: {shown}")

    def text(self, key: str) -> str:
        """A string that must be there."""
        value = self.data.get(key)
        if not isinstance(value, str) or not value:
            raise self.bad(key)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of words that must be there."""
        value = self.data.get(key)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self.bad(key)
        return tuple(value)

    def maybe_text(self, key: str) -> str | None:
        """A string; None for null, empty or absent."""
        value = self.data.get(key)
        if value is None or value == "":
            return None
        return value if isinstance(value, str) else str(value)

    def whole(self, key: str) -> int:
        """An integer that must be there; `1.0` is one too."""
        number = self.number(key)
        if number != int(number):
            raise self.bad(key)
        return int(number)

    def number(self, key: str, default: Decimal | None = None) -> Decimal:
        """A number; `default` for null and absent where given."""
        value = self.data.get(key)
        if value is None and default is not None:
            return default
        try:
            return to_decimal(value)
        except ValueError:
            raise self.bad(key) from None

    def price(self, key: str, scale: int) -> Price:
        """A price in minor units, rounded half up."""
        return self._priced(key, self.number(key), scale)

    def _priced(self, key: str, amount: Decimal, scale: int) -> Price:
        try:
            return to_price(amount, scale)
        except ValueError as odd:
            raise self.bad(key, str(odd)) from None

    def maybe_price(self, key: str, scale: int) -> Price | None:
        """A price; None for 0, which is how the brokers write "none"."""
        return self._priced(key, self.number(key, Decimal(0)), scale) or None

    def one_of(self, key: str, kind: type[E]) -> E:
        """A member of an enumeration. An unknown one is a BadAnswer, never a default."""
        try:
            return kind(self.data.get(key))
        except ValueError:
            raise self.bad(key) from None

    def time(self, key: str) -> Nanos:
        """A moment that must be there."""
        moment = self.maybe_time(key)
        if moment is None:
            raise self.bad(key)
        return moment

    def maybe_time(self, key: str) -> Nanos | None:
        """A moment; None for null, empty and the year 1, which Kite also uses for "never"."""
        value = self.data.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self.bad(key)
        if value.startswith("0001-"):
            return None
        try:
            return to_nanos(value)
        except ValueError:
            raise self.bad(key) from None

    def part(self, key: str) -> Row:
        """A nested object."""
        return Row(self.data.get(key), f"{self.what}.{key}")


def candle_from_row(data: Any, scale: int) -> Candle:
    """`[time, open, high, low, close, volume, (oi)]`, as both brokers write it. Raises BadAnswer."""
    try:
        start, opened, high, low, close, volume = data[:6]
        return Candle(
            start=to_nanos(start),
            open=to_price(to_decimal(opened), scale),
            high=to_price(to_decimal(high), scale),
            low=to_price(to_decimal(low), scale),
            close=to_price(to_decimal(close), scale),
            volume=int(volume),
        )
    except (ValueError, TypeError, KeyError) as bad:
        raise BadAnswer("The broker sent a candle that cannot be read.", detail=repr(data)[:80]) from bad
