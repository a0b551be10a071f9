"""Lists of orders, trades, positions and holdings, a long one made in the helper process. Pure, cheap to import.

The contracts of the day stay where they are, two hundred thousand of them: the helper process tells which ones stand in
the list, and is told of those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import msgspec

from app.brokers.documents import Facts, encode_json
from app.brokers.reading import Beside
from app.brokers.rows import Row
from app.brokers.upstox.keys import Directory
from app.brokers.upstox.mapping import fill_from_row
from app.domain.fill import Fill
from app.domain.ids import AccountId
from app.domain.instrument import Instrument

T = TypeVar("T")

Convert = Callable[[object, AccountId, Directory], T]
"""A row, whose it is, and the contracts, made into one of our types: a function of a module."""


class Excerpt(Directory):
    """The contracts that stand in one list."""

    def __init__(self, packed: bytes) -> None:
        super().__init__()
        self._known = dict(_unpack(packed))

    def by_key(self, key: str) -> Instrument | None:
        """One by the broker's key."""
        return self._known.get(key)


def beside(convert: Convert[T], kind: type[T], account: AccountId, directory: Directory) -> Beside[T]:
    """How the helper process makes `kind` of the rows."""
    return Beside(kind, partial(_made, convert, account), Facts(key_named, partial(excerpt, directory), Excerpt))


def excerpt(directory: Directory, keys: Iterable[str]) -> bytes:
    """What the directory knows of these, for `Excerpt`."""
    return _pack([(key, known) for key in keys if (known := directory.by_key(key)) is not None])


def key_named(data: object) -> str:
    """The instrument key in a row; empty where it has none."""
    row = Row(data, "row")
    return row.maybe_text("instrument_token") or row.maybe_text("instrument_key") or ""


def reported_fill(data: object, account: AccountId, directory: Directory) -> tuple[Fill, str]:
    """A row of trades, and itself."""
    return fill_from_row(data, account, directory), encode_json(data).decode()


def _made(convert: Convert[T], account: AccountId, data: object, directory: Directory) -> T:
    return convert(data, account, directory)


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[tuple[str, Instrument]]).decode
