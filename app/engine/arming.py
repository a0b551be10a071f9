"""What may be armed: pure checks, refused in words."""

from __future__ import annotations

from app.domain.errors import Denied
from app.domain.instrument import Instrument, Product
from app.domain.money import Price
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import StopPlan
from app.engine.account import PositionReading


def open_position(reading: PositionReading | None, key: PositionKey) -> Position:
    """The position that a stop would guard. Raises Denied when it is unknown or flat."""
    if reading is None:
        raise Denied("The position is not known yet.", "Wait until the positions have been read.")
    position = reading.positions.get(key)
    if position is None or position.quantity == 0:
        raise Denied("There is no open position to guard.", "See the positions.")
    return position


def deny_trigger(position: Position, instrument: Instrument, trigger: Price, last: Price | None) -> None:
    """Raises Denied when a stop at this price makes no sense for the position."""
    if position.key.product is Product.CO:
        raise Denied("A cover order has a stop of its own at the broker.", "Change the trigger of that order.")
    if trigger <= 0 or trigger % instrument.tick_size:
        raise Denied("The price is not on a tick of the instrument.", "Choose a multiple of the tick size.")
    if not last or last <= 0:
        return  # no price yet: the first tick that counts decides
    if position.quantity > 0 and trigger >= last:
        raise Denied("A stop at or above the last price would fire at once.", "Set it below the last price.")
    if position.quantity < 0 and trigger <= last:
        raise Denied("A stop at or below the last price would fire at once.", "Set it above the last price.")


def deny_plan(position: Position, instrument: Instrument, plan: StopPlan, last: Price | None) -> None:
    """Raises Denied when a plan makes no sense for the position."""
    if plan != StopPlan(plan.trigger):
        raise Denied("This kind of stop cannot be armed yet.", "Arm a fixed stop.")
    deny_trigger(position, instrument, plan.trigger, last)
