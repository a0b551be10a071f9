"""What is armed for a strategy's share: its levels from its plan and where the entry filled. Pure."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from app.domain.errors import Denied
from app.domain.instrument import Instrument
from app.domain.money import Price, Rounding, to_tick
from app.domain.stop import BreakEven, StopPlan, Trail, TrailKind, TriggerSource
from app.domain.strategy import Leaving, Level, Measure, Strategy, StrategyPlan


def stop_plan(strategy: Strategy, quantity: int, instrument: Instrument, *, bare: bool = False) -> StopPlan:
    """What is armed for so many units of a strategy. `bare`: without a level, to be fired by time or hand. Pure.

    Raises Denied where a level is a distance from an underlying's price that nobody knew.
    """
    plan, entry, tick = strategy.plan, strategy.entry_average, instrument.tick_size
    if bare or entry is None or (plan.stop is None and plan.target is None):
        return StopPlan(0, source=TriggerSource.NONE, quantity=quantity, strategy=strategy.id)
    if plan.by_underlying:
        return _by_underlying(strategy, quantity, instrument, entry)
    trigger = plan.stop_price(entry, tick)

    def ticks(level: Level | None) -> int | None:
        return None if level is None else to_tick(level.distance(entry), tick, Rounding.UP)

    even, guarded = ticks(plan.break_even), trigger is not None
    return StopPlan(
        trigger or 0,
        target=plan.target_price(entry, tick),
        trail=_trail(plan) if guarded else None,
        break_even=BreakEven(even) if even and guarded else None,
        source=plan.source,
        quantity=quantity,
        strategy=strategy.id,
        backstop=ticks(plan.backstop) if guarded else None,
    )


def _by_underlying(strategy: Strategy, quantity: int, instrument: Instrument, entry: Price) -> StopPlan:
    """Levels of the underlying, and the instrument's own for when that is silent."""
    plan, gains, tick = strategy.plan, strategy.plan.gains(instrument.kind), instrument.tick_size

    def at(level: Level | None, direction: int) -> Price | None:
        if level is None:
            return None
        if strategy.looked is None and level.measure is not Measure.PRICE:
            raise Denied(
                f"It is not known where {plan.underlying} stood when the entry filled.", "Its own stop guards it."
            )
        return level.price(strategy.looked or 0, direction, tick)

    return StopPlan(
        at(plan.stop, -gains) or 0,
        target=at(plan.target, gains),
        trail=_trail(plan),
        source=plan.source,
        underlying=plan.underlying,
        last_trigger=plan.stop_price(entry, tick),
        quantity=quantity,
        strategy=strategy.id,
    )


def _trail(plan: StrategyPlan) -> Trail | None:
    if plan.trail is None:
        return plan.range_trail
    percent = plan.trail.measure is Measure.PERCENT
    amount = Decimal(plan.trail.value) / 100 if percent else Decimal(plan.trail.value)
    return Trail(TrailKind.PERCENT if percent else TrailKind.POINTS, amount)


def plainly(plan: StopPlan) -> StopPlan:
    """The same levels with nothing that could be refused; of one that looks at an underlying, its own stop. Pure."""
    if plan.source is TriggerSource.UNDERLYING:
        return StopPlan(plan.last_trigger or 0, quantity=plan.quantity, strategy=plan.strategy)
    return replace(plan, trail=None, break_even=None, source=TriggerSource.LAST, backstop=None)


def reached(plan: StopPlan, gains: int, last: Price | None) -> Leaving | None:
    """Which level the price looked at is at or beyond already. `gains`: +1 where it gains as that rises. Pure."""
    if not last or plan.source is TriggerSource.NONE:
        return None
    if plan.trigger and (last - plan.trigger) * gains <= 0:
        return Leaving.STOP
    if plan.target is not None and (last - plan.target) * gains >= 0:
        return Leaving.TARGET
    return None
