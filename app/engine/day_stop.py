"""The portfolio stop of one account at work: reckons the day, closes everything when a limit is reached, and lets no
entry through until the next trading day. Loop thread only.

Unknown is not lost: without live prices and positions nothing is decided. A limit must be reached in two looks in a
row, so that one freak price of an option closes nothing. The halt is durable before the first exit leaves; after a
restart it holds, and closing goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import date
from typing import Protocol

from app.domain.calendar import ist_date
from app.domain.day_stop import DayBreach, DayLimits, DayStop, breach, changed, reckoned, rolled
from app.domain.errors import AppError, Denied
from app.domain.events import AuditEntry, DayStopChanged, Event
from app.domain.gtt import Gtt, GttRequest
from app.domain.ids import AccountId
from app.domain.instrument import Product
from app.domain.money import Paise
from app.domain.order import OrderRequest, Purpose, Variety
from app.domain.origin import placed_here
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import FiredBy, stop_of_tag
from app.engine import day_words
from app.engine.account import AccountState
from app.engine.day_blind import DayBlind
from app.engine.entry_bar import closes
from app.engine.orders import OrderManager
from app.engine.reads import Haste
from app.engine.stops import StopEngine
from app.runtime.clock import SECOND

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
PEAK_SECONDS = 5.0
"""A new best of the day is journalled this often at most."""
READ_SECONDS = 3.0
"""How long an entry waits for it, before it is refused."""
LOAD_SECONDS = 1.0
"""Between two tries to read the journal."""
FLAT_SECONDS = 2.0
"""Between two looks whether everything is closed."""


class DayStopJournal(Protocol):
    """What a portfolio stop needs of the journal."""

    async def load(self, account: AccountId) -> DayStop | None:
        """As it was left."""
        ...

    async def save(self, stop: DayStop, entry: AuditEntry | None = None) -> None:
        """Durable when it returns."""
        ...


class DayGuard:
    """Owner of one account's portfolio stop."""

    def __init__(
        self,
        state: AccountState,
        stops: StopEngine,
        orders: OrderManager,
        journal: DayStopJournal,
        net: Callable[[], Paise | None],
        next_day: Callable[[date], date],
        trades: Callable[[], bool],
        publish: Callable[[Event], None],
    ) -> None:
        self._state = state
        self._stops = stops
        self._orders = orders
        self._journal = journal
        self._net = net
        """The day's P&L after charges by live prices; None: not known."""
        self._next_day = next_day
        self._trades = trades
        """Whether any market does."""
        self._publish = publish
        self.blindness = DayBlind(publish)
        self._stop = DayStop(state.account, "")
        self._loaded = False
        self._unread = False
        """Entries wait for it."""
        self._read = asyncio.Event()
        self._announced = ""
        """The day on which it was said that positions are being closed."""
        self._given_up = False
        """A halt ended unfinished, and the journal does not have that yet."""
        self._near = False
        """The last look saw a limit reached."""
        self._saved_peak: Paise = 0
        self._saved_at = 0.0
        self._writing = asyncio.Lock()
        """One write after the other, each of what stands when its turn comes: the last one is never an older state."""

    # -- what others may know ----------------------------------------------------------------------------------------

    @property
    def stop(self) -> DayStop:
        """As it stands."""
        return self._stop

    @property
    def guards(self) -> bool:
        """It may have to close something: there is a limit, or a halt that is not done, and something is open."""
        stop, reading = self._stop, self._state.reading
        if stop.halted is not None:
            return not stop.flat
        return stop.limits.any and reading is not None and any(to_close(reading.positions.values()))

    @property
    def may_guard(self) -> bool:
        """The same where it is not known what is open."""
        unknown = self._state.reading is None and self._stop.halted is None
        return self.guards or (unknown and self._stop.limits.any)

    def deny(self, request: OrderRequest) -> None:
        """Raises Denied for an order that opens or adds to a position while the account is halted."""
        stop = self._roll()
        if stop.halted is None and not self._unread:
            return
        if closes(self._state, request):
            return
        if stop.halted is None:
            raise Denied("Whether the portfolio stop has halted the account is not read yet.", "Try again in a moment.")
        if stop.overdue:
            raise Denied(
                f"The portfolio stop ({stop.halted}) has halted this account, and not everything is closed yet.",
                "Positions can be closed; entries are possible again once nothing is open.",
            )
        raise Denied(
            f"The portfolio stop ({stop.halted}) has halted this account until {day_words.day_name(stop.until)}.",
            "Positions can be closed; entries are possible again then.",
        )

    async def admit(self, request: OrderRequest) -> None:
        """As `deny`, after a little wait for what is being read: a session's first order need not be asked twice."""
        await self._reading()
        self.deny(request)

    async def admit_gtt(self, request: GttRequest) -> None:
        """The same of a trigger."""
        await self._reading()
        self.deny_gtt(request)

    async def _reading(self) -> None:
        if self._unread:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READ_SECONDS):
                    await self._read.wait()

    def expect(self) -> None:
        """It will be read: until then no entry is let through."""
        self._unread = not self._loaded

    def deny_gtt(self, request: GttRequest) -> None:
        """The same of a trigger: each leg that would be an entry once it is reached."""
        for leg in request.legs:
            self.deny(OrderRequest(request.account, request.instrument, leg.side, leg.quantity, leg.product, leg.kind))

    async def peek(self) -> None:
        """What an earlier run left, before it is known which day it is for the account. Raises StorageError."""
        if not self._loaded:
            self._stop = await self._journal.load(self._state.account) or self._stop

    async def load(self) -> None:
        """What an earlier run left. Raises StorageError."""
        if not self._loaded:
            kept = await self._journal.load(self._state.account)
            self._stop = kept or self._stop
            self._roll()
            self._saved_peak = self._stop.peak
            self._loaded, self._unread = True, False
            self._read.set()

    async def set_limits(self, limits: DayLimits) -> DayStop:
        """Tighter ones hold at once, looser ones from tomorrow. Durable on return. Raises Denied (also for one that the
        day has reached already: a slip of the finger must not close every position), StorageError."""
        if any(limit is not None and limit <= 0 for limit in (limits.loss, limits.profit, limits.drawdown)):
            raise Denied("A limit of nothing would halt the account at once.", "Enter an amount, or leave it empty.")
        await self.load()
        async with self._writing:
            stop = changed(self._roll(), limits)
            reached = breach(stop) if stop.halted is None else None
            if reached is not None and breach(replace(stop, limits=self._stop.limits)) is None:
                raise Denied(
                    f"The day stands at {day_words.said(stop.net)}: this {reached} limit is reached and would close"
                    " everything now.",
                    "Choose another amount; to close everything, flatten (Ctrl+Shift+X).",
                )
            await self._journal.save(stop, self._entry("limits", day_words.limits_words(stop)))
            # The limits alone are new: a halt, a best or a day that came during the write stand.
            stop = rolled(stop, self._today())
            self._set(replace(self._roll(), limits=stop.limits, tomorrow=stop.tomorrow))
        return self._stop

    # -- at work -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """While there is a session. Runs until cancelled."""
        self.expect()
        while True:
            if await self._loads():
                break
            await asyncio.sleep(LOAD_SECONDS)
        while True:
            stop = self._roll()
            if self._given_up:
                self._given_up = False
                await self._keep(self._entry("ended", "not everything was seen to be closed"))
            if stop.halted is not None and stop.flat and self._filled_late(stop):
                stop = replace(stop, flat=False)
                self._set(stop)
                self._publish(day_words.halt(stop, "An order from before filled after that. It is being closed."))
            if stop.halted is not None and not stop.flat:
                await self._go_on(stop)
            await self._look()
            self.blindness.look(self._stop)
            await asyncio.sleep(LOOK_SECONDS)

    async def _go_on(self, stop: DayStop) -> None:
        """Closing, where it is not done. Later than on the halt's own day only while a market trades: at night a broker
        may list no positions, which would be taken for their end."""
        same_day = stop.halted_at is None or ist_date(stop.halted_at).isoformat() == stop.day
        closes = same_day or self._trades()
        if self._announced != stop.day:
            self._announced = stop.day
            when = "now" if closes else "when its market opens"
            self._publish(day_words.halt(stop, f"What is still open is closed {when}."))
        if closes:
            await self._flatten()

    def _filled_late(self, stop: DayStop) -> bool:
        """An entry of ours that was on its way when the account halted has opened a position since. What the trader
        opens elsewhere after a halt is the trader's."""
        reading = self._state.reading
        if reading is None:
            return False
        held = {position.key: position.quantity for position in to_close(reading.positions.values())}
        halted = (stop.halted_at or 0) // SECOND * SECOND  # brokers tell whole seconds
        return any(
            order.filled_quantity
            and held.get(PositionKey(order.account, order.instrument, order.product), 0) * order.side.sign > 0
            and placed_here(order)
            and stop_of_tag(order.tag) is None
            and (order.updated_at or order.placed_at or 0) >= halted
            for order in self._state.orders.values()
        )

    async def _loads(self) -> bool:
        """A journal that cannot be read now is read again: until then nothing is known of a limit or a halt."""
        try:
            await self.load()
        except AppError as failure:
            self._publish(day_words.unread(self._stop, failure))
            return False
        return True

    async def _look(self) -> None:
        before, stop = self._stop, self._roll()
        net = self._net()
        if net is not None:
            stop = reckoned(stop, net)
        if stop != before:
            self._stop = stop
            if stop.limits.any or stop.halted is not None:
                self._publish(DayStopChanged(stop))
        reached = breach(stop) if stop.halted is None and net is not None else None
        if reached is None:
            self._near = False
        elif not self._near:
            self._near = True
        else:
            self._near = False
            await self._halt(reached)
            return
        now = asyncio.get_running_loop().time()
        if stop.limits.any and stop.peak > self._saved_peak and now - self._saved_at >= PEAK_SECONDS:
            self._saved_peak, self._saved_at = stop.peak, now
            await self._keep(None)

    async def _halt(self, reached: DayBreach) -> None:
        now = self._state.clock.now()
        until = self._next_day(ist_date(now)).isoformat()
        stop = replace(self._stop, halted=reached, halted_at=now, halted_net=self._stop.net, until=until)
        self._set(stop)
        self._announced = stop.day
        self._publish(day_words.halt(stop, "All positions are being closed."))
        detail = f"{reached}: {day_words.rupees(stop.net)}; entries again on {stop.until}"
        await self._keep(self._entry("halted", detail))

    async def _flatten(self) -> None:
        """One round: what is open is left, what waits is cancelled, and a look whether that was all."""
        try:
            orders = await self._state.read_orders(Haste.ROUTINE)
            for order in orders:
                ours = placed_here(order) and stop_of_tag(order.tag) is None
                if ours and not order.status.is_final and order.variety is not Variety.AMO:
                    await self._try(self._orders.cancel(order.broker_order_id, purpose=Purpose.EXIT))
            positions = (await self._state.read_positions(Haste.ROUTINE)).positions.values()
        except AppError as failure:
            log.info("portfolio stop of %s waits: %s", self._stop.account, failure.cause)
            await asyncio.sleep(FLAT_SECONDS)
            return
        left = list(to_close(positions))
        if not left:
            await self._closed()
            return
        for position in left:
            if position.key.product is Product.CO:
                await self._try(self._orders.square_off(position.key))
            else:
                await self._try(self._stops.leave(position.key, FiredBy.PORTFOLIO))
        await asyncio.sleep(FLAT_SECONDS)

    async def _closed(self) -> None:
        """Everything is. On a later day than the halt's own that is its end."""
        stop = replace(self._stop, flat=True)
        told = day_words.over(stop) if self._stop.overdue else day_words.halt(stop, "Every position is closed.")
        self._set(rolled(stop, self._today()))
        self._publish(told)
        await self._keep(self._entry("flat", "every position is closed"))
        if self._stop.halted is not None:
            await self._name_triggers()

    async def _name_triggers(self) -> None:
        """Triggers at the broker that would open a position although the account is halted: they are the trader's, and
        said by name."""
        if not self._orders.gtts.able:
            return
        try:
            waiting = [gtt for gtt in await self._orders.gtts.read() if gtt.status.can_change]
        except AppError as failure:
            log.info("triggers of %s are not known: %s", self._stop.account, failure.cause)
            return
        entries = [gtt for gtt in waiting if self._would_enter(gtt)]
        if entries:
            self._publish(day_words.entering(self._stop, entries))

    def _would_enter(self, gtt: Gtt) -> bool:
        try:
            self.deny_gtt(GttRequest(gtt.account, gtt.instrument, gtt.last_price, gtt.legs))
        except Denied:
            return True
        return False

    async def _try(self, step: Awaitable[object]) -> None:
        try:
            await step
        except AppError as failure:
            self._publish(day_words.not_closed(self._stop, failure))

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _roll(self) -> DayStop:
        """As it stands today. A halt never ends unfinished without a word."""
        before, stop = self._stop, rolled(self._stop, self._today())
        self._stop = stop
        if before.halted is not None and stop.halted is None:
            self._publish(DayStopChanged(stop))
            if not before.flat:
                self._publish(day_words.given_up(before))
                self._given_up = True
        return stop

    def _set(self, stop: DayStop) -> None:
        self._stop = stop
        self._publish(DayStopChanged(stop))

    async def _keep(self, entry: AuditEntry | None) -> None:
        try:
            async with self._writing:
                await self._journal.save(self._stop, entry)
        except AppError as failure:
            self._publish(day_words.unsaved(self._stop, failure))

    def _today(self) -> str:
        return ist_date(self._state.clock.now()).isoformat()

    def _entry(self, what: str, detail: str) -> AuditEntry:
        account = self._state.account
        return AuditEntry(self._state.clock.now(), account, f"portfolio:{account}", what, detail)


def to_close(positions: Iterable[Position]) -> Iterable[Position]:
    """What a halt closes: every open position, but no shares that were sold out of demat."""
    return (p for p in positions if p.quantity and not p.sold_shares)
