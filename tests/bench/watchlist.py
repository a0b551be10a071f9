"""A watchlist of 500 instruments, each ticking 20 times a second: row-ticks a second, and the longest frame.

Beside it, in the same run, the plain way: a QTableWidget whose cells are set for every tick. Drawn into memory, so the
figures hold without a graphics card; in the thread's own time, so they hold on a busy machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from app.domain.events import TicksConflated
from app.domain.ids import InstrumentId
from app.domain.market import Tick

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

ROWS = 500
BATCHES_A_SECOND = 20
"""The desk hands over what changed every 50 ms: here, all of them."""
FRAMES_A_SECOND = 30
SECONDS = 5
SIZE = (376, 620)
BUDGET_MS = 33.0
_NOW = 1_763_700_000_000_000_000


def run() -> dict[str, Any]:
    """Both ways, with the same ticks."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    from app.ui import theme

    application = QApplication.instance()
    if not isinstance(application, QApplication):
        application = QApplication([])
        theme.apply(application)
    batches = _batches()
    ours, naive = _ours(application, batches), _naive(application, batches)
    return {
        "rows": ROWS,
        "row_ticks": ROWS * len(batches),
        "watchlist": ours,
        "plain QTableWidget": naive,
        "times_faster": round(ours["row_ticks_per_cpu_s"] / naive["row_ticks_per_cpu_s"], 1),
        "budget": {"frame_ms": BUDGET_MS},
        "within_budget": ours["frame_max_ms"] <= BUDGET_MS,
    }


def _batches() -> list[tuple[Tick, ...]]:
    """What the desk would hand over: every instrument at a new price."""
    random = np.random.default_rng(11)
    prices = random.integers(100_00, 3_000_00, ROWS)
    closes = prices.copy()
    batches = []
    for n in range(BATCHES_A_SECOND * SECONDS):
        prices = np.maximum(prices + random.integers(-4, 5, ROWS) * 5, 5)
        at = _NOW + n * 50_000_000
        batches.append(
            tuple(
                Tick(InstrumentId(f"NSE:BENCH{i:04d}"), int(price), at, exchange_time=at, close=int(close))
                for i, (price, close) in enumerate(zip(prices, closes, strict=True))
            )
        )
    return batches


def _ours(application: QApplication, batches: list[tuple[Tick, ...]]) -> dict[str, float]:
    from app.ui.models.table import TableModel
    from app.ui.views.table_view import TableView
    from app.ui.views.watchlist import COLUMNS, FlashDelegate, WatchRow

    ticks: dict[InstrumentId, Tick] = {}
    model: TableModel[WatchRow] = TableModel(COLUMNS, None, lambda key: WatchRow(key, None, ticks.get(key)))
    view = TableView(model, name="bench", title="Bench", empty="")
    view.setItemDelegate(FlashDelegate(view, model))
    model.replace((tick.instrument, WatchRow(tick.instrument, None, None)) for tick in batches[0])

    def take(event: TicksConflated) -> None:
        for tick in event.ticks:
            ticks[tick.instrument] = tick
        model.stale([tick.instrument for tick in event.ticks])

    return _measure(application, view, batches, lambda batch: take(TicksConflated(batch)), model.flush)


def _naive(application: QApplication, batches: list[tuple[Tick, ...]]) -> dict[str, float]:
    from PySide6.QtCore import Qt
    from PySide6.QtGui import QColor
    from PySide6.QtWidgets import QTableWidget, QTableWidgetItem

    from app.ui import format as fmt
    from app.ui.theme import DARK
    from app.ui.views.watchlist import COLUMNS, WatchRow

    table = QTableWidget(ROWS, len(COLUMNS))
    lines = {tick.instrument: n for n, tick in enumerate(batches[0])}
    for n, tick in enumerate(batches[0]):
        table.setItem(n, 0, QTableWidgetItem(tick.instrument))
        for column in range(1, len(COLUMNS)):
            item = QTableWidgetItem()
            item.setTextAlignment(int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter))
            table.setItem(n, column, item)
    colors = {True: QColor(DARK.up), False: QColor(DARK.down)}

    def take(batch: tuple[Tick, ...]) -> None:
        for tick in batch:
            row, shown = lines[tick.instrument], WatchRow(tick.instrument, None, tick)
            texts = (
                fmt.price(tick.last_price),
                fmt.price(tick.change or 0, signed=True),
                fmt.percent(shown.change_percent or Decimal(0), signed=True),
            )
            for column, text in enumerate(texts, 1):
                item = table.item(row, column)
                if item is not None:
                    item.setText(text)
                    item.setForeground(colors[(tick.change or 0) >= 0])

    return _measure(application, table, batches, take, lambda: None)


def _measure(
    application: QApplication,
    view: Any,
    batches: list[tuple[Tick, ...]],
    take: Callable[[tuple[Tick, ...]], None],
    flush: Callable[[], None],
) -> dict[str, float]:
    """Every batch is taken; between them frames are flushed and painted as often as they would be."""
    view.resize(*SIZE)
    view.show()
    application.processEvents()
    taken, frames = [], []
    due = 0.0
    for batch in batches:
        began = time.thread_time_ns()
        take(batch)
        taken.append((time.thread_time_ns() - began) / 1e6)
        due += FRAMES_A_SECOND / BATCHES_A_SECOND
        while due >= 1:
            due -= 1
            began = time.thread_time_ns()
            flush()
            application.processEvents()
            frames.append((time.thread_time_ns() - began) / 1e6)
    view.hide()
    view.deleteLater()
    application.processEvents()
    whole = (sum(taken) + sum(frames)) / 1000
    return {
        "row_ticks_per_cpu_s": round(ROWS * len(batches) / whole),
        "share_of_a_core_percent": round(whole / SECONDS * 100, 1),
        "batch_max_ms": round(max(taken), 2),
        "frame_p50_ms": round(float(np.percentile(frames, 50)), 2),
        "frame_max_ms": round(max(frames), 2),
    }
