"""The price at which closing a position nets nothing after all charges. Pure.

Charges are those of whole contract notes, so the answer takes in the rupee that STT is rounded to, the order's
brokerage cap, and for shares whether entry and exit fall on one day. Because of that rounding the net P&L can dip below
zero again a few ticks beyond the first price that does not lose: the answer lies beyond the last such dip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from app.analytics.charge_table import ChargeTable
from app.analytics.contract_note import by_note, note_columns
from app.domain.fill import Fill
from app.domain.ids import BrokerOrderId, FillId
from app.domain.instrument import Instrument
from app.domain.money import Price, ceil_units, floor_units
from app.domain.order import Side
from app.domain.portfolio import Position

_ROUNDING = Decimal("1.1")
"""Rupees that rounding can move a net by: half a rupee in each of two tax heads, half a paisa in each other one."""


def break_even(
    entries: Sequence[Fill], tick: Price, on: str, table: ChargeTable, plan: str = "zerodha"
) -> Price | None:
    """The price on a tick at which closing all of `entries` in one order on ISO date `on` nets zero or more, and so
    does every better price; one tick worse loses. None for a short position that loses even at the lowest tick.

    `entries`: the fills of one open position (all of one side), cut down to what is still open.
    Raises ChargesUnknown, ValueError for fills of both sides or of none.
    """
    net = net_at(entries, on, table, plan)
    quantity = sum(fill.quantity for fill in entries)
    scale = entries[0].price_scale
    window = ceil_units(_ROUNDING * scale / (quantity * tick)) * 2 + 2

    def loses(ticks: int) -> bool:
        return net(ticks * tick) < 0

    value = sum(fill.quantity * fill.price for fill in entries)
    middle = max(1, value // quantity // tick)
    if entries[0].side is Side.BUY:
        worse, better = 0, middle
        while loses(better):
            worse, better = better, better * 2
        while better - worse > 1:
            half = (worse + better) // 2
            worse, better = (half, better) if loses(half) else (worse, half)
        dips = [better + n for n in range(1, window) if loses(better + n)]
        return (max(dips) + 1 if dips else better) * tick
    if loses(1):
        return None
    better, worse = 1, max(2, middle)
    while not loses(worse):
        better, worse = worse, worse * 2
    while worse - better > 1:
        half = (worse + better) // 2
        worse, better = (half, better) if loses(half) else (worse, half)
    dips = [better - n for n in range(1, min(window, better)) if loses(better - n)]
    return (min(dips) - 1 if dips else better) * tick or None


def net_at(entries: Sequence[Fill], on: str, table: ChargeTable, plan: str = "zerodha") -> Callable[[Price], Decimal]:
    """Net P&L in paise of closing `entries` in one order on ISO date `on`, as a function of the exit price."""
    if len({(fill.side, fill.instrument, fill.account) for fill in entries}) != 1:
        raise ValueError("break-even needs the fills of one open position")
    first = entries[0]
    quantity = sum(fill.quantity for fill in entries)
    value = sum(fill.quantity * fill.price for fill in entries)
    exit_fill = replace(
        first,
        id=replace(first.id, trade_date=on, trade_id="exit", broker_order_id=_EXIT, side=first.side.opposite.value),
        side=first.side.opposite,
        quantity=quantity,
        broker_order_id=_EXIT,
        filled_at=max(fill.filled_at for fill in entries) + 1,
    )
    notes = by_note(entries)
    today = notes.pop((first.account, on, first.id.exchange), [])
    before = sum(sum(map(sum, note_columns(fills, table, plan))) for fills in notes.values())
    sign, scale = first.side.sign, first.price_scale

    def net(price: Price) -> Decimal:
        charges = before + sum(map(sum, note_columns([*today, replace(exit_fill, price=price)], table, plan)))
        return Decimal(sign * (quantity * price - value) * 100) / scale - charges

    return net


_EXIT = BrokerOrderId("exit")


def position_entry(position: Position, instrument: Instrument, on: str) -> Fill:
    """A position as the one fill that could have opened it on ISO date `on`, where the fills themselves are not known.

    The average price is rounded to the minor unit against the position. Raises ValueError when it is flat.
    """
    if not position.quantity:
        raise ValueError("the position is flat")
    side = position.exit_side.opposite
    exact = position.average_price * position.price_scale
    order = BrokerOrderId("entry")
    return Fill(
        id=FillId(
            broker="",
            account=position.key.account,
            exchange=instrument.exchange.value,
            segment=instrument.segment.value,
            trade_date=on,
            broker_order_id=order,
            trade_id="entry",
            side=side.value,
        ),
        account=position.key.account,
        instrument=position.key.instrument,
        segment=instrument.segment,
        kind=instrument.kind,
        product=position.key.product,
        side=side,
        quantity=abs(position.quantity),
        price=ceil_units(exact) if side is Side.BUY else floor_units(exact),
        filled_at=0,
        broker_order_id=order,
        price_scale=position.price_scale,
    )
