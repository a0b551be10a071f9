"""Strategies as the window asks for them. Loop thread only."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from app.desk.account import AccountDesk
from app.desk.lots import size_of_lot
from app.desk.workspace import Workspace
from app.domain.calendar import ist_date
from app.domain.errors import AppError, Damaged, Denied
from app.domain.events import Level, Noticed
from app.domain.ids import StrategyId, split_instrument_id
from app.domain.instrument import Instrument
from app.domain.money import Paise, Price, said_price
from app.domain.stop import Stop
from app.domain.strategy import Strategy, StrategyMark, StrategyPlan, StrategyPreview, StrategyProblem
from app.domain.strategy_times import Cycle
from app.engine.rules import MAX_SLICES
from app.engine.strategies.check import problems_of
from app.engine.strategies.runner import StrategyEngine

_TIMES = frozenset({"entry_second", "exit_second", "days", "carry"})
"""With a problem in one of these there is no next day to tell."""


class StrategyDesk:
    """Implements `desk.strategy_verbs.StrategyVerbs`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def strategies(self) -> Sequence[Strategy]:
        """Of all accounts, in the order of their making."""
        return [one for desk in self._workspace.accounts.values() for one in desk.strategies.strategies]

    async def preview(self, plan: StrategyPlan) -> StrategyPreview:
        """What a plan would do next, and what is wrong with it."""
        desk = self._workspace.account(plan.account)
        instrument = self._instrument(desk, plan)
        plan = self._completed(plan, instrument)
        problems = self._problems(plan, desk, instrument)
        entry = plan.limit or desk.last_price(plan.instrument) or _held_price(desk, plan)
        tick = instrument.tick_size
        stop = None if entry is None else plan.stop_price(entry, tick)
        target = None if entry is None else plan.target_price(entry, tick)
        cycle: Cycle | None = None
        words: tuple[str, ...] = ()
        if not any(problem.field in _TIMES for problem in problems):
            outlook = desk.strategies.outlook(plan)
            cycle = outlook.cycle
            words = (*outlook.skipped, *((cycle.words,) if cycle is not None and cycle.words else ()))
            words = (*words, *self._looked_words(plan, desk, instrument))
        size = await size_of_lot(self._workspace, desk, instrument)
        return StrategyPreview(
            problems,
            None if cycle is None else cycle.entry_at,
            None if cycle is None else cycle.exit_at,
            words,
            entry,
            stop,
            target,
            _money(plan, instrument, size, entry, stop, -1),
            _money(plan, instrument, size, entry, target, 1),
        )

    async def save(self, plan: StrategyPlan) -> Strategy:
        """Refused in words where it makes no sense. One that moves to another account leaves the old one."""
        desk = self._workspace.account(plan.account)
        plan = self._completed(plan, self._instrument(desk, plan))
        self._deny(plan, desk)
        for other in self._workspace.accounts.values():
            if other is not desk and _has(other.strategies, plan.id):
                await other.strategies.delete(plan.id)
        return await desk.strategies.save(plan)

    async def start(self, strategy: StrategyId) -> Strategy:
        """From its next buy time on."""
        desk = self._owner(strategy)
        self._workspace.deny_replaced()
        desk.rights.deny()
        self._deny(desk.strategies.strategy(strategy).plan, desk)
        return await desk.strategies.start(strategy)

    async def pause(self, strategy: StrategyId) -> Strategy:
        """No entries; exits go on."""
        return await self._owner(strategy).strategies.pause(strategy)

    async def resume(self, strategy: StrategyId) -> Strategy:
        """Entries again."""
        return await self._owner(strategy).strategies.resume(strategy)

    async def stop(self, strategy: StrategyId, *, close: bool) -> Strategy:
        """It rests."""
        return await self._owner(strategy).strategies.stop(strategy, close=close)

    async def copy(self, strategy: StrategyId) -> Strategy:
        """The same plan once more."""
        return await self._owner(strategy).strategies.copy(strategy)

    async def delete(self, strategy: StrategyId) -> None:
        """It is gone."""
        await self._owner(strategy).strategies.delete(strategy)

    async def timeline(self, strategy: StrategyId) -> Sequence[StrategyMark]:
        """What happened to it, oldest first."""
        return await self._workspace.journal.strategies.strategy_marks(strategy)

    def _completed(self, plan: StrategyPlan, instrument: Instrument) -> StrategyPlan:
        """With what its contract is written on, where its stop looks at that."""
        underlying = self._workspace.underlyings.of(instrument) if plan.by_underlying else None
        return replace(plan, underlying=underlying)

    def _looked_words(self, plan: StrategyPlan, desk: AccountDesk, instrument: Instrument) -> tuple[str, ...]:
        """Where the underlying stands, and the levels that follow from it."""
        last = None if plan.underlying is None else desk.last_price(plan.underlying)
        if not plan.by_underlying or plan.underlying is None:
            return ()
        name = split_instrument_id(plan.underlying)[1]
        scale = instrument.price_scale
        if last is None:
            return (f"Stop and target are prices of {name}.",)
        gains, told = plan.gains(instrument.kind), []
        for word, level, direction in (("stop", plan.stop, -gains), ("target", plan.target, gains)):
            if level is not None:
                told.append(f"{word} {said_price(level.price(last, direction, instrument.tick_size), scale)}")
        return (
            f"By {name}, now {said_price(last, scale)}: {', '.join(told)}. Its own stop counts when that is silent.",
        )

    def _deny(self, plan: StrategyPlan, desk: AccountDesk) -> None:
        problems = self._problems(plan, desk, self._instrument(desk, plan))
        if problems:
            raise Denied(problems[0].words, "Change the strategy, then try again.")

    def _problems(self, plan: StrategyPlan, desk: AccountDesk, instrument: Instrument) -> tuple[StrategyProblem, ...]:
        size = self._workspace.rules.slice_size(instrument, ist_date(desk.clock.now()))
        return problems_of(plan, instrument, size, MAX_SLICES if desk.orders.wire.slices else 1)

    def _instrument(self, desk: AccountDesk, plan: StrategyPlan) -> Instrument:
        found = desk.instrument(plan.instrument)
        if found is None:
            raise Denied(f"{plan.instrument} is not in the instrument list.", "Refresh the instruments.")
        return found

    def _owner(self, strategy: StrategyId) -> AccountDesk:
        for desk in self._workspace.accounts.values():
            if _has(desk.strategies, strategy):
                return desk
        raise Denied("There is no such strategy.", "See the strategies list.")


async def adopt(workspace: Workspace, desk: AccountDesk, stops: Sequence[Stop], *, clock_known: bool) -> None:
    """An account takes up what the journal holds, and how often the orders of before were changed.

    Strategies that cannot be read stay in the file, and that is said.

    `clock_known`: its exchange's time is this machine's. A paper account's is not known before its login.
    """
    strategies: Sequence[Strategy] = ()
    try:
        strategies = await workspace.journal.strategies.strategies(desk.account)
    except Damaged as failure:
        workspace.publish(
            Noticed(Level.ALARM, "Strategies could not be read", str(failure), "None of them runs now.", desk.account)
        )
    desk.adopt(stops, strategies)
    with contextlib.suppress(AppError):  # the session says it, and reads it again
        await desk.day_stop.peek()
    desk.state.changes.update(await workspace.book.orders.changes(desk.account))
    if workspace.guarding and clock_known:
        desk.strategies.run()


def _has(engine: StrategyEngine, strategy: StrategyId) -> bool:
    return any(known.id == strategy for known in engine.strategies)


def _held_price(desk: AccountDesk, plan: StrategyPlan) -> Price | None:
    position = next((p for p in desk.positions if p.key.instrument == plan.instrument), None)
    return None if position is None or not position.last_price else position.last_price


def _money(
    plan: StrategyPlan,
    instrument: Instrument,
    size: int | None,
    entry: Price | None,
    level: Price | None,
    direction: int,
) -> Paise | None:
    """`size`: of a lot, where quantities count lots."""
    if entry is None or level is None or size is None:
        return None
    return (level - entry) * plan.side.sign * direction * plan.quantity * size * 100 // instrument.price_scale
