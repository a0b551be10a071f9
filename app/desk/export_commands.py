"""`export` and `metrics` for the command line, where a workstation runs on the profile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from app.desk.api import Desk
from app.desk.remote import Verb, call
from app.domain.exports import ExportChoice, ExportMade
from app.domain.metrics import MetricHistory
from app.runtime.paths import ProfilePaths

SECONDS = 1800.0
"""A million rows on a slow disk."""


class RemoteExports:
    """The desk of the workstation that runs on a profile."""

    def __init__(self, paths: ProfilePaths) -> None:
        self._paths = paths

    async def export(self, choice: ExportChoice) -> ExportMade:
        """The same, in the workstation; it writes the file itself."""
        params = {"choice": msgspec.to_builtins(choice)}
        return msgspec.convert(
            await asyncio.to_thread(call, self._paths, "export", params, timeout=SECONDS), ExportMade
        )


class RemoteMetrics:
    """The desk of the workstation that runs on a profile."""

    def __init__(self, paths: ProfilePaths) -> None:
        self._paths = paths

    async def history(self, days: int = 30) -> MetricHistory:
        """The same, in the workstation."""
        return msgspec.convert(await asyncio.to_thread(call, self._paths, "metrics", {"days": days}), MetricHistory)


def export_verbs(desk: Desk) -> dict[str, Verb]:
    """What a workstation answers on its local socket."""

    async def export(params: Mapping[str, Any]) -> ExportMade:
        return await desk.exports.export(msgspec.convert(params["choice"], ExportChoice))

    async def metrics(params: Mapping[str, Any]) -> MetricHistory:
        return await desk.metrics.history(msgspec.convert(params["days"], int))

    return {"export": export, "metrics": metrics}
