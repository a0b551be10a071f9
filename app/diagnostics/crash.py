"""Bugs become reports: hooks for main thread, other threads, asyncio and Qt slots, and a file for native crashes.

Each kind of bug is reported once, redacted; repeats are counted. Whatever happened before somebody listens is kept.
Nothing here touches trading state. The next start reads what the last one left (`earlier`).
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import hashlib
import os
import platform
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from app.runtime import redaction
from app.runtime.log import logger

_log = logger("crash")

_KEPT = 20
_FRAMES = 5
_UNREAD = ".unread"
"""A mark beside a report: its own name stays the one that the trader was told."""


class CrashKind(StrEnum):
    """How it ended."""

    BUG = "bug"
    """An exception that nobody expected; the program went on."""
    NATIVE = "native crash"
    """The interpreter or a library died (segmentation fault, abort)."""
    KILLED = "killed"
    """No goodbye: killed, or the power went."""


@dataclass(frozen=True, slots=True)
class CrashReport:
    """One crash, in words that may be shown and sent: no secrets."""

    kind: CrashKind
    title: str
    text: str
    file: str
    at: str
    """ISO time, UTC."""


class CrashReporter:
    """Owns the hooks and the profile's `crash/` folder. Hooks may be called from any thread."""

    def __init__(self, folder: Path, version: str = "") -> None:
        self._folder = folder
        self._version = version
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._reports: list[CrashReport] = []
        self._listeners: list[Callable[[CrashReport], None]] = []
        self._native: TextIO | None = None
        self._earlier: tuple[CrashReport, ...] = ()
        self._before: tuple[Any, Any, Any] | None = None
        self._had_faulthandler = False

    @property
    def earlier(self) -> tuple[CrashReport, ...]:
        """What earlier runs left unread. Known after `install`."""
        return self._earlier

    def install(self) -> None:
        """Sets the hooks. The profile must be locked: a second process would take our file for a dead one's."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._earlier = self._read_earlier()
        self._native = (self._folder / f"running-{os.getpid()}.txt").open("w", encoding="utf-8")
        self._had_faulthandler = faulthandler.is_enabled()
        faulthandler.enable(self._native)
        self._before = (sys.excepthook, threading.excepthook, sys.unraisablehook)
        sys.excepthook = self._on_exception
        threading.excepthook = self._on_thread_exception
        sys.unraisablehook = self._on_unraisable

    def uninstall(self) -> None:
        """Puts the hooks back: this run ended well. A second call does nothing."""
        if self._before is not None:
            sys.excepthook, threading.excepthook, sys.unraisablehook = self._before
            self._before = None
        if self._native is not None:
            faulthandler.disable()
            if self._had_faulthandler and sys.__stderr__ is not None:
                faulthandler.enable(sys.__stderr__)
            self._native.close()
            Path(self._native.name).unlink(missing_ok=True)
            self._native = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Bugs in this loop's callbacks and in tasks that nobody awaited are reported too."""
        loop.set_exception_handler(self._on_loop_exception)

    def listen(self, listener: Callable[[CrashReport], None]) -> None:
        """Calls `listener` for every report, those made so far first, on whichever thread the bug happened."""
        with self._lock:
            self._listeners.append(listener)
            so_far = list(self._reports)
        for report in so_far:
            listener(report)

    def mark_read(self) -> None:
        """The trader has seen the earlier reports; they are kept, and not told again."""
        for mark in self._folder.glob(f"*{_UNREAD}"):
            mark.unlink(missing_ok=True)
        self._earlier = ()

    def report(self, error: BaseException, where: str) -> None:
        """Logs a bug, and writes a report the first time this kind is seen. Never raises."""
        kind = _kind_of(error)
        with self._lock:
            self._seen[kind] = count = self._seen.get(kind, 0) + 1
        if count > 1:
            _log.error("the same bug again", kind=kind, count=count, where=where)
            return
        _log.error("a bug", kind=kind, where=where, exc_info=error)
        title = redaction.shared().text(f"{type(error).__name__}: {error}")
        trace = "".join(traceback.format_exception(error))
        made = self._write(CrashKind.BUG, f"{where}: {title}", trace, kind)
        with self._lock:
            self._reports.append(made)
            listeners = list(self._listeners)
        for listener in listeners:
            # A listener that fails must not hide the bug it was told of.
            with contextlib.suppress(Exception):
                listener(made)

    def _write(self, kind: CrashKind, title: str, text: str, key: str) -> CrashReport:
        now = datetime.now(UTC)
        versions = f"Stopline {self._version}, Python {platform.python_version()}, {platform.platform()}"
        told = redaction.shared().text(f"{title}\n{now.isoformat(timespec='seconds')}\n{versions}\n\n{text}")
        file = self._folder / f"{now:%Y%m%dT%H%M%S}-{key}.txt"
        try:
            file.write_text(told, encoding="utf-8")
            file.with_suffix(_UNREAD).touch()
            self._drop_old()
        except OSError as problem:
            _log.error("the report could not be written", file=str(file), cause=str(problem))
        return CrashReport(kind, title, told, str(file), now.isoformat(timespec="seconds"))

    def _drop_old(self) -> None:
        reports = sorted(path for path in self._folder.glob("*.txt") if not path.name.startswith("running-"))
        for path in reports[:-_KEPT]:
            path.unlink(missing_ok=True)
            path.with_suffix(_UNREAD).unlink(missing_ok=True)

    def _read_earlier(self) -> tuple[CrashReport, ...]:
        """Unread reports, after those runs that left their file behind have been turned into reports."""
        for left in sorted(self._folder.glob("running-*.txt")):
            text = left.read_text(encoding="utf-8", errors="replace")
            if text.strip():
                self._write(CrashKind.NATIVE, "The program crashed.", text, _digest(text))
            else:
                self._write(
                    CrashKind.KILLED, "The program was killed, or the machine went down.", "", _digest(left.name)
                )
            left.unlink(missing_ok=True)
        reports = (mark.with_suffix(".txt") for mark in sorted(self._folder.glob(f"*{_UNREAD}")))
        return tuple(_read(path) for path in reports if path.exists())

    def _on_exception(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # PySide calls this for exceptions in slots too.
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        self.report(error, "main thread" if threading.current_thread() is threading.main_thread() else "thread")

    def _on_thread_exception(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            self.report(args.exc_value, f"thread {args.thread.name if args.thread else '?'}")

    def _on_unraisable(self, args: sys.UnraisableHookArgs) -> None:
        if args.exc_value is not None:
            self.report(args.exc_value, args.err_msg or "while cleaning up")

    def _on_loop_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        where = f"event loop: {context.get('message', '')}"
        if isinstance(error, BaseException):
            self.report(error, where)
        else:
            _log.error(where)


def _kind_of(error: BaseException) -> str:
    """One short word for all errors of this type from the same place."""
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES:]]
    return f"{type(error).__name__}-{_digest(' '.join(places))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _read(path: Path) -> CrashReport:
    text = path.read_text(encoding="utf-8", errors="replace")
    title, at, *_ = [*text.splitlines(), "", ""]
    kind = {
        "The program crashed.": CrashKind.NATIVE,
        "The program was killed, or the machine went down.": CrashKind.KILLED,
    }
    return CrashReport(kind.get(title, CrashKind.BUG), title, text, str(path), at)
