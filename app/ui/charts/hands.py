"""The canvas in the trader's hands: mouse and keys become a moved view, a dragged stop, or a wish for the desk."""

from __future__ import annotations

from enum import Enum

from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QEnterEvent, QKeyEvent, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QMenu, QWidget

from app.domain.money import Price, Rounding, to_tick
from app.domain.order import Side
from app.ui.charts.canvas import CandleCanvas
from app.ui.charts.crosshair import Crosshair
from app.ui.charts.stop_line import Phase, StopLine


class _Hold(Enum):
    """What the pressed mouse has hold of."""

    NOTHING = "nothing"
    PICTURE = "picture"
    STOP = "stop"
    PRICE_AXIS = "price axis"


class ChartCanvas(CandleCanvas):
    """Candles that can be panned, zoomed and traded from. Asks by signals; decides nothing about money."""

    stop_wished = Signal(object, object)
    """(StopLine, trigger): arm or move it there."""
    disarm_wished = Signal(object)
    """(StopLine)"""
    dragged = Signal(object)
    """(StopLine): it is in the hand, at another price than before."""
    order_wished = Signal(object, object)
    """(Side, price or None)"""

    def __init__(self, parent: QWidget | None = None) -> None:
        self._hold = _Hold.NOTHING
        self._pressed = QPointF()
        self._grabbed_at = 0.0
        """Pixels between the mouse and the line in the hand."""
        self._far = False
        """The mouse moved enough for a drag: a click alone never asks for anything."""
        super().__init__(parent)

    # --- mouse -----------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Takes hold of a stop line, a ×, the price axis, or the picture."""
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        if event.button() is not Qt.MouseButton.LeftButton:
            return
        event.accept()
        at = event.position()
        self._pressed, self._far = at, False
        price = self._panes.price
        closing = next((line for line in self.overlay.stops if line.closing), None)
        if closing is not None and not any(p.closes(at.x(), at.y()) for p in self.overlay.layout()):
            closing.closing = False
        for placed in reversed(self.overlay.layout()):
            if placed.closes(at.x(), at.y()):
                if placed.line.close():
                    self.disarm_wished.emit(placed.line)
                self.touch(view=False, soon=True)
                return
            if price.rect.top() <= at.y() <= price.rect.bottom() and placed.grips(at.x(), at.y()):
                self._take(placed.line, price.value(placed.y), at.y() - placed.y)
                return
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and price.rect.contains(at):
            line = self._stop_to_place()
            if line is not None:
                self._take(line, price.value(at.y()), 0.0)
                line.drag(price.value(at.y()))
                self._far = True
                self.dragged.emit(line)
                self.touch(view=False, soon=True)
            return
        self._hold = _Hold.PRICE_AXIS if at.x() > price.rect.right() else _Hold.PICTURE
        self.view.begin(self._panes.price.pixels_per_index)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drags what is held, else moves the crosshair."""
        event.accept()
        at = event.position()
        away = at - self._pressed
        if self._hold is not _Hold.NOTHING and not self._far:
            self._far = max(abs(away.x()), abs(away.y())) >= min(3, QApplication.startDragDistance())
        self.overlay.cross = Crosshair(at.x(), at.y())
        if self._hold is _Hold.STOP and self._held is not None:
            if self._far:
                pane = self._panes.price
                before = self._held.dragged
                y = min(max(at.y() - self._grabbed_at, pane.rect.top()), pane.rect.bottom())
                self._held.drag(pane.value(y))
                if self._held.dragged != before:
                    self.dragged.emit(self._held)
            self.touch(view=False, soon=True)
        elif self._hold is _Hold.PICTURE and self._far:
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
            self.view.drag(away.x(), len(self.series))
            self.touch(soon=True)
        elif self._hold is _Hold.PRICE_AXIS and self._far:
            self.view.stretch(away.y(), self._panes.price.rect.height())
            self.touch(soon=True)
        else:
            self._hover(at)
            self.touch(view=False, soon=True)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Lets go: a stop line asks for its new price."""
        event.accept()
        if event.button() is not Qt.MouseButton.LeftButton:
            return
        line, hold, far = self._held, self._hold, self._far
        self._hold, self._held = _Hold.NOTHING, None
        if hold is _Hold.STOP and line is not None:
            if far:
                trigger = line.release(self.overlay.last)
                if trigger is not None:
                    self.stop_wished.emit(line, trigger)
            else:
                line.cancel()
        self._hover(event.position())
        self.touch(view=hold is _Hold.STOP)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """On the picture: everything in view. On the price axis: automatic scale."""
        event.accept()
        if event.position().x() > self._panes.price.rect.right():
            self.view.automatic = True
        elif not any(p.grips(event.position().x(), event.position().y()) for p in self.overlay.layout()):
            self.view.fit_all(len(self.series))
        self.touch()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zooms about the mouse, or about the newest candle while following; sideways it pans."""
        event.accept()
        delta = event.angleDelta()
        sideways = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if abs(delta.x()) > abs(delta.y()) or sideways:
            self.view.pan((delta.x() or delta.y()) / 120 * -0.1, len(self.series))
        else:
            self.view.zoom(delta.y() / 120, self._panes.price.index(event.position().x()), len(self.series))
        self.touch(soon=True)

    def enterEvent(self, event: QEnterEvent) -> None:
        """The crosshair appears."""
        self.overlay.cross = Crosshair(event.position().x(), event.position().y())
        self.touch(view=False, soon=True)
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        """The crosshair goes."""
        event.accept()
        self.overlay.cross = None
        self.overlay.hovered = None
        self.touch(view=False, soon=True)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """What can be done at this price."""
        at = event.pos()
        pane = self._panes.price
        if not pane.rect.contains(QPointF(at)):
            return
        price = to_tick(round(pane.value(at.y())), self.overlay.tick_size, Rounding.NEAREST)
        self._menu = self._build_menu(price)
        self._menu.popup(event.globalPos())

    def _build_menu(self, price: Price) -> QMenu:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        text = self.overlay.price_text(price)
        for line in self.overlay.stops:
            if not line.draggable:
                continue
            wrong = line.wrong_side(price, self.overlay.last)
            verb = f"Move the {line.word.lower()} here" if line.stop is not None else "Arm a stop here"
            action = menu.addAction(f"{verb}: {text}" + (f" ({wrong})" if wrong else ""))
            action.setEnabled(not wrong)
            action.triggered.connect(lambda _=False, line=line: self.stop_wished.emit(line, price))
            if line.closable:
                menu.addAction(f"{line.end_verb} the {line.word.lower()}…").triggered.connect(
                    lambda _=False, line=line: self._ask_to_disarm(line)
                )
        menu.addSeparator()
        for side, verb in ((Side.BUY, "Buy"), (Side.SELL, "Sell")):
            menu.addAction(f"{verb} at {text}…").triggered.connect(
                lambda _=False, side=side: self.order_wished.emit(side, price)
            )
        menu.addSeparator()
        menu.addAction("Show everything").triggered.connect(lambda: self._look(fit=True))
        menu.addAction("Jump to now\tEnd").triggered.connect(lambda: self._look(fit=False))
        return menu

    def _ask_to_disarm(self, line: StopLine) -> None:
        """As the first click on the ×."""
        if not line.closing:
            line.close()
        self.touch(view=False, soon=True)

    def _look(self, *, fit: bool) -> None:
        if fit:
            self.view.fit_all(len(self.series))
        else:
            self.view.jump_to_end(len(self.series))
        self.touch(soon=True)

    # --- keys ------------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc lets go of a line; End goes to now; arrows pan; + and - zoom; B and S ask for an order ticket."""
        key, count = event.key(), len(self.series)
        plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)
        event.accept()
        closing = next((line for line in self.overlay.stops if line.closing), None)
        if key == Qt.Key.Key_Escape and self._held is not None:
            self._drop()
        elif key == Qt.Key.Key_Escape and closing is not None:
            closing.closing = False
        elif key == Qt.Key.Key_End:
            self.view.jump_to_end(count)
        elif key == Qt.Key.Key_Home:
            self.view.jump_to_start(count)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.view.pan(-0.1 if key == Qt.Key.Key_Left else 0.1, count)
        elif event.text() in ("+", "=", "-"):
            self.view.zoom(-1 if event.text() == "-" else 1, (self.view.first + self.view.last) / 2, count)
        elif key in (Qt.Key.Key_B, Qt.Key.Key_S) and plain and not event.isAutoRepeat():
            self.order_wished.emit(Side.BUY if key == Qt.Key.Key_B else Side.SELL, None)
        else:
            event.ignore()
            return
        self.touch(soon=True)

    # --- stop lines ------------------------------------------------------------------------------------------------

    def _take(self, line: StopLine, price: float, offset: float) -> None:
        if line.begin(price):
            self._hold, self._held, self._grabbed_at = _Hold.STOP, line, offset
            self.dragged.emit(line)
        self.touch(view=False, soon=True)

    def _drop(self) -> None:
        super()._drop()
        self._hold = _Hold.NOTHING

    def _stop_to_place(self) -> StopLine | None:
        """The line that Shift+click means: the one without a stop first."""
        free = [line for line in self.overlay.stops if line.draggable and line.shown]
        return next((line for line in free if line.phase is Phase.OFFERED), free[0] if free else None)

    def _hover(self, at: QPointF) -> None:
        shape, hovered = Qt.CursorShape.CrossCursor, None
        right = self._panes.price.rect.right()
        for placed in self.overlay.layout():
            if placed.closes(at.x(), at.y()):
                shape, hovered = Qt.CursorShape.PointingHandCursor, placed.line
            elif placed.grips(at.x(), at.y()):
                hovered = placed.line
                shape = Qt.CursorShape.SizeVerCursor if placed.line.draggable else Qt.CursorShape.ForbiddenCursor
        if hovered is None and at.x() > right:
            shape = Qt.CursorShape.SizeVerCursor
        self.overlay.hovered = hovered
        if self.cursor().shape() != shape:
            self.setCursor(shape)
