"""Triggers (GTT) behind stops in the journal: which of those at the broker are ours outlives the program."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, or_, select
from sqlalchemy.dialects.sqlite import insert as upsert

from app.domain.backstop import RestingState, RestingTrigger
from app.domain.errors import Damaged
from app.domain.events import AuditEntry
from app.domain.ids import AccountId, Nanos
from app.storage import trail
from app.storage.schema_journal import gtt_backstops
from app.storage.store import Store

_KEPT = [state.value for state in RestingState if state is not RestingState.GONE]
"""What one has sold counts for as long as its stop is there."""


class GttBackstops:
    """Awaited on the loop; written on the journal's own thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self, account: AccountId, since: Nanos) -> Sequence[RestingTrigger]:
        """Those that may still act or have fired, and those that ended at `since` or later; oldest first.

        Raises Damaged.
        """
        query = (
            select(gtt_backstops.c.tag, gtt_backstops.c.body)
            .where(gtt_backstops.c.account == account)
            .where(or_(gtt_backstops.c.state.in_(_KEPT), gtt_backstops.c.changed_at >= since))
            .order_by(gtt_backstops.c.asked_at, gtt_backstops.c.tag)
        )
        rows = await self._store.run(lambda c: c.execute(query).all())
        return [_trigger(tag, body) for tag, body in rows]

    async def save(self, trigger: RestingTrigger, entry: AuditEntry) -> None:
        """As it now stands, and its line of the audit trail: one transaction."""
        row = {
            "tag": trigger.tag,
            "account": entry.account,
            "stop": trigger.stop,
            "state": trigger.state.value,
            "asked_at": trigger.asked_at,
            "changed_at": entry.at,
            "body": msgspec.json.encode(trigger).decode(),
        }
        changed = {name: row[name] for name in ("state", "changed_at", "body")}
        keep = upsert(gtt_backstops).values(row).on_conflict_do_update(index_elements=["tag"], set_=changed)

        def work(connection: Connection) -> None:
            connection.execute(keep)
            trail.append(connection, entry)

        await self._store.run(work)


def _trigger(tag: str, body: str) -> RestingTrigger:
    try:
        return msgspec.json.decode(body, type=RestingTrigger)
    except msgspec.DecodeError as error:
        raise Damaged(
            f"The trigger {tag} behind a stop cannot be read.", "Restore a backup.", detail=str(error)
        ) from error
