"""What an absence is said to have been."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.events import AuditEntry
from app.domain.guard import Absence, AwayKind, Fate
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.instrument import Product
from app.domain.order import Side
from app.domain.portfolio import PositionKey
from app.domain.stop import FiredBy, Stop, StopPlan, StopState
from app.engine.away import NumberedLine, report, why

ACCOUNT = AccountId("zerodha-1")
AWAY = Absence(1, AwayKind.CRASH, 10, 20, audit_since=5, audit_until=8, audit_settled=12)


def stop(name: str, state: StopState = StopState.ARMED) -> Stop:
    key = PositionKey(ACCOUNT, InstrumentId(f"NSE:{name}"), Product.MIS)
    return Stop(
        StopId(name), key, Side.SELL, trigger=18_150, quantity=75, state=state, armed_at=1, plan=StopPlan(18_150)
    )


def line(number: int, of: Stop | None, what: str, detail: str = "") -> NumberedLine:
    subject = f"stop:{of.id}" if of is not None else "strategy:S1"
    return number, AuditEntry(number, ACCOUNT, subject, what, detail, None if of is None else of.id)


def test_a_stop_that_was_hit_says_what_it_brought() -> None:
    hit = replace(stop("INFY", StopState.CLOSED), exit_average=18_120)
    told = report(AWAY, [line(6, hit, "fired"), line(7, hit, "position flat")], {hit.id: hit})
    assert told.headline == "1 stop was hit, sold 75 at 181.20"
    assert [one.fate for one in told.lines] == [Fate.HIT]


@pytest.mark.parametrize(
    ("by", "told"),
    [
        (FiredBy.TIME, "time exit, sold 75 at 181.20"),
        (FiredBy.TARGET, "target reached, sold 75 at 181.20"),
        (FiredBy.PORTFOLIO, "portfolio stop, sold 75 at 181.20"),
        (FiredBy.TRADER, "closed by hand, sold 75 at 181.20"),
        (FiredBy.STOP, "1 stop was hit, sold 75 at 181.20"),
    ],
)
def test_only_a_level_that_was_reached_is_called_a_stop_that_was_hit(by: FiredBy, told: str) -> None:
    out = replace(stop("INFY", StopState.CLOSED), exit_average=18_120, fired_by=by)
    other = replace(out, id=StopId("SBIN"))
    found = report(AWAY, [line(6, out, "fired"), line(7, out, "position flat")], {out.id: out})
    assert found.headline == told
    both = report(AWAY, [line(6, out, "fired"), line(7, other, "fired")], {out.id: out, other.id: other})
    assert both.headline == (
        "2 stops were hit" if by is FiredBy.STOP else "2 positions were left by target, time or hand"
    )


def test_what_rested_behind_a_stop_and_filled_meanwhile_is_told_as_a_hit() -> None:
    by = "closed by the broker: its trigger (GTT) filled"
    hit = replace(stop("INFY", StopState.CLOSED), exit_average=18_020, note=by)
    for lines in ([line(9, hit, "trigger fired"), line(10, hit, "position flat")], [line(9, hit, "position flat")]):
        told = report(AWAY, lines, {hit.id: hit})
        assert told.headline == f"1 stop was hit, sold 75 at 180.20, {by}"
    elsewhere = replace(hit, exit_average=None, note="position was closed by another order")
    assert "closed elsewhere" in report(AWAY, [line(9, elsewhere, "position flat")], {hit.id: elsewhere}).headline


def test_nothing_happened_and_the_stop_is_watched_again() -> None:
    armed = stop("INFY")
    told = report(AWAY, [line(9, armed, "re-armed")], {armed.id: armed})
    assert told.headline == "nothing happened"
    assert [one.words for one in told.lines] == ["watched again: SELL 75 at 181.50"]


def test_what_a_guard_armed_again_meanwhile_is_not_told_twice() -> None:
    armed = stop("INFY")
    told = report(AWAY, [line(6, armed, "re-armed"), line(10, armed, "re-armed")], {armed.id: armed})
    assert len(told.lines) == 1


def test_many_fates_are_counted_and_the_worst_stands_first() -> None:
    one, two = (replace(stop(name, StopState.EXITING)) for name in ("INFY", "TCS"))
    gone = replace(stop("SBIN", StopState.CLOSED), note="position closed elsewhere")
    lines = [
        line(6, gone, "closed"), line(7, two, "fired"), line(8, one, "fired"),
        line(11, None, "waiting", "the entry at 10:00 was missed and is skipped"),
    ]  # fmt: skip
    told = report(AWAY, lines, {stop.id: stop for stop in (one, two, gone)})
    assert told.headline == "2 stops were hit; 1 position was closed elsewhere; 1 time was missed"
    assert [fate.fate for fate in told.lines] == [Fate.HIT, Fate.HIT, Fate.CLOSED, Fate.SKIPPED]
    assert told.lines[0].words == "the exit of 75 is under way"


def test_a_strategy_tells_where_it_stands() -> None:
    told = report(AWAY, [line(7, None, "bought", "filled"), line(11, None, "sold", "sold at 15:00")], {})
    assert [one.words for one in told.lines] == ["strategy sold: sold at 15:00"]
    assert told.headline == "nothing happened"


def test_an_exit_without_a_price_of_its_own_tells_why() -> None:
    hit = replace(stop("INFY", StopState.CLOSED), note="position was closed by another order")
    told = report(AWAY, [line(6, hit, "fired")], {hit.id: hit})
    assert told.lines[0].words == "position was closed by another order"


def test_lines_of_what_is_not_known_say_nothing() -> None:
    assert report(AWAY, [line(6, stop("INFY"), "fired")], {}).headline == "nothing happened"
    assert {why(kind) for kind in AwayKind} >= {"this computer slept", "no prices came"}
