"""What is asked of the feed when more is wanted than a mode carries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from app.brokers.base import Mark, Session
from app.brokers.upstox.adapter import UpstoxSession
from app.brokers.upstox.keys import Directory
from app.brokers.upstox.ticker import FULL_ALONE, FULL_MIXED, LTPC_MIXED, MARKET, PORTFOLIO, UpstoxFeed
from app.domain.account import Endpoints
from app.domain.errors import SessionExpired
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment
from app.domain.news import BookNews
from app.domain.order import Order
from app.runtime.secret import Secret

A = AccountId("upstox-X")
NOWHERE = Endpoints("http://127.0.0.1:1", "http://127.0.0.1:1", "ws://127.0.0.1:1")


class Sink:
    """A stop is armed on the last token of all."""

    def __init__(self, armed: int) -> None:
        self.armed = armed

    def watched(self, token: int) -> bool:
        return token == self.armed

    def marks(self, marks: Iterable[Mark], readable_ns: int) -> None:
        raise AssertionError

    def frame(self, payload: bytes, received_at: Nanos) -> None:
        raise AssertionError

    def order_update(self, order: Order) -> None:
        raise AssertionError

    def book_news(self, news: BookNews) -> None:
        raise AssertionError

    def connected(self) -> None:
        raise AssertionError

    def disconnected(self, cause: Exception) -> None:
        raise AssertionError

    def order_stream(self, cause: Exception | None) -> None:
        raise AssertionError

    def malformed(self, reason: str, sample: bytes) -> None:
        raise AssertionError


def contract(number: int) -> Instrument:
    name = InstrumentId(f"NFO:X{number}CE")
    return Instrument(
        name, number << 8 | 2, Exchange.NFO, Segment.OPTIONS, InstrumentKind.CALL, "X", 5, 1, key=f"NSE_FO|{number}"
    )


async def feed_of(count: int) -> tuple[UpstoxFeed, list[int]]:
    directory = Directory()
    contracts = [contract(number) for number in range(1, count + 1)]
    directory.learn(contracts)
    tokens = [one.token for one in contracts]
    session = UpstoxSession(Session(A, "X", "X", Secret("t"), 0, 1), NOWHERE, directory)
    feed = session.feed(Sink(tokens[-1]))
    assert isinstance(feed, UpstoxFeed)
    await session.close()
    return feed, tokens


async def test_what_fits_is_asked_for_in_full() -> None:
    feed, tokens = await feed_of(FULL_ALONE)
    feed.subscribe(tokens)
    assert (len(feed._full), len(feed._ltpc)) == (FULL_ALONE, 0)


async def test_what_does_not_fit_gets_last_prices_and_stops_stay_in_full() -> None:
    feed, tokens = await feed_of(FULL_ALONE + 500)
    feed.subscribe(tokens)
    assert (len(feed._full), len(feed._ltpc)) == (FULL_MIXED, FULL_ALONE + 500 - FULL_MIXED)
    assert tokens[-1] in feed._full


@pytest.mark.expects_log("100 get no prices")
async def test_what_no_connection_carries_is_said() -> None:
    feed, tokens = await feed_of(FULL_MIXED + LTPC_MIXED + 100)
    feed.subscribe(tokens)
    assert (len(feed._full), len(feed._ltpc)) == (FULL_MIXED, LTPC_MIXED)


async def test_a_contract_without_a_key_is_left_out() -> None:
    feed, tokens = await feed_of(3)
    feed.subscribe([*tokens, 99 << 8 | 2])
    assert feed._full == frozenset(tokens)


async def test_a_share_that_the_list_of_today_calls_by_another_key_is_asked_for_by_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stops of before are watched first, and today's list comes beside that: a split gives a share another ISIN."""
    share = Instrument(
        InstrumentId("NSE:X"), 25 << 8 | 1, Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, "X", 5, 1,
        key="NSE_EQ|INE000A01018",
    )  # fmt: skip
    feed, tokens = await feed_of(3)
    monkeypatch.setattr(feed._price_dial, "start", lambda: None)
    monkeypatch.setattr(feed._order_dial, "start", lambda: None)
    directory, sent = feed._directory, list[Any]()
    directory.learn([share])
    feed.start()
    feed.subscribe([*tokens, share.token])
    monkeypatch.setattr(feed, "_prices", SimpleNamespace(ready=True, send_binary=sent.append))
    directory.learn([contract(1), replace(share, key="NSE_EQ|INE000A01026")])
    (asked,) = [json.loads(data) for data in sent]
    assert (asked["method"], asked["data"]) == ("sub", {"mode": "full", "instrumentKeys": ["NSE_EQ|INE000A01026"]})
    assert feed._known[b"NSE_EQ|INE000A01026"] == (share.token, 100)
    await feed.stop()
    directory.learn([share])
    assert len(sent) == 1, "it hears no more"


async def test_order_updates_that_are_refused_to_a_living_session_are_dialled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gateway may answer anybody so. Whether the session lives asks who hears of it."""
    monkeypatch.setattr("app.brokers.redial.RETRY_SECONDS", 0.001)
    feed, _ = await feed_of(1)
    told, dials, again = list[Exception | None](), list[str](), asyncio.Event()
    monkeypatch.setattr(feed._sink, "order_stream", told.append)

    async def open_(_stream: object, path: str, _params: object) -> None:
        dials.append(path)
        if dials.count(PORTFOLIO) == 1 and path == PORTFOLIO:
            raise SessionExpired("The broker ended the session.")
        if path == PORTFOLIO:
            again.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(feed, "_open", open_)
    feed.start()
    async with asyncio.timeout(5):
        await again.wait()
    assert [type(cause) for cause in told] == [SessionExpired]
    assert dials.count(MARKET) == 1
    await feed.stop()
