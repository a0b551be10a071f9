"""What a broker takes for shares that leave the demat account: one fee for each share and day, whatever the quantity.

It stands on no contract note but in the ledger. A sale of what was bought on the same day takes nothing, and a share
that is sold on two exchanges is one. Amounts with tax, by date, from `resources/paper/charges.json`; pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from app.simulator.account import Position
from app.simulator.charges import ZERODHA, depository_fee
from app.simulator.listing import Listing
from app.simulator.order import Fill

DELIVERED = ("CNC", "MTF")


def share_of(listing: Listing) -> str:
    """What is one share wherever it is traded."""
    return listing.isin or listing.tradingsymbol


def of_positions(
    positions: Iterable[Position],
    fills: Iterable[Fill],
    listings: Mapping[int, Listing],
    on: date,
    brokers: Mapping[str, str],
) -> int:
    """The day's fees, paise. `brokers`: over whose wire an order came; the fee is that of the share's last sale."""
    sold = {p.token for p in positions if p.product in DELIVERED and p.sold > p.bought}
    last: dict[str, str] = {}
    for fill in fills:
        if fill.token in sold and fill.side == "SELL" and fill.product in DELIVERED:
            last[share_of(listings[fill.token])] = brokers.get(fill.order_id, ZERODHA)
    return sum(int(depository_fee(broker, on) * 100) for broker in last.values())


def of_days(days: Iterable[tuple[date, Fill, Listing]], broker: str) -> int:
    """The same of many days' fills, paise, where only fills are known."""
    net: dict[tuple[date, str], int] = {}
    for day, fill, listing in days:
        if fill.product in DELIVERED and not listing.underlying:
            key = (day, share_of(listing))
            net[key] = net.get(key, 0) + (fill.quantity if fill.side == "SELL" else -fill.quantity)
    return sum(int(depository_fee(broker, day) * 100) for (day, _), quantity in net.items() if quantity > 0)
