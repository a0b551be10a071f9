"""A desk as far as commands see it: answers what it was told, remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from app.desk.api import Desk
from app.desk.flatten_messages import FlattenChoice, FlattenPlan, FlattenReport
from app.desk.messages import AccountView, LoginPage, PassphraseStrength, SyncRun, SyncSummary, VaultInfo, VaultState
from app.domain.account import Endpoints
from app.domain.day_stop import DayLimits, DayStop, changed
from app.domain.errors import AppError, Denied, VaultLocked, WrongPassphrase
from app.domain.events import Event, FeedState, SessionState, SyncProgressed, SyncStep
from app.domain.flight import Flight, FlightMark, FlightStep
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.order import Side
from app.domain.stop import Stop
from app.runtime.secret import Secret

ACCOUNT = AccountId("zerodha-AB1234")
PAGE = LoginPage(
    account=ACCOUNT,
    url="http://127.0.0.1:9001/connect/login?v=3&api_key=k&redirect_params=state%3Dn0nce%26more%3Da%252Bb",
    redirect_url="http://127.0.0.1:9002/redirect?app=1",
    allowed_hosts=("127.0.0.1",),
)


def view(account: AccountId = ACCOUNT) -> AccountView:
    return AccountView(
        account, "zerodha", "AB1234", "Asha Rao", SessionState.ACTIVE, True, FeedState.LIVE, 1, 2, None, ""
    )


def run(step: str, error: str = "", account: AccountId = ACCOUNT) -> SyncRun:
    return SyncRun("r1", account, "command line", step, 5, 3, 1, 1, 0, 1_000_000_000, 2_500_000_000, error)


class FakeSession:
    def __init__(self) -> None:
        self.state = VaultState.OPEN
        self.keyring_available = False
        self.opens_with_keyring = False
        self.passphrase = Secret("right")
        self.created: tuple[Secret | None, bool] | None = None
        self.known = [ACCOUNT]
        self.added: list[tuple[str, str, Secret, Endpoints | None]] = []
        self.by_hand: list[tuple[str, str, Secret, Secret, Endpoints | None]] = []
        self.redirects: list[str] = []
        self.gone: list[AccountId] = []
        self.paused: set[AccountId] = set()
        self.login_error: AppError | None = None

    async def vault(self) -> VaultInfo:
        return VaultInfo(
            self.state, self.keyring_available, self.opens_with_keyring, not self.opens_with_keyring, "/home/a/profile"
        )

    def strength(self, passphrase: Secret) -> PassphraseStrength:
        raise AssertionError("no command asks for this")

    async def create_vault(self, passphrase: Secret | None, use_keyring: bool) -> None:
        self.created = (passphrase, use_keyring)
        self.state = VaultState.OPEN

    async def unlock(self, passphrase: Secret | None) -> None:
        if passphrase != (None if self.opens_with_keyring else self.passphrase):
            raise WrongPassphrase("The passphrase does not open the profile.")
        self.state = VaultState.OPEN

    async def accounts(self) -> Sequence[AccountView]:
        if self.state is not VaultState.OPEN:
            raise VaultLocked("The profile is locked.")
        return [view(account) for account in self.known]

    async def disconnect(self, account: AccountId, *, hand_over: bool = False) -> Sequence[str]:
        if self.login_error is not None:
            raise self.login_error
        self.gone.append(account)
        return ("SELL 75 INFY at 1480.05, SL-M order 7",) if hand_over else ()

    async def pause(self, account: AccountId) -> AccountView:
        if account in self.paused:
            raise Denied("The account is not logged in: there is nothing to pause.", "Log in first.")
        self.paused.add(account)
        return replace(view(account), state=SessionState.PAUSED)

    async def go_on(self, account: AccountId) -> AccountView:
        self.paused.remove(account)
        return view(account)

    async def add_account(
        self, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints | None = None
    ) -> AccountId:
        self.added.append((broker, api_key, api_secret, endpoints))
        return ACCOUNT

    async def connect_by_hand(
        self, broker: str, api_key: str, api_secret: Secret, access_token: Secret, endpoints: Endpoints | None = None
    ) -> AccountView:
        self.by_hand.append((broker, api_key, api_secret, access_token, endpoints))
        if self.login_error is not None:
            raise self.login_error
        return view(ACCOUNT)

    async def begin_login(self, account: AccountId) -> LoginPage:
        assert account == ACCOUNT
        return PAGE

    async def complete_login(self, account: AccountId, redirected_to: str) -> AccountView:
        self.redirects.append(redirected_to)
        if self.login_error is not None:
            raise self.login_error
        return view(account)


class FakePortfolio:
    def __init__(self, desk: FakeDesk) -> None:
        self.desk = desk
        self.runs = [run("completed")]
        self.asked: list[tuple[AccountId | None, str]] = []
        self.error: AppError | None = None
        self.at_the_end: AppError | None = None

    async def sync(self, account: AccountId | None = None, trigger: str = "manual") -> SyncSummary:
        self.asked.append((account, trigger))
        if self.error is not None:
            raise self.error
        for listener in list(self.desk.listeners):
            listener(SyncProgressed("r1", ACCOUNT, SyncStep.FETCHING, trigger))
        if self.at_the_end is not None:
            raise self.at_the_end
        return SyncSummary("r1", tuple(self.runs))


class FakeStops:
    def __init__(self) -> None:
        self.days = {ACCOUNT: DayStop(ACCOUNT, "2026-11-25", DayLimits(loss=2_000_000), net=-50_000)}

    async def stops(self) -> Sequence[Stop]:
        return []

    async def day_stops(self) -> Sequence[DayStop]:
        return list(self.days.values())

    async def set_day_limits(self, account: AccountId, limits: DayLimits) -> DayStop:
        self.days[account] = changed(self.days[account], limits)
        return self.days[account]


class FakeFlights:
    def __init__(self) -> None:
        marks = (FlightMark(0, FlightStep.BREACH, 99_000), FlightMark(310, FlightStep.WRITTEN))
        stop, instrument = StopId("A" * 12), InstrumentId("NSE:INFY")
        self.kept = [
            Flight(stop, ACCOUNT, instrument, Side.SELL, 1, 99_000, 98_990, "stop", marks, ("POST",), 310, slippage=750)
        ]

    async def recent(self, limit: int = 200) -> Sequence[Flight]:
        return self.kept[:limit]

    async def export(self, path: Path, stops: Sequence[StopId] = ()) -> int:
        named = [one.stop for one in self.kept if not stops or one.stop in stops]
        await asyncio.to_thread(path.write_text, repr(named), "utf-8")
        return len(self.kept)


class FakeFlatten:
    def __init__(self) -> None:
        self.done: list[FlattenChoice] = []
        self.not_flat: tuple[str, ...] = ()
        self.unread: tuple[str, ...] = ()

    async def plan(self, choice: FlattenChoice) -> FlattenPlan:
        plan = FlattenPlan((ACCOUNT,), (), (), (), 0, 0, 2 if choice.gtts else 1, 0, 0, 0)
        return replace(plan, unread=self.unread)

    async def run(self, choice: FlattenChoice) -> FlattenReport:
        self.done.append(choice)
        return FlattenReport((ACCOUNT,), 3, 2, 0, 0, 0, self.not_flat, (), 1_500)


class FakeDesk:
    def __init__(self) -> None:
        self.session = FakeSession()
        self.portfolio = FakePortfolio(self)
        self.stops = FakeStops()
        self.flatten = FakeFlatten()
        self.flights = FakeFlights()
        self.listeners: list[EventListener] = []

    def listen(self, handler: EventListener) -> None:
        self.listeners.append(handler)

    def unlisten(self, handler: EventListener) -> None:
        self.listeners.remove(handler)

    def as_desk(self) -> Desk:
        return cast("Desk", self)


class EventListener:
    """The type of `Desk.listen`'s argument."""

    def __call__(self, event: Event, /) -> None: ...
