from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication

from app.ui import theme
from tests.ui.charts.stage import Stage, stages


@pytest.fixture
def stage(qapp: QApplication) -> Iterator[Stage]:
    theme.load_fonts()
    yield from stages(qapp)
