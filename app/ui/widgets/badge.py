"""Small words with a fill: PAPER in amber, LIVE in red, and quiet ones."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from app.ui import theme


class Badge(QLabel):
    """A word in a coloured box. Colour never speaks alone: the word is always there."""

    def __init__(self, text: str = "", role: str = "badge", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        theme.set_role(self, role)

    def show_word(self, text: str, role: str = "badge") -> None:
        """Another word in another role: badge, badge-warning, paper, live."""
        self.setText(text)
        theme.set_role(self, role)


class MoneyBadge(Badge):
    """Whether an account trades with play money. Stands on every ticket (J1); derives from the account's endpoints."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.show_paper(None)

    def show_paper(self, paper: bool | None) -> None:
        """PAPER, LIVE, or no account at all."""
        if paper is None:
            self.show_word("NO ACCOUNT")
            self.setToolTip("No account is connected.")
        elif paper:
            self.show_word("PAPER", "paper")
            self.setToolTip("Play money: orders go to the paper exchange on this machine.")
        else:
            self.show_word("LIVE", "live")
            self.setToolTip("Real money: orders go to the broker.")
        self.setAccessibleName(f"Account kind: {self.text()}")
