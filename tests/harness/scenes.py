"""What must hold of strategies, of the portfolio stop, of exits in slices and of their recordings. Sentences, as in
`verdict`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.domain.errors import Denied
from app.domain.events import DayStopChanged, Level, Noticed, StopChanged, StopFired, StrategyChanged
from app.domain.flight import Flight, FlightStep
from app.domain.ids import StopId
from app.domain.stop import FiredBy, Stop, StopState, is_backstop, stop_of_tag
from app.domain.strategy import Leaving, Strategy, StrategyState
from app.engine.rules import MAX_SLICES
from app.simulator.order import Order
from tests.harness.acts import Stage
from tests.harness.night_verdict import sent_by_triggers
from tests.harness.script import ARMED_BY, HAND_SHARE, HELD_SHARE, Kind, Planned
from tests.harness.world import HELD_UNITS

GONE = ("REJECTED", "CANCELLED")
RECENT = 3.0
"""Seconds: what the position was so lately may still have been what the engine knew of it."""
HEARD_WITHIN = 3.0
"""Seconds of fair weather in which a strategy's stop must have acted."""
WRITTEN_WITHIN = 1.0
"""Seconds that a recording may take to the disk."""


LOOKED_WITHIN = 1.5
"""Seconds before a report in which the last look has been taken."""


@dataclass(frozen=True, slots=True)
class HeardNotice:
    """A notice, and when."""

    at: float
    event: Noticed


async def of_strategies(stage: Stage) -> Sequence[str]:
    """Each has come to its end, the book agrees with it, and it did what its plan says."""
    station = stage.world.station
    assert station is not None
    found: list[str] = []
    kept = {one.id: one for one in await station.journal.strategies.strategies(stage.world.wire.account)}
    known = {one.id: one for one in station.strategies}
    for name, planned in stage.strategies.items():
        strategy = known.get(name)
        if strategy is None or name not in kept:
            found.append(f"{planned.instrument}: the strategy was started and is not known any more")
            continue
        if kept[name].state is not strategy.state:
            found.append(f"{planned.instrument}: the journal says {kept[name].state}, the engine {strategy.state}")
        found += [f"{planned.instrument}: {words}" for words in _of_strategy(stage, planned, strategy)]
    return found


def _of_strategy(stage: Stage, planned: Planned, strategy: Strategy) -> Iterator[str]:
    world = stage.world
    net = world.net(planned.instrument, "MIS")
    ended = strategy.state is StrategyState.IDLE and bool(stage.happened.get(Kind.STRATEGY_ENDED))
    resting = ended or (strategy.state is StrategyState.PAUSED and bool(stage.flattened))
    if not strategy.state.is_over and not resting:
        yield f"the strategy is still {strategy.state} ({strategy.note}); the exchange has {net} units"
    if net:
        yield f"the strategy is {strategy.state} ({strategy.note}) and {net} units are there"
    enters = "BUY" if planned.quantity > 0 else "SELL"
    entries = [o for o in _orders_of(stage, planned.instrument) if o.side == enters]
    bought = sum(o.filled for o in entries if stop_of_tag(o.tag or None) is None)
    late = stage.happened.get(Kind.LATE) and any(planned.instrument in words for words in _alarms(stage))
    if bought > abs(planned.quantity) and not late:  # an entry that was proven absent, and came all the same
        yield f"{bought} units were bought, {abs(planned.quantity)} were asked for"
    failed = strategy.state in (StrategyState.BUY_FAILED, StrategyState.ABORTED)
    if failed and not _told(stage, planned.instrument):
        yield f"it is {strategy.state} ({strategy.note}) and nobody was told"
    yield from _why_it_left(stage, planned, strategy)


def _told(stage: Stage, about: str) -> bool:
    """In a notice that is more than for the record."""
    told = (h.event for h in stage.world.heard if isinstance(h.event, Noticed))
    return any(event.level is not Level.INFO and f"Strategy {about}" in event.title for event in told)


def _why_it_left(stage: Stage, planned: Planned, strategy: Strategy) -> Iterator[str]:
    world = stage.world
    stop = _stop_of(stage, strategy)
    exits = [world.left[str(o.tag)] for o in _exits_of(stage, planned.instrument) if o.tag in world.left]
    if strategy.state is StrategyState.EXITED_BY_SL:
        if strategy.leaving is not Leaving.STOP:
            yield f"it was exited by its stop, and left by {strategy.leaving}"
        if stop is not None and stop.fired_by not in (FiredBy.STOP, None):
            yield f"it was exited by its stop, which fired by {stop.fired_by}"
        unknown = stop is not None and stop.fired_by is None  # why it fired died with the process that fired it
        if not unknown and (not planned.breach or (exits and min(exits) < stage.begun + planned.breach - 0.25)):
            yield "it was exited by its stop before any price was at its level"
    by_time = strategy.state is StrategyState.SOLD and strategy.leaving is Leaving.TIME
    closed = stage.flattened or _halts(stage)  # its time came to an empty position
    # What left in a life before had a reason of its own, which may have died with that life.
    latest = [left for left in exits if world.life_at(left) >= _timed_in(stage, strategy)] if by_time else []
    if latest and not closed and min(latest) < stage.begun + planned.sells - 0.05:
        yield f"it was sold by time {stage.begun + planned.sells - min(latest):.2f} s too early"
    if strategy.leaving is Leaving.TRADER and not (stage.happened.get(Kind.STRATEGY_ENDED) or stage.flattened):
        yield "it says that the trader ended it; nobody did"
    if strategy.leaving is Leaving.PORTFOLIO and not _halts(stage):
        yield "it says that the portfolio stop ended it; nothing was halted"
    # The broker closes positions of the day overnight; the portfolio stop and the trader whatever nothing guards yet.
    if strategy.leaving is Leaving.ELSEWHERE and not (
        stage.happened.get(Kind.NEXT_DAY) or _halts(stage) or stage.flattened
    ):
        yield f"it says that its position was closed elsewhere ({strategy.note}); nobody did"
    entered = _entered_at(stage, planned)
    # One that was bought late, beyond that price, has its level further on.
    if by_time and planned.breach and entered and max(entered) < stage.begun + planned.breach - 0.5:
        armed = max(stage.begun + planned.breach, *entered) + 0.5
        until = stage.begun + planned.sells - 0.1
        if stage.fair(armed, until) >= HEARD_WITHIN and not _restated(stage, planned):
            yield f"its stop was reached {until - armed:.1f} s before its sell time, and it was sold by time"


def _timed_in(stage: Stage, strategy: Strategy) -> int:
    """The life of the workstation in which it first said that its time had come."""
    return min(
        heard.station
        for heard in stage.world.events(StrategyChanged)
        if isinstance(heard.event, StrategyChanged)
        and heard.event.strategy.id == strategy.id
        and heard.event.strategy.leaving is Leaving.TIME
    )


def _entered_at(stage: Stage, planned: Planned) -> list[float]:
    token = stage.world.tape.listings.by_key[planned.instrument].token
    return [t.at for t in stage.world.traded if t.token == token and stop_of_tag(t.tag or None) is None]


def _restated(stage: Stage, planned: Planned) -> bool:
    """After a restart a price so far off may have been restated: the trader is asked (F8)."""
    told = (h.event for h in stage.world.heard if isinstance(h.event, Noticed))
    return any(event.level is Level.ALARM and planned.instrument in event.title for event in told)


def _stop_of(stage: Stage, strategy: Strategy) -> Stop | None:
    station = stage.world.station
    return None if station is None or strategy.stop is None else station.desk.stops.find(strategy.stop)


def _orders_of(stage: Stage, instrument: str) -> list[Order]:
    """Ours, of one instrument."""
    orders = stage.world.exchange.oms.records.orders.values()
    return [o for o in orders if o.tag and f"{o.exchange}:{o.tradingsymbol}" == instrument and o.tag != "opening"]


def _exits_of(stage: Stage, instrument: str) -> list[Order]:
    return [o for o in _orders_of(stage, instrument) if stop_of_tag(o.tag or None) is not None]


# -- the portfolio stop ------------------------------------------------------------------------------------------------


def _halts(stage: Stage) -> list[tuple[float, int]]:
    """(loop time, life) of each moment in which an account was halted anew."""
    found: list[tuple[float, int]] = []
    for heard in stage.world.events(DayStopChanged):
        halted = isinstance(heard.event, DayStopChanged) and heard.event.stop.halted is not None
        if halted and (not found or found[-1][1] != heard.station):
            found.append((heard.at, heard.station))
    return found


def of_portfolio(stage: Stage) -> Iterator[str]:
    """Halted where the limit was reached and only there; then no entry leaves, and everything is closed."""
    yield from _untouched(stage)
    yield from _bought_by_hand(stage)
    if not stage.day_loss:
        return
    station = stage.world.station
    assert station is not None
    day = station.desk.day_stop.stop
    halts = _halts(stage)
    overnight = stage.happened.get(Kind.NEXT_DAY)
    if not halts and not overnight and gross(stage) <= -stage.day_loss:
        yield f"the day has lost {-gross(stage)} paise of {stage.day_loss}, and nothing was halted"
    if halts and not any("Portfolio stop" in words for words in _alarms(stage)):
        yield "the account was halted and nobody was called"
    yield from _entries_after(stage, halts)
    if not halts or overnight:
        return
    lost = all(stage.died_owing(at) or stage.died_waiting(at) for at, _life in halts)
    if lost and day.halted is None and gross(stage) > -stage.day_loss:
        return  # a later life knows nothing of it, and the prices are better now
    if day.halted is None:
        yield "the account was halted, and is not any more"
    if day.halted_net is not None and day.limits.loss is not None and day.halted_net > -day.limits.loss:
        yield f"halted at {day.halted_net} paise, with a limit of {day.limits.loss}"
    left = {
        f"{position.token} {position.product}": position.quantity
        for position in stage.world.exchange.ledger.account.positions.values()
        if position.quantity and not (position.product == "CNC" and position.quantity < 0)
    }
    if left:
        yield f"the account is halted, and positions are open: {left}"
    elif not day.flat:
        yield "everything is closed, and the portfolio stop has not seen it"


def _entries_after(stage: Stage, halts: list[tuple[float, int]]) -> Iterator[str]:
    world = stage.world
    for order in world.exchange.oms.records.orders.values():
        tag = order.tag or ""
        if tag not in world.left or stop_of_tag(tag) is not None or stage.happened.get(Kind.NEXT_DAY):
            continue
        left = world.left[tag]
        halted = [at for at, life in halts if at < left - 0.001 and life == world.life_at(left)]
        name = f"{order.exchange}:{order.tradingsymbol}"
        net = world.net_at(name, order.product, left)
        closes = net * (1 if order.side == "SELL" else -1) >= order.quantity
        if halted and not closes:
            yield f"{name}: entry {tag} left {left - halted[0]:.2f} s after the account was halted"


def gross(stage: Stage) -> int:
    """Paise that the day has brought since its beginning, by the exchange's own fills and last prices."""
    world = stage.world
    units: defaultdict[int, int] = defaultdict(int)
    money: defaultdict[int, int] = defaultdict(int)
    for guarded in stage.script.guarded:
        row = world.tape.listings.by_key[guarded.instrument]
        units[row.token] += guarded.quantity * row.lot_size
        money[row.token] -= guarded.quantity * row.lot_size * world.opened[row.token]
    for trade in world.traded:
        signed = trade.quantity if trade.side == "BUY" else -trade.quantity
        units[trade.token] += signed
        money[trade.token] -= signed * trade.price
    quotes = world.exchange.market.quotes
    rows = world.tape.listings.by_token
    return sum(
        (money[token] + held * quotes[token].last_price) * 100 // rows[token].price_scale
        for token, held in units.items()
    )


def _untouched(stage: Stage) -> Iterator[str]:
    """Shares in the demat account are never an exit's to sell."""
    if not stage.script.holding:
        return
    token = stage.world.tape.listings.by_key[HELD_SHARE].token
    holding = stage.world.exchange.ledger.account.holdings.get(token)
    units = 0 if holding is None else holding.quantity + holding.t1_quantity
    if units != HELD_UNITS:
        yield f"{HELD_SHARE}: {units} of {HELD_UNITS} shares are left in the demat account"


def _bought_by_hand(stage: Stage) -> Iterator[str]:
    for tag, units in stage.entries.items():
        filled = sum(o.filled for o in _orders_of(stage, HAND_SHARE) if o.tag == tag)
        if filled > units:
            yield f"{HAND_SHARE}: {filled} units were bought by hand, {units} were asked for"


# -- flatten all -------------------------------------------------------------------------------------------------------


def of_flatten(stage: Stage) -> Iterator[str]:
    """It ends with "verified flat" where the exchange says so too, and else calls the trader and says what is not."""
    world = stage.world
    for done in stage.flattened:
        if done.failure is not None:
            if not isinstance(done.failure, Denied):  # nobody is logged in
                yield f"flattening everything failed: {done.failure!r}"
        elif done.report is None or done.ended is None:
            if world.life_at(world.loop.time()) == done.life and not stage.died_within(done.begun, 1_000.0):
                yield "everything was to be flattened, and it never ended"
        elif done.report.verified:
            yield from _open_then(stage, done.ended)
        elif not any(h.at >= done.begun and h.event.title == "Not everything is flat" for h in _alarms_heard(stage)):
            yield "not everything was flat, and nobody was called"


def _open_then(stage: Stage, moment: float) -> Iterator[str]:
    """Positions that had been open for longer than it takes to look."""
    world = stage.world
    rows = world.tape.listings.by_token
    for token, product in {(t.token, t.product) for t in world.traded}:
        before = [t for t in world.traded if (t.token, t.product) == (token, product) and t.at <= moment]
        if not before or moment - before[-1].at <= LOOKED_WITHIN or product == "CNC":
            continue
        row = rows[token]
        overnight = before[-1].at < world.turned_day <= moment  # the broker may have closed it, without a trade here
        net = world.net_at(f"{row.exchange}:{row.tradingsymbol}", product, moment) if overnight else before[-1].net
        moved = any(name == f"{row.exchange}:{row.tradingsymbol}" for name, _ in stage.converted)  # without a trade
        if net and not moved:
            yield f"verified flat, with {net} units of {row.tradingsymbol} {product} open"


def _alarms_heard(stage: Stage) -> Iterator[HeardNotice]:
    for heard in stage.world.events(Noticed):
        if isinstance(heard.event, Noticed) and heard.event.level is Level.ALARM:
            yield HeardNotice(heard.at, heard.event)


# -- slices ------------------------------------------------------------------------------------------------------------


def of_slices(stage: Stage) -> Iterator[str]:
    """The orders of one attempt together ask for no more than there is, each for no more than may be."""
    world = stage.world
    attempts: defaultdict[str, list[Order]] = defaultdict(list)
    for order in world.exchange.oms.records.orders.values():
        tag = order.tag or ""
        if tag in world.left and stop_of_tag(tag) is not None and not is_backstop(order.tag):
            group = attempts[tag[:-2]]
            if stage.happened.get(Kind.DISK_FULL) and any(one.tag == tag for one in group):
                continue  # an earlier life had sent this attempt, and could not write it down
            group.append(order)
    for attempt, orders in attempts.items():
        first = orders[0]
        name = f"{first.exchange}:{first.tradingsymbol}"
        row = world.tape.listings.by_key[name]
        left = world.left[str(first.tag)]
        if len(orders) > MAX_SLICES:
            yield f"{name}: attempt {attempt} is {len(orders)} orders"
        if row.freeze_quantity and any(o.quantity > row.freeze_quantity for o in orders):
            yield f"{name}: attempt {attempt} has an order above the freeze quantity {row.freeze_quantity}"
        there = _most(stage, name, first.product, left)
        asked = sum(o.quantity for o in orders)
        # Of a conversion no update tells, and no fill is left of it.
        if asked > there and not (stage.happened.get(Kind.NEXT_DAY) or stage.happened.get(Kind.PHONE_CONVERT)):
            yield f"{name}: attempt {attempt} asks for {asked}, there were {there} units"


def _most(stage: Stage, instrument: str, product: str, moment: float) -> int:
    """Units of the position then, or a moment before: what its owner may have known."""
    world = stage.world
    token = world.tape.listings.by_key[instrument].token
    foul = stage.fair(moment - RECENT, moment) < RECENT * 0.99
    since = stage.begun + ARMED_BY - 0.5 if foul else moment - RECENT
    nets = [abs(world.net_at(instrument, product, at)) for at in (since, moment)]
    nets += [abs(t.net) for t in world.traded if (t.token, t.product) == (token, product) and since <= t.at <= moment]
    return max(nets)


# -- recordings --------------------------------------------------------------------------------------------------------


async def of_flights(stage: Stage) -> Sequence[str]:
    """Whatever fired is recorded, and the recording says what the exchange says."""
    station = stage.world.station
    assert station is not None
    found: list[str] = []
    for stop in await station.journal.stops_since(0):
        flight = await station.journal.flights.one(stop.id)
        if flight is None:
            if _must_be_recorded(stage, stop):
                found.append(f"{stop.key.instrument}: nothing of the exit of stop {stop.id} was recorded")
            continue
        found += [f"{stop.key.instrument}: {words}" for words in _of_flight(stage, stop, flight)]
    return found


def _must_be_recorded(stage: Stage, stop: Stop) -> bool:
    """It was written to the wire, and neither the disk nor the process failed then."""
    world = stage.world
    for heard in world.events(StopFired):
        if isinstance(heard.event, StopFired) and heard.event.stop.id == stop.id:
            lived = not stage.died_within(heard.at, WRITTEN_WITHIN)
            return lived and not stage.happened.get(Kind.DISK_FULL) and not stage.happened.get(Kind.DISK_BUSY)
    return False


def _of_flight(stage: Stage, stop: Stop, flight: Flight) -> Iterator[str]:
    steps = [mark.step for mark in flight.marks]
    times = [mark.at_us for mark in flight.marks]
    if times != sorted(times):
        yield "the steps of its recording are not in order"
    if FlightStep.BREACH not in steps or FlightStep.DECIDED not in steps:
        yield f"its recording has no decision: {steps}"
    if flight.engine_us is not None and (FlightStep.WRITTEN not in steps or not flight.sent):
        yield "its recording has no bytes"
    token = stage.world.tokens
    if any(secret in words for words in flight.sent for secret in token):
        yield "its recording has the session's token in it"
    closed = closed_at(stage, stop.id)
    triggers = sent_by_triggers(stage) if stage.script.night else {}
    fills = [
        t
        for t in stage.world.traded
        if t.at <= closed and (stop_of_tag(t.tag or None) == stop.id or triggers.get(t.order) == stop.key.instrument)
    ]
    signs = [1 if t.side == flight.side.value else -1 for t in fills]
    units = sum(sign * t.quantity for sign, t in zip(signs, fills, strict=True))
    most = sum(t.quantity for sign, t in zip(signs, fills, strict=True) if sign > 0)
    if flight.filled > most:
        yield f"its recording has {flight.filled} units filled, the exchange {most}"
    if not flight.flat or stop.state is not StopState.CLOSED or len(stage.world.stations) > 1:
        return
    if flight.filled != units:
        yield f"it is closed; its recording has {flight.filled} units of {units}"
        return
    lost = sum((flight.level - t.price) * t.quantity * (1 if t.side == "SELL" else -1) for t in fills)
    paise = lost * 100 // flight.price_scale
    if flight.slippage is not None and abs(flight.slippage - paise) > 100 + sum(t.quantity for t in fills):
        yield f"its recording says {flight.slippage} paise were lost, the exchange's fills {paise}"


def closed_at(stage: Stage, stop: StopId) -> float:
    """When its follower first was through with it: what comes late is in no recording."""
    closed = (
        heard.at
        for heard in stage.world.events(StopChanged)
        if isinstance(heard.event, StopChanged)
        and heard.event.stop.id == stop
        and heard.event.stop.state is StopState.CLOSED
    )
    return next(closed, float("inf"))


def _alarms(stage: Stage) -> list[str]:
    return [
        f"{h.event.title} {h.event.cause}"
        for h in stage.world.heard
        if isinstance(h.event, Noticed) and h.event.level is Level.ALARM
    ]
