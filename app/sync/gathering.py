"""Reads and writes of one run, done together or to the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from app.domain.errors import AppError, BrokerPaused
from app.domain.fill import Fill
from app.domain.sync import DataSet, identified
from app.sync.apply import Fetched


async def together(reads: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """All results, or the first failure after the others were ended. A failure that says why goes before one that only
    says that nothing is asked any more."""
    tasks = [asyncio.ensure_future(read) for read in reads]
    try:
        return await asyncio.gather(*tasks)
    except BrokerPaused:
        done = [task.exception() for task in tasks if task.done() and not task.cancelled()]
        reasons = [why for why in done if isinstance(why, AppError) and not isinstance(why, BrokerPaused)]
        if reasons:
            raise reasons[0] from None
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def whole(work: Coroutine[Any, Any, None]) -> None:
    """Does it to the end, though the caller may be cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def normalised(reported: Sequence[tuple[Fill, str]]) -> list[tuple[Fill, str]]:
    """With names for those that the broker does not number."""
    if await asyncio.to_thread(lambda: all(fill.id.trade_id for fill, _ in reported)):
        return list(reported)
    named = await asyncio.to_thread(identified, [fill for fill, _ in reported])
    return [(fill, words) for fill, (_, words) in zip(named, reported, strict=True)]


def rows_of(fetched: Fetched) -> dict[DataSet, int]:
    """Rows of the data sets that were saved."""
    found: dict[DataSet, int] = {}
    if fetched.fills is not None:
        found[DataSet.TRADES] = len(fetched.fills)
    if fetched.positions is not None:
        found[DataSet.POSITIONS] = len(fetched.positions)
    if fetched.holdings is not None:
        found[DataSet.HOLDINGS] = len(fetched.holdings)
    if fetched.funds is not None:
        found[DataSet.FUNDS] = 1
    return found
