"""What a look at the program's health found (K1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HealthState(StrEnum):
    """How it stands with one thing."""

    OK = "ok"
    WARNING = "warning"
    """It works, and should be seen to."""
    FAILED = "failed"
    """It does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """What: store, vault, feed and so on; with the account or broker where there are several."""
    state: HealthState
    words: str
    next_step: str = ""
    """What to do; empty when all is well."""


def failed(findings: tuple[Finding, ...]) -> bool:
    """Whether something does not work."""
    return any(finding.state is HealthState.FAILED for finding in findings)
