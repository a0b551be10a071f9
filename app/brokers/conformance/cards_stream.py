"""Cards 35 to 40: live prices, and exits over warm connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from app.brokers.base import BrokerSession, ExitLine, ExitReply, Feed, Mark
from app.brokers.conformance.door import Fault
from app.brokers.conformance.rig import WITHIN_SECONDS, Rig, card, tagged, until
from app.domain.broker import Support
from app.domain.errors import OutcomeUnknown, Rejected, SessionExpired
from app.domain.ids import Nanos
from app.domain.news import BookNews
from app.domain.order import Order

pytestmark = pytest.mark.asyncio


class Heard:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.prices: list[Mark] = []
        self.frames: list[bytes] = []
        self.orders: list[Order] = []
        self.causes: list[Exception] = []
        self.connections = 0
        self.faults: list[str] = []

    def marks(self, marks: Iterable[Mark], readable_ns: int) -> None:
        """Before the frame."""
        assert readable_ns > 0
        self.prices += marks

    def frame(self, payload: bytes, received_at: Nanos) -> None:
        """After the marks."""
        assert received_at > 0
        self.frames.append(payload)

    def watched(self, token: int) -> bool:
        """No stop is armed here."""
        return token < 0

    def order_update(self, order: Order) -> None:
        """From whatever origin."""
        self.orders.append(order)

    def book_news(self, news: BookNews) -> None:
        """Every broker may tell; no card asks for it."""

    def connected(self) -> None:
        """Up."""
        self.connections += 1

    def disconnected(self, cause: Exception) -> None:
        """Down."""
        self.causes.append(cause)

    def order_stream(self, cause: Exception | None) -> None:
        """No card loses it alone."""
        if cause is not None:
            self.causes.append(cause)

    def malformed(self, reason: str, sample: bytes) -> None:
        """No card sends such a frame."""
        self.faults.append(f"{reason}: {sample[:20].hex()}")


@asynccontextmanager
async def streaming(session: BrokerSession, heard: Heard) -> AsyncIterator[Feed]:
    """A started feed."""
    feed = session.feed(heard)
    feed.start()
    try:
        yield feed
    finally:
        await feed.stop()


@asynccontextmanager
async def warm(session: BrokerSession) -> AsyncIterator[ExitLine]:
    """A line that is ready."""
    line = session.exit_line()
    await line.start()
    try:

        async def ready() -> bool | None:
            return True if line.ready else None

        await until(ready, "a warm connection")
        yield line
    finally:
        await line.stop()


async def fired(rig: Rig, line: ExitLine, tag: str, **changes: object) -> ExitReply:
    """The reply to an exit."""
    reply: asyncio.Future[ExitReply] = asyncio.get_running_loop().create_future()
    prepared = line.prepare(rig.order(tag, **changes))
    assert prepared.request.tag == tag
    assert line.fire(prepared, reply.set_result) > 0
    async with asyncio.timeout(WITHIN_SECONDS):
        return await reply


class TestPrices:
    """Cards 35 to 37."""

    @card(35, "A feed says that it is connected, then gives whole prices of what is subscribed, marks before frames.")
    async def test_prices_arrive_whole(self, rig: Rig) -> None:
        """The price that the bench trades at, to the minor unit."""
        session, heard = await rig.trader(), Heard()
        instrument = await rig.instrument(session, rig.bench.share)
        last = (await session.last_prices([instrument.id]))[instrument.id]
        wanted = last + instrument.tick_size
        async with streaming(session, heard) as feed:

            async def up() -> int | None:
                return heard.connections or None

            await until(up, "the feed connects")
            feed.subscribe([instrument.token])

            async def mark() -> Mark | None:
                await rig.bench.set_price(instrument.id, wanted)
                return next((mark for mark in heard.prices if mark[:2] == (instrument.token, wanted)), None)

            found = await until(mark, f"a mark of {wanted}")
            assert {type(value) for value in found} == {int}
            assert {token for token, *_ in heard.prices} == {instrument.token}
            assert heard.frames
            tick = next(
                feed.decode(packet, instrument.id, 1)
                for frame in reversed(heard.frames)
                for token, packet in feed.packets(frame)
                if token == instrument.token
            )
            assert tick.instrument == instrument.id
            assert type(tick.last_price) is int
        assert heard.faults == []

    @card(36, "Orders of whatever origin are told by the stream, where it is said to tell them.")
    async def test_the_stream_tells_orders(self, rig: Rig) -> None:
        """Without a read."""
        if rig.bench.factory().info.capabilities.order_stream is not Support.YES:
            pytest.skip("it has no order stream")
        session, heard = await rig.trader(), Heard()
        async with streaming(session, heard):

            async def up() -> int | None:
                return heard.connections or None

            await until(up, "the feed connects")
            number = await session.place(rig.order("CARD36"))

            async def told() -> Order | None:
                return next((order for order in heard.orders if order.broker_order_id == number), None)

            assert (await until(told, "the order's update")).account == session.account

    @card(37, "A feed whose session is dead says SessionExpired and does not try for ever.")
    async def test_a_dead_session_ends_the_feed(self, rig: Rig) -> None:
        """Not before a new login."""
        session, heard = await rig.trader(), Heard()
        await rig.bench.expire()
        rig.bench.remembered = None
        async with streaming(session, heard):

            async def dead() -> SessionExpired | None:
                return next((cause for cause in heard.causes if isinstance(cause, SessionExpired)), None)

            await until(dead, "SessionExpired")
        assert heard.connections == 0


class TestExits:
    """Cards 38 to 40."""

    @card(38, "A prepared exit leaves once, over a warm connection, and its tag finds it at the broker.")
    async def test_an_exit_leaves_once(self, rig: Rig) -> None:
        """The reply carries the broker's id."""
        session = await rig.trader()
        async with warm(session) as line:
            reply = await fired(rig, line, "CARD38")
        assert reply.error is None
        assert reply.tag == "CARD38"
        assert 0 < reply.written_ns <= reply.replied_ns
        found = await until(lambda: tagged(session, "CARD38"), "the order of the tag")
        assert found.broker_order_id == reply.order
        assert len(rig.door.sent) == 1

    @card(39, "An exit that was written and not answered is OutcomeUnknown; one that is refused is Rejected.")
    async def test_what_became_of_an_exit_is_told_apart(self, rig: Rig) -> None:
        """Exactly one of order and error is set."""
        session = await rig.trader()
        async with warm(session) as line:
            assert rig.bench.refused is not None, "the bench names no order that is refused"
            reply: asyncio.Future[ExitReply] = asyncio.get_running_loop().create_future()
            assert line.fire(line.prepare(rig.bench.refused), reply.set_result) > 0
            async with asyncio.timeout(WITHIN_SECONDS):
                refused = await reply
            assert refused.order is None
            assert isinstance(refused.error, Rejected)
            rig.check_words(refused.error)
            rig.door.break_answers(Fault.LOST, only_sending=True)
            lost = await fired(rig, line, "CARD39")
            assert lost.order is None
            assert isinstance(lost.error, OutcomeUnknown)
        assert len(rig.door.sent) == 2
        rig.door.break_answers(None)
        await until(lambda: tagged(session, "CARD39"), "the order whose answer was lost")

    @card(40, "A line that is not ready sends nothing and says so with 0.")
    async def test_a_cold_line_sends_nothing(self, rig: Rig) -> None:
        """The caller falls back to place."""
        session = await rig.trader()
        line = session.exit_line()
        replies: list[ExitReply] = []
        assert line.ready == 0
        assert line.fire(line.prepare(rig.order("CARD40")), replies.append) == 0
        assert replies == []
        assert rig.door.sent == []
