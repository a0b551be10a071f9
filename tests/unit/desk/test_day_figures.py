"""The account's day, and the moments in which it decides nothing. The real engine, in time that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from app.desk.day_figures import DayFigures
from app.desk.hours import TradingHours
from app.domain.day_stop import DayBreach, DayLimits
from app.domain.events import Level, Noticed
from app.domain.instrument import Product
from app.domain.portfolio import Position, PositionKey
from app.engine.day_stop import DayGuard
from tests.fakes.fast_loop import run
from tests.fakes.trading import ACCOUNT, INFY, KEY, OPTION, Rig
from tests.unit.desk.test_hours import CALENDAR, at
from tests.unit.engine.test_day_stop import Kept

SECOND = 10**9


class Desk:
    """An account whose day is reckoned, and whose portfolio stop goes by it."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.live = True
        self.hours = TradingHours(CALENDAR, self.rig.instruments.get, lambda instrument: instrument.id == INFY.id)
        self.day = DayFigures(self.rig.state, self.hours, self.rig.last.get, lambda: 0, lambda: self.live)
        self.guard = DayGuard(
            self.rig.state,
            self.rig.engine,
            self.rig.orders,
            Kept(),
            self.day.decisive,
            lambda day: date.fromordinal(day.toordinal() + 1),
            lambda: True,
            self.rig.events.append,
        )

    async def stands(self, now: str, seconds: float = 3.0) -> None:
        """It is so late, and positions are read as every half minute."""
        self.rig.clock.set(at(now) * SECOND)
        await self.rig.state.read_positions()
        await asyncio.sleep(seconds)


def play(script: Callable[[Desk], Awaitable[None]]) -> None:
    async def scene() -> None:
        desk = Desk()
        desk.rig.tasks.start(desk.guard.run(), "portfolio stop")
        await script(desk)
        await desk.rig.tasks.stop()

    run(scene())


@pytest.mark.parametrize("moment", ["2026-11-26T00:10:00", "2026-11-26T08:59:00", "2026-11-26T09:05:00"])
def test_a_loss_that_is_still_listed_before_the_opening_halts_nothing(moment: str) -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        rig.clock.set(at("2026-11-25T14:00:00") * SECOND)
        await desk.guard.set_limits(DayLimits(loss=1_000_00))
        rig.broker.hold(KEY, -100)
        rig.last[INFY.id] = 1_000_00
        await desk.stands(moment)
        assert desk.guard.stop.halted is None
        assert rig.broker.placed == []
        await desk.stands("2026-11-26T09:15:30")
        assert desk.guard.stop.halted is DayBreach.LOSS, "the same once it trades"

    play(script)


def test_what_was_read_at_night_decides_nothing_after_the_opening() -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        rig.broker.hold(KEY, -100)
        rig.last[INFY.id] = 1_000_00
        await desk.stands("2026-11-26T00:10:00")
        rig.clock.set(at("2026-11-26T09:16:00") * SECOND)
        assert desk.day.decisive() is None, "positions have not been read since"
        await rig.state.read_positions()
        assert desk.day.decisive() == -1_00_000_00
        desk.live = False
        assert desk.day.decisive() is None

    play(script)


def test_what_a_carried_position_lost_yesterday_is_no_loss_of_today() -> None:
    """Bought at 200, closed yesterday at 100."""

    async def script(desk: Desk) -> None:
        rig = desk.rig
        key = PositionKey(ACCOUNT, OPTION.id, Product.NRML)
        row = Position(key, 500, Decimal(200), 100_00, 100_00, 500, Decimal(100_000), 0, Decimal(0))
        rig.broker.rows = [replace(row, carried_quantity=500, carried_cost=Decimal(100_000))]
        rig.broker.hold(key, 500)
        rig.last[OPTION.id] = 100_00
        rig.clock.set(at("2026-11-26T09:10:00") * SECOND)
        await desk.guard.set_limits(DayLimits(loss=25_000_00))
        await desk.stands("2026-11-26T09:15:01")
        assert desk.day.now() == (0, 0)
        rig.last[OPTION.id] = 50_05
        await desk.stands("2026-11-26T09:20:00")
        assert desk.guard.stop.halted is None
        rig.last[OPTION.id] = 50_00
        await desk.stands("2026-11-26T09:21:00")
        assert desk.guard.stop.halted_net == -25_000_00

    play(script)


def test_shares_that_were_sold_out_of_demat_lose_nothing_while_they_rise() -> None:
    """A hundred were bought today at 1,000 and sold at 1,010; a thousand more were sold out of the holding."""

    async def script(desk: Desk) -> None:
        rig = desk.rig
        key = PositionKey(ACCOUNT, INFY.id, Product.CNC)
        sold = Position(key, -1_000, Decimal(1010), 1_010_00, 990_00, 100, Decimal(100_000), 1_100, Decimal(1_111_000))
        rig.broker.rows = [sold]
        rig.broker.hold(key, -1_000)
        rig.broker.hold(KEY, 10)
        rig.clock.set(at("2026-11-26T09:10:00") * SECOND)
        await desk.guard.set_limits(DayLimits(loss=25_000_00))
        rig.last[INFY.id] = 1_000_00
        await desk.stands("2026-11-26T10:00:00")
        assert desk.day.now() == (11_000_00, 11_000_00), "1,000 won today, and 10,000 by the other position"
        rig.last[INFY.id] = 1_080_00
        await desk.stands("2026-11-26T11:00:00")
        assert desk.day.now() == (11_800_00, 11_800_00)
        assert desk.guard.stop.halted is None
        assert rig.broker.placed == []

    play(script)


def test_something_that_trades_decides_for_what_is_closed_already() -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        rig.broker.hold(KEY, -100)
        rig.last[INFY.id] = rig.last[OPTION.id] = 1_000_00
        await desk.stands("2026-11-26T15:20:00")
        assert desk.day.decisive() is None, "the share stands in the closing auction"
        rig.broker.hold(PositionKey(ACCOUNT, OPTION.id, Product.NRML), 0)
        await desk.stands("2026-11-26T15:21:00")
        assert desk.day.decisive() == -1_00_000_00

    play(script)


def test_that_it_is_blind_is_said_once_while_something_open_trades_and_again_when_it_is_not() -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        desk.guard.blindness.blind = desk.day.blind
        rig.broker.hold(KEY, 100)
        rig.last[INFY.id] = 1_000_00
        rig.clock.set(at("2026-11-26T09:10:00") * SECOND)
        desk.live = False
        await desk.stands("2026-11-26T11:00:00", 30)
        assert rig.alarms == [], "without limits there is nothing to watch"
        desk.live = True
        await desk.guard.set_limits(DayLimits(loss=1_000_00))
        desk.live = False
        await desk.stands("2026-11-26T11:01:00", 8)
        assert rig.alarms == []
        await desk.stands("2026-11-26T11:02:00", 8)
        assert ["no limit of the day is watched" in alarm for alarm in rig.alarms] == [True]
        desk.live = True
        await desk.stands("2026-11-26T11:03:00")
        over = [e.repeat_key for e in rig.events if isinstance(e, Noticed) and e.level is Level.INFO]
        assert over == [f"day stop blind over:{ACCOUNT}"]
        desk.live = False
        await desk.stands("2026-11-26T15:20:00", 30)  # the share stands in the closing auction
        assert len(rig.alarms) == 1

    play(script)
