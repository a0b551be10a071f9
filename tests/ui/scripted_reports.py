"""Figures and a report as a test wrote them."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.metrics import MetricHistory
from app.domain.report import ReportMember, ReportSaved
from tests.ui.script import Script


class ScriptedMetrics:
    """Implements `MetricVerbs` for views."""

    def __init__(self) -> None:
        self.found = MetricHistory((), ())

    async def history(self, days: int = 30) -> MetricHistory:
        return self.found if days else MetricHistory((), ())


class ScriptedReports:
    """Implements `ReportVerbs`."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.members: tuple[ReportMember, ...] = ()
        self.saved: list[tuple[str, Sequence[ReportMember]]] = []

    async def preview(self) -> Sequence[ReportMember]:
        await self.script.enter("preview_report")
        return self.members

    async def save(self, file: str, members: Sequence[ReportMember] = ()) -> ReportSaved:
        await self.script.enter("save_report", file)
        self.saved.append((file, members))
        return ReportSaved(file, 2_000, tuple(member.name for member in members))
