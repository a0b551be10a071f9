"""A stop in words, for the audit trail."""

from __future__ import annotations

from app.domain.money import Price, in_rupees
from app.domain.stop import Stop, Trail, TrailKind, TriggerSource
from app.runtime.clock import to_datetime


def words(stop: Stop) -> str:
    """Side, quantity, level, and whatever else was asked."""

    def price(of: Price) -> str:
        return in_rupees(of, stop.price_scale)

    plan = stop.plan
    told = [f"{stop.side} {stop.quantity}" + (f" at {price(stop.trigger)}" if stop.has_level else " without a level")]
    if plan.target is not None:
        told.append(f"target {price(plan.target)}")
    if plan.trail is not None:
        told.append(f"trails {_trail(plan.trail, stop.price_scale)}")
    if plan.break_even is not None:
        told.append(f"break-even after {price(plan.break_even.after)}")
    if stop.exit_at is not None:
        told.append(f"leaves {to_datetime(stop.exit_at):%d %b %H:%M}")
    if plan.source is TriggerSource.UNDERLYING:
        told.append(f"by {plan.underlying}")
    elif plan.source not in (TriggerSource.LAST, TriggerSource.NONE):
        told.append(f"by {plan.source}")
    if plan.strategy is not None:
        told.append(f"of {plan.strategy}")
    return ", ".join(told)


def _trail(trail: Trail, scale: int) -> str:
    if trail.kind is TrailKind.POINTS:
        return f"by {in_rupees(int(trail.amount), scale)}"
    if trail.kind is TrailKind.PERCENT:
        return f"by {trail.amount:f} %"
    return f"by {trail.amount:f} ATR({trail.period} x {int(trail.interval)} s)"
