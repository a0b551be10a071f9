"""Resting triggers, varieties, conversions and what else Kite has, against the paper exchange over its wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from app.brokers.registry import Registry
from app.brokers.zerodha.adapter import ZerodhaSession
from app.domain.errors import AddressRefused, Rejected
from app.domain.gtt import Gtt, GttLeg, GttRequest, GttStatus
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.money import Price
from app.domain.order import OrderKind, OrderRequest, Side
from tests.contract.zerodha.test_session import log_in
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange

A = AccountId("zerodha-paper")
INFY = InstrumentId("NSE:INFY")
FUTURE = InstrumentId("NFO:NIFTY26NOVFUT")
FACTORY = Registry().factory("zerodha")


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with paper_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00") as running:
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


async def test_a_two_leg_trigger_fires_one_leg_and_its_order_is_in_the_book(broker: ZerodhaSession) -> None:
    await broker.place(buy(2, Product.CNC))
    last = await last_price(broker)
    stop, target = leg(last * 80 // 100, Side.SELL), leg(last + 10, Side.SELL)
    target = replace(target, price=last * 97 // 100 // 10 * 10)
    number = await broker.place_gtt(GttRequest(A, INFY, last, (stop, target)))

    async def fired() -> Gtt | None:
        gtt = await broker.gtt(number)
        return gtt if gtt.status is GttStatus.TRIGGERED else None

    gtt = await eventually(fired, within=30)
    assert gtt.results[0] is None
    assert gtt.results[1] is not None
    assert gtt.results[1].order in {order.broker_order_id for order in await broker.orders()}
    assert not gtt.failed


async def test_a_refused_address_is_no_dead_session(broker: ZerodhaSession, exchange: PaperExchange) -> None:
    await exchange.control("PUT", "/faults", {"faults": ["static_ip=on"]})
    try:
        with pytest.raises(AddressRefused) as caught:
            await broker.place(buy())
        assert caught.value.address == "127.0.0.1"
        assert "developer console" in str(caught.value)
        assert (await broker.profile()).user_id  # reads go on
    finally:
        await exchange.control("PUT", "/faults", {"faults": ["static_ip=off"]})


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
