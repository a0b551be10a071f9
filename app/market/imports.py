"""Instrument imports: one at a time, from the first source that serves, all or nothing (D1 to D4). Loop thread only.

A list is a file: fetched with the session's token, fetched from the public address, picked, or shipped. The helper
process reads it piece by piece; the pieces go straight to the book, each asked for when the one before is stored, so
that neither side ever holds a whole list.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from app.brokers.instrument_lines import unpack
from app.domain.errors import AppError, BadAnswer, Cancelled, Denied, StorageError, Unreachable
from app.domain.events import Event, Level, Noticed
from app.domain.ids import Nanos
from app.domain.instrument import Instrument
from app.domain.listing import (
    ImportReport,
    InstrumentsChanged,
    InstrumentsProgressed,
    ListPart,
    ListSource,
    broker_of_list,
    row_of,
)
from app.market.import_checks import checked, doubt
from app.market.import_needs import ListFiles, ListsInstruments, ListStore, SavesInstruments
from app.runtime.clock import SECOND, Clock
from app.runtime.helper import Helper, HelperDied

log = logging.getLogger(__name__)

KEPT = "The list before it stays in use."
LONGEST_SECONDS = 30 * 60
"""An import that takes longer is given up: nobody waits behind a dead one (D3)."""
TOLD_EVERY = 20_000
"""Lines between two signs of progress."""
PART_ROWS = 500


@dataclass(frozen=True, slots=True)
class Offer:
    """One place that a list can come from."""

    source: ListSource
    origin: str
    fetch: Callable[[Path], Awaitable[Path]] | None = None
    """Makes sure of the file, at the path given or its own, and says where it is."""
    rows: Callable[[], Awaitable[Sequence[Instrument]]] | None = None


class InstrumentImports:
    """Runs imports. `folder` is the profile's, for downloads and lists that wait for the trader's word."""

    def __init__(
        self, store: ListStore, files: ListFiles, helper: Helper, folder: Path, clock: Clock,
        publish: Callable[[Event], None], reload: Callable[[str], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._store = store
        self._files = files
        self._helper = helper
        self._folder = folder
        self._clock = clock
        self._publish = publish
        self._reload = reload
        self._unwanted = False
        """The trader cancelled what runs."""
        self._running: tuple[str, Nanos] | None = None
        self._task: asyncio.Task[ImportReport] | None = None

    @property
    def running(self) -> str:
        """The list that is being imported; empty when none is."""
        return "" if self._running is None else self._running[0]

    # -- where lists come from ---------------------------------------------------------------------------------------

    def offers(self, name: str, session: object | None) -> Iterator[Offer]:
        """In the order of D4, but for the picked file. A paper exchange's list has no public file."""
        broker = broker_of_list(name)
        if isinstance(session, SavesInstruments) and self._files.reads(broker):
            saver = session

            async def with_token(into: Path) -> Path:
                await saver.save_instruments(into)
                return into

            yield Offer(ListSource.API, broker, fetch=with_token)
        elif isinstance(session, ListsInstruments):
            yield Offer(ListSource.API, broker, rows=session.instruments)
        if broker == name and (address := self._files.public_address(broker)):
            yield self.public(address)

    def public(self, address: str) -> Offer:
        """A file that anyone may fetch."""

        async def fetch(into: Path) -> Path:
            await self._files.fetch_public(address, into)
            return into

        return Offer(ListSource.PUBLIC, address, fetch=fetch)

    def picked(self, path: Path) -> Offer:
        """A file of the trader's."""

        async def there(_: Path) -> Path:
            return path

        return Offer(ListSource.FILE, path.name, fetch=there)

    def sample(self, broker: str) -> Offer | None:
        """What ships with the program."""
        path = self._files.sample_file(broker)
        return None if path is None else replace(self.picked(path), source=ListSource.SAMPLE)

    def awaiting(self, name: str) -> Path:
        """Where the list is kept that waits for the trader's word."""
        return self._folder / f"instruments-{name}.awaiting"

    # -- one import --------------------------------------------------------------------------------------------------

    async def run(
        self,
        name: str,
        offers: Sequence[Offer],
        trigger: str,
        *,
        confirmed: bool = False,
        whole: bool = False,
    ) -> ImportReport:
        """The first offer that serves becomes the list. A failure is in the report and in the log, and leaves the list
        before whole. `confirmed`: what a list lost may go. `whole`: a picked file is the whole list even if it has one
        exchange. Raises Denied when another import runs, Cancelled.
        """
        if self._running is not None:
            other, since = self._running
            minutes = (self._clock.now() - since) // (60 * SECOND)
            raise Denied(
                f"The instruments of {other} have been read for {minutes} minutes.", "Wait for it, or cancel it."
            )
        self._running = (name, self._clock.now())
        self._unwanted = False
        self._task = asyncio.ensure_future(self._whole(name, offers, trigger, confirmed, whole))
        try:
            return await self._task
        except asyncio.CancelledError:
            self._publish(InstrumentsProgressed(name, "cancelled"))
            if self._unwanted:
                raise Cancelled("The import was cancelled; the list before it is whole.") from None
            raise
        finally:
            self._running = self._task = None

    def cancel(self) -> None:
        """Ends what runs; nothing of it stays."""
        if self._task is not None:
            self._unwanted = True
            self._task.cancel()

    async def _whole(
        self, name: str, offers: Sequence[Offer], trigger: str, confirmed: bool, whole: bool
    ) -> ImportReport:
        started = self._clock.now()
        before = await self._store.stats(name)
        report = ImportReport(name, trigger, ListSource.API, "", started, started, before=before, after=before)
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                report = await self._first_that_serves(report, offers, confirmed, whole)
        except TimeoutError:
            words = f"The import took longer than {LONGEST_SECONDS // 60} minutes and was given up."
            report = replace(report, error=words)
        except AppError as failure:
            report = replace(report, error=str(failure))
        finally:
            with suppress(StorageError):
                await self._store.drop_list()
        report = replace(report, ended_at=self._clock.now())
        if report.counts is not None:
            # The book counts while the list that was read is arranged for search.
            _, after, shared = await asyncio.gather(
                self._reload(name), self._store.stats(name), self._store.shared_tokens(name)
            )
            report = replace(report, after=after, ended_at=self._clock.now())
            report = replace(report, checks=checked(report, shared))
        try:
            await self._store.log_import(report)
        except StorageError as failure:
            log.error("the import of %s is not in the log: %s", name, failure)  # noqa: TRY400 - the words are enough
        self._tell(report)
        return report

    async def _first_that_serves(
        self, report: ImportReport, offers: Sequence[Offer], confirmed: bool, whole: bool
    ) -> ImportReport:
        if not offers:
            raise BadAnswer(
                f"There is nowhere to get the instruments of {report.broker} from.", "Log in, or choose a file."
            )
        passed_over: list[str] = []
        for last, offer in enumerate(offers, 1 - len(offers)):
            report = replace(report, source=offer.source, origin=offer.origin, passed_over=tuple(passed_over))
            try:
                return await self._from(report, offer, confirmed, whole)
            except StorageError:
                raise
            except AppError as failure:
                if last == 0:
                    raise
                log.info("instruments of %s not from %s: %s", report.broker, offer.source, failure)
                passed_over.append(f"{offer.source}: {failure.cause}")
        raise AssertionError("the last offer returns or raises")

    async def _from(self, report: ImportReport, offer: Offer, confirmed: bool, whole: bool) -> ImportReport:
        name = report.broker
        self._publish(InstrumentsProgressed(name, "fetching", 0, offer.source))
        download = self._folder / f"instruments-{name}.part"
        try:
            await self._store.begin_list()
            if offer.rows is not None:
                path, report = None, await self._gather_rows(report, await offer.rows())
            else:
                assert offer.fetch is not None  # noqa: S101 - an offer has one of the two
                path = await offer.fetch(download)
                report = await self._gather_file(report, path)
            self._publish(InstrumentsProgressed(name, "saving", report.lines, offer.source))
            exchanges = await self._store.exchanges_gathered()
            if not exchanges:
                raise BadAnswer(
                    "There is no instrument in this list.",
                    KEPT,
                    detail=report.first_malformed,
                )
            # A picked file of one exchange is that exchange's list; of more, it claims to be the whole one.
            single = offer.source is ListSource.FILE and len(exchanges) == 1 and not whole
            only = exchanges[0] if single else None
            report = replace(report, exchanges=exchanges, one_exchange=only is not None)
            counts = await self._store.take_over(
                name, only, keep="" if confirmed else doubt(report), confirmed=confirmed, at=report.started_at
            )
            if path is not None:
                await asyncio.to_thread(self._settle, name, path, download, awaits=bool(counts.withheld))
            return replace(report, counts=counts, awaits=bool(counts.withheld))
        finally:
            download.unlink(missing_ok=True)

    async def _gather_file(self, report: ImportReport, path: Path) -> ImportReport:
        told = 0
        try:
            pieces = self._helper.slices(self._files.read_parts, b"", broker_of_list(report.broker), str(path))
            async with aclosing(pieces):
                async for piece in pieces:
                    part = unpack(piece)
                    await self._store.add_rows(part.rows)
                    await self._store.add_unread(part.unread)
                    report = _with(report, part)
                    if report.lines - told >= TOLD_EVERY:
                        told = report.lines
                        self._publish(InstrumentsProgressed(report.broker, "reading", told, report.source))
        except HelperDied as died:
            raise Unreachable("The helper process ended while it read the instrument list.") from died
        return report

    async def _gather_rows(self, report: ImportReport, rows: Sequence[Instrument]) -> ImportReport:
        for start in range(0, len(rows), PART_ROWS):
            part = [row_of(row) for row in rows[start : start + PART_ROWS]]
            await self._store.add_rows(part)
            report = replace(report, lines=report.lines + len(part))
        return report

    def _settle(self, name: str, path: Path, download: Path, *, awaits: bool) -> None:
        """What waits for the trader's word is kept; what waited before is settled by a later list."""
        kept = self.awaiting(name)
        if not awaits:
            kept.unlink(missing_ok=True)
        elif path == download:
            path.replace(kept)
        elif path != kept:
            kept.write_bytes(path.read_bytes())

    def _tell(self, report: ImportReport) -> None:
        done = report.counts is not None
        self._publish(InstrumentsProgressed(report.broker, "done" if done else "failed", report.lines, report.source))
        if report.malformed:
            log.warning(
                "%d malformed lines of %d in the instruments of %s, the first: %s",
                report.malformed, report.lines, report.broker, report.first_malformed,
            )  # fmt: skip
        if done:
            self._publish(InstrumentsChanged(report.broker))
        else:
            self._notice(report, "were not refreshed", report.error, "" if KEPT in report.error else KEPT)
        if report.alerts:
            step = "Look at Instruments." if not report.awaits else "Confirm it in Instruments, or wait for the next."
            self._notice(report, "need a look", " ".join(report.alerts), step)

    def _notice(self, report: ImportReport, title: str, cause: str, step: str) -> None:
        self._publish(
            Noticed(
                Level.WARNING,
                f"The instruments of {report.broker} {title}",
                cause,
                step,
                repeat_key=f"instruments:{report.broker}:{title}",
            )
        )


def _with(report: ImportReport, part: ListPart) -> ImportReport:
    return replace(
        report,
        lines=report.lines + part.lines,
        malformed=report.malformed + part.malformed,
        not_carried=report.not_carried + part.not_carried,
        first_malformed=report.first_malformed or part.first_malformed,
    )
