"""Strategies in the journal: whole, with their timelines, and what happened to them is never edited."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from app.domain.errors import Damaged, StorageError
from app.domain.ids import StopId, StrategyId, Tag
from app.domain.instrument import Product
from app.domain.order import Side
from app.domain.strategy import (
    Days,
    DaysKind,
    LastEntry,
    Leaving,
    Level,
    MarkKind,
    Measure,
    Strategy,
    StrategyMark,
    StrategyPlan,
    StrategyState,
)
from app.storage.journal import Journal
from tests.unit.storage.samples import INFY, A, B, entry

PLAN = StrategyPlan(
    StrategyId("0123456789AB"), "Opening", A, INFY, Product.NRML, Side.SELL, 75, 33_600, 54_000,
    Days(DaysKind.DATES, (0, 3), (date(2026, 11, 25),)), 1, Level(Measure.PERCENT, 125), Level(Measure.POINTS, 900),
    Level(Measure.PRICE, 148_000), 147_000, 45,
)  # fmt: skip
HELD = Strategy(
    PLAN, StrategyState.BOUGHT, date(2026, 11, 25), 11, 22, True, True, Tag("M1"), 2, 33, 50, 147_005, True,
    StopId("STP000000001"), 40, Leaving.TRADER, 148_005, "a note", 44, True, 99, 50,
    LastEntry(Tag("M0"), 7, date(2026, 11, 24), 12, Leaving.TIME),
)  # fmt: skip


def mark(number: int, kind: MarkKind = MarkKind.STATE) -> StrategyMark:
    return StrategyMark(PLAN.id, number, kind, StrategyState.BUYING, f"words {number}", 147_000 + number, number)


async def test_a_strategy_comes_back_as_it_was_with_its_timeline_and_its_audit_line(journal: Journal) -> None:
    kept = journal.strategies
    await kept.save_strategy(replace(HELD, state=StrategyState.BUYING), [mark(1)], entry(1, "buying"))
    await kept.save_strategy(HELD, [mark(2, MarkKind.ENTRY_FILL), mark(3)], entry(2, "bought"))
    other = replace(HELD, plan=replace(PLAN, id=StrategyId("OTHER"), account=B))
    await kept.save_strategy(other, [], entry(3, "started"))
    assert await kept.strategies(A) == [HELD]
    assert await kept.strategies(B) == [other]
    assert await kept.strategy_marks(PLAN.id) == [mark(1), mark(2, MarkKind.ENTRY_FILL), mark(3)]
    assert await kept.strategy_marks(PLAN.id, limit=2) == [mark(2, MarkKind.ENTRY_FILL), mark(3)]
    assert [line.what for line in await journal.audit_lines()] == ["started", "bought", "buying"]


async def test_they_come_back_in_the_order_of_their_making(journal: Journal) -> None:
    made = [replace(HELD, plan=replace(PLAN, id=StrategyId(name))) for name in ("ZZ", "AA", "MM")]
    for one in (*made, made[0]):  # a change moves none
        await journal.strategies.save_strategy(one, [], entry())
    assert await journal.strategies.strategies(A) == made


async def test_a_deleted_strategy_is_gone_and_the_audit_trail_remembers_it(journal: Journal) -> None:
    await journal.strategies.save_strategy(HELD, [mark(1)], entry(1, "bought"))
    await journal.strategies.delete_strategy(PLAN.id, entry(2, "deleted"))
    assert await journal.strategies.strategies(A) == []
    assert await journal.strategies.strategy_marks(PLAN.id) == []
    assert [line.what for line in await journal.audit_lines()] == ["deleted", "bought"]


async def test_a_point_of_a_timeline_cannot_be_edited(journal: Journal) -> None:
    await journal.strategies.save_strategy(HELD, [mark(1)], entry())

    def edit(connection: Any) -> None:
        connection.exec_driver_sql("UPDATE strategy_marks SET words = 'never happened'")

    with pytest.raises(StorageError):
        await journal.store.run(edit)
    assert await journal.strategies.strategy_marks(PLAN.id) == [mark(1)]


async def test_a_strategy_that_cannot_be_read_is_named_and_never_dropped(journal: Journal) -> None:
    await journal.strategies.save_strategy(HELD, [], entry())
    await journal.store.run(lambda c: c.exec_driver_sql("UPDATE strategies SET body = '{}'"))
    with pytest.raises(Damaged, match="0123456789AB"):
        await journal.strategies.strategies(A)
