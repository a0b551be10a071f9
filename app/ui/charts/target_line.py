"""The target of a stop as a line to drag: the other side of the same exit, so one cancels the other."""

from __future__ import annotations

from dataclasses import replace

from app.domain.money import Price
from app.domain.order import Side
from app.domain.stop import Stop, StopPlan, TriggerSource
from app.ui import format as fmt
from app.ui.charts.stop_line import StopLine


class TargetLine(StopLine):
    """There only while a stop has a target in the instrument's own price."""

    word = "TARGET"
    end_verb = "Take away"
    gone = "only the stop will guard then"

    @property
    def standing(self) -> Price | None:
        """As acknowledged."""
        plan = None if self.stop is None else self.stop.plan
        return None if plan is None or plan.source is TriggerSource.UNDERLYING else plan.target

    @property
    def shown(self) -> bool:
        """Without a target there is nothing to take hold of."""
        return self.standing is not None

    def plan(self, stop: Stop, price: Price | None) -> StopPlan | None:
        """Another target, or none."""
        return replace(stop.plan, target=price)

    def wrong_side(self, price: Price, last: Price | None) -> str:
        """A target lies where the position gains."""
        if last is None:
            return "no price yet"
        at = fmt.price(last, self.instrument.price_scale, self.instrument.tick_size)
        if self.side is Side.SELL and price <= last:
            return f"must be above the last price {at}"
        if self.side is Side.BUY and price >= last:
            return f"must be below the last price {at}"
        return ""
