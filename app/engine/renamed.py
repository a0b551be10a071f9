"""A contract that lives on under another symbol takes its stops along (D2). Loop thread only.

Without that the broker would list the position under a name that no stop knows, and the stop would be taken for one
whose position is gone. Where strike or lot have changed the prices are restated too (split, bonus): then the stop asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from app.domain.events import Event, Level, Noticed
from app.domain.ids import StopId
from app.domain.instrument import Instrument
from app.domain.stop import Stop, StopState
from app.engine.record import StopRecord
from app.engine.watching import Watching

_WAITS = (StopState.ARMED, StopState.SUSPENDED)


async def follow_rename(
    old: Instrument,
    new: Instrument,
    stops: Mapping[StopId, Stop],
    watching: Watching,
    record: StopRecord,
    changed: Callable[[Stop], None],
    publish: Callable[[Event], None],
) -> list[Stop]:
    """The stops that guard the contract under its new name now; those that stay armed must be prepared anew. One that
    has fired is followed under the name it left by."""
    restated = (old.strike, old.lot_size) != (new.strike, new.lot_size)
    moved = []
    for stop in list(stops.values()):
        watch = watching.of(stop.id)
        if stop.key.instrument != old.id or stop.state not in _WAITS or (watch is not None and watch.fired):
            continue
        watching.stop(stop.id)
        note = f"{old.symbol} is called {new.symbol} now"
        if restated:
            note += "; strike or lot have changed, and with them the prices: split or bonus?"
        gone_along = replace(
            stop,
            key=replace(stop.key, instrument=new.id),
            token=new.token,
            tick_size=new.tick_size,
            price_scale=new.price_scale,
            state=StopState.SUSPENDED if restated else stop.state,
            note=note,
        )
        changed(gone_along)
        await record.keep(gone_along, "suspended" if restated else "renamed", note)
        publish(
            Noticed(
                Level.ALARM if restated else Level.INFO,
                f"Stop on {new.id} is suspended" if restated else f"The stop goes along to {new.symbol}",
                note,
                "Nothing guards the position: keep the level, set another, or disarm, in the stops list."
                if restated
                else "",
                stop.key.account,
                f"renamed:{stop.id}",
            )
        )
        moved.append(gone_along)
    return moved
