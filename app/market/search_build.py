"""The arrays in which a search looks: built once per list, in steps between which others have their turn. Pure."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

from app.domain.instrument import Exchange, Instrument, InstrumentKind
from app.domain.listing import InstrumentRow, row_of
from app.market.table import Shelf

Ints = npt.NDArray[np.int32]
Words = npt.NDArray[np.bytes_]

_WIDTH: Final = 40
"""Longest word or symbol that is told apart, in characters."""
_CHUNK: Final = 2048
_GATHERED: Final = 100_000
"""Rows of words that are gathered at a time."""
_PARTS: Final = re.compile(r"[^A-Z0-9&.]+")
_CONTRACT: Final = re.compile(r"\d\d(?:[A-Z]{3}|[1-9OND]\d\d)(?:FUT|\d+(?:\.\d+)?(?:CE|PE))$")
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_KIND_WORDS: Final = {
    InstrumentKind.SHARE: ("EQ",),
    InstrumentKind.INDEX: ("INDEX",),
    InstrumentKind.FUTURE: ("FUT", "FUTURE"),
    InstrumentKind.CALL: ("CE", "CALL"),
    InstrumentKind.PUT: ("PE", "PUT"),
}
_UNDERLYING_OF_INDEX: Final = {
    "NIFTY 50": "NIFTY",
    "NIFTY BANK": "BANKNIFTY",
    "NIFTY FIN SERVICE": "FINNIFTY",
    "NIFTY MID SELECT": "MIDCPNIFTY",
    "NIFTY NEXT 50": "NIFTYNXT50",
}
"""An index by its name in quotes -> the name of its derivatives."""


@dataclass(frozen=True, slots=True, eq=False)
class SearchArrays:
    """What a search needs to know of a list."""

    order: Ints
    """Of each row, the place in the list: rows lie in their order of merit."""
    group: npt.NDArray[np.int16]
    symbols: Words
    symbol_rows: Ints
    words: Words
    starts: Ints
    rows: Ints
    name_words: Words
    name_starts: Ints
    name_rows: Ints
    with_futures: frozenset[str]
    """Names of the shares and indices on which NSE and BSE have futures."""


def arrays_of(instruments: Iterable[Instrument]) -> Generator[None, None, SearchArrays]:
    """Builds them; stops now and then, where others may have their turn."""
    columns = _Columns(instruments)
    yield from columns.gather()
    order = columns.best_first()
    yield
    row_of = np.empty(len(order), np.int32)
    row_of[order] = np.arange(len(order), dtype=np.int32)
    # An index also answers to the name of its derivatives: BANKNIFTY is NIFTY BANK.
    symbols = np.append(columns.symbols, np.array([word for word, _ in columns.aliases], columns.symbols.dtype))
    symbol_rows = np.append(row_of, row_of[np.array([row for _, row in columns.aliases], np.intp)])
    by_symbol = np.argsort(symbols, kind="stable")
    yield
    words = _postings(columns.exact_words(), row_of)
    yield
    names = _postings(columns.company_words(), row_of)
    return SearchArrays(
        order.astype(np.int32), columns.group[order], symbols[by_symbol], symbol_rows[by_symbol], *words, *names,
        frozenset(columns.with_futures),
    )  # fmt: skip


def listed_of(instruments: Iterable[Instrument]) -> Sequence[Instrument]:
    """A list may be too long to be kept as objects; then they are made for each walk and again when found."""
    return instruments if isinstance(instruments, Shelf) else [one for one in instruments if one.active]


class _Columns:
    """The list as columns of small numbers, and the words that each number stands for."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        listed = listed_of(instruments)
        self.instruments = listed
        self.with_futures: set[str] = set()
        count = len(self.instruments)
        self.symbols: Words = np.zeros(count, f"S{_longest(listed)}")
        self.group = np.zeros(count, np.int16)
        self.aliases: list[tuple[bytes, int]] = []
        self._stems: dict[str, int] = {}
        self._names: dict[str, int] = {}
        # By code: what the numbers of the columns stand for.
        self._strikes: list[Decimal | None] = []
        self._expiries: list[date | None] = []
        self._kinds: list[tuple[InstrumentKind, Exchange]] = []
        self._derived: set[str] = set()
        self.stem = self.name = self.strike = self.expiry = self.kind = np.zeros(0, np.int32)

    def gather(self) -> Iterator[None]:
        """Reads the list; stops after each chunk."""
        count = len(self.instruments)
        codes: list[tuple[int, int, int, int, int]] = []
        table = np.zeros((count, 5), np.int32)
        symbols: list[bytes] = []
        stems, names = self._stems, self._names
        strikes: dict[str | None, int] = {}
        expiries: dict[str | None, int] = {}
        kinds: dict[tuple[str, str], int] = {}
        # As lines: two hundred thousand instruments, with their days and decimals, would take twice the time.
        for number, line in enumerate(_lines(self.instruments)):
            (named, _, exchange, _, kind, name, _, _, _, expiry, strike, _) = line
            symbol = named.partition(":")[2]
            symbols.append(as_bytes(symbol.upper().replace(" ", "")))
            stem = _stem(kind, name, expiry, symbol)
            if expiry is not None:
                self._derived.add(stem)
                if kind == InstrumentKind.FUTURE and exchange in (Exchange.NFO, Exchange.BFO):
                    self.with_futures.add(name)
            elif stem in _INDEX_OF and kind == InstrumentKind.INDEX:
                self.aliases.append((as_bytes(stem), number))
            codes.append(
                (
                    stems.setdefault(stem, len(stems)),
                    names.setdefault(name, len(names)),
                    strikes.setdefault(strike, len(strikes)),
                    expiries.setdefault(expiry, len(expiries)),
                    kinds.setdefault((kind, exchange), len(kinds)),
                )
            )
            if len(codes) == _CHUNK or number == count - 1:
                done = number + 1 - len(codes)
                table[done : number + 1] = codes
                self.symbols[done : number + 1] = symbols
                codes.clear()
                symbols.clear()
                yield
        self.stem, self.name, self.strike, self.expiry, self.kind = (
            np.ascontiguousarray(table[:, n]) for n in range(5)
        )
        self._strikes = [None if text is None else Decimal(text) for text in strikes]
        self._expiries = [None if text is None else date.fromisoformat(text) for text in expiries]
        self._kinds = [(InstrumentKind(kind), Exchange(exchange)) for kind, exchange in kinds]

    def best_first(self) -> npt.NDArray[np.intp]:
        """Rows in order of merit that no query changes; fills `group`."""
        has_derivatives = np.array([stem in self._derived for stem in self._stems], np.bool_)
        group = np.array([_group(kind, exchange) for kind, exchange in self._kinds] or [0], np.int16)
        self.group = group[self.kind] if len(self.kind) else self.group
        if len(has_derivatives):
            listed = np.isin(self.group, (_SHARE, _OTHER))
            nse = np.array([exchange is Exchange.NSE for _, exchange in self._kinds])[self.kind]
            index = np.array([kind is InstrumentKind.INDEX for kind, _ in self._kinds])[self.kind]
            self.group[has_derivatives[self.stem] & listed & (nse | index)] = _UNDERLYING
        expiries = np.array([one.toordinal() if one else 0 for one in self._expiries] or [0], np.int32)
        strikes = np.array([float(one) if one is not None else 0.0 for one in self._strikes] or [0.0])
        lengths = np.char.str_len(self.symbols)
        stems = np.argsort(np.argsort(np.array([as_bytes(stem) for stem in self._stems] or [b""])))
        if not len(self.kind):
            return np.zeros(0, np.intp)
        derivative = self.group > _SHARE
        return np.lexsort(
            (
                self.kind,
                strikes[self.strike],
                stems[self.stem],
                np.where(derivative, 0, lengths),
                expiries[self.expiry],
                self.group,
            )
        )

    def exact_words(self) -> Iterator[tuple[Ints, list[tuple[bytes, int]]]]:
        """Per column: its codes, and (word, code) pairs of everything but company names."""
        pairs: list[tuple[bytes, int]] = []
        for stem, code in self._stems.items():
            pairs.extend((as_bytes(word), code) for word in {stem, *_PARTS.split(stem)} if word)
        yield self.stem, pairs
        yield (
            self.strike,
            [(as_bytes(f"{one.normalize():f}"), code) for code, one in enumerate(self._strikes) if one is not None],
        )
        yield (
            self.expiry,
            [(word, code) for code, one in enumerate(self._expiries) if one is not None for word in _expiry_words(one)],
        )
        yield (
            self.kind,
            [
                (word.encode(), code)
                for code, (kind, exchange) in enumerate(self._kinds)
                for word in (*_KIND_WORDS[kind], exchange.value)
            ],
        )

    def company_words(self) -> Iterator[tuple[Ints, list[tuple[bytes, int]]]]:
        """The same for names, and for derivatives the name of the company behind them."""
        yield (
            self.name,
            [
                (as_bytes(word), code)
                for name, code in self._names.items()
                for word in _PARTS.split(name.upper())
                if word
            ],
        )
        companies = {stem: index for stem, index in _INDEX_OF.items() if stem in self._stems}
        names = list(self._names)
        stems = list(self._stems)
        shares = np.flatnonzero(self.group == _UNDERLYING)
        for stem, name in zip(self.stem[shares].tolist(), self.name[shares].tolist(), strict=True):
            companies.setdefault(stems[stem], names[name])
        yield (
            self.stem,
            [
                (as_bytes(word), self._stems[stem])
                for stem, name in companies.items()
                for word in _PARTS.split(name.upper())
                if word
            ],
        )


_UNDERLYING, _SHARE, _FUTURE, _OTHER, _OPTION = range(5)
_INDEX_OF: Final = {derivative: index for index, derivative in _UNDERLYING_OF_INDEX.items()}


def _group(kind: InstrumentKind, exchange: Exchange) -> int:
    if kind is InstrumentKind.FUTURE:
        return _FUTURE
    if kind in (InstrumentKind.CALL, InstrumentKind.PUT):
        return _OPTION
    return _SHARE if kind is InstrumentKind.SHARE and exchange is Exchange.NSE else _OTHER


def _lines(instruments: Sequence[Instrument]) -> Iterator[InstrumentRow]:
    return instruments.lines() if isinstance(instruments, Shelf) else map(row_of, instruments)


def _stem(kind: str, name: str, expiry: str | None, symbol: str) -> str:
    """What derivatives and their underlying have in common: the underlying's symbol."""
    if expiry is None:
        symbol = symbol.upper()
        return _UNDERLYING_OF_INDEX.get(symbol, symbol) if kind == InstrumentKind.INDEX else symbol
    if name and symbol.startswith(name):
        rest = _CONTRACT.match(symbol, len(name))
        if rest is not None:
            return name
    tail = _CONTRACT.search(symbol)
    return symbol[: tail.start()] if tail and tail.start() else symbol


def _expiry_words(day: date) -> tuple[bytes, ...]:
    month, year = _MONTHS[day.month - 1], f"{day.year % 100:02d}"
    words = (month, f"{day.day}{month}", f"{day.day:02d}{month}", month + year, year + month, str(day.year))
    return tuple(word.encode() for word in dict.fromkeys(words))


def _longest(listed: Sequence[Instrument]) -> int:
    """Room for a symbol: as much as the longest takes."""
    if isinstance(listed, Shelf):
        return min(_WIDTH, max(1, listed.ids().dtype.itemsize))
    return min(_WIDTH, max([1, *(len(one.symbol) for one in listed)]))


def as_bytes(word: str) -> bytes:
    """A word as the arrays keep it."""
    return word.encode("ascii", "replace")[:_WIDTH]


def _postings(sources: Iterable[tuple[Ints, list[tuple[bytes, int]]]], row_of: Ints) -> tuple[Words, Ints, Ints]:
    """Sorted distinct words, where each one's rows start, and the rows of all of them in a row."""
    words_of: list[Words] = []
    firsts: list[Ints] = []
    counts: list[Ints] = []
    pools: list[Ints] = []
    base = 0
    for codes, pairs in sources:
        pool = np.argsort(codes, kind="stable").astype(np.int32)
        edges = np.searchsorted(codes[pool], np.arange(int(codes.max()) + 2 if len(codes) else 1)).astype(np.int32)
        pools.append(row_of[pool])
        words = np.zeros(len(pairs), f"S{_WIDTH}")
        wanted = np.zeros(len(pairs), np.int32)
        for at in range(0, len(pairs), _CHUNK):
            part = pairs[at : at + _CHUNK]
            words[at : at + len(part)] = [word for word, _ in part]
            wanted[at : at + len(part)] = [code for _, code in part]
        words_of.append(words)
        firsts.append(edges[wanted] + np.int32(base))
        counts.append(edges[wanted + 1] - edges[wanted] if len(pairs) else wanted)
        base += len(pool)
    word, first, count = np.concatenate(words_of), np.concatenate(firsts), np.concatenate(counts)
    order = np.argsort(word, kind="stable")
    word, first, count = word[order], first[order], count[order]
    ends = np.cumsum(count, dtype=np.int32)
    gathered = np.concatenate(pools)
    rows = np.empty(int(ends[-1]) if len(ends) else 0, np.int32)
    # Word by word would be slow, all at once would take five times the memory.
    cuts = np.searchsorted(ends, np.arange(_GATHERED, len(rows), _GATHERED), side="left") + 1
    for some in np.split(np.arange(len(count)), np.unique(cuts)):
        if len(some):
            begin, end = int(ends[some[0]] - count[some[0]]), int(ends[some[-1]])
            where = np.repeat(first[some] - (ends[some] - count[some]), count[some])
            where += np.arange(begin, end, dtype=np.int32)
            rows[begin:end] = gathered[where]
    distinct, places = np.unique(word, return_index=True)
    starts = np.append((ends - count)[places], np.int32(len(rows)))
    return distinct, starts, rows
