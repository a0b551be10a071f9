"""Our adapter against the paper exchange, a process that shares no code with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime

import pytest

from app.brokers.base import BrokerSession, Credentials, Session
from app.brokers.login_state import LoginAttempts
from app.brokers.registry import Registry
from app.domain.errors import BadAnswer, LoginFailed, OutcomeUnknown, Rejected, SessionExpired, Unreachable
from app.domain.ids import AccountId, InstrumentId, Tag
from app.domain.instrument import InstrumentKind, Product
from app.domain.market import Interval
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side
from app.runtime.clock import IST, to_datetime
from app.runtime.secret import Secret
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange

A = AccountId("zerodha-paper")
INFY = InstrumentId("NSE:INFY")
FACTORY = Registry().factory("zerodha")


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with paper_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00") as running:
        yield running


async def log_in(exchange: PaperExchange) -> Session:
    attempts = LoginAttempts()
    endpoints = exchange.endpoints
    attempt = attempts.begin(A, endpoints.redirect_url)
    login = FACTORY.login(A, exchange.credentials, endpoints)
    redirected_to = await exchange.log_in(login.login_url(attempt.state))
    return await login.exchange(attempts.check(A, redirected_to))


@pytest.fixture
async def broker(exchange: PaperExchange) -> AsyncIterator[BrokerSession]:
    session = FACTORY.session(await log_in(exchange), exchange.credentials, exchange.endpoints)
    yield session
    await session.close()


def buy(quantity: int = 10, **changes: object) -> OrderRequest:
    request = OrderRequest(A, INFY, Side.BUY, quantity, Product.MIS, OrderKind.MARKET)
    return replace(request, **changes)  # type: ignore[arg-type]  # any field of the request


async def test_a_login_ends_in_a_session_that_dies_at_six(exchange: PaperExchange) -> None:
    session = await log_in(exchange)
    assert session.user_id == exchange.line["user_id"]
    assert session.user_name
    assert to_datetime(session.expires_at) == datetime(2026, 11, 21, 6, 0, tzinfo=IST)
    assert session.access_token.reveal() not in repr(session)


async def test_a_cancelled_login_says_so(exchange: PaperExchange) -> None:
    attempts = LoginAttempts()
    attempt = attempts.begin(A, exchange.endpoints.redirect_url)
    login = FACTORY.login(A, exchange.credentials, exchange.endpoints)
    redirected_to = await exchange.log_in(login.login_url(attempt.state), cancel=True)
    with pytest.raises(LoginFailed, match="cancelled at the broker"):
        attempts.check(A, redirected_to)


async def test_a_wrong_api_secret_fails_in_words(exchange: PaperExchange) -> None:
    wrong = Credentials(exchange.credentials.api_key, Secret("not-the-secret"))
    login = FACTORY.login(A, wrong, exchange.endpoints)
    redirected_to = await exchange.log_in(login.login_url("state"))
    token = redirected_to.partition("request_token=")[2].partition("&")[0]
    with pytest.raises(LoginFailed, match="secret") as caught:
        await login.exchange(token)
    assert "not-the-secret" not in str(caught.value)


async def test_a_request_token_works_once(exchange: PaperExchange) -> None:
    login = FACTORY.login(A, exchange.credentials, exchange.endpoints)
    redirected_to = await exchange.log_in(login.login_url("state"))
    token = redirected_to.partition("request_token=")[2].partition("&")[0]
    await login.exchange(token)
    with pytest.raises(LoginFailed):
        await login.exchange(token)


async def test_logout_kills_the_session_and_a_dead_one_may_be_logged_out(exchange: PaperExchange) -> None:
    session = await log_in(exchange)
    login = FACTORY.login(A, exchange.credentials, exchange.endpoints)
    await login.logout(session)
    await login.logout(session)
    broker = FACTORY.session(session, exchange.credentials, exchange.endpoints)
    for read in (broker.orders, broker.fills, broker.positions, broker.holdings, broker.funds, broker.profile):
        with pytest.raises(SessionExpired):
            await read()
    with pytest.raises(SessionExpired):
        await broker.place(buy())
    await broker.close()


async def test_profile_funds_and_clock(broker: BrokerSession, exchange: PaperExchange) -> None:
    assert (await broker.profile()).user_id == exchange.line["user_id"]
    funds = await broker.funds()
    assert funds.available > 0
    reading = await broker.exchange_clock()
    assert to_datetime(reading.now).date().isoformat() == "2026-11-20"
    assert (reading.speed, reading.always_open) == (1.0, True)
    assert broker.paper


async def test_the_instrument_list_has_every_kind(broker: BrokerSession) -> None:
    instruments = {i.id: i for i in await broker.instruments()}
    assert {i.kind for i in instruments.values()} == set(InstrumentKind)
    assert instruments[INFY].token == 408065
    assert not instruments[InstrumentId("NSE:NIFTY 50")].tradable


async def filled(broker: BrokerSession, tag: str) -> Order:
    async def look() -> Order | None:
        found = [o for o in await broker.orders() if o.tag == tag]
        return found[0] if found and found[0].status is OrderStatus.FILLED else None

    order: Order = await eventually(look)
    return order


async def test_an_order_its_fills_and_the_position(broker: BrokerSession) -> None:
    before = {p.key: p.quantity for p in await broker.positions()}
    number = await broker.place(buy(10, tag=Tag("CONTRACT1")))
    order = await filled(broker, "CONTRACT1")
    assert (order.broker_order_id, order.quantity, order.filled_quantity, order.instrument) == (number, 10, 10, INFY)
    history = await broker.order_history(number)
    assert history[-1].status is OrderStatus.FILLED
    fills = [f for f in await broker.fills() if f.broker_order_id == number]
    assert sum(f.quantity for f in fills) == 10
    assert order.average_price == round(sum(f.price * f.quantity for f in fills) / 10)
    assert {(f.account, f.side, f.product, f.id.trade_date) for f in fills} == {
        (A, Side.BUY, Product.MIS, "2026-11-20")
    }
    (position,) = [p for p in await broker.positions() if p.key.instrument == INFY]
    assert position.quantity == before.get(position.key, 0) + 10
    reported = {fill.id: words for fill, words in await broker.reported_fills()}
    assert all(f.id.trade_id in reported[f.id] for f in fills)


async def test_a_resting_order_is_modified_and_cancelled(broker: BrokerSession) -> None:
    last = (await broker.last_prices([INFY]))[INFY]
    low = last * 97 // 100 // 10 * 10
    number = await broker.place(buy(5, kind=OrderKind.LIMIT, price=low, tag=Tag("REST1")))

    async def state(**wanted: object) -> Order | None:
        order = (await broker.order_history(number))[-1]
        return order if all(getattr(order, name) == value for name, value in wanted.items()) else None

    await eventually(lambda: state(status=OrderStatus.OPEN, price=low))
    await broker.modify(number, price=low - 10, quantity=7)
    await eventually(lambda: state(status=OrderStatus.OPEN, price=low - 10, quantity=7))
    await broker.cancel(number)
    await eventually(lambda: state(status=OrderStatus.CANCELLED, pending_quantity=0))
    with pytest.raises(Rejected):
        await broker.cancel(number)


async def test_what_hurts_in_real_life_is_rejected_in_words(broker: BrokerSession) -> None:
    with pytest.raises(Rejected, match="refused") as caught:
        await broker.place(buy(kind=OrderKind.LIMIT, price=100_003, tag=Tag("X" * 21)))
    assert caught.value.kind


async def test_margin_and_charges_of_an_order(broker: BrokerSession) -> None:
    last = (await broker.last_prices([INFY]))[INFY]
    cost = await broker.cost(buy(10), last)
    assert 0 < cost.margin < last * 10
    assert cost.charges.brokerage > 0
    assert cost.charges.total > cost.charges.brokerage


async def test_history_is_ascending_and_on_the_minute(broker: BrokerSession) -> None:
    instruments = {i.id: i for i in await broker.instruments()}
    now = await broker.exchange_time()
    candles = await broker.candles(instruments[INFY], Interval.MINUTE, now - 3600 * 10**9, now)
    assert candles
    assert [c.start for c in candles] == sorted({c.start for c in candles})
    assert all(c.start % (60 * 10**9) == 0 and c.low <= min(c.open, c.close) for c in candles)


async def test_a_lost_reply_is_unknown_and_the_tag_finds_the_order(
    broker: BrokerSession, exchange: PaperExchange
) -> None:
    await exchange.control("PUT", "/faults", {"faults": ["lost-after:route=place"]})
    with pytest.raises(OutcomeUnknown):
        await broker.place(buy(1, tag=Tag("LOST1")))
    assert (await filled(broker, "LOST1")).quantity == 1


@pytest.mark.parametrize("fault", ["html-403", "bad-gzip", "cut-json", "close", "status=502", "lost-before"])
async def test_a_broken_answer_is_never_an_empty_one(
    broker: BrokerSession, exchange: PaperExchange, fault: str
) -> None:
    await exchange.control("PUT", "/faults", {"faults": [f"{fault}:route=positions"]})
    with pytest.raises((Unreachable, BadAnswer)):  # and no dead session either, from a 403 that is not the broker's
        await broker.positions()
    await broker.positions()
