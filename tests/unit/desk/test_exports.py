"""Exports: every kind of rows, exact numbers, Indian time, formulas defused; refusals leave no file."""

from __future__ import annotations

import csv
import json
import os
import stat
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.desk.desk import LocalDesk
from app.domain.errors import AppError, Denied, StorageError
from app.domain.exports import ExportChoice, ExportFormat, ExportKind, ExportMade
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import Order, OrderKind, OrderStatus, Side
from app.storage.fills import FillNotes
from tests.unit.desk.profiles import make_profile, opened
from tests.unit.storage.samples import INFY, A, B, fill, trade

USDINR = InstrumentId("CDS:USDINR26NOVFUT")
MOMENT = 1_763_264_700_123_000_000
"""2025-11-16 09:15:00.123 in India."""


async def exported(desk: LocalDesk, kind: ExportKind, file: Path, **rest: Any) -> list[dict[str, str]]:
    choice = replace(ExportChoice(kind, str(file)), **rest)
    made = await desk.exports.export(choice)
    return rows_of(file, made)


def rows_of(file: Path, made: ExportMade) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    assert (made.rows, made.size) == (len(rows), file.stat().st_size)
    return rows


def order(number: int, instrument: InstrumentId, price: int) -> Order:
    return Order(
        account=B,
        broker_order_id=BrokerOrderId(f"26111600000000{number:05}"),
        instrument=instrument,
        side=Side.BUY,
        product=Product.NRML,
        kind=OrderKind.LIMIT,
        status=OrderStatus.OPEN,
        quantity=3,
        filled_quantity=0,
        pending_quantity=3,
        average_price=None,
        price=price,
        trigger_price=None,
        tag=None,
        placed_at=MOMENT,
        status_text="-1 of the limit",
    )


async def test_what_is_in_the_file_is_what_is_in_the_book(tmp_path: Path) -> None:
    await make_profile(tmp_path / "p", fills=12)
    async with opened(tmp_path / "p") as desk:
        book = desk._workspace.book
        dear = fill(20, filled_at=MOMENT, price=148_005, account=B)
        later = fill(21, filled_at=MOMENT + 1_000_000_000)
        later = replace(later, id=replace(later.id, trade_date="2026-11-17"))
        await book.fills.write([(dear, '{"secret": "raw"}'), (later, "{}")])
        await book.fills.annotate(dear.id, FillNotes('=HYPERLINK("http://x")', ("swing", "@home"), "-2+3", "+cmd"))
        await book.orders.save([order(1, INFY, 148_005), order(2, USDINR, 835_000_250)])

        fills = await exported(desk, ExportKind.FILLS, tmp_path / "fills.csv")
        assert len(fills) == 13  # the deleted one is not among them
        told = next(row for row in fills if row["account"] == B)
        assert (told["price"], told["quantity"], told["filled_at_ist"]) == ("1480.05", "30", "2025-11-16 09:15:00.123")
        # A spreadsheet runs none of it, and sees every word.
        assert [told[name] for name in ("note", "tags", "strategy", "category")] == [
            '\'=HYPERLINK("http://x")', "swing, @home", "'-2+3", "'+cmd",
        ]  # fmt: skip
        text = (tmp_path / "fills.csv").read_text()
        assert "raw" not in text
        assert stat.S_IMODE((tmp_path / "fills.csv").stat().st_mode) == 0o600

        day = date(2026, 11, 17)
        one = await exported(desk, ExportKind.FILLS, tmp_path / "day.csv", since=day, until=day)
        assert [row["trade_date"] for row in one] == ["2026-11-17"]
        of_b = await exported(desk, ExportKind.FILLS, tmp_path / "b.csv", account=B)
        assert {row["account"] for row in of_b} == {B}

        orders = await exported(desk, ExportKind.ORDERS, tmp_path / "orders.csv")
        # Currency has seven digits, a number below nought stays a number, and a text with a minus does not.
        assert [(row["price"], row["status_text"]) for row in orders] == [
            ("1480.05", "'-1 of the limit"), ("83.5000250", "'-1 of the limit"),
        ]  # fmt: skip
        first = await exported(desk, ExportKind.ORDERS, tmp_path / "o1.csv", since=date(2025, 11, 16))
        none = await exported(desk, ExportKind.ORDERS, tmp_path / "o2.csv", since=date(2025, 11, 17))
        assert (len(first), none) == (2, [])

        stops = await exported(desk, ExportKind.STOPS, tmp_path / "stops.csv")
        prices = {row["stop"]: row["trigger_price"] for row in stops}
        assert prices == {"STP000000001": "1480.05", "STP000000002": "265.0015"}
        audit = await exported(desk, ExportKind.AUDIT, tmp_path / "audit.csv")
        assert [len(row["seal"]) for row in audit] == [64] * len(audit) != []
        for kind in ExportKind:
            await exported(desk, kind, tmp_path / f"all-{kind.value}.csv")


async def test_a_trade_whose_lots_are_of_unknown_size_has_no_figures_in_the_file(tmp_path: Path) -> None:
    await make_profile(tmp_path / "p", fills=1, armed=False)
    crude, nickel = InstrumentId("MCX:CRUDEOIL26DECFUT"), InstrumentId("MCX:NICKEL26DECFUT")
    async with opened(tmp_path / "p") as desk:
        book = desk._workspace.book
        await book.fills.write([(fill(31, instrument=crude), "{}")])
        for name, size in ((crude, 100), (nickel, None)):
            await book.trades.replace(A, name, Product.MIS, [trade(instrument=name, multiplier=size)])
        rows = await exported(desk, ExportKind.TRADES, tmp_path / "trades.csv")
        told = {row["instrument"]: [row[name] for name in ("multiplier", "gross", "stamp_duty", "net")] for row in rows}
        assert told[crude] == ["100", "75.00", "1.5", "10.22"]
        assert told[nickel] == ["", "", "", ""]
        (deal,) = [
            row for row in await exported(desk, ExportKind.FILLS, tmp_path / "f.csv") if row["instrument"] == crude
        ]
        assert deal["multiplier"] == "100"


async def test_json_keeps_every_digit(tmp_path: Path) -> None:
    await make_profile(tmp_path / "p", fills=2, armed=False)
    file = tmp_path / "orders.json"
    async with opened(tmp_path / "p") as desk:
        await desk._workspace.book.orders.save([order(1, USDINR, 835_000_250), order(2, INFY, 148_005)])
        await desk.exports.export(ExportChoice(ExportKind.ORDERS, str(file), ExportFormat.JSON))
        trades = tmp_path / "trades.json"
        made = await desk.exports.export(ExportChoice(ExportKind.TRADES, str(trades), ExportFormat.JSON))
        found = json.loads(trades.read_text(), parse_float=Decimal)
        page = await desk.portfolio.trades()
        assert made.rows == len(found) == page.total
        assert sum(row["net"] for row in found) * 100 == page.net
    rows = json.loads(file.read_text(), parse_float=Decimal)
    assert [(row["price"], row["broker_order_id"]) for row in rows] == [
        (Decimal("83.5000250"), "2611160000000000001"), (Decimal("1480.05"), "2611160000000000002"),
    ]  # fmt: skip


async def test_what_makes_no_sense_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    await make_profile(tmp_path / "p", fills=1, armed=False)
    file = tmp_path / "x.csv"
    refused: list[tuple[dict[str, Any], type[AppError], str]] = [
        ({"account": AccountId("nobody")}, Denied, "no account"),
        ({"kind": ExportKind.POSITIONS, "since": date(2026, 11, 2)}, Denied, "last read"),
        ({"since": date(2026, 11, 3), "until": date(2026, 11, 2)}, Denied, "first date"),
        ({"file": "x.csv"}, Denied, "whole path"),
        ({"file": str(tmp_path / "absent" / "x.csv")}, StorageError, "could not be written"),
    ]
    async with opened(tmp_path / "p") as desk:
        for changes, kind, words in refused:
            with pytest.raises(kind, match=words):
                await desk.exports.export(replace(ExportChoice(ExportKind.FILLS, str(file)), **changes))
        assert os.listdir(tmp_path) == ["p"]
        file.write_text("mine")
        with pytest.raises(Denied, match="exists already"):
            await desk.exports.export(ExportChoice(ExportKind.FILLS, str(file)))
        assert file.read_text() == "mine"
