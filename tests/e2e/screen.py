"""A screen without a monitor: Xvfb, with the keys and the mouse of somebody who sits in front of it (XTEST).

There is no window manager: `Screen` does the little that one is needed for (the newest window has the keyboard).
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from Xlib import XK, X
from Xlib.display import Display
from Xlib.error import XError
from Xlib.xobject.drawable import Window

from tests.exchange import eventually

WIDTH, HEIGHT = 1600, 1000
Picture = npt.NDArray[np.uint8]
"""Height x width x (red, green, blue)."""

_NAMES = {
    " ": "space", "-": "minus", ".": "period", ":": "colon", "/": "slash", "_": "underscore", "=": "equal",
    ",": "comma", "!": "exclam", "@": "at", "#": "numbersign", "&": "ampersand", "?": "question", "+": "plus",
}  # fmt: skip
_MODIFIERS = {"ctrl": "Control_L", "shift": "Shift_L", "alt": "Alt_L"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A window on the screen."""

    title: str
    x: int
    y: int
    width: int
    height: int
    handle: Window
    popup: bool
    """It takes no keyboard of its own: a menu, a list of suggestions, a tooltip."""

    def contains(self, x: int, y: int) -> bool:
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


class Screen:
    """One Xvfb. Use it as a context manager."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._display: Display | None = None
        self._owner: Window | None = None
        self.name = ""
        """What DISPLAY must be."""

    def __enter__(self) -> Self:
        ours, theirs = os.pipe()
        with os.fdopen(ours, "rb") as told:
            self._server = subprocess.Popen(
                ["Xvfb", "-displayfd", str(theirs), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp"],
                pass_fds=(theirs,),
                stderr=subprocess.DEVNULL,
            )
            os.close(theirs)
            number = told.readline().decode().strip()  # the pipe ends with the server, should it not start
        try:
            assert number, f"Xvfb did not start: exit code {self._server.wait(5)}"
            self.name = f":{number}"
            self._display = Display(self.name)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._display is not None:
            self._display.close()
        self._end()

    def _end(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(10)

    @property
    def display(self) -> Display:
        assert self._display is not None
        return self._display

    @property
    def _root(self) -> Window:
        return self.display.screen().root

    # -- what is there -----------------------------------------------------------------------------------------------

    def windows(self) -> list[Shown]:
        """What is mapped, the topmost last."""
        found = []
        for window in self._root.query_tree().children:
            try:
                attributes, at = window.get_attributes(), window.get_geometry()
                title = self._title(window)
            except XError:
                continue  # gone meanwhile
            if attributes.map_state == X.IsViewable and at.width > 1:
                popup = bool(attributes.override_redirect)
                found.append(Shown(title, at.x, at.y, at.width, at.height, window, popup))
        return found

    def _title(self, window: Window) -> str:
        name = window.get_full_property(self.display.intern_atom("_NET_WM_NAME"), X.AnyPropertyType)
        return "" if name is None else bytes(name.value).decode()

    def window(self, title: str, seconds: float = 30.0) -> Shown:
        """The topmost window whose title begins so, once it is there. It is given the keyboard."""

        def look() -> Shown | None:
            return next((w for w in reversed(self.windows()) if w.title.startswith(title) and not w.popup), None)

        found: Shown = eventually(look, seconds)
        self.focus(found)
        return found

    def has_window(self, title: str) -> bool:
        return any(w.title.startswith(title) and not w.popup for w in self.windows())

    def gone(self, title: str, seconds: float = 30.0) -> None:
        """Waits until no window has such a title."""
        eventually(lambda: not self.has_window(title), seconds)

    def focus(self, window: Shown) -> None:
        """As a window manager does for the newest window."""
        window.handle.set_input_focus(X.RevertToParent, X.CurrentTime)
        self.display.sync()

    def cover(self) -> None:
        """Another program's window over everything."""
        screen = self.display.screen()
        self._root.create_window(0, 0, WIDTH, HEIGHT, 0, screen.root_depth).map()
        self.display.sync()

    def picture(self) -> Picture:
        """What the monitor would show."""
        raw = self._root.get_image(0, 0, WIDTH, HEIGHT, X.ZPixmap, 0xFFFFFFFF).data
        pixels = np.frombuffer(raw, dtype=np.uint8).reshape(HEIGHT, WIDTH, 4)
        return np.ascontiguousarray(pixels[:, :, 2::-1])

    def save(self, file: Path) -> Path:
        """The picture as PNG."""
        from PySide6.QtGui import QImage

        pixels = self.picture()
        image = QImage(pixels.tobytes(), WIDTH, HEIGHT, WIDTH * 3, QImage.Format.Format_RGB888)
        assert image.save(str(file))
        return file

    # -- hands -------------------------------------------------------------------------------------------------------

    def key(self, combination: str) -> None:
        """`Return`, `ctrl+shift+a`, `B`."""
        *modifiers, name = combination.split("+")
        held = [self._code(XK.string_to_keysym(_MODIFIERS[m]))[0] for m in modifiers]
        code, shifted = self._code(XK.string_to_keysym(name))
        if shifted and "shift" not in modifiers:
            held.append(self._code(XK.string_to_keysym("Shift_L"))[0])
        self._press(code, held)

    def type(self, text: str) -> None:
        """Letter by letter."""
        for letter in text:
            self.key(letter if letter.isalnum() else _NAMES[letter])

    def _code(self, keysym: int) -> tuple[int, bool]:
        codes = self.display.keysym_to_keycodes(keysym)
        assert codes, f"no key gives {keysym}"
        code, level = min(codes, key=lambda pair: pair[1])
        return code, bool(level & 1)

    def _press(self, code: int, held: Sequence[int]) -> None:
        for modifier in held:
            self.display.xtest_fake_input(X.KeyPress, modifier)
        self.display.xtest_fake_input(X.KeyPress, code)
        self.display.xtest_fake_input(X.KeyRelease, code)
        for modifier in reversed(held):
            self.display.xtest_fake_input(X.KeyRelease, modifier)
        self.display.sync()

    def move(self, x: int, y: int) -> None:
        """The mouse."""
        self.display.xtest_fake_input(X.MotionNotify, x=x, y=y)
        self.display.sync()

    def button(self, *, down: bool, number: int = 1) -> None:
        """Of the mouse."""
        self.display.xtest_fake_input(X.ButtonPress if down else X.ButtonRelease, number)
        self.display.sync()

    def click(self, x: int, y: int) -> None:
        """Where it is."""
        self.move(x, y)
        self.button(down=True)
        self.button(down=False)

    def drag(self, start: tuple[int, int], end: tuple[int, int], *, steps: int = 12) -> None:
        """As a hand does it: in steps, held still for a moment at both ends."""
        with self.held(start, end, steps=steps):
            pass

    @contextmanager
    def held(self, start: tuple[int, int], end: tuple[int, int], *, steps: int = 12) -> Iterator[None]:
        """Dragged, and not yet let go."""
        self.move(*start)
        time.sleep(0.1)
        self.button(down=True)
        for step in range(1, steps + 1):
            self.move(
                start[0] + (end[0] - start[0]) * step // steps,
                start[1] + (end[1] - start[1]) * step // steps,
            )
            time.sleep(0.02)
        try:
            yield
        finally:
            self.button(down=False)

    # -- the clipboard -----------------------------------------------------------------------------------------------

    def copied(self, copy: Callable[[], object], seconds: float = 10.0) -> str:
        """What `copy` puts on the clipboard, as another program would paste it."""
        display = self.display
        name, target = display.intern_atom("CLIPBOARD"), display.intern_atom("UTF8_STRING")
        place = display.intern_atom("STOPLINE_TEST")
        if self._owner is None:
            self._owner = self._root.create_window(0, 0, 1, 1, 0, display.screen().root_depth)
        ours = self._owner
        ours.set_selection_owner(name, X.CurrentTime)  # until somebody copies, the clipboard is ours
        copy()
        eventually(lambda: getattr(display.get_selection_owner(name), "id", 0) != ours.id, seconds)
        ours.delete_property(place)
        ours.convert_selection(name, target, place, X.CurrentTime)
        display.flush()
        answer = self._await_selection(time.monotonic() + seconds)
        if answer is None or answer.property == X.NONE:
            return ""
        value = ours.get_full_property(place, X.AnyPropertyType)
        return "" if value is None else bytes(value.value).decode()

    def _await_selection(self, deadline: float) -> Any:
        while (left := deadline - time.monotonic()) > 0:
            while self.display.pending_events():
                event = self.display.next_event()
                if event.type == X.SelectionNotify:
                    return event
            select.select([self.display], [], [], min(left, 0.05))
        return None

    # -- looking -----------------------------------------------------------------------------------------------------

    def await_picture(self, check: Callable[[Picture], Any], seconds: float = 15.0) -> Any:
        """The first true answer of `check` about what is on the screen."""
        return eventually(lambda: check(self.picture()), seconds, 0.1)


def matching(picture: Picture, color: str, tolerance: int = 8) -> npt.NDArray[np.bool_]:
    """Which pixels have a colour, given as `#rrggbb`."""
    wanted = np.array([int(color[n : n + 2], 16) for n in (1, 3, 5)], dtype=np.int16)
    found: npt.NDArray[np.bool_] = (np.abs(picture.astype(np.int16) - wanted) <= tolerance).all(axis=2)
    return found
