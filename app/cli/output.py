"""Where a command's words go: results to stdout, as text or as one JSON object; everything else to stderr."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TextIO

import msgspec

from app.domain.errors import AppError, Cancelled, Denied, NotAnswering, VaultLocked
from app.domain.events import Event, Level, Noticed, SyncPaused

NOTHING_DONE = (Denied, VaultLocked, NotAnswering)
"""Failures after which a command has the exit code of one that could not start."""


@dataclass(frozen=True, slots=True)
class Output:
    """The two streams of one command."""

    stdout: TextIO
    stderr: TextIO
    as_json: bool = False

    def say(self, text: str) -> None:
        """Progress and questions, for people."""
        self.stderr.write(f"{text}\n")
        self.stderr.flush()

    def heard(self, event: Event) -> None:
        """What a desk without a window must tell whoever asked: e.g. of a damaged file that was set aside, and for what
        is waited."""
        if isinstance(event, SyncPaused):
            self.say(f"{event.account}: waits {event.seconds:.0f} s to read {event.data_set}. {event.cause}")
        if isinstance(event, Noticed) and event.level is not Level.INFO:
            self.say(" ".join(part for part in (f"{event.title}.", event.cause, event.next_step) if part))

    def result(self, value: dict[str, Any], text: str) -> None:
        """What came of it: `value` as JSON when asked for, else `text`."""
        told = msgspec.json.encode(value).decode() if self.as_json else text
        self.stdout.write(f"{told}\n")
        self.stdout.flush()

    def failed(self, error: AppError) -> None:
        """Why it did not work. A cancelled command needs no explanation."""
        if not isinstance(error, Cancelled):
            self.say(str(error))
        if self.as_json:
            self.result({"ok": False, "error": failure(error)}, "")


def failure(error: AppError) -> dict[str, str]:
    """An error for a machine to read."""
    return {
        "kind": type(error).__name__,
        "cause": error.cause,
        "next_step": error.next_step,
        "detail": error.detail,
    }
