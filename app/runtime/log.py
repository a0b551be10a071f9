"""Structured logs: `logger("engine.stops").info("stop armed", stop=stop.id)`.

One line of JSON a record in the profile's `logs/`, rotated; a readable line on stderr. Every record carries the
correlation id of the click (or timer) that caused it, if any, and passes the redactor as finished text, tracebacks
included. Records made before `Logs.open` are kept and written then. Formatting and writing happen on a thread of their
own, so a slow disk delays nobody; the hot path logs nothing at all.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import queue
import secrets
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    import structlog

_ROOT = "app"
"""`logging.getLogger(__name__)` inside the program lands below it too."""
_EARLY_LIMIT = 2000
_FILE_BYTES = 4_000_000
_FILES = 5
_OTHERS = ("httpx", "httpcore", "websockets", "aiohttp", "asyncio", "urllib3", "kiteconnect", "alembic", "keyring")


def logger(area: str) -> structlog.stdlib.BoundLogger:
    """The logger of one area, e.g. `logger("engine.stops")`. Words first, then facts as keywords."""
    return cast("structlog.stdlib.BoundLogger", _Logger(area))


class _Logger:
    """structlog is loaded with the first word that is said: a tenth of a second, which the first window is without."""

    def __init__(self, area: str) -> None:
        self._area = area

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)

    @cached_property
    def _made(self) -> Any:
        import structlog

        return structlog.wrap_logger(
            logging.getLogger(f"{_ROOT}.{self._area}"),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
        )


@contextlib.contextmanager
def correlated(correlation: str = "") -> Iterator[str]:
    """Everything logged inside, in tasks started inside too, carries one id: the given one or a fresh one (K1)."""
    import structlog

    correlation = correlation or secrets.token_hex(4)
    with structlog.contextvars.bound_contextvars(correlation=correlation):
        yield correlation


def correlation() -> str:
    """The id of the click, command or timer that caused what runs here; empty where none was named."""
    import structlog

    found: object = structlog.contextvars.get_contextvars().get("correlation", "")
    return str(found)


class Logs:
    """The process's log. `hold` first of all, `open` when the profile is known, `close` last. Any thread."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._handler = _ToQueue(self._queue)
        self._listener: logging.handlers.QueueListener | None = None
        self._sinks: list[logging.Handler] = []

    def hold(self, level: int = logging.INFO) -> None:
        """Keeps records until `open` says where they go."""
        root = logging.getLogger()
        if self._handler not in root.handlers:
            root.addHandler(self._handler)
        logging.getLogger(_ROOT).setLevel(level)
        for name in _OTHERS:
            logging.getLogger(name).setLevel(max(level, logging.WARNING))
        logging.captureWarnings(capture=True)

    def open(
        self,
        folder: Path | None,
        *,
        console: TextIO | None = None,
        console_level: int = logging.INFO,
        name: str = "stopline",
    ) -> None:
        """Starts writing: JSON lines to `folder`, readable lines to `console` (stderr unless given).

        `name`: of the file, for a program that runs beside another one on the same profile.
        """
        if self._listener is not None:
            raise RuntimeError("the log is open")
        from app.runtime.log_lines import console_lines, json_lines

        self.hold(logging.getLogger(_ROOT).level or logging.INFO)
        screen = logging.StreamHandler(console or sys.stderr)
        screen.setLevel(console_level)
        screen.setFormatter(console_lines())
        self._sinks = [screen]
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = _LogFile(
                folder / f"{name}.jsonl", maxBytes=_FILE_BYTES, backupCount=_FILES, encoding="utf-8", delay=True
            )
            file.setFormatter(json_lines())
            self._sinks.append(file)
        self._handler.limit = None
        self._listener = logging.handlers.QueueListener(self._queue, *self._sinks, respect_handler_level=True)
        self._listener.start()

    def end(self, folder: Path, *, console: TextIO) -> None:
        """As `close`; what was noted before a start that failed is written all the same."""
        if self._listener is None:
            self.open(folder, console=console)
        self.close()

    def close(self) -> None:
        """Writes what is left and lets go of the file. A second call does nothing."""
        logging.captureWarnings(capture=False)
        logging.getLogger().removeHandler(self._handler)
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        for sink in self._sinks:
            if not isinstance(sink, logging.StreamHandler) or isinstance(sink, logging.FileHandler):
                sink.close()
        self._sinks = []


class _LogFile(logging.handlers.RotatingFileHandler):
    """What cannot be written, for want of space, is said once and lost; a traceback of each line would tell no more."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        failure = sys.exc_info()[1]
        if isinstance(failure, OSError):
            self._say(failure)
        else:
            super().handleError(record)

    def close(self) -> None:
        """What was not written is tried once more; its failure keeps nobody from ending."""
        try:
            super().close()
        except OSError as failure:
            self._say(failure)

    def _say(self, failure: OSError) -> None:
        if not self._told and sys.stderr is not None:
            self._told = True
            sys.stderr.write(f"The log cannot be written: {failure.strerror or failure}\n")


class _ToQueue(logging.handlers.QueueHandler):
    """Hands the record over as it is; the context is copied here because the writing thread has another one."""

    def __init__(self, records: queue.SimpleQueue[logging.LogRecord]) -> None:
        super().__init__(records)
        self._records = records
        self.limit: int | None = _EARLY_LIMIT

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        structlog = sys.modules.get("structlog")  # where it was not loaded yet, nobody has named anything
        record.stopline_context = {} if structlog is None else structlog.contextvars.get_contextvars()
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        if self.limit is None or self._records.qsize() < self.limit:
            self._records.put(record)
