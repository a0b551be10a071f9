"""Rows and columns of the sync view's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from app.desk.messages import Health, SyncAccount, SyncRun, SyncStatus
from app.domain.ids import AccountId, Nanos
from app.domain.sync import (
    BreakerView,
    DataSet,
    DataSetState,
    ErrorClass,
    FailedJob,
    FillConflict,
    LimitGauge,
    OpenDay,
    SyncFigures,
)
from app.ui import format as fmt
from app.ui.models.table import Column, Key, Tone

NameOf = Callable[[AccountId], str]
SECOND = 1_000_000_000

HEALTH_TONES = {Health.GOOD: Tone.GOOD, Health.ATTENTION: Tone.WARN, Health.BAD: Tone.ALARM}
STEP_TONES = {"completed": Tone.GOOD, "failed": Tone.ALARM, "cancelled": Tone.WARN, "skipped": Tone.DIM}


# -- accounts and their data sets --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateRow:
    """An account, or one of its data sets."""

    name: str
    account: SyncAccount
    state: DataSetState | None
    today: str = ""
    """ISO date: of its moments the hour is enough."""

    @property
    def good_words(self) -> str:
        """`10:15:09` of today, else the day and the hour."""
        at = self.good_at
        if at is None:
            return fmt.NOTHING
        if f"{fmt.moment(at):%Y-%m-%d}" == self.today:
            return fmt.time(at)
        return f"{fmt.short_day(fmt.moment(at).date())} {fmt.clock(at)}"

    @property
    def what(self) -> str:
        """`everything` is the account's own line."""
        return "everything" if self.state is None else self.state.data_set.value

    @property
    def good_at(self) -> Nanos | None:
        """Last good sync."""
        return self.account.last_good if self.state is None else self.state.good_at

    @property
    def next_run(self) -> str:
        """`10:15`, `16:15 closing`; of the account alone."""
        if self.state is not None or self.account.next_at is None:
            return ""
        return f"{fmt.clock(self.account.next_at)}{' closing' if self.account.next_closing else ''}"

    @property
    def health(self) -> str:
        """A word; of a data set, the class of its failure. One that was read beside another's failure was not saved."""
        if self.state is None:
            return self.account.step or self.account.health.value
        if self.state.error_class is ErrorClass.NONE and self.state.error:
            return "not saved"
        if self.state.error_class is ErrorClass.CLIENT:
            return "refused"
        return self.state.error_class.value or ("good" if self.state.good_at is not None else "not read")

    @property
    def tone(self) -> Tone:
        """Of the word."""
        if self.state is None:
            return Tone.PLAIN if self.account.step else HEALTH_TONES[self.account.health]
        if self.state.error_class is ErrorClass.NONE:
            return Tone.WARN if self.state.error else Tone.DIM
        return Tone.ALARM

    @property
    def words(self) -> str:
        """Why."""
        if self.state is not None:
            return self.state.error
        return self.account.words


def state_rows(status: SyncStatus, name_of: NameOf) -> Iterable[tuple[Key, StateRow]]:
    """Each account, then its data sets."""
    today = f"{fmt.moment(status.now):%Y-%m-%d}"
    for account in status.accounts:
        name = name_of(account.account)
        yield (account.account, ""), StateRow(name, account, None, today)
        for state in account.data_sets:
            yield (account.account, state.data_set.value), StateRow(name, account, state, today)


def _dim(row: StateRow) -> Tone:
    return Tone.PLAIN if row.state is None else Tone.DIM


STATE_COLUMNS: tuple[Column[StateRow], ...] = (
    Column("account", "Account", lambda r: r.name, shown=lambda r: r.name if r.state is None else "", whole=True,
           width=112),
    Column("what", "Data", lambda r: r.what, whole=True, width=74, tone=_dim),
    Column("health", "State", lambda r: r.health, whole=True, width=58, tone=lambda r: r.tone),
    Column(
        "good", "Last good", lambda r: r.good_at, shown=lambda r: r.good_words, whole=True, width=74, tone=_dim,
        help="When it was last read and saved whole, in the exchange's time",
    ),
    Column("next", "Next run", lambda r: r.next_run, whole=True, width=66, help="By the account's schedule", spare=1),
    Column(
        "rows", "Rows", lambda r: None if r.state is None else r.state.rows, fmt.group, number=True, width=48,
        tone=_dim, help="Of the last good read", spare=2,
    ),
    Column(
        "took", "Took", lambda r: None if r.state is None else r.state.took_ms, fmt.age, number=True, width=50,
        tone=_dim, spare=3,
    ),
    Column(
        "retries", "Retries", lambda r: None if r.state is None else r.state.retries, fmt.group, number=True,
        width=62, tone=lambda r: Tone.WARN if r.state is not None and r.state.retries else Tone.DIM, spare=4,
    ),
    Column("words", "Why", lambda r: r.words, tip=lambda r: r.words, width=110,
           tone=lambda r: r.tone if r.state is None else _dim(r)),
)  # fmt: skip


# -- what waits for the trader -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TroubleRow:
    """Something that the sync cannot settle by itself."""

    name: str
    at: Nanos | None
    thing: FillConflict | FailedJob | OpenDay
    kind: str
    story: str

    @property
    def tone(self) -> Tone:
        """A run that failed is worse than a question, or than a part that the broker refuses."""
        run = isinstance(self.thing, FailedJob) and self.thing.job not in _DATA_SETS
        return Tone.ALARM if run else Tone.WARN


def trouble_rows(status: SyncStatus, name_of: NameOf) -> Iterable[tuple[Key, TroubleRow]]:
    """Failed jobs, conflicts, days without a closing sync."""
    for job in status.jobs:
        story = f"{_job_words(job.job)}: {job.tries} tries in a row: {job.error}"
        yield ("job", job.id), TroubleRow(name_of(job.account), job.last_failed_at, job, "failed job", story)
    for conflict in status.conflicts:
        ours, theirs = conflict.ours, conflict.theirs
        story = (
            f"{ours.instrument}: {fmt.group(ours.quantity)} at {fmt.price(ours.price, ours.price_scale)} in the book, "
            f"{fmt.group(theirs.quantity)} at {fmt.price(theirs.price, theirs.price_scale)} at the broker"
        )
        name = name_of(ours.account)
        yield ("conflict", conflict.id), TroubleRow(name, conflict.found_at, conflict, "two stories", story)
    for account in status.accounts:
        for day in account.open_days:
            shown = fmt.day(date.fromisoformat(day.day))
            story = f"No closing sync on {shown}: fills of that day may be missing."
            yield ("day", day.account, day.day), TroubleRow(name_of(day.account), day.last_sync, day, "open day", story)


_DATA_SETS = frozenset(data_set.value for data_set in DataSet)


def _job_words(job: str) -> str:
    if job in _DATA_SETS:
        return f"The account's {job}"
    return "Today's sync" if job == "today" else f"Trades of {job.replace('..', ' to ')}"


TROUBLE_COLUMNS: tuple[Column[TroubleRow], ...] = (
    Column("kind", "What", lambda r: r.kind, whole=True, width=88, tone=lambda r: r.tone),
    Column("account", "Account", lambda r: r.name, whole=True, width=118),
    Column("at", "Last", lambda r: r.at, fmt.date_time, whole=True, width=150, tone=lambda _r: Tone.DIM, spare=1),
    Column("story", "Story", lambda r: r.story, tip=lambda r: r.story, width=220),
)


# -- limits, breakers, waits -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A request limit or a circuit breaker."""

    broker: str
    scope: str
    what: str
    state: str
    reset: str
    tone: Tone


_NEARLY = 0.9
_BREAKER_WORDS = {
    "closed": "closed: asked as usual",
    "open": "open: left alone",
    "half-open": "half-open: one try decides",
}


def limit_rows(status: SyncStatus, name_of: NameOf) -> Iterable[tuple[Key, LimitRow]]:
    """Waits first, breakers, then gauges."""
    for pause in status.pauses:
        yield ("pause", pause.account, pause.data_set.value), LimitRow(
            "", name_of(pause.account), f"{pause.data_set.value} waits", pause.cause, _seconds(pause.seconds_left),
            Tone.WARN,
        )  # fmt: skip
    for breaker in status.breakers:
        tone = {"closed": Tone.GOOD, "open": Tone.ALARM}.get(breaker.state, Tone.WARN)
        words = _BREAKER_WORDS.get(breaker.state, breaker.state)
        if breaker.failures:
            words += f", {breaker.failures} {'failure' if breaker.failures == 1 else 'failures'} in a row"
        yield (
            ("breaker", breaker.broker, breaker.reads),
            LimitRow(
                breaker.broker.title(),
                "all accounts",
                f"circuit breaker {breaker.reads}".strip(),
                words,
                _seconds(breaker.retry_s),
                tone,
            ),
        )
    for gauge in status.gauges:
        yield (
            ("limit", gauge.broker, gauge.account, gauge.seconds),
            LimitRow(
                gauge.broker.title(),
                name_of(AccountId(gauge.account)) if gauge.account else "all accounts",
                f"requests in {_window(gauge.seconds)}",
                _gauge(gauge),
                _seconds(gauge.reset_s),
                Tone.WARN if gauge.used > _NEARLY * gauge.limit else Tone.PLAIN,
            ),
        )


def _gauge(gauge: LimitGauge) -> str:
    """`■■■■□□□□□□ 4 of 8`."""
    full = min(10, round(10 * gauge.used / gauge.limit)) if gauge.limit else 0
    return f"{'■' * full}{'□' * (10 - full)}  {fmt.group(gauge.used)} of {fmt.group(gauge.limit)}"


def _window(seconds: int) -> str:
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min"


def _seconds(seconds: float) -> str:
    return fmt.age(round(seconds * 1000)) if seconds > 0 else ""


LIMIT_COLUMNS: tuple[Column[LimitRow], ...] = (
    Column("broker", "Broker", lambda r: r.broker, whole=True, width=80, tone=lambda _r: Tone.DIM),
    Column("scope", "For", lambda r: r.scope, whole=True, width=118),
    Column("what", "What", lambda r: r.what, whole=True, width=130),
    Column("state", "Used", lambda r: r.state, whole=True, width=180, tone=lambda r: r.tone, tip=lambda r: r.state),
    Column("reset", "Free in", lambda r: r.reset, width=70, tone=lambda _r: Tone.DIM,
           help="Until the window has room again, or the broker is tried again"),
)  # fmt: skip


def past_words(status: SyncStatus, name_of: NameOf) -> str:
    """How far the past of each account was fetched; empty when none is."""
    told = []
    for account in status.accounts:
        job = account.backfill
        if job is not None and not job.done:
            back, since = (fmt.day(date.fromisoformat(day)) for day in (job.next_day, job.since))
            words = f"{name_of(account.account)}: {fmt.group(job.fills)} fills of the past, back to {back} of {since}."
            told.append(f"{words} {job.error}".strip())
    return " ".join(told)


def left_alone_words(breakers: Iterable[BreakerView]) -> str:
    """Why a click brings nothing now, and from when on it does; empty when every broker may be asked."""
    shut = [breaker for breaker in breakers if breaker.retry_s > 0]
    return " ".join(
        f"{b.broker.title()} failed {b.failures} times and is left alone: Sync works again in {b.retry_s:.0f} s."
        if not b.reads
        else f"{b.reads.capitalize()} of {b.broker.title()} failed {b.failures} times: read again in {b.retry_s:.0f} s."
        for b in shut
    )


def figures_words(title: str, figures: SyncFigures) -> str:
    """`Last hour: 12 runs, 100 % good, …`."""
    if not figures.runs and not figures.refreshes and not figures.refreshes_failed:
        return f"{title}: no sync."
    mean = figures.took_ms // figures.runs if figures.runs else 0
    logins = "login" if figures.refreshes == 1 else "logins"
    parts = [
        f"{fmt.group(figures.runs)} {'sync' if figures.runs == 1 else 'syncs'}",
        f"{figures.success_percent:.0f} % good",
        f"{fmt.group(figures.fills)} {'fill' if figures.fills == 1 else 'fills'}",
        f"{fmt.age(mean)} each, {fmt.age(figures.slowest_ms)} the slowest",
        f"{fmt.group(figures.retries)} tries over again",
        f"{fmt.group(figures.rate_limited)} asked to slow down",
        f"{fmt.group(figures.refreshes)} {logins}, {fmt.group(figures.refreshes_failed)} failed",
    ]
    return f"{title}: {' · '.join(parts)}"


# -- the log -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunRow:
    """One account in one run."""

    run: SyncRun
    account: str
    """Its name, as the trader calls it."""

    @property
    def milliseconds(self) -> int | None:
        """How long it took, in real time where that is known."""
        if self.run.took_ms is not None:
            return self.run.took_ms
        return None if self.run.ended_at is None else (self.run.ended_at - self.run.started_at) // 1_000_000

    @property
    def searched(self) -> str:
        """What the filter looks into."""
        run = self.run
        return f"{self.account} {run.trigger} {run.operation} {run.step} {run.error_class} {run.error}".lower()


def _figure(key: str, title: str, help_text: str, spare: int = 0) -> Column[RunRow]:
    return Column(
        key, title, lambda r: getattr(r.run, key), fmt.group, number=True, width=70, help=help_text, spare=spare
    )


LOG_COLUMNS: tuple[Column[RunRow], ...] = (
    Column(
        "started", "Started", lambda r: r.run.started_at, fmt.date_time, whole=True, width=150, tone=lambda _r: Tone.DIM
    ),
    Column("account", "Account", lambda r: r.account, whole=True, width=112),
    Column("trigger", "By", lambda r: r.run.trigger, whole=True, width=92, tone=lambda _r: Tone.DIM, spare=4),
    Column("operation", "What", lambda r: r.run.operation.replace("..", " to "), whole=True, width=72,
           tone=lambda _r: Tone.DIM, spare=6, tip=lambda r: r.run.operation),
    Column("step", "Step", lambda r: r.run.step, whole=True, width=92,
           tone=lambda r: STEP_TONES.get(r.run.step, Tone.WARN)),
    _figure("fetched", "Fetched", "Rows that the broker sent"),
    _figure("created", "New", "Fills that were not in the book"),
    _figure("updated", "Changed", "Fills that the broker changed", 1),
    _figure("skipped", "Known", "Fills that were already in the book"),
    _figure("conflicting", "Conflicts", "Differences that are yours to settle", 2),
    _figure("retries", "Retries", "Reads that were tried again", 5),
    Column("took", "Took", lambda r: r.milliseconds, fmt.age, number=True, width=62, tone=lambda _r: Tone.DIM, spare=3),
    Column("error", "Error", lambda r: r.run.error, tip=lambda r: r.run.error, width=60,
           tone=lambda r: Tone.ALARM if r.run.step == "failed" else Tone.DIM),
)  # fmt: skip
