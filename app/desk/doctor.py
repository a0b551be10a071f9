"""Gathers what `diagnostics.checks` judges: store, vault, backups, disk, clock, brokers, feeds, instruments, calendar
(K1). Asks the brokers for their time and nothing else; changes nothing. Loop thread only.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from app.brokers.market_parts import KillSwitchBroker
from app.brokers.parts import AddressSource
from app.desk.data import DataDesk
from app.desk.flights import latencies
from app.desk.workspace import Workspace
from app.diagnostics import checks
from app.domain.calendar import ist_date
from app.domain.errors import AppError, StorageError
from app.domain.health import Finding, PreflightReport
from app.domain.ids import AccountId
from app.domain.listing import ListSource, list_name
from app.runtime.clock import SECOND, SystemClock
from app.runtime.priority import own_precedence
from app.runtime.secret import Secret
from app.storage.accounts import AccountRecord
from app.storage.database import StoreKind

CONNECT_SECONDS = 5.0


class Doctor:
    """One look at everything."""

    def __init__(self, workspace: Workspace, data: DataDesk) -> None:
        self._workspace = workspace
        self._data = data
        self._clock = SystemClock()
        self._damage: tuple[Finding, ...] = ()
        """What would not open, where the profile is closed for that."""

    async def look(self) -> tuple[Finding, ...]:
        """In the order in which a trader would ask. A part that cannot be looked at is a finding, not an error."""
        found = await self._vault()
        if self._workspace.is_open:
            found += await self._part("store", self._stores())
            found += await self._part("audit trail", self._trail())
            found += await self._part("backup", self._backup())
            found += await self._part("exits", self._exits())
        found += self._damage
        found.append(await self._disk())
        found.append(checks.precedence(own_precedence()))
        found += checks.brokers(self._workspace.brokers.available(), self._workspace.brokers.problems)
        found.append(checks.calendar(self._workspace.calendar, ist_date(self._clock.now())))
        if self._workspace.is_open:
            found += await self._part("instruments", self._instruments())
            for record in self._connected():
                found += await self._part(f"account {record.id}", self._account(record))
        return tuple(found)

    async def preflight(self) -> PreflightReport:
        """What today's stops and orders need, a few seconds' work: sessions, addresses, clocks, prices, instruments,
        disk, calendar. The files are not read through."""
        found = []
        for record in self._connected():
            found += await self._part(f"account {record.id}", self._account(record))
            found += await self._part(f"registered address {record.id}", self._addresses(record))
            found += await self._part(f"kill switch {record.id}", self._switches(record))
        found += await self._part("instruments", self._instruments())
        found.append(await self._disk())
        found.append(checks.calendar(self._workspace.calendar, ist_date(self._clock.now())))
        return PreflightReport(self._clock.now(), tuple(found))

    async def reconnect(self, account: AccountId) -> None:
        """Drops an account's price connections; they dial again at once. Raises Denied for an unknown one."""
        await self._workspace.account(account).hub.redial()

    async def _addresses(self, record: AccountRecord) -> Sequence[Finding]:
        desk = self._workspace.accounts.get(record.id)
        if desk is None or not desk.active or record.endpoints.paper:
            return ()
        broker = desk.broker
        told = await broker.registered_addresses() if isinstance(broker, AddressSource) else None
        return [checks.addresses(record.id, told)]

    async def _exits(self) -> Sequence[Finding]:
        return [checks.latency(one) for one in await latencies(self._workspace)]

    async def _switches(self, record: AccountRecord) -> Sequence[Finding]:
        desk = self._workspace.accounts.get(record.id)
        if desk is None or not desk.active or not isinstance(broker := desk.broker, KillSwitchBroker):
            return ()
        return [checks.kill_switches(record.id, [one.segment for one in await broker.kill_switches() if one.pulled])]

    async def look_closed(self, ask: Callable[[], Secret | None]) -> tuple[Finding, ...]:
        """Before a profile is opened, which sets damaged files aside: what of vault and store would not open.

        Empty when there is no vault or nobody to ask. Where it cannot be looked at, for want of space, that is said and
        the disk is looked at. Raises WrongPassphrase, Denied.
        """
        vault = self._workspace.vault
        info = await asyncio.to_thread(vault.info)
        if info.damaged:
            return tuple(await self._vault())  # `look` says so too
        passphrase = None if info.opens_with_keyring or not info.exists else ask()
        if not info.exists or (passphrase is None and not info.opens_with_keyring):
            return ()
        await asyncio.to_thread(vault.unlock, passphrase)
        try:
            found = await self._data.check_closed()
        except StorageError as failure:
            self._damage = (checks.failure("store", failure.cause, failure.next_step),)
            return (*self._damage, await self._disk())
        finally:
            vault.lock()
        self._damage = tuple(checks.store(file.name, file.size, file.damage) for file in found if file.damage)
        return self._damage

    async def _part(self, name: str, findings: Awaitable[Sequence[Finding]]) -> list[Finding]:
        try:
            return list(await findings)
        except AppError as error:
            return [checks.failure(name, error.cause, error.next_step)]

    async def _vault(self) -> list[Finding]:
        info = await asyncio.to_thread(self._workspace.vault.info)
        return checks.vault(
            damaged=info.damaged,
            keyring_available=info.keyring_available,
            with_keyring=info.opens_with_keyring,
            with_passphrase=info.opens_with_passphrase,
            recovery_key=info.has_recovery_key,
        )

    async def _stores(self) -> Sequence[Finding]:
        return [checks.store(found.name, found.size, found.damage) for found in await self._data.check_files()]

    async def _trail(self) -> Sequence[Finding]:
        found = await self._workspace.journal.check_audit()
        places = [place.words for place in found.breaks]
        if found.more_breaks:
            places.append(f"and {found.more_breaks} places more")
        return [checks.audit(found.lines, found.head, places)]

    async def _backup(self) -> Sequence[Finding]:
        view = await self._data.view()
        newest = max((file.made_at for file in view.backups), default=None)
        return [checks.backup(newest, self._clock.now(), view.settings.backup_every_hours)]

    async def _disk(self) -> Finding:
        profile = self._workspace.profile

        def look() -> Finding:
            files = [profile / kind.file_name for kind in StoreKind]
            return checks.disk(shutil.disk_usage(profile).free, sum(_size(path) for path in files))

        return await asyncio.to_thread(look)

    def _connected(self) -> list[AccountRecord]:
        """Of a disconnected account nothing is missing, unless stops on it are still open."""
        desks = self._workspace.accounts
        return [
            record
            for record in self._workspace.records.values()
            if not record.disconnected or ((desk := desks.get(record.id)) is not None and desk.stops.armed)
        ]

    async def _instruments(self) -> Sequence[Finding]:
        found = []
        lists = self._workspace.book.instruments
        records = self._workspace.records.values()
        for broker, paper in sorted({(one.broker, one.endpoints.paper) for one in records}):
            name = list_name(broker, paper=paper)
            title = f"{self._workspace.title(broker)}{' paper' if paper else ''}"
            stats = await lists.stats(name)
            read = [done for done in await lists.imports(name, 20) if done.counts is not None]
            newest = max(read, key=lambda done: done.ended_at, default=None)
            read_at, sample = (newest.ended_at, newest.source is ListSource.SAMPLE) if newest else (None, False)
            found.append(checks.instruments(title, name, stats.active, read_at, self._clock.now(), sample=sample))
        return found

    async def _account(self, record: AccountRecord) -> Sequence[Finding]:
        desk = self._workspace.accounts.get(record.id)
        if desk is None:
            return [checks.failure(f"account {record.id}", "It was not taken up.", "Start Stopline again.")]
        found = [
            checks.session(record.id, record.state, record.last_error, desk.stops.armed),
            await self._reachable(record),
            checks.feed(
                record.id, desk.hub.state, desk.blind, guarding=self._workspace.guarding, logged_in=desk.active
            ),
        ]
        if desk.active and not record.endpoints.paper:  # a paper exchange keeps a time of its own
            found.append(await self._compared(record))
        return found

    async def _reachable(self, record: AccountRecord) -> Finding:
        address = urlsplit(record.endpoints.api_url)
        port = address.port or (443 if address.scheme == "https" else 80)
        began = time.monotonic()
        paper = record.endpoints.paper
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(address.hostname, port)
        except TimeoutError:
            return checks.reachable(record.id, None, f"nothing came back in {CONNECT_SECONDS:.0f} s", paper=paper)
        except OSError as error:
            return checks.reachable(record.id, None, error.strerror or type(error).__name__, paper=paper)
        taken = (time.monotonic() - began) * 1000
        writer.close()
        return checks.reachable(record.id, taken)

    async def _compared(self, record: AccountRecord) -> Finding:
        broker = self._workspace.account(record.id).broker
        before = self._clock.now()
        try:
            reading = await broker.exchange_clock()
        except AppError as error:
            return checks.clock(record.broker, None, error.cause)
        between = (before + self._clock.now()) // 2
        # The broker's time is cut to the second: on average it shows half a second less than it is.
        return checks.clock(record.broker, (between - reading.now - SECOND // 2) / SECOND)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
