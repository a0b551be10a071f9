"""What an instrument import needs of others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from app.domain.ids import Nanos
from app.domain.instrument import Instrument
from app.domain.listing import ImportCounts, ImportReport, InstrumentRow, ListStats


class ListStore(Protocol):
    """The book's instrument lists: `storage.instruments`."""

    async def begin_list(self) -> None:
        """Forgets lines that were gathered before."""
        ...

    async def add_rows(self, rows: Sequence[InstrumentRow]) -> None:
        """Gathers lines."""
        ...

    async def add_unread(self, names: Sequence[str]) -> None:
        """Gathers whose lines could not be read."""
        ...

    async def drop_list(self) -> None:
        """Gives them up."""
        ...

    async def exchanges_gathered(self) -> tuple[str, ...]:
        """Of the lines."""
        ...

    async def take_over(
        self, broker: str, exchange: str | None = None, *, keep: str = "", confirmed: bool = False, at: Nanos = 0
    ) -> ImportCounts:
        """The lines become the list, in one transaction."""
        ...

    async def stats(self, broker: str) -> ListStats:
        """What is stored."""
        ...

    async def shared_tokens(self, broker: str) -> int:
        """Tokens that name two live contracts."""
        ...

    async def log_import(self, report: ImportReport) -> None:
        """Keeps a report."""
        ...


class ListFiles(Protocol):
    """What is known of the brokers' files: `brokers.instrument_files`."""

    def reads(self, broker: str, /) -> bool:
        """Whether a broker's files can be read."""
        ...

    def read_parts(self, body: bytes, broker: str, path: str, /) -> Iterable[bytes]:
        """A file in packed parts; for the helper process."""
        ...

    def broker_of(self, path: Path, /) -> str:
        """Whose list a file is. Raises BadAnswer."""
        ...

    def refresh_hour(self) -> tuple[int, int]:
        """Hour and minute at which lists are fetched anew."""
        ...

    def public_address(self, broker: str, /) -> str:
        """Where everyone can fetch a list; empty: nowhere."""
        ...

    def sample_file(self, broker: str, /) -> Path | None:
        """What ships with the program."""
        ...

    async def fetch_public(self, address: str, into: Path, /) -> None:
        """Downloads."""
        ...


@runtime_checkable
class SavesInstruments(Protocol):
    """A session that can bring its broker's list as a file, unread."""

    async def save_instruments(self, into: Path) -> None:
        """Raises BrokerError, StorageError."""
        ...


@runtime_checkable
class ListsInstruments(Protocol):
    """A session that brings it as instruments: providers whose lists are small."""

    async def instruments(self) -> Sequence[Instrument]:
        """Raises BrokerError."""
        ...
