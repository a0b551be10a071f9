"""What the command line asks of recorded exits and of the portfolio stop, here or in the workstation that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from app.desk.api import Desk
from app.desk.remote import Verb, call
from app.domain.day_stop import DayLimits, DayStop
from app.domain.flight import Flight
from app.domain.ids import AccountId, StopId
from app.runtime.paths import ProfilePaths

SECONDS = 60.0
"""How long the workstation may take: ten thousand recordings are written out in a few."""


class ExitCommands(Protocol):
    """The part of a desk that `flights` and `portfolio-stop` use. Raises AppError."""

    async def flights(self, limit: int) -> Sequence[Flight]:
        """The newest first."""
        ...

    async def export(self, path: Path, stops: Sequence[StopId]) -> int:
        """These, or all, as JSON; how many."""
        ...

    async def day_stops(self) -> Sequence[DayStop]:
        """One for each account."""
        ...

    async def set_limits(self, account: AccountId, limits: DayLimits) -> DayStop:
        """Tighter ones today, looser ones from tomorrow."""
        ...


class DirectExits:
    """A desk in this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def flights(self, limit: int) -> Sequence[Flight]:
        """The newest first."""
        return await self._desk.flights.recent(limit)

    async def export(self, path: Path, stops: Sequence[StopId]) -> int:
        """These, or all, as JSON; how many."""
        return await self._desk.flights.export(path, stops)

    async def day_stops(self) -> Sequence[DayStop]:
        """One for each account."""
        return await self._desk.stops.day_stops()

    async def set_limits(self, account: AccountId, limits: DayLimits) -> DayStop:
        """Tighter ones today, looser ones from tomorrow."""
        return await self._desk.stops.set_day_limits(account, limits)


class RemoteExits:
    """The desk of the workstation that runs on a profile."""

    def __init__(self, paths: ProfilePaths) -> None:
        self._paths = paths

    async def flights(self, limit: int) -> Sequence[Flight]:
        """The same, in the workstation."""
        return msgspec.convert(await self._call("flights.recent", {"limit": limit}), list[Flight])

    async def export(self, path: Path, stops: Sequence[StopId]) -> int:
        """The same, in the workstation; the path is a whole one."""
        params = {"path": str(path), "stops": list(stops)}
        return msgspec.convert(await self._call("flights.export", params), int)

    async def day_stops(self) -> Sequence[DayStop]:
        """The same, in the workstation."""
        return msgspec.convert(await self._call("day_stop.all", {}), list[DayStop])

    async def set_limits(self, account: AccountId, limits: DayLimits) -> DayStop:
        """The same, in the workstation."""
        params = {"account": account, "limits": msgspec.to_builtins(limits)}
        return msgspec.convert(await self._call("day_stop.set", params), DayStop)

    async def _call(self, verb: str, params: Mapping[str, Any]) -> Any:
        return await asyncio.to_thread(call, self._paths, verb, params, timeout=SECONDS)


def exit_verbs(desk: Desk) -> dict[str, Verb]:
    """What a workstation answers on its local socket."""
    direct = DirectExits(desk)

    async def recent(params: Mapping[str, Any]) -> Sequence[Flight]:
        return list(await direct.flights(msgspec.convert(params["limit"], int)))

    async def export(params: Mapping[str, Any]) -> int:
        return await direct.export(Path(params["path"]), msgspec.convert(params["stops"], list[StopId]))

    async def day_stops(_: Mapping[str, Any]) -> Sequence[DayStop]:
        return list(await direct.day_stops())

    async def set_limits(params: Mapping[str, Any]) -> DayStop:
        return await direct.set_limits(AccountId(params["account"]), msgspec.convert(params["limits"], DayLimits))

    return {
        "flights.recent": recent,
        "flights.export": export,
        "day_stop.all": day_stops,
        "day_stop.set": set_limits,
    }
