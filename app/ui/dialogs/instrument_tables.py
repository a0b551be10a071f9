"""Rows, columns and words of the Instruments dialog."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.listing import ImportReport, InstrumentList, broker_of_list
from app.ui import format as fmt
from app.ui.models.table import Column, Key, Tone

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One segment, with what the last import changed."""

    exchange: str
    segment: str
    active: int
    inactive: int
    change: int


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One line about the last import."""

    what: str
    finding: str
    passed: bool | None
    """None: a fact, no check."""


def list_title(one: InstrumentList) -> str:
    """As people call it."""
    return f"{one.broker.capitalize()}{' paper' if one.paper else ''}"


def list_named(name: str) -> str:
    """The same of a list's name."""
    broker = broker_of_list(name)
    return f"{broker.capitalize()}{' paper' if broker != name else ''}"


def _unread(report: ImportReport) -> str:
    """How many lines were passed over, and the first of them."""
    lines = "1 line" if report.malformed == 1 else f"{fmt.group(report.malformed)} lines"
    first = f", the first: {report.first_malformed}" if report.first_malformed else ""
    return f"{lines} could not be read{first}"


def summary(report: ImportReport) -> str:
    """One import in a sentence."""
    name = list_named(report.broker)
    if report.counts is None:
        return f"{name} was not refreshed: {report.error}"
    counts = report.counts
    words = (
        f"{name}: {fmt.group(counts.read)} instruments from {report.source} in {_seconds(report)}; "
        f"{fmt.group(counts.created)} new, {fmt.group(counts.updated)} changed, {fmt.group(counts.revived)} back, "
        f"{fmt.group(counts.deactivated)} gone."
    )
    if report.malformed:
        words += f" {_unread(report).rstrip('.')}."
    return " ".join([words, *report.alerts])


def segment_rows(one: InstrumentList) -> Iterable[tuple[Key, SegmentRow]]:
    """Of one list."""
    before = {(s.exchange, s.segment): s.active for s in one.last.before.segments} if one.last is not None else {}
    known = one.last is not None and one.last.counts is not None
    for s in one.stats.segments:
        change = s.active - before.get((s.exchange, s.segment), 0) if known else 0
        yield (s.exchange, s.segment), SegmentRow(s.exchange, s.segment, s.active, s.inactive, change)


def check_rows(report: ImportReport) -> Iterable[tuple[Key, CheckRow]]:
    """Of one import: facts, then checks."""
    when = f"{fmt.date_time(report.started_at)}, {report.trigger}, in {_seconds(report)}"
    facts = [("when", when), ("from", f"{report.source}: {report.origin}")]
    facts += [("passed over", why) for why in report.passed_over]
    if report.counts is not None:
        counts = report.counts
        figures = (
            (counts.created, "new"),
            (counts.updated, "changed"),
            (counts.revived, "back"),
            (counts.deactivated, "gone"),
            (counts.renamed, "under another symbol"),
            (counts.reused, "tokens given to other contracts"),
        )
        facts.append(("changed", ", ".join(f"{fmt.group(figure)} {what}" for figure, what in figures)))
        facts.append(("active", f"{fmt.group(report.before.active)} before, {fmt.group(report.after.active)} after"))
    if report.malformed:
        facts.append(("passed over", _unread(report)))
    for number, (what, finding) in enumerate(facts):
        yield ("fact", number), CheckRow(what, finding, None)
    if report.error:
        yield ("error", 0), CheckRow("failed", report.error, False)
    for check in report.checks:
        yield ("check", check.name), CheckRow(check.name, check.finding, check.passed)


def _seconds(report: ImportReport) -> str:
    return f"{(report.ended_at - report.started_at) / SECOND:.1f} s"


def _result(report: ImportReport | None) -> str:
    if report is None:
        return "never imported"
    if report.counts is None:
        return "failed"
    return "fine" if report.fine else "look"


_TONES = {"fine": Tone.GOOD, "look": Tone.WARN, "failed": Tone.ALARM, "never imported": Tone.DIM}


def _why(report: ImportReport | None) -> str:
    if report is None:
        return ""
    return report.error or " ".join(report.alerts)


LIST_COLUMNS: tuple[Column[InstrumentList], ...] = (
    Column("list", "List", list_title, whole=True, width=110),
    Column("active", "Active", lambda r: r.stats.active, fmt.group, number=True, width=80),
    Column("inactive", "Inactive", lambda r: r.stats.inactive, fmt.group, number=True, width=80,
           tone=lambda _r: Tone.DIM, help="Expired or no longer listed; they come back when they are listed again"),
    Column("derivatives", "F&O", lambda r: r.stats.derivatives, fmt.group, number=True, width=80,
           help="Futures and options of NSE and BSE"),
    Column("last", "Last import", lambda r: r.last.started_at if r.last is not None else None, fmt.date_time,
           whole=True, width=150, tone=lambda _r: Tone.DIM),
    Column("source", "From", lambda r: r.last.source.value if r.last is not None else "", whole=True, width=80,
           tone=lambda _r: Tone.DIM, tip=lambda r: r.last.origin if r.last is not None else ""),
    Column("result", "Result", lambda r: _result(r.last), whole=True, width=70, tone=lambda r: _TONES[_result(r.last)]),
    Column("why", "", lambda r: _why(r.last), width=200, tone=lambda _r: Tone.WARN, tip=lambda r: _why(r.last)),
)  # fmt: skip

SEGMENT_COLUMNS: tuple[Column[SegmentRow], ...] = (
    Column("exchange", "Exchange", lambda r: r.exchange, whole=True, width=90),
    Column("segment", "Segment", lambda r: r.segment, whole=True, width=110),
    Column("active", "Active", lambda r: r.active, fmt.group, number=True, width=90),
    Column("change", "Last import", lambda r: r.change, lambda value: f"{value:+,}" if value else "", number=True,
           width=90, tone=lambda r: Tone.UP if r.change > 0 else Tone.DOWN),
    Column("inactive", "Inactive", lambda r: r.inactive, fmt.group, number=True, width=90, tone=lambda _r: Tone.DIM),
    Column("rest", "", lambda _r: "", width=120),
)  # fmt: skip

CHECK_COLUMNS: tuple[Column[CheckRow], ...] = (
    Column("what", "What", lambda r: r.what, whole=True, width=130, tone=lambda _r: Tone.DIM),
    Column("passed", "", lambda r: "" if r.passed is None else "good" if r.passed else "look", whole=True, width=50,
           tone=lambda r: Tone.GOOD if r.passed else Tone.WARN),
    Column("finding", "Finding", lambda r: r.finding, width=500, tip=lambda r: r.finding),
)  # fmt: skip

LOG_COLUMNS: tuple[Column[ImportReport], ...] = (
    Column("started", "Started", lambda r: r.started_at, fmt.date_time, whole=True, width=150,
           tone=lambda _r: Tone.DIM),
    Column("list", "List", lambda r: list_named(r.broker), whole=True, width=100),
    Column("trigger", "By", lambda r: r.trigger, whole=True, width=90, tone=lambda _r: Tone.DIM, spare=2),
    Column("source", "From", lambda r: r.source.value, whole=True, width=80, tone=lambda _r: Tone.DIM,
           tip=lambda r: r.origin),
    Column("result", "Result", _result, whole=True, width=60, tone=lambda r: _TONES[_result(r)]),
    Column("read", "Read", lambda r: r.counts.read if r.counts is not None else None, fmt.group, number=True, width=70),
    Column("created", "New", lambda r: r.counts.created if r.counts is not None else None, fmt.group, number=True,
           width=60),
    Column("updated", "Changed", lambda r: r.counts.updated if r.counts is not None else None, fmt.group, number=True,
           width=70, spare=1),
    Column("gone", "Gone", lambda r: r.counts.deactivated if r.counts is not None else None, fmt.group, number=True,
           width=60),
    Column("malformed", "Malformed", lambda r: r.malformed, fmt.group, number=True, width=80, spare=3,
           tip=lambda r: r.first_malformed),
    Column("took", "Took", _seconds, number=True, width=60, tone=lambda _r: Tone.DIM, spare=4),
    Column("why", "", _why, width=160, tone=lambda _r: Tone.WARN, tip=_why),
)  # fmt: skip
