"""Prices, order updates and exits of our Upstox adapter at the paper exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from app.brokers.base import ExitReply, Feed, Mark
from app.brokers.exit_line import CONNECTIONS
from app.brokers.upstox.adapter import UpstoxSession
from app.domain.errors import SessionExpired, StreamsFull, Unreachable
from app.domain.gtt import Gtt, GttLeg, GttRequest, GttStatus
from app.domain.ids import InstrumentId, Nanos, Tag
from app.domain.instrument import Product
from app.domain.market import Tick
from app.domain.news import BookNews, HoldingNews, PositionNews
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import Conversion, PositionKey
from tests.contract.upstox.conftest import FACTORY, A, Upstox, upstox_exchange
from tests.fakes.paper_exchange import eventually

T = TypeVar("T")
INFY, NIFTY, SBIN = InstrumentId("NSE:INFY"), InstrumentId("NSE:NIFTY 50"), InstrumentId("NSE:SBIN")


class Ear:
    """Hears one feed."""

    def __init__(self, names: dict[int, InstrumentId]) -> None:
        self.names = names
        self.feed: Feed | None = None
        self.prices: dict[int, list[int]] = {}
        self.ticks: dict[InstrumentId, Tick] = {}
        self.orders: list[Order] = []
        self.news: list[BookNews] = []
        self.connections = 0
        self.ends: list[Exception] = []
        self.faults: list[str] = []
        self.order_streams: list[Exception | None] = []

    def marks(self, marks: Iterable[Mark], readable_ns: int) -> None:
        for token, price, _, _ in marks:
            self.prices.setdefault(token, []).append(price)

    def frame(self, payload: bytes, received_at: Nanos) -> None:
        assert self.feed is not None
        for token, packet in self.feed.packets(payload):
            name = self.names.get(token)
            if name is not None:
                self.ticks[name] = self.feed.decode(packet, name, received_at)
                assert self.ticks[name].last_price == self.prices[token][-1]

    def watched(self, token: int) -> bool:
        return token == 408065

    def order_update(self, order: Order) -> None:
        self.orders.append(order)

    def book_news(self, news: BookNews) -> None:
        self.news.append(news)

    def connected(self) -> None:
        self.connections += 1

    def disconnected(self, cause: Exception) -> None:
        self.ends.append(cause)

    def order_stream(self, cause: Exception | None) -> None:
        self.order_streams.append(cause)

    def malformed(self, reason: str, sample: bytes) -> None:
        self.faults.append(reason)


@asynccontextmanager
async def listening(broker: UpstoxSession, *names: InstrumentId) -> AsyncIterator[Ear]:
    known = {one.id: one.token for one in await broker.instruments()}
    ear = Ear({known[name]: name for name in names})
    feed = ear.feed = broker.feed(ear)
    feed.subscribe([known[name] for name in names])
    feed.set_urgent(True)
    feed.start()
    try:
        yield ear
    finally:
        await feed.stop()
        assert not ear.faults


async def until(found: Callable[[], T]) -> T:
    async def check() -> T:
        return found()

    result: T = await eventually(check)
    return result


async def test_prices_of_shares_and_indices_arrive_and_are_what_the_quotes_say(broker: UpstoxSession) -> None:
    async with listening(broker, INFY, NIFTY) as ear:
        await until(lambda: {INFY, NIFTY} <= ear.ticks.keys())
        assert ear.connections == 1
        share, index = ear.ticks[INFY], ear.ticks[NIFTY]
        assert share.depth is not None
        assert share.depth.bids[0].price < share.depth.asks[0].price
        assert (share.volume is not None, index.volume, index.depth) == (True, None, None)
        quoted = await broker.last_prices([INFY])
        assert await until(lambda: quoted[INFY] in ear.prices[408065] or len(ear.prices[408065]) > 20)


async def test_what_is_no_longer_wanted_falls_silent(broker: UpstoxSession) -> None:
    async with listening(broker, INFY, SBIN) as ear:
        await until(lambda: {INFY, SBIN} <= ear.ticks.keys())
        assert ear.feed is not None
        ear.feed.subscribe([779521])
        await until(lambda: len(ear.prices[779521]) > 5)
        before = len(ear.prices[408065])
        seen = len(ear.prices[779521])
        await until(lambda: len(ear.prices[779521]) > seen + 5)
        assert len(ear.prices[408065]) <= before + 3


async def test_a_dropped_stream_comes_back_by_a_fresh_address(broker: UpstoxSession) -> None:
    async with listening(broker, INFY) as ear:
        await until(lambda: INFY in ear.ticks and ear.connections == 1)
        assert ear.feed is not None
        await ear.feed.reconnect()
        await until(lambda: ear.connections == 2)
        seen = len(ear.prices[408065])
        await until(lambda: len(ear.prices[408065]) > seen)
        assert len(ear.ends) == 1


async def test_orders_of_every_origin_are_told(broker: UpstoxSession) -> None:
    async with listening(broker, INFY) as ear:
        await until(lambda: ear.connections == 1)
        order = await broker.place(
            OrderRequest(A, INFY, Side.BUY, 5, Product.MIS, OrderKind.MARKET, tag=Tag("ABCDEFABCDEF0201"))
        )
        await until(lambda: any(o.broker_order_id == order and o.status is OrderStatus.FILLED for o in ear.orders))
        last = [o for o in ear.orders if o.broker_order_id == order][-1]
        assert (last.instrument, last.tag, last.filled_quantity) == (INFY, "ABCDEFABCDEF0201", 5)


async def test_positions_holdings_and_triggers_are_told_whoever_changed_them(broker: UpstoxSession) -> None:
    async with listening(broker, SBIN) as ear:
        await until(lambda: ear.connections == 1)
        await broker.place(
            OrderRequest(A, SBIN, Side.BUY, 4, Product.MIS, OrderKind.MARKET, tag=Tag("ABCDEFABCDEF0221"))
        )
        mine = PositionKey(A, SBIN, Product.MIS)
        await until(lambda: PositionNews(mine, 4) in ear.news)
        await broker.convert(Conversion(mine, Side.BUY, 4, Product.CNC))
        await until(lambda: PositionNews(mine, 0) in ear.news)
        await until(lambda: PositionNews(PositionKey(A, SBIN, Product.CNC), 4) in ear.news)
        last = (await broker.last_prices([SBIN]))[SBIN]
        leg = GttLeg(last * 90 // 100 // 10 * 10, Side.SELL, 4, Product.CNC, 0, OrderKind.MARKET)
        number = await broker.place_gtt(GttRequest(A, SBIN, last, (leg,)))
        told = await until(lambda: next((n for n in ear.news if isinstance(n, Gtt) and n.id == number), None))
        assert told is not None
        assert (told.instrument, told.status, told.legs[0].trigger) == (SBIN, GttStatus.ACTIVE, leg.trigger)
        await broker.delete_gtt(number)
        await until(lambda: any(isinstance(n, Gtt) and n.status is GttStatus.CANCELLED for n in ear.news))
        assert not ear.faults


async def test_a_holding_that_is_sold_is_told_with_what_is_left() -> None:
    with upstox_exchange("--seed", "7", "--clock", "2026-11-19T10:00:00") as exchange:
        broker = FACTORY.session(await exchange.log_in(), exchange.credentials, exchange.endpoints)
        assert isinstance(broker, UpstoxSession)
        await broker.instruments()
        order = OrderRequest(A, SBIN, Side.BUY, 5, Product.CNC, OrderKind.MARKET, tag=Tag("ABCDEFABCDEF0230"))
        await broker.place(order)
        assert await eventually(broker.fills)
        await broker.close()
        await exchange.control("PUT", "/clock", {"now": "2026-11-20T10:00:00"})
        broker = FACTORY.session(await exchange.log_in(), exchange.credentials, exchange.endpoints)
        assert isinstance(broker, UpstoxSession)
        await broker.instruments()
        (held,) = await broker.holdings()
        async with listening(broker, SBIN) as ear:
            await until(lambda: ear.connections == 1)
            await broker.place(replace(order, side=Side.SELL, quantity=2, tag=Tag("ABCDEFABCDEF0231")))
            told = await until(lambda: next((n for n in ear.news if isinstance(n, HoldingNews)), None))
            assert told is not None
            (now,) = await broker.holdings()
            assert told.tells(now)
            assert (told.used_quantity, told.tells(held)) == (2, False)
        await broker.close()


async def test_order_updates_that_end_alone_are_told_and_prices_go_on(broker: UpstoxSession, exchange: Upstox) -> None:
    async with listening(broker, INFY) as ear:
        await until(lambda: ear.connections == 1 and INFY in ear.ticks)
        await exchange.control("PUT", "/faults", {"faults": ["order-stream-down"]})
        try:
            cause = await until(lambda: ear.order_streams and ear.order_streams[0])
            assert isinstance(cause, Unreachable)
            seen = len(ear.prices[408065])
            await until(lambda: len(ear.prices[408065]) > seen)
            assert ear.feed is not None
            await ear.feed.reconnect()  # prices that come back do not wait for the other socket
            await until(lambda: ear.connections == 2)
        finally:
            await exchange.control("PUT", "/faults", {"faults": []})
        assert await until(lambda: len(ear.order_streams) == 2)
        assert ear.order_streams[1] is None
        assert [type(end) for end in ear.ends] == [Unreachable]
        order = await broker.place(
            OrderRequest(A, INFY, Side.BUY, 5, Product.MIS, OrderKind.MARKET, tag=Tag("ABCDEFABCDEF0211"))
        )
        await until(lambda: any(o.broker_order_id == order for o in ear.orders))


async def test_a_dead_token_ends_the_stream_and_says_so() -> None:
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00") as exchange:
        session = await exchange.log_in()
        broker = FACTORY.session(session, exchange.credentials, exchange.endpoints)
        assert isinstance(broker, UpstoxSession)
        async with listening(broker, INFY) as ear:
            await until(lambda: ear.connections == 1)
            await FACTORY.login(A, exchange.credentials, exchange.endpoints).logout(session)
            assert ear.feed is not None
            await ear.feed.reconnect()
            await until(lambda: any(isinstance(cause, SessionExpired) for cause in ear.ends))
        await broker.close()


async def test_a_prepared_exit_leaves_with_one_write_and_is_found_by_its_tag(
    broker: UpstoxSession, exchange: Upstox
) -> None:
    line = broker.exit_line()
    await line.start()
    replies: asyncio.Queue[ExitReply] = asyncio.Queue()
    try:
        market = OrderRequest(A, INFY, Side.SELL, 3, Product.MIS, OrderKind.MARKET, tag=Tag("ABCDEFABCDEF0301"))
        limit = OrderRequest(A, INFY, Side.SELL, 3, Product.MIS, OrderKind.LIMIT, tag=Tag("ABCDEFABCDEF0302"))
        last = (await broker.last_prices([INFY]))[INFY]
        for request, price in ((market, None), (limit, last * 95 // 100 // 10 * 10)):
            await until(lambda: line.ready)
            assert line.fire(line.prepare(request, 100), replies.put_nowait, price) > 0
            async with asyncio.timeout(5):
                reply = await replies.get()
            assert reply.error is None, reply.error
            assert reply.order is not None
            found = await broker.order_details(reply.order)
            assert (found.tag, found.quantity, found.price) == (request.tag, 3, price)
    finally:
        await line.stop()


async def test_a_refused_exit_says_why_and_the_line_stays_up(broker: UpstoxSession) -> None:
    line = broker.exit_line()
    await line.start()
    replies: asyncio.Queue[ExitReply] = asyncio.Queue()
    try:
        await until(lambda: line.ready == CONNECTIONS)
        request = OrderRequest(A, INFY, Side.SELL, 0, Product.MIS, OrderKind.MARKET, tag=Tag("ABCDEFABCDEF0401"))
        line.fire(line.prepare(request, 100), replies.put_nowait)
        async with asyncio.timeout(5):
            reply = await replies.get()
        assert reply.order is None
        assert "refused" in str(reply.error)
        await until(lambda: line.ready == CONNECTIONS)
    finally:
        await line.stop()


async def test_one_stream_too_many_is_refused_and_is_no_dead_session(broker: UpstoxSession) -> None:
    async with listening(broker, INFY) as one, listening(broker, INFY) as two:
        await until(lambda: one.connections and two.connections)
        async with listening(broker, INFY) as three:
            await until(lambda: three.ends)
            assert isinstance(three.ends[0], StreamsFull)
            assert not three.connections
        await until(lambda: INFY in one.ticks and INFY in two.ticks)


async def test_everything_goes_over_tls() -> None:
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00", "--tls") as exchange:
        assert exchange.line["api_url"].startswith("https://")
        session = FACTORY.session(await exchange.log_in(), exchange.credentials, exchange.endpoints)
        assert isinstance(session, UpstoxSession)
        line = session.exit_line()
        replies: asyncio.Queue[ExitReply] = asyncio.Queue()
        try:
            async with listening(session, INFY) as ear:
                await until(lambda: INFY in ear.ticks and ear.connections == 1)
                await line.start()
                await until(lambda: line.ready)
                request = OrderRequest(
                    A, INFY, Side.SELL, 3, Product.MIS, OrderKind.MARKET, tag=Tag("ABCDEFABCDEF0501")
                )
                line.fire(line.prepare(request, 100), replies.put_nowait)
                async with asyncio.timeout(5):
                    assert (await replies.get()).order is not None
                await until(lambda: any(order.tag == request.tag for order in ear.orders))
        finally:
            await line.stop()
            await session.close()
