"""The diagnostics page: the worst first, figures with their bars, and a report that is saved as it was seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QPushButton, QWidget

from app.domain.errors import StorageError
from app.domain.metrics import DayMetric, Metric, MetricHistory
from app.domain.report import ReportMember
from app.ui.dialogs.diagnostics import DiagnosticsDialog
from app.ui.views.table_view import TableView
from tests.ui.charts.stage import Stage

HISTORY = MetricHistory(
    ("2026-11-23", "2026-11-24", "2026-11-25"),
    (
        DayMetric("2026-11-23", "zerodha-1", Metric.EXITS, 3),
        DayMetric("2026-11-25", "zerodha-1", Metric.EXITS, 2),
        DayMetric("2026-11-23", "zerodha-1", Metric.ENGINE_WORST_US, 4_000),
        DayMetric("2026-11-24", "zerodha-1", Metric.ENGINE_WORST_US, 9_000),
        DayMetric("2026-11-25", "", Metric.MEMORY_MB, 1_300),
    ),
)
MEMBERS = (ReportMember("about.txt", "masked"), ReportMember("health.json", "[]"))


@pytest.fixture
def page(stage: Stage) -> Iterator[DiagnosticsDialog]:
    stage.desk.metrics.found = HISTORY
    stage.desk.reports.members = MEMBERS
    parent = QWidget()
    dialog = DiagnosticsDialog(stage.bridge, parent, lambda text: text.replace("zerodha-1", "Asha Rao"))
    dialog.show()
    stage.settle()
    yield dialog
    parent.deleteLater()


def lines(table: TableView) -> list[list[str]]:
    model = table.model()
    return [
        [str(model.index(row, column).data() or "") for column in range(model.columnCount())]
        for row in range(model.rowCount())
    ]


def test_the_worst_finding_is_first_and_figures_are_put_together_as_each_means(page: DiagnosticsDialog) -> None:
    assert lines(page.health)[0][:2] == ["warning", "backup"]
    assert lines(page.figures) == [
        ["Memory, most (MB)", "Stopline", "1,300", "1,300", "1,300"],
        ["Exits", "Asha Rao", "2", "5", "5"],
        ["Exit, slowest (µs)", "Asha Rao", "–", "9,000", "9,000"],
    ]
    page.figures.select("zerodha-1\nexits")
    assert page.bars.title.startswith("Exits · Asha Rao")
    assert page.bars.accessibleDescription().endswith("2026-11-23 3, 2026-11-25 2")
    assert not page.bars.grab().isNull()


def test_a_report_is_looked_at_and_saved_as_it_was_seen(page: DiagnosticsDialog, stage: Stage, tmp_path: Path) -> None:
    make, save = (page.findChild(QPushButton, f"report.{name}") for name in ("make", "save"))
    assert make is not None
    assert save is not None
    assert not save.isEnabled()
    make.click()
    stage.settle()
    assert save.isEnabled()
    files = page.report.files
    assert [files.item(row).text() for row in range(files.count())] == ["about.txt", "health.json"]
    files.setCurrentRow(1)
    assert page.report.text.toPlainText() == "[]"
    page.save_to(tmp_path / "r.zip")
    stage.settle()
    assert stage.desk.reports.saved == [(str(tmp_path / "r.zip"), MEMBERS)]
    assert page.message.text == "2 files, 2 kB, in r.zip."
    stage.desk.script.fail("save_report", StorageError("The report cannot be written.", "Choose another folder."))
    page.save_to(tmp_path / "r.zip")
    stage.settle()
    assert page.message.text == "Nothing was saved. The report cannot be written. Choose another folder."
