"""Notices: what the trader should read. Repeats are merged, alarms stay in sight until they are dismissed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QHeaderView, QVBoxLayout, QWidget

from app.domain.events import Level, Noticed
from app.domain.ids import Nanos
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.models.table import Column, TableModel, Tone
from app.ui.views.table_view import TableView

_KEPT = 500
_TONES = {Level.INFO: Tone.DIM, Level.WARNING: Tone.WARN, Level.ALARM: Tone.ALARM}


@dataclass(frozen=True, slots=True)
class Entry:
    """One notice, and how often it came."""

    number: int
    notice: Noticed
    at: Nanos
    """This machine's time: a notice is about what happens to the trader, not to the exchange."""
    times: int = 1
    account: str = ""
    """Its name, as the trader calls it."""


class NoticeList(QObject):
    """Every notice since the start, newest last. GUI thread."""

    added = Signal(object)
    """The Entry, also when it only repeats one."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._facts = facts
        self._entries: dict[str, Entry] = {}
        self._count = 0
        bridge.subscribe(Noticed, self.add)
        bridge.failed.connect(self.add)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Oldest first."""
        return tuple(self._entries.values())

    def add(self, notice: Noticed) -> None:
        """Keeps a notice; one with the repeat key of an earlier one takes its place."""
        self._count += 1
        key = f"repeat:{notice.repeat_key}" if notice.repeat_key else f"one:{self._count}"
        before = self._entries.pop(key, None)
        named = self._facts.named
        notice = replace(
            notice, title=named(notice.title), cause=named(notice.cause), next_step=named(notice.next_step)
        )
        entry = Entry(self._count, notice, time.time_ns(), account=named(notice.account or ""))
        if before is not None:
            entry = replace(entry, times=before.times + 1)
        self._entries[key] = entry
        while len(self._entries) > _KEPT:
            self._entries.pop(next(iter(self._entries)))
        self.added.emit(entry)


COLUMNS: tuple[Column[Entry], ...] = (
    Column("at", "Time", lambda e: e.at, fmt.time, whole=True, width=76, tone=lambda _e: Tone.DIM),
    Column("level", "Level", lambda e: e.notice.level, width=68, tone=lambda e: _TONES[e.notice.level]),
    Column("title", "What", lambda e: e.notice.title, whole=True, width=140, tip=lambda e: e.notice.title),
    Column("cause", "Why", lambda e: e.notice.cause, width=120, tip=lambda e: e.notice.cause),
    Column("next", "What to do", lambda e: e.notice.next_step, width=170, tip=lambda e: e.notice.next_step),
    Column("account", "Account", lambda e: e.account, width=110, tone=lambda _e: Tone.DIM, spare=3),
    Column("times", "Times", lambda e: e.times, number=True, width=56, tone=lambda _e: Tone.DIM, spare=2),
)


class NoticesPanel(QWidget):
    """The list of notices, newest first."""

    def __init__(self, notices: NoticeList) -> None:
        super().__init__()
        self._notices = notices
        self._model: TableModel[Entry] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model,
            name="notices.table",
            title="Notices",
            empty="All quiet",
            hint="Alarms, warnings and messages of brokers, feeds and the engine are listed here.",
        )
        columns = self.table.horizontalHeader()
        columns.setStretchLastSection(False)
        columns.setSectionResizeMode(self._model.column("cause"), QHeaderView.ResizeMode.Stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        notices.added.connect(self._on_added)

    def _on_added(self, _entry: Entry) -> None:
        newest = reversed(self._notices.entries)
        self._model.replace((entry.number, entry) for entry in newest)
