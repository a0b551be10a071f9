"""What follows from how runs ended: failed jobs, accounts in error, alerts (C11, C12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.domain.events import Event, Level, Noticed, SyncProgressed, SyncStep
from app.domain.ids import AccountId, Nanos
from app.domain.sync import ErrorClass, SyncFigures
from app.storage.book import Book
from app.storage.sync_trouble import TRIES_BEFORE_LISTED
from app.sync.target import FILE

SECOND: Nanos = 1_000_000_000
HOUR = 3600 * SECOND
ERRORS_IN_A_ROW = 5
"""Then the account is in error."""
ERRORS_AN_HOUR = 5
FAILURE_PERCENT = 10
ENOUGH_RUNS = 20
"""Runs of a day below which a share of failures says nothing."""
SLOW_MS = 60_000
REFRESH_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Alert:
    """A reason to look (C12)."""

    name: str
    title: str
    cause: str
    next_step: str


def alerts_of(hour: SyncFigures, day: SyncFigures, newest_ms: int) -> tuple[Alert, ...]:
    """What the figures of the last hour and day, and the newest run, give reason for. Pure."""
    found = []
    if hour.failed > ERRORS_AN_HOUR:
        cause = f"{hour.failed} syncs of the last hour failed."
        found.append(Alert("errors", "Many syncs fail", cause, "Sync shows which account, and why."))
    if day.runs >= ENOUGH_RUNS and day.failed * 100 > FAILURE_PERCENT * day.runs:
        cause = f"{day.failed} of {day.runs} syncs of the last day failed."
        found.append(Alert("share", "More than a tenth of the syncs fail", cause, "Sync shows which account, and why."))
    if newest_ms > SLOW_MS:
        cause = f"It took {newest_ms / 1000:.0f} s."
        found.append(Alert("slow", "A sync took more than a minute", cause, "Sync shows what it waited for."))
    if day.refreshes_failed > REFRESH_FAILURES:
        cause = f"{day.refreshes_failed} logins or token refreshes of the last day failed."
        found.append(Alert("refresh", "Logins keep failing", cause, "Check API key, secret and the broker's app."))
    return tuple(found)


class Aftermath:
    """Keeps the failed jobs and raises alerts, each once until its reason is gone. Loop thread."""

    def __init__(self, book: Book, publish: Callable[[Event], None]) -> None:
        self._book = book
        self._publish = publish
        self._raised: dict[str, Alert] = {}

    @property
    def raised(self) -> tuple[Alert, ...]:
        """Alerts whose reason still stands."""
        return tuple(self._raised.values())

    async def of(self, progress: SyncProgressed) -> None:
        """After every run."""
        if progress.trades_came:  # what was refused beside them is a job of its own
            await self._book.failed_jobs.succeeded(progress.account, progress.operation)
        elif progress.step is SyncStep.FAILED:
            await self._failed(progress)
        if progress.step in (SyncStep.COMPLETED, SyncStep.FAILED):
            await self.alerts(progress.account, progress.started_at, progress.took_ms or 0)

    async def _failed(self, progress: SyncProgressed) -> None:
        if progress.error_class is ErrorClass.STORAGE:
            return  # it could not be written down either
        if progress.operation == FILE:
            return  # whoever picked the file is told, and picks it again
        job = await self._book.failed_jobs.failed(
            progress.account, progress.operation, progress.started_at, progress.error_class, progress.error
        )
        if job.tries == TRIES_BEFORE_LISTED + 1:
            self._publish(
                Noticed(
                    Level.WARNING,
                    "A sync keeps failing",
                    f"{job.tries} times in a row: {job.error}",
                    "It is on the list of failed jobs in Sync: try it again there, or discard it.",
                    progress.account,
                    f"failed job {progress.account} {progress.operation}",
                )
            )

    async def alerts(self, account: AccountId, at: Nanos, newest_ms: int = 0) -> None:
        """Looks at the figures, and says what is new."""
        log = self._book.sync_log
        now = alerts_of(await log.figures(at - HOUR), await log.figures(at - 24 * HOUR), newest_ms)
        names = {alert.name for alert in now}
        self._raised = {name: alert for name, alert in self._raised.items() if name in names}
        for alert in now:
            if alert.name not in self._raised:
                # The figures are of all accounts; only the newest run has an owner.
                whose = account if alert.name == "slow" else None
                self._publish(
                    Noticed(Level.ALARM, alert.title, alert.cause, alert.next_step, whose, f"sync alert {alert.name}")
                )
            self._raised[alert.name] = alert
