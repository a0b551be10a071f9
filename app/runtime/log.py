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
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from app.runtime import redaction

_ROOT = "app"
"""`logging.getLogger(__name__)` inside the program lands below it too."""
_EARLY_LIMIT = 2000
_FILE_BYTES = 4_000_000
_FILES = 5
_OTHERS = ("httpx", "httpcore", "websockets", "aiohttp", "asyncio", "urllib3", "kiteconnect", "alembic", "keyring")


def logger(area: str) -> structlog.stdlib.BoundLogger:
    """The logger of one area, e.g. `logger("engine.stops")`. Words first, then facts as keywords."""
    return cast(
        "structlog.stdlib.BoundLogger",
        structlog.wrap_logger(
            logging.getLogger(f"{_ROOT}.{area}"),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
        ),
    )


@contextlib.contextmanager
def correlated(correlation: str = "") -> Iterator[str]:
    """Everything logged inside, in tasks started inside too, carries one id: the given one or a fresh one (K1)."""
    correlation = correlation or secrets.token_hex(4)
    with structlog.contextvars.bound_contextvars(correlation=correlation):
        yield correlation


def correlation() -> str:
    """The id of the click, command or timer that caused what runs here; empty where none was named."""
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
        self.hold(logging.getLogger(_ROOT).level or logging.INFO)
        screen = logging.StreamHandler(console or sys.stderr)
        screen.setLevel(console_level)
        screen.setFormatter(_formatter(_console_line))
        self._sinks = [screen]
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = logging.handlers.RotatingFileHandler(
                folder / f"{name}.jsonl", maxBytes=_FILE_BYTES, backupCount=_FILES, encoding="utf-8", delay=True
            )
            file.setFormatter(_formatter(structlog.processors.JSONRenderer(default=str, ensure_ascii=False)))
            self._sinks.append(file)
        self._handler.limit = None
        self._listener = logging.handlers.QueueListener(self._queue, *self._sinks, respect_handler_level=True)
        self._listener.start()

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


class _ToQueue(logging.handlers.QueueHandler):
    """Hands the record over as it is; the context is copied here because the writing thread has another one."""

    def __init__(self, records: queue.SimpleQueue[logging.LogRecord]) -> None:
        super().__init__(records)
        self._records = records
        self.limit: int | None = _EARLY_LIMIT

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.stopline_context = structlog.contextvars.get_contextvars()
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        if self.limit is None or self._records.qsize() < self.limit:
            self._records.put(record)


class _Redacting(structlog.stdlib.ProcessorFormatter):
    """Renders, then hides secrets in the finished line: nothing that was added late slips through."""

    def format(self, record: logging.LogRecord) -> str:
        return redaction.shared().text(super().format(record))


def _formatter(render: Any) -> _Redacting:
    return _Redacting(
        processors=[_stamp, structlog.processors.format_exc_info, _hide_fields, render],
        foreign_pre_chain=[],
        keep_exc_info=True,
    )


def _stamp(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Time, level and area in front: of the record itself, which may be older than this moment."""
    record: logging.LogRecord = event.pop("_record")
    event.pop("_from_structlog", None)
    told = event.pop("event", "")
    exc_info = event.pop("exc_info", None) or record.exc_info
    head: dict[str, Any] = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "area": record.name.removeprefix(f"{_ROOT}."),
        "event": told,
        **getattr(record, "stopline_context", {}),
        **event,
    }
    if exc_info:
        head["exc_info"] = exc_info
    return head


def _hide_fields(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return redaction.shared().fields(event)


def _console_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """`09:15:00.123 warning market.feed: silent  account=zerodha-AB1234`."""
    at, level, area, told = (event.pop(key) for key in ("at", "level", "area", "event"))
    trace = event.pop("exception", "")
    moment = datetime.fromisoformat(at).astimezone().strftime("%H:%M:%S.%f")[:-3]
    facts = "".join(f"  {key}={value}" for key, value in event.items())
    return f"{moment} {level:7} {area}: {told}{facts}" + (f"\n{trace}" if trace else "")
