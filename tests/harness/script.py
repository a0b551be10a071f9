"""What a run does, drawn from its seed: positions, courses of prices, and what goes wrong when. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What can happen. The value is what the report calls it."""

    LOST_BEFORE = "reply lost before acceptance"
    LOST_AFTER = "reply lost after acceptance"
    LATE = "accepted after we gave up"
    SLOW_REPLY = "reply delayed"
    SERVER_ERROR = "5xx"
    THROTTLED = "429"
    GATEWAY_PAGE = "web page instead of an answer"
    BAD_READ = "order book or positions cannot be read"
    NO_NAME = "DNS failure"
    BLACK_HOLE = "packets vanish"
    MID_FRAME = "disconnect in the middle of a frame"
    IDLE_CLOSED = "idle connections closed"
    FEED_SILENT = "feed silent"
    UPDATE_LOST = "order update dropped"
    UPDATE_TWICE = "order update duplicated"
    UPDATE_LATE = "order update delayed"
    UPDATE_ORDER = "order updates reordered"
    PARTIAL = "partial fill"
    REJECTED = "exit rejected"
    EXCHANGE_RESTART = "exchange restarted"
    TOKEN_DEATH = "token died"
    PHONE_CLOSE = "position closed by phone"
    PHONE_HALF = "position halved by phone"
    PHONE_CONVERT = "position converted by phone"
    PHONE_GROW = "position grown by phone"
    MANUAL_EXIT = "manual exit at the same instant"
    MOVED = "stop moved"
    CLOCK_JUMP = "clock jump"
    DISK_BUSY = "database busy"
    DISK_FULL = "disk full"
    KILLED = "kill -9 of the workstation"
    NEXT_DAY = "restart on the next trading day"
    KILLED_BETWEEN = "kill -9 between two steps"
    CHANGE_FAILS = "change or cancellation fails"
    SLOW_READ = "positions read late"
    ENTRY = "entry by hand"
    STRATEGY_ENDED = "strategy ended by the trader"
    STREAM_DOWN = "order updates alone are down"
    FLATTENED = "everything flattened by the trader"
    NIGHT = "night with triggers at the broker"
    TRIGGER_FAILS = "request of a trigger fails"
    TRIGGER_DELETED = "trigger deleted by phone"
    PHONE_ORDER = "exit by phone beside ours"


class Rule(StrEnum):
    """What the trader asks of a stop."""

    FIXED = "fixed"
    TRAIL_POINTS = "trailing by points"
    TRAIL_PERCENT = "trailing by percent"
    TARGET = "with a target"
    BREAK_EVEN = "to break-even"
    TWO_TRADES = "two trades"
    BID_ASK = "bid or ask"
    MID = "mid"
    TIME = "at a time"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A position with a stop."""

    instrument: str
    product: str
    quantity: int
    """Signed units."""
    distance: int
    """Of the trigger from the first price, in hundredths of a percent."""
    breach: float
    """Seconds after the beginning when the price goes through the level."""
    returns: bool
    """The price comes back later: a stop that nobody could hear may rightly stay armed."""
    thin: bool
    """Its book is thin: exits fill in parts and must be priced anew."""
    rule: Rule = Rule.FIXED
    gain: int = 0
    """How far the price goes in the position's favour before, in hundredths of a percent."""
    wins: bool = False
    """The price goes on in its favour: a target is reached, and no stop."""
    twin: bool = False
    """A stop order rests at the exchange behind the local one; behind shares of delivery a trigger (GTT)."""
    depth: float = 0.0
    """How far through the trigger the price goes, in distances of that from the first price; 0: far."""
    beside: int = 0
    """Units of the same shares that the stop does not guard."""
    bought: bool = False
    """Shares of delivery that were bought today; else they are in the demat account."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A strategy: bought at a time, sold at a time, with a stop between."""

    instrument: str
    quantity: int
    """Signed units."""
    buys: int
    """Seconds after the beginning, whole ones as its timers are."""
    sells: int
    distance: int
    """Of its stop from the entry's average, in hundredths of a percent."""
    breach: float
    """Seconds after the beginning when the price goes through that; 0: never."""

    @property
    def guarded(self) -> Guarded:
        """What it holds, as a position with a stop."""
        return Guarded(self.instrument, "MIS", self.quantity, self.distance, self.breach, returns=False, thin=False)


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens."""

    at: float
    """Seconds after the beginning."""
    kind: Kind
    about: int
    """Which position; the others are untouched where it is about one."""
    amount: float = 0.0
    """Seconds, units or a number of times, as the kind wants."""


@dataclass(frozen=True, slots=True)
class Night:
    """The program ends, and is started again on the next trading day."""

    at: float
    """Seconds after the beginning when it ends."""
    killed: bool
    """With `kill -9`; else it is closed."""
    opens: float
    """Seconds after the beginning when the next day's trading begins."""
    back: float
    """Seconds after the beginning when it is started again."""


@dataclass(frozen=True, slots=True)
class Script:
    """One run."""

    seed: int
    guarded: tuple[Guarded, ...]
    acts: tuple[Act, ...]
    ends: float
    """Seconds after the beginning when the last consequence is over."""
    wire: str = "zerodha"
    """Which broker the account is with."""
    planned: tuple[Planned, ...] = ()
    day_loss: int = 0
    """Of the portfolio stop, in percent of what the stops' levels would lose; 0: there is none."""
    holding: bool = False
    """There are shares in the demat account."""
    night: Night | None = None

    def words(self) -> str:
        """For whoever looks at a failed seed."""
        lines = [f"seed {self.seed} over {self.wire}"]
        lines += [f"  {g}" for g in self.guarded]
        lines += [f"  {planned}" for planned in self.planned]
        lines += [f"  {self.night}"] if self.night else []
        lines += [f"  portfolio stop at {self.day_loss} % of the stops"] if self.day_loss else []
        lines += [f"  {act.at:6.2f} s  {act.kind.value} ({act.amount:g}) of {act.about}" for act in self.acts]
        return "\n".join(lines)


ARMED_BY = 2.0
"""Seconds until everything is armed."""
LONGEST_LATE = 60.0
TRADES = 0.5
"""Seconds between two trades of an instrument."""

SHARES = ("NSE:INFY", "NSE:SBIN", "NSE:RELIANCE", "NSE:TATASTEEL")
STRATEGY_SHARES = ("NSE:WIPRO", "NSE:ITC", "NSE:TECHM")
HAND_SHARE = "NSE:PNB"
HELD_SHARE = "NSE:NTPC"
LARGE = ("NFO:BANKNIFTY26DEC57000PE", "NFO:BANKNIFTY26DEC58000CE")
"""20 lots are one order of these at the most."""
_DAY_KINDS = (Kind.TOKEN_DEATH, Kind.NEXT_DAY, Kind.EXCHANGE_RESTART)
_LATER_KINDS = (
    Kind.KILLED_BETWEEN,
    Kind.CHANGE_FAILS,
    Kind.SLOW_READ,
    Kind.ENTRY,
    Kind.STRATEGY_ENDED,
    Kind.STREAM_DOWN,
)
"""Drawn apart: what a seed did before they came it still does."""
_LATEST_KINDS = (Kind.FLATTENED,)
"""Drawn apart once more."""
_NIGHT_KINDS = (Kind.NIGHT, Kind.TRIGGER_FAILS, Kind.TRIGGER_DELETED)
"""Of `nights`."""
_PHONE_KINDS = (Kind.PHONE_ORDER,)
"""And once more."""
_FIRST_KINDS = tuple(kind for kind in Kind if kind not in (*_LATER_KINDS, *_LATEST_KINDS, *_NIGHT_KINDS, *_PHONE_KINDS))
_AT_BREACH = tuple(kind for kind in Kind if kind not in (Kind.MOVED, Kind.NEXT_DAY, Kind.ENTRY))


def write(seed: int, options: tuple[str, ...]) -> Script:
    """The script of a seed. `options` and futures of the exchange's list that may be held beside the shares."""
    chance = random.Random(f"script {seed}")
    guarded = tuple(_position(chance, name) for name in _names(chance, options))
    first = min(g.breach for g in guarded)
    drawn = [_act(chance, guarded, first) for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 4)))]
    more = random.Random(f"more {seed}")
    wire = "upstox" if more.random() < 0.25 else "zerodha"
    planned = _strategies(more, first)
    guarded += _large(more, guarded)
    drawn += _later(more, guarded, planned, first, wire)
    drawn += _latest(random.Random(f"latest {seed}"), guarded, first)
    drawn += _by_phone(random.Random(f"phone {seed}"), guarded)
    acts = sane(sorted([*drawn, *_silent(drawn)], key=lambda act: act.at))
    tail = 20.0
    last = max([g.breach for g in guarded] + [p.sells for p in planned] + [act.at + lasts(act) for act in acts])
    day_loss = more.choice((40, 70, 120)) if more.random() < 0.2 else 0
    return Script(seed, guarded, tuple(acts), last + tail, wire, planned, day_loss, more.random() < 0.2)


def _strategies(chance: random.Random, first: float) -> tuple[Planned, ...]:
    names = chance.sample(STRATEGY_SHARES, chance.choice((0, 0, 1, 1, 2)))
    return tuple(_strategy(chance, name, first) for name in names)


def _strategy(chance: random.Random, name: str, first: float) -> Planned:
    buys = int(ARMED_BY) + chance.randrange(2, 10)
    sells = buys + chance.randrange(6, 20)
    breach = chance.choice((0.0, chance.uniform(buys + 1.0, sells + 1.0), chance.uniform(sells - 0.3, sells + 0.3)))
    if chance.random() < 0.2:
        breach = max(first, buys + 0.5)  # all at once
    units = chance.choice((1, 40, 300)) * chance.choice((1, 1, -1))
    return Planned(name, units, buys, sells, chance.randrange(30, 150), round(breach, 3))


def _large(chance: random.Random, guarded: tuple[Guarded, ...]) -> tuple[Guarded, ...]:
    """A position that no single order may close."""
    if chance.random() >= 0.15:
        return ()
    name = chance.choice(LARGE)
    if any(one.instrument == name for one in guarded):
        return ()
    lots = chance.choice((21, 40, 45, 90)) * chance.choice((1, -1))
    breach = ARMED_BY + chance.uniform(1.0, 12.0)
    twin = chance.random() < 0.3
    return (Guarded(name, "NRML", lots, chance.randrange(30, 150), breach, returns=False, thin=False, twin=twin),)


def _later(
    chance: random.Random, guarded: tuple[Guarded, ...], planned: tuple[Planned, ...], first: float, wire: str
) -> list[Act]:
    acts = []
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        kind = chance.choice(_LATER_KINDS)
        if (kind is Kind.STREAM_DOWN and wire != "upstox") or (kind is Kind.STRATEGY_ENDED and not planned):
            continue
        about = chance.randrange(len(planned) if kind is Kind.STRATEGY_ENDED else len(guarded))
        breach = planned[about].breach if kind is Kind.STRATEGY_ENDED else guarded[about].breach
        near = kind in _AT_BREACH and chance.random() < 0.75 and breach
        at = breach + chance.uniform(-0.5, 1.0) if near else chance.uniform(ARMED_BY, first + 8.0)
        acts.append(Act(round(max(ARMED_BY, at), 4), kind, about, amount_of(chance, kind)))
        if kind is Kind.SLOW_READ:
            acts += _meanwhile(chance, about, breach)
    return acts


def _latest(chance: random.Random, guarded: tuple[Guarded, ...], first: float) -> list[Act]:
    if chance.random() >= 0.08:
        return []
    about = chance.randrange(len(guarded))
    near = chance.random() < 0.5
    at = guarded[about].breach + chance.uniform(-0.5, 1.0) if near else chance.uniform(ARMED_BY, first + 8.0)
    return [Act(round(max(ARMED_BY, at), 4), Kind.FLATTENED, about, 0.0)]


def _by_phone(chance: random.Random, guarded: tuple[Guarded, ...]) -> list[Act]:
    """Rather where a book is thin: there it fills beside our exit for a while."""
    about = max(range(len(guarded)), key=lambda i: (guarded[i].thin, chance.random()))
    if chance.random() >= (0.4 if guarded[about].thin else 0.06):
        return []
    breach = guarded[about].breach
    at = breach + chance.choice((chance.uniform(-0.03, 0.06), chance.uniform(-4.0, 4.0)))
    return [Act(round(max(ARMED_BY, at), 4), Kind.PHONE_ORDER, about, 1.0)]


def _silent(acts: list[Act]) -> Iterator[Act]:
    """Whoever loses an answer often loses the order's news too: nothing but the order book tells of it then."""
    for act in acts:
        if act.kind is Kind.LOST_AFTER:
            yield Act(act.at - 0.001, Kind.UPDATE_LOST, act.about, 4.0)


def _names(chance: random.Random, options: tuple[str, ...]) -> list[str]:
    names = chance.sample(SHARES, chance.choice((1, 1, 2, 3)))
    if options and chance.random() < 0.4:
        names.append(chance.choice(options))
    return names


def _position(chance: random.Random, name: str) -> Guarded:
    derivative = not name.startswith("NSE:")
    lots = chance.choice((1, 2, 3)) if derivative else chance.choice((1, 10, 75, 200))
    return Guarded(
        name,
        chance.choice(("NRML", "MIS")) if derivative else "MIS",
        lots * chance.choice((1, 1, -1)),
        chance.randrange(30, 150),
        ARMED_BY + chance.uniform(1.0, 12.0),
        chance.random() < 0.15,
        chance.random() < 0.15,
        *_rule(random.Random(f"rule {name} {chance.random()}")),
    )


def _rule(chance: random.Random) -> tuple[Rule, int, bool, bool]:
    rule = chance.choice(list(Rule)) if chance.random() < 0.6 else Rule.FIXED
    gain = chance.choice((0, 0, chance.randrange(20, 200)))
    return rule, gain, rule is Rule.TARGET and chance.random() < 0.5, chance.random() < 0.3


def _act(chance: random.Random, guarded: tuple[Guarded, ...], first: float) -> Act:
    kind = chance.choice(_FIRST_KINDS)
    about = chance.randrange(len(guarded))
    breach = guarded[about].breach
    if kind in _AT_BREACH and chance.random() < 0.75:
        at = breach + chance.choice((chance.uniform(-0.03, 0.06), chance.uniform(-2.0, 3.0)))
    else:
        at = chance.uniform(ARMED_BY, first + 8.0)
    return Act(round(max(ARMED_BY, at), 4), kind, about, amount_of(chance, kind))


def _meanwhile(chance: random.Random, about: int, breach: float) -> list[Act]:
    """Of what is read late something must be new: the position is another by the time that it is told."""
    fires = -(-breach // TRADES) * TRADES
    soon = round(fires + chance.uniform(0.01, 0.3), 4)
    if chance.random() < 0.3:  # or the journal takes its time with the second attempt
        later = round(fires + chance.uniform(0.05, 5.0), 4)
        busy, refused = Act(fires - 0.2, Kind.DISK_BUSY, about, 6.0), Act(fires - 0.2, Kind.REJECTED, about, 1.0)
        return [busy, refused, Act(later, Kind.PHONE_CLOSE, about, 1.0)]
    read = Act(fires - 0.3, Kind.SLOW_READ, about, amount_of(chance, Kind.SLOW_READ))
    if chance.random() < 0.6:
        return [read, Act(fires - 0.2, Kind.REJECTED, about, 1.0), Act(soon, Kind.PHONE_CLOSE, about, 1.0)]
    return [read, Act(soon, chance.choice((Kind.PHONE_HALF, Kind.PARTIAL, Kind.MANUAL_EXIT)), about, 1.0)]


def amount_of(chance: random.Random, kind: Kind) -> float:
    """Seconds, units or a number of times, as the kind wants."""
    if kind is Kind.LATE:
        return round(chance.choice((chance.uniform(0.1, 8.0), chance.uniform(7.0, LONGEST_LATE))), 2)
    if kind in (Kind.SLOW_REPLY, Kind.UPDATE_LATE):
        return round(chance.uniform(0.1, 9.0), 2)
    if kind in (Kind.NO_NAME, Kind.BLACK_HOLE, Kind.FEED_SILENT, Kind.DISK_BUSY, Kind.DISK_FULL):
        return round(chance.uniform(1.0, 12.0), 2)
    if kind in (Kind.EXCHANGE_RESTART, Kind.KILLED, Kind.NEXT_DAY):
        return round(chance.uniform(0.2, 8.0), 2)
    if kind is Kind.KILLED_BETWEEN:
        return chance.randrange(1, 60)
    if kind is Kind.SLOW_READ:
        return round(chance.uniform(0.2, 2.5), 2)
    if kind is Kind.STREAM_DOWN:
        return round(chance.uniform(2.0, 20.0), 2)
    if kind is Kind.CLOCK_JUMP:
        return round(chance.choice((-1, 1)) * chance.uniform(1.0, 3_600.0), 1)
    if kind in (Kind.TRIGGER_FAILS, Kind.SERVER_ERROR, Kind.THROTTLED, Kind.GATEWAY_PAGE, Kind.BAD_READ, Kind.REJECTED):
        return chance.choice((1, 1, 2, 3))
    if kind in (Kind.UPDATE_LOST, Kind.UPDATE_TWICE, Kind.LOST_BEFORE, Kind.LOST_AFTER):
        return chance.choice((1, 1, 2))
    return 1.0


def lasts(act: Act) -> float:
    """Seconds until its consequences are over."""
    if act.kind is Kind.TRIGGER_FAILS:
        return 30.0
    if act.kind in (Kind.LOST_BEFORE, Kind.LOST_AFTER, Kind.SLOW_REPLY):
        return 15.0
    if act.kind is Kind.LATE:
        return act.amount + 15.0
    if act.kind in (Kind.TOKEN_DEATH, Kind.NEXT_DAY, Kind.BLACK_HOLE, Kind.NO_NAME):
        return act.amount + 25.0
    if act.kind in (Kind.EXCHANGE_RESTART, Kind.KILLED, Kind.DISK_BUSY, Kind.DISK_FULL, Kind.FEED_SILENT):
        return act.amount + 12.0
    if act.kind in (Kind.KILLED_BETWEEN, Kind.STREAM_DOWN):
        return 30.0
    if act.kind is Kind.FLATTENED:
        return 75.0
    if act.kind in (Kind.CHANGE_FAILS, Kind.REJECTED, Kind.SERVER_ERROR, Kind.THROTTLED, Kind.PARTIAL):
        return 12.0
    return 5.0


def sane(acts: list[Act]) -> list[Act]:
    """One change of days at most, and it is the last great event; one restart of the exchange."""
    kept: list[Act] = []
    restart = next((act for act in acts if act.kind is Kind.EXCHANGE_RESTART), None)
    day = next((act for act in acts if act.kind is Kind.NEXT_DAY), None)
    great = (*_DAY_KINDS, Kind.KILLED, Kind.KILLED_BETWEEN)
    for act in acts:
        if day is not None and act is not day and act.kind in great:
            continue
        if act.kind is Kind.EXCHANGE_RESTART and act is not restart:
            continue
        kept.append(act)
    return kept
