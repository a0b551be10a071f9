"""What a stop can guard under a key: an open position, or the shares of a holding."""

from __future__ import annotations

from decimal import Decimal

from app.domain.portfolio import Position, PositionKey
from app.ui.models.facts import Facts


def guardable(facts: Facts, key: PositionKey) -> Position | None:
    """None where there is neither. A holding stands in with what of it can be sold."""
    held = next((h for h in facts.holdings.get(key.account, ()) if h.instrument == key.instrument), None)
    position = facts.positions.get(key)
    if (position is not None and position.quantity > 0) or held is None or held.product is not key.product:
        return position
    none = Decimal(0)
    return Position(key, held.sellable, held.average_price, held.last_price, held.close_price, 0, none, 0, none)
