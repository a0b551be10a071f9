"""Prices, charts and watchlists as the window asks for them. Loop thread only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.desk.account import AccountDesk
from app.desk.messages import ChartSeries, WatchlistView
from app.desk.workspace import Workspace
from app.domain.errors import AppError
from app.domain.events import FeedState
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Instrument
from app.domain.market import Interval, Tick

FIRST_LIST = "Watchlist 1"
FIRST_SYMBOLS = (
    "NSE:NIFTY 50",
    "NSE:NIFTY BANK",
    "NSE:RELIANCE",
    "NSE:HDFCBANK",
    "NSE:INFY",
    "NSE:SBIN",
    "NSE:TCS",
    "NSE:ICICIBANK",
)
"""What a new trader's list begins with, as far as the broker has it."""

_BRINGS = (FeedState.LIVE, FeedState.CLOSED)
"""Feed states in which what is not new has not traded."""


class MarketDesk:
    """Implements `desk.api.MarketVerbs`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._wanted: dict[str, tuple[InstrumentId, ...]] = {}
        self._shown_by: AccountId | None = None
        """Whose feed the views have."""
        self.arranged: Callable[[Sequence[AccountId]], Sequence[AccountId]] = tuple
        """Accounts in the order in which the trader wants their prices (E6)."""

    async def search(self, text: str, limit: int = 30) -> Sequence[Instrument]:
        """Search as you type."""
        return self._workspace.master.search(text, limit)

    async def instrument(self, instrument: InstrumentId) -> Instrument:
        """One instrument by id."""
        return self._workspace.instrument(instrument)

    async def instruments(self, instruments: Sequence[InstrumentId]) -> Sequence[Instrument]:
        """Many by id; unknown ones are left out."""
        return [found for name in instruments if (found := self._workspace.master.get(name)) is not None]

    async def subscribe(self, consumer: str, instruments: Sequence[InstrumentId]) -> None:
        """The whole set that a view wants ticks of."""
        self._wanted[consumer] = tuple(instruments)
        self.resubscribe()

    def resubscribe(self) -> None:
        """Hands every view's wishes to the account whose feed serves the display: the first that is logged in."""
        desk = self._display()
        self._shown_by = None if desk is None else desk.account
        if desk is None:
            return
        for other in self._workspace.live():
            if other is not desk:  # its feed serves its own stops alone
                for consumer in [*(f"view:{name}" for name in self._wanted), "charts"]:
                    other.hub.want(consumer, {})
        for consumer, instruments in self._wanted.items():
            known = [desk.instrument(name) for name in instruments]
            desk.hub.want(f"view:{consumer}", {i.token: i.id for i in known if i is not None})
        self._workspace.charts.move(desk.account, desk.instrument)
        charted = self._workspace.charts.tokens(desk.account)
        desk.hub.want("charts", {token: instrument.id for token, instrument in charted.items()})

    async def last_ticks(self, instruments: Sequence[InstrumentId]) -> Sequence[Tick]:
        """What is known already, so that a view does not start empty."""
        desk = self._display()
        if desk is None:
            return []
        return [tick for name in instruments if (tick := desk.hub.last_tick(name)) is not None]

    async def open_chart(self, consumer: str, instrument: InstrumentId, interval: Interval) -> ChartSeries:
        """History plus today; events follow."""
        known = self._workspace.instrument(instrument)
        desk = self._display()
        if desk is None:
            return ChartSeries(known, interval, (), complete=False, cause="No account is logged in.")
        listed = desk.instrument(instrument)
        if listed is None:
            cause = f"The broker whose prices are shown does not list {instrument}. Refresh its instruments."
            return ChartSeries(known, interval, (), complete=False, cause=cause)
        hours = desk.hours.of_instrument(listed)
        chart = self._workspace.charts.open(consumer, desk.account, listed, interval, hours)
        self.resubscribe()
        try:
            candles = await self._workspace.charts.series(chart, desk.broker, desk.clock.now())
        except AppError as failure:
            return ChartSeries(listed, interval, tuple(chart.closed), complete=False, cause=str(failure))
        return ChartSeries(listed, interval, tuple(candles), complete=True)

    async def close_chart(self, consumer: str) -> None:
        """The view is gone."""
        self._workspace.charts.close(consumer)
        self.resubscribe()

    async def watchlists(self) -> Sequence[WatchlistView]:
        """The trader's lists; a new profile begins with one."""
        found = await self._workspace.book.watchlists.load()
        if not found and len(self._workspace.master):
            first = tuple(InstrumentId(s) for s in FIRST_SYMBOLS if self._workspace.master.get(InstrumentId(s)))
            await self._workspace.book.watchlists.save(FIRST_LIST, first)
            found = [(FIRST_LIST, first)]
        return [WatchlistView(name, instruments) for name, instruments in found]

    async def save_watchlist(self, watchlist: WatchlistView) -> None:
        """Makes or replaces a list."""
        await self._workspace.book.watchlists.save(watchlist.name, watchlist.instruments)

    def follow(self) -> None:
        """A feed came or went: the views change to the next account's where theirs is silent."""
        desk = self._display()
        if desk is not None and desk.account != self._shown_by:
            self.resubscribe()

    def unpriced(self) -> list[InstrumentId]:
        """What the views show and no feed brings now, in their order."""
        desk = self._display()
        wanted = dict.fromkeys(name for names in self._wanted.values() for name in names)
        if desk is None or desk.hub.state not in _BRINGS:
            return list(wanted)
        dead = desk.hub.unheard()
        return [name for name in wanted if name in dead or desk.hub.last_tick(name) is None]

    def _display(self) -> AccountDesk | None:
        """The first of the trader's order whose feed brings prices; where none does, the first that is logged in."""
        desks = {desk.account: desk for desk in self._workspace.live()}
        there = [desks[account] for account in self.arranged(tuple(desks)) if account in desks]
        good = (desk for desk in there if desk.hub.state in _BRINGS)
        return next(good, there[0] if there else None)
