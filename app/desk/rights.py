"""What a key may do: live prices or not, and whether an access token that was typed in is one. Loop thread only.

A broker answers a key without data rights on the price stream as it answers a dead token. Which of the two it is says a
read: it works with a living session (A4).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from app.brokers.base import BrokerFactory, BrokerSession, Credentials, Session
from app.brokers.parts import TokenLogin
from app.domain.account import Endpoints
from app.domain.broker import AuthKind, BrokerInfo, Support
from app.domain.errors import AppError, Denied, NotPermitted, SessionExpired
from app.domain.events import Event, Level, Noticed
from app.domain.ids import AccountId, InstrumentId
from app.runtime.secret import Secret

PROBE = InstrumentId("NSE:NIFTY 50")
"""Its price is asked for to see whether the key gives prices; that it is known does not matter."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Proof:
    """What real calls said of keys and token that a trader typed in."""

    session: Session
    no_prices: str = ""
    """Why the key gives no prices; empty when it does."""


class DataRights:
    """Whether an account's key gives live prices."""

    def __init__(self, account: AccountId, publish: Callable[[Event], None]) -> None:
        self._account = account
        self._publish = publish
        self.refused = ""
        """Why not, in the broker's words; empty while nothing speaks against it."""

    def begin(self, info: BrokerInfo) -> bool:
        """A session is there. Returns whether the broker has a price stream at all."""
        streams = info.capabilities.streaming is not Support.NO
        self.refused = "" if streams else f"{info.title} streams no prices."
        return streams

    def given(self) -> None:
        """Its price stream stands."""
        self.refused = ""

    def deny(self) -> None:
        """Raises Denied where no stop can be armed, because no price would ever reach it."""
        if self.refused:
            raise Denied(
                "This account gives no live prices, so no stop of ours can watch them.",
                "Use a key with data rights, or an order that rests at the broker.",
                detail=self.refused,
            )

    def tell(self, why: str) -> None:
        """The key gives none."""
        self.refused = why
        self._publish(
            Noticed(
                Level.WARNING,
                "This key gives no live prices",
                why,
                "Local stops cannot be armed on this account; orders, positions and sync go on.",
                self._account,
                f"rights:{self._account}",
            )
        )

    async def judge(self, broker: BrokerSession, cause: SessionExpired, dead: Callable[[SessionExpired], None]) -> None:
        """The price stream refused us: because the session is dead, or because the key has no right to it."""
        try:
            await broker.profile()
        except SessionExpired:
            dead(cause)
        except AppError as failure:
            log.info("why the feed of %s was refused is not known: %s", self._account, failure.cause)
            dead(cause)
        else:
            self.tell(await no_prices(broker) or "The broker refused its price stream to this key.")


async def no_prices(broker: BrokerSession) -> str:
    """Why the key gives no prices; empty when it does, or when that cannot be told now."""
    try:
        await broker.last_prices([PROBE])
    except NotPermitted as refused:
        return str(refused)
    except AppError as failure:
        log.info("whether there are prices is not known: %s", failure.cause)
    return ""


async def prove(
    factory: BrokerFactory, account: AccountId, credentials: Credentials, endpoints: Endpoints, token: Secret
) -> Proof:
    """A session by what was typed in, proved with real calls; nothing is stored.

    Raises LoginFailed and NotPermitted in words, Unreachable, and Denied where the broker takes no token by hand.
    """
    login = factory.login(account, credentials, endpoints)
    if isinstance(login, TokenLogin):
        session = await login.adopt(token)
    elif factory.info.auth in (AuthKind.KEYS, AuthKind.HAND_MADE):
        session = await login.exchange(token.reveal())
    else:
        raise Denied(f"{factory.info.title} takes no access token by hand.", "Leave it out and log in on the page.")
    broker = factory.session(session, credentials, endpoints)
    try:
        return Proof(session, await no_prices(broker))
    finally:
        await broker.close()
