"""Data sets that a broker refuses (4xx): skipped, said, and not asked for again and again (C8, C11).

One that is refused beside others that are read is no failure of the account. It becomes a job of its own on the list
of failed jobs; runs that nobody asked for then ask for it once a day. The trades are always asked for: without them
nothing came home.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.domain.calendar import ist_date
from app.domain.errors import AppError, Unreachable
from app.domain.events import Event, Level, Noticed
from app.domain.ids import AccountId, Nanos
from app.domain.sync import DataSet, ErrorClass
from app.storage.book import Book
from app.storage.sync_trouble import TRIES_BEFORE_LISTED
from app.sync.patience import class_of

AT_OTHER_HOURS = 423
"""HTTP "locked": the broker tells it at other hours, as Upstox its funds."""


@dataclass(slots=True)
class Skipped:
    """What one run went without. Owned by its run."""

    refused: dict[DataSet, AppError] = field(default_factory=dict)
    at_other_hours: dict[DataSet, AppError] = field(default_factory=dict)
    left_alone: frozenset[DataSet] = frozenset()
    """Refused before again and again, and not asked for."""

    def takes(self, data_set: DataSet, failure: AppError) -> bool:
        """Whether a failure is one to go on without."""
        if class_of(failure) is not ErrorClass.CLIENT:
            return False
        locked = isinstance(failure, Unreachable) and failure.status == AT_OTHER_HOURS
        locked = locked and data_set is not DataSet.TRADES  # without them there was no sync
        (self.at_other_hours if locked else self.refused)[data_set] = failure
        return True

    @property
    def words(self) -> str:
        """For the run's record; empty when nothing was skipped."""
        told = [f"{_title(name)} refused and skipped: {why}" for name, why in self.refused.items()]
        told += [f"{_title(name)} skipped: {why}" for name, why in self.at_other_hours.items()]
        if self.left_alone:
            names = " and ".join(name.value for name in DataSet if name in self.left_alone)
            told.append(f"The broker keeps refusing {names}: asked for again tomorrow, or when you press Sync.")
        return f"{'; '.join(told)} The rest was saved." if told else ""


def _title(data_set: DataSet) -> str:
    return data_set.value.capitalize()


class Refusals:
    """Remembers what is refused, in the list of failed jobs. Loop thread."""

    def __init__(self, book: Book, publish: Callable[[Event], None]) -> None:
        self._jobs = book.failed_jobs
        self._publish = publish
        self._anew: set[AccountId] = set()

    def logged_in(self, account: AccountId) -> None:
        """Another session may be allowed more: the next run asks for everything."""
        self._anew.add(account)

    async def left_alone(self, account: AccountId, at: Nanos) -> frozenset[DataSet]:
        """What a run that nobody asked for does not ask for."""
        if account in self._anew:
            return frozenset()
        known = {data_set.value: data_set for data_set in DataSet if data_set is not DataSet.TRADES}
        return frozenset(
            known[job.job]
            for job in await self._jobs.listed(account)
            if job.job in known and ist_date(job.last_failed_at) == ist_date(at)
        )

    async def heard(
        self, account: AccountId, at: Nanos, read: Mapping[DataSet, int], refused: Mapping[DataSet, AppError]
    ) -> None:
        """What a run came to: counts what was refused, and forgets it once it was read."""
        self._anew.discard(account)
        for data_set in read:
            await self._jobs.succeeded(account, data_set.value)
        for data_set, why in refused.items():
            if data_set is DataSet.TRADES:
                continue  # the run itself failed
            job = await self._jobs.failed(account, data_set.value, at, ErrorClass.CLIENT, str(why))
            if job.tries == TRIES_BEFORE_LISTED + 1:
                self._publish(
                    Noticed(
                        Level.WARNING,
                        f"The broker refuses {data_set.value}",
                        f"{job.tries} times in a row: {job.error}",
                        "The rest is synced. It is asked for once a day, after a login, and when you press Sync.",
                        account,
                        f"refused {account} {data_set.value}",
                    )
                )
