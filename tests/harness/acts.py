"""Makes a script's acts happen in a world. Each says which moments are not fair weather any more."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from app.desk.account import AccountDesk
from app.desk.flatten_messages import FlattenReport
from app.desk.square_off import square_off
from app.domain.errors import AppError
from app.domain.ids import InstrumentId, StrategyId, Tag
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import StopState
from app.engine.orders import new_order_tag
from app.simulator.account import Conversion
from app.simulator.faults import Fault
from app.simulator.form import OrderForm
from app.simulator.refusal import Refused
from tests.harness.script import HAND_SHARE, Act, Guarded, Kind, Planned, Script
from tests.harness.station import Disk, InlineWorker
from tests.harness.world import MORNING, World

T = TypeVar("T")
_OTHER_PRODUCT = {"NRML": "MIS", "MIS": "NRML"}
SERVER_CODES = (502, 500, 503, 504)
CHANGE_FAULTS = ("status=500", "lost-before", "lost-after", "status=503", "throttle=1", "delay=3")
HAND_UNITS = 5
TRIGGER_FAULTS = ("lost-after", "status=500", "lost-before", "delay=3", "throttle=1", "late-lost=9", "cut-json")
CLOSES_WITHIN = 8.0
READ_FAULTS = ("status=502", "html-403", "cut-json", "close", "bad-gzip")
READ_AGAIN = 31.0
"""Seconds until everything has been read once, whatever happens."""
PAID_AFTER = 4.0
"""Seconds after there is space again until what the journal was owed is written."""
BUSY_AFTER = 2.5
"""Seconds after a disk was busy until what waits its turn there is written."""
SETTLING = 4.0
"""Seconds after a disturbance until the program has redialled and read its books."""


@dataclass(slots=True)
class Flattened:
    """The chord was pressed, and what came of it."""

    life: int
    begun: float
    ended: float | None = None
    report: FlattenReport | None = None
    failure: Exception | None = None


@dataclass(slots=True)
class Stage:
    """A script being played in a world."""

    world: World
    script: Script
    begun: float
    foul: list[tuple[float, float]] = field(default_factory=list)
    """(from, until) in loop time: nobody can be expected to act within seconds then."""
    full: list[tuple[float, float]] = field(default_factory=list)
    """(from, until) in loop time: there was no space on the disk."""
    deaf: list[tuple[float, float]] = field(default_factory=list)
    """(from, until) in loop time: whatever the exchange said was lost on the way."""
    slow: list[tuple[float, float]] = field(default_factory=list)
    """(from, until) in loop time: somebody else was busy with the disk."""
    happened: dict[Kind, int] = field(default_factory=dict)
    """Acts that were played, whether or not they met anything."""
    strategies: dict[StrategyId, Planned] = field(default_factory=dict)
    """Those whose start was acknowledged."""
    entries: dict[Tag, int] = field(default_factory=dict)
    """What was bought by hand: units by the order's tag."""
    day_loss: int = 0
    """Paise that the day's P&L had to fall for the portfolio stop, from where it stood when that was set; 0: none."""
    flattened: list[Flattened] = field(default_factory=list)
    night: float | None = None
    """Loop time at which the program ended for the day; the broker closes what is left of it."""
    converted: list[tuple[str, float]] = field(default_factory=list)
    """Which instrument's position was converted by phone, and when: no update tells of it."""
    moved_stops: set[str] = field(default_factory=set)
    """Instruments whose stop the trader has moved."""
    by_phone: dict[str, float] = field(default_factory=dict)
    """Exchange's order id of what another terminal did, and when."""

    def disturb(self, seconds: float) -> None:
        """From now on, and until things have settled."""
        now = self.world.loop.time()
        self.foul.append((now - 0.05, now + seconds + SETTLING))

    def fair(self, since: float, until: float) -> float:
        """Seconds of an interval in which nothing was disturbed."""
        at, total = since, 0.0
        struck = [(moment - 0.05, moment + seconds) for moment, seconds in self.world.struck]
        for begin, end in sorted(self.foul + struck):
            if begin > at:
                total += max(0.0, min(begin, until) - at)
            at = max(at, end)
            if at >= until:
                return total
        return total + max(0.0, until - at)

    def died_within(self, since: float, seconds: float) -> bool:
        """The workstation died in an interval."""
        return any(since <= at <= since + seconds for at in self.world.deaths)

    def died_owing(self, at: float) -> bool:
        """What waits for no disk that is full is written down when there is space again, unless the process was killed
        before that: so it was with what happened at a moment."""
        return any(
            begin <= at <= end + PAID_AFTER and self.died_within(at, end + PAID_AFTER - at) for begin, end in self.full
        )

    def died_waiting(self, at: float) -> bool:
        """What happened at a moment waited for a busy disk, and the process was killed before its turn came."""
        return any(
            begin <= at <= end + BUSY_AFTER and self.died_within(at, end + BUSY_AFTER - at) for begin, end in self.slow
        )

    def count(self, kind: Kind) -> None:
        self.happened[kind] = self.happened.get(kind, 0) + 1

    async def play(self) -> None:
        """All acts at their times."""
        await asyncio.gather(*(self._play(act) for act in self.script.acts))

    async def _play(self, act: Act) -> None:
        await asyncio.sleep(max(0.0, self.begun + act.at - self.world.loop.time()))
        guarded = self.script.guarded[act.about % len(self.script.guarded)]
        if await _ACTS[act.kind](self, act, guarded) is not False:
            self.count(act.kind)
            if act.kind not in _STRIKES:
                self.world.count(act.kind)

    # -- of requests -------------------------------------------------------------------------------------------------

    async def _fault(self, kind: Kind, spec: str, seconds: float) -> None:
        """Counted when it strikes."""
        self._set(kind, spec)
        self.disturb(seconds)

    def _set(self, kind: Kind, spec: str) -> Fault | None:
        self.world.kinds[spec] = kind
        return self.world.exchange.faults.add(spec)

    def _one_of(self, names: Sequence[T], act: Act) -> T:
        return names[(self.script.seed + int(act.at * 100)) % len(names)]

    async def lost_before(self, act: Act, _: Guarded) -> None:
        await self._fault(act.kind, f"lost-before:route=place,count={int(act.amount)}", 12.0)

    async def lost_after(self, act: Act, _: Guarded) -> None:
        await self._fault(act.kind, f"lost-after:route=place,count={int(act.amount)}", 12.0)

    async def late(self, act: Act, _: Guarded) -> None:
        await self._fault(act.kind, f"late-lost={act.amount}:route=place", 12.0)

    async def slow_reply(self, act: Act, _: Guarded) -> None:
        await self._fault(act.kind, f"delay={act.amount}:route=place", 12.0)

    async def server_error(self, act: Act, _: Guarded) -> None:
        await self._fault(
            act.kind, f"status={self._one_of(SERVER_CODES, act)}:route=place,count={int(act.amount)}", 12.0
        )

    async def throttled(self, act: Act, _: Guarded) -> None:
        await self._fault(act.kind, f"throttle=1:route=place,count={int(act.amount)}", 8.0)

    async def gateway_page(self, act: Act, _: Guarded) -> None:
        await self._fault(act.kind, f"html-403:route=place,count={int(act.amount)}", 12.0)

    async def bad_read(self, act: Act, _: Guarded) -> None:
        name, exchange = self._one_of(READ_FAULTS, act), self.world.exchange
        faults = [
            self._set(act.kind, f"{name}:route={route},count={int(act.amount)}") for route in ("orders", "positions")
        ]
        self.disturb(5.0)
        await asyncio.sleep(READ_AGAIN)
        for fault in faults:  # where nobody reads often, it would still be there when the run ends
            if fault is not None and self.world.exchange is exchange:
                exchange.faults.release(fault.id)

    async def slow_read(self, act: Act, _: Guarded) -> None:
        await self._fault(act.kind, f"delay={act.amount}:route=positions,count=3", 3 * act.amount)

    async def change_fails(self, act: Act, _: Guarded) -> None:
        name = self._one_of(CHANGE_FAULTS, act)
        for route in ("modify", "cancel"):
            self._set(act.kind, f"{name}:route={route}")
        self.disturb(12.0)

    async def rejected(self, act: Act, guarded: Guarded) -> None:
        spec = f"reject:instrument={guarded.instrument},count={int(act.amount)},text=RMS: blocked for this test"
        await self._fault(act.kind, spec, 10.0)

    async def partial(self, act: Act, guarded: Guarded) -> None:
        part, exchange = max(1, abs(guarded.quantity) // 2), self.world.exchange
        fault = self._set(act.kind, f"partial={part}:instrument={guarded.instrument}")
        self.disturb(6.0)
        await asyncio.sleep(5.0)
        if fault is not None and self.world.exchange is exchange and not self.world.exchange_side.dead:
            exchange.faults.release(fault.id)
            exchange.oms.release_held()

    # -- of updates and prices ---------------------------------------------------------------------------------------

    async def update_lost(self, act: Act, guarded: Guarded) -> None:
        await self._fault(act.kind, f"update-drop:instrument={guarded.instrument},count={int(act.amount)}", 3.0)

    async def update_twice(self, act: Act, guarded: Guarded) -> None:
        await self._fault(act.kind, f"update-duplicate:instrument={guarded.instrument},count={int(act.amount)}", 0.0)

    async def update_late(self, act: Act, guarded: Guarded) -> None:
        await self._fault(act.kind, f"update-delay={act.amount}:instrument={guarded.instrument}", act.amount)

    async def update_order(self, act: Act, guarded: Guarded) -> None:
        await self._fault(act.kind, f"update-reorder:instrument={guarded.instrument}", 3.0)

    async def feed_silent(self, act: Act, _: Guarded) -> None:
        await self._fault(act.kind, f"ticker-silence={act.amount}", act.amount + 6.0)

    async def stream_down(self, act: Act, _: Guarded) -> bool:
        exchange = self.world.exchange
        if exchange.upstox is None or self.world.exchange_side.dead:
            return False
        self.disturb(act.amount + 6.0)
        fault = self._set(act.kind, "order-stream-down")
        await exchange.upstox.clock_changed()
        await asyncio.sleep(act.amount)
        if fault is not None and self.world.exchange is exchange:
            exchange.faults.release(fault.id)
        return True

    # -- of the line -------------------------------------------------------------------------------------------------

    async def no_name(self, act: Act, _: Guarded) -> None:
        network = self.world.network
        network.weather.no_name = True
        network.cut()
        self.disturb(act.amount + 3.0)
        before = network.unnamed
        await asyncio.sleep(act.amount)
        network.weather.no_name = False
        self._met(act, network.unnamed - before)

    def _met(self, act: Act, met: int) -> None:
        """It was there; did anybody meet it?"""
        if met:
            self.world.count(act.kind)

    async def black_hole(self, act: Act, _: Guarded) -> None:
        network = self.world.network
        network.weather.hole = True
        self.disturb(act.amount + 12.0)
        self.deaf.append((self.world.loop.time(), self.world.loop.time() + act.amount + SETTLING))
        before = network.swallowed
        await asyncio.sleep(act.amount)
        network.weather.hole = False
        self._met(act, network.swallowed - before)
        network.cut()  # whatever was lost on the way was lost for good: the connections are no use any more

    async def mid_frame(self, act: Act, _: Guarded) -> None:
        self.disturb(3.0)
        network = self.world.network
        before = network.cut_short
        for end in network.between(self.world.exchange_side):
            end.cut_after = 7 + int(act.at * 1000) % 40
        await asyncio.sleep(3.0)
        self._met(act, network.cut_short - before)

    async def idle_closed(self, act: Act, _: Guarded) -> bool:
        self.disturb(0.0)
        open_ends = self.world.network.between(self.world.exchange_side)
        for end in open_ends:
            end.close()
        return bool(open_ends)

    # -- of the broker -----------------------------------------------------------------------------------------------

    async def exchange_restart(self, act: Act, _: Guarded) -> None:
        self.disturb(act.amount + 8.0)
        self.world.kill_exchange()
        await asyncio.sleep(act.amount)
        await self.world.open_exchange()

    async def token_death(self, act: Act, _: Guarded) -> None:
        self.disturb(25.0)
        await self.world.exchange._end_sessions()

    async def phone_close(self, act: Act, guarded: Guarded) -> bool:
        return await self._by_phone(guarded, 1.0)

    async def phone_half(self, act: Act, guarded: Guarded) -> bool:
        return await self._by_phone(guarded, 0.5)

    async def phone_grow(self, act: Act, guarded: Guarded) -> bool:
        return await self._by_phone(guarded, -1.0)

    async def _by_phone(self, guarded: Guarded, part: float) -> bool:
        """Another terminal sells (a part of) what is there, or buys as much again."""
        world = self.world
        net = world.net(guarded.instrument, guarded.product)
        lot = world.tape.listings.by_key[guarded.instrument].lot_size
        units = int(abs(net) * abs(part)) // lot * lot
        if not units or world.exchange_side.dead:
            return False
        sign = -1 if (net > 0) is (part > 0) else 1
        world.exchange.happenings.trade_elsewhere(guarded.instrument, sign * units, guarded.product)
        self.by_phone[world.traded[-1].order] = world.loop.time()
        return True

    async def phone_order(self, act: Act, guarded: Guarded) -> bool:
        """The trader closes the position at another terminal, by an order that fills as the book has it."""
        world = self.world
        net = world.net(guarded.instrument, guarded.product)
        row = world.tape.listings.by_key[guarded.instrument]
        size = abs(net) if not row.freeze_quantity else min(abs(net), row.freeze_quantity)
        if not net or world.exchange_side.dead:
            return False
        side = "SELL" if net > 0 else "BUY"
        last = world.exchange.market.quotes[row.token].last_price
        form = OrderForm(
            exchange=row.exchange,
            tradingsymbol=row.tradingsymbol,
            side=side,
            quantity=size,
            product=guarded.product,
            order_type="LIMIT",
            price=last * (98 if net > 0 else 102) // 100 // row.tick_size * row.tick_size,
            trigger_price=0,
            validity="DAY",
            disclosed_quantity=0,
            market_protection=None,
            tag=None,
            autoslice=False,
        )
        try:
            order = world.exchange.oms.place(form)
        except Refused:
            return False
        self.by_phone[order.order_id] = world.loop.time()
        return True

    async def phone_convert(self, act: Act, guarded: Guarded) -> bool:
        world = self.world
        net = world.net(guarded.instrument, guarded.product)
        listing = world.tape.listings.by_key[guarded.instrument]
        if not net or world.exchange_side.dead:
            return False
        other = _OTHER_PRODUCT[guarded.product] if listing.underlying else "CNC"
        move = Conversion(guarded.product, other, "BUY" if net > 0 else "SELL", abs(net), overnight=False)
        try:
            world.exchange.ledger.convert(listing, move, world.exchange.oms.records.live())
        except Refused:
            return False
        self.converted.append((guarded.instrument, world.loop.time()))
        return True

    # -- of the trader -----------------------------------------------------------------------------------------------

    def key(self, guarded: Guarded) -> PositionKey:
        """Whose stop it is."""
        return PositionKey(self.world.wire.account, InstrumentId(guarded.instrument), Product(guarded.product))

    async def manual_exit(self, act: Act, guarded: Guarded) -> bool:
        """The trader presses exit in the very moment. Beside shares that are sold out of demat the button buys back."""
        station, key = self.world.running, self.key(guarded)
        reading = None if station is None else station.desk.state.reading
        if key.product is Product.CNC and reading is not None and reading.bought_today(key) < 0:
            return False
        return await self._by_hand(lambda desk: square_off(desk, self.key(guarded)))

    async def moved(self, act: Act, guarded: Guarded) -> bool:
        """A little further away."""
        station = self.world.running
        stop = None if station is None else station.desk.stops.stop_on(self.key(guarded))
        if stop is None or stop.state is not StopState.ARMED:
            return False
        trigger = stop.trigger + stop.side.sign * stop.tick_size
        self.moved_stops.add(guarded.instrument)
        return await self._by_hand(lambda desk: desk.stops.move(stop.id, trigger))

    async def entry(self, act: Act, _: Guarded) -> bool:
        """Something else is bought, at a limit that fills."""
        listing = self.world.tape.listings.by_key[HAND_SHARE]
        price = listing.previous_close * 101 // 100 // listing.tick_size * listing.tick_size
        tag = new_order_tag()
        request = OrderRequest(
            self.world.wire.account,
            InstrumentId(HAND_SHARE),
            Side.BUY,
            HAND_UNITS,
            Product.MIS,
            OrderKind.LIMIT,
            price=price,
            tag=tag,
        )
        self.entries[tag] = HAND_UNITS
        return await self._by_hand(lambda desk: desk.orders.place(request))

    async def strategy_ended(self, act: Act, _: Guarded) -> bool:
        """Stopped by the trader, and what it holds is closed."""
        wanted = self.script.planned[act.about]
        name = next((one for one, planned in self.strategies.items() if planned is wanted), None)
        return name is not None and await self._by_hand(lambda desk: desk.strategies.stop(name, close=True))

    async def everything_flat(self, act: Act, _: Guarded) -> bool:
        """The chord, confirmed."""
        station, loop = self.world.running, self.world.loop
        if station is None:
            return False
        done = Flattened(len(self.world.stations), loop.time())
        self.flattened.append(done)

        async def press() -> None:
            try:
                done.report = await station.flatten()
            except Exception as failure:  # noqa: BLE001 - judged at the end
                done.failure = failure
            done.ended = loop.time()

        station.side.start(press())
        return True

    async def _by_hand(self, verb: Callable[[AccountDesk], Awaitable[object]]) -> bool:
        """In the workstation's process; a refusal in words is an answer like any other."""
        station = self.world.running
        if station is None:
            return False

        async def press() -> None:
            try:
                await verb(station.desk)
            except AppError:
                self.refused = True

        station.side.start(press())  # nobody waits for it: the process may die meanwhile
        return True

    refused: bool = False

    # -- of the machine ----------------------------------------------------------------------------------------------

    async def clock_jump(self, act: Act, _: Guarded) -> None:
        self.world.loop.wall_shift += act.amount

    async def disk_busy(self, act: Act, _: Guarded) -> None:
        self.disturb(act.amount)
        disk, before = InlineWorker.disk, InlineWorker.disk.delayed
        disk.slow += 2.5
        self.slow.append((self.world.loop.time(), self.world.loop.time() + act.amount))
        await asyncio.sleep(act.amount)
        disk.slow -= 2.5
        self._met(act, disk.delayed - before)

    async def disk_full(self, act: Act, _: Guarded) -> None:
        self.disturb(act.amount)
        disk, before = InlineWorker.disk, InlineWorker.disk.refused
        disk.full += 1
        self.full.append((self.world.loop.time(), self.world.loop.time() + act.amount))
        await asyncio.sleep(act.amount)
        disk.full -= 1
        self._met(act, disk.refused - before)

    async def killed(self, act: Act, _: Guarded) -> bool:
        if self.world.station is None:
            return False
        self.disturb(act.amount + 8.0)
        self.world.kill_station()
        await asyncio.sleep(act.amount)
        await self._again()
        return True

    async def killed_between(self, act: Act, _: Guarded) -> bool:
        """Some steps from now: right after bytes have gone out, or its disk has done a work that it never hears of."""
        world, steps, context = self.world, int(act.amount), contextvars.copy_context()
        dead: asyncio.Future[None] = world.loop.create_future()

        def die() -> None:
            world.kill_station()
            dead.set_result(None)

        def step() -> None:
            nonlocal steps
            steps -= 1
            if not steps:
                world.loop.next_of_all(die, context)

        world.on_step = InlineWorker.disk.on_work = step
        done, _pending = await asyncio.wait([dead], timeout=20.0)
        world.on_step, InlineWorker.disk.on_work = None, Disk.on_work
        if not done:
            return False
        self.disturb(4.0 + 8.0)
        await asyncio.sleep(1.0 + act.amount % 4)
        await self._again()
        return True

    async def next_day(self, act: Act, _: Guarded) -> bool:
        """The program ends, the night passes, the order book is empty, every token is dead."""
        self.disturb(act.amount + 25.0)
        self.night = self.world.loop.time()
        self.world.kill_station()
        await asyncio.sleep(act.amount)
        if self.world.exchange_side.dead:
            await self.world.open_exchange()
        self.world.exchange.market.clock.set(MORNING + timedelta(days=1))
        await self.world.exchange._clock_changed()
        self.world.turned_day = self.world.loop.time()
        await self._again()
        return True

    async def a_night(self, act: Act, _: Guarded) -> bool:
        """The program ends, the night passes, what was bought is a holding, the market opens, the program starts."""
        world, night = self.world, self.script.night
        if night is None:
            return False
        station, loop = world.station, world.loop
        self.disturb(max(night.back, night.opens) - night.at + 12.0)
        self.night = loop.time()
        if station is not None and not night.killed:
            closing = station.side.start(station.close())
            await asyncio.wait([closing], timeout=CLOSES_WITHIN)
            if not closing.done():
                self.unclosed = True
            elif closing.exception() is not None:
                raise closing.exception() or AssertionError
        world.kill_station()
        await asyncio.sleep(0.3)
        if world.exchange_side.dead:
            await world.open_exchange()
        opens = (MORNING + timedelta(days=1)).replace(hour=9, minute=15)
        at = opens - timedelta(seconds=self.begun + night.opens - loop.time())
        world.tape.closed_until = opens.timestamp()
        loop.wall_shift += (at - world.exchange.market.clock.now()).total_seconds()
        world.exchange.market.clock.set(at)
        await world.exchange._clock_changed()
        world.turned_day = loop.time()
        self.count(Kind.NEXT_DAY)  # the order book of the day before is gone
        await asyncio.sleep(max(0.0, self.begun + night.back - loop.time()))
        await self._again()
        return True

    unclosed: bool = False
    """The program did not end when it was told to."""

    async def trigger_fails(self, act: Act, _: Guarded) -> None:
        name = self._one_of(TRIGGER_FAULTS, act)
        await self._fault(act.kind, f"{name}:route=gtt,count={int(act.amount)}", 12.0)

    async def trigger_deleted(self, act: Act, guarded: Guarded) -> bool:
        """By another terminal, one of ours: the trader may."""
        world = self.world
        mine = [t for t in world.triggers() if t.active and t.id not in world.foreign]
        mine = [t for t in mine if t.instrument == guarded.instrument]
        if not mine or world.exchange_side.dead:
            return False
        world.delete_trigger(mine[0].id)
        return True

    async def _again(self) -> None:
        if self.world.exchange_side.dead or InlineWorker.disk.full:
            await asyncio.sleep(0.5)
            await self._again()
        elif self.world.station is None:
            await self.world.start_station()


_STRIKES = frozenset(
    {
        Kind.LOST_BEFORE,
        Kind.LOST_AFTER,
        Kind.LATE,
        Kind.SLOW_REPLY,
        Kind.SERVER_ERROR,
        Kind.THROTTLED,
        Kind.GATEWAY_PAGE,
        Kind.BAD_READ,
        Kind.SLOW_READ,
        Kind.CHANGE_FAILS,
        Kind.FEED_SILENT,
        Kind.UPDATE_LOST,
        Kind.UPDATE_TWICE,
        Kind.UPDATE_LATE,
        Kind.UPDATE_ORDER,
        Kind.PARTIAL,
        Kind.REJECTED,
        Kind.NO_NAME,
        Kind.BLACK_HOLE,
        Kind.MID_FRAME,
        Kind.DISK_BUSY,
        Kind.DISK_FULL,
        Kind.TRIGGER_FAILS,
    }
)
"""Set first, and counted when somebody meets them."""


_ACTS: dict[Kind, Callable[[Stage, Act, Guarded], Awaitable[bool | None]]] = {
    Kind.LOST_BEFORE: Stage.lost_before,
    Kind.LOST_AFTER: Stage.lost_after,
    Kind.LATE: Stage.late,
    Kind.SLOW_REPLY: Stage.slow_reply,
    Kind.SERVER_ERROR: Stage.server_error,
    Kind.THROTTLED: Stage.throttled,
    Kind.GATEWAY_PAGE: Stage.gateway_page,
    Kind.BAD_READ: Stage.bad_read,
    Kind.NO_NAME: Stage.no_name,
    Kind.BLACK_HOLE: Stage.black_hole,
    Kind.MID_FRAME: Stage.mid_frame,
    Kind.IDLE_CLOSED: Stage.idle_closed,
    Kind.FEED_SILENT: Stage.feed_silent,
    Kind.UPDATE_LOST: Stage.update_lost,
    Kind.UPDATE_TWICE: Stage.update_twice,
    Kind.UPDATE_LATE: Stage.update_late,
    Kind.UPDATE_ORDER: Stage.update_order,
    Kind.PARTIAL: Stage.partial,
    Kind.REJECTED: Stage.rejected,
    Kind.EXCHANGE_RESTART: Stage.exchange_restart,
    Kind.TOKEN_DEATH: Stage.token_death,
    Kind.PHONE_CLOSE: Stage.phone_close,
    Kind.PHONE_HALF: Stage.phone_half,
    Kind.PHONE_CONVERT: Stage.phone_convert,
    Kind.PHONE_GROW: Stage.phone_grow,
    Kind.MANUAL_EXIT: Stage.manual_exit,
    Kind.MOVED: Stage.moved,
    Kind.CLOCK_JUMP: Stage.clock_jump,
    Kind.DISK_BUSY: Stage.disk_busy,
    Kind.DISK_FULL: Stage.disk_full,
    Kind.KILLED: Stage.killed,
    Kind.NEXT_DAY: Stage.next_day,
    Kind.KILLED_BETWEEN: Stage.killed_between,
    Kind.CHANGE_FAILS: Stage.change_fails,
    Kind.SLOW_READ: Stage.slow_read,
    Kind.ENTRY: Stage.entry,
    Kind.STRATEGY_ENDED: Stage.strategy_ended,
    Kind.STREAM_DOWN: Stage.stream_down,
    Kind.FLATTENED: Stage.everything_flat,
    Kind.NIGHT: Stage.a_night,
    Kind.TRIGGER_FAILS: Stage.trigger_fails,
    Kind.TRIGGER_DELETED: Stage.trigger_deleted,
    Kind.PHONE_ORDER: Stage.phone_order,
}
