"""What a request carries: a JSON body, numbers of a query. Raises Refused for what cannot be read."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

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
        return json.loads(await request.text(), parse_float=Decimal)
    except ValueError:
        raise refuse(INVALID_INPUT, "Invalid Input") from None


def decimal_of(text: str, path: str) -> Decimal:
    """A number of a query. Raises Refused."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise refuse(INVALID_INPUT, f"Invalid {path}", path=path, value=text) from None
    if not value.is_finite():
        raise refuse(INVALID_INPUT, f"Invalid {path}", path=path, value=text)
    return value
