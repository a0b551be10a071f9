"""Trades worked out of many fills, in packed pieces: for the helper process, where that takes longer than a
millisecond. Cheap to import."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from app.analytics.charge_table import ChargeTable
from app.analytics.contract_sizes import Told
from app.domain.fill import Fill, Trade
from app.runtime.framing import unframed
from app.storage.fill_rows import packed, trade_values, unpacked_fills
from app.sync.recompute import Group, Note, recompute, touched_groups

PART = 1_000
"""Trades that one transaction writes."""

Part = list[tuple[Group, Sequence[Trade]]]

_encode = msgspec.msgpack.Encoder().encode


class Found(msgspec.Struct, frozen=True):
    """The first piece."""

    more: list[Group]
    """Groups that share a note with a stale one: they are worked out too, if `fills` went back far enough."""


class Said(msgspec.Struct, frozen=True):
    """The second piece."""

    uncharged: list[str]
    unsized: list[str]


class PartBegins(msgspec.Struct, frozen=True):
    """Groups that are written together. So many pieces of their trades follow, for `Trades.replace_packed`."""

    groups: list[Group]
    pieces: int


def recomputed(
    body: bytes,
    stale: Collection[Group],
    notes: Collection[Note],
    groups: Collection[Group],
    table: ChargeTable,
    today: str,
    told: Told,
) -> Iterator[bytes]:
    """`Found`, `Said`, then part by part. The body has the fills, framed."""
    fills: list[Fill] = [fill for piece in unframed(body) for fill in unpacked_fills(piece)]
    touched = touched_groups(fills, stale, notes)
    yield _encode(Found(sorted(touched - set(groups))))
    done = recompute(fills, touched | set(groups), table, today, told)
    yield _encode(Said(list(done.gaps.uncharged), list(done.gaps.unsized)))
    # Stale groups last: while one is marked, a crash in between makes the next start do all of them again.
    ordered = sorted(done.trades, key=lambda group: (group in stale, *group))
    for part in _parts([(group, done.trades[group]) for group in ordered]):
        rows = list(packed(trade_values(trade) for _, trades in part for trade in trades))
        yield _encode(PartBegins([group for group, _ in part], len(rows)))
        for row in rows:
            yield row.encode()


def _parts(groups: Sequence[tuple[Group, Sequence[Trade]]]) -> list[Part]:
    """Groups that are written together: a transaction for each of them would be a wait for the disk for each."""
    parts: list[Part] = [[]]
    size = 0
    for group, trades in groups:
        if parts[-1] and size + len(trades) > PART:
            parts.append([])
            size = 0
        parts[-1].append((group, trades))
        size += len(trades) + 1
    return [part for part in parts if part]
