"""A broker that keeps the trades of earlier days, with pages that move, repeat and fail as the test wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from app.brokers.base import ExchangeClockReading, Profile
from app.brokers.parts import FillPage, PastFill
from app.domain.broker import BrokerInfo
from app.domain.errors import AppError
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId, Nanos
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Order, Side
from app.domain.portfolio import Funds, Holding, Position


def past_fill(account: AccountId, day: str, number: int, *, order: str = "", side: Side = Side.BUY) -> Fill:
    identity = FillId("upstox", account, "NSE", "equity", day, BrokerOrderId(order), str(number), side.value)
    return Fill(
        identity, account, InstrumentId("NSE:INFY"), Segment.EQUITY, InstrumentKind.SHARE, Product.CNC, side, 10,
        150_000 + number, 1_700_000_000_000_000_000 + number, BrokerOrderId(order),
    )  # fmt: skip


@dataclass
class HistoryFake:
    """Answers from `days`; `wrong` are pages to give instead, each once."""

    account: AccountId
    days: dict[str, list[Fill]] = field(default_factory=dict)
    today: list[Fill] = field(default_factory=list)
    page_size: int = 3
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    wrong: list[FillPage | AppError] = field(default_factory=list)
    order_known: bool = False

    async def fills_between(self, start: date, end: date, page: int = 1) -> FillPage:
        self.asked.append((start.isoformat(), end.isoformat(), page))
        if self.wrong:
            instead = self.wrong.pop(0)
            if isinstance(instead, AppError):
                raise instead
            return instead
        found = [f for day, fills in self.days.items() if start.isoformat() <= day <= end.isoformat() for f in fills]
        return self.page_of(found, page)

    def page_of(self, found: Sequence[Fill], page: int) -> FillPage:
        part = found[(page - 1) * self.page_size : page * self.page_size]
        past = tuple(PastFill(f, '{"from": "history"}', self.order_known, False, False) for f in part)
        return FillPage(past, page, -(-len(found) // self.page_size), len(found))

    async def reported_fills(self) -> Sequence[tuple[Fill, str]]:
        return [(f, "{}") for f in self.today]

    async def fills(self) -> Sequence[Fill]:
        return self.today

    async def positions(self) -> Sequence[Position]:
        return []

    async def holdings(self) -> Sequence[Holding]:
        return []

    async def funds(self) -> Funds:
        return Funds(self.account, 0, 0, 0)

    async def profile(self) -> Profile:
        raise NotImplementedError

    async def orders(self) -> Sequence[Order]:
        raise NotImplementedError

    async def order_history(self, order: BrokerOrderId) -> Sequence[Order]:
        raise NotImplementedError

    async def exchange_time(self) -> Nanos:
        raise NotImplementedError

    async def exchange_clock(self) -> ExchangeClockReading:
        raise NotImplementedError


def with_history(info: BrokerInfo, days: int) -> BrokerInfo:
    return replace(info, name="upstox", title="Upstox", history_days=days)
