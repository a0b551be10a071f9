"""Upstox's rate limits (B4), on real time, per API: this is about the client's behaviour. Times are passed in."""

from __future__ import annotations

from collections import deque

from app.simulator.refusal import Refused
from app.simulator.upstox.envelope import TOO_MANY, refuse

ORDERS = ((1.0, 10), (60.0, 500), (1800.0, 2000))
OTHERS = ((1.0, 50), (60.0, 500), (1800.0, 2000))
"""(seconds, most requests in them)."""


def too_many() -> Refused:
    """429 without a Retry-After, as on the wire."""
    return refuse(TOO_MANY, "Too Many Request Sent", 429)


class ApiLimits:
    """Sliding windows of one client, an own set for every API."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}

    def request(self, api: str, now: float, *, order: bool) -> None:
        """A request at `now`, monotonic seconds. Raises Refused; a refused one is not counted."""
        seen = self._seen.setdefault(api, deque())
        windows = ORDERS if order else OTHERS
        while seen and seen[0] <= now - windows[-1][0]:
            seen.popleft()
        for seconds, most in windows:
            if len(seen) >= most and seen[-most] > now - seconds:
                raise too_many()
        seen.append(now)
