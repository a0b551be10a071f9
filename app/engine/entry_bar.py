"""Why no position may be opened or enlarged now. Each reason stands for itself: one that ends lifts no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum

from app.domain.errors import Denied
from app.domain.ids import OrderId
from app.domain.order import FINAL, OrderRequest, OrderStatus
from app.domain.portfolio import PositionKey
from app.domain.stop import stop_of_tag
from app.engine.account import AccountState
from app.engine.exit_plan import remaining
from app.engine.placing import unanswered

_IDLE = FINAL | {OrderStatus.TRIGGER_PENDING}
"""Orders that fill nothing by themselves now."""


class NoEntries(Enum):
    """A reason, in words, with what ends it; the first that stands is told."""

    FLATTENING = ("Everything is being flattened.", "Wait until that has ended.")
    PAUSED = ("The account is paused.", "Resume it first.")


class EntryBar:
    """One account's. Exits never ask."""

    def __init__(self, state: AccountState) -> None:
        self._state = state
        self._reasons: set[NoEntries] = set()
        self._flattened = 0
        """How often everything was, or is being."""

    @property
    def why(self) -> NoEntries | None:
        """The most important reason; None: entries are let through."""
        return next((reason for reason in NoEntries if reason in self._reasons), None)

    def stands(self, reason: NoEntries) -> bool:
        """Whether it is one of them."""
        return reason in self._reasons

    def set(self, reason: NoEntries, stands: bool) -> None:
        """A reason begins, or ends."""
        (self._reasons.add if stands else self._reasons.discard)(reason)
        self._flattened += stands and reason is NoEntries.FLATTENING

    def admission(
        self, request: OrderRequest, gate: Callable[[OrderRequest], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        """Asked at each step of an order's way, which may take a while: raises Denied where it may not be entered now,
        and where everything was flattened since this was made. `gate`: who else is asked."""
        since = self._flattened

        async def admit() -> None:
            if self._flattened != since:
                raise Denied("Everything was flattened before this order left.", "Send it again if you still want it.")
            self.deny(request)
            await gate(request)

        return admit

    def deny(self, request: OrderRequest) -> None:
        """Raises Denied, but for what makes a known position smaller."""
        if self.why is not None and not closes(self._state, request):
            cause, step = self.why.value
            raise Denied(f"{cause} Only orders that make a position smaller are taken.", step)


def closes(state: AccountState, request: OrderRequest) -> bool:
    """Whether an order makes a known position smaller, together with those by hand that work on the same side, or may:
    two that close it each would turn it round. One that waits for its trigger fills nothing now, and protects."""
    reading, key = state.reading, PositionKey(request.account, request.instrument, request.product)
    held = 0 if reading is None else reading.quantity(key)
    may = unanswered(state, {OrderId(request.tag or "")})
    unlisted = [one for one in may if PositionKey(one.account, one.instrument, one.product) == key]
    beside = sum(
        remaining(order)
        for order in (*state.orders.of(key), *unlisted)
        if order.side is request.side and order.status not in _IDLE and stop_of_tag(order.tag) is None
    )
    beside = beside if request.trigger_price is None else 0
    return held * request.side.sign < 0 and request.quantity + beside <= abs(held)
