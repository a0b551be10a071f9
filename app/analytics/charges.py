"""What trading costs, by head. Pure; rates come from a ChargeTable, the rules of a note are in `contract_note`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache

from app.analytics.charge_table import ChargeTable
from app.analytics.contract_note import Columns, by_note, note_columns
from app.domain.fill import Charges, Fill
from app.domain.ids import BrokerOrderId, FillId
from app.domain.instrument import Exchange, Instrument
from app.domain.order import OrderRequest

__all__ = ["by_note", "charges_of", "estimate", "note_columns", "planned_fill", "total"]


def estimate(
    request: OrderRequest,
    instrument: Instrument,
    at: int,
    on: str,
    table: ChargeTable,
    plan: str = "zerodha",
    exit_at: int | None = None,
) -> Charges:
    """What a planned order will cost when it fills at price `at` on ISO date `on`; with `exit_at` the way back too.

    Shares go by the product: MIS is intraday, everything else delivery (then the way back is another day's note).
    """
    entry = planned_fill(request, instrument, at, on)
    if exit_at is None:
        return total(note_columns([entry], table, plan, by_product=True))
    back = replace(
        entry,
        id=replace(entry.id, broker_order_id=BrokerOrderId("exit"), trade_id="exit", side=entry.side.opposite.value),
        side=entry.side.opposite,
        price=exit_at,
        broker_order_id=BrokerOrderId("exit"),
        filled_at=1,
    )
    if request.product.intraday or instrument.exchange not in (Exchange.NSE, Exchange.BSE):
        return total(note_columns([entry, back], table, plan, by_product=True))
    return total(note_columns([entry], table, plan, by_product=True)) + total(
        note_columns([back], table, plan, by_product=True)
    )


def planned_fill(request: OrderRequest, instrument: Instrument, at: int, on: str) -> Fill:
    """The fill that a planned order would have, all at one price; for estimates only, its ids are not real."""
    order = BrokerOrderId("planned")
    return Fill(
        id=FillId(
            broker="",
            account=request.account,
            exchange=instrument.exchange.value,
            segment=instrument.segment.value,
            trade_date=on,
            broker_order_id=order,
            trade_id="planned",
            side=request.side.value,
        ),
        account=request.account,
        instrument=instrument.id,
        segment=instrument.segment,
        kind=instrument.kind,
        product=request.product,
        side=request.side,
        quantity=request.quantity,
        price=at,
        filled_at=0,
        broker_order_id=order,
        price_scale=instrument.price_scale,
    )


def charges_of(paise: Sequence[int]) -> Charges:
    """Heads in paise, in the order of `contract_note.Columns`, as Charges in rupees."""
    return Charges(*map(_rupees, paise))


def total(columns: Columns) -> Charges:
    """The note itself: the columns added up."""
    return charges_of([sum(column) for column in columns])


@lru_cache(10_000)
def _rupees(paise: int) -> Decimal:
    return Decimal(paise).scaleb(-2)
