"""What a trader has beside the program: a browser."""

from __future__ import annotations

from typing import Any

import httpx

PATIENCE_S = 60.0
"""A browser turns its wheel for minutes; a first login fetches and reads the broker's instruments before it answers."""


def browser(**options: Any) -> httpx.AsyncClient:
    """Waits as long as one; knows no proxy of this machine."""
    return httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S, **options)
