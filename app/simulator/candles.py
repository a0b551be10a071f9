"""Minute bars as the exchange recorded them, and Kite's longer intervals made of them. Pure."""

from __future__ import annotations

import base64
import re
import struct
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from app.simulator.clock import IST_SECONDS

Bar = tuple[int, int, int, int, int, int, int]
"""(start in Unix seconds, open, high, low, close, volume, open interest)."""

SESSION_OPEN = 9 * 60 + 15
"""Minutes after midnight IST; intraday intervals are counted from here."""
DAY = 86_400

MAX_DAYS = {
    "minute": 60,
    "3minute": 100,
    "5minute": 100,
    "10minute": 100,
    "15minute": 200,
    "30minute": 200,
    "60minute": 400,
    "day": 2000,
}
"""Longest range of one request by documented interval. The server also takes undocumented ones."""

_INTERVAL = re.compile(r"(\d{0,3})(minute|hour)")
_PACKED = struct.Struct("<IIIIIQI")


def interval_minutes(interval: str) -> int | None:
    """Minutes of an intraday interval, 0 for `day`, None for what the exchange does not know."""
    if interval == "day":
        return 0
    match = _INTERVAL.fullmatch(interval)
    if match is None:
        return None
    count = int(match[1] or 1) * (60 if match[2] == "hour" else 1)
    return count or None


def local_day(epoch: float) -> int:
    """Days since 1970 of the IST calendar."""
    return (int(epoch) + IST_SECONDS) // DAY


def day_start(day: int) -> int:
    """Midnight IST of a day number, in Unix seconds."""
    return day * DAY - IST_SECONDS


def bucket(start: int, minutes: int) -> int:
    """Start of the interval that a minute belongs to; `minutes` 0 is the day."""
    midnight = day_start(local_day(start))
    if not minutes:
        return midnight
    opening = midnight + SESSION_OPEN * 60
    return opening + (start - opening) // (minutes * 60) * (minutes * 60)


def aggregate(bars: Iterable[Bar], minutes: int) -> list[Bar]:
    """Longer bars from ascending minute bars."""
    out: list[Bar] = []
    for at, o, h, low, c, volume, oi in bars:
        start = bucket(at, minutes)
        if out and out[-1][0] == start:
            last = out[-1]
            out[-1] = (start, last[1], max(last[2], h), min(last[3], low), c, last[5] + volume, oi)
        else:
            out.append((start, o, h, low, c, volume, oi))
    return out


class BarBook:
    """Minute bars of the days that this exchange has lived through."""

    KEEP_DAYS = 12

    def __init__(self) -> None:
        self._bars: dict[int, list[Bar]] = {}
        self._packed: dict[int, tuple[int, bytes]] = {}
        """Token -> how many bars, all but the last, are packed already, and those: a save must be short."""

    def add(self, token: int, at: float, price: int, volume: int, oi: int) -> None:
        """A price printed; `volume` is what traded with it. An earlier minute than the last counts for the last."""
        start = int(at) // 60 * 60
        bars = self._bars.get(token)
        if bars is None:
            bars = self._bars[token] = []
        if bars and bars[-1][0] >= start:
            last = bars[-1]
            bars[-1] = (last[0], last[1], max(last[2], price), min(last[3], price), price, last[5] + volume, oi)
        else:
            bars.append((start, price, price, price, price, max(0, volume), oi))

    def put(self, token: int, bar: Bar) -> None:
        """A whole bar, replacing the one of its minute."""
        self._packed.pop(token, None)
        bars = self._bars.setdefault(token, [])
        place = bisect_left(bars, bar[0], key=_start)
        if place < len(bars) and bars[place][0] == bar[0]:
            bars[place] = bar
        else:
            bars.insert(place, bar)

    def between(self, token: int, start: int, end: int) -> list[Bar]:
        """Bars with start <= their start < end."""
        bars = self._bars.get(token, [])
        return bars[bisect_left(bars, start, key=_start) : bisect_left(bars, end, key=_start)]

    def forget_before(self, start: int) -> None:
        """Drops bars older than a moment."""
        self._packed.clear()
        for token, bars in self._bars.items():
            self._bars[token] = bars[bisect_left(bars, start, key=_start) :]

    def save(self) -> dict[str, str]:
        """JSON-able: token -> packed bars."""
        return {str(token): base64.b64encode(self._pack(token, bars)).decode() for token, bars in self._bars.items()}

    def _pack(self, token: int, bars: list[Bar]) -> bytes:
        count, packed = self._packed.get(token, (0, b""))
        packed += b"".join(_PACKED.pack(*bar) for bar in bars[count:-1])
        self._packed[token] = (max(0, len(bars) - 1), packed)
        return packed + (_PACKED.pack(*bars[-1]) if bars else b"")

    def load(self, saved: Mapping[str, str]) -> None:
        """Takes over what `save` gave."""
        self._packed.clear()
        self._bars = {
            int(token): list(_PACKED.iter_unpack(base64.b64decode(packed, validate=True)))
            for token, packed in saved.items()
        }


def _start(bar: Bar) -> int:
    return bar[0]
