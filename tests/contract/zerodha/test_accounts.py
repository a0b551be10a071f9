"""An account's states and its end, at a whole desk against the paper exchange: paused, revoked, stops handed over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap import build_desk
from app.desk import attendance, handover, sessions
from app.desk.desk import LocalDesk
from app.desk.messages import AccountView
from app.domain.errors import BrokerError, Denied, DiskFull, SessionExpired
from app.domain.events import Event, Level, Noticed, SessionState, SyncStep
from app.domain.gtt import GttStatus
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import StopPlan, StopState
from app.runtime.paths import ProfilePaths
from app.runtime.pause import Pause
from tests.contract.zerodha.desks import connected, log_in, new_desk, reopened
from tests.e2e.host import PASSPHRASE
from tests.fakes.browser import browser
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange

INFY = InstrumentId("NSE:INFY")


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with paper_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off") as running:
        yield running


class Trader:
    """Who sits at a desk with one account."""

    def __init__(self, desk: LocalDesk, exchange: PaperExchange, account: AccountId) -> None:
        self.desk = desk
        self.exchange = exchange
        self.account = account

    async def log_in(self) -> None:
        await log_in(self.desk, self.exchange, self.account, INFY)

    async def view(self) -> AccountView:
        (found,) = await self.desk.session.accounts()
        return found

    async def last(self) -> Price:
        async def known() -> Price | None:
            return self.desk._workspace.account(self.account).last_price(INFY)

        price: Price = await eventually(known)
        return price

    def order(self, side: Side, quantity: int, product: Product = Product.MIS) -> OrderRequest:
        return OrderRequest(self.account, INFY, side, quantity, product, OrderKind.MARKET)

    async def hold(self, quantity: int, product: Product) -> PositionKey:
        key = PositionKey(self.account, INFY, product)
        await self.desk.trading.place(self.order(Side.BUY, quantity, product))

        async def held() -> bool:
            reading = await self.desk._workspace.account(self.account).state.read_positions()
            return reading.quantity(key) >= quantity

        await eventually(held)
        return key

    async def resting(self) -> list[Order]:
        orders = await self.desk._workspace.account(self.account).state.read_orders()
        return [order for order in orders if order.status is OrderStatus.TRIGGER_PENDING]


@asynccontextmanager
async def at_the_desk(exchange: PaperExchange, paths: ProfilePaths, *, first: bool = True) -> AsyncIterator[Trader]:
    async with new_desk(paths) if first else reopened(paths) as desk:
        trader = Trader(desk, exchange, await connected(desk, exchange))
        if first:
            await trader.log_in()
        else:
            await desk.session.resumed()
        yield trader


@pytest.fixture
async def trader(exchange: PaperExchange, tmp_path: Path) -> AsyncIterator[Trader]:
    async with at_the_desk(exchange, ProfilePaths(tmp_path / "profile")) as found:
        yield found


def becomes(view: Callable[[], Awaitable[AccountView]], state: SessionState) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return (await view()).state is state

    return is_so


async def test_stops_are_handed_to_the_broker_and_rest_there_after_the_logout(trader: Trader) -> None:
    day, kept = await trader.hold(10, Product.MIS), await trader.hold(4, Product.CNC)
    last = await trader.last()
    low = last * 90 // 100 // 10 * 10
    await trader.desk.stops.arm(day, StopPlan(low))
    await trader.desk.stops.arm(kept, StopPlan(low - 100))
    with pytest.raises(Denied, match="2 stops are armed"):
        await trader.desk.session.disconnect(trader.account)
    words = await trader.desk.session.disconnect(trader.account, hand_over=True)
    assert [text.partition(", ")[0] for text in words] == [
        f"SELL 10 INFY at {low / 100:,.2f}",
        f"SELL 4 INFY at {(low - 100) / 100:,.2f}",
    ]
    view = await trader.view()
    assert (view.state, view.armed) == (SessionState.LOGGED_OUT, 0)
    assert {stop.state for stop in await trader.desk.stops.stops()} == {StopState.DISARMED}
    assert sum(line.what == "handed over" for line in await trader.desk.stops.audit()) == 2

    await trader.log_in()
    (order,) = await trader.resting()
    assert (order.kind, order.side, order.quantity, order.trigger_price) == (OrderKind.SL_M, Side.SELL, 10, low)
    (gtt,) = [gtt for gtt in await trader.desk.gtts.gtts() if gtt.status is GttStatus.ACTIVE]
    assert [(leg.side, leg.quantity, leg.trigger) for leg in gtt.legs] == [(Side.SELL, 4, low - 100)]
    await trader.desk.trading.cancel(trader.account, order.broker_order_id)
    await trader.desk.gtts.delete(trader.account, gtt.id)


async def test_a_stop_that_the_broker_does_not_take_stays_armed_and_the_account_connected(trader: Trader) -> None:
    key = await trader.hold(2, Product.MIS)
    low = await trader.last() * 90 // 100 // 10 * 10
    stop = await trader.desk.stops.arm(key, StopPlan(low))
    await trader.exchange.control("POST", "/faults", {"faults": ["reject:text=no stop orders today"]})
    with pytest.raises(Denied, match="could not be handed") as caught:
        await trader.desk.session.disconnect(trader.account, hand_over=True)
    assert "no stop orders today" in str(caught.value)
    assert (await trader.view()).state is SessionState.ACTIVE
    assert await trader.resting() == []
    (armed,) = [one for one in await trader.desk.stops.stops() if one.id == stop.id]
    assert armed.state is StopState.ARMED
    await trader.desk.stops.disarm(stop.id)


async def test_a_stop_whose_position_becomes_smaller_is_not_handed_over_as_it_was(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order for all of it would turn the position round."""
    key = await trader.hold(10, Product.MIS)
    desk = trader.desk._workspace.account(trader.account)
    held = (await desk.state.read_positions()).quantity(key)
    low = await trader.last() * 90 // 100 // 10 * 10
    stop = await trader.desk.stops.arm(key, StopPlan(low))
    found = handover._found

    async def sold_meanwhile(of: Any, tag: str) -> Order:
        order = await found(of, tag)
        await trader.desk.trading.place(trader.order(Side.SELL, 6))

        async def smaller() -> bool:
            now = desk.stops.find(stop.id)
            return now is not None and now.quantity == held - 6

        await eventually(smaller)
        return order

    monkeypatch.setattr(handover, "_found", sold_meanwhile)
    with pytest.raises(Denied, match="changed meanwhile"):
        await trader.desk.session.disconnect(trader.account, hand_over=True)

    async def none_rests() -> bool:
        return await trader.resting() == []

    await eventually(none_rests)
    monkeypatch.undo()
    words = await trader.desk.session.disconnect(trader.account, hand_over=True)
    assert [text.partition(" INFY")[0] for text in words] == [f"SELL {held - 6}"]
    await trader.log_in()
    for order in await trader.resting():
        await trader.desk.trading.cancel(trader.account, order.broker_order_id)


async def test_what_comes_back_from_a_backup_waits_for_the_trader(exchange: PaperExchange, tmp_path: Path) -> None:
    """Its stop was ended since, and its level left behind: it would sell what is held now at the first price."""
    paths = ProfilePaths(tmp_path / "profile")
    async with at_the_desk(exchange, paths) as trader:
        key = await trader.hold(2, Product.MIS)
        last = await trader.last()
        plan = StopPlan(last * 9 // 10 // 100 * 100)
        stop = await trader.desk.stops.arm(key, plan)
        made = await trader.desk.data.backup()
        await trader.desk.stops.disarm(stop.id)
    closed = await build_desk(paths, paper=False, guarding=False)
    try:
        await closed.data.restore(made.file, PASSPHRASE)
    finally:
        await closed.stop()
    for answered in (False, True):  # until there is an answer, a further start changes nothing
        async with at_the_desk(exchange, paths, first=False) as trader:
            await trader.desk.ready()
            await trader.desk.portfolio.sync()
            (found,) = await trader.desk.stops.stops()
            assert (found.state, found.note[:15], trader.desk.watching) == (StopState.SUSPENDED, "from the backup", 0)
            if answered:
                again = await trader.desk.stops.resume(stop.id, plan)
                assert again.state is StopState.ARMED
                assert again.attempt > stop.attempt + 100  # no order of after the backup is taken for one of its own
                assert trader.desk.watching == 1
                await trader.desk.stops.disarm(stop.id)


async def test_a_paused_account_takes_no_new_order_and_is_not_synced_by_itself(
    exchange: PaperExchange, tmp_path: Path
) -> None:
    paths = ProfilePaths(tmp_path / "profile")
    async with at_the_desk(exchange, paths) as trader:
        key = await trader.hold(3, Product.MIS)
        held = (await trader.desk._workspace.account(trader.account).state.read_positions()).quantity(key)
        assert (await trader.desk.session.pause(trader.account)).state is SessionState.PAUSED
        for refused in (trader.order(Side.BUY, 1), trader.order(Side.SELL, held + 1)):
            with pytest.raises(Denied, match="paused"):
                await trader.desk.trading.place(refused)
        await trader.desk.trading.place(trader.order(Side.SELL, 1))  # it makes the position smaller
        (by_itself,) = (await trader.desk.portfolio.sync(trader.account, "scheduled")).accounts
        assert (by_itself.step, by_itself.error) == (SyncStep.SKIPPED, "The account is paused.")
        (by_hand,) = (await trader.desk.portfolio.sync()).accounts
        assert by_hand.step == SyncStep.COMPLETED
    async with at_the_desk(exchange, paths, first=False) as trader:  # the next start of the program
        await eventually(becomes(trader.view, SessionState.PAUSED))
        with pytest.raises(Denied, match="paused"):
            await trader.desk.trading.place(trader.order(Side.BUY, 1))
        await trader.desk.session.go_on(trader.account)
        await trader.desk.trading.place(trader.order(Side.BUY, 1))
        with pytest.raises(Denied, match="not paused"):
            await trader.desk.session.go_on(trader.account)
        view = await trader.view()
        assert (view.state, view.syncs_failed, view.sync_every_s) == (SessionState.ACTIVE, 0, 900)
        assert view.fills_synced > 0


async def test_while_stops_are_armed_a_broker_that_is_down_is_tried_until_it_is_back(
    exchange: PaperExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few tries the stops would be blind until somebody comes: a guard has nobody."""
    paths = ProfilePaths(tmp_path / "profile")
    async with at_the_desk(exchange, paths) as trader:
        key = await trader.hold(1, Product.MIS)
        await trader.desk.stops.arm(key, StopPlan(await trader.last() * 9 // 10 // 100 * 100))
    monkeypatch.setattr(sessions, "RESUME_TRIES", 1)
    monkeypatch.setattr(sessions, "RESUME_SECONDS", 0.01)
    await exchange.control("PUT", "/faults", {"faults": ["limits=off", "status=503:route=profile,count=6"]})
    async with at_the_desk(exchange, paths, first=False) as trader:
        assert (await trader.view()).state is SessionState.ACTIVE
        await trader.desk.ready()
        assert (trader.desk.watching, trader.desk.waits_for) == (1, ())


async def test_news_of_the_session_before_does_not_end_the_one_that_a_login_brought(trader: Trader) -> None:
    """A sync that was under way, a start that was still trying the stored token: stops would be blind again."""
    desk, sessions_of = trader.desk._workspace.account(trader.account), trader.desk.session._sessions
    before, stored = desk._broker, desk.session
    assert stored is not None
    await trader.log_in()
    fresh = desk._broker
    assert fresh is not before
    for of in (before, None):  # what the sync read by; a session that never began
        await trader.desk._workspace.session_died(trader.account, SessionExpired("It is over."), of)
        assert desk._broker is fresh
        assert (await trader.view()).state is SessionState.ACTIVE
    await sessions_of._begin(trader.account, stored, late=True)
    assert desk._broker is fresh
    await trader.desk._workspace.session_died(trader.account, SessionExpired("It is over."), fresh)
    assert not desk.active


async def test_a_login_that_the_broker_does_not_let_begin_is_begun_again(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session before has ended by then: what is armed would be blind, and the account be said to be live."""
    monkeypatch.setattr(sessions, "RESUME_SECONDS", 0.01)
    key = await trader.hold(1, Product.MIS)
    stop = await trader.desk.stops.arm(key, StopPlan(await trader.last() * 9 // 10 // 100 * 100))
    await trader.exchange.control("PUT", "/faults", {"faults": ["limits=off", "status=503:route=profile,count=12"]})
    heard: list[Event] = []
    trader.desk.listen(heard.append)
    with pytest.raises(BrokerError):
        await trader.log_in()

    async def watched() -> bool:
        return trader.desk.watching == 1 and (await trader.view()).state is SessionState.ACTIVE

    assert trader.desk.watching == 0
    assert (await trader.view()).state is SessionState.ERROR
    await eventually(watched)
    alarms = [one.title for one in heard if isinstance(one, Noticed) and one.level is Level.ALARM]
    assert alarms.count("Stops are blind") == 1
    await trader.desk.stops.disarm(stop.id)


async def test_a_login_on_a_full_disk_guards(trader: Trader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else stops would be blind for want of room in a file that no exit needs."""

    async def full(_record: object) -> None:
        raise DiskFull("There is no space left to write book.db.", "Make room.")

    before = trader.desk._workspace.account(trader.account).session
    monkeypatch.setattr(trader.desk._workspace.book.accounts, "save", full)
    await trader.log_in()
    account = trader.desk._workspace.account(trader.account)
    assert account.active
    assert account.session is not before
    assert (await trader.view()).state is SessionState.ACTIVE


async def test_after_a_sleep_exits_leave_over_fresh_connections(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attendance, "SETTLE_SECONDS", 0.0)
    line: Any = trader.desk._workspace.account(trader.account)._line

    async def dialled() -> bool:
        return bool(line.ready == len(line._slots))

    await eventually(dialled)
    before = {slot._link for slot in line._slots}
    await trader.desk.guard._after(Pause(5, 50, slept=True))
    await eventually(dialled)
    assert before.isdisjoint(slot._link for slot in line._slots)


async def test_a_session_that_the_broker_ends_before_its_time_is_revoked(trader: Trader) -> None:
    session = trader.desk._workspace.account(trader.account).session
    assert session is not None
    line = trader.exchange.line
    async with browser(base_url=line["api_url"]) as elsewhere:
        token = session.access_token.reveal()
        headers = {"Authorization": f"token {line['api_key']}:{token}"}
        params = {"api_key": line["api_key"], "access_token": token}
        assert (await elsewhere.delete("/session/token", params=params, headers=headers)).status_code == 200
    await trader.desk.portfolio.sync()
    await eventually(becomes(trader.view, SessionState.REVOKED))
    assert "before its time" in (await trader.view()).last_error
    await trader.log_in()
    assert (await trader.view()).state is SessionState.ACTIVE
