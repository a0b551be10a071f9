"""How Kite wraps its answers: the JSON envelope, error types with their statuses.

Wire facts: reference A3 (envelope, errors).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from app.simulator.refusal import Refused

INCORRECT_TOKEN = "Incorrect `api_key` or `access_token`."  # noqa: S105 - Kite's words, not a secret


def plan_refused(status: int = 403) -> Refused:
    """An app of the Personal plan asks for market data: not a dead session."""
    return Refused(status, "PermissionException", "Insufficient permission for that call.")


def session_dead(message: str = INCORRECT_TOKEN) -> Refused:
    """403 with TokenException: the pair on which clients end their session."""
    return Refused(403, "TokenException", message)


def success(data: object, status: int = 200) -> web.Response:
    """The envelope around an answer."""
    return json_response({"status": "success", "data": data}, status)


def failure(error: Refused) -> web.Response:
    """The envelope around a refusal: `{"status":"error","message":…,"error_type":…}` with its HTTP status."""
    body = {"status": "error", "message": error.message, "data": error.data, "error_type": error.error_type}
    return json_response(body, error.status, error.headers)


def json_response(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Compact JSON."""
    return web.Response(
        body=json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(errors="replace"),
        status=status,
        content_type="application/json",
        headers=headers,
    )
