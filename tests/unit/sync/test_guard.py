"""Request limits, the circuit breaker, and which failures are tried again (C8 to C10)."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from app.domain.broker import RateLimit
from app.domain.errors import (
    AppError,
    BadAnswer,
    BrokerPaused,
    DiskFull,
    NotPermitted,
    RateLimited,
    Rejected,
    SessionExpired,
    Unreachable,
)
from app.domain.events import SyncPaused, SyncStep
from app.domain.sync import BreakerView, DataSet, ErrorClass, LimitGauge
from app.storage.book import Book
from app.sync.breaker import Breaker
from app.sync.limiter import RequestLimiter
from app.sync.patience import Patience, class_of
from app.sync.service import SyncService
from tests.fakes.scripted_server import answer
from tests.unit.sync.conftest import A, Desk
from tests.unit.sync.test_service import ROUND_TRIP, failure

READS = [RateLimit("read", 10, 1), RateLimit("read", 500, 60), RateLimit("order", 1, 1)]


@dataclass
class Time:
    """A clock that moves when somebody sleeps, or is told to."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


async def test_a_window_lets_through_four_fifths_of_what_the_broker_allows() -> None:
    time = Time()
    limiter = RequestLimiter(time.sleep, time)
    for _ in range(8):
        await limiter.turn("zerodha", "a", READS)
    assert time.slept == []
    assert LimitGauge("zerodha", "a", 1, 8, 8, 1.0) in limiter.gauges()
    assert LimitGauge("zerodha", "", 60, 8, 400, 60.0) in limiter.gauges()
    await limiter.turn("zerodha", "a", READS)
    assert sum(time.slept) == pytest.approx(1.0, abs=0.01)
    assert LimitGauge("zerodha", "a", 1, 1, 8, 1.0) in limiter.gauges()


async def test_the_window_slides_and_accounts_of_a_broker_share_its_limit() -> None:
    time = Time()
    limiter = RequestLimiter(time.sleep, time)
    sent: list[float] = []
    for n in range(40):
        await limiter.turn("zerodha", f"account {n % 4}", READS)
        sent.append(time.now)
        time.now += random.Random(n).uniform(0, 0.2)
    assert all(late - early >= 1.0 for early, late in zip(sent, sent[8:], strict=False))
    await limiter.turn("upstox", "account 0", READS)  # another broker's limit is another
    assert {gauge.broker for gauge in limiter.gauges()} == {"zerodha", "upstox"}


async def test_a_limit_that_is_used_up_for_minutes_is_said_and_not_silently_waited_for() -> None:
    time = Time()
    limiter = RequestLimiter(time.sleep, time)
    limits = [RateLimit("read", 5, 1800)]
    for _ in range(4):
        await limiter.turn("upstox", "a", limits)
    with pytest.raises(RateLimited) as told:
        await limiter.turn("upstox", "a", limits)
    assert told.value.retry_after == pytest.approx(1800)


async def test_the_breaker_opens_after_five_failures_and_tries_one_read_a_minute_later() -> None:
    time = Time()
    breaker = Breaker("zerodha", time)
    for _ in range(4):
        await breaker.enter()
        assert not breaker.failed()
    breaker.succeeded()
    for _ in range(4):
        breaker.failed()
    assert breaker.failed()
    assert breaker.view() == BreakerView("zerodha", "open", 5, 60.0)
    with pytest.raises(BrokerPaused, match="left alone for a minute"):
        await breaker.enter()
    time.now += 60
    assert breaker.view().state == "half-open"
    await breaker.enter()  # the probe
    others = [asyncio.ensure_future(breaker.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(other.done() for other in others)
    breaker.failed()
    assert all(isinstance(e, BrokerPaused) for e in await asyncio.gather(*others, return_exceptions=True))
    time.now += 60
    await breaker.enter()
    others = [asyncio.ensure_future(breaker.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    breaker.succeeded()
    await asyncio.gather(*others)
    assert breaker.view() == BreakerView("zerodha", "closed", 0, 0.0)


async def test_a_probe_that_was_cancelled_lets_the_next_one_go() -> None:
    time = Time()
    breaker = Breaker("zerodha", time)
    for _ in range(5):
        breaker.failed()
    time.now += 60
    await breaker.enter()
    other = asyncio.ensure_future(breaker.enter())
    await asyncio.sleep(0)
    breaker.abandoned()
    await other
    assert breaker.view().state == "half-open"


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (SessionExpired("dead"), ErrorClass.AUTH),
        (RateLimited("slow"), ErrorClass.RATE_LIMIT),
        (Unreachable("down", status=503), ErrorClass.SERVER),
        (Unreachable("gone"), ErrorClass.NETWORK),
        (Rejected("no"), ErrorClass.CLIENT),
        (NotPermitted("no"), ErrorClass.CLIENT),
        (BadAnswer("what"), ErrorClass.ANSWER),
        (BrokerPaused("wait"), ErrorClass.PAUSED),
        (DiskFull("full"), ErrorClass.STORAGE),
        (AppError("else"), ErrorClass.OTHER),
    ],
)
def test_every_failure_has_its_class(cause: AppError, kind: ErrorClass) -> None:
    assert class_of(cause) is kind


async def test_an_operation_has_a_minute_and_waiting_for_the_broker_does_not_count() -> None:
    time = Time()
    waits: list[float] = []
    patience = Patience(time.sleep, random.Random(1), lambda _cause, seconds: waits.append(seconds))
    failures: list[AppError] = [RateLimited("slow", retry_after=90), Unreachable("down", status=503, retry_after=7)]

    async def read() -> str:
        if failures:
            raise failures.pop(0)
        return "there"

    assert await patience.read(read) == "there"
    assert time.slept == waits == [90, 7]
    assert (patience.retries, patience.rate_limited) == (2, 1)


async def test_a_broker_that_asks_for_hours_is_left_to_the_next_run() -> None:
    time = Time()

    async def read() -> str:
        raise RateLimited("come back tomorrow", retry_after=86_400)

    with pytest.raises(RateLimited):
        await Patience(time.sleep).read(read)
    assert time.slept == []


@pytest.mark.parametrize("retry_after", ["", "Retry-After: 3\r\n"], ids=["", "retry after"])
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_each_status_worth_another_try_gets_one(
    service: SyncService, desk: Desk, status: int, retry_after: str
) -> None:
    desk.trades = ROUND_TRIP
    desk.broken["/trades"] = [failure(f"{status} Something", "GeneralException", retry_after)]
    (result,) = await service.run()
    assert (result.step, result.created, result.retries) == (SyncStep.COMPLETED, 2, 1)
    assert result.rate_limited == (status == 429)
    (pause,) = desk.pauses
    if retry_after:
        assert pause == 3
    elif status == 429:
        assert pause == 60
    else:
        assert 0.8 <= pause <= 1.2
    assert len(desk.told(SyncPaused)) == (1 if retry_after or status == 429 else 0)


@pytest.mark.parametrize(
    "broken",
    [
        answer(b"<html>Forbidden</html>", status="403 Forbidden", extra="Content-Type: text/html\r\n"),
        answer(b"\x1f\x8b\x08\x00half", extra="Content-Encoding: gzip\r\n"),
        answer(b'{"status": "success", "data": [{"trade'),
    ],
    ids=["a page of the CDN", "half a gzip", "half a document"],
)
async def test_what_is_not_the_brokers_data_fails_in_words_and_changes_nothing(
    service: SyncService, desk: Desk, book: Book, broken: bytes
) -> None:
    desk.trades = ROUND_TRIP
    await service.run()
    before = await book.fills.all()
    desk.trades = []
    desk.broken["/trades"] = [broken] * 3
    (result,) = await service.run()
    assert (result.step, result.error_class) == (SyncStep.FAILED, ErrorClass.ANSWER)
    assert result.error
    assert await book.fills.all() == before
    states = {state.data_set: state for state in await book.data_sets.load()}
    assert states[DataSet.TRADES].error_class is ErrorClass.ANSWER
    assert states[DataSet.TRADES].good_at is not None  # of the first run


async def test_a_refused_data_set_is_skipped_and_said_and_the_rest_is_saved(
    service: SyncService, desk: Desk, book: Book
) -> None:
    desk.trades = ROUND_TRIP
    desk.broken["/portfolio/holdings"] = [failure("403 Forbidden", "PermissionException")]
    (result,) = await service.run()
    assert (result.step, result.error_class, result.created) == (SyncStep.FAILED, ErrorClass.CLIENT, 2)
    assert "Holdings refused and skipped" in result.error
    assert len(await book.fills.all(A)) == 2
    states = {state.data_set: state for state in await book.data_sets.load()}
    assert states[DataSet.TRADES].error == ""
    assert states[DataSet.HOLDINGS].error_class is ErrorClass.CLIENT
    assert states[DataSet.HOLDINGS].good_at is None


async def test_what_is_refused_again_and_again_is_asked_for_once_a_day(service: SyncService, desk: Desk) -> None:
    refusal = failure("403 Forbidden", "PermissionException")
    desk.broken["/portfolio/holdings"] = [refusal] * 5
    asked = []
    for _ in range(2):
        for _ in range(6):
            (result,) = await service.run(trigger="scheduled")
            asked.append(result.step is SyncStep.FAILED)
        desk.at += 24 * 3600 * 1_000_000_000
    assert asked == [True] * 4 + [False] * 2 + [True] + [False] * 5
    (result,) = await service.run(trigger="scheduled")
    assert (result.step, result.error) == (SyncStep.COMPLETED, "")  # it answers again, and is forgotten
    desk.broken["/portfolio/holdings"] = [refusal]
    (result,) = await service.run(trigger="scheduled")
    assert result.step is SyncStep.FAILED


async def test_a_broker_that_is_down_is_left_alone_for_a_minute_and_then_asked_once(
    desk: Desk, book: Book, service: SyncService
) -> None:
    desk.trades = ROUND_TRIP
    down = failure("503 Service Unavailable", "NetworkException")
    paths = ("/trades", "/portfolio/positions", "/portfolio/holdings", "/user/margins")
    desk.broken = {path: [down] * 3 for path in paths}
    (result,) = await service.run()
    assert (result.step, result.error_class) == (SyncStep.FAILED, ErrorClass.SERVER)
    assert "could not answer" in result.error
    left = sum(len(answers) for answers in desk.broken.values())
    assert left >= 4  # not all twelve tries were made
    (result,) = await service.run()
    assert (result.step, result.error_class) == (SyncStep.FAILED, ErrorClass.PAUSED)
    assert sum(len(answers) for answers in desk.broken.values()) == left
    (view,) = [breaker.view() for breaker in service.guard.breakers]
    assert view.state == "open"


async def test_a_page_that_is_always_down_is_left_alone_while_the_others_are_read(
    desk: Desk, service: SyncService
) -> None:
    desk.trades = ROUND_TRIP
    desk.broken["/portfolio/holdings"] = [failure("503 Service Unavailable", "NetworkException")] * 30
    left = []
    for _ in range(2):
        await service.run()
        left.append(len(desk.broken["/portfolio/holdings"]))
    (result,) = await service.run()
    left.append(len(desk.broken["/portfolio/holdings"]))
    assert left == [27, 25, 25], "five failures of its own, whatever else answered meanwhile"
    assert result.error_class is ErrorClass.PAUSED
    assert "reads of holdings in a row failed; they are left alone" in result.error
    whole, one = (breaker.view() for breaker in service.guard.breakers)
    assert (whole.state, whole.reads) == ("closed", "")
    assert (one.broker, one.state, one.failures, one.reads) == (whole.broker, "open", 5, "holdings")
