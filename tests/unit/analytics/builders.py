"""Fills and rate tables for the tests of charges and P&L."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from app.analytics.charge_table import ChargeTable
from app.analytics.charges import charges_of, total
from app.analytics.contract_note import NO_GROUPS, Groups, by_note, note_columns
from app.analytics.pnl import in_time, trades_of
from app.domain.fill import Charges, Fill, Trade
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Side

CHARGES = Path(__file__).resolve().parents[3] / "resources" / "charges"
BUY, SELL = Side.BUY, Side.SELL


@cache
def shipped() -> ChargeTable:
    """The rates that Stopline ships."""
    return ChargeTable.parse(*(path.read_text(encoding="utf-8") for path in sorted(CHARGES.glob("*.csv"))))


def note(fills: Sequence[Fill], table: ChargeTable, plan: str = "zerodha", groups: Groups = NO_GROUPS) -> Charges:
    """The contract note of one account's day in one exchange segment. Raises ChargesUnknown, ValueError when mixed."""
    notes = by_note(fills)
    if len(notes) > 1:
        raise ValueError("fills of more than one account, day or exchange")
    return total(note_columns(next(iter(notes.values()), []), table, plan, groups))


def allocate(
    fills: Iterable[Fill],
    table: ChargeTable,
    plan: str = "zerodha",
    groups: Groups = NO_GROUPS,
    *,
    today: str = "",
) -> dict[FillId, Charges]:
    """Every fill's share of its note, to the paisa; the shares of a note add up to it exactly, head by head.

    Takes fills of any accounts, days and exchanges. Shares are proportional; each rounding error is carried to the next
    fill in order of time, so no share is off by a paisa or more, and the same fills in another order give the same.
    `today` as in `note_columns`.
    """
    shares: dict[FillId, Charges] = {}
    for group in by_note(fills).values():
        columns = note_columns(group, table, plan, groups, today=today)
        for fill, *heads in zip(group, *columns, strict=True):
            shares[fill.id] = charges_of(heads)
    return shares


def build_trades(fills: Iterable[Fill], charges: Mapping[FillId, Charges] | None = None) -> list[Trade]:
    """Round trips of fills in any order; one without charges counts as free of them."""
    ordered = sorted(fills, key=in_time)
    known = charges or {}
    heads = [known.get(one.id, Charges()) for one in ordered]
    columns = [[int(getattr(one, field.name) * 100) for one in heads] for field in dataclasses.fields(Charges)]
    return trades_of(ordered, columns)


def fill(
    instrument: str,
    side: Side,
    quantity: int,
    rupees: float,
    on: str,
    *,
    order: str = "",
    trade: str = "",
    product: Product | None = None,
    account: str = "zerodha-AB1234",
    at: int = 0,
    scale: int = 100,
) -> Fill:
    exchange, symbol = instrument.split(":")
    if symbol.endswith("FUT"):
        kind, segment = InstrumentKind.FUTURE, Segment.FUTURES
    elif exchange in ("NFO", "BFO", "CDS", "BCD") or symbol.endswith(("CE", "PE")):
        kind = InstrumentKind.PUT if symbol.endswith("PE") else InstrumentKind.CALL
        segment = Segment.OPTIONS
    else:
        kind, segment = InstrumentKind.SHARE, Segment.EQUITY
    if exchange == "MCX":
        segment = Segment.COMMODITY
    if product is None:
        product = Product.CNC if kind is InstrumentKind.SHARE else Product.NRML
    order = order or f"{side}-{on}-{rupees}"
    return Fill(
        id=FillId("zerodha", AccountId(account), exchange, segment, on, BrokerOrderId(order), trade or order, side),
        account=AccountId(account),
        instrument=InstrumentId(instrument),
        segment=segment,
        kind=kind,
        product=product,
        side=side,
        quantity=quantity,
        price=round(rupees * scale),
        filled_at=at,
        broker_order_id=BrokerOrderId(order),
        price_scale=scale,
    )
