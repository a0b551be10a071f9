"""Scenes played on a `Rig`, the engine of one account, in a loop that does not wait for the clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.fakes.fast_loop import run
from tests.fakes.trading import INFY, Rig


def play(script: Callable[[Rig], Awaitable[None]]) -> Rig:
    """The rig, after the scene and the end of its tasks."""

    async def scene() -> Rig:
        rig = Rig()
        await script(rig)
        await rig.tasks.stop()
        return rig

    return run(scene())


def play_quoted(script: Callable[[Rig], Awaitable[None]]) -> Rig:
    """The same with INFY last traded at 1,000.00."""

    async def quoted(rig: Rig) -> None:
        rig.last[INFY.id] = 100_000
        await script(rig)

    return play(quoted)
