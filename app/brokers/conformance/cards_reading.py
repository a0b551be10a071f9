"""Cards 12 to 23: what a broker tells, and what is never made of an answer that is none."""

from __future__ import annotations

import asyncio
import json

import pytest

from app.brokers.base import CandleSource, InstrumentSource, QuoteSource, ReadSession, TradeBroker
from app.brokers.conformance.door import Fault, Replaced
from app.brokers.conformance.rig import BROKEN_READ, HOUR, Rig, card, raised, until
from app.domain.errors import BadAnswer, Denied, NotPermitted, OutcomeUnknown, RateLimited, SessionExpired, Unreachable
from app.domain.fill import Fill
from app.domain.market import Interval
from app.domain.order import Order

pytestmark = pytest.mark.asyncio

NOT_AN_ANSWER = [fault for fault in Fault if fault not in (Fault.SILENT, Fault.BOMB, Fault.LOST)]
SILENCE_SECONDS = 30.0


def check_order(order: Order, session: ReadSession) -> None:
    """Types and units of an order."""
    assert order.account == session.account
    assert type(order.broker_order_id) is str
    assert order.broker_order_id
    assert ":" in order.instrument
    for quantity in (order.quantity, order.filled_quantity, order.pending_quantity):
        assert type(quantity) is int
        assert quantity >= 0
    for price in (order.price, order.trigger_price, order.average_price):
        assert price is None or type(price) is int


def check_fill(fill: Fill, session: ReadSession) -> None:
    """Types, units and identity of a fill."""
    assert fill.account == fill.id.account == session.account
    assert type(fill.quantity) is int
    assert fill.quantity > 0
    assert type(fill.price) is int
    assert fill.price > 0
    assert type(fill.filled_at) is int
    assert fill.filled_at > 10**18
    assert fill.id.broker_order_id == fill.broker_order_id
    assert fill.id.side == fill.side
    assert len(fill.id.trade_date) == len("2026-11-20")
    assert fill.id.exchange == fill.instrument.partition(":")[0]
    assert type(fill.id.trade_id) is str


class TestWhatItTells:
    """Cards 12 to 15."""

    @card(12, "Orders and fills: prices are integers in minor units, quantities are units, ids are strings.")
    async def test_orders_and_fills_are_normalised(self, rig: Rig) -> None:
        """Each with the account that it belongs to."""
        session = await rig.session()
        orders, fills = await session.orders(), await session.fills()
        assert orders
        assert fills
        for order in orders:
            check_order(order, session)
        for fill in fills:
            check_fill(fill, session)
        history = await session.order_history(orders[0].broker_order_id)
        assert history[-1].broker_order_id == orders[0].broker_order_id
        for order in history:
            check_order(order, session)

    @card(13, "The same fill has the same identity however often it is read, and two fills never share one (C2).")
    async def test_a_fill_keeps_its_identity(self, rig: Rig) -> None:
        """By another adapter too; with the broker's own words beside it."""
        session, other = await rig.session(), await rig.session()
        fills = list(await session.fills())
        assert len({fill.id for fill in fills}) == len(fills)
        assert {fill.id for fill in await other.fills()} == {fill.id for fill in fills}
        reported = list(await session.reported_fills())
        assert {fill.id: fill for fill, _ in reported} == {fill.id: fill for fill in fills}
        for fill, words in reported:
            assert fill.id.trade_id in words
            assert isinstance(json.loads(words), dict)

    @card(14, "Positions, holdings, funds and the clock: whole units, signed positions, whole paise, nanoseconds.")
    async def test_positions_holdings_and_funds_are_normalised(self, rig: Rig) -> None:
        """Averages may be fractions; nothing else may."""
        session = await rig.session()
        for position in await session.positions():
            assert position.key.account == session.account
            assert type(position.quantity) is int
            assert type(position.last_price) is type(position.close_price) is int
        holdings = await session.holdings()
        assert holdings
        for holding in holdings:
            assert holding.account == session.account
            assert type(holding.quantity) is type(holding.t1_quantity) is int
            assert len(holding.isin) == len("INE009A01021")
            assert type(holding.last_price) is int
        funds = await session.funds()
        assert funds.account == session.account
        assert type(funds.available) is type(funds.used) is int
        now, reading = await session.exchange_time(), await session.exchange_clock()
        assert abs(reading.now - now) < HOUR
        assert reading.speed > 0

    @card(15, "Instruments, prices and candles: ids name the instrument, unknown ones are missing, candles ascend.")
    async def test_market_data_is_normalised(self, rig: Rig) -> None:
        """As far as the provider has them."""
        session = await rig.session()
        if isinstance(session, InstrumentSource):
            listed = await session.instruments()
            assert len({known.id for known in listed}) == len(listed) > 0
            for known in listed:
                assert known.id.partition(":")[0] == known.exchange
                assert type(known.tick_size) is type(known.lot_size) is type(known.token) is int
                assert known.lot_size >= 1
        if isinstance(session, QuoteSource) and (share := rig.bench.share):
            unknown = type(share)(f"{share.partition(':')[0]}:NOSUCHTHING")
            prices = await session.last_prices([share, unknown])
            assert set(prices) == {share}
            assert type(prices[share]) is int
            assert await session.last_prices([]) == {}
        if isinstance(session, CandleSource) and rig.bench.share:
            instrument = await rig.instrument(session, rig.bench.share)
            now = await session.exchange_time()
            candles = await session.candles(instrument, Interval.MINUTE, now - HOUR, now)
            starts = [candle.start for candle in candles]
            assert starts == sorted(set(starts))
            for candle in candles:
                assert candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
                assert {type(value) for value in (candle.open, candle.high, candle.volume)} == {int}


class TestWhatIsNoAnswer:
    """Cards 16 to 23."""

    @pytest.mark.parametrize("fault", NOT_AN_ANSWER, ids=[fault.name.lower() for fault in NOT_AN_ANSWER])
    @card(16, "A failed read raises Unreachable or BadAnswer; it never returns, and never calls a session dead.")
    async def test_a_failed_read_raises(self, rig: Rig, fault: Fault) -> None:
        """Every read, with every answer that is none."""
        session = await rig.session()
        reads = await rig.reads(session)
        rig.door.break_answers(fault)
        for name, read in reads.items():
            failure = await raised(read)
            assert isinstance(failure, BROKEN_READ), f"{name} with {fault}: {failure!r}"
            assert "canary" not in str(failure) or len(failure.detail) <= 300
            rig.check_words(failure)
        rig.door.break_answers(None)
        await session.orders()  # and the adapter goes on

    @card(17, "Everything has a deadline: silence is Unreachable of a read, OutcomeUnknown of a placement.")
    async def test_silence_has_an_end(self, rig: Rig) -> None:
        """All at once, so that the card takes one deadline."""
        session = await rig.session()
        reads = {name: read for name, read in (await rig.reads(session)).items() if name not in DOWNLOADS}
        rig.door.break_answers(Fault.SILENT)
        calls = dict(reads)
        if isinstance(session, TradeBroker):
            trader, order = session, rig.order("CARD17")
            calls["place"] = lambda: trader.place(order)
        async with asyncio.timeout(SILENCE_SECONDS):
            failures = await asyncio.gather(*(raised(call) for call in calls.values()))
        for name, failure in zip(calls, failures, strict=True):
            expected = OutcomeUnknown if name == "place" else Unreachable
            assert isinstance(failure, expected), f"{name}: {failure!r}"
        if "place" in calls:
            assert len(rig.door.sent) == 1

    @card(18, "A read has a size cap: a small answer that unpacks to 100 MB is BadAnswer.")
    async def test_an_oversized_answer_is_not_read(self, rig: Rig) -> None:
        """The bomb goes to one read; they share their client."""
        session = await rig.session()
        rig.door.break_answers(Fault.BOMB)
        assert isinstance(await raised(session.orders), BadAnswer)

    @card(19, "An enum value that the adapter does not know is BadAnswer, never a default.")
    async def test_unknown_words_are_bad_answers(self, rig: Rig) -> None:
        """Every closed list that the bench names, one at a time."""
        session = await rig.session()
        reads = await rig.reads(session)
        assert rig.bench.words
        for name, keys in rig.bench.words.items():
            for key in keys:
                change = Replaced([key], "NO-SUCH-WORD")
                rig.door.break_answers(change)
                failure = await raised(reads[name])
                assert change.times, f"the answer of {name} has no {key} to make unknown"
                assert isinstance(failure, BadAnswer), f"{name} with an unknown {key}: {failure!r}"
                assert key in str(failure), f"the message does not name {key}: {failure}"

    @card(20, "Too many requests are RateLimited, with the broker's seconds where it gives them.")
    async def test_too_many_requests_are_told_apart(self, rig: Rig) -> None:
        """Every read."""
        session = await rig.session()
        reads = await rig.reads(session)
        rig.door.break_answers(rig.bench.too_many)
        for name, read in reads.items():
            failure = await raised(read)
            assert isinstance(failure, RateLimited), f"{name}: {failure!r}"
            assert failure.retry_after == (7.0 if "Retry-After" in rig.bench.too_many.headers else failure.retry_after)
            assert failure.retry_after > 0

    @card(21, "A dead session is SessionExpired in every read.")
    async def test_a_dead_session_is_told_in_every_read(self, rig: Rig) -> None:
        """As at the hour when tokens die."""
        session = await rig.session(await rig.log_in())
        reads = await rig.reads(session)
        await rig.bench.expire()
        rig.bench.remembered = None
        for name, read in reads.items():
            if name in PUBLIC:
                continue
            failure = await raised(read)
            assert isinstance(failure, SessionExpired), f"{name}: {failure!r}"
            rig.check_words(failure)

    @card(22, "A refusal of plan, key or address is NotPermitted, not a dead session: logging in again would not help.")
    async def test_a_plan_that_does_not_allow_is_no_dead_session(self, rig: Rig) -> None:
        """Every answer of that kind that the bench knows."""
        session = await rig.session()
        for canned in rig.bench.not_permitted:
            rig.door.break_answers(canned)
            failure = await raised(session.orders)
            assert isinstance(failure, NotPermitted), f"{canned.body!r}: {failure!r}"
            assert failure.next_step
            rig.check_words(failure)

    @card(23, "After close nothing is connected any more.")
    async def test_close_closes(self, rig: Rig) -> None:
        """Connections to the API."""
        session = await rig.session()
        await session.profile()
        await session.close()

        async def closed() -> bool | None:
            return None if rig.door.open_connections else True

        await until(closed, "the last connection closes")


DOWNLOADS = frozenset({"instruments", "candles", "fills_between"})
"""Long ones may wait longer."""
PUBLIC = frozenset({"instruments", "candles", "market_days"})
"""Some brokers give these to anybody."""


class TestHistory:
    """Cards 24 and 25."""

    @card(24, "Fills of earlier days come in pages that together are the whole range, each fill once.")
    async def test_pages_are_the_whole_range(self, rig: Rig) -> None:
        """And a page past the last is empty."""
        session, days = await rig.historian(), rig.bench.history
        assert days is not None, "the bench names no days"
        first = await session.fills_between(*days)
        assert first.number == 1
        assert first.pages > 1, "the bench's days fit on one page"
        pages = [first] + [await session.fills_between(*days, page=n) for n in range(2, first.pages + 1)]
        assert [page.number for page in pages] == list(range(1, first.pages + 1))
        fills = [past.fill for page in pages for past in page.fills]
        assert all(page.fills for page in pages)
        assert len({fill.id for fill in fills}) == len(fills)
        assert first.total in (None, len(fills))
        start, end = (day.isoformat() for day in days)
        assert all(start <= fill.id.trade_date <= end for fill in fills)
        assert all(isinstance(json.loads(past.raw), dict) for page in pages for past in page.fills)
        beyond = await session.fills_between(*days, page=first.pages + 1)
        assert (beyond.fills, beyond.pages) == ((), first.pages)

    @card(25, "A range that ends before it begins, or lies before the broker's history, is Denied without a request.")
    async def test_an_impossible_range_is_denied(self, rig: Rig) -> None:
        """In words."""
        session, days = await rig.historian(), rig.bench.history
        assert days is not None, "the bench names no days"
        seen = len(rig.door.passed)
        for start, end in ((days[1], days[0]), (days[0].replace(year=1990), days[1])):
            if start == end:
                continue
            with pytest.raises(Denied) as told:
                await session.fills_between(start, end)
            rig.check_words(told.value)
        assert len(rig.door.passed) == seen
