"""What the trigger (GTT) behind a stop of delivery must say, and when it follows: pure functions of what is known.

A broker's trigger outlives the day, blocks nothing and takes its order's whole text with every change. It fires on the
last price, and from which side depends on where that stood when it was written: so it is never written while the price
is at or beyond it. Where it stands and how it follows is `backstop_plan`'s, within a budget of changes of our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.backstop import RestingState, RestingTrigger
from app.domain.gtt import Gtt, GttLeg, GttStatus, as_asked
from app.domain.ids import GttId
from app.domain.money import Price
from app.domain.order import OrderKind, Side
from app.domain.stop import Stop
from app.engine.backstop_plan import BUDGET, Nothing, Wanted, step

FORGET_NS = 90_000_000_000
"""An unanswered request that the broker's list has not shown for so long has never arrived."""
ASKED_WITHIN_NS = 120_000_000_000
"""A trigger that was made so long before or after we asked for one that says the same is not ours."""


@dataclass(frozen=True, slots=True)
class Write:
    """A new one."""

    leg: GttLeg


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The same one says this from now on."""

    trigger: RestingTrigger
    leg: GttLeg
    urgent: bool
    """It would sell more than is there, or act before the local stop."""


@dataclass(frozen=True, slots=True)
class Delete:
    """It must not rest any more."""

    trigger: RestingTrigger
    reason: str


Action = Nothing | Write | Rewrite | Delete


def leg_of(stop: Stop, want: Wanted, *, limited: bool) -> GttLeg:
    """What the trigger says. `limited`: its order has a limit price; else it goes at market, with protection."""
    price = want.price if limited else 0
    kind = OrderKind.LIMIT if limited else OrderKind.MARKET
    return GttLeg(want.trigger, stop.side, want.quantity, stop.key.product, price, kind)


def next_action(
    stop: Stop, want: GttLeg | None, resting: Sequence[RestingTrigger], last: Price | None, changes: int
) -> Action:
    """One thing at a time; none beside one that may still arrive. `resting`: those that are open, oldest first. `last`:
    the last price. `changes`: how often the oldest was changed today."""
    known = [one for one in resting if one.state is RestingState.RESTING]
    if want is None:
        return Delete(known[-1], "its stop has ended or fired") if known else Nothing()
    if len(known) > 1:
        return Delete(known[-1], "there are two of them")
    if len(resting) > len(known) or last is None or _reached(want, last):
        return Nothing()
    return _follow(stop, want, known[0], changes) if known else Write(want)


def _reached(leg: GttLeg, last: Price) -> bool:
    """Written now it would wait on the wrong side."""
    return last <= leg.trigger if leg.side is Side.SELL else last >= leg.trigger


def _follow(stop: Stop, want: GttLeg, one: RestingTrigger, changes: int) -> Action:
    has = one.leg
    ahead = has.trigger >= stop.trigger if stop.side is Side.SELL else has.trigger <= stop.trigger
    urgent = has.quantity > want.quantity or ahead
    far = abs(has.trigger - want.trigger) >= step(stop, changes)
    if not (urgent or has.quantity < want.quantity or (far and has.trigger != want.trigger)):
        return Nothing()
    if changes < BUDGET:
        return Rewrite(one, want, urgent)
    return Delete(one, "it was changed too often today, and is written anew") if urgent else Nothing()


def found(one: RestingTrigger, listed: Sequence[Gtt], taken: set[GttId]) -> Gtt | None:
    """The trigger that was asked for and whose number is not known: it says the same, was made about then, was not
    there before, and is nobody else's."""
    return next(
        (
            gtt
            for gtt in listed
            if gtt.id not in taken
            and gtt.id not in one.alike
            and gtt.instrument == one.instrument
            and as_asked(gtt.legs) == (one.leg,)
            and abs(gtt.created_at - one.asked_at) <= ASKED_WITHIN_NS
        ),
        None,
    )


def seen(one: RestingTrigger, gtt: Gtt) -> RestingTrigger:
    """The same as the broker's list has it. A trigger that was reached is over once it is known what it sent."""
    one = replace(one, gtt=gtt.id)
    if gtt.status is GttStatus.ACTIVE:
        return replace(one, state=RestingState.RESTING, leg=gtt.legs[0])
    if gtt.status is not GttStatus.TRIGGERED:
        return replace(one, state=RestingState.GONE)
    result = gtt.results[0]
    if result is not None and result.order is not None:
        return replace(one, state=RestingState.TRIGGERED, order=result.order)
    return replace(one, state=RestingState.GONE) if gtt.failed else replace(one, state=RestingState.RESTING)
