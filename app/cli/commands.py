"""What can be asked on the command line, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from app.domain.account import Endpoints
from app.domain.exports import ExportChoice
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.money import Paise

FINE = 0
"""Exit code: everything worked."""
SOME_FAILED = 1
"""Exit code: it ran, and something failed."""
COULD_NOT_START = 2
"""Exit code: nothing was done."""


@dataclass(frozen=True, slots=True)
class Workstation:
    """Open the window."""

    profile: Path
    paper: bool
    """Start the paper exchange too."""


@dataclass(frozen=True, slots=True)
class Simulate:
    """Run the paper exchange alone; it reads its own arguments."""

    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect an account without a window."""

    profile: Path
    broker: str
    api_key: str
    api_secret_file: Path
    request_token: str | None
    endpoints: Endpoints | None
    as_json: bool
    access_token_file: Path | None = None
    browser: bool = False
    """Log in with the system's browser, and wait until it comes back to this computer."""

    def __repr__(self) -> str:
        return f"Connect({self.broker}, {self.profile})"  # the request token opens a session


@dataclass(frozen=True, slots=True)
class Sync:
    """Bring the broker's trades home."""

    profile: Path
    account: AccountId | None
    as_json: bool
    since: date | None = None
    """First date of a range; None: what the brokers list today."""
    until: date | None = None
    file: Path | None = None
    """A tradebook file to take instead of asking the broker."""


@dataclass(frozen=True, slots=True)
class Backup:
    """Write a verified backup."""

    profile: Path
    file: Path | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class Restore:
    """Put a backup in the profile's place; the state before is set aside."""

    profile: Path
    file: Path
    as_json: bool


@dataclass(frozen=True, slots=True)
class Doctor:
    """Look at the program's health."""

    profile: Path
    as_json: bool
    report: Path | None = None
    """A new file that a report to send is written to."""


@dataclass(frozen=True, slots=True)
class InstrumentSync:
    """Import the brokers' instrument lists."""

    profile: Path
    list_name: str | None
    source: str | None
    """A file, a web address, or a kind of source; None: in order."""
    confirmed: bool
    """What the list lost may become inactive."""
    as_json: bool


@dataclass(frozen=True, slots=True)
class InstrumentStats:
    """Count what is stored of them."""

    profile: Path
    as_json: bool


@dataclass(frozen=True, slots=True)
class AccountList:
    """Say who is connected."""

    profile: Path
    as_json: bool


@dataclass(frozen=True, slots=True)
class Disconnect:
    """End an account's session and wipe its tokens."""

    profile: Path
    account: AccountId
    as_json: bool
    hand_over: bool = False
    """First an order or trigger at the broker takes the place of each armed stop."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause an account, or end its pause."""

    profile: Path
    account: AccountId
    as_json: bool
    paused: bool


@dataclass(frozen=True, slots=True)
class QuoteChange:
    """List who is asked for quotes, or change it: `order`, `on`, `off`, `forget`."""

    profile: Path
    what: str
    """Empty: only list."""
    names: tuple[str, ...]
    as_json: bool


@dataclass(frozen=True, slots=True)
class QuoteKey:
    """Store a quote provider's key."""

    profile: Path
    provider: str
    key_file: Path
    api_url: str
    as_json: bool


@dataclass(frozen=True, slots=True)
class QuoteAsk:
    """Prices now, from the first source that knows each."""

    profile: Path
    instruments: tuple[InstrumentId, ...]
    as_json: bool


@dataclass(frozen=True, slots=True)
class RotateKeys:
    """Encrypt the profile anew; the old keys open nothing afterwards."""

    profile: Path
    as_json: bool


@dataclass(frozen=True, slots=True)
class Guard:
    """Wait beside the workstation, and take over armed stops when it dies."""

    profile: Path
    as_json: bool
    attached: bool
    """Started by the window: ends with it when there is nothing to guard."""
    paper: bool
    """The paper exchange belongs to the desk."""


@dataclass(frozen=True, slots=True)
class Flatten:
    """Cancel all orders, exit all positions."""

    profile: Path
    accounts: tuple[AccountId, ...]
    """Empty: all."""
    elsewhere: bool
    holdings: bool
    gtts: bool
    yes: bool
    """Do it; else it is only listed."""
    as_json: bool


@dataclass(frozen=True, slots=True)
class Tidy:
    """Drop what has had its time; before that, change for how long things are kept."""

    profile: Path
    as_json: bool
    ticks_days: int | None = None
    ticks_megabytes: int | None = None
    notifications_days: int | None = None
    sync_log_days: int | None = None


@dataclass(frozen=True, slots=True)
class Flights:
    """List recorded exits, or write them to a file."""

    profile: Path
    limit: int
    file: Path | None
    stops: tuple[StopId, ...]
    """With a file: of these; empty: all."""
    as_json: bool


@dataclass(frozen=True, slots=True)
class PortfolioStop:
    """Show or set what a day may lose, win or give back."""

    profile: Path
    account: AccountId | None
    limits: tuple[tuple[str, Paise | None], ...]
    """What is to change, by name; None: no limit."""
    as_json: bool


@dataclass(frozen=True, slots=True)
class Export:
    """Write rows to a file for other programs."""

    profile: Path
    choice: ExportChoice
    as_json: bool


@dataclass(frozen=True, slots=True)
class Metrics:
    """Show figures by day."""

    profile: Path
    days: int
    as_json: bool


ExitCommand = Flights | PortfolioStop

OutwardCommand = Export | Metrics
"""What tells others of the book."""

DataCommand = Backup | Restore | Doctor | RotateKeys | Tidy

AccountCommand = AccountList | Disconnect | Pause

InstrumentCommand = InstrumentSync | InstrumentStats

QuoteCommand = QuoteChange | QuoteKey | QuoteAsk

DeskCommand = (
    Connect | Sync | InstrumentCommand | AccountCommand | QuoteCommand | Flatten | ExitCommand | OutwardCommand
)
"""What a desk does, here or in the workstation that runs."""

Command = Workstation | Guard | Simulate | DataCommand | DeskCommand
