"""Which of two lost connections dials first."""

from __future__ import annotations

import asyncio
from functools import partial

from app.brokers.redial import Redial
from app.domain.errors import Unreachable
from tests.fakes.fast_loop import run


def test_the_connection_that_stops_hang_on_dials_before_the_others() -> None:
    """A broker that still counts a dead connection takes one of the two."""

    async def scene() -> None:
        dials: list[str] = []
        lost = asyncio.Event()

        async def connect(name: str) -> Exception:
            dials.append(name)
            await lost.wait()
            return Unreachable("The connection was lost.")

        other = Redial(partial(connect, "other"), lambda _cause: None, "other", behind=True)
        guarding = Redial(partial(connect, "guarding"), lambda _cause: None, "guarding")
        for dial in (other, guarding):
            dial.set_urgent(True)
            dial.start()
        for _ in range(30):
            await asyncio.sleep(5)
            assert sorted(dials) == ["guarding", "other"]
            dials.clear()
            lost.set()
            await asyncio.sleep(0.01)
            lost.clear()
            await asyncio.sleep(5)
            assert dials == ["guarding", "other"]
        await other.stop()
        await guarding.stop()

    run(scene())
