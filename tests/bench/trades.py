"""All trades of a busy year anew, net of charges. Peer: FIFO over Decimal lots as bookkeeping tools write it.

Ours is `sync.recompute`, which the program runs in its helper process: contract notes, charges by head, round trips.
The peer matches the same fills and charges nothing.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter

from app.analytics.charge_table import ChargeTable
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Side
from app.sync.recompute import group_of, recompute

FILLS = 200_000
_CHARGES = Path(__file__).resolve().parents[2] / "resources" / "charges"


def run() -> dict[str, object]:
    """Fills a second of ours and of the peer, and whether they agree on what was earned before charges."""
    table = ChargeTable.parse(*(path.read_text(encoding="utf-8") for path in sorted(_CHARGES.glob("*.csv"))))
    fills = _fills()
    groups = {group_of(fill) for fill in fills}
    started = perf_counter()
    found = recompute(fills, groups, table)
    ours = FILLS / (perf_counter() - started)
    trades = [trade for group in found.trades.values() for trade in group]

    deals = [(fill.instrument, Decimal(fill.side.sign * fill.quantity), Decimal(fill.price) / 100) for fill in fills]
    started = perf_counter()
    earned = _decimal_fifo(deals)
    peer = FILLS / (perf_counter() - started)
    return {
        "what": "trades anew, net of charges",
        "fills": FILLS,
        "trades": len(trades),
        "ours_per_s": round(ours),
        "peer": "FIFO over Decimal lots, no charges",
        "peer_per_s": round(peer),
        "ratio": round(ours / peer, 1),
        "agree": Decimal(sum(trade.gross for trade in trades)) / 100 == earned and not found.gaps,
        "budget_per_s": 300_000,
    }


def _fills() -> list[Fill]:
    """A busy year: 250 days, index futures and options, each order in two fills, round trips of a few orders."""
    chance = random.Random(7)
    first = date(2025, 12, 1)
    account = AccountId("zerodha-AB1234")
    names = [("NFO:NIFTY26DECFUT", InstrumentKind.FUTURE, Segment.FUTURES)] + [
        (f"NFO:NIFTY26DEC{strike}{kind}", InstrumentKind.CALL if kind == "CE" else InstrumentKind.PUT, Segment.OPTIONS)
        for strike in range(25_000, 27_000, 100)
        for kind in ("CE", "PE")
    ]
    held = [0] * len(names)
    fills: list[Fill] = []
    for number in range(0, FILLS, 2):
        which = chance.randrange(len(names))
        name, kind, segment = names[which]
        side = Side.SELL if held[which] > 0 else Side.BUY
        quantity = abs(held[which]) or 150
        held[which] = 0 if held[which] else quantity
        day = (first + timedelta(days=number * 250 // FILLS)).isoformat()
        order = BrokerOrderId(f"{number:019d}")
        price = chance.randrange(2_000, 40_000, 5)
        fills.extend(
            Fill(
                id=FillId("zerodha", account, "NFO", segment.value, day, order, f"{number + part}", side.value),
                account=account,
                instrument=InstrumentId(name),
                segment=segment,
                kind=kind,
                product=Product.NRML,
                side=side,
                quantity=quantity // 2,
                price=price + part,
                filled_at=number + part,
                broker_order_id=order,
            )
            for part in range(2)
        )
    return fills


def _decimal_fifo(deals: Iterable[tuple[str, Decimal, Decimal]]) -> Decimal:
    """What a bookkeeper would write: a queue of lots in Decimal for each position."""
    books: dict[str, deque[tuple[Decimal, Decimal]]] = {}
    realised = Decimal(0)
    for key, quantity, price in deals:
        lots = books.setdefault(key, deque())
        left = quantity
        while left and lots and (lots[0][0] > 0) != (left > 0):
            units, cost = lots.popleft()
            matched = min(abs(units), abs(left))
            signed = matched if units > 0 else -matched
            realised += signed * (price - cost)
            if abs(units) > matched:
                lots.appendleft((units - signed, cost))
            left += signed
        if left:
            lots.append((left, price))
    return realised
