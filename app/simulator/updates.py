"""Order updates on their way to the stream, with the faults that can happen to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.simulator.faults import UPDATE, Faults

Send = Callable[[dict[str, Any]], None]


class Updates:
    """Passes updates on, unless a fault drops, doubles, delays or reorders them. On the loop thread."""

    def __init__(self, faults: Faults, send: Send) -> None:
        self._faults = faults
        self._send = send
        self._overtaken: list[dict[str, Any]] = []

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
            asyncio.get_running_loop().call_later(fault.seconds, self._send, update)
            return
        elif fault.name == "update-reorder":
            self._overtaken.append(update)
            return
        overtaken, self._overtaken = self._overtaken, []
        for late in overtaken:
            self._send(late)
