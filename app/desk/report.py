"""Gathers what a report to send is made of; masking and packing are done in the helper process. Loop thread only."""

from __future__ import annotations

import asyncio
import getpass
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from app import __version__
from app.desk import upkeep
from app.desk.doctor import Doctor
from app.desk.flights import latencies
from app.desk.metrics import MetricDesk
from app.desk.workspace import Workspace
from app.diagnostics.report import Gathered, masked, packed
from app.domain.errors import AppError, Denied, StorageError
from app.domain.report import ReportMember, ReportSaved
from app.runtime import redaction
from app.runtime.files import write_atomically
from app.runtime.helper import Helper
from app.runtime.paths import ProfilePaths
from app.storage.report_facts import known_ids, stored

LIBRARIES = (
    *("PySide6", "pyqtgraph", "qasync", "uvloop", "winloop", "SQLAlchemy", "alembic", "sqlcipher3", "cryptography"),
    *("keyring", "httpx", "websockets", "kiteconnect", "protobuf", "msgspec", "structlog", "tenacity", "limits"),
    *("APScheduler", "numpy", "openpyxl"),
)
FLIGHTS = 200
METRIC_DAYS = 90
_COMMON_WORDS = frozenset({"paper", "stopline", "zerodha", "upstox"})
"""Of accounts that are nobody's: to mask them would hide what happened."""


class ReportDesk:
    """Implements `desk.api.ReportVerbs`."""

    def __init__(self, workspace: Workspace, helper: Helper, doctor: Doctor, metrics: MetricDesk) -> None:
        self._workspace = workspace
        self._helper = helper
        self._doctor = doctor
        self._metrics = metrics

    async def preview(self) -> Sequence[ReportMember]:
        """Every file of a report of now, as it would be sent. Raises AppError."""
        paths = ProfilePaths(self._workspace.profile)
        gathered = Gathered(
            await self._documents(),
            paths.logs if self._workspace.is_open else None,
            paths.crash if self._workspace.is_open else None,
            await self._known(),
            redaction.shared().values,
        )
        return tuple(await self._helper.call(masked, gathered))

    async def save(self, file: str, members: Sequence[ReportMember] = ()) -> ReportSaved:
        """Writes a new zip: what the trader saw, or a report of now. Raises Denied for a file that is there."""
        target = Path(file)
        if await asyncio.to_thread(target.exists):
            raise Denied(f"{file} exists already.", "Choose another name.")
        shown = members or await self.preview()
        content = await self._helper.call(packed, shown)
        try:
            await asyncio.to_thread(write_atomically, target, content)
        except OSError as failure:
            raise StorageError(
                "The report cannot be written.", "Choose another folder.", detail=str(failure.strerror)
            ) from failure
        return ReportSaved(file, len(content), tuple(member.name for member in shown))

    async def _documents(self) -> dict[str, str]:
        findings = await self._doctor.look()
        documents: dict[str, Any] = {
            "versions.json": await asyncio.to_thread(_versions),
            "health.json": [msgspec.to_builtins(finding) for finding in findings],
        }
        if self._workspace.is_open:
            for name, part in (
                ("settings.json", self._settings),
                ("accounts.json", self._accounts),
                ("metrics.json", self._figures),
                ("exits.json", self._exits),
                ("stores.json", self._stores),
            ):
                try:
                    documents[name] = await part()
                except AppError as failure:
                    documents[name] = {"could not be read": str(failure)}
        return {name: _text(content) for name, content in documents.items()}

    async def _settings(self) -> Any:
        workspace = self._workspace
        found: dict[str, Any] = {"guarding": workspace.guarding}
        for key in (upkeep.KEY, "guarding", "schedule"):
            text = await workspace.book.settings.get(key)
            if text is not None:
                found[key] = msgspec.json.decode(text)
        return found

    async def _accounts(self) -> Any:
        return [
            {
                "account": record.id,
                "broker": record.broker,
                "state": record.state.value,
                "paper": record.endpoints.paper,
                "sync": record.sync_on,
                "sync_every_s": record.sync_every_s,
                "errors_in_a_row": record.error_count,
                "last_error": record.last_error,
                "fills_synced": record.fills_synced,
                "syncs_failed": record.syncs_failed,
                "api_url": record.endpoints.api_url,
            }
            for record in self._workspace.records.values()
        ]

    async def _figures(self) -> Any:
        return msgspec.to_builtins(await self._metrics.history(METRIC_DAYS))

    async def _exits(self) -> Any:
        recent = await self._workspace.journal.flights.recent(FLIGHTS)
        return {
            "latency": [msgspec.to_builtins(one) for one in await latencies(self._workspace)],
            # Times and causes are what is asked for: no prices, quantities or what was sent.
            "exits": [
                {
                    "account": flight.account,
                    "why": flight.why,
                    "engine_us": flight.engine_us,
                    "answered_us": flight.answered_us,
                    "cause": flight.cause,
                    "flat": flight.flat,
                    "steps": [f"{mark.step} {mark.at_us}" for mark in flight.marks],
                }
                for flight in recent
            ],
        }

    async def _stores(self) -> Any:
        return {
            store.path.name: await store.run(stored)
            for store in (self._workspace.book.store, self._workspace.journal.store)
        }

    async def _known(self) -> dict[str, str]:
        """What says whose this is, by its kind."""
        workspace = self._workspace
        known = {
            str(workspace.profile): "profile",
            str(workspace.profile.resolve()): "profile",
            str(Path.home()): "home",
            platform.node(): "computer",
            await asyncio.to_thread(_user): "user",
        }
        for record in workspace.records.values():
            known[record.api_key] = "key"
            known[record.user_id] = known[record.id.partition("-")[2]] = "client"
            known[record.client_name] = "name"
            if not record.endpoints.paper:
                known |= dict.fromkeys((part for part in record.client_name.split() if len(part) > 2), "name")
            known |= dict.fromkeys((record.endpoints.ca_file, record.endpoints.redirect_url), "place")
        if workspace.is_open:
            for store in (workspace.book.store, workspace.journal.store):
                known |= dict.fromkeys(await store.run(known_ids), "order")
        return {text: kind for text, kind in known.items() if text and text.lower() not in _COMMON_WORDS}


def _versions() -> dict[str, Any]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not here"
    return {
        "stopline": __version__,
        "frozen": bool(getattr(sys, "frozen", False)),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "libraries": found,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for this user in the password file
        return ""


def _text(content: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(content), indent=1).decode() + "\n"
