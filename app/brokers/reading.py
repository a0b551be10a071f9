"""Long answers made into our types while the loop gets its turn in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, TypeVar

from app.brokers.http import HttpClient

T = TypeVar("T")

SLICE_SECONDS = 0.0003
"""How long rows are mapped before the loop gets its turn: a firing stop waits at most this long for us."""


async def converted(
    http: HttpClient,
    body: bytes | bytearray,
    at: tuple[str, ...],
    convert: Callable[[Any], T],
    kind: type[T] | None = None,
) -> list[T]:
    """The array at a path of keys, each row converted. With the `kind` that `convert` gives, a long array is converted
    in the helper process. Raises BadAnswer."""
    found: list[T] = []
    if kind is not None and http.is_big(body):
        async with aclosing(http.made(body, at, convert, kind)) as made:
            async for rows in made:
                found += rows
        return found
    turn = time.perf_counter() + SLICE_SECONDS
    async with aclosing(http.rows(body, at)) as batches:
        async for batch in batches:
            for row in batch:
                found.append(convert(row))
                if time.perf_counter() > turn:
                    await asyncio.sleep(0)
                    turn = time.perf_counter() + SLICE_SECONDS
    return found
