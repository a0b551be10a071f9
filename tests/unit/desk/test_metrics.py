"""Figures by day: worked out from the stores or counted, kept over a restart, folded as each says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.brokers import tally
from app.desk.desk import LocalDesk
from app.domain.events import (
    EngineBeat,
    Event,
    FeedChanged,
    FeedGap,
    FeedState,
    Level,
    Noticed,
    OrderChanged,
    SyncProgressed,
    SyncStep,
)
from app.domain.flight import Flight, FlightMark, FlightRecorded, FlightStep
from app.domain.ids import OrderId, StopId
from app.domain.metrics import Metric, MetricHistory, folded
from app.domain.order import OrderStatus, Side
from tests.unit.desk.profiles import make_profile, opened
from tests.unit.desk.test_exports import MOMENT, order
from tests.unit.storage.samples import INFY, B

DAY = "2025-11-16"
OURS = replace(order(1, INFY, 1), id=OrderId("ours-1"))


def flight(number: int, engine_us: int) -> Flight:
    answered = FlightMark(engine_us + 40_000, FlightStep.ANSWERED)
    marks = (FlightMark(engine_us, FlightStep.WRITTEN), answered)
    return Flight(
        StopId(f"STP{number:09}"), B, INFY, Side.SELL, MOMENT + number, 148_000, 147_990, "stop", marks, (), engine_us
    )


def publish(desk: LocalDesk, *events: Event) -> None:
    for event in events:
        desk._bus.publish(event)


def of(history: MetricHistory, subject: str, *metrics: Metric) -> Sequence[int | None]:
    return [folded(metric, history.series(subject, metric)) for metric in metrics]


async def happenings(desk: LocalDesk) -> None:
    desk._workspace.guarding = True  # as in the workstation
    refused = replace(order(2, INFY, 1), id=OrderId("ours-2"), status=OrderStatus.REJECTED)
    for one in (OURS, refused, order(3, INFY, 1)):  # the third was sent from a phone
        await desk._workspace.book.orders.save([one])
        publish(desk, OrderChanged(one))
    for number, engine_us in enumerate((300, 400, 9_000), 1):
        await desk._workspace.journal.flights.save(flight(number, engine_us))
        publish(desk, FlightRecorded(flight(number, engine_us)))
    run = SyncProgressed("r", B, SyncStep.FAILED, "manual", started_at=MOMENT, ended_at=MOMENT + 1, rate_limited=2)
    await desk._workspace.book.sync_log.append(run)
    publish(desk, run)
    for good in (False, True, False):  # a failed login is none of the logins
        await desk._workspace.book.sync_log.refreshed(B, MOMENT + 2, good=good)
    publish(desk, FeedGap(B, MOMENT, MOMENT + 4_500_000_000, (INFY,)))
    for state in (FeedState.CONNECTING, FeedState.LIVE, FeedState.DOWN, FeedState.CONNECTING, FeedState.LIVE):
        publish(desk, FeedChanged(B, state, 5, 1))
    publish(desk, EngineBeat(MOMENT, 1, 0, 12.4, None), EngineBeat(MOMENT, 1, 0, 3.0, None))
    publish(desk, Noticed(Level.ALARM, "loud", account=B), Noticed(Level.INFO, "quiet", account=B))
    for status in (200, 200, 401, 429, 404, 503):
        tally.shared().answered("api.test", status)
    tally.shared().unanswered("api.test")


async def test_the_figures_of_a_day_are_kept_and_grow_over_a_restart(tmp_path: Path) -> None:
    tally.shared().take()
    await make_profile(tmp_path, fills=1, armed=False)
    async with opened(tmp_path) as desk:
        await happenings(desk)
        first, again = await desk.metrics.history(), await desk.metrics.history()
        ours = [[one for one in looked.figures if one.subject] for looked in (first, again)]
        assert ours[0] == ours[1]  # to look twice counts nothing twice
        # What is heard again is no second order and no second exit.
        publish(desk, OrderChanged(OURS), FlightRecorded(flight(1, 300)))
    async with opened(tmp_path) as desk:
        desk._workspace.guarding = True
        publish(desk, FeedGap(B, MOMENT, MOMENT + 500_000_000, (INFY,)), EngineBeat(MOMENT, 1, 0, 7.0, None))
        tally.shared().answered("api.test", 500)
        history = await desk.metrics.history()
        none = await desk.metrics.history(0)
    assert history.days[0] == DAY
    assert of(history, B, Metric.ORDERS, Metric.ORDERS_REJECTED) == [2, 1]
    exits = (Metric.EXITS, Metric.EXITS_SLOW, Metric.ENGINE_P50_US, Metric.ENGINE_WORST_US, Metric.ANSWER_P99_US)
    assert of(history, B, *exits) == [3, 1, 400, 9_000, 40_000]
    assert of(history, B, Metric.FEED_GAPS, Metric.FEED_GAP_MS, Metric.RECONNECTS) == [2, 5_000, 1]
    assert of(history, B, Metric.SYNCS, Metric.SYNCS_FAILED, Metric.RATE_LIMITED) == [1, 1, 2]
    assert of(history, B, Metric.LOGINS, Metric.LOGINS_FAILED) == [1, 2]
    assert of(history, B, Metric.ALARMS) == [1]
    assert of(history, "", Metric.LOOP_LAG_MS) == [12]
    assert (of(history, "", Metric.MEMORY_MB)[0] or 0) > 20
    errors = (Metric.ERRORS_AUTH, Metric.ERRORS_RATE, Metric.ERRORS_CLIENT, Metric.ERRORS_SERVER, Metric.ERRORS_NETWORK)
    assert of(history, "api.test", Metric.REQUESTS, *errors) == [8, 1, 1, 1, 2, 1]
    assert history.series(B, Metric.ORDERS)[0] == 2
    assert none == MetricHistory((), ())


async def test_old_days_go_and_the_newest_are_shown(tmp_path: Path) -> None:
    await make_profile(tmp_path, fills=1, armed=False)
    async with opened(tmp_path) as desk:
        publish(desk, FeedGap(B, 0, 1_000_000, ()), FeedGap(B, MOMENT, MOMENT, ()))  # in 1970, and not long ago
        days = (await desk.metrics.history()).days
        assert days[:2] == ("1970-01-01", DAY)
        assert (await desk.metrics.history(len(days) - 1)).days == days[1:]
        await desk.data.tidy()
        assert (await desk.metrics.history()).days == days[1:]
