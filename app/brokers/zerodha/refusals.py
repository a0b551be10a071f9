"""Kite's error answers as our errors, in words. Pure. Dispatch is on `error_type`, then on the HTTP status."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.domain.errors import (
    AddressRefused,
    AuthorisationNeeded,
    BrokerError,
    NotPermitted,
    OutcomeUnknown,
    PlanRefused,
    RateLimited,
    Rejected,
    SessionExpired,
    Unreachable,
    printable,
)

_REFUSED = frozenset({"InputException", "OrderException", "MarginException", "HoldingException"})

_ADDRESS = re.compile(r"^IP \(?([0-9A-Fa-f.:]+)\)? is not allowed")

RETRY_AFTER = 60.0
"""Seconds to wait when a 429 does not say (C8); Kite documents no Retry-After header."""


def broker_error(
    status: int, answer: Mapping[str, Any] | None, retry_after: float | None = None, *, placement: bool = True
) -> BrokerError:
    """What an error answer means. `answer` is its JSON object, None when there was none that can be read.

    A placement's outcome is unknown unless the answer proves a refusal: behind a gateway error, a broken order
    management system or an answer of another kind, the order may have gone through.
    """
    kind = str((answer or {}).get("error_type") or "")
    message = printable(str((answer or {}).get("message") or ""))
    if status == 429 or message == "Too many requests":
        return RateLimited(
            "The broker takes no more requests for a moment.",
            detail=message,
            retry_after=RETRY_AFTER if retry_after is None else retry_after,
        )
    if status == 408 and not placement:
        return _no_answer(status, message, retry_after)
    if kind in ("TokenException", "TwoFAException") or status == 401:
        return SessionExpired("The broker ended the session.", detail=message)
    if kind in ("PermissionException", "PermissionError") or "is not allowed to place orders" in message:
        return _not_permitted(message)
    if kind == "UserException":
        return NotPermitted(
            "The broker reports a problem with this account.", "Log in at the broker's site to see it.", detail=message
        )
    if status == 428:
        return AuthorisationNeeded(
            "The shares are not authorised for sale at the depository.", detail=message, kind=kind or "428"
        )
    if kind in _REFUSED or (kind and 400 <= status < 500):
        return Rejected("The broker refused.", _next_step(message), detail=message, kind=kind)
    if placement:
        return OutcomeUnknown(
            "The broker's answer leaves open whether the order exists.", detail=message or str(status)
        )
    return _no_answer(status, message, retry_after)


def _no_answer(status: int, message: str, retry_after: float | None) -> Unreachable:
    """A read that the broker could not answer for now."""
    return Unreachable(
        "The broker could not answer.",
        detail=message or f"HTTP {status}",
        status=status,
        retry_after=retry_after,
    )


def _not_permitted(message: str) -> NotPermitted:
    if "is not allowed to place orders" in message:
        found = _ADDRESS.match(message)
        return AddressRefused(
            "The broker does not accept orders from this internet address.",
            detail=message,
            address=found.group(1) if found else "",
        )
    return PlanRefused(
        "The API key may not do this.",
        "Look at its plan and permissions on the developer page; live prices need the data plan (Kite Connect).",
        detail=message,
    )


def _next_step(message: str) -> str:
    low = message.lower()
    if "market protection" in low:
        return "Set market protection, or use a limit order."
    if "insufficient funds" in low:
        return "Add funds, reduce the quantity, or look for open orders that block margin."
    return ""
