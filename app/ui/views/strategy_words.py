"""Strategies in words: states said from the side of the trade, times, levels, money."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.ids import Nanos
from app.domain.instrument import Instrument
from app.domain.money import Paise, Price
from app.domain.order import Side
from app.domain.strategy import DaysKind, Level, Measure, Strategy, StrategyPlan, StrategyState
from app.ui import format as fmt
from app.ui.models.table import Tone
from app.ui.views.words import price_of

S = StrategyState
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_LONG = {
    S.IDLE: "idle",
    S.WAITING: "waiting",
    S.BUYING: "buying",
    S.BOUGHT: "bought",
    S.SELLING: "selling",
    S.SOLD: "sold",
    S.EXITED_BY_SL: "exited by stop",
    S.BUY_FAILED: "buy failed",
    S.ABORTED: "aborted",
    S.PAUSED: "paused",
    S.BROKER_UNREACHABLE: "broker unreachable",
}
_SHORT = _LONG | {
    S.BUYING: "selling short",
    S.BOUGHT: "short",
    S.SELLING: "buying back",
    S.SOLD: "bought back",
    S.BUY_FAILED: "sell failed",
}
_TONES = {
    S.WAITING: Tone.PLAIN,
    S.BUYING: Tone.WARN,
    S.BOUGHT: Tone.GOOD,
    S.SELLING: Tone.WARN,
    S.EXITED_BY_SL: Tone.WARN,
    S.BUY_FAILED: Tone.ALARM,
    S.ABORTED: Tone.ALARM,
    S.BROKER_UNREACHABLE: Tone.ALARM,
    S.PAUSED: Tone.WARN,
}


def state_words(state: StrategyState, side: Side) -> str:
    """As the trader sees it: a short strategy sells first and buys back."""
    return (_LONG if side is Side.BUY else _SHORT)[state]


def state_tone(state: StrategyState) -> Tone:
    """Loud where somebody should look."""
    return _TONES.get(state, Tone.DIM)


def entry_word(side: Side) -> str:
    """What its first order does."""
    return "Buy" if side is Side.BUY else "Sell short"


def exit_word(side: Side) -> str:
    """What its last order does."""
    return "Sell" if side is Side.BUY else "Buy back"


def clock_of(second: int) -> str:
    """Seconds after midnight as `09:20`, with the seconds where there are any."""
    minutes, seconds = divmod(second, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}" + (f":{seconds:02d}" if seconds else "")


def when(at: Nanos | None, *, day: bool = True) -> str:
    """`Fri 20 Nov 09:20`, or the time alone; with seconds where there are any."""
    if at is None:
        return ""
    moment = fmt.moment(at)
    clock = fmt.clock(at) if moment.second == 0 else fmt.time(at)
    if not day:
        return clock
    return f"{WEEKDAYS[moment.weekday()]} {fmt.short_day(moment.date())} {clock}"


def days_words(plan: StrategyPlan) -> str:
    """On which days: `every trading day`, `Mon, Thu`, `25 Nov, 3 Dec`."""
    days = plan.days
    if days.kind is DaysKind.WEEKDAYS:
        return ", ".join(WEEKDAYS[number] for number in sorted(days.weekdays))
    if days.kind is DaysKind.DATES:
        return ", ".join(fmt.short_day(day) for day in days.dates)
    return "every trading day"


def times_words(plan: StrategyPlan) -> str:
    """`09:20 to 15:00`, `15:05 to 09:30 +1`."""
    later = f" +{plan.carry}" if plan.carry else ""
    return f"{clock_of(plan.entry_second)} to {clock_of(plan.exit_second)}{later}"


def level_words(level: Level | None, instrument: Instrument | None) -> str:
    """`1.25%`, `4.00 points`, `1,480.00`; empty for none."""
    if level is None:
        return ""
    if level.measure is Measure.PERCENT:
        return f"{level.value / 100:g}%"
    price = price_of(instrument, level.value)
    return price if level.measure is Measure.PRICE else f"{price} points"


@dataclass(frozen=True, slots=True)
class Out:
    """What an exit under way has closed so far."""

    units: int = 0
    value: int = 0
    """Price times units."""


NOTHING_OUT = Out()


def result_of(
    strategy: Strategy, last: Price | None, price_scale: int, out: Out, multiplier: int | None = 1
) -> Paise | None:
    """Gross, in paise: of what is held at the last price, of what the exit under way has closed of it (`out`), and of
    what was closed before. `multiplier`: what one of its units holds, None where nobody told. None where nothing was
    bought, or that is not known."""
    entry, average = strategy.entry_average, strategy.exit_average
    if entry is None or not strategy.bought or multiplier is None:
        return None
    closed = strategy.closed or (0 if strategy.state.is_open else strategy.bought)  # of before it was counted
    moved = 0 if average is None else (average - entry) * closed
    if strategy.state.is_open:
        if last is None:
            return None
        moved += (last - entry) * (strategy.held - out.units) + out.value - entry * out.units
    elif average is None:
        return None
    return moved * strategy.plan.side.sign * multiplier * 100 // price_scale
