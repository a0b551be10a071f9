from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest

from app.desk.preflight import due
from app.diagnostics import checks
from app.domain.calendar import TradingCalendar
from app.domain.events import SessionState
from app.domain.health import HealthState
from app.domain.ids import AccountId, Nanos
from app.runtime.clock import IST, from_datetime
from app.runtime.paths import resource
from tests.unit.desk.profiles import make_profile, opened
from tests.unit.storage.samples import A, B

WEDNESDAY = date(2026, 11, 25)


@pytest.mark.parametrize(
    ("moment", "done", "wanted"),
    [
        ("2026-11-25 08:44:59", None, None),
        ("2026-11-25 08:45", None, WEDNESDAY),
        ("2026-11-25 09:10", None, WEDNESDAY),  # started late
        ("2026-11-25 09:10", WEDNESDAY, None),
        ("2026-11-25 09:15", None, None),
        ("2026-11-26 08:50", WEDNESDAY, date(2026, 11, 26)),
        ("2026-11-28 08:50", None, None),  # Saturday
        ("2026-12-25 08:50", None, None),  # Christmas
    ],
)
def test_once_before_the_open_of_a_trading_day(moment: str, done: date | None, wanted: date | None) -> None:
    calendar = TradingCalendar.parse(*(f.read_text("utf-8") for f in sorted(resource("calendar").glob("*.json"))))
    at = from_datetime(datetime.fromisoformat(moment).replace(tzinfo=IST))
    assert due(at, calendar, () if done is None else (done, date(2025, 12, 15))) == wanted


@pytest.mark.parametrize(
    ("registered", "state", "words"),
    [
        (None, HealthState.OK, "does not tell"),
        ((), HealthState.FAILED, "orders are refused"),
        (("203.0.113.7",), HealthState.OK, "203.0.113.7"),
    ],
)
def test_from_where_orders_are_taken(registered: tuple[str, ...] | None, state: HealthState, words: str) -> None:
    found = checks.addresses(AccountId("upstox-1"), registered)
    assert (found.state, words in found.words) == (state, True)


async def test_of_an_account_that_was_disconnected_nothing_is_missing(tmp_path: Path) -> None:
    await make_profile(tmp_path, fills=5, armed=False)
    async with opened(tmp_path) as desk:
        before = await desk.health.preflight()
        record = desk._workspace.records[A]
        await desk._workspace.save(replace(record, state=SessionState.LOGGED_OUT, disconnected_at=Nanos(1)))
        after = await desk.health.preflight()
        everything = await desk.health.look()
    assert any(A in finding.name for finding in before.findings)
    assert not any(A in finding.name for finding in (*after.findings, *everything))
    assert any(B in finding.name for finding in after.findings)
