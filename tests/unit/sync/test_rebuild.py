from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.domain.fill import Fill, Trade
from app.domain.ids import BrokerOrderId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import Side
from app.runtime.helper import Helper
from app.storage.book import Book
from app.sync.rebuild import FEW, Rebuilder
from app.sync.recompute import NO_GAPS
from tests.unit.storage.samples import fill
from tests.unit.sync.conftest import charge_table

DAYS = ("2026-11-16", "2026-11-17")
NOONS = (1_794_810_600_000_000_000, 1_794_897_000_000_000_000)
"""Noon of the days."""


@pytest.fixture
async def helper() -> AsyncIterator[Helper]:
    made = Helper()
    yield made
    await made.stop()


def in_and_out(number: int) -> Fill:
    """Fills of twenty shares, bought and sold in turn, on two days."""
    side = Side.BUY if number % 2 == 0 else Side.SELL
    order = BrokerOrderId(f"{number}")
    one = fill(number)
    identity = replace(one.id, trade_date=DAYS[number % 4 // 2], broker_order_id=order, side=side.value)
    return replace(
        one,
        id=identity,
        instrument=InstrumentId(f"NSE:SHARE{number // 2 % 20}"),
        product=Product.MIS,
        side=side,
        broker_order_id=order,
        quantity=10,
        price=100_000 + number,
        filled_at=NOONS[number % 4 // 2] + number * 1_000_000_000,
    )


async def rebuilt(book: Book, rebuilder: Rebuilder) -> list[Trade]:
    await book.fills.write([(in_and_out(n), "{}") for n in range(4 * FEW)])
    assert await rebuilder.rebuild() == NO_GAPS
    assert await book.fills.stale_groups() == []
    return sorted((await book.trades.page(limit=1_000)).rows, key=repr)


async def test_the_helper_process_works_out_the_same_trades(book: Book, helper: Helper) -> None:
    there = await rebuilt(book, Rebuilder(book, charge_table(), helper))
    await book.fills.write([], [], [in_and_out(n).id for n in range(4 * FEW)])
    await Rebuilder(book, charge_table(), helper).rebuild()
    assert (await book.trades.page()).total == 0
    here = await rebuilt(book, Rebuilder(book, charge_table()))
    assert there == here
    assert len(there) == 2 * FEW
    assert all(trade.charges.total for trade in there)


@pytest.mark.expects_log("they are worked out here")
async def test_a_helper_process_that_dies_costs_no_trade(book: Book, helper: Helper) -> None:
    os.kill(await helper.call(os.getpid), signal.SIGKILL)
    assert len(await rebuilt(book, Rebuilder(book, charge_table(), helper))) == 2 * FEW
