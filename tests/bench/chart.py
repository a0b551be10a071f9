"""A chart with a million candles: what a panned frame and a live update cost, from the mouse or the candle to the
last painted pixel. Drawn into memory, so the figures hold without a graphics card."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from app.domain.ids import InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment
from app.domain.market import Candle, Interval

if TYPE_CHECKING:
    from app.ui.charts.hands import ChartCanvas

CANDLES = 1_000_000
FRAMES = 300
SIZE = (1200, 700)
_MINUTE = 60_000_000_000
_BEGIN = 1_704_080_700_000_000_000
"""2024-01-01 09:15 IST."""

PEER = {
    "name": "finplot, 1 M candles, as measured in product.md",
    "pan_ms": 20.0,
    "live_update_ms": 120.0,
}


def run() -> dict[str, Any]:
    """p50 and p99 in milliseconds: panned frames at the opening zoom and with everything in view, and live updates."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    from app.ui import theme
    from app.ui.charts.hands import ChartCanvas

    application = QApplication.instance()
    if not isinstance(application, QApplication):
        application = QApplication([])
        theme.apply(application)
    canvas = ChartCanvas()
    canvas.resize(*SIZE)
    canvas.show_instrument(
        Instrument(
            InstrumentId("NSE:BENCH"),
            1,
            Exchange.NSE,
            Segment.EQUITY,
            InstrumentKind.SHARE,
            "Bench",
            tick_size=5,
            lot_size=1,
        ),
        Interval.MINUTE,
    )
    started = time.perf_counter()
    _load(canvas)
    loaded_ms = (time.perf_counter() - started) * 1000
    canvas.show()
    application.processEvents()
    paint = canvas.viewport().repaint
    result: dict[str, Any] = {"candles": CANDLES, "size": list(SIZE), "load_columns_ms": round(loaded_ms, 1)}
    canvas.view.jump_to_end(CANDLES)
    result["pan"] = _measure(lambda i: _pan(canvas, i, paint))
    result["live_update"] = _measure(lambda i: _live(canvas, i, paint))
    canvas.view.span = 20_000.0
    result["pan_20000_visible"] = _measure(lambda i: _pan(canvas, i, paint))
    canvas.view.fit_all(CANDLES)
    result["pan_all_visible"] = _measure(lambda i: _pan(canvas, i, paint))
    result["live_update_all_visible"] = _measure(lambda i: _live(canvas, i, paint))
    result["budget"] = {"pan_ms": 8.0, "live_update_ms": 4.0}
    result["within_budget"] = result["pan"]["p99_ms"] <= 8.0 and result["live_update"]["p99_ms"] <= 4.0
    result["peer"] = PEER
    canvas.hide()
    canvas.deleteLater()
    application.processEvents()
    return result


def _load(canvas: ChartCanvas) -> None:
    random = np.random.default_rng(7)
    close = 1_500_00 + np.cumsum(random.integers(-30, 31, CANDLES))
    close += 1_000_00 - min(0, int(close.min()))
    open_ = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(open_, close) + random.integers(0, 40, CANDLES)
    low = np.minimum(open_, close) - random.integers(0, 40, CANDLES)
    start = _BEGIN + np.arange(CANDLES, dtype=np.int64) * _MINUTE
    canvas.series.load_columns(start, open_, high, low, close, random.integers(100, 90_000, CANDLES))


def _pan(canvas: ChartCanvas, frame: int, paint: Callable[[], None]) -> None:
    canvas.view.pan(0.01 if frame % 40 < 20 else -0.01, CANDLES)
    canvas.touch()
    canvas.flush()
    paint()


def _live(canvas: ChartCanvas, frame: int, paint: Callable[[], None]) -> None:
    at = len(canvas.series) - 1
    last = canvas.series.candle(at)
    close = last.close + (5 if frame % 2 else -5)
    canvas.put(Candle(last.start, last.open, max(last.high, close), min(last.low, close), close, last.volume + 10))
    canvas.set_last(close, rising=True)
    canvas.flush()
    paint()


def _measure(frame: Callable[[int], None]) -> dict[str, float]:
    taken, work = np.empty(FRAMES), np.empty(FRAMES)
    for i in range(20):
        frame(i)
    for i in range(FRAMES):
        started, worked = time.perf_counter_ns(), time.thread_time_ns()
        frame(i)
        taken[i] = (time.perf_counter_ns() - started) / 1e6
        work[i] = (time.thread_time_ns() - worked) / 1e6
    return {
        "p50_ms": round(float(np.percentile(taken, 50)), 2),
        "p99_ms": round(float(np.percentile(taken, 99)), 2),
        "max_ms": round(float(taken.max()), 2),
        # The thread's own time: what a frame costs when others want the processor too.
        "cpu_p99_ms": round(float(np.percentile(work, 99)), 2),
    }
