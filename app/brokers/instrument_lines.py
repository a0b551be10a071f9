"""What the brokers' instrument lists have in common: gzip or not (told by content), lines, parts. Pure but for reading.

Runs in the helper process, cheap to import. A list is read piece by piece, however long it is; lines that cannot be
read are counted and left out; only a file that is damaged as a whole raises.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from app.domain.errors import BadAnswer
from app.domain.listing import InstrumentRow, ListPart

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PART_LINES = 500
"""Lines in a part: unpacked in about 0.2 ms on the other side."""

LIST_CAP = 512 * 1024 * 1024
"""Bytes of an unpacked list; the largest known has 60 MB. A small file can unpack to gigabytes."""

SAMPLE = 120
"""Characters of the first malformed line that are kept for the log."""

LARGEST_POWER = 12
"""Of ten, in the numbers of a list."""

INDEX_TICK = 5
"""Minor units in which an index is drawn: NSE publishes them to 0.05."""

Source = bytes | bytearray | Path
Unpacked: TypeAlias = "io.BufferedReader[_Capped]"

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(ListPart)


def pack(parts: Iterable[ListPart]) -> Iterator[bytes]:
    """For the trip between processes."""
    for part in parts:
        yield _encode(part)


def unpack(piece: bytes) -> ListPart:
    """What `pack` made."""
    return _decoder.decode(piece)


@contextmanager
def opened(source: Source) -> Iterator[Unpacked]:
    """The unpacked bytes of a list. What goes wrong with the file while it is read comes out as BadAnswer."""
    try:
        with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with io.BufferedReader(_Capped(gzip.GzipFile(fileobj=raw) if packed else raw), 256 * 1024) as unpacked:
                yield unpacked
    except (EOFError, zlib.error, gzip.BadGzipFile) as bad:
        raise BadAnswer(
            "The instrument list is damaged or cut off.", "The list before it stays in use.", detail=str(bad)
        ) from bad
    except FileNotFoundError as missing:
        raise BadAnswer("The instrument file is not there.", "Choose another file.", detail=str(missing)) from missing
    except OSError as failure:
        raise BadAnswer("The instrument file cannot be read.", "Choose another file.", detail=str(failure)) from failure


class _Capped(io.RawIOBase):
    """Reads through, and refuses what unpacks to more than any list is long."""

    def __init__(self, inner: io.BufferedIOBase) -> None:
        self._inner = inner
        self._left = LIST_CAP

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Raises EOFError beyond the cap."""
        count = self._inner.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise EOFError(f"It unpacks to more than {LIST_CAP >> 20} MB.")
        return count


def beginning(source: Source, size: int = 4096) -> bytes:
    """The first unpacked bytes: enough to tell which broker's list it is. Raises BadAnswer."""
    with opened(source) as unpacked:
        return unpacked.read(size)


def csv_lines(unpacked: Unpacked) -> Iterator[tuple[str, list[str]]]:
    """(the line, its fields). Each line is read alone: a stray quote must not swallow those after it.

    Bytes that are no UTF-8 become U+FFFD, by which the caller finds the line malformed.
    """
    # Editors and spreadsheets put a mark before the first line.
    for raw in io.TextIOWrapper(unpacked, "utf-8-sig", "replace", newline="\n"):
        line = raw.rstrip("\r\n")
        if '"' not in line:
            yield line, line.split(",")
            continue
        if line[0] == '"' and line[-1] == '"':
            fields = line[1:-1].split('","')
            if line.count('"') == 2 * len(fields):
                yield line, fields
                continue
        try:
            yield line, next(csv.reader((line,)), [])
        except csv.Error:
            yield line, []


class Parts:
    """Gathers rows until a part is full."""

    def __init__(self) -> None:
        self._rows: list[InstrumentRow] = []
        self._lines = self._malformed = self._not_carried = 0
        self._first = ""
        self._found = False
        self._unread: list[str] = []

    def row(self, row: InstrumentRow) -> None:
        """A line that was read."""
        self._lines += 1
        self._rows.append(row)

    def malformed(self, line: str, where: str, whose: str = "") -> None:
        """A line that was not. `where` it stands in the file; `whose`: id or key of its instrument, where that much can
        be read."""
        self._lines += 1
        self._malformed += 1
        if not self._found:
            self._first, self._found = f"{where}: {line[:SAMPLE]}", True
        if whose:
            self._unread.append(whose)

    def not_carried(self) -> None:
        """A line of a market that the program does not trade."""
        self._lines += 1
        self._not_carried += 1

    @property
    def full(self) -> bool:
        """Time to hand a part on."""
        return self._lines >= PART_LINES

    def take(self) -> ListPart:
        """What was gathered."""
        part = ListPart(
            tuple(self._rows), self._lines, self._malformed, self._not_carried, self._first, tuple(self._unread)
        )
        self._rows, self._unread = [], []
        self._lines = self._malformed = self._not_carried = 0
        self._first = ""
        return part


class Numbered(Iterator[tuple[str, list[str]]]):
    """The lines of `csv_lines`, and the number of the last one as an editor shows it."""

    def __init__(self, lines: Iterator[tuple[str, list[str]]]) -> None:
        self._lines = lines
        self.number = 0

    def __next__(self) -> tuple[str, list[str]]:
        self.number += 1
        return next(self._lines)


def csv_header(lines: Iterator[tuple[str, list[str]]]) -> tuple[str, list[str]]:
    """The first line that is not empty, and the names of its columns."""
    for line, names in lines:
        if line.strip():
            return line, [name.strip() for name in names]
    return "", []


def is_symbol(text: str) -> bool:
    """Whether a trading symbol can be one: characters that can be seen, none of them a byte that was no UTF-8."""
    return bool(text) and text.isprintable() and "\ufffd" not in text and text == text.strip()


def sane(number: Decimal) -> Decimal:
    """The number of a list. Raises ValueError for what is below nought or beyond this world: counting to it would take
    for ever."""
    if not number.is_finite() or number < 0 or (number and number.adjusted() > LARGEST_POWER):
        raise ValueError("not a number of an instrument")
    return number


def plain(number: Decimal) -> str:
    """Without idle zeros, and 24000 rather than 2.4E+4."""
    return str(int(number)) if number == int(number) else str(number.normalize())
