"""What a request carries: a JSON body, numbers of a query. Raises Refused for what cannot be read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from aiohttp import web

from app.simulator.bodies import decimal_number, json_value, text_of
from app.simulator.upstox.envelope import INVALID_INPUT, refuse


async def json_of(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request; numbers with a point as Decimal."""
    document = await any_json(request)
    if not isinstance(document, dict):
        raise refuse(INVALID_INPUT, "Invalid Input")
    return document


async def any_json(request: web.Request) -> object:
    """Whatever JSON the body is. Raises Refused."""
    try:
        return json_value(await text_of(request), exact=True)
    except ValueError:
        raise refuse(INVALID_INPUT, "Invalid Input") from None


def decimal_of(text: str, path: str) -> Decimal:
    """A number of a query. Raises Refused."""
    try:
        return decimal_number(text)
    except ValueError:
        raise refuse(INVALID_INPUT, f"Invalid {path}", path=path, value=text) from None
