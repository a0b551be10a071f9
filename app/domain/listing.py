"""A line of a broker's instrument list on its way to the store: plain values, cheap to pack and to bind.

Two hundred thousand of them cross from the helper process to the book every morning; nothing on that way needs an
`Instrument`, so none is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from app.domain.events import Event
from app.domain.ids import InstrumentId, Nanos
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment

InstrumentRow = tuple[str, int, str, str, str, str, int, int, int, str | None, str | None, str]
"""id, token, exchange, segment, kind, name, tick size, lot size, price scale, expiry (ISO), strike, key."""


@dataclass(frozen=True, slots=True)
class ListPart:
    """Some lines of a list, and what was left out on the way to them."""

    rows: tuple[InstrumentRow, ...]
    lines: int = 0
    """Read since the part before, whatever became of them."""
    malformed: int = 0
    not_carried: int = 0
    """Of markets that the program does not trade, and the exchange's own test contracts."""
    first_malformed: str = ""
    unread: tuple[str, ...] = ()
    """Whose lines could not be read, as far as the lines still told it: ids, or the broker's own keys."""


PACKED_TOGETHER = 256
"""Lines in one piece of a packed list."""


@dataclass(frozen=True, slots=True)
class PackedList:
    """A whole stored list, ordered by id, in pieces: one of twenty megabytes could not be copied without a pause."""

    data: tuple[bytes, ...]
    """The lines, each packed, `PACKED_TOGETHER` to a piece, the last piece maybe fewer."""
    ends: tuple[bytes, ...]
    """Of each piece: where its lines end in it, signed 32-bit integers of the machine."""
    ids: tuple[bytes, ...]
    """Of each piece: its lines' ids, of equal width, filled up with zeros."""
    id_width: int


def is_test_contract(symbol: str) -> bool:
    """The exchange's own: `011NSETEST36DECFUT`. Nobody can trade them."""
    return "NSETEST" in symbol


def row_of(one: Instrument) -> InstrumentRow:
    """An instrument as a line."""
    return (
        one.id,
        one.token,
        one.exchange.value,
        one.segment.value,
        one.kind.value,
        one.name,
        one.tick_size,
        one.lot_size,
        one.price_scale,
        None if one.expiry is None else one.expiry.isoformat(),
        None if one.strike is None else str(one.strike),
        one.key,
    )


class InstrumentMaker:
    """Lines to instruments. What repeats (names, days, strikes) is kept once: half of the memory of a whole list."""

    def __init__(self) -> None:
        self._exchanges = {one.value: one for one in Exchange}
        self._segments = {one.value: one for one in Segment}
        self._kinds = {one.value: one for one in InstrumentKind}
        self._names: dict[str, str] = {}
        self._days: dict[str | None, date | None] = {}
        self._strikes: dict[str | None, Decimal | None] = {}

    def make(self, row: InstrumentRow, *, active: bool = True) -> Instrument:
        """One. Raises KeyError or ValueError for a line that no list of ours has made."""
        (name_id, token, exchange, segment, kind, name, tick_size, lot_size, scale, expiry, strike, key) = row
        if expiry not in self._days:
            self._days[expiry] = None if expiry is None else date.fromisoformat(expiry)
        if strike not in self._strikes:
            self._strikes[strike] = None if strike is None else Decimal(strike)
        return Instrument(
            InstrumentId(name_id),
            token,
            self._exchanges[exchange],
            self._segments[segment],
            self._kinds[kind],
            self._names.setdefault(name, name),
            tick_size,
            lot_size,
            scale,
            self._days[expiry],
            self._strikes[strike],
            active,
            key,
        )


class ListSource(StrEnum):
    """Where a list came from, in the order in which they are tried (D4)."""

    API = "api"
    """The broker, with the session's token."""
    PUBLIC = "public file"
    FILE = "file"
    """One that the trader picked."""
    SAMPLE = "sample"
    """Shipped with the program: enough to look around, too old to trade by."""


@dataclass(frozen=True, slots=True)
class SegmentCount:
    """Instruments of one segment of one exchange."""

    exchange: Exchange
    segment: Segment
    active: int
    inactive: int


@dataclass(frozen=True, slots=True)
class KindCount:
    """Active instruments of one kind."""

    kind: InstrumentKind
    active: int


@dataclass(frozen=True, slots=True)
class ListStats:
    """What is stored of one broker's list."""

    active: int = 0
    inactive: int = 0
    segments: tuple[SegmentCount, ...] = ()
    kinds: tuple[KindCount, ...] = ()

    @property
    def derivatives(self) -> int:
        """Active futures and options of the two stock exchanges."""
        return sum(s.active for s in self.segments if s.exchange in (Exchange.NFO, Exchange.BFO))


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What taking a list over did."""

    read: int
    created: int
    updated: int
    revived: int
    deactivated: int
    withheld: tuple[str, ...] = ()
    """Why nothing was deactivated: segments that a full list had lost whole, `NFO options` (D3). Empty: it was."""
    renamed: int = 0
    """Live contracts that kept their token under another symbol: a split or bonus changed the strike."""
    reused: int = 0
    """Tokens that name another contract now than the one that vanished with this list (D2)."""
    kept: int = 0
    """Instruments that stay as they were known: the list has them, but their lines could not be read."""
    kept_first: tuple[InstrumentId, ...] = ()
    """A few of them, by id."""


@dataclass(frozen=True, slots=True)
class ListCheck:
    """One check of an import: what was looked at, whether it is as it should be, and in words what was found."""

    name: str
    passed: bool
    finding: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """One import from its beginning to its end, as the log keeps it."""

    broker: str
    trigger: str
    """manual, scheduled, login or command line."""
    source: ListSource
    origin: str
    """The address or file name."""
    started_at: Nanos
    ended_at: Nanos
    lines: int = 0
    malformed: int = 0
    not_carried: int = 0
    first_malformed: str = ""
    counts: ImportCounts | None = None
    """None: it failed, and the list before it is whole."""
    before: ListStats = ListStats()
    after: ListStats = ListStats()
    checks: tuple[ListCheck, ...] = ()
    error: str = ""
    passed_over: tuple[str, ...] = ()
    """Sources that were tried before, and why they did not serve."""
    exchanges: tuple[str, ...] = ()
    """Of the list's lines."""
    one_exchange: bool = False
    """The list was one exchange's, and touched that one only."""
    awaits: bool = False
    """Nothing was deactivated, and the trader is asked whether to."""

    @property
    def alerts(self) -> tuple[str, ...]:
        """The findings of checks that did not pass."""
        return tuple(check.finding for check in self.checks if not check.passed)

    @property
    def fine(self) -> bool:
        """Taken over, and every check passed."""
        return self.counts is not None and all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True)
class InstrumentList:
    """One broker's list as it stands."""

    name: str
    broker: str
    paper: bool
    stats: ListStats
    last: ImportReport | None
    """The newest import, however it ended."""
    awaits: bool
    """A list that lost a segment waits for the trader's word."""


@dataclass(frozen=True, slots=True)
class InstrumentsProgressed(Event):
    """How far an import is."""

    broker: str
    step: str
    """fetching, reading, saving; then done, failed or cancelled."""
    lines: int = 0
    source: ListSource = ListSource.API


@dataclass(frozen=True, slots=True)
class InstrumentsChanged(Event):
    """A list was taken over: what is known of an instrument may be out of date."""

    broker: str


def list_name(broker: str, *, paper: bool) -> str:
    """Under which name a broker's list is stored. A paper exchange trades its own few instruments with numbers of its
    own: its list must never get into the real one."""
    return f"{broker}-paper" if paper else broker


def broker_of_list(name: str) -> str:
    """The broker whose list it is."""
    return name.removesuffix("-paper")
