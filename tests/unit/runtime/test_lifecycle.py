from __future__ import annotations

import asyncio

import pytest

from app.domain.errors import Cancelled, Unreachable
from app.runtime.lifecycle import Lifecycle, StartFailed, Step


class Diary:
    """What was started and stopped, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, name: str, **more: float) -> Step:
        async def start() -> None:
            self.lines.append(f"+{name}")

        async def stop() -> None:
            self.lines.append(f"-{name}")

        return Step(name, start, stop, **more)


async def hang() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise Unreachable("The broker does not answer.")


async def test_steps_start_in_order_and_stop_in_reverse() -> None:
    diary = Diary()
    life = Lifecycle([diary.step("log"), diary.step("store"), diary.step("feeds")])
    await life.start()
    await life.stop()
    assert diary.lines == ["+log", "+store", "+feeds", "-feeds", "-store", "-log"]


async def test_a_step_added_later_starts_with_the_next_start() -> None:
    diary = Diary()
    life = Lifecycle([diary.step("window")])
    await life.start()
    life.add(diary.step("engine"))
    await life.start()
    await life.stop()
    assert diary.lines == ["+window", "+engine", "-engine", "-window"]


async def test_stopping_twice_at_once_stops_each_step_once() -> None:
    diary = Diary()
    life = Lifecycle([diary.step("a"), diary.step("b")])
    await life.start()
    await asyncio.gather(life.stop(), life.stop())
    await life.stop()
    assert diary.lines == ["+a", "+b", "-b", "-a"]


async def test_a_failed_start_stops_what_was_started_and_tells_why() -> None:
    diary = Diary()
    broken = diary.step("broken")
    life = Lifecycle([diary.step("a"), Step("broken", fail, broken.stop), diary.step("never")])
    with pytest.raises(Unreachable, match="does not answer"):
        await life.start()
    assert diary.lines == ["+a", "-broken", "-a"]


async def test_a_start_that_hangs_is_named() -> None:
    diary = Diary()
    life = Lifecycle([diary.step("a"), Step("feeds", hang, start_within=0.01)])
    with pytest.raises(StartFailed, match=r"feeds did not start within 0\.01 s"):
        await life.start()
    assert diary.lines == ["+a", "-a"]


@pytest.mark.expects_log("did not stop in time.*feeds")
@pytest.mark.expects_log("failed to stop.*broker")
async def test_a_step_that_will_not_stop_does_not_keep_the_others_running() -> None:
    diary = Diary()
    life = Lifecycle([diary.step("store"), Step("broker", stop=fail), Step("feeds", stop=hang, stop_within=0.01)])
    await life.start()
    await life.stop()
    assert diary.lines == ["+store", "-store"]


async def test_closing_while_starting_cuts_the_start_short() -> None:
    diary = Diary()
    reached = asyncio.Event()

    async def slow() -> None:
        reached.set()
        await hang()

    life = Lifecycle([diary.step("a"), Step("slow", slow, diary.step("slow").stop), diary.step("never")])
    starting = asyncio.create_task(life.start())
    await reached.wait()
    await life.stop()
    with pytest.raises(Cancelled):
        await starting
    assert diary.lines == ["+a", "-slow", "-a"]


async def test_nothing_starts_after_the_stop() -> None:
    diary = Diary()
    life = Lifecycle([diary.step("a")])
    await life.stop()
    with pytest.raises(Cancelled):
        await life.start()
    assert diary.lines == []
