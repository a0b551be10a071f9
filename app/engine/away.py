"""What happened while the window was away: the audit trail and the stops, in the trader's words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from app.domain.events import AuditEntry
from app.domain.guard import Absence, AwayKind, AwayLine, AwayReport, Fate
from app.domain.ids import StopId
from app.domain.money import said_price
from app.domain.order import Side
from app.domain.stop import FiredBy, Stop, StopState

NumberedLine = tuple[int, AuditEntry]

_STRATEGY = "strategy:"
"""How the subject of a strategy's lines begins."""
_OUT = frozenset({"fired", "trigger fired", "fired earlier"})
"""Lines of a stop that went out: by its level, by another reason, or by what rested behind it."""
_REASONS = {
    FiredBy.TARGET: "target reached",
    FiredBy.TIME: "time exit",
    FiredBy.PORTFOLIO: "portfolio stop",
    FiredBy.TRADER: "closed by hand",
}
_MISSED = "was missed"
"""In the words of a strategy whose time came while nobody was there."""


def report(absence: Absence, lines: Sequence[NumberedLine], stops: Mapping[StopId, Stop]) -> AwayReport:
    """One absence, from the lines of the trail between its first and its last number."""
    fired = {entry.stop for _, entry in lines if entry.what in _OUT and entry.stop is not None}
    after = [entry for number, entry in lines if number > absence.audit_until]
    told: dict[StopId, AwayLine] = {}
    for _, entry in lines:
        stop = stops.get(entry.stop) if entry.stop is not None else None
        if stop is None or stop.id in told:
            continue
        if stop.id in fired or (entry.what == "position flat" and stop.exit_average is not None):
            told[stop.id] = _out(stop)
        elif stop.state is StopState.CLOSED and entry.what in ("closed", "position flat"):
            told[stop.id] = AwayLine(stop.key.account, stop.key.instrument, Fate.CLOSED, stop.note)
    for entry in after:
        stop = stops.get(entry.stop) if entry.stop is not None else None
        if stop is not None and stop.id not in told and entry.what == "re-armed":
            words = f"watched again: {stop.side} {stop.quantity} at {said_price(stop.trigger, stop.price_scale)}"
            told[stop.id] = AwayLine(stop.key.account, stop.key.instrument, Fate.REARMED, words)
    found = sorted(
        [*told.values(), *_strategies(entry for _, entry in lines)],
        key=lambda line: (list(Fate).index(line.fate), line.account),
    )
    return AwayReport(absence, headline(found), tuple(found))


def _strategies(entries: Iterable[AuditEntry]) -> Iterator[AwayLine]:
    """The times that each missed, and where it stands now."""
    last: dict[str, AuditEntry] = {}
    for entry in entries:
        if not entry.subject.startswith(_STRATEGY):
            continue
        if _MISSED in entry.detail:
            yield AwayLine(entry.account, None, Fate.SKIPPED, entry.detail)
            last.pop(entry.subject, None)
        else:
            last[entry.subject] = entry
    for entry in last.values():
        words = f"{entry.what}: {entry.detail}" if entry.detail and entry.detail != entry.what else entry.what
        yield AwayLine(entry.account, None, Fate.RESUMED, f"strategy {words}")


def _out(stop: Stop) -> AwayLine:
    """A stop that went out, with its reason where that was not its level."""
    reason = _REASONS.get(stop.fired_by) if stop.fired_by is not None else None
    if reason is None:
        return AwayLine(stop.key.account, stop.key.instrument, Fate.HIT, _exit_words(stop))
    return AwayLine(stop.key.account, stop.key.instrument, Fate.LEFT, f"{reason}, {_exit_words(stop)}")


def headline(lines: Iterable[AwayLine]) -> str:
    """`1 stop was hit, sold 75 at 181.20`; `nothing happened` where nothing did."""
    of = {fate: [line for line in lines if line.fate is fate] for fate in Fate}
    hit, left, closed, skipped = of[Fate.HIT], of[Fate.LEFT], of[Fate.CLOSED], of[Fate.SKIPPED]
    parts = []
    if hit:
        words = f", {hit[0].words}" if len(hit) == 1 else ""
        parts.append(f"{'1 stop was' if len(hit) == 1 else f'{len(hit)} stops were'} hit{words}")
    if left:
        parts.append(left[0].words if len(left) == 1 else f"{len(left)} positions were left by target, time or hand")
    if closed:
        parts.append(f"{_count(len(closed), 'position')} closed elsewhere")
    if skipped:
        parts.append(f"{_count(len(skipped), 'time')} missed")
    return "; ".join(parts) or "nothing happened"


_WHY = {
    AwayKind.CRASH: "Stopline ended unexpectedly",
    AwayKind.CLOSED: "Stopline was closed",
    AwayKind.SLEEP: "this computer slept",
    AwayKind.FEED: "no prices came",
}


def why(kind: AwayKind) -> str:
    """The reason in words."""
    return _WHY[kind]


def _exit_words(stop: Stop) -> str:
    if stop.state is not StopState.CLOSED:
        return f"the exit of {stop.quantity} is under way"
    if stop.exit_average is None:
        return stop.note
    done = "sold" if stop.side is Side.SELL else "bought"
    by = f", {stop.note}" if stop.note.startswith("closed by") else ""
    return f"{done} {stop.quantity} at {said_price(stop.exit_average, stop.price_scale)}{by}"


def _count(number: int, word: str) -> str:
    return f"1 {word} was" if number == 1 else f"{number} {word}s were"
