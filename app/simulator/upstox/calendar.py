"""Routes of the trading calendar: holidays, timings, status (B14)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from aiohttp import web

from app.simulator.faults import Faults
from app.simulator.market import Market
from app.simulator.upstox.envelope import refuse, success
from app.simulator.upstox.status import CALENDARS, holiday, phases, session, special, status


class CalendarRoutes:
    """Handlers over the exchange's clock."""

    def __init__(self, market: Market, faults: Faults) -> None:
        self._market = market
        self._faults = faults

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_get("/v2/market/holidays", self.holidays, name="calendar:holidays")
        router.add_get("/v2/market/holidays/{date}", self.holiday, name="calendar:holiday")
        router.add_get("/v2/market/timings/{date}", self.timings, name="calendar:timings")
        router.add_get("/v2/market/status/{exchange}", self.status, name="status")

    async def holidays(self, _request: web.Request) -> web.Response:
        """GET /v2/market/holidays: of the exchange clock's year."""
        day = self._market.clock.now().date().replace(month=1, day=1)
        found = list[dict[str, Any]]()
        year = day.year
        while day.year == year:
            found += _rows(day)
            day += timedelta(days=1)
        return success(found)

    async def holiday(self, request: web.Request) -> web.Response:
        """GET /v2/market/holidays/{date}: empty for a day like others."""
        return success(_rows(_date(request)))

    async def timings(self, request: web.Request) -> web.Response:
        """GET /v2/market/timings/{date}: empty when everything is closed."""
        day = _date(request)
        rows = [_hours(exchange, day) for exchange in CALENDARS]
        return success([row for row in rows if row is not None])

    async def status(self, request: web.Request) -> web.Response:
        """GET /v2/market/status/{exchange}."""
        exchange = request.match_info["exchange"]
        if exchange not in CALENDARS:
            raise refuse("UDAPI1089", "Invalid exchange", path="exchange", value=exchange)
        word = status(exchange, self._market, self._faults.switches)
        now = int(self._market.clock.epoch() * 1000)
        return success({"exchange": exchange, "status": word, "last_updated": now})


def _rows(day: date) -> list[dict[str, Any]]:
    """A holiday, or a day with special hours; nothing for other days."""
    holidays = {exchange: name for exchange in CALENDARS if (name := holiday(exchange, day))}
    kinds = {exchange: kind for exchange in CALENDARS if (kind := special(exchange, day))}
    if not holidays and not kinds:
        return []
    opened = [row for exchange in CALENDARS if (row := _hours(exchange, day)) is not None]
    closed = [exchange for exchange in CALENDARS if not phases(exchange, day)]
    description = next(iter(holidays.values()), "") or next(iter(kinds.values()))
    return [
        {
            "date": day.isoformat(),
            "description": description,
            "holiday_type": "TRADING_HOLIDAY" if closed else "SPECIAL_TIMING",
            "closed_exchanges": closed,
            "open_exchanges": opened,
        }
    ]


def _hours(exchange: str, day: date) -> dict[str, Any] | None:
    found = session(exchange, day)
    return {"exchange": exchange, "start_time": found[0], "end_time": found[1]} if found is not None else None


def _date(request: web.Request) -> date:
    text = request.match_info["date"]
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refuse("UDAPI1088", "Invalid date", path="date", value=text) from None
