"""Tables of the sync's own record: its log, leases, data sets, failures, conflicts, days and figures."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Table, UniqueConstraint

from app.domain.events import SyncStep
from app.domain.sync import Conflicts, DataSet
from app.storage.columns import Whole, Words, one_of, yes_no
from app.storage.schema_base import metadata

sync_log = Table(
    "sync_log",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("run", Words, nullable=False),
    Column("account", Words, nullable=False),
    Column("triggered_by", Words, nullable=False),
    Column("operation", Words, nullable=False, server_default="today"),
    Column("step", Words, nullable=False),
    Column("fetched", Whole, nullable=False),
    Column("created", Whole, nullable=False),
    Column("updated", Whole, nullable=False),
    Column("skipped", Whole, nullable=False),
    Column("conflicting", Whole, nullable=False),
    Column("started_at", Whole, nullable=False),
    Column("ended_at", Whole),
    Column("took_ms", Whole),
    Column("error", Words, nullable=False),
    Column("error_class", Words, nullable=False, server_default=""),
    Column("retries", Whole, nullable=False, server_default="0"),
    Column("rate_limited", Whole, nullable=False, server_default="0"),
    one_of("step", SyncStep),
    UniqueConstraint("run", "account"),
    Index(None, "started_at"),
    sqlite_strict=True,
)

sync_leases = Table(
    "sync_leases",
    metadata,
    Column("account", Words, primary_key=True),
    Column("run", Words, nullable=False),
    Column("pid", Whole, nullable=False),
    Column("process_started", Words, nullable=False),
    Column("step", Words, nullable=False),
    Column("expires_at", Whole, nullable=False),
    one_of("step", SyncStep),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

sync_plans = Table(
    "sync_plans",
    metadata,
    Column("account", Words, primary_key=True),
    Column("begins", Whole, nullable=False),
    Column("after_close_s", Whole, nullable=False),
    Column("segments", Words, nullable=False),
    Column("conflicts", Words, nullable=False),
    one_of("conflicts", Conflicts),
    CheckConstraint("begins BETWEEN 0 AND 1439", name="begins_in_the_day"),
    CheckConstraint("after_close_s >= 0", name="after_the_close"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

sync_data_sets = Table(
    "sync_data_sets",
    metadata,
    Column("account", Words, primary_key=True),
    Column("data_set", Words, primary_key=True),
    Column("tried_at", Whole, nullable=False),
    Column("good_at", Whole),
    Column("rows", Whole, nullable=False),
    Column("took_ms", Whole, nullable=False),
    Column("retries", Whole, nullable=False),
    Column("error_class", Words, nullable=False),
    Column("error", Words, nullable=False),
    one_of("data_set", DataSet),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

sync_days = Table(
    "sync_days",
    metadata,
    Column("account", Words, primary_key=True),
    Column("day", Words, primary_key=True),
    Column("last_sync", Whole),
    Column("closed_by", Words, nullable=False, server_default=""),
    CheckConstraint("length(day) = 10", name="day_iso"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""Trading days of an account; `closed_by` says what made its fills complete, empty while nothing did."""

sync_conflicts = Table(
    "sync_conflicts",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("account", Words, nullable=False),
    Column("found_at", Whole, nullable=False),
    Column("fill", Words, nullable=False),
    Column("ours", Words, nullable=False),
    Column("theirs", Words, nullable=False),
    Column("raw", Words, nullable=False),
    Column("settled_at", Whole),
    Column("settled_as", Words),
    UniqueConstraint("fill", "theirs"),
    one_of("settled_as", ("broker", "book", "gone"), nullable=True),
    CheckConstraint("(settled_at IS NULL) = (settled_as IS NULL)", name="settled_as_something"),
    Index(None, "account", "settled_at"),
    sqlite_strict=True,
)

backfills = Table(
    "backfills",
    metadata,
    Column("account", Words, primary_key=True),
    Column("since", Words, nullable=False),
    Column("until", Words, nullable=False),
    Column("next_day", Words, nullable=False),
    Column("fills", Whole, nullable=False),
    Column("error", Words, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

failed_jobs = Table(
    "failed_jobs",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("account", Words),
    Column("job", Words, nullable=False),
    Column("payload", Words, nullable=False),
    Column("tries", Whole, nullable=False),
    Column("first_failed_at", Whole, nullable=False),
    Column("last_failed_at", Whole, nullable=False),
    Column("error_class", Words, nullable=False),
    Column("error", Words, nullable=False),
    CheckConstraint("tries >= 1", name="tries_counted"),
    Index(None, "last_failed_at"),
    sqlite_strict=True,
)

sync_refreshes = Table(
    "sync_refreshes",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("account", Words, nullable=False),
    Column("at", Whole, nullable=False),
    Column("good", Whole, nullable=False),
    yes_no("good"),
    Index(None, "at"),
    sqlite_strict=True,
)
"""Sessions begun anew, or not: a login, a refresh token (C12)."""
