"""Search as you type over the whole instrument list (D6). Pure; built once per list, then only read.

A query is words in any order; each is the beginning of a word that belongs to the instrument: its symbol or a part of
it, the underlying, strike, expiry (`dec`, `29dec`, `dec26`, `26dec`, `2026`), kind (`fut`, `ce`, `call`), exchange,
company name. Best first:

1. the symbol itself, then symbols that begin with the query as typed (spaces left out);
2. all words found outside the company name;
3. the rest; and within each: what has derivatives, shares, futures, other indices and BSE shares, options, words that
   match in full before words that only begin so; then nearer expiries.

What is not found as it was typed is read once more, freely: `nifty24000ce`, `24,000`, `29-dec`, `2026-12-29`,
`december`, `NSE:INFY`.

How it stays quick: every distinct word is kept once, sorted, and the rows of all words lie in one array in the order of
the words; so the rows of all words that begin with something are one slice of it. Matching is marking rows. The build
works in steps, between which others have their turn.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Generator, Iterable

import numpy as np
import numpy.typing as npt

from app.domain.instrument import Instrument
from app.market.search_build import SearchArrays, Words, arrays_of, as_bytes, listed_of


def _at_once(work: Generator[None, None, SearchArrays]) -> SearchArrays:
    while True:
        try:
            next(work)
        except StopIteration as done:
            arrays: SearchArrays = done.value
            return arrays


class SearchIndex:
    """Finds instruments by words. Immutable; safe to read from any thread. Inactive instruments are left out.

    `arrays`: built of the same list before.
    """

    def __init__(self, instruments: Iterable[Instrument], arrays: SearchArrays | None = None) -> None:
        self._source = listed_of(instruments)
        arrays = arrays or _at_once(arrays_of(self._source))
        self.with_futures = arrays.with_futures
        self._order, self._group = arrays.order, arrays.group
        self._symbols, self._symbol_rows = arrays.symbols, arrays.symbol_rows
        self._words, self._starts, self._rows = arrays.words, arrays.starts, arrays.rows
        self._name_words, self._name_starts = arrays.name_words, arrays.name_starts
        self._name_rows = arrays.name_rows

    def __len__(self) -> int:
        return len(self._order)

    def search(self, query: str, limit: int = 30) -> list[Instrument]:
        """The best `limit` instruments for what was typed so far; nothing for nothing."""
        query = query[:_LONGEST]  # what was pasted by mistake is not searched through
        words = query.upper().split()[:_MOST_WORDS]
        if not words or not len(self) or limit < 1:
            return []
        found = self._found(words, limit)
        if found:
            return found
        again = freely_read(query)[:_MOST_WORDS]
        return self._found(again, limit) if again and again != words else []

    def _found(self, typed: list[str], limit: int) -> list[Instrument]:
        """The best for words as they stand."""
        words = [as_bytes(word) for word in typed]
        score = np.zeros(len(self), np.int8)
        found = np.ones(len(self), np.bool_)
        outside_name = np.ones(len(self), np.bool_)
        for word in words:
            hit = np.zeros(len(self), np.int8)
            first, last = _range(self._name_words, word)
            hit[self._name_rows[self._name_starts[first] : self._name_starts[last]]] = 1
            first, last = _range(self._words, word)
            hit[self._rows[self._starts[first] : self._starts[last]]] = 2
            if first < last and self._words[first] == word:
                hit[self._rows[self._starts[first] : self._starts[first + 1]]] = 3
            found &= hit > 0
            outside_name &= hit > 1
            score += hit == 3
        joined = as_bytes("".join(typed))
        first, last = _range(self._symbols, joined)
        begins = self._symbol_rows[first:last]
        same = self._symbol_rows[first : first + int(np.searchsorted(self._symbols[first:last], joined, side="right"))]
        found[begins] = True
        rank = np.where(outside_name, np.int16(2000), np.int16(3000))
        rank[begins] = 1000
        rank[same] = 0
        # A word that only begins one of the instrument's counts as one and a half groups.
        rank += self._group * np.int16(10) + (len(words) - score) * np.int16(15)
        return self._best(found, rank, limit)

    def _best(self, found: npt.NDArray[np.bool_], rank: npt.NDArray[np.int16], limit: int) -> list[Instrument]:
        rows = np.flatnonzero(found)
        ranks = rank[rows]
        if len(rows) > limit:
            # Rows are in their own order of merit: cut by rank first, then keep that order among equals.
            worst = np.partition(ranks, limit - 1)[limit - 1]
            keep = ranks <= worst
            rows, ranks = rows[keep], ranks[keep]
        best = rows[np.argsort(ranks, kind="stable")[:limit]].tolist()
        return [self._source[int(self._order[row])] for row in best]


def freely_read(query: str) -> list[str]:
    """The words that a query may have meant: taken apart where letters meet digits, without punctuation, months and
    kinds by their short names."""
    plain = "".join(
        str(unicodedata.decimal(one)) if one.isdecimal() else one for one in unicodedata.normalize("NFKC", query)
    )
    text = _THOUSANDS.sub("", _DAY_LAST.sub(_by_name, _DAY_FIRST.sub(_by_name, plain.upper())))
    words: list[str] = []
    for piece in _DATE.sub(r" \1\2 ", text).replace("'", " ").split():
        for part in _APART.findall(piece):
            words += [part] if _DAY_OR_MONTH.fullmatch(part) else _month_apart(part)
    return [_SHORT.get(word, word) for word in words]


def _by_name(found: re.Match[str]) -> str:
    """`10FEB 2026` of a date in digits; one that is none stays as it is."""
    month = int(found["month"])
    return f" {found['day']}{_MONTH.split('|')[month - 1]} {found['year']} " if 1 <= month <= 12 else found[0]


def _month_apart(part: str) -> list[str]:
    """`NIFTYDEC24000CE` is NIFTY, DEC, 24000 and CE; `BAJAJ` stays one word."""
    found: list[str] = []
    for run in _RUNS.findall(part):
        glued = _GLUED_MONTH.fullmatch(run)
        found += glued.groups() if glued else [run.rstrip("0").rstrip(".") if "." in run else run]
    return found


_MONTH = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DAY_LAST = re.compile(r"\b(?P<year>20\d\d)[-/](?P<month>\d\d)[-/](?P<day>\d\d)\b")
_DAY_FIRST = re.compile(r"\b(?P<day>\d{1,2})[-/.](?P<month>\d{1,2})[-/.](?P<year>20\d\d)\b")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{2,3}\b)")
_DATE = re.compile(rf"\b(\d{{1,2}})[-/ ]({_MONTH})")
_APART = re.compile(r"[A-Z0-9&.]+")
_RUNS = re.compile(r"[A-Z&]+|\d+(?:\.\d+)?")
_DAY_OR_MONTH = re.compile(rf"\d{{1,2}}(?:{_MONTH})|(?:{_MONTH})\d{{2}}")
_GLUED_MONTH = re.compile(rf"([A-Z&]{{3,}})({_MONTH})")
_SHORT = {
    "JANUARY": "JAN", "FEBRUARY": "FEB", "MARCH": "MAR", "APRIL": "APR", "JUNE": "JUN", "JULY": "JUL", "AUGUST": "AUG",
    "SEPTEMBER": "SEP", "SEPT": "SEP", "OCTOBER": "OCT", "NOVEMBER": "NOV", "DECEMBER": "DEC",
    "FUTURES": "FUT", "CALLS": "CE", "PUTS": "PE",
}  # fmt: skip
_MOST_WORDS = 12
_LONGEST = 80
"""Characters of a query: the longest name of a list has fewer."""


def _range(words: Words, beginning: bytes) -> tuple[int, int]:
    """From, up to and not including: sorted words that begin with `beginning`."""
    first = int(np.searchsorted(words, np.bytes_(beginning)))
    last = int(np.searchsorted(words, np.bytes_(beginning + b"\xff")))
    return first, last
