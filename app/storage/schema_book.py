"""Tables of the book: accounts, instruments, what the brokers reported, what the trader wrote beside it, and caches.

Money is whole: prices in the instrument's minor unit, amounts in paise; what a broker gives with more decimals
(averages) and rates are decimal text. Moments are nanoseconds UTC. Columns that the user owns are never written by a
sync (C4).
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, UniqueConstraint

from app.domain.events import Level, SessionState
from app.domain.fill import Source
from app.domain.instrument import Exchange, InstrumentKind, Product, Segment
from app.domain.market import Interval
from app.domain.order import OrderKind, OrderStatus, Side, Validity
from app.storage import schema_instruments, schema_metrics, schema_sync, schema_ticks
from app.storage.columns import Blob, Whole, Words, one_of, yes_no
from app.storage.schema_base import metadata

__all__ = ["metadata", "schema_instruments", "schema_metrics", "schema_sync", "schema_ticks"]

settings = Table(
    "settings",
    metadata,
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    sqlite_strict=True,
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Words, primary_key=True),
    Column("broker", Words, nullable=False),
    Column("user_id", Words, nullable=False),
    Column("client_name", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("api_key", Words, nullable=False),
    Column("api_url", Words, nullable=False),
    Column("login_url", Words, nullable=False),
    Column("ws_url", Words, nullable=False),
    Column("redirect_url", Words, nullable=False),
    Column("ca_file", Words, nullable=False),
    Column("sealed_secret", Blob),
    Column("sealed_token", Blob),
    Column("token_issued_at", Whole),
    Column("token_expires_at", Whole),
    Column("last_refresh", Whole),
    Column("last_sync", Whole),
    Column("next_sync", Whole),
    Column("last_error", Words, nullable=False),
    Column("error_count", Whole, nullable=False),
    Column("sync_on", Whole, nullable=False),
    Column("sync_every_s", Whole, nullable=False),
    Column("fills_synced", Whole, nullable=False),
    Column("syncs_failed", Whole, nullable=False),
    Column("connected_at", Whole),
    Column("disconnected_at", Whole),
    one_of("state", SessionState),
    yes_no("sync_on"),
    CheckConstraint("error_count >= 0", name="error_count_not_negative"),
    CheckConstraint("sync_every_s >= 60", name="sync_at_most_each_minute"),
    sqlite_strict=True,
)

instruments = Table(
    "instruments",
    metadata,
    Column("broker", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("token", Whole, nullable=False),
    Column("exchange", Words, nullable=False),
    Column("segment", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("tick_size", Whole, nullable=False),
    Column("lot_size", Whole, nullable=False),
    Column("price_scale", Whole, nullable=False),
    Column("expiry", Words),
    Column("strike", Words),
    Column("active", Whole, nullable=False),
    Column("key", Words, nullable=False, server_default=""),
    one_of("exchange", Exchange),
    one_of("segment", Segment),
    one_of("kind", InstrumentKind),
    yes_no("active"),
    # Not unique: after expiry a token names another contract (D2), and both rows stay.
    Index(None, "broker", "token"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

fills = Table(
    "fills",
    metadata,
    Column("id", Whole, primary_key=True),
    # Identity (C2).
    Column("broker", Words, nullable=False),
    Column("account", Words, nullable=False),
    Column("exchange", Words, nullable=False),
    Column("id_segment", Words, nullable=False),
    Column("trade_date", Words, nullable=False),
    Column("broker_order_id", Words, nullable=False),
    Column("trade_id", Words, nullable=False),
    Column("side", Words, nullable=False),
    # What the broker owns.
    Column("instrument", Words, nullable=False),
    Column("segment", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("product", Words, nullable=False),
    Column("quantity", Whole, nullable=False),
    Column("price", Whole, nullable=False),
    Column("price_scale", Whole, nullable=False),
    Column("filled_at", Whole, nullable=False),
    Column("raw", Words, nullable=False),
    Column("source", Words, nullable=False, server_default="broker sync"),
    # What the user owns.
    Column("note", Words, nullable=False, server_default=""),
    Column("tags", Words, nullable=False, server_default="[]"),
    Column("strategy", Words, nullable=False, server_default=""),
    Column("category", Words, nullable=False, server_default=""),
    # Ours.
    Column("created_at", Whole, nullable=False),
    Column("updated_at", Whole, nullable=False),
    Column("withdrawn_at", Whole),
    Column("deleted_at", Whole),
    Column("row_version", Whole, nullable=False, server_default="1"),
    UniqueConstraint(
        *("account", "trade_date", "broker", "exchange", "id_segment", "broker_order_id", "trade_id", "side"),
        name="uq_fills_identity",
    ),
    one_of("side", Side),
    one_of("segment", Segment),
    one_of("kind", InstrumentKind),
    one_of("product", Product),
    one_of("source", Source),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    CheckConstraint("price >= 0", name="price_not_negative"),
    CheckConstraint("length(trade_date) = 10", name="trade_date_iso"),
    Index(None, "account", "instrument", "product", "filled_at"),
    Index(None, "filled_at"),
    sqlite_strict=True,
)

stale_groups = Table(
    "stale_groups",
    metadata,
    Column("account", Words, primary_key=True),
    Column("instrument", Words, primary_key=True),
    Column("product", Words, primary_key=True),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""Groups whose fills changed and whose trades were not yet worked out again: marked with the fills, in one commit."""

trades = Table(
    "trades",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("account", Words, nullable=False),
    Column("broker", Words, nullable=False),
    Column("instrument", Words, nullable=False),
    Column("segment", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("product", Words, nullable=False),
    Column("side", Words, nullable=False),
    Column("quantity", Whole, nullable=False),
    Column("entry_price", Whole, nullable=False),
    Column("opened_at", Whole, nullable=False),
    Column("entry_order", Words),
    Column("exit_price", Whole),
    Column("closed_at", Whole),
    Column("exit_order", Words),
    Column("source", Words, nullable=False),
    Column("gross", Whole, nullable=False),
    Column("brokerage", Words, nullable=False),
    Column("transaction_tax", Words, nullable=False),
    Column("exchange_charge", Words, nullable=False),
    Column("sebi_fee", Words, nullable=False),
    Column("stamp_duty", Words, nullable=False),
    Column("gst", Words, nullable=False),
    Column("other", Words, nullable=False),
    Column("charges", Whole, nullable=False),
    Column("net", Whole, nullable=False),
    Column("price_scale", Whole, nullable=False),
    Column("last_at", Whole, nullable=False),
    Column("multiplier", Whole),
    one_of("side", Side),
    one_of("segment", Segment),
    one_of("kind", InstrumentKind),
    one_of("product", Product),
    one_of("source", Source),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    CheckConstraint("(closed_at IS NULL) = (exit_price IS NULL)", name="closed_with_price"),
    Index(None, "account", "instrument", "product"),
    Index(None, "last_at"),
    sqlite_strict=True,
)

orders = Table(
    "orders",
    metadata,
    Column("account", Words, primary_key=True),
    Column("broker_order_id", Words, primary_key=True),
    Column("order_id", Words),
    Column("exchange_order_id", Words),
    Column("instrument", Words, nullable=False),
    Column("side", Words, nullable=False),
    Column("product", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("quantity", Whole, nullable=False),
    Column("filled_quantity", Whole, nullable=False),
    Column("pending_quantity", Whole, nullable=False),
    Column("average_price", Whole),
    Column("price", Whole),
    Column("trigger_price", Whole),
    Column("tag", Words),
    Column("placed_at", Whole),
    Column("updated_at", Whole),
    Column("status_text", Words),
    Column("validity", Words, nullable=False),
    Column("variety", Words, nullable=False),
    Column("parent", Words),
    Column("tags", Words, nullable=False, server_default="[]"),
    Column("disclosed_quantity", Whole, nullable=False, server_default="0"),
    Column("cancelled_quantity", Whole, nullable=False, server_default="0"),
    Column("valid_minutes", Whole, nullable=False, server_default="0"),
    Column("auction_number", Words, nullable=False, server_default=""),
    Column("iceberg", Words),
    Column("changes", Whole, nullable=False, server_default="0"),
    one_of("side", Side),
    one_of("product", Product),
    one_of("kind", OrderKind),
    one_of("status", OrderStatus),
    one_of("validity", Validity),
    CheckConstraint("quantity >= 0 AND filled_quantity >= 0 AND pending_quantity >= 0", name="quantities_not_negative"),
    Index(None, "account", "placed_at"),
    Index(None, "tag"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

positions = Table(
    "positions",
    metadata,
    Column("account", Words, primary_key=True),
    Column("instrument", Words, primary_key=True),
    Column("product", Words, primary_key=True),
    Column("quantity", Whole, nullable=False),
    Column("average_price", Words, nullable=False),
    Column("last_price", Whole, nullable=False),
    Column("close_price", Whole, nullable=False),
    Column("buy_quantity", Whole, nullable=False),
    Column("buy_value", Words, nullable=False),
    Column("sell_quantity", Whole, nullable=False),
    Column("sell_value", Words, nullable=False),
    Column("multiplier", Whole, nullable=False),
    Column("price_scale", Whole, nullable=False),
    Column("read_at", Whole, nullable=False),
    one_of("product", Product),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

contract_sizes = Table(
    "contract_sizes",
    metadata,
    Column("account", Words, primary_key=True),
    Column("instrument", Words, primary_key=True),
    Column("size", Whole, nullable=False),
    CheckConstraint("size > 0", name="size_positive"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""How much a lot is, as the account's broker told with its positions. Trades need it when these are gone."""

holdings = Table(
    "holdings",
    metadata,
    Column("account", Words, primary_key=True),
    Column("instrument", Words, primary_key=True),
    Column("isin", Words, nullable=False),
    Column("quantity", Whole, nullable=False),
    Column("t1_quantity", Whole, nullable=False),
    Column("average_price", Words, nullable=False),
    Column("last_price", Whole, nullable=False),
    Column("close_price", Whole, nullable=False),
    Column("read_at", Whole, nullable=False),
    Column("product", Words, nullable=False, server_default="CNC"),
    Column("used_quantity", Whole, nullable=False, server_default="0"),
    Column("realised_quantity", Whole, nullable=False, server_default="0"),
    Column("authorised_quantity", Whole, nullable=False, server_default="0"),
    Column("authorised_at", Whole),
    Column("opening_quantity", Whole, nullable=False, server_default="0"),
    Column("short_quantity", Whole, nullable=False, server_default="0"),
    Column("collateral_quantity", Whole, nullable=False, server_default="0"),
    Column("collateral_type", Words, nullable=False, server_default=""),
    Column("discrepancy", Whole, nullable=False, server_default="0"),
    Column("funded", Words),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("at", Whole, nullable=False),
    Column("level", Words, nullable=False),
    Column("title", Words, nullable=False),
    Column("cause", Words, nullable=False),
    Column("next_step", Words, nullable=False),
    Column("account", Words),
    Column("repeat_key", Words, nullable=False),
    Column("repeats", Whole, nullable=False, server_default="1"),
    Column("read_at", Whole),
    one_of("level", Level),
    Index(None, "at"),
    Index(None, "repeat_key"),
    sqlite_strict=True,
)

strategies = Table(
    "strategies",
    metadata,
    Column("id", Words, primary_key=True),
    Column("account", Words, nullable=False),
    Column("instrument", Words, nullable=False),
    Column("product", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("quantity", Whole, nullable=False),
    Column("state", Words, nullable=False),
    Column("rules", Words, nullable=False),
    Column("created_at", Whole, nullable=False),
    Column("updated_at", Whole, nullable=False),
    one_of("product", Product),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    Index(None, "account", "instrument", "product"),
    sqlite_strict=True,
)

watchlists = Table(
    "watchlists",
    metadata,
    Column("name", Words, primary_key=True),
    Column("place", Whole, nullable=False),
    sqlite_strict=True,
)

watchlist_items = Table(
    "watchlist_items",
    metadata,
    Column("watchlist", Words, ForeignKey("watchlists.name", ondelete="CASCADE"), primary_key=True),
    Column("place", Whole, primary_key=True),
    Column("instrument", Words, nullable=False),
    UniqueConstraint("watchlist", "instrument"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

candles = Table(
    "candles",
    metadata,
    Column("instrument", Words, primary_key=True),
    Column("seconds", Whole, primary_key=True),
    Column("start", Whole, primary_key=True),
    Column("open", Whole, nullable=False),
    Column("high", Whole, nullable=False),
    Column("low", Whole, nullable=False),
    Column("close", Whole, nullable=False),
    Column("volume", Whole, nullable=False),
    CheckConstraint(f"seconds IN ({', '.join(str(i.value) for i in Interval)})", name="interval_known"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

day_curve = Table(
    "day_curve",
    metadata,
    Column("account", Words, primary_key=True),
    Column("at", Whole, primary_key=True),
    Column("gross", Whole, nullable=False),
    Column("net", Whole, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
