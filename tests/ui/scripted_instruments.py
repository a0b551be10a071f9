"""The instrument lists of the scripted desk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.domain.instrument import Exchange, InstrumentKind, Segment
from app.domain.listing import (
    ImportCounts,
    ImportReport,
    InstrumentList,
    KindCount,
    ListCheck,
    ListSource,
    ListStats,
    SegmentCount,
)
from tests.ui.script import Script
from tests.ui.scripted_market import NOW

MINUTE = 60_000_000_000

STATS = ListStats(
    active=150_412,
    inactive=1_462,
    segments=(
        SegmentCount(Exchange.BFO, Segment.FUTURES, 12, 0),
        SegmentCount(Exchange.BFO, Segment.OPTIONS, 4_246, 0),
        SegmentCount(Exchange.BSE, Segment.EQUITY, 12_570, 14),
        SegmentCount(Exchange.MCX, Segment.COMMODITY, 64_273, 0),
        SegmentCount(Exchange.NFO, Segment.FUTURES, 640, 0),
        SegmentCount(Exchange.NFO, Segment.OPTIONS, 35_043, 1_448),
        SegmentCount(Exchange.NSE, Segment.EQUITY, 8_778, 0),
        SegmentCount(Exchange.NSE, Segment.INDEX, 134, 0),
    ),
    kinds=(KindCount(InstrumentKind.CALL, 51_660), KindCount(InstrumentKind.SHARE, 21_348)),
)

GOOD = ImportReport(
    "upstox",
    "scheduled",
    ListSource.PUBLIC,
    "https://assets.upstox.com/market-quote/instruments/exchange/complete.json.gz",
    NOW - 190 * MINUTE,
    NOW - 190 * MINUTE + 4_200_000_000,
    lines=150_418,
    not_carried=6,
    counts=ImportCounts(150_412, 2_181, 60, 3, 1_462, renamed=74, reused=4),
    before=replace(STATS, active=149_690, inactive=0),
    after=STATS,
    checks=(
        ListCheck("error rate", True, "0 of 150,418 lines could not be read (0.0 %)."),
        ListCheck("segments", True, "Every segment is still there."),
    ),
)

LOST = replace(
    GOOD,
    broker="zerodha",
    trigger="login",
    source=ListSource.API,
    origin="zerodha",
    counts=ImportCounts(20_112, 12, 0, 0, 0, ("MCX commodity",)),
    checks=(
        ListCheck("error rate", True, "0 of 20,112 lines could not be read (0.0 %)."),
        ListCheck("segments", False, "The list has lost MCX commodity; nothing was deactivated."),
    ),
    awaits=True,
)


class ScriptedInstruments:
    """Two lists, of which one lost a segment; verbs are remembered."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.reports = [LOST, GOOD]
        self.found = [
            InstrumentList("upstox", "upstox", False, STATS, GOOD, False),
            InstrumentList("zerodha", "zerodha", False, STATS, LOST, True),
        ]

    async def lists(self) -> Sequence[InstrumentList]:
        await self.script.enter("instrument lists")
        return tuple(self.found)

    async def log(self, limit: int = 50) -> Sequence[ImportReport]:
        return tuple(self.reports[:limit])

    async def sync(
        self, name: str | None = None, source: str | None = None, trigger: str = "manual", *, confirmed: bool = False
    ) -> Sequence[ImportReport]:
        await self.script.enter("import", name, source)
        return (GOOD,)

    async def confirm(self, name: str) -> ImportReport:
        await self.script.enter("confirm", name)
        self.found = [replace(one, awaits=False) for one in self.found]
        return replace(LOST, awaits=False)

    async def cancel(self) -> None:
        await self.script.enter("cancel import")
