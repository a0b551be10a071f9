"""Portfolio stops in the journal: limits, the day's best, and a halt outlive the program."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from app.domain.day_stop import DayStop
from app.domain.errors import Damaged
from app.domain.events import AuditEntry
from app.domain.ids import AccountId
from app.storage import trail
from app.storage.schema_journal import runtime_state
from app.storage.store import Store

_KEY = "day stop "


class DayStops:
    """Awaited on the loop; written on the journal's own thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self, account: AccountId) -> DayStop | None:
        """As it was left; None: there never was one. Raises Damaged."""
        query = select(runtime_state.c.value).where(runtime_state.c.key == _KEY + account)
        text = await self._store.run(lambda c: c.execute(query).scalar_one_or_none())
        if text is None:
            return None
        try:
            return msgspec.json.decode(text, type=DayStop)
        except msgspec.DecodeError as error:
            raise Damaged(
                f"The portfolio stop of {account} cannot be read.", "Set it again.", detail=str(error)
            ) from error

    async def save(self, stop: DayStop, entry: AuditEntry | None = None) -> None:
        """With its line of the audit trail, in one transaction."""
        text = msgspec.json.encode(stop).decode()

        def work(connection: Connection) -> None:
            change = upsert(runtime_state).values(key=_KEY + stop.account, value=text)
            connection.execute(change.on_conflict_do_update(index_elements=["key"], set_={"value": text}))
            if entry is not None:
                trail.append(connection, entry)

        await self._store.run(work)
