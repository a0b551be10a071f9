"""What a position of a script is guarded by, and at which price it may be left at the earliest.

Told from the tape alone, apart from the engine's own arithmetic.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import Side
from app.domain.stop import BreakEven, StopPlan, TimeExit, Trail, TrailKind, TriggerSource
from app.domain.strategy import Days, DaysKind, Level, Measure, StrategyPlan, new_strategy_id
from app.simulator.listing import Listings, load_sample
from tests.harness.script import Guarded, Planned, Rule
from tests.harness.world import MORNING

LISTINGS: Listings = load_sample(MORNING.date())
_SOURCES = {
    Rule.TWO_TRADES: TriggerSource.DOUBLE_LAST,
    Rule.BID_ASK: TriggerSource.BID_ASK,
    Rule.MID: TriggerSource.MID,
}


def first_price(guarded: Guarded) -> int:
    """On a tick, as the tape begins."""
    row = LISTINGS.by_key[guarded.instrument]
    return row.previous_close // _tick(guarded) * _tick(guarded)


def away(guarded: Guarded) -> int:
    """From the first price to the trigger."""
    tick = _tick(guarded)
    return max(3 * tick, first_price(guarded) * guarded.distance // 10_000 // tick * tick)


def units_of(guarded: Guarded) -> int:
    """Signed units as the run begins."""
    return guarded.quantity * LISTINGS.by_key[guarded.instrument].lot_size


def is_large(guarded: Guarded) -> bool:
    """No single order may close it."""
    return 0 < LISTINGS.by_key[guarded.instrument].freeze_quantity < abs(units_of(guarded))


def strategy_of(planned: Planned, account: AccountId) -> StrategyPlan:
    """As the trader would enter it, for this day alone."""
    second = MORNING.hour * 3_600 + MORNING.minute * 60
    return StrategyPlan(
        new_strategy_id(),
        planned.instrument,
        account,
        InstrumentId(planned.instrument),
        Product.MIS,
        Side.BUY if planned.quantity > 0 else Side.SELL,
        abs(planned.quantity),
        second + planned.buys,
        second + planned.sells,
        Days(DaysKind.DATES, dates=(MORNING.date(),)),
        stop=Level(Measure.PERCENT, planned.distance),
    )


def trigger_of(guarded: Guarded) -> int:
    """On the losing side of the first price."""
    return first_price(guarded) - away(guarded) * _sign(guarded)


def target_of(guarded: Guarded) -> int:
    """On the winning side, twice as far."""
    return first_price(guarded) + 2 * away(guarded) * _sign(guarded)


def leaves_at(guarded: Guarded) -> float:
    """Of a time exit: seconds after the beginning, whole ones."""
    return float(int(guarded.breach) + 1)


def plan_of(guarded: Guarded) -> StopPlan:
    """As the trader would ask for it."""
    plan = _local_plan(guarded)
    plan = replace(plan, quantity=units_of(guarded)) if guarded.beside else plan
    return replace(plan, backstop=away(guarded)) if guarded.twin else plan


def _local_plan(guarded: Guarded) -> StopPlan:
    trigger = trigger_of(guarded)
    if guarded.rule in _SOURCES:
        return StopPlan(trigger, source=_SOURCES[guarded.rule], longest_wait=3)
    if guarded.rule is Rule.TRAIL_POINTS:
        return StopPlan(trigger, trail=Trail(TrailKind.POINTS, Decimal(away(guarded))))
    if guarded.rule is Rule.TRAIL_PERCENT:
        return StopPlan(trigger, trail=Trail(TrailKind.PERCENT, Decimal(guarded.distance) / 100))
    if guarded.rule is Rule.TARGET:
        return StopPlan(trigger, target=target_of(guarded))
    if guarded.rule is Rule.BREAK_EVEN:
        return StopPlan(trigger, break_even=BreakEven(away(guarded), with_charges=False))
    if guarded.rule is Rule.TIME:
        moment = MORNING + timedelta(seconds=leaves_at(guarded))
        return StopPlan(trigger, time_exit=TimeExit(at=moment.time(), day=moment.date()))
    return StopPlan(trigger)


def earliest(guarded: Guarded, best: int, entry: int) -> int:
    """The tightest level that the best price so far allows; a tick of tolerance for rounding."""
    level, sign = trigger_of(guarded), _sign(guarded)
    if guarded.rule in (Rule.TRAIL_POINTS, Rule.TRAIL_PERCENT):
        share = Decimal(guarded.distance) / 10_000
        behind = away(guarded) if guarded.rule is Rule.TRAIL_POINTS else int(best * share)
        level = max(level * sign, (best - sign * behind) * sign) * sign
    if guarded.rule is Rule.BREAK_EVEN and (best - entry) * sign >= away(guarded):
        level = max(level * sign, entry * sign) * sign
    return level + sign * _tick(guarded)


def _sign(guarded: Guarded) -> int:
    return 1 if guarded.quantity > 0 else -1


def _tick(guarded: Guarded) -> int:
    return LISTINGS.by_key[guarded.instrument].tick_size or 5
