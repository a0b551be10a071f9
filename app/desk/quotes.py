"""Prices for the display from whoever has them, in the trader's order (E6): other accounts' quotes, then providers.

What is brought here is told as `PricesPolled`, which only views hear. No stop, order or P&L limit of the engine ever
sees it. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import msgspec

from app.brokers.quote_providers import QuoteProvider, QuoteProviderFactory
from app.desk.account import AccountDesk
from app.desk.workspace import Workspace
from app.domain.account import LOOPBACK
from app.domain.errors import AppError, Damaged, Denied, RateLimited
from app.domain.events import FeedState
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.market import Tick
from app.domain.quotes import PolledPrice, PricesPolled, QuoteChoice, QuoteSource, QuoteSources, in_turn
from app.market.allowance import Allowance
from app.runtime.clock import SystemClock
from app.runtime.redaction import redact
from app.runtime.secret import Secret

log = logging.getLogger(__name__)

KEYS_OF_QUOTES = AccountId("quote-providers")
"""Whose the sealed keys are: no account of a broker has this id."""
CHOICE = "quotes.choice"
KEY = "quotes.key"
LOOK_SECONDS = 1.0
ACCOUNT_EVERY = 5.0
"""Seconds between two quotes of one instrument from a broker; brokers take one request a second, and others ask too."""
PROVIDER_EVERY = 15.0
"""From a provider, where its limit leaves room: it counts every symbol."""
AT_ONCE = 200
"""Instruments in one question to a broker."""
AFTER_FAILURE = 30.0
"""Seconds until a source that failed is asked again."""


class _Stored(msgspec.Struct, frozen=True):
    """What is sealed of a provider. Plain for a moment; never kept, never logged."""

    key: str
    url: str = ""

    def __repr__(self) -> str:
        return "_Stored(***)"


@dataclass(slots=True)
class _Kept:
    """What is known of a source while the program runs."""

    asked_at: dict[InstrumentId, float] = field(default_factory=dict)
    knows: set[InstrumentId] = field(default_factory=set)
    """What it answered when it was asked last; for the rest it is the next one's turn."""
    not_before: float = 0.0
    """After a failure."""
    next_at: float = 0.0
    """When the views may ask it again."""
    words: str = ""
    last_at: Nanos | None = None


class QuoteDesk:
    """Implements `desk.api_quotes.QuoteVerbs`."""

    def __init__(self, workspace: Workspace, unpriced: Callable[[], Sequence[InstrumentId]]) -> None:
        self._workspace = workspace
        self._unpriced = unpriced
        self._clock = SystemClock()
        self._factories = workspace.brokers.quote_providers()
        self._open: dict[str, QuoteProvider] = {}
        self._allowances = {name: Allowance(one.info.requests) for name, one in self._factories.items()}
        self._kept: dict[str, _Kept] = {}
        self._choice = QuoteChoice()
        self.on_choice: Callable[[], None] = lambda: None
        """The order changed."""

    # -- verbs -------------------------------------------------------------------------------------------------------

    async def view(self) -> QuoteSources:
        """Who is asked, in order."""
        await self._load()
        now = asyncio.get_running_loop().time()
        return QuoteSources(tuple(self._source(name, now) for name in self._arranged()))

    async def arrange(self, order: Sequence[str]) -> QuoteSources:
        """Another order; who is not named comes after. Raises Denied for somebody that there is not."""
        await self._load()
        self._check(order)
        await self._save(replace(self._choice, order=tuple(dict.fromkeys(order))))
        return await self.view()

    async def switch(self, name: str, *, on: bool) -> QuoteSources:
        """Whether it may be asked at all."""
        await self._load()
        self._check([name])
        off = tuple(other for other in self._choice.off if other != name)
        await self._save(replace(self._choice, off=off if on else (*off, name)))
        return await self.view()

    async def save_key(self, name: str, key: Secret, api_url: str = "") -> QuoteSources:
        """A provider's key, proved with a real call before it is sealed. Raises Denied, NotPermitted, Unreachable."""
        factory = self._factory(name)
        key = Secret(key.reveal().strip())
        if not key.reveal():
            raise Denied("The key is empty.", f"Copy it from {factory.info.title}'s page.")
        redact(key)
        url = _address(api_url, factory)
        provider = factory.open(key, url)
        try:
            await provider.probe()
            stored = Secret(msgspec.json.encode(_Stored(key.reveal(), url)).decode())
            sealed = self._workspace.vault.seal(KEYS_OF_QUOTES, stored)
            await self._workspace.book.settings.put(f"{KEY}.{name}", msgspec.json.encode(sealed.hex()).decode())
        except BaseException:
            await provider.close()
            raise
        await self._load()
        await self._put(name, provider)
        return await self.view()

    async def forget_key(self, name: str) -> QuoteSources:
        """Wiped; the provider is asked no more."""
        self._factory(name)
        await self._workspace.book.settings.put(f"{KEY}.{name}", '""')
        await self._put(name, None)
        return await self.view()

    async def ask(self, instruments: Sequence[InstrumentId]) -> Sequence[PolledPrice]:
        """Prices of these from the first in the order that knows each. Raises Denied for an unknown instrument."""
        await self._load()
        return await self._ask([self._workspace.instrument(name) for name in instruments], patient=False)

    def arranged(self, accounts: Sequence[AccountId]) -> Sequence[AccountId]:
        """Accounts in the chosen order, those switched off left for last."""
        placed = [AccountId(name) for name in self._choice.arranged(accounts)]
        return sorted(placed, key=lambda account: account in self._choice.off)

    # -- by itself ---------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Asks for what the views show and no feed brings, until cancelled."""
        await self._load()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            known = [one for name in self._unpriced() if (one := self._workspace.master.get(name)) is not None]
            if not known:
                continue
            found = await self._ask(known, patient=True)
            if found:
                self._workspace.publish(PricesPolled(tuple(found)))

    async def close(self) -> None:
        """Connections of the providers."""
        for name in list(self._open):
            await self._put(name, None)

    async def _ask(self, wanted: Sequence[Instrument], *, patient: bool) -> list[PolledPrice]:
        """What one does not know the next is asked for. `patient`: for the views, not oftener than a source's pace."""
        left = {instrument.id: instrument for instrument in wanted}
        found: list[PolledPrice] = []
        now = asyncio.get_running_loop().time()
        for name in self._arranged():
            if name in self._choice.off or not left or now < self._of(name).not_before:
                continue
            try:
                ticks = await self._from(name, list(left.values()), now, patient=patient)
            except AppError as failure:
                self._failed(name, failure, now)
                continue
            if ticks:
                self._of(name).words, self._of(name).last_at = "", self._clock.now()
            title = self._title(name)
            found += [PolledPrice(tick, title, left.pop(tick.instrument).price_scale) for tick in ticks]
            if patient:  # what a source before has told a moment ago needs no second word
                left = {key: one for key, one in left.items() if key not in self._of(name).knows}
        return found

    async def _from(self, name: str, wanted: Sequence[Instrument], now: float, *, patient: bool) -> Sequence[Tick]:
        kept = self._of(name)
        if name in self._factories:
            return await self._from_provider(name, wanted, now, patient=patient)
        desk = self._workspace.accounts.get(AccountId(name))
        if desk is None or not desk.active or self._left_to_stops(desk):
            return ()
        mine = [one.id for one in wanted if desk.instrument(one.id) is not None]
        due = in_turn(mine, kept.asked_at, now, ACCOUNT_EVERY if patient else 0.0, AT_ONCE)
        if not due or (patient and now < kept.next_at):
            return ()
        if patient:
            kept.asked_at.update(dict.fromkeys(due, now))
            kept.next_at = now + ACCOUNT_EVERY  # one request, however many instruments come by one and one
        prices = await desk.broker.last_prices(due)
        at = self._clock.now()
        kept.knows.difference_update(set(due) - set(prices))
        kept.knows.update(prices)
        return [Tick(one, price, at) for one, price in prices.items() if one in due]

    def _left_to_stops(self, desk: AccountDesk) -> bool:
        """While its feed is silent its stops may live on the same few quotes a second: they need them more."""
        chosen = self._workspace.guarding_of(desk.account).polled_fires
        return chosen and desk.stops.watching > 0 and desk.hub.state in (FeedState.SILENT, FeedState.DOWN)

    async def _from_provider(
        self, name: str, wanted: Sequence[Instrument], now: float, *, patient: bool
    ) -> Sequence[Tick]:
        provider, kept, allowance = self._open.get(name), self._of(name), self._allowances[name]
        if provider is None:
            return ()
        covered = {one.id: one for one in wanted if self._factories[name].covers(one)}
        due = in_turn(list(covered), kept.asked_at, now, PROVIDER_EVERY if patient else 0.0, allowance.room(now))
        ticks: list[Tick] = []
        for one in due:
            allowance.took(now)
            if patient:
                kept.asked_at[one] = now
            try:
                tick = await provider.quote(covered[one])
            except AppError as failure:
                if not ticks:
                    raise
                self._failed(name, failure, now)
                break
            if tick is None:
                kept.knows.discard(one)
            else:
                kept.knows.add(one)
                ticks.append(tick)
        return ticks

    def _failed(self, name: str, failure: AppError, now: float) -> None:
        kept = self._of(name)
        if str(failure) != kept.words:
            log.info("quotes of %s: %s", name, failure)
        kept.words = str(failure)
        kept.asked_at.clear()
        kept.knows.clear()
        seconds = failure.retry_after if isinstance(failure, RateLimited) else AFTER_FAILURE
        kept.not_before = now + seconds
        if name in self._allowances:
            self._allowances[name].pause(now, seconds)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _of(self, name: str) -> _Kept:
        return self._kept.setdefault(name, _Kept())

    def _arranged(self) -> tuple[str, ...]:
        return self._choice.arranged([*self._workspace.records, *self._factories])

    def _title(self, name: str) -> str:
        if name in self._factories:
            return self._factories[name].info.title
        record = self._workspace.record(AccountId(name))
        return f"{self._workspace.title(record.broker)} {record.user_id or record.id}"

    def _source(self, name: str, now: float) -> QuoteSource:
        kept, allowance = self._of(name), self._allowances.get(name)
        if allowance is None:
            desk = self._workspace.accounts.get(AccountId(name))
            ready, why = desk is not None and desk.active, "Not logged in."
        else:
            ready, why = name in self._open, "Its key is not stored."
        return QuoteSource(
            name,
            self._title(name),
            allowance is None,
            name not in self._choice.off,
            ready,
            kept.words if ready else kept.words or why,
            0 if allowance is None else allowance.used(now),
            0 if allowance is None else allowance.limit,
            kept.last_at,
        )

    def _check(self, names: Sequence[str]) -> None:
        there = self._arranged()
        for name in names:
            if name not in there:
                raise Denied(f"There is no source of quotes called {name}.", f"There are: {', '.join(there)}.")

    def _factory(self, name: str) -> QuoteProviderFactory:
        factory = self._factories.get(name)
        if factory is None:
            known = ", ".join(sorted(self._factories))
            raise Denied(f"{name} is no provider of quotes with a key.", f"There are: {known}.")
        return factory

    async def _save(self, choice: QuoteChoice) -> None:
        await self._workspace.book.settings.put(CHOICE, msgspec.json.encode(choice).decode())
        self._choice = choice
        self.on_choice()

    async def _load(self) -> None:
        """The choice and the keys, once the profile is open."""
        settings = self._workspace.book.settings
        text = await settings.get(CHOICE)
        if text is not None:
            self._choice = msgspec.json.decode(text, type=QuoteChoice)
        for name, factory in self._factories.items():
            if name in self._open:
                continue
            text = await settings.get(f"{KEY}.{name}")
            sealed = bytes.fromhex(msgspec.json.decode(text, type=str)) if text is not None else b""
            if sealed:
                try:
                    self._open[name] = self._opened(factory, sealed)
                except AppError as failure:
                    self._of(name).words = str(failure)

    def _opened(self, factory: QuoteProviderFactory, sealed: bytes) -> QuoteProvider:
        plain = self._workspace.vault.open(KEYS_OF_QUOTES, sealed)
        try:
            stored = msgspec.json.decode(plain.reveal(), type=_Stored)
        except msgspec.DecodeError:
            raise Damaged("The stored key cannot be read.", "Enter it again.") from None
        key = Secret(stored.key)
        redact(key)
        return factory.open(key, stored.url)

    async def _put(self, name: str, provider: QuoteProvider | None) -> None:
        before = self._open.pop(name, None)
        if before is not None:
            await before.close()
        self._kept.pop(name, None)
        if provider is not None:
            self._open[name] = provider


def _address(api_url: str, factory: QuoteProviderFactory) -> str:
    """The provider's own address, or one on this machine: a key goes nowhere else (J1). Raises Denied."""
    if not api_url or api_url == factory.info.api_url:
        return factory.info.api_url
    if urlsplit(api_url).hostname not in LOOPBACK:
        raise Denied(f"A key of {factory.info.title} is sent to {factory.info.title} alone.", "Leave the address out.")
    return api_url.rstrip("/")
