"""What a follower knows of its position: the last reading, since when the readings agree, and whether it is older than
the last fill that was heard of. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable

from app.domain.ids import BrokerOrderId
from app.domain.order import Order, Side
from app.domain.portfolio import PositionKey
from app.engine.account import PositionReading
from app.engine.reads import Haste

RECENT_SECONDS = 0.5
"""Less than what must pass until two readings that agree are believed."""


class SeenPosition:
    """Of one fired stop. Loop thread only."""

    def __init__(self, key: PositionKey, exit_side: Side, now: Callable[[], float]) -> None:
        self._key = key
        self._closed_sign = exit_side.sign
        """Of a position that the exit has turned round."""
        self._now = now
        self.quantity: int | None = None
        """Signed units by the last reading; None: it could not be read."""
        self._said: int | None = None  # by the last reading that could be read
        self._since = 0.0
        self.read_at = 0.0
        """When the read began that the quantity is from."""
        self.traded_at = 0.0
        """When news of orders last changed what ours have filled, or ended one, or anybody's filled here."""
        self._ours_at = 0.0
        """The same of ours alone."""
        self._turned_since: float | None = None
        self._told: dict[BrokerOrderId, tuple[int, bool]] = {}
        """Of each order that was heard of: what it had filled, and whether it had ended."""

    def take(self, reading: PositionReading) -> None:
        """A reading of all positions."""
        if not reading.knows(self._key):
            self.quantity = None
            return
        quantity = reading.quantity(self._key)
        if quantity != self._said:
            self._said, self._since = quantity, self._now()
        self.quantity, self.read_at = quantity, reading.began
        if reading.began < self._ours_at:
            return  # our own fill may be on its way into it
        if quantity * self._closed_sign <= 0:
            self._turned_since = None
        elif self._turned_since is None:
            self._turned_since = self._now()

    def unread(self) -> None:
        """It could not be read."""
        self.quantity = None

    def heard(self, order: Order, *, ours: bool) -> None:
        """News of an order: what was read before is old where it tells of a fill or of an end. A list that repeats what
        the stream has told says nothing new."""
        number, news = order.broker_order_id, (order.filled_quantity, order.status.is_final)
        if self._told.get(number, (0, False)) == news:
            return
        self._told[number] = news
        self.traded_at = self._now()
        if ours:
            self._ours_at = self.traded_at

    @property
    def current(self) -> int | None:
        """As it is now. An answer that was on its way while a fill happened shows the position of before: acted upon,
        it sells twice."""
        return None if self.read_at < self.traded_at else self.quantity

    @property
    def recent(self) -> bool:
        """Somebody has just read it, after every fill that was heard of."""
        return self.current is not None and self._now() - self.read_at <= RECENT_SECONDS

    @property
    def age(self) -> float:
        """Seconds that the readings have said the same, without a fill."""
        return self._now() - max(self._since, self.traded_at)

    @property
    def turned(self) -> bool:
        """The last reading that knows our fills shows it turned round."""
        return self._turned_since is not None

    @property
    def turned_for(self) -> float:
        """Seconds that every reading has shown it turned round, since our own orders last filled. Others may go on
        trading meanwhile: it is turned round all the same."""
        if self._turned_since is None:
            return 0.0
        return self._now() - max(self._turned_since, self._ours_at)

    @property
    def settling(self) -> float:
        """Seconds that what is to be believed next has been seen."""
        return self.age if self._turned_since is None else self.turned_for

    def haste(self, *, live: bool, open_question: bool) -> Haste:
        """Of the next reading. Routine where the exit works in the market and all is as it should be: brokers count
        reads. `live`: an order of ours works; `open_question`: one may exist that is not seen."""
        if live:
            return Haste.SOON if open_question or self.turned else Haste.ROUTINE
        return Haste.URGENT if self.turned else Haste.SOON
