"""Crashes of this program, told to the trader as notices."""

from __future__ import annotations

from app.desk.desk import LocalDesk
from app.diagnostics.crash import CrashReporter
from app.domain.events import Level, Noticed


def tell_crashes(crashes: CrashReporter, desk: LocalDesk) -> None:
    """How the last run died is told when the profile opens; a bug of this run as it happens, once a kind."""

    def tell_earlier() -> None:
        for report in crashes.earlier:
            desk.announce(
                Noticed(
                    Level.WARNING,
                    "Stopline ended unexpectedly last time",
                    report.title,
                    f"The report is kept as {report.file}; it holds no secrets.",
                )
            )
        crashes.mark_read()

    desk.session.on_open.append(tell_earlier)
    crashes.listen(
        lambda report: desk.announce(
            Noticed(
                Level.ALARM,
                "Something in Stopline failed",
                report.title,
                f"Trading goes on. The report is kept as {report.file}.",
                repeat_key=f"bug:{report.title}",
            )
        )
    )
