"""Where a price comes from when no feed brings it (E6), said beside the price."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from app.domain.quotes import PolledPrice
from app.ui import format as fmt
from app.ui import theme


def source_words(polled: PolledPrice | None) -> str:
    """`Finnhub 15:29`, with the time of the trade where it is told; empty for a price of the feed."""
    if polled is None:
        return ""
    at = polled.tick.exchange_time
    return polled.source if at is None else f"{polled.source} {fmt.clock(at)}"


def source_tip(polled: PolledPrice | None) -> str:
    """The same as a sentence."""
    if polled is None:
        return ""
    at = polled.tick.exchange_time
    traded = f"traded {fmt.date_time(at)}" if at is not None else f"asked for {fmt.date_time(polled.tick.received_at)}"
    return f"No feed brings this price: {polled.source}, {traded}. It is shown only; no stop hears it."


class SourceLabel(QLabel):
    """Names the source of a price while somebody else than the feed tells it; hidden otherwise."""

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.setObjectName(name)
        self.setTextFormat(Qt.TextFormat.PlainText)
        theme.set_role(self, "warning")
        self.hide()

    def tell(self, polled: PolledPrice | None) -> None:
        """What is shown now; None: the feed's own price."""
        if polled is None and self.isHidden():
            return
        self.setText(source_words(polled))
        self.setToolTip(source_tip(polled))
        self.setVisible(polled is not None)
