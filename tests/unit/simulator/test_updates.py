"""What is on its way to the stream when the day ends is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.simulator.faults import Faults
from app.simulator.updates import Updates

ORDER = {"exchange": "NSE", "tradingsymbol": "SBIN", "order_id": "1"}
NEXT = {**ORDER, "order_id": "2"}


@pytest.mark.parametrize("fault", ["update-delay=0", "update-reorder"])
@pytest.mark.parametrize("ends", [False, True])
async def test_a_late_update_comes_within_its_day_alone(fault: str, ends: bool) -> None:
    sent: list[dict[str, Any]] = []
    day = "2026-11-25"
    updates = Updates(Faults([f"{fault}:count=1"]), sent.append, lambda: day)
    updates.announce(ORDER)
    assert sent == []
    if ends:
        day = "2026-11-26"
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    updates.announce(NEXT)
    came = [update["order_id"] for update in sent]
    assert came == (["2"] if ends else ["1", "2"] if "delay" in fault else ["2", "1"])
