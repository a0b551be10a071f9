"""Upstox's error answers as our errors, in words. Pure. Dispatch is on the error code, then on the HTTP status.

Source: Upstox developer documentation, error codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.errors import (
    AddressRefused,
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

RETRY_AFTER = 60.0
"""Seconds to wait when a 429 does not say (C8); Upstox documents no Retry-After header."""

DEAD = frozenset({"UDAPI100050"})
"""The token is invalid or has expired."""

_TOO_MANY = frozenset({"UDAPI10005"})
_ADDRESS = frozenset({"UDAPI1154", "UDAPI1179", "UDAPI1180", "UDAPI1181"})
_PLAN = frozenset({"UDAPI1149"})
_READ_ONLY = frozenset({"UDAPI100067"})
_ACCOUNT = frozenset({"UDAPI100049", "UDAPI100073"})
_NIGHT = frozenset({"UDAPI100072"})
_BROKEN = frozenset({"UDAPI100500"})

_NEXT_STEPS: Mapping[str, str] = {
    "UDAPI1158": "Use a limit order, or a market order with protection.",
    "UDAPI1159": "Market protection goes up to 25 percent.",
    "UDAPI1160": "Market protection is a percentage up to 25, or -1 for the broker's own.",
    "UDAPI1161": "Commodities go through NSE (NSCOM) for the time being.",
    "UDAPI100074": "Orders are taken between 05:30 and midnight.",
    "UDAPI1052": "Give a quantity.",
    "UDAPI1184": "The kill switch is pulled: release it at Upstox's site, where it has cooled.",
    "UDAPI1188": "A kill switch cools for about twelve hours before trading can go on.",
}


def first_problem(answer: Mapping[str, Any] | None) -> tuple[str, str]:
    """(code, message) of an error answer, empty where it has none."""
    errors = (answer or {}).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else errors
    if not isinstance(first, Mapping):
        return "", ""
    code = first.get("error_code") or first.get("errorCode") or ""
    return str(code), printable(str(first.get("message") or ""))


def broker_error(
    status: int, answer: Mapping[str, Any] | None, retry_after: float | None = None, *, placement: bool = True
) -> BrokerError:
    """What an error answer means. `answer` is its JSON object, None when there was none that can be read.

    A placement's outcome is unknown unless the answer proves a refusal.
    """
    code, message = first_problem(answer)
    if status == 429 or code in _TOO_MANY:
        return RateLimited(
            "The broker takes no more requests for a moment.",
            detail=message,
            retry_after=RETRY_AFTER if retry_after is None else retry_after,
        )
    known = problem(code, message)
    if known is not None:
        return known
    if status == 401:
        return SessionExpired("The broker ended the session.", detail=message)
    if code and code not in _BROKEN and 400 <= status < 500:
        return Rejected("The broker refused.", _NEXT_STEPS.get(code, ""), detail=message, kind=code)
    if placement:
        return OutcomeUnknown(
            "The broker's answer leaves open whether the order exists.", detail=message or str(status)
        )
    return Unreachable(
        "The broker could not answer.", detail=message or f"HTTP {status}", status=status, retry_after=retry_after
    )


def problem(code: str, message: str) -> BrokerError | None:
    """The codes whose meaning does not depend on what was asked; None for all others."""
    if code in DEAD:
        return SessionExpired("The broker ended the session.", detail=message)
    if code in _ADDRESS:
        return AddressRefused("The broker does not accept orders from this internet address.", detail=message)
    if code in _READ_ONLY:
        return NotPermitted("This token only reads.", "Log in for the day to trade.", detail=message)
    if code in _PLAN:
        return PlanRefused("This needs Upstox Plus.", "Do without it, or take the plan at Upstox.", detail=message)
    if code in _ACCOUNT:
        return NotPermitted(
            "The broker reports a problem with this account or key.", "Log in at the broker's site.", detail=message
        )
    if code in _NIGHT:
        return Unreachable(
            "The broker does not tell funds between midnight and half past five.",
            "They come back by themselves.",
            status=423,
        )
    return None


def refused_line(error: Mapping[str, Any]) -> BrokerError:
    """One entry of a multi-order's `errors`: this line was refused for certain."""
    code, message = first_problem({"errors": [error]})
    known = problem(code, message)
    return known or Rejected("The broker refused.", _NEXT_STEPS.get(code, ""), detail=message, kind=code)
