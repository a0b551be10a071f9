from __future__ import annotations

import asyncio

import pytest

from app.brokers import pacing
from app.brokers.pacing import Window
from app.brokers.zerodha.rest import Limits
from tests.fakes.fast_loop import run


class Hands:
    """Time that only passes in sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept = seconds


class LoopTime:
    """Time as the running loop has it."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(pacing, "time", hands)
    monkeypatch.setattr(asyncio, "sleep", hands.sleep)
    return hands


async def wait_of(window: Window, hands: Hands, *, urgent: bool = False) -> float:
    hands.slept = 0.0
    await window.turn(urgent=urgent)
    return round(hands.slept, 6)


async def test_no_window_of_a_second_sees_more_than_the_limit(hands: Hands) -> None:
    window = Window(3)
    leaves = []
    for _ in range(20):
        leaves.append(hands.now + await wait_of(window, hands))
        hands.now += 0.11
    for start in leaves:
        assert sum(start <= at < start + 0.999 for at in leaves) <= 3
    assert leaves == sorted(leaves)
    assert leaves[-1] - leaves[0] < 7.0


def test_urgent_calls_pass_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "time", LoopTime)

    async def scene() -> tuple[list[float], list[float]]:
        window = Window(10, kept=2)
        begun = LoopTime.monotonic()

        async def leaves(*, urgent: bool) -> float:
            await window.turn(urgent=urgent)
            return round(LoopTime.monotonic() - begun, 6)

        ordinary = [asyncio.ensure_future(leaves(urgent=False)) for _ in range(10)]
        await asyncio.sleep(0)
        urgent = await asyncio.gather(*(leaves(urgent=True) for _ in range(3)))
        return await asyncio.gather(*ordinary), urgent

    assert run(scene()) == ([0.0] * 8 + [1.0] * 2, [0.0, 0.0, 1.0])


async def test_several_urgent_calls_that_wait_leave_one_after_the_other(hands: Hands) -> None:
    window = Window(3, kept=1)
    for _ in range(3):
        await window.turn(urgent=True)
        hands.now += 0.1
    assert [await wait_of(window, hands, urgent=True) for _ in range(4)] == [0.7, 0.8, 0.9, 1.7]


def test_who_is_passed_waits_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second sees more calls than the broker takes, however many pass those that wait."""
    left: list[float] = []
    monkeypatch.setattr(pacing, "time", LoopTime)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        window = Window(3, kept=1)

        async def call(*, urgent: bool) -> None:
            await window.turn(urgent=urgent)
            left.append(round(loop.time(), 6))

        calls = [asyncio.ensure_future(call(urgent=False)) for _ in range(5)]
        for _ in range(8):
            await asyncio.sleep(0.15)
            calls.append(asyncio.ensure_future(call(urgent=True)))
        await asyncio.gather(*calls)

    run(scene())
    assert len(left) == 13
    assert all(sum(start <= at < start + 0.999 for at in left) <= 3 for start in left)


async def test_what_is_long_past_does_not_count(hands: Hands) -> None:
    window = Window(2)
    assert [await wait_of(window, hands) for _ in range(2)] == [0.0, 0.0]
    hands.now += 1.0
    assert await wait_of(window, hands) == 0.0


async def test_what_is_used_of_a_window_is_told(hands: Hands) -> None:
    window = Window(10, 60.0)
    for _ in range(5):
        await window.turn(urgent=True)
        hands.now += 1
    assert window.used == 0.5
    hands.now += 57
    assert window.used == 0.2


@pytest.mark.parametrize(("kind", "limit"), [("quotes", 1), ("history", 3), ("reads", 9)])
async def test_the_keys_limits_stay_below_what_the_broker_counts_in_a_second(
    hands: Hands, kind: str, limit: int
) -> None:
    window: Window = getattr(Limits(), kind)
    leaves = [hands.now + await wait_of(window, hands) for _ in range(3 * limit)]
    for start in leaves:
        assert sum(start <= at < start + 1.05 for at in leaves) <= limit
