"""Strategies, and the points of their timelines."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, PrimaryKeyConstraint

from app.storage.columns import Whole, Words

STATES = (
    "'idle', 'waiting', 'buying', 'bought', 'selling', 'sold', 'exited_by_sl', 'buy_failed', 'aborted', 'paused', "
    "'broker_unreachable'"
)
KINDS = "'state', 'entry fill', 'exit fill', 'stop', 'note'"
NO_UPDATE = """CREATE TRIGGER strategy_marks_no_update BEFORE UPDATE ON strategy_marks
    BEGIN SELECT RAISE(ABORT, 'what happened to a strategy is never edited'); END"""


def upgrade() -> None:
    """None yet."""
    op.create_table(
        "strategies",
        Column("id", Words, nullable=False),
        Column("account", Words, nullable=False),
        Column("instrument", Words, nullable=False),
        Column("product", Words, nullable=False),
        Column("side", Words, nullable=False),
        Column("quantity", Whole, nullable=False),
        Column("state", Words, nullable=False),
        Column("held", Whole, nullable=False),
        Column("entry_at", Whole),
        Column("exit_at", Whole),
        Column("changed_at", Whole, nullable=False),
        Column("body", Words, nullable=False),
        CheckConstraint("product IN ('CNC', 'MIS', 'NRML', 'MTF', 'CO')", name="ck_strategies_product_known"),
        CheckConstraint("side IN ('BUY', 'SELL')", name="ck_strategies_side_known"),
        CheckConstraint(f"state IN ({STATES})", name="ck_strategies_state_known"),
        CheckConstraint("quantity > 0", name="ck_strategies_quantity_positive"),
        CheckConstraint("held >= 0", name="ck_strategies_held_not_negative"),
        PrimaryKeyConstraint("id", name="pk_strategies"),
        sqlite_strict=True,
    )
    op.create_index("ix_strategies_account", "strategies", ["account"])
    op.create_table(
        "strategy_marks",
        Column("id", Whole, nullable=False),
        Column("strategy", Words, nullable=False),
        Column("at", Whole, nullable=False),
        Column("kind", Words, nullable=False),
        Column("state", Words, nullable=False),
        Column("words", Words, nullable=False),
        Column("price", Whole),
        Column("quantity", Whole, nullable=False),
        CheckConstraint(f"kind IN ({KINDS})", name="ck_strategy_marks_kind_known"),
        CheckConstraint(f"state IN ({STATES})", name="ck_strategy_marks_state_known"),
        PrimaryKeyConstraint("id", name="pk_strategy_marks"),
        sqlite_strict=True,
    )
    op.create_index("ix_strategy_marks_strategy_at", "strategy_marks", ["strategy", "at"])
    op.execute(NO_UPDATE)
