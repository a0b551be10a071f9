from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from app.brokers.base import Credentials, Session
from app.brokers.zerodha.adapter import ZerodhaSession
from app.brokers.zerodha.refusals import broker_error
from app.domain.account import Endpoints
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
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Tag
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.market import Interval
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.order_list import PartlyRead
from app.runtime.helper import Helper
from app.runtime.secret import Secret
from tests.fakes.scripted_server import HANG, Script, ScriptedServer, Seen, answer
from tests.unit.brokers.zerodha.test_instruments import HEADER
from tests.unit.brokers.zerodha.test_mapping import ORDER, POSITION, sample, utc

A = AccountId("zerodha-AB1234")
SELL = OrderRequest(A, InstrumentId("NSE:M&M"), Side.SELL, 5, Product.MIS, OrderKind.MARKET, tag=Tag("ABC123x1s1"))


@asynccontextmanager
async def session(script: Script, helper: Helper | None = None) -> AsyncIterator[tuple[ZerodhaSession, ScriptedServer]]:
    async with ScriptedServer(script) as server:
        endpoints = Endpoints(server.url, server.url + "/connect/login", server.url.replace("http", "ws"))
        logged_in = Session(A, "AB1234", "Asha", Secret("tok-1"), 0, 0)
        broker = ZerodhaSession(logged_in, Credentials("key-1", Secret("sec-1")), endpoints, helper)
        try:
            yield broker, server
        finally:
            await broker.close()


def success(data: Any) -> bytes:
    return answer(json.dumps({"status": "success", "data": data}, default=float).encode())


def failure(status: str, kind: str, message: str = "words", extra: str = "") -> bytes:
    body = {"status": "error", "message": message, "error_type": kind}
    return answer(json.dumps(body).encode(), status=status, extra=extra)


def form(seen: Seen) -> dict[str, str]:
    return dict(parse_qsl(seen.body.decode(), keep_blank_values=True))


async def test_every_request_carries_version_and_token() -> None:
    async with session(lambda _: success([])) as (broker, server):
        assert await broker.orders() == []
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("GET", "/orders")
    assert seen.headers["x-kite-version"] == "3"
    assert seen.headers["authorization"] == "token key-1:tok-1"


async def test_an_order_goes_out_as_a_form_with_tag_and_protection() -> None:
    async with session(lambda _: success({"order_id": "1953341975595868160"})) as (broker, server):
        assert await broker.place(SELL) == "1953341975595868160"
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/orders/regular")
    sent = form(seen)
    assert (sent["tradingsymbol"], sent["tag"], sent["market_protection"], sent["validity"]) == (
        "M&M",
        "ABC123x1s1",
        "-1",
        "DAY",
    )


async def test_modify_sends_only_what_changes_to_the_orders_own_variety() -> None:
    def script(seen: Seen) -> bytes:
        if seen.method == "GET":
            return success([ORDER | {"variety": "amo", "order_id": "77"}])
        return success({"order_id": "77"})

    async with session(script) as (broker, server):
        await broker.modify(BrokerOrderId("77"), price=16005)
        await broker.modify(BrokerOrderId("77"), quantity=3, trigger_price=16000)
        await broker.cancel(BrokerOrderId("77"))
    assert [(s.method, s.path) for s in server.seen] == [
        ("GET", "/orders/77"),
        ("PUT", "/orders/amo/77"),
        ("PUT", "/orders/amo/77"),
        ("DELETE", "/orders/amo/77"),
    ]
    assert [form(s) for s in server.seen[1:3]] == [
        {"price": "160.05"},
        {"quantity": "3", "trigger_price": "160"},
    ]


async def test_an_order_that_nobody_knows_is_not_modified() -> None:
    async with session(lambda _: success([])) as (broker, server):
        with pytest.raises(Denied):
            await broker.cancel(BrokerOrderId("77"))
    assert [s.method for s in server.seen] == ["GET"]


REFUSALS: list[tuple[str, str, str, type[BrokerError], type[BrokerError]]] = [
    ("403 Forbidden", "TokenException", "Incorrect `api_key` or `access_token`.", SessionExpired, SessionExpired),
    ("403 Forbidden", "TwoFAException", "", SessionExpired, SessionExpired),
    ("403 Forbidden", "PermissionException", "Insufficient permission for that call.", PlanRefused, PlanRefused),
    (
        "400 Bad Request",
        "InputException",
        "IP (1.2.3.4) is not allowed to place orders",
        AddressRefused,
        AddressRefused,
    ),
    ("403 Forbidden", "UserException", "blocked", NotPermitted, NotPermitted),
    ("429 Too Many Requests", "NetworkException", "Too many requests", RateLimited, RateLimited),
    ("400 Bad Request", "InputException", "Missing `quantity`", Rejected, Rejected),
    ("400 Bad Request", "MarginException", "Insufficient funds.", Rejected, Rejected),
    ("500 Internal Server Error", "OrderException", "refused", Rejected, Rejected),
    (
        "403 Forbidden",
        "PermissionException",
        "IP (1.2.3.4) is not allowed to place orders",
        AddressRefused,
        AddressRefused,
    ),
    ("404 Not Found", "GeneralException", "Route not found", Rejected, Rejected),
    ("503 Service Unavailable", "NetworkException", "OMS unreachable", Unreachable, OutcomeUnknown),
    ("502 Bad Gateway", "DataException", "unreadable", Unreachable, OutcomeUnknown),
    ("500 Internal Server Error", "GeneralException", "oops", Unreachable, OutcomeUnknown),
    ("500 Internal Server Error", "NobodyKnowsException", "oops", Unreachable, OutcomeUnknown),
]


@pytest.mark.parametrize(("status", "kind", "message", "read", "placed"), REFUSALS)
async def test_each_refusal_is_an_error_of_its_own(
    status: str, kind: str, message: str, read: type[BrokerError], placed: type[BrokerError]
) -> None:
    async with session(lambda _: failure(status, kind, message)) as (broker, server):
        with pytest.raises(BrokerError) as reading:
            await broker.orders()
        with pytest.raises(BrokerError) as placing:
            await broker.place(SELL)
    assert (type(reading.value), type(placing.value)) == (read, placed)
    assert reading.value.cause
    assert len(server.seen) == 2  # nothing was tried twice


def test_a_refused_address_is_named_and_is_no_dead_session() -> None:
    message = "IP (2001:db8::7) is not allowed to place orders for this app. Update allowed IPs on the console."
    for kind in ("PermissionException", "InputException"):
        refused = broker_error(403, {"error_type": kind, "message": message})
        assert isinstance(refused, AddressRefused)
        assert not isinstance(refused, SessionExpired)
        assert refused.address == "2001:db8::7"
        assert "developer console" in refused.next_step
    unnamed = broker_error(
        403, {"error_type": "PermissionException", "message": "This IP is not allowed to place orders"}
    )
    assert isinstance(unnamed, AddressRefused)
    assert unnamed.address == ""


async def test_an_error_body_is_an_error_whatever_the_status() -> None:
    async with session(lambda _: failure("200 OK", "TokenException")) as (broker, _):
        with pytest.raises(SessionExpired):
            await broker.positions()


async def test_retry_after_is_taken_where_the_broker_says_it() -> None:
    script: Callable[[Seen], bytes] = lambda _: failure(  # noqa: E731 - a name for one use
        "429 Too Many Requests", "NetworkException", "Too many requests", "Retry-After: 7\r\n"
    )
    async with session(script) as (broker, _):
        with pytest.raises(RateLimited) as caught:
            await broker.funds()
    assert caught.value.retry_after == 7
    silent = broker_error(429, None)
    assert isinstance(silent, RateLimited)
    assert silent.retry_after == 60


@pytest.mark.parametrize(
    ("page", "read"),
    [
        (answer(b"<html>Welcome to the hotel</html>", kind="text/html"), BadAnswer),
        (answer(b"<html>gateway</html>", kind="text/html", status="502 Bad Gateway"), Unreachable),
        (answer(b"", status="302 Found", kind="text/html", extra="Location: http://hotel.example\r\n"), BadAnswer),
        (answer(b"{"), BadAnswer),
        (answer(b"[]"), BadAnswer),
        (answer(b'{"status": "success"}'), BadAnswer),
    ],
)
async def test_what_is_not_the_brokers_word_is_never_taken_for_nothing(page: bytes, read: type[BrokerError]) -> None:
    async with session(lambda _: page) as (broker, _):
        with pytest.raises(read):
            await broker.positions()
        with pytest.raises(OutcomeUnknown):
            await broker.place(SELL)


@pytest.mark.parametrize("data", [{}, {"order_id": None}, {"order_id": ""}, [], "yes"])
async def test_a_yes_without_an_order_number_is_unknown(data: object) -> None:
    async with session(lambda _: success(data)) as (broker, _):
        with pytest.raises(OutcomeUnknown):
            await broker.place(SELL)


async def test_positions_are_the_net_ones() -> None:
    async with session(lambda _: success({"net": [], "day": [{"odd": 1}]})) as (broker, _):
        assert await broker.positions() == []


async def test_a_position_answer_without_net_raises() -> None:
    async with session(lambda _: success({"day": []})) as (broker, _):
        with pytest.raises(BadAnswer):
            await broker.positions()


async def test_last_prices_leave_out_what_the_broker_does_not_know() -> None:
    async with session(lambda _: success({"NSE:INFY": {"instrument_token": 1, "last_price": 1074.35}})) as (broker, s):
        prices = await broker.last_prices([InstrumentId("NSE:INFY"), InstrumentId("NSE:NIFTY 50")])
    assert prices == {"NSE:INFY": 107435}
    assert parse_qs(urlsplit(s.seen[0].path).query)["i"] == ["NSE:INFY", "NSE:NIFTY 50"]


NIFTY = Instrument(
    InstrumentId("NSE:NIFTY 50"), 256265, Exchange.NSE, Segment.INDEX, InstrumentKind.INDEX, "NIFTY 50", 0, 0
)


async def test_a_long_range_of_candles_goes_in_several_requests_without_a_gap() -> None:
    def script(seen: Seen) -> bytes:
        start = parse_qs(urlsplit(seen.path).query)["from"][0].replace(" ", "T")
        return success({"candles": [[start + "+0530", 1.5, 2, 1, 1.75, 9]]})

    start, end = utc("2026-01-01T00:00:00+05:30"), utc("2026-03-15T15:30:00+05:30")
    async with session(script) as (broker, server):
        candles = await broker.candles(NIFTY, Interval.MINUTE, start, end)
    ranges = [parse_qs(urlsplit(s.path).query) for s in server.seen]
    assert [s.path.split("?")[0] for s in server.seen] == ["/instruments/historical/256265/minute"] * 2
    assert [(r["from"][0], r["to"][0]) for r in ranges] == [
        ("2026-01-01 00:00:00", "2026-03-01 23:59:59"),
        ("2026-03-02 00:00:00", "2026-03-15 15:30:00"),
    ]
    assert [c.start for c in candles] == [start, utc("2026-03-02T00:00:00+05:30")]
    assert (candles[0].open, candles[0].close, candles[0].volume) == (150, 175, 9)


async def test_seconds_are_not_asked_for() -> None:
    async with session(lambda _: success({"candles": []})) as (broker, server):
        with pytest.raises(Denied):
            await broker.candles(NIFTY, Interval.SECOND, 0, 1)
    assert server.seen == []


async def test_cost_asks_both_calculators_with_numbers_in_json() -> None:
    charges = {
        "transaction_tax": 0.25,
        "exchange_turnover_charge": 0.0297,
        "sebi_turnover_charge": 0.001,
        "brokerage": 0.3,
        "stamp_duty": 0,
        "gst": {"total": 0.05951},
        "total": 0.64,
    }
    heads = dict.fromkeys(("span", "exposure", "option_premium", "additional", "cash", "var"), 0)
    note = {
        "transaction_type": "SELL", "tradingsymbol": "M&M", "exchange": "NSE", "variety": "regular", "product": "MIS",
        "order_type": "MARKET", "quantity": 5, "price": 1000.05, "charges": charges,
    }  # fmt: skip

    def script(seen: Seen) -> bytes:
        return success([heads | {"total": 200.5, "leverage": 5}] if "margins" in seen.path else [note])

    async with session(script) as (broker, server):
        cost = await broker.cost(SELL, 100005)
    assert (cost.margin, cost.leverage, cost.charges.total) == (20050, Decimal(5), Decimal("0.64"))
    bodies = {s.path: json.loads(s.body)[0] for s in server.seen}
    assert bodies["/charges/orders"]["average_price"] == 1000.05
    assert bodies["/margins/orders"]["quantity"] == 5


async def test_the_instrument_list_is_read_through_gzip_and_a_login_page_is_not_a_list() -> None:
    lines = [HEADER, *(f"{256 * n},{n},SYM{n},NAME,0,,0,0.05,1,EQ,NSE,NSE" for n in range(250))]
    zipped = gzip.compress("\n".join(lines).encode())
    replies = [
        answer(zipped, kind="text/csv", extra="Content-Encoding: gzip\r\n"),
        answer(zipped, kind="text/csv"),
        answer(b"<html>log in</html>", kind="text/html"),
        failure("403 Forbidden", "TokenException"),
        answer(HEADER.encode(), kind="text/csv"),
    ]
    async with session(lambda _: replies.pop(0)) as (broker, server):
        assert [i.symbol for i in await broker.instruments()] == [f"SYM{n}" for n in range(250)]
        assert len(await broker.instruments(Exchange.NSE)) == 250
        for refusal in (BadAnswer, SessionExpired, BadAnswer):
            with pytest.raises(refusal):
                await broker.instruments()
    assert [s.path for s in server.seen[:2]] == ["/instruments", "/instruments/NSE"]


@pytest.mark.expects_log("20 malformed lines in the instrument list, 80 read")
async def test_a_list_that_is_mostly_broken_is_not_taken() -> None:
    good = [f"{256 * n},{n},SYM{n},NAME,0,,0,0.05,1,EQ,NSE,NSE" for n in range(80)]
    body = "\n".join([HEADER, *good, *["1,2,3"] * 20]).encode()
    async with session(lambda _: answer(body, kind="text/csv")) as (broker, _):
        with pytest.raises(BadAnswer, match="broken"):
            await broker.instruments()


async def test_a_paper_account_lives_by_the_exchanges_clock() -> None:
    clock = {"now": "2023-04-03T09:15:00+05:30", "speed": 20, "always_open": True}
    async with session(lambda _: answer(json.dumps(clock).encode())) as (broker, server):
        reading = await broker.exchange_clock()
        assert await broker.exchange_time() == reading.now
    assert (reading.now, reading.speed, reading.always_open) == (utc("2023-04-03T09:15:00+05:30"), 20.0, True)
    assert server.seen[0].path == "/simulator/clock"


async def test_silence_after_a_placement_is_unknown_and_after_a_read_unreachable() -> None:
    async with session(lambda _: HANG) as (broker, _):
        broker._rest._http._deadline = 0.3
        outcomes = await asyncio.gather(broker.place(SELL), broker.orders(), return_exceptions=True)
    assert [type(o) for o in outcomes] == [OutcomeUnknown, Unreachable]


async def test_no_secret_in_what_can_be_printed() -> None:
    async with session(lambda _: None) as (broker, _):
        with pytest.raises(Unreachable) as caught:
            await broker.orders()
        shown = repr(broker) + repr(caught.value) + str(caught.value) + repr(vars(broker)["_session"])
    assert "tok-1" not in shown
    assert "sec-1" not in shown


@pytest.mark.parametrize("many", [1, 100])
async def test_an_order_that_cannot_be_read_keeps_no_other_away(many: int) -> None:
    """Also of a list that the helper process makes."""
    rows = sample("order_info.json") * many
    odd = {**rows[0], "order_id": "77", "product": "XYZ", "tag": None}
    book = [*rows, odd, {**odd, "tag": "GEMWTK25XHQ10000101"}, 5]
    helper = Helper()
    try:
        async with session(lambda _: success(book), helper) as (broker, _):
            with pytest.raises(PartlyRead) as caught:
                await broker.orders()
            assert [order.broker_order_id for order in caught.value.orders] == [row["order_id"] for row in rows]
            by_phone, ours, no_row = caught.value.unread
            assert (by_phone.number, by_phone.tag, by_phone.why) == ("77", "", "product: 'XYZ'")
            assert ours.tag == "GEMWTK25XHQ10000101"
            assert (no_row.number, no_row.tag) == (None, None)
    finally:
        await helper.stop()


async def test_long_books_made_in_the_helper_process_are_the_same() -> None:
    book = {
        "/orders": sample("order_info.json") * 100,
        "/trades": sample("trades.json") * 200,
        "/portfolio/positions": {"net": [POSITION] * 200, "day": []},
        "/portfolio/holdings": sample("holdings.json") * 200,
    }
    helper = Helper()
    try:
        async with (
            session(lambda seen: success(book[seen.path])) as (here, _),
            session(lambda seen: success(book[seen.path]), helper) as (there, _),
        ):
            assert list(await here.orders()) == list(await there.orders())
            assert list(await here.fills()) == list(await there.fills())
            assert list(await here.positions()) == list(await there.positions())
            assert list(await here.holdings()) == list(await there.holdings())
            told = list(await there.reported_fills())
            assert told == list(await here.reported_fills())
            assert len(told) == len(book["/trades"])
            book["/trades"] = [*book["/trades"], book["/trades"][0] | {"product": "XYZ"}]
            with pytest.raises(BadAnswer) as caught:
                await there.fills()
            assert "XYZ" in caught.value.detail
    finally:
        await helper.stop()
