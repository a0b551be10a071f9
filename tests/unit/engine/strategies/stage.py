"""The strategies of one account over a broker in memory, with an exchange clock that runs with a jumping loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.domain.calendar import IST, AlwaysOpen, Calendar
from app.domain.errors import StorageError
from app.domain.events import AuditEntry, Level, Noticed
from app.domain.ids import BrokerOrderId, InstrumentId, Nanos, StrategyId
from app.domain.instrument import Instrument, Product
from app.domain.order import OrderRequest, OrderStatus, Side
from app.domain.stop import Stop
from app.domain.strategy import Days, Measure, Strategy, StrategyMark, StrategyPlan, StrategyState
from app.domain.strategy import Level as At
from app.engine.rules import ExitRules
from app.engine.strategies.runner import StrategyEngine
from app.runtime.clock import AccountClock
from tests.fakes.fast_loop import run
from tests.fakes.trading import ACCOUNT, EXIT_RULES, INFY, KEY, FakeBroker, Rig

S = StrategyState
MORNING = "2026-11-25 09:19"


def at(text: str) -> Nanos:
    return int(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp()) * 1_000_000_000


def second(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60


class LoopClock(AccountClock):
    """Exchange time that passes with the loop's: what waits an hour is done at once."""

    def __init__(self, start: Nanos) -> None:
        super().__init__()
        self._at = start
        self._loop_at = asyncio.get_running_loop().time()

    def set(self, exchange_now: Nanos, speed: float = 1.0, *, sleeps: bool = False) -> None:
        del exchange_now, speed, sleeps

    def jump(self, to: Nanos) -> None:
        self._at, self._loop_at = to, asyncio.get_running_loop().time()

    def now(self) -> Nanos:
        return self._at + int((asyncio.get_running_loop().time() - self._loop_at) * 1_000_000_000)


class StrategyBook:
    """What the journal keeps of strategies."""

    def __init__(self) -> None:
        self.kept: dict[StrategyId, Strategy] = {}
        self.marks: list[StrategyMark] = []
        self.lines: list[AuditEntry] = []
        self.broken = False
        self.slow = 0.001
        """Seconds that a write takes."""

    async def save_strategy(self, strategy: Strategy, marks: Sequence[StrategyMark], entry: AuditEntry) -> None:
        await asyncio.sleep(self.slow)
        if self.broken:
            raise StorageError("The disk is full.")
        self.kept[strategy.id] = strategy
        self.marks.extend(marks)
        self.lines.append(entry)

    async def delete_strategy(self, strategy: StrategyId, entry: AuditEntry) -> None:
        await asyncio.sleep(0.001)
        del self.kept[strategy]
        self.lines.append(entry)


@dataclass
class Hours:
    """Which calendar is followed."""

    calendar: Calendar = field(default_factory=AlwaysOpen)
    cas: bool = False

    def ends_in_auction(self, instrument: Instrument) -> bool:
        return self.cas


PLAN = StrategyPlan(
    StrategyId("0123456789AB"), "Opening", ACCOUNT, INFY.id, Product.MIS, Side.BUY, 100, second("09:20"),
    second("09:30"), Days(), stop=At(Measure.PERCENT, 100),
)  # fmt: skip


class Stage:
    """One run of the program; `again` is the next one, over the same broker and the same journal."""

    def __init__(self, now: str = MORNING, before: Stage | None = None, rules: ExitRules = EXIT_RULES) -> None:
        self.clock = LoopClock(at(now))
        self.rig = Rig(clock=self.clock, rules=rules)
        self.book = StrategyBook()
        self.hours = Hours()
        if before is not None:
            self.book, self.hours = before.book, before.hours
            self.rig.journal.stops = before.rig.journal.stops
            self.rig.broker = before.rig.broker
            self.rig.log_in()
        self.rig.last[INFY.id] = 100_000
        self.engine = StrategyEngine(
            self.rig.state, self.rig.orders, self.rig.engine, self.book, self.rig.rules, self.hours,
            self.rig.instruments.get, self.rig.last.get, self.rig.events.append, self.rig.tasks,
        )  # fmt: skip

    def know(self, instruments: Mapping[InstrumentId, Instrument]) -> None:
        """What the list has besides."""
        known = self.rig.instruments
        assert isinstance(known, dict)
        known.update(instruments)

    @property
    def broker(self) -> FakeBroker:
        return self.rig.broker

    async def begin(self) -> None:
        """As after a login: stops recovered, then strategies taken up."""
        for stop in self.rig.journal.stops.values():
            self.rig.engine.adopt(stop)
        self.engine.adopt(self.book.kept.values())
        await self.rig.recover()
        await self.engine.take_up()

    async def again(self, now: str) -> Stage:
        """Killed, and started again at a time of the exchange's."""
        await self.rig.tasks.stop()
        self.broker.state = None
        following = Stage(now, self)
        await following.begin()
        return following

    async def started(self, plan: StrategyPlan = PLAN) -> Strategy:
        await self.engine.save(plan)
        return await self.engine.start(plan.id)

    async def until(self, *states: StrategyState, plan: StrategyPlan = PLAN, seconds: float = 100_000) -> Strategy:
        """Until it is in one of these states."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (found := self.engine.strategy(plan.id)).state not in states:
            assert loop.time() < deadline, (found, self.told(plan), self.alarms)
            await asyncio.sleep(0.2)
        return found

    async def true(self, check: Callable[[], object], seconds: float = 600) -> Any:
        """Until something is so."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not (found := check()):
            assert loop.time() < deadline, (self.engine.strategies, self.alarms)
            await asyncio.sleep(0.05)
        return found

    async def bought(self, plan: StrategyPlan = PLAN) -> Stop:
        """Started, bought, guarded."""
        await self.started(plan)
        await self.until(S.BOUGHT, plan=plan)
        stop: Stop = await self.true(lambda: self.guard(plan))
        return stop

    def guard(self, plan: StrategyPlan = PLAN) -> Stop | None:
        """The armed exit of the whole share."""
        strategy = self.engine.strategy(plan.id)
        stop = None if strategy.stop is None else self.rig.engine.find(strategy.stop)
        return stop if stop is not None and stop.quantity == strategy.held and not stop.state.is_final else None

    def tick(self, price: int) -> None:
        """A trade now."""
        self.rig.last[INFY.id] = price
        self.rig.tick(price, seconds=self.clock.now() // 1_000_000_000 + 1)

    def told(self, plan: StrategyPlan = PLAN) -> list[str]:
        """Its audit trail."""
        return [line.what for line in self.book.lines if line.subject == f"strategy:{plan.id}"]

    @property
    def entries(self) -> list[OrderRequest]:
        return [request for request in self.broker.placed if request.side is Side.BUY]

    @property
    def exits(self) -> list[OrderRequest]:
        return self.rig.exits

    @property
    def held(self) -> int:
        return self.broker.held.get(KEY, 0)

    @property
    def alarms(self) -> list[str]:
        return self.rig.alarms

    @property
    def notices(self) -> list[str]:
        return [e.cause for e in self.rig.events if isinstance(e, Noticed) and e.level is not Level.INFO]

    def order(self, number: int = -1) -> BrokerOrderId:
        return list(self.broker.book)[number]

    def open_orders(self) -> list[BrokerOrderId]:
        return [number for number, order in self.broker.book.items() if order.status is OrderStatus.OPEN]


def play(script: Callable[[Stage], Awaitable[None]], now: str = MORNING, rules: ExitRules = EXIT_RULES) -> None:
    async def scene() -> None:
        stage = Stage(now, rules=rules)
        await stage.begin()
        await script(stage)
        await stage.rig.tasks.stop()

    run(scene())


def other(plan: StrategyPlan = PLAN, **changes: Any) -> StrategyPlan:
    """Another strategy."""
    return replace(plan, **{"id": StrategyId("BA9876543210"), "name": "Other", **changes})
