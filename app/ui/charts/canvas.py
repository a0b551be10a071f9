"""The chart's canvas: puts the layers together and decides when they are painted. What mouse and keys do: `hands`.

GUI thread. Data waits for the common frame, the mouse for 60 a second; a hidden canvas draws nothing and has no timer.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt, QTimer
from PySide6.QtGui import QColor, QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from app.domain.ids import Nanos
from app.domain.instrument import Instrument
from app.domain.market import Candle, Interval
from app.domain.money import Price
from app.ui.charts.axes import Backdrop
from app.ui.charts.candles import CandleLayer
from app.ui.charts.overlays import FillMark, Overlay, PositionMark
from app.ui.charts.panes import Panes
from app.ui.charts.series import CandleSeries, Put
from app.ui.charts.stop_line import StopLine
from app.ui.charts.tags import Pen
from app.ui.charts.viewport import Viewport
from app.ui.charts.volume import VolumeLayer
from app.ui.frame import until_next_frame
from app.ui.theme import DARK

MOUSE_FRAME_MS = 16


class CandleCanvas(pg.GraphicsView):
    """Candles, volume and what is laid over them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, useOpenGL=False, background=QColor(DARK.base))
        self.setCentralItem(None)
        self.setMinimumSize(240, 160)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.series = CandleSeries()
        self.view = Viewport()
        self._panes = Panes()
        self._pen = Pen()
        self._backdrop = Backdrop(self._panes, self.series)
        self._candles = CandleLayer(self._panes, self.series)
        self._volume = VolumeLayer(self._panes, self.series)
        self.overlay = Overlay(self._panes, self.series, self._pen)
        for item in (self._panes.price.view, self._panes.volume.view):
            self.addItem(item)
        for layer in (self._backdrop, self._volume, self._candles, self.overlay):
            self.addItem(layer)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_frame)
        self._axis_width = 0.0
        self._moved = True
        """The view, or a candle within it, changed: every layer is stale."""
        self._held: StopLine | None = None
        """The line in the trader's hand; prices do not rescale under it."""

    # --- facts -----------------------------------------------------------------------------------------------------

    def show_instrument(self, instrument: Instrument, interval: Interval) -> None:
        """An empty chart of another instrument or interval."""
        self.series.clear()
        self._panes.with_volume = instrument.tradable
        self._volume.setVisible(instrument.tradable)
        self._place()
        self.view.reset()
        for layer in (self._backdrop, self.overlay):
            layer.price_scale, layer.tick_size = instrument.price_scale, instrument.tick_size
        self._backdrop.interval_ns = int(interval) * 1_000_000_000
        self.overlay.interval = interval
        self.overlay.last = None
        self.overlay.positions, self.overlay.fills, self.overlay.stops = (), (), ()
        self.overlay.gaps = ()
        self.overlay.message = self.overlay.warning = ""
        self._drop()
        self.touch()

    def load(self, candles: Sequence[Candle]) -> None:
        """Appends a slice of history; the view starts at its end."""
        self.series.load(candles)
        self.view.jump_to_end(len(self.series))
        self.touch()

    def put(self, candle: Candle) -> None:
        """The live candle."""
        if self.series.put(candle) is Put.APPENDED:
            self.view.appended(len(self.series))
        self.touch()

    def set_last(self, price: Price, *, rising: bool) -> None:
        """The last price."""
        self.overlay.last, self.overlay.rising = price, rising
        self.touch()

    def set_marks(self, positions: Sequence[PositionMark], fills: Sequence[FillMark]) -> None:
        """Positions and fills of the instrument."""
        self.overlay.positions, self.overlay.fills = tuple(positions), tuple(fills)
        self.touch()

    def set_stops(self, lines: Sequence[StopLine]) -> None:
        """The stop lines, or the same ones with other facts."""
        self.overlay.stops = tuple(lines)
        if self._held is not None and (self._held not in lines or self._held.dragged is None):
            self._drop()
        self.touch()

    def set_gaps(self, gaps: Sequence[tuple[Nanos, Nanos]]) -> None:
        """Stretches in which no prices came."""
        self.overlay.gaps = tuple(gaps)
        self.touch()

    def say(self, message: str = "", warning: str = "", *, loading: bool = False) -> None:
        """Words in the empty chart, and a warning at its foot."""
        self.overlay.message, self.overlay.warning, self.overlay.loading = message, warning, loading
        self.touch()

    # --- frames ----------------------------------------------------------------------------------------------------

    def touch(self, *, view: bool = True, soon: bool = False) -> None:
        """Something to draw: with the next frame, many at once."""
        self._moved = self._moved or view
        if self.isVisible() and not self._timer.isActive():
            self._timer.start(MOUSE_FRAME_MS if soon else until_next_frame())

    def flush(self) -> None:
        """Draws what is due, now."""
        self._timer.stop()
        self._on_frame()

    def _on_frame(self) -> None:
        if self._moved:
            self._moved = False
            self._fit()
            for layer in (self._backdrop, self._candles, self._volume):
                layer.update()
        self.overlay.update()

    def _fit(self) -> None:
        """Brings the panes to what the viewport says; prices scale to what is visible."""
        panes, count = self._panes, len(self.series)
        first, last = self.view.range(count)
        panes.set_x(first, last)
        volume = panes.volume
        volume.set_y(0.0, 1.0)
        if self._held is not None:
            return
        self.view.fit_prices(self.series.extent(*panes.price.visible(count)), self._extras(), self.overlay.tick_size)
        panes.price.set_y(*self.view.prices(panes.price.rect.height()))
        if self._backdrop.axis_width(panes.price.high) != self._axis_width:
            self._place()
            panes.set_x(*self.view.range(count))

    def _extras(self) -> list[float]:
        """Prices that should be in the picture when they are near."""
        found: list[float] = [] if self.overlay.last is None else [float(self.overlay.last)]
        found.extend(mark.average for mark in self.overlay.positions)
        found.extend(float(line.standing) for line in self.overlay.stops if line.standing is not None)
        return found

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Divides the canvas anew."""
        super().resizeEvent(event)  # type: ignore[arg-type]  # pyqtgraph itself calls it with None
        if not hasattr(self, "_timer"):
            return  # pyqtgraph resizes while it is being built
        self._place()
        self._moved = True
        self.flush()

    def _place(self) -> None:
        size = self.viewport().size()
        self._axis_width = self._backdrop.axis_width(self._panes.price.high)
        self._panes.place(size.width(), size.height(), self._axis_width)
        self.view.set_width(self._panes.price.rect.width())
        whole = self._panes.whole
        self._backdrop.set_area(whole)
        self.overlay.set_area(whole)
        self._candles.set_area(self._panes.price.rect)
        volume = self._panes.volume.rect
        self._volume.set_area(QRectF(volume.left(), volume.top(), whole.width(), volume.height()))

    def showEvent(self, event: QShowEvent) -> None:
        """Draws what happened while hidden."""
        super().showEvent(event)
        self._place()
        self.touch()

    def hideEvent(self, event: QHideEvent) -> None:
        """A hidden chart costs nothing."""
        self._timer.stop()
        self._drop()
        super().hideEvent(event)

    def _drop(self) -> None:
        """The drag is over and asked for nothing."""
        if self._held is not None:
            self._held.cancel()
        self._held = None
