"""Strategies in memory, for view tests: three that stand where a trader would want to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from app.domain.errors import Denied
from app.domain.events import StrategyChanged, StrategyDeleted
from app.domain.ids import InstrumentId, Nanos, StopId, StrategyId
from app.domain.instrument import Product
from app.domain.order import Side
from app.domain.strategy import (
    Days,
    DaysKind,
    Leaving,
    Level,
    MarkKind,
    Measure,
    Strategy,
    StrategyMark,
    StrategyPlan,
    StrategyPreview,
    StrategyProblem,
    StrategyState,
)
from app.runtime.clock import SECOND
from tests.ui import scripted_market as market
from tests.ui.script import Script

S = StrategyState
HELD, OVER, NEXT = (StrategyId(f"STRATEGY000{n}") for n in (1, 2, 3))
TODAY = date(2026, 11, 20)
OPEN: Nanos = market.NOW - (2 * 3600 + 17 * 60 + 8) * SECOND
"""09:15 of the day."""


def plan(strategy: StrategyId, name: str, instrument: str, quantity: int, **changes: object) -> StrategyPlan:
    bare = StrategyPlan(
        strategy, name, market.ACCOUNT, InstrumentId(instrument), Product.MIS, Side.BUY, quantity, 9 * 3600 + 20 * 60,
        15 * 3600, Days(), stop=Level(Measure.PERCENT, 75), target=Level(Measure.PERCENT, 150),
    )  # fmt: skip
    return replace(bare, **changes)  # type: ignore[arg-type]


def minute(number: int, second: int = 0) -> Nanos:
    """So many minutes after the opening."""
    return OPEN + (number * 60 + second) * SECOND


def strategies() -> list[Strategy]:
    return [
        Strategy(
            plan(HELD, "Opening drive", "NSE:INFY", 150), S.BOUGHT, TODAY, minute(5), minute(345), tag=None, attempt=1,
            ordered_at=minute(5), bought=150, entry_average=1_482_40, entry_over=True, stop=StopId("STOPSTRAT001"),
            held=150, changed_at=minute(5, 2),
        ),
        Strategy(
            plan(OVER, "Morning fade", "NSE:SBIN", 500, side=Side.SELL, stop=Level(Measure.POINTS, 400), target=None),
            S.EXITED_BY_SL, TODAY, minute(15), minute(105), attempt=1, ordered_at=minute(15), bought=500,
            entry_average=812_35, entry_over=True, leaving=Leaving.STOP, exit_average=816_45,
            note="closed: stop", changed_at=minute(62),
        ),
        Strategy(
            plan(
                NEXT, "Carry over the weekend", "NSE:TCS", 25, product=Product.CNC, carry=1, stop=None, target=None,
                entry_second=15 * 3600 + 5 * 60, exit_second=9 * 3600 + 30 * 60,
                days=Days(DaysKind.WEEKDAYS, weekdays=(4,)),
            ),
            S.WAITING, TODAY, minute(350), minute(350) + 66 * 3600 * SECOND, changed_at=minute(1),
        ),
    ]  # fmt: skip


def marks(strategy: StrategyId) -> list[StrategyMark]:
    def mark(
        at: Nanos, kind: MarkKind, state: S, words: str, price: int | None = None, quantity: int = 0
    ) -> StrategyMark:
        return StrategyMark(strategy, at, kind, state, words, price, quantity)

    if strategy == HELD:
        return [
            mark(minute(-30), MarkKind.STATE, S.WAITING, "waiting"),
            mark(minute(5), MarkKind.STATE, S.BUYING, "the entry is sent"),
            mark(minute(5, 1), MarkKind.ENTRY_FILL, S.BUYING, "filled 60, 60 of 150 so far", 1_482_00, 60),
            mark(minute(5, 2), MarkKind.ENTRY_FILL, S.BUYING, "filled 90, 150 of 150 so far", 1_482_40, 90),
            mark(minute(5, 2), MarkKind.STATE, S.BOUGHT, "bought"),
            mark(minute(5, 2), MarkKind.STOP, S.BOUGHT, "the stop is armed", 1_471_30, 150),
        ]
    if strategy == OVER:
        return [
            mark(minute(15), MarkKind.STATE, S.BUYING, "the entry is sent"),
            mark(minute(15, 1), MarkKind.ENTRY_FILL, S.BUYING, "filled 500, 500 of 500 so far", 812_35, 500),
            mark(minute(15, 1), MarkKind.STATE, S.BOUGHT, "bought"),
            mark(minute(15, 1), MarkKind.STOP, S.BOUGHT, "the stop is armed", 816_35, 500),
            mark(minute(61), MarkKind.STATE, S.SELLING, "its stop was reached"),
            mark(minute(62), MarkKind.EXIT_FILL, S.EXITED_BY_SL, "closed 500", 816_45, 500),
            mark(minute(62), MarkKind.STATE, S.EXITED_BY_SL, "closed: stop"),
        ]
    return [mark(minute(1), MarkKind.STATE, S.WAITING, "waiting")]


class ScriptedStrategies:
    """Keeps what it is given; previews with fixed numbers."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.kept: dict[StrategyId, Strategy] = {one.id: one for one in strategies()}
        self.problems: tuple[StrategyProblem, ...] = ()

    async def strategies(self) -> Sequence[Strategy]:
        return list(self.kept.values())

    async def preview(self, plan: StrategyPlan) -> StrategyPreview:
        await self.script.enter("preview strategy", plan)
        if self.problems:
            return StrategyPreview(self.problems)
        return StrategyPreview(
            (), minute(1445), minute(1785), ("Tue 24 Nov: holiday.",), 1_482_40, 1_471_30, 1_504_60, 1_665_00, 3_330_00
        )

    async def save(self, plan: StrategyPlan) -> Strategy:
        await self.script.enter("save strategy", plan)
        return self._keep(Strategy(plan))

    async def start(self, strategy: StrategyId) -> Strategy:
        return await self._to("start strategy", strategy, S.WAITING)

    async def pause(self, strategy: StrategyId) -> Strategy:
        return await self._to("pause strategy", strategy, S.PAUSED)

    async def resume(self, strategy: StrategyId) -> Strategy:
        return await self._to("resume strategy", strategy, S.WAITING)

    async def stop(self, strategy: StrategyId, *, close: bool) -> Strategy:
        return await self._to("stop and close" if close else "stop strategy", strategy, S.SELLING if close else S.IDLE)

    async def copy(self, strategy: StrategyId) -> Strategy:
        await self.script.enter("copy strategy", strategy)
        before = self.kept[strategy].plan
        return self._keep(Strategy(replace(before, id=StrategyId("STRATEGY0009"), name=f"{before.name} copy")))

    async def delete(self, strategy: StrategyId) -> None:
        await self.script.enter("delete strategy", strategy)
        if self.kept[strategy].state.is_running:
            raise Denied("A strategy that runs cannot be deleted.", "Stop it first.")
        del self.kept[strategy]
        self.script.publish(StrategyDeleted(strategy))

    async def timeline(self, strategy: StrategyId) -> Sequence[StrategyMark]:
        return marks(strategy)

    async def _to(self, verb: str, strategy: StrategyId, state: S) -> Strategy:
        await self.script.enter(verb, strategy)
        return self._keep(replace(self.kept[strategy], state=state))

    def _keep(self, strategy: Strategy) -> Strategy:
        self.kept[strategy.id] = strategy
        self.script.publish(StrategyChanged(strategy))
        return strategy
