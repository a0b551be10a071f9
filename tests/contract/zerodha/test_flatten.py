"""Flatten all, at a whole desk against the paper exchange: each unit once, nothing that was not asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.desk import flatten, square_off
from app.desk.flatten_messages import FlattenChoice
from app.domain.errors import Denied, DiskFull
from app.domain.events import Event, Level, Noticed
from app.domain.gtt import GttLeg, GttRequest
from app.domain.ids import InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import FiredBy, StopPlan, StopState
from app.domain.strategy import Days, StrategyPlan, new_strategy_id
from app.engine import firing
from app.runtime.paths import ProfilePaths
from tests.contract.zerodha.test_accounts import INFY, Trader, at_the_desk
from tests.fakes.browser import browser
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange

SBIN = InstrumentId("NSE:SBIN")


@pytest.fixture(autouse=True)
def a_busy_machine_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast an exit leaves is measured elsewhere, on a machine with nothing else to do."""
    monkeypatch.setattr(firing, "SLOW_US", 10**9)


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    options = ["--seed", "7", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off"]
    with paper_exchange(*options, "--opening-position", "NSE:SBIN=20@CNC") as running:
        yield running


@pytest.fixture
async def trader(exchange: PaperExchange, tmp_path: Path) -> AsyncIterator[Trader]:
    async with at_the_desk(exchange, ProfilePaths(tmp_path / "profile")) as found:
        await found.desk.market.subscribe("test", (INFY, SBIN))
        yield found


async def limit(trader: Trader, side: Side, percent: int, quantity: int = 5) -> None:
    price = await trader.last() * percent // 100 // 10 * 10
    await trader.desk.trading.place(
        OrderRequest(trader.account, INFY, side, quantity, Product.MIS, OrderKind.LIMIT, price)
    )


async def elsewhere(trader: Trader, exchange: PaperExchange) -> None:
    """The client buys far below the price, on the phone."""
    session = trader.desk._workspace.account(trader.account).session
    assert session is not None
    headers = {"Authorization": f"token {exchange.line['api_key']}:{session.access_token.reveal()}"}
    form = {
        "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "3", "product": "MIS",
        "order_type": "LIMIT", "price": "1050", "validity": "DAY",
    }  # fmt: skip
    async with browser(base_url=exchange.line["api_url"], headers=headers) as phone:
        assert (await phone.post("/orders/regular", data=form)).status_code == 200


async def quantities(trader: Trader) -> dict[PositionKey, int]:
    reading = await trader.desk._workspace.account(trader.account).state.read_positions()
    return {key: position.quantity for key, position in reading.positions.items()}


async def sold(trader: Trader) -> list[int]:
    orders = await trader.desk._workspace.account(trader.account).state.read_orders()
    return [o.filled_quantity for o in orders if o.instrument == INFY and o.side is Side.SELL and o.filled_quantity]


async def test_everything_is_flat_each_unit_was_sold_once_and_the_rest_is_left_alone(trader: Trader) -> None:
    key = await trader.hold(40, Product.MIS)
    low = await trader.last() * 90 // 100 // 10 * 10
    stop = await trader.desk.stops.arm(key, StopPlan(low, quantity=30))  # ten of them have no stop
    await limit(trader, Side.BUY, 95)
    await limit(trader, Side.SELL, 105, 40)  # it would sell the position as well
    await elsewhere(trader, trader.exchange)
    last = await trader.last()
    leg = GttLeg(low, Side.SELL, 2, Product.CNC, low)
    await trader.desk.gtts.place(GttRequest(trader.account, INFY, last, (leg,)))

    two, three = 14 * 3600, 15 * 3600
    later = StrategyPlan(
        new_strategy_id(), "at two", trader.account, SBIN, Product.MIS, Side.BUY, 5, two, three, Days()
    )
    await trader.desk.strategies.save(later)
    await trader.desk.strategies.start(later.id)
    plan = await trader.desk.flatten.plan(FlattenChoice())
    assert plan.strategies == 1
    assert (len(plan.orders), len(plan.elsewhere), len(plan.positions)) == (2, 1, 1)
    assert (plan.stops, plan.exiting, plan.holdings, plan.gtts) == (1, 0, 1, 1)
    assert plan.value == pytest.approx(40 * last, rel=0.01)

    report = await trader.desk.flatten.run(FlattenChoice())
    assert report.not_flat == ()
    assert report.verified
    assert (report.cancelled, report.exited, report.sold, report.deleted) == (2, 1, 0, 0)
    assert sum(await sold(trader)) == 40
    assert report.paused == 1
    assert [one.paused for one in await trader.desk.strategies.strategies()] == [True]
    assert (await quantities(trader))[key] == 0
    ended = {one.id: one for one in await trader.desk.stops.stops()}
    assert {one.state for one in ended.values()} == {StopState.CLOSED}
    assert ended[stop.id].fired_by is FiredBy.TRADER
    assert report.left_alone == (
        f"{trader.account}: 1 holding",
        f"{trader.account}: 1 trigger (GTT)",
        "From elsewhere: BUY 3 NSE:INFY LIMIT at 1,050.00",
    )
    trail = [line.what for line in await trader.desk.stops.audit() if line.subject == "flatten all"]
    assert trail == ["verified flat", "asked"]

    again = await trader.desk.flatten.plan(FlattenChoice())
    assert again.empty
    all_of_it = FlattenChoice((trader.account,), elsewhere=True, holdings=True, gtts=True)
    report = await trader.desk.flatten.run(all_of_it)
    assert report.not_flat == ()
    assert (report.cancelled, report.exited, report.sold, report.deleted) == (1, 0, 1, 1)
    assert report.left_alone == ()
    # What was sold out of holdings shows as a short delivery; nobody buys it back.
    report = await trader.desk.flatten.run(FlattenChoice())
    assert (report.exited, report.not_flat) == (0, ())


async def test_a_stop_that_has_fired_is_followed_and_its_position_is_not_sold_again(trader: Trader) -> None:
    before = sum(await sold(trader))
    key = await trader.hold(20, Product.MIS)
    low = await trader.last() * 90 // 100 // 10 * 10
    await trader.desk.stops.arm(key, StopPlan(low))
    engine = trader.desk._workspace.account(trader.account).stops
    fired, report = await asyncio.gather(engine.leave(key, FiredBy.TRADER), trader.desk.flatten.run(FlattenChoice()))
    assert len(fired) == 1
    assert report.verified
    assert sum(await sold(trader)) == before + 20


async def test_an_exit_by_hand_leaves_through_the_stop_and_nothing_is_sold_beside_it(trader: Trader) -> None:
    before = sum(await sold(trader))
    key = await trader.hold(20, Product.MIS)
    low = await trader.last() * 90 // 100 // 10 * 10
    stop = await trader.desk.stops.arm(key, StopPlan(low, quantity=15))  # five of them have no stop
    verbs = trader.desk.trading
    pressed = await asyncio.gather(verbs.square_off(key), verbs.square_off(key), return_exceptions=True)
    assert sum(isinstance(one, Denied) for one in pressed) == 1, pressed

    async def ended_all() -> bool:
        return all(one.state is StopState.CLOSED for one in await trader.desk.stops.stops())

    await eventually(ended_all)
    assert sum(await sold(trader)) == before + 20
    assert (await quantities(trader))[key] == 0
    ended = {one.id: one for one in await trader.desk.stops.stops()}
    assert ended[stop.id].fired_by is FiredBy.TRADER


async def test_a_full_disk_holds_nothing_back(trader: Trader, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await trader.hold(10, Product.MIS)
    before = sum(await sold(trader))
    journal = trader.desk._workspace.journal

    async def full(*_: object) -> None:
        raise DiskFull("There is no space left to write journal.db.")

    monkeypatch.setattr(type(journal), "audit", full)
    told: list[Event] = []
    trader.desk.listen(told.append)
    report = await trader.desk.flatten.run(FlattenChoice())
    assert report.verified
    assert sum(await sold(trader)) == before + 10
    assert (await quantities(trader))[key] == 0
    assert any("audit trail" in event.title for event in told if isinstance(event, Noticed))


async def test_an_exit_by_hand_leaves_although_the_positions_cannot_be_read(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sum(await sold(trader))
    key = await trader.hold(10, Product.MIS)
    monkeypatch.setattr(square_off, "READ_SECONDS", 0.5)
    broken = ["limits=off", "status=502:route=positions,count=0"]
    await trader.exchange.control("PUT", "/faults", {"faults": broken})

    async def out() -> bool:
        return sum(await sold(trader)) == before + 10

    try:
        await trader.desk.trading.square_off(key)
        await eventually(out)
        with pytest.raises(Denied, match="being closed already"):  # until its end is read
            await trader.desk.trading.square_off(key)
    finally:
        await trader.exchange.control("PUT", "/faults", {"faults": ["limits=off"]})

    async def ended() -> bool:
        return all(one.state is StopState.CLOSED for one in await trader.desk.stops.stops())

    await eventually(ended)
    assert sum(await sold(trader)) == before + 10


async def test_holdings_and_triggers_that_cannot_be_read_keep_no_position_waiting(trader: Trader) -> None:
    """Nobody asked for them; and a reading of the positions that fails is made again."""
    key = await trader.hold(10, Product.MIS)
    before = sum(await sold(trader))
    await limit(trader, Side.SELL, 105, 10)  # it would sell the position as well: the exit waits until it is gone
    broken = ["limits=off", "status=502:route=holdings,count=0", "status=502:route=gtt,count=0"]
    await trader.exchange.control("PUT", "/faults", {"faults": broken})
    try:
        plan = await trader.desk.flatten.plan(FlattenChoice())
        assert (len(plan.orders), len(plan.positions)) == (1, 1)
        unread = sorted(words.partition(":")[0] for words in plan.unread)
        assert unread == [f"holdings of {trader.account}", f"triggers (GTT) of {trader.account}"]
        await trader.exchange.control("POST", "/faults", {"faults": ["status=502:route=positions,count=2"]})
        report = await trader.desk.flatten.run(FlattenChoice())
        asked = await trader.desk.flatten.run(FlattenChoice(holdings=True, gtts=True))
    finally:
        await trader.exchange.control("PUT", "/faults", {"faults": ["limits=off"]})
    assert report.not_flat == ()
    assert (report.cancelled, report.exited) == (1, 1)
    left = [f"{trader.account}: {what} could not be read" for what in ("holdings", "triggers (GTT)")]
    assert sorted(report.left_alone)[-2:] == left
    assert sum(await sold(trader)) == before + 10
    assert (await quantities(trader))[key] == 0
    assert [any(words.startswith(one) for words in asked.not_flat) for one in left] == [True, True]


async def test_a_broker_that_does_not_tell_keeps_no_position_waiting(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known goes out, as when a stop is hit; that it is flat is claimed only once it was read."""
    await trader.hold(10, Product.MIS)
    before = sum(await sold(trader))
    for name in ("EXIT_SECONDS", "CANCEL_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(flatten, name, 0.5)
    broken = ["limits=off", "status=502:route=orders,count=0"]
    await trader.exchange.control("PUT", "/faults", {"faults": broken})
    try:
        plan = await trader.desk.flatten.plan(FlattenChoice())
        report = await trader.desk.flatten.run(FlattenChoice())
    finally:
        await trader.exchange.control("PUT", "/faults", {"faults": ["limits=off"]})
    assert len(plan.positions) == 1
    assert plan.unread[0].startswith(f"{trader.account}, counted as it was known last: ")
    assert report.exited == 1
    assert report.not_flat[0].startswith(f"{trader.account}: whether it is flat could not be read. ")

    async def out() -> bool:
        return sum(await sold(trader)) == before + 10

    await eventually(out)
    assert (await trader.desk.flatten.run(FlattenChoice())).verified


async def test_what_is_not_flat_is_named_and_loud(trader: Trader) -> None:
    await trader.hold(4, Product.MIS)
    heard: list[object] = []
    trader.desk.listen(heard.append)
    desk = trader.desk._workspace.account(trader.account)
    with pytest.MonkeyPatch.context() as patch:

        async def closed(*_: object) -> list[object]:
            raise Denied("INFY does not trade now.", "It is closed when its market opens.")

        patch.setattr(desk.stops, "leave", closed)
        report = await trader.desk.flatten.run(FlattenChoice())
    assert not report.verified
    assert "INFY" in report.not_flat[0]
    assert "does not trade now" in report.not_flat[0]
    assert [e.level for e in heard if isinstance(e, Noticed) and e.title == "Not everything is flat"] == [Level.ALARM]
    orders = await trader.desk.trading.orders()
    assert not [order for order in orders if order.status is OrderStatus.OPEN]
    assert (await trader.desk.flatten.run(FlattenChoice())).verified
    assert "flatten over:all" in [e.repeat_key for e in heard if isinstance(e, Noticed)]  # it takes the strip away
    await trader.desk.session.disconnect(trader.account)
    with pytest.raises(Denied, match="not logged in"):
        await trader.desk.flatten.run(FlattenChoice((trader.account,)))


async def test_what_became_flat_while_its_exit_was_refused_is_verified_flat(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit that was out already has closed it between the reading and the next look."""
    key = await trader.hold(5, Product.MIS)
    stops = trader.desk._workspace.account(trader.account).stops
    leave = stops.leave

    async def too_late(position: PositionKey, why: FiredBy) -> None:
        await leave(position, why)
        raise Denied("There is no open position to guard.", "See the positions.")

    monkeypatch.setattr(stops, "leave", too_late)
    report = await trader.desk.flatten.run(FlattenChoice())
    assert report.not_flat == ()
    assert (await quantities(trader))[key] == 0
