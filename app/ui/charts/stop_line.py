"""A stop as a line to drag: what it shows and what a drag may do. Decides purely; painting is in `stop_paint`.

Only what the desk acknowledged is drawn solid. While a wish is under way the acknowledged line stays where it is and
the wish is dashed; a refused wish disappears and leaves its reason. One wish at a time: a line whose move is not
answered yet cannot be dragged again, so a drag can never become a second order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum

from app.desk.messages import StopPreview
from app.domain.instrument import Instrument
from app.domain.money import Paise, Price, Rounding, to_tick
from app.domain.order import Side
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, StopPlan, StopState, TriggerSource
from app.ui import format as fmt


class Phase(Enum):
    """What the line says about the stop."""

    OFFERED = "offered"
    """A position without stop: a faint line to take hold of."""
    PENDING = "pending"
    """Asked for, not yet acknowledged: nothing is guarded by it."""
    ARMED = "armed"
    BLIND = "blind"
    """Armed, and no live price reaches it."""
    FIRED = "fired"
    """The exit was written; the broker has not confirmed the order."""
    EXITING = "exiting"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked of the desk and is not answered: a new trigger, or None to disarm."""

    trigger: Price | None


class StopLine:
    """The stop of one position on a chart. GUI thread; told by the chart's owner what the desk said."""

    word = "STOP"
    end_verb = "Disarm"
    gone = "nothing will guard {} then"
    """What disarming means; the braces stand for the units."""

    def __init__(self, instrument: Instrument, position: Position) -> None:
        self.instrument = instrument
        self.position = position
        self.stop: Stop | None = None
        """As last acknowledged; None when there is none."""
        self.wish: Wish | None = None
        self.dragged: Price | None = None
        self.refused = ""
        """Why the last wish or drag came to nothing, until the next touch."""
        self.closing = False
        """The × was clicked once: the label asks whether to go without a stop."""
        self.blind = False
        self.whose = ""
        """The account, where several hold the instrument."""
        self._preview: tuple[Price, StopPreview] | None = None

    @property
    def key(self) -> PositionKey:
        """Whose stop it is."""
        return self.position.key

    @property
    def side(self) -> Side:
        """Of the exit."""
        return self.stop.side if self.stop is not None else self.position.exit_side

    @property
    def quantity(self) -> int:
        """Units that the exit closes."""
        return self.stop.quantity if self.stop is not None else abs(self.position.quantity)

    @property
    def phase(self) -> Phase:
        """What to draw."""
        if self.stop is None:
            return Phase.OFFERED if self.wish is None else Phase.PENDING
        match self.stop.state:
            case StopState.ARMING:
                return Phase.PENDING
            case StopState.FIRED:
                return Phase.FIRED
            case StopState.EXITING:
                return Phase.EXITING
            case _:
                return Phase.BLIND if self.blind else Phase.ARMED

    @property
    def shown(self) -> bool:
        """Whether there is anything to see: a stop, a wish, or a position that could have one: shares that were sold
        out of demat owe nothing. Not a stop that looks at its underlying alone: its level is no price of this chart."""
        if self.stop is not None:
            return self.standing is not None
        return self.wish is not None or (self.position.quantity != 0 and not self.position.sold_shares)

    @property
    def standing(self) -> Price | None:
        """The level in force, as acknowledged, in the instrument's own price; None: there is none."""
        if self.stop is None:
            return None
        plan = self.stop.plan
        return plan.last_trigger if plan.source is TriggerSource.UNDERLYING else self.stop.trigger

    def plan(self, stop: Stop, price: Price | None) -> StopPlan | None:
        """The plan that a drag to `price` asks for; None: the stop is moved, or disarmed, as it is."""
        if price is None or stop.plan.source is not TriggerSource.UNDERLYING:
            return None
        return replace(stop.plan, last_trigger=price)

    @property
    def draggable(self) -> bool:
        """Nothing is under way and the stop has not fired."""
        return self.wish is None and self.phase in (Phase.OFFERED, Phase.ARMED, Phase.BLIND)

    @property
    def closable(self) -> bool:
        """There is an armed stop that can be disarmed now."""
        return self.stop is not None and self.dragged is None and self.draggable

    @property
    def trigger(self) -> Price | None:
        """The price that label and money are told for: dragged, else wished, else acknowledged."""
        if self.dragged is not None:
            return self.dragged
        if self.wish is not None and self.wish.trigger is not None:
            return self.wish.trigger
        return self.standing

    # --- a drag ----------------------------------------------------------------------------------------------------

    def snap(self, price: float) -> Price:
        """The nearest tick."""
        return max(to_tick(round(price), self.instrument.tick_size, Rounding.NEAREST), self.instrument.tick_size)

    def begin(self, price: float) -> bool:
        """Takes hold of the line. False when it cannot be dragged now."""
        self.refused, self.closing = "", False
        if not self.draggable:
            return False
        standing = self.standing
        self.dragged = self.snap(price) if standing is None else standing
        return True

    def drag(self, price: float) -> None:
        """Moves the line in the hand to the tick next to `price`."""
        if self.dragged is not None:
            self.dragged = self.snap(price)

    def cancel(self) -> None:
        """Lets go without asking for anything."""
        self.dragged = None

    def release(self, last: Price | None) -> Price | None:
        """Lets go. The trigger to ask for, or None: back where it was, or on the wrong side (`refused` says so)."""
        price, self.dragged = self.dragged, None
        if price is None or price == self.standing:
            return None
        self.refused = self.objection(price, last)
        return None if self.refused else price

    def objection(self, price: Price, last: Price | None) -> str:
        """Why there can be no stop at `price`: the wrong side, or what the desk says of it; empty when there can."""
        wrong = self.wrong_side(price, last)
        if wrong or self._preview is None or self._preview[0] != price:
            return wrong
        return self._preview[1].denied

    def wrong_side(self, price: Price, last: Price | None) -> str:
        """Why a stop at `price` would make no sense, in words; empty when it does."""
        if last is None:
            return "no price yet"
        at = fmt.price(last, self.instrument.price_scale, self.instrument.tick_size)
        if self.side is Side.SELL and price >= last:
            return f"must be below the last price {at}"
        if self.side is Side.BUY and price <= last:
            return f"must be above the last price {at}"
        return ""

    def close(self) -> bool:
        """A click on the ×. True with the second one: going without a stop is asked twice."""
        if not self.closable:
            return False
        self.closing = not self.closing
        return not self.closing

    # --- what the desk said ----------------------------------------------------------------------------------------

    def ask(self, trigger: Price | None) -> None:
        """A wish is under way: a trigger, or None to disarm."""
        self.wish = Wish(trigger)
        self.refused, self.closing = "", False

    def answer(self) -> None:
        """The wish was granted; the stop itself comes by `acknowledge`."""
        self.wish = None

    def refuse(self, reason: str) -> None:
        """The wish was refused: back to what is acknowledged, with the reason."""
        self.wish = None
        self.refused = reason

    def acknowledge(self, stop: Stop) -> None:
        """The desk's word on the stop. A drag in hand goes on unless the stop has fired or is gone."""
        self.stop = None if stop.state.is_final else stop
        if not self.draggable:
            self.dragged = None
        if not self.closable:
            self.closing = False

    # --- in numbers ------------------------------------------------------------------------------------------------

    def distance(self, last: Price) -> tuple[str, str]:
        """From the last price to the trigger, in points and percent: `-12.35`, `-0.81%`."""
        trigger = self.trigger
        if trigger is None or last == 0:
            return "", ""
        points = trigger - last
        return (
            fmt.price(points, self.instrument.price_scale, self.instrument.tick_size, signed=True),
            fmt.percent(Decimal(points) * 100 / last, signed=True),
        )

    def at_risk(self, last: Price) -> Paise:
        """What is lost from the last price to the trigger, gross, never negative."""
        trigger = self.trigger
        if trigger is None:
            return 0
        away = (last - trigger) if self.side is Side.SELL else (trigger - last)
        return max(0, away * self.quantity * self.position.multiplier * 100 // self.instrument.price_scale)

    def foresee(self, asked: Price, preview: StopPreview) -> None:
        """What the desk says a stop at `asked` would mean."""
        self._preview = (asked, preview)

    def forget(self) -> None:
        """The position changed: what was foreseen no longer holds."""
        self._preview = None

    @property
    def foreseen(self) -> Price | None:
        """The trigger that the outcome is known for."""
        return None if self._preview is None else self._preview[0]

    def outcome(self) -> Paise | None:
        """Net P&L of the position at the trigger, from the desk; None while that is not known for this trigger."""
        if self._preview is None or self._preview[0] != self.trigger:
            return None
        return self._preview[1].outcome

    def parking(self, last: Price, low: float, high: float) -> Price:
        """Where the offered line waits: inside the picture, on the side where the exit would be."""
        span = high - low
        if self.side is Side.SELL:
            return self.snap(min(low + span * 0.14, last - max(span * 0.05, 2 * self.instrument.tick_size)))
        return self.snap(max(high - span * 0.14, last + max(span * 0.05, 2 * self.instrument.tick_size)))
