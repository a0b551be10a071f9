"""A broker, an exit line and a journal in memory, and a stop engine on top of them: for tests of its decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from app.brokers.base import BrokerSession, ExitReply
from app.brokers.info import shipped_info
from app.domain.errors import AppError, OutcomeUnknown, Rejected, StorageError
from app.domain.events import AuditEntry, Event, Level, Noticed
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos, OrderId, StopId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.intent import Intent, IntentNews
from app.domain.market import Quote, Tick
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Placement, Purpose, Side, SliceOutcome
from app.domain.order_list import PartlyRead, UnreadOrder
from app.domain.portfolio import Holding, Position, PositionKey
from app.domain.stop import Stop, StopPlan, StopState, TimeExit, Trail, stop_of_tag
from app.engine.account import AccountState
from app.engine.exit_plan import cut
from app.engine.orders import OrderManager
from app.engine.recovery import recover
from app.engine.rules import ExitRules
from app.engine.stops import StopEngine
from app.runtime.clock import AccountClock
from app.runtime.loop import Tasks
from tests.fakes.triggers import FakeTriggers, TriggerRows

ZERODHA = shipped_info("zerodha")
ACCOUNT = AccountId("zerodha-X")
INFY = Instrument(InstrumentId("NSE:INFY"), 408065, Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, "INFOSYS", 5, 1)
OPTION = Instrument(
    InstrumentId("NFO:RELIANCE26DEC1280CE"),
    777,
    Exchange.NFO,
    Segment.OPTIONS,
    InstrumentKind.CALL,
    "RELIANCE",
    5,
    500,
)
KEY = PositionKey(ACCOUNT, INFY.id, Product.MIS)
TABLES = Path(__file__).resolve().parents[2] / "resources" / "rules"
RULES = TABLES / "exits.csv"
EXIT_RULES = ExitRules.parse(
    *((TABLES / f"{name}.csv").read_text("utf-8") for name in ("exits", "protection", "freeze", "backstop"))
)
Answer = Callable[[OrderRequest], object]


def position(key: PositionKey, quantity: int, last: Price = 100_000) -> Position:
    return Position(key, quantity, Decimal(1000), last, last, 0, Decimal(0), 0, Decimal(0))


class LostAfter(OutcomeUnknown):
    """The request took effect, and its answer is lost."""


class FakeBroker(FakeTriggers):
    """One account's orders and positions. What a placement does is scripted: an order is filled at once by default."""

    account = ACCOUNT
    paper = True

    def __init__(self) -> None:
        super().__init__()
        self.book: dict[BrokerOrderId, Order] = {}
        self.held: dict[PositionKey, int] = {}
        self.rows: list[Position] = []
        """What is told of positions beside how much is held."""
        self.demat: list[Holding] = []
        self.placed: list[OrderRequest] = []
        self.freeze = 0
        """Units that one slice carries."""
        self.cancelled: list[BrokerOrderId] = []
        self.priced: list[tuple[BrokerOrderId, Price | None]] = []
        self.converted: list[tuple[BrokerOrderId, Price | None, int]] = []
        self.conversions: list[Exception | str] = []
        """For the next changes of a resting order to a marketable one: an error, `open`, or it is filled."""
        self.circuits: dict[InstrumentId, tuple[Price, Price]] = {}
        """Lower and upper limit of the day."""
        self.answers: list[Exception | str] = []
        """For the next placements: an error to raise (nothing done), `open`, `lost` (done, no answer), `rejected`."""
        self.failures: dict[str, list[Exception]] = {}
        """By method: errors of the next calls."""
        self.reads = 0
        """Of orders and positions."""
        self.odd: list[UnreadOrder] = []
        """Rows of the list that cannot be read."""
        self.used = 0.0
        """The share of its requests that is used."""
        self.slow = 0.01
        """Seconds that an answer with positions is under way: it tells what was so when it left."""
        self.vanishes = 0.0
        """Seconds after which a change or a cancellation that never arrives is given up; 0: they arrive."""
        self.state: AccountState | None = None
        """Who hears order updates; None: the stream is down."""

    def reads_used(self) -> float:
        return self.used

    # -- the exchange's side

    def hold(self, key: PositionKey, quantity: int) -> None:
        self.held[key] = quantity

    def accept(self, request: OrderRequest, status: OrderStatus = OrderStatus.OPEN) -> Order:
        number = BrokerOrderId(str(1_000 + len(self.book)))
        order = Order(
            account=request.account,
            broker_order_id=number,
            instrument=request.instrument,
            side=request.side,
            product=request.product,
            kind=request.kind,
            status=status,
            quantity=request.quantity,
            filled_quantity=0,
            pending_quantity=request.quantity,
            average_price=None,
            price=request.price,
            trigger_price=request.trigger_price,
            tag=request.tag,
            placed_at=1,
        )
        self._tell(order)
        return order

    def fill(self, number: BrokerOrderId, quantity: int | None = None) -> None:
        order = self.book[number]
        units = order.pending_quantity if quantity is None else quantity
        key = PositionKey(order.account, order.instrument, order.product)
        self.held[key] = self.held.get(key, 0) + units * order.side.sign
        filled = order.filled_quantity + units
        whole = filled == order.quantity
        self._tell(
            replace(
                order,
                filled_quantity=filled,
                pending_quantity=order.quantity - filled,
                average_price=99_000,
                status=OrderStatus.FILLED if whole else OrderStatus.PARTIALLY_FILLED,
            )
        )

    def finish(self, number: BrokerOrderId, status: OrderStatus) -> None:
        self._tell(replace(self.book[number], status=status, pending_quantity=0))

    def take(self, request: OrderRequest) -> BrokerOrderId:
        """A placement, by whatever road it came. Raises what was scripted."""
        self.placed.append(request)
        answer = self.answers.pop(0) if self.answers else "filled"
        if isinstance(answer, Exception):
            raise answer
        if answer == "rejected":
            return self.accept(request, OrderStatus.REJECTED).broker_order_id
        if request.kind is OrderKind.SL:
            return self.accept(request, OrderStatus.TRIGGER_PENDING).broker_order_id
        number = self.accept(request).broker_order_id
        if answer in ("filled", "lost"):
            self.fill(number)
        if answer == "lost":
            raise _lost()
        return number

    def _tell(self, order: Order) -> None:
        self.book[order.broker_order_id] = order
        if self.state is not None:
            self.state.order_update(order)

    # -- the session's side

    async def _vanish(self) -> None:
        if self.vanishes:
            await asyncio.sleep(self.vanishes)
            raise _lost()

    def _fail(self, method: str) -> Exception | None:
        """Raises what was scripted, or gives it back to be raised when the request has taken effect (`LostAfter`)."""
        scripted = self.failures.get(method)
        failure = scripted.pop(0) if scripted else None
        if failure is not None and not isinstance(failure, LostAfter):
            raise failure
        return failure

    async def orders(self) -> Sequence[Order]:
        self.reads += 1
        await asyncio.sleep(0.01)
        self._fail("orders")
        odd = {row.number for row in self.odd}
        listed = [order for number, order in self.book.items() if number not in odd]
        if self.odd:
            raise PartlyRead(listed, self.odd)
        return listed

    async def positions(self) -> Sequence[Position]:
        self.reads += 1
        told = {row.key: row for row in self.rows}
        rows = [
            replace(told.get(key) or position(key, quantity), quantity=quantity) for key, quantity in self.held.items()
        ]
        await asyncio.sleep(self.slow)
        self._fail("positions")
        return rows

    async def holdings(self) -> Sequence[Holding]:
        await asyncio.sleep(0.01)
        self._fail("holdings")
        return list(self.demat)

    async def quotes(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Quote]:
        self._fail("quotes")
        return {
            name: Quote(Tick(name, 1, 100_000), *self.circuits[name]) for name in instruments if name in self.circuits
        }

    async def place(self, request: OrderRequest) -> BrokerOrderId:
        await asyncio.sleep(0.01)
        return self.take(request)

    async def place_sliced(self, request: OrderRequest) -> Placement:
        """Cut up at `freeze`, each slice under the request's tag; what happens to each is scripted as of any order."""
        await asyncio.sleep(0.01)
        made: list[SliceOutcome] = []
        for units in cut(request.quantity, self.freeze):
            try:
                made.append(SliceOutcome(self.take(replace(request, quantity=units)), ""))
            except Rejected as failure:
                made.append(SliceOutcome(None, failure.cause))
        known = [one.order for one in made if one.order is not None]
        if not known:
            raise refusal("Quantity exceeds the freeze quantity.")
        return Placement(known[0], tuple(made))

    async def modify(
        self,
        order: BrokerOrderId,
        *,
        price: Price | None = None,
        quantity: int | None = None,
        trigger_price: Price | None = None,
    ) -> None:
        self.priced.append((order, price))
        await self._vanish()
        lost = self._fail("modify")
        known = self.book.get(order)
        if known is not None:
            total = known.quantity if quantity is None else quantity
            trigger = trigger_price or known.trigger_price
            pending = total - known.filled_quantity
            self._tell(
                replace(
                    known,
                    quantity=total,
                    pending_quantity=pending,
                    trigger_price=trigger,
                    price=known.price if price is None else price,
                )
            )
        if lost is not None:
            raise lost

    async def make_marketable(self, order: BrokerOrderId, price: Price, quantity: int) -> None:
        await asyncio.sleep(0.01)
        self.convert(order, price, quantity)

    def convert(self, order: BrokerOrderId, price: Price | None, quantity: int) -> None:
        """A change to a marketable price, by whatever road it came. Raises what was scripted."""
        self.converted.append((order, price, quantity))
        answer = self.conversions.pop(0) if self.conversions else "filled"
        if isinstance(answer, Exception):
            raise answer
        known = self.book[order]
        if known.status.is_final:
            raise refusal("Order cannot be modified. Order is complete.")
        if quantity <= known.filled_quantity:
            raise refusal("Order cannot be modified. So much is filled.")
        self._tell(
            replace(
                known,
                kind=OrderKind.LIMIT,
                status=OrderStatus.OPEN,
                price=price,
                trigger_price=None,
                quantity=quantity,
                pending_quantity=quantity - known.filled_quantity,
            )
        )
        if answer == "filled":
            self.fill(order)

    async def cancel(self, order: BrokerOrderId) -> None:
        self.cancelled.append(order)
        await self._vanish()
        lost = self._fail("cancel")
        self.finish(order, OrderStatus.CANCELLED)
        if lost is not None:
            raise lost


def _lost() -> AppError:
    return OutcomeUnknown("The broker did not answer.")


@dataclass
class FakePrepared:
    request: OrderRequest
    changes: BrokerOrderId | None = None
    """The resting order that becomes this one."""

    def wire(self, price: Price | None) -> bytes:
        return b""


class FakeLine:
    """An exit line to a `FakeBroker`. `free` connections; the answer comes on the next turn of the loop."""

    def __init__(self, broker: FakeBroker, free: int = 4) -> None:
        self._broker = broker
        self.free = free
        self.on_ready: Callable[[], None] | None = None
        self.fired: list[tuple[OrderRequest, Price | None]] = []
        self.silent = False
        """No answer comes."""

    @property
    def ready(self) -> int:
        return self.free

    def prepare(self, request: OrderRequest, price_scale: int = 100) -> FakePrepared:
        return FakePrepared(request)

    def prepare_change(self, order: BrokerOrderId, request: OrderRequest, price_scale: int = 100) -> FakePrepared:
        return FakePrepared(request, order)

    def fire(self, prepared: Any, on_reply: Callable[[ExitReply], None], price: Price | None = None) -> int:
        if self.free == 0:
            return 0
        request = prepared.request if price is None else replace(prepared.request, price=price)
        self.fired.append((request, price))
        order, error = None, None
        try:
            if prepared.changes is not None:
                order = prepared.changes
                self._broker.convert(order, price, request.quantity)
            else:
                order = self._broker.take(request)
        except AppError as failure:
            order, error = None, failure
        if not self.silent:
            reply = ExitReply(request.tag or "", order, error, 1, 2)
            asyncio.get_running_loop().call_soon(on_reply, reply)
        return 1

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class MemoryJournal:
    """Keeps what it is given, in order. `broken`: every write fails."""

    def __init__(self) -> None:
        self.stops: dict[str, Stop] = {}
        self.intents: list[OrderRequest] = []
        self.lines: list[AuditEntry] = []
        self.purposes: list[Purpose] = []
        self.news: list[IntentNews] = []
        self.unfinished: list[Intent] = []
        """Orders that an earlier run left open."""
        self.broken = False
        self.gate: asyncio.Event | None = None
        """Writes wait for it."""
        self.gtt_backstops = TriggerRows(self._write, self.lines.append)

    async def save_stop(self, stop: Stop, entry: AuditEntry, *intents: OrderRequest) -> None:
        await self._write()
        self.stops[stop.id] = stop
        self.intents.extend(intents)
        self.lines.append(entry)

    async def save_levels(self, stops: Sequence[Stop], at: Nanos) -> None:
        await self._write()
        for stop in stops:
            kept = self.stops[stop.id]
            if kept.state is StopState.ARMED:
                self.stops[stop.id] = replace(
                    kept, trigger=stop.trigger, best=stop.best, seen_price=stop.seen_price, seen_at=stop.seen_at
                )

    async def audit(self, *entries: AuditEntry) -> None:
        await self._write()
        self.lines.extend(entries)

    async def record_intent(
        self, order_id: OrderId, request: OrderRequest, purpose: Purpose, entry: AuditEntry
    ) -> None:
        await self._write()
        self.intents.append(request)
        self.purposes.append(purpose)
        self.lines.append(entry)

    async def record_news(self, news: Sequence[IntentNews], entries: Sequence[AuditEntry]) -> None:
        await self._write()
        self.news.extend(news)
        self.lines.extend(entries)

    async def closed_by(self, stop: StopId, side: Side) -> int:
        sides = {request.tag: request.side for request in self.intents}
        filled = {one.tag: one.filled for one in self.news if stop_of_tag(one.tag) == stop and one.tag in sides}
        return sum(units * (1 if sides[tag] is side else -1) for tag, units in filled.items())

    async def unseen(self, stop: StopId, side: Side, before: Nanos) -> int:
        exits = {r.tag: r.quantity for r in self.intents if stop_of_tag(r.tag) == stop and r.side is side}
        for one in self.news:
            if one.tag in exits:
                exits[one.tag] = 0 if one.status.is_final else exits[one.tag] - one.filled
        return sum(exits.values())

    async def unfinished_intents(self, account: AccountId) -> Sequence[Intent]:
        await self._write()
        return self.unfinished

    async def _write(self) -> None:
        await asyncio.sleep(0.001)
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise StorageError("The disk is full.")

    def statuses(self, tag: str) -> list[OrderStatus]:
        """What was written of one order, in order."""
        return [one.status for one in self.news if one.tag == tag]

    @property
    def told(self) -> list[str]:
        """Of stops."""
        return [entry.what for entry in self.lines if entry.stop is not None and entry.subject.startswith("stop:")]


@dataclass
class FakeSurroundings:
    """A market that is always open, unless a test closes some of it."""

    closed: set[InstrumentId] = field(default_factory=set)
    even: Price | None = None
    range: Fraction | AppError = Fraction(500)
    exits: Nanos = 0
    future: Instrument | None = None
    recorded: Price | AppError | None = None
    recorded_at: Callable[[Nanos], Price] | None = None
    apart: Price | None = None
    """Future and index, by the record."""
    measured: list[tuple[InstrumentId, InstrumentId]] = field(default_factory=list)
    held: Holding | None = None

    def break_even(self, key: PositionKey) -> Price | None:
        return self.even

    async def average_range(self, instrument: Instrument, trail: Trail) -> Fraction:
        await asyncio.sleep(0.01)
        if isinstance(self.range, AppError):
            raise self.range
        return self.range

    def exit_at(self, instrument: Instrument, plan: TimeExit, after: Nanos) -> Nanos:
        return self.exits

    def continuous(self, instrument: InstrumentId, at: Nanos) -> bool:
        return instrument not in self.closed

    def stand_in(self, underlying: Instrument) -> Instrument | None:
        return self.future

    async def distance(self, index: Instrument, future: Instrument) -> Price | None:
        self.measured.append((index.id, future.id))
        if isinstance(self.recorded, AppError):
            raise self.recorded
        return self.apart

    async def price_at(self, instrument: Instrument, at: Nanos) -> Price | None:
        if self.recorded_at is not None:
            return self.recorded_at(at)
        if isinstance(self.recorded, AppError):
            raise self.recorded
        return self.recorded

    def holding(self, key: PositionKey) -> Holding | None:
        return self.held


@dataclass
class Rig:
    """A stop engine with everything around it. Build it on a running loop."""

    broker: FakeBroker = field(default_factory=FakeBroker)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    events: list[Event] = field(default_factory=list)
    last: dict[InstrumentId, Price] = field(default_factory=dict)
    counting: bool = True
    rules: ExitRules = EXIT_RULES
    clock: AccountClock = field(default_factory=AccountClock)
    around: FakeSurroundings = field(default_factory=FakeSurroundings)
    instruments: Mapping[InstrumentId, Instrument] = field(default_factory=lambda: {INFY.id: INFY, OPTION.id: OPTION})

    def __post_init__(self) -> None:
        self.clock.set(1_700_000_000 * 10**9)
        self.tasks = Tasks()
        self.state = AccountState(ACCOUNT, self.clock, self.events.append)
        self.orders = OrderManager(
            self.state,
            self.journal,
            self.rules,
            self.instruments.get,
            self.last.get,
            self.events.append,
            self.tasks,
            lambda: ZERODHA,
        )
        self.engine = StopEngine(
            self.state,
            self.orders,
            self.journal,
            self.rules,
            self.instruments.get,
            self.last.get,
            lambda watch, seconds: self.counting,
            self.around,
            self.events.append,
            self.tasks,
        )
        self.line = FakeLine(self.broker)
        self.log_in()

    def log_in(self) -> None:
        """A fresh session with a fresh line."""
        self.broker.state = self.state
        self.line = FakeLine(self.broker)
        self.engine.attach(cast("BrokerSession", self.broker), self.line)

    def log_out(self) -> None:
        self.broker.state = None
        self.engine.detach()

    async def guard(self, key: PositionKey = KEY, quantity: int = 100, trigger: Price = 99_000) -> Stop:
        """A position and its stop."""
        self.broker.hold(key, quantity)
        await self.state.read_positions()
        return await self.engine.arm(key, StopPlan(trigger))

    def tick(self, price: Price, token: int = INFY.token, seconds: int = 1_800_000_000) -> None:
        self.engine.check([(token, price, 0, seconds)], 1)

    async def ended(self, stop: Stop, seconds: float = 600.0) -> Stop:
        """Until a stop is final."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not self.of(stop).state.is_final:
            assert loop.time() < deadline, (self.of(stop), self.journal.told)
            await asyncio.sleep(0.05)
        return self.of(stop)

    async def recover(self) -> None:
        await recover(self.state, self.engine, self.events.append)

    def of(self, stop: Stop) -> Stop:
        return next(known for known in self.engine.stops if known.id == stop.id)

    @property
    def alarms(self) -> list[str]:
        return [e.cause for e in self.events if isinstance(e, Noticed) and e.level is Level.ALARM]

    @property
    def exits(self) -> list[OrderRequest]:
        return [request for request in self.broker.placed if request.side is Side.SELL]


def refusal(words: str = "") -> Rejected:
    return Rejected("The broker refused.", detail=words, kind="InputException")


def kinds(requests: Sequence[OrderRequest]) -> list[OrderKind]:
    return [request.kind for request in requests]
