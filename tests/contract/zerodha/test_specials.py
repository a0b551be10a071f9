"""Resting triggers, varieties, conversions and what else Kite has, against the paper exchange over its wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from app.brokers.parts import RefreshingLogin
from app.brokers.registry import Registry
from app.brokers.zerodha.adapter import ZerodhaSession
from app.brokers.zerodha.postback import order_from_postback
from app.domain.alert import AlertKind, AlertRequest, AlertStatus, Comparison
from app.domain.errors import AddressRefused, BadAnswer, PlanRefused, Rejected, SessionExpired
from app.domain.gtt import Gtt, GttLeg, GttRequest, GttStatus
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Tag
from app.domain.instrument import Exchange, Product
from app.domain.money import Price
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side, Variety
from app.domain.portfolio import Conversion
from app.runtime.secret import Secret
from tests.contract.zerodha.test_session import filled, log_in
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange
from tests.fakes.scripted_server import ScriptedServer, Seen, answer

A = AccountId("zerodha-paper")
INFY = InstrumentId("NSE:INFY")
SBIN = InstrumentId("NSE:SBIN")
FACTORY = Registry().factory("zerodha")


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    options = ("--seed", "7", "--clock", "2026-11-20T10:00:00", "--opening-position", "NSE:SBIN=20@CNC")
    with paper_exchange(*options, "--fault", "limits=off") as running:
        yield running


@pytest.fixture
async def broker(exchange: PaperExchange) -> AsyncIterator[ZerodhaSession]:
    session = FACTORY.session(await log_in(exchange), exchange.credentials, exchange.endpoints)
    assert isinstance(session, ZerodhaSession)
    yield session
    await session.close()


def buy(quantity: int = 10, product: Product = Product.MIS) -> OrderRequest:
    return OrderRequest(A, INFY, Side.BUY, quantity, product, OrderKind.MARKET)


async def last_price(broker: ZerodhaSession) -> Price:
    return (await broker.last_prices([INFY]))[INFY]


async def cancelled(broker: ZerodhaSession, order: BrokerOrderId) -> None:
    """Waits until it works, then takes it back."""

    async def works() -> bool:
        return (await broker.order_history(order))[-1].status in (OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING)

    await eventually(works)
    await broker.cancel(order)


def leg(trigger: Price, side: Side = Side.BUY) -> GttLeg:
    return GttLeg(trigger // 10 * 10, side, 2, Product.CNC, trigger // 10 * 10)


async def test_a_trigger_is_placed_read_changed_and_taken_back(broker: ZerodhaSession) -> None:
    last = await last_price(broker)
    request = GttRequest(A, INFY, last, (leg(last * 80 // 100),))
    number = await broker.place_gtt(request)
    placed = await broker.gtt(number)
    assert (placed.id, placed.status, placed.legs, placed.last_price) == (number, GttStatus.ACTIVE, request.legs, last)
    assert placed in await broker.gtts()
    moved = replace(request, legs=(replace(request.legs[0], quantity=3),))
    await broker.modify_gtt(number, moved)
    assert (await broker.gtt(number)).legs == moved.legs
    await broker.delete_gtt(number)
    assert (await broker.gtt(number)).status is GttStatus.DELETED
    with pytest.raises(Rejected):
        await broker.delete_gtt(number)


async def test_a_two_leg_trigger_fires_one_leg_and_its_order_is_in_the_book(
    broker: ZerodhaSession, exchange: PaperExchange
) -> None:
    await broker.place(buy(2, Product.CNC))
    last = await last_price(broker)
    stop, target = leg(last * 80 // 100, Side.SELL), leg(last + 500, Side.SELL)
    target = replace(target, price=last * 97 // 100 // 10 * 10)
    number = await broker.place_gtt(GttRequest(A, INFY, last, (stop, target)))
    await exchange.control("PUT", "/market", {INFY: target.trigger / 100})

    async def fired() -> Gtt | None:
        gtt = await broker.gtt(number)
        return gtt if gtt.status is GttStatus.TRIGGERED else None

    gtt = await eventually(fired, within=30)
    assert gtt.results[0] is None
    assert gtt.results[1] is not None
    assert gtt.results[1].order in {order.broker_order_id for order in await broker.orders()}
    assert not gtt.failed


async def test_a_position_is_converted_and_a_wrong_conversion_is_refused(broker: ZerodhaSession) -> None:
    await broker.place(replace(buy(5), tag=None))

    async def held() -> bool:
        return any(p.key.product is Product.MIS and p.quantity >= 5 for p in await broker.positions())

    await eventually(held)
    (key,) = [p.key for p in await broker.positions() if p.key.product is Product.MIS and p.key.instrument == INFY]
    before = {p.key: p.quantity for p in await broker.positions()}
    await broker.convert(Conversion(key, Side.BUY, 5, Product.CNC))
    after = {p.key: p.quantity for p in await broker.positions()}
    carried = replace(key, product=Product.CNC)
    assert (after.get(key, 0), after[carried]) == (before[key] - 5, before.get(carried, 0) + 5)
    with pytest.raises(Rejected):
        await broker.convert(Conversion(key, Side.BUY, 10_000, Product.CNC))


async def test_a_refused_address_is_no_dead_session(broker: ZerodhaSession, exchange: PaperExchange) -> None:
    await exchange.control("POST", "/faults", {"faults": ["static_ip=on"]})
    try:
        with pytest.raises(AddressRefused) as caught:
            await broker.place(buy())
        assert caught.value.address == "127.0.0.1"
        assert "developer console" in str(caught.value)
        assert (await broker.profile()).user_id  # reads go on
    finally:
        await exchange.control("POST", "/faults", {"faults": ["static_ip=off"]})


async def test_the_margin_of_a_basket_and_the_note_of_its_orders(broker: ZerodhaSession) -> None:
    last = await last_price(broker)
    orders = [(buy(10), last), (replace(buy(10), side=Side.SELL), last)]
    basket = await broker.basket_margin(orders)
    assert len(basket.orders) == 2
    assert basket.final.total <= basket.initial.total
    bought, sold = await broker.contract_note(orders)
    assert (bought.side, sold.side, sold.quantity) == (Side.BUY, Side.SELL, 10)
    assert sold.charges.transaction_tax > bought.charges.transaction_tax
    alone = await broker.order_margins([request for request, _ in orders])
    assert all(one.total > 0 for one in alone)


async def test_an_iceberg_goes_leg_by_leg_and_an_amo_waits(broker: ZerodhaSession) -> None:
    low = await last_price(broker) * 95 // 100 // 10 * 10
    resting = replace(buy(10), kind=OrderKind.LIMIT, price=low)
    await broker.place(replace(resting, variety=Variety.ICEBERG, iceberg_legs=5, tag=Tag("ICE1")))
    legs = [order for order in await broker.orders() if order.tag == "ICE1"]
    assert legs[0].iceberg is not None
    assert (legs[0].quantity, legs[0].iceberg.legs, legs[0].iceberg.total_quantity) == (2, 5, 10)
    await cancelled(broker, legs[0].broker_order_id)


async def test_slices_of_an_order_above_the_freeze_are_told_in_both_shapes(
    broker: ZerodhaSession, exchange: PaperExchange
) -> None:
    listed = await broker.instruments(Exchange.NFO)
    option = min((i for i in listed if i.is_option and i.name == "NIFTY"), key=lambda i: (i.expiry, i.strike))
    request = OrderRequest(
        A, option.id, Side.BUY, option.lot_size * 60, Product.NRML, OrderKind.LIMIT, option.tick_size, autoslice=True
    )
    for shape in ("children", "list"):
        await exchange.control("POST", "/faults", {"faults": [f"autoslice_answer={shape}"]})
        placement = await broker.place_sliced(replace(request, tag=Tag(f"SLICE{shape}")))
        slices = [one for one in placement.slices if one.order is not None]
        assert len(placement.slices) > 1
        rows = {order.broker_order_id: order for order in await broker.orders()}
        for one in slices:
            assert one.order is not None
            assert any(tag.startswith("autoslice") for tag in rows[one.order].tags)
            if not rows[one.order].status.is_final:
                await cancelled(broker, one.order)


async def test_a_protected_market_order_shows_its_band(broker: ZerodhaSession) -> None:
    await broker.place(replace(buy(1), tag=Tag("BAND1")))
    order = await filled(broker, "BAND1")
    assert order.status is OrderStatus.FILLED
    assert (order.kind, order.protection is not None) == (OrderKind.LIMIT, True)


async def test_a_cover_order_is_left_by_its_second_leg(broker: ZerodhaSession) -> None:
    last = await last_price(broker)
    trigger = last * 98 // 100 // 10 * 10
    await broker.place(replace(buy(3), variety=Variety.CO, trigger_price=trigger, tag=Tag("COVER1")))
    await filled(broker, "COVER1")

    async def second() -> bool:
        return any(order.variety == Variety.CO and order.parent is not None for order in await broker.orders())

    await eventually(second)
    (leg_two,) = [o for o in await broker.orders() if o.variety == Variety.CO and o.parent is not None]
    await broker.modify(leg_two.broker_order_id, trigger_price=trigger - 100)

    async def moved() -> bool:  # one change at a time: a cancel on its heels would be refused
        return any(
            (order.broker_order_id, order.trigger_price) == (leg_two.broker_order_id, trigger - 100)
            for order in await broker.orders()
        )

    await eventually(moved)
    await cancelled(broker, leg_two.broker_order_id)


async def test_holdings_and_auctions_are_told(broker: ZerodhaSession, exchange: PaperExchange) -> None:
    held = {h.instrument: h for h in await broker.holdings()}
    assert (held[SBIN].quantity, held[SBIN].product, held[SBIN].sellable) == (20, Product.CNC, 20)
    assert await broker.auctions() == []
    await exchange.control("PUT", "/auction", {"instrument": SBIN, "number": "22"})
    (offer,) = await broker.auctions()
    assert (offer.instrument, offer.auction_number) == (SBIN, "22")
    price = held[SBIN].last_price // 10 * 10
    sale = OrderRequest(A, SBIN, Side.SELL, 5, Product.CNC, OrderKind.LIMIT, price)
    number = await broker.place(replace(sale, variety=Variety.AUCTION, auction_number="22"))
    assert (await broker.order_history(number))[-1].auction_number == "22"
    await cancelled(broker, number)


async def test_alerts_are_kept_by_the_broker(broker: ZerodhaSession) -> None:
    request = AlertRequest(A, "INFY high", INFY, Comparison.AT_LEAST, Decimal(100_000))
    alert = await broker.create_alert(request)
    assert alert in await broker.alerts()
    changed = await broker.modify_alert(alert.id, replace(request, amount=Decimal(200_000)))
    assert changed.amount == Decimal(200_000)
    assert await broker.alert_history(alert.id) == []
    await broker.delete_alerts([alert.id])
    assert alert.id not in {one.id for one in await broker.alerts() if one.status is not AlertStatus.DELETED}


async def test_an_alert_that_fired_is_in_its_history(broker: ZerodhaSession, exchange: PaperExchange) -> None:
    last = await last_price(broker)
    alert = await broker.create_alert(AlertRequest(A, "INFY now", INFY, Comparison.AT_LEAST, Decimal(last) / 200))

    async def fired() -> bool:
        return bool(await broker.alert_history(alert.id))

    await eventually(fired, within=30)
    (firing, *_) = await broker.alert_history(alert.id)
    assert (firing.alert, firing.kind) == (alert.id, AlertKind.SIMPLE)
    assert firing.at > 0
    (told,) = [one for one in await broker.alerts() if one.id == alert.id]
    assert told.fired >= 1


async def test_a_key_without_the_data_plan_trades_and_has_no_prices(
    broker: ZerodhaSession, exchange: PaperExchange
) -> None:
    await exchange.control("POST", "/faults", {"faults": ["plan=personal"]})
    try:
        for status in ("403", "400"):
            await exchange.control("POST", "/faults", {"faults": [f"plan_status={status}"]})
            with pytest.raises(PlanRefused) as caught:
                await broker.last_prices([INFY])
            assert "data plan" in str(caught.value)
        assert (await broker.profile()).user_id
        assert await broker.place(buy(1))
    finally:
        await exchange.control("POST", "/faults", {"faults": ["plan=connect", "plan_status=403"]})


async def test_a_session_is_renewed_where_the_broker_gives_a_refresh_token(exchange: PaperExchange) -> None:
    assert (await log_in(exchange)).refresh_token is None
    await exchange.control("POST", "/faults", {"faults": ["renewal=given"]})
    try:
        session = await log_in(exchange)
        login = FACTORY.login(A, exchange.credentials, exchange.endpoints)
        assert isinstance(login, RefreshingLogin)
        fresh = await login.refresh(session)
        assert fresh.access_token != session.access_token
        renewed = FACTORY.session(fresh, exchange.credentials, exchange.endpoints)
        assert (await renewed.profile()).user_id == session.user_id
        await renewed.close()
        await login.logout(fresh)
        with pytest.raises(SessionExpired):
            await login.refresh(fresh)
    finally:
        await exchange.control("POST", "/faults", {"faults": ["renewal=none"]})


async def test_a_postback_of_the_broker_carries_our_signature(broker: ZerodhaSession, exchange: PaperExchange) -> None:
    posted: asyncio.Queue[bytes] = asyncio.Queue()

    def hear(seen: Seen) -> bytes:
        posted.put_nowait(seen.body)
        return answer(b"{}")

    async with ScriptedServer(hear) as listener:
        for content in ("application/json", "application/x-www-form-urlencoded"):  # Kite does not state it
            await exchange.control("POST", "/faults", {"faults": [f"postback_content={content}"]})
            await exchange.control("PUT", "/postback", {"url": listener.url + "/postback"})
            number = await broker.place(buy(1))
            body = await posted.get()
            order = order_from_postback(body, exchange.credentials.api_secret, A)
            assert order.broker_order_id == number
            with pytest.raises(BadAnswer, match="not signed"):
                order_from_postback(body, Secret("another-secret"), A)
            await exchange.control("PUT", "/postback", {"url": ""})
