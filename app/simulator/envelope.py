"""How Kite wraps its answers: the JSON envelope, error types with their statuses, and how numbers and times print.

Wire facts: reference A1 (scalars, date-times) and A3 (envelope, errors).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from aiohttp import web

INCORRECT_TOKEN = "Incorrect `api_key` or `access_token`."  # noqa: S105 - Kite's words, not a secret


class KiteError(Exception):
    """A refusal in Kite's words: becomes `{"status":"error","message":…,"error_type":…}` with its HTTP status."""

    def __init__(
        self,
        status: int,
        error_type: str,
        message: str,
        *,
        data: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message
        self.data = data
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON object of the answer."""
        return {"status": "error", "message": self.message, "data": self.data, "error_type": self.error_type}


def bad_input(message: str) -> KiteError:
    """A missing or bad parameter."""
    return KiteError(400, "InputException", message)


def session_dead(message: str = INCORRECT_TOKEN) -> KiteError:
    """403 with TokenException: the pair on which clients end their session."""
    return KiteError(403, "TokenException", message)


def success(data: object, status: int = 200) -> web.Response:
    """The envelope around an answer."""
    return json_response({"status": "success", "data": data}, status)


def failure(error: KiteError) -> web.Response:
    """The envelope around a refusal."""
    return json_response(error.body(), error.status, error.headers)


def json_response(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Compact JSON."""
    return web.Response(
        body=json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def rupees(paise: int) -> int | float:
    """A price as Kite prints it: whole rupees without a point (`1075`), others as the shortest float (`1074.35`)."""
    whole, rest = divmod(paise, 100)
    return paise / 100 if rest else whole


def number(value: Decimal | Fraction | float) -> int | float:
    """Any other figure: unrounded double, whole numbers without a point."""
    as_float = float(value)
    return int(as_float) if as_float.is_integer() and abs(as_float) < 1e15 else as_float


def stamp(moment: datetime) -> str:
    """Wall time in India, naive, to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")
