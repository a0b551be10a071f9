"""Builds Zerodha's parts. Only the registry names it."""

from __future__ import annotations

from collections.abc import Sequence

from app.brokers.base import CONTRACT, BrokerSession, Credentials, ExchangeClockReading, Login, Profile, Session
from app.brokers.configuration import check_endpoints
from app.brokers.info import shipped_info
from app.brokers.parts import PastFill
from app.brokers.zerodha.adapter import ZerodhaSession
from app.brokers.zerodha.auth import ZerodhaLogin
from app.brokers.zerodha.mapping import profile_from
from app.brokers.zerodha.rest import Limits, ZerodhaRest
from app.brokers.zerodha.tradebook import read_tradebook
from app.domain.account import Endpoints
from app.domain.ids import AccountId
from app.runtime.helper import Helper
from app.runtime.secret import Secret

ZERODHA = shipped_info("zerodha")


class ZerodhaFactory:
    """`helper` takes what would hold the interpreter lock."""

    contract = CONTRACT
    info = ZERODHA

    def __init__(self, helper: Helper | None = None) -> None:
        self._helper = helper
        self._limits: dict[str, Limits] = {}

    def login(self, account: AccountId, credentials: Credentials, endpoints: Endpoints) -> Login:
        """For an account that is not logged in."""
        check_endpoints(self.info, endpoints)

        async def read_clock() -> ExchangeClockReading:
            rest = ZerodhaRest(credentials, None, endpoints)
            try:
                return await rest.clock()
            finally:
                await rest.close()

        async def read_profile(token: Secret) -> Profile:
            rest = ZerodhaRest(credentials, token, endpoints)
            try:
                return profile_from(await rest.get("/user/profile"))
            finally:
                await rest.close()

        return ZerodhaLogin(account, credentials, endpoints, read_clock, read_profile, self._helper)

    def session(self, session: Session, credentials: Credentials, endpoints: Endpoints) -> BrokerSession:
        """For one that is."""
        check_endpoints(self.info, endpoints)
        limits = self._limits.setdefault(credentials.api_key, Limits())
        return ZerodhaSession(session, credentials, endpoints, self._helper, limits)

    def read_tradebook(self, text: str, account: AccountId) -> Sequence[PastFill]:
        """Console's tradebook file."""
        return read_tradebook(text, account)
