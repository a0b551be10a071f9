"""What several contracts tie up together: less than each by itself where one covers another. Pure; paise.

The paper exchange's own rules (a real broker asks its exchange's SPAN files):
- futures of one underlying held both ways: the span of the smaller side is waived
- a written option that a bought one of the same underlying, kind and expiry covers: its span is at most the distance of
  the strikes, which is all that can be lost
- exposure is never waived
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.simulator import margins
from app.simulator.listing import Listing
from app.simulator.refusals import multiplier


@dataclass(frozen=True, slots=True)
class Stake:
    """So many units of the wire of one contract, signed, at a price in the listing's unit."""

    listing: Listing
    product: str
    quantity: int
    price: int


def relief(stakes: Iterable[Stake]) -> int:
    """How much span is waived because contracts cover each other."""
    groups: dict[tuple[object, ...], list[Stake]] = defaultdict(list)
    for stake in stakes:
        listing = stake.listing
        if listing.is_option:
            groups[listing.name, listing.instrument_type, listing.expiry].append(stake)
        elif listing.underlying and stake.quantity:
            groups[listing.name,].append(stake)
    return sum(_of_options(group) if group[0].listing.is_option else _of_futures(group) for group in groups.values())


def _of_futures(group: Sequence[Stake]) -> int:
    sides = {"BUY": 0, "SELL": 0}
    for stake in group:
        side = "BUY" if stake.quantity > 0 else "SELL"
        sides[side] += margins.required(stake.listing, side, stake.product, abs(stake.quantity), stake.price).span
    return min(sides.values())


def _of_options(group: Sequence[Stake]) -> int:
    """Written and bought options are paired strike by strike, the most dangerous first."""
    call = group[0].listing.instrument_type == "CE"
    ordered = sorted(group, key=lambda stake: stake.listing.strike, reverse=not call)
    free = [stake.quantity for stake in ordered]
    waived = 0
    for short in ordered:
        left = max(0, -short.quantity)
        for index, long in enumerate(ordered):
            units = min(left, free[index])
            if units <= 0:
                continue
            waived += max(0, _span(short, units) - _distance(short, long, units))
            free[index] -= units
            left -= units
    return waived


def _span(stake: Stake, units: int) -> int:
    return margins.required(stake.listing, "SELL", stake.product, units, stake.price).span


def _distance(short: Stake, long: Stake, units: int) -> int:
    call = short.listing.instrument_type == "CE"
    apart = long.listing.strike - short.listing.strike if call else short.listing.strike - long.listing.strike
    return max(0, int(apart * 100)) * units * multiplier(short.listing)


def together(held: Sequence[Stake], orders: Sequence[Stake]) -> margins.Margin:
    """What orders need on top of what is held: closing needs nothing, spreads need less; premiums are netted."""
    net: dict[tuple[int, str], int] = defaultdict(int)
    for stake in held:
        net[stake.listing.token, stake.product] += stake.quantity
    var = span = exposure = premium = 0
    for stake in orders:
        key = (stake.listing.token, stake.product)
        side = "BUY" if stake.quantity > 0 else "SELL"
        closing = min(abs(stake.quantity), max(0, -net[key] if side == "BUY" else net[key]))
        net[key] += stake.quantity
        asked = margins.required(stake.listing, side, stake.product, abs(stake.quantity) - closing, stake.price)
        whole = margins.required(stake.listing, side, stake.product, abs(stake.quantity), stake.price)
        var, span, exposure = var + asked.var, span + asked.span, exposure + asked.exposure
        premium += whole.option_premium
    span -= relief([*held, *orders]) - relief(held)
    return margins.Margin(var=var, span=max(0, span), exposure=exposure, option_premium=premium)
