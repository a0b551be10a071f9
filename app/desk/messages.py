"""What the desk answers: frozen views for window and command line. Events are in `domain.events`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.domain.events import FeedState, Level, SessionState
from app.domain.fill import Charges, Trade
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.market import Candle, Interval
from app.domain.money import Paise, Price
from app.domain.sync import (
    Backfill,
    BreakerView,
    DataSetState,
    FailedJob,
    FillConflict,
    LimitGauge,
    OpenDay,
    SyncFigures,
    SyncPause,
    SyncPlan,
)


class VaultState(StrEnum):
    """Whether there is a vault, and whether it is open."""

    ABSENT = "absent"
    LOCKED = "locked"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class VaultInfo:
    """What the unlock screen must know."""

    state: VaultState
    keyring_available: bool
    """A working OS keyring: a vault may be created without a passphrase."""
    opens_with_keyring: bool
    opens_with_passphrase: bool
    profile: str
    has_recovery_key: bool = False


@dataclass(frozen=True, slots=True)
class PassphraseStrength:
    """A hint, never a bar: 0 (guessed at once) to 4 (strong), and what would help."""

    score: int
    hint: str


@dataclass(frozen=True, slots=True)
class AccountView:
    """One connected account (A5)."""

    id: AccountId
    broker: str
    user_id: str
    client_name: str
    state: SessionState
    paper: bool
    """Derived from its endpoints: loopback is PAPER, everything else LIVE."""
    feed: FeedState
    connected_at: Nanos | None
    token_expires_at: Nanos | None
    last_sync: Nanos | None
    last_error: str
    token_issued_at: Nanos | None = None
    last_refresh: Nanos | None = None
    """When a session was last begun anew."""
    error_count: int = 0
    """Syncs that failed in a row."""
    sync_on: bool = True
    sync_every_s: int = 900
    next_sync: Nanos | None = None
    fills_synced: int = 0
    """New fills since it was connected."""
    syncs_failed: int = 0
    disconnected_at: Nanos | None = None
    armed: int = 0
    """Open stops of it."""
    scopes: tuple[str, ...] = ()
    """What the token may do, in the broker's words; empty where it does not say, or nobody is logged in."""
    broker_title: str = ""
    """As the broker writes itself."""

    @property
    def title(self) -> str:
        """The broker in words."""
        return self.broker_title or self.broker.capitalize()

    @property
    def disconnected(self) -> bool:
        """The trader took it away and has not logged in again: nothing is missing."""
        return self.state is SessionState.LOGGED_OUT and self.disconnected_at is not None

    @property
    def name(self) -> str:
        """What a trader calls it: `Zerodha AB1234`; before the first login nobody knows whose it is."""
        return f"{self.title} {self.user_id or ('paper account' if self.paper else 'account')}"


@dataclass(frozen=True, slots=True)
class LoginPage:
    """What the embedded browser needs for one login attempt (A1)."""

    account: AccountId
    url: str
    redirect_url: str
    """The page is caught when it is about to load this address; it is never loaded."""
    allowed_hosts: tuple[str, ...]
    ca_file: str = ""
    expires_at: Nanos = 0
    parameter: str = "request_token"
    """The query parameter of the redirect that carries the one-time token."""


@dataclass(frozen=True, slots=True)
class PaperLogin:
    """What a trader types into the paper exchange's login page. No field is stored in plain."""

    user_id: str
    password: str
    totp: str
    """The code of this half minute."""
    seconds_left: int

    def __repr__(self) -> str:
        return "PaperLogin(***)"


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """History and today in one run, oldest first; the last candle may still be running."""

    instrument: Instrument
    interval: Interval
    candles: tuple[Candle, ...]
    complete: bool
    """False when history could not be read; `cause` says why."""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class BackstopPreview:
    """What would rest at the exchange behind a stop."""

    trigger: Price
    price: Price
    """Worst price accepted once it is triggered."""
    margin: Paise | None
    """What the broker says that such an order blocks; None: it did not say."""
    unknown: str = ""
    """Why the margin is not known, in words."""
    gtt: bool = False
    """It is a trigger at the broker, which outlives the day and blocks nothing."""


@dataclass(frozen=True, slots=True)
class StopPreview:
    """What arming or moving a stop to a trigger would mean. Money in paise, signed from the trader's side."""

    trigger: Price
    """On a tick of the instrument."""
    quantity: int
    outcome: Paise
    """Net P&L of what is open if it closes at the trigger, charges included."""
    at_risk: Paise
    """What would be lost from the last price to the trigger, gross."""
    distance: Price
    distance_percent: Decimal
    denied: str = ""
    """Why it cannot be armed, in words; empty when it can."""
    backstop: BackstopPreview | None = None
    """None: none was asked for, or it cannot rest there."""
    alone: str = ""
    """Why nobody takes over this stop if the program dies, in words; empty when somebody does."""
    target_outcome: Paise | None = None
    """The same at the target; None: there is none, or it is a price of the underlying."""
    leaves_at: Nanos | None = None
    """When the time exit comes."""
    average_range: Price | None = None
    """What an ATR trail is behind the best price now, in minor units."""
    looks_at: Price | None = None
    """The last price of the underlying, for a stop that goes by it."""
    beyond: Price | None = None
    """The day's circuit limit that lies between the price and the trigger: it cannot be hit today."""
    target_beyond: Price | None = None
    """The day's circuit limit between the price and the target: it cannot be reached today."""
    day_outcome: Paise | None = None
    """Net of the whole day in the instrument if it closes at the trigger; None where that is `outcome`."""


@dataclass(frozen=True, slots=True)
class OrderPreview:
    """Margin and charges before sending (F9), from the broker; our own estimate when the broker does not answer."""

    margin: Paise
    charges: Charges
    available: Paise | None
    estimated: bool
    warnings: tuple[str, ...] = ()
    denied: str = ""


@dataclass(frozen=True, slots=True)
class TradePage:
    """Trades newest first, with totals over the whole selection."""

    trades: tuple[Trade, ...]
    total: int
    gross: Paise
    charges: Decimal
    net: Paise
    unsized: int = 0
    """Of `total`, those without figures, which the sums lack: how much a lot of them is is not known yet."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The day's P&L at a moment: realised + unrealised, in paise. `net` is after charges."""

    at: Nanos
    gross: Paise
    net: Paise


@dataclass(frozen=True, slots=True)
class SyncRun:
    """One line of the sync log (C7)."""

    run: str
    account: AccountId
    trigger: str
    step: str
    fetched: int
    created: int
    updated: int
    skipped: int
    conflicting: int
    started_at: Nanos
    ended_at: Nanos | None
    error: str
    operation: str = "today"
    """`today`, or a range of dates."""
    error_class: str = ""
    retries: int = 0
    took_ms: int | None = None
    """Real time."""


class Health(StrEnum):
    """What a trader must do about an account's sync: nothing, look, or act."""

    GOOD = "good"
    ATTENTION = "attention"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class SyncAccount:
    """How one account's sync stands (C6, C7)."""

    account: AccountId
    plan: SyncPlan
    history_days: int | None
    """Days of trade history that the broker gives; 1: today only; None: not known."""
    next_at: Nanos | None
    """Exchange time of the next run; None when nothing is planned."""
    next_closing: bool
    last_good: Nanos | None
    step: str
    """Where the run under way is; empty when there is none."""
    data_sets: tuple[DataSetState, ...]
    open_days: tuple[OpenDay, ...]
    backfill: Backfill | None
    health: Health
    words: str
    """Why it is not good; empty when it is."""


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Everything that the sync view shows."""

    now: Nanos
    """Exchange time of the first account; this machine's when there is none."""
    accounts: tuple[SyncAccount, ...]
    gauges: tuple[LimitGauge, ...]
    breakers: tuple[BreakerView, ...]
    pauses: tuple[SyncPause, ...]
    jobs: tuple[FailedJob, ...]
    conflicts: tuple[FillConflict, ...]
    hour: SyncFigures
    day: SyncFigures
    alerts: tuple[str, ...]
    """In words; empty when there is no reason."""


@dataclass(frozen=True, slots=True)
class SyncSummary:
    """What one click brought (C1)."""

    run: str
    accounts: tuple[SyncRun, ...]

    @property
    def failed(self) -> bool:
        """Some account did not complete."""
        return any(a.step in ("failed", "cancelled") for a in self.accounts)


@dataclass(frozen=True, slots=True)
class WatchlistView:
    """A named list of instruments in the user's order."""

    name: str
    instruments: tuple[InstrumentId, ...]


@dataclass(frozen=True, slots=True)
class NoticeLine:
    """One notice that was kept."""

    id: int
    at: Nanos
    """This machine's time, when it came last."""
    level: Level
    title: str
    cause: str
    next_step: str
    account: AccountId | None
    times: int
    read: bool
    repeat_key: str = ""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the audit trail."""

    at: Nanos
    account: AccountId
    subject: str
    what: str
    detail: str
