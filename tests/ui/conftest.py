"""Window tests draw into memory: no display is needed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication

from tests.ui.charts.stage import Stage, stages

os.environ["QT_QPA_PLATFORM"] = "offscreen"

# QtWebEngine wants its say before the application exists; pytest-qt makes that with the first test that needs it.
from app.ui.application import prepare_web_engine

prepare_web_engine()


@pytest.fixture
def stage(qapp: QApplication) -> Iterator[Stage]:
    """A real bridge and loop thread over the scripted desk, in the window's own look."""
    from app.ui import theme

    theme.load_fonts()
    qapp.setQuitOnLastWindowClosed(False)  # as the program does: it ends when its ordered stop has ended
    yield from stages(qapp)
