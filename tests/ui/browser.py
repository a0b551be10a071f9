"""The system's browser as far as a test needs it: it remembers which pages it was asked to open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from PySide6.QtCore import QObject, QUrl, Slot
from PySide6.QtGui import QDesktopServices


class Browser(QObject):
    """Instead of the real one."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    @Slot(QUrl)
    def show(self, url: QUrl) -> None:
        """Called by Qt."""
        self.opened.append(url.toString())


@contextmanager
def system_browser(scheme: str = "https") -> Iterator[list[str]]:
    """The pages opened meanwhile."""
    browser, method = Browser(), cast("Any", "show")  # the stub says bytes, the function wants a string
    QDesktopServices.setUrlHandler(scheme, browser, method)
    try:
        yield browser.opened
    finally:
        QDesktopServices.unsetUrlHandler(scheme)
