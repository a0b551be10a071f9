"""What the sync cannot settle by itself: both sides of a conflict, failed jobs, days without a closing sync."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from app.desk.messages import SyncStatus
from app.domain.fill import Fill
from app.domain.ids import AccountId
from app.domain.sync import Conflicts, FailedJob, FillConflict, OpenDay
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.models.table import TableModel
from app.ui.views.sync_tables import TROUBLE_COLUMNS, TroubleRow, trouble_rows
from app.ui.views.table_view import TableView
from app.ui.widgets.text import label, selectable

_FIELDS: tuple[tuple[str, Callable[[Fill], str]], ...] = (
    ("Side", lambda f: f.side.value),
    ("Quantity", lambda f: fmt.group(f.quantity)),
    ("Price", lambda f: fmt.price(f.price, f.price_scale)),
    ("Product", lambda f: f.product.value),
    ("Time", lambda f: fmt.date_time(f.filled_at)),
    ("Order", lambda f: f.broker_order_id),
    ("Trade", lambda f: f.id.trade_id),
)


class TroublePage(QWidget):
    """The list, and beside it what can be done about the chosen line."""

    def __init__(
        self,
        bridge: Bridge,
        facts: Facts,
        changed: Callable[[], object],
        ask_file: Callable[[AccountId], object],
    ) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._changed = changed
        self._ask_file = ask_file
        self._status: SyncStatus | None = None
        self._shown: TroubleRow | None = None
        self._model: TableModel[TroubleRow] = TableModel(TROUBLE_COLUMNS, self)
        self.table = TableView(
            self._model, name="sync.trouble", title="Left to settle", empty="Nothing is left to settle",
            hint="Fills that the broker tells differently, jobs that keep failing, and trading days without a closing "
            "sync would stand here.",
        )  # fmt: skip
        self.table.chosen.connect(lambda _key: self._show())
        self._title = selectable(label("", "heading", wrap=True, name="sync.trouble.title"))
        self._words = selectable(label("", "muted", wrap=True, name="sync.trouble.words"))
        self._sides = QWidget()
        self._grid = QGridLayout(self._sides)
        self._grid.setContentsMargins(0, 4, 0, 4)
        self._grid.setHorizontalSpacing(18)
        self._grid.setVerticalSpacing(3)
        self._cells = self._make_grid()
        self._first = QPushButton()
        self._first.setObjectName("sync.trouble.first")
        theme.set_role(self._first, "primary")
        self._first.clicked.connect(lambda: self._act(0))
        self._second = QPushButton()
        self._second.setObjectName("sync.trouble.second")
        self._second.clicked.connect(lambda: self._act(1))
        buttons = QHBoxLayout()
        buttons.setContentsMargins(14, 6, 12, 8)
        buttons.addWidget(self._first)
        buttons.addWidget(self._second)
        buttons.addStretch(1)
        story = QWidget()
        told = QVBoxLayout(story)
        told.setContentsMargins(14, 8, 12, 0)
        told.addWidget(self._title)
        told.addWidget(self._words)
        told.addWidget(self._sides)
        told.addStretch(1)
        self._story = QScrollArea()  # in a low dock the words scroll, and the buttons stay in sight
        self._story.setObjectName("sync.trouble.story")
        self._story.setWidgetResizable(True)
        self._story.setFrameShape(QFrame.Shape.NoFrame)
        self._story.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._story.setWidget(story)
        self._detail = QWidget()
        detail = QVBoxLayout(self._detail)
        detail.setContentsMargins(0, 0, 0, 0)
        detail.setSpacing(0)
        detail.addWidget(self._story, 1)
        detail.addLayout(buttons)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(self.table)
        split.addWidget(self._detail)
        split.setStretchFactor(0, 3)
        split.setStretchFactor(1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(split)
        self._show()

    def _make_grid(self) -> list[tuple[Any, Any, Any]]:
        for column, title in enumerate(("", "In the book", "At the broker")):
            self._grid.addWidget(label(title, "muted"), 0, column)
        cells = []
        for row, (name, _) in enumerate(_FIELDS, start=1):
            made = (label(name, "muted"), selectable(label("")), selectable(label("")))
            for column, cell in enumerate(made):
                self._grid.addWidget(cell, row, column)
            cells.append(made)
        self._grid.setColumnStretch(3, 1)
        return cells

    @property
    def count(self) -> int:
        """Lines."""
        return self._model.rowCount()

    def take(self, status: SyncStatus) -> None:
        """The newest state."""
        self._status = status
        chosen = self.table.current
        self._model.replace(trouble_rows(status, self._facts.account_name))
        self._model.flush()
        if self.count:
            keys = self._model.keys
            self.table.select(chosen if chosen in keys else keys[0])
        self._show()

    def _show(self) -> None:
        key = self.table.current
        row = self._model.latest(key) if key is not None else None
        self._shown = row
        self._detail.setVisible(row is not None)
        if row is None:
            return
        thing = row.thing
        self._sides.setVisible(isinstance(thing, FillConflict))
        if isinstance(thing, FillConflict):
            self._say(
                f"{thing.ours.instrument}: the broker tells this fill differently now",
                "The book keeps what it has until you choose. What you wrote beside the fill stays either way.",
                "Take the b&roker's", "&Keep the book's",
            )  # fmt: skip
            self._compare(thing)
        elif isinstance(thing, FailedJob):
            self._say(
                f"{row.name}: {row.kind}",
                f"Failed {thing.tries} times in a row since {fmt.date_time(thing.first_failed_at)}. {thing.error}",
                "Try agai&n", "Di&scard",
            )  # fmt: skip
        else:
            self._say_day(row, thing)

    def _say_day(self, row: TroubleRow, thing: OpenDay) -> None:
        day = fmt.day(date.fromisoformat(thing.day))
        if self._keeps_history(thing):
            words = "The broker keeps this day: it can be fetched."
            first = "&Fetch the day"
        else:
            words = (
                "The broker lists the trades of today only. Compare with the contract note, or import the tradebook "
                "file of the day from the broker's web site (Zerodha: Console, Reports, Tradebook)."
            )
            first = "Import a &file…"
        last = "" if thing.last_sync is None else f" Its last sync was at {fmt.clock(thing.last_sync)}."
        self._say(f"{row.name}: {day} has no closing sync", f"{words}{last}", first, "I have chec&ked it")

    def _keeps_history(self, thing: OpenDay) -> bool:
        accounts = self._status.accounts if self._status is not None else ()
        days = next((a.history_days for a in accounts if a.account == thing.account), None)
        return days is not None and days > 1

    def _say(self, title: str, words: str, first: str, second: str) -> None:
        self._title.setText(title)
        self._words.setText(words)
        self._first.setText(first)
        self._second.setText(second)

    def _compare(self, conflict: FillConflict) -> None:
        for (_, text), (_, ours, theirs) in zip(_FIELDS, self._cells, strict=True):
            mine, other = text(conflict.ours), text(conflict.theirs)
            ours.setText(mine)
            theirs.setText(other)
            theme.set_role(theirs, "warning" if mine != other else "")

    def _act(self, button: int) -> None:
        row = self._shown
        if row is None:
            return
        thing, sync = row.thing, self._bridge.desk.sync
        work: Coroutine[Any, Any, Any]
        if isinstance(thing, FillConflict):
            work = sync.settle(thing.id, Conflicts.BOOK if button else Conflicts.BROKER)
        elif isinstance(thing, FailedJob):
            work = sync.discard(thing.id) if button else sync.retry(thing.id)
        elif button:
            work = sync.close_day(thing.account, thing.day)
        elif not self._keeps_history(thing):
            self._ask_file(thing.account)
            return
        else:
            on = date.fromisoformat(thing.day)
            work = sync.run(thing.account, "manual", on, on)
        self._bridge.start(self._do(self._bridge.call(work)), "settle")

    async def _do(self, answer: asyncio.Future[Any]) -> None:
        self._first.setEnabled(False)
        self._second.setEnabled(False)
        try:
            await answer
        finally:
            self._first.setEnabled(True)
            self._second.setEnabled(True)
            self._changed()
