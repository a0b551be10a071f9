"""The book's parts other than fills: what is put in comes out again, exactly."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from app.domain.account import Endpoints
from app.domain.errors import StorageError
from app.domain.events import SessionState, SyncProgressed, SyncStep
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.listing import ImportCounts, ImportReport, ListSource, SegmentCount, row_of
from app.domain.market import Candle, Interval
from app.domain.portfolio import Holding, Position, PositionKey
from app.storage.accounts import AccountRecord
from app.storage.book import Book
from app.storage.charts import CurveRow
from app.storage.store import Store
from tests.unit.storage.samples import INFY, NIFTY, A, B, charges, trade

RECORD = AccountRecord(
    id=A,
    broker="zerodha",
    endpoints=Endpoints("https://api", "https://login", "wss://ws", "http://127.0.0.1/back", "/ca.pem"),
    api_key="kitekey",
    user_id="AB1234",
    client_name="Asha Rao",
    state=SessionState.EXPIRED,
    sealed_secret=b"\x00sealed\xff",
    sealed_token=b"\x01token\xfe",
    token_issued_at=1,
    token_expires_at=2,
    last_refresh=3,
    last_sync=4,
    next_sync=5,
    last_error="token expired",
    error_count=6,
    sync_on=False,
    sync_every_s=60,
    fills_synced=7,
    syncs_failed=8,
    connected_at=9,
    disconnected_at=10,
)


async def test_an_account_comes_back_with_every_field(book: Book) -> None:
    bare = AccountRecord(B, "zerodha", Endpoints("a", "l", "w"), "key")
    await book.accounts.save(RECORD)
    await book.accounts.save(bare)
    assert await book.accounts.load() == [RECORD, bare]
    assert await book.accounts.get(A) == RECORD
    assert await book.accounts.get(InstrumentId("nobody")) is None  # type: ignore[arg-type]  # any text that is no account
    changed = replace(RECORD, state=SessionState.ACTIVE, error_count=0, last_error="")
    await book.accounts.save(changed)
    assert await book.accounts.load() == [changed, bare]
    first_by_name = replace(RECORD, id=AccountId("a-broker-1"))
    await book.accounts.save(first_by_name)
    await book.accounts.save(changed)
    assert await book.accounts.load() == [changed, bare, first_by_name], "as they were added, whenever the last changed"


async def test_removing_tokens_keeps_the_account_and_its_history(book: Book) -> None:
    await book.accounts.save(RECORD)
    await book.accounts.remove_tokens(A)
    assert await book.accounts.get(A) == replace(RECORD, sealed_token=None, token_issued_at=None, token_expires_at=None)


def test_an_account_does_not_show_its_secrets() -> None:
    shown = repr(RECORD)
    assert "kitekey" not in shown
    assert "sealed" not in shown


async def test_settings(book: Book) -> None:
    assert await book.settings.get("theme") is None
    await book.settings.put("theme", '{"name": "dark"}')
    await book.settings.put("theme", '{"name": "light"}')
    assert await book.settings.get("theme") == '{"name": "light"}'


SHARE = Instrument(
    INFY, 408_065, Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, "INFOSYS", 10, 1, key="NSE_EQ|INE009A01021"
)
INDEX = Instrument(
    InstrumentId("NSE:NIFTY 50"), 256_265, Exchange.NSE, Segment.INDEX, InstrumentKind.INDEX, "NIFTY 50", 0, 0
)
FUTURE = Instrument(
    NIFTY, 14_000_130, Exchange.NFO, Segment.FUTURES, InstrumentKind.FUTURE, "NIFTY", 20, 65, 100, date(2026, 11, 26)
)
OPTION = Instrument(
    InstrumentId("NFO:HINDPETRO26AUG420.75CE"),
    5,
    Exchange.NFO,
    Segment.OPTIONS,
    InstrumentKind.CALL,
    "HINDPETRO",
    5,
    2025,
    10_000,
    date(2026, 8, 25),
    Decimal("420.75"),
)
FULL = [SHARE, INDEX, FUTURE, OPTION]
PUT = replace(OPTION, id=InstrumentId("NFO:HINDPETRO26AUG420.75PE"), token=6, kind=InstrumentKind.PUT)


def by_id(instruments: list[Instrument]) -> list[Instrument]:
    return sorted(instruments, key=lambda i: i.id)


async def test_instruments_come_back_exactly_and_a_second_import_changes_nothing(book: Book) -> None:
    assert await book.instruments.replace("zerodha", None, FULL) == ImportCounts(4, 4, 0, 0, 0)
    assert await book.instruments.all_active("zerodha") == by_id(FULL)
    assert await book.instruments.replace("zerodha", None, FULL) == ImportCounts(4, 0, 0, 0, 0)
    assert await book.instruments.all_active("upstox") == []


async def test_a_vanished_instrument_becomes_inactive_and_revives(book: Book) -> None:
    full = [*FULL, PUT]
    await book.instruments.replace("zerodha", None, full)
    moved = replace(FUTURE, lot_size=75)
    counts = await book.instruments.replace("zerodha", None, [SHARE, INDEX, moved, PUT])
    assert counts == ImportCounts(4, 0, 1, 0, 1)
    assert await book.instruments.all_active("zerodha") == by_id([SHARE, INDEX, moved, PUT])
    assert await book.instruments.get("zerodha", OPTION.id) == replace(OPTION, active=False)
    counts = await book.instruments.replace("zerodha", None, full)
    assert counts == ImportCounts(5, 0, 1, 1, 0)
    assert await book.instruments.all_active("zerodha") == by_id(full)


async def test_a_token_may_be_used_again_by_another_contract(book: Book) -> None:
    await book.instruments.replace("zerodha", None, [OPTION])
    successor = replace(OPTION, id=InstrumentId("NFO:OTHER26SEP100CE"), name="OTHER")
    counts = await book.instruments.replace("zerodha", None, [successor])
    assert counts == ImportCounts(1, 1, 0, 0, 1, reused=1)
    assert await book.instruments.all_active("zerodha") == [successor]
    assert await book.instruments.by_token("zerodha", OPTION.token) == successor
    assert await book.instruments.get("zerodha", OPTION.id) == replace(OPTION, active=False)
    assert await book.instruments.renames("zerodha") == []


async def test_a_live_contract_with_another_strike_is_followed_by_the_watchlists(book: Book) -> None:
    await book.instruments.replace("zerodha", None, FULL)
    await book.watchlists.save("mine", [OPTION.id, INFY])
    changed = replace(OPTION, id=InstrumentId("NFO:HINDPETRO26AUG400CE"), strike=Decimal(400))
    counts = await book.instruments.replace("zerodha", None, [SHARE, INDEX, FUTURE, changed])
    assert counts == ImportCounts(4, 1, 0, 0, 1, renamed=1)
    assert await book.instruments.renames("zerodha") == [(OPTION.id, changed.id)]
    assert await book.watchlists.load() == [("mine", (changed.id, INFY))]
    assert await book.instruments.by_token("zerodha", OPTION.token) == changed


async def test_a_list_of_one_exchange_touches_that_exchange_only(book: Book) -> None:
    await book.instruments.replace("zerodha", None, FULL)
    assert await book.instruments.replace("zerodha", "NFO", [FUTURE]) == ImportCounts(1, 0, 0, 0, 1)
    assert await book.instruments.all_active("zerodha") == by_id([SHARE, INDEX, FUTURE])


async def test_a_full_list_that_lost_a_segment_deactivates_nothing_until_confirmed(book: Book) -> None:
    full = [*FULL, PUT]
    await book.instruments.replace("zerodha", None, full)
    changed = replace(SHARE, lot_size=2)
    counts = await book.instruments.replace("zerodha", None, [changed, PUT])
    assert counts == ImportCounts(2, 0, 1, 0, 0, ("NFO futures", "NSE index"))
    assert await book.instruments.all_active("zerodha") == by_id([changed, INDEX, FUTURE, OPTION, PUT])
    counts = await book.instruments.replace("zerodha", None, [changed, PUT], confirmed=True)
    assert counts == ImportCounts(2, 0, 0, 0, 3)
    assert await book.instruments.all_active("zerodha") == by_id([changed, PUT])


async def test_a_list_that_is_not_trusted_adds_and_changes_and_deactivates_nothing(book: Book) -> None:
    await book.instruments.replace("zerodha", None, [SHARE, OPTION])
    await book.instruments.begin_list()
    await book.instruments.add_rows([row_of(INDEX), row_of(SHARE), row_of(PUT)])
    counts = await book.instruments.take_over("zerodha", keep="6 % of the lines could not be read")
    assert (counts.created, counts.deactivated, counts.withheld) == (2, 0, ("6 % of the lines could not be read",))
    assert await book.instruments.all_active("zerodha") == by_id([SHARE, OPTION, INDEX, PUT])


async def test_an_import_is_counted_by_segment_and_kind_and_logged(book: Book) -> None:
    await book.instruments.replace("zerodha", None, FULL)
    await book.instruments.replace("zerodha", "NFO", [FUTURE])
    stats = await book.instruments.stats("zerodha")
    assert (stats.active, stats.inactive, stats.derivatives) == (3, 1, 1)
    assert SegmentCount(Exchange.NFO, Segment.OPTIONS, 0, 1) in stats.segments
    assert {kind.kind: kind.active for kind in stats.kinds} == {
        InstrumentKind.SHARE: 1,
        InstrumentKind.INDEX: 1,
        InstrumentKind.FUTURE: 1,
    }
    report = ImportReport("zerodha", "manual", ListSource.FILE, "list.csv", 1, 2, after=stats)
    await book.instruments.log_import(report)
    assert await book.instruments.imports("zerodha") == [report]
    assert await book.instruments.imports("upstox") == []


async def test_a_failed_import_leaves_the_old_list_whole(book: Book) -> None:
    await book.instruments.replace("zerodha", None, FULL)
    bad = replace(SHARE, id=InstrumentId("NSE:BAD"), tick_size=None)  # type: ignore[arg-type]  # what must not get in
    with pytest.raises(StorageError):
        await book.instruments.replace("zerodha", None, [replace(SHARE, name="CHANGED"), bad])
    assert await book.instruments.all_active("zerodha") == by_id(FULL)
    assert await book.instruments.replace("zerodha", None, FULL) == ImportCounts(4, 0, 0, 0, 0)


async def test_trades_come_back_exactly_newest_first_with_totals_of_all(book: Book) -> None:
    cost = int(charges().total * 100)
    trades = [trade(n, gross=100 * n, net=100 * n - cost) for n in range(1, 6)]
    still_open = trade(9, opened_at=90_000, exit_price=None, closed_at=None, gross=0, net=-cost)
    await book.trades.replace(A, INFY, Product.MIS, [*trades, still_open])
    page = await book.trades.page(limit=3)
    assert page.rows == (still_open, trades[4], trades[3])
    assert (page.total, page.gross, page.charges, page.net) == (6, 1_500, 6 * cost, 1_500 - 6 * cost)
    assert (await book.trades.page(offset=3, limit=3)).rows == (trades[2], trades[1], trades[0])
    empty = await book.trades.page("nothing like it")
    assert (empty.rows, empty.total, empty.gross, empty.charges, empty.net) == ((), 0, 0, 0, 0)


async def test_trades_are_chosen_by_words_account_and_time(book: Book) -> None:
    mine = trade(1)
    theirs = trade(2, account=B)
    future = trade(3, instrument=NIFTY, product=Product.NRML, closed_at=9_000)
    odd = trade(4, instrument=InstrumentId("NSE:M&M_100%"))
    for t in (mine, theirs, future, odd):
        await book.trades.replace(t.account, t.instrument, t.product, [t])
    assert (await book.trades.page("infy")).rows == (theirs, mine)
    assert (await book.trades.page("nfo nifty")).rows == (future,)
    assert (await book.trades.page("0%")).rows == (odd,)
    assert (await book.trades.page("m_m")).rows == ()
    assert (await book.trades.page(account=B)).rows == (theirs,)
    assert (await book.trades.page(since=9_000)).rows == (future,)
    assert (await book.trades.page("INFY", B, 2_002)).total == 1


async def test_replacing_trades_touches_one_group_only(book: Book) -> None:
    other = trade(1, product=Product.CNC)
    await book.trades.replace(A, INFY, Product.MIS, [trade(1), trade(2)])
    await book.trades.replace(A, INFY, Product.CNC, [other])
    await book.trades.replace(A, INFY, Product.MIS, [])
    assert (await book.trades.page()).rows == (other,)


def position(instrument: InstrumentId, product: Product = Product.MIS) -> Position:
    return Position(
        key=PositionKey(A, instrument, product),
        quantity=-75,
        average_price=Decimal("1480.123456"),
        last_price=148_000,
        close_price=147_000,
        buy_quantity=0,
        buy_value=Decimal("0.0"),
        sell_quantity=75,
        sell_value=Decimal("111009.2592"),
        multiplier=1,
        price_scale=100,
    )


async def test_positions_and_holdings_replace_those_of_their_account(book: Book) -> None:
    rows = [position(NIFTY), position(INFY, Product.MIS), position(INFY, Product.CNC)]
    await book.positions.replace(A, rows, 5)
    assert await book.positions.load(A) == [rows[0], rows[2], rows[1]]
    await book.positions.replace(B, [], 6)
    assert len(await book.positions.load(A)) == 3
    await book.positions.replace(A, rows[:1], 7)
    assert await book.positions.load(A) == rows[:1]
    with pytest.raises(ValueError, match="another account"):
        await book.positions.replace(B, rows, 8)

    owned = Holding(A, INFY, "INE009A01021", 10, 5, Decimal("1401.4567"), 148_000, 147_000)
    await book.holdings.replace(A, [owned], 5)
    assert await book.holdings.load(A) == [owned]
    await book.holdings.replace(A, [], 6)
    assert await book.holdings.load(A) == []


async def test_the_sync_log_keeps_the_newest_word_of_each_run(book: Book) -> None:
    started = SyncProgressed("run1", A, SyncStep.STARTED, "manual", started_at=10)
    done = SyncProgressed("run1", A, SyncStep.COMPLETED, "manual", 9, 5, 2, 1, 1, 10, 20, "")
    failed = SyncProgressed("run2", A, SyncStep.FAILED, "retry", started_at=30, ended_at=31, error="Unreachable")
    other = SyncProgressed("run2", B, SyncStep.SKIPPED, "retry", started_at=30)
    await book.sync_log.append(started)
    await book.sync_log.append(done, failed, other)
    assert await book.sync_log.recent() == [other, failed, done]
    assert await book.sync_log.recent(1) == [other]
    await book.sync_log.append()


async def test_watchlists_keep_the_users_order(book: Book) -> None:
    await book.watchlists.save("Zebra", [NIFTY, INFY, NIFTY])
    await book.watchlists.save("Apple", [])
    assert await book.watchlists.load() == [("Zebra", (NIFTY, INFY)), ("Apple", ())]
    await book.watchlists.save("Zebra", [INFY])
    assert await book.watchlists.load() == [("Zebra", (INFY,)), ("Apple", ())]
    await book.watchlists.delete("Zebra")
    assert await book.watchlists.load() == [("Apple", ())]


async def test_candles_are_cached_by_instrument_and_interval(book: Book) -> None:
    rows = [Candle(n * 60, 100, 110, 90, 105, n) for n in range(10)]
    await book.candles.put(INFY, Interval.MINUTE, rows[::-1])
    await book.candles.put(INFY, Interval.DAY, [Candle(0, 1, 1, 1, 1, 1)])
    await book.candles.put(NIFTY, Interval.MINUTE, [])
    assert await book.candles.get(INFY, Interval.MINUTE, 120, 300) == rows[2:5]
    later = Candle(120, 1, 2, 0, 1, 99)
    await book.candles.put(INFY, Interval.MINUTE, [later])
    assert await book.candles.get(INFY, Interval.MINUTE, 0, 1_000) == [*rows[:2], later, *rows[3:]]
    assert await book.candles.get(NIFTY, Interval.MINUTE, 0, 1_000) == []


async def test_the_curve_is_kept_by_account(book: Book) -> None:
    await book.curve.append(A, 10, 100, 90)
    await book.curve.append(B, 10, -5, -6)
    await book.curve.append(A, 20, 110, 99)
    await book.curve.append(A, 20, 111, 100)
    assert await book.curve.since(A, 11) == [CurveRow(A, 20, 111, 100)]
    assert await book.curve.since(None, 0) == [
        CurveRow(A, 10, 100, 90),
        CurveRow(B, 10, -5, -6),
        CurveRow(A, 20, 111, 100),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO settings VALUES ('k', NULL)",
        "INSERT INTO day_curve VALUES ('a', 'not a time', 0, 0)",
        "INSERT INTO day_curve VALUES ('a', 1, 0.5, 0)",
        "INSERT INTO watchlist_items VALUES ('no such list', 1, 'NSE:INFY')",
        "INSERT INTO candles VALUES ('NSE:INFY', 61, 0, 1, 1, 1, 1, 1)",
    ],
)
async def test_the_tables_refuse_what_cannot_be_right(book_store: Store, statement: str) -> None:
    with pytest.raises(StorageError):
        await book_store.change(lambda c: c.exec_driver_sql(statement))
