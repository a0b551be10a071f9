"""What is written down around an exit."""

from __future__ import annotations

import pytest

from app.domain.events import Level, Noticed
from app.domain.flight import Flight
from app.domain.ids import StopId
from app.domain.stop import Stop
from app.engine.flight import FlightRecorder
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import KEY, Rig


class Flights:
    def __init__(self) -> None:
        self.kept: dict[StopId, Flight] = {}

    async def save(self, flight: Flight) -> None:
        self.kept[flight.stop] = flight


async def fired_on_record() -> tuple[Rig, Flights, Stop]:
    """A stop whose exit is open at the broker, with what was written down of it."""
    rig, journal = Rig(), Flights()
    rig.engine.record_flights(FlightRecorder(rig.state, lambda _: (), str, journal, rig.events.append, rig.tasks))
    stop = await rig.guard()
    rig.broker.answers = ["open"]
    rig.tick(98_900)
    await settle()
    return rig, journal, stop


def test_what_was_closed_twice_and_went_back_is_not_counted_as_closed() -> None:
    async def scene() -> None:
        rig, journal, stop = await fired_on_record()
        rig.broker.hold(KEY, 0)  # sold by somebody else in the same moment
        rig.broker.fill(next(iter(rig.broker.book)))
        closed = await rig.ended(stop)
        await rig.tasks.stop()
        flight = journal.kept[stop.id]
        assert rig.broker.held[KEY] == 0
        assert closed.exit_average == 99_000
        assert flight.filled == 0
        assert [mark.quantity for mark in flight.marks if mark.step == "filled"] == [100, -100]

    run(scene())


@pytest.mark.parametrize(("kept", "closed"), [("stop", 100), ("elsewhere", 0)])
def test_a_stop_that_was_hit_and_filled_is_told_once_quietly_with_its_price(kept: str, closed: int) -> None:
    async def scene() -> None:
        rig, journal, stop = await fired_on_record()
        if kept == "elsewhere":
            rig.broker.hold(KEY, 0)
        else:
            rig.broker.fill(next(iter(rig.broker.book)))
        await rig.ended(stop)
        await rig.tasks.stop()
        told = [event for event in rig.events if isinstance(event, Noticed) and event.repeat_key.endswith(":hit")]
        assert journal.kept[stop.id].filled == closed
        if not closed:
            assert told == []  # the trader closed it: nothing was sold here
            return
        assert [(one.level, one.title) for one in told] == [(Level.INFO, f"{KEY.instrument}: the stop was hit")]
        assert told[0].cause == "Sold 100 at 990.00 (level 990.00, slippage ₹0.00)."

    run(scene())
