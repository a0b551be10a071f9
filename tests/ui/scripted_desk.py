"""The Desk protocol in memory, with scripted facts: for view tests alone. No broker, no store, no engine behind it.

Lives on the loop thread like the real one; a test scripts failures with `fail`, holds a verb with `hold`, and raises
events with `publish`. It answers as the protocol says: typed errors, acknowledged state, events after verbs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from app.desk.api import EventHandler
from app.desk.flatten_messages import FlattenChoice, FlattenPlan, FlattenReport
from app.desk.messages import (
    AccountView,
    AuditLine,
    BackstopPreview,
    ChartSeries,
    CurvePoint,
    LoginPage,
    NoticeLine,
    OrderPreview,
    PaperLogin,
    PassphraseStrength,
    StopPreview,
    SyncRun,
    SyncStatus,
    SyncSummary,
    TradePage,
    VaultInfo,
    VaultState,
    WatchlistView,
)
from app.domain.account import Endpoints
from app.domain.broker import BrokerListing
from app.domain.coverage import Coverage, coverage_of
from app.domain.day_stop import DayLimits, DayStop, changed
from app.domain.errors import Cancelled, Denied, LoginFailed, VaultLocked, WrongPassphrase
from app.domain.events import (
    BookChanged,
    DayStopChanged,
    FeedState,
    GttsChanged,
    OrderChanged,
    PositionsChanged,
    SessionChanged,
    SessionState,
    StopChanged,
    SyncProgressed,
    SyncStep,
)
from app.domain.fill import Charges
from app.domain.flight import Flight, Latency
from app.domain.gtt import Gtt, GttRequest, GttStatus
from app.domain.ids import AccountId, BrokerOrderId, GttId, InstrumentId, Nanos, OrderId, StopId
from app.domain.instrument import Instrument
from app.domain.market import Interval, Tick
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus
from app.domain.portfolio import Conversion, Funds, Holding, HoldingsAuthorisation, Position, PositionKey
from app.domain.stop import Stop, StopPlan, StopState, TrailKind, TriggerSource, new_stop_id
from app.domain.sync import Conflicts, SyncPlan
from app.runtime.clock import SECOND, from_datetime
from app.runtime.secret import Secret
from tests.ui import scripted_market as market
from tests.ui.script import Script
from tests.ui.scripted_data import ScriptedData, ScriptedHealth
from tests.ui.scripted_guard import ScriptedGuard
from tests.ui.scripted_instruments import ScriptedInstruments
from tests.ui.scripted_quotes import ScriptedQuotes
from tests.ui.scripted_reports import ScriptedMetrics, ScriptedReports
from tests.ui.scripted_strategies import HELD, ScriptedStrategies
from tests.ui.scripted_sync import sync_status


class ScriptedSession:
    """Vault, accounts, logins."""

    def __init__(self, script: Script) -> None:
        self.script = script

    async def vault(self) -> VaultInfo:
        s = self.script
        where = "/home/trader/.local/share/stopline"
        return VaultInfo(s.vault_state, True, s.keyring, not s.keyring, where, bool(s.recovery_key))

    def strength(self, passphrase: Secret) -> PassphraseStrength:
        score = min(4, len(passphrase.reveal()) // 4)
        return PassphraseStrength(
            score, "Strong." if score > 2 else "Four random words are stronger and easier to type."
        )

    async def create_vault(self, passphrase: Secret | None, use_keyring: bool) -> None:
        await self.script.enter("create_vault", passphrase, use_keyring)
        if passphrase is None and not use_keyring:
            raise Denied("A vault needs a way to open it.", "Choose a passphrase, or this computer's keyring.")
        self.script.vault_state = VaultState.OPEN

    async def unlock(self, passphrase: Secret | None) -> None:
        await self.script.enter("unlock", passphrase)
        if passphrase is None:
            if not self.script.keyring:
                raise VaultLocked("The keyring has no key for this profile.")
        elif passphrase.reveal() != self.script.passphrase:
            raise WrongPassphrase("The passphrase does not open the vault.")
        self.script.vault_state = VaultState.OPEN

    async def recover(self, recovery_key: Secret, new: Secret) -> None:
        await self.script.enter("recover", recovery_key, new)
        if recovery_key.reveal() != self.script.recovery_key:
            raise WrongPassphrase("This is not the recovery key of this vault.", "Check it letter by letter.")
        self.script.vault_state = VaultState.OPEN

    async def brokers(self) -> Sequence[BrokerListing]:
        return self.script.brokers

    async def accounts(self) -> Sequence[AccountView]:
        return tuple(self.script.accounts.values())

    async def add_account(
        self, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints | None = None
    ) -> AccountId:
        await self.script.enter("add_account", broker, api_key, api_secret, endpoints)
        account = AccountId(f"{broker}-{api_key}")
        paper = endpoints is not None and endpoints.paper
        self.script.accounts[account] = AccountView(
            account, broker, "", "", SessionState.LOGGED_OUT, paper, FeedState.OFF, None, None, None, ""
        )
        return account

    async def connect_by_hand(
        self, broker: str, api_key: str, api_secret: Secret, access_token: Secret, endpoints: Endpoints | None = None
    ) -> AccountView:
        await self.script.enter("connect_by_hand", broker, api_key, api_secret, access_token, endpoints)
        account = await self.add_account(broker, api_key, api_secret, endpoints)
        return replace(self.script.accounts[account], state=SessionState.ACTIVE)

    async def begin_login(self, account: AccountId) -> LoginPage:
        await self.script.enter("begin_login", account)
        if self.script.login_page is None:
            raise LoginFailed("No login page is scripted.")
        return self.script.login_page

    async def complete_login(self, account: AccountId, redirected_to: str) -> AccountView:
        await self.script.enter("complete_login", account, redirected_to)
        if "status=success" not in redirected_to:
            raise LoginFailed("The login was cancelled on the broker's page.", "Log in again.")
        view = replace(
            self.script.accounts[account], state=SessionState.ACTIVE, client_name="Asha Rao", user_id="PAPER1"
        )
        self.script.accounts[account] = view
        self.script.publish(SessionChanged(account, view.broker, view.client_name, view.state, view.paper))
        return view

    async def cancel_login(self, account: AccountId) -> None:
        await self.script.enter("cancel_login", account)

    async def paper_login(self, account: AccountId) -> PaperLogin | None:
        return self.script.paper

    async def disconnect(self, account: AccountId, *, hand_over: bool = False) -> Sequence[str]:
        await self.script.enter("hand over" if hand_over else "disconnect", account)
        view = replace(self.script.accounts[account], state=SessionState.LOGGED_OUT)
        self.script.accounts[account] = view
        self.script.publish(SessionChanged(account, view.broker, view.client_name, view.state, view.paper))
        return ()

    async def pause(self, account: AccountId) -> AccountView:
        await self.script.enter("pause", account)
        return self._turned(account, SessionState.PAUSED)

    async def go_on(self, account: AccountId) -> AccountView:
        await self.script.enter("go on", account)
        return self._turned(account, SessionState.ACTIVE)

    def _turned(self, account: AccountId, state: SessionState) -> AccountView:
        view = self.script.accounts[account] = replace(self.script.accounts[account], state=state)
        self.script.publish(SessionChanged(account, view.broker, view.client_name, state, view.paper))
        return view


class ScriptedBrowser:
    """Logins through the trader's own browser; `came_back` ends them."""

    def __init__(self, session: ScriptedSession) -> None:
        self.script = session.script
        self._session = session
        self.came_back = asyncio.Event()
        self.address = ""

    async def begin(self, account: AccountId, redirect_url: str = "") -> LoginPage:
        await self.script.enter("begin_browser", account, redirect_url)
        self.came_back.clear()
        return await self._session.begin_login(account)

    async def finish(self, account: AccountId) -> AccountView:
        await self.came_back.wait()
        if not self.address:
            raise Cancelled("The login was given up.")
        return await self._session.complete_login(account, self.address)

    async def cancel(self, account: AccountId) -> None:
        await self.script.enter("cancel_browser", account)
        self.came_back.set()


class ScriptedMarket:
    """Prices, instruments, candles, watchlists."""

    def __init__(self, script: Script) -> None:
        self.script = script

    async def search(self, text: str, limit: int = 30) -> Sequence[Instrument]:
        parts = text.lower().split()
        found = [i for i in self.script.instruments.values() if all(p in f"{i.id} {i.name}".lower() for p in parts)]
        return tuple(found[:limit])

    async def instrument(self, instrument: InstrumentId) -> Instrument:
        found = self.script.instruments.get(instrument)
        if found is None:
            raise Denied(f"{instrument} is not in the instrument list.")
        return found

    async def instruments(self, instruments: Sequence[InstrumentId]) -> Sequence[Instrument]:
        await self.script.enter("instruments", tuple(instruments))
        return tuple(self.script.instruments[i] for i in instruments if i in self.script.instruments)

    async def subscribe(self, consumer: str, instruments: Sequence[InstrumentId]) -> None:
        self.script.subscriptions[consumer] = tuple(instruments)

    async def last_ticks(self, instruments: Sequence[InstrumentId]) -> Sequence[Tick]:
        return tuple(self.script.ticks[i] for i in instruments if i in self.script.ticks)

    async def open_chart(self, consumer: str, instrument: InstrumentId, interval: Interval) -> ChartSeries:
        await self.script.enter("open_chart", consumer, instrument, interval)
        series = market.candles(instrument, int(interval), 375) if instrument in market.LASTS else ()
        return ChartSeries(self.script.instruments[instrument], interval, series, complete=True)

    async def close_chart(self, consumer: str) -> None:
        await self.script.enter("close_chart", consumer)

    async def watchlists(self) -> Sequence[WatchlistView]:
        return () if self.script.watchlist is None else (self.script.watchlist,)

    async def save_watchlist(self, watchlist: WatchlistView) -> None:
        await self.script.enter("save_watchlist", watchlist)
        self.script.watchlist = watchlist


class ScriptedTrading:
    """Orders."""

    def __init__(self, script: Script) -> None:
        self.script = script

    async def orders(self) -> Sequence[Order]:
        return tuple(self.script.orders.values())

    async def preview(self, request: OrderRequest) -> OrderPreview:
        await self.script.enter("preview_order", request)
        price = request.price or self.script.ticks[request.instrument].last_price
        value = request.quantity * price
        charges = Charges(
            Decimal("20.00"), Decimal("7.60"), Decimal("0.94"), Decimal("0.03"), Decimal("0.91"), Decimal("3.78")
        )
        denied = "" if value < 10**9 else "The quantity is above the exchange's freeze limit."
        return OrderPreview(value // 5, charges, 41_214_55, estimated=False, denied=denied)

    async def place(self, request: OrderRequest) -> OrderId:
        await self.script.enter("place", request)
        number = len(self.script.orders) + 1
        order = Order(
            request.account, BrokerOrderId(f"26112000000{number:04d}"), request.instrument, request.side,
            request.product, request.kind, OrderStatus.OPEN, request.quantity, 0, request.quantity, None,
            request.price, id=OrderId(f"o{number}"), placed_at=market.NOW, updated_at=market.NOW,
        )  # fmt: skip
        self.script.orders[order.broker_order_id] = order
        self.script.publish(OrderChanged(order))
        return OrderId(f"o{number}")

    async def modify(
        self,
        account: AccountId,
        order: BrokerOrderId,
        *,
        quantity: int | None = None,
        price: Price | None = None,
        trigger_price: Price | None = None,
    ) -> None:
        await self.script.enter("modify", account, order, quantity, price, trigger_price)
        before = self.script.orders[order]
        after = replace(
            before, quantity=quantity or before.quantity, price=price if price is not None else before.price
        )
        self.script.orders[order] = after
        self.script.publish(OrderChanged(after))

    async def cancel(self, account: AccountId, order: BrokerOrderId) -> None:
        await self.script.enter("cancel", account, order)
        after = replace(self.script.orders[order], status=OrderStatus.CANCELLED)
        self.script.orders[order] = after
        self.script.publish(OrderChanged(after))

    async def take_back(self, account: AccountId, order: OrderId) -> None:
        await self.script.enter("take_back", account, order)

    async def square_off(self, position: PositionKey) -> OrderId:
        await self.script.enter("square_off", position)
        held = self.script.positions[position]
        order = await self.place(
            OrderRequest(
                position.account,
                position.instrument,
                held.exit_side,
                abs(held.quantity),
                position.product,
                OrderKind.MARKET,
            )
        )
        self.script.positions[position] = replace(held, quantity=0)
        self.script.publish(PositionsChanged(position.account, tuple(self.script.positions.values()), market.NOW))
        return order

    async def convert(self, conversion: Conversion) -> None:
        await self.script.enter("convert", conversion)
        held = self.script.positions.pop(conversion.position)
        rest = abs(held.quantity) - conversion.quantity
        moved = replace(held, key=replace(held.key, product=conversion.to), quantity=conversion.quantity)
        self.script.positions[moved.key] = moved
        self.script.positions[held.key] = replace(held, quantity=rest)
        self.script.publish(PositionsChanged(held.key.account, tuple(self.script.positions.values()), market.NOW))

    async def authorise(self, account: AccountId, instrument: InstrumentId | None = None) -> HoldingsAuthorisation:
        await self.script.enter("authorise", account, instrument)
        return HoldingsAuthorisation(account, "https://kite.example/connect/portfolio/authorise/holdings/key/request")


class ScriptedGtts:
    """Triggers that rest at the broker."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.kept: dict[GttId, Gtt] = {}

    async def gtts(self) -> Sequence[Gtt]:
        await self.script.enter("gtts")
        return tuple(self.kept.values())

    async def place(self, request: GttRequest) -> GttId:
        await self.script.enter("place_gtt", request)
        number = GttId(str(len(self.kept) + 1))
        self._keep(number, request)
        return number

    async def modify(self, gtt: GttId, request: GttRequest) -> None:
        await self.script.enter("modify_gtt", gtt, request)
        self._keep(gtt, request)

    async def delete(self, account: AccountId, gtt: GttId) -> None:
        await self.script.enter("delete_gtt", account, gtt)
        self.kept[gtt] = replace(self.kept[gtt], status=GttStatus.DELETED)
        self.script.publish(GttsChanged(account, tuple(self.kept.values())))

    def _keep(self, number: GttId, request: GttRequest) -> None:
        self.kept[number] = Gtt(
            request.account, number, request.instrument, request.kind, GttStatus.ACTIVE, request.last_price,
            request.legs, tuple(None for _ in request.legs), market.NOW, market.NOW, market.NOW + 365 * 86_400 * SECOND,
        )  # fmt: skip
        self.script.publish(GttsChanged(request.account, tuple(self.kept.values())))


class ScriptedFlights:
    """Recorded exits."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.kept: dict[StopId, Flight] = {}

    async def recent(self, limit: int = 200) -> Sequence[Flight]:
        await self.script.enter("flights", limit)
        return tuple(self.kept.values())

    async def one(self, stop: StopId) -> Flight | None:
        return self.kept.get(stop)

    async def latency(self) -> Sequence[Latency]:
        return ()

    async def export(self, path: Path, stops: Sequence[StopId] = ()) -> int:
        await self.script.enter("export_flights", path, stops)
        return len(stops or self.kept)


class ScriptedStops:
    """Local stops."""

    def __init__(self, script: Script) -> None:
        self.script = script

    async def coverage(self) -> Sequence[Coverage]:
        s = self.script
        backed = {stop.id: stop.quantity for stop in s.stops.values() if stop.id in s.backed}
        return coverage_of(s.positions.values(), s.stops.values(), live=True, backed=backed)

    async def stops(self) -> Sequence[Stop]:
        return tuple(self.script.stops.values())

    async def preview(self, position: PositionKey, trigger: Price, backstop: Price | None = None) -> StopPreview:
        held = self.script.positions[position]
        last = self.script.ticks[position.instrument].last_price
        wrong = trigger >= last if held.quantity > 0 else trigger <= last
        outcome = int(held.pnl_at(trigger) * 100) - 89_40
        return StopPreview(
            trigger, abs(held.quantity), outcome, abs(last - trigger) * abs(held.quantity), abs(last - trigger),
            (Decimal(abs(last - trigger)) * 100 / last).quantize(Decimal("0.01")),
            "The price is already beyond this stop: it would fire at once." if wrong else "",
            None if backstop is None else BackstopPreview(trigger - backstop, trigger - backstop - 500, 18_450_00),
            beyond=last * 9 // 10 if trigger < last * 9 // 10 else None,
        )  # fmt: skip

    async def arm(self, position: PositionKey, plan: StopPlan) -> Stop:
        await self.script.enter("arm", position, plan.trigger, *([] if plan.backstop is None else [plan.backstop]))
        held = self.script.positions[position]
        stop = Stop(
            new_stop_id(), position, held.exit_side, plan.trigger, abs(held.quantity), StopState.ARMED, market.NOW,
            plan,
            tick_size=self.script.instruments[position.instrument].tick_size,
        )  # fmt: skip
        return self._keep(stop)

    async def foresee(self, position: PositionKey, plan: StopPlan) -> StopPreview:
        looks = plan.source is TriggerSource.UNDERLYING
        found = await self.preview(
            position, plan.trigger if not looks else self.script.ticks[position.instrument].last_price
        )
        held = self.script.positions[position]
        most = self.script.ticks[position.instrument].last_price * 11 // 10
        return replace(
            found,
            quantity=plan.quantity or found.quantity,
            denied="" if looks else found.denied,
            target_outcome=None if plan.target is None else int(held.pnl_at(plan.target) * 100) - 89_40,
            target_beyond=None if plan.target is None or plan.target <= most else most,
            leaves_at=None if plan.time_exit is None else market.NOW + 2 * 3600 * SECOND,
            average_range=41_50 if plan.trail is not None and plan.trail.kind is TrailKind.ATR else None,
            looks_at=2_604_835 if looks else None,
        )

    async def underlying(self, instrument: InstrumentId) -> InstrumentId | None:
        return InstrumentId("NSE:NIFTY 50") if instrument.startswith("NFO:NIFTY") else None

    async def change(self, stop: StopId, plan: StopPlan) -> Stop:
        await self.script.enter("change", stop, plan)
        return self._keep(replace(self.script.stops[stop], plan=plan, trigger=plan.trigger))

    async def resume(self, stop: StopId, plan: StopPlan) -> Stop:
        await self.script.enter("resume", stop, plan)
        found = replace(self.script.stops[stop], plan=plan, trigger=plan.trigger, state=StopState.ARMED, note="")
        return self._keep(found)

    async def day_stops(self) -> Sequence[DayStop]:
        return list(self.script.day_stops.values())

    async def set_day_limits(self, account: AccountId, limits: DayLimits) -> DayStop:
        await self.script.enter("set_day_limits", account, limits)
        stop = changed(self.script.day_stops[account], limits)
        self.script.day_stops[account] = stop
        self.script.publish(DayStopChanged(stop))
        return stop

    async def move(self, stop: StopId, trigger: Price) -> Stop:
        await self.script.enter("move", stop, trigger)
        return self._keep(self.script.stops[stop].moved(trigger))

    async def disarm(self, stop: StopId) -> Stop:
        await self.script.enter("disarm", stop)
        return self._keep(replace(self.script.stops[stop], state=StopState.DISARMED))

    async def audit(self, limit: int = 200) -> Sequence[AuditLine]:
        return (
            AuditLine(market.NOW - 3600 * SECOND, market.ACCOUNT, "stop:7K2M9QXV4T1B", "armed", "SELL 75 at 25,930.00"),
            AuditLine(market.NOW - 1800 * SECOND, market.ACCOUNT, "stop:0A8DWJ3C6HNE", "fired", "last 964.20, 412 µs"),
            AuditLine(
                market.NOW - 1799 * SECOND, market.ACCOUNT, "stop:0A8DWJ3C6HNE", "position flat", "500 at 964.20"
            ),
            AuditLine(market.NOW - 1200 * SECOND, market.ACCOUNT, f"strategy:{HELD}", "bought", ""),
        )[:limit]

    def _keep(self, stop: Stop) -> Stop:
        self.script.stops[stop.id] = stop
        self.script.publish(StopChanged(stop))
        return stop


class ScriptedPortfolio:
    """Positions, the book, sync."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.book = market.trades()
        self._cancelled = False

    async def positions(self) -> Sequence[Position]:
        await self.script.enter("positions")
        return tuple(self.script.positions.values())

    async def holdings(self) -> Sequence[Holding]:
        return tuple(market.holdings())

    async def funds(self) -> Sequence[Funds]:
        return tuple(market.funds())

    async def break_even(self, position: PositionKey) -> Price | None:
        held = self.script.positions[position]
        sign = 1 if held.quantity > 0 else -1
        return None if held.quantity == 0 else (int(held.average_price * 100) + sign * 45) // 5 * 5

    async def trades(
        self,
        *,
        text: str = "",
        account: AccountId | None = None,
        since: Nanos | None = None,
        offset: int = 0,
        limit: int = 500,
    ) -> TradePage:
        await self.script.enter("trades", text, account, since, offset, limit)
        found = [
            t for t in self.book
            if text.lower() in t.instrument.lower() and (since is None or (t.closed_at or t.opened_at) >= since)
        ]  # fmt: skip
        return TradePage(
            tuple(found[offset : offset + limit]),
            len(found),
            sum(t.gross for t in found),
            sum((t.charges.total for t in found), Decimal(0)),
            sum(t.net for t in found),
            sum(t.multiplier is None for t in found),
        )

    async def day_curve(self) -> Sequence[CurvePoint]:
        start = from_datetime(market.DAY)
        points = []
        for minute in range(137):
            wave = (minute * 7919) % 613 - 240
            gross = minute * 80_00 + wave * 9_00
            points.append(CurvePoint(start + minute * 60 * SECOND, gross, gross - 210_00 - minute * 120))
        return tuple(points)

    async def sync(self, account: AccountId | None = None, trigger: str = "manual") -> SyncSummary:
        self._cancelled = False
        chosen = [account] if account is not None else list(self.script.accounts)
        started = market.NOW - timedelta(seconds=1) // timedelta(microseconds=1) * 1000
        runs = []
        for one in chosen:
            self.script.publish(SyncProgressed("r1", one, SyncStep.STARTED, trigger, started_at=started))
            self.script.publish(SyncProgressed("r1", one, SyncStep.FETCHING, trigger, fetched=8, started_at=started))
            await self.script.enter("sync", one)
            step = SyncStep.CANCELLED if self._cancelled else SyncStep.COMPLETED
            done = SyncProgressed("r1", one, step, trigger, 8, 3, 1, 4, 0, started, market.NOW)
            self.script.publish(done)
            self.script.publish(BookChanged(one, 3))
            runs.append(SyncRun("r1", one, trigger, step, 8, 3, 1, 4, 0, started, market.NOW, ""))
        self.script.runs[:0] = runs
        return SyncSummary("r1", tuple(runs))

    async def cancel_sync(self) -> None:
        await self.script.enter("cancel_sync")
        self._cancelled = True
        gate = self.script.held.get("sync")
        if gate is not None:
            gate.set()

    async def sync_log(self, limit: int = 200) -> Sequence[SyncRun]:
        return tuple(self.script.runs[:limit])


class ScriptedSync:
    """The sync's state, as the test wrote it; verbs are remembered."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.state = sync_status()

    async def status(self) -> SyncStatus:
        return self.state

    async def run(
        self,
        account: AccountId | None = None,
        trigger: str = "manual",
        since: date | None = None,
        until: date | None = None,
    ) -> SyncSummary:
        await self.script.enter("sync run", account, since, until)
        return SyncSummary("r2", ())

    async def save_plan(self, plan: SyncPlan) -> None:
        await self.script.enter("save plan", plan)

    async def settle(self, conflict: int, take: Conflicts) -> None:
        await self.script.enter("settle", conflict, take)
        left = tuple(c for c in self.state.conflicts if c.id != conflict)
        self.state = replace(self.state, conflicts=left)

    async def retry(self, job: int) -> SyncSummary:
        await self.script.enter("retry job", job)
        self.state = replace(self.state, jobs=tuple(j for j in self.state.jobs if j.id != job))
        return SyncSummary("r3", ())

    async def discard(self, job: int) -> None:
        await self.script.enter("discard job", job)
        self.state = replace(self.state, jobs=tuple(j for j in self.state.jobs if j.id != job))

    async def backfill(self, account: AccountId, since: date) -> None:
        await self.script.enter("backfill", account, since)

    async def stop_backfill(self, account: AccountId) -> None:
        await self.script.enter("stop backfill", account)

    async def import_file(self, account: AccountId, path: str) -> SyncSummary:
        await self.script.enter("import file", account, path)
        return SyncSummary("r4", ())

    async def close_day(self, account: AccountId, day: str) -> None:
        await self.script.enter("close day", account, day)


class ScriptedNotices:
    """What was told in earlier runs."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.lines: list[NoticeLine] = []

    async def recent(self, limit: int = 500) -> Sequence[NoticeLine]:
        return self.lines[:limit]

    async def mark_read(self) -> int:
        await self.script.enter("notices read")
        unread = sum(not line.read for line in self.lines)
        self.lines = [replace(line, read=True) for line in self.lines]
        return unread


class ScriptedFlatten:
    """Everything flat, in words that the test wrote."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.not_flat: tuple[str, ...] = ()

    async def plan(self, choice: FlattenChoice) -> FlattenPlan:
        await self.script.enter("flatten plan", choice)
        open_ = tuple(p for p in self.script.positions.values() if p.quantity)
        working = tuple(o for o in self.script.orders.values() if not o.status.is_final)
        return FlattenPlan(
            tuple(self.script.accounts), working[1:], working[:1], open_, 2, 0, 3, 1, 1, 12_34_567_00, ()
        )

    async def run(self, choice: FlattenChoice) -> FlattenReport:
        await self.script.enter("flatten", choice)
        return FlattenReport(tuple(self.script.accounts), 2, 2, 0, 0, 1, self.not_flat, ("3 holdings",), 2_100)


class ScriptedDesk:
    """A desk whose every answer the test wrote."""

    def __init__(self, *, connected: bool = True) -> None:
        self.script = Script()
        if connected:
            self.script.accounts[market.ACCOUNT] = AccountView(
                market.ACCOUNT, "zerodha", "AB1234", "Asha Rao", SessionState.ACTIVE, True, FeedState.LIVE,
                market.NOW - 7200 * SECOND, market.NOW + 60_000 * SECOND, market.NOW - 900 * SECOND, "",
            )  # fmt: skip
        self.session = ScriptedSession(self.script)
        self.market = ScriptedMarket(self.script)
        self.instruments = ScriptedInstruments(self.script)
        self.trading = ScriptedTrading(self.script)
        self.stops = ScriptedStops(self.script)
        self.gtts = ScriptedGtts(self.script)
        self.browser = ScriptedBrowser(self.session)
        self.data = ScriptedData(self.script)
        self.health = ScriptedHealth(self.script)
        self.portfolio = ScriptedPortfolio(self.script)
        self.sync = ScriptedSync(self.script)
        self.flatten = ScriptedFlatten(self.script)
        self.notices = ScriptedNotices(self.script)
        self.guard = ScriptedGuard(self.script)
        self.strategies = ScriptedStrategies(self.script)
        self.flights = ScriptedFlights(self.script)
        self.quotes = ScriptedQuotes(self.script)
        self.metrics = ScriptedMetrics()
        self.reports = ScriptedReports(self.script)

    def listen(self, handler: EventHandler) -> None:
        """The bus, in small."""
        self.script.handlers.append(handler)

    def unlisten(self, handler: EventHandler) -> None:
        """No event of it from now on."""
        if handler in self.script.handlers:
            self.script.handlers.remove(handler)
