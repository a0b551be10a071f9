"""What our Upstox adapter does beyond orders and prices, against the paper exchange: options, what has expired, the
account's own switches, margins, the older calls, messages at a registered address, other ways to begin."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.brokers.market_parts import ApprovalLogin, MarketPhase
from app.brokers.parts import TokenLogin
from app.brokers.upstox import hosts
from app.brokers.upstox.adapter import UpstoxSession
from app.domain.errors import BadAnswer, Denied, LoginFailed, PlanRefused, Rejected, SessionExpired
from app.domain.gtt import Gtt, GttLeg, GttRequest
from app.domain.ids import InstrumentId
from app.domain.instrument import Instrument, InstrumentKind, Product
from app.domain.market import Interval
from app.domain.order import Order, OrderKind, OrderStatus, Side
from app.domain.portfolio import Position
from app.runtime.clock import to_datetime
from app.runtime.secret import Secret
from tests.contract.upstox.conftest import FACTORY, A, Upstox, upstox_exchange
from tests.contract.upstox.test_session import INFY, buy, reaches
from tests.fakes.paper_exchange import eventually
from tests.fakes.scripted_server import ScriptedServer, answer

NIFTY = InstrumentId("NSE:NIFTY 50")


@asynccontextmanager
async def alone(*arguments: str) -> AsyncIterator[tuple[Upstox, UpstoxSession]]:
    """An exchange of its own, for what outlives a test."""
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00", *arguments) as exchange:
        broker = await logged_in(exchange)
        try:
            yield exchange, broker
        finally:
            await broker.close()


async def logged_in(exchange: Upstox) -> UpstoxSession:
    broker = FACTORY.session(await exchange.log_in(), exchange.credentials, exchange.endpoints)
    assert isinstance(broker, UpstoxSession)
    await broker.instruments()
    return broker


# -- options ---------------------------------------------------------------------------------------------------------


async def options(broker: UpstoxSession) -> list[Instrument]:
    return [one for one in await broker.option_contracts(NIFTY) if one.expiry is not None]


async def test_option_contracts_are_those_of_the_list(broker: UpstoxSession) -> None:
    listed = {one.id: one for one in await broker.instruments()}
    found = await options(broker)
    assert found
    assert all(listed[one.id] == one for one in found)
    expiry = found[0].expiry
    assert {one.expiry for one in await broker.option_contracts(NIFTY, expiry)} == {expiry}


async def test_the_chain_has_both_sides_of_every_strike_with_slopes_of_the_right_sign(broker: UpstoxSession) -> None:
    found = await options(broker)
    expiry = found[0].expiry
    assert expiry is not None
    chain = await broker.option_chain(NIFTY, expiry)
    last = (await broker.last_prices([NIFTY]))[NIFTY]
    assert abs(chain.spot - last) < last // 100
    assert [row.strike for row in chain.strikes] == sorted({one.strike or Decimal(0) for one in found})
    quotes = await broker.greeks([one.id for one in found])
    for row in chain.strikes:
        assert row.call is not None
        assert row.put is not None
        assert 0 <= row.call.greeks.delta <= 1
        assert -1 <= row.put.greeks.delta <= 0
        assert row.call.bid < row.call.ask
        # The chain tells volatility in percent, the Greeks' call as a fraction.
        assert abs(row.call.greeks.volatility - quotes[row.call.instrument].greeks.volatility) < Decimal("0.2")
    assert not (await broker.option_chain(NIFTY, expiry + timedelta(days=1))).strikes
    assert INFY not in await broker.greeks([INFY])


async def test_a_search_finds_by_words(broker: UpstoxSession) -> None:
    listed = {one.id: one for one in await broker.instruments()}
    assert INFY in {one.id for one in await broker.search("infy", ["NSE"])}
    many = await broker.search("nifty")
    assert len(many) > 30, "more than a page"
    assert {one.id for one in many} <= listed.keys()


async def test_what_has_expired_is_told_to_plus_clients_with_its_candles() -> None:
    async with alone("--fault", "limits=off", "--fault", "funds_night=open") as (exchange, broker):
        with pytest.raises(PlanRefused):
            await broker.expiries(NIFTY)
        (expiry,) = {one.expiry for one in await options(broker)}
        await exchange.control("POST", "/faults", {"faults": ["plus_plan=on"]})
        assert await broker.expiries(NIFTY) == []
        assert expiry is not None
        await broker.close()
        await exchange.control("PUT", "/clock", {"now": f"{expiry + timedelta(days=1)}T10:00:00"})
        later = await logged_in(exchange)
        try:
            assert not await later.option_contracts(NIFTY)
            assert await later.expiries(NIFTY) == [expiry]
            found = await later.expired_contracts(NIFTY, expiry)
            assert {one.kind for one in found} == {InstrumentKind.FUTURE, InstrumentKind.CALL, InstrumentKind.PUT}
            one = found[0]
            assert not one.active
            assert one.key.endswith(f"|{expiry:%d-%m-%Y}")
            end = (await later.exchange_clock()).now
            day = 86_400_000_000_000
            candles = await later.expired_candles(one, Interval.DAY, end - 60 * day, end)
            assert [c.start for c in candles] == sorted(c.start for c in candles)
            assert candles
            assert all(to_datetime(c.start).date() <= expiry for c in candles)
            with pytest.raises(Denied, match="has not expired"):
                await later.expired_candles(replace(one, active=True), Interval.DAY, end - day, end)
        finally:
            await later.close()


# -- the account's own switches --------------------------------------------------------------------------------------


async def test_a_pulled_kill_switch_is_read_stops_its_segment_and_cools() -> None:
    async with alone() as (_, broker):
        assert not any(one.pulled for one in await broker.kill_switches())
        changed = await broker.set_kill_switches({"NSE_EQ": True})
        assert [one.segment for one in changed if one.pulled] == ["NSE_EQ"]
        assert [one.segment for one in await broker.kill_switches() if one.pulled] == ["NSE_EQ"]
        with pytest.raises(Rejected):
            await broker.place(buy())
        with pytest.raises(Rejected):
            await broker.set_kill_switches({"NSE_EQ": False})
        with pytest.raises(Denied):
            await broker.set_kill_switches({})


async def test_new_addresses_end_the_session_and_come_once_a_week() -> None:
    async with alone() as (exchange, broker):
        assert await broker.registered_addresses() == ["127.0.0.1"]
        with pytest.raises(Denied, match="no internet address"):
            await broker.register_addresses("999.1.1.1")
        found = await broker.register_addresses("203.0.113.7", "203.0.113.8")
        assert (found.primary, found.secondary, found.session_ended) == ("203.0.113.7", "203.0.113.8", True)
        with pytest.raises(SessionExpired):
            await broker.profile()
        again = await logged_in(exchange)
        try:
            assert await again.registered_addresses() == ["203.0.113.7", "203.0.113.8"]
            with pytest.raises(Rejected, match="once a week"):
                await again.register_addresses("203.0.113.9")
        finally:
            await again.close()


async def test_an_exchange_says_whether_it_trades(broker: UpstoxSession) -> None:
    found = await broker.market_status("NSE")
    assert (found.exchange, found.phase) == ("NSE", MarketPhase.OPEN)
    with pytest.raises(Rejected):
        await broker.market_status("NYSE")


# -- margins and funded shares ---------------------------------------------------------------------------------------


async def test_the_margin_of_a_basket_is_told_order_by_order(broker: UpstoxSession) -> None:
    last = (await broker.last_prices([INFY]))[INFY]
    basket = await broker.basket_margin([(buy(10), last), (buy(10, product=Product.CNC), last)])
    intraday, delivery = basket.orders
    assert (delivery.total, intraday.total) == (Decimal(last) / 10, Decimal(last) / 50)
    assert basket.final.total == basket.initial.total == delivery.total + intraday.total
    with pytest.raises(Denied, match="1 to 20"):
        await broker.basket_margin([(buy(), last)] * 21)
    with pytest.raises(Denied, match="leave out"):
        await broker.basket_margin([(buy(), last)], with_positions=False)


async def not_funded(broker: UpstoxSession) -> InstrumentId:
    """A share without derivatives."""
    listed = await broker.instruments()
    names = {one.name for one in listed if one.expiry is not None}
    return next(one.id for one in listed if one.kind is InstrumentKind.SHARE and one.symbol not in names)


@pytest.mark.parametrize("listed", ["apart", "both"])
async def test_funded_shares_are_positions_like_others_wherever_they_are_listed(listed: str) -> None:
    async with alone("--fault", f"mtf_listed={listed}", "--fault", "limits=off") as (exchange, broker):
        assert "MTF" in (await broker.profile()).products
        before = (await broker.funds()).available
        order = await broker.place(buy(10, product=Product.MTF))
        assert await reaches(broker, order, OrderStatus.FILLED)
        value = (await broker.order_details(order)).average_price or 0
        taken = before - (await broker.funds()).available
        assert abs(taken - value * 10 // 4) <= 10, "a quarter of the price is the client's own"

        async def held(session: UpstoxSession) -> Position | None:
            found = [p for p in await session.positions() if p.key.product is Product.MTF]
            assert len(found) <= 1
            return found[0] if found and found[0].quantity == 10 else None

        assert await eventually(lambda: held(broker))
        with pytest.raises(Rejected):
            await broker.place(buy(1, instrument=await not_funded(broker), product=Product.MTF))
        await broker.close()
        await exchange.control("PUT", "/clock", {"now": "2026-11-23T10:00:00"})
        next_day = await logged_in(exchange)
        try:
            await next_day.profile()
            carried = await eventually(lambda: held(next_day))
            assert carried, "it is carried"
            assert carried.carried_quantity == 10
            assert carried.day_pnl_at(carried.close_price) == 0
            order = await next_day.place(buy(10, product=Product.MTF, side=Side.SELL))
            assert await reaches(next_day, order, OrderStatus.FILLED)
            short = await next_day.place(buy(1, product=Product.MTF, side=Side.SELL))
            assert await reaches(next_day, short, OrderStatus.REJECTED), "none are left to sell"
        finally:
            await next_day.close()


# -- version 2 -------------------------------------------------------------------------------------------------------


async def test_the_older_quotes_say_the_same(broker: UpstoxSession) -> None:
    asked = [INFY, NIFTY, InstrumentId("NSE:NOBODY")]
    whole, days, lasts = (
        await broker.quotes_v2(asked),
        await broker.day_prices_v2(asked),
        await broker.last_prices_v2(asked),
    )
    assert whole.keys() == days.keys() == lasts.keys() == {INFY, NIFTY}
    assert whole[INFY].tick.depth is not None
    assert whole[INFY].tick.open == days[INFY].open
    low, high = whole[INFY].lower_circuit, whole[INFY].upper_circuit
    assert low is not None
    assert high is not None
    assert low < lasts[INFY] < high
    assert whole[INFY].tick.close == (await broker.quotes([INFY]))[INFY].tick.close


async def test_the_older_candles_are_the_same_candles(broker: UpstoxSession) -> None:
    infy = next(one for one in await broker.instruments() if one.id == INFY)
    now = (await broker.exchange_clock()).now
    day = 86_400_000_000_000
    for interval, back in ((Interval.MINUTE, 3), (Interval.MINUTES_30, 3), (Interval.DAY, 30)):
        half, quarter = 1800 * 10**9, 900 * 10**9
        until = (now - quarter) // half * half + quarter - 1  # candles that are whole: they begin at 9:15
        old, new = [await read(infy, interval, now - back * day, until) for read in (broker.candles_v2, broker.candles)]
        assert old
        assert {c.start: c for c in old}.items() <= {c.start: c for c in new}.items()
    with pytest.raises(Denied, match="half an hour"):
        await broker.candles_v2(infy, Interval.MINUTES_5, now - day, now)


async def test_the_older_funds_are_one_pool_under_equity(broker: UpstoxSession) -> None:
    equity, commodity = await broker.segment_funds()
    assert (equity.segment, commodity.segment, commodity.net) == ("equity", "commodity", Decimal(0))
    assert abs(int(equity.net * 100) - (await broker.funds()).available) < 100


# -- messages at the registered address ------------------------------------------------------------------------------


async def test_a_message_about_an_order_is_read_anew_and_never_believed() -> None:
    taken: list[bytes] = []

    def listen(seen: Any) -> bytes:
        taken.append(seen.body)
        return answer(b"{}")

    async with ScriptedServer(listen) as listener, alone() as (exchange, broker):
        await exchange.control("PUT", "/webhook", {"url": listener.url + "/news", "gtt": True})
        order = await broker.place(buy(3))
        assert await reaches(broker, order, OrderStatus.FILLED)

        async def arrived() -> bytes | None:
            return next((body for body in taken if json.loads(body)["status"] == "complete"), None)

        body: bytes = await eventually(arrived)
        forged = json.dumps({**json.loads(body), "filled_quantity": 300, "quantity": 300}).encode()
        for said in (body, forged):
            news = await broker.confirmed_news(said)
            assert isinstance(news, Order)
            assert (news.broker_order_id, news.filled_quantity) == (order, 3)
        with pytest.raises(Denied, match="another client"):
            await broker.confirmed_news(json.dumps({**json.loads(body), "user_id": "XX0000"}).encode())
        with pytest.raises(Rejected):
            await broker.confirmed_news(json.dumps({**json.loads(body), "order_id": "42"}).encode())
        for broken in (b"", b"[]", b"{}", b'{"update_type":"weather"}', body[:-9], b" " * 70_000):
            with pytest.raises(BadAnswer):
                await broker.confirmed_news(broken)
        last = (await broker.last_prices([INFY]))[INFY]
        leg = GttLeg(last * 9 // 10 // 10 * 10, Side.BUY, 1, Product.CNC, 0, OrderKind.MARKET)
        number = await broker.place_gtt(GttRequest(A, INFY, last, (leg,)))

        async def told() -> bytes | None:
            return next((body for body in taken if json.loads(body)["update_type"] == "gtt_order"), None)

        trigger = await broker.confirmed_news(await eventually(told))
        assert isinstance(trigger, Gtt)
        assert (trigger.id, trigger.legs[0].trigger) == (number, leg.trigger)


# -- other ways to begin ---------------------------------------------------------------------------------------------


async def test_a_login_approved_on_the_phone_arrives_at_the_registered_address() -> None:
    taken: list[bytes] = []

    def listen(seen: Any) -> bytes:
        taken.append(seen.body)
        return answer(b"{}")

    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00") as exchange:
        async with ScriptedServer(listen) as listener:
            await exchange.control("PUT", "/webhook", {"notifier": listener.url + "/login"})
            login = FACTORY.login(A, exchange.credentials, exchange.endpoints)
            assert isinstance(login, ApprovalLogin)
            asked = await login.request_approval()
            assert asked.notified == listener.url + "/login"
            assert to_datetime(asked.until).date() == date(2026, 11, 21)
            await exchange.control("POST", "/approve", {})

            async def arrived() -> bytes | None:
                return taken[0] if taken else None

            notice: bytes = await eventually(arrived)
            session = await login.approved(notice)
            assert session.user_id == exchange.line["user_id"]
            broker = FACTORY.session(session, exchange.credentials, exchange.endpoints)
            assert (await broker.profile()).user_id == session.user_id
            await broker.close()
            said = json.loads(notice)
            for wrong in ({"client_id": "another"}, {"user_id": "XX0000"}, {"access_token": "a.b.c"}):
                with pytest.raises(LoginFailed):
                    await login.approved(json.dumps({**said, **wrong}).encode())
            for odd in (b"{}", b"no", json.dumps({**said, "message_type": "refresh"}).encode()):
                with pytest.raises(BadAnswer):
                    await login.approved(odd)
        wrong_secret = FACTORY.login(A, replace(exchange.credentials, api_secret=Secret("not-it")), exchange.endpoints)
        assert isinstance(wrong_secret, ApprovalLogin)
        with pytest.raises(LoginFailed) as refused:
            await wrong_secret.request_approval()
        assert "not-it" not in str(refused.value)


async def test_the_sandbox_takes_orders_and_what_it_lacks_is_denied_unsent(
    exchange: Upstox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await logged_in(exchange)).close()  # the list of contracts comes from there: the sandbox has none
    monkeypatch.setattr(hosts, "SANDBOX_HOSTS", frozenset({"127.0.0.1"}))
    login = FACTORY.login(A, exchange.credentials, exchange.endpoints)
    assert isinstance(login, TokenLogin)
    with pytest.raises(LoginFailed, match="sandbox"):
        await login.adopt(Secret("e30.e30.e30"))
    session = await login.adopt(Secret(exchange.line["sandbox_token"]))
    assert session.scopes == ("sandbox",)
    assert session.user_id == exchange.line["user_id"]
    assert session.expires_at - session.issued_at > 29 * 86_400 * 10**9
    broker = FACTORY.session(session, exchange.credentials, exchange.endpoints)
    assert isinstance(broker, UpstoxSession)
    limit = buy(kind=OrderKind.LIMIT, price=100_00)
    order = await broker.place(limit)
    old = await broker.place_v2(limit)
    outcomes = await broker.place_basket([limit, buy(0, kind=OrderKind.LIMIT, price=100_00)])
    assert [one.error is None for one in outcomes] == [True, False]
    await broker.cancel(order)
    with pytest.raises(Rejected):
        await broker.cancel(order)
    await broker.cancel_v2(old)
    reads = (broker.orders, broker.positions, broker.holdings, broker.funds, broker.profile, broker.fills, broker.gtts)
    for read in reads:
        with pytest.raises(Denied, match="tells nothing"):
            await read()
    with pytest.raises(Denied, match="tells nothing"):
        await broker.cancel_many()
    with pytest.raises(Denied, match="tells nothing"):
        await broker.last_prices([INFY])
    await broker.close()


async def test_a_sandbox_token_opens_nothing_else_and_moves_nothing(exchange: Upstox, broker: UpstoxSession) -> None:
    before = {order.broker_order_id for order in await broker.orders()}
    token = exchange.line["sandbox_token"]
    session = replace(broker._session, access_token=Secret(token))
    practising = FACTORY.session(session, exchange.credentials, exchange.endpoints)
    await practising.place(buy())
    with pytest.raises(Rejected):
        await practising.orders()
    await practising.close()
    assert {order.broker_order_id for order in await broker.orders()} == before
