"""What time it is for one account. Loop thread only.

A paper account lives by its exchange's clock. A live one lives by this machine's while it agrees with the broker's (the
Date header, which is cut to the second), and by the broker's when it does not: a stop counts only prices later than its
arming, so an hour's error would make it deaf for an hour, and that is said aloud. In between time runs on by the
monotonic clock, so that a machine whose clock is set meanwhile changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.brokers.base import ExchangeClockReading, ReadBroker
from app.domain.events import Event, Level, Noticed
from app.domain.ids import AccountId, Nanos
from app.runtime.clock import SECOND, AccountClock, Clock, SystemClock

AGREES: Nanos = 2 * SECOND
"""What may lie between two right clocks of which one tells whole seconds over a network."""
LOUD: Nanos = 30 * SECOND
SLOW: Nanos = 2 * SECOND
"""An answer that took so long does not say what time it is."""
LOOK_SECONDS = 3.0


def difference(reading: Nanos, asked: Nanos, answered: Nanos) -> Nanos | None:
    """How far this machine is ahead of the broker; None where the answer came too late to say. `asked` and `answered`
    by this machine. A time cut to the second shows half a second less than it is, on average."""
    if not 0 <= answered - asked <= SLOW:
        return None
    return (asked + answered) // 2 - (reading + SECOND // 2)


class TimeKeeper:
    """The account's clock and the broker's own."""

    def __init__(self, account: AccountId, publish: Callable[[Event], None], machine: Clock | None = None) -> None:
        self._account = account
        self._publish = publish
        self._machine = machine or SystemClock()
        self.clock = AccountClock()
        """What the account lives by."""
        self.broker = AccountClock()
        """The broker's own, as last read; which day a list is of is never ours to say."""
        self._told = False

    async def read(self, broker: ReadBroker, *, paper: bool) -> ExchangeClockReading:
        """Asks the broker and sets both clocks. Raises AppError."""
        asked = self._machine.now()
        reading = await broker.exchange_clock()
        if paper:
            for clock in (self.broker, self.clock):
                clock.set(reading.now, reading.speed, sleeps=True)
            return reading
        answered = self._machine.now()
        ahead = difference(reading.now, asked, answered)
        if ahead is None:
            self.broker.set(reading.now)
            return reading
        right = answered if abs(ahead) <= AGREES else answered - ahead
        self.broker.set(right)
        self.clock.set(right)
        self._tell(ahead)
        return reading

    async def look(self, broker: ReadBroker, *, paper: bool) -> None:
        """As `read`, within a few seconds. Raises AppError, TimeoutError."""
        async with asyncio.timeout(LOOK_SECONDS):
            await self.read(broker, paper=paper)

    def _tell(self, ahead: Nanos) -> None:
        off = abs(ahead)
        if off <= AGREES:
            self._told = False
            return
        if self._told:
            return
        self._told = True
        self._publish(
            Noticed(
                Level.ALARM if off >= LOUD else Level.WARNING,
                "This machine's clock is wrong",
                f"It is {_words(off)} {'ahead of' if ahead > 0 else 'behind'} the broker's. Stops, timers and syncs of "
                "this account go by the broker's time.",
                "Let this machine keep its time by the network.",
                self._account,
                f"clock:{self._account}",
            )
        )


def _words(off: Nanos) -> str:
    seconds = round(off / SECOND)
    if seconds < 120:
        return f"{seconds} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 7200 else f"{round(seconds / 3600)} hours"
