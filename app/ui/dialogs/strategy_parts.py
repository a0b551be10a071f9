"""Parts of the strategy editor: what it says of a plan, and how its fields are read."""

from __future__ import annotations

from datetime import date

from PySide6.QtCore import QTime
from PySide6.QtWidgets import QHBoxLayout, QTimeEdit, QWidget

from app.domain.instrument import Instrument
from app.domain.order import Side
from app.domain.strategy import StrategyPlan, StrategyPreview
from app.ui import format as fmt
from app.ui.views.strategy_words import when


def preview_words(plan: StrategyPlan, preview: StrategyPreview, instrument: Instrument | None) -> str:
    """The next entry and exit, what was moved, and the money between entry, stop and target."""
    first, last = ("Buys", "sells") if plan.side is Side.BUY else ("Sells short", "buys back")
    lines = []
    if preview.entry_at is None:
        lines.append("There is no day to enter on.")
    else:
        lines.append(f"{first} next {when(preview.entry_at)}, {last} {when(preview.exit_at)} IST.")
    lines.extend(preview.words[-2:])
    if instrument is not None and preview.entry_price is not None and preview.stop_price is not None:

        def price(value: int | None) -> str:
            return "" if value is None else fmt.price(value, instrument.price_scale, instrument.tick_size)

        told = f"At {price(preview.entry_price)}: stop {price(preview.stop_price)}"
        if preview.at_risk is None:
            target = "" if preview.target_price is None else f", target {price(preview.target_price)}"
            lines.append(f"{told}{target}. How much a lot holds is not known yet, and so not what is at risk.")
            return "\n".join(lines)
        told += f", {fmt.amount(preview.at_risk)} at risk"
        if preview.to_gain is not None:
            told += f"; target {price(preview.target_price)}, {fmt.amount(preview.to_gain)} to gain"
        lines.append(f"{told}, before charges.")
    elif plan.stop is None:
        lines.append("Without a stop nothing but the clock gets it out.")
    return "\n".join(lines)


def read_dates(text: str) -> tuple[date, ...]:
    """`2026-11-25, 2026-11-27`. Raises ValueError in words."""
    found = []
    for part in text.replace(";", ",").split(","):
        if part.strip():
            try:
                found.append(date.fromisoformat(part.strip()))
            except ValueError:
                raise ValueError(f"“{part.strip()}” is no date. Write 2026-11-25.") from None
    return tuple(sorted(set(found)))


def time_field(name: str, words: str) -> QTimeEdit:
    """A time of day with seconds."""
    edit = QTimeEdit()
    edit.setObjectName(name)
    edit.setAccessibleName(words)
    edit.setDisplayFormat("HH:mm:ss")
    return edit


def second_of(edit: QTimeEdit) -> int:
    """What it shows, in seconds after midnight."""
    return QTime(0, 0).secsTo(edit.time())


def beside(*widgets: QWidget) -> QHBoxLayout:
    """In one line, at the left."""
    row = QHBoxLayout()
    row.setSpacing(8)
    for widget in widgets:
        row.addWidget(widget)
    row.addStretch(1)
    return row
