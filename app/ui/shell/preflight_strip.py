"""The strip of the look before the market opens: there while something is to be seen to, gone once it is mended."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer

from app.domain.errors import AppError
from app.domain.events import FeedChanged, FeedState, PreflightDone, SessionChanged
from app.domain.health import PreflightReport
from app.domain.ids import AccountId
from app.ui.bridge import Bridge
from app.ui.shell.banners import Banners

NAME = "pre-flight"
SETTLE_MS = 5_000
"""After a login or a turn of the feed: until the first prices have come."""


class PreflightStrip(QObject):
    """Shows what a look found, and looks again when a session or a feed turns while it stands. GUI thread."""

    def __init__(self, bridge: Bridge, banners: Banners, named: Callable[[str], str], show: Callable[[], None]) -> None:
        super().__init__(banners)
        self._bridge = bridge
        self._banners = banners
        self._named = named
        self._show = show
        self._feeds: dict[AccountId, FeedState] = {}
        """As last told: feeds tell their state every second."""
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._again)
        bridge.subscribe(PreflightDone, lambda event: self._tell(event.report))
        bridge.subscribe(SessionChanged, lambda _event: self._settle.start())
        bridge.subscribe(FeedChanged, self._on_feed)

    def _on_feed(self, event: FeedChanged) -> None:
        before, self._feeds[event.account] = self._feeds.get(event.account), event.state
        if before != event.state:
            self._settle.start()

    def _again(self) -> None:
        if NAME in self._banners.names:
            self._bridge.start(self._look(), "pre-flight again")

    async def _look(self) -> None:
        try:
            report = await self._bridge.call(self._bridge.desk.health.preflight())
        except AppError:
            return  # what was found stands
        if NAME in self._banners.names:  # else the trader put it away meanwhile
            self._tell(report)

    def _tell(self, report: PreflightReport) -> None:
        if not report.open:
            self._banners.drop(NAME)
            return
        names = self._named(", ".join(finding.name for finding in report.open))
        words = f"Before the market opens, to see to: {names}."
        self._banners.show_banner(NAME, words, button="Open pre-flight", do=self._show, dismissable=True)
