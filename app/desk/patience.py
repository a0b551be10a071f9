"""How long an exit that the trader asked for waits for a reading of the broker's books. Loop thread only.

A stop that is hit waits for none. By hand a moment is given: what was done by phone just now shows in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.domain.errors import AppError, Unreachable

T = TypeVar("T")

READ_SECONDS = 2.0
"""How long a broker may take to tell what there is."""
AGAIN_SECONDS = 0.3


async def patiently(read: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Asked again for so long when it fails. Raises what it failed with last."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        try:
            return await read()
        except AppError:
            if loop.time() >= until:
                raise
        await asyncio.sleep(AGAIN_SECONDS)


async def soon(read: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What a read says within so long. Raises AppError."""
    try:
        async with asyncio.timeout(seconds):
            return await patiently(read, seconds)
    except TimeoutError:
        raise Unreachable(f"The broker did not answer within {seconds:.0f} s.") from None
