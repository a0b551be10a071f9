"""The desk as its callers see it. Every verb is a coroutine of the loop thread and raises `AppError` or is a bug.

The window reaches it through `ui.bridge`, the command line directly or over the profile's local socket. It is a
protocol so that the desk can be hosted in another process without touching a view: only the frozen types of
`desk.messages` and `domain` cross.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from app.desk.api_accounts import BrowserLoginVerbs, SessionVerbs
from app.desk.api_data import DataVerbs, ExportVerbs, HealthVerbs, MetricVerbs, ReportVerbs
from app.desk.api_quotes import QuoteVerbs
from app.desk.flatten_messages import FlattenChoice, FlattenPlan, FlattenReport
from app.desk.flight_verbs import FlightVerbs
from app.desk.messages import (
    AuditLine,
    ChartSeries,
    CurvePoint,
    NoticeLine,
    OrderPreview,
    StopPreview,
    SyncRun,
    SyncStatus,
    SyncSummary,
    TradePage,
    WatchlistView,
)
from app.desk.services_verbs import ServiceVerbs
from app.desk.strategy_verbs import StrategyVerbs
from app.domain.coverage import Coverage
from app.domain.day_stop import DayLimits, DayStop
from app.domain.events import Event
from app.domain.gtt import Gtt, GttRequest
from app.domain.guard import AwayReport, Farewell, GuardSettings, GuardView
from app.domain.ids import AccountId, BrokerOrderId, GttId, InstrumentId, Nanos, OrderId, StopId
from app.domain.instrument import Instrument
from app.domain.listing import ImportReport, InstrumentList
from app.domain.market import Interval, Tick
from app.domain.money import Price
from app.domain.order import Order, OrderRequest
from app.domain.portfolio import Conversion, Funds, Holding, HoldingsAuthorisation, Position, PositionKey
from app.domain.stop import Stop, StopPlan
from app.domain.sync import Conflicts, SyncPlan
from app.runtime.secret import Secret


class MarketVerbs(Protocol):
    """Prices, instruments, candles, watchlists."""

    async def search(self, text: str, limit: int = 30) -> Sequence[Instrument]: ...
    async def instrument(self, instrument: InstrumentId) -> Instrument: ...
    async def instruments(self, instruments: Sequence[InstrumentId]) -> Sequence[Instrument]:
        """Those of them that are known; for a window that learns hundreds at once."""
        ...

    async def subscribe(self, consumer: str, instruments: Sequence[InstrumentId]) -> None:
        """The whole set that `consumer` (a view's name) wants ticks of, replacing its last one."""
        ...

    async def last_ticks(self, instruments: Sequence[InstrumentId]) -> Sequence[Tick]: ...
    async def open_chart(self, consumer: str, instrument: InstrumentId, interval: Interval) -> ChartSeries:
        """History plus today; from now on CandleChanged and CandleClosed events of it arrive."""
        ...

    async def close_chart(self, consumer: str) -> None: ...
    async def watchlists(self) -> Sequence[WatchlistView]: ...
    async def save_watchlist(self, watchlist: WatchlistView) -> None: ...


class InstrumentVerbs(Protocol):
    """The brokers' instrument lists (D1 to D6)."""

    async def lists(self) -> Sequence[InstrumentList]:
        """Every list that an account needs or that was imported, with its statistics."""
        ...

    async def log(self, limit: int = 50) -> Sequence[ImportReport]:
        """Imports, newest first."""
        ...

    async def sync(
        self, name: str | None = None, source: str | None = None, trigger: str = "manual", *, confirmed: bool = False
    ) -> Sequence[ImportReport]:
        """Imports one list or all. `source`: a kind of source, a web address or a file; None tries them in order.

        A failed import is in its report. Raises Denied when another one runs, Cancelled.
        """
        ...

    async def confirm(self, name: str) -> ImportReport:
        """What the list that lost a segment no longer has becomes inactive."""
        ...

    async def cancel(self) -> None: ...


class TradingVerbs(Protocol):
    """Orders."""

    async def orders(self) -> Sequence[Order]: ...
    async def preview(self, request: OrderRequest) -> OrderPreview: ...
    async def place(self, request: OrderRequest) -> OrderId:
        """Journalled, then sent once; returns when the broker acknowledged it.
        Raises Denied, Rejected, OutcomeUnknown."""
        ...

    async def modify(
        self,
        account: AccountId,
        order: BrokerOrderId,
        *,
        quantity: int | None = None,
        price: Price | None = None,
        trigger_price: Price | None = None,
    ) -> None: ...
    async def cancel(self, account: AccountId, order: BrokerOrderId) -> None: ...
    async def take_back(self, account: AccountId, order: OrderId) -> None: ...
    async def square_off(self, position: PositionKey) -> OrderId:
        """Closes the whole position; a stop on it then closes by itself."""
        ...

    async def convert(self, conversion: Conversion) -> None:
        """Moves a position to another product; its stop goes along. Raises Denied, Rejected, OutcomeUnknown."""
        ...

    async def authorise(self, account: AccountId, instrument: InstrumentId | None = None) -> HoldingsAuthorisation:
        """A page that releases a holding, or all of them, for sale at the depository."""
        ...


class GttVerbs(Protocol):
    """Triggers that rest at the broker (GTT): they outlive the day and this program."""

    async def gtts(self) -> Sequence[Gtt]:
        """Those that wait, and those that ended lately; read now. GttsChanged tells what is new."""
        ...

    async def place(self, request: GttRequest) -> GttId:
        """Sent once. Raises Denied, Rejected, OutcomeUnknown."""
        ...

    async def modify(self, gtt: GttId, request: GttRequest) -> None: ...
    async def delete(self, account: AccountId, gtt: GttId) -> None: ...


class StopVerbs(Protocol):
    """Local stops."""

    async def stops(self) -> Sequence[Stop]:
        """All that are not final, and those that ended today."""
        ...

    async def coverage(self) -> Sequence[Coverage]:
        """What protects each open position; afterwards `CoverageChanged` tells."""
        ...

    async def preview(self, position: PositionKey, trigger: Price, backstop: Price | None = None) -> StopPreview:
        """What a stop there would mean. `backstop`: how far behind it an order rests at the exchange."""
        ...

    async def arm(self, position: PositionKey, plan: StopPlan) -> Stop:
        """Returns when the exit is durable in the journal and the stop watches. Raises Denied in words."""
        ...

    async def foresee(self, position: PositionKey, plan: StopPlan) -> StopPreview:
        """What a whole plan would mean; `denied` says why it cannot be armed."""
        ...

    async def underlying(self, instrument: InstrumentId) -> InstrumentId | None:
        """What a contract is written on; None for what is no derivative."""
        ...

    async def resume(self, stop: StopId, plan: StopPlan) -> Stop:
        """The answer to a suspended stop: it watches again by this plan. Raises Denied in words."""
        ...

    async def day_stops(self) -> Sequence[DayStop]:
        """The portfolio stop of each account; DayStopChanged tells what is new."""
        ...

    async def set_day_limits(self, account: AccountId, limits: DayLimits) -> DayStop:
        """Tighter limits hold at once, looser ones from tomorrow. Raises Denied."""
        ...

    async def move(self, stop: StopId, trigger: Price) -> Stop: ...
    async def change(self, stop: StopId, plan: StopPlan) -> Stop:
        """Another plan for an armed stop. The old one watches until the new one is durable. Raises as `arm`."""
        ...

    async def disarm(self, stop: StopId) -> Stop: ...
    async def audit(self, limit: int = 200) -> Sequence[AuditLine]: ...


class PortfolioVerbs(Protocol):
    """Positions, the book, sync."""

    async def positions(self) -> Sequence[Position]: ...
    async def holdings(self) -> Sequence[Holding]: ...
    async def funds(self) -> Sequence[Funds]: ...
    async def break_even(self, position: PositionKey) -> Price | None:
        """The price at which closing nets zero after all charges, on a tick, rounded away from loss."""
        ...

    async def trades(
        self,
        *,
        text: str = "",
        account: AccountId | None = None,
        since: Nanos | None = None,
        offset: int = 0,
        limit: int = 500,
    ) -> TradePage: ...
    async def day_curve(self) -> Sequence[CurvePoint]: ...
    async def sync(self, account: AccountId | None = None, trigger: str = "manual") -> SyncSummary: ...
    async def cancel_sync(self) -> None: ...
    async def sync_log(self, limit: int = 200) -> Sequence[SyncRun]: ...


class SyncVerbs(Protocol):
    """The sync beyond its one click."""

    async def status(self) -> SyncStatus: ...
    async def run(
        self,
        account: AccountId | None = None,
        trigger: str = "manual",
        since: date | None = None,
        until: date | None = None,
    ) -> SyncSummary:
        """What the brokers list today, or the trades of some dates. Raises Denied in words where a broker does not
        keep them."""
        ...

    async def save_plan(self, plan: SyncPlan) -> None:
        """Raises Denied when it makes no sense."""
        ...

    async def settle(self, conflict: int, take: Conflicts) -> None:
        """BROKER takes what the broker says now, BOOK keeps what is there. Raises Denied when it is settled."""
        ...

    async def retry(self, job: int) -> SyncSummary: ...
    async def discard(self, job: int) -> None: ...
    async def backfill(self, account: AccountId, since: date) -> None:
        """Fetches the past in the background. Raises Denied where the broker keeps none."""
        ...

    async def stop_backfill(self, account: AccountId) -> None:
        """Ends it; what was fetched stays. Raises Denied when none is under way."""
        ...

    async def import_file(self, account: AccountId, path: str) -> SyncSummary:
        """Takes the broker's tradebook file. Raises Denied and BadAnswer in words; then nothing was imported."""
        ...

    async def close_day(self, account: AccountId, day: str) -> None:
        """The trader has checked a flagged day against the contract note."""
        ...


class GuardVerbs(Protocol):
    """What stands behind armed stops when this program, this computer or the feed fails."""

    async def view(self) -> GuardView: ...
    async def save_settings(self, settings: GuardSettings) -> None: ...
    async def absences(self, limit: int = 50) -> Sequence[AwayReport]:
        """When nobody was at this desk and what happened, newest first. A Returned event brings each by itself."""
        ...

    async def leave(self, how: Farewell) -> None:
        """How a guard is left when this desk ends; without a word it takes over while stops are armed."""
        ...

    async def lock_screen(self) -> None:
        """Raises Denied where no passphrase could unlock it. Armed stops are guarded on."""
        ...

    async def unlock_screen(self, passphrase: Secret) -> None:
        """Raises WrongPassphrase."""
        ...


class NoticeVerbs(Protocol):
    """What the trader was told, kept for 90 days or as the settings say."""

    async def recent(self, limit: int = 500) -> Sequence[NoticeLine]:
        """Newest first, those of earlier runs too."""
        ...

    async def mark_read(self) -> int:
        """The trader has looked. How many were unread."""
        ...


class FlattenVerbs(Protocol):
    """Everything flat, by one command (F9)."""

    async def plan(self, choice: FlattenChoice) -> FlattenPlan:
        """What there is, read now. Raises Denied when nobody is logged in."""
        ...

    async def run(self, choice: FlattenChoice) -> FlattenReport:
        """Cancels and exits; returns when the broker's books show it, or what is left. Raises Denied."""
        ...


class EventHandler(Protocol):
    """Called on the loop thread for each event; must return at once."""

    def __call__(self, event: Event, /) -> None: ...


class Desk(Protocol):
    """Everything that the trader can ask of the program."""

    @property
    def session(self) -> SessionVerbs: ...
    @property
    def market(self) -> MarketVerbs: ...
    @property
    def instruments(self) -> InstrumentVerbs: ...
    @property
    def trading(self) -> TradingVerbs: ...
    @property
    def stops(self) -> StopVerbs: ...
    @property
    def portfolio(self) -> PortfolioVerbs: ...
    @property
    def data(self) -> DataVerbs: ...
    @property
    def sync(self) -> SyncVerbs: ...
    @property
    def health(self) -> HealthVerbs: ...
    @property
    def gtts(self) -> GttVerbs: ...
    @property
    def notices(self) -> NoticeVerbs: ...
    @property
    def flatten(self) -> FlattenVerbs: ...
    @property
    def guard(self) -> GuardVerbs: ...
    @property
    def strategies(self) -> StrategyVerbs: ...
    @property
    def services(self) -> ServiceVerbs: ...
    @property
    def flights(self) -> FlightVerbs: ...
    @property
    def browser(self) -> BrowserLoginVerbs: ...
    @property
    def quotes(self) -> QuoteVerbs: ...
    @property
    def exports(self) -> ExportVerbs: ...
    @property
    def metrics(self) -> MetricVerbs: ...
    @property
    def reports(self) -> ReportVerbs: ...

    def listen(self, handler: EventHandler) -> None: ...
    def unlisten(self, handler: EventHandler) -> None: ...
