"""The trading calendar, kept fresh by a broker that tells holidays and session times (Upstox does). Loop thread only.

The files that ship with the program are the ground; what a broker knows better is kept in the book and laid over them
at every start. What each may change is in `TradingCalendar.with_news`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from typing import Final

import msgspec

from app.brokers.parts import CalendarSource, HolidayKind, MarketDay
from app.desk.workspace import Workspace
from app.domain.calendar import DayNews, TradingCalendar, Window, ist_date, midnight_seconds
from app.domain.errors import AppError, printable
from app.domain.events import Level, Noticed
from app.domain.ids import AccountId
from app.domain.instrument import Segment

NEWS = "calendar.news"
ASKED = "calendar.asked_on"
"""Setting: the day on which a broker was asked last."""

MARKETS: Final = {"NSE": Segment.EQUITY, "CDS": Segment.CURRENCY, "MCX": Segment.COMMODITY}
"""Brokers' codes of the exchanges that a calendar is kept of; one for each market."""

_SECOND: Final = 1_000_000_000

log = logging.getLogger(__name__)


def news_of(days: Sequence[MarketDay]) -> tuple[DayNews, ...]:
    """What special days mean for each market. On a settlement holiday there is trading: nothing."""
    found = []
    for day in days:
        if day.kind is HolidayKind.SETTLEMENT_HOLIDAY:
            continue
        midnight = midnight_seconds(day.on)
        for code, segment in MARKETS.items():
            windows: tuple[Window, ...] = tuple(
                (one.start // _SECOND - midnight, one.end // _SECOND - midnight)
                for one in day.open
                if one.exchange == code
            )
            if windows or code in day.closed:
                found.append(DayNews(day.on, segment, printable(day.description, 80) or "holiday", windows))
    return tuple(found)


class CalendarNews:
    """Lays brokers' news over the shipped calendar."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._shipped = workspace.calendar

    async def opened(self) -> None:
        """What was told before, from the book."""
        kept = await self._workspace.book.settings.get(NEWS)
        if kept:
            try:
                self._lay(msgspec.json.decode(kept, type=tuple[DayNews, ...]), self._today(None))
            except msgspec.DecodeError as bad:
                log.warning("the stored calendar news cannot be read and is asked for again: %s", bad)

    async def ask(self, account: AccountId) -> None:
        """Asks the account's broker, once a day, if it is one that tells. A failure is for the log: the files stand."""
        desk = self._workspace.accounts.get(account)
        broker: object = None if desk is None or not desk.active else desk.broker
        if not isinstance(broker, CalendarSource):
            return
        today, settings = self._today(account), self._workspace.book.settings
        if await settings.get(ASKED) == today.isoformat():
            return
        try:
            news = news_of(await broker.market_days())
        except AppError as failure:
            log.info("calendar of %s: %s", account, failure)
            return
        await settings.put(NEWS, msgspec.json.encode(news).decode())
        await settings.put(ASKED, today.isoformat())
        for one in self._lay(news, today):
            what = "closed" if not one.windows else "open at special hours"
            self._workspace.publish(
                Noticed(
                    Level.INFO,
                    f"The calendar was corrected: {one.on.isoformat()} is {what}",
                    f"{one.name} ({one.segment.value}), as your broker says.",
                    "",
                    account,
                    f"calendar:{one.segment.value}:{one.on.isoformat()}",
                )
            )

    def _lay(self, news: Sequence[DayNews], today: date) -> tuple[DayNews, ...]:
        if not isinstance(self._shipped, TradingCalendar):
            return ()
        calendar, taken = self._shipped.with_news(news, today)
        before = self._workspace.calendar
        known = before.news if isinstance(before, TradingCalendar) else ()
        self._workspace.calendar = calendar
        for desk in self._workspace.accounts.values():
            desk.hours.follow(calendar)
        return tuple(one for one in taken if one not in known)

    def _today(self, account: AccountId | None) -> date:
        desks = self._workspace.accounts
        clock = desks[account].clock if account is not None else next((d.clock for d in desks.values()), None)
        return ist_date(clock.now()) if clock is not None else date.min
