"""What the exchanges are doing: holidays, hours, the status of every segment (B14). Dated facts come from
`resources/calendar`; here they are read apart from the program's own calendar, which is refreshed from these answers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache
from typing import Any

from app.simulator.clock import IST
from app.simulator.listing import samples
from app.simulator.market import Market
from app.simulator.switches import Switches

CALENDARS = {
    "NSE": ("nse", "equity"),
    "BSE": ("nse", "equity"),
    "NFO": ("nse", "options"),
    "BFO": ("nse", "options"),
    "CDS": ("currency", "currency"),
    "BCD": ("currency", "currency"),
    "MCX": ("mcx", "commodity"),
    "NSCOM": ("mcx", "commodity"),
}
"""Exchange -> file and segment of its hours."""
SEGMENT_EXCHANGES = {
    "NSE_EQ": "NSE",
    "BSE_EQ": "BSE",
    "NSE_FO": "NFO",
    "BSE_FO": "BFO",
    "NSE_INDEX": "NSE",
    "BSE_INDEX": "BSE",
    "NCD_FO": "CDS",
    "BCD_FO": "BCD",
    "MCX_FO": "MCX",
    "NSE_COM": "NSCOM",
}
_SATURDAY = 5
_WORDS = {
    "pre-open": "PRE_OPEN_START",
    "continuous": "NORMAL_OPEN",
    "closing auction": "CLOSING_START",
    "post-close": "CLOSING_END",
}


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of a day."""

    begins: time
    ends: time
    kind: str


@cache
def _file(name: str) -> dict[str, Any]:
    path = samples().parent / "calendar" / f"{name}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def holiday(exchange: str, day: date) -> str:
    """Its name; empty on other days."""
    return str(_file(CALENDARS[exchange][0])["holidays"].get(day.isoformat(), ""))


def special(exchange: str, day: date) -> str:
    """What kind of special session the day has; empty on other days."""
    found = _file(CALENDARS[exchange][0])["special"].get(day.isoformat())
    return str(found["kind"]) if found is not None else ""


def phases(exchange: str, day: date) -> list[Phase]:
    """The day's phases, in order; none when it is closed, or its hours were never announced."""
    name, segment = CALENDARS[exchange]
    document = _file(name)
    found = document["special"].get(day.isoformat())
    usual = found is not None and found["kind"] == "full"
    if found is not None and not usual:
        return _read(found["phases"] or [])
    if not usual and (day.weekday() >= _SATURDAY or day.isoformat() in document["holidays"]):
        return []
    for row in document["hours"]:
        within = row["from"] <= day.isoformat() and (not row["to"] or day.isoformat() <= row["to"])
        if row["segment"] == segment and within and not row.get("cas", False):
            return _read(row["phases"])
    return []


def _read(rows: list[list[str]]) -> list[Phase]:
    return [Phase(time.fromisoformat(begins), time.fromisoformat(ends), kind) for begins, ends, kind in rows]


def session(exchange: str, day: date) -> tuple[int, int] | None:
    """Beginning and end of the continuous trading, epoch milliseconds; None when there is none."""
    trading = [phase for phase in phases(exchange, day) if phase.kind == "continuous"]
    if not trading:
        return None
    begins, ends = (datetime.combine(day, moment, IST) for moment in (trading[0].begins, trading[-1].ends))
    return int(begins.timestamp()) * 1000, int(ends.timestamp()) * 1000


def status(exchange: str, market: Market, switches: Switches) -> str:
    """Of an exchange at the present. A market that never sleeps is open."""
    if market.always_open and switches.hours == "feed":
        return "NORMAL_OPEN"
    now = market.clock.now()
    word = "NORMAL_CLOSE"
    for phase in phases(exchange, now.date()):
        if phase.begins <= now.time() < phase.ends:
            return _WORDS[phase.kind]
        if now.time() >= phase.ends:
            word = "PRE_OPEN_END" if phase.kind == "pre-open" else "NORMAL_CLOSE"
    return word


def statuses(market: Market, switches: Switches) -> dict[str, str]:
    """Segment -> status."""
    return {segment: status(exchange, market, switches) for segment, exchange in SEGMENT_EXCHANGES.items()}
