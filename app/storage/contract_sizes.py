"""How much a lot of a contract is, as brokers tell it with their positions: kept, because trades outlive positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, text

from app.domain.ids import AccountId, InstrumentId, split_instrument_id
from app.domain.instrument import COUNTED_IN_LOTS
from app.domain.portfolio import Position
from app.storage.store import Store

_LEARN = text("""
INSERT INTO contract_sizes (account, instrument, size) VALUES (:account, :instrument, :size)
ON CONFLICT (account, instrument) DO UPDATE SET size = excluded.size WHERE size <> excluded.size""")
_UNSIZED = text("SELECT DISTINCT account, broker, instrument FROM trades WHERE multiplier IS NULL")
_STALE = text("""
INSERT OR IGNORE INTO stale_groups (account, instrument, product)
SELECT DISTINCT :account, :instrument, product FROM fills WHERE account = :account AND instrument IN (
  SELECT :instrument UNION SELECT old_id FROM fill_aliases WHERE account = :account AND new_id = :instrument)""")


class ContractSizes:
    """The sizes of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def told(self, account: AccountId) -> dict[tuple[AccountId, InstrumentId], int]:
        """All that the account's broker ever said."""
        query = text("SELECT instrument, size FROM contract_sizes WHERE account = :account")
        rows = await self._store.run(lambda c: c.execute(query, {"account": account}).fetchall())
        return {(account, InstrumentId(row.instrument)): row.size for row in rows}

    async def look_again(self, listed: Callable[[str, InstrumentId], int | None]) -> None:
        """Marks the trades of unknown size whose size a newer table knows (`listed`: by broker and contract)."""
        rows = await self._store.run(lambda c: c.execute(_UNSIZED).fetchall())
        known = [
            {"account": row.account, "instrument": row.instrument}
            for row in rows
            if listed(row.broker, InstrumentId(row.instrument)) is not None
        ]
        if known:
            await self._store.run(lambda c: c.execute(_STALE, known))


def learn(connection: Connection, positions: Sequence[Position]) -> None:
    """Keeps what is news, and marks whose trades must be worked out again by it."""
    for position in positions:
        key = position.key
        if position.multiplier > 0 and split_instrument_id(key.instrument)[0] in COUNTED_IN_LOTS:
            values = {"account": key.account, "instrument": key.instrument, "size": position.multiplier}
            if connection.execute(_LEARN, values).rowcount:
                connection.execute(_STALE, values)
