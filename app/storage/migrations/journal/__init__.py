"""Versions of the journal, oldest first. Never edit one that was released: add the next."""

from app.storage.migrations import Version
from app.storage.migrations.journal import (
    v0001_first,
    v0002_varieties,
    v0003_cover_product,
    v0004_stop_plans,
    v0005_audit_chain,
    v0006_strategies,
    v0007_why_fired,
    v0008_absences,
    v0009_order_states,
    v0010_flights,
    v0011_gtt_backstops,
    v0012_closed_before,
)

VERSIONS = (
    Version("0001", v0001_first.upgrade),
    Version("0002", v0002_varieties.upgrade),
    Version("0003", v0003_cover_product.upgrade),
    Version("0004", v0004_stop_plans.upgrade),
    Version("0005", v0005_audit_chain.upgrade),
    Version("0006", v0006_strategies.upgrade),
    Version("0007", v0007_why_fired.upgrade),
    Version("0008", v0008_absences.upgrade),
    Version("0009", v0009_order_states.upgrade),
    Version("0010", v0010_flights.upgrade),
    Version("0011", v0011_gtt_backstops.upgrade),
    Version("0012", v0012_closed_before.upgrade),
)
