"""Notices: what the trader should read. Repeats are merged, alarms stay in sight until they are dismissed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QHeaderView, QVBoxLayout, QWidget

from app.desk.messages import NoticeLine
from app.domain.events import Level, Noticed
from app.domain.ids import Nanos
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.frame import NextFrame
from app.ui.models.clocks import Clocks
from app.ui.models.facts import Facts
from app.ui.models.table import Column, Key, TableModel, Tone
from app.ui.views.table_view import TableView
from app.ui.widgets.text import Message

_KEPT = 500
_TONES = {Level.INFO: Tone.DIM, Level.WARNING: Tone.WARN, Level.ALARM: Tone.ALARM}
_STRIPS = {Level.INFO: "strip", Level.WARNING: "strip-warning", Level.ALARM: "strip-danger"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One notice, and how often it came."""

    number: int
    notice: Noticed
    at: Nanos
    """This machine's time, which the list is in the order of."""
    times: int = 1
    account: str = ""
    """Its name, as the trader calls it."""
    ahead: Nanos = 0
    """How far the account's clock was ahead of this machine's: on paper it shows another hour, as its orders do."""
    read: bool = False
    """The trader had the list in sight since it came."""


class NoticeList(QObject):
    """Every notice since the start, newest last, and those of earlier runs. GUI thread."""

    added = Signal(object)
    """The Entry, also when it only repeats one."""
    changed = Signal()
    """Older ones came, or all were read."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._facts = facts
        self._clocks = Clocks(bridge)
        self._entries: dict[str, Entry] = {}
        self._older: tuple[Entry, ...] = ()
        self._began = bridge.began
        self._count = 0
        bridge.subscribe(Noticed, self.add)
        bridge.failed.connect(self.add)
        facts.accounts_changed.connect(self._name_accounts)

    @property
    def older(self) -> tuple[Entry, ...]:
        """Of earlier runs, newest first; what came again since is not among them."""
        again = {entry.notice.repeat_key for entry in self._entries.values()} - {""}
        return tuple(entry for entry in self._older if entry.notice.repeat_key not in again)

    @property
    def unread(self) -> int:
        """Warnings and alarms that were not in sight yet."""
        entries = (*self._entries.values(), *self.older)
        return sum(not entry.read and entry.notice.level is not Level.INFO for entry in entries)

    def take_older(self, lines: Sequence[NoticeLine]) -> None:
        """What is stored, newest first. What this run has told itself is in the list already."""
        named = self._facts.named
        self._older = tuple(
            Entry(
                -line.id,
                Noticed(
                    line.level, named(line.title), named(line.cause), named(line.next_step), line.account,
                    line.repeat_key,
                ),
                line.at,
                line.times,
                named(line.account or ""),
                read=line.read,
            )
            for line in lines
            if line.at < self._began
        )  # fmt: skip
        self.changed.emit()

    def mark_read(self) -> None:
        """The list was in sight."""
        self._entries = {key: replace(entry, read=True) for key, entry in self._entries.items()}
        self._older = tuple(replace(entry, read=True) for entry in self._older)
        self.changed.emit()

    def _name_accounts(self) -> None:
        """What was told before the accounts were read calls them by their numbers."""
        self._entries = {key: self._named(entry) for key, entry in self._entries.items()}
        self._older = tuple(self._named(entry) for entry in self._older)
        self.changed.emit()

    def _named(self, entry: Entry) -> Entry:
        named, told = self._facts.named, entry.notice
        notice = replace(told, title=named(told.title), cause=named(told.cause), next_step=named(told.next_step))
        return replace(entry, notice=notice, account=named(entry.account))

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
        entry = Entry(
            self._count,
            notice,
            time.time_ns(),
            account=named(notice.account or ""),
            ahead=self._clocks.ahead(notice.account),
        )
        if before is not None:
            entry = replace(entry, times=before.times + 1)
        self._entries[key] = entry
        while len(self._entries) > _KEPT:
            self._entries.pop(next(iter(self._entries)))
        self.added.emit(entry)


def _when(entry: Entry) -> str:
    """The hour; of another day than today the day, too."""
    at, now = entry.at + entry.ahead, fmt.moment(time.time_ns() + entry.ahead)
    day = fmt.moment(at).date()
    return fmt.time(at) if day == now.date() else f"{fmt.short_day(day)} {fmt.clock(at)}"


def _tone(entry: Entry) -> Tone:
    return Tone.DIM if entry.number < 0 and entry.read else _TONES[entry.notice.level]


COLUMNS: tuple[Column[Entry], ...] = (
    Column("at", "Time", lambda e: e.at, shown=_when, whole=True, width=76, tone=lambda _e: Tone.DIM),
    Column("level", "Level", lambda e: e.notice.level, width=68, tone=_tone),
    Column("title", "What", lambda e: e.notice.title, width=190, tip=lambda e: e.notice.title),
    Column("cause", "Why", lambda e: e.notice.cause, width=120, tip=lambda e: e.notice.cause),
    Column("next", "What to do", lambda e: e.notice.next_step, width=140, tip=lambda e: e.notice.next_step),
    Column("account", "Account", lambda e: e.account, width=110, tone=lambda _e: Tone.DIM, spare=3),
    Column("times", "Times", lambda e: e.times, number=True, width=56, tone=lambda _e: Tone.DIM, spare=2),
)


class NoticesPanel(QWidget):
    """The list of notices, newest first, and the chosen one in all its words."""

    def __init__(self, bridge: Bridge, notices: NoticeList) -> None:
        super().__init__()
        self._bridge = bridge
        self._notices = notices
        self._loaded = False
        self._marking = False
        self._in_sight = False
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
        layout.addWidget(self.table, 1)
        self.whole = Message(name="notices.whole")
        layout.addWidget(self.whole)
        self.table.chosen.connect(self._tell)
        self._showing = NextFrame(self, self._show)
        notices.added.connect(lambda _entry: self._showing.ask())
        notices.changed.connect(self._show)

    async def load(self) -> None:
        """What was told in earlier runs."""
        self._notices.take_older(await self._bridge.call(self._bridge.desk.notices.recent()))
        self._loaded = True
        self._look()

    def set_in_sight(self, in_sight: bool) -> None:
        """Its tab came to the front, or another one did: what is in sight is read."""
        self._in_sight = in_sight
        self._look()

    def _look(self) -> None:
        if self._in_sight and self._loaded and self._notices.unread and not self._marking:
            self._marking = True
            self._bridge.start(self._mark_read(), "notices read")

    async def _mark_read(self) -> None:
        try:
            await self._bridge.call(self._bridge.desk.notices.mark_read())
            self._notices.mark_read()
        finally:
            self._marking = False

    def _tell(self, key: Key) -> None:
        entry = self._model.row(key)
        if entry is not None:
            notice = entry.notice
            self.whole.say(f"{notice.title}\n{notice.cause} {notice.next_step}".strip(), _STRIPS[notice.level])

    def _show(self) -> None:
        self._look()
        newest = (*reversed(self._notices.entries), *self._notices.older)
        self._model.replace((entry.number, entry) for entry in newest)
