"""Postbacks: order news POSTed to the app's registered address (A16), whether or not the client is logged in.

Only of orders that were placed with the app's own key; signed as in `Order.update`. Nothing is sent twice: whether the
broker repeats a failed one is not documented.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from app.simulator import order as status
from app.simulator.faults import Faults
from app.simulator.order import APP_ID

EVENTS = frozenset({status.COMPLETE, status.CANCELLED, status.REJECTED, status.UPDATE})
SECONDS = 5.0
"""How long the registered address may take to answer."""
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


def checked(url: str) -> str:
    """An address on this machine, or empty for none. Raises ValueError in words."""
    parts = urlsplit(url)
    if url and (parts.scheme != "http" or parts.hostname not in _LOCAL):
        raise ValueError(f"postbacks go to http addresses of this machine only, not to {url!r}")
    return url


class Postback:
    """Sends one after the other, in the order in which things happened. Loop thread only."""

    def __init__(self, url: str, faults: Faults) -> None:
        self.url = checked(url)
        self.sent = 0
        """Delivered and answered with a 2xx."""
        self.failed = 0
        self._faults = faults
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def announce(self, update: dict[str, Any]) -> None:
        """An order changed."""
        if self.url and update["status"] in EVENTS and update["app_id"] == APP_ID:
            self._waiting.put_nowait(update)

    async def run(self) -> None:
        """Until cancelled."""
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await self._send(session, await self._waiting.get())

    async def _send(self, session: aiohttp.ClientSession, update: dict[str, Any]) -> None:
        headers = {"Content-Type": self._faults.switches.postback_content}
        body = json.dumps(update, separators=(",", ":")).encode()
        try:
            async with session.post(self.url, data=body, headers=headers) as answer:
                taken = answer.ok
        except (aiohttp.ClientError, TimeoutError):
            taken = False
        self.sent += taken
        self.failed += not taken
