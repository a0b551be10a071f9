"""What a sync came to, in words for its bar and its strip. Pure."""

from __future__ import annotations

from collections.abc import Callable

from app.desk.messages import SyncSummary
from app.domain.events import SyncStep
from app.domain.ids import AccountId
from app.ui import format as fmt


def brought(summary: SyncSummary) -> str:
    """`12 new fills and 3 known`."""
    created = sum(run.created for run in summary.accounts)
    known = sum(run.skipped + run.updated for run in summary.accounts)
    return f"{fmt.group(created)} new {'fill' if created == 1 else 'fills'} and {fmt.group(known)} known"


def outcome(summary: SyncSummary, name_of: Callable[[AccountId], str]) -> tuple[str, str]:
    """What a click brought home, and what failed. An account that was not asked is not counted, and named."""
    if not summary.accounts:
        return "", "No account is connected. Connect one first."
    ran = [run for run in summary.accounts if run.step in (SyncStep.COMPLETED, SyncStep.FAILED)]
    created = sum(run.created for run in ran)
    fills = f"{fmt.group(created)} new {'fill' if created == 1 else 'fills'}"
    good = sum(run.step == SyncStep.COMPLETED or run.created > 0 for run in ran)
    whose = f"{good} of {len(ran)}" if good < len(ran) else f"{good}"
    told = [f"{fills} from {whose} account{'s'[: len(ran) != 1]}"] if ran else []
    told += [f"{name_of(run.account)}: {run.error}" for run in summary.accounts if run not in ran]
    failed = [f"{name_of(run.account)}: {run.error}" for run in ran if run.step == SyncStep.FAILED]
    return "; ".join(told), "; ".join(failed)
