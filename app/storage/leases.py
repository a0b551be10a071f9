"""Who syncs an account now: at most one, of whatever process (C1)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from app.domain.events import SyncStep
from app.domain.ids import AccountId, Nanos
from app.runtime.process import ProcessMark
from app.storage.schema_sync import sync_leases
from app.storage.store import Store


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to sync one account until a moment, or until its owner dies."""

    account: AccountId
    run: str
    owner: ProcessMark
    step: SyncStep
    expires_at: Nanos
    """Of this machine's clock, not the exchange's."""

    def valid(self, now: Nanos) -> bool:
        """A lease that ran out, or whose owner is dead, is void."""
        return now < self.expires_at and self.owner.alive


class Leases:
    """The leases of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, wanted: Lease, now: Nanos) -> Lease | None:
        """Takes the account. None: it is ours. Otherwise the lease that stands in the way; nothing was changed."""
        key = sync_leases.c.account == wanted.account

        def work(connection: Connection) -> Lease | None:
            row = connection.execute(select(sync_leases).where(key)).one_or_none()
            if row is not None:
                owner = ProcessMark(row.pid, row.process_started)
                held = Lease(wanted.account, row.run, owner, SyncStep(row.step), row.expires_at)
                if held.run != wanted.run and held.valid(now):
                    return held
                connection.execute(delete(sync_leases).where(key))
            connection.execute(insert(sync_leases).values(_row(wanted)))
            return None

        return await self._store.run(work)

    async def renew(self, lease: Lease) -> bool:
        """Moves a lease's end and step. False: it is another's by now, so its run must end without writing."""
        change = (
            update(sync_leases)
            .where(sync_leases.c.account == lease.account, sync_leases.c.run == lease.run)
            .values(step=lease.step.value, expires_at=lease.expires_at)
        )
        return await self._store.run(lambda c: c.execute(change).rowcount == 1)

    async def release(self, account: AccountId, run: str) -> None:
        """Gives the account back; another's lease stays."""
        change = delete(sync_leases).where(sync_leases.c.account == account, sync_leases.c.run == run)
        await self._store.change(lambda c: c.execute(change))

    async def clear_void(self, now: Nanos) -> list[Lease]:
        """Removes the leases that are void; for the program's start. Returns them."""

        def work(connection: Connection) -> list[Lease]:
            found = [
                Lease(
                    AccountId(row.account),
                    row.run,
                    ProcessMark(row.pid, row.process_started),
                    SyncStep(row.step),
                    row.expires_at,
                )
                for row in connection.execute(select(sync_leases))
            ]
            void = [lease for lease in found if not lease.valid(now)]
            for lease in void:
                connection.execute(delete(sync_leases).where(sync_leases.c.run == lease.run))
            return void

        return await self._store.run(work)

    async def load(self) -> list[str]:
        """Accounts with a lease, void ones too."""
        query = select(sync_leases.c.account).order_by(sync_leases.c.account)
        return await self._store.run(lambda c: [str(account) for account in c.execute(query).scalars()])


def _row(lease: Lease) -> dict[str, object]:
    return {
        "account": lease.account,
        "run": lease.run,
        "pid": lease.owner.pid,
        "process_started": lease.owner.started,
        "step": lease.step.value,
        "expires_at": lease.expires_at,
    }
