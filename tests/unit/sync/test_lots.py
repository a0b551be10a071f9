"""Contracts that are counted in lots: what their trades come to, and when a lot's size becomes known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection

from app.analytics.charge_table import ChargeTable
from app.domain.fill import Charges, Fill, Trade
from app.domain.ids import BrokerOrderId, FillId, InstrumentId
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Side
from app.domain.portfolio import Position, PositionKey
from app.runtime.paths import resource
from app.runtime.secret import Secret
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.migrations import versions
from app.storage.store import open_store
from app.sync.rebuild import Rebuilder
from app.sync.recompute import NO_GAPS, Gaps
from tests.unit.sync.conftest import A, charge_table

CRUDE, NICKEL = InstrumentId("MCX:CRUDEOIL26DECFUT"), InstrumentId("MCX:NICKEL26DECFUT")
DAY, NOON = "2026-11-20", 1_795_156_200_000_000_000
KEY = Secret("ab" * 32)


def deal(instrument: InstrumentId, side: Side, lots: int, rupees: int, minute: int) -> Fill:
    order = BrokerOrderId(f"{instrument}-{minute}")
    return Fill(
        id=FillId("zerodha", A, "MCX", Segment.COMMODITY, DAY, order, f"{minute}", side),
        account=A,
        instrument=instrument,
        segment=Segment.COMMODITY,
        kind=InstrumentKind.FUTURE,
        product=Product.NRML,
        side=side,
        quantity=lots,
        price=rupees * 100,
        filled_at=NOON + minute * 60_000_000_000,
        broker_order_id=order,
    )


IN_AND_OUT = (deal(CRUDE, Side.BUY, 1, 6_000, 1), deal(CRUDE, Side.SELL, 1, 6_010, 2))
NICKEL_DEALS = (deal(NICKEL, Side.SELL, 3, 1_400, 3), deal(NICKEL, Side.BUY, 2, 1_390, 4))
CRUDE_CHARGES = Charges(
    brokerage=Decimal("40.00"),  # 0.03 % of 6,00,000 and of 6,01,000 is more than the cap of 20 an order
    transaction_tax=Decimal("60.00"),  # CTT: 0.01 % of the sale of 6,01,000, to the rupee
    exchange_charge=Decimal("25.22"),  # 0.0021 % of 12,01,000
    sebi_fee=Decimal("1.20"),  # 10 a crore
    stamp_duty=Decimal("12.00"),  # 0.002 % of the purchase
    gst=Decimal("11.96"),  # 18 % of 40 + 25.221 + 1.201
)


def position(instrument: InstrumentId, multiplier: int) -> Position:
    key = PositionKey(A, instrument, Product.NRML)
    return Position(key, 0, Decimal(0), 0, 0, 1, Decimal(0), 1, Decimal(0), multiplier)


@pytest.fixture
def rebuilder(book: Book) -> Rebuilder:
    return Rebuilder(book, charge_table())


async def trades(book: Book) -> dict[InstrumentId, list[Trade]]:
    rows = (await book.trades.page()).rows
    return {name: [t for t in rows if t.instrument == name] for name in {t.instrument for t in rows}}


async def test_a_lot_of_crude_oil_earns_a_hundred_times_the_barrel(book: Book, rebuilder: Rebuilder) -> None:
    await book.fills.write([(fill, "{}") for fill in IN_AND_OUT])
    assert await rebuilder.rebuild() == NO_GAPS
    (crude,) = (await trades(book))[CRUDE]
    assert (crude.quantity, crude.multiplier, crude.entry_price, crude.exit_price) == (1, 100, 6_000_00, 6_010_00)
    assert crude.gross == 1_000_00
    assert crude.charges == CRUDE_CHARGES
    assert crude.net == 1_000_00 - 150_38


async def test_while_a_lots_size_is_not_known_its_trades_have_no_figures_and_then_they_do(
    book: Book, rebuilder: Rebuilder
) -> None:
    await book.fills.write([(fill, "{}") for fill in (*IN_AND_OUT, *NICKEL_DEALS)])
    assert await rebuilder.rebuild() == Gaps(unsized=(NICKEL,))
    page = await book.trades.page()
    assert (page.total, page.unsized, page.gross, page.net) == (3, 2, 1_000_00, 849_62)
    for trade in (await trades(book))[NICKEL]:
        assert (trade.multiplier, trade.gross, trade.charges, trade.net) == (None, 0, Charges(), 0)

    await book.positions.replace(A, [position(NICKEL, 250), position(CRUDE, 100)], NOON)
    assert {group[1] for group in await book.fills.stale_groups()} == {NICKEL, CRUDE}
    assert await rebuilder.rebuild() == NO_GAPS
    page = await book.trades.page()
    assert (page.unsized, page.gross) == (0, 1_000_00 + 2 * 250 * 10_00)
    rest, closed = sorted((await trades(book))[NICKEL], key=lambda trade: trade.quantity)
    assert (closed.quantity, closed.multiplier, closed.gross) == (2, 250, 5_000_00)
    assert (rest.quantity, rest.multiplier, rest.gross, rest.closed_at) == (1, 250, 0, None)
    # Told again, and when the position is gone: nothing is news.
    for told in ([position(NICKEL, 250)], []):
        await book.positions.replace(A, told, NOON + 1)
        assert await book.fills.stale_groups() == []
    assert await book.contract_sizes.told(A) == {(A, NICKEL): 250, (A, CRUDE): 100}


async def test_the_broker_is_right_where_the_table_is_wrong(book: Book, rebuilder: Rebuilder) -> None:
    await book.fills.write([(fill, "{}") for fill in IN_AND_OUT])
    await rebuilder.rebuild()
    await book.positions.replace(A, [position(CRUDE, 50)], NOON)
    await rebuilder.rebuild()
    (crude,) = (await trades(book))[CRUDE]
    assert (crude.multiplier, crude.gross) == (50, 500_00)


async def test_lots_of_shares_are_nothing_to_learn(book: Book) -> None:
    await book.positions.replace(A, [position(InstrumentId("NSE:INFY"), 1)], NOON)
    assert await book.contract_sizes.told(A) == {}


async def test_a_newer_program_whose_table_knows_the_size_works_the_trades_out(book: Book) -> None:
    older = ChargeTable.parse(*(path.read_text("utf-8") for path in resource("charges").glob("[!c]*.csv")))
    await book.fills.write([(fill, "{}") for fill in (*IN_AND_OUT, *NICKEL_DEALS)])
    assert await Rebuilder(book, older).rebuild() == Gaps(unsized=(CRUDE, NICKEL))
    newer = Rebuilder(book, charge_table())
    await newer.look_again()
    assert {group[1] for group in await book.fills.stale_groups()} == {CRUDE}
    await newer.rebuild()
    assert [trade.gross for trade in (await trades(book))[CRUDE]] == [1_000_00]
    await newer.look_again()
    assert await book.fills.stale_groups() == [], "what nobody knows yet waits"


@pytest.fixture
async def old_book(tmp_path: Path) -> AsyncIterator[Book]:
    """A profile of before: its trades counted a lot as a unit, and it remembers one position of them."""
    before = [version for version in versions(StoreKind.BOOK) if version.number <= "0010"]
    store, _ = await open_store(tmp_path, KEY, StoreKind.BOOK, versions=before)
    old = Book(store)
    share = deal(InstrumentId("NSE:INFY"), Side.BUY, 10, 1_480, 5)
    share = replace(share, id=replace(share.id, exchange="NSE"), segment=Segment.EQUITY, kind=InstrumentKind.SHARE)
    await old.fills.write([(fill, "{}") for fill in (*IN_AND_OUT, *NICKEL_DEALS, share)])

    def as_it_was(connection: Connection) -> None:
        connection.exec_driver_sql("DELETE FROM stale_groups")
        for name, gross in ((CRUDE, 10_00), (NICKEL, 20_00), ("NSE:INFY", 0)):
            connection.exec_driver_sql(_OLD_TRADE, (A, name, gross, gross))
        connection.exec_driver_sql(_OLD_POSITION, (A, NICKEL))

    await store.run(as_it_was)
    await store.close()
    store, opened = await open_store(tmp_path, KEY, StoreKind.BOOK)
    assert opened.migrated_from == "0010"
    yield Book(store)
    await store.close()


_OLD_TRADE = """
INSERT INTO trades (account, broker, instrument, segment, kind, product, side, quantity, entry_price, opened_at, source,
  gross, brokerage, transaction_tax, exchange_charge, sebi_fee, stamp_duty, gst, other, charges, net, price_scale,
  last_at) VALUES (?, 'zerodha', ?, 'commodity', 'future', 'NRML', 'BUY', 1, 1, 1, 'broker sync', ?, '1.2', '0', '0',
  '0', '0', '0', '0', 120, ?, 100, 1)"""
_OLD_POSITION = """
INSERT INTO positions VALUES (?, ?, 'NRML', -1, '1400', 140000, 0, 2, '1', 3, '1', 250, 100, 1)"""


async def test_old_profiles_come_right(old_book: Book) -> None:
    before = await old_book.trades.page()
    assert (before.unsized, before.gross, before.charges) == (2, 0, 120), "no wrong figure until they are worked out"
    assert await Rebuilder(old_book, charge_table()).rebuild() == NO_GAPS
    found = await trades(old_book)
    assert [trade.gross for trade in found[CRUDE]] == [1_000_00]
    assert sum(trade.gross for trade in found[NICKEL]) == 5_000_00
    assert [trade.multiplier for trade in found[InstrumentId("NSE:INFY")]] == [1], "left alone"
