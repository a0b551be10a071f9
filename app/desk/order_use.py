"""How much of the brokers' limits is used up, looked at once a second and told when it changed. Loop thread only."""

from __future__ import annotations

from app.desk.account import AccountDesk
from app.desk.workspace import Workspace
from app.domain.ids import AccountId
from app.domain.order_use import LimitUse, OrderUseChanged


class OrderUseWatch:
    """Publishes `OrderUseChanged`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._told: dict[AccountId, OrderUseChanged] = {}

    def look(self) -> None:
        """Called with every beat."""
        for desk in self._workspace.accounts.values():
            use = order_use(desk)
            if use != self._told.get(desk.account):
                self._told[desk.account] = use
                self._workspace.publish(use)


def order_use(desk: AccountDesk) -> OrderUseChanged:
    """Of one account, now."""
    queue = desk.orders.wire.queue
    limits = [LimitUse(seconds, used, allowed) for seconds, (used, allowed) in sorted(queue.used().items())]
    return OrderUseChanged(desk.account, tuple(limits), len(queue))
