"""What the sync view shows of an account, and in which words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from app.desk.messages import Health, SyncAccount
from app.domain.events import SessionState, SyncProgressed
from app.domain.sync import Backfill, DataSet, DataSetState, ErrorClass, FailedJob, OpenDay
from app.storage.accounts import AccountRecord
from app.sync.schedule import Due
from app.sync.target import SyncTarget

_DATA_SETS = frozenset(data_set.value for data_set in DataSet)
"""Jobs of these names are data sets that the broker refuses; the others are runs."""


def account_view(
    target: SyncTarget,
    record: AccountRecord,
    due: Due | None,
    running: SyncProgressed | None,
    states: Sequence[DataSetState],
    open_days: Sequence[OpenDay],
    backfill: Backfill | None,
    jobs: Sequence[FailedJob],
    conflicts: int,
) -> SyncAccount:
    """One account."""
    connected = record.connected_at is not None and record.state is not SessionState.LOGGED_OUT
    health, words = _health(target, record, states, open_days, jobs, conflicts)
    return SyncAccount(
        account=target.account,
        plan=target.schedule,
        history_days=target.info.history_days if target.info is not None else None,
        next_at=due.at if due is not None and connected else None,
        next_closing=due is not None and due.closing,
        last_good=record.last_sync,
        step=running.step.value if running is not None else "",
        data_sets=tuple(states),
        open_days=tuple(open_days),
        backfill=backfill,
        health=health,
        words=words,
    )


def _health(
    target: SyncTarget,
    record: AccountRecord,
    states: Sequence[DataSetState],
    open_days: Sequence[OpenDay],
    jobs: Sequence[FailedJob],
    conflicts: int,
) -> tuple[Health, str]:
    """The worst first."""
    if record.state is SessionState.ERROR:
        return Health.BAD, f"{record.error_count} syncs in a row failed: {record.last_error}"
    runs = [job for job in jobs if job.job not in _DATA_SETS]
    if runs:
        return Health.BAD, f"{len(runs)} failed {'job waits' if len(runs) == 1 else 'jobs wait'} for you."
    if record.state is SessionState.PAUSED:
        return Health.ATTENTION, "Paused by you: no sync by itself until you resume it."
    if target.broker is None:
        words = "Not logged in: syncs are skipped until then."
        return (Health.ATTENTION, words) if record.connected_at is not None else (Health.GOOD, "Not connected yet.")
    if jobs:
        names = " and ".join(job.job for job in jobs)
        return Health.ATTENTION, f"The broker refuses {names}; the rest is synced. {jobs[0].error}"
    failing = [state for state in states if state.error_class is not ErrorClass.NONE]
    if failing:
        first = failing[0]
        return Health.ATTENTION, f"{first.data_set.value.capitalize()} could not be read: {first.error}"
    if open_days:
        days = ", ".join(day.day for day in open_days[:3])
        more = f" and {len(open_days) - 3} more" if len(open_days) > 3 else ""
        return Health.ATTENTION, f"No closing sync on {days}{more}: fills may be missing."
    if conflicts:
        return Health.ATTENTION, f"{conflicts} {'fill differs' if conflicts == 1 else 'fills differ'} at the broker."
    return Health.GOOD, ""
