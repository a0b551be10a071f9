"""A report to send: versions, health, figures, logs, with everything masked that says whose it is (K1).

`masked` takes what was gathered and gives the files; `packed` puts them into one. Both run in the helper process; what
there is to gather is `desk.report`'s affair.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.diagnostics.masking import Masker
from app.domain.report import ReportMember

LOG_BYTES = 400_000
"""Of each log file, from its end."""
CRASHES = 5
LOGS = 4
_ABOUT = "about.txt"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a report is made of, before it is masked."""

    documents: Mapping[str, str]
    """By file name."""
    logs: Path | None
    """None: the accounts are not known, so their names could not be masked."""
    crashes: Path | None
    known: Mapping[str, str] = field(repr=False)
    """What to mask, and what kind of thing it is."""
    hidden: Sequence[str] = field(repr=False, default=())
    """Secrets in use."""


def masked(gathered: Gathered) -> list[ReportMember]:
    """Every file of the report, fit to be sent. Raises nothing: a log that cannot be read is said to be so."""
    masker = Masker(gathered.known, gathered.hidden)
    found = dict(gathered.documents)
    for path in _newest(gathered.logs, "*.jsonl*", LOGS):
        found[f"logs/{path.name}"] = _tail(path, LOG_BYTES)
    for number, path in enumerate(_newest(gathered.crashes, "*.txt", CRASHES), 1):
        found[f"crashes/{number}.txt"] = _tail(path, LOG_BYTES)
    members = [ReportMember(name, masker.text(text)) for name, text in sorted(found.items())]
    return [ReportMember(_ABOUT, _about(members)), *members]


def packed(members: Sequence[ReportMember]) -> bytes:
    """The report as one zip file. The moments inside are the same in every report: they say nothing."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(zipfile.ZipInfo(f"stopline-report/{member.name}", (1980, 1, 1, 0, 0, 0)), member.text)
    return out.getvalue()


def _about(members: Sequence[ReportMember]) -> str:
    listed = "\n".join(f"  {member.name:32} {len(member.text):>9,} characters" for member in members)
    return f"""A report of Stopline, made by its user to be read by somebody else.

Masked, each thing by the same name throughout: accounts, client names, orders, trades, tags, stops, API keys, tokens,
mail and internet addresses, the user's and the computer's name, folders. Secrets are not in it at all.

Not in it: trades, fills, positions, holdings, P&L, notes, passwords, keys.

{listed}
"""


def _newest(folder: Path | None, pattern: str, count: int) -> list[Path]:
    if folder is None:
        return []
    files = [path for path in folder.glob(pattern) if path.is_file() and not path.name.startswith("running-")]
    return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)[:count]


def _tail(path: Path, size: int) -> str:
    """Whole lines from the end."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, io.SEEK_END)
            file.seek(max(0, length - size))
            data = file.read(size)
    except OSError as failure:
        return f"This file could not be read: {failure.strerror}.\n"
    if length > size:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", errors="replace")
