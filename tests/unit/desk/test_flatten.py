"""Flatten all and Close: what stands in the way of an exit, and what is said where there is none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import cast

import pytest

from app.brokers.base import BrokerSession
from app.desk.account import AccountDesk
from app.desk.flatten import FlattenDesk
from app.desk.flatten_asked import Work, sell_holdings
from app.desk.flatten_books import running
from app.desk.flatten_messages import FlattenChoice, FlattenReport
from app.desk.square_off import square_off
from app.desk.workspace import Workspace
from app.domain.errors import Denied, Unreachable
from app.domain.events import Level, Noticed
from app.domain.ids import BrokerOrderId
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import Holding, Position, PositionKey
from app.domain.stop import FiredBy, StopPlan, StopState
from app.domain.strategy import Days, DaysKind, Strategy, StrategyState
from app.engine.entry_bar import NoEntries
from tests.fakes.trading import ACCOUNT, INFY, KEY, Rig, position
from tests.unit.engine.rigged import play_quoted as play
from tests.unit.engine.strategies.stage import PLAN
from tests.unit.engine.test_delivery import SHARES, see
from tests.unit.engine.test_delivery import held as holding
from tests.unit.engine.test_plans import armed


def desk_of(rig: Rig, strategies: object = None) -> AccountDesk:
    desk = SimpleNamespace(
        account=ACCOUNT,
        active=True,
        clock=rig.clock,
        state=rig.state,
        orders=rig.orders,
        stops=rig.engine,
        broker=rig.broker,
        strategies=strategies or SimpleNamespace(strategies=()),
        instrument=rig.instruments.get,
        last_price=rig.last.get,
    )
    return cast("AccountDesk", desk)


def flatten_desk(rig: Rig, *others: AccountDesk, strategies: object = None) -> FlattenDesk:
    desk = desk_of(rig, strategies)
    workspace = SimpleNamespace(
        account=lambda account: desk,
        accounts={one.account: one for one in (desk, *others)},
        live=lambda: [desk],
        journal=rig.journal,
        publish=rig.events.append,
    )
    return FlattenDesk(cast("Workspace", workspace))


async def flatten(rig: Rig, *others: AccountDesk) -> FlattenReport:
    return await flatten_desk(rig, *others).run(FlattenChoice())


async def suspended(rig: Rig) -> None:
    """Its prices were restated: it waits for the trader's answer."""
    stop = await armed(rig, StopPlan(99_000))
    rig.engine._watching.stop(stop.id)
    rig.engine._set(replace(rig.of(stop), state=StopState.SUSPENDED))


def test_a_full_disk_behind_a_suspended_stop_holds_nothing_back() -> None:
    async def script(rig: Rig) -> None:
        await suspended(rig)
        rig.journal.broken = True
        assert (await flatten(rig)).verified
        assert rig.broker.held[KEY] == 0
        assert any("The journal cannot be written" in alarm for alarm in rig.alarms)

    play(script)


@pytest.mark.parametrize("why", [FiredBy.TRADER, FiredBy.PORTFOLIO])
def test_close_and_the_portfolio_stop_close_what_a_suspended_stop_guards(why: FiredBy) -> None:
    async def script(rig: Rig) -> None:
        await suspended(rig)
        rig.journal.broken = True
        if why is FiredBy.TRADER:
            await square_off(desk_of(rig), KEY)
        else:
            await rig.engine.leave(KEY, why)
        await asyncio.sleep(3)
        assert rig.broker.held[KEY] == 0

    play(script)


@pytest.mark.parametrize("sold", [40, 70, 100])
@pytest.mark.parametrize("trades", [True, False])
def test_shares_that_were_sold_out_of_demat_are_bought_back_and_no_more_of_them_sold(sold: int, trades: bool) -> None:
    """Of 100 that were held: "Buy back" is about the row of the day, whatever is left of the holding behind it."""

    async def script(rig: Rig) -> None:
        await see(rig, holding(100 - sold, used=sold, opening=100), day=-sold)
        rig.around.closed = set() if trades else {INFY.id}
        await square_off(desk_of(rig), SHARES)
        await asyncio.sleep(3)
        assert [(order.side, order.quantity) for order in rig.broker.book.values()] == [(Side.BUY, sold)]

    play(script)


@pytest.mark.parametrize("guarded", [True, False])
def test_what_the_positions_show_for_a_moment_longer_is_sold_once(guarded: bool) -> None:
    """Fills are told by the stream, and the list of positions has them a second later."""

    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        if guarded:
            await rig.engine.arm(KEY, StopPlan(99_000, quantity=100))
        shown = dict(rig.broker.held)
        later = asyncio.get_running_loop().call_later

        async def positions() -> list[Position]:
            await asyncio.sleep(0.01)
            return [position(key, units) for key, units in shown.items()]

        rig.broker.positions = positions  # type: ignore[method-assign]

        def heard(order: Order) -> None:
            if order.filled_quantity:
                later(1.0, shown.update, dict(rig.broker.held))

        rig.state.on_order.append(heard)
        assert (await flatten(rig)).verified
        assert (rig.broker.held[KEY], [one.quantity for one in rig.exits]) == (0, [100])

    play(script)


@pytest.mark.parametrize("way", ["flatten", "close"])
def test_right_after_a_login_it_waits_until_the_stops_are_watched_again(way: str) -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000))
        rig.log_out()
        rig.log_in()
        recovery = asyncio.create_task(rig.recover())
        await asyncio.sleep(0.1)
        if way == "flatten":
            assert (await flatten(rig)).verified
        else:
            await square_off(desk_of(rig), KEY)
            await asyncio.sleep(3)
        await recovery
        assert ([one.quantity for one in rig.exits], rig.broker.held[KEY]) == ([100], 0)

    play(script)


def test_a_stop_that_is_being_changed_is_waited_for() -> None:
    async def script(rig: Rig) -> None:
        await suspended(rig)
        (stop,) = rig.engine.stops
        rig.engine._busy.add(stop.id)
        asyncio.get_running_loop().call_later(5, rig.engine._busy.discard, stop.id)
        assert (await flatten(rig)).verified
        assert rig.broker.held[KEY] == 0

    play(script)


@pytest.mark.parametrize("guarded", [True, False])
def test_where_the_market_is_closed_it_says_that_nothing_is_sent_and_touches_no_stop(guarded: bool) -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        if guarded:
            await rig.engine.arm(KEY, StopPlan(99_000))
        before = [(stop.state, stop.trigger) for stop in rig.engine.stops]
        rig.around.closed.add(INFY.id)
        (said,) = (await flatten(rig)).not_flat
        assert "INFY does not trade now and is not closed. Nothing is sent by itself" in said
        assert [(stop.state, stop.trigger) for stop in rig.engine.stops] == before
        rig.around.closed.clear()
        rig.tick(100_500)
        await asyncio.sleep(60)
        assert [(stop.state, stop.trigger) for stop in rig.engine.stops] == before
        assert rig.exits == []

    play(script)


def test_the_notice_names_the_holdings_and_triggers_that_went_too() -> None:
    """The dialog may be hidden by then."""

    async def script(rig: Rig) -> None:
        flattened = FlattenReport((ACCOUNT,), 1, 3, 2, 1, 0, (), (), 2_100)
        for report, words in (
            (flattened, "1 order cancelled, 3 positions exited, 2 holdings sold, 1 trigger deleted."),
            (replace(flattened, sold=0, deleted=0), "1 order cancelled, 3 positions exited."),
        ):
            flatten_desk(rig)._tell(report)
            told = rig.events[-1]
            assert isinstance(told, Noticed)
            assert (told.title, told.cause) == ("Verified flat", words)

    play(script)


def test_an_account_whose_session_has_died_is_not_flat_because_another_one_is() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000))
        other = Rig()
        other.broker.hold(KEY, 40)
        await other.state.read_positions()
        other.log_out()
        asleep = cast(
            "AccountDesk", SimpleNamespace(**{**vars(desk_of(other)), "account": "upstox-B", "active": False})
        )
        report = await flatten(rig, asleep)
        words = "upstox-B is not logged in and not touched: 1 position may be open there"
        assert (rig.broker.held[KEY], report.not_flat, report.verified) == (0, (words,), False)
        assert any(
            words in told.cause for told in rig.events if isinstance(told, Noticed) and told.level is Level.ALARM
        )
        assert (await flatten_desk(rig, asleep).plan(FlattenChoice())).out_of_reach == (words,)
        assert (await flatten_desk(rig, asleep).run(FlattenChoice((ACCOUNT,)))).verified, "it was not asked about"

    play(script)


async def refused(rig: Rig) -> str:
    """A buy, and why it was not taken."""
    try:
        await rig.orders.place(OrderRequest(ACCOUNT, INFY.id, Side.BUY, 10, KEY.product, OrderKind.MARKET))
    except Denied as failure:
        return str(failure)
    return ""


@pytest.mark.parametrize("paused", [True, False])
def test_entries_are_refused_while_it_flattens_and_afterwards_as_the_account_stands_then(paused: bool) -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000))
        rig.line.free = 0  # the exit waits for a connection
        rig.orders.bar.set(NoEntries.PAUSED, not paused)
        flattening = asyncio.create_task(flatten(rig))
        await asyncio.sleep(0.5)
        rig.orders.bar.set(NoEntries.PAUSED, paused)  # by hand; or a login that was renewed ends a pause
        assert "being flattened" in await refused(rig)
        await flattening
        told = await refused(rig)
        assert told.startswith("The account is paused.") if paused else not told

    play(script)


@pytest.mark.parametrize("way", ["queue", "disk"])
def test_an_entry_that_waited_meanwhile_does_not_leave_afterwards(way: str) -> None:
    async def script(rig: Rig) -> None:
        buy = OrderRequest(ACCOUNT, INFY.id, Side.BUY, 10, KEY.product, OrderKind.MARKET)
        await rig.state.read_positions()
        if way == "queue":
            rig.orders.wire.queue.hold(30)
        else:
            rig.journal.gate = asyncio.Event()
        entry = asyncio.ensure_future(rig.orders.place(buy))
        await asyncio.sleep(1)
        rig.orders.bar.set(NoEntries.FLATTENING, True)
        await asyncio.sleep(3)
        rig.orders.bar.set(NoEntries.FLATTENING, False)
        if rig.journal.gate is not None:
            rig.journal.gate.set()
        with pytest.raises(Denied, match="Everything was flattened before this order left"):
            await entry
        assert rig.broker.placed == []
        await rig.orders.place(buy)

    play(script)


@pytest.mark.parametrize("known", [True, False])
def test_an_entry_whose_answer_is_on_its_way_is_waited_for(known: bool) -> None:
    async def script(rig: Rig) -> None:
        place, buy = rig.broker.place, OrderRequest(ACCOUNT, INFY.id, Side.BUY, 10, KEY.product, OrderKind.MARKET)

        async def slowly(request: OrderRequest) -> BrokerOrderId:
            await asyncio.sleep(7 if known else 600)
            return await place(request)

        rig.broker.place = slowly  # type: ignore[method-assign]
        await rig.state.read_positions()
        entry = asyncio.ensure_future(rig.orders.place(buy))
        await asyncio.sleep(1)
        report = await flatten(rig)
        assert report.verified is known
        if known:
            await entry
            assert rig.broker.held == {KEY: 0}
        else:
            assert "BUY 10 NSE:INFY MARKET was sent, and what became of it is not known" in "; ".join(report.not_flat)
            entry.cancel()

    play(script)


def test_beside_no_workstation_what_rests_behind_a_stop_is_cancelled_before_its_position_is_closed() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000, backstop=1_000))
        await asyncio.sleep(3)
        (behind,) = rig.broker.book.values()
        rig.log_out()  # the stop is in the journal; a command has a session, and no line for exits
        rig.broker.state = rig.state
        rig.state.attach(cast("BrokerSession", rig.broker))
        rig.orders.attach(cast("BrokerSession", rig.broker))
        assert (await flatten(rig)).verified
        assert rig.broker.book[behind.broker_order_id].status is OrderStatus.CANCELLED
        assert rig.broker.held[KEY] == 0
        assert [one.quantity for one in rig.exits if one.kind is not OrderKind.SL] == [100]

    play(script)


async def _just_hit(rig: Rig) -> None:
    """Half a second ago a stop has sold 50 of 150."""
    stop = await armed(rig, StopPlan(99_000, quantity=50))
    rig.broker.hold(KEY, 150)
    rig.tick(98_900)
    await rig.ended(stop)
    await asyncio.sleep(0.5)


def test_closing_by_hand_a_moment_after_a_stop_was_hit_leaves_nothing() -> None:
    async def script(rig: Rig) -> None:
        await _just_hit(rig)
        await square_off(desk_of(rig), KEY)
        await asyncio.sleep(1)
        assert rig.broker.held[KEY] == 0
        assert sum(one.quantity for one in rig.exits) == 150

    play(script)


def test_what_is_opened_anew_a_moment_after_closing_by_hand_is_not_closed_with_it() -> None:
    async def script(rig: Rig) -> None:
        await _just_hit(rig)
        closing = asyncio.create_task(square_off(desk_of(rig), KEY))
        await asyncio.sleep(1)
        opened = OrderRequest(ACCOUNT, INFY.id, Side.BUY, 200, KEY.product, OrderKind.MARKET, tag=None)
        rig.broker.fill(rig.broker.accept(opened).broker_order_id)
        await asyncio.wait([closing])
        await asyncio.sleep(1)
        assert rig.broker.held[KEY] >= 200

    play(script)


def test_beside_no_workstation_a_position_whose_reading_fails_once_is_closed_all_the_same() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000))
        rig.log_out()
        rig.broker.state = rig.state
        rig.state.attach(cast("BrokerSession", rig.broker))
        rig.orders.attach(cast("BrokerSession", rig.broker))
        read, failures = rig.state.read_since_fills, [Unreachable("no route")]

        async def fails_once(key: PositionKey) -> object:
            if failures:
                raise failures.pop()
            return await read(key)

        rig.state.read_since_fills = fails_once  # type: ignore[assignment,method-assign]
        assert (await flatten(rig)).verified
        assert (rig.broker.held[KEY], [one.quantity for one in rig.exits]) == (0, [100])

    play(script)


def test_a_slow_disk_holds_no_exit_back_while_strategies_are_paused() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000))
        written = asyncio.Event()
        paused: list[str] = []

        async def pause(name: str) -> None:
            await written.wait()
            paused.append(name)

        plan = SimpleNamespace(id="A", name="Opening")
        one = SimpleNamespace(plan=plan, paused=False, state=SimpleNamespace(is_running=True))
        strategies = SimpleNamespace(strategies=(one,), pause=pause)
        desk = flatten_desk(rig, strategies=strategies)
        flattening = asyncio.create_task(desk.run(FlattenChoice()))
        await asyncio.sleep(3)
        assert (rig.broker.held[KEY], paused) == (0, [])
        assert "being flattened" in await refused(rig), "until it is paused it may not buy"
        written.set()
        report = await flattening
        assert (report.verified, report.paused, await refused(rig)) == (True, 1, "")

    play(script)


def test_a_sale_of_a_holding_whose_end_cannot_be_read_for_a_moment_is_no_failure() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.demat = [Holding(ACCOUNT, INFY.id, "INE009A01021", 50, 0, Decimal(900), 100_000, 100_000)]
        rig.broker.failures["orders"] = [Unreachable("no route")] * 3
        work = Work(desk_of(rig), FlattenChoice(holdings=True))
        workspace = SimpleNamespace(instrument=rig.instruments.__getitem__, rules=rig.rules)
        await sell_holdings(work, cast("Workspace", workspace))
        assert (work.sold, work.failed, [one.quantity for one in rig.broker.placed]) == (1, [], [50])

    play(script)


@pytest.mark.parametrize(
    ("state", "dates", "pauses"),
    [
        (StrategyState.SOLD, (), True),
        (StrategyState.SOLD, (date(2026, 11, 27),), True),
        (StrategyState.SOLD, (date(2026, 11, 25),), False),
        (StrategyState.ABORTED, (), False),
        (StrategyState.IDLE, (), False),
    ],
)
def test_what_would_buy_again_tomorrow_is_paused_too(
    state: StrategyState, dates: tuple[date, ...], pauses: bool
) -> None:
    days = Days(DaysKind.DATES, dates=dates) if dates else Days()
    strategy = Strategy(replace(PLAN, days=days), state, day=date(2026, 11, 25))
    desk = cast("AccountDesk", SimpleNamespace(strategies=SimpleNamespace(strategies=(strategy,))))
    assert bool(running(desk)) is pauses
