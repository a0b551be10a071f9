"""Every answer that the broker published, served byte for byte to the adapter, and what becomes of it in the book.

Expected values are taken from the same files by the standard library alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.brokers.zerodha import codec
from app.brokers.zerodha.adapter import ZerodhaSession
from app.brokers.zerodha.orders import order_from_row
from app.domain.errors import SessionExpired
from app.domain.events import FundsChanged, SyncStep
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, GttId, InstrumentId
from app.domain.instrument import Exchange, InstrumentKind, Product, Segment
from app.domain.market import Interval
from app.domain.order import Order, OrderKind, OrderRequest, Side
from app.runtime.clock import AccountClock
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import open_store
from app.sync.service import SyncService
from app.sync.target import SyncTarget
from tests.fakes.scripted_server import Seen, answer
from tests.shared_data import ROOT, shared_data
from tests.unit.brokers.zerodha.test_adapter import session
from tests.unit.brokers.zerodha.test_mapping import utc
from tests.unit.brokers.zerodha.test_specials import TWO_LEG
from tests.unit.storage.samples import KEY
from tests.unit.sync.conftest import charge_table

A = AccountId("zerodha-AB1234")
INFY = InstrumentId("NSE:INFY")

ROUTES = {
    ("GET", "/user/profile"): "profile.json",
    ("GET", "/user/margins"): "margins.json",
    ("GET", "/orders/171229000724687"): "order_info.json",
    ("GET", "/orders"): "order_info.json",
    ("POST", "/orders/regular"): "order_response.json",
    ("PUT", "/orders/regular/151220000000000"): "order_modify.json",
    ("DELETE", "/orders/regular/151220000000000"): "order_cancel.json",
    ("GET", "/trades"): "trades.json",
    ("GET", "/portfolio/holdings"): "holdings.json",
    ("GET", "/gtt/triggers"): "gtt_get_orders.json",
    ("GET", "/gtt/triggers/123"): "gtt_get_order.json",
    ("POST", "/gtt/triggers"): "gtt_place_order.json",
    ("POST", "/charges/orders"): "virtual_contract_note.json",
    ("GET", "/quote"): "quote.json",
    ("GET", "/quote/ohlc"): "ohlc.json",
    ("GET", "/quote/ltp"): "ltp.json",
    ("GET", "/instruments/historical/408065/minute"): "historical_minute.json",
    ("GET", "/instruments/NSE"): "instruments_nse.csv",
}
ELSEWHERE = {
    "postback.json", "generate_session.json", "session_logout.json",
    "ticker_full.json", "ticker_full.packet", "ticker_quote.json", "ticker_quote.packet",
}  # fmt: skip
"""Not answers to a session: tested below, and with the official client (`test_official`)."""


def recorded(seen: Seen) -> bytes:
    if seen.path == "/portfolio/positions":  # of these no answer was published
        return answer(b'{"status": "success", "data": {"net": [], "day": []}}')
    name = ROUTES[seen.method, seen.path.partition("?")[0]]
    kind = "text/csv" if name.endswith("csv") else "application/json"
    return answer(shared_data("kite", name).read_bytes(), kind=kind)


def raw(name: str) -> Any:
    return json.loads(shared_data("kite", name).read_bytes(), parse_float=Decimal)["data"]


def paise(rupees: Decimal | int) -> int:
    exact = Decimal(rupees) * 100
    assert exact == int(exact)
    return int(exact)


def ist(text: str) -> int:
    return utc(f"{text}+05:30")


@dataclass
class Desk:
    broker: ZerodhaSession
    book: Book


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    shared_data("kite")
    store, _ = await open_store(tmp_path, KEY, StoreKind.BOOK)
    async with session(recorded) as (broker, _):
        yield Desk(broker, Book(store))
    await store.close()


def test_every_recorded_file_is_read_by_a_test() -> None:
    shared_data("kite")
    found = {path.name for path in (ROOT / "kite").iterdir()}
    assert found == set(ROUTES.values()) | ELSEWHERE


async def test_trades_stand_in_the_book_as_they_were_told(desk: Desk) -> None:
    reported = await desk.broker.reported_fills()
    by_day: dict[str, list[Any]] = {}
    for fill, words in reported:
        by_day.setdefault(fill.id.trade_date, []).append((fill, words))
    for day in by_day.values():
        await desk.book.fills.write(day)
    kept = {fill.id.trade_id: fill for fill in await desk.book.fills.all(A)}
    rows = raw("trades.json")
    assert len(kept) == len(rows) == len(reported)
    for row in rows:
        fill = kept[row["trade_id"]]
        assert (fill.broker_order_id, fill.instrument) == (
            row["order_id"], f"{row['exchange']}:{row['tradingsymbol']}",
        )  # fmt: skip
        assert (fill.side, fill.product, fill.quantity) == (row["transaction_type"], row["product"], row["quantity"])
        assert Decimal(fill.price) / fill.price_scale == Decimal(row["average_price"])
        assert fill.filled_at == ist(row["fill_timestamp"])
        assert json.loads(await desk.book.fills.raw(fill.id) or "", parse_float=Decimal) == row
    assert sorted(kept.values(), key=repr) == sorted((fill for fill, _ in reported), key=repr)


async def test_holdings_stand_in_the_book_as_they_were_told(desk: Desk) -> None:
    told = await desk.broker.holdings()
    await desk.book.holdings.replace(A, told, 1)
    kept = {held.instrument: held for held in await desk.book.holdings.load(A)}
    assert sorted(kept.values(), key=repr) == sorted(told, key=repr)
    rows = raw("holdings.json")
    assert len(kept) == len(rows)
    for row in rows:
        held = kept[InstrumentId(f"{row['exchange']}:{row['tradingsymbol']}")]
        for name in (
            "isin", "product", "quantity", "t1_quantity", "used_quantity", "realised_quantity", "authorised_quantity",
            "opening_quantity", "short_quantity", "collateral_quantity", "collateral_type", "discrepancy",
            "average_price",
        ):  # fmt: skip
            assert getattr(held, name) == (row[name] or type(getattr(held, name))()), name
        assert (held.last_price, held.close_price) == (paise(row["last_price"]), paise(row["close_price"]))
        assert held.authorised_at == ist(row["authorised_date"])
        zeros = dict.fromkeys(row["mtf"], 0)
        funded = zeros if held.funded is None else {name: getattr(held.funded, name) for name in row["mtf"]}
        assert funded == row["mtf"]


async def test_a_sync_brings_the_recorded_answers_home_value_for_value(desk: Desk) -> None:
    """The way of the program: over HTTP, through the sync, into the book; a second time changes nothing."""
    clock, events = AccountClock(), list[object]()
    clock.set(ist("2021-05-31 18:00:00"))

    async def alive(account: AccountId, cause: SessionExpired, _of: object) -> None:
        raise AssertionError((account, cause))

    target = SyncTarget(A, desk.broker, clock)
    service = SyncService(desk.book, charge_table(), lambda: [target], events.append, alive)
    rows = raw("trades.json")
    (first,) = await service.run()
    assert (first.step, first.created, first.skipped) == (SyncStep.COMPLETED, len(rows), 0)
    kept = {fill.id.trade_id: fill for fill in await desk.book.fills.all(A)}
    assert {number: told_as(fill) for number, fill in kept.items()} == {
        row["trade_id"]: {
            "order_id": row["order_id"],
            "exchange": row["exchange"],
            "tradingsymbol": row["tradingsymbol"],
            "product": row["product"],
            "average_price": Decimal(row["average_price"]),
            "quantity": row["quantity"],
            "transaction_type": row["transaction_type"],
            "fill_timestamp": ist(row["fill_timestamp"]),
        }
        for row in rows
    }
    for row in rows:
        words = await desk.book.fills.raw(kept[row["trade_id"]].id)
        assert json.loads(words or "", parse_float=Decimal) == row
    held = {str(one.instrument): one.quantity for one in await desk.book.holdings.load(A)}
    assert held == {f"{row['exchange']}:{row['tradingsymbol']}": row["quantity"] for row in raw("holdings.json")}
    (funds,) = [event.funds for event in events if isinstance(event, FundsChanged)]
    assert funds.used == paise(raw("margins.json")["equity"]["utilised"]["debits"])
    (again,) = await service.run()
    assert (again.step, again.created, again.updated, again.skipped) == (SyncStep.COMPLETED, 0, 0, len(rows))


def told_as(fill: Fill) -> dict[str, Any]:
    """In the broker's own fields."""
    exchange, _, symbol = fill.instrument.partition(":")
    return {
        "order_id": fill.broker_order_id,
        "exchange": exchange,
        "tradingsymbol": symbol,
        "product": fill.product,
        "average_price": Decimal(fill.price) / fill.price_scale,
        "quantity": fill.quantity,
        "transaction_type": fill.side,
        "fill_timestamp": fill.filled_at,
    }


async def test_orders_stand_in_the_book_as_they_were_told(desk: Desk) -> None:
    history = await desk.broker.order_history(BrokerOrderId("171229000724687"))
    await desk.book.orders.save(history)
    (kept,) = await desk.book.orders.load(A)  # one order, told eight times: the last word stands
    assert kept == history[-1]
    row = raw("order_info.json")[-1]
    assert (kept.broker_order_id, kept.exchange_order_id) == (row["order_id"], row["exchange_order_id"])
    assert (kept.side, kept.product, kept.kind, kept.validity) == (
        row["transaction_type"], row["product"], row["order_type"], row["validity"],
    )  # fmt: skip
    assert (kept.quantity, kept.filled_quantity, kept.pending_quantity, kept.cancelled_quantity) == (
        row["quantity"], row["filled_quantity"], row["pending_quantity"], row["cancelled_quantity"],
    )  # fmt: skip
    assert (kept.price, kept.trigger_price, kept.average_price) == (paise(row["price"]), None, None)
    assert kept.placed_at == ist(row["order_timestamp"])
    assert [order.placed_at for order in history] == [ist(r["order_timestamp"]) for r in raw("order_info.json")]


async def test_an_order_of_a_postback_stands_in_the_book_with_all_that_is_special(desk: Desk) -> None:
    told: list[Order] = []
    body = json.loads(shared_data("kite", "postback.json").read_bytes(), parse_float=Decimal)
    told.append(order_from_row(body, A))
    leg = {"leg": 1, "legs": 5, "leg_quantity": 200, "total_quantity": 1000, "remaining_quantity": 800}
    special = body | {
        "order_id": "1953341975595868160", "variety": "iceberg", "validity": "TTL", "validity_ttl": 2,
        "parent_order_id": "1953341975595868159", "tags": ["mktp", "mktp:2.00"], "meta": {"iceberg": leg},
        "auction_number": "22", "disclosed_quantity": 20, "cancelled_quantity": 5, "tag": "icebergord",
    }  # fmt: skip
    told.append(order_from_row(special, A))
    await desk.book.orders.save(told)
    await desk.book.orders.save([replace(told[0], broker_order_id=BrokerOrderId(""))])  # the broker never had it
    assert await desk.book.orders.load(A) == sorted(told, key=lambda o: o.broker_order_id)
    assert told[0].placed_at == ist(body["order_timestamp"])
    assert await desk.book.orders.load(A, ist("2022-03-04 00:00:00")) == []


async def test_money_and_client_are_what_was_told(desk: Desk) -> None:
    margins = raw("margins.json")
    for segment in await desk.broker.segment_funds():
        row = margins[segment.segment]
        assert segment.net == row["net"]
        for name, value in row["available"].items():
            assert getattr(segment, name) == value, name
        for name, value in row["utilised"].items():
            assert getattr(segment.used, name) == value, name
    assert (await desk.broker.funds()).used == paise(margins["equity"]["utilised"]["debits"])
    profile, row = await desk.broker.profile(), raw("profile.json")
    assert (profile.user_id, profile.user_name) == (row["user_id"], row["user_name"])
    assert (list(profile.exchanges), list(profile.products)) == (row["exchanges"], row["products"])


async def test_orders_and_triggers_are_known_by_the_numbers_that_were_told(desk: Desk) -> None:
    number = await desk.broker.place(OrderRequest(A, INFY, Side.BUY, 1, Product.CNC, OrderKind.MARKET))
    assert number == raw("order_response.json")["order_id"]
    await desk.broker.modify(number, quantity=2)
    await desk.broker.cancel(number)
    assert await desk.broker.place_gtt(TWO_LEG) == str(raw("gtt_place_order.json")["trigger_id"])
    one = await desk.broker.gtt(GttId("123"))
    told, rows = [one, *await desk.broker.gtts()], [raw("gtt_get_order.json"), *raw("gtt_get_orders.json")]
    for gtt, row in zip(told, rows, strict=True):
        assert (gtt.id, gtt.kind, gtt.status) == (str(row["id"]), row["type"], row["status"])
        assert [leg.trigger for leg in gtt.legs] == [paise(value) for value in row["condition"]["trigger_values"]]
        assert [(leg.side, leg.quantity, leg.product, leg.kind, leg.price) for leg in gtt.legs] == [
            (o["transaction_type"], o["quantity"], o["product"], o["order_type"], paise(o["price"]))
            for o in row["orders"]
        ]
        assert gtt.created_at == ist(row["created_at"])


async def test_the_contract_note_is_what_was_told(desk: Desk) -> None:
    request = OrderRequest(A, INFY, Side.BUY, 1, Product.CNC, OrderKind.MARKET)
    rows = raw("virtual_contract_note.json")
    for note, row in zip(await desk.broker.contract_note([(request, 100)] * len(rows)), rows, strict=True):
        told, charges = row["charges"], note.charges
        assert (note.side, note.quantity, note.price, note.tax) == (
            row["transaction_type"], row["quantity"], row["price"], told["transaction_tax_type"],
        )  # fmt: skip
        assert (charges.brokerage, charges.transaction_tax, charges.exchange_charge, charges.sebi_fee) == (
            told["brokerage"], told["transaction_tax"], told["exchange_turnover_charge"], told["sebi_turnover_charge"],
        )  # fmt: skip
        assert (charges.stamp_duty, charges.gst, note.total) == (
            told["stamp_duty"], told["gst"]["total"], told["total"],
        )  # fmt: skip


async def test_prices_are_what_was_told(desk: Desk) -> None:
    assert (await desk.broker.last_prices([INFY]))[INFY] == paise(raw("ltp.json")[INFY]["last_price"])
    day, row = (await desk.broker.day_prices([INFY]))[INFY], raw("ohlc.json")[INFY]
    assert {name: getattr(day, name) for name in row["ohlc"]} == {k: paise(v) for k, v in row["ohlc"].items()}
    quote, row = (await desk.broker.quotes([INFY]))[INFY], raw("quote.json")[INFY]
    tick = quote.tick
    assert (tick.last_price, tick.average_price) == (paise(row["last_price"]), paise(row["average_price"]))
    for name in ("last_quantity", "buy_quantity", "sell_quantity", "volume"):
        assert getattr(tick, name) == row[name]
    assert (tick.exchange_time, tick.last_trade_time) == (ist(row["timestamp"]), ist(row["last_trade_time"]))
    assert (quote.lower_circuit, quote.upper_circuit) == (
        paise(row["lower_circuit_limit"]), paise(row["upper_circuit_limit"]),
    )  # fmt: skip
    assert tick.depth is not None
    assert [(level.price, level.quantity, level.orders) for level in tick.depth.asks] == [(141295, 5191, 13)]
    assert tick.depth.bids == ()


async def test_candles_and_instruments_are_what_was_told(desk: Desk) -> None:
    lines = shared_data("kite", "instruments_nse.csv").read_text().splitlines()
    listed = await desk.broker.instruments(Exchange.NSE)
    assert [i.id for i in listed] == [f"NSE:{line.split(',')[2]}" for line in lines[1:]]
    instrument = replace(
        listed[0], id=INFY, token=408065, segment=Segment.EQUITY, kind=InstrumentKind.SHARE, price_scale=100
    )
    rows = raw("historical_minute.json")["candles"]
    start, end = (int(datetime.fromisoformat(rows[n][0]).timestamp()) * 10**9 for n in (0, -1))
    candles = await desk.broker.candles(instrument, Interval.MINUTE, start, end)
    assert [(c.start, c.open, c.high, c.low, c.close, c.volume) for c in candles] == [
        (utc(row[0]), *(paise(value) for value in row[1:5]), row[5]) for row in rows
    ]


@pytest.mark.parametrize("name", ["full", "quote"])
def test_packets_are_what_their_decoded_twins_say(name: str) -> None:
    packet = base64.b64decode(shared_data("kite", f"ticker_{name}.packet").read_bytes())
    twin = json.loads(shared_data("kite", f"ticker_{name}.json").read_bytes(), parse_float=Decimal)
    tick = codec.decode(packet, INFY, 1)
    assert tick.last_price == paise(twin["last_price"])
    assert {k: getattr(tick, k) for k in twin["ohlc"]} == {k: paise(v) for k, v in twin["ohlc"].items()}
