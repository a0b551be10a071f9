"""A field for a price: on the instrument's tick, in its decimals."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from app.domain.instrument import Instrument
from app.domain.money import Price, Rounding, from_minor, to_tick
from app.ui import format as fmt
from app.ui.widgets.number_edit import NumberEdit


class PriceEdit(NumberEdit):
    """Its value is in minor units. A price off the tick is refused in words with the nearest ones that are on it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scale = 100
        self._tick: Price = 5
        self.setPlaceholderText("Price")
        self.setAccessibleName("Price")

    def set_instrument(self, instrument: Instrument) -> None:
        """Whose tick and decimals hold; the field is emptied."""
        self._scale, self._tick = instrument.price_scale, instrument.tick_size
        self.set_value(None)

    def read(self, text: str) -> int:
        """Raises ValueError off the tick."""
        price = fmt.parse_price(text, self._scale)
        if price <= 0:
            raise ValueError("a price is above zero")
        below = to_tick(price, self._tick, Rounding.DOWN)
        if below != price:
            tick = f"{from_minor(self._tick, self._scale):f}"
            near = f"{self.written(below)} or {self.written(below + self._tick)}"
            raise ValueError(f"the tick is {tick}: {near}")
        return price

    def written(self, value: int) -> str:
        """With the instrument's decimals."""
        return fmt.price(value, self._scale, self._tick)

    def stepped(self, value: int, steps: int) -> int:
        """By ticks, never below one."""
        return max(to_tick(value, self._tick, Rounding.NEAREST) + steps * self._tick, self._tick)
