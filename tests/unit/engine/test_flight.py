"""What is written down around an exit."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.domain.events import Level, Noticed
from app.domain.flight import Flight, FlightStep
from app.domain.ids import StopId
from app.domain.money import said_price
from app.domain.stop import Stop, StopPlan, TriggerSource
from app.engine.flight import FlightRecorder
from app.engine.volley import HELD_BY_BACKSTOP, HELD_BY_LINE, HELD_BY_RATE
from app.engine.watch import Shot
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import KEY, Rig
from tests.unit.engine.test_backstops import resting, twin
from tests.unit.engine.test_plans import CALL, FUTURE, INDEX, armed, book, on_index, show


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


def recorded(rig: Rig) -> Flights:
    journal = Flights()
    rig.engine.record_flights(FlightRecorder(rig.state, lambda _: (), str, journal, rig.events.append, rig.tasks))
    return journal


def test_a_stop_that_left_at_the_broker_alone_is_told_too() -> None:
    """Prices fail here, and what rests behind it sells."""

    async def scene() -> None:
        rig = Rig()
        journal = recorded(rig)
        stop = await twin(rig)
        (order,) = resting(rig)
        rig.broker.fill(order.broker_order_id)
        closed = await rig.ended(stop)
        await rig.tasks.stop()
        assert closed.exit_average is not None
        told = [event for event in rig.events if isinstance(event, Noticed) and event.repeat_key == f"{stop.id}:hit"]
        assert [one.title for one in told] == [f"{KEY.instrument}: the stop was hit at the broker"]
        price = said_price(closed.exit_average, 100)
        assert told[0].cause == f"Sold at {price} by the order that rested there (level 990.00)."
        assert journal.kept == {}, "nothing left from here"

    run(scene())


@pytest.mark.parametrize("by", ["index", "future", "its own price"])
def test_an_exit_by_the_underlying_costs_what_the_contract_lost_not_the_distance_to_the_index(by: str) -> None:
    async def scene() -> None:
        rig = Rig()
        journal = recorded(rig)
        rig.last[CALL.id] = 100_000
        rig.broker.answers = ["open"]
        stop = await on_index(rig, CALL, 75, 2_480_000, last_trigger=99_500)
        rig.tick(2_506_000, FUTURE.token)
        if by == "index":
            rig.tick(2_479_000, INDEX.token)
        elif by == "future":
            rig.around.closed.add(INDEX.id)
            rig.tick(2_485_000, FUTURE.token)
        else:
            rig.last[CALL.id] = 99_400
            rig.tick(99_400, CALL.token)
            await asyncio.sleep(6)
        await settle()
        rig.broker.fill(next(iter(rig.broker.book)))
        await rig.ended(stop)
        await rig.tasks.stop()
        flight = journal.kept[stop.id]
        looked, level, arrived, lost = {
            "index": (INDEX.id, 2_480_000, 2_479_000, 1_000 * 75),
            "future": (FUTURE.id, 2_480_000, 2_485_000, 1_000 * 75),
            "its own price": (None, 99_500, 99_400, 500 * 75),
        }[by]
        assert (flight.looked, flight.level, flight.price, flight.slippage) == (looked, level, arrived, lost)
        assert rig.of(stop).fired_price == (100_000 if looked else 99_400)
        (told,) = (one for one in rig.events if isinstance(one, Noticed) and one.repeat_key.endswith(":hit"))
        stood_in = f" by {FUTURE.id} while that stood still" if by == "future" else ""
        where = f"level 24,800.00 of {INDEX.id}{stood_in}, its own last price 1,000.00, slippage ₹750.00"
        assert told.cause == f"Sold 75 at 990.00 ({where if looked else 'level 995.00, slippage ₹375.00'})."

    run(scene())


@pytest.mark.parametrize(
    ("source", "bid", "ask", "words"),
    [
        (TriggerSource.DOUBLE_LAST, None, None, "the second trade in a row"),
        (TriggerSource.BID_ASK, 99_000, 99_500, "the best bid"),
        (TriggerSource.MID, 98_900, 99_100, "mid of bid and ask"),
        (TriggerSource.MID, None, None, "the last price alone, after 7 s"),
    ],
)
def test_what_decided_is_written_down(source: TriggerSource, bid: int | None, ask: int | None, words: str) -> None:
    async def scene() -> None:
        rig = Rig()
        journal = recorded(rig)
        stop = await armed(rig, StopPlan(99_000, source=source, longest_wait=7))
        show(rig, book(98_500, bid, ask, 1))
        show(rig, book(98_500, bid, ask, 2))
        await rig.ended(stop)
        await rig.tasks.stop()
        flight = journal.kept[stop.id]
        assert flight.source == words
        assert [mark.words for mark in flight.marks if mark.step is FlightStep.BREACH] == [words]

    run(scene())


@pytest.mark.parametrize(
    ("decided", "began", "written", "held", "words"),
    [
        (90, 120, 300, "", ""),
        (8_000, 8_010, 8_100, "", "8000 µs until its price was looked at: other prices of the frame came first"),
        (60, 7_000, 7_080, "", "6940 µs until its turn came: other exits of the frame went first"),
        (8, 20, 14_403, "", "14383 µs in its own write: another thread held the interpreter"),
        (90, 0, 30_000, HELD_BY_LINE, "no connection was ready; decided after 90 µs"),
        (90, 0, 900_000, HELD_BY_RATE, "the broker's orders a second were used up"),
        (90, 120, 130, HELD_BY_BACKSTOP, "its backstop has to be taken back first"),
    ],
)
def test_a_slow_exit_names_what_took_the_time(decided: int, began: int, written: int, held: str, words: str) -> None:
    async def scene() -> None:
        rig, journal = Rig(), Flights()
        recorder = FlightRecorder(rig.state, lambda _: (), str, journal, rig.events.append, rig.tasks)
        stop = await rig.guard()
        shot = Shot(stop.id, 98_900, 0, 10**9, 10**9 + decided * 1_000, 0, held=held, began_ns=10**9 + began * 1_000)
        left = replace(shot, written_ns=10**9 + written * 1_000)
        if held in (HELD_BY_LINE, HELD_BY_RATE):  # it waits, and is told again when it has left
            recorder.shot(stop, replace(shot, held=""), None)
            left = replace(left, decided_ns=left.readable_ns)
        recorder.shot(stop, left, None)
        await settle()
        await rig.tasks.stop()
        flight = journal.kept[stop.id]
        assert flight.cause.startswith(words)
        assert bool(flight.cause) == bool(words)
        unsent = held == HELD_BY_BACKSTOP  # nothing of it has left: no figure, and no step that says so
        assert flight.engine_us == (None if unsent else written)
        assert any(mark.step is FlightStep.WRITTEN for mark in flight.marks) != unsent

    run(scene())
