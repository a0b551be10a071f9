"""The flight recorder in the window: the list of exits, one of them step by step, and the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import StorageError
from app.domain.flight import Flight, FlightMark, FlightRecorded, FlightStep, latency_of, percentile, slippage_of
from app.domain.ids import StopId
from app.domain.order import Side
from app.ui.models.facts import Facts
from app.ui.views.flights import FlightsPanel
from app.ui.widgets.waterfall import duration, steps_of
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Stage
from tests.ui.views.test_broker_services import cells

INFY = next(i for i in market.INSTRUMENTS if i.symbol == "INFY")
MARKS = (
    FlightMark(-240_000, FlightStep.TICK, 1_451_00),
    FlightMark(0, FlightStep.BREACH, 1_449_50, 10),
    FlightMark(90, FlightStep.DECIDED),
    FlightMark(183, FlightStep.WRITTEN, quantity=10),
    FlightMark(2_750, FlightStep.ANSWERED, words="order 77"),
    FlightMark(18_800, FlightStep.FILLED, 1_449_00, 6, "order 77"),
    FlightMark(19_400, FlightStep.FILLED, 1_448_50, 4, "order 77"),
    FlightMark(231_000, FlightStep.TICK, 1_448_00),
    FlightMark(248_000, FlightStep.FLAT),
)


def flight(**changes: Any) -> Flight:
    made = Flight(
        StopId("S00000000001"), market.ACCOUNT, INFY.id, Side.SELL, market.NOW, 1_450_00, 1_449_50, "stop", MARKS,
        ("POST /orders HTTP/1.1",), 183, slippage=12_00,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def panel(stage: Stage) -> Iterator[FlightsPanel]:
    facts = Facts(stage.bridge)
    stage.loop.run_until_complete(facts.load())
    made = FlightsPanel(stage.bridge, facts)
    made.resize(900, 420)
    made.show()
    yield made
    made.close()


def test_an_exit_shows_what_it_cost_and_how_long_it_took(stage: Stage, panel: FlightsPanel) -> None:
    stage.publish(FlightRecorded(flight()))
    stage.until(lambda: panel._model.rowCount() == 1)
    shown = cells(panel._model)
    assert (shown["symbol"], shown["filled"], shown["engine"], shown["answer"]) == ("INFY", "10", "183 µs", "2.57 ms")
    assert "12.00" in shown["slippage"]
    assert "1 exit " in panel._sum.text()


def test_the_chosen_exit_is_shown_step_by_step_from_the_list_of_stops_too(stage: Stage, panel: FlightsPanel) -> None:
    stage.desk.flights.kept[flight().stop] = flight()
    panel.show_stop(flight().stop)
    stage.until(lambda: panel.waterfall.flight is not None)
    assert panel.table.current == flight().stop
    steps = [mark.step for mark in steps_of(flight())]
    assert steps[:3] == [FlightStep.BREACH, FlightStep.DECIDED, FlightStep.WRITTEN]
    told = panel.waterfall.accessibleDescription()
    assert "breach 0 µs 1,449.50 arrived, the level was 1,450.00" in told
    assert "filled 18.80 ms 6 at 1,449.00" in told
    assert not panel.waterfall.grab().isNull()
    refused = replace(MARKS[4], words="The broker refused.")
    stage.publish(FlightRecorded(flight(marks=(*MARKS[:4], refused, *MARKS[5:]))))
    stage.until(lambda: "refused" in panel.waterfall.accessibleDescription())


def test_a_slow_exit_names_its_cause(stage: Stage, panel: FlightsPanel) -> None:
    stage.publish(FlightRecorded(flight(engine_us=7_200, cause="no connection was ready; decided after 90 µs")))
    stage.until(lambda: panel._model.rowCount() == 1)
    assert "no connection" in cells(panel._model)["cause"]
    assert "1 slow" in panel._sum.text()


def test_exits_are_written_to_a_file_and_a_failure_is_said(stage: Stage, panel: FlightsPanel, tmp_path: Path) -> None:
    stage.publish(FlightRecorded(flight()))
    stage.desk.script.fail("export_flights", StorageError("The file cannot be written."))
    panel.export_to(tmp_path / "exits.json")
    stage.until(lambda: "Nothing was exported" in panel.message.text)
    panel.export_to(tmp_path / "exits.json", (flight().stop,))
    stage.until(lambda: "1 exit was written to exits.json" in panel.message.text)


def test_what_cannot_be_read_is_said(stage: Stage, panel: FlightsPanel) -> None:
    stage.desk.script.fail("flights", StorageError("The journal cannot be read."))
    panel.show_stop(StopId("S00000000009"))
    stage.until(lambda: "could not be read" in panel.message.text)


@pytest.mark.parametrize(
    ("us", "words"), [(183, "183 µs"), (2_750, "2.75 ms"), (-240_000, "-240.00 ms"), (1_200_000, "1.20 s")]
)
def test_times_are_read_at_a_glance(us: int, words: str) -> None:
    assert duration(us) == words


def test_slippage_is_against_the_level_and_the_right_way_round() -> None:
    fills = [mark for mark in MARKS if mark.step is FlightStep.FILLED]
    assert slippage_of(Side.SELL, 1_450_00, fills, 1, 100) == (100 * 6 + 150 * 4)
    assert slippage_of(Side.BUY, 1_450_00, fills, 1, 100) == -(100 * 6 + 150 * 4)
    assert slippage_of(Side.SELL, 1_450_00, fills, 100, 100) == 100 * (100 * 6 + 150 * 4)
    assert slippage_of(Side.SELL, 1_450_00, [], 1, 100) is None


def test_percentiles_are_of_values_that_were_there() -> None:
    assert [percentile(range(1, 101), p) for p in (50, 99, 100)] == [50, 99, 100]
    assert percentile([7], 99) == 7
    told = latency_of("upstox", [flight(), flight(engine_us=7_000), flight(engine_us=None)])
    assert told is not None
    assert (told.exits, told.engine_p50, told.engine_worst, told.slow, told.answer_p50) == (2, 183, 7_000, 1, 2_567)
    assert latency_of("upstox", [flight(engine_us=None)]) is None


def test_the_newest_exit_stands_step_by_step_without_a_click(stage: Stage, panel: FlightsPanel) -> None:
    later = flight(stop=StopId("S00000000002"), fired_at=market.NOW + 1_000_000_000)
    stage.publish(FlightRecorded(flight()))
    stage.publish(FlightRecorded(later))
    stage.until(lambda: panel._model.rowCount() == 2)
    assert panel.waterfall.flight is not None
    assert panel.table.current == panel.waterfall.flight.stop
