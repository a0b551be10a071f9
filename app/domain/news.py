"""What a broker tells of the books by itself, beside orders: that something is another one now. Never the whole truth,
which is read: these rows carry no prices.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.gtt import Gtt
from app.domain.ids import AccountId, InstrumentId
from app.domain.portfolio import Holding, PositionKey


@dataclass(frozen=True, slots=True)
class PositionNews:
    """A position has so many units now, wherever it was changed."""

    key: PositionKey
    quantity: int


@dataclass(frozen=True, slots=True)
class HoldingNews:
    """Of a holding, so many shares are there now, and so many of them were sold today."""

    account: AccountId
    instrument: InstrumentId
    quantity: int
    t1_quantity: int
    used_quantity: int

    def tells(self, known: Holding) -> bool:
        """Whether this is what is known already."""
        mine = (self.account, self.instrument, self.quantity, self.t1_quantity, self.used_quantity)
        return mine == (known.account, known.instrument, known.quantity, known.t1_quantity, known.used_quantity)


BookNews = PositionNews | HoldingNews | Gtt
