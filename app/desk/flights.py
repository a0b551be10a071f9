"""Recorded exits as the window asks for them. Loop thread only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from app.desk.workspace import Workspace
from app.domain.errors import Denied, StorageError
from app.domain.flight import Flight, Latency, latency_of
from app.domain.ids import StopId
from app.domain.money import in_rupees

KEPT = 10_000
"""Exits over which the latency is told: as many as there are in years."""


class FlightDesk:
    """Implements `desk.flight_verbs.FlightVerbs`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def recent(self, limit: int = 200) -> Sequence[Flight]:
        """The newest first."""
        return tuple(await self._workspace.journal.flights.recent(limit))

    async def one(self, stop: StopId) -> Flight | None:
        """Of one stop; None where nothing was recorded."""
        return await self._workspace.journal.flights.one(stop)

    async def latency(self) -> Sequence[Latency]:
        """Of each broker whose exits left over the exit line."""
        return await latencies(self._workspace)

    async def export(self, path: Path, stops: Sequence[StopId] = ()) -> int:
        """These exits, or all, as JSON; how many. Raises Denied for a stop without a recording, StorageError."""
        journal = self._workspace.journal.flights
        if stops:
            found = [one for one in [await journal.one(stop) for stop in stops] if one is not None]
            if len(found) < len(stops):
                raise Denied("Nothing was recorded of this stop.", "Only stops that fired have a recording.")
        else:
            found = await journal.recent(KEPT)
        text = json.dumps({"flights": [as_json(one) for one in found]}, indent=1, ensure_ascii=False)
        try:
            await asyncio.to_thread(path.write_text, text + "\n", encoding="utf-8")
        except OSError as failure:
            raise StorageError(
                "The file cannot be written.", "Choose another folder.", detail=str(failure)
            ) from failure
        return len(found)


async def latencies(workspace: Workspace) -> list[Latency]:
    """Of each broker whose exits left over the exit line."""
    found = await workspace.journal.flights.recent(KEPT)
    brokers = sorted({flight.account.partition("-")[0] for flight in found})
    told = [latency_of(name, [one for one in found if one.account.partition("-")[0] == name]) for name in brokers]
    return [one for one in told if one is not None]


def as_json(flight: Flight) -> dict[str, Any]:
    """Plain values: prices and money as decimal texts in rupees, times in microseconds and nanoseconds."""
    document: dict[str, Any] = msgspec.to_builtins(flight)
    scale = flight.price_scale
    for name in ("level", "price"):
        document[name] = str(in_rupees(document[name], scale))
    document["own"] = None if flight.own is None else str(in_rupees(flight.own, scale))
    document["slippage"] = None if flight.slippage is None else str(in_rupees(flight.slippage, 100))
    document["filled"], document["answered_us"], document["flat"] = flight.filled, flight.answered_us, flight.flat
    for mark in document["marks"]:
        mark["price"] = None if mark["price"] is None else str(in_rupees(mark["price"], scale))
    return document
