"""Facts, in the past tense, frozen. They cross threads by the bus; all of them survive serialisation (tested)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.domain.day_stop import DayStop
from app.domain.gtt import Gtt
from app.domain.guard import AwayReport, Companion
from app.domain.health import PreflightReport
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos, OrderId, StopId, StrategyId, Tag
from app.domain.market import Candle, Interval, Tick
from app.domain.order import Order, OrderRequest
from app.domain.portfolio import Funds, Holding, Position
from app.domain.stop import Stop
from app.domain.strategy import Strategy, StrategyMark
from app.domain.sync import DataSet, ErrorClass


@dataclass(frozen=True, slots=True)
class Event:
    """Base of every fact on the bus."""


class Level(StrEnum):
    """How loud a notice is."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class Noticed(Event):
    """Something the trader should read. `repeat_key` merges repeats."""

    level: Level
    title: str
    cause: str = ""
    next_step: str = ""
    account: AccountId | None = None
    repeat_key: str = ""
    order: BrokerOrderId | None = None
    """One of the trader's own open orders, placed here, whose cancel solves it: a click away."""


@dataclass(frozen=True, slots=True)
class TicksConflated(Event):
    """The latest tick of each instrument that changed, at most every 50 ms an instrument (E4)."""

    ticks: tuple[Tick, ...]


class FeedState(StrEnum):
    """What a tick stream is worth. Only `LIVE` lets a stop decide."""

    OFF = "off"
    CONNECTING = "connecting"
    LIVE = "live"
    SILENT = "silent"
    """Connected, but no data for 3 s while the market trades: an alarm, not a calm market."""
    CLOSED = "closed"
    """Connected, and no session is open."""
    DOWN = "down"
    REFUSED = "refused"
    """The session is dead: log in again."""


@dataclass(frozen=True, slots=True)
class FeedChanged(Event):
    """State of one account's feed, at least once a second while it is on."""

    account: AccountId
    state: FeedState
    data_age_ms: int | None
    """Since the last tick of any instrument was received; None before the first."""
    subscribed: int
    """Instruments that its connections carry."""
    exchange_lag_ms: int | None = None
    """Receive time less exchange time of the newest tick."""
    unheard: int = 0
    """Instruments of watchlists and charts of which nothing comes, while the stops' own connection may well live."""
    orders_are_read: bool = False
    """Order updates have stopped while prices go on: the order book is read every few seconds instead."""
    left_out: int = 0
    """Instruments that are wanted, and the broker's connections have no room for."""


@dataclass(frozen=True, slots=True)
class LoginAsked(Event):
    """Only a login by the trader keeps an account going, and now is the time for it."""

    account: AccountId
    words: str
    """Why, and what waits for it."""


@dataclass(frozen=True, slots=True)
class PreflightDone(Event):
    """The look before the market opens was made."""

    report: PreflightReport


@dataclass(frozen=True, slots=True)
class FeedGap(Event):
    """A stretch of a session in which no prices came. Exchange time; from the last price before to the first after."""

    account: AccountId
    since: Nanos
    until: Nanos
    instruments: tuple[InstrumentId, ...]
    """Those with a stop or a chart."""


@dataclass(frozen=True, slots=True)
class CandleClosed(Event):
    """A candle that will not change any more."""

    instrument: InstrumentId
    interval: Interval
    candle: Candle


@dataclass(frozen=True, slots=True)
class CandleChanged(Event):
    """The running candle, conflated like ticks."""

    instrument: InstrumentId
    interval: Interval
    candle: Candle


@dataclass(frozen=True, slots=True)
class OrderChanged(Event):
    """What the broker now says of an order."""

    order: Order


@dataclass(frozen=True, slots=True)
class OrdersForgotten(Event):
    """Orders that ended on an earlier day are not kept any more; the book has their fills."""

    account: AccountId
    orders: tuple[BrokerOrderId, ...]


@dataclass(frozen=True, slots=True)
class OrderUnresolved(Event):
    """An order of ours was sent and not answered; it is being looked up by its tag."""

    account: AccountId
    order_id: OrderId
    tag: Tag
    request: OrderRequest


@dataclass(frozen=True, slots=True)
class PositionsChanged(Event):
    """All positions of an account as last read or derived; closed ones stay listed with quantity 0."""

    account: AccountId
    positions: tuple[Position, ...]
    read_at: Nanos


@dataclass(frozen=True, slots=True)
class PositionsUnknown(Event):
    """A read of the positions failed. The last known ones stand; nothing is taken to be flat."""

    account: AccountId
    cause: str


@dataclass(frozen=True, slots=True)
class GttsChanged(Event):
    """The triggers that rest at a broker were read."""

    account: AccountId
    gtts: tuple[Gtt, ...]


@dataclass(frozen=True, slots=True)
class GttTold(Event):
    """The broker told of one trigger by itself."""

    gtt: Gtt


@dataclass(frozen=True, slots=True)
class HoldingsChanged(Event):
    """All holdings of an account."""

    account: AccountId
    holdings: tuple[Holding, ...]


@dataclass(frozen=True, slots=True)
class FundsChanged(Event):
    """Cash and margin of an account."""

    funds: Funds


@dataclass(frozen=True, slots=True)
class StopChanged(Event):
    """A stop's new state: armed, moved, fired, exiting, closed, disarmed."""

    stop: Stop


@dataclass(frozen=True, slots=True)
class DayStopChanged(Event):
    """An account's portfolio stop: another reckoning, other limits, halted, flat, free again."""

    stop: DayStop


@dataclass(frozen=True, slots=True)
class StopFired(Event):
    """A stop's exit was written to the wire."""

    stop: Stop
    engine_us: int
    """Socket readable to last byte written, microseconds."""
    tick_exchange_time: Nanos


@dataclass(frozen=True, slots=True)
class EngineBeat(Event):
    """Once a second: the engine lives."""

    at: Nanos
    armed: int
    blind: int
    """Armed stops that no live price reaches."""
    loop_lag_ms: float
    engine_p99_ms: float | None
    clocks: tuple[tuple[AccountId, Nanos], ...] = ()
    """What each account's clock shows: a paper account's is its exchange's."""


@dataclass(frozen=True, slots=True)
class CompanionsChanged(Event):
    """A guard came to wait beside this desk, or went."""

    here: tuple[Companion, ...]
    alone: str
    """Why nobody takes over if this program dies, in words; empty when somebody does."""


@dataclass(frozen=True, slots=True)
class Returned(Event):
    """The window, the machine or an account's prices are back; recovery is done."""

    report: AwayReport


@dataclass(frozen=True, slots=True)
class StrategyChanged(Event):
    """A strategy stands somewhere else, or something of it is different."""

    strategy: Strategy


@dataclass(frozen=True, slots=True)
class StrategyMarked(Event):
    """A strategy's timeline has one more point."""

    mark: StrategyMark


@dataclass(frozen=True, slots=True)
class StrategyDeleted(Event):
    """It is gone."""

    strategy: StrategyId


class SessionState(StrEnum):
    """An account's logged-in period."""

    LOGGED_OUT = "logged out"
    """Never logged in, or disconnected. The way out: log in."""
    ACTIVE = "active"
    EXPIRED = "expired"
    """The token has reached its end. The way out: log in."""
    REVOKED = "revoked"
    """The broker ended the session before its time: another login, a logout there, a new password. Log in."""
    ERROR = "error"
    """The broker could not be reached at the start, or five syncs in a row failed. A good sync or a login ends it."""
    PAUSED = "paused"
    """By the trader: no sync by itself, no new order. Stops and exits go on. Resumed by hand."""

    @property
    def dead(self) -> bool:
        """There was a session, and only a login brings the next one."""
        return self in (SessionState.EXPIRED, SessionState.REVOKED)

    @property
    def may_live(self) -> bool:
        """A session can be at work: orders, prices and stops have it."""
        return self in (SessionState.ACTIVE, SessionState.ERROR, SessionState.PAUSED)


@dataclass(frozen=True, slots=True)
class SessionChanged(Event):
    """An account was connected, logged in, expired or disconnected."""

    account: AccountId
    broker: str
    client_name: str
    state: SessionState
    paper: bool
    reason: str = ""


class SyncStep(StrEnum):
    """Where a sync of one account stands."""

    STARTED = "started"
    FETCHING = "fetching"
    SAVING = "saving"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class SyncProgressed(Event):
    """Progress of one account in one sync run (C1, C7)."""

    run: str
    account: AccountId
    step: SyncStep
    trigger: str
    """manual, scheduled, closing, backfill, retry or command line."""
    fetched: int = 0
    created: int = 0
    updated: int = 0
    skipped: int = 0
    conflicting: int = 0
    started_at: Nanos = 0
    ended_at: Nanos | None = None
    error: str = ""
    operation: str = "today"
    """What was asked for: `today`, or a range of dates."""
    error_class: ErrorClass = ErrorClass.NONE
    retries: int = 0
    rate_limited: int = 0
    """How often the broker asked to slow down."""
    took_ms: int | None = None
    """Real time; a paper exchange's own may run faster."""
    refused: tuple[DataSet, ...] = ()
    """Data sets that the broker refused, and without which the run went on. Of a run of this session only."""

    @property
    def trades_came(self) -> bool:
        """What it was for is in the book, whatever else was refused."""
        whole = self.step is SyncStep.COMPLETED
        return whole or (self.step is SyncStep.FAILED and bool(self.refused) and DataSet.TRADES not in self.refused)


@dataclass(frozen=True, slots=True)
class SyncPaused(Event):
    """A sync waits because the broker asked it to: for `seconds` of real time."""

    account: AccountId
    data_set: DataSet
    cause: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BookChanged(Event):
    """The trade book has new or changed rows; views read what they show again."""

    account: AccountId
    fills: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit trail: never edited (F10)."""

    at: Nanos
    account: AccountId
    subject: str
    """`stop:<id>` or `order:<id>`."""
    what: str
    """One past-tense word or two, e.g. `armed`, `fired`, `acknowledged`, `position flat`."""
    detail: str = ""
    stop: StopId | None = None
