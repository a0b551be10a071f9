"""What may be armed: pure checks, refused in words."""

from __future__ import annotations

from fractions import Fraction

from app.domain.errors import Denied
from app.domain.ids import Nanos
from app.domain.instrument import Instrument, Product
from app.domain.market import Interval
from app.domain.money import Price, said_price
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.portfolio import Holding, Position, PositionKey
from app.domain.stop import Stop, StopPlan, StopState, Trail, TrailKind, TriggerSource, new_stop_id
from app.engine.account import PositionReading
from app.engine.delivery import DELIVERED, opening_units
from app.engine.rules import ExitRule, limit_pricer

WIDEST_BACKSTOP = Fraction(4, 5)
"""A backstop rests nearer to its stop than this part of the stop's price: whoever types a price is told so."""
LONGEST_WAIT = 60
"""Seconds that a guard against freak prices may hold an exit back."""


def open_position(reading: PositionReading | None, key: PositionKey, *, of_today: bool = False) -> Position:
    """The position that a stop would guard; `of_today`: without the holdings behind it. Raises Denied when it is
    unknown or flat."""
    if reading is None:
        raise Denied("The position is not known yet.", "Wait until the positions have been read.")
    position = reading.positions.get(key) if of_today else reading.find(key)
    if not reading.knows(key) and (position is None or position.quantity <= 0):
        raise Denied("The holdings are not known yet.", "Wait until they have been read.")
    if position is None or position.quantity == 0:
        raise Denied("There is no open position to guard.", "See the positions.")
    return position


def closing_request(position: Position, rule: ExitRule, instrument: Instrument, last: Price | None) -> OrderRequest:
    """The order that closes a whole position, of the kind that its class takes."""
    price = None
    if rule.kind is OrderKind.LIMIT:
        price = limit_pricer(rule, instrument, position.exit_side)(last or position.last_price)
    key, units = position.key, abs(position.quantity)
    return OrderRequest(key.account, key.instrument, position.exit_side, units, key.product, rule.kind, price=price)


def deny_reversal(request: OrderRequest, reading: PositionReading) -> None:
    """Raises Denied for an order that was to close a position and would turn it round now (F4). Unknown is not flat."""
    key = PositionKey(request.account, request.instrument, request.product)
    buys_back = request.side is Side.BUY and key.product in DELIVERED  # what was sold today, whatever is held behind it
    held = reading.bought_today(key) if buys_back else reading.quantity(key)
    if reading.knows(key) and held * -request.side.sign < request.quantity:
        raise Denied("The position was closed or made smaller meanwhile.", "See the positions.")


def fresh_stop(
    position: Position, instrument: Instrument, plan: StopPlan, quantity: int, now: Nanos, last: Price
) -> Stop:
    """A stop as it is armed."""
    return Stop(
        id=new_stop_id(),
        key=position.key,
        side=position.exit_side,
        trigger=plan.trigger,
        quantity=quantity,
        state=StopState.ARMED,
        armed_at=now,
        plan=plan,
        token=instrument.token,
        tick_size=instrument.tick_size,
        price_scale=instrument.price_scale,
        seen_price=last or None,
        seen_at=now if last else None,
    )


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


def deny_target(position: Position, instrument: Instrument, target: Price, last: Price | None) -> None:
    """Raises Denied when a target at this price makes no sense for the position."""
    if target <= 0 or target % instrument.tick_size:
        raise Denied("The target is not on a tick of the instrument.", "Choose a multiple of the tick size.")
    if last and position.quantity * (target - last) <= 0:
        where = "above" if position.quantity > 0 else "below"
        raise Denied("The last price is at or beyond the target: it would fire at once.", f"Set it {where} it.")


def deny_plan(position: Position, instrument: Instrument, plan: StopPlan, last: Price | None) -> None:
    """Raises Denied when a plan makes no sense for the position. Levels of an underlying: `deny_levels`."""
    deny_backstop(position, instrument, plan)
    if plan.source is TriggerSource.NONE:
        if plan != StopPlan(0, source=plan.source, quantity=plan.quantity, strategy=plan.strategy):
            raise Denied("An exit without a level has no levels.", "Choose a price that it looks at.")
    elif plan.source is TriggerSource.UNDERLYING:
        _deny_underlying(position, instrument, plan, last)
    else:
        deny_trigger(position, instrument, plan.trigger, last)
        if plan.target is not None:
            deny_target(position, instrument, plan.target, last)
    if plan.trail is not None:
        deny_trail(plan.trail, instrument)
    even = plan.break_even
    if even is not None and (even.after <= 0 or even.offset < 0 or even.offset >= even.after):
        raise Denied(
            "The break-even move needs a profit that is larger than its offset.",
            "Enter the profit that moves the stop.",
        )
    when = plan.time_exit
    if when is not None and ((when.at is None) == (when.before_end <= 0)):
        raise Denied("The time exit needs a time, or minutes before the end.", "Enter one of them.")
    if not 1 <= plan.longest_wait <= LONGEST_WAIT:
        raise Denied(f"The longest wait is {plan.longest_wait} s.", f"Choose 1 to {LONGEST_WAIT} seconds.")
    if plan.quantity is not None and (plan.quantity <= 0 or plan.quantity % instrument.lot_size):
        raise Denied(
            f"{plan.quantity} is not a multiple of the lot size {instrument.lot_size}.",
            f"Enter {instrument.lot_size}, {2 * instrument.lot_size}, …",
        )


def _deny_underlying(position: Position, instrument: Instrument, plan: StopPlan, last: Price | None) -> None:
    if not instrument.is_option and instrument.expiry is None:
        raise Denied(f"{instrument.symbol} has no underlying.", "Choose another trigger price.")
    if plan.break_even is not None:
        raise Denied(
            "A break-even move goes by the position's own price.", "Leave it out, or look at the last price instead."
        )
    if plan.trigger <= 0 or (plan.target is not None and plan.target <= 0):
        raise Denied("The underlying's price is missing.", "Enter the level of the underlying.")
    if plan.last_trigger is not None:
        deny_trigger(position, instrument, plan.last_trigger, last)


def deny_levels(plan: StopPlan, gains: int, last: Price | None) -> None:
    """The same of a stop that looks at an underlying. `gains`: +1 where the position gains as that rises."""
    if not last:
        return
    if (last - plan.trigger) * gains <= 0:
        raise Denied("The underlying is at or beyond this level: it would fire at once.", "Choose another level.")
    if plan.target is not None and (plan.target - last) * gains <= 0:
        raise Denied("The underlying is at or beyond the target: it would fire at once.", "Choose another target.")


def deny_trail(trail: Trail, instrument: Instrument) -> None:
    """Raises Denied when a trail makes no sense for the instrument."""
    if trail.amount <= 0:
        raise Denied("The trail has no distance.", "Enter how far the stop stays behind.")
    if trail.kind is TrailKind.POINTS and (
        trail.amount != int(trail.amount) or int(trail.amount) % instrument.tick_size
    ):
        raise Denied("The trail is not a whole number of ticks.", "Choose a multiple of the tick size.")
    if trail.kind is TrailKind.PERCENT and trail.amount >= 100:
        raise Denied("The trail is 100 % or more.", "Enter a smaller percentage.")
    if trail.kind is TrailKind.ATR and not (2 <= trail.period <= 200 and trail.interval is not Interval.SECOND):
        raise Denied(f"An average range over {trail.period} candles is not kept.", "Choose 2 to 200 candles.")
    if trail.step < 0 or trail.step % instrument.tick_size:
        raise Denied("The step of the trail is not on a tick.", "Choose a multiple of the tick size.")


def deny_holding(position: Position, holding: Holding | None, bought_today: int, quantity: int) -> None:
    """Raises Denied where shares of a holding are not there to be sold: the exit would be rejected (F8)."""
    if position.key.product not in DELIVERED or holding is None or position.quantity < 0:
        return
    from_demat = quantity - max(0, bought_today)
    there = opening_units(holding) + min(0, bought_today)
    if from_demat > there:
        raise Denied(
            f"Only {there} of {from_demat} shares are there to be sold.",
            "Guard fewer shares; pledged ones must be released first.",
        )


def deny_backstop(position: Position, instrument: Instrument, plan: StopPlan) -> None:
    """Raises Denied for a distance at which nothing can rest at the exchange."""
    if plan.backstop is None:
        return
    if plan.source is TriggerSource.UNDERLYING:
        raise Denied("The exchange cannot watch the underlying.", "Take a local stop alone, or one on the last price.")
    if plan.backstop <= 0 or plan.backstop % instrument.tick_size:
        raise Denied("The backstop's distance is not a multiple of the tick size.", "Choose a multiple, above zero.")
    if plan.trigger > 0 and plan.backstop >= plan.trigger * WIDEST_BACKSTOP:
        distance, level = (said_price(price, instrument.price_scale) for price in (plan.backstop, plan.trigger))
        raise Denied(
            f"The backstop takes a distance, not a price: {distance} behind a stop at {level} saves nothing.",
            "Enter how far behind the stop it rests.",
        )
    if position.quantity > 0 and plan.trigger - plan.backstop < instrument.tick_size:
        raise Denied("The backstop would rest below the lowest price there is.", "Choose a smaller distance.")
