"""What an account's broker lists, kept fresh: orders, positions, today's fills, holdings, funds. Loop thread only.

Read when a session begins, at every reconnect, every 30 s, and after every fill.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from app.analytics.charge_table import ChargesUnknown
from app.analytics.contract_sizes import told_by
from app.desk.day_charges import DayCharges
from app.domain.calendar import ist_date
from app.domain.errors import AppError, SessionExpired
from app.domain.events import Event, FundsChanged, GttTold, HoldingsChanged, Level, Noticed
from app.domain.fill import Fill
from app.domain.gtt import Gtt
from app.domain.money import Paise
from app.domain.news import BookNews, PositionNews
from app.domain.order import Order
from app.domain.portfolio import Funds, Holding
from app.engine.account import AccountState
from app.engine.reads import Haste
from app.runtime.letting_go import let_go
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

RECONCILE_SECONDS = 30.0
AFTER_FILL_SECONDS = 0.5
SPARING = 0.25
"""The share of the broker's requests that is used from which on trades and funds are read after fills less often: exits
read by the same count."""
SPARING_SECONDS = 5.0
SERIES_SECONDS = 1.0
"""From a further fill of an order that goes on to the reading of positions."""
HOLDINGS_SECONDS = 2.0
"""From the first news of holdings to their reading: a sale in many fills tells of its holding with each."""
READ_AGAIN_SECONDS = (1.0, 2.0, 4.0)
"""After a fill whose positions could not be read; the next reconciliation may be half a minute away."""


class AccountBooks:
    """One account's. Reads by the session of its `AccountState`."""

    def __init__(
        self, state: AccountState, charges: DayCharges, publish: Callable[[Event], None], tasks: Tasks
    ) -> None:
        self._state = state
        self._charges = charges
        self._publish = publish
        self._tasks = tasks
        self._after_fill = False
        self._in_series = False
        """An order goes on filling, and what it moved is read in a moment."""
        self._holdings_due = False
        self.fills: tuple[Fill, ...] = ()
        """Today's, as last read."""
        self.charges_today: Paise = 0
        self.holdings: tuple[Holding, ...] = ()
        self.funds: Funds | None = None
        self.on_gtt: Callable[[Gtt], None] = _unheard
        """Called with what the broker tells of a trigger by itself."""
        self.read_triggers: Callable[[], Awaitable[None]] = _no_triggers
        """Reads how the triggers behind stops stand. Raises AppError."""

    async def refresh(self) -> None:
        """Orders, positions, fills, holdings and funds, read now. Raises AppError."""
        await self._state.read_orders()
        await self._state.read_positions()
        await self._read_fills()
        session = self._state.session
        self.funds = await session.funds()
        self._publish(FundsChanged(self.funds))
        await self._read_holdings()

    async def keep_reconciled(self) -> None:
        """Reads everything every 30 s. Runs until cancelled."""
        while True:
            await asyncio.sleep(RECONCILE_SECONDS)
            await self.reconcile()

    async def reconcile(self) -> None:
        """Reads everything; what cannot be read is said aloud, and what is known stays."""
        try:
            await self.refresh()
            await self.read_triggers()
        except SessionExpired:
            return
        except AppError as failure:
            account = self._state.account
            self._publish(
                Noticed(
                    Level.WARNING,
                    "The broker could not be read",
                    str(failure),
                    "What is shown may be old; stops stay armed.",
                    account,
                    f"reconcile:{account}",
                )
            )

    def on_order(self, order: Order) -> None:
        """News of an order from the stream. A fill moves the position: it is read."""
        before = self._state.orders.get(order.broker_order_id)
        self._state.order_update(order)
        if order.filled_quantity <= (before.filled_quantity if before is not None else 0):
            return
        goes_on = before is not None and before.filled_quantity and not order.status.is_final
        if not goes_on:
            self._tasks.start(self._positions_now(), f"positions after a fill {self._state.account}")
        elif not self._in_series:
            self._in_series = True
            self._tasks.start(self._positions_of_series(), f"positions after some fills {self._state.account}")

    def on_news(self, news: BookNews) -> None:
        """The broker says that something is another one now, wherever it was changed: it is read at once."""
        name = self._state.account
        if isinstance(news, Gtt):
            self.on_gtt(news)
            self._publish(GttTold(news))
        elif isinstance(news, PositionNews):
            reading = self._state.reading
            if reading is None or reading.quantity(news.key) != news.quantity:
                reading_on = self._positions_now(Haste.ROUTINE if self._in_series else Haste.SOON)
                self._tasks.start(reading_on, f"positions of {name} after a change elsewhere")
        elif not self._holdings_due and not any(map(news.tells, self.holdings)):
            self._holdings_due = True
            self._tasks.start(self._holdings_now(), f"holdings of {name} after a change")

    async def _holdings_now(self) -> None:
        """Once for many changes in a row. What cannot be read is read with everything else, within half a minute."""
        await asyncio.sleep(HOLDINGS_SECONDS)
        self._holdings_due = False
        with contextlib.suppress(AppError):
            await self._read_holdings()

    async def _read_holdings(self) -> None:
        self.holdings = tuple(await self._state.session.holdings())
        self._state.holdings_heard(self.holdings)
        self._publish(HoldingsChanged(self._state.account, self.holdings))

    async def _positions_of_series(self) -> None:
        """An order that fills little by little: brokers count what is read, and exits read by the same count."""
        await asyncio.sleep(SERIES_SECONDS)
        self._in_series = False
        await self._positions_now(Haste.ROUTINE)

    async def _positions_now(self, haste: Haste = Haste.SOON) -> None:
        for pause in READ_AGAIN_SECONDS:
            try:
                await self._state.read_positions(haste)
                break
            except SessionExpired:
                break
            except AppError:  # said aloud by PositionsUnknown; too many requests is over in a second
                await asyncio.sleep(pause)
        if not self._after_fill:
            # Many fills in a row cost one read of trades and funds: nothing waits for those, and the longer the day's
            # list has grown, the less often it is read through.
            self._after_fill = True
            pause = AFTER_FILL_SECONDS * (1 + len(self.fills) / 100)
            await asyncio.sleep(max(pause, SPARING_SECONDS) if self._state.reads_used() >= SPARING else pause)
            self._after_fill = False
            with contextlib.suppress(AppError):
                await self._read_fills()
                self.funds = await self._state.session.funds()
                self._publish(FundsChanged(self.funds))

    async def _read_fills(self) -> None:
        before, self.fills = list(self.fills), tuple(await self._state.session.fills())
        await let_go(before)
        try:
            plan, today = self._state.account.partition("-")[0], ist_date(self._state.clock.now()).isoformat()
            reading = self._state.reading
            told = told_by(() if reading is None else reading.positions.values())
            self.charges_today = await self._charges.of(self.fills, told, plan, today)
        except ChargesUnknown as failure:
            log.info("charges of %s: %s", self._state.account, failure.cause)


async def _no_triggers() -> None:
    """Before there are stops."""


def _unheard(gtt: Gtt) -> None:
    """Before somebody listens."""
    del gtt
