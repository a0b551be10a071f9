"""Where the paper exchange's prices come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from app.simulator.candles import Bar
from app.simulator.listing import Listings
from app.simulator.quote import Quote

if TYPE_CHECKING:
    from app.simulator.market import Market


class Feed(Protocol):
    """A source of prices. It plays in batches, each at one moment of exchange time; the market calls it."""

    listings: Listings
    always_open: bool
    """Trades whatever the clock says; a recorded day has its own hours."""
    keeps_past: bool
    """It has the bars of every day but the present one itself; else the market remembers them."""
    start_at: float | None
    """Where the exchange's clock begins when nobody sets it, in Unix seconds; None: no opinion."""

    def begin(self, market: Market, at: float) -> None:
        """First prices and today's past, at exchange time `at`. Called once, before anything else."""
        ...

    def next_at(self) -> float | None:
        """Exchange time of the next batch; None when the source has ended."""
        ...

    def play(self, market: Market) -> list[Quote]:
        """Plays that batch: changes quotes, and gives those that changed, each once."""
        ...

    def jumped(self, market: Market, at: float) -> None:
        """The clock was set to `at`."""
        ...

    def moved(self, quote: Quote) -> None:
        """A price was set by hand: go on from there."""
        ...

    def minutes(self, token: int, start: int, end: int) -> list[Bar]:
        """Minute bars of before `begin`, start <= time < end."""
        ...

    def days(self, token: int, start: int, end: int) -> list[Bar]:
        """The same past as day bars."""
        ...

    def save(self) -> dict[str, object]:
        """Its position, JSON-able."""
        ...

    def load(self, saved: dict[str, object]) -> None:
        """Takes over a saved position; quotes and bars are restored by the market. Raises ValueError when it was saved
        by another feed."""
        ...
