"""The trader's verbs for what rests, converts and must be authorised: a whole desk against the paper exchange."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from app.desk.desk import LocalDesk
from app.desk.flatten_messages import FlattenChoice
from app.domain.coverage import Protection
from app.domain.errors import AuthorisationNeeded, Denied, OutcomeUnknown, Rejected
from app.domain.events import Event, GttsChanged, Level, Noticed
from app.domain.gtt import Gtt, GttLeg, GttRequest, GttStatus
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side, Variety
from app.domain.portfolio import Conversion, PositionKey
from app.domain.stop import Stop, StopPlan, StopState
from app.runtime.paths import ProfilePaths
from tests.contract.zerodha.desks import connected, log_in, new_desk, reopened
from tests.fakes.browser import browser
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange

INFY = InstrumentId("NSE:INFY")
SBIN = InstrumentId("NSE:SBIN")
TATASTEEL = InstrumentId("NSE:TATASTEEL")


@dataclass
class Trader:
    """Who sits at the desk, and what was said aloud."""

    desk: LocalDesk
    exchange: PaperExchange
    account: AccountId
    heard: list[Event] = field(default_factory=list)

    def key(self, product: Product, instrument: InstrumentId = INFY) -> PositionKey:
        return PositionKey(self.account, instrument, product)

    async def last(self, instrument: InstrumentId = INFY) -> Price:
        async def known() -> Price | None:
            return self.desk._workspace.account(self.account).last_price(instrument)

        price: Price = await eventually(known)
        return price

    async def quantity(self, product: Product) -> int:
        reading = await self.desk._workspace.account(self.account).state.read_positions()
        return reading.quantity(self.key(product))

    async def buy(self, quantity: int, product: Product) -> None:
        await self.hold(await self.quantity(product) + quantity, product)

    async def hold(self, quantity: int, product: Product) -> None:
        """Buys or sells until so much is there."""
        missing = quantity - await self.quantity(product)
        side = Side.BUY if missing > 0 else Side.SELL
        if missing:
            order = OrderRequest(self.account, INFY, side, abs(missing), product, OrderKind.MARKET)
            await self.desk.trading.place(order)

        async def held() -> bool:
            return await self.quantity(product) == quantity

        await eventually(held)

    def notices(self, level: Level) -> list[Noticed]:
        return [event for event in self.heard if isinstance(event, Noticed) and event.level is level]


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with paper_exchange(
        "--seed",
        "7",
        "--clock",
        "2026-11-20T10:00:00",
        "--fault",
        "limits=off",
        "--opening-position",
        "NSE:SBIN=20@CNC",
        "--opening-position",
        "NSE:TATASTEEL=30@CNC",
    ) as running:
        yield running


@pytest.fixture
async def trader(exchange: PaperExchange, tmp_path: Path) -> AsyncIterator[Trader]:
    async with new_desk(ProfilePaths(tmp_path / "profile")) as desk:
        account = await connected(desk, exchange)
        await log_in(desk, exchange, account, INFY, SBIN)
        found = Trader(desk, exchange, account)
        desk.listen(found.heard.append)
        yield found


def leg(trigger: Price, side: Side = Side.BUY) -> GttLeg:
    return GttLeg(trigger // 10 * 10, side, 2, Product.CNC, trigger // 10 * 10)


async def test_a_trigger_is_placed_changed_and_deleted_and_everybody_hears_of_it(trader: Trader) -> None:
    last = await trader.last()
    request = GttRequest(trader.account, INFY, last, (leg(last * 80 // 100),))
    with pytest.raises(Denied, match="tick"):
        await trader.desk.gtts.place(replace(request, legs=(replace(request.legs[0], trigger=10_003),)))
    number = await trader.desk.gtts.place(request)
    (listed,) = [gtt for gtt in await trader.desk.gtts.gtts() if gtt.id == number]
    assert listed.status is GttStatus.ACTIVE
    moved = replace(request, legs=(replace(request.legs[0], quantity=5),))
    await trader.desk.gtts.modify(number, moved)
    await trader.desk.gtts.delete(trader.account, number)
    told = [event.gtts for event in trader.heard if isinstance(event, GttsChanged)]
    assert [next(g for g in gtts if g.id == number).legs[0].quantity for gtts in told[:2]] == [2, 5]
    trail = [line.what for line in await trader.desk.stops.audit() if line.subject == f"gtt:{number}"]
    assert trail == ["deleted", "changed", "placed"]
    with pytest.raises(Rejected):
        await trader.desk.gtts.delete(trader.account, number)


async def test_a_lost_answer_to_a_trigger_is_looked_up_and_never_sent_twice(trader: Trader) -> None:
    last = await trader.last()
    request = GttRequest(trader.account, INFY, last, (leg(last * 70 // 100),))
    # The first of these routes is the list of what is there before.
    await trader.exchange.control("POST", "/faults", {"faults": ["lost-after:route=gtt,nth=2"]})
    number = await trader.desk.gtts.place(request)
    same = [gtt for gtt in await trader.desk.gtts.gtts() if gtt.legs == request.legs]
    assert [gtt.id for gtt in same] == [number]
    await trader.exchange.control("POST", "/faults", {"faults": ["lost-before:route=gtt,nth=2"]})
    with pytest.raises((Denied, OutcomeUnknown)):
        await trader.desk.gtts.place(replace(request, legs=(leg(last * 60 // 100),)))


async def test_a_trigger_that_the_broker_fires_for_nothing_is_an_alarm(trader: Trader) -> None:
    last = await trader.last()
    # Fires with the next tick; its order is for shares that are not there.
    sold = GttLeg((last + 100_00) // 10 * 10, Side.SELL, 100_000, Product.CNC, last * 97 // 100 // 10 * 10)
    request = GttRequest(trader.account, INFY, last + 200_00, (replace(sold, quantity=100_000),))
    await trader.desk.gtts.gtts()
    desk = trader.desk._workspace.account(trader.account)
    instrument = desk.instrument(INFY)
    assert instrument is not None
    number = await desk.orders.gtts.place(request, instrument)  # by hand it goes out with the price of now

    async def told() -> bool:
        await trader.desk.gtts.gtts()
        return bool(trader.notices(Level.ALARM))

    await eventually(told, within=30)
    (gtt,) = [gtt for gtt in await trader.desk.gtts.gtts() if gtt.id == number]
    assert gtt.failed
    assert "refused" in trader.notices(Level.ALARM)[0].title


async def test_a_converted_position_takes_its_stop_along(trader: Trader) -> None:
    await trader.buy(10, Product.MIS)
    last = await trader.last()
    old = await trader.desk.stops.arm(trader.key(Product.MIS), StopPlan(last * 90 // 100 // 10 * 10))
    with pytest.raises(Denied, match="One stop is armed on this account"):
        await trader.desk.session.disconnect(trader.account)
    held = await trader.quantity(Product.MIS)
    carried = await trader.quantity(Product.CNC)
    await trader.desk.trading.convert(Conversion(trader.key(Product.MIS), Side.BUY, held, Product.CNC))
    assert (await trader.quantity(Product.MIS), await trader.quantity(Product.CNC)) == (0, carried + held)
    stops = {stop.key: stop for stop in await trader.desk.stops.stops() if stop.state is StopState.ARMED}
    assert stops[trader.key(Product.CNC)].trigger == old.trigger
    assert trader.key(Product.MIS) not in stops
    await trader.desk.stops.disarm(stops[trader.key(Product.CNC)].id)


async def test_a_stop_that_comes_to_shares_in_the_long_term_holding_guards_none_of_those(trader: Trader) -> None:
    key = trader.key(Product.MIS, SBIN)
    state = trader.desk._workspace.account(trader.account).state
    await trader.desk.trading.place(OrderRequest(trader.account, SBIN, Side.BUY, 7, Product.MIS, OrderKind.MARKET))

    async def bought() -> bool:
        return (await state.read_positions()).quantity(key) == 7

    await eventually(bought)
    carried = replace(key, product=Product.CNC)
    (last,) = (await trader.desk._workspace.account(trader.account).broker.last_prices([SBIN])).values()
    await trader.desk.stops.arm(key, StopPlan(last * 90 // 100 // 10 * 10))
    await trader.desk.trading.convert(Conversion(key, Side.BUY, 7, Product.CNC))
    (stop,) = [stop for stop in await trader.desk.stops.stops() if stop.state is StopState.ARMED]
    assert (stop.key, stop.quantity) == (carried, 7)
    assert (await state.read_positions()).quantity(carried) > 7
    await trader.desk.stops.disarm(stop.id)
    await trader.desk.trading.place(OrderRequest(trader.account, SBIN, Side.SELL, 7, Product.CNC, OrderKind.MARKET))


async def test_a_conversion_that_the_broker_refuses_leaves_the_stop_where_it_was(trader: Trader) -> None:
    await trader.buy(2_000, Product.MIS)  # on margin; there is no money to carry them
    last = await trader.last()
    await trader.desk.stops.arm(trader.key(Product.MIS), StopPlan(last * 90 // 100 // 10 * 10))
    held = await trader.quantity(Product.MIS)
    with pytest.raises(Rejected):
        await trader.desk.trading.convert(Conversion(trader.key(Product.MIS), Side.BUY, held, Product.CNC))
    armed = [stop for stop in await trader.desk.stops.stops() if stop.state is StopState.ARMED]
    assert [(stop.key.product, stop.quantity) for stop in armed] == [(Product.MIS, held)]
    assert trader.notices(Level.ALARM) == []
    await trader.desk.stops.disarm(armed[0].id)


async def test_part_of_a_position_is_converted_the_stop_stays_with_the_rest_and_nonsense_is_denied(
    trader: Trader,
) -> None:
    await trader.buy(6, Product.MIS)
    last = await trader.last()
    stop = await trader.desk.stops.arm(trader.key(Product.MIS), StopPlan(last * 90 // 100 // 10 * 10))
    held = await trader.quantity(Product.MIS)
    await trader.desk.trading.convert(Conversion(trader.key(Product.MIS), Side.BUY, 2, Product.CNC))

    async def smaller() -> bool:
        (now,) = [s for s in await trader.desk.stops.stops() if s.id == stop.id]
        return (now.state, now.quantity) == (StopState.ARMED, held - 2)

    await eventually(smaller)
    await trader.desk.stops.disarm(stop.id)
    one = Conversion(trader.key(Product.MIS), Side.BUY, 1, Product.CNC)
    for wrong, words in (
        (replace(one, quantity=10_000), "are there to convert"),
        (replace(one, to=Product.MIS), "already"),
        (replace(one, to=Product.NRML), "futures and options"),
        (replace(one, side=Side.SELL), "turned"),
        (replace(one, position=trader.key(Product.MIS, SBIN)), "closed"),
    ):
        with pytest.raises(Denied, match=words):
            await trader.desk.trading.convert(wrong)


async def test_how_often_an_order_was_changed_is_still_known_after_a_restart(
    exchange: PaperExchange, tmp_path: Path
) -> None:
    paths = ProfilePaths(tmp_path / "profile")
    async with new_desk(paths) as desk:
        account = await connected(desk, exchange)
        await log_in(desk, exchange, account, INFY)
        trader = Trader(desk, exchange, account)
        low = await trader.last() * 95 // 100 // 10 * 10
        number = await desk.trading.place(OrderRequest(account, INFY, Side.BUY, 1, Product.MIS, OrderKind.LIMIT, low))

        async def at(price: Price) -> Order | None:
            orders = await desk.trading.orders()
            return next(
                (o for o in orders if o.id == number and o.price == price and o.status is OrderStatus.OPEN), None
            )

        order: Order = await eventually(lambda: at(low))
        for step in (10, 20, 30):
            await desk.trading.modify(account, order.broker_order_id, price=low + step)
            await eventually(lambda price=low + step: at(price))

        async def kept() -> bool:
            return await desk._workspace.book.orders.changes(account) == {order.broker_order_id: 3}

        await eventually(kept)
    async with reopened(paths) as desk:
        await log_in(desk, exchange, account, INFY)
        again = await eventually(lambda: at(low + 30))
        assert again.changes == 3
        await desk.trading.cancel(account, order.broker_order_id)


async def test_an_iceberg_shows_its_legs_and_stands_in_the_book(trader: Trader) -> None:
    last = await trader.last()
    low = last * 95 // 100 // 10 * 10
    request = OrderRequest(trader.account, INFY, Side.BUY, 10, Product.MIS, OrderKind.LIMIT, low)
    await trader.desk.trading.place(replace(request, variety=Variety.ICEBERG, iceberg_legs=5))

    async def kept() -> bool:
        stored = await trader.desk._workspace.book.orders.load(trader.account)
        return any(order.iceberg is not None and order.quantity == 2 for order in stored)

    await eventually(kept)
    with pytest.raises(Denied, match="equal legs"):
        await trader.desk.trading.place(replace(request, variety=Variety.ICEBERG, iceberg_legs=3))
    for order in await trader.desk.trading.orders():
        if order.status is OrderStatus.OPEN:
            await trader.desk.trading.cancel(trader.account, order.broker_order_id)


async def test_a_sale_of_unauthorised_holdings_names_the_page_and_goes_through_after_it(trader: Trader) -> None:
    await trader.last(SBIN)
    await trader.desk._workspace.account(trader.account).books.refresh()
    page = await trader.desk.trading.authorise(trader.account, SBIN)
    assert f"/authorise/holdings/{trader.exchange.line['api_key']}/" in page.url
    assert (await trader.desk.trading.authorise(trader.account)).url != page.url
    with pytest.raises(Denied, match="None of"):
        await trader.desk.trading.authorise(trader.account, InstrumentId("NSE:TCS"))
    sale = OrderRequest(trader.account, SBIN, Side.SELL, 5, Product.CNC, OrderKind.MARKET)
    await trader.exchange.control("POST", "/faults", {"faults": ["authorisation=needed"]})
    with pytest.raises(AuthorisationNeeded) as caught:
        await trader.desk.trading.place(sale)
    assert "5 quantity needs authorisation" in str(caught.value)
    async with browser() as opened:
        assert "May these shares be sold" in (await opened.get(caught.value.url)).text
        answered = await opened.post(caught.value.url, data={"action": "authorise"})
    assert answered.headers["location"].endswith("/finish?status=success")
    await trader.desk.trading.place(sale)
    await trader.desk.portfolio.sync()

    async def shown() -> bool:
        held = {h.instrument: h for h in await trader.desk.portfolio.holdings()}
        return held[SBIN].authorised_quantity == 20

    await trader.desk._workspace.account(trader.account).books.refresh()
    await eventually(shown)


async def test_a_stop_on_a_holding_says_when_it_is_armed_that_the_depository_would_not_let_it_go(
    trader: Trader,
) -> None:
    account, key = trader.desk._workspace.account(trader.account), trader.key(Product.CNC, TATASTEEL)
    await trader.exchange.control("POST", "/faults", {"faults": ["authorisation=needed"]})
    account.surroundings.sells_freely = (await account.broker.profile()).sells_freely
    await account.books.refresh()
    held = account.state.delivery.of(key)
    assert held is not None
    trigger = held.last_price * 98 // 100 // 5 * 5
    stop = await trader.desk.stops.arm(key, StopPlan(trigger))
    assert stop.quantity == 30
    assert any("30 of 30 shares are not released" in notice.cause for notice in trader.notices(Level.ALARM))
    assert [row.units for row in await trader.desk.stops.coverage() if row.key == key] == [30]
    await trader.last(TATASTEEL)
    await trader.exchange.control("PUT", "/market", {TATASTEEL: (trigger - 50) / 100})

    async def refused() -> bool:
        return any("authorisation" in notice.cause for notice in trader.notices(Level.ALARM))

    await eventually(refused)
    page = await trader.desk.trading.authorise(trader.account, TATASTEEL)
    async with browser() as opened:
        await opened.post(page.url, data={"action": "authorise"})

    async def sold() -> bool:
        known = next(s for s in await trader.desk.stops.stops() if s.id == stop.id)
        return known.state is StopState.CLOSED

    await eventually(sold)
    reading = await account.state.read_positions()
    assert (reading.bought_today(key), reading.quantity(key)) == (-30, 0)


@pytest.mark.parametrize("margin", ["none", "fresh"])
async def test_a_twin_stop_leaves_by_a_change_of_its_backstop(
    trader: Trader, margin: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Over the real wire, whether or not the broker's risk check looks at a change again."""
    caplog.set_level(logging.ERROR, logger="app.engine.firing")  # how fast it is on a busy machine is not asked here
    await trader.exchange.control("POST", "/faults", {"faults": [f"modify_margin={margin}"]})
    await trader.hold(10, Product.MIS)
    account = trader.desk._workspace.account(trader.account)
    trigger = await trader.last() * 97 // 100 // 10 * 10

    async def refused() -> bool:
        """The limits are read when they are first asked for."""
        far = await trader.desk.stops.preview(trader.key(Product.MIS), trigger, 30_000)
        return "beyond today's circuit limit" in far.denied

    await eventually(refused)
    told = (await trader.desk.stops.preview(trader.key(Product.MIS), trigger, 1_000)).backstop
    assert told is not None
    assert told.trigger == trigger - 1_000
    assert told.margin is not None, told.unknown
    stop = await trader.desk.stops.arm(trader.key(Product.MIS), StopPlan(trigger, backstop=1_000))

    async def rests() -> bool:
        return account.stops.backstops.backed.get(stop.id) == 10

    await eventually(rests)
    (backstop,) = account.stops.backstops.legs(stop.id)
    assert backstop.trigger_price == trigger - 1_000
    await trader.exchange.control("PUT", "/market", {INFY: (trigger - 50) / 100})

    async def flat() -> bool:
        return await trader.quantity(Product.MIS) == 0

    await eventually(flat)

    async def closed() -> bool:
        return next(s for s in await trader.desk.stops.stops() if s.id == stop.id).state is StopState.CLOSED

    await eventually(closed)
    ours = [o for o in await account.broker.orders() if (o.tag or "").startswith(stop.id)]
    assert sum(o.filled_quantity for o in ours) == 10, "exactly once"
    assert [o.broker_order_id for o in ours] == [backstop.broker_order_id], "never a second order"
    assert not any(not o.status.is_final for o in ours)


async def test_a_backstop_that_fires_alone_closes_its_stop_as_by_the_exchange(trader: Trader) -> None:
    await trader.hold(10, Product.MIS)
    account = trader.desk._workspace.account(trader.account)
    trigger = await trader.last() * 97 // 100 // 10 * 10
    stop = await trader.desk.stops.arm(trader.key(Product.MIS), StopPlan(trigger, backstop=500))

    async def rests() -> bool:
        return account.stops.backstops.backed.get(stop.id) == 10

    await eventually(rests)
    watch = account.stops._watching.of(stop.id)
    assert watch is not None
    watch.armed_at = 1 << 62  # no price reaches the local stop
    await trader.exchange.control("PUT", "/market", {INFY: (trigger - 600) / 100})

    async def closed() -> bool:
        return next(s for s in await trader.desk.stops.stops() if s.id == stop.id).state is StopState.CLOSED

    await eventually(closed)
    (told,) = [s for s in await trader.desk.stops.stops() if s.id == stop.id]
    assert "by the exchange" in told.note
    assert await trader.quantity(Product.MIS) == 0


async def behind(trader: Trader, stop: Stop) -> Gtt:
    """The trigger that waits at the broker behind a stop."""
    account = trader.desk._workspace.account(trader.account)

    async def rests() -> Gtt | None:
        ours = account.stops.backstops.triggers
        if ours.backed.get(stop.id) != stop.quantity:
            return None
        waiting = [gtt for gtt in await trader.desk.gtts.gtts() if gtt.id in ours.ids and gtt.status.can_change]
        return waiting[0] if len(waiting) == 1 else None

    found: Gtt = await eventually(rests)
    return found


async def closed(trader: Trader, stop: Stop) -> Stop:
    async def final() -> Stop | None:
        now = next(s for s in await trader.desk.stops.stops() if s.id == stop.id)
        return now if now.state is StopState.CLOSED else None

    found: Stop = await eventually(final, 20)
    return found


async def shares(trader: Trader) -> tuple[Price, Stop]:
    """Ten shares of delivery, and a stop on them with a trigger behind it."""
    base = 112_000
    await trader.exchange.control("PUT", "/market", {INFY: base / 100})
    await trader.hold(10, Product.CNC)
    trigger = base * 98 // 100 // 10 * 10
    told = (await trader.desk.stops.preview(trader.key(Product.CNC), trigger, 1_000)).backstop
    assert told is not None
    assert (told.gtt, told.margin) == (True, 0)
    stop = await trader.desk.stops.arm(trader.key(Product.CNC), StopPlan(trigger, backstop=1_000))
    return trigger, stop


async def test_behind_a_stop_on_shares_a_trigger_rests_and_follows_and_goes(trader: Trader) -> None:
    trigger, stop = await shares(trader)
    gtt = await behind(trader, stop)
    leg = gtt.legs[0]
    assert (leg.trigger, leg.side, leg.quantity, leg.product, leg.kind) == (
        trigger - 1_000, Side.SELL, 10, Product.CNC, OrderKind.LIMIT,
    )  # fmt: skip
    (row,) = [row for row in await trader.desk.stops.coverage() if row.key == stop.key]
    assert row.kind is Protection.GTT_TWIN
    waiting = [one for one in await trader.desk.gtts.gtts() if one.status.can_change]
    plan = await trader.desk.flatten.plan(FlattenChoice())
    assert plan.gtts == len(waiting) - 1, "it goes with its stop, and is not the trader's to tick"
    assert (plan.behind, plan.kept) == (1, 0)
    await trader.desk.stops.move(stop.id, trigger + 500)

    async def followed() -> bool:
        return (await behind(trader, stop)).legs[0].trigger == trigger - 500

    await eventually(followed)
    assert (await behind(trader, stop)).id == gtt.id
    await trader.desk.gtts.delete(trader.account, gtt.id)  # as by phone

    async def noticed() -> bool:
        rows = [row for row in await trader.desk.stops.coverage() if row.key == stop.key]
        return rows[0].kind is Protection.LOCAL

    await eventually(noticed)
    assert any("is gone" in notice.cause for notice in trader.notices(Level.ALARM))
    await trader.desk.stops.move(stop.id, trigger)
    again = await behind(trader, stop)
    await trader.desk.stops.disarm(stop.id)

    async def gone() -> bool:
        found = next(g for g in await trader.desk.gtts.gtts() if g.id == again.id)
        return found.status is GttStatus.DELETED

    await eventually(gone)


async def test_a_stop_on_shares_sells_at_once_and_its_trigger_is_deleted(
    trader: Trader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, logger="app.engine.firing")
    trigger, stop = await shares(trader)
    gtt = await behind(trader, stop)
    await trader.exchange.control("PUT", "/market", {INFY: (trigger - 50) / 100})
    await closed(trader, stop)
    assert await trader.quantity(Product.CNC) == 0

    async def gone() -> bool:
        return next(g for g in await trader.desk.gtts.gtts() if g.id == gtt.id).status is GttStatus.DELETED

    await eventually(gone)


async def test_a_gap_through_stop_and_trigger_sells_the_shares_once(
    trader: Trader, caplog: pytest.LogCaptureFixture
) -> None:
    """Both act on the same price: what was there is sold, and nothing beyond."""
    caplog.set_level(logging.ERROR, logger="app.engine.firing")
    trigger, stop = await shares(trader)
    gtt = await behind(trader, stop)
    await trader.exchange.control("PUT", "/market", {INFY: (trigger - 2_000) / 100})
    await closed(trader, stop)

    async def flat() -> bool:
        account = trader.desk._workspace.account(trader.account)
        live = [o for o in account.state.orders.values() if o.instrument == INFY and not o.status.is_final]
        return not live and await trader.quantity(Product.CNC) == 0

    await eventually(flat)
    assert next(g for g in await trader.desk.gtts.gtts() if g.id == gtt.id).status is GttStatus.TRIGGERED


async def test_a_trigger_that_fires_while_the_program_is_away_closes_its_stop(
    exchange: PaperExchange, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, logger="app.engine.firing")
    paths = ProfilePaths(tmp_path / "profile")
    async with new_desk(paths) as desk:
        account = await connected(desk, exchange)
        await log_in(desk, exchange, account, INFY)
        trader = Trader(desk, exchange, account)
        trigger, stop = await shares(trader)
        gtt = await behind(trader, stop)
    await exchange.control("PUT", "/market", {INFY: (trigger - 2_000) / 100})
    async with reopened(paths) as desk:
        await desk.session.resumed()
        await desk._workspace.account(account).recovered()
        trader = Trader(desk, exchange, account)
        ended = await closed(trader, stop)
        assert ended.note == "closed by the broker: its trigger (GTT) filled"
        assert await trader.quantity(Product.CNC) == 0
        trail = [line.what for line in await desk.stops.audit() if line.subject == f"stop:{stop.id}"]
        assert {"backstop", "backstop rests", "trigger fired", "position flat"} <= set(trail)
        assert gtt.id not in {g.id for g in await desk.gtts.gtts() if g.status.can_change}
