"""Cards 26 to 34: orders. Sent at most once, and never called refused or placed without a proof."""

from __future__ import annotations

import pytest

from app.brokers.base import BrokerSession, ReadSession
from app.brokers.conformance.cards_reading import check_order
from app.brokers.conformance.door import Fault
from app.brokers.conformance.rig import Rig, card, order_of, tagged, until
from app.domain.errors import NotPermitted, OutcomeUnknown, RateLimited, Rejected, SessionExpired, Unreachable
from app.domain.ids import BrokerOrderId
from app.domain.order import Order, OrderKind, OrderStatus

pytestmark = pytest.mark.asyncio

LEFT_OPEN = [
    Fault.REFUSED_BY_CDN,
    Fault.WEB_PAGE,
    Fault.EMPTY,
    Fault.OTHER_JSON,
    Fault.NOT_JSON,
    Fault.CUT,
    Fault.CUT_GZIP,
    Fault.BROKEN_GATEWAY,
    Fault.SERVER_ERROR,
    Fault.CLOSED,
]
"""Answers after which an order may or may not exist."""


async def resting(rig: Rig, session: BrokerSession, tag: str) -> Order:
    """An order far below the market that stays open."""
    instrument = await rig.instrument(session, rig.bench.share)
    last = (await session.last_prices([instrument.id]))[instrument.id]
    low = last * 97 // 100 // instrument.tick_size * instrument.tick_size
    number = await session.place(rig.order(tag, kind=OrderKind.LIMIT, price=low, quantity=2))
    return await in_state(session, number, OrderStatus.OPEN)


async def in_state(session: ReadSession, number: BrokerOrderId, status: OrderStatus) -> Order:
    """The order once it has this status."""

    async def look() -> Order | None:
        found = await order_of(session, number)
        return found if found is not None and found.status is status else None

    return await until(look, f"order {number} is {status}")


class TestOrders:
    """Cards 26 to 34."""

    @card(26, "An order goes through: id, book, fills and position agree, in units.")
    async def test_an_order_goes_through(self, rig: Rig) -> None:
        """Bought at the market."""
        session = await rig.trader()
        before = {position.key: position.quantity for position in await session.positions()}
        number = await session.place(rig.order("CARD26", quantity=3))
        assert type(number) is str
        order = await in_state(session, number, OrderStatus.FILLED)
        check_order(order, session)
        assert (order.quantity, order.filled_quantity, order.instrument) == (3, 3, rig.bench.share)
        assert order.tag == "CARD26"
        fills = [fill for fill in await session.fills() if fill.broker_order_id == number]
        assert sum(fill.quantity for fill in fills) == 3
        (position,) = [
            held
            for held in await session.positions()
            if (held.key.instrument, held.key.product) == (rig.bench.share, rig.bench.product)
        ]
        assert position.quantity == before.get(position.key, 0) + 3

    @card(27, "Quantities are units: one lot of a derivative is its lot size, at the broker and back.")
    async def test_a_lot_is_its_units(self, rig: Rig) -> None:
        """Whatever the broker counts in."""
        if not rig.bench.lots:
            pytest.skip("the bench names no derivative")
        session = await rig.trader()
        instrument = await rig.instrument(session, rig.bench.lots)
        assert instrument.lot_size > 1
        last = (await session.last_prices([instrument.id]))[instrument.id]
        low = last * 97 // 100 // instrument.tick_size * instrument.tick_size
        units = instrument.lot_size
        order = rig.order("CARD27", instrument=instrument.id, kind=OrderKind.LIMIT, price=low, quantity=units)
        number = await session.place(order)
        found = await in_state(session, number, OrderStatus.OPEN)
        assert (found.quantity, found.pending_quantity, found.price) == (units, units, low)
        await session.cancel(number)

    @pytest.mark.parametrize("fault", LEFT_OPEN, ids=[fault.name.lower() for fault in LEFT_OPEN])
    @card(28, "A placement that was sent and not answered is OutcomeUnknown, and was sent once.")
    async def test_an_unanswered_placement_is_unknown(self, rig: Rig, fault: Fault) -> None:
        """Not rejected, not repeated, and no dead session from a page that is not the broker's."""
        session = await rig.trader()
        rig.door.break_answers(fault, only_sending=True)
        with pytest.raises(OutcomeUnknown) as told:
            await session.place(rig.order("CARD28"))
        assert len(rig.door.sent) == 1
        rig.check_words(told.value)
        assert await tagged(session, "CARD28") is None  # the door kept it

    @card(29, "An order whose answer was lost is found by its tag.")
    async def test_a_lost_answer_is_found_by_its_tag(self, rig: Rig) -> None:
        """The broker has it; we were not told."""
        session = await rig.trader()
        rig.door.break_answers(Fault.LOST, only_sending=True)
        with pytest.raises(OutcomeUnknown):
            await session.place(rig.order("CARD29"))
        assert len(rig.door.sent) == 1
        rig.door.break_answers(None)
        found = await until(lambda: tagged(session, "CARD29"), "the order of the tag")
        assert found.quantity == 1

    @card(30, "A placement that provably never left is Unreachable, not unknown.")
    async def test_what_never_left_is_unreachable(self, rig: Rig) -> None:
        """Nobody is at the other end."""
        session = await rig.trader()
        await session.close()
        session = await rig.trader()
        await rig.door.shut()
        with pytest.raises(Unreachable) as told:
            await session.place(rig.order("CARD30"))
        rig.check_words(told.value)
        assert rig.door.sent == []

    @card(31, "An order that the broker refuses is Rejected in words, with the broker's kind, and was sent once.")
    async def test_a_refused_order_is_rejected(self, rig: Rig) -> None:
        """No fill, no second try."""
        session = await rig.trader()
        assert rig.bench.refused is not None, "the bench names no order that is refused"
        with pytest.raises(Rejected) as told:
            await session.place(rig.bench.refused)
        rig.check_words(told.value)
        assert told.value.kind
        assert len(rig.door.sent) == 1

    @card(32, "A placement is told apart: too many requests, plan or address refused, session dead. Each sent once.")
    async def test_refusals_of_a_placement_are_told_apart(self, rig: Rig) -> None:
        """The engine does something else after each."""
        session = await rig.trader()
        rig.door.break_answers(rig.bench.too_many, only_sending=True)
        with pytest.raises(RateLimited):
            await session.place(rig.order("CARD32A"))
        for canned in rig.bench.not_permitted:
            rig.door.break_answers(canned, only_sending=True)
            with pytest.raises(NotPermitted):
                await session.place(rig.order("CARD32B"))
        rig.door.break_answers(None)
        assert len(rig.door.sent) == 1 + len(rig.bench.not_permitted)
        dying = await rig.trader()
        await rig.bench.expire()
        rig.bench.remembered = None
        with pytest.raises(SessionExpired):
            await dying.place(rig.order("CARD32C"))
        assert len(rig.door.sent) == 2 + len(rig.bench.not_permitted)

    @card(33, "A resting order is modified and cancelled, each sent once; what is over cannot be cancelled: Rejected.")
    async def test_an_order_is_modified_and_cancelled(self, rig: Rig) -> None:
        """Quantity is the order's total."""
        session = await rig.trader()
        order = await resting(rig, session, "CARD33")
        assert order.price is not None
        lower = order.price - (await rig.instrument(session, rig.bench.share)).tick_size
        seen = len(rig.door.sent)
        await session.modify(order.broker_order_id, price=lower, quantity=3)

        async def changed() -> Order | None:
            found = await order_of(session, order.broker_order_id)
            return found if found is not None and found.price == lower else None

        assert (await until(changed, "the new price")).quantity == 3
        assert len(rig.door.sent) == seen + 1
        await session.cancel(order.broker_order_id)
        await in_state(session, order.broker_order_id, OrderStatus.CANCELLED)
        with pytest.raises(Rejected):
            await session.cancel(order.broker_order_id)

    @card(34, "A change or cancellation that was not answered is OutcomeUnknown and was sent once.")
    async def test_an_unanswered_change_is_unknown(self, rig: Rig) -> None:
        """It may have been done."""
        session = await rig.trader()
        order = await resting(rig, session, "CARD34")
        assert order.price is not None
        seen = len(rig.door.sent)
        rig.door.break_answers(Fault.CLOSED, only_sending=True)
        with pytest.raises(OutcomeUnknown):
            await session.modify(order.broker_order_id, quantity=1)
        with pytest.raises(OutcomeUnknown):
            await session.cancel(order.broker_order_id)
        assert len(rig.door.sent) == seen + 2
        rig.door.break_answers(None)
        await session.cancel(order.broker_order_id)
