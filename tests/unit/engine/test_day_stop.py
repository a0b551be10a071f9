"""The portfolio stop at work: closes everything once, halts entries, and survives a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date

import pytest

from app.domain.day_stop import DayBreach, DayLimits, DayStop
from app.domain.errors import Denied, DiskFull
from app.domain.events import AuditEntry, Noticed
from app.domain.gtt import Gtt, GttKind, GttLeg, GttRequest, GttStatus
from app.domain.ids import AccountId, GttId, Tag
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import FiredBy, StopPlan
from app.engine.day_stop import DayGuard
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, OPTION, FakeBroker, Rig

NRML = PositionKey(ACCOUNT, OPTION.id, Product.NRML)
CNC = PositionKey(ACCOUNT, INFY.id, Product.CNC)
MTF = PositionKey(ACCOUNT, INFY.id, Product.MTF)
DAY = 86_400 * 10**9


class Kept:
    def __init__(self) -> None:
        self.stop: DayStop | None = None
        self.full = False
        self.slow = 0.0
        self.lines: list[str] = []

    async def load(self, account: AccountId) -> DayStop | None:
        if self.full:
            raise DiskFull("The disk is full.")
        return self.stop

    async def save(self, stop: DayStop, entry: AuditEntry | None = None) -> None:
        await asyncio.sleep(self.slow)
        self.stop = stop
        if entry is not None:
            self.lines.append(entry.what)


class Desk:
    def __init__(self, rig: Rig, kept: Kept | None = None) -> None:
        self.rig = rig
        self.kept = kept or Kept()
        self.net: int | None = 0
        self.open = True
        self.guard = DayGuard(
            rig.state,
            rig.engine,
            rig.orders,
            self.kept,
            lambda: self.net,
            lambda day: date.fromordinal(day.toordinal() + 1),
            lambda: self.open,
            rig.events.append,
        )
        rig.orders.gate, rig.orders.gtts.gate = self.guard.admit, self.guard.admit_gtt
        rig.tasks.start(self.guard.run(), "portfolio stop")

    async def at(self, net: int | None, seconds: float = 2.0) -> None:
        self.net = net
        await asyncio.sleep(seconds)


def play(script: Callable[[Desk], Awaitable[None]]) -> Desk:
    async def scene() -> Desk:
        desk = Desk(Rig())
        await script(desk)
        await desk.rig.tasks.stop()
        return desk

    return run(scene())


def entry(side: Side = Side.BUY, quantity: int = 10) -> OrderRequest:
    return OrderRequest(ACCOUNT, INFY.id, side, quantity, KEY.product, OrderKind.MARKET)


def test_it_guards_while_something_is_open_that_it_may_have_to_close() -> None:
    async def script(desk: Desk) -> None:
        guard = desk.guard
        assert (guard.guards, guard.may_guard) == (False, False)
        await guard.set_limits(DayLimits(loss=500_000))
        assert (guard.guards, guard.may_guard) == (False, True), "what is open is not known yet"
        await desk.rig.state.read_positions()
        assert not guard.may_guard
        desk.rig.broker.hold(NRML, -500)
        desk.rig.last[OPTION.id] = 5_000
        await desk.rig.state.read_positions()
        assert guard.guards
        await desk.at(-500_000, 15)
        assert guard.stop.flat
        assert not guard.may_guard

    play(script)


def test_what_an_earlier_run_left_is_known_before_the_accounts_day_is() -> None:
    async def script(desk: Desk) -> None:
        day = DayStop(ACCOUNT, "2020-01-01", DayLimits(loss=500_000), halted=DayBreach.LOSS, until="2020-01-02")
        again = Desk(desk.rig, Kept())
        again.kept.stop = day
        await again.guard.peek()
        assert again.guard.stop == day
        assert again.guard.guards

    play(script)


def test_a_loss_closes_every_position_once_with_and_without_a_stop() -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        await desk.guard.set_limits(DayLimits(loss=500_000))
        await rig.guard(KEY, 100)
        rig.broker.hold(NRML, -500)
        rig.broker.hold(CNC, -7)
        rig.broker.hold(MTF, -3)
        rig.last[OPTION.id] = 5_000
        await desk.at(-499_999)
        assert rig.broker.placed == []
        await desk.at(-500_000, 15)
        assert desk.guard.stop.halted is DayBreach.LOSS
        assert desk.guard.stop.flat
        assert (rig.broker.held[KEY], rig.broker.held[NRML]) == (0, 0)
        kept = (rig.broker.held[CNC], rig.broker.held[MTF])
        assert kept == (-7, -3), "a holding that was sold today is not bought back"
        assert {stop.fired_by for stop in rig.engine.stops} == {FiredBy.PORTFOLIO}
        assert desk.kept.lines == ["limits", "halted", "flat"]
        told = [alarm for alarm in rig.alarms if alarm.startswith("The day stood at -₹5,000.00. ")]
        assert ["being closed" in alarm for alarm in told] == [True, False]
        assert "Every position is closed." in told[-1]

    desk = play(script)
    assert sorted((r.side, r.quantity) for r in desk.rig.broker.placed) == [(Side.BUY, 500), (Side.SELL, 100)]


def test_a_journal_that_cannot_be_read_is_read_again_and_lets_no_entry_through_meanwhile() -> None:
    async def scene() -> None:
        rig, kept = Rig(), Kept()
        kept.stop = DayStop(ACCOUNT, "2026-11-25", DayLimits(loss=500_000))
        kept.full = True
        desk = Desk(rig, kept)
        await asyncio.sleep(3)
        assert [alarm for alarm in rig.alarms if "disk is full" in alarm]
        with pytest.raises(Denied, match="not read yet"):
            await rig.orders.place(entry())
        kept.full = False
        await asyncio.sleep(2)
        await rig.orders.place(entry())
        await desk.at(-600_000)
        assert desk.guard.stop.halted is DayBreach.LOSS
        await rig.tasks.stop()

    run(scene())


def test_the_trader_is_called_at_once_whatever_the_disk_takes() -> None:
    async def script(desk: Desk) -> None:
        await desk.guard.set_limits(DayLimits(loss=500_000))
        desk.kept.slow = 5.0
        await desk.at(-600_000)
        assert [alarm for alarm in desk.rig.alarms if "closed" in alarm]
        assert desk.kept.lines == ["limits"]

    play(script)


def test_a_halt_that_comes_while_limits_are_written_holds_and_closes_everything() -> None:
    async def script(desk: Desk) -> None:
        await desk.guard.set_limits(DayLimits(loss=500_000))
        await desk.rig.guard()
        desk.kept.slow = 5.0
        entered = asyncio.create_task(desk.guard.set_limits(DayLimits(loss=400_000, profit=900_000)))
        await desk.at(-500_000, 3)
        await desk.at(-300_000, 30)
        stop = await entered
        with pytest.raises(Denied, match="halted"):
            await desk.rig.orders.place(entry())
        assert desk.rig.broker.held[KEY] == 0
        assert stop.halted is DayBreach.LOSS
        assert desk.kept.lines == ["limits", "limits", "halted", "flat"]
        assert desk.kept.stop is not None
        assert desk.kept.stop.limits == desk.guard.stop.limits == DayLimits(400_000, 900_000)
        assert desk.kept.stop.halted is DayBreach.LOSS

    play(script)


def test_limits_entered_together_leave_the_tighter_one() -> None:
    async def script(desk: Desk) -> None:
        await desk.guard.set_limits(DayLimits(loss=500_000))
        desk.kept.slow = 5.0
        tighter = asyncio.create_task(desk.guard.set_limits(DayLimits(loss=300_000)))
        await asyncio.sleep(1)
        await desk.guard.set_limits(DayLimits(loss=400_000))
        await tighter
        assert desk.guard.stop.limits.loss == 300_000
        assert desk.kept.stop is not None
        assert desk.kept.stop.limits.loss == 300_000

    play(script)


def test_one_freak_reckoning_closes_nothing_and_nothing_known_decides_nothing() -> None:
    async def script(desk: Desk) -> None:
        await desk.guard.set_limits(DayLimits(loss=100))
        await desk.rig.guard()
        await desk.at(-200, 0.4)
        await desk.at(0)
        await desk.at(None, 60)
        assert desk.guard.stop.halted is None

    assert play(script).rig.broker.placed == []


def test_one_freak_price_that_was_a_gain_is_nothing_to_give_back() -> None:
    async def script(desk: Desk) -> None:
        await desk.guard.set_limits(DayLimits(drawdown=300))
        await desk.rig.guard()
        await desk.at(0)
        await desk.at(9_000, 0.5)  # one look
        await desk.at(0, 30)
        assert (desk.guard.stop.halted, desk.guard.stop.peak) == (None, 0)
        await desk.at(500, 1.5)
        await desk.at(200, 3)
        assert desk.guard.stop.halted is DayBreach.DRAWDOWN

    play(script)


@pytest.mark.parametrize(
    "limits", [DayLimits(loss=1_30_000_00), DayLimits(drawdown=2_00_000_00), DayLimits(loss=1_31_000_00, profit=100)]
)
def test_a_limit_that_the_day_has_reached_already_is_refused_and_closes_nothing(limits: DayLimits) -> None:
    async def script(desk: Desk) -> None:
        await desk.rig.guard()
        await desk.at(70_000_00)
        await desk.at(-1_30_000_00 if limits.profit is None else 100)
        with pytest.raises(Denied, match=r"The day stands at (-₹1,30,000\.00|₹1\.00).*and would close everything now"):
            await desk.guard.set_limits(limits)
        await desk.at(desk.net, 30)
        assert desk.guard.stop.halted is None
        assert not desk.guard.stop.limits.any
        assert desk.rig.broker.placed == []

    play(script)


def test_what_was_given_back_from_the_days_best_counts() -> None:
    async def script(desk: Desk) -> None:
        await desk.guard.set_limits(DayLimits(drawdown=300))
        await desk.at(1_000)
        await desk.at(701)
        assert desk.guard.stop.halted is None
        await desk.at(700, 5)
        assert desk.guard.stop.halted is DayBreach.DRAWDOWN

    play(script)


def test_a_halted_account_takes_no_entry_until_the_next_day_but_lets_positions_be_closed() -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        await desk.guard.set_limits(DayLimits(profit=100))
        await desk.at(100, 5)
        with pytest.raises(Denied, match=r"day profit.*16 November"):
            await rig.orders.place(entry())
        rig.broker.hold(KEY, 10)
        await rig.state.read_positions()
        with pytest.raises(Denied, match="halted"):
            await rig.orders.place(entry(Side.SELL, 11))
        await rig.orders.place(entry(Side.SELL, 10))
        rig.clock.set(rig.clock.now() + DAY)
        await rig.orders.place(entry())

    play(script)


def test_an_entry_that_waited_for_the_disk_does_not_leave_after_the_halt() -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        await desk.guard.set_limits(DayLimits(loss=100))
        rig.journal.gate = asyncio.Event()
        placing = asyncio.create_task(rig.orders.place(entry()))
        await settle()
        await desk.at(-100, 2)
        rig.journal.gate.set()
        with pytest.raises(Denied, match="halted"):
            await placing
        assert rig.broker.placed == []

    play(script)


def test_orders_that_wait_are_cancelled() -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        waiting = rig.broker.accept(replace(entry(), tag=Tag("M0123456789ABC"))).broker_order_id
        phone = rig.broker.accept(entry()).broker_order_id
        await desk.guard.set_limits(DayLimits(loss=100))
        await desk.at(-100, 5)
        assert rig.broker.book[waiting].status is OrderStatus.CANCELLED
        assert rig.broker.book[phone].status is OrderStatus.OPEN, "from elsewhere: never touched"

    play(script)


def test_a_halt_and_the_days_best_survive_a_restart_and_closing_goes_on() -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        await desk.guard.set_limits(DayLimits(loss=100, drawdown=5_000))
        await desk.at(2_000, 10)
        assert desk.kept.stop is not None
        assert desk.kept.stop.peak == 2_000
        desk.kept.stop = replace(desk.kept.stop, halted=DayBreach.LOSS, until="2023-11-16", flat=False)
        await rig.tasks.stop()
        rig.broker.hold(KEY, 100)
        again = Desk(Rig(broker=rig.broker), desk.kept)
        await again.at(None, 15)
        assert rig.broker.held[KEY] == 0
        with pytest.raises(Denied, match="halted"):
            await again.rig.orders.place(entry())
        await again.rig.tasks.stop()

    assert [r.quantity for r in play(script).rig.broker.placed] == [100]


@pytest.mark.parametrize("ours", [True, False])
def test_an_entry_that_was_on_its_way_at_the_halt_is_closed_and_the_traders_own_is_left(ours: bool) -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        await desk.guard.set_limits(DayLimits(loss=100))
        await desk.at(-100, 5)
        assert desk.guard.stop.flat
        late = rig.broker.accept(replace(entry(), tag=Tag("M1234567890123") if ours else None))
        rig.broker.book[late.broker_order_id] = replace(late, updated_at=rig.clock.now())
        rig.broker.fill(late.broker_order_id)
        await rig.state.read_positions()
        await asyncio.sleep(10)
        assert rig.broker.held[KEY] == (0 if ours else 10)
        assert any("filled after that" in alarm for alarm in rig.alarms) is ours

    play(script)


def test_a_closed_market_is_said_and_tried_again() -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        await desk.guard.set_limits(DayLimits(loss=100))
        await rig.guard()
        rig.around.closed.add(INFY.id)
        await desk.at(-100, 10)
        assert rig.exits == []
        assert [alarm for alarm in rig.alarms if "does not trade now" in alarm]
        rig.around.closed.clear()
        await asyncio.sleep(10)
        assert [request.quantity for request in rig.exits] == [100]

    play(script)


def next_steps(rig: Rig) -> list[str]:
    return [event.next_step for event in rig.events if isinstance(event, Noticed)]


async def halted_in_the_auction(desk: Desk) -> None:
    """The limit is reached when the share stands in the closing auction already; the next day begins."""
    rig = desk.rig
    await desk.guard.set_limits(DayLimits(loss=100))
    await rig.guard()
    rig.around.closed.add(INFY.id)
    await desk.at(-100, 10)
    assert [alarm for alarm in rig.alarms if "It is closed when its market opens" in alarm]
    desk.open = False
    rig.clock.set(rig.clock.now() + DAY)
    await desk.at(None, 60)


def test_what_a_halt_could_not_close_is_closed_at_the_next_opening_and_then_it_ends() -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        await halted_in_the_auction(desk)
        assert "closed when its market opens" in rig.alarms[-1]
        with pytest.raises(Denied, match="not everything is closed yet"):
            await rig.orders.place(entry())
        reads = rig.broker.reads
        await asyncio.sleep(3_600)
        assert rig.broker.reads == reads, "at night nothing is asked: no positions then would be no proof"
        desk.open = True
        rig.around.closed.clear()
        await asyncio.sleep(10)
        assert rig.broker.held[KEY] == 0
        assert [request.quantity for request in rig.exits] == [100]
        assert next_steps(rig)[-1] == "Entries are possible again."
        await rig.orders.place(entry())
        assert desk.kept.stop is not None
        assert desk.kept.stop.halted is None

    play(script)


def test_an_unfinished_halt_of_days_ago_sells_nothing_and_says_that_it_has_ended() -> None:
    async def script(desk: Desk) -> None:
        await halted_in_the_auction(desk)
        rig = desk.rig
        await rig.tasks.stop()
        assert desk.kept.stop is not None
        rig.around.closed.clear()
        later = Rig(broker=rig.broker)
        later.clock.set(rig.clock.now() + 6 * DAY)
        again = Desk(later, desk.kept)
        await again.at(0, 30)
        assert later.exits == []
        assert [step for step in next_steps(later) if step.startswith("Look at your positions")]
        await later.orders.place(entry())
        await later.tasks.stop()
        assert desk.kept.stop.halted is None, "it is said once"

    play(script)


def test_a_limit_of_nothing_is_denied() -> None:
    async def script(desk: Desk) -> None:
        with pytest.raises(Denied, match="at once"):
            await desk.guard.set_limits(DayLimits(loss=0))

    play(script)


def test_no_share_is_sold_twice_when_a_stop_and_the_portfolio_stop_meet() -> None:
    async def script(desk: Desk) -> None:
        rig = desk.rig
        await desk.guard.set_limits(DayLimits(loss=100))
        stop = await rig.guard()
        await rig.engine.change(stop.id, StopPlan(99_000, quantity=60))
        await desk.at(-100, 0.6)
        rig.tick(98_000)
        await asyncio.sleep(20)
        await settle()
        assert rig.broker.held[KEY] == 0

    assert sorted(r.quantity for r in play(script).rig.exits) == [40, 60]


class Triggers(FakeBroker):
    """A broker with triggers."""

    waiting: list[Gtt]

    async def gtts(self) -> Sequence[Gtt]:
        return self.waiting

    async def gtt(self, gtt: GttId) -> Gtt:
        return next(known for known in self.waiting if known.id == gtt)

    async def place_gtt(self, request: GttRequest) -> GttId:
        number = GttId(str(len(self.waiting)))
        self.waiting.append(waiting(number, *request.legs))
        return number

    async def modify_gtt(self, gtt: GttId, request: GttRequest) -> None:
        await self.gtt(gtt)

    async def delete_gtt(self, gtt: GttId) -> None:
        self.waiting = [known for known in self.waiting if known.id != gtt]


def waiting(number: str, *legs: GttLeg) -> Gtt:
    kind = GttKind.SINGLE if len(legs) == 1 else GttKind.TWO_LEG
    return Gtt(ACCOUNT, GttId(number), INFY.id, kind, GttStatus.ACTIVE, 100_000, legs, (None,) * len(legs), 1, 1, None)


def test_a_halted_account_takes_no_trigger_that_would_enter_and_names_those_that_wait() -> None:
    buy = GttLeg(90_000, Side.BUY, 10, Product.CNC, 90_500)
    sell = GttLeg(90_000, Side.SELL, 7, Product.MIS, 89_500)

    async def scene() -> list[str]:
        broker = Triggers()
        broker.waiting = [waiting("1", buy), waiting("2", sell)]
        desk = Desk(Rig(broker))
        rig = desk.rig
        rig.broker.hold(KEY, 7)
        await desk.guard.set_limits(DayLimits(loss=500_000))
        await desk.at(-500_000, 0.8)
        asked = GttRequest(ACCOUNT, INFY.id, 100_000, (buy,))
        await desk.at(-500_000, 10)
        with pytest.raises(Denied, match="halted"):
            await rig.orders.gtts.place(asked, INFY)
        with pytest.raises(Denied, match="halted"):
            await rig.orders.gtts.modify(GttId("1"), asked, INFY)
        await rig.tasks.stop()
        return [alarm for alarm in rig.alarms if "these wait" in alarm]

    (alarm,) = run(scene())
    assert f"Buy {INFY.id}" in alarm
    assert f"Sell {INFY.id}" in alarm, "what it would have closed is closed already"
