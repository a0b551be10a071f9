"""Our Upstox adapter against the paper exchange, a process that shares no code with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import pytest

from app.brokers.base import Credentials
from app.brokers.parts import TokenLogin
from app.brokers.upstox.adapter import UpstoxSession
from app.domain.errors import Denied, LoginFailed, Rejected, SessionExpired
from app.domain.gtt import Gtt, GttKind, GttLeg, GttRequest, GttRole, GttStatus
from app.domain.ids import BrokerOrderId, GttId, InstrumentId, Tag
from app.domain.instrument import Exchange, InstrumentKind, Product
from app.domain.market import Interval
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side, Variety
from app.domain.portfolio import Conversion
from app.runtime.clock import IST, to_datetime
from app.runtime.secret import Secret
from tests.contract.upstox.conftest import FACTORY, A, Upstox
from tests.fakes.paper_exchange import eventually

INFY = InstrumentId("NSE:INFY")


def buy(quantity: int = 10, **changes: object) -> OrderRequest:
    request = OrderRequest(A, INFY, Side.BUY, quantity, Product.MIS, OrderKind.MARKET)
    return replace(request, **changes)  # type: ignore[arg-type]  # any field of the request


async def traded_at(broker: UpstoxSession) -> int:
    """A price that INFY just had."""
    order = await broker.place(buy(1))

    async def average() -> int | None:
        return (await broker.order_details(order)).average_price

    return int(await eventually(average))


async def reaches(broker: UpstoxSession, order: BrokerOrderId, status: OrderStatus) -> bool:
    async def there() -> bool:
        return (await broker.order_details(order)).status is status

    return bool(await eventually(there))


async def test_a_login_ends_in_a_session_that_dies_when_its_token_says(exchange: Upstox) -> None:
    session = await exchange.log_in()
    assert session.user_id == exchange.line["user_id"]
    assert to_datetime(session.expires_at) == datetime(2026, 11, 21, 3, 30, tzinfo=IST)
    assert session.access_token.reveal() not in repr(session)


async def test_a_wrong_secret_and_a_used_code_fail_in_words(exchange: Upstox) -> None:
    wrong = Credentials(exchange.credentials.api_key, Secret("not-the-secret"))
    login = FACTORY.login(A, wrong, exchange.endpoints)
    code = (await exchange.browse(login.login_url("s"))).partition("code=")[2].partition("&")[0]
    with pytest.raises(LoginFailed) as caught:
        await login.exchange(code)
    assert "not-the-secret" not in str(caught.value)
    right = FACTORY.login(A, exchange.credentials, exchange.endpoints)
    code = (await exchange.browse(right.login_url("s"))).partition("code=")[2].partition("&")[0]
    await right.exchange(code)
    with pytest.raises(LoginFailed):
        await right.exchange(code)


async def test_logout_kills_the_session_and_a_dead_one_may_be_logged_out(exchange: Upstox) -> None:
    session = await exchange.log_in()
    login = FACTORY.login(A, exchange.credentials, exchange.endpoints)
    await login.logout(session)
    await login.logout(session)
    broker = FACTORY.session(session, exchange.credentials, exchange.endpoints)
    for read in (broker.orders, broker.fills, broker.positions, broker.holdings, broker.funds, broker.profile):
        with pytest.raises(SessionExpired):
            await read()
    await broker.close()


async def test_an_analytics_token_made_by_hand_reads_and_takes_no_orders(exchange: Upstox) -> None:
    login = FACTORY.login(A, exchange.credentials, exchange.endpoints)
    assert isinstance(login, TokenLogin)
    session = await login.adopt(Secret(exchange.line["analytics_token"]))
    assert session.scopes == ("read",)
    assert session.user_id == exchange.line["user_id"]
    broker = FACTORY.session(session, exchange.credentials, exchange.endpoints)
    await broker.instruments()
    assert await broker.orders() is not None
    with pytest.raises(Denied, match="only reads"):
        await broker.place(buy())
    with pytest.raises(Denied, match="only reads"):
        broker.exit_line().prepare(buy())
    await broker.close()


async def test_profile_funds_and_clock(broker: UpstoxSession, exchange: Upstox) -> None:
    assert (await broker.profile()).user_id == exchange.line["user_id"]
    assert (await broker.funds()).available > 0
    reading = await broker.exchange_clock()
    assert to_datetime(reading.now).date().isoformat() == "2026-11-20"
    assert broker.paper


async def test_the_instrument_list_has_every_kind_with_the_numbers_of_the_other_broker(broker: UpstoxSession) -> None:
    found = {one.id: one for one in await broker.instruments()}
    assert {one.kind for one in found.values()} == set(InstrumentKind)
    assert (found[INFY].token, found[INFY].key, found[INFY].tick_size) == (408065, "NSE_EQ|INE009A01021", 10)
    assert found[InstrumentId("NSE:NIFTY 50")].key == "NSE_INDEX|Nifty 50"


async def test_a_market_order_is_filled_and_stands_in_every_book(broker: UpstoxSession) -> None:
    order = await broker.place(buy(tag=Tag("ABCDEFABCDEF0101")))
    assert await reaches(broker, order, OrderStatus.FILLED)
    found = next(one for one in await broker.orders() if one.broker_order_id == order)
    assert (found.instrument, found.tag, found.product) == (INFY, "ABCDEFABCDEF0101", Product.MIS)
    assert (found.filled_quantity, found.pending_quantity) == (10, 0)
    fills = [fill for fill, raw in await broker.reported_fills() if fill.broker_order_id == order and raw]
    assert sum(fill.quantity for fill in fills) == 10
    assert fills == list(await broker.order_fills(order))
    assert fills[0].id.trade_date == "2026-11-20"
    position = next(one for one in await broker.positions() if one.key.instrument == INFY)
    assert position.key.product is Product.MIS
    assert position.buy_quantity >= 10
    assert [one.status for one in await broker.order_history(order)][-1] is OrderStatus.FILLED


async def test_a_resting_order_is_changed_and_cancelled(broker: UpstoxSession) -> None:
    last = await traded_at(broker)
    low = last * 95 // 100 // 10 * 10
    order = await broker.place(buy(kind=OrderKind.LIMIT, price=low))
    assert await reaches(broker, order, OrderStatus.OPEN)
    await broker.modify(order, price=low - 100, quantity=12)

    async def changed() -> bool:
        now = await broker.order_details(order)
        return (now.price, now.quantity) == (low - 100, 12)

    assert await eventually(changed)
    await broker.cancel(order)
    assert await reaches(broker, order, OrderStatus.CANCELLED)
    with pytest.raises(Rejected):
        await broker.cancel(order)


@pytest.mark.parametrize("market", [Exchange.NSE, Exchange.NFO])
async def test_quantities_go_out_as_the_broker_counts_them(broker: UpstoxSession, market: Exchange) -> None:
    """Units in shares and equity derivatives: one lot of each market is taken as such, and stands in the position."""
    kinds = (InstrumentKind.FUTURE, InstrumentKind.SHARE)
    one = next(i for i in await broker.instruments() if i.exchange is market and i.kind in kinds)
    product = Product.MIS if one.kind is InstrumentKind.SHARE else Product.NRML
    order = await broker.place(OrderRequest(A, one.id, Side.BUY, one.lot_size, product, OrderKind.MARKET))
    assert await reaches(broker, order, OrderStatus.FILLED)
    found = await broker.order_details(order)
    assert (found.instrument, found.quantity, found.product) == (one.id, one.lot_size, product)
    position = next(p for p in await broker.positions() if p.key.instrument == one.id)
    assert position.quantity == one.lot_size


async def test_a_basket_ends_line_by_line(broker: UpstoxSession) -> None:
    last = await traded_at(broker)
    low = last * 95 // 100 // 10 * 10
    good = buy(kind=OrderKind.LIMIT, price=low)
    outcomes = await broker.place_basket([good, buy(quantity=0, kind=OrderKind.LIMIT, price=low), good])
    assert outcomes[0].order is not None
    assert isinstance(outcomes[1].error, Rejected)
    assert outcomes[2].order is not None
    assert await reaches(broker, outcomes[0].order, OrderStatus.OPEN)
    assert await reaches(broker, outcomes[2].order, OrderStatus.OPEN)
    cancelled, refused = await broker.cancel_many()
    assert {outcomes[0].order, outcomes[2].order} <= set(cancelled)
    assert not refused


async def test_after_market_orders_keep_their_variety(broker: UpstoxSession) -> None:
    request = buy(variety=Variety.ICEBERG, iceberg_legs=2)
    with pytest.raises(Denied, match="iceberg"):
        await broker.place(request)


async def test_what_an_order_costs(broker: UpstoxSession) -> None:
    last = await traded_at(broker)
    cost = await broker.cost(buy(product=Product.CNC), last)
    assert cost.margin > 0
    assert cost.charges.transaction_tax > 0
    assert cost.charges.total > cost.charges.gst > 0


async def test_a_position_changes_its_product(broker: UpstoxSession) -> None:
    await broker.place(buy())

    async def position(product: Product) -> object:
        return next(
            (
                p
                for p in await broker.positions()
                if p.key.instrument == INFY and p.key.product is product and p.quantity >= 10
            ),
            None,
        )

    held = await eventually(lambda: position(Product.MIS))
    await broker.convert(Conversion(held.key, Side.BUY, 10, Product.CNC))
    assert await eventually(lambda: position(Product.CNC))


async def test_candles_come_oldest_first_with_today_among_them(broker: UpstoxSession) -> None:
    infy = next(one for one in await broker.instruments() if one.id == INFY)
    now = (await broker.exchange_clock()).now
    candles = await broker.candles(infy, Interval.MINUTE, now - 3 * 86_400_000_000_000, now)
    assert candles
    assert [one.start for one in candles] == sorted({one.start for one in candles})
    assert to_datetime(candles[-1].start).date().isoformat() == "2026-11-20"


async def test_the_calendar_and_the_registered_addresses_are_read(broker: UpstoxSession) -> None:
    days = await broker.market_days()
    assert days
    assert all(day.on.year == 2026 for day in days)
    assert await broker.market_day(days[0].on) == days[0]
    assert await broker.market_day(date(2026, 11, 20)) is None
    timings = await broker.session_timings(to_datetime((await broker.exchange_clock()).now).date())
    assert {timing.exchange for timing in timings} >= {"NSE", "NFO"}
    assert isinstance(await broker.registered_addresses(), list)


async def test_the_history_of_trades_is_read_page_by_page(broker: UpstoxSession) -> None:
    day = to_datetime((await broker.exchange_clock()).now).date()
    page = await broker.fills_between(day, day)
    assert page.number == 1
    with pytest.raises(Denied):
        await broker.fills_between(day, day.replace(year=2025))


async def test_a_gtt_is_placed_listed_changed_and_ended(broker: UpstoxSession) -> None:
    last = await traded_at(broker)
    trigger = last * 90 // 100 // 10 * 10
    leg = GttLeg(trigger, Side.BUY, 10, Product.CNC, 0, OrderKind.MARKET)
    gtt = await broker.place_gtt(GttRequest(A, INFY, last, (leg,)))
    found = await broker.gtt(gtt)
    assert (found.status, found.instrument, found.legs[0].trigger) == (GttStatus.ACTIVE, INFY, trigger)
    await broker.modify_gtt(gtt, GttRequest(A, INFY, last, (replace(leg, trigger=trigger - 100),)))
    assert (await broker.gtt(gtt)).legs[0].trigger == trigger - 100
    assert gtt in [one.id for one in await broker.gtts()]
    await broker.delete_gtt(gtt)
    assert (await broker.gtt(gtt)).status is GttStatus.CANCELLED
    with pytest.raises(Rejected):
        await broker.delete_gtt(GttId("GTT-C0000000000"))


async def test_an_entry_with_exits_lives_from_its_placement_to_its_stop(
    broker: UpstoxSession, exchange: Upstox
) -> None:
    last = await traded_at(broker)
    entry = GttLeg(last, Side.BUY, 7, Product.MIS, 0, OrderKind.MARKET, GttRole.ENTRY, at_once=True)
    target = replace(entry, trigger=rounded(last * 105), side=Side.SELL, role=GttRole.TARGET, at_once=False)
    stop = replace(target, trigger=rounded(last * 95), role=GttRole.STOP)
    request = GttRequest(A, INFY, last, (entry, target, stop))
    number = await broker.place_gtt(request)

    async def entered() -> Gtt | None:
        found = await broker.gtt(number)
        return found if found.entered else None

    found: Gtt = await eventually(entered)
    assert (found.kind, found.status, found.legs) == (GttKind.BRACKET, GttStatus.ACTIVE, request.legs)
    bought = found.results[0]
    assert bought is not None
    assert bought.order is not None
    assert await reaches(broker, bought.order, OrderStatus.FILLED)
    nearer = replace(stop, trigger=stop.trigger + 100)
    await broker.modify_gtt(number, replace(request, legs=(entry, target, nearer)))
    assert (await broker.gtt(number)).legs[2].trigger == nearer.trigger
    await exchange.control("PUT", "/market", {INFY: (nearer.trigger - 100) / 100})

    async def over() -> Gtt | None:
        now = await broker.gtt(number)
        return now if now.status is GttStatus.TRIGGERED else None

    ended: Gtt = await eventually(over)
    assert (ended.results[1], ended.failed) == (None, False)
    with pytest.raises(Rejected):
        await broker.delete_gtt(number)


def rounded(hundredfold: int) -> int:
    return hundredfold // 100 // 10 * 10


async def test_the_older_calls_still_place_change_and_cancel(broker: UpstoxSession) -> None:
    last = await traded_at(broker)
    low = last * 95 // 100 // 10 * 10
    order = await broker.place_v2(buy(kind=OrderKind.LIMIT, price=low))
    assert await reaches(broker, order, OrderStatus.OPEN)
    await broker.modify_v2(await broker.order_details(order), price=low - 100)

    async def changed() -> bool:
        return (await broker.order_details(order)).price == low - 100

    assert await eventually(changed)
    await broker.cancel_v2(order)
    assert await reaches(broker, order, OrderStatus.CANCELLED)


async def test_quotes_tell_depth_limits_and_the_day(broker: UpstoxSession) -> None:
    nifty, unknown = InstrumentId("NSE:NIFTY 50"), InstrumentId("NSE:NOBODY")
    asked = [INFY, nifty, unknown]
    found = await broker.quotes(asked)
    assert found.keys() == {INFY, nifty}
    share, index = found[INFY], found[nifty]
    assert share.tick.depth is not None
    assert share.tick.depth.bids[0].price < share.tick.depth.asks[0].price
    assert share.lower_circuit is not None
    assert share.upper_circuit is not None
    assert share.lower_circuit < share.tick.last_price < share.upper_circuit
    assert share.tick.close is not None
    assert (index.tick.depth, index.tick.volume) == (None, None)
    days = await broker.day_prices(asked)
    assert days[INFY].open == share.tick.open
    assert days.keys() == {INFY, nifty}
