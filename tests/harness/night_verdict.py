"""What must hold of shares that are guarded over the night with a trigger (GTT) at the broker. Sentences, as in
`verdict`.

A trigger's order carries no tag of ours: here it is known by the exchange's own record of which trigger sent it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from app.domain.backstop import RestingState
from app.domain.events import Level, Noticed
from app.domain.stop import Stop, StopState, stop_of_tag
from tests.harness.acts import Stage
from tests.harness.plans import units_of
from tests.harness.script import Guarded, Kind
from tests.harness.world import FOREIGN_UNITS, Traded, Waiting

WRITTEN_WITHIN = 0.2
"""Seconds until the journal has what became of an order."""
TAKEN_BACK_WITHIN = 2.0
"""Seconds of fair weather that more may be sold than the stop guards."""


async def of_nights(stage: Stage) -> Sequence[str]:
    """All of it."""
    if stage.script.night is None:
        return ()
    station = stage.world.station
    assert station is not None
    found = list(_foreign(stage))
    if stage.unclosed:
        found.append("the program did not end when it was closed")
    stops = sorted(await station.journal.stops_since(0), key=lambda stop: -stop.armed_at)
    journal = {
        stop.key.instrument: stop for stop in stops
    }  # the first of each: what the trader sells by hand is beside it
    for guarded in stage.script.guarded:
        stop = next((s for name, s in journal.items() if name == guarded.instrument), None)
        found += [f"{guarded.instrument}: {words}" for words in _oversold(stage, guarded, stop)]
        if stop is not None:
            found += [f"{guarded.instrument}: {words}" for words in _triggers(stage, guarded, stop)]
    return found


def sent_by_triggers(stage: Stage) -> dict[str, str]:
    """Of orders that triggers of ours have sent: the instrument by the order's number."""
    return {one.order: one.instrument for one in _mine(stage) if one.order}


def _mine(stage: Stage) -> list[Waiting]:
    return [one for one in stage.world.triggers() if one.id not in stage.world.foreign]


def _foreign(stage: Stage) -> Iterator[str]:
    """Triggers of others are as they were."""
    for one in stage.world.triggers():
        if one.id in stage.world.foreign and (not one.active or one.units != FOREIGN_UNITS):
            yield f"{one.instrument}: trigger {one.id} is not ours, and was touched"


def _oversold(stage: Stage, guarded: Guarded, stop: Stop | None) -> Iterator[str]:
    """The stop's exit and its trigger together sell no more than it guards, or it goes back at once, with a call."""
    world, senders = stage.world, sent_by_triggers(stage)
    token = world.tape.listings.by_key[guarded.instrument].token
    ours, most, over, called_for = 0, units_of(guarded) + _untold(stage, token, senders), None, False
    grown = stage.happened.get(Kind.PHONE_GROW)
    for trade in world.traded:
        by_stop = stop is not None and stop_of_tag(trade.tag or None) == stop.id
        if trade.token != token or not (by_stop or trade.order in senders):
            continue
        ours += trade.quantity if trade.side == "SELL" else -trade.quantity
        called_for = called_for or (ours > units_of(guarded) and not grown)  # what nobody knew of is told all the same
        if ours > most and over is None and not grown:
            over = trade
        elif ours <= most and over is not None:
            yield from _too_long(stage, over, trade.at)
            over = None
    if over is not None and stage.night is not None and over.at < world.turned_day:
        yield from _too_long(stage, over, stage.night)  # settled over the night: nothing of it can go back
    elif over is not None:
        yield f"{ours} units were sold by its exits from {over.at - stage.begun:.2f} s to the end, it guarded {most}"
    if called_for and not _called(stage, guarded.instrument):
        yield "its exits sold more than it guarded, and nobody was called"


def _untold(stage: Stage, token: int, senders: Mapping[str, str]) -> int:
    """Units that exits and triggers of ours sold on the first day, too late to be written down, or while nothing came
    through to tell of it: nobody knows of them on the next. Of a trigger's the position tells, but not before it
    trades, nor while others trade beside it: it is not taken for sold then, and the trader is called."""
    until = stage.night or 0.0
    unwritten = [(until - WRITTEN_WITHIN, float("inf")), *stage.full, *stage.slow, *stage.deaf]
    return sum(
        trade.quantity
        for trade in stage.world.traded
        if trade.token == token
        and (stop_of_tag(trade.tag or None) or trade.order in senders)
        and trade.at < stage.world.turned_day
        and any(since - WRITTEN_WITHIN <= trade.at <= end for since, end in unwritten)
    )


def _too_long(stage: Stage, since: Traded, until: float) -> Iterator[str]:
    fair = stage.fair(since.at, until)
    if fair > TAKEN_BACK_WITHIN:
        yield f"more was sold than it guarded for {until - since.at:.2f} s, {fair:.2f} of them in fair weather"


def _called(stage: Stage, about: str) -> bool:
    told = (h.event for h in stage.world.heard if isinstance(h.event, Noticed))
    return any(event.level is Level.ALARM and about in f"{event.title} {event.cause}" for event in told)


def _triggers(stage: Stage, guarded: Guarded, stop: Stop) -> Iterator[str]:
    """None outlives its stop; one rests behind an armed one, of its units, behind its level; the engine knows of it."""
    world, station = stage.world, stage.world.station
    assert station is not None
    active = [one for one in _mine(stage) if one.active and one.instrument == guarded.instrument]
    engine = station.desk.stops.backstops.triggers
    known = {one.gtt for one in engine.open_of(stop.id) if one.state is RestingState.RESTING}
    waiting = {one.id for one in active}
    if waiting != known:
        yield f"triggers {sorted(waiting)} wait at the broker, the engine knows {sorted(map(str, known))}"
    if stop.state.is_final and active:
        yield f"trigger {active[0].id} still waits, and its stop is {stop.state}"
    if len(active) > 1:
        yield f"{len(active)} triggers wait behind one stop"
    if stop.state is not StopState.ARMED:
        return
    held = world.net(guarded.instrument, "CNC")
    for one in active:
        if one.trigger >= stop.trigger:
            yield f"trigger {one.id} at {one.trigger} is before its stop at {stop.trigger}"
        if one.units > held or one.units != stop.quantity:
            yield f"trigger {one.id} sells {one.units} of {held} units, its stop guards {stop.quantity}"
    if not active and not _called(stage, guarded.instrument) and not _is_beyond(stage, guarded, stop):
        yield "nothing waits at the broker behind the armed stop, and nobody was told"


def _is_beyond(stage: Stage, guarded: Guarded, stop: Stop) -> bool:
    """The price is so near that a trigger written now would wait on the wrong side."""
    row = stage.world.tape.listings.by_key[guarded.instrument]
    last = stage.world.exchange.market.quotes[row.token].last_price
    return stop.plan.backstop is not None and last <= stop.trigger - stop.plan.backstop
