"""The tokens of a session as one sealed document: what is renewed, sealed and wiped together is kept together."""

from __future__ import annotations

import msgspec

from app.brokers.base import Session
from app.domain.errors import Damaged
from app.domain.ids import Nanos
from app.runtime.secret import Secret


class Tokens(msgspec.Struct, frozen=True, omit_defaults=True):
    """Plain for the moment between two secrets; never kept, never logged."""

    access: str
    refresh: str = ""
    read: str = ""
    read_expires_at: Nanos | None = None
    scopes: tuple[str, ...] = ()
    """What the token may do; not secret, but nobody else keeps it."""

    def __repr__(self) -> str:
        return "Tokens(***)"


def pack(session: Session) -> Secret:
    """Everything secret of a session, to be sealed for its account."""
    return Secret(
        msgspec.json.encode(
            Tokens(
                session.access_token.reveal(),
                session.refresh_token.reveal() if session.refresh_token is not None else "",
                session.read_token.reveal() if session.read_token is not None else "",
                session.read_token_expires_at,
                session.scopes,
            )
        ).decode()
    )


def unpack(sealed: Secret) -> Tokens:
    """What `pack` made. Raises Damaged."""
    try:
        return msgspec.json.decode(sealed.reveal(), type=Tokens)
    except msgspec.DecodeError:
        # Its words would quote the secret.
        raise Damaged("The account's stored session cannot be read.", "Log in again.") from None


def secrets_of(session: Session) -> tuple[Secret, ...]:
    """What must never appear in a log."""
    return tuple(s for s in (session.access_token, session.refresh_token, session.read_token) if s is not None)
