"""Instruments: the brokers' lists, what is in them, how the last import went; refreshing them from any source."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app.domain.errors import AppError
from app.domain.listing import ImportReport, InstrumentList, InstrumentsProgressed
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.dialogs.instrument_tables import (
    CHECK_COLUMNS,
    LIST_COLUMNS,
    LOG_COLUMNS,
    SEGMENT_COLUMNS,
    CheckRow,
    SegmentRow,
    check_rows,
    list_named,
    list_title,
    segment_rows,
    summary,
)
from app.ui.models.table import TableModel
from app.ui.views.table_view import TableView
from app.ui.widgets.text import Message, Question, label

IN_ORDER = "Broker, else public file"
SOURCES = (
    (IN_ORDER, None),
    ("Broker, with my login", "api"),
    ("Public file", "public file"),
    ("Sample of the program", "sample"),
)
FILES = "Instrument lists (*.csv *.csv.gz *.json *.json.gz *.gz);;All files (*)"


class InstrumentsDialog(QDialog):
    """One import at a time; the window goes on meanwhile, and the import does when this is closed."""

    def __init__(self, bridge: Bridge, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("instruments")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Instruments")
        self._bridge = bridge
        self._lists: dict[str, InstrumentList] = {}
        self._shown = ""
        self.message = Message(name="instruments.message")
        self.question = Question(name="instruments.question")
        self._progress = label("", "muted", name="instruments.progress")
        self._make_tables()
        tabs = QTabWidget()
        tabs.setObjectName("instruments.tabs")
        tabs.setDocumentMode(True)
        tabs.addTab(self.segments, "&Segments")
        tabs.addTab(self.checks, "&Last import")
        tabs.addTab(self.log, "L&og")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(8)
        layout.addLayout(self._bar())
        layout.addWidget(self._progress)
        layout.addWidget(self.message)
        layout.addWidget(self.question)
        layout.addWidget(self.lists, 2)
        layout.addWidget(tabs, 3)
        self.resize(920, 620)
        bridge.subscribe(InstrumentsProgressed, self._on_progress)
        bridge.start(self._load(), "instruments")

    def _make_tables(self) -> None:
        self._list_model: TableModel[InstrumentList] = TableModel(LIST_COLUMNS, self)
        self.lists = TableView(
            self._list_model, name="instruments.lists", title="Lists", empty="No list was imported yet",
            hint="Connect an account, or choose a file that you downloaded.",
        )  # fmt: skip
        self.lists.selectionModel().currentRowChanged.connect(lambda *_: self._show_chosen())
        self._segment_model: TableModel[SegmentRow] = TableModel(SEGMENT_COLUMNS, self)
        self.segments = TableView(
            self._segment_model, name="instruments.segments", title="Segments", empty="Nothing in this list"
        )
        self._check_model: TableModel[CheckRow] = TableModel(CHECK_COLUMNS, self)
        self.checks = TableView(
            self._check_model, name="instruments.checks", title="Last import", empty="This list was not imported yet"
        )
        self._log_model: TableModel[ImportReport] = TableModel(LOG_COLUMNS, self)
        self.log = TableView(self._log_model, name="instruments.log", title="Log", empty="Nothing was imported yet")

    def _bar(self) -> QHBoxLayout:
        self.source = QComboBox()
        self.source.setObjectName("instruments.source")
        self.source.setAccessibleName("Where from")
        for title, _ in SOURCES:
            self.source.addItem(title)
        self.refresh = _button("&Refresh", "instruments.refresh", self._refresh_all)
        self.refresh.setToolTip("Import the list that is selected; all of them when none is")
        theme.set_role(self.refresh, "primary")
        self.open_file = _button("From a &file…", "instruments.file", self._choose)
        self.cancel = _button("&Cancel", "instruments.cancel", self._cancel)
        self.cancel.setEnabled(False)
        row = QHBoxLayout()
        row.addWidget(label("From", "muted"))
        row.addWidget(self.source)
        for button in (self.refresh, self.open_file, self.cancel):
            row.addWidget(button)
        row.addStretch(1)
        return row

    # -- what there is -----------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        found = await self._bridge.call(self._bridge.desk.instruments.lists())
        log = await self._bridge.call(self._bridge.desk.instruments.log())
        self._lists = {one.name: one for one in found}
        self._list_model.replace((one.name, one) for one in found)
        self._log_model.replace(((one.broker, one.started_at), one) for one in log)
        if found and self._chosen() is None:
            self.lists.selectRow(0)
        self._show_chosen()
        self._ask_about(found)

    def _chosen(self) -> InstrumentList | None:
        key = self._list_model.key_at(self.lists.currentIndex())
        return self._lists.get(str(key)) if key is not None else None

    def _show_chosen(self) -> None:
        chosen = self._chosen()
        self._segment_model.replace(segment_rows(chosen) if chosen is not None else ())
        self._check_model.replace(check_rows(chosen.last) if chosen is not None and chosen.last is not None else ())

    def _ask_about(self, found: Sequence[InstrumentList]) -> None:
        """A list that lost a segment: the trader says whether that is right."""
        waiting = next((one for one in found if one.awaits), None)
        if waiting is None:
            self.question.hide()
            return
        lost = ", ".join(waiting.last.counts.withheld) if waiting.last is not None and waiting.last.counts else ""
        self.question.ask(
            f"The newest list of {list_title(waiting)} is without {lost or 'a segment'}. What it no longer has is "
            "still active, for the list may have been cut short. Is the list right?",
            "&Deactivate what is gone",
            "&Keep everything",
            lambda: self._start(lambda: self._confirm(waiting.name), "Deactivating…"),
        )

    # -- imports -----------------------------------------------------------------------------------------------------

    def _refresh_all(self) -> None:
        source = SOURCES[self.source.currentIndex()][1]
        chosen = self._chosen()
        name = chosen.name if chosen is not None else None
        self._start(lambda: self._import(name, source), "Importing…")

    def _choose(self) -> None:
        dialog = QFileDialog(self, "An instrument list", "", FILES)
        dialog.setObjectName("instruments.files")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(self.take_file)
        dialog.open()

    def take_file(self, path: str) -> None:
        """Whose list it is is told by its content."""
        self._start(lambda: self._import(None, path), "Importing…")

    def _cancel(self) -> None:
        self._bridge.start(self._bridge.call(self._bridge.desk.instruments.cancel()), "cancel import")

    async def _import(self, name: str | None, source: str | None) -> str:
        reports = await self._bridge.call(self._bridge.desk.instruments.sync(name, source))
        return " ".join(summary(report) for report in reports)

    async def _confirm(self, name: str) -> str:
        return summary(await self._bridge.call(self._bridge.desk.instruments.confirm(name)))

    def _start(self, work: Callable[[], Coroutine[Any, Any, str]], words: str) -> None:
        self._set_busy(words)
        self._bridge.start(self._run(work), words)

    async def _run(self, work: Callable[[], Coroutine[Any, Any, str]]) -> None:
        try:
            said = await work()
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
        else:
            self.message.say(said, "strip")
        finally:
            self._set_busy("")
        await self._load()

    def _set_busy(self, words: str) -> None:
        for button in (self.refresh, self.open_file):
            button.setEnabled(not words)
        self.cancel.setEnabled(bool(words))
        self._progress.setText(words)
        if words:
            self.message.clear()
            self.question.hide()

    def _on_progress(self, event: InstrumentsProgressed) -> None:
        if event.step in ("done", "failed", "cancelled"):
            self._progress.setText("")
            return
        lines = f", {fmt.group(event.lines)} lines" if event.lines else ""
        self._progress.setText(f"{list_named(event.broker)}: {event.step} ({event.source}){lines}…")

    def done(self, result: int) -> None:
        """Qt. Esc and the window's cross end here."""
        self._bridge.unsubscribe(self._on_progress)
        super().done(result)


def _button(text: str, name: str, do: Callable[[], object]) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.clicked.connect(lambda _checked=False: do())
    return button
