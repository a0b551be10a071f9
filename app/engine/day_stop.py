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
from app.domain.events import AuditEntry, DayStopChanged, Event, Level, Noticed
from app.domain.gtt import Gtt, GttRequest
from app.domain.ids import AccountId
from app.domain.instrument import Product
from app.domain.money import Paise, in_rupees, said_money
from app.domain.order import OrderRequest, Purpose, Variety
from app.domain.origin import placed_here
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import FiredBy, stop_of_tag
from app.engine.account import AccountState
from app.engine.orders import OrderManager
from app.engine.stops import StopEngine

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
        publish: Callable[[Event], None],
    ) -> None:
        self._state = state
        self._stops = stops
        self._orders = orders
        self._journal = journal
        self._net = net
        """The day's P&L after charges by live prices; None: not known."""
        self._next_day = next_day
        self._publish = publish
        self._stop = DayStop(state.account, "")
        self._loaded = False
        self._unread = False
        """Entries wait for it."""
        self._read = asyncio.Event()
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

    def deny(self, request: OrderRequest) -> None:
        """Raises Denied for an order that opens or adds to a position while the account is halted."""
        stop = self._stop = rolled(self._stop, self._today())
        if stop.halted is None and not self._unread:
            return
        reading = self._state.reading
        key = PositionKey(request.account, request.instrument, request.product)
        held = 0 if reading is None else reading.quantity(key)
        if held * request.side.sign < 0 and request.quantity <= abs(held):
            return
        if stop.halted is None:
            raise Denied("Whether the portfolio stop has halted the account is not read yet.", "Try again in a moment.")
        raise Denied(
            f"The portfolio stop ({stop.halted}) has halted this account until {_day(stop.until)}.",
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

    async def load(self) -> None:
        """What an earlier run left. Raises StorageError."""
        if not self._loaded:
            kept = await self._journal.load(self._state.account)
            self._stop = rolled(kept or self._stop, self._today())
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
            stop = changed(rolled(self._stop, self._today()), limits)
            reached = breach(stop) if stop.halted is None else None
            if reached is not None and breach(replace(stop, limits=self._stop.limits)) is None:
                raise Denied(
                    f"The day stands at {_said(stop.net)}: this {reached} limit is reached and would close everything"
                    " now.",
                    "Choose another amount; to close everything, flatten (Ctrl+Shift+X).",
                )
            await self._journal.save(stop, self._entry("limits", _words(stop)))
            # The limits alone are new: a halt, a best or a day that came during the write stand.
            stop = rolled(stop, self._today())
            self._set(replace(rolled(self._stop, self._today()), limits=stop.limits, tomorrow=stop.tomorrow))
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
            if self._stop.halted is not None and not self._stop.flat:
                await self._flatten()
            await self._look()
            await asyncio.sleep(LOOK_SECONDS)

    async def _loads(self) -> bool:
        """A journal that cannot be read now is read again: until then nothing is known of a limit or a halt."""
        try:
            await self.load()
        except AppError as failure:
            self._publish(
                Noticed(
                    Level.ALARM,
                    "The portfolio stop could not be read",
                    str(failure),
                    "It guards nothing until the journal can be read; Stopline keeps trying.",
                    self._stop.account,
                    f"day stop unread:{self._stop.account}",
                )
            )
            return False
        return True

    async def _look(self) -> None:
        stop = rolled(self._stop, self._today())
        net = self._net()
        if net is not None:
            stop = reckoned(stop, net)
        if stop != self._stop:
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
        today = ist_date(self._state.clock.now())
        until = self._next_day(today)
        stop = self._stop
        stop = replace(
            stop, halted=reached, halted_at=self._state.clock.now(), halted_net=stop.net, until=until.isoformat()
        )
        self._set(stop)
        self._call("All positions are being closed.")
        await self._keep(self._entry("halted", f"{reached}: {_rupees(stop.net)}; entries again on {stop.until}"))

    def _call(self, how_far: str) -> None:
        """That the account is halted, and what has come of its positions: one call, whose words change."""
        stop = self._stop
        self._publish(
            Noticed(
                Level.ALARM,
                f"Portfolio stop: {stop.halted}",
                f"The day stood at {_said(stop.halted_net)}. {how_far}",
                f"No entries until {_day(stop.until)}.",
                stop.account,
                f"day stop:{stop.account}",
            )
        )

    async def _flatten(self) -> None:
        """One round: what is open is left, what waits is cancelled, and a look whether that was all."""
        try:
            orders = await self._state.read_orders(routine=True)
            for order in orders:
                ours = placed_here(order) and stop_of_tag(order.tag) is None
                if ours and not order.status.is_final and order.variety is not Variety.AMO:
                    await self._try(self._orders.cancel(order.broker_order_id, purpose=Purpose.EXIT))
            positions = (await self._state.read_positions(routine=True)).positions.values()
        except AppError as failure:
            log.info("portfolio stop of %s waits: %s", self._stop.account, failure.cause)
            await asyncio.sleep(FLAT_SECONDS)
            return
        left = list(to_close(positions))
        if not left:
            self._set(replace(self._stop, flat=True))
            self._call("Every position is closed.")
            await self._keep(self._entry("flat", "every position is closed"))
            await self._name_triggers()
            return
        for position in left:
            if position.key.product is Product.CO:
                await self._try(self._orders.square_off(position.key))
            else:
                await self._try(self._stops.leave(position.key, FiredBy.PORTFOLIO))
        await asyncio.sleep(FLAT_SECONDS)

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
            names = ", ".join(f"{gtt.legs[0].side.capitalize()} {gtt.instrument}" for gtt in entries)
            self._publish(
                Noticed(
                    Level.ALARM,
                    "Triggers at the broker can still open positions",
                    f"The account is halted, and these wait: {names}.",
                    "Take them back in the list of triggers (GTT) if you do not want them.",
                    self._stop.account,
                    f"day stop triggers:{self._stop.account}",
                )
            )

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
            self._publish(
                Noticed(
                    Level.ALARM,
                    "The portfolio stop could not close everything yet",
                    str(failure),
                    "Stopline keeps trying.",
                    self._stop.account,
                    f"day stop step:{self._stop.account}:{failure.cause}",
                )
            )

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _set(self, stop: DayStop) -> None:
        self._stop = stop
        self._publish(DayStopChanged(stop))

    async def _keep(self, entry: AuditEntry | None) -> None:
        try:
            async with self._writing:
                await self._journal.save(self._stop, entry)
        except AppError as failure:
            self._publish(
                Noticed(
                    Level.ALARM,
                    "The portfolio stop could not be journalled",
                    str(failure),
                    "It holds until the program ends.",
                    self._stop.account,
                    f"day stop unsaved:{self._stop.account}",
                )
            )

    def _today(self) -> str:
        return ist_date(self._state.clock.now()).isoformat()

    def _entry(self, what: str, detail: str) -> AuditEntry:
        account = self._state.account
        return AuditEntry(self._state.clock.now(), account, f"portfolio:{account}", what, detail)


def to_close(positions: Iterable[Position]) -> Iterable[Position]:
    """What a halt closes: every open position, but no shares that were sold out of demat."""
    return (p for p in positions if p.quantity and not p.sold_shares)


def _rupees(amount: Paise | None) -> str:
    return "not known" if amount is None else in_rupees(amount, 100)


def _said(amount: Paise | None) -> str:
    return "an unknown amount" if amount is None else said_money(amount)


def _day(iso: str) -> str:
    return f"{date.fromisoformat(iso):%d %B}" if iso else "the next trading day"


def _words(stop: DayStop) -> str:
    def told(limits: DayLimits) -> str:
        parts = [("loss", limits.loss), ("profit", limits.profit), ("drawdown", limits.drawdown)]
        return ", ".join(f"{name} {_rupees(value)}" for name, value in parts if value is not None) or "none"

    later = "" if stop.tomorrow is None else f"; from tomorrow {told(stop.tomorrow)}"
    return f"today {told(stop.limits)}{later}"
