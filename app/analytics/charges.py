"""What trading costs: the heads of a contract note, and each fill's share of them. Pure; rates come from a ChargeTable.

A note is one account's day in one exchange segment (NSE shares, NSE derivatives, ...). Its rules:

* brokerage per executed *order*, by the broker's price list, at most its cap, however many fills the order had;
* STT on shares by the averaging rule (STT Rules 2004, NSE/CMTR/5588): per scrip one average price of all buys and
  sells of the day, to the paisa; what was bought and sold is intraday (seller pays), the rest delivery (both pay);
  series BE and BZ are delivery trade by trade. On derivatives by the actual price. The intraday head and the delivery
  head are each rounded to the whole rupee, half up (rule 4); so is CTT;
* exchange charge with IPFT in it, SEBI fee, stamp duty, GST: each exact over the note, then to the paisa, half up.
  GST is one 18 % line (IGST); a client in the broker's own state sees two halves that can differ by a paisa.

Depository charges, call-and-trade and the like are ledger lines, not on the note, and not computed here.
The exchange's own figures are final (NSE/CMTR/5588): ours is the estimate that must agree with the note.

Shares of exchange-traded funds are charged like company shares, which is too much; the broker's lists do not tell them
apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from app.analytics.charge_table import RATE_SCALE, ChargeTable, Rates, charge_class, is_trade_for_trade
from app.domain.fill import Charges, Fill
from app.domain.ids import BrokerOrderId, FillId, InstrumentId
from app.domain.instrument import Exchange, Instrument, Product
from app.domain.order import OrderRequest, Side

HEADS: Final = ("brokerage", "transaction_tax", "exchange_charge", "sebi_fee", "stamp_duty", "gst")
"""Heads of a note in the order of the columns below."""

Columns = tuple[list[int], list[int], list[int], list[int], list[int], list[int]]
"""Paise by head (see HEADS), one entry per fill."""

Groups = Mapping[InstrumentId, str]
"""BSE group of scrips whose exchange charge differs: `SME`, `X_XT_Z` or `SS_ST`. What is absent is general."""

_NO_GROUPS: Final[Groups] = {}


def note(fills: Sequence[Fill], table: ChargeTable, plan: str = "zerodha", groups: Groups = _NO_GROUPS) -> Charges:
    """The contract note of one account's day in one exchange segment. Raises ChargesUnknown, ValueError when mixed."""
    notes = by_note(fills)
    if len(notes) > 1:
        raise ValueError("fills of more than one account, day or exchange")
    return total(note_columns(next(iter(notes.values()), []), table, plan, groups))


def allocate(
    fills: Iterable[Fill], table: ChargeTable, plan: str = "zerodha", groups: Groups = _NO_GROUPS
) -> dict[FillId, Charges]:
    """Every fill's share of its note, to the paisa; the shares of a note add up to it exactly, head by head.

    Takes fills of any accounts, days and exchanges. Shares are proportional; each rounding error is carried to the next
    fill in order of time, so no share is off by a paisa or more, and the same fills in another order give the same.
    """
    shares: dict[FillId, Charges] = {}
    for group in by_note(fills).values():
        columns = note_columns(group, table, plan, groups)
        for fill, *heads in zip(group, *columns, strict=True):
            shares[fill.id] = charges_of(heads)
    return shares


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
    if request.product is Product.MIS or not _is_share(entry):
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


def by_note(fills: Iterable[Fill]) -> dict[tuple[str, str, str], list[Fill]]:
    """Fills by note, that is by (account, ISO trade date, exchange), each in order of time (ties: order, trade id)."""
    groups: dict[tuple[str, str, str], list[Fill]] = {}
    for fill in fills:
        key = fill.id
        where = (fill.account, key.trade_date, key.exchange)
        group = groups.get(where)
        if group is None:
            groups[where] = [fill]
        else:
            group.append(fill)
    for group in groups.values():
        if len(group) > 1:
            group.sort(key=_in_time)
    return groups


def _in_time(fill: Fill) -> tuple[int, str, str]:
    return (fill.filled_at, fill.broker_order_id, fill.id.trade_id)


def charges_of(paise: Sequence[int]) -> Charges:
    """Heads in paise, in the order of HEADS, as Charges in rupees."""
    return Charges(*(Decimal(head).scaleb(-2) for head in paise))


def total(columns: Columns) -> Charges:
    """The note itself: the columns added up."""
    return charges_of([sum(column) for column in columns])


def note_columns(
    fills: Sequence[Fill],
    table: ChargeTable,
    plan: str = "zerodha",
    groups: Groups = _NO_GROUPS,
    *,
    by_product: bool = False,
) -> Columns:
    """Each fill's share of one note in paise, by head: the fast path of `note` and `allocate`.

    `by_product`: shares are intraday when the product is MIS, whatever else was traded that day (for planned orders).
    """
    if not fills:
        return ([], [], [], [], [], [])
    exchange = Exchange(fills[0].id.exchange)
    scale = fills[0].price_scale
    if any(fill.price_scale != scale for fill in fills):
        raise ValueError("prices of one exchange in different units")
    if exchange in (Exchange.NSE, Exchange.BSE):
        return _share_note(fills, table, plan, groups, exchange, scale, by_product)
    return _derivative_note(fills, table, plan, exchange, scale)


def _is_share(fill: Fill) -> bool:
    return fill.id.exchange in ("NSE", "BSE")


def _derivative_note(fills: Sequence[Fill], table: ChargeTable, plan: str, exchange: Exchange, scale: int) -> Columns:
    on = fills[0].id.trade_date
    by_class: dict[InstrumentId, Rates] = {}
    rates: list[Rates] = []
    values: list[int] = []
    taxes: list[int] = []
    stamps: list[int] = []
    buy = Side.BUY
    for fill in fills:
        known = by_class.get(fill.instrument)
        if known is None:
            segment = charge_class(exchange, fill.kind, fill.instrument)
            known = by_class[fill.instrument] = table.rates(plan, exchange, segment, on)
        value = fill.quantity * fill.price
        rates.append(known)
        values.append(value)
        if fill.side is buy:
            taxes.append(value * known.tax_buy)
            stamps.append(value * known.stamp_buy)
        else:
            taxes.append(value * known.tax_sell)
            stamps.append(value * known.stamp_sell)
    one = scale * RATE_SCALE
    tax = _spread(taxes, 100 * _rounded(sum(taxes), one))
    return _columns(rates, values, _brokerage(fills, rates, values, one), tax, stamps, one)


def _share_note(
    fills: Sequence[Fill],
    table: ChargeTable,
    plan: str,
    groups: Groups,
    exchange: Exchange,
    scale: int,
    by_product: bool,
) -> Columns:
    on = fills[0].id.trade_date
    scrips: dict[InstrumentId, list[int]] = {}
    for index, fill in enumerate(fills):
        scrips.setdefault(fill.instrument, []).append(index)
    count = len(fills)
    rates: list[Rates] = [_ABSENT] * count
    values = [fill.quantity * fill.price for fill in fills]
    brokerage_value = [(0, 0)] * count
    taxes_intraday, taxes_delivery, stamps = [0] * count, [0] * count, [0] * count
    fees: list[tuple[Rates, Rates]] = [(_ABSENT, _ABSENT)] * count
    for scrip, indexes in scrips.items():
        charge_class(exchange, fills[indexes[0]].kind, scrip)
        group = groups.get(scrip, "")
        intraday = table.rates(plan, exchange, "EQ_INTRADAY", on, group)
        delivery = table.rates(plan, exchange, "EQ_DELIVERY", on, group)
        apart = is_trade_for_trade(scrip)
        squared = _squared_off(fills, indexes, by_product=by_product, apart=apart)
        average = None if by_product or apart else _average_price(fills, indexes)
        for index, within in zip(indexes, squared, strict=True):
            fill = fills[index]
            left = fill.quantity - within
            price = fill.price
            taxed_at = price if average is None else average
            buy = fill.side is Side.BUY
            fee = delivery
            if fill.product is Product.MTF and left:
                fee = table.rates(plan, exchange, "EQ_MTF", on, group)
            rates[index] = delivery
            fees[index] = (intraday, fee)
            brokerage_value[index] = (within * price, left * price)
            taxes_intraday[index] = within * taxed_at * (intraday.tax_buy if buy else intraday.tax_sell)
            taxes_delivery[index] = left * taxed_at * (delivery.tax_buy if buy else delivery.tax_sell)
            stamps[index] = price * (
                within * (intraday.stamp_buy if buy else intraday.stamp_sell)
                + left * (delivery.stamp_buy if buy else delivery.stamp_sell)
            )
    one = scale * RATE_SCALE
    tax = [
        within + left
        for within, left in zip(
            _spread(taxes_intraday, 100 * _rounded(sum(taxes_intraday), one)),
            _spread(taxes_delivery, 100 * _rounded(sum(taxes_delivery), one)),
            strict=True,
        )
    ]
    return _columns(rates, values, _share_brokerage(fills, fees, brokerage_value, one), tax, stamps, one)


def _average_price(fills: Sequence[Fill], indexes: Sequence[int]) -> int:
    """Of all buys and sells of one scrip together, in minor units, half up."""
    quantity = sum(fills[i].quantity for i in indexes)
    value = sum(fills[i].quantity * fills[i].price for i in indexes)
    return (2 * value + quantity) // (2 * quantity)


def _squared_off(fills: Sequence[Fill], indexes: Sequence[int], *, by_product: bool, apart: bool) -> list[int]:
    """How many units of each fill were squared off within the day.

    Of both sides the lesser total; which fills they sit in matters only for stamp and brokerage: MIS first, then the
    earliest.
    """
    if apart:
        return [0] * len(indexes)
    if by_product:
        return [fills[i].quantity if fills[i].product is Product.MIS else 0 for i in indexes]
    bought = sum(fills[i].quantity for i in indexes if fills[i].side is Side.BUY)
    sold = sum(fills[i].quantity for i in indexes) - bought
    matched = min(bought, sold)
    if not matched:
        return [0] * len(indexes)
    rest = {Side.BUY: matched, Side.SELL: matched}
    squared = dict.fromkeys(indexes, 0)
    for i in sorted(indexes, key=lambda i: fills[i].product is not Product.MIS):
        fill = fills[i]
        squared[i] = min(fill.quantity, rest[fill.side])
        rest[fill.side] -= squared[i]
    return [squared[i] for i in indexes]


def _order_fee(rates: Rates, value: int, one: int) -> int:
    """Brokerage of one executed order, exact."""
    cap = rates.cap_paise * one // 100
    return cap if rates.flat_brokerage else min(value * rates.brokerage, cap)


def _brokerage(fills: Sequence[Fill], rates: Sequence[Rates], values: Sequence[int], one: int) -> list[int]:
    """Each fill's part of its order's brokerage, exact: parts of an order add up to its brokerage."""
    orders: dict[BrokerOrderId, int] = {}
    for fill, value in zip(fills, values, strict=True):
        order = fill.broker_order_id
        orders[order] = orders.get(order, 0) + value
    if len(orders) == len(fills):
        return [_order_fee(rate, value, one) for rate, value in zip(rates, values, strict=True)]
    parts: list[int] = []
    done: dict[BrokerOrderId, tuple[int, int]] = {}
    for fill, rate, value in zip(fills, rates, values, strict=True):
        order = fill.broker_order_id
        whole = orders[order]
        fee = _order_fee(rate, whole, one)
        before, given = done.get(order, (0, 0))
        before += value
        part = fee * before // whole - given if whole else fee - given
        done[order] = (before, given + part)
        parts.append(part)
    return parts


def _share_brokerage(
    fills: Sequence[Fill], fees: Sequence[tuple[Rates, Rates]], values: Sequence[tuple[int, int]], one: int
) -> list[int]:
    """The same for shares, where one order can be partly intraday and partly delivery; one cap covers both parts."""
    orders: dict[BrokerOrderId, list[int]] = {}
    for index, fill in enumerate(fills):
        orders.setdefault(fill.broker_order_id, []).append(index)
    parts = [0] * len(fills)
    for indexes in orders.values():
        intraday, delivery = fees[indexes[0]]
        within = sum(values[i][0] for i in indexes)
        left = sum(values[i][1] for i in indexes)
        fee = (_order_fee(intraday, within, one) if within else 0) + (_order_fee(delivery, left, one) if left else 0)
        if within and left:
            fee = min(fee, max(intraday.cap_paise, delivery.cap_paise) * one // 100)
        whole = within + left
        before = given = 0
        for i in indexes:
            before += values[i][0] + values[i][1]
            part = fee * before // whole - given if whole else fee - given
            given += part
            parts[i] = part
    return parts


def _rounded(exact: int, one: int) -> int:
    """To the nearest whole `one`, half up."""
    return (2 * exact + one) // (2 * one)


def _spread(weights: Sequence[int], amount: int) -> list[int]:
    """`amount` in whole paise in proportion to `weights`; the parts add up to it."""
    whole = sum(weights)
    if not whole or not amount:
        return [0] * len(weights)
    parts: list[int] = []
    before = given = 0
    for weight in weights:
        before += weight
        upto = (2 * before * amount + whole) // (2 * whole)
        parts.append(upto - given)
        given = upto
    return parts


def _columns(
    rates: Sequence[Rates],
    values: Sequence[int],
    brokerage: Sequence[int],
    tax: list[int],
    stamps: Sequence[int],
    one: int,
) -> Columns:
    """Exact amounts to paise, carrying each rounding error on, so that each column adds up to the rounded head."""
    columns: Columns = ([], tax, [], [], [], [])
    fee_out, _, exchange_out, sebi_out, stamp_out, gst_out = columns
    double = 2 * one
    gst_one = one * RATE_SCALE
    gst_double = 2 * gst_one
    fees = levies = sebis = duties = gsts = 0
    fees_given = levies_given = sebis_given = duties_given = gsts_given = 0
    for rate, value, fee, stamp in zip(rates, values, brokerage, stamps, strict=True):
        traded = value * rate.exchange
        ipft = value * rate.ipft
        sebi = value * rate.sebi
        fees += fee
        upto = (200 * fees + one) // double
        fee_out.append(upto - fees_given)
        fees_given = upto
        levies += traded + ipft
        upto = (200 * levies + one) // double
        exchange_out.append(upto - levies_given)
        levies_given = upto
        sebis += sebi
        upto = (200 * sebis + one) // double
        sebi_out.append(upto - sebis_given)
        sebis_given = upto
        duties += stamp
        upto = (200 * duties + one) // double
        stamp_out.append(upto - duties_given)
        duties_given = upto
        base = fee
        if rate.gst_on_exchange:
            base += traded
        if rate.gst_on_ipft:
            base += ipft
        if rate.gst_on_sebi:
            base += sebi
        gsts += base * rate.gst
        upto = (200 * gsts + gst_one) // gst_double
        gst_out.append(upto - gsts_given)
        gsts_given = upto
    return columns


_ABSENT: Final = Rates(0, 0, 0, 0, 0, 0, 0, 0, False, False, False, False, 0, 0)
