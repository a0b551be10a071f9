"""Accounts whose day is over, read by the token that outlives it: the sync goes on until the next login.

Nothing is ordered, streamed or armed by such a token; the account stays expired, and its login is asked for as ever.
Loop thread only.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from app.brokers.base import BrokerFactory, BrokerSession, Credentials, Session
from app.domain.account import Endpoints
from app.domain.ids import AccountId, Nanos

log = logging.getLogger(__name__)


class Readers:
    """One reading session an account, at most."""

    def __init__(self) -> None:
        self._open: dict[AccountId, BrokerSession] = {}

    def get(self, account: AccountId) -> BrokerSession | None:
        """Who reads for an account now."""
        return self._open.get(account)

    def begin(
        self, session: Session, factory: BrokerFactory, credentials: Credentials, endpoints: Endpoints, now: Nanos
    ) -> None:
        """Takes over a session that died, when it left a reading token that lives. Nothing is asked of the broker."""
        token, end = session.read_token, session.read_token_expires_at
        if token is None or end is None or end <= now or session.account in self._open:
            return
        reading = replace(session, access_token=token, expires_at=end, read_token=None, scopes=("read",))
        self._open[session.account] = factory.session(reading, credentials, endpoints)
        log.info("%s is read by its long-lived token until the next login", session.account)

    async def end(self, account: AccountId) -> bool:
        """A login came, or the token is refused. False: nobody read."""
        reader = self._open.pop(account, None)
        if reader is None:
            return False
        await reader.close()
        return True

    async def close(self) -> None:
        """All of them."""
        for account in list(self._open):
            await self.end(account)
