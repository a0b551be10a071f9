"""Order updates on their way to the stream, with the faults that can happen to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.simulator.faults import UPDATE, Faults

Send = Callable[[dict[str, Any]], None]


class Updates:
    """Passes updates on, unless a fault drops, doubles, delays or reorders them. On the loop thread.

    `day`: the trading day that the book is of. What is still on its way when that ends is lost, as the sessions are.
    """

    def __init__(self, faults: Faults, send: Send, day: Callable[[], str]) -> None:
        self._faults = faults
        self._send = send
        self._day = day
        self._overtaken: list[tuple[dict[str, Any], str]] = []

    def announce(self, update: dict[str, Any]) -> None:
        """One update."""
        instrument = f"{update['exchange']}:{update['tradingsymbol']}"
        fault = self._faults.strike(UPDATE, instrument=instrument)
        if fault is None:
            self._send(update)
        elif fault.name == "update-duplicate":
            self._send(update)
            self._send(update)
        elif fault.name == "update-delay":
            asyncio.get_running_loop().call_later(fault.seconds, self._send_late, update, self._day())
            return
        elif fault.name == "update-reorder":
            self._overtaken.append((update, self._day()))
            return
        overtaken, self._overtaken = self._overtaken, []
        for late, day in overtaken:
            self._send_late(late, day)

    def _send_late(self, update: dict[str, Any], day: str) -> None:
        if day == self._day():
            self._send(update)
