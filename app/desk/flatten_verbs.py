"""Flatten all from the command line: of a desk here, or of the workstation that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from app.desk.api import Desk
from app.desk.flatten_messages import FlattenChoice, FlattenPlan, FlattenReport
from app.desk.remote import Verb, call
from app.runtime.paths import ProfilePaths

SECONDS = 180.0
"""How long a workstation may take: until the last exit was followed to its end."""


class FlattenCommands(Protocol):
    """The part of a desk that the command uses. Raises AppError."""

    async def plan(self, choice: FlattenChoice) -> FlattenPlan:
        """What there is, read now."""
        ...

    async def run(self, choice: FlattenChoice) -> FlattenReport:
        """Cancels and exits."""
        ...


class RemoteFlatten:
    """The desk of the workstation that runs on a profile."""

    def __init__(self, paths: ProfilePaths) -> None:
        self._paths = paths

    async def plan(self, choice: FlattenChoice) -> FlattenPlan:
        """The same, in the workstation."""
        return msgspec.convert(await self._call("flatten.plan", choice), FlattenPlan)

    async def run(self, choice: FlattenChoice) -> FlattenReport:
        """The same, in the workstation."""
        return msgspec.convert(await self._call("flatten.run", choice), FlattenReport)

    async def _call(self, verb: str, choice: FlattenChoice) -> Any:
        return await asyncio.to_thread(call, self._paths, verb, msgspec.to_builtins(choice), timeout=SECONDS)


def flatten_verbs(desk: Desk) -> dict[str, Verb]:
    """What a workstation answers on its local socket."""

    async def plan(params: Mapping[str, Any]) -> FlattenPlan:
        return await desk.flatten.plan(msgspec.convert(params, FlattenChoice))

    async def run(params: Mapping[str, Any]) -> FlattenReport:
        return await desk.flatten.run(msgspec.convert(params, FlattenChoice))

    return {"flatten.plan": plan, "flatten.run": run}
