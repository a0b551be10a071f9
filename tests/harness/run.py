"""Plays one seed: builds the world, arms the stops, lets the script happen, waits until all is quiet, judges."""

from __future__ import annotations

import asyncio
import gc
import logging
import tempfile
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from unittest import mock

from app.domain.day_stop import DayLimits
from app.domain.errors import AppError
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, StopPlan, StopState
from app.engine.delivery import DELIVERED
from app.engine.exit_pace import LATEST_SECONDS
from app.simulator.exchange import Opening
from app.storage.database import StoreKind
from app.storage.store import open_store
from tests.harness import nights
from tests.harness.acts import Stage
from tests.harness.network import Network, network
from tests.harness.plans import LISTINGS, away, is_large, plan_of, strategy_of, trigger_of, units_of
from tests.harness.script import ARMED_BY, HAND_SHARE, HELD_SHARE, Kind, Script, write
from tests.harness.station import KEY, Disk, InlineWorker, Station
from tests.harness.tape import Course
from tests.harness.verdict import violations
from tests.harness.virtual import Deadlock, VirtualLoop, forget_the_dead, virtual_machine
from tests.harness.wires import WIRES
from tests.harness.world import HELD_UNITS, World

CANARIES = ("NSE:NIFTY 50", "NSE:NIFTY BANK")
QUIET = 40.0
"""Seconds after the last consequence: one whole reconciliation, and time for what it finds."""
HOLDABLE = tuple(
    key for key, row in sorted(LISTINGS.by_key.items()) if row.exchange == "NFO" and row.previous_close > 2_000
)[:12]
SELDOM = {
    "app.simulator.exchange.WATCH_SECONDS": 1.0,
    "app.market.charts.CONFLATE_SECONDS": 5.0,
    "app.market.feed.CONFLATE_SECONDS": 1.0,
    "app.desk.account.PAPER_CLOCK_SECONDS": 60.0,
}
"""Looks that decide nothing in a run: at the night that a script brings itself, and what a window would paint. The
clock is read as seldom as a live broker's."""
ASKED_AGAIN = 0.3
NEXT_ATTEMPT = LATEST_SECONDS + 10.0
"""Seconds from a fault that struck until what follows has come to something: the longest wait, and an attempt."""
SOLD_OUT = 6.0
"""Seconds without a trade after which a thin book is done with."""
LONGEST = 120.0
"""Seconds that a thin book gets in all."""
_LEAVES = (StopState.FIRED, StopState.EXITING)
BEYOND = 0.02
"""How far the price goes through the level."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a seed."""

    seed: int
    violations: tuple[str, ...]
    happened: dict[Kind, int] = field(default_factory=dict)
    exits: int = 0
    """Stops that closed their position."""
    armed: int = 0
    log: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()


def script_of(seed: int) -> Script:
    """What a seed stands for."""
    return nights.write(seed) if nights.is_one(seed) else write(seed, HOLDABLE)


def play(seed: int, *, story: bool = False) -> Result:
    """One seed from beginning to end."""
    try:
        return _played(seed, story=story)
    finally:
        forget_the_dead()


def _played(seed: int, *, story: bool) -> Result:
    """In a frame of its own: it holds the loop and the network."""
    script = script_of(seed)
    folder = tempfile.mkdtemp(prefix="stopline-harness-", dir=_memory())
    for name, content in empty_journal().items():
        Path(folder, name).write_bytes(content)
    try:
        with ExitStack() as seldom, virtual_machine(seed) as loop, network(loop, seed) as net:
            seldom.enter_context(mock.patch("app.storage.store.Worker", InlineWorker))
            for name, seconds in SELDOM.items():
                seldom.enter_context(mock.patch(name, seconds))
            return _in_world(loop, net, script, Path(folder), story=story)
    except Deadlock:
        return Result(seed, ("everything waits for something that will never happen",))
    finally:
        _remove(Path(folder))


@lru_cache(1)
def empty_journal() -> dict[str, bytes]:
    """The files of a profile that was just made: their making is not what a run is about."""

    async def make(folder: Path) -> None:
        store, _ = await open_store(folder, KEY, StoreKind.JOURNAL)
        await store.close()

    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        asyncio.run(make(Path(folder)))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def _in_world(loop: VirtualLoop, net: Network, script: Script, folder: Path, *, story: bool) -> Result:
    """In a frame of its own: the world must be gone before its loop is."""
    InlineWorker.disk = Disk()
    # A copy: a new day changes them.
    wire = WIRES[script.wire]
    world = World(loop, net, script.seed, folder, deepcopy(LISTINGS), LISTINGS, _courses(script), wire)
    world.openings = [Opening(g.instrument, units_of(g) + g.beside, g.product) for g in script.guarded if not g.bought]
    if script.holding:
        world.openings.append(Opening(HELD_SHARE, HELD_UNITS, "CNC"))
    world.exchange_remembers = any(act.kind is Kind.EXCHANGE_RESTART for act in script.acts)
    world.tape.thin = {LISTINGS.by_key[g.instrument].token: 3 for g in script.guarded if g.thin}
    return loop.run_until_complete(_play(world, script, story=story))


async def _play(world: World, script: Script, *, story: bool) -> Result:
    loop = world.loop
    begun = loop.time()
    await world.open_exchange()
    world.buy_shares([(g.instrument, units_of(g) + g.beside) for g in script.guarded if g.bought])
    world.set_foreign_triggers([g.instrument for g in script.guarded] if script.night else [])
    station = await world.start_station()
    armed: dict[str, int] = {}
    stage = Stage(world, script, begun)

    async def arm() -> None:
        for guarded in script.guarded:
            stop = await armed_soon(station, stage.key(guarded), plan_of(guarded))
            armed[stop.id] = stop.trigger
        for planned in script.planned:
            plan = strategy_of(planned, world.wire.account)
            await station.desk.strategies.save(plan)
            await station.desk.strategies.start(plan.id)
            stage.strategies[plan.id] = planned
        if script.day_loss:
            await limit_day(station, stage)

    await station.side.start(arm())
    acting = loop.create_task(stage.play())
    await world.wait(max(0.0, begun + script.ends - loop.time()))
    await acting
    await world.wait(QUIET)
    await _tried_again(world)
    await _sold_out(world)
    found = await violations(stage, armed)
    closed = sum(1 for s in (world.station.stops if world.station else ()) if s.exit_average is not None)
    log = tuple(_story(world, begun)) if story or found else ()
    return Result(script.seed, tuple(found), world.happened, closed, len(armed), log, scenes_of(script))


async def armed_soon(station: Station, key: PositionKey, plan: StopPlan) -> Stop:
    """Shares of delivery are guarded as soon as the holdings have been read: until then the trader asks again."""
    while True:
        try:
            return await station.desk.stops.arm(key, plan)
        except AppError:
            if key.product not in DELIVERED:
                raise
            await asyncio.sleep(ASKED_AGAIN)
            await station.desk.books.refresh()


async def _tried_again(world: World) -> None:
    """Faults in a row make an exit wait longer and longer: the attempt after the last of them is seen, too."""
    while world.station is not None and any(stop.state in _LEAVES for stop in world.station.stops):
        if world.loop.time() - max((at for at, _ in world.struck), default=0.0) > NEXT_ATTEMPT:
            return
        await world.wait(1.0)


async def _sold_out(world: World) -> None:
    """A thin book takes a little at a time: what is still being sold is sold before anything is judged."""
    until = world.loop.time() + LONGEST
    while world.loop.time() < until:
        last = max((trade.at for trade in world.traded if trade.token in world.tape.thin), default=0.0)
        if world.loop.time() - last > SOLD_OUT:
            return
        await world.wait(1.0)


async def limit_day(station: Station, stage: Stage) -> None:
    """The portfolio stop: a part of what all stops would lose at their levels."""
    desk = station.desk
    await desk.books.refresh()
    figures = desk.day.now()
    scales = {g.instrument: LISTINGS.by_key[g.instrument].price_scale for g in stage.script.guarded}
    at_risk = sum(away(g) * abs(units_of(g)) * 100 // scales[g.instrument] for g in stage.script.guarded)
    loss = max(1, at_risk * stage.script.day_loss // 100)
    limit = loss - (0 if figures is None else figures[1])
    await desk.day_stop.set_limits(DayLimits(loss=max(1, limit)))
    stage.day_loss = loss


def scenes_of(script: Script) -> tuple[str, ...]:
    """What a run shows beside the stops of its positions."""
    told = [f"over {script.wire}"]
    told += ["with a strategy" for _ in script.planned]
    told += ["with a portfolio stop"] if script.day_loss else []
    told += ["with a holding"] if script.holding else []
    told += ["over a night with triggers at the broker"] if script.night else []
    told += ["with a position above the freeze quantity" for g in script.guarded if is_large(g)]
    return tuple(told)


def _courses(script: Script) -> dict[int, Course]:
    courses = {row.token: Course([(0.0, row.previous_close)]) for row in (LISTINGS.by_key[name] for name in CANARIES)}
    for guarded in script.guarded:
        row = LISTINGS.by_key[guarded.instrument]
        first, level = row.previous_close, trigger_of(guarded)
        step = max(int(first * BEYOND), 10 * row.tick_size)
        sign = 1 if guarded.quantity > 0 else -1
        far = level - sign * step
        near = first + (level - first) // 2
        peak = first + sign * (first * guarded.gain // 10_000)
        if guarded.depth:
            far = level - sign * int(away(guarded) * guarded.depth)
        if guarded.wins:
            near, far = first, first + 3 * (first - level)
        corners = [(0.0, first), (ARMED_BY, first), (ARMED_BY + 0.7, peak), (guarded.breach - 0.2, near)]
        if script.night is not None and guarded.breach == script.night.opens:
            corners.append((guarded.breach - 0.001, near))  # the night's gap: the first trade of the day
        corners.append((guarded.breach, far))
        if guarded.returns:
            corners += [(guarded.breach + 2.0, far), (guarded.breach + 3.0, first)]
        courses[row.token] = Course(corners)
    for name in (HAND_SHARE, HELD_SHARE):
        row = LISTINGS.by_key[name]
        courses[row.token] = Course([(0.0, row.previous_close)])
    for planned in script.planned:
        row = LISTINGS.by_key[planned.instrument]
        first = row.previous_close
        beyond = int(first * (planned.distance / 10_000 + BEYOND)) * (-1 if planned.quantity > 0 else 1)
        corners = [(0.0, first)]
        if planned.breach:
            corners += [(planned.breach - 0.2, first), (planned.breach, first + beyond)]
        courses[row.token] = Course(corners)
    return courses


def _story(world: World, begun: float) -> list[str]:
    """What happened, in order, for whoever looks into a failed seed."""
    lines = [
        (t.at, f"exchange: {t.side} {t.quantity} of {t.token} {t.product} by {t.order} [{t.tag}], net {t.net}")
        for t in world.traded
    ]
    for heard in world.heard:
        told = _told(heard.event)
        if told:
            lines.append((heard.at, f"life {heard.station}: {told}"))
    return [f"{at - begun:9.4f}  {words}" for at, words in sorted(lines, key=lambda line: line[0])]


def _told(event: object) -> str:
    name = type(event).__name__
    if name == "StopChanged":
        stop = event.stop  # type: ignore[attr-defined]
        return f"stop {stop.id} {stop.state} {stop.quantity} @ {stop.trigger} attempt {stop.attempt} {stop.note}"
    if name == "OrderChanged":
        order = event.order  # type: ignore[attr-defined]
        done = f"{order.filled_quantity}/{order.quantity}"
        return f"order {order.broker_order_id} [{order.tag}] {order.side} {done} {order.status}"
    if name == "PositionsChanged":
        held = {f"{p.key.instrument}@{p.key.product}": p.quantity for p in event.positions}  # type: ignore[attr-defined]
        return f"positions {held}"
    if name == "Noticed":
        return f"{event.level}: {event.title}: {event.cause}"  # type: ignore[attr-defined]
    if name == "StrategyChanged":
        known = event.strategy  # type: ignore[attr-defined]
        return f"strategy {known.id} {known.state} held {known.held} bought {known.bought} {known.leaving} {known.note}"
    if name == "DayStopChanged":
        day = event.stop  # type: ignore[attr-defined]
        return f"portfolio stop: {day.net} of {day.limits.loss}, halted {day.halted}" if day.halted else ""
    if name in ("PositionsUnknown", "StopFired", "FeedGap", "SessionChanged"):
        return str(event)[:160]
    return ""


def _memory() -> str | None:
    """A disk that is none, where the machine has one: thousands of small databases."""
    folder = Path("/dev/shm")
    return str(folder) if folder.is_dir() else None


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()


def quiet() -> None:
    """Makes this process ready for thousands of runs: their faults would write thousands of log lines."""
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()  # what is loaded stays: each run ends with a collection
