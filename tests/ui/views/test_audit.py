"""The audit trail in the window."""

from __future__ import annotations

from app.ui.models.facts import Facts
from app.ui.views.audit import AuditPanel
from tests.ui.charts.stage import Stage


def test_each_line_names_what_it_is_about(stage: Stage) -> None:
    facts = Facts(stage.bridge)
    stage.loop.run_until_complete(facts.load())
    panel = AuditPanel(stage.bridge, facts)
    panel.show()
    stage.until(lambda: panel._model.rowCount() > 0)
    of = panel._model.column("subject")
    named = {str(panel._model.index(row, of).data()) for row in range(panel._model.rowCount())}
    assert "strategy Opening drive" in named
    assert any(name.startswith("stop ") for name in named)
    panel.close()
