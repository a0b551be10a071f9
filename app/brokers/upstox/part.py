"""What all parts of an Upstox account share. Loop thread."""

from __future__ import annotations

from app.brokers.base import Session
from app.brokers.upstox.auth import only_reads
from app.brokers.upstox.keys import Directory
from app.brokers.upstox.rest import UpstoxRest
from app.domain.errors import Denied
from app.domain.ids import AccountId, InstrumentId


class UpstoxPart:
    """A session's token, connections and contracts."""

    def __init__(self, session: Session, rest: UpstoxRest, directory: Directory) -> None:
        self._session = session
        self._rest = rest
        self._directory = directory

    @property
    def _account(self) -> AccountId:
        return self._session.account

    def _deny_reading(self) -> None:
        """An extended or analytics token takes no orders. Raises Denied, before anything is sent."""
        if only_reads(self._session):
            raise Denied("This token only reads.", "Log in for the day to trade.")

    def _key(self, instrument: InstrumentId) -> str:
        """The broker's name of a contract. Raises Denied."""
        return self._directory.instrument(instrument).key
