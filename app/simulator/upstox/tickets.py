"""Single-use addresses of the sockets (B15.1, B16): handed out over REST, or as a redirect."""

from __future__ import annotations

import secrets
import time
from typing import NamedTuple

TICKET_SECONDS = 60
"""Real seconds until an address that nobody used is forgotten (not documented)."""


class Ticket(NamedTuple):
    """What an address leads to."""

    stream: str
    types: tuple[str, ...]
    until: float


class Tickets:
    """Owned by the Upstox door; on the loop thread."""

    def __init__(self) -> None:
        self._waiting: dict[str, Ticket] = {}

    def issue(self, stream: str, types: tuple[str, ...] = ()) -> str:
        """A fresh code."""
        now = time.monotonic()
        self._waiting = {code: ticket for code, ticket in self._waiting.items() if ticket.until > now}
        code = secrets.token_urlsafe(24)
        self._waiting[code] = Ticket(stream, types, now + TICKET_SECONDS)
        return code

    def take(self, stream: str, code: str) -> Ticket | None:
        """What a code is good for; a second time nothing."""
        ticket = self._waiting.pop(code, None)
        if ticket is None or ticket.stream != stream or ticket.until <= time.monotonic():
            return None
        return ticket
