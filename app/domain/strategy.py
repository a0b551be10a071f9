"""A strategy: buys at a time, sells at a time, with a stop between. What the trader asks, and where it stands.

A long strategy buys first; a short one sells first and buys back. The states are named after the long one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from app.domain.ids import AccountId, InstrumentId, Nanos, StopId, StrategyId, Tag
from app.domain.instrument import InstrumentKind, Product
from app.domain.money import Paise, Price, Rounding, to_tick
from app.domain.order import Side
from app.domain.portfolio import PositionKey
from app.domain.stop import Trail, TriggerSource

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ENTRY_SECONDS = 60
"""How long an entry order may stay open, unless the trader chooses otherwise."""
BASIS = 10_000
"""A level in percent is kept in hundredths of a percent."""


class StrategyState(StrEnum):
    """Where a strategy is."""

    IDLE = "idle"
    """Not started: may be edited and deleted."""
    WAITING = "waiting"
    """For its next buy time."""
    BUYING = "buying"
    """The entry order was begun; its tag is in the journal. A first part of it may be held, and is guarded then."""
    BOUGHT = "bought"
    SELLING = "selling"
    """The exit was begun, by time, by its stop or by the trader; it is followed until its share is closed."""
    SOLD = "sold"
    EXITED_BY_SL = "exited_by_sl"
    BUY_FAILED = "buy_failed"
    """Nothing was bought within the time for it, and nothing is open."""
    ABORTED = "aborted"
    """The broker rejected the entry, or somebody else took the position away. Only the trader starts it again."""
    PAUSED = "paused"
    """No entry is made until it is resumed."""
    BROKER_UNREACHABLE = "broker_unreachable"
    """The broker could not be reached at the buy time: entries wait, exits keep trying."""

    @property
    def is_running(self) -> bool:
        """It will do something by itself, or is paused from it."""
        return self in RUNNING

    @property
    def is_open(self) -> bool:
        """It owns, or may own, a share of a position."""
        return self in OPEN

    @property
    def is_over(self) -> bool:
        """Its day is done. One that repeats goes to its next day from here, except from `ABORTED`."""
        return self in OVER


OPEN = frozenset({StrategyState.BUYING, StrategyState.BOUGHT, StrategyState.SELLING})
RUNNING = OPEN | {StrategyState.WAITING, StrategyState.PAUSED, StrategyState.BROKER_UNREACHABLE}
OVER = frozenset({StrategyState.SOLD, StrategyState.EXITED_BY_SL, StrategyState.BUY_FAILED, StrategyState.ABORTED})

_S = StrategyState
NEXT: dict[StrategyState, frozenset[StrategyState]] = {
    # From states without a position to BOUGHT and SELLING: a late fill of an entry that had been given up.
    _S.IDLE: frozenset({_S.WAITING, _S.BOUGHT, _S.SELLING}),
    _S.WAITING: frozenset({_S.BUYING, _S.PAUSED, _S.BUY_FAILED, _S.IDLE, _S.BOUGHT, _S.SELLING}),
    _S.PAUSED: frozenset({_S.WAITING, _S.IDLE, _S.BOUGHT, _S.SELLING}),
    _S.BROKER_UNREACHABLE: frozenset({_S.WAITING, _S.PAUSED, _S.BUY_FAILED, _S.IDLE, _S.BOUGHT, _S.SELLING}),
    _S.BUYING: frozenset(
        {
            _S.BOUGHT,
            _S.SELLING,
            _S.BUY_FAILED,
            _S.ABORTED,
            _S.BROKER_UNREACHABLE,
            _S.IDLE,
            _S.SOLD,
            _S.EXITED_BY_SL,
        }
    ),
    # Back to BUYING: stopped by the trader, and kept, before it was guarded.
    _S.BOUGHT: frozenset({_S.BUYING, _S.SELLING, _S.ABORTED, _S.IDLE, _S.SOLD, _S.EXITED_BY_SL}),
    _S.SELLING: frozenset({_S.SOLD, _S.EXITED_BY_SL}),
    _S.SOLD: frozenset({_S.WAITING, _S.PAUSED, _S.IDLE, _S.BOUGHT, _S.SELLING}),
    _S.EXITED_BY_SL: frozenset({_S.WAITING, _S.PAUSED, _S.IDLE, _S.BOUGHT, _S.SELLING}),
    _S.BUY_FAILED: frozenset({_S.WAITING, _S.PAUSED, _S.IDLE, _S.BOUGHT, _S.SELLING}),
    _S.ABORTED: frozenset({_S.WAITING, _S.IDLE, _S.BOUGHT, _S.SELLING}),
}
"""Legal successors. Nothing else is ever stored (the engine's table is tested against it)."""


class DaysKind(StrEnum):
    """On which days a strategy buys."""

    TRADING_DAYS = "every trading day"
    WEEKDAYS = "weekdays"
    DATES = "dates"


@dataclass(frozen=True, slots=True)
class Days:
    """Which days. A day without a session is never one of them, whatever was chosen."""

    kind: DaysKind = DaysKind.TRADING_DAYS
    weekdays: tuple[int, ...] = ()
    """0 is Monday; with WEEKDAYS."""
    dates: tuple[date, ...] = ()
    """With DATES."""

    @property
    def repeats(self) -> bool:
        """There is always a next day."""
        return self.kind is not DaysKind.DATES

    def go_on(self, after: date | None) -> bool:
        """Whether a later day may be one of them."""
        return self.repeats or (after is not None and any(day > after for day in self.dates))

    def includes(self, on: date) -> bool:
        """Whether a date was chosen."""
        if self.kind is DaysKind.DATES:
            return on in self.dates
        return self.kind is DaysKind.TRADING_DAYS or on.weekday() in self.weekdays


class Measure(StrEnum):
    """How a level is given."""

    PRICE = "price"
    POINTS = "points"
    """From the average price of the entry, in minor units."""
    PERCENT = "percent"
    """Of the average price of the entry, in hundredths of a percent."""


@dataclass(frozen=True, slots=True)
class Level:
    """A stop or target, fixed or from the entry's average."""

    measure: Measure
    value: int

    def distance(self, entry: Price) -> int:
        """From the entry in minor units, without a sign."""
        if self.measure is Measure.POINTS:
            return self.value
        if self.measure is Measure.PERCENT:
            return entry * self.value // BASIS
        return abs(entry - self.value)

    def price(self, entry: Price, direction: int, tick: int) -> Price:
        """Where it lies: `direction` -1 below the entry, +1 above. Rounded towards the entry: never more is risked
        than was asked."""
        if self.measure is Measure.PRICE:
            return self.value
        rounding = Rounding.DOWN if direction > 0 else Rounding.UP
        return max(tick, to_tick(entry + direction * self.distance(entry), tick, rounding))


@dataclass(frozen=True, slots=True)
class StrategyPlan:
    """What the trader asks."""

    id: StrategyId
    name: str
    account: AccountId
    instrument: InstrumentId
    product: Product
    side: Side
    """Of the entry: BUY for a long strategy."""
    quantity: int
    """Units."""
    entry_second: int
    """When it enters: seconds after midnight, exchange time."""
    exit_second: int
    """When it leaves, the same way."""
    days: Days
    carry: int = 0
    """Trading days from entry to exit; 0: the same day."""
    stop: Level | None = None
    target: Level | None = None
    trail: Level | None = None
    """How far the stop follows the best price: POINTS or PERCENT."""
    limit: Price | None = None
    """Worst price at which it enters; None: as the market gives it."""
    entry_seconds: int = ENTRY_SECONDS
    """How long the entry order may stay open; then its rest is cancelled."""
    range_trail: Trail | None = None
    """Instead of `trail`: so many average ranges behind the best price."""
    break_even: Level | None = None
    """Profit per unit that moves the stop to where closing nets nothing: POINTS or PERCENT."""
    backstop: Level | None = None
    """How far behind the stop an order rests at the exchange: POINTS or PERCENT of the entry; None: there is none."""
    source: TriggerSource = TriggerSource.LAST
    """Which price its stop looks at. With `UNDERLYING`, `stop`, `target` and the trail are the underlying's; distances
    count from where it stood when the entry filled."""
    underlying: InstrumentId | None = None
    """For `UNDERLYING`: whose price."""
    own_stop: Level | None = None
    """For `UNDERLYING`: where the instrument's own last price decides when the underlying says nothing."""

    @property
    def by_underlying(self) -> bool:
        """Its levels are prices of the underlying."""
        return self.source is TriggerSource.UNDERLYING

    @property
    def key(self) -> PositionKey:
        """The position of which it owns a share."""
        return PositionKey(self.account, self.instrument, self.product)

    def stop_price(self, entry: Price, tick: int) -> Price | None:
        """The stop for an entry at this average, as a price of the instrument."""
        level = self.own_stop if self.by_underlying else self.stop
        return None if level is None else level.price(entry, -self.side.sign, tick)

    def target_price(self, entry: Price, tick: int) -> Price | None:
        """The target for an entry at this average; None where it is a price of the underlying."""
        return None if self.target is None or self.by_underlying else self.target.price(entry, self.side.sign, tick)

    def gains(self, kind: InstrumentKind) -> int:
        """+1 where it gains as the price looked at rises. `kind`: of its instrument."""
        falls = self.by_underlying and kind is InstrumentKind.PUT
        return -self.side.sign if falls else self.side.sign


class Leaving(StrEnum):
    """Why a strategy leaves its position."""

    TIME = "sell time"
    STOP = "stop"
    TARGET = "target"
    PORTFOLIO = "portfolio stop"
    TRADER = "trader"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class LastEntry:
    """What a strategy that went on remembers of an entry: an order of it that was given up may turn up all the same."""

    tag: Tag
    """Of one of its attempts."""
    bought: int
    """Units that were known to be filled."""
    day: date | None = None
    exit_at: Nanos | None = None
    leaving: Leaving | None = None


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy and where it stands. Owned by the account's strategy engine."""

    plan: StrategyPlan
    state: StrategyState = StrategyState.IDLE
    day: date | None = None
    """Of the entry that is next or was last."""
    entry_at: Nanos | None = None
    """When it enters (or entered, or should have)."""
    exit_at: Nanos | None = None
    """When it leaves by time."""
    paused: bool = False
    """No further entry until it is resumed."""
    ending: bool = False
    """The trader stopped it: it rests when its position is closed, also where it repeats."""
    tag: Tag | None = None
    """Of the entry order, in the journal before the order leaves."""
    attempt: int = 0
    """Which entry order of the day, 1-based."""
    ordered_at: Nanos | None = None
    bought: int = 0
    """Units that the entry has filled."""
    entry_average: Price | None = None
    entry_over: bool = False
    """The entry order can fill no more."""
    stop: StopId | None = None
    """The exit that is armed for its share, with a level or without."""
    held: int = 0
    """Units of the position that are its own."""
    leaving: Leaving | None = None
    exit_average: Price | None = None
    """Of all `closed` units."""
    note: str = ""
    """Why it stands where it stands, in words for the trader."""
    changed_at: Nanos = 0
    cancelling: bool = False
    """The rest of the entry is being cancelled."""
    looked: Price | None = None
    """Where the underlying stood when the entry first filled; None: its stop does not look at it, or nobody knew."""
    unguarded: int = 0
    """What had been bought when the trader disarmed its stop: none is armed for that again, only if more is bought."""
    last: LastEntry | None = None
    """The entry before this one; `bought` counts what came of it since, too."""
    closed: int = 0
    """Units that its exits have closed."""

    @property
    def id(self) -> StrategyId:
        """Of its plan."""
        return self.plan.id

    @property
    def hands_over(self) -> bool:
        """The trader stopped it and keeps what it bought, which is the trader's own once it is guarded."""
        kept = self.ending and self.entry_over and self.leaving is None
        return self.state is StrategyState.BUYING and kept and self.held > 0

    @property
    def goes_on(self) -> bool:
        """Its day is done, and it enters again by itself on a later one."""
        over = self.state.is_over and not self.ending and self.state is not StrategyState.ABORTED
        return over and self.plan.days.go_on(self.day)

    @property
    def cancels(self) -> bool:
        """The rest of its entry is being cancelled, and may fill until its end is heard."""
        return self.cancelling and not self.entry_over


class MarkKind(StrEnum):
    """What a point of a strategy's timeline is."""

    STATE = "state"
    ENTRY_FILL = "entry fill"
    EXIT_FILL = "exit fill"
    STOP = "stop"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class StrategyMark:
    """One point of a strategy's timeline, kept for ever with the audit trail."""

    strategy: StrategyId
    at: Nanos
    kind: MarkKind
    state: StrategyState
    words: str
    price: Price | None = None
    quantity: int = 0


def new_strategy_id(choose: Callable[[str], str] = secrets.choice) -> StrategyId:
    """A fresh id: 12 letters and digits, 60 random bits."""
    return StrategyId("".join(choose(_LETTERS) for _ in range(12)))


@dataclass(frozen=True, slots=True)
class StrategyProblem:
    """Why a plan cannot be started as it is."""

    field: str
    """Of the plan."""
    words: str


@dataclass(frozen=True, slots=True)
class StrategyPreview:
    """What a plan would do next. Moments in exchange time; money in paise, before charges."""

    problems: tuple[StrategyProblem, ...]
    entry_at: Nanos | None = None
    exit_at: Nanos | None = None
    words: tuple[str, ...] = ()
    """What was moved and which days are passed over, with the reason."""
    entry_price: Price | None = None
    """The limit, else the last price; None while there is none."""
    stop_price: Price | None = None
    target_price: Price | None = None
    at_risk: Paise | None = None
    """From entry to stop; None without a stop or a price, and where how much a lot holds is not known."""
    to_gain: Paise | None = None
    """From entry to target."""
