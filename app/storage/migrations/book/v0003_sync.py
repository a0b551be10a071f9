"""What the sync records of its own work, where a fill came from, and the orders of a trade's two legs. Frozen text."""

from __future__ import annotations

from alembic import op

FILLS = """
CREATE TABLE fills (
    id INTEGER NOT NULL,
    broker TEXT NOT NULL,
    account TEXT NOT NULL,
    exchange TEXT NOT NULL,
    id_segment TEXT NOT NULL,
    trade_date TEXT NOT NULL,
    broker_order_id TEXT NOT NULL,
    trade_id TEXT NOT NULL,
    side TEXT NOT NULL,
    instrument TEXT NOT NULL,
    segment TEXT NOT NULL,
    kind TEXT NOT NULL,
    product TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    price INTEGER NOT NULL,
    price_scale INTEGER NOT NULL,
    filled_at INTEGER NOT NULL,
    raw TEXT NOT NULL,
    source TEXT DEFAULT 'broker sync' NOT NULL,
    note TEXT DEFAULT '' NOT NULL,
    tags TEXT DEFAULT '[]' NOT NULL,
    strategy TEXT DEFAULT '' NOT NULL,
    category TEXT DEFAULT '' NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    withdrawn_at INTEGER,
    deleted_at INTEGER,
    row_version INTEGER DEFAULT '1' NOT NULL,
    CONSTRAINT pk_fills PRIMARY KEY (id),
    CONSTRAINT uq_fills_identity UNIQUE (account, trade_date, broker, exchange, id_segment, \
broker_order_id, trade_id, side),
    CONSTRAINT ck_fills_side_known CHECK (side IN ('BUY', 'SELL')),
    CONSTRAINT ck_fills_segment_known CHECK (segment IN ('equity', 'index', 'futures', 'options', \
'commodity', 'currency')),
    CONSTRAINT ck_fills_kind_known CHECK (kind IN ('share', 'index', 'future', 'call', 'put')),
    CONSTRAINT ck_fills_product_known CHECK (product IN ('CNC', 'MIS', 'NRML', 'MTF')),
    CONSTRAINT ck_fills_source_known CHECK (source IN ('broker sync', 'file import', 'manual')),
    CONSTRAINT ck_fills_quantity_positive CHECK (quantity > 0),
    CONSTRAINT ck_fills_price_not_negative CHECK (price >= 0),
    CONSTRAINT ck_fills_trade_date_iso CHECK (length(trade_date) = 10)
)
 STRICT

"""

TRADES = """
CREATE TABLE trades (
    id INTEGER NOT NULL,
    account TEXT NOT NULL,
    broker TEXT NOT NULL,
    instrument TEXT NOT NULL,
    segment TEXT NOT NULL,
    kind TEXT NOT NULL,
    product TEXT NOT NULL,
    side TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    entry_price INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    entry_order TEXT,
    exit_price INTEGER,
    closed_at INTEGER,
    exit_order TEXT,
    source TEXT NOT NULL,
    gross INTEGER NOT NULL,
    brokerage TEXT NOT NULL,
    transaction_tax TEXT NOT NULL,
    exchange_charge TEXT NOT NULL,
    sebi_fee TEXT NOT NULL,
    stamp_duty TEXT NOT NULL,
    gst TEXT NOT NULL,
    other TEXT NOT NULL,
    charges INTEGER NOT NULL,
    net INTEGER NOT NULL,
    price_scale INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    CONSTRAINT pk_trades PRIMARY KEY (id),
    CONSTRAINT ck_trades_side_known CHECK (side IN ('BUY', 'SELL')),
    CONSTRAINT ck_trades_segment_known CHECK (segment IN ('equity', 'index', 'futures', 'options', \
'commodity', 'currency')),
    CONSTRAINT ck_trades_kind_known CHECK (kind IN ('share', 'index', 'future', 'call', 'put')),
    CONSTRAINT ck_trades_product_known CHECK (product IN ('CNC', 'MIS', 'NRML', 'MTF')),
    CONSTRAINT ck_trades_source_known CHECK (source IN ('broker sync', 'file import', 'manual')),
    CONSTRAINT ck_trades_quantity_positive CHECK (quantity > 0),
    CONSTRAINT ck_trades_closed_with_price CHECK ((closed_at IS NULL) = (exit_price IS NULL))
)
 STRICT

"""

SYNC_LOG = """
CREATE TABLE sync_log (
    id INTEGER NOT NULL,
    run TEXT NOT NULL,
    account TEXT NOT NULL,
    triggered_by TEXT NOT NULL,
    operation TEXT DEFAULT 'today' NOT NULL,
    step TEXT NOT NULL,
    fetched INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    conflicting INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    took_ms INTEGER,
    error TEXT NOT NULL,
    error_class TEXT DEFAULT '' NOT NULL,
    retries INTEGER DEFAULT '0' NOT NULL,
    rate_limited INTEGER DEFAULT '0' NOT NULL,
    CONSTRAINT pk_sync_log PRIMARY KEY (id),
    CONSTRAINT ck_sync_log_step_known CHECK (step IN ('started', 'fetching', 'saving', 'completed', \
'skipped', 'failed', 'cancelled')),
    CONSTRAINT uq_sync_log_run_account UNIQUE (run, account)
)
 STRICT

"""

SYNC_LEASES = """
CREATE TABLE sync_leases (
    account TEXT NOT NULL,
    run TEXT NOT NULL,
    pid INTEGER NOT NULL,
    process_started TEXT NOT NULL,
    step TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    CONSTRAINT pk_sync_leases PRIMARY KEY (account),
    CONSTRAINT ck_sync_leases_step_known CHECK (step IN ('started', 'fetching', 'saving', 'completed', \
'skipped', 'failed', 'cancelled'))
)
 WITHOUT ROWID,
 STRICT

"""

SYNC_PLANS = """
CREATE TABLE sync_plans (
    account TEXT NOT NULL,
    begins INTEGER NOT NULL,
    after_close_s INTEGER NOT NULL,
    segments TEXT NOT NULL,
    conflicts TEXT NOT NULL,
    CONSTRAINT pk_sync_plans PRIMARY KEY (account),
    CONSTRAINT ck_sync_plans_conflicts_known CHECK (conflicts IN ('ask', 'broker', 'book')),
    CONSTRAINT ck_sync_plans_begins_in_the_day CHECK (begins BETWEEN 0 AND 1439),
    CONSTRAINT ck_sync_plans_after_the_close CHECK (after_close_s >= 0)
)
 WITHOUT ROWID,
 STRICT

"""

SYNC_DATA_SETS = """
CREATE TABLE sync_data_sets (
    account TEXT NOT NULL,
    data_set TEXT NOT NULL,
    tried_at INTEGER NOT NULL,
    good_at INTEGER,
    rows INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    error_class TEXT NOT NULL,
    error TEXT NOT NULL,
    CONSTRAINT pk_sync_data_sets PRIMARY KEY (account, data_set),
    CONSTRAINT ck_sync_data_sets_data_set_known CHECK (data_set IN ('trades', 'positions', 'holdings', 'funds'))
)
 WITHOUT ROWID,
 STRICT

"""

SYNC_DAYS = """
CREATE TABLE sync_days (
    account TEXT NOT NULL,
    day TEXT NOT NULL,
    last_sync INTEGER,
    closed_by TEXT DEFAULT '' NOT NULL,
    CONSTRAINT pk_sync_days PRIMARY KEY (account, day),
    CONSTRAINT ck_sync_days_day_iso CHECK (length(day) = 10)
)
 WITHOUT ROWID,
 STRICT

"""

SYNC_CONFLICTS = """
CREATE TABLE sync_conflicts (
    id INTEGER NOT NULL,
    account TEXT NOT NULL,
    found_at INTEGER NOT NULL,
    fill TEXT NOT NULL,
    ours TEXT NOT NULL,
    theirs TEXT NOT NULL,
    raw TEXT NOT NULL,
    settled_at INTEGER,
    settled_as TEXT,
    CONSTRAINT pk_sync_conflicts PRIMARY KEY (id),
    CONSTRAINT uq_sync_conflicts_fill_theirs UNIQUE (fill, theirs),
    CONSTRAINT ck_sync_conflicts_settled_as_known CHECK (settled_as IS NULL OR settled_as IN ('broker', \
'book', 'gone')),
    CONSTRAINT ck_sync_conflicts_settled_as_something CHECK ((settled_at IS NULL) = (settled_as IS NULL))
)
 STRICT

"""

BACKFILLS = """
CREATE TABLE backfills (
    account TEXT NOT NULL,
    since TEXT NOT NULL,
    until TEXT NOT NULL,
    next_day TEXT NOT NULL,
    fills INTEGER NOT NULL,
    error TEXT NOT NULL,
    CONSTRAINT pk_backfills PRIMARY KEY (account)
)
 WITHOUT ROWID,
 STRICT

"""

SYNC_REFRESHES = """
CREATE TABLE sync_refreshes (
    id INTEGER NOT NULL,
    account TEXT NOT NULL,
    at INTEGER NOT NULL,
    good INTEGER NOT NULL,
    CONSTRAINT pk_sync_refreshes PRIMARY KEY (id),
    CONSTRAINT ck_sync_refreshes_good_yes_no CHECK (good IN (0, 1))
)
 STRICT

"""

INDEXES = (
    "CREATE INDEX ix_fills_account_instrument_product_filled_at ON fills (account, instrument, product, filled_at)",
    "CREATE INDEX ix_fills_filled_at ON fills (filled_at)",
    "CREATE INDEX ix_trades_account_instrument_product ON trades (account, instrument, product)",
    "CREATE INDEX ix_trades_last_at ON trades (last_at)",
    "CREATE INDEX ix_sync_log_started_at ON sync_log (started_at)",
    "CREATE INDEX ix_sync_conflicts_account_settled_at ON sync_conflicts (account, settled_at)",
    "CREATE INDEX ix_sync_refreshes_at ON sync_refreshes (at)",
)

FILL_COLUMNS = (
    "id, broker, account, exchange, id_segment, trade_date, broker_order_id, trade_id, side, instrument, "
    "segment, kind, product, quantity, price, price_scale, filled_at, raw, note, tags, strategy, "
    "category, created_at, updated_at, withdrawn_at, deleted_at, row_version"
)

LOG_COLUMNS = (
    "id, run, account, triggered_by, step, fetched, created, updated, skipped, conflicting, started_at, "
    "ended_at, error, error_class, retries"
)


def upgrade() -> None:
    """Old rows keep everything; trades are worked out again from the fills at the next start."""
    for name in ("account_instrument_product_filled_at", "filled_at"):
        op.execute(f"DROP INDEX ix_fills_{name}")
    op.execute("DROP INDEX ix_sync_log_started_at")
    _widen("fills", FILLS, FILL_COLUMNS)
    _widen("sync_log", SYNC_LOG, LOG_COLUMNS)
    op.execute("DROP TABLE trades")
    op.execute(TRADES)
    op.execute(
        "INSERT OR IGNORE INTO stale_groups (account, instrument, product)"
        " SELECT DISTINCT account, instrument, product FROM fills"
    )
    for statement in (
        SYNC_LEASES,
        SYNC_PLANS,
        SYNC_DATA_SETS,
        SYNC_DAYS,
        SYNC_CONFLICTS,
        BACKFILLS,
        SYNC_REFRESHES,
        *INDEXES,
    ):
        op.execute(statement)


def _widen(table: str, definition: str, columns: str) -> None:
    """The rows of a table in a new one that has more columns."""
    op.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
    op.execute(definition)
    op.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}_before")  # noqa: S608 -- our own words
    op.execute(f"DROP TABLE {table}_before")
