"""The opened profile: stores, accounts, instruments. What the verbs share. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from app.analytics.charge_table import ChargeTable
from app.brokers.base import BrokerFactory, ReadSession
from app.brokers.quote_providers import Providers
from app.desk.account import AccountDesk
from app.desk.day_charges import DayCharges
from app.desk.engine_parts import Trading
from app.desk.readers import Readers
from app.domain.broker import BrokerInfo, BrokerListing, ProviderProblem
from app.domain.calendar import Calendar
from app.domain.errors import Denied, SessionExpired, VaultLocked
from app.domain.events import Event, Level, Noticed
from app.domain.guard import AccountGuarding
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Instrument
from app.domain.listing import broker_of_list, list_name
from app.domain.market import Candle, Interval
from app.engine.rules import ExitRules
from app.market.charts import Charts
from app.market.instruments import InstrumentMaster
from app.market.underlyings import Underlyings
from app.runtime.helper import Helper
from app.runtime.loop import Tasks
from app.runtime.paths import resource
from app.storage.accounts import AccountRecord
from app.storage.book import Book
from app.storage.journal import Journal
from app.storage.snapshot import SEALED
from app.vault.vault import Vault

TAUGHT_AT_ONCE = 100
"""Instruments that an adapter learns before the loop gets its turn."""


@runtime_checkable
class LearnsInstruments(Protocol):
    """A broker's factory that must know the list: its wire has keys where we have ids."""

    def learn(self, instruments: Iterable[Instrument], *, paper: bool) -> None:
        """Takes them up, of a paper exchange apart."""
        ...


class Brokers(Protocol):
    """The brokers of this program (`brokers.registry`)."""

    @property
    def problems(self) -> Sequence[ProviderProblem]:
        """Third parties' providers that cannot be used."""
        ...

    def available(self) -> Sequence[BrokerListing]:
        """What can be connected."""
        ...

    def quote_providers(self) -> Providers:
        """Who only quotes, by name."""
        ...

    def factory(self, name: str) -> BrokerFactory:
        """The parts of one broker. Raises Denied for an unknown name."""
        ...


class SessionDied(Protocol):
    """Takes over when a session turns out to be dead."""

    async def __call__(self, account: AccountId, cause: SessionExpired, of: object = None) -> None:
        """`of`: whose it was (the broker's session)."""
        ...


log = logging.getLogger(__name__)


class Workspace:
    """Built locked; `SessionDesk` opens it."""

    def __init__(
        self,
        profile: Path,
        vault: Vault,
        brokers: Brokers,
        rules: ExitRules,
        charges: ChargeTable,
        calendar: Calendar,
        publish: Callable[[Event], None],
        tasks: Tasks,
        *,
        guarding: bool = True,
        helper: Helper | None = None,
    ) -> None:
        self.profile = profile
        self.guarding = guarding
        """False for a command that only reads: no feed, no exit line, no stop is armed again."""
        self.vault = vault
        self.brokers = brokers
        self.factory = brokers.factory
        self.rules = rules
        self.charges = charges
        self.calendar = calendar
        self.publish = publish
        self.tasks = tasks
        self._helper = helper
        self.master = InstrumentMaster(helper)
        self.underlyings = Underlyings.parse(
            resource("rules", "underlyings.csv").read_text(encoding="utf-8"), self.master.search
        )
        self.readers = Readers()
        self.charts = Charts(publish, self._keep_candles)
        self.accounts: dict[AccountId, AccountDesk] = {}
        self.master.on_arranged = self._instruments_changed
        self.records: dict[AccountId, AccountRecord] = {}
        self.session_died: SessionDied = _nobody
        """Who takes over when a session turns out to be dead: the session desk."""
        self.login_ended: Callable[[AccountId, bool], Coroutine[Any, Any, None]] = _uncounted
        """Who counts logins and renewals, good and failed: the sync desk."""
        self.list_instruments: Callable[[ReadSession, AccountRecord], Coroutine[Any, Any, None]] = _as_stored
        """Who sees to it that a session begins with the list of the day: the instrument desk."""
        self.guarding_of: Callable[[AccountId], AccountGuarding] = AccountGuarding
        """What the trader chose for when an account's prices fail."""
        self.alone: Callable[[], str] = _somebody
        """Why nobody would take over armed stops if this program died, in words; empty when somebody would."""
        self.replaced = False
        """A restored backup takes the place of these files at the next start."""
        self._taught: dict[str, object] = {}
        """By list: which one its broker's adapter has learnt."""
        self._teaching = asyncio.Lock()
        self._book: Book | None = None
        self._journal: Journal | None = None

    def opened(self, book: Book, journal: Journal) -> None:
        """The vault was unlocked and the files are open."""
        self._book, self._journal = book, journal

    @property
    def is_open(self) -> bool:
        """Files are open."""
        return self._book is not None

    @property
    def book(self) -> Book:
        """The book. Raises VaultLocked."""
        if self._book is None:
            raise VaultLocked("The profile is locked.")
        return self._book

    @property
    def journal(self) -> Journal:
        """The journal. Raises VaultLocked."""
        if self._journal is None:
            raise VaultLocked("The profile is locked.")
        return self._journal

    def deny_replaced(self) -> None:
        """Raises Denied for what the next start would know nothing of, whoever makes it: a guard too."""
        if self.replaced:
            raise Denied(
                "A restored backup takes the profile's place at the next start, and would not know of this.",
                "Start Stopline again first.",
            )

    def trading(self, record: AccountRecord) -> Trading:
        """What an account's engine gets."""
        mine = list_name(record.broker, paper=record.endpoints.paper)

        def instrument(name: InstrumentId) -> Instrument | None:
            return self.master.get(name, mine)

        return Trading(
            journal=self.journal,
            rules=self.rules,
            calendar=self.calendar,
            charges=DayCharges(self.charges, self._helper),
            instrument=instrument,
            ends_in_auction=self.master.ends_in_auction,
            info=lambda account: self.factory(account.partition("-")[0]).info,
            charts=self.charts,
            underlyings=self.underlyings.listed(instrument),
            guarding=self.guarding_of,
            publish=self.publish,
            tasks=self.tasks,
        )

    def _instruments_changed(self) -> None:
        for desk in self.accounts.values():
            desk.hours.forget()
            desk.stops.listed_anew()

    def tell_providers(self) -> None:
        """Of packages that bring no broker, whatever they say."""
        for problem in self.brokers.problems:
            self.publish(
                Noticed(
                    Level.WARNING,
                    f"The package {problem.package} brings no broker",
                    f"Its {problem.provider} is left out: {problem.cause}",
                    problem.next_step,
                    None,
                    f"provider:{problem.provider}",
                )
            )

    def info(self, broker: str) -> BrokerInfo | None:
        """What a broker is; None where its provider is no longer installed."""
        try:
            return self.factory(broker).info
        except Denied:
            return None

    def title(self, broker: str) -> str:
        """A broker as it writes itself; by its id where nobody knows it."""
        found = self.info(broker)
        return broker.capitalize() if found is None else found.title

    def account(self, account: AccountId) -> AccountDesk:
        """One account. Raises Denied for an unknown one."""
        desk = self.accounts.get(account)
        if desk is None:
            raise Denied(f"There is no account {account}.", "Connect it first.")
        return desk

    def record(self, account: AccountId) -> AccountRecord:
        """What is stored of an account. Raises Denied for an unknown one."""
        record = self.records.get(account)
        if record is None:
            raise Denied(f"There is no account {account}.", "Connect it first.")
        return record

    def live(self) -> Iterator[AccountDesk]:
        """Accounts with a session."""
        return (desk for desk in self.accounts.values() if desk.active)

    def instrument(self, instrument: InstrumentId) -> Instrument:
        """One instrument. Raises Denied for an unknown one."""
        found = self.master.get(instrument)
        if found is None:
            raise Denied(f"{instrument} is not in the instrument list.", "Refresh the instruments.")
        return found

    async def save(self, record: AccountRecord) -> None:
        """Stores an account's record; secrets that a verb took up before a rotation of the keys are sealed anew."""
        renewed: dict[str, Any] = {
            f.name: self.vault.renewed(record.id, value)
            for f in fields(record)
            if f.name.startswith(SEALED) and (value := getattr(record, f.name)) is not None
        }
        record = replace(record, **renewed)
        self.records[record.id] = record
        await self.book.accounts.save(record)

    async def teach(self, name: str) -> None:
        """An adapter whose broker goes by keys learns the list that was read, a few lines at a time. Others wait:
        a session that begins with a part of the list reads the other contracts under other names."""
        async with self._teaching:
            table = self.master.table(name)
            factory = self.factory(broker_of_list(name))
            if table is None or self._taught.get(name) is table or not isinstance(factory, LearnsInstruments):
                return
            rest = iter(table)
            while part := list(islice(rest, TAUGHT_AT_ONCE)):
                factory.learn(part, paper=name != broker_of_list(name))
                await asyncio.sleep(0)
            self._taught[name] = table

    async def _keep_candles(self, instrument: InstrumentId, interval: Interval, candles: Sequence[Candle]) -> None:
        if self._book is not None:
            await self._book.candles.put(instrument, interval, candles)

    async def close(self) -> None:
        """Closes both files and locks the vault."""
        book, self._book = self._book, None
        journal, self._journal = self._journal, None
        if journal is not None:
            await journal.close()
        if book is not None:
            await book.close()
        self.vault.lock()


async def _as_stored(session: ReadSession, record: AccountRecord) -> None:
    raise RuntimeError(f"nobody brings the instruments of {record.id} for {session.account}")


def _somebody() -> str:
    return ""


async def _nobody(account: AccountId, cause: SessionExpired, of: object = None) -> None:
    del of
    raise RuntimeError(f"nobody takes over {account}: {cause.cause}")


async def _uncounted(account: AccountId, good: bool) -> None:
    log.debug("login of %s, good: %s", account, good)
