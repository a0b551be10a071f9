"""Facts in the words of the table cells, said the same way in every view."""

from __future__ import annotations

from decimal import Decimal

from app.domain.ids import InstrumentId, split_instrument_id
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.order import Order, OrderStatus, Side
from app.domain.stop import Stop, StopState
from app.ui import format as fmt
from app.ui.models.table import Tone


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


def distance(stop: Stop, last: Price | None) -> Price | None:
    """From the last price to the trigger, in minor units; negative once the price is beyond it."""
    if last is None or stop.state.is_final:
        return None
    return last - stop.trigger if stop.side is Side.SELL else stop.trigger - last


def distance_percent(stop: Stop, last: Price | None) -> Decimal | None:
    """The same in percent of the last price."""
    points = distance(stop, last)
    return None if points is None or not last else Decimal(points) * 100 / last


def at_risk(stop: Stop, last: Price | None) -> int | None:
    """What the way from the last price to the trigger costs, gross, in paise."""
    points = distance(stop, last)
    return None if points is None else points * stop.quantity * 100 // stop.price_scale
