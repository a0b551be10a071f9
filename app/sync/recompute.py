"""Trades, net of charges, out of fills: which groups a change touches, and what becomes of them. Pure.

Charges belong to a contract note (one account, day and exchange), so a new fill changes the shares of every fill of
its note, and with them the trades of groups that did not trade anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.analytics.charge_table import ChargesUnknown, ChargeTable
from app.analytics.charges import allocate, by_note
from app.analytics.contract_sizes import NOTHING_TOLD, Sizer, Told
from app.analytics.pnl import build_trades
from app.domain.fill import Charges, Fill, Trade
from app.domain.ids import AccountId, FillId, InstrumentId
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
    touched = {note_of(fill) for fill in fills if group_of(fill) in stale} | set(notes)
    return set(stale) | {group_of(fill) for fill in fills if note_of(fill) in touched}


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
    sizer = Sizer(table.sizes, told)
    wanted = [fill for fill in fills if group_of(fill) in groups]
    notes = {note_of(fill) for fill in wanted}
    charges: dict[FillId, Charges] = {}
    uncharged: list[str] = []
    sized, _ = sizer.split(fill for fill in fills if note_of(fill) in notes)
    for note, members in by_note(sized).items():
        try:
            charges.update(allocate(members, table, members[0].id.broker, today=today))
        except ChargesUnknown as unknown:
            uncharged.append(f"{note[2]} {note[1]}: {unknown.cause}")
    trades: dict[Group, list[Trade]] = {group: [] for group in groups}
    countable, unsized = sizer.split(wanted)
    size_of = {group_of(fill): sizer.of(fill) for fill in wanted}
    for trade in (*build_trades(countable, charges), *build_trades(unsized)):
        group = (trade.account, trade.instrument, trade.product)
        trades[group].append(_counted(trade, size_of[group]))
    return Recomputed(trades, Gaps(tuple(uncharged), tuple(sorted({fill.instrument for fill in unsized}))))


def _counted(trade: Trade, size: int | None) -> Trade:
    """As the broker counts it. Where a lot's size is not known, quantity and prices stand, and no figure."""
    if size == 1:
        return trade
    if size is None:
        return replace(trade, gross=0, charges=Charges(), net=0, multiplier=None)
    return replace(trade, quantity=trade.quantity // size, multiplier=size)
