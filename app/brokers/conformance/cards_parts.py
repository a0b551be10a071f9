"""Cards 41 to 45: what only some brokers have."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.brokers.base import BrokerSession
from app.brokers.conformance.door import Fault
from app.brokers.conformance.rig import Rig, card
from app.brokers.parts import CalendarSource, ConversionBroker, GttBroker
from app.domain.errors import OutcomeUnknown, Rejected
from app.domain.gtt import GttLeg, GttRequest, GttStatus
from app.domain.ids import GttId
from app.domain.instrument import Product
from app.domain.order import Side
from app.domain.portfolio import Conversion, PositionKey
from app.runtime.clock import to_datetime

pytestmark = pytest.mark.asyncio


async def far_below(rig: Rig, session: BrokerSession) -> GttRequest:
    """A trigger that no price of the card reaches."""
    instrument = await rig.instrument(session, rig.bench.share)
    last = (await session.last_prices([instrument.id]))[instrument.id]
    low = last * 9 // 10 // instrument.tick_size * instrument.tick_size
    leg = GttLeg(low, Side.BUY, 1, Product.CNC, low, rig.bench.gtt_kind)
    return GttRequest(session.account, instrument.id, last, (leg,))


class TestRestingTriggers:
    """Cards 41 to 43."""

    @card(41, "A trigger that rests at the broker is listed as it was placed, changed as a whole, and deleted.")
    async def test_a_trigger_rests_and_goes(self, rig: Rig) -> None:
        """Each sent once."""
        session = await rig.trader()
        if not isinstance(session, GttBroker):
            pytest.skip("it has no resting triggers")
        request = await far_below(rig, session)
        number = await session.place_gtt(request)
        assert type(number) is str
        found = next(gtt for gtt in await session.gtts() if gtt.id == number)
        assert (found.account, found.instrument, found.status) == (
            session.account,
            request.instrument,
            GttStatus.ACTIVE,
        )
        (leg,) = found.legs
        assert (leg.trigger, leg.side, leg.quantity) == (request.legs[0].trigger, Side.BUY, 1)
        assert (await session.gtt(number)).id == number
        wider = replace(request, legs=(replace(request.legs[0], quantity=2),))
        await session.modify_gtt(number, wider)
        assert (await session.gtt(number)).legs[0].quantity == 2
        await session.delete_gtt(number)
        assert all(gtt.status is not GttStatus.ACTIVE for gtt in await session.gtts() if gtt.id == number)
        assert len(rig.door.sent) == 3

    @card(42, "A trigger that was sent and not answered is OutcomeUnknown and was sent once.")
    async def test_an_unanswered_trigger_is_unknown(self, rig: Rig) -> None:
        """It may rest at the broker."""
        session = await rig.trader()
        if not isinstance(session, GttBroker):
            pytest.skip("it has no resting triggers")
        request = await far_below(rig, session)
        for fault in (Fault.CLOSED, Fault.BROKEN_GATEWAY, Fault.EMPTY):
            seen = len(rig.door.sent)
            rig.door.break_answers(fault, only_sending=True)
            with pytest.raises(OutcomeUnknown) as told:
                await session.place_gtt(request)
            rig.check_words(told.value)
            assert len(rig.door.sent) == seen + 1

    @card(43, "A trigger that the broker does not know is Rejected, not missing.")
    async def test_an_unknown_trigger_is_rejected(self, rig: Rig) -> None:
        """Read and deleted."""
        session = await rig.trader()
        if not isinstance(session, GttBroker):
            pytest.skip("it has no resting triggers")
        for call in (session.gtt, session.delete_gtt):
            with pytest.raises(Rejected) as told:
                await call(GttId("987654"))
            rig.check_words(told.value)


class TestOtherParts:
    """Cards 44 and 45."""

    @card(44, "A conversion that was sent and not answered is OutcomeUnknown and was sent once.")
    async def test_an_unanswered_conversion_is_unknown(self, rig: Rig) -> None:
        """Positions tell what became of it."""
        session = await rig.session()
        if not isinstance(session, ConversionBroker):
            pytest.skip("it converts no positions")
        key = PositionKey(session.account, rig.bench.share, rig.bench.product)
        rig.door.break_answers(Fault.CLOSED, only_sending=True)
        with pytest.raises(OutcomeUnknown) as told:
            await session.convert(Conversion(key, Side.BUY, 1, Product.CNC))
        rig.check_words(told.value)
        assert len(rig.door.sent) == 1

    @card(45, "The calendar knows the sessions of a day: none on a holiday, and each ends after it began.")
    async def test_the_calendar_is_a_calendar(self, rig: Rig) -> None:
        """By the broker's own exchange codes."""
        session = await rig.session()
        if not isinstance(session, CalendarSource):
            pytest.skip("it has no calendar")
        days = await session.market_days()
        assert days
        assert len({(day.on, day.kind) for day in days}) == len(days)
        for day in days:
            assert day.description
            assert all(timing.start < timing.end for timing in day.open)
        assert await session.market_day(days[0].on) == next(day for day in days if day.on == days[0].on)
        today = to_datetime(await session.exchange_time()).date()
        week = [await session.session_timings(today + timedelta(days=n)) for n in range(7)]
        assert any(week)
        assert any(not timings for timings in week), "no day of a week is free"
        assert all(timing.start < timing.end for timings in week for timing in timings)
