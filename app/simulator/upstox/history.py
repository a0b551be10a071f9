"""Routes of candles, v2 and v3 (B11): newest first; the end of the range comes first in the path.

The historical calls end with yesterday; the present day is told by the intraday ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from aiohttp import web

from app.simulator.bodies import count
from app.simulator.candles import Bar, bucket, day_start, local_day
from app.simulator.clock import IST
from app.simulator.faults import Faults
from app.simulator.market import Market
from app.simulator.upstox.envelope import refuse, success
from app.simulator.upstox.keys import KeyBook

UNITS = {"minutes": (1, 300), "hours": (1, 5), "days": (1, 1), "weeks": (1, 1), "months": (1, 1)}
"""Unit -> smallest and largest interval."""
V2 = {
    "1minute": ("minutes", 1),
    "30minute": ("minutes", 30),
    "day": ("days", 1),
    "week": ("weeks", 1),
    "month": ("months", 1),
}
INTRADAY_V2 = ("1minute", "30minute")
INTRADAY_UNITS = ("minutes", "hours", "days")
SHORT_MINUTES = 15
V2_DAYS = {"1minute": 31, "30minute": 366, "day": 366, "week": 3653, "month": 3653}
Candle = tuple[str, float, float, float, float, int, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """What kind of candles."""

    unit: str
    count: int

    @property
    def most_days(self) -> int:
        """Longest range of one request; 0: none stated."""
        if self.unit == "minutes":
            return 31 if self.count <= SHORT_MINUTES else 92
        return {"hours": 92, "days": 3653}.get(self.unit, 0)

    @property
    def minutes(self) -> int:
        """Of one candle; 0 for a day and more."""
        return self.count * {"minutes": 1, "hours": 60}.get(self.unit, 0)


class HistoryRoutes:
    """Handlers over one market."""

    def __init__(self, market: Market, keys: KeyBook, faults: Faults) -> None:
        self._faults = faults
        self._market = market
        self._keys = keys

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        v2, v3 = "/v2/historical-candle", "/v3/historical-candle"
        router.add_get(v2 + "/intraday/{key}/{interval}", self.intraday, name="historical:intraday2")
        router.add_get(v3 + "/intraday/{key}/{unit}/{interval}", self.intraday, name="historical:intraday3")
        router.add_get(v3 + "/{key}/{unit:[a-z]+}/{interval}/{to}", self.past, name="historical:open3")
        router.add_get(v3 + "/{key}/{unit:[a-z]+}/{interval}/{to}/{from}", self.past, name="historical:range3")
        router.add_get(v2 + "/{key}/{interval}/{to}", self.past, name="historical:open2")
        router.add_get(v2 + "/{key}/{interval}/{to}/{from}", self.past, name="historical:range2")

    async def past(self, request: web.Request) -> web.Response:
        """Candles of the days before today, by default."""
        asked, path = _asked(request), request.match_info
        until = _day(path["to"], "to_date")
        since = _day(path["from"], "from_date") if "from" in path else None
        most = V2_DAYS[path["interval"]] if "unit" not in path else asked.most_days
        if since is None:
            since = until - timedelta(days=(most or 3653) - 1)
        elif since > until or (most and (until - since).days > most):
            raise refuse("UDAPI1148", "Invalid date range", path="from_date", value=path["from"])
        last = self._market.clock.now().date()
        if self._faults.switches.candles_today == "excluded":
            last -= timedelta(days=1)
        return success({"candles": self._candles(path["key"], asked, since, min(until, last))})

    async def intraday(self, request: web.Request) -> web.Response:
        """Candles of today."""
        asked, path = _asked(request), request.match_info
        allowed = asked.unit in INTRADAY_UNITS if "unit" in path else path["interval"] in INTRADAY_V2
        if not allowed:
            raise refuse("UDAPI1028", "The interval is invalid", path="interval", value=path["interval"])
        today = self._market.clock.now().date()
        return success({"candles": self._candles(path["key"], asked, today, today)})

    def _candles(self, key: str, asked: Asked, since: date, until: date) -> list[Candle]:
        token = self._keys.token(key)
        if token is None:
            raise refuse("UDAPI100011", "Invalid Instrument key", path="instrument_key", value=key)
        return candles_of(self._market, token, asked, since, until)


def candles_of(market: Market, token: int, asked: Asked, since: date, until: date) -> list[Candle]:
    """Of whole days, newest first."""
    if since > until:
        return []
    begin, end = datetime.combine(since, time(), IST), datetime.combine(until, time(23, 59, 59), IST)
    base = "minute" if asked.minutes else "day"
    bars: list[Bar] = [
        (int(at.timestamp()), opening, high, low, close, volume, oi)
        for at, opening, high, low, close, volume, oi in market.candles(token, base, begin, end)
    ]
    scale = market.quotes[token].listing.price_scale
    return [_row(bar, scale) for bar in reversed(_gathered(bars, asked))]


def _gathered(bars: list[Bar], asked: Asked) -> list[Bar]:
    """Longer candles from ascending short ones."""
    out: list[Bar] = []
    for at, opening, high, low, close, volume, oi in bars:
        start = _start(at, asked)
        if out and out[-1][0] == start:
            last = out[-1]
            out[-1] = (start, last[1], max(last[2], high), min(last[3], low), close, last[5] + volume, oi)
        else:
            out.append((start, opening, high, low, close, volume, oi))
    return out


def _start(at: int, asked: Asked) -> int:
    """Where the candle of a moment begins. Weeks begin on Monday."""
    if asked.minutes:
        return bucket(at, asked.minutes)
    day = date.fromordinal(local_day(at) + date(1970, 1, 1).toordinal())
    if asked.unit == "weeks":
        day -= timedelta(days=day.weekday())
    elif asked.unit == "months":
        day = day.replace(day=1)
    return day_start(day.toordinal() - date(1970, 1, 1).toordinal())


def _row(bar: Bar, scale: int) -> Candle:
    at, opening, high, low, close, volume, oi = bar
    moment = datetime.fromtimestamp(at, IST).isoformat(timespec="seconds")
    return (moment, opening / scale, high / scale, low / scale, close / scale, volume, oi)


def _asked(request: web.Request) -> Asked:
    path = request.match_info
    text = path["interval"]
    if "unit" not in path:
        if text not in V2:
            raise refuse("UDAPI1028", "The interval is invalid", path="interval", value=text)
        return Asked(*V2[text])
    unit = path["unit"]
    if unit not in UNITS:
        raise refuse("UDAPI1146", "The unit is invalid", path="unit", value=unit)
    low, high = UNITS[unit]
    if not low <= count(text) <= high:
        raise refuse("UDAPI1028", "The interval is invalid", path="interval", value=text)
    return Asked(unit, count(text))


def _day(text: str, path: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refuse("UDAPI1088", "Invalid date", path=path, value=text) from None
