"""A sync's state for view tests: something of everything that the view must show."""

from __future__ import annotations

from dataclasses import replace

from app.desk.messages import Health, SyncAccount, SyncStatus
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Side
from app.domain.sync import (
    Backfill,
    BreakerView,
    DataSet,
    DataSetState,
    ErrorClass,
    FailedJob,
    FillConflict,
    LimitGauge,
    OpenDay,
    SyncFigures,
    SyncPause,
    SyncPlan,
)
from app.runtime.clock import SECOND
from tests.ui.scripted_market import ACCOUNT, NOW

OTHER = AccountId("upstox-5C3A91FE")


def conflicting_fill(price: int) -> Fill:
    return Fill(
        FillId("zerodha", ACCOUNT, "NSE", "equity", "2026-11-20", BrokerOrderId("2611201"), "10000017", "BUY"),
        ACCOUNT, InstrumentId("NSE:INFY"), Segment.EQUITY, InstrumentKind.SHARE, Product.MIS, Side.BUY, 75, price,
        NOW - 3600 * SECOND, BrokerOrderId("2611201"),
    )  # fmt: skip


def data_set(account: AccountId, kind: DataSet, rows: int, took: int) -> DataSetState:
    at = NOW - 120 * SECOND
    return DataSetState(account, kind, at, at, rows, took, 0, ErrorClass.NONE, "")


def sync_status() -> SyncStatus:
    """One account in good order, one that fails."""
    good = tuple(data_set(ACCOUNT, kind, n, 40 + 7 * n) for n, kind in enumerate(DataSet, start=1))
    bad = replace(
        data_set(OTHER, DataSet.TRADES, 31, 210), retries=2, error_class=ErrorClass.SERVER,
        error='The broker could not answer. "HTTP 503" Check the connection; Stopline keeps trying.',
    )  # fmt: skip
    return SyncStatus(
        now=NOW,
        accounts=(
            SyncAccount(
                ACCOUNT, SyncPlan(ACCOUNT), 1, NOW + 780 * SECOND, False, NOW - 120 * SECOND, "", good,
                (OpenDay(ACCOUNT, "2026-11-17", None),), None, Health.ATTENTION,
                "No closing sync on 2026-11-17: fills may be missing.",
            ),
            SyncAccount(
                OTHER, SyncPlan(OTHER, every_s=300), 1095, NOW + 180 * SECOND, False, NOW - 9000 * SECOND, "fetching",
                (bad,), (), Backfill(OTHER, "2026-01-01", "2026-11-19", "2026-08-31", 412), Health.BAD,
                "5 syncs in a row failed: The broker could not answer.",
            ),
        ),
        gauges=(
            LimitGauge("zerodha", ACCOUNT, 1, 4, 8, 0.6),
            LimitGauge("upstox", OTHER, 60, 397, 400, 41.0),
            LimitGauge("upstox", OTHER, 1800, 655, 1600, 1212.0),
        ),
        breakers=(BreakerView("zerodha", "closed", 0, 0.0), BreakerView("upstox", "open", 5, 42.0)),
        pauses=(SyncPause(OTHER, DataSet.TRADES, "The broker takes no more requests for a moment.", 17.0),),
        jobs=(
            FailedJob(7, OTHER, "today", 6, NOW - 7200 * SECOND, NOW - 300 * SECOND, ErrorClass.SERVER,
                      "The broker could not answer."),
        ),
        conflicts=(FillConflict(3, NOW - 600 * SECOND, conflicting_fill(148_005), conflicting_fill(148_050)),),
        hour=SyncFigures(5, 4, 3, 8, 1, 0, 0, 4200, 1900),
        day=SyncFigures(41, 6, 128, 19, 4, 2, 0, 61_000, 9_100),
        alerts=("More than a tenth of the syncs fail: 6 of 41 syncs of the last day failed.",),
    )  # fmt: skip
