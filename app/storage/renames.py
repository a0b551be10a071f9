"""Fills across a change of name (D2): which were traded in what is called otherwise now. SQL only."""

from __future__ import annotations

from sqlalchemy import Connection, text

from app.domain.ids import AccountId, InstrumentId, Nanos

_NEW = text("""
SELECT r.old_id, r.new_id, r.at FROM instrument_renames r
JOIN instruments o ON o.broker = r.broker AND o.id = r.old_id
JOIN instruments n ON n.broker = r.broker AND n.id = r.new_id
WHERE r.broker = :list AND o.lot_size = n.lot_size
  AND NOT EXISTS (
    SELECT 1 FROM fill_aliases a WHERE a.account = :account AND a.old_id = r.old_id AND a.renamed_at = r.at)
  AND EXISTS (SELECT 1 FROM fills f WHERE f.account = :account AND f.instrument IN (r.old_id, r.new_id))
ORDER BY r.at, r.old_id""")
# Who had become `old` before is called `new` now; a name that comes back is itself: that change is remembered as over.
_LEAD_ON = text("""
UPDATE fill_aliases SET new_id = :new WHERE account = :account AND new_id = :old AND old_id <> :new""")
_BACK = text("UPDATE fill_aliases SET until = 0 WHERE account = :account AND new_id = :old AND old_id = :new")
_REMEMBER = text("""
INSERT INTO fill_aliases (account, old_id, renamed_at, until, new_id) VALUES (:account, :old, :at, :until, :new)""")
_STALE = text("""
INSERT OR IGNORE INTO stale_groups (account, instrument, product)
SELECT :account, name.value, product.value FROM json_each(json_array(:old, :new)) name
JOIN (
  SELECT DISTINCT product AS value FROM fills WHERE account = :account AND instrument IN (
    SELECT :new UNION SELECT old_id FROM fill_aliases WHERE account = :account AND new_id = :new)
) product""")


def follow(connection: Connection, account: AccountId, list_name: str, now: Nanos) -> list[InstrumentId]:
    """Remembers every rename of the account's list that its fills do not follow yet, and marks what must be matched
    anew. A dividend changes the strike alone: the same units at the same cost. Where the lot has changed, units and
    prices were restated too (split, bonus): such contracts stay two. Returns the new names."""
    found = []
    for old, new, at in connection.execute(_NEW, {"list": list_name, "account": account}).fetchall():
        names = {"account": account, "old": old, "new": new}
        connection.execute(_LEAD_ON, names)
        connection.execute(_BACK, names)
        connection.execute(_REMEMBER, names | {"at": at, "until": max(now, at)})
        connection.execute(_STALE, names)
        found.append(InstrumentId(new))
    return found
