"""A report to send: what is in it, seen before it is saved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReportMember:
    """One file of a report."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ReportSaved:
    """Where a report was written."""

    file: str
    size: int
    """Bytes."""
    members: tuple[str, ...]
