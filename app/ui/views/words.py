"""Facts in the words of the table cells, said the same way in every view."""

from __future__ import annotations

from collections.abc import Iterable

from app.desk.messages import AccountView
from app.domain.events import FeedState
from app.domain.ids import InstrumentId, split_instrument_id
from app.domain.instrument import Instrument, InstrumentKind
from app.domain.money import Price
from app.domain.order import Order, OrderStatus, Side
from app.domain.stop import Stop, StopState, Trail, TrailKind, TriggerSource
from app.ui import format as fmt
from app.ui.models.table import Tone

FEED_WORDS: dict[FeedState, str] = {
    FeedState.SILENT: "No prices",
    FeedState.CONNECTING: "Connecting",
    FeedState.DOWN: "Feed down",
    FeedState.REFUSED: "Log in again",
    FeedState.OFF: "Feed off",
    FeedState.CLOSED: "Market closed",
}
"""What a chart says of a feed that brings nothing."""


def price_of(instrument: Instrument | None, value: Price | None, scale: int = 100, *, signed: bool = False) -> str:
    """A price with the decimals of its instrument; nothing where there is none."""
    if value is None:
        return ""
    if instrument is None:
        return fmt.price(value, scale, signed=signed)
    return fmt.price(value, instrument.price_scale, instrument.tick_size, signed=signed)


def symbol_of(instrument: InstrumentId) -> str:
    """What traders call it; which exchange is on the tooltip."""
    return split_instrument_id(instrument)[1]


def quantity_of(instrument: Instrument | None, units: int) -> str:
    """Units, and lots where it trades in lots."""
    return fmt.quantity(units, instrument.lot_size if instrument else 1)


def lots_words(quantity: int, multiplier: int) -> str:
    """What a quantity of lots comes to; nothing where it is of units already."""
    count = abs(quantity)
    if multiplier == 1 or not count:
        return ""
    lots = f"{fmt.group(count)} {'lot' if count == 1 else 'lots'}"
    return f"{lots} of {fmt.group(multiplier)}: {fmt.group(count * multiplier)} units"


def side_tone(side: Side) -> Tone:
    """Blue buys, orange sells; the word beside it says the same."""
    return Tone.BUY if side is Side.BUY else Tone.SELL


STATUS_TONES: dict[OrderStatus, Tone] = {
    OrderStatus.SUBMITTED: Tone.DIM,
    OrderStatus.UNKNOWN: Tone.ALARM,
    OrderStatus.OPEN: Tone.WARN,
    OrderStatus.TRIGGER_PENDING: Tone.WARN,
    OrderStatus.PARTIALLY_FILLED: Tone.WARN,
    OrderStatus.FILLED: Tone.GOOD,
    OrderStatus.CANCEL_PENDING: Tone.WARN,
    OrderStatus.CANCELLED: Tone.DIM,
    OrderStatus.REJECTED: Tone.ALARM,
    OrderStatus.DENIED: Tone.ALARM,
    OrderStatus.EXPIRED: Tone.DIM,
}


def filled_of(order: Order) -> str:
    """`120 / 300`, or the plain quantity when all or nothing is filled."""
    if order.filled_quantity in (0, order.quantity):
        return fmt.group(order.quantity)
    return f"{fmt.group(order.filled_quantity)} / {fmt.group(order.quantity)}"


def stop_state(stop: Stop, *, blind: bool) -> str:
    """The state in one or two words; a blind stop says so."""
    return "armed · blind" if blind else str(stop.state)


def stop_tone(stop: Stop, *, blind: bool) -> Tone:
    """Loud where somebody should look."""
    if blind:
        return Tone.ALARM
    if stop.state is StopState.ARMED:
        return Tone.GOOD
    return Tone.DIM if stop.state.is_final else Tone.WARN


def plan_words(stop: Stop, instrument: Instrument | None) -> str:
    """What a stop does beside waiting at its level, in a few words: `trails 5.00`, `trails 2 ATR · exit 15:10`."""
    plan, told = stop.plan, []
    if plan.trail is not None:
        told.append(f"trails {_trail_words(plan.trail, stop, instrument)}")
    if plan.break_even is not None:
        told.append("break-even")
    if stop.exit_at is not None:
        told.append(f"exit {fmt.moment(stop.exit_at):%H:%M}")
    if plan.source is TriggerSource.UNDERLYING and plan.underlying is not None:
        told.append(f"by {symbol_of(plan.underlying)}")
    elif plan.source is not TriggerSource.LAST:
        told.append(str(plan.source))
    if plan.strategy is not None:
        told.append("strategy")  # its name stands in the strategies' own table; here is only an id
    return " · ".join(told) or "fixed"


def _trail_words(trail: Trail, stop: Stop, instrument: Instrument | None) -> str:
    if trail.kind is TrailKind.POINTS:
        return price_of(instrument, int(trail.amount), stop.price_scale)
    amount = f"{trail.amount.normalize():f}"
    return f"{amount} %" if trail.kind is TrailKind.PERCENT else f"{amount} ATR"


def plan_tip(stop: Stop, instrument: Instrument | None) -> str:
    """The same, with every figure."""
    plan = stop.plan

    def price(of: Price) -> str:
        return price_of(instrument, of, stop.price_scale)

    told = [f"Began at {price(plan.trigger)}, now {price(stop.trigger)}"]
    if stop.best is not None:
        told.append(f"best price since arming {price(stop.best)}")
    if plan.trail is not None and plan.trail.kind is TrailKind.ATR:
        told.append(f"average range of {plan.trail.period} candles of {int(plan.trail.interval) // 60} min")
    if plan.target is not None:
        told.append(f"target {price(plan.target)}: one cancels the other")
    if plan.break_even is not None:
        charges = " with charges" if plan.break_even.with_charges else ""
        told.append(f"to break-even{charges} after {price(plan.break_even.after)} of profit")
    if stop.exit_at is not None:
        told.append(f"leaves {fmt.moment(stop.exit_at):%a %d %b %H:%M}")
    if plan.source is TriggerSource.UNDERLYING and plan.underlying is not None:
        told.append(f"looks at {symbol_of(plan.underlying)}; at an index's future while that stands still at the close")
        if plan.last_trigger is not None:
            own, wait = price(plan.last_trigger), plan.longest_wait
            told.append(f"its own last price decides at {own} when that says nothing for {wait} s")
    elif plan.source is not TriggerSource.LAST:
        told.append(f"looks at: {plan.source}; the last price alone decides after {plan.longest_wait} s")
    if plan.quantity is not None:
        told.append(f"owns {quantity_of(instrument, plan.quantity)} of the position")
    return "\n".join(told)


def standing_price(stop: Stop) -> Price | None:
    """The level in force as a price of the instrument itself; None where only its underlying is looked at."""
    return stop.plan.last_trigger if stop.plan.source is TriggerSource.UNDERLYING else stop.trigger


def distance(stop: Stop, last: Price | None) -> Price | None:
    """From the last price to the trigger, in minor units; negative once the price is beyond it."""
    level = standing_price(stop)
    if last is None or level is None or stop.state.is_final:
        return None
    return last - level if stop.side is Side.SELL else level - last


def way_of_underlying(stop: Stop, instrument: Instrument | None, looked: Price | None) -> Price | None:
    """From the price of the underlying to the level on it; negative once it is beyond. None where nothing is known."""
    if looked is None or instrument is None or stop.state.is_final:
        return None
    falls = instrument.kind is InstrumentKind.PUT
    return (looked - stop.trigger) * (1 if (stop.side is Side.SELL) is not falls else -1)


def at_risk(stop: Stop, last: Price | None, multiplier: int = 1) -> int | None:
    """What the way from the last price to the trigger costs, gross, in paise; nothing is left of it once the exit is
    out. `multiplier`: what one of its units holds, of a contract that is counted in lots."""
    points = distance(stop, last)
    if points is None or stop.state in (StopState.FIRED, StopState.EXITING):
        return None
    return max(0, points) * stop.quantity * multiplier * 100 // stop.price_scale


def logged_out(accounts: Iterable[AccountView]) -> str:
    """Those of whose books nothing is known, by their names; empty where all are logged in."""
    return " and ".join(account.name for account in accounts if not account.state.may_live)
