"""Whether a plan makes sense, in words for the field that is wrong. Pure."""

from __future__ import annotations

from collections.abc import Callable

from app.domain.errors import Denied
from app.domain.instrument import Instrument, Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.stop import TrailKind, TriggerSource
from app.domain.strategy import DaysKind, Level, Measure, StrategyPlan, StrategyProblem
from app.engine.arming import deny_trail
from app.engine.limits import check_order
from app.engine.rules import MAX_SLICES

_LAST = TriggerSource.LAST
_Wrong = Callable[[str, str], None]
"""Takes a field and what is wrong with it."""

DAY = 86_400
LONGEST_CARRY = 250
"""Trading days: about a year."""
LONGEST_ENTRY = 3_600
"""Seconds that an entry order may stay open."""
MOST_PERCENT = 5_000
"""Hundredths of a percent: a level further away than half the price is a slip of the hand."""


def problems_of(
    plan: StrategyPlan, instrument: Instrument, slice_size: int, slices: int = MAX_SLICES
) -> tuple[StrategyProblem, ...]:
    """All of them, those of the order first. `slice_size`: units that one order may carry, 0 where not known. `slices`:
    into how many orders the broker cuts an entry."""
    found: list[StrategyProblem] = []

    def wrong(field: str, words: str) -> None:
        found.append(StrategyProblem(field, words))

    _check_order(plan, instrument, wrong)
    if slice_size and plan.quantity > slice_size * slices:
        wrong("quantity", _too_many(slice_size, slices))
    _check_times(plan, wrong)
    if plan.days.kind is DaysKind.WEEKDAYS and not plan.days.weekdays:
        wrong("days", "Choose at least one weekday.")
    if plan.days.kind is DaysKind.DATES and not plan.days.dates:
        wrong("days", "Enter at least one date.")
    _check_levels(plan, instrument, wrong)
    return tuple(found)


def _check_order(plan: StrategyPlan, instrument: Instrument, wrong: _Wrong) -> None:
    kind = OrderKind.LIMIT if plan.limit is not None or instrument.is_stock_option else OrderKind.MARKET
    price = plan.limit if plan.limit is not None else instrument.tick_size
    try:
        check_order(
            OrderRequest(
                plan.account,
                plan.instrument,
                plan.side,
                plan.quantity,
                plan.product,
                kind,
                price if kind is OrderKind.LIMIT else None,
            ),
            instrument,
        )
    except Denied as failure:
        field = "limit" if "price" in failure.cause else "quantity" if "lot" in failure.cause else "instrument"
        field = "quantity" if plan.quantity <= 0 else field
        wrong("product" if plan.product.value in failure.cause else field, str(failure))
    if plan.side is Side.SELL and plan.product in (Product.CNC, Product.MTF):
        wrong("product", "Shares cannot be sold short for delivery. Choose MIS.")


def _too_many(slice_size: int, slices: int) -> str:
    if slices == 1:
        return f"One order carries at most {slice_size}, and this broker cuts none up: make two strategies of it."
    return f"One entry is at most {slices} orders of {slice_size}: {slice_size * slices} units."


def _check_times(plan: StrategyPlan, wrong: _Wrong) -> None:
    if not 0 <= plan.entry_second < DAY:
        wrong("entry_second", "Enter a time of the day.")
    if not 0 <= plan.exit_second < DAY:
        wrong("exit_second", "Enter a time of the day.")
    if plan.carry == 0 and plan.exit_second <= plan.entry_second:
        wrong("exit_second", "The exit must be later than the entry, or on a later day.")
    if not 0 <= plan.carry <= LONGEST_CARRY:
        wrong("carry", f"Carry it 0 to {LONGEST_CARRY} trading days.")
    if plan.carry and plan.product.intraday:
        wrong("carry", f"{plan.product} is closed by the broker the same day. Choose NRML or CNC to carry.")
    if not 1 <= plan.entry_seconds <= LONGEST_ENTRY:
        wrong("entry_seconds", f"The entry may stay open 1 to {LONGEST_ENTRY} seconds.")


def _check_levels(plan: StrategyPlan, instrument: Instrument, wrong: _Wrong) -> None:
    for field, level in (("stop", plan.stop), ("target", plan.target), ("trail", plan.trail)):
        words = "" if level is None else _level_words(field, level, instrument)
        if words:
            wrong(field, words)
    if plan.stop is None and plan.target is not None:
        wrong("stop", "A target needs a stop beside it.")
    if plan.stop is None and plan.trail is not None:
        wrong("stop", "A trail needs a stop to begin with.")
    if plan.trail is not None and plan.trail.measure is Measure.PRICE:
        wrong("trail", "A trail is a distance: points or percent.")
    if plan.stop is None and (plan.range_trail or plan.break_even or plan.backstop or plan.source is not _LAST):
        wrong("stop", "All this belongs to a stop: enter one.")
    if plan.trail is not None and plan.range_trail is not None:
        wrong("trail", "A stop trails by a distance or by the average range, not by both.")
    _check_source(plan, instrument, wrong)
    _check_range(plan, instrument, wrong)
    for field, level in (("break_even", plan.break_even), ("backstop", plan.backstop)):
        words = "" if level is None else _level_words(field, level, instrument)
        if level is not None and level.measure is Measure.PRICE:
            words = f"{_NAMES[field]}: it is a distance, points or percent."
        if words:
            wrong(field, words)
    _check_fixed(plan, plan.gains(instrument.kind), wrong)


def _check_source(plan: StrategyPlan, instrument: Instrument, wrong: _Wrong) -> None:
    """What it looks at, and what cannot go together with an underlying."""
    if plan.source is TriggerSource.NONE:
        wrong("source", "The stop of a strategy looks at a price.")
    if not plan.by_underlying:
        return
    if plan.underlying is None or (not instrument.is_option and instrument.expiry is None):
        wrong("source", f"{instrument.symbol} has no underlying that Stopline knows.")
    if plan.own_stop is None:
        wrong("own_stop", "Enter where its own price gets it out when the underlying says nothing.")
    else:
        words = _level_words("own_stop", plan.own_stop, instrument)
        if words:
            wrong("own_stop", words)
    if plan.break_even is not None:
        wrong("break_even", "A break-even move goes by the position's own price. Leave it out.")
    if plan.backstop is not None:
        wrong("backstop", "The exchange cannot watch the underlying. Leave the backstop out.")


def _check_range(plan: StrategyPlan, instrument: Instrument, wrong: _Wrong) -> None:
    if plan.range_trail is None:
        return
    if plan.range_trail.kind is not TrailKind.ATR:
        wrong("range_trail", "That trail goes by the average range.")
    try:
        deny_trail(plan.range_trail, instrument)
    except Denied as failure:
        wrong("range_trail", str(failure))


def _check_looked(plan: StrategyPlan, gains: int, wrong: _Wrong) -> None:
    """The same of prices of an underlying: the entry's limit is no price of it."""
    levels = (plan.stop, plan.target)
    if all(level is not None and level.measure is Measure.PRICE for level in levels):
        stop, target = (level.value for level in levels if level is not None)
        if (target - stop) * gains <= 0:
            wrong("target", f"The target lies {'above' if gains > 0 else 'below'} the stop.")


def _check_fixed(plan: StrategyPlan, gains: int, wrong: _Wrong) -> None:
    """Prices against each other, as far as they are known before the entry."""
    if plan.by_underlying:
        _check_looked(plan, gains, wrong)
        return
    sign = plan.side.sign
    stop = plan.stop.value if plan.stop is not None and plan.stop.measure is Measure.PRICE else None
    target = plan.target.value if plan.target is not None and plan.target.measure is Measure.PRICE else None
    below, above = ("below", "above") if sign > 0 else ("above", "below")
    if stop is not None and target is not None and (target - stop) * sign <= 0:
        wrong("target", f"The target lies {above} the stop.")
    if stop is not None and plan.limit is not None and (plan.limit - stop) * sign <= 0:
        wrong("stop", f"The stop lies {below} the limit price of the entry.")
    if target is not None and plan.limit is not None and (target - plan.limit) * sign <= 0:
        wrong("target", f"The target lies {above} the limit price of the entry.")


_NAMES = {
    "stop": "Stop",
    "target": "Target",
    "trail": "Trail",
    "break_even": "Break-even",
    "backstop": "Backstop",
    "own_stop": "Own price",
}


def _level_words(field: str, level: Level, instrument: Instrument) -> str:
    """What is wrong with a level, beginning with the name of its field: several look alike. Empty: nothing."""
    words = ""
    if level.value <= 0:
        words = "enter a number above zero"
    elif level.measure is Measure.PERCENT:
        words = "" if level.value <= MOST_PERCENT else f"at most {MOST_PERCENT // 100} %"
    elif level.measure is Measure.PRICE and level.value % instrument.tick_size:
        words = "the price is not on a tick of the instrument"
    elif level.value < instrument.tick_size:
        words = "that is less than one tick"
    return f"{_NAMES[field]}: {words}." if words else ""
