"""Builds Upstox's parts. Only the registry names it."""

from __future__ import annotations

from collections.abc import Iterable

from app.brokers.base import CONTRACT, BrokerSession, Credentials, Login, Session
from app.brokers.configuration import check_endpoints
from app.brokers.info import shipped_info
from app.brokers.upstox.adapter import UpstoxSession
from app.brokers.upstox.auth import UpstoxLogin
from app.brokers.upstox.keys import Directory
from app.brokers.upstox.rest import Limits
from app.domain.account import Endpoints
from app.domain.ids import AccountId
from app.domain.instrument import Instrument
from app.runtime.helper import Helper

UPSTOX = shipped_info("upstox")


class UpstoxFactory:
    """`helper` takes what would hold the interpreter lock. All sessions of one exchange share the list of contracts."""

    contract = CONTRACT
    info = UPSTOX

    def __init__(self, helper: Helper | None = None) -> None:
        self._helper = helper
        self._real, self._paper = Directory(), Directory()
        """A paper exchange numbers its contracts in its own way: its key may be another contract's at the real one."""
        self._limits: dict[str, Limits] = {}

    def learn(self, instruments: Iterable[Instrument], *, paper: bool) -> None:
        """The stored list, a part at a time: orders and rows go by keys that only a list tells."""
        (self._paper if paper else self._real).learn(instruments)

    def login(self, account: AccountId, credentials: Credentials, endpoints: Endpoints) -> Login:
        """For an account that is not logged in."""
        check_endpoints(self.info, endpoints)
        return UpstoxLogin(account, credentials, endpoints)

    def session(self, session: Session, credentials: Credentials, endpoints: Endpoints) -> BrokerSession:
        """For one that is."""
        check_endpoints(self.info, endpoints)
        limits = self._limits.setdefault(credentials.api_key, Limits())
        directory = self._paper if endpoints.paper else self._real
        return UpstoxSession(session, endpoints, directory, self._helper, limits)
