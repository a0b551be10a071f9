"""How Upstox wraps its answers: the success envelope, the list of errors with their codes (B5).

A refusal carries its code in `error_type`. What the core refuses in its own words is translated here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from app.simulator.refusal import Refused

UNSUPPORTED = "UDAPI10000"
TOO_MANY = "UDAPI10005"
INVALID_TOKEN = "UDAPI100050"  # noqa: S105 - an error code
NOT_FOUND = "UDAPI100060"
INVALID_INPUT = "UDAPI100036"
SERVER_ERROR = "UDAPI100500"

_OF_STATUS = {400: INVALID_INPUT, 401: INVALID_TOKEN, 404: NOT_FOUND, 405: UNSUPPORTED, 429: TOO_MANY}
_OF_KIND = {
    "InputException": INVALID_INPUT,
    "OrderException": INVALID_INPUT,
    "MarginException": INVALID_INPUT,
    "HoldingException": INVALID_INPUT,
}


def refuse(code: str, message: str, status: int = 400, *, path: str | None = None, value: object = None) -> Refused:
    """A refusal with its code, and the property that it is about."""
    return Refused(status, code, message, data={"property_path": path, "invalid_value": value})


def kind(status: int) -> str:
    """The code that goes with an HTTP status when nothing more is known."""
    return _OF_STATUS.get(status, SERVER_ERROR)


def code_of(refused: Refused) -> str:
    """Its code; the core's own kinds are input errors on this wire."""
    return (
        refused.error_type
        if refused.error_type.startswith("UDAPI")
        else _OF_KIND.get(refused.error_type, kind(refused.status))
    )


def error_row(refused: Refused) -> dict[str, Any]:
    """One item of `errors`, with both spellings of its keys."""
    about = refused.data if isinstance(refused.data, dict) else {}
    code, path, value = code_of(refused), about.get("property_path"), about.get("invalid_value")
    return {
        "errorCode": code,
        "message": refused.message,
        "propertyPath": path,
        "invalidValue": value,
        "error_code": code,
        "property_path": path,
        "invalid_value": value,
    }


def success(data: object, **more: object) -> web.Response:
    """The envelope around an answer; `more` stands beside `data`."""
    return json_response({"status": "success", "data": data, **more})


def failure(refused: Refused) -> web.Response:
    """The envelope around a refusal."""
    return json_response({"status": "error", "errors": [error_row(refused)]}, refused.status, refused.headers)


def json_response(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Compact JSON."""
    return web.Response(
        body=json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(errors="replace"),
        status=status,
        content_type="application/json",
        headers=headers,
    )
