"""How far each account's clock is from this computer's: a paper account's is its exchange's. GUI thread."""

from __future__ import annotations

from app.domain.events import EngineBeat
from app.domain.ids import AccountId, Nanos
from app.ui.bridge import Bridge

SAME = 60_000_000_000
"""Clocks that differ by less show the same hour to a trader."""


class Clocks:
    """As the engine's beat tells them, once a second."""

    def __init__(self, bridge: Bridge) -> None:
        self._ahead: dict[AccountId, Nanos] = {}
        bridge.subscribe(EngineBeat, self._on_beat)

    def ahead(self, account: AccountId | None) -> Nanos:
        """Of an account's clock, 0 where it shows what this computer shows. None: of all accounts, where they agree."""
        if account is not None:
            return self._ahead.get(account, 0)
        found = list(self._ahead.values())
        return found[0] if found and max(found) - min(found) < SAME else 0

    def _on_beat(self, event: EngineBeat) -> None:
        told = {account: shown - event.at for account, shown in event.clocks}
        self._ahead = {account: ahead if abs(ahead) >= SAME else 0 for account, ahead in told.items()}
