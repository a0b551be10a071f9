"""What a look at the program's health found (K1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.domain.ids import Nanos


class HealthState(StrEnum):
    """How it stands with one thing."""

    OK = "ok"
    WARNING = "warning"
    """It works, and should be seen to."""
    FAILED = "failed"
    """It does not work."""


class Remedy(StrEnum):
    """What one click can do about a finding."""

    NONE = ""
    LOG_IN = "log in"
    IMPORT_INSTRUMENTS = "import instruments"
    BACK_UP = "back up"
    RECONNECT = "reconnect"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """What: store, vault, feed and so on; with the account or broker where there are several."""
    state: HealthState
    words: str
    next_step: str = ""
    """What to do; empty when all is well."""
    remedy: Remedy = Remedy.NONE
    about: str = ""
    """Whose: an account id, or a broker's name."""


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """The look before the market opens: what must stand for stops and orders to work today."""

    at: Nanos
    """Of the machine's clock."""
    findings: tuple[Finding, ...]

    @property
    def open(self) -> tuple[Finding, ...]:
        """What is not in order."""
        return tuple(finding for finding in self.findings if finding.state is not HealthState.OK)


def failed(findings: tuple[Finding, ...]) -> bool:
    """Whether something does not work."""
    return any(finding.state is HealthState.FAILED for finding in findings)
