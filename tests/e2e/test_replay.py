"""Real days, replayed through the running program with its window open: the candles that it built are the source's,
and a stop fires at the first price at or beyond it."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from app.domain.ids import InstrumentId
from app.domain.market import Candle, Interval
from app.domain.stop import Stop, StopState
from app.runtime.secret import Secret
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.journal import Journal
from app.storage.store import open_store
from app.vault.vault import Vault
from tests.e2e.window import PASSPHRASE, Workstation, connect_and_log_in, workplace
from tests.exchange import PaperExchange, eventually
from tests.shared_data import shared_data

SPEED = 1_500
"""Exchange seconds in a second: the day in a quarter of a minute."""
GAPS = {"10:56", "10:57", "10:58", "11:02", "15:26"}
"""Minutes in which the recorder had lost its feed: the source has no whole bar of them, the exchange what was left."""
SECOND = 1_000_000_000
MINUTE = 60 * SECOND


@dataclass(frozen=True)
class Kept:
    """What the program has in its files."""

    candles: list[Candle]
    stops: list[Stop]


@pytest.mark.timeout(240)
def test_a_day_of_minute_bars_gives_the_same_bars_and_fires_in_the_bar_that_crosses(tmp_path: Path) -> None:
    file, day = shared_data("minute_1m_kite_2023", "SBIN.csv.gz"), "2023-05-18"
    bars = [bar for bar in read_bars(file, "Date") if moment(bar.start).startswith(day)]
    options = ("--feed", f"replay:{file}@{day}", "--opening-position", "NSE:SBIN=100@MIS")
    with PaperExchange(None, "--speed", "0.5", *options) as exchange, workplace(tmp_path) as work:
        kept = replayed(work, exchange, "SBIN", bars[-1].start)
        built = [candle for candle in kept.candles if candle.start >= bars[0].start]
        assert built == bars
        (stop,) = kept.stops
        assert stop.state is StopState.CLOSED
        assert stop.fired_at is not None
        assert stop.fired_price is not None
        crossing = next(bar for bar in bars if bar.start + MINUTE > stop.armed_at and bar.low <= stop.trigger)
        assert crossing.start <= stop.fired_at < crossing.start + MINUTE
        assert crossing.low <= stop.fired_price <= stop.trigger
        exited_once(exchange, "SBIN", crossing.start)


@pytest.mark.timeout(240)
def test_a_recorded_session_of_ticks_gives_the_feeds_own_bars_and_fires_at_the_first_tick(tmp_path: Path) -> None:
    share = "NSE_EQ_INE118H01025"
    ticks = shared_data("ticks_upstox_v3_20251215", f"{share}.jsonl.gz")
    bars = list(read_bars(shared_data("minute_1m_upstox_I1_20251215", f"{share}.csv.gz"), "ts"))
    options = ("--feed", f"replay:{ticks}", "--opening-position", "NSE:BSE=100@MIS")
    with PaperExchange(None, "--speed", "0.5", *options) as exchange, workplace(tmp_path) as work:
        kept = replayed(work, exchange, "BSE", bars[-1].start)
        begun = kept.candles[0].start
        assert moment(begun) <= "2025-12-15T09:34"
        sourced = {bar.start for bar in bars}
        assert [candle for candle in kept.candles if candle.start in sourced] == [b for b in bars if b.start >= begun]
        assert {moment(candle.start)[11:16] for candle in kept.candles if candle.start not in sourced} <= GAPS
        (stop,) = kept.stops
        assert stop.state is StopState.CLOSED
        assert stop.fired_at is not None
        at, first = next((at, price) for at, price in read_ticks(ticks) if at > stop.armed_at and price <= stop.trigger)
        assert stop.fired_price == first
        exited_once(exchange, "BSE", at)


def replayed(work: Workstation, exchange: PaperExchange, symbol: str, last: int) -> Kept:
    """Connects, arms a stop just below the price by dragging, plays the day; what the program kept of it."""
    work.start()
    work.create_vault()
    connect_and_log_in(work, exchange.urls)
    eventually(lambda: symbol in work.positions())
    work.chart_of(symbol)
    work.arm(by=-20)
    work.shot("armed before the day")
    exchange.call("PUT", "/simulator/clock", {"speed": SPEED})
    eventually(lambda: exchange.quantity(symbol) == 0, 120)
    work.shot("stopped out")
    instrument = InstrumentId(f"NSE:{symbol}")

    def whole() -> Kept | None:
        kept = look_in(work, instrument)
        return kept if kept.candles and kept.candles[-1].start >= last else None

    found: Kept = eventually(whole, 120, 1)
    work.shot("after the day")
    assert work.quit() == 0
    return found


def look_in(work: Workstation, instrument: InstrumentId) -> Kept:
    """Reads a copy of the profile's files, as they are now."""
    copy = work.profile.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in work.profile.iterdir():
        if file.name.startswith(("vault", "book", "journal")):
            shutil.copy(file, copy)

    async def read() -> Kept:
        vault = Vault(copy)
        vault.unlock(Secret(PASSPHRASE))
        book_store, _ = await open_store(copy, vault.database_key("book"), StoreKind.BOOK)
        journal_store, _ = await open_store(copy, vault.database_key("journal"), StoreKind.JOURNAL)
        book, journal = Book(book_store), Journal(journal_store)
        try:
            candles = await book.candles.get(instrument, Interval.MINUTE, 0, 2**62)
            return Kept(candles, await journal.stops_since(0))
        finally:
            await journal.close()
            await book.close()

    return asyncio.run(read())


def exited_once(exchange: PaperExchange, symbol: str, at: int) -> None:
    """One exit, filled, and not before the price that asked for it."""
    (order,) = exchange.exits(symbol)
    assert (order["status"], order["filled_quantity"]) == ("COMPLETE", 100)
    assert order["order_timestamp"] >= moment(at)[:19].replace("T", " ")


def read_bars(file: Path, column: str) -> Iterator[Candle]:
    with gzip.open(file, "rt") as lines:
        for row in csv.DictReader(lines):
            start = round(datetime.fromisoformat(row[column]).timestamp()) * SECOND
            opened, high, low, close = (paise(row[name]) for name in ("open", "high", "low", "close"))
            yield Candle(start, opened, high, low, close, int(float(row["volume"])))


def read_ticks(file: Path) -> Iterator[tuple[int, int]]:
    """(trade time, price in paise) of every recorded message."""
    with gzip.open(file, "rt") as lines:
        for line in lines:
            trade = json.loads(line, parse_float=Decimal)["fullFeed"]["marketFF"]["ltpc"]
            yield int(trade["ltt"]) * 1_000_000, int(trade["ltp"] * 100)


def paise(text: str) -> int:
    return int(Decimal(text) * 100)


def moment(at: int) -> str:
    """In IST."""
    from app.simulator.clock import IST

    return datetime.fromtimestamp(at / SECOND, IST).isoformat()
