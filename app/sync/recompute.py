"""Trades, net of charges, out of fills: which groups a change touches, and what becomes of them. Pure.

Charges belong to a contract note (one account, day and exchange), so a new fill changes the shares of every fill of
its note, and with them the trades of groups that did not trade anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.analytics.charge_table import ChargesUnknown, ChargeTable
from app.analytics.contract_note import HEADS, by_note, note_columns
from app.analytics.contract_sizes import NOTHING_TOLD, Sizer, Told
from app.analytics.pnl import in_time, trades_of
from app.domain.fill import Charges, Fill, Trade
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product

Group = tuple[AccountId, InstrumentId, Product]
"""Fills that are matched with each other."""

Note = tuple[AccountId, str, str]
"""A contract note: account, ISO trade date, exchange."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """What some trades lack, in words."""

    uncharged: tuple[str, ...] = ()
    """Why some fills carry no charges."""
    unsized: tuple[str, ...] = ()
    """Contracts whose lots are of unknown size: their trades have no figures at all."""

    def __bool__(self) -> bool:
        return bool(self.uncharged or self.unsized)

    def __add__(self, more: Gaps) -> Gaps:
        return Gaps((*self.uncharged, *more.uncharged), (*self.unsized, *more.unsized))


NO_GAPS: Final = Gaps()


@dataclass(frozen=True, slots=True)
class Recomputed:
    """New trades of some groups, and what they lack."""

    trades: Mapping[Group, Sequence[Trade]]
    gaps: Gaps = NO_GAPS


def group_of(fill: Fill) -> Group:
    """The group that a fill belongs to."""
    return fill.account, fill.instrument, fill.product


def note_of(fill: Fill) -> Note:
    """The note that a fill stands on."""
    return fill.account, fill.id.trade_date, fill.id.exchange


def touched_groups(fills: Sequence[Fill], stale: Collection[Group], notes: Collection[Note] = ()) -> set[Group]:
    """The stale groups, those that share a note with one of them, and those on one of `notes`."""
    standing: dict[Note, set[Group]] = {}
    for fill in fills:
        standing.setdefault(note_of(fill), set()).add(group_of(fill))
    touched = set(stale)
    return touched.union(*(on for note, on in standing.items() if note in notes or not on.isdisjoint(touched)))


def recompute(
    fills: Sequence[Fill],
    groups: Collection[Group],
    table: ChargeTable,
    today: str = "",
    told: Told = NOTHING_TOLD,
) -> Recomputed:
    """New trades of the groups. `fills` holds every fill of each note that a fill of theirs stands on. MIS that is open
    on `today` (ISO) is charged as what will be squared off. `told`: sizes of lots, as the brokers told them.

    Everything is worked out in units; the trades come out counted as the broker counts. A note without a rate on file
    leaves its fills free of charges, and a contract whose size is not known its trades without figures; both are said.
    """
    notes = {note_of(fill) for fill in fills if group_of(fill) in groups}
    sizer = Sizer(table.sizes, told)
    sized, unsized = sizer.split(fill for fill in fills if note_of(fill) in notes)
    charged, columns, uncharged = _charged(sized, table, today)
    ours = [index for index, fill in enumerate(charged) if group_of(fill) in groups]
    ours.sort(key=lambda index: in_time(charged[index]))
    without = sorted((fill for fill in unsized if group_of(fill) in groups), key=in_time)
    trades: dict[Group, list[Trade]] = {group: [] for group in groups}
    for trade in (
        *trades_of([charged[index] for index in ours], [[column[index] for index in ours] for column in columns]),
        *trades_of(without, [[0] * len(without) for _ in HEADS]),
    ):
        group = (trade.account, trade.instrument, trade.product)
        trades[group].append(_counted(trade, sizer.size(trade.account, trade.instrument, trade.broker)))
    return Recomputed(trades, Gaps(tuple(uncharged), tuple(sorted({fill.instrument for fill in without}))))


def _charged(
    sized: Iterable[Fill], table: ChargeTable, today: str
) -> tuple[list[Fill], Sequence[list[int]], list[str]]:
    """The fills note by note, what each costs, in columns of paise by head, and why some notes cost nothing."""
    charged: list[Fill] = []
    columns: Sequence[list[int]] = [[] for _ in HEADS]
    uncharged: list[str] = []
    for (_, day, exchange), members in by_note(sized).items():
        charged += members
        try:
            shares: Sequence[Sequence[int]] = note_columns(members, table, members[0].id.broker, today=today)
        except ChargesUnknown as unknown:
            uncharged.append(f"{exchange} {day}: {unknown.cause}")
            shares = [[0] * len(members)] * len(columns)
        for column, share in zip(columns, shares, strict=True):
            column.extend(share)
    return charged, columns, uncharged


def _counted(trade: Trade, size: int | None) -> Trade:
    """As the broker counts it. Where a lot's size is not known, quantity and prices stand, and no figure."""
    if size == 1:
        return trade
    if size is None:
        return replace(trade, gross=0, charges=Charges(), net=0, multiplier=None)
    return replace(trade, quantity=trade.quantity // size, multiplier=size)
