"""The brokers' instrument lists: imports by hand, by the clock and at login; what is stored. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from app.brokers.base import ReadSession
from app.desk.workspace import Workspace
from app.domain.errors import AppError, BadAnswer, Denied
from app.domain.ids import Nanos
from app.domain.listing import ImportReport, InstrumentList, ListSource, broker_of_list, list_name
from app.market.import_days import list_day
from app.market.import_needs import ListFiles
from app.market.imports import InstrumentImports, Offer
from app.runtime.clock import SECOND, SystemClock
from app.runtime.helper import Helper
from app.storage.accounts import AccountRecord
from app.storage.book import Book

log = logging.getLogger(__name__)

DAY_SETTING = "instruments_day"
FIRST_LOOK_SECONDS = 20.0
"""After opening: a login that is under way fetches the list itself."""
LOOK_SECONDS = 30.0
AGAIN_MINUTES = 10
"""After a scheduled import that failed."""


class InstrumentDesk:
    """Implements `desk.api.InstrumentVerbs`."""

    def __init__(self, workspace: Workspace, files: ListFiles, helper: Helper) -> None:
        self._workspace = workspace
        self._files = files
        self._helper = helper
        self._clock = SystemClock()
        self._imports: InstrumentImports | None = None
        self._of: Book | None = None
        self._one = asyncio.Lock()
        """Logins wait for each other here; who asks by hand is told that something runs."""
        self._not_before: dict[str, Nanos] = {}
        self.on_renamed: Callable[[], Coroutine[Any, Any, None]] = _nothing
        """Some trades must be matched anew."""
        workspace.list_instruments = self.ensure

    @property
    def imports(self) -> InstrumentImports:
        """Of the open book. Raises VaultLocked."""
        book = self._workspace.book
        if self._imports is None or self._of is not book:
            self._of = book

            async def reload(name: str) -> None:
                await self._workspace.master.reload(book.instruments, name)
                if name in self._needed():
                    await self._workspace.teach(name)

            self._imports = InstrumentImports(
                book.instruments, self._files, self._helper, self._workspace.profile, self._clock,
                self._workspace.publish, reload,
            )  # fmt: skip
        return self._imports

    # -- verbs -------------------------------------------------------------------------------------------------------

    async def lists(self) -> Sequence[InstrumentList]:
        """Every list that an account needs or that was imported."""
        store = self._workspace.book.instruments
        found = []
        for name in sorted(self._needed() | set(await store.names())):
            last = await store.imports(name, 1)
            awaits = await asyncio.to_thread(self.imports.awaiting(name).exists)
            broker = broker_of_list(name)
            stats = await store.stats(name)
            found.append(InstrumentList(name, broker, broker != name, stats, last[0] if last else None, awaits))
        return found

    async def log(self, limit: int = 50) -> Sequence[ImportReport]:
        """Imports, newest first."""
        return await self._workspace.book.instruments.imports(limit=limit)

    async def sync(
        self, name: str | None = None, source: str | None = None, trigger: str = "manual", *, confirmed: bool = False
    ) -> Sequence[ImportReport]:
        """Imports one list, or all that accounts need (without accounts: of every broker whose files can be read).

        `source`: `api`, `public file` or `sample`, a web address, or a file, whose broker is told by its content; None
        tries them in order. Raises Denied when another import runs, and for a list that nobody has.
        """
        if name is not None:
            self._deny_unknown(name)
        if source is not None and source not in _NAMED:
            return [await self._from_place(name, source, trigger, confirmed=confirmed)]
        names = [name] if name is not None else sorted(self._needed()) or list(self._shipped())
        reports = []
        for each in names:
            if confirmed and source is None and await asyncio.to_thread(self.imports.awaiting(each).exists):
                reports.append(await self.confirm(each))
                continue
            offers = self._offers(each)
            if source is not None:
                offers = [offer for offer in self._every_offer(each) if offer.source.value == source]
            reports.append(await self._run(each, offers, trigger, confirmed=confirmed, spare=source is None))
        return reports

    async def confirm(self, name: str) -> ImportReport:
        """The list that lost a segment is right: what it no longer has becomes inactive."""
        kept = self.imports.awaiting(name)
        if await asyncio.to_thread(kept.exists):
            return await self._run(
                name, [self.imports.picked(kept)], "confirmed", confirmed=True, whole=True, spare=False
            )
        return await self._run(name, self._offers(name), "confirmed", confirmed=True)

    async def cancel(self) -> None:
        """Ends the import that runs; the list before is whole."""
        if self._imports is not None:
            self._imports.cancel()

    # -- at login and by the clock -----------------------------------------------------------------------------------

    async def ensure(self, session: ReadSession, record: AccountRecord) -> None:
        """Today's list, by the account's clock; when it cannot be had, the stored one serves, else the sample.

        Where stops are armed they are watched first, by the stored list, and today's comes beside that: an import takes
        tens of seconds. A contract that is held keeps its number and key. Raises AppError only when there is none at
        all.
        """
        name = list_name(record.broker, paper=record.endpoints.paper)
        if self._workspace.master.has(name) and self._workspace.account(record.id).stops.armed:
            self._workspace.tasks.start(self._beside_stops(name, session), f"today's instruments of {name}")
        else:
            await self._todays(name, session)
        await self._workspace.teach(name)

    async def _beside_stops(self, name: str, session: ReadSession) -> None:
        try:
            await self._todays(name, session)
        except AppError as failure:
            log.info("instruments of %s not refreshed beside armed stops: %s", name, failure)

    async def _todays(self, name: str, session: ReadSession) -> None:
        async with self._one:
            day = list_day((await session.exchange_clock()).now, *self._files.refresh_hour())
            master = self._workspace.master
            if master.has(name) and await self._workspace.book.settings.get(f"{DAY_SETTING}:{name}") == day:
                return
            try:
                report = await self._run(name, list(self._offers(name, session)), "login", day=day)
            except Denied as busy:  # an import by hand is under way
                if not master.has(name):
                    raise
                log.info("instruments of %s not refreshed at login: %s", name, busy.cause)
                return
            if report.counts is None and not master.has(name):
                raise BadAnswer(f"There are no instruments of {name}.", "Log in again later.", detail=report.error)

    async def keep_fresh(self) -> None:
        """Runs for ever: imports what is due at 06:00 in India, or was missed while the program was closed."""
        await asyncio.sleep(FIRST_LOOK_SECONDS)
        while True:
            for name in sorted(self._needed()):
                try:
                    await self._if_due(name)
                except AppError as failure:
                    log.warning("the scheduled import of %s did not run: %s", name, failure)
            await asyncio.sleep(LOOK_SECONDS)

    async def _if_due(self, name: str) -> None:
        """A paper exchange has a clock of its own; its list comes with its login."""
        now = self._clock.now()
        if broker_of_list(name) != name or now < self._not_before.get(name, 0) or self.imports.running:
            return
        day = list_day(now, *self._files.refresh_hour())
        if await self._workspace.book.settings.get(f"{DAY_SETTING}:{name}") == day:
            return
        async with self._one:
            report = await self._run(name, self._offers(name), "scheduled", day=day)
        if report.counts is None:
            self._not_before[name] = now + AGAIN_MINUTES * 60 * SECOND

    async def _run(
        self, name: str, offers: Sequence[Offer], trigger: str, *, confirmed: bool = False, day: str = "",
        whole: bool = False, spare: bool = True,
    ) -> ImportReport:  # fmt: skip
        """With `spare`, the sample serves where nothing else does and nothing is stored."""
        imports = self.imports
        if not await self._anything(name) and (sample := imports.sample(broker_of_list(name))) and spare:
            offers = [*offers, sample]
        report = await imports.run(name, offers, trigger, confirmed=confirmed, whole=whole)
        if report.counts is not None and report.source in (ListSource.API, ListSource.PUBLIC):
            day = day or list_day(self._clock.now(), *self._files.refresh_hour())
            await self._workspace.book.settings.put(f"{DAY_SETTING}:{name}", day)
        if report.counts is not None and report.counts.renamed:
            await self._follow_renames(name, report.started_at)
        return report

    async def follow_renames(self) -> None:
        """Fills of contracts that have another name now are matched under it: those that a crash left, too."""
        for record in list(self._workspace.records.values()):
            await self._match_renamed(record)

    async def _match_renamed(self, record: AccountRecord) -> None:
        desk = self._workspace.accounts.get(record.id)
        now = self._clock.now() if desk is None else desk.clock.now()
        name = list_name(record.broker, paper=record.endpoints.paper)
        try:
            found = await self._workspace.book.fills.follow_renames(record.id, name, now)
            if found:
                log.info("the trades of %s go on as %s", record.id, ", ".join(found))
                await self.on_renamed()
        except AppError as failure:
            log.info("trades of %s under new names: %s", record.id, failure)

    async def _follow_renames(self, name: str, since: Nanos) -> None:
        """Stops and trades go along. What fails is said, and done at the next login; the import has succeeded."""
        lists = self._workspace.book.instruments
        for old_id, new_id in await lists.renames(name, since):
            old, new = await lists.get(name, old_id), await lists.get(name, new_id)
            if old is None or new is None:
                continue
            for desk in self._workspace.accounts.values():
                record = self._workspace.record(desk.account)
                if list_name(record.broker, paper=record.endpoints.paper) == name:
                    try:
                        await desk.stops.renamed(old, new)
                    except AppError as failure:
                        log.info("stops of %s on %s: %s", desk.account, new_id, failure)
        for record in list(self._workspace.records.values()):
            if list_name(record.broker, paper=record.endpoints.paper) == name:
                await self._match_renamed(record)

    async def _anything(self, name: str) -> bool:
        return self._workspace.master.has(name) or (await self._workspace.book.instruments.stats(name)).active > 0

    # -- where from --------------------------------------------------------------------------------------------------

    async def _from_place(self, name: str | None, source: str, trigger: str, *, confirmed: bool) -> ImportReport:
        """A file or an address that the trader named."""
        if source.startswith(("http://", "https://")):
            if name is None:
                raise Denied("An address does not say whose list it has.", "Name the broker too.")
            return await self._run(name, [self.imports.public(source)], trigger, confirmed=confirmed, spare=False)
        path = Path(os.path.expanduser(source))  # noqa: ASYNC240 - reads the environment, no disk
        broker = await asyncio.to_thread(self._files.broker_of, path)
        if name is not None and broker_of_list(name) != broker:
            raise Denied(f"{path.name} is a list of {broker}, not of {name}.", "Choose another file.")
        return await self._run(name or broker, [self.imports.picked(path)], trigger, confirmed=confirmed, spare=False)

    def _offers(self, name: str, session: ReadSession | None = None) -> list[Offer]:
        return list(self.imports.offers(name, session or self._session(name)))

    def _every_offer(self, name: str) -> list[Offer]:
        sample = self.imports.sample(broker_of_list(name))
        return self._offers(name) + ([sample] if sample else [])

    def _session(self, name: str) -> ReadSession | None:
        """A logged-in account whose list it is."""
        for desk in self._workspace.live():
            record = self._workspace.record(desk.account)
            if list_name(record.broker, paper=record.endpoints.paper) == name:
                return desk.broker
        return None

    def _deny_unknown(self, name: str) -> None:
        known = self._needed() | set(self._shipped())
        if name not in known and not self._files.reads(broker_of_list(name)):
            raise Denied(f"There is no instrument list called {name}.", f"Known: {', '.join(sorted(known))}.")

    def _needed(self) -> set[str]:
        return {list_name(r.broker, paper=r.endpoints.paper) for r in self._workspace.records.values()}

    def _shipped(self) -> tuple[str, ...]:
        return tuple(name for name in ("upstox", "zerodha") if self._files.reads(name))


async def _nothing() -> None:
    """Nobody matches trades here."""


_NAMED = frozenset({ListSource.API.value, ListSource.PUBLIC.value, ListSource.SAMPLE.value})
