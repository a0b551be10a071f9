"""What the command line asks of the instrument lists, of a desk here or of the workstation that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from app.desk.api import Desk
from app.desk.remote import Verb, call
from app.domain.events import Event
from app.domain.listing import ImportReport, InstrumentList, InstrumentsProgressed
from app.runtime.paths import ProfilePaths

IMPORT_SECONDS = 31 * 60.0
"""How long a workstation may take: an import gives itself up after half an hour."""
STATS_SECONDS = 60.0

Progress = Callable[[str, str, int], None]
"""(list, step, lines)."""


class InstrumentCommands(Protocol):
    """The part of a desk that the command uses. Raises AppError."""

    async def import_instruments(
        self, name: str | None, source: str | None, progress: Progress, *, confirmed: bool
    ) -> Sequence[ImportReport]:
        """Imports one list or all."""
        ...

    async def instrument_lists(self) -> Sequence[InstrumentList]:
        """What is stored."""
        ...


class DirectInstruments:
    """A desk in this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def import_instruments(
        self, name: str | None, source: str | None, progress: Progress, *, confirmed: bool
    ) -> Sequence[ImportReport]:
        """Passes the desk's progress on."""

        def hear(event: Event) -> None:
            if isinstance(event, InstrumentsProgressed):
                progress(event.broker, event.step, event.lines)

        self._desk.listen(hear)
        try:
            return await self._desk.instruments.sync(name, source, "command line", confirmed=confirmed)
        finally:
            self._desk.unlisten(hear)

    async def instrument_lists(self) -> Sequence[InstrumentList]:
        """What is stored."""
        return await self._desk.instruments.lists()


class RemoteInstruments:
    """The desk of the workstation that runs on a profile; progress is seen in its window."""

    def __init__(self, paths: ProfilePaths) -> None:
        self._paths = paths

    async def import_instruments(
        self, name: str | None, source: str | None, progress: Progress, *, confirmed: bool  # noqa: ARG002 - seen there
    ) -> Sequence[ImportReport]:  # fmt: skip
        """The same, in the workstation."""
        params = {"name": name, "source": source, "confirmed": confirmed}
        answer = await asyncio.to_thread(call, self._paths, "instruments.sync", params, timeout=IMPORT_SECONDS)
        return msgspec.convert(answer, list[ImportReport])

    async def instrument_lists(self) -> Sequence[InstrumentList]:
        """The same, in the workstation."""
        answer = await asyncio.to_thread(call, self._paths, "instruments.stats", {}, timeout=STATS_SECONDS)
        return msgspec.convert(answer, list[InstrumentList])


def instrument_verbs(desk: Desk) -> dict[str, Verb]:
    """What a workstation answers on its local socket."""
    direct = DirectInstruments(desk)

    async def sync(params: Mapping[str, Any]) -> Sequence[ImportReport]:
        return await direct.import_instruments(
            params["name"], params["source"], lambda *_: None, confirmed=params["confirmed"]
        )

    async def stats(_: Mapping[str, Any]) -> Sequence[InstrumentList]:
        return await direct.instrument_lists()

    return {"instruments.sync": sync, "instruments.stats": stats}
