"""Rows are let go while others have their turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.runtime.letting_go import SOME, let_go


@pytest.mark.parametrize("rows", [list(range(4 * SOME + 1)), {n: str(n) for n in range(4 * SOME + 1)}, [], {}])
async def test_others_have_their_turn_until_nothing_is_left(rows: list[Any] | dict[Any, Any]) -> None:
    count, seen = len(rows), []

    async def other() -> None:
        while rows:
            seen.append(len(rows))
            await asyncio.sleep(0)

    await asyncio.gather(let_go(rows), other())
    assert not rows
    assert len(seen) == -(-count // SOME) - (count > 0), "once for each part that was left"
