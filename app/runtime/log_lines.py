"""What a record of the log looks like as a line: JSON for the file, readable for the screen, secrets hidden in both."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import structlog

from app.runtime import redaction

ROOT = "app"
"""`logging.getLogger(__name__)` inside the program lands below it too."""


def console_lines() -> logging.Formatter:
    """For people."""
    return _formatter(_console_line)


def json_lines() -> logging.Formatter:
    """One JSON document a record."""
    return _formatter(structlog.processors.JSONRenderer(default=str, ensure_ascii=False))


class _Redacting(structlog.stdlib.ProcessorFormatter):
    """Renders, then hides secrets in the finished line: nothing that was added late slips through."""

    def format(self, record: logging.LogRecord) -> str:
        return redaction.shared().text(super().format(record))


def _formatter(render: Any) -> logging.Formatter:
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
        "area": record.name.removeprefix(f"{ROOT}."),
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
