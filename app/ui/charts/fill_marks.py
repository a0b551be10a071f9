"""The fills on a chart: at once as an order's news has them, and as the book has them once it was synced. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from app.domain.fill import Trade
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos
from app.domain.order import Order
from app.ui.charts.overlays import FillMark


class FillMarks:
    """Of every instrument as told, of the shown one as booked. The book has the exact prices: its marks come first."""

    def __init__(self) -> None:
        self._told: dict[tuple[AccountId, BrokerOrderId], tuple[InstrumentId, FillMark]] = {}
        self._booked: tuple[FillMark, ...] = ()
        self._orders: frozenset[tuple[AccountId, BrokerOrderId | None]] = frozenset()
        self._until: dict[AccountId, Nanos] = {}
        """An account's newest fill in the book: whatever came before is in there too."""

    def told(self, order: Order) -> bool:
        """The broker's word on an order; True when it has filled."""
        if not order.filled_quantity or order.average_price is None or order.updated_at is None:
            return False
        mark = FillMark(order.updated_at, order.average_price, order.side)
        self._told[(order.account, order.broker_order_id)] = (order.instrument, mark)
        return True

    def booked(self, trades: Iterable[Trade]) -> None:
        """The book's trades in the shown instrument, in place of those before."""
        found: set[FillMark] = set()
        orders: set[tuple[AccountId, BrokerOrderId | None]] = set()
        self._until.clear()
        for trade in trades:
            found.add(FillMark(trade.opened_at, trade.entry_price, trade.side))
            orders |= {(trade.account, trade.entry_order), (trade.account, trade.exit_order)}
            last = trade.opened_at
            if trade.closed_at is not None and trade.exit_price is not None:
                found.add(FillMark(trade.closed_at, trade.exit_price, trade.side.opposite))
                last = trade.closed_at
            self._until[trade.account] = max(last, self._until.get(trade.account, 0))
        self._booked = tuple(sorted(found, key=lambda mark: mark.at))
        self._orders = frozenset(orders)

    def of(self, instrument: InstrumentId) -> tuple[FillMark, ...]:
        """What stands on its chart."""
        return self._booked + tuple(
            mark
            for (account, order), (traded, mark) in self._told.items()
            if traded == instrument and (account, order) not in self._orders and mark.at > self._until.get(account, 0)
        )
