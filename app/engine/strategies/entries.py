"""The entry of a strategy: sent once under a tag that is in the journal already, then followed to its end.

Accepted is not filled; not answered is not absent. What the order book shows under the tag decides, from the stream or
by reading. Loop thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app.domain.errors import (
    AppError,
    BrokerError,
    BrokerPaused,
    Denied,
    NeverArrived,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    SessionExpired,
    StorageError,
    Unreachable,
)
from app.domain.ids import InstrumentId, StrategyId, Tag
from app.domain.instrument import Instrument
from app.domain.money import Price, Rounding, to_tick
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Purpose
from app.domain.strategy import Strategy, StrategyState
from app.engine.account import AccountState
from app.engine.attempts import ACKNOWLEDGED_LOOKUPS
from app.engine.exit_plan import LOOKUP_SPACING, LOOKUPS
from app.engine.orders import TAG_LETTERS, OrderManager, new_order_tag
from app.engine.rules import ExitRules
from app.engine.strategies.happenings import (
    BrokerDown,
    EntryAbsent,
    EntryDenied,
    EntryNews,
    EntryRefused,
    EntryTimeOver,
    Happening,
)
from app.runtime.clock import SECOND, to_datetime
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often an open entry is looked at when the stream says nothing."""
READ_SECONDS = 2.0
"""How often the order book is read for it, where the stream may be silent."""
CANCEL_SECONDS = 2.0
"""Before a cancel that has shown no effect is asked for again."""

Apply = Callable[[StrategyId, Happening], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Filled:
    """What all orders of one tag have come to."""

    filled: int
    average: Price | None
    over: bool
    refusal: str
    """The broker's words where it rejected it; empty otherwise."""


def filled_of(orders: list[Order]) -> Filled:
    """The orders of one tag as one: a broker may have cut it into slices. Pure."""
    filled = sum(order.filled_quantity for order in orders)
    value = sum((order.average_price or 0) * order.filled_quantity for order in orders)
    rejected = [order for order in orders if order.status is OrderStatus.REJECTED]
    words = rejected[0].status_text or "The broker rejected the entry." if rejected and not filled else ""
    over = all(order.status.is_final for order in orders)
    return Filled(filled, value // filled if filled else None, over, words if over else "")


def next_tag(tag: Tag) -> Tag:
    """Of the attempt after one of this tag: only the last letter differs, so an order of any attempt names them all."""
    return Tag(tag[:-1] + TAG_LETTERS[(TAG_LETTERS.index(tag[-1]) + 1) % len(TAG_LETTERS)])


def is_attempt(tag: Tag | None, other: str | None) -> bool:
    """Whether an order of another tag is of the same entry."""
    return tag is not None and other is not None and len(tag) == len(other) and tag[:-1] == other[:-1]


class Entries:
    """The entries of one account's strategies."""

    def __init__(
        self,
        state: AccountState,
        orders: OrderManager,
        rules: ExitRules,
        instrument: Callable[[InstrumentId], Instrument | None],
        last_price: Callable[[InstrumentId], Price | None],
        strategies: Mapping[StrategyId, Strategy],
        apply: Apply,
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._orders = orders
        self._rules = rules
        self._instrument = instrument
        self._last_price = last_price
        self._strategies = strategies
        self._apply = apply
        self._tasks = tasks
        self._followed: set[StrategyId] = set()
        self._news: dict[StrategyId, asyncio.Event] = {}
        self._placing: set[Tag] = set()
        """On the wire, their answer is awaited."""
        self._acknowledged: set[Tag] = set()
        self._listed: dict[Tag, tuple[int, int]] = {}
        """Units that readings have shown under a tag, and how many readings in a row have shown just those."""
        state.on_order.append(self._on_order)

    # -- sending -----------------------------------------------------------------------------------------------------

    async def place(self, strategy_id: StrategyId) -> None:
        """A BUY task. The strategy is BUYING, and its tag is durable."""
        strategy = self._strategies[strategy_id]
        tag = strategy.tag
        if strategy.state is not StrategyState.BUYING or tag is None or strategy.cancelling:
            return
        self._placing.add(tag)
        self.follow(strategy_id)
        try:
            happening = await self._send(strategy)
        finally:
            self._placing.discard(tag)
        if happening is not None:
            await self._apply(strategy_id, happening)
        self.look(strategy_id)

    async def _send(self, strategy: Strategy) -> Happening | None:
        try:
            await self._deny_opposite(strategy)
            if self._strategies[strategy.id].cancelling:
                return EntryNews(0, None, over=True, words="it was taken back before it was sent")
            await self._orders.place(self._request(strategy), purpose=Purpose.ENTRY)
        except NeverArrived:
            return self._absent(strategy)
        except OutcomeUnknown:
            return None  # the follower finds out
        except RateLimited as failure:
            await asyncio.sleep(min(failure.retry_after, LOOKUP_SPACING))
            return self._absent(strategy)
        except (Unreachable, SessionExpired, BrokerPaused) as failure:
            return BrokerDown(f"The entry did not leave: {failure}")
        except (Denied, StorageError) as failure:
            return EntryDenied(f"The entry was not sent: {failure}")
        except BrokerError as failure:
            return EntryRefused(f"The entry was not made: {failure}")
        if strategy.tag is not None:
            self._acknowledged.add(strategy.tag)
        return None

    def _absent(self, strategy: Strategy) -> EntryAbsent:
        tag = new_order_tag() if strategy.tag is None else next_tag(strategy.tag)
        return EntryAbsent(tag, self._state.clock.now())

    async def _deny_opposite(self, strategy: Strategy) -> None:
        """An entry may not close or turn what is there. Raises Denied, or what reading the positions raises."""
        plan = strategy.plan
        held = (await self._state.read_positions()).quantity(plan.key)
        if held * plan.side.sign < 0:
            raise Denied(
                f"The account holds {held} of {plan.instrument} the other way round.",
                "Close that position, or use another product.",
            )

    def _request(self, strategy: Strategy) -> OrderRequest:
        """MARKET where the class takes it, else a limit a little beyond the last price. Raises Denied."""
        plan = strategy.plan
        instrument = self._instrument(plan.instrument)
        if instrument is None:
            raise Denied(f"{plan.instrument} is not in the instrument list.", "Refresh the instruments.")
        kind, price = OrderKind.LIMIT, plan.limit
        if price is None:
            broker, day = plan.account.partition("-")[0], to_datetime(self._state.clock.now()).date()
            kind = self._rules.rule(broker, instrument, day).kind
            if kind is OrderKind.LIMIT:
                last = self._last_price(plan.instrument)
                if not last:
                    raise Denied("There is no price yet to set a limit by.", "Give the strategy a limit price.")
                price = self._rules.pricer(broker, instrument, plan.side, day)(last)
        else:
            price = to_tick(price, instrument.tick_size, Rounding.NEAREST)
        return OrderRequest(
            plan.account,
            plan.instrument,
            plan.side,
            plan.quantity,
            plan.product,
            kind,
            price=price,
            tag=strategy.tag,
            autoslice=self._is_cut(plan.quantity, instrument),
        )

    def _is_cut(self, quantity: int, instrument: Instrument) -> bool:
        """Whether it is more than one order may carry: the broker cuts it up. Raises Denied where it does not."""
        size = self._rules.slice_size(instrument, to_datetime(self._state.clock.now()).date())
        if not size or quantity <= size:
            return False
        if not self._orders.wire.slices:
            raise Denied(f"One order carries at most {size}, and this broker cuts none up.", "Buy less at once.")
        return True

    # -- following ---------------------------------------------------------------------------------------------------

    def follow(self, strategy_id: StrategyId, *, recovering: str = "") -> None:
        """To the end of the order. `recovering`: words for an order that an earlier run may have sent."""
        if strategy_id not in self._followed:
            self._followed.add(strategy_id)
            self._news[strategy_id] = asyncio.Event()
            self._tasks.start(self._run(strategy_id, recovering), f"entry of strategy {strategy_id}")

    def look(self, strategy_id: StrategyId) -> None:
        """Something changed: the follower looks now."""
        event = self._news.get(strategy_id)
        if event is not None:
            event.set()

    def found(self, strategy: Strategy) -> list[Order]:
        """What the broker told of under the strategy's tag."""
        return [] if strategy.tag is None else [o for o in self._state.orders.values() if o.tag == strategy.tag]

    def _of_all_attempts(self, tag: Tag | None) -> list[Order]:
        """Those of one entry, with those of attempts that were given up for absent and turned up after all."""
        return [] if tag is None else [o for o in self._state.orders.values() if is_attempt(tag, o.tag)]

    def _on_order(self, order: Order) -> None:
        for strategy in self._strategies.values():
            last = None if strategy.last is None else strategy.last.tag
            if is_attempt(strategy.tag, order.tag) or is_attempt(last, order.tag):
                self.look(strategy.id)
                given_up = order.tag != strategy.tag or strategy.entry_over
                if given_up and not order.status.is_final:
                    self._tasks.start(self._cancel([order]), f"an attempt of strategy {strategy.id} that turned up")
                if strategy.id not in self._followed or order.tag != strategy.tag:
                    self._tasks.start(self._tell(strategy.id), f"late news of strategy {strategy.id}")

    async def _run(self, strategy_id: StrategyId, recovering: str) -> None:
        try:
            await self._follow(strategy_id, recovering)
        finally:
            self._followed.discard(strategy_id)
            self._news.pop(strategy_id, None)

    async def _follow(self, strategy_id: StrategyId, recovering: str) -> None:
        loop = asyncio.get_running_loop()
        read_at = cancelled_at = -CANCEL_SECONDS
        lookups, tag = 0, None
        while (strategy := self._strategies.get(strategy_id)) is not None and may_fill(strategy):
            if strategy.tag != tag:
                lookups, tag = 0, strategy.tag
            await self._tell(strategy_id)
            strategy = self._strategies[strategy_id]
            if not may_fill(strategy):
                return
            await self._check_time(strategy)
            orders = self.found(strategy)
            live = [order for order in orders if not order.status.is_final]
            if live and self._strategies[strategy_id].cancelling and loop.time() - cancelled_at >= CANCEL_SECONDS:
                cancelled_at = loop.time()
                await self._cancel(live)
            if strategy.tag not in self._placing and loop.time() - read_at >= (READ_SECONDS if orders else 0.0):
                began = loop.time()
                if await self._read():
                    self._count(strategy)
                    lookups += 0 if self.found(strategy) or began - read_at < LOOKUP_SPACING else 1
                    read_at = began
                if lookups >= (ACKNOWLEDGED_LOOKUPS if strategy.tag in self._acknowledged else LOOKUPS):
                    lookups = 0
                    await self._apply(strategy_id, self._gone(strategy, recovering))
                    continue
                if self.found(strategy) and not orders:
                    continue
            await self._wait(strategy_id)

    def _gone(self, strategy: Strategy, recovering: str) -> Happening:
        """Proven absent."""
        if strategy.state is not StrategyState.BUYING:
            return EntryNews(strategy.bought, strategy.entry_average, over=True)
        return EntryDenied(recovering) if recovering else self._absent(strategy)

    async def _check_time(self, strategy: Strategy) -> None:
        ordered = strategy.ordered_at or 0
        late = self._state.clock.now() - ordered >= strategy.plan.entry_seconds * SECOND
        if late and not strategy.cancelling and strategy.state is StrategyState.BUYING:
            await self._apply(strategy.id, EntryTimeOver())

    async def _tell(self, strategy_id: StrategyId) -> None:
        """What the orders have come to, to the table: it takes the same news twice without harm."""
        strategy = self._strategies.get(strategy_id)
        if strategy is None:
            return
        orders, last = self._of_all_attempts(strategy.tag), strategy.last
        earlier = filled_of([] if last is None else self._of_all_attempts(last.tag))
        late = 0 if last is None else max(0, earlier.filled - last.bought)
        if not orders and not late:
            return
        known, newest = filled_of(orders), filled_of(self.found(strategy))
        filled, average = known.filled + late, known.average if known.filled else earlier.average
        buying = strategy.state is StrategyState.BUYING
        over = bool(orders) and known.over and (self._is_whole(strategy) or not buying)
        if newest.refusal and buying and not filled:
            await self._apply(strategy_id, EntryRefused(f'The broker rejected the entry: "{newest.refusal}"'))
        elif filled != strategy.bought or over != strategy.entry_over:
            underlying = strategy.plan.underlying if strategy.plan.by_underlying else None
            looked = None if underlying is None else self._last_price(underlying)
            await self._apply(strategy_id, EntryNews(filled, average, over, looked=looked))

    def _count(self, strategy: Strategy) -> None:
        """The list was read: does it still show what it showed?"""
        if strategy.tag is not None:
            units = sum(order.quantity for order in self.found(strategy))
            before, times = self._listed.get(strategy.tag, (0, 0))
            self._listed[strategy.tag] = units, times + 1 if units == before else 1

    def _is_whole(self, strategy: Strategy) -> bool:
        """All slices are listed, or those that are not were refused: the list shows no more of them."""
        if strategy.tag is None:
            return False
        units = sum(order.quantity for order in self.found(strategy))
        shown, times = self._listed.get(strategy.tag, (0, 0))
        settled = strategy.tag not in self._placing and shown == units and times >= LOOKUPS
        return bool(units) and (units >= strategy.plan.quantity or settled)

    async def _cancel(self, live: list[Order]) -> None:
        for order in live:
            known = self._state.orders.get(order.broker_order_id)
            if known is not None and known.status.is_final:
                continue
            try:
                await self._orders.cancel(order.broker_order_id, purpose=Purpose.EXIT)
            except Rejected:
                log.info("entry order %s could not be cancelled: filled or ended meanwhile", order.broker_order_id)
            except AppError as failure:
                log.info("cancel of entry order %s: %s", order.broker_order_id, failure.cause)

    async def _read(self) -> bool:
        try:
            await self._state.read_orders()
        except AppError as failure:
            log.info("order book for an entry: %s", failure.cause)
            return False
        return True

    async def _wait(self, strategy_id: StrategyId) -> None:
        news = self._news[strategy_id]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await news.wait()
        news.clear()


def may_fill(strategy: Strategy) -> bool:
    """Its entry is open as far as is known: it is followed to its end."""
    if strategy.tag is None or strategy.entry_over:
        return False
    return strategy.state is StrategyState.BUYING or strategy.cancelling
