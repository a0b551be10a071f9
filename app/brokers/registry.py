"""Which brokers there are: name to factory. Only the composition root reads it."""

from __future__ import annotations

from urllib.parse import urlsplit

from app.brokers.base import CONTRACT, BrokerFactory, BrokerSession, Credentials, ExchangeClockReading, Login, Session
from app.brokers.info import shipped_info
from app.brokers.zerodha.adapter import ZerodhaSession
from app.brokers.zerodha.auth import ZerodhaLogin
from app.brokers.zerodha.rest import Limits, ZerodhaRest
from app.domain.account import Endpoints
from app.domain.broker import BrokerInfo
from app.domain.errors import Denied
from app.domain.ids import AccountId
from app.runtime.helper import Helper

ZERODHA = shipped_info("zerodha")


class ZerodhaFactory:
    """Builds Zerodha's parts. `helper` takes what would hold the interpreter lock."""

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

        return ZerodhaLogin(account, credentials, endpoints, read_clock, self._helper)

    def session(self, session: Session, credentials: Credentials, endpoints: Endpoints) -> BrokerSession:
        """For one that is."""
        check_endpoints(self.info, endpoints)
        limits = self._limits.setdefault(credentials.api_key, Limits())
        return ZerodhaSession(session, credentials, endpoints, self._helper, limits)


def check_endpoints(info: BrokerInfo, endpoints: Endpoints) -> None:
    """Live secrets never go to an overridden address off this machine (J1). Raises Denied.

    All three addresses are the broker's own, or all three are on loopback; a mixture would send a session of one
    world to the other.
    """
    official = info.endpoints
    pairs = (
        (endpoints.api_url, official.api_url),
        (endpoints.login_url, official.login_url),
        (endpoints.ws_url, official.ws_url),
    )
    ours = all(urlsplit(given)[:2] == urlsplit(theirs)[:2] for given, theirs in pairs)
    if not (ours or endpoints.paper):
        raise Denied(
            f"These addresses are neither {info.title}'s nor all on this machine.",
            "Use the broker's own addresses, or a paper exchange on 127.0.0.1.",
            detail=", ".join(urlsplit(given).netloc for given, _ in pairs),
        )


class Registry:
    """The brokers of this program."""

    def __init__(self, helper: Helper | None = None) -> None:
        zerodha: BrokerFactory = ZerodhaFactory(helper)
        self._factories = {zerodha.info.name: zerodha}

    def available(self) -> tuple[BrokerInfo, ...]:
        """What can be connected, by name."""
        return tuple(self._factories[name].info for name in sorted(self._factories))

    def factory(self, name: str) -> BrokerFactory:
        """The parts of one broker. Raises Denied for an unknown name."""
        try:
            return self._factories[name]
        except KeyError:
            raise Denied(f"There is no broker called {name}.", f"Known: {', '.join(self._factories)}.") from None
