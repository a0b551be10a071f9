"""Whether an import is as it should be (D3, D5). Pure."""

from __future__ import annotations

from app.domain.listing import ImportReport, ListCheck, ListSource
from app.runtime.clock import SECOND

TOO_MANY_MALFORMED = 5
"""Percent of lines."""
TOO_LONG_MINUTES = 30
_DERIVATIVES = frozenset({"NFO", "BFO"})


def doubt(report: ImportReport) -> str:
    """Why nothing may be deactivated by this list; empty when it is good enough: what could not be read is missing."""
    return _error_rate(report) if _too_many_malformed(report) else ""


def checked(report: ImportReport, shared_tokens: int) -> tuple[ListCheck, ...]:
    """Every check of an import that was taken over."""
    minutes = (report.ended_at - report.started_at) / (60 * SECOND)
    withheld = report.counts.withheld if report.counts is not None else ()
    lost = ", ".join(segment for segment in withheld if segment != doubt(report))
    derivatives = not _DERIVATIVES.isdisjoint(report.exchanges)
    only_sample = report.source is ListSource.SAMPLE and bool(report.passed_over)
    return (
        ListCheck(
            "source",
            not only_sample,
            f"No source served ({'; '.join(report.passed_over)}): this is the sample that ships with the program."
            if only_sample
            else f"From {report.source}: {report.origin}.",
        ),
        ListCheck("error rate", not _too_many_malformed(report), _error_rate(report) + _kept(report)),
        ListCheck(
            "futures and options",
            derivatives or report.one_exchange,
            "The list has futures and options." if derivatives else "The list has no futures and options.",
        ),
        ListCheck(
            "segments",
            not lost,
            f"The list has lost {lost}; nothing was deactivated." if lost else "Every segment is still there.",
        ),
        ListCheck(
            "tokens",
            not shared_tokens,
            f"{shared_tokens} {'token names' if shared_tokens == 1 else 'tokens name'} two contracts."
            if shared_tokens
            else "Every token names one contract.",
        ),
        ListCheck(
            "duration",
            minutes <= TOO_LONG_MINUTES,
            f"It took {minutes:.0f} minutes." if minutes >= 1 else f"It took {minutes * 60:.1f} seconds.",
        ),
    )


def _too_many_malformed(report: ImportReport) -> bool:
    return report.malformed * 100 > TOO_MANY_MALFORMED * report.lines


def _kept(report: ImportReport) -> str:
    counts = report.counts
    if counts is None or not counts.kept:
        return ""
    more = counts.kept - len(counts.kept_first)
    names = ", ".join(counts.kept_first) + (f" and {more:,} more" if more else "")
    return f" What was known stays: {names}."


def _error_rate(report: ImportReport) -> str:
    share = 100 * report.malformed / report.lines if report.lines else 0.0
    return f"{report.malformed:,} of {report.lines:,} lines could not be read ({share:.1f} %)."
