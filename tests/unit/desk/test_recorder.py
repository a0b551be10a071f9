"""Ticks of open positions are recorded, of others only when they were named, and none twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from app.desk.desk import LocalDesk
from app.domain.calendar import AlwaysOpen
from app.domain.errors import Denied
from app.domain.events import TicksConflated
from app.domain.ids import InstrumentId
from app.domain.instrument import Product
from app.domain.market import Tick
from app.domain.portfolio import Position, PositionKey
from app.runtime.clock import AccountClock
from tests.unit.desk.profiles import make_profile, opened
from tests.unit.storage.samples import INFY, NIFTY, A

SBIN = InstrumentId("NSE:SBIN")


class Holding:
    """An account with positions, as far as the recorder looks."""

    def __init__(self, *positions: Position) -> None:
        self.positions = positions
        self.stops = type("Stops", (), {"exiting": 0, "armed": 0, "engine_us": ()})
        self.strategies = type("Strategies", (), {"waiting": 0})
        self.day_stop = type("DayStop", (), {"guards": 0, "may_guard": False})
        self.blind = 0
        self.active = False
        self.account = A
        self.clock = AccountClock()
        self.broker_time = 0
        self.hours = type("Hours", (), {"calendar": AlwaysOpen()})

    async def end(self, _state: object) -> None:
        """Nothing runs."""


async def started(desk: LocalDesk) -> None:
    """What looks at the accounts when a profile is opened has done so."""
    first = [task for task in desk._tasks._running if task.get_name() == "finish what a crash left"]
    await asyncio.gather(*first)


def position(instrument: InstrumentId, quantity: int) -> Position:
    key = PositionKey(A, instrument, Product.MIS)
    return Position(key, quantity, Decimal(1), 1, 1, 0, Decimal(0), 0, Decimal(0))


def tick(instrument: InstrumentId, at: int) -> Tick:
    return Tick(instrument, 100 + at, at, exchange_time=at, volume=at)


async def recorded(desk: LocalDesk, instrument: InstrumentId) -> list[int]:
    return [t.received_at for t in await desk._workspace.book.ticks.read(instrument, 0, 99)]


async def test_ticks_of_open_positions_and_of_named_instruments_are_recorded(tmp_path: Path) -> None:
    await make_profile(tmp_path, fills=5)
    async with opened(tmp_path) as desk:
        await started(desk)
        desk._workspace.accounts[A] = Holding(position(INFY, 10), position(SBIN, 0))  # type: ignore[assignment]
        recorder = desk.recorder

        def publish(at: int) -> None:
            recorder.look()
            desk._bus.publish(TicksConflated(tuple(tick(name, at) for name in (INFY, SBIN, NIFTY))))

        publish(1)
        settings = (await desk.data.view()).settings
        await desk.data.save_settings(replace(settings, record_also=(NIFTY,)))
        publish(2)
        publish(2)  # by the feed of a second account
        await desk.data.save_settings(replace(settings, record_ticks=False))
        publish(3)
        await recorder.flush()
        assert await recorded(desk, INFY) == [1, 2]
        assert await recorded(desk, NIFTY) == [2]
        assert await recorded(desk, SBIN) == []
        assert (await desk.data.view()).ticks_bytes > 0


async def test_the_last_minute_is_written_when_the_program_ends(tmp_path: Path) -> None:
    await make_profile(tmp_path, fills=5)
    async with opened(tmp_path) as desk:
        await started(desk)
        desk._workspace.accounts[A] = Holding(position(INFY, 10))  # type: ignore[assignment]
        desk.recorder.look()
        desk._bus.publish(TicksConflated((tick(INFY, 1),)))
    async with opened(tmp_path) as desk:
        assert await recorded(desk, INFY) == [1]


async def test_retention_says_what_it_dropped(tmp_path: Path) -> None:
    await make_profile(tmp_path, fills=5)
    async with opened(tmp_path) as desk:
        book = desk._workspace.book
        await started(desk)
        desk._workspace.accounts[A] = Holding(position(INFY, 10))  # type: ignore[assignment]
        desk.recorder.look()
        desk._bus.publish(TicksConflated((tick(INFY, 1),)))
        await desk.recorder.flush()
        await book.store.run(lambda c: c.exec_driver_sql("UPDATE tick_blocks SET recorded_at = 1"))
        fills = len(await book.fills.all())
        done = await desk.data.tidy()
        assert (done.ticks, done.ticks_oldest) == (1, None)
        assert len(await book.fills.all()) == fills
        settings = (await desk.data.view()).settings
        for wrong in (replace(settings, sync_log_days=1), replace(settings, backup_folder="relative")):
            with pytest.raises(Denied) as denied:
                await desk.data.save_settings(wrong)
            assert denied.value.next_step
