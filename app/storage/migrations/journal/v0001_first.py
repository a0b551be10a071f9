"""The first tables of the journal. Frozen: written out, not taken from `schema_journal`, which moves on."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint

from app.storage.columns import Whole, Words

TRIGGERS = (
    """CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is never edited'); END""",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is never edited'); END""",
    """CREATE TRIGGER audit_only_grows BEFORE INSERT ON audit
    WHEN NEW.id <> -1 AND NEW.id <= (SELECT COALESCE(MAX(id), 0) FROM audit)
    BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END""",
)

STATUSES = (
    "'submitted', 'unknown', 'open', 'trigger pending', 'partially filled', "
    "'filled', 'cancel pending', 'cancelled', 'rejected', 'denied', 'expired'"
)


def upgrade() -> None:
    """Creates everything."""
    op.create_table(
        "audit",
        Column("id", Whole, autoincrement=True, nullable=False),
        Column("at", Whole, nullable=False),
        Column("account", Words, nullable=False),
        Column("subject", Words, nullable=False),
        Column("what", Words, nullable=False),
        Column("detail", Words, nullable=False),
        Column("stop", Words),
        PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("ix_audit_subject", "audit", ["subject"])
    op.create_table(
        "runtime_state",
        Column("key", Words, nullable=False),
        Column("value", Words, nullable=False),
        PrimaryKeyConstraint("key", name="pk_runtime_state"),
        sqlite_strict=True,
    )
    op.create_table(
        "stops",
        Column("id", Words, nullable=False),
        Column("account", Words, nullable=False),
        Column("instrument", Words, nullable=False),
        Column("product", Words, nullable=False),
        Column("side", Words, nullable=False),
        Column("trigger_price", Whole, nullable=False),
        Column("quantity", Whole, nullable=False),
        Column("state", Words, nullable=False),
        Column("armed_at", Whole, nullable=False),
        Column("attempt", Whole, nullable=False),
        Column("token", Whole, nullable=False),
        Column("tick_size", Whole, nullable=False),
        Column("price_scale", Whole, nullable=False),
        Column("exit_order", Words),
        Column("fired_at", Whole),
        Column("fired_price", Whole),
        Column("closed_at", Whole),
        Column("exit_average", Whole),
        Column("note", Words, nullable=False),
        Column("updated_at", Whole, nullable=False),
        CheckConstraint("product IN ('CNC', 'MIS', 'NRML', 'MTF')", name="ck_stops_product_known"),
        CheckConstraint("side IN ('BUY', 'SELL')", name="ck_stops_side_known"),
        CheckConstraint(
            "state IN ('arming', 'armed', 'fired', 'exiting', 'closed', 'disarmed')", name="ck_stops_state_known"
        ),
        CheckConstraint("attempt >= 1", name="ck_stops_attempt_counts"),
        CheckConstraint("quantity >= 0", name="ck_stops_quantity_not_negative"),
        PrimaryKeyConstraint("id", name="pk_stops"),
        sqlite_strict=True,
    )
    op.create_index("ix_stops_state", "stops", ["state"])
    op.create_index("ix_stops_updated_at", "stops", ["updated_at"])
    op.create_table(
        "intents",
        Column("tag", Words, nullable=False),
        Column("order_id", Words, nullable=False),
        Column("stop", Words),
        Column("account", Words, nullable=False),
        Column("instrument", Words, nullable=False),
        Column("side", Words, nullable=False),
        Column("quantity", Whole, nullable=False),
        Column("product", Words, nullable=False),
        Column("kind", Words, nullable=False),
        Column("price", Whole),
        Column("trigger_price", Whole),
        Column("validity", Words, nullable=False),
        Column("market_protection", Whole, nullable=False),
        Column("status", Words, nullable=False),
        Column("broker_order_id", Words),
        Column("created_at", Whole, nullable=False),
        Column("resolved_at", Whole),
        CheckConstraint("kind IN ('MARKET', 'LIMIT', 'SL', 'SL-M')", name="ck_intents_kind_known"),
        CheckConstraint("product IN ('CNC', 'MIS', 'NRML', 'MTF')", name="ck_intents_product_known"),
        CheckConstraint("side IN ('BUY', 'SELL')", name="ck_intents_side_known"),
        CheckConstraint(
            f"status IN ({STATUSES})",
            name="ck_intents_status_known",
        ),
        CheckConstraint("validity IN ('DAY', 'IOC', 'TTL')", name="ck_intents_validity_known"),
        CheckConstraint("quantity > 0", name="ck_intents_quantity_positive"),
        ForeignKeyConstraint(["stop"], ["stops.id"], name="fk_intents_stop"),
        PrimaryKeyConstraint("tag", name="pk_intents"),
        UniqueConstraint("order_id", name="uq_intents_order_id"),
        sqlite_strict=True,
    )
    op.create_index("ix_intents_account_status", "intents", ["account", "status"])
    op.create_index("ix_intents_stop", "intents", ["stop"])

    for trigger in TRIGGERS:
        op.execute(trigger)
