"""A whole desk on an Upstox account of the paper exchange: the stop that fires, and the desk that comes back."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.bootstrap import build_desk
from app.brokers.market_parts import KillSwitchBroker
from app.brokers.parts import ConversionBroker, GttBroker
from app.desk.desk import LocalDesk
from app.desk.handover import hand_over
from app.domain.errors import Denied, SessionExpired
from app.domain.events import FeedChanged, FeedState, Noticed, SessionState, SyncStep, TicksConflated
from app.domain.flight import Flight, FlightStep
from app.domain.gtt import Gtt, GttLeg, GttRequest, GttStatus
from app.domain.health import HealthState
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.instrument import Product
from app.domain.market import Interval
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import Conversion, PositionKey
from app.domain.stop import Stop, StopPlan, StopState
from app.runtime.paths import ProfilePaths
from app.vault.vault import Vault
from tests.contract.upstox.conftest import Upstox, upstox_exchange
from tests.e2e.host import CHEAP, PASSPHRASE
from tests.fakes.paper_exchange import eventually

INFY = InstrumentId("NSE:INFY")


class Seat:
    """A desk with one Upstox account."""

    def __init__(self, desk: LocalDesk, account: AccountId) -> None:
        self.desk = desk
        self.account = account
        self.key = PositionKey(account, INFY, Product.MIS)

    async def last(self) -> Price:
        async def known() -> Price | None:
            return self.desk._workspace.account(self.account).last_price(INFY)

        price: Price = await eventually(known)
        return price

    async def held(self) -> int:
        reading = await self.desk._workspace.account(self.account).state.read_positions()
        return reading.quantity(self.key)

    async def stop(self) -> Stop:
        (stop,) = await self.desk.stops.stops()
        return stop


@asynccontextmanager
async def seated(exchange: Upstox, paths: ProfilePaths, *, first: bool) -> AsyncIterator[Seat]:
    if first:
        vault = Vault(paths.root, cost=CHEAP)
        await asyncio.to_thread(vault.create, PASSPHRASE, False)
        vault.lock()
    desk = await build_desk(paths, paper=False)
    try:
        await desk.session.unlock(PASSPHRASE)
        if first:
            credentials = exchange.credentials
            account = await desk.session.add_account(
                "upstox", credentials.api_key, credentials.api_secret, exchange.endpoints
            )
            page = await desk.session.begin_login(account)
            view = await desk.session.complete_login(account, await exchange.browse(page.url))
            assert view.paper
        else:
            await desk.session.resumed()
            (view,) = await desk.session.accounts()
            account = view.id
        await desk._workspace.account(account).recovered()
        await desk.market.subscribe("test", (INFY,))
        yield Seat(desk, account)
    finally:
        await desk.stop()


async def test_a_stop_survives_a_restart_and_gets_out_exactly_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # How fast it is on a busy machine is for the benchmark to judge.
    caplog.set_level(logging.ERROR, logger="app.engine.firing")
    paths = ProfilePaths(tmp_path / "profile")
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off") as exchange:
        async with seated(exchange, paths, first=True) as seat:
            await seat.desk.trading.place(OrderRequest(seat.account, INFY, Side.BUY, 10, Product.MIS, OrderKind.MARKET))
            assert await eventually(lambda: _is(seat.held, 10))
            trigger = (await seat.last()) * 97 // 100 // 10 * 10
            armed = await seat.desk.stops.arm(seat.key, StopPlan(trigger))
            assert armed.state is StopState.ARMED

            async def calendar_asked() -> bool:
                settings = seat.desk._workspace.book.settings
                return await settings.get("calendar.asked_on") == "2026-11-20" and bool(
                    await settings.get("calendar.news")
                )

            assert await eventually(calendar_asked)
            series = await seat.desk.market.open_chart("test", INFY, Interval.MINUTE)
            assert series is not None
        async with seated(exchange, paths, first=False) as seat:
            again = await seat.stop()
            assert (again.id, again.state, again.trigger) == (armed.id, StopState.ARMED, trigger)
            await seat.last()

            ticks = list[TicksConflated]()

            def listen(event: object) -> None:
                if isinstance(event, TicksConflated):
                    ticks.append(event)

            seat.desk.listen(listen)

            async def prices_before() -> bool:
                return len(ticks) > 2

            assert await eventually(prices_before)
            await exchange.control("PUT", "/market", {INFY: (trigger - 100) / 100})
            assert await eventually(lambda: _is(seat.held, 0))

            async def exits() -> list[Order]:
                broker = seat.desk._workspace.account(seat.account).broker
                return [o for o in await broker.orders() if o.tag and o.tag.startswith(armed.id)]

            (sold,) = await exits()
            assert (sold.side, sold.status, sold.filled_quantity) == (Side.SELL, OrderStatus.FILLED, 10)

            async def done() -> bool:
                return not [s for s in await seat.desk.stops.stops() if s.state in (StopState.ARMED, StopState.FIRED)]

            assert await eventually(done)
            await recorded(seat, again.id, sold, tmp_path)
            summary = await seat.desk.portfolio.sync()
            assert [run.error for run in summary.accounts] == [""]
            assert summary.accounts[0].fetched == 2
            assert len(await exits()) == 1


async def recorded(seat: Seat, stop: StopId, sold: Order, folder: Path) -> None:
    """The exit, step by step, in the journal and in a file, without a secret."""

    async def whole() -> Flight | None:
        found = await seat.desk.flights.one(stop)
        return found if found is not None and found.flat else None

    flight: Flight = await eventually(whole)
    assert (flight.instrument, flight.side, flight.filled) == (INFY, Side.SELL, 10)
    steps = [mark.step for mark in flight.marks if mark.step is not FlightStep.TICK]
    assert steps[:3] == [FlightStep.BREACH, FlightStep.DECIDED, FlightStep.WRITTEN]
    assert set(steps[3:]) == {FlightStep.ANSWERED, FlightStep.FILLED, FlightStep.FLAT}
    assert [mark.at_us for mark in flight.marks] == sorted(mark.at_us for mark in flight.marks)
    assert any(mark.step is FlightStep.TICK and mark.at_us < 0 for mark in flight.marks)
    assert flight.slippage == (flight.level - (sold.average_price or 0)) * 10
    assert flight.engine_us is not None
    assert bool(flight.cause) == (flight.engine_us > 5_000)
    (sent,) = flight.sent
    assert "POST /v3/order/place" in sent
    assert '"transaction_type":"SELL"' in sent
    assert "Authorization: ***" in sent
    assert "eyJ" not in sent, "the token is a JWT"
    file = folder / "flights.json"
    assert await seat.desk.flights.export(file, [stop]) == 1
    (told,) = json.loads(file.read_text())["flights"]
    assert (told["stop"], told["filled"], told["flat"]) == (stop, 10, True)
    assert told["level"] == f"{flight.level / 100:.2f}"
    with pytest.raises(Denied):
        await seat.desk.flights.export(file, [StopId("NOSUCHSTOP00")])
    (latency,) = await seat.desk.flights.latency()
    assert (latency.broker, latency.exits, latency.engine_worst) == ("upstox", 1, flight.engine_us)
    words = [one.words for one in await seat.desk.health.look() if one.name == "exits of upstox"]
    assert words[0].startswith("1 recorded: half left in")


async def test_while_order_updates_are_down_alone_the_book_is_read_and_the_trader_is_told(tmp_path: Path) -> None:
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off") as exchange:
        async with seated(exchange, ProfilePaths(tmp_path / "profile"), first=True) as seat:
            await seat.last()
            told, feeds = list[Noticed](), list[FeedChanged]()

            def listen(event: object) -> None:
                if isinstance(event, Noticed):
                    told.append(event)
                elif isinstance(event, FeedChanged):
                    feeds.append(event)

            seat.desk.listen(listen)
            await exchange.control("PUT", "/faults", {"faults": ["limits=off", "order-stream-down"]})

            async def said(title: str) -> bool:
                return title in [one.title for one in told]

            async def read_instead() -> bool:
                return feeds[-1].orders_are_read

            assert await eventually(lambda: said("Order updates have stopped"))
            assert await eventually(read_instead)
            order = OrderRequest(seat.account, INFY, Side.BUY, 10, Product.MIS, OrderKind.MARKET)
            view = await seat.desk.trading.place(order)
            state = seat.desk._workspace.account(seat.account).state

            async def shown() -> bool:
                known = [one for one in state.orders.values() if one.id == view]
                return bool(known and known[0].status is OrderStatus.FILLED and state.reading is not None)

            assert await eventually(shown)

            async def live() -> bool:
                return feeds[-1].state is FeedState.LIVE and feeds[-1].orders_are_read

            assert await eventually(live)
            await exchange.control("PUT", "/faults", {"faults": ["limits=off"]})
            assert await eventually(lambda: said("Order updates come by themselves again"))

            async def by_themselves() -> bool:
                return not feeds[-1].orders_are_read

            assert await eventually(by_themselves)
            before = len(told)
            await exchange.control("PUT", "/faults", {"faults": ["limits=off", "end-session:route=positions"]})
            with pytest.raises(SessionExpired):
                await state.read_positions()

            async def over() -> bool:
                return not state.active

            assert await eventually(over)
            assert "Order updates have stopped" not in [one.title for one in told[before:]]


async def test_the_look_before_the_open_finds_a_pulled_kill_switch(tmp_path: Path) -> None:
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off") as exchange:
        async with seated(exchange, ProfilePaths(tmp_path / "profile"), first=True) as seat:
            name = f"kill switch {seat.account}"

            async def found() -> tuple[HealthState, str]:
                report = await seat.desk.health.preflight()
                return next((one.state, one.words) for one in report.findings if one.name == name)

            assert (await found())[0] is HealthState.OK
            broker = seat.desk._workspace.account(seat.account).broker
            assert isinstance(broker, KillSwitchBroker)
            await broker.set_kill_switches({"NSE_FO": True})
            state, words = await found()
            assert (state, words.startswith("NSE_FO switched off")) == (HealthState.FAILED, True)


async def test_the_sync_goes_on_by_the_extended_token_when_the_day_is_over(tmp_path: Path) -> None:
    paths = ProfilePaths(tmp_path / "profile")
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off") as exchange:
        async with seated(exchange, paths, first=True) as seat:
            desk = seat.desk
            await desk.trading.place(OrderRequest(seat.account, INFY, Side.BUY, 10, Product.CNC, OrderKind.MARKET))

            async def bought() -> bool:
                orders = await desk._workspace.account(seat.account).broker.orders()
                return [one.status for one in orders] == [OrderStatus.FILLED]

            assert await eventually(bought)
            await exchange.control("PUT", "/clock", {"now": "2026-11-23T09:20:00"})  # the day's token died at 03:30

            async def state() -> SessionState:
                (view,) = await desk.session.accounts()
                return view.state

            assert await eventually(lambda: _is(state, SessionState.EXPIRED))
            assert await eventually(lambda: _read_by(desk, seat.account))
            summary = await desk.portfolio.sync()
            assert [(run.error, run.step) for run in summary.accounts] == [("", SyncStep.COMPLETED)]
            held = [one for one in await desk._workspace.book.holdings.load(seat.account) if one.instrument == INFY]
            assert [one.quantity + one.t1_quantity for one in held] == [10]
            with pytest.raises(SessionExpired):
                await desk.trading.place(OrderRequest(seat.account, INFY, Side.SELL, 1, Product.CNC, OrderKind.MARKET))
            assert await state() is SessionState.EXPIRED
            page = await desk.session.begin_login(seat.account)
            await desk.session.complete_login(seat.account, await exchange.browse(page.url))
            assert await state() is SessionState.ACTIVE
            assert not await _read_by(desk, seat.account)


async def _read_by(desk: LocalDesk, account: AccountId) -> bool:
    return desk._workspace.readers.get(account) is not None


async def _is(read: object, wanted: object) -> bool:
    assert callable(read)
    return bool(await read() == wanted)


@pytest.mark.parametrize("margin", ["none", "fresh"])
async def test_a_twin_stop_leaves_by_a_change_of_its_backstop(
    tmp_path: Path, margin: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, logger="app.engine.firing")
    faults = ("--fault", "limits=off", "--fault", f"modify_margin={margin}")
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00", *faults) as exchange:
        async with seated(exchange, ProfilePaths(tmp_path / "profile"), first=True) as seat:
            await seat.desk.trading.place(OrderRequest(seat.account, INFY, Side.BUY, 10, Product.MIS, OrderKind.MARKET))
            assert await eventually(lambda: _is(seat.held, 10))
            account = seat.desk._workspace.account(seat.account)
            trigger = (await seat.last()) * 97 // 100 // 10 * 10
            stop = await seat.desk.stops.arm(seat.key, StopPlan(trigger, backstop=1_000))

            async def rests() -> bool:
                return account.stops.backstops.backed.get(stop.id) == 10

            await eventually(rests)
            (backstop,) = account.stops.backstops.legs(stop.id)
            await exchange.control("PUT", "/market", {INFY: (trigger - 50) / 100})
            assert await eventually(lambda: _is(seat.held, 0))

            async def closed() -> bool:
                return (await seat.stop()).state is StopState.CLOSED

            assert await eventually(closed)
            ours = [o for o in await account.broker.orders() if (o.tag or "").startswith(stop.id)]
            assert [(o.broker_order_id, o.filled_quantity) for o in ours] == [(backstop.broker_order_id, 10)]


async def test_behind_a_stop_on_shares_a_trigger_rests_that_sells_at_market(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It follows its stop; one that is ended elsewhere is known at once; a gap through both sells what was there."""
    caplog.set_level(logging.ERROR, logger="app.engine.firing")
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off") as exchange:
        async with seated(exchange, ProfilePaths(tmp_path / "profile"), first=True) as seat:
            seat.key = PositionKey(seat.account, INFY, Product.CNC)
            await seat.desk.trading.place(OrderRequest(seat.account, INFY, Side.BUY, 10, Product.CNC, OrderKind.MARKET))
            assert await eventually(lambda: _is(seat.held, 10))
            account = seat.desk._workspace.account(seat.account)
            ours = account.stops.backstops.triggers
            trigger = (await seat.last()) * 97 // 100 // 10 * 10
            stop = await seat.desk.stops.arm(seat.key, StopPlan(trigger, backstop=1_000))

            async def waits() -> Gtt | None:
                found = [g for g in await seat.desk.gtts.gtts() if g.id in ours.ids and g.status.can_change]
                return found[0] if found and ours.backed.get(stop.id) == 10 else None

            gtt: Gtt = await eventually(waits)
            leg = gtt.legs[0]
            assert (leg.side, leg.quantity, leg.product, leg.trigger) == (Side.SELL, 10, Product.CNC, trigger - 1_000)
            assert (leg.kind, leg.price) == (OrderKind.MARKET, 0)
            await seat.desk.stops.move(stop.id, trigger - 500)

            async def followed() -> bool:
                now = await waits()
                return now is not None and (now.id, now.legs[0].trigger) == (gtt.id, trigger - 1_500)

            await eventually(followed)
            broker = account.broker
            assert isinstance(broker, GttBroker)
            await broker.delete_gtt(gtt.id)  # by the broker's own site

            async def noticed() -> bool:
                return not ours.backed

            await eventually(noticed)
            await seat.desk.stops.move(stop.id, trigger)
            again: Gtt = await eventually(waits)
            await exchange.control("PUT", "/market", {INFY: (trigger - 2_000) / 100})

            async def closed() -> bool:
                return (await seat.stop()).state is StopState.CLOSED and await seat.held() == 0

            assert await eventually(closed, 20)
            assert (await broker.gtt(again.id)).status is GttStatus.TRIGGERED
            assert not [o for o in await broker.orders() if not o.status.is_final]

            # Handed to the broker, a stop becomes one trigger: what stood behind it is gone before the session is.
            await seat.desk.trading.place(OrderRequest(seat.account, INFY, Side.BUY, 10, Product.CNC, OrderKind.MARKET))
            assert await eventually(lambda: _is(seat.held, 10))
            low = (await seat.last()) * 97 // 100 // 10 * 10
            stop = await seat.desk.stops.arm(seat.key, StopPlan(low, backstop=1_000))
            await eventually(waits)
            (words,) = await hand_over(seat.desk._workspace, account)
            assert "at market" in words
            (left,) = [one for one in await broker.gtts() if one.status.can_change]
            assert (left.legs[0].trigger, left.legs[0].quantity) == (low, 10)


async def test_what_was_changed_elsewhere_is_seen_at_once(tmp_path: Path) -> None:
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off") as exchange:
        async with seated(exchange, ProfilePaths(tmp_path / "profile"), first=True) as seat:
            elsewhere = seat.desk._workspace.account(seat.account).broker
            assert isinstance(elsewhere, ConversionBroker)
            assert isinstance(elsewhere, GttBroker)
            order = OrderRequest(seat.account, INFY, Side.BUY, 10, Product.MIS, OrderKind.MARKET)
            await seat.desk.trading.place(order)
            assert await eventually(lambda: _is(seat.held, 10))
            last = await seat.last()
            await seat.desk.gtts.gtts()
            # None of these goes by the desk, which reads positions every 30 s and triggers once a minute.
            await elsewhere.convert(Conversion(seat.key, Side.BUY, 10, Product.CNC))
            leg = GttLeg(last * 90 // 100 // 10 * 10, Side.SELL, 10, Product.CNC, 0, OrderKind.MARKET)
            number = await elsewhere.place_gtt(GttRequest(seat.account, INFY, last, (leg,)))

            async def seen() -> bool:
                held = {p.key.product: p.quantity for p in await seat.desk.portfolio.positions()}
                known = [gtt.id for gtt in seat.desk.gtts.known[seat.account]]
                return (held.get(Product.CNC), held.get(Product.MIS, 0)) == (10, 0) and number in known

            assert await eventually(seen)
