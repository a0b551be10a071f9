"""Auctions of shares that somebody failed to deliver (A8): which are open, and how one ends. Loop thread only."""

from __future__ import annotations

from app.simulator.book import Book
from app.simulator.form import OrderForm
from app.simulator.oms import OrderSystem
from app.simulator.refusal import bad_input


class Auctions:
    """Instrument key -> number of its open auction. Opened and ended by the exchange's own door."""

    def __init__(self, oms: OrderSystem, book: Book) -> None:
        self._oms = oms
        self._book = book
        self.open: dict[str, str] = {}

    def begin(self, key: str, number: str) -> None:
        """Bids are taken from now on."""
        self.open[key] = number
        self._book.put("auction", key, number)
        self._book.commit(durable=True)

    def end(self, key: str, price: int) -> None:
        """Bids up to the price (paise; 0: none) are filled at it, the others are cancelled."""
        number = self.open.pop(key, None)
        if number is None:
            raise bad_input(f"There is no auction of {key}.")
        self._book.drop("auction", key)
        for order in self._oms.records.live():
            if order.key == key and order.auction_number == number:
                self._oms.settle_auction(order, price)
        self._book.commit(durable=True)

    def check(self, form: OrderForm) -> None:
        """A bid belongs to an open auction."""
        if not form.auction_number or self.open.get(form.key) != form.auction_number:
            raise bad_input("Invalid `auction_number`: there is no such auction now.")

    def load(self) -> None:
        """From the book."""
        self.open = self._book.load("auction")
