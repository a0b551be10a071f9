"""One contract note: its rules, and each fill's share of it as columns of paise. Pure.

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
from math import gcd
from typing import Final

from app.analytics.charge_table import RATE_SCALE, ChargeTable, Rates, charge_class, is_trade_for_trade
from app.domain.fill import Fill
from app.domain.ids import BrokerOrderId, InstrumentId
from app.domain.instrument import Exchange, Product
from app.domain.order import Side

Columns = tuple[list[int], list[int], list[int], list[int], list[int], list[int]]
"""Paise by head, one entry per fill, in the order of `HEADS`."""

HEADS: Final = ("brokerage", "transaction tax", "exchange charge", "SEBI fee", "stamp duty", "GST")

Groups = Mapping[InstrumentId, str]
"""BSE group of scrips whose exchange charge differs: `SME`, `X_XT_Z` or `SS_ST`. What is absent is general."""

NO_GROUPS: Final[Groups] = {}

_MATCHED: Final = "by what was bought and sold"
_MIS_CLOSES: Final = "and what MIS has open will be closed today"
_MIS_ALONE: Final = "by the product"
"""Rules for what of a day's shares is intraday."""


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


def note_columns(
    fills: Sequence[Fill],
    table: ChargeTable,
    plan: str = "zerodha",
    groups: Groups = NO_GROUPS,
    *,
    by_product: bool = False,
    today: str = "",
) -> Columns:
    """Each fill's share of one note in paise, by head, in order of the fills.

    `by_product`: shares are intraday when the product is MIS, whatever else was traded that day (for planned orders).
    `today` (ISO): on this day what is open in MIS counts as squared off, as it will be; on a day that is over it was
    delivered.
    """
    if not fills:
        return ([], [], [], [], [], [])
    exchange = Exchange(fills[0].id.exchange)
    scale = fills[0].price_scale
    if any(fill.price_scale != scale for fill in fills):
        raise ValueError("prices of one exchange in different units")
    if exchange in (Exchange.NSE, Exchange.BSE):
        rule = _MIS_ALONE if by_product else _MIS_CLOSES if fills[0].id.trade_date == today else _MATCHED
        return _share_note(fills, table, plan, groups, exchange, scale, rule)
    return _derivative_note(fills, table, plan, exchange, scale)


def _derivative_note(fills: Sequence[Fill], table: ChargeTable, plan: str, exchange: Exchange, scale: int) -> Columns:
    on = fills[0].id.trade_date
    kinds = {fill.instrument: fill.kind for fill in fills}
    by_class: dict[str, Rates] = {}
    of: dict[InstrumentId, Rates] = {}
    for instrument, kind in kinds.items():
        segment = charge_class(exchange, kind, instrument)
        known = by_class.get(segment)
        if known is None:
            known = by_class[segment] = table.rates(plan, exchange, segment, on)
        of[instrument] = known
    buy = Side.BUY
    rates = [of[fill.instrument] for fill in fills]
    values = [fill.quantity * fill.price for fill in fills]
    bought = [fill.side is buy for fill in fills]
    taxes = [v * (r.tax_buy if b else r.tax_sell) for v, r, b in zip(values, rates, bought, strict=True)]
    stamps = [v * (r.stamp_buy if b else r.stamp_sell) for v, r, b in zip(values, rates, bought, strict=True)]
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
    rule: str,
) -> Columns:
    on = fills[0].id.trade_date
    scrips: dict[InstrumentId, list[int]] = {}
    for index, fill in enumerate(fills):
        scrips.setdefault(fill.instrument, []).append(index)
    count = len(fills)
    buy = Side.BUY
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
        squared = _squared_off(fills, indexes, rule, apart=apart)
        average = None if rule is _MIS_ALONE or apart else _average_price(fills, indexes)
        for index, within in zip(indexes, squared, strict=True):
            fill = fills[index]
            left = fill.quantity - within
            price = fill.price
            taxed_at = price if average is None else average
            bought = fill.side is buy
            fee = delivery
            if fill.product is Product.MTF and left:
                fee = table.rates(plan, exchange, "EQ_MTF", on, group)
            rates[index] = delivery
            fees[index] = (intraday, fee)
            brokerage_value[index] = (within * price, left * price)
            taxes_intraday[index] = within * taxed_at * (intraday.tax_buy if bought else intraday.tax_sell)
            taxes_delivery[index] = left * taxed_at * (delivery.tax_buy if bought else delivery.tax_sell)
            stamps[index] = price * (
                within * (intraday.stamp_buy if bought else intraday.stamp_sell)
                + left * (delivery.stamp_buy if bought else delivery.stamp_sell)
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
    quantity = sum([fills[i].quantity for i in indexes])
    value = sum([fills[i].quantity * fills[i].price for i in indexes])
    return (2 * value + quantity) // (2 * quantity)


def _squared_off(fills: Sequence[Fill], indexes: Sequence[int], rule: str, *, apart: bool) -> list[int]:
    """How many units of each fill were squared off within the day.

    Of both sides the lesser total; which fills they sit in matters only for stamp and brokerage: MIS first, then the
    earliest. While the day runs, what MIS has open is taken as squared off too: the broker does it before the close.
    """
    if apart:
        return [0] * len(indexes)
    mis = [fills[i].product.intraday for i in indexes]
    if rule is _MIS_ALONE:
        return [fills[i].quantity if closes else 0 for i, closes in zip(indexes, mis, strict=True)]
    buy, sell = Side.BUY, Side.SELL
    total = {buy: 0, sell: 0}
    mis_net = 0
    for i, closes in zip(indexes, mis, strict=True):
        side, quantity = fills[i].side, fills[i].quantity
        total[side] += quantity
        if closes:
            mis_net += quantity if side is buy else -quantity
    to_buy, to_sell = (max(0, -mis_net), max(0, mis_net)) if rule is _MIS_CLOSES else (0, 0)
    matched = min(total[buy] + to_buy, total[sell] + to_sell)
    squared = [0] * len(indexes)
    if not matched:
        return squared
    rest = {buy: matched - to_buy, sell: matched - to_sell}
    for first in (True, False):
        for place, i in enumerate(indexes):
            if mis[place] is first:
                side = fills[i].side
                squared[place] = min(fills[i].quantity, rest[side])
                rest[side] -= squared[place]
    return squared


def _order_fee(rates: Rates, value: int, one: int) -> int:
    """Brokerage of one executed order, exact."""
    cap = rates.cap_paise * one // 100
    return cap if rates.flat_brokerage else min(value * rates.brokerage, cap)


def _brokerage(fills: Sequence[Fill], rates: Sequence[Rates], values: Sequence[int], one: int) -> list[int]:
    """Each fill's part of its order's brokerage, exact: parts of an order add up to its brokerage."""
    names = [fill.broker_order_id for fill in fills]
    orders = dict.fromkeys(names, 0)
    if len(orders) == len(names):
        return [_order_fee(rate, value, one) for rate, value in zip(rates, values, strict=True)]
    for order, value in zip(names, values, strict=True):
        orders[order] += value
    rate_of = dict(zip(names, rates, strict=True))
    fees = {order: _order_fee(rate_of[order], whole, one) for order, whole in orders.items()}
    parts: list[int] = []
    begun = dict.fromkeys(names, 0)
    for order, value in zip(names, values, strict=True):
        whole, fee = orders[order], fees[order]
        if value == whole:
            parts.append(fee)
        else:
            before = begun[order]
            begun[order] = upto = before + value
            parts.append(fee * upto // whole - fee * before // whole)
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
        within = left = 0
        for i in indexes:
            within += values[i][0]
            left += values[i][1]
        fee = (_order_fee(intraday, within, one) if within else 0) + (_order_fee(delivery, left, one) if left else 0)
        if within and left:
            fee = min(fee, max(intraday.cap_paise, delivery.cap_paise) * one // 100)
        if len(indexes) == 1:
            parts[indexes[0]] = fee
            continue
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
        if not weight:
            parts.append(0)
            continue
        before += weight
        upto = (2 * before * amount + whole) // (2 * whole)
        parts.append(upto - given)
        given = upto
    return parts


def _columns(
    rates: Sequence[Rates], values: Sequence[int], brokerage: Sequence[int], tax: list[int], stamps: list[int], one: int
) -> Columns:
    """Exact amounts to paise, carrying each rounding error on, so that each column adds up to the rounded head."""
    fees: list[int] = []
    levies: list[int] = []
    sebis: list[int] = []
    duties: list[int] = []
    taxed: list[int] = []
    cent = one // 100
    half = cent // 2
    divisor = gcd(rates[0].gst, RATE_SCALE)
    gst, gst_cent = rates[0].gst // divisor, RATE_SCALE // divisor * cent
    gst_half = gst_cent // 2
    fee_sum = levy_sum = sebi_sum = duty_sum = base_sum = 0
    fee_given = levy_given = sebi_given = duty_given = gst_given = 0
    for rate, value, fee, duty in zip(rates, values, brokerage, stamps, strict=True):
        levy_sum += value * rate.exchange
        upto = (levy_sum + half) // cent
        levies.append(upto - levy_given)
        levy_given = upto
        sebi_sum += value * rate.sebi
        upto = (sebi_sum + half) // cent
        sebis.append(upto - sebi_given)
        sebi_given = upto
        base_sum += value * rate.taxed
        if fee:
            fee_sum += fee
            base_sum += fee
            upto = (fee_sum + half) // cent
            fees.append(upto - fee_given)
            fee_given = upto
        else:
            fees.append(0)
        if duty:
            duty_sum += duty
            upto = (duty_sum + half) // cent
            duties.append(upto - duty_given)
            duty_given = upto
        else:
            duties.append(0)
        upto = (gst * base_sum + gst_half) // gst_cent
        taxed.append(upto - gst_given)
        gst_given = upto
    return (fees, tax, levies, sebis, duties, taxed)


_ABSENT: Final = Rates(0, 0, 0, 0, 0, 0, 0, 0, False, 0, 0)
