"""Versions of the book, oldest first. Never edit one that was released: add the next."""

from app.storage.migrations import Version
from app.storage.migrations.book import (
    v0001_first,
    v0002_instrument_key,
    v0003_sync,
    v0004_instrument_imports,
    v0005_orders_and_holdings,
    v0006_cover_product,
    v0007_ticks,
    v0008_account_states,
    v0009_fill_aliases,
    v0010_day_metrics,
    v0011_contract_sizes,
    v0012_order_changes,
)

VERSIONS = (
    Version("0001", v0001_first.upgrade),
    Version("0002", v0002_instrument_key.upgrade),
    Version("0003", v0003_sync.upgrade),
    Version("0004", v0004_instrument_imports.upgrade),
    Version("0005", v0005_orders_and_holdings.upgrade),
    Version("0006", v0006_cover_product.upgrade),
    Version("0007", v0007_ticks.upgrade),
    Version("0008", v0008_account_states.upgrade),
    Version("0009", v0009_fill_aliases.upgrade),
    Version("0010", v0010_day_metrics.upgrade),
    Version("0011", v0011_contract_sizes.upgrade),
    Version("0012", v0012_order_changes.upgrade),
)
