"""Every failure that has a cause and a next step for the trader.

    AppError
      Denied             ours, before sending: limits, market closed, quantity off the lot
        NeverArrived     sent, and proven absent from the order book
        NotYet           in a moment it can be done
      BrokerError        the broker's side
        Rejected         refused, and proved so
          AuthorisationNeeded  holdings must be released at the depository first; `url` asks for it
        SessionExpired   log in again
        NotPermitted     the key or the address may not do this
          AddressRefused   orders are not taken from this internet address (registered IP)
          PlanRefused      the key's plan has no such data
        RateLimited      too many requests; `retry_after` seconds
        Unreachable      nothing was sent, or nothing came back of a read
          StreamsFull      the broker takes no further stream of this user
        OutcomeUnknown   a placement was sent and not answered: look it up by its tag, never send again blindly
        BadAnswer        an answer that cannot be read
        BrokerPaused     not asked: it failed again and again, and is left alone for a moment
      StorageError
        WrongKey         the passphrase or key does not open it
        Damaged          the file is not what it should be; set aside
        DiskFull
      VaultLocked        unlock first
      NotAnswering       the workstation on the profile hangs, or is just ending
      WrongPassphrase
      LoginFailed        the broker's login did not end in a session
      Cancelled          the user changed their mind: never shown

Anything else is a bug. A view shows `cause` and `next_step`; the log keeps the rest. Text from outside goes into
`detail`, is plain text, shortened and stripped of control characters.
"""

from __future__ import annotations


def printable(text: str, limit: int = 300) -> str:
    """Text from outside made safe to show: one line, no control characters, at most `limit` characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


class AppError(Exception):
    """A failure with words for the trader: what happened (`cause`) and what to do (`next_step`)."""

    default_next_step = ""

    def __init__(self, cause: str, next_step: str = "", *, detail: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.next_step = next_step or self.default_next_step
        self.detail = printable(detail)

    def __str__(self) -> str:
        quoted = f' "{self.detail}"' if self.detail else ""
        step = f" {self.next_step}" if self.next_step else ""
        return f"{self.cause}{quoted}{step}"


class Denied(AppError):
    """Refused by us; nothing was sent."""


class NeverArrived(Denied):
    """Sent, not answered, and proven absent from the order book: nothing was traded."""


class NotYet(Denied):
    """What it needs is being made ready: the same is asked again a moment later."""


class BrokerError(AppError):
    """Something on the broker's side."""


class Rejected(BrokerError):
    """The broker refused, and said so. `kind` is the broker's error type."""

    def __init__(self, cause: str, next_step: str = "", *, detail: str = "", kind: str = "") -> None:
        super().__init__(cause, next_step, detail=detail)
        self.kind = kind


class AuthorisationNeeded(Rejected):
    """Holdings are not released for sale at the depository. Nothing was placed."""

    default_next_step = "Authorise the sale at the depository (TPIN), then send the order again."

    def __init__(self, cause: str, next_step: str = "", *, detail: str = "", kind: str = "", url: str = "") -> None:
        super().__init__(cause, next_step, detail=detail, kind=kind)
        self.url = url
        """The page that asks for it; empty when the broker did not give one."""


class SessionExpired(BrokerError):
    """The access token is dead."""

    default_next_step = "Log in again; nothing is lost, and stops are blind until then."


class NotPermitted(BrokerError):
    """The key, plan or address may not do this. Logging in again does not help."""


class AddressRefused(NotPermitted):
    """Orders are not taken from this internet address. The session lives; reads and prices go on."""

    default_next_step = "Register the address in the broker's developer console (IP whitelist)."

    def __init__(self, cause: str, next_step: str = "", *, detail: str = "", address: str = "") -> None:
        super().__init__(cause, next_step, detail=detail)
        self.address = address
        """Ours, as the broker saw it; empty when it did not say."""


class PlanRefused(NotPermitted):
    """The key's plan does not include this. The session lives."""


class RateLimited(BrokerError):
    """Too many requests."""

    def __init__(self, cause: str, next_step: str = "", *, detail: str = "", retry_after: float = 60.0) -> None:
        super().__init__(cause, next_step, detail=detail)
        self.retry_after = retry_after
        """Seconds to wait."""


class Unreachable(BrokerError):
    """No answer to a read, or a placement that provably never left."""

    default_next_step = "Check the connection; Stopline keeps trying."

    def __init__(
        self,
        cause: str,
        next_step: str = "",
        *,
        detail: str = "",
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(cause, next_step, detail=detail)
        self.status = status
        """The broker's HTTP status when it answered that it cannot; None: the network gave no answer."""
        self.retry_after = retry_after
        """Seconds that the broker asked to wait; None when it did not say."""


class StreamsFull(Unreachable):
    """The broker takes no further stream of this user: it counts those that stand, for a while also one that died."""


class OutcomeUnknown(BrokerError):
    """A placement was sent and not answered. The order may or may not exist."""

    default_next_step = "Stopline is looking it up in the order book; do not send it again."


class BadAnswer(BrokerError):
    """An answer that is not what the broker documents."""


class BrokerPaused(BrokerError):
    """Not asked: the broker failed again and again. `seconds` until it is tried again. Never of an exit or look-up."""

    default_next_step = "Nothing to do; Stopline tries again by itself."

    def __init__(self, cause: str, next_step: str = "", *, detail: str = "", seconds: float = 0.0) -> None:
        super().__init__(cause, next_step, detail=detail)
        self.seconds = seconds


class StorageError(AppError):
    """Something with the files of the profile."""


class WrongKey(StorageError):
    """The key does not open this file."""


class Damaged(StorageError):
    """The file is not a database, or not one of ours. It is set aside, never overwritten."""


class DiskFull(StorageError):
    """No space to write."""

    default_next_step = "Free some space; nothing that was saved is lost."


class VaultLocked(AppError):
    """Secrets are sealed."""

    default_next_step = "Unlock the profile first."


class NotAnswering(AppError):
    """Nobody listens on the profile's socket, or not in time."""


class WrongPassphrase(AppError):
    """The passphrase does not open the vault."""

    default_next_step = "Check caps lock and keyboard layout, then try again."


class LoginFailed(AppError):
    """The broker's login did not end in a session."""


class Cancelled(AppError):
    """The user changed their mind. Never shown."""
