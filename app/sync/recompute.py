"""Trades, net of charges, out of fills: which groups a change touches, and what becomes of them. Pure.

Charges belong to a contract note (one account, day and exchange), so a new fill changes the shares of every fill of
its note, and with them the trades of groups that did not trade anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from app.analytics.charge_table import ChargesUnknown, ChargeTable
from app.analytics.charges import allocate, by_note
from app.analytics.pnl import build_trades
from app.domain.fill import Charges, Fill, Trade
from app.domain.ids import AccountId, FillId, InstrumentId
from app.domain.instrument import Product

Group = tuple[AccountId, InstrumentId, Product]
"""Fills that are matched with each other."""

Note = tuple[AccountId, str, str]
"""A contract note: account, ISO trade date, exchange."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """New trades of some groups. `uncharged` says why some of their fills carry no charges."""

    trades: Mapping[Group, Sequence[Trade]]
    uncharged: tuple[str, ...] = ()


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


def recompute(fills: Sequence[Fill], groups: Collection[Group], table: ChargeTable, today: str = "") -> Recomputed:
    """New trades of the groups. `fills` holds every fill of each note that a fill of theirs stands on. MIS that is open
    on `today` (ISO) is charged as what will be squared off.

    A note without a rate on file leaves its fills free of charges, and says so.
    """
    wanted = [fill for fill in fills if group_of(fill) in groups]
    notes = {note_of(fill) for fill in wanted}
    charges: dict[FillId, Charges] = {}
    uncharged: list[str] = []
    for note, members in by_note(fill for fill in fills if note_of(fill) in notes).items():
        try:
            charges.update(allocate(members, table, members[0].id.broker, today=today))
        except ChargesUnknown as unknown:
            uncharged.append(f"{note[2]} {note[1]}: {unknown.cause}")
    trades: dict[Group, list[Trade]] = {group: [] for group in groups}
    for trade in build_trades(wanted, charges):
        trades[trade.account, trade.instrument, trade.product].append(trade)
    return Recomputed(trades, tuple(uncharged))
