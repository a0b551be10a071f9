"""A field for a quantity: in units, typed in units or lots."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from app.domain.instrument import Instrument
from app.ui import format as fmt
from app.ui.widgets.number_edit import NumberEdit


class QuantityEdit(NumberEdit):
    """Its value is in units. `2 lots` and `75k` are understood; what is not a whole number of lots is refused."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lot = 1
        self.setPlaceholderText("Quantity")
        self.setAccessibleName("Quantity")

    def set_instrument(self, instrument: Instrument) -> None:
        """Whose lot holds; the field shows one lot."""
        self._lot = max(instrument.lot_size, 1)
        self.set_value(self._lot)

    def read(self, text: str) -> int:
        """Raises ValueError off the lot."""
        plain = text.strip().lower()
        if "·" not in plain and plain.removesuffix("s").endswith("lot"):
            units = fmt.parse_quantity(plain.removesuffix("s").removesuffix("lot")) * self._lot
        else:
            units = fmt.parse_quantity(plain)
        if units <= 0:
            raise ValueError("a quantity is above zero")
        if units % self._lot:
            below = units // self._lot * self._lot
            near = [fmt.quantity(n, self._lot) for n in (below, below + self._lot) if n]
            raise ValueError(f"the lot is {self._lot}: {' or '.join(near)}")
        return units

    def written(self, value: int) -> str:
        """Units, and lots where there are any."""
        return fmt.quantity(value, self._lot)

    def stepped(self, value: int, steps: int) -> int:
        """By lots, never below one."""
        return max((value // self._lot + steps) * self._lot, self._lot)
