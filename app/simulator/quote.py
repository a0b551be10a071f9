"""What the exchange knows of one instrument right now. Changed in place, by the market alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.simulator.listing import Listing

Level = tuple[int, int, int]
"""(price, quantity, orders) of one depth level."""

_SAVED = (
    "last_price",
    "last_quantity",
    "average_price",
    "volume",
    "turnover",
    "buy_quantity",
    "sell_quantity",
    "open",
    "high",
    "low",
    "close",
    "last_trade_time",
    "timestamp",
    "oi",
    "oi_day_high",
    "oi_day_low",
)


class Quote:
    """Prices in the listing's wire unit (paise), times in whole Unix seconds, 0 where there is nothing yet."""

    __slots__ = ("depth_buy", "depth_sell", "listing", "recorded", *_SAVED)

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.last_price = listing.previous_close
        self.last_quantity = 0
        self.average_price = 0
        self.volume = 0
        """Traded today."""
        self.turnover = 0
        """Sum of price x quantity today; the average price comes from it."""
        self.buy_quantity = 0
        self.sell_quantity = 0
        self.open = 0
        self.high = 0
        self.low = 0
        self.close = listing.previous_close
        """The previous session's close."""
        self.last_trade_time = 0
        self.timestamp = 0
        self.oi = 0
        self.oi_day_high = 0
        self.oi_day_low = 0
        self.depth_buy: list[Level] = []
        """Best first, at most five."""
        self.depth_sell: list[Level] = []
        self.recorded: Mapping[str, Any] | None = None
        """The message that a replayed recording of Upstox's feed has for this moment, whole; None: nothing recorded."""

    def level(self, price: int, at: float) -> None:
        """The price is `price` without a trade: an index's level, or a recorded minute in which nothing traded."""
        self.last_price = price
        self.recorded = None
        self.timestamp = int(at)
        if self.open == 0:
            self.open = self.high = self.low = price
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price

    def trade(self, price: int, quantity: int, at: float) -> None:
        """A trade printed; quantity 0 is a mere level."""
        self.level(price, at)
        if quantity:
            self.last_quantity = quantity
            self.last_trade_time = int(at)
            self.volume += quantity
            self.turnover += price * quantity
            self.average_price = (self.turnover + self.volume // 2) // self.volume

    def set_oi(self, oi: int) -> None:
        """Open interest, with its extremes of the day."""
        self.oi = oi
        self.oi_day_high = max(self.oi_day_high, oi)
        self.oi_day_low = min(self.oi_day_low, oi) if self.oi_day_low else oi

    def next_day(self, listing: Listing) -> None:
        """A new day: the last price is the previous close, nothing has traded."""
        self.listing = listing
        self.close = self.last_price
        self.open = self.high = self.low = 0
        self.volume = self.turnover = self.average_price = self.last_quantity = 0
        self.buy_quantity = self.sell_quantity = 0
        self.oi_day_high = self.oi_day_low = self.oi
        self.depth_buy, self.depth_sell = [], []
        self.recorded = None

    def save(self) -> list[object]:
        """JSON-able; `load` takes it back."""
        return [*(getattr(self, name) for name in _SAVED), self.depth_buy, self.depth_sell]

    def load(self, saved: list[object]) -> None:
        """Takes over what `save` gave, whole or not at all."""
        *numbers, buy, sell = saved
        if len(numbers) != len(_SAVED) or not all(isinstance(n, int) for n in numbers):
            raise ValueError(f"saved quote of {self.listing.key} is damaged")
        depth = (_levels(buy), _levels(sell))
        for name, number in zip(_SAVED, numbers, strict=True):
            setattr(self, name, number)
        self.depth_buy, self.depth_sell = depth


def _levels(saved: object) -> list[Level]:
    if not isinstance(saved, list):
        raise TypeError("saved depth is damaged")
    return [(int(price), int(quantity), int(orders)) for price, quantity, orders in saved]
