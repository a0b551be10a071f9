"""How much a lot of a contract is: trades of commodities and currencies were counted as if a lot were a unit."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, PrimaryKeyConstraint

from app.storage.columns import Whole, Words

_LEARN = """
INSERT INTO contract_sizes (account, instrument, size)
SELECT account, instrument, max(multiplier) FROM positions
WHERE multiplier > 0 AND substr(instrument, 1, 4) IN ('MCX:', 'NCO:', 'CDS:', 'BCD:') GROUP BY account, instrument"""
_UNITS = """
UPDATE trades SET multiplier = 1 WHERE substr(instrument, 1, 4) NOT IN ('MCX:', 'NCO:', 'CDS:', 'BCD:')"""
_UNKNOWN = """
UPDATE trades SET gross = 0, brokerage = '0', transaction_tax = '0', exchange_charge = '0', sebi_fee = '0',
  stamp_duty = '0', gst = '0', other = '0', charges = 0, net = 0 WHERE multiplier IS NULL"""
_STALE = """
INSERT OR IGNORE INTO stale_groups (account, instrument, product)
SELECT DISTINCT account, instrument, product FROM fills
WHERE substr(instrument, 1, 4) IN ('MCX:', 'NCO:', 'CDS:', 'BCD:')"""


def upgrade() -> None:
    """The positions at hand tell what they know. The trades in question are worked out again at the next start; until
    then their sizes count as unknown."""
    op.create_table(
        "contract_sizes",
        Column("account", Words, nullable=False),
        Column("instrument", Words, nullable=False),
        Column("size", Whole, nullable=False),
        PrimaryKeyConstraint("account", "instrument", name="pk_contract_sizes"),
        CheckConstraint("size > 0", name="ck_contract_sizes_size_positive"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.execute(_LEARN)
    op.add_column("trades", Column("multiplier", Whole))
    op.execute(_UNITS)
    op.execute(_UNKNOWN)
    op.execute(_STALE)
