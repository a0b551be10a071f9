"""What a key may do: live prices or not, and whether an access token that was typed in is one. Loop thread only.

A broker answers a key without data rights on the price stream as it answers a dead token, and what stands before it (a
CDN on a bad day) may answer anybody so. Which of the three it is say reads: they work with a living session (A4), and
tell a price where the key has the right to it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
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
        self._stood = False
        """Of the present session: its price stream did, so the key has the right to it."""
        self._judged: BrokerSession | None = None
        """Who is being asked why the stream was refused."""

    def begin(self, info: BrokerInfo) -> bool:
        """A session is there. Returns whether the broker has a price stream at all."""
        self._stood = False
        streams = info.capabilities.streaming is not Support.NO
        self.refused = "" if streams else f"{info.title} streams no prices."
        return streams

    def given(self) -> None:
        """Its price stream stands."""
        self._stood, self.refused = True, ""

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

    async def judge(
        self,
        broker: BrokerSession,
        cause: SessionExpired,
        is_current: Callable[[], bool],
        dead: Callable[[SessionExpired], None],
        again: Callable[[], Awaitable[None]],
    ) -> None:
        """The price stream refused us: the session is `dead`, or the key has no right to it. Where neither is so, or
        nobody can tell, it is dialled `again`: stops wait for its prices. A late answer about a session that is not
        the account's any more says nothing."""
        if broker is self._judged:
            return  # of another connection: what is found holds for all
        self._judged = broker
        try:
            good = await self._is_good(broker)
        except SessionExpired:
            good = False
            if is_current():
                dead(cause)
        finally:
            self._judged = None if broker is self._judged else self._judged
        if good and is_current():
            await again()

    async def _is_good(self, broker: BrokerSession) -> bool:
        """As far as anybody can tell. Raises SessionExpired."""
        try:
            await broker.profile()
        except SessionExpired:
            raise
        except AppError as failure:
            log.info("why the feed of %s was refused is not known: %s", self._account, failure.cause)
            return True
        why = "" if self._stood else await no_prices(broker)
        if why:
            self.tell(why)
        return not why


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
