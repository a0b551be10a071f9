"""Whose clock an account goes by: this machine's while it is right, the broker's when it is not."""

from __future__ import annotations

import time
from typing import cast

import pytest

from app.brokers.base import ExchangeClockReading, ReadBroker
from app.desk.timekeeper import SLOW, TimeKeeper
from app.domain.events import Event, Level, Noticed
from app.domain.ids import AccountId, Nanos
from app.runtime.clock import SECOND

NOON: Nanos = 1_795_156_200 * SECOND
HOUR = 3600 * SECOND


class Machine:
    """This machine's clock, and the broker's, which tells whole seconds."""

    def __init__(self, ahead: Nanos) -> None:
        self.true = NOON + SECOND // 3
        self.ahead = ahead
        self.takes: Nanos = SECOND // 10

    def now(self) -> Nanos:
        return self.true + self.ahead

    async def exchange_clock(self) -> ExchangeClockReading:
        said = (self.true + self.takes // 2) // SECOND * SECOND
        self.true += self.takes
        return ExchangeClockReading(said)


def kept(machine: Machine) -> tuple[TimeKeeper, list[Event]]:
    heard: list[Event] = []
    return TimeKeeper(AccountId("zerodha-A"), heard.append, machine), heard


async def read(keeper: TimeKeeper, machine: Machine) -> None:
    await keeper.read(cast("ReadBroker", machine), paper=False)


@pytest.mark.parametrize("ahead", [0, SECOND, -SECOND])
async def test_a_clock_that_is_right_is_gone_by(ahead: Nanos) -> None:
    machine = Machine(ahead)
    keeper, heard = kept(machine)
    await read(keeper, machine)
    assert abs(keeper.clock.now() - machine.now()) < SECOND // 2
    assert heard == []


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (HOUR, Level.ALARM, "It is 60 minutes ahead of the broker's."),
        (-HOUR, Level.ALARM, "It is 60 minutes behind the broker's."),
        (26 * HOUR, Level.ALARM, "It is 26 hours ahead"),
        (-5 * SECOND, Level.WARNING, "seconds behind"),
    ],
)
async def test_a_clock_that_is_wrong_is_put_right_and_said_once(ahead: Nanos, level: Level, words: str) -> None:
    machine = Machine(ahead)
    keeper, heard = kept(machine)
    await read(keeper, machine)
    await read(keeper, machine)
    assert abs(keeper.clock.now() - machine.true) < SECOND
    assert abs(keeper.broker.now() - machine.true) < SECOND
    (notice,) = heard
    assert isinstance(notice, Noticed)
    assert notice.level is level
    assert words in notice.cause
    machine.ahead = 0
    await read(keeper, machine)
    machine.ahead = ahead
    await read(keeper, machine)
    assert len(heard) == 2  # wrong again, said again


async def test_a_clock_that_is_set_while_the_program_runs_moves_no_account() -> None:
    machine = Machine(0)
    keeper, heard = kept(machine)
    await read(keeper, machine)
    machine.ahead = HOUR
    assert abs(keeper.clock.now() - machine.true) < SECOND // 2
    assert heard == []


async def test_the_time_of_an_exchange_on_this_machine_stands_still_while_it_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A paper account woke in a time that its exchange had not reached: its session was taken for over."""
    machine = Machine(0)
    keeper, _ = kept(machine)
    slept = 0
    monkeypatch.setattr("app.runtime.clock.since_boot", lambda: time.monotonic_ns() + slept)
    await keeper.read(cast("ReadBroker", machine), paper=True)
    slept = 20 * HOUR
    for clock in (keeper.clock, keeper.broker):
        assert 0 <= clock.now() - NOON < HOUR
    await read(keeper, machine)
    slept = 30 * HOUR
    assert keeper.clock.now() - NOON > 9 * HOUR, "a real one has gone on"


async def test_an_answer_that_took_too_long_says_nothing() -> None:
    machine = Machine(0)
    keeper, heard = kept(machine)
    await read(keeper, machine)
    before = keeper.clock.now()
    machine.takes = SLOW + SECOND
    machine.ahead = HOUR
    await read(keeper, machine)
    assert abs(keeper.clock.now() - before) < SECOND
    assert heard == []
