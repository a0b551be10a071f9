"""Tables of the journal: stops, order intents, the audit trail, the program's running state.

Apart from the book, so that no bulk write delays a stop (B2). Prices in minor units, moments in nanoseconds UTC.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, MetaData, Table

from app.domain.backstop import RestingState
from app.domain.guard import AwayKind
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderStatus, Side, Validity
from app.domain.stop import StopState
from app.domain.strategy import MarkKind, StrategyState
from app.storage.columns import NAMING, Blob, Whole, Words, one_of

metadata = MetaData(naming_convention=NAMING)

stops = Table(
    "stops",
    metadata,
    Column("id", Words, primary_key=True),
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
    Column("plan", Words),
    Column("best_price", Whole),
    Column("exit_at", Whole),
    Column("seen_price", Whole),
    Column("seen_at", Whole),
    Column("fired_by", Words),
    Column("closed_before", Whole, nullable=False, server_default="0"),
    one_of("product", Product),
    one_of("side", Side),
    one_of("state", StopState),
    CheckConstraint("quantity >= 0", name="quantity_not_negative"),
    CheckConstraint("attempt >= 1", name="attempt_counts"),
    Index(None, "state"),
    Index(None, "updated_at"),
    sqlite_strict=True,
)

intents = Table(
    "intents",
    metadata,
    Column("tag", Words, primary_key=True),
    Column("order_id", Words, nullable=False, unique=True),
    Column("stop", Words, ForeignKey("stops.id")),
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
    Column("variety", Words, nullable=False, server_default="regular"),
    Column("iceberg_legs", Whole, nullable=False, server_default="0"),
    Column("autoslice", Whole, nullable=False, server_default="0"),
    Column("disclosed_quantity", Whole, nullable=False, server_default="0"),
    Column("valid_minutes", Whole, nullable=False, server_default="0"),
    Column("auction_number", Words, nullable=False, server_default=""),
    Column("purpose", Words, nullable=False, server_default="manual"),
    Column("filled", Whole, nullable=False, server_default="0"),
    Column("changes", Whole, nullable=False, server_default="0"),
    one_of("product", Product),
    one_of("side", Side),
    one_of("kind", OrderKind),
    one_of("validity", Validity),
    one_of("status", OrderStatus),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    Index(None, "account", "status"),
    Index(None, "stop"),
    sqlite_strict=True,
)

audit = Table(
    "audit",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("at", Whole, nullable=False),
    Column("account", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("what", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("stop", Words),
    Column("chain", Words, nullable=False, server_default=""),
    Index(None, "subject"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

AUDIT_TRIGGERS = (
    """CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is never edited'); END""",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is never edited'); END""",
    # An id chosen by hand (-1 stands for "the next one" here) could put a line between two others.
    """CREATE TRIGGER audit_only_grows BEFORE INSERT ON audit
    WHEN NEW.id <> -1 AND NEW.id <= (SELECT COALESCE(MAX(id), 0) FROM audit)
    BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END""",
    """CREATE TRIGGER audit_sealed BEFORE INSERT ON audit WHEN length(NEW.chain) <> 64
    BEGIN SELECT RAISE(ABORT, 'a line of the audit trail has a seal'); END""",
)
"""The trail is append-only for every program that holds the key, not just for this one's good will (F10)."""

runtime_state = Table(
    "runtime_state",
    metadata,
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    sqlite_strict=True,
)

strategies = Table(
    "strategies",
    metadata,
    Column("id", Words, primary_key=True),
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
    one_of("product", Product),
    one_of("side", Side),
    one_of("state", StrategyState),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    CheckConstraint("held >= 0", name="held_not_negative"),
    Index(None, "account"),
    sqlite_strict=True,
)
"""What is asked for by column; the whole of a strategy is in its body."""

strategy_marks = Table(
    "strategy_marks",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("strategy", Words, nullable=False),
    Column("at", Whole, nullable=False),
    Column("kind", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("words", Words, nullable=False),
    Column("price", Whole),
    Column("quantity", Whole, nullable=False),
    one_of("kind", MarkKind),
    one_of("state", StrategyState),
    Index(None, "strategy", "at"),
    sqlite_strict=True,
)

absences = Table(
    "absences",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("since", Whole, nullable=False),
    Column("until", Whole, nullable=False),
    Column("account", Words),
    Column("guarded_since", Whole),
    Column("audit_since", Whole, nullable=False),
    Column("audit_until", Whole, nullable=False),
    Column("audit_settled", Whole, nullable=False),
    one_of("kind", AwayKind),
    sqlite_strict=True,
)

flights = Table(
    "flights",
    metadata,
    Column("stop", Words, primary_key=True),
    Column("account", Words, nullable=False),
    Column("fired_at", Whole, nullable=False),
    Column("flight", Blob, nullable=False),
    Index(None, "fired_at"),
    sqlite_strict=True,
)
"""One row for each exit; the newest that is known of it."""

gtt_backstops = Table(
    "gtt_backstops",
    metadata,
    Column("tag", Words, primary_key=True),
    Column("account", Words, nullable=False),
    Column("stop", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("asked_at", Whole, nullable=False),
    Column("changed_at", Whole, nullable=False),
    Column("body", Words, nullable=False),
    one_of("state", RestingState),
    Index(None, "account"),
    sqlite_strict=True,
)
"""Triggers behind stops: what is asked for by column; the whole of one is in its body."""
