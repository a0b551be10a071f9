"""What each look at the program's health means, in words: facts in, findings out. Pure; who gathers the facts is
`desk.doctor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from app.domain.broker import BrokerListing, ProviderProblem
from app.domain.calendar import Calendar, DayKind
from app.domain.events import FeedState, SessionState
from app.domain.flight import Latency
from app.domain.health import Finding, HealthState, Remedy
from app.domain.ids import AccountId, Nanos
from app.runtime.priority import Precedence

MEGABYTE = 1_000_000
LEAST_FREE = 200 * MEGABYTE
"""Below it a day's trading may fill the disk."""
FREE_ENOUGH = 2_000 * MEGABYTE
COPIES = 3
"""A backup needs the room of the databases once to write, once to read back; a change of keys once."""
CLOCK_WARNING = 2.0
"""Seconds. Brokers tell their time to the second."""
CLOCK_FAILED = 30.0
OLD_INSTRUMENTS_DAYS = 4
"""A long weekend."""
CALENDAR_SOON_DAYS = 30
_DAY: Nanos = 86_400_000_000_000


def fine(name: str, words: str) -> Finding:
    """All is well."""
    return Finding(name, HealthState.OK, words)


def warning(name: str, words: str, next_step: str, remedy: Remedy = Remedy.NONE, about: str = "") -> Finding:
    """It works, and should be seen to."""
    return Finding(name, HealthState.WARNING, words, next_step, remedy, about)


def failure(name: str, words: str, next_step: str, remedy: Remedy = Remedy.NONE, about: str = "") -> Finding:
    """It does not work."""
    return Finding(name, HealthState.FAILED, words, next_step, remedy, about)


def brokers(listings: Sequence[BrokerListing], problems: Sequence[ProviderProblem]) -> list[Finding]:
    """What can be connected, and third parties' providers that cannot."""
    named = [listing.info.title + (f" ({listing.package})" if listing.package else "") for listing in listings]
    return [
        fine("brokers", ", ".join(named)),
        *(
            warning(
                f"provider {problem.provider}", f"{problem.package} is left out: {problem.cause}", problem.next_step
            )
            for problem in problems
        ),
    ]


def store(name: str, size: int, damage: str) -> Finding:
    """One database, after every page was read."""
    if damage:
        return failure(f"store {name}", damage, "Restore a backup: `restore FILE`, or the Data page.")
    return fine(f"store {name}", f"every page is sound, {_bytes(size)}")


def audit(lines: int, head: str, broken: Sequence[str]) -> Finding:
    """The audit trail, after every seal was followed. `head` is the last one."""
    if broken:
        return failure(
            "audit trail",
            f"it is not what was written: {'; '.join(broken)}",
            "Keep this profile as it is, and compare it with a backup: somebody edited it beside Stopline.",
        )
    return fine("audit trail", f"{lines:,} lines, unbroken; the last seal is {head[:16]}")


def vault(
    *, damaged: bool, keyring_available: bool, with_keyring: bool, with_passphrase: bool, recovery_key: bool
) -> list[Finding]:
    """The vault, the keyring and the recovery key."""
    if damaged:
        return [failure("vault", "vault.json is damaged.", "Put back a good copy of it, or restore a backup.")]
    ways = [way for way, there in (("the keyring", with_keyring), ("a passphrase", with_passphrase)) if there]
    found = []
    if ways:
        found.append(fine("vault", f"opens with {' and with '.join(ways)}"))
    else:
        found.append(failure("vault", "Nothing that is here opens it.", "Unlock the keyring of this user."))
    if keyring_available:
        found.append(fine("keyring", "answers"))
    elif with_passphrase:
        found.append(fine("keyring", "none on this machine; the passphrase is asked for"))
    else:
        found.append(failure("keyring", "It does not answer, and the vault has no passphrase.", "Unlock the keyring."))
    if recovery_key:
        found.append(fine("recovery key", "there is one"))
    else:
        found.append(
            warning("recovery key", "none was made", "Make one on the Data page: a lost passphrase loses everything.")
        )
    return found


def backup(newest_at: Nanos | None, now: Nanos, every_hours: int) -> Finding:
    """How old the newest backup is. `every_hours` 0: only by hand."""
    if newest_at is None:
        return warning("backup", "there is none", "Make one: `backup`, or the Data page.", Remedy.BACK_UP)
    hours = max(0, now - newest_at) // (_DAY // 24)
    limit = max(48, 2 * every_hours) if every_hours else 24 * 14
    words = f"the newest is {hours} hours old" if hours < 72 else f"the newest is {hours // 24} days old"
    return warning("backup", words, "Make one now.", Remedy.BACK_UP) if hours > limit else fine("backup", words)


def disk(free: int, databases: int) -> Finding:
    """Room where the profile is. All in bytes."""
    words = f"{_bytes(free)} free, the databases hold {_bytes(databases)}"
    if free < LEAST_FREE:
        return failure("disk", words, "Free some space now: orders and stops are written down before they are sent.")
    if free < max(FREE_ENOUGH, COPIES * databases):
        return warning("disk", words, "Free some space: backups and a change of keys need room for copies.")
    return fine("disk", words)


def precedence(engine: Precedence) -> Finding:
    """Where the engine's thread stands on a busy machine. Works in any case, so none of them is a warning."""
    words = {
        Precedence.REAL_TIME: "before every other program (real time)",
        Precedence.RAISED: "before ordinary programs",
        Precedence.ORDINARY: "among all others: on a busy machine an exit may leave some milliseconds later. On Linux"
        " the lines `USER - rtprio 1` and `USER - nice -10` in /etc/security/limits.conf let it go first",
    }
    return fine("engine's place", words[engine])


def clock(broker: str, seconds_ahead: float | None, cause: str = "") -> Finding:
    """The machine's clock against a broker's."""
    name = f"clock against {broker}"
    if seconds_ahead is None:
        return warning(name, f"could not be compared: {cause}", "Check the connection.")
    off = abs(seconds_ahead)
    words = f"{off:.1f} s {'ahead' if seconds_ahead > 0 else 'behind'}"
    if off >= CLOCK_FAILED:
        return failure(name, words, "Set the clock of this machine: times of fills and sessions would be wrong.")
    if off >= CLOCK_WARNING:
        return warning(name, words, "Let this machine keep its time by the network.")
    return fine(name, words)


def session(account: AccountId, state: SessionState, cause: str, stops: int) -> Finding:
    """Whether an account is logged in, and how many open stops hang on it."""
    name = f"session {account}"
    if state is SessionState.ACTIVE:
        return fine(name, "logged in")
    if state is SessionState.PAUSED:
        return warning(name, "paused: no sync by itself, no new order", "Resume it in the Accounts menu.")
    words = f"{state}: {cause.rstrip('.')}" if cause else str(state)
    if stops:
        return failure(
            name,
            f"{words}; {'1 stop is' if stops == 1 else f'{stops} stops are'} blind",
            "Log in again.",
            Remedy.LOG_IN,
            account,
        )
    if state is SessionState.ERROR:
        return warning(name, f"{words}.", "", Remedy.LOG_IN, account)  # what to do stands with the cause
    return warning(name, words, "Log in again before you trade.", Remedy.LOG_IN, account)


def addresses(account: AccountId, registered: Sequence[str] | None) -> Finding:
    """From where the broker takes orders (static addresses, since 2026). None: it does not tell."""
    name = f"registered address {account}"
    if registered is None:
        return fine(name, "the broker does not tell; an order from elsewhere is refused, and said to be")
    if not registered:
        return failure(name, "none is registered: orders are refused", "Register this machine's at the broker's site.")
    return fine(name, f"orders are taken from {', '.join(registered)}")


def kill_switches(account: AccountId, pulled: Sequence[str]) -> Finding:
    """Whether the client has switched off trading at the broker itself: then no exit leaves either."""
    name = f"kill switch {account}"
    if not pulled:
        return fine(name, "no segment is switched off at the broker")
    words = f"{', '.join(pulled)} switched off at the broker: no order is taken there, no exit of a stop either"
    return failure(name, words, "Release it at the broker's site, where it has cooled.")


def latency(told: Latency) -> Finding:
    """How fast exits left, and were answered. Slow ones are named with their cause in their recordings."""
    name = f"exits of {told.broker}"
    words = (
        f"{told.exits} recorded: half left in {told.engine_p50 / 1000:.2f} ms, 99 of 100 in "
        f"{told.engine_p99 / 1000:.2f} ms, the slowest in {told.engine_worst / 1000:.2f} ms"
    )
    if told.answer_p50 is not None and told.answer_p99 is not None:
        words += f"; answered in {told.answer_p50 / 1000:.0f} ms, 99 of 100 in {told.answer_p99 / 1000:.0f} ms"
    if not told.slow:
        return fine(name, words)
    step = "The flight recorder names the cause of each."
    return warning(name, f"{words}; {told.slow} took longer than 5 ms", step)


def reachable(broker: str, milliseconds: float | None, cause: str = "", *, paper: bool = False) -> Finding:
    """Whether a broker's address answers."""
    if milliseconds is None and paper:
        return warning(f"broker {broker}", "the paper exchange is not running", "Start Stopline with --paper.")
    if milliseconds is None:
        return failure(f"broker {broker}", f"does not answer: {cause}", "Check the connection and the broker's status.")
    return fine(f"broker {broker}", f"answers in {milliseconds:.0f} ms")


def _armed(blind: int) -> str:
    return "1 armed stop gets" if blind == 1 else f"{blind} armed stops get"


def feed(account: AccountId, state: FeedState, blind: int, *, guarding: bool, logged_in: bool = True) -> Finding:
    """Whether prices arrive. `guarding` False: a command runs none. `logged_in` False: the session is dead, and a feed
    that was refused for that is no question of the broker's data plan."""
    name = f"feed {account}"
    if not guarding:
        return fine(name, "runs in the workstation only")
    if state is FeedState.REFUSED and not logged_in:
        words = "no prices without a session" + (f"; {_armed(blind)} none" if blind else "")
        return (failure if blind else warning)(name, words, "It comes back with the login.")
    if state is FeedState.REFUSED:
        words = "the broker gives this key no prices" + (f"; {_armed(blind)} none" if blind else "")
        step = "Orders go on, local stops do not. Take the broker's data plan, then reconnect."
        return (failure if blind else warning)(name, words, step, Remedy.RECONNECT, account)
    if blind:
        words = f"{state}; {_armed(blind)} no prices"
        return failure(name, words, "Check the connection, log in again.", Remedy.RECONNECT, account)
    if state in (FeedState.LIVE, FeedState.OFF):
        return fine(name, str(state))
    if state is FeedState.CLOSED:
        return fine(name, "connected; no market trades now")
    return warning(name, str(state), "Wait a moment; Stopline keeps connecting.", Remedy.RECONNECT, account)


def instruments(
    title: str, name_of_list: str, active: int, read_at: Nanos | None, now: Nanos, *, sample: bool = False
) -> Finding:
    """How many contracts are known of a broker, and from when. `title`: what the trader calls the list. `sample`: no
    source of the broker's served, and what is stored came with the program."""
    name = f"instruments {title}"
    if not active:
        step = "Bring them in: `instruments sync`, or log in."
        return warning(name, "none are stored", step, Remedy.IMPORT_INSTRUMENTS, name_of_list)
    if sample:
        words = f"{active:,} active, of the sample that ships with the program"
        return warning(name, words, "Bring in the broker's own list.", Remedy.IMPORT_INSTRUMENTS, name_of_list)
    if read_at is None:
        return fine(name, f"{active:,} active")
    days = max(0, now - read_at) // _DAY
    read = "today" if not days else "yesterday" if days == 1 else f"{days} days ago"
    words = f"{active:,} active, read {read}"
    if days > OLD_INSTRUMENTS_DAYS:
        step = "Bring them in again: new contracts are missing."
        return warning(name, words, step, Remedy.IMPORT_INSTRUMENTS, name_of_list)
    return fine(name, words)


def calendar(known: Calendar, today: date) -> Finding:
    """How far the published list of trading days reaches."""
    if known.day_kind(today) is DayKind.UNKNOWN:
        return failure("calendar", f"no list covers {today}", "Update Stopline, or refresh the calendar with a sync.")
    days = next((n for n in range(1, 400) if known.day_kind(today + timedelta(days=n)) is DayKind.UNKNOWN), None)
    if days is None:
        return fine("calendar", "covers more than a year")
    until = today + timedelta(days=days - 1)
    if days <= CALENDAR_SOON_DAYS:
        return warning("calendar", f"ends on {until}", "The exchange publishes the next year's list in December.")
    return fine("calendar", f"covers until {until}")


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
