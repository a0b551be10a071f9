"""What a day came to, in whole numbers: orders, exits, prices, syncs, requests, the program itself (K1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Fold(StrEnum):
    """How several values of a metric become one, of several days or of several subjects."""

    SUM = "sum"
    WORST = "worst"
    """The largest."""


class Metric(StrEnum):
    """One figure of a day. The value is its name in files."""

    ORDERS = "orders"
    ORDERS_REJECTED = "orders_rejected"
    EXITS = "exits"
    EXITS_SLOW = "exits_slow"
    ENGINE_P50_US = "engine_p50_us"
    ENGINE_P99_US = "engine_p99_us"
    ENGINE_WORST_US = "engine_worst_us"
    ANSWER_P99_US = "answer_p99_us"
    FEED_GAPS = "feed_gaps"
    FEED_GAP_MS = "feed_gap_ms"
    RECONNECTS = "reconnects"
    LOGINS = "logins"
    LOGINS_FAILED = "logins_failed"
    SYNCS = "syncs"
    SYNCS_FAILED = "syncs_failed"
    SYNC_RETRIES = "sync_retries"
    RATE_LIMITED = "rate_limited"
    REQUESTS = "requests"
    ERRORS_AUTH = "errors_auth"
    ERRORS_RATE = "errors_rate_limit"
    ERRORS_CLIENT = "errors_client"
    ERRORS_SERVER = "errors_server"
    ERRORS_NETWORK = "errors_network"
    ALARMS = "alarms"
    LOOP_LAG_MS = "loop_lag_ms"
    MEMORY_MB = "memory_mb"
    MINUTES = "minutes"

    @property
    def caption(self) -> str:
        """For people."""
        return _TITLES[self][0]

    @property
    def words(self) -> str:
        """What exactly it counts."""
        return _TITLES[self][1]

    @property
    def fold(self) -> Fold:
        """How days are put together."""
        return Fold.WORST if self in _WORST else Fold.SUM


_WORST = frozenset(
    {
        Metric.ENGINE_P50_US,
        Metric.ENGINE_P99_US,
        Metric.ENGINE_WORST_US,
        Metric.ANSWER_P99_US,
        Metric.LOOP_LAG_MS,
        Metric.MEMORY_MB,
    }
)

_TITLES: dict[Metric, tuple[str, str]] = {
    Metric.ORDERS: ("Orders", "sent from here, exits of stops apart"),
    Metric.ORDERS_REJECTED: ("Orders rejected", "of those sent from here"),
    Metric.EXITS: ("Exits", "stops that fired"),
    Metric.EXITS_SLOW: ("Exits above 5 ms", "each with its cause in the flight recorder"),
    Metric.ENGINE_P50_US: ("Exit, median (µs)", "price readable to last byte of the exit written"),
    Metric.ENGINE_P99_US: ("Exit, 99 of 100 (µs)", "price readable to last byte of the exit written"),
    Metric.ENGINE_WORST_US: ("Exit, slowest (µs)", "price readable to last byte of the exit written"),
    Metric.ANSWER_P99_US: ("Broker's answer, 99 of 100 (µs)", "last byte written to the first answer"),
    Metric.FEED_GAPS: ("Gaps in prices", "stretches of a session without prices"),
    Metric.FEED_GAP_MS: ("Without prices (ms)", "all gaps together"),
    Metric.RECONNECTS: ("Price connections lost", "and dialled again"),
    Metric.LOGINS: ("Sessions begun", "by login or by a refresh token"),
    Metric.LOGINS_FAILED: ("Sessions not begun", "a login or a refresh that failed"),
    Metric.SYNCS: ("Syncs", "that ran to their end, well or not"),
    Metric.SYNCS_FAILED: ("Syncs failed", "of them"),
    Metric.SYNC_RETRIES: ("Requests tried again", "by syncs"),
    Metric.RATE_LIMITED: ("Asked to slow down", "syncs that the broker told to wait"),
    Metric.REQUESTS: ("Requests", "to the broker, exits over the exit line apart"),
    Metric.ERRORS_AUTH: ("Errors: session (401, 403)", "answers of the broker"),
    Metric.ERRORS_RATE: ("Errors: too many (429)", "answers of the broker"),
    Metric.ERRORS_CLIENT: ("Errors: refused (4xx)", "answers of the broker"),
    Metric.ERRORS_SERVER: ("Errors: broker's own (5xx)", "answers of the broker"),
    Metric.ERRORS_NETWORK: ("Errors: network", "no answer, or none that could be read"),
    Metric.ALARMS: ("Alarms", "notices of the loudest kind"),
    Metric.LOOP_LAG_MS: ("Loop late, worst (ms)", "how late the engine's heartbeat was"),
    Metric.MEMORY_MB: ("Memory, most (MB)", "of this process"),
    Metric.MINUTES: ("Minutes at work", "of the workstation"),
}


@dataclass(frozen=True, slots=True)
class DayMetric:
    """One figure of one day."""

    day: str
    """ISO date, Indian time; of the exchange where the figure is of orders, exits or syncs."""
    subject: str
    """An account, a broker's host, or empty for the program."""
    metric: Metric
    value: int


@dataclass(frozen=True, slots=True)
class MetricHistory:
    """Some days of figures; a day without one has no row."""

    days: tuple[str, ...]
    """Every day of the range, oldest first."""
    figures: tuple[DayMetric, ...]

    def series(self, subject: str, metric: Metric) -> tuple[int | None, ...]:
        """One value for each day; None where there was none."""
        found = {one.day: one.value for one in self.figures if one.subject == subject and one.metric is metric}
        return tuple(found.get(day) for day in self.days)


def folded(metric: Metric, values: Iterable[int | None]) -> int | None:
    """Several days as one; None when no day has a value."""
    known: Sequence[int] = [value for value in values if value is not None]
    if not known:
        return None
    return max(known) if metric.fold is Fold.WORST else sum(known)
