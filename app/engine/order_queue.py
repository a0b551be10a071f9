"""Who may send next: a broker's limits on orders, and exits before everything else. Loop thread only.

A broker takes so many requests about orders a second and answers more with a refusal. Two of them are kept for exits.
What the hot path writes waits for nothing but the broker's own second, and keeps its own order (`volley`). The longer
limits (a minute, a day) hold back entries and the trader's hand, with a tenth kept for exits, of which half is open to
the orders that rest behind stops; an exit they never hold back.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence

from app.domain.broker import RateLimit
from app.domain.calendar import ist_day
from app.domain.errors import Denied
from app.domain.ids import Nanos, OrderId
from app.domain.order import Purpose
from app.runtime.clock import SECOND, Clock

KEPT = 2
"""Requests of each second that only exits may use."""
LATENESS = 0.1
"""Seconds added to a short window: requests overtake each other on the way, and the broker counts calendar seconds."""
SHORT = 5
"""Seconds. A window up to this is waited for; a longer one that is used up is a refusal."""
PATIENCE = 10.0
"""Seconds that somebody waits for a longer window before it is a refusal."""
DAY = 86_400
TELL_SECONDS = 0.2
"""How often those who wait are told their place."""

_RANK = {purpose: rank for rank, purpose in enumerate(Purpose)}
"""As they are listed."""


class _Window:
    """Requests of the last seconds, against one limit."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.short = limit.seconds <= SHORT
        self._seconds = limit.seconds + (LATENESS if self.short else 0.0)
        self.kept = min(KEPT if self.short else max(KEPT, limit.amount // 10), limit.amount - 1)
        self._times: deque[float] = deque()

    def covers(self, placing: bool) -> bool:
        """Whether such a request counts here."""
        return placing or self.limit.kind == "order"

    def full(self, now: float) -> bool:
        """Not even an exit has room."""
        times, most = self._times, self.limit.amount
        return len(times) >= most and times[-most] > now - self._seconds

    def count(self, now: float) -> None:
        self._times.append(now)
        self.used(now)  # what no longer counts goes here, after the write, and not before it

    def used(self, now: float) -> int:
        """Requests that still count."""
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        return len(self._times)

    def wait(self, now: float, purpose: Purpose, unsent: int = 0) -> float:
        """Seconds until one more fits. `unsent`: so many exits wait for this window."""
        if purpose.closes and not self.short:
            return 0.0
        used = self.used(now)
        withheld = self._withheld(purpose) + (unsent if purpose is not Purpose.EXIT else 0)
        room = max(self.limit.amount - withheld, 0)
        if used < room:
            return 0.0
        return self._frees(min(used - room, used - 1), now) if used else LATENESS

    def _frees(self, place: int, now: float) -> float:
        """Seconds until the request at this place in the window counts no more."""
        return self._times[place] + self._seconds - now

    def _withheld(self, purpose: Purpose) -> int:
        """Of the requests that are kept for exits, those that this one may not use."""
        if purpose.closes:
            return 0
        return self.kept // 2 if purpose is Purpose.PROTECT and not self.short else self.kept


class _Day(_Window):
    """Requests of today: the count begins anew at midnight, as the broker's does."""

    def __init__(self, limit: RateLimit, clock: Clock) -> None:
        super().__init__(limit)
        self._clock = clock
        self._day: tuple[Nanos, Nanos] = (0, 0)

    def count(self, now: float) -> None:
        self.used(now)
        self._times.append(now)

    def used(self, now: float) -> int:
        del now
        first, last = self._day
        if not first <= self._clock.now() < last:
            self._day = ist_day(self._clock.now())
            self._times.clear()
        return len(self._times)

    def _frees(self, place: int, now: float) -> float:
        del place, now
        return (self._day[1] - self._clock.now()) / SECOND


class _Waiting:
    """Somebody in the queue."""

    __slots__ = ("ahead", "name", "placing", "purpose", "rank", "tell", "turn")

    def __init__(
        self,
        rank: tuple[int, int],
        purpose: Purpose,
        placing: bool,
        tell: Callable[[int], None] | None,
        name: OrderId | None,
    ) -> None:
        self.rank = rank
        self.purpose = purpose
        self.placing = placing
        self.tell = tell
        self.name = name
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ahead = -1

    def __lt__(self, other: _Waiting) -> bool:
        return self.rank < other.rank


class OrderQueue:
    """One account's requests about orders, in the order in which they may leave."""

    def __init__(self, limits: Callable[[], Sequence[RateLimit]], clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._known: list[_Window] | None = None
        self._waiting: list[_Waiting] = []
        self._number = 0
        self._held_until = 0.0
        self.unsent = 0
        """Exits of the hot path that wait for the broker's next second. Whatever is no exit leaves them room."""
        self._alarm: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> set[OrderId | None]:
        """The names of those that have not left."""
        return {one.name for one in self._waiting}

    def used(self) -> dict[int, tuple[int, int]]:
        """By the length of each window in seconds: requests that count now, and how many the broker takes."""
        now = _now()
        return {window.limit.seconds: (window.used(now), window.limit.amount) for window in self._windows}

    def count(self, requests: int = 1, *, placing: bool = True) -> None:
        """So many have left by the hot path, which waits for nobody here."""
        now = _now()
        for window in self._windows:
            if window.covers(placing):
                for _ in range(requests):
                    window.count(now)

    def exit_wait(self) -> float:
        """Seconds until an exit of the hot path may leave without being refused: 0 almost always."""
        wait, now = 0.0, _now()
        for window in self._known or self._windows:
            if window.short and window.full(now):
                wait = max(wait, window.wait(now, Purpose.EXIT))
        return wait

    def listed(self, today: int) -> None:
        """The broker's list of today has so many orders, from whatever program: the day's count is at least that."""
        now = _now()
        for window in self._windows:
            if window.limit.seconds >= DAY:
                for _ in range(today - window.used(now)):
                    window.count(now)

    def hold(self, seconds: float) -> None:
        """The broker said "too many": everybody but exits waits so long."""
        self._held_until = max(self._held_until, _now() + seconds)

    def take_back(self, name: OrderId) -> bool:
        """Who waits by this name gets Denied instead of its turn. False: nobody does (any more)."""
        waiting = next((one for one in self._waiting if one.name == name and not one.turn.done()), None)
        if waiting is None:
            return False
        waiting.turn.set_exception(Denied("Taken back before it was sent."))
        return True

    async def turn(
        self,
        purpose: Purpose,
        *,
        placing: bool,
        tell: Callable[[int], None] | None = None,
        name: OrderId | None = None,
    ) -> None:
        """Returns when the caller may send, and has counted it. `tell` hears how many are ahead while it waits.

        Raises Denied when a minute's or a day's requests are used up; never of an exit.
        """
        self._deny(purpose, placing)
        if not self._waiting and self._wait(purpose, placing) <= 0:
            self.count(placing=placing)
            return
        self._number += 1
        waiting = _Waiting((_RANK[purpose], self._number), purpose, placing, tell, name)
        insort(self._waiting, waiting)
        self._pump()
        self._tell()
        try:
            await waiting.turn
        finally:
            if waiting in self._waiting:  # its caller gave up
                self._waiting.remove(waiting)
                self._pump()

    @property
    def _windows(self) -> list[_Window]:
        if self._known is None:
            counted = [limit for limit in self._limits() if limit.kind in ("order", "placement")]
            self._known = [_Day(one, self._clock) if one.seconds >= DAY else _Window(one) for one in counted]
        return self._known

    def _wait(self, purpose: Purpose, placing: bool) -> float:
        now = _now()
        held = 0.0 if purpose.closes else self._held_until - now
        return max(held, *(w.wait(now, purpose, self.unsent) for w in self._windows if w.covers(placing)), 0.0)

    def _deny(self, purpose: Purpose, placing: bool) -> None:
        now = _now()
        for window in self._windows:
            if window.short or not window.covers(placing):
                continue
            wait = window.wait(now, purpose)
            if wait > PATIENCE:
                amount, span = window.limit.amount, _span(window.limit.seconds)
                raise Denied(
                    f"The broker takes {amount} orders {span}, and {window.used(now)} are used.",
                    f"The last {window.kept} are kept for exits; try again in {_minutes(wait)}.",
                )

    def _pump(self) -> None:
        """Lets go whoever may, first the first; then sleeps until the next one may."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while self._waiting:
            first = self._waiting[0]
            wait = self._wait(first.purpose, first.placing)
            if wait > 0:
                self._alarm = asyncio.get_running_loop().call_later(wait, self._pump)
                return
            self._waiting.pop(0)
            self.count(placing=first.placing)
            if not first.turn.done():
                first.turn.set_result(None)
            self._tell_soon()

    def _tell_soon(self) -> None:
        if self._telling is None and self._waiting:
            self._telling = asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        for ahead, waiting in enumerate(self._waiting):
            if waiting.ahead != ahead:
                waiting.ahead = ahead
                if waiting.tell is not None:
                    waiting.tell(ahead)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _span(seconds: int) -> str:
    names = {60: "a minute", 1_800: "in half an hour", 86_400: "a day"}
    return names.get(seconds, f"in {seconds} s")


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
