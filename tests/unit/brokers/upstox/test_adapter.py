"""The adapter over a scripted server: what goes out, what is made of answers, and of answers that are none."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from app.brokers.base import Credentials, Session
from app.brokers.parts import HolidayKind
from app.brokers.upstox.adapter import UpstoxSession
from app.brokers.upstox.auth import reading
from app.brokers.upstox.exit_line import UpstoxExitLine
from app.brokers.upstox.factory import UPSTOX, UpstoxFactory
from app.brokers.upstox.hosts import checked_socket, hosts_of, takes_orders
from app.brokers.upstox.keys import Directory
from app.domain.account import Endpoints
from app.domain.coverage import coverage_of
from app.domain.errors import (
    AddressRefused,
    BadAnswer,
    BrokerError,
    Denied,
    NotPermitted,
    OutcomeUnknown,
    PlanRefused,
    RateLimited,
    Rejected,
    SessionExpired,
    Unreachable,
)
from app.domain.gtt import GttKind, GttLeg, GttRequest, GttRole, GttStatus
from app.domain.ids import AccountId, BrokerOrderId, GttId, InstrumentId, Tag
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.market import Interval
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side, Validity, Variety
from app.domain.order_list import PartlyRead
from app.domain.portfolio import Conversion, Position, PositionKey
from app.runtime.clock import IST, from_datetime, to_datetime
from app.runtime.helper import Helper
from app.runtime.secret import Secret
from tests.fakes.scripted_server import Script, ScriptedServer, Seen, answer

A = AccountId("upstox-4CAB12")
NOON = from_datetime(datetime(2026, 11, 25, 12, 0, tzinfo=IST))
DAY = 86_400_000_000_000


def listed(
    name: str, token: int, exchange: Exchange, segment: Segment, kind: InstrumentKind, key: str, lot: int = 1
) -> Instrument:
    scale = 10_000_000 if exchange is Exchange.CDS else 10_000 if exchange is Exchange.NCO else 100
    return Instrument(
        InstrumentId(name), token, exchange, segment, kind, name, 5, lot, scale, key=key,
        expiry=None if kind is InstrumentKind.SHARE else date(2026, 11, 24),
    )  # fmt: skip


SHARE = listed("NSE:RELIANCE", 738561, Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, "NSE_EQ|INE002A01018")
CALL = listed(
    "NFO:NIFTY26NOV24000CE", 43919 << 8 | 2, Exchange.NFO, Segment.OPTIONS, InstrumentKind.CALL, "NSE_FO|43919", 65
)
GOLD = listed(
    "MCX:GOLD26DECFUT", 435823 << 8 | 7, Exchange.MCX, Segment.COMMODITY, InstrumentKind.FUTURE, "MCX_FO|435823"
)
SILVER = listed(
    "NCO:SILVER26DECFUT", 147 << 8 | 12, Exchange.NCO, Segment.COMMODITY, InstrumentKind.FUTURE, "NSE_COM|147"
)
DOLLAR = listed(
    "CDS:USDINR26NOVFUT", 1791 << 8 | 3, Exchange.CDS, Segment.CURRENCY, InstrumentKind.FUTURE, "NCD_FO|1791"
)
ALL = (SHARE, CALL, GOLD, SILVER, DOLLAR)


@asynccontextmanager
async def session(
    script: Script, *, lives: int = DAY // 2, helper: Helper | None = None
) -> AsyncIterator[tuple[UpstoxSession, ScriptedServer]]:
    async with ScriptedServer(script) as server:
        endpoints = Endpoints(server.url, server.url + "/dialog", server.url.replace("http", "ws"))
        directory = Directory()
        directory.learn(ALL)
        logged_in = Session(A, "4CAB12", "Asha", Secret("tok-1"), NOON, NOON + lives)
        broker = UpstoxSession(logged_in, endpoints, directory, helper)
        try:
            yield broker, server
        finally:
            await broker.close()


def success(data: Any, **more: Any) -> bytes:
    return answer(json.dumps({"status": "success", "data": data, **more}).encode())


def failure(status: str, code: str, message: str = "words", extra: str = "") -> bytes:
    error = {"errorCode": code, "message": message, "propertyPath": None, "error_code": code}
    return answer(json.dumps({"status": "error", "errors": [error]}).encode(), status=status, extra=extra)


def body(seen: Seen) -> Any:
    return json.loads(seen.body)


def query(seen: Seen) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(seen.path).query))


def order(instrument: Instrument = SHARE, quantity: int = 5, **changes: Any) -> OrderRequest:
    given: dict[str, Any] = {"kind": OrderKind.MARKET, "product": Product.MIS, **changes}
    return OrderRequest(A, instrument.id, Side.SELL, quantity, **given)


ROW = {
    "exchange": "NSE", "product": "I", "price": 160.05, "quantity": 10, "status": "open", "guid": None, "tag": "T1",
    "instrument_token": "NSE_EQ|INE002A01018", "placed_by": "4CAB12", "tradingsymbol": "RELIANCE-EQ",
    "trading_symbol": "RELIANCE-EQ", "order_type": "LIMIT", "validity": "DAY", "trigger_price": 0.0,
    "disclosed_quantity": 0, "transaction_type": "SELL", "average_price": 0.0, "filled_quantity": 0,
    "pending_quantity": 10, "status_message": None, "exchange_order_id": "1300", "parent_order_id": None,
    "order_id": "250121010502101", "variety": "SIMPLE", "order_timestamp": "2026-11-25 11:59:00",
    "exchange_timestamp": "25-Nov-2026 11:59:01", "is_amo": False,
}  # fmt: skip


async def test_a_paper_exchanges_numbers_never_get_into_the_real_ones() -> None:
    factory = UpstoxFactory()
    factory.learn(ALL, paper=False)
    other = InstrumentId("NFO:NIFTY26NOV25000CE")
    factory.learn([replace(CALL, token=99 << 8 | 2, key="NSE_FO|99"), replace(CALL, id=other)], paper=True)
    keys, logged_in = Credentials("key", Secret("s")), Session(A, "4CAB12", "Asha", Secret("t"), NOON, NOON + DAY)
    named = {**ROW, "exchange": "NFO", "instrument_token": "NSE_FO|43919"}
    local = Endpoints("http://127.0.0.1:9", "http://127.0.0.1:9/dialog", "ws://127.0.0.1:9")
    for endpoints, key, name in ((UPSTOX.endpoints, b"NSE_FO|43919", CALL.id), (local, b"NSE_FO|99", other)):
        broker = cast("UpstoxSession", factory.session(logged_in, keys, endpoints))
        assert key in cast("UpstoxExitLine", broker.exit_line()).bodies(order(CALL))[0]
        assert broker._order(named).instrument == name
        await broker.close()


# -- what goes out -------------------------------------------------------------------------------------------------


async def test_every_request_carries_the_token_and_a_name_of_our_own() -> None:
    async with session(lambda _: success([])) as (broker, server):
        assert await broker.orders() == []
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("GET", "/v2/order/retrieve-all")
    assert seen.headers["authorization"] == "Bearer tok-1"
    assert seen.headers["user-agent"].startswith("Stopline/")


async def test_an_order_goes_out_with_key_tag_and_protection() -> None:
    async with session(lambda _: success({"order_ids": ["1644490272000"]})) as (broker, server):
        assert await broker.place(order(tag=Tag("ABC123x1s1"))) == "1644490272000"
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/v3/order/place")
    assert body(seen) == {
        "quantity": 5, "product": "I", "validity": "DAY", "price": 0, "tag": "ABC123x1s1",
        "instrument_token": "NSE_EQ|INE002A01018", "order_type": "MARKET", "transaction_type": "SELL",
        "disclosed_quantity": 0, "trigger_price": 0, "is_amo": False, "slice": False, "market_protection": -1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("instrument", "quantity", "product", "price", "wire"),
    [
        (SHARE, 7, Product.CNC, 140050, ("NSE_EQ|INE002A01018", 7, "D", 1400.5)),
        (CALL, 130, Product.NRML, 10005, ("NSE_FO|43919", 130, "D", 100.05)),
        (GOLD, 2, Product.NRML, 7_500_000, ("MCX_FO|435823", 2, "D", 75000)),
        (SILVER, 3, Product.MIS, 900_000_000, ("NSE_COM|147", 3, "I", 90000)),
        (DOLLAR, 4, Product.NRML, 832_525_000, ("NCD_FO|1791", 4, "D", 83.2525)),
    ],
    ids=["shares in units", "options in units", "mcx in lots", "nse commodities in lots", "currency"],
)
async def test_each_market_is_named_counted_and_priced_as_upstox_does(
    instrument: Instrument, quantity: int, product: Product, price: int, wire: tuple[str, int, str, float]
) -> None:
    request = order(instrument, quantity, kind=OrderKind.LIMIT, product=product, price=price)
    async with session(lambda _: success({"order_ids": ["1"]})) as (broker, server):
        await broker.place(request)
    sent = body(server.seen[0])
    assert (sent["instrument_token"], sent["quantity"], sent["product"], sent["price"]) == wire
    assert "market_protection" not in sent


async def test_the_older_call_has_no_slices_and_no_protection() -> None:
    async with session(lambda _: success({"order_id": "7"})) as (broker, server):
        assert await broker.place_v2(order()) == "7"
    assert server.seen[0].path == "/v2/order/place"
    assert not {"slice", "market_protection"} & body(server.seen[0]).keys()


async def test_slices_are_told_one_by_one() -> None:
    async with session(lambda _: success({"order_ids": ["1", "2"]})) as (broker, server):
        placement = await broker.place_sliced(order(CALL, 6500, product=Product.NRML))
        assert await broker.place(order(CALL, 6500, product=Product.NRML, autoslice=True)) == "1"
    assert [one.order for one in placement.slices] == ["1", "2"]
    assert [body(seen)["slice"] for seen in server.seen] == [True, True]


async def test_a_change_repeats_what_stays() -> None:
    def script(seen: Seen) -> bytes:
        return success(ROW) if seen.method == "GET" else success({"order_id": "250121010502101"})

    async with session(script) as (broker, server):
        await broker.modify(BrokerOrderId("250121010502101"), quantity=8)
        await broker.modify(BrokerOrderId("250121010502101"), price=16010)
        await broker.cancel(BrokerOrderId("250121010502101"))
    reads = [urlsplit(seen.path).path for seen in server.seen]
    assert reads == [
        "/v2/order/details", "/v3/order/modify", "/v2/order/details", "/v3/order/modify", "/v3/order/cancel",
    ]  # fmt: skip
    common = {"order_id": "250121010502101", "validity": "DAY", "order_type": "LIMIT", "trigger_price": 0}
    assert body(server.seen[1]) == {**common, "price": 160.05, "quantity": 8}
    assert body(server.seen[3]) == {**common, "price": 160.1}
    assert (server.seen[4].method, query(server.seen[4])) == ("DELETE", {"order_id": "250121010502101"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variety": Variety.ICEBERG}, "iceberg"),
        ({"variety": Variety.CO}, "cover orders"),
        ({"validity": Validity.TTL}, "TTL"),
        ({"market_protection": 30}, "25 percent"),
    ],
)
async def test_what_upstox_has_no_words_for_is_denied_unsent(changes: dict[str, Any], words: str) -> None:
    async with session(lambda _: success({})) as (broker, server):
        with pytest.raises(Denied, match=words):
            await broker.place(order(**changes))
    assert not server.seen


async def test_an_unlisted_contract_is_denied_unsent() -> None:
    async with session(lambda _: success({})) as (broker, server):
        request = OrderRequest(A, InstrumentId("NSE:NOBODY"), Side.BUY, 1, Product.CNC, OrderKind.MARKET)
        with pytest.raises(Denied, match="NOBODY"):
            await broker.place(request)
    assert not server.seen


async def test_a_token_that_outlives_the_day_takes_no_orders() -> None:
    async with session(lambda _: success({}), lives=365 * DAY) as (broker, server):
        last = GttRequest(A, SHARE.id, 1, (GttLeg(1, Side.BUY, 1, Product.CNC, 0, OrderKind.MARKET),))
        position = PositionKey(A, SHARE.id, Product.MIS)
        for attempt in (
            broker.place(order()),
            broker.place_v2(order()),
            broker.place_sliced(order()),
            broker.place_basket([order()]),
            broker.modify(BrokerOrderId("1"), price=1),
            broker.cancel(BrokerOrderId("1")),
            broker.place_gtt(last),
            broker.modify_gtt(GttId("1"), last),
            broker.delete_gtt(GttId("1")),
            broker.cancel_many(),
            broker.exit_positions(),
            broker.convert(Conversion(position, Side.BUY, 1, Product.CNC)),
        ):
            with pytest.raises(Denied, match="only reads"):
                await attempt
        with pytest.raises(Denied, match="only reads"):
            broker.exit_line().prepare(order())
    assert not server.seen


def test_only_single_orders_go_to_the_order_host() -> None:
    live = Endpoints(
        "https://api.upstox.com", "https://api.upstox.com/v2/login/authorization/dialog", "wss://api.upstox.com"
    )
    hosts = hosts_of(live)
    assert (hosts.main, hosts.orders) == ("https://api.upstox.com", "https://api-hft.upstox.com")
    for path in ("/v3/order/place", "/v2/order/modify", "/v3/order/cancel"):
        assert takes_orders(path)
    for path in ("/v2/order/multi/place", "/v3/order/gtt/place", "/v2/order/positions/exit", "/v2/order/retrieve-all"):
        assert not takes_orders(path)


@pytest.mark.parametrize(
    ("url", "live", "fine"),
    [
        ("wss://wsfeeder-api.upstox.com/feeds?code=1", True, True),
        ("wss://upstox.com.example.org/feeds", True, False),
        ("ws://wsfeeder-api.upstox.com/feeds", True, False),
        ("ws://127.0.0.1:9/feeds", False, True),
        ("wss://wsfeeder-api.upstox.com/feeds", False, False),
    ],
)
def test_a_stream_address_stays_in_the_account_s_world(url: str, live: bool, fine: bool) -> None:
    root = "https://api.upstox.com" if live else "http://127.0.0.1:1"
    endpoints = Endpoints(root, root, root.replace("http", "ws"))
    if fine:
        assert checked_socket(url, endpoints) == url
    else:
        with pytest.raises(BadAnswer):
            checked_socket(url, endpoints)


# -- what comes back -----------------------------------------------------------------------------------------------


async def test_an_order_row_becomes_an_order() -> None:
    rows = [
        ROW,
        {**ROW, "order_id": "2", "filled_quantity": 4, "pending_quantity": 6, "average_price": 160.05},
        {**ROW, "order_id": "3", "status": "modified", "order_type": "SL", "trigger_price": 161.0},
        {**ROW, "order_id": "4", "status": "cancelled", "pending_quantity": 10},
        {**ROW, "order_id": "5", "status": "after market order req received", "is_amo": True},
        {**ROW, "order_id": "6", "exchange": "NSCOM", "instrument_token": "NSE_COM|147", "product": "D"},
        {**ROW, "order_id": "7", "exchange": "NFO", "instrument_token": "NSE_FO|1", "trading_symbol": "NIFTY 1 PE"},
    ]  # fmt: skip
    async with session(lambda _: success(rows)) as (broker, _):
        one, part, waits, gone, late, silver, unlisted = await broker.orders()
    assert (one.instrument, one.product, one.status, one.price, one.trigger_price, one.tag) == (
        SHARE.id, Product.MIS, OrderStatus.OPEN, 16005, None, "T1",
    )  # fmt: skip
    assert one.placed_at == from_datetime(datetime(2026, 11, 25, 11, 59, tzinfo=IST))
    assert one.updated_at == from_datetime(datetime(2026, 11, 25, 11, 59, 1, tzinfo=IST))
    assert (part.status, part.filled_quantity, part.average_price) == (OrderStatus.PARTIALLY_FILLED, 4, 16005)
    assert waits.status is OrderStatus.TRIGGER_PENDING
    assert (gone.status, gone.pending_quantity) == (OrderStatus.CANCELLED, 0)
    assert (late.status, late.variety) == (OrderStatus.SUBMITTED, "amo")
    assert (silver.instrument, silver.product, silver.price) == (SILVER.id, Product.NRML, 1600500)
    assert unlisted.instrument == "NFO:NIFTY 1 PE"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "levitating"), ("product", "Z"), ("exchange", "MARS"), ("order_type", "GUESS"),
        ("transaction_type", ""), ("order_id", None), ("instrument_token", "MARS_EQ|1"), ("quantity", 1.5),
        ("order_timestamp", "yesterday"),
    ],
)  # fmt: skip
async def test_an_unknown_word_is_a_bad_answer_never_a_default(field: str, value: object) -> None:
    async with session(lambda _: success([{**ROW, field: value}])) as (broker, _):
        with pytest.raises(BadAnswer):
            await broker.orders()


@pytest.mark.parametrize("many", [1, 200])
async def test_an_order_that_cannot_be_read_keeps_no_other_away(many: int) -> None:
    """Also of a list that the helper process makes."""
    odd = [{**ROW, "order_id": "77", "status": "levitating", "tag": None}, {**ROW, "status": "levitating"}, 5]
    rows = [{**ROW, "order_id": f"9{n}"} for n in range(many)]
    helper = Helper()
    try:
        async with session(lambda _: success([*rows, *odd]), helper=helper) as (broker, _):
            with pytest.raises(PartlyRead) as caught:
                await broker.orders()
            assert [order.broker_order_id for order in caught.value.orders] == [row["order_id"] for row in rows]
            by_phone, ours, no_row = caught.value.unread
            assert (by_phone.number, by_phone.tag, by_phone.why) == ("77", "", "status: 'levitating'")
            assert (ours.number, ours.tag) == (ROW["order_id"], "T1")
            assert (no_row.number, no_row.tag) == (None, None)
    finally:
        await helper.stop()


async def test_trades_positions_and_holdings_are_read() -> None:
    trade = {
        **ROW, "trade_id": "9", "quantity": 4, "average_price": 160.05, "exchange_timestamp": "2026-11-25 12:01:02",
        "exchange": "NFO", "instrument_token": "NSE_FO|43919", "product": "D",
    }  # fmt: skip
    position = {
        "exchange": "NSE", "multiplier": 1.0, "value": 0.0, "pnl": 0.0, "product": "D", "average_price": None,
        "instrument_token": "NSE_EQ|INE002A01018", "buy_value": 4000.5, "overnight_quantity": 2,
        "day_buy_value": 1400.5,
        "day_buy_price": 1400.5, "overnight_buy_amount": 0, "overnight_buy_quantity": 2, "day_buy_quantity": 1,
        "day_sell_value": 0, "day_sell_price": "", "overnight_sell_amount": 0, "overnight_sell_quantity": 0,
        "day_sell_quantity": 0, "quantity": 3, "last_price": 1401.0, "sell_value": 0, "trading_symbol": "RELIANCE",
        "close_price": 1398.0, "buy_price": 1400.5, "sell_price": None,
    }  # fmt: skip
    holding = {
        "isin": "INE002A01018", "cnc_used_quantity": 1, "collateral_type": "WC", "quantity": 9, "product": "D",
        "tradingsymbol": "RELIANCE", "last_price": 1401.0, "close_price": 1398.0, "average_price": 1200.123,
        "instrument_token": "NSE_EQ|INE002A01018", "collateral_quantity": 2, "t1_quantity": 3, "exchange": "NSE",
    }  # fmt: skip
    answers = {"trades": [trade], "positions": [position], "holdings": [holding]}

    def script(seen: Seen) -> bytes:
        return success(next(rows for word, rows in answers.items() if word in seen.path))

    async with session(script) as (broker, _):
        ((fill, raw),) = await broker.reported_fills()
        (held,) = await broker.positions()
        (share,) = await broker.holdings()
    assert (fill.instrument, fill.segment, fill.kind, fill.product) == (
        CALL.id, Segment.OPTIONS, InstrumentKind.CALL, Product.NRML,
    )  # fmt: skip
    assert (fill.price, fill.quantity, fill.id.trade_date, fill.id.trade_id) == (16005, 4, "2026-11-25", "9")
    assert json.loads(raw)["trade_id"] == "9"
    assert (held.quantity, held.buy_quantity, held.key.product, held.average_price) == (3, 3, Product.CNC, Decimal(0))
    assert (held.pnl_at(1401_00), held.day_pnl_at(1401_00)) == (Decimal("202.5"), Decimal("6.5"))
    assert (share.quantity, share.t1_quantity, share.used_quantity, share.collateral_quantity) == (6, 3, 1, 2)
    assert share.average_price == Decimal("1200.123")


async def test_a_long_book_is_the_same_whichever_process_makes_it() -> None:
    unlisted = {"exchange": "NFO", "instrument_token": "NSE_FO|1", "trading_symbol": "NIFTY 1 PE"}
    option = {"exchange": "NFO", "instrument_token": "NSE_FO|43919", "trading_symbol": "NIFTY 24000 CE 24 NOV 26"}
    orders = [{**ROW, "order_id": str(n), **(unlisted, option, {})[n % 3]} for n in range(200)]
    trades = [
        {**one, "trade_id": "9", "quantity": 4, "average_price": 160.05, "exchange_timestamp": "2026-11-25 12:01:02"}
        for one in orders
    ]
    held = {"last_price": 161.05, "close_price": 160.0, "average_price": 160.0, "quantity": 3}
    positions = [
        {**one, **held, "day_buy_quantity": 3, "overnight_buy_quantity": 0, "day_sell_quantity": 0,
         "overnight_sell_quantity": 0, "multiplier": 1, "buy_value": 480.0, "sell_value": ""}
        for one in orders
    ]  # fmt: skip
    book: dict[str, Any] = {
        "/v2/order/retrieve-all": orders,
        "/v2/order/trades/get-trades-for-day": trades,
        "/v2/portfolio/short-term-positions": positions,
        "/v2/portfolio/long-term-holdings": [
            {
                **ROW,
                **held,
                "t1_quantity": 0,
                "cnc_used_quantity": 0,
                "collateral_quantity": 0,
                "isin": "INE002A01018",
                "number": n,
            }
            for n in range(200)
        ],
    }
    helper = Helper()
    try:
        async with (
            session(lambda seen: success(book[seen.path])) as (here, _),
            session(lambda seen: success(book[seen.path]), helper=helper) as (there, _),
        ):
            assert list(await here.orders()) == list(await there.orders())
            assert list(await here.positions()) == list(await there.positions())
            assert list(await here.holdings()) == list(await there.holdings())
            assert list(await here.fills()) == list(await there.fills())
            told = list(await there.reported_fills())
            assert told == list(await here.reported_fills())
            assert {fill.instrument for fill, _ in told} == {
                SHARE.id, CALL.id, InstrumentId("NFO:NIFTY 1 PE")
            }  # fmt: skip
            book["/v2/order/trades/get-trades-for-day"] = [*trades, {**trades[0], "product": "XYZ"}]
            with pytest.raises(BadAnswer) as caught:
                await there.fills()
            assert "XYZ" in caught.value.detail
    finally:
        await helper.stop()


async def test_funds_are_one_pool_of_cash_and_pledge() -> None:
    data = {
        "available_to_trade": {
            "total": 95000.5,
            "cash_available_to_trade": {
                "total": 90000, "cash": {"opening_balance": 100000}, "margin_used": {"total": 5000.25},
            },
            "pledge_available_to_trade": {"margin_from_pledge": {"total": 1}, "margin_used": {"total": 100}},
        }
    }  # fmt: skip
    async with session(lambda _: success(data)) as (broker, _):
        funds = await broker.funds()
    assert (funds.available, funds.used, funds.opening_balance) == (9_500_050, 510_025, 10_000_000)


async def test_quotes_are_matched_by_the_inner_key() -> None:
    data = {
        "NSE_EQ:RELIANCE": {"last_price": 1400.5, "instrument_token": "NSE_EQ|INE002A01018"},
        "GLOBAL_INDICATOR:null": {"last_price": 1.0, "instrument_token": "GLOBAL_INDICATOR|X"},
    }
    async with session(lambda _: success(data)) as (broker, server):
        assert await broker.last_prices([SHARE.id, CALL.id]) == {SHARE.id: 140050}
    assert query(server.seen[0]) == {"instrument_key": "NSE_EQ|INE002A01018,NSE_FO|43919"}


async def test_a_whole_quote_is_read_with_times_as_texts_and_empty_places_left_out() -> None:
    nobody = {"quantity": 0, "price": 0.0, "orders": 0}
    row = {
        "instrument_token": "NSE_EQ|INE002A01018", "symbol": "RELIANCE", "last_price": 1400.5, "volume": 123456,
        "average_price": 1399.8, "oi": 0, "net_change": 2.5, "last_trade_time": "1789977601000",
        "ohlc": {"open": 1399.0, "high": 1402.0, "low": 1395.1, "close": 1400.5},
        "timestamp": "2026-09-21T13:30:01.234+05:30", "total_buy_quantity": 1000.0, "total_sell_quantity": 2000.0,
        "lower_circuit_limit": 1258.2, "upper_circuit_limit": 1537.8, "oi_day_high": 0, "oi_day_low": 0,
        "depth": {"buy": [{"quantity": 5, "price": 1400.4, "orders": 1}, nobody], "sell": [nobody]},
    }  # fmt: skip
    async with session(lambda _: success({"NSE_EQ:RELIANCE": row})) as (broker, server):
        quote = (await broker.quotes([SHARE.id]))[SHARE.id]
    assert server.seen[0].path.startswith("/v3/market-quote/quotes?")
    tick = quote.tick
    assert (tick.last_price, tick.close, tick.open, tick.volume) == (140050, 139800, 139900, 123456)
    assert tick.last_trade_time == 1789977601000_000_000
    assert tick.exchange_time == from_datetime(datetime(2026, 9, 21, 13, 30, 1, 234_000, tzinfo=IST))
    assert tick.depth is not None
    assert (len(tick.depth.bids), len(tick.depth.asks), tick.open_interest) == (1, 0, None)
    assert (quote.lower_circuit, quote.upper_circuit) == (125820, 153780)


async def test_candles_are_asked_for_in_pieces_and_turned_round() -> None:
    def script(seen: Seen) -> bytes:
        path = unquote(seen.path)
        if path.startswith("/simulator/clock"):
            now = {"now": "2026-11-25T12:00:00+05:30", "speed": 1, "always_open": False}
            return success(now)
        day = "2026-11-25" if "intraday" in path else path.split("/")[-2]
        bar = [f"{day}T09:15:00+05:30", 10, 11, 9, 10.05, 5, 0]
        return success({"candles": [[f"{day}T09:16:00+05:30", *bar[1:]], bar]})

    start = from_datetime(datetime(2026, 10, 1, 9, 15, tzinfo=IST))
    async with session(script) as (broker, server):
        candles = await broker.candles(SHARE, Interval.MINUTE, start, NOON)
    paths = [unquote(seen.path) for seen in server.seen if "candle" in seen.path]
    head = "/v3/historical-candle/NSE_EQ|INE002A01018/minutes/1"
    assert paths == [
        f"{head}/2026-11-25/2026-10-29", f"{head}/2026-10-28/2026-10-01",
        "/v3/historical-candle/intraday/NSE_EQ|INE002A01018/minutes/1",
    ]  # fmt: skip
    assert [to_datetime(candle.start).strftime("%m-%d %H:%M") for candle in candles] == [
        "10-28 09:15", "10-28 09:16", "11-25 09:15", "11-25 09:16",
    ]  # fmt: skip
    assert (candles[0].close, candles[0].volume) == (1005, 5)
    async with session(script) as (broker, _):
        with pytest.raises(Denied):
            await broker.candles(SHARE, Interval.SECOND, start, NOON)


async def test_what_an_order_costs_is_asked_in_two_calls() -> None:
    def script(seen: Seen) -> bytes:
        if "margin" in seen.path:
            return success({"margins": [], "required_margin": 7002.5, "final_margin": 7000.25})
        charges = {
            "total": 40.2, "brokerage": 20.0, "taxes": {"gst": 3.7, "stt": 7.0, "stamp_duty": 1.05},
            "otherTaxes": {"transaction": 0.21, "clearing": 0, "sebi_turnover": 0.01, "ipft": 0.02},
        }  # fmt: skip
        return success({"charges": charges})

    async with session(script) as (broker, server):
        cost = await broker.cost(order(kind=OrderKind.LIMIT, price=140050), 140100)
    assert cost.margin == 700_025
    assert (cost.charges.brokerage, cost.charges.exchange_charge) == (Decimal("20.00"), Decimal("0.23"))
    margin, brokerage = sorted(server.seen, key=lambda seen: seen.method, reverse=True)
    assert body(margin)["instruments"][0]["price"] == 1400.5
    assert query(brokerage)["price"] == "1401"


# -- several at once, resting, converting --------------------------------------------------------------------------


async def test_a_basket_tells_each_line_apart_also_when_some_were_refused() -> None:
    document = {
        "status": "partial_success",
        "data": [{"correlation_id": "1", "order_id": "11"}, {"correlation_id": "3_1", "order_id": "31"}],
        "errors": [
            {"correlation_id": "2", "error_code": "UDAPI1052", "message": "The quantity cannot be zero"},
            {"correlation_id": "4", "error_code": "UDAPI1154", "message": "static IP"},
        ],
        "summary": {"total": 5, "payload_error": 0, "success": 2, "error": 2},
    }
    reply = answer(json.dumps(document).encode(), status="207 Multi-Status")
    async with session(lambda _: reply) as (broker, server):
        one, two, three, four, five = await broker.place_basket([order()] * 5)
    assert server.seen[0].path == "/v2/order/multi/place"
    assert [line["correlation_id"] for line in body(server.seen[0])] == ["1", "2", "3", "4", "5"]
    assert (one.order, three.order) == ("11", "31")
    assert isinstance(two.error, Rejected)
    assert "zero" in str(two.error)
    assert isinstance(four.error, AddressRefused)
    assert isinstance(five.error, OutcomeUnknown)


async def test_a_basket_that_was_refused_as_a_whole_raises() -> None:
    async with session(lambda _: failure("401 Unauthorized", "UDAPI100050")) as (broker, _):
        with pytest.raises(SessionExpired):
            await broker.place_basket([order()])
        with pytest.raises(Denied, match="1 to 10"):
            await broker.place_basket([order()] * 11)


async def test_a_gtt_is_one_trigger_at_market() -> None:
    leg = GttLeg(130000, Side.SELL, 5, Product.CNC, 0, OrderKind.MARKET)
    request = GttRequest(A, SHARE.id, 140000, (leg,))
    async with session(lambda _: success({"gtt_order_ids": ["GTT-1"]})) as (broker, server):
        assert await broker.place_gtt(request) == "GTT-1"
        await broker.modify_gtt(GttId("GTT-1"), request)
        await broker.delete_gtt(GttId("GTT-1"))
        with pytest.raises(Denied, match="pair"):
            await broker.place_gtt(GttRequest(A, SHARE.id, 140000, (leg, leg)))
    placed, changed, ended = server.seen
    assert body(placed)["rules"] == [
        {"strategy": "ENTRY", "trigger_type": "BELOW", "trigger_price": 1300, "market_protection": -1}
    ]
    assert body(placed)["transaction_type"] == "SELL"
    assert body(changed).keys() == {"type", "quantity", "rules", "gtt_order_id"}
    assert (ended.method, ended.path, body(ended)) == ("DELETE", "/v3/order/gtt/cancel", {"gtt_order_id": "GTT-1"})


async def test_an_entry_with_exits_goes_out_as_rules_and_comes_back_the_same() -> None:
    entry = GttLeg(141000, Side.BUY, 5, Product.CNC, 0, OrderKind.MARKET, GttRole.ENTRY)
    target = replace(entry, trigger=150000, side=Side.SELL, role=GttRole.TARGET)
    stop = replace(target, trigger=135000, role=GttRole.STOP, gap=2000)
    request = GttRequest(A, SHARE.id, 140000, (entry, target, stop))
    rules: list[dict[str, Any]] = []

    def answer(seen: Any) -> bytes:
        if seen.method != "GET":
            rules[:] = body(seen)["rules"]
            return success({"gtt_order_ids": ["GTT-1"]})
        sides = ("BUY", "SELL", "SELL")
        told = [{"transaction_type": s, "status": "PENDING", **r} for r, s in zip(rules, sides, strict=False)]
        row = {
            "type": "MULTIPLE", "quantity": 5, "product": "D", "trading_symbol": "RELIANCE", "rules": told[::-1],
            "instrument_token": "NSE_EQ|INE002A01018", "gtt_order_id": "GTT-1", "created_at": 1763000000000000,
        }  # fmt: skip
        return success([row])

    async with session(answer) as (broker, _):
        await broker.place_gtt(request)
        assert [(r["strategy"], r["trigger_type"], r.get("trailing_gap")) for r in rules] == [
            ("ENTRY", "ABOVE", None), ("TARGET", "IMMEDIATE", None), ("STOPLOSS", "IMMEDIATE", 20),
        ]  # fmt: skip
        found = await broker.gtt(GttId("GTT-1"))
        assert (found.kind, found.legs) == (GttKind.BRACKET, request.legs)
        at_once = replace(request, legs=(replace(entry, at_once=True), stop))
        await broker.modify_gtt(GttId("GTT-1"), at_once)
        assert [(r["strategy"], r["trigger_type"]) for r in rules] == [
            ("ENTRY", "IMMEDIATE"),
            ("STOPLOSS", "IMMEDIATE"),
        ]
        with pytest.raises(Denied, match="at market"):
            await broker.place_gtt(replace(request, legs=(replace(entry, kind=OrderKind.LIMIT, price=1), stop)))
        for name, value in (("strategy", "EXIT"), ("trigger_type", "SOON"), ("transaction_type", "HOLD")):
            right, rules[0] = rules[0], {**rules[0], name: value}
            with pytest.raises(BadAnswer):
                await broker.gtts()
            rules[0] = right


@pytest.mark.parametrize(("side", "when", "stops"), [
    ("SELL", "BELOW", True), ("SELL", "ABOVE", False), ("BUY", "ABOVE", True), ("BUY", "BELOW", False),
    ("SELL", "IMMEDIATE", False), ("BUY", "IMMEDIATE", False),
])  # fmt: skip
async def test_which_side_a_trigger_waits_on_is_told_by_a_price_on_that_side(side: str, when: str, stops: bool) -> None:
    rule = {
        "strategy": "ENTRY", "status": "PENDING", "message": "", "trigger_type": when, "trigger_price": 1300.0,
        "transaction_type": side, "order_id": None, "trailing_gap": None,
    }  # fmt: skip
    row = {
        "type": "SINGLE", "exchange": "NSE_EQ", "quantity": 5, "product": "D", "rules": [rule],
        "trading_symbol": "RELIANCE", "instrument_token": "NSE_EQ|INE002A01018", "gtt_order_id": "GTT-1",
        "expires_at": 1795000000000000, "created_at": 1763000000000000,
    }  # fmt: skip
    async with session(lambda _: success([row])) as (broker, _):
        (gtt,) = await broker.gtts()
    held = Position(
        PositionKey(A, SHARE.id, Product.CNC), 5 if side == "SELL" else -5, Decimal(1400), 140000, 140000, 0,
        Decimal(0), 0, Decimal(0),
    )  # fmt: skip
    (covered,) = coverage_of([held], (), live=True, backed={}, gtts=[gtt])
    assert covered.protected == (5 if stops else 0)


async def test_gtts_are_read_with_what_became_of_their_rules() -> None:
    rule = {"strategy": "ENTRY", "trigger_type": "BELOW", "trigger_price": 1300, "transaction_type": "BUY"}
    row = {
        "type": "MULTIPLE", "exchange": "NSE_EQ", "quantity": 5, "product": "D", "trading_symbol": "RELIANCE",
        "instrument_token": "NSE_EQ|INE002A01018", "gtt_order_id": "GTT-1", "expires_at": 1795000000000000,
        "created_at": 1763000000000000,
        "rules": [
            {**rule, "status": "COMPLETED", "order_id": "77", "message": ""},
            {**rule, "strategy": "STOPLOSS", "transaction_type": "SELL", "status": "FAILED", "message": "no funds"},
        ],
    }  # fmt: skip
    async with session(lambda _: success([row])) as (broker, _):
        (gtt,) = await broker.gtts()
    assert (gtt.status, gtt.failed, gtt.refusal) == (GttStatus.TRIGGERED, True, "no funds")
    assert gtt.created_at == 1763000000000000_000
    assert [leg.side for leg in gtt.legs] == [Side.BUY, Side.SELL]
    async with session(lambda _: success([])) as (broker, _):
        with pytest.raises(Rejected):
            await broker.gtt(GttId("GTT-1"))


async def test_a_conversion_names_both_products() -> None:
    conversion = Conversion(PositionKey(A, SHARE.id, Product.MIS), Side.BUY, 5, Product.CNC)
    async with session(lambda _: success({"status": "complete"})) as (broker, server):
        await broker.convert(conversion)
    assert (server.seen[0].method, body(server.seen[0])["old_product"], body(server.seen[0])["new_product"]) == (
        "PUT", "I", "D",
    )  # fmt: skip


# -- history, reports, calendar ------------------------------------------------------------------------------------

PAST = {
    "exchange": "NSE", "segment": "EQ", "option_type": "", "quantity": 3, "amount": 4201.5, "trade_id": "5001",
    "trade_date": "2026-11-20", "transaction_type": "BUY", "scrip_name": "RELIANCE", "strike_price": "0.0",
    "expiry": "", "price": 1400.5, "isin": "INE002A01018", "symbol": "RELIANCE",
    "instrument_token": "NSE_EQ|INE002A01018",
}  # fmt: skip
WEEKLY = {
    **PAST, "segment": "FO", "option_type": "PE", "trade_id": "5002", "symbol": "NIFTY", "scrip_name": "NIFTY",
    "strike_price": "23500.0", "expiry": "2026-11-10", "instrument_token": "NSE_FO|43919", "transaction_type": "SELL",
}  # fmt: skip


def paged(rows: list[Any], number: int, pages: int, total: int, name: str = "meta_data") -> bytes:
    page = {"page_number": number, "page_size": 1000, "total_records": total, "total_pages": pages}
    return success(rows, **{name: {"page": page}})


async def test_past_trades_say_what_they_do_not_know() -> None:
    fund = {**PAST, "segment": "MF", "exchange": "", "instrument_token": ""}
    first, second = date(2026, 11, 1), date(2026, 11, 24)
    pages = {"1": paged([PAST, fund], 1, 2, 3), "2": paged([WEEKLY], 2, 2, 3, "metaData")}
    async with session(lambda seen: pages[query(seen)["page_number"]]) as (broker, _):
        one = await broker.fills_between(first, second)
        two = await broker.fills_between(first, second, 2)
    (share,) = one.fills
    assert (one.pages, one.total, two.total) == (2, None, 2)
    assert (share.order_known, share.time_known, share.product_known) == (False, False, False)
    assert (share.fill.instrument, share.fill.price, share.fill.id.trade_date) == (SHARE.id, 140050, "2026-11-20")
    assert share.fill.broker_order_id == ""
    # The number of the call that was listed is another contract's today: its expiry tells.
    (option,) = two.fills
    assert (option.fill.instrument, option.fill.kind) == ("NFO:NIFTY26N1023500PE", InstrumentKind.PUT)
    assert option.fill.side is Side.SELL


async def test_a_long_page_of_trades_is_read_whole_and_a_long_error_is_none() -> None:
    rows = [{**PAST, "trade_id": str(number)} for number in range(400)]
    long_error = b'{"status": "error", "errors": [{"message": "%s"}], "data": [], "meta_data": {}}' % (b"x" * 70_000)
    days = date(2026, 11, 1), date(2026, 11, 24)
    async with session(lambda _: paged(rows, 1, 1, 400)) as (broker, _):
        page = await broker.fills_between(*days)
        assert [past.fill.id.trade_id for past in page.fills] == [row["trade_id"] for row in rows]
        assert (page.pages, page.total) == (1, 400)
    for broken in (answer(long_error), answer(long_error.replace(b'"data"', b'"date"'))):
        async with session(lambda _, broken=broken: broken) as (broker, _):  # type: ignore[misc]
            with pytest.raises(BadAnswer):
                await broker.fills_between(*days)


async def test_a_page_of_trades_that_repeats_is_noticed() -> None:
    async with session(lambda seen: paged([PAST], int(query(seen)["page_number"]), 3, 3)) as (broker, _):
        await broker.fills_between(date(2026, 11, 1), date(2026, 11, 24))
        with pytest.raises(BadAnswer, match="twice"):
            await broker.fills_between(date(2026, 11, 1), date(2026, 11, 24), 2)
        await broker.fills_between(date(2026, 11, 1), date(2026, 11, 24))  # a new start is not a repetition
    async with session(lambda _: paged([PAST], 1, 3, 3)) as (broker, _):
        with pytest.raises(BadAnswer, match="another page"):
            await broker.fills_between(date(2026, 11, 1), date(2026, 11, 24), 2)


async def test_a_range_outside_the_history_is_denied_unsent() -> None:
    async with session(lambda _: success([])) as (broker, server):
        with pytest.raises(Denied):
            await broker.fills_between(date(2026, 11, 2), date(2026, 11, 1))
        with pytest.raises(Denied, match="since"):
            await broker.fills_between(date(2020, 1, 1), date(2026, 11, 1))
    assert not server.seen


async def test_the_report_of_a_financial_year_is_paged_by_its_count() -> None:
    row = {
        "quantity": 10.0, "isin": "INE002A01018", "scrip_name": "RELIANCE", "trade_type": "EQ",
        "buy_date": "01-04-2026",
        "buy_average": 100.5, "sell_date": "24-11-2026", "sell_average": 110, "buy_amount": 1005, "sell_amount": 1100,
    }  # fmt: skip
    charges = {
        "charges_breakdown": {
            "total": 50, "brokerage": 20, "taxes": {"gst": 4, "stt": 10, "stamp_duty": 1},
            "charges": {
                "transaction": 2, "clearing": 0.5, "others": 0.25, "sebi_turnover": 0.1, "demat_transaction": 13.5,
            },
        }
    }  # fmt: skip

    def script(seen: Seen) -> bytes:
        if "metadata" in seen.path:
            return success({"trades_count": 5001, "page_size_limit": 5000})
        return success(charges) if "charges" in seen.path else success([row])

    async with session(script) as (broker, server):
        page = await broker.realised(Segment.OPTIONS, 2026, date(2026, 4, 1), page=2)
        heads = await broker.realised_charges(Segment.EQUITY, 2026)
        assert (await broker.realised(Segment.EQUITY, 2026, page=3)).rows == ()
        with pytest.raises(Denied):
            await broker.realised(Segment.INDEX, 2026)
    assert (page.pages, page.rows[0].bought_on, page.rows[0].sell_amount) == (2, date(2026, 4, 1), Decimal(1100))
    assert query(server.seen[1]) == {
        "segment": "FO", "financial_year": "2627", "from_date": "01-04-2026", "page_number": "2", "page_size": "5000",
    }  # fmt: skip
    assert (heads.total, heads.other) == (Decimal("51.35"), Decimal("14.25"))


async def test_the_calendar_and_the_registered_addresses() -> None:
    holiday = {
        "date": "2026-11-08", "description": "Diwali", "holiday_type": "SPECIAL_TIMING", "closed_exchanges": ["MCX"],
        "open_exchanges": [{"exchange": "NSE", "start_time": 1794131100000, "end_time": 1794134700000}],
    }  # fmt: skip

    def script(seen: Seen) -> bytes:
        if "holidays" in seen.path:
            return success([holiday])
        if "timings" in seen.path:
            return success([])
        return success({"primary_ip": "203.0.113.7", "secondary_ip": None})

    async with session(script) as (broker, _):
        (day,) = await broker.market_days()
        assert await broker.session_timings(date(2026, 11, 26)) == []
        assert await broker.registered_addresses() == ["203.0.113.7"]
    assert (day.on, day.kind, day.closed) == (date(2026, 11, 8), HolidayKind.SPECIAL_TIMING, ("MCX",))
    assert day.open[0].end - day.open[0].start == 3_600_000_000_000


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (failure("401 Unauthorized", "UDAPI100050"), SessionExpired),
        (failure("403 Forbidden", "UDAPI1154"), AddressRefused),
        (failure("403 Forbidden", "UDAPI100067"), NotPermitted),
        (failure("403 Forbidden", "UDAPI1149"), PlanRefused),
        (failure("429 Too Many Requests", "UDAPI10005"), RateLimited),
        (failure("400 Bad Request", "UDAPI1161"), Rejected),
        (failure("423 Locked", "UDAPI100074"), Rejected),
        (failure("500 Internal Server Error", "UDAPI100500"), OutcomeUnknown),
        (answer(b"<html>error code: 1010</html>", status="403 Forbidden", kind="text/html"), OutcomeUnknown),
        (answer(b"{", status="200 OK"), OutcomeUnknown),
        (success({"order_ids": []}), OutcomeUnknown),
        (success({}), OutcomeUnknown),
        (answer(b"null"), OutcomeUnknown),
        (None, OutcomeUnknown),
    ],
)
async def test_what_becomes_of_a_placement(reply: bytes | None, expected: type[BrokerError]) -> None:
    async with session(lambda _: reply) as (broker, server):
        with pytest.raises(expected) as caught:
            await broker.place(order())
    assert type(caught.value) is expected
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (failure("423 Locked", "UDAPI100072"), Unreachable),
        (failure("500 Internal Server Error", "UDAPI100500"), Unreachable),
        (answer(b"<html>error code: 1010</html>", status="403 Forbidden", kind="text/html"), BadAnswer),
        (answer(b"<html>", status="502 Bad Gateway", kind="text/html"), Unreachable),
        (answer(b"[]"), BadAnswer),
        (success({"available_to_trade": {}}), BadAnswer),
        (None, Unreachable),
    ],
)
async def test_what_becomes_of_a_read(reply: bytes | None, expected: type[BrokerError]) -> None:
    async with session(lambda _: reply) as (broker, _):
        with pytest.raises(expected):
            await broker.funds()


async def test_a_rate_limit_says_how_long() -> None:
    reply = failure("429 Too Many Requests", "UDAPI10005", extra="Retry-After: 7\r\n")
    async with session(lambda _: reply) as (broker, _):
        with pytest.raises(RateLimited) as caught:
            await broker.profile()
    assert caught.value.retry_after == 7


# -- tokens --------------------------------------------------------------------------------------------------------


def jwt(end: int) -> str:
    middle = base64.urlsafe_b64encode(json.dumps({"sub": "4CAB12", "exp": end // 1_000_000_000}).encode())
    return f"eyJ0.{middle.decode().rstrip('=')}.c2ln"


def test_an_extended_token_gives_a_session_that_only_reads() -> None:
    day = Session(A, "4CAB12", "Asha", Secret("t"), NOON, NOON + DAY // 2)
    assert reading(day) is None
    whole = Session(
        A, "4CAB12", "Asha", Secret("t"), NOON, NOON + DAY // 2,
        read_token=Secret(jwt(NOON + 365 * DAY)), read_token_expires_at=NOON + 365 * DAY,
    )  # fmt: skip
    long = reading(whole)
    assert long is not None
    assert (long.scopes, long.expires_at, long.access_token) == (("read",), NOON + 365 * DAY, whole.read_token)
