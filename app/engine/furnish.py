"""Gives a watch what its plan asks for: a mind, and further places where it looks. Loop thread only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from app.domain.errors import Denied
from app.domain.ids import InstrumentId
from app.domain.instrument import Instrument, InstrumentKind
from app.domain.money import Price
from app.domain.portfolio import Position
from app.domain.stop import Stop, StopPlan, StopState, TriggerSource
from app.engine.arming import deny_levels
from app.engine.distances import Distances
from app.engine.levels import FAR, Levels
from app.engine.minds import Fire, Following, Moved, Silence, StandIn, TopOfBook, TwoTrades
from app.engine.surroundings import Surroundings
from app.engine.watch import Watch


@dataclass(frozen=True, slots=True)
class Outlook:
    """What minds ask and tell."""

    around: Surroundings
    known: Callable[[InstrumentId], Instrument]
    last_price: Callable[[InstrumentId], Price | None]
    moved: Moved
    fire: Fire
    frozen: Callable[[InstrumentId], bool]
    """The exchange does not move this price now."""
    distances: Distances


def looks_at(plan: StopPlan, outlook: Outlook) -> Instrument | None:
    """Whose price decides, where that is not the instrument's own. Raises Denied."""
    if plan.source is not TriggerSource.UNDERLYING:
        return None
    if plan.underlying is None:
        raise Denied("It is not known what this contract is written on.", "Choose the underlying.")
    return outlook.known(plan.underlying)


def gains_of(stop: Stop, instrument: Instrument) -> int:
    """+1 where the position gains as the price looked at rises, -1 where it gains as that falls."""
    with_price = -stop.side.sign
    falls = stop.plan.source is TriggerSource.UNDERLYING and instrument.kind is InstrumentKind.PUT
    return -with_price if falls else with_price


def furnish(watch: Watch, stop: Stop, underlying: Instrument | None, outlook: Outlook) -> None:
    """The mind of a fresh watch, and its further places."""
    plan = stop.plan

    def last() -> Price | None:
        return outlook.last_price(watch.tradable)

    if underlying is not None:
        _look_at_underlying(watch, stop, underlying, outlook)
    elif plan.source is TriggerSource.DOUBLE_LAST:
        watch.mind = TwoTrades(watch, plan.longest_wait, last, outlook.fire, outlook.moved)
        watch.rich = True
    elif plan.source in (TriggerSource.BID_ASK, TriggerSource.MID):
        watch.mind = TopOfBook(watch, plan.source, plan.longest_wait, last, outlook.fire, outlook.moved)
        watch.rich = True
    elif plan.trail is not None or plan.break_even is not None:
        watch.mind = Following(watch, outlook.moved)


def _look_at_underlying(watch: Watch, stop: Stop, underlying: Instrument, outlook: Outlook) -> None:
    """The index or share, the index's future beside it, and the instrument itself for when both are silent."""
    plan = stop.plan

    def last() -> Price | None:
        return outlook.last_price(watch.tradable)

    limit = watch.load.limit_price
    if limit is not None:
        # The exit is priced by what it trades, never by what it looks at.
        watch.load.limit_price = lambda price: limit(last() or stop.seen_price or price)
    mind = Following(watch, outlook.moved)
    watch.mind = mind
    own = _place(watch, stop, outlook.known(watch.tradable))
    if plan.last_trigger is None:
        own.low, own.high = -1, FAR
    else:
        own.levels = Levels(StopPlan(plan.last_trigger), -stop.side.sign, stop.tick_size, plan.last_trigger)
        own.settle_band()
        own.mind = Silence(own, mind, plan.longest_wait, last, outlook.fire)
    watch.others = (own,)
    future = outlook.around.stand_in(underlying) if underlying.kind is InstrumentKind.INDEX else None
    if future is not None:
        beside = _place(watch, stop, future)
        beside.low = FAR
        beside.mind = StandIn(
            mind,
            (underlying.id, future.id),
            outlook.distances,
            lambda: outlook.frozen(underlying.id),
            lambda: outlook.last_price(underlying.id),
        )
        watch.others = (own, beside)


def misses_stand_in(watch: Watch, stop: Stop) -> bool:
    """It looks at an underlying beside which no future is watched."""
    looks = stop.state is StopState.ARMED and stop.plan.source is TriggerSource.UNDERLYING
    return looks and not any(isinstance(place.mind, StandIn) for place in watch.others)


def _place(watch: Watch, stop: Stop, instrument: Instrument) -> Watch:
    place = Watch(stop, watch.load, instrument)
    place.main = watch
    return place


def set_entry(watch: Watch, stop: Stop, position: Position, around: Surroundings) -> None:
    """Where the position was entered, for a break-even move that is still to come."""
    plan = stop.plan.break_even
    if plan is None:
        return
    entry = Fraction(position.average_price) * stop.price_scale
    even = around.break_even(stop.key) if plan.with_charges else None
    watch.levels.set_entry(plan, entry, even)
    watch.settle_band()


def deny_levels_of(watch: Watch, plan: StopPlan, last_price: Callable[[InstrumentId], Price | None]) -> None:
    """Raises Denied where a stop that looks at an underlying would fire at once."""
    if plan.source is TriggerSource.UNDERLYING:
        deny_levels(plan, watch.levels.gains, last_price(watch.instrument))
