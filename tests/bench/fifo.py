"""FIFO matching and charges of a large book. Peer: a FIFO over Decimal lots as bookkeeping tools write it.

Budgets: 1,000,000 fills/s; with charges 300,000/s.
"""

from __future__ import annotations

import random
from collections import deque
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter

import numpy as np

from app.analytics.charge_table import ChargeTable
from app.analytics.charges import by_note, note_columns
from app.analytics.fifo import fifo
from app.analytics.pnl import Lots, trades_of
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Side

ROWS = 1_000_000
PEER_ROWS = 50_000
FILLS = 200_000
_CHARGES = Path(__file__).resolve().parents[2] / "resources" / "charges"


def run() -> dict[str, object]:
    """Fills a second by each way, the peer's, and what they agree on."""
    chance = np.random.default_rng(7)
    keys = chance.integers(0, 400, ROWS)
    quantities = chance.choice([-1, 1], ROWS) * chance.integers(1, 20, ROWS) * 75
    prices = chance.integers(10_000, 12_000, ROWS) * 5

    started = perf_counter()
    result = fifo(keys, quantities, prices)
    columns_rate = ROWS / (perf_counter() - started)

    rows = list(zip(keys.tolist(), quantities.tolist(), prices.tolist(), strict=True))
    started = perf_counter()
    positions: dict[int, Lots] = {}
    gained = 0
    for key, quantity, price in rows:
        lots = positions.get(key)
        if lots is None:
            lots = positions[key] = Lots()
        gained += lots.apply(quantity, price)
    lots_rate = ROWS / (perf_counter() - started)

    decimal_rows = [(key, Decimal(quantity), Decimal(price) / 100) for key, quantity, price in rows[:PEER_ROWS]]
    started = perf_counter()
    peer = _decimal_fifo(decimal_rows)
    peer_rate = PEER_ROWS / (perf_counter() - started)
    same = fifo(keys[:PEER_ROWS], quantities[:PEER_ROWS], prices[:PEER_ROWS]).realised
    agree = gained == int(result.realised.sum()) and peer == Decimal(int(same.sum())) / 100

    return {
        "what": "FIFO",
        "fills": ROWS,
        "ours_columns_per_s": round(columns_rate),
        "ours_lots_per_s": round(lots_rate),
        "peer": "FIFO over Decimal lots",
        "peer_per_s": round(peer_rate),
        "ratio": round(columns_rate / peer_rate, 1),
        "agree": agree,
        "budget_per_s": 1_000_000,
        **_with_charges(),
    }


def _with_charges() -> dict[str, object]:
    table = ChargeTable.parse(*(path.read_text(encoding="utf-8") for path in sorted(_CHARGES.glob("*.csv"))))
    fills = _fills()
    started = perf_counter()
    ordered: list[Fill] = []
    columns: list[list[int]] = [[] for _ in range(6)]
    for group in by_note(fills).values():
        for column, part in zip(columns, note_columns(group, table), strict=True):
            column.extend(part)
        ordered += group
    codes: dict[tuple[str, str], int] = {}
    keys = [codes.setdefault((fill.account, fill.instrument), len(codes)) for fill in ordered]
    buy = Side.BUY
    result = fifo(
        np.array(keys),
        np.array([fill.quantity if fill.side is buy else -fill.quantity for fill in ordered]),
        np.array([fill.price for fill in ordered]),
    )
    rate = FILLS / (perf_counter() - started)
    charged = sum(map(sum, columns))
    started = perf_counter()
    trades = trades_of(ordered, columns)
    trades_rate = FILLS / (perf_counter() - started)
    return {
        "with_charges_fills": FILLS,
        "with_charges_per_s": round(rate),
        "with_charges_budget_per_s": 300_000,
        "trades_per_fill_s": round(trades_rate),
        "with_charges_agree": sum(t.net for t in trades) == int(result.realised.sum()) - charged,
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


def _decimal_fifo(rows: list[tuple[int, Decimal, Decimal]]) -> Decimal:
    """What a bookkeeper would write: a queue of lots in Decimal for each position."""
    books: dict[int, deque[tuple[Decimal, Decimal]]] = {}
    realised = Decimal(0)
    for key, quantity, price in rows:
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
