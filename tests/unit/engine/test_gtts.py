"""Triggers at the broker (GTT) as the trader asks for them: what the broker did is so, whatever the disk says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from app.domain.gtt import GttLeg, GttRequest
from app.domain.instrument import Product
from app.domain.order import Side
from tests.fakes.trading import ACCOUNT, INFY, Rig
from tests.unit.engine.rigged import play_quoted as play

LEG = GttLeg(98_000, Side.BUY, 10, Product.CNC, 98_500)
REQUEST = GttRequest(ACCOUNT, INFY.id, 100_000, (LEG,))


def then_the_disk_fills(rig: Rig, method: str) -> None:
    """In the moment in which the broker does it."""
    done: Callable[..., Awaitable[Any]] = getattr(rig.broker, method)

    async def at_the_broker(*arguments: Any) -> Any:
        rig.journal.broken = True
        return await done(*arguments)

    setattr(rig.broker, method, at_the_broker)


def test_what_the_broker_did_with_a_trigger_is_so_on_a_full_disk_too_and_written_later() -> None:
    async def script(rig: Rig) -> None:
        for method in ("place_gtt", "modify_gtt", "delete_gtt"):
            then_the_disk_fills(rig, method)
        number = await rig.orders.gtts.place(REQUEST, INFY)
        await rig.orders.gtts.modify(number, REQUEST, INFY)
        await rig.orders.gtts.delete(number)
        assert [line.what for line in rig.journal.lines] == ["submitted"]
        rig.journal.broken = False
        await asyncio.sleep(5)
        assert [line.what for line in rig.journal.lines] == ["submitted", "placed", "changed", "deleted"]

    play(script)
