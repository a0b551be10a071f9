"""The market's part of the book: clock and prices every second, minute bars a few instruments at a time.

Saving everything at once would hold the loop for tens of milliseconds by the afternoon; so each round writes the whole
history of a sixtieth of the instruments, and of the others only what came since their turn. Loop thread only.
"""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Iterable
from datetime import date

from app.simulator.book import Book
from app.simulator.candles import Bar, local_day
from app.simulator.market import Market

ROUNDS = 60
"""Rounds in which every instrument has its turn."""
QUOTES_A_SECOND = 300
"""A large list is saved less often: so many quotes a second on the average."""
_BAR = struct.Struct("<IIIIIQI")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FOREVER = 2**62


class MarketMemory:
    """Saves one market into a book and brings it back."""

    def __init__(self, market: Market, book: Book) -> None:
        self._market = market
        self._book = book
        self._tokens = list(market.quotes)
        self._turn = 0
        self._saved_to: dict[int, int] = {}
        """By token: start of the newest bar that its own record holds."""
        self._day = local_day(market.clock.epoch())
        market.add_day_listener(self._on_day)
        self.seconds = max(1.0, len(self._tokens) / QUOTES_A_SECOND)
        """Real time between rounds."""

    def round(self) -> None:
        """Saves the present, and the whole history of the instruments whose turn it is. The caller commits."""
        if not self._book.remembers:
            return
        count = -(-len(self._tokens) // ROUNDS)
        self._save_bars(self._tokens[self._turn : self._turn + count])
        self._turn = (self._turn + count) % max(1, len(self._tokens))
        self._save_present()

    def everything(self) -> None:
        """Saves all of it. The caller commits."""
        if self._book.remembers:
            self._save_bars(self._tokens)
            self._save_present()

    def recall(self) -> None:
        """Brings the market back to where it was saved, if it was."""
        saved = self._book.load("market").get("present")
        if saved is None:
            return
        recent = saved.pop("recent")
        self._market.restore({**saved, "bars": {}})
        self._day = saved["day"]
        for token, packed in self._book.load("bars").items():
            self._put(int(token), _unpacked(packed))
        for token, packed in recent.items():
            self._put(int(token), _unpacked(packed))

    def _put(self, token: int, bars: Iterable[Bar]) -> None:
        if token in self._market.quotes:
            for bar in bars:
                self._market.bars.put(token, bar)

    def _save_bars(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            bars = self._market.bars.between(token, 0, _FOREVER)
            if bars:
                self._saved_to[token] = bars[-1][0]
                self._book.put("bars", str(token), _packed(bars))

    def _save_present(self) -> None:
        market = self._market
        recent = {}
        for token in self._tokens:
            bars = market.bars.between(token, self._saved_to.get(token, 0), _FOREVER)
            if bars:
                recent[str(token)] = _packed(bars)
        present = {
            "clock": market.clock.epoch(),
            "real": time.time(),
            "day": self._day,
            "listings": {
                str(row.token): [row.key, row.previous_close, row.lower_circuit, row.upper_circuit]
                for row in (quote.listing for quote in market.quotes.values())
            },
            "quotes": {str(token): quote.save() for token, quote in market.quotes.items()},
            "feed": market.feed.save(),
            "recent": recent,
        }
        self._book.put("market", "present", present)

    def _on_day(self, day: date) -> None:
        self._day = day.toordinal() - _EPOCH_DAY


def _packed(bars: Iterable[Bar]) -> str:
    return base64.b64encode(b"".join(_BAR.pack(*bar) for bar in bars)).decode()


def _unpacked(packed: str) -> list[Bar]:
    return list(_BAR.iter_unpack(base64.b64decode(packed)))
