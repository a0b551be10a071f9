"""Exits before entries, room that only exits may use, and limits that hold back everybody but them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.domain.broker import RateLimit
from app.domain.errors import Denied
from app.domain.ids import OrderId
from app.domain.order import Purpose
from app.engine.order_queue import OrderQueue
from app.runtime.clock import SECOND, AccountClock
from tests.fakes.fast_loop import run, settle

TEN = RateLimit("order", 10, 1)
ENTRY, MANUAL, PROTECT, EXIT = Purpose.ENTRY, Purpose.MANUAL, Purpose.PROTECT, Purpose.EXIT


class Counter:
    """Requests of named callers, with the second in which each left."""

    def __init__(self, *limits: RateLimit) -> None:
        self.clock = AccountClock()
        self.clock.set(1_700_000_000 * SECOND)  # 03:43 IST
        self.queue = OrderQueue(lambda: limits, self.clock)
        self.left: list[tuple[str, float]] = []
        self.places: dict[str, list[int]] = {}
        self.began = asyncio.get_running_loop().time()

    async def ask(self, name: str, purpose: Purpose, *, placing: bool = True) -> None:
        await self.queue.turn(purpose, placing=placing, tell=self.places.setdefault(name, []).append)
        self.left.append((name, asyncio.get_running_loop().time() - self.began))

    def start(self, purpose: Purpose, count: int) -> Sequence[asyncio.Task[None]]:
        return [asyncio.ensure_future(self.ask(f"{purpose}{n}", purpose)) for n in range(count)]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.left]


def test_two_of_ten_a_second_are_kept_for_exits() -> None:
    async def scene() -> None:
        counter = Counter(TEN)
        entries = counter.start(ENTRY, 12)
        await settle()
        assert len(counter.left) == 8
        exits = counter.start(EXIT, 2)
        await settle()
        assert counter.names[8:] == ["exit0", "exit1"]
        assert {at for _, at in counter.left} == {0.0}
        await asyncio.gather(*entries, *exits)
        assert counter.left[10][1] > 1.0

    run(scene())


def test_exits_go_first_then_what_rests_behind_stops_then_the_hand_then_strategies() -> None:
    async def scene() -> None:
        counter = Counter(TEN)
        first = counter.start(ENTRY, 8)
        await settle()
        waiting = [task for purpose in (ENTRY, MANUAL, PROTECT, EXIT) for task in counter.start(purpose, 4)]
        await asyncio.gather(*first, *waiting)
        kinds = [name.rstrip("0123456789") for name in counter.names[8:]]
        assert kinds == [kind for kind in ("exit", "protect", "manual", "entry") for _ in range(4)]
        assert counter.names[8:12] == ["exit0", "exit1", "exit2", "exit3"]

    run(scene())


def test_never_more_than_the_broker_takes_in_any_second() -> None:
    async def scene() -> None:
        counter = Counter(TEN)
        await asyncio.gather(*counter.start(ENTRY, 40), *counter.start(EXIT, 40))
        times = sorted(at for _, at in counter.left)
        assert len(times) == 80
        assert all(later - earlier >= 1.0 for earlier, later in zip(times, times[10:], strict=False))

    run(scene())


def test_what_the_hot_path_wrote_counts_and_did_not_wait() -> None:
    async def scene() -> None:
        counter = Counter(TEN)
        counter.queue.count(15)
        assert counter.queue.used()[1] == (15, 10)
        await counter.ask("exit", EXIT)
        assert counter.left[0][1] > 1.0

    run(scene())


def test_who_waits_hears_how_many_are_ahead() -> None:
    async def scene() -> None:
        counter = Counter(TEN)
        tasks = counter.start(ENTRY, 11)
        await settle()
        assert [counter.places[f"entry{n}"] for n in (7, 8, 9, 10)] == [[], [0], [1], [2]]
        more = counter.start(EXIT, 3)
        await settle()
        assert counter.places["entry8"] == [0, 1], "one exit waits in front of it"
        await asyncio.gather(*tasks, *more)
        assert len(counter.queue) == 0

    run(scene())


def test_what_waits_can_be_taken_back_and_what_has_left_cannot() -> None:
    async def scene() -> None:
        counter = Counter(TEN)
        crowd = counter.start(MANUAL, 9)
        name = OrderId("M1")
        mine = asyncio.ensure_future(counter.queue.turn(MANUAL, placing=True, name=name))
        await settle()
        assert counter.queue.take_back(name)
        with pytest.raises(Denied, match="Taken back before it was sent"):
            await mine
        assert not counter.queue.take_back(name)
        await asyncio.gather(*crowd)
        assert len(counter.left) == 9

    run(scene())


def test_who_gives_up_leaves_the_queue_to_the_others() -> None:
    async def scene() -> None:
        counter = Counter(TEN)
        counter.queue.count(10)
        gone, stays = counter.start(EXIT, 2)
        await settle()
        gone.cancel()
        await stays
        assert counter.names == ["exit1"]

    run(scene())


def test_a_used_up_minute_is_refused_in_words_and_never_to_an_exit() -> None:
    async def scene() -> None:
        counter = Counter(RateLimit("order", 1_000, 1), RateLimit("placement", 20, 60))
        await asyncio.gather(*counter.start(ENTRY, 18))
        with pytest.raises(Denied, match="takes 20 orders a minute, and 18 are used"):
            await counter.ask("entry", ENTRY)
        await counter.ask("change", MANUAL, placing=False)
        await asyncio.gather(*counter.start(EXIT, 30))
        assert counter.left[-1][1] == 0.0
        assert counter.queue.used()[60] == (48, 20)
        await asyncio.sleep(60)
        await counter.ask("entry", ENTRY)

    run(scene())


def test_what_rests_behind_stops_may_use_half_of_what_a_day_keeps_for_exits_and_nothing_of_a_seconds_two() -> None:
    async def scene() -> None:
        counter = Counter(TEN, RateLimit("placement", 100, 86_400))
        counter.queue.listed(95 - 8)
        await asyncio.gather(*counter.start(PROTECT, 8))
        asked = asyncio.ensure_future(counter.ask("exit", EXIT))
        await settle()
        assert asked.done(), "the second's last two are the exits'"
        with pytest.raises(Denied, match="a day"):
            await counter.ask("protect", PROTECT)
        await counter.ask("exit", EXIT)

    run(scene())


def test_orders_of_other_programs_count_for_the_day() -> None:
    async def scene() -> None:
        counter = Counter(RateLimit("placement", 100, 86_400))
        counter.queue.listed(95)
        counter.queue.listed(95)
        assert counter.queue.used()[86_400] == (95, 100)
        with pytest.raises(Denied, match="a day"):
            await counter.ask("entry", ENTRY)
        await counter.ask("exit", EXIT)

    run(scene())


def test_a_new_day_begins_its_orders_anew_at_midnight() -> None:
    async def scene() -> None:
        counter = Counter(RateLimit("placement", 100, 86_400))
        counter.clock.set(1_700_028_000 * SECOND)  # 11:30
        counter.queue.listed(95)
        with pytest.raises(Denied, match="try again in 750 minutes"):
            await counter.ask("entry", ENTRY)
        counter.clock.set(1_700_073_000 * SECOND)  # midnight
        await counter.ask("entry", ENTRY)
        assert counter.queue.used()[86_400] == (1, 100)

    run(scene())


def test_after_too_many_everybody_but_exits_waits() -> None:
    async def scene() -> None:
        counter = Counter(TEN)
        counter.queue.hold(1.0)
        await asyncio.gather(counter.ask("hand", MANUAL), counter.ask("exit", EXIT))
        assert [(name, at >= 1.0) for name, at in counter.left] == [("exit", False), ("hand", True)]

    run(scene())


def test_another_price_for_an_exit_waits_for_exits_that_are_not_out_at_all() -> None:
    async def scene() -> None:
        counter = Counter(TEN)
        counter.queue.count(4)
        counter.queue.unsent = 6
        changes = counter.start(Purpose.REPRICE, 2)
        cancel = counter.start(EXIT, 1)
        await settle()
        assert counter.names == ["exit0"], "room for six is kept, and a cancel is as urgent as they are"
        counter.queue.count(5)
        counter.queue.unsent = 0
        await asyncio.gather(*changes, *cancel)
        assert [round(at, 1) for _, at in counter.left[1:]] == [1.1, 1.1]

    run(scene())


def test_another_price_for_an_exit_may_use_what_is_kept_for_exits() -> None:
    async def scene() -> None:
        counter = Counter(TEN)
        hand = counter.start(MANUAL, 9)
        changes = counter.start(Purpose.REPRICE, 2)
        await settle()
        assert counter.names == [*(f"manual{n}" for n in range(8)), "reprice0", "reprice1"]
        await asyncio.gather(*hand, *changes)

    run(scene())
