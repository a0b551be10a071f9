"""More was bought than was asked for. Pure."""

from __future__ import annotations

from app.domain.events import Level
from app.domain.strategy import Strategy
from app.engine.strategies.happenings import Tell


def too_much(before: Strategy, after: Strategy) -> tuple[Tell, ...]:
    """An attempt that was proven absent and came after all, beside the next: the trader hears of it once, also in a
    later run than the one that gave it up."""
    asked = after.plan.quantity
    if after.bought <= max(asked, before.bought) or before.bought > asked:
        return ()
    words = f"{after.bought} units were filled, {asked} were asked for: an attempt that had not arrived came after all"
    return (Tell(Level.ALARM, f"{words}. All of it is guarded, and leaves with the strategy."),)
