"""Round trips as the analytics worked them out of the fills. They can be worked out again at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select, true

from app.domain.fill import Charges, Source, Trade
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.money import Paise
from app.domain.order import Side
from app.storage.fill_rows import TRADE_COLUMNS, insertion, packed, trade_values
from app.storage.schema_book import instruments, trades
from app.storage.store import Store


@dataclass(frozen=True, slots=True)
class TradeRows:
    """One page of trades, newest first, with totals over the whole selection."""

    rows: tuple[Trade, ...]
    total: int
    gross: Paise
    charges: Paise
    net: Paise
    unsized: int = 0
    """Of `total`, those that the sums lack: how much a lot of their contract is is not known yet."""


_THE_CONTRACT = and_(instruments.c.broker == trades.c.broker, instruments.c.id == trades.c.instrument)
"""Instruments that expired stay on file (D2), so old trades keep their expiry and strike."""


_REMOVE = tuple(
    f"DELETE FROM {table} WHERE (account, instrument, product) IN"  # noqa: S608 - names of our own
    " (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?))"
    for table in ("trades", "stale_groups")
)


class Trades:
    """The trades of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def replace(
        self, account: AccountId, instrument: InstrumentId, product: Product, found: Sequence[Trade]
    ) -> None:
        """All trades of one position, in place of the ones before; the group is no longer marked stale."""
        await self.replace_many([((account, instrument, product), found)])

    async def replace_many(
        self, groups: Sequence[tuple[tuple[AccountId, InstrumentId, Product], Sequence[Trade]]]
    ) -> None:
        """The same of several positions, in one transaction."""
        trades = packed(trade_values(trade) for _, found in groups for trade in found)
        await self.replace_packed([group for group, _ in groups], list(trades))

    async def replace_packed(
        self, groups: Sequence[tuple[AccountId, InstrumentId, Product]], rows: Sequence[str]
    ) -> None:
        """The same of trades that `fill_rows.packed` packed."""
        keys = list(packed(groups))

        def work(connection: Connection) -> None:
            for change in _REMOVE:
                for piece in keys:
                    connection.exec_driver_sql(change, (piece,))
            for piece in rows:
                connection.exec_driver_sql(*insertion("INSERT INTO trades", TRADE_COLUMNS, piece))

        await self._store.run(work)

    async def page(
        self,
        text: str = "",
        account: AccountId | None = None,
        since: Nanos | None = None,
        offset: int = 0,
        limit: int = 500,
    ) -> TradeRows:
        """Trades of one account or all, whose instrument holds every word of `text`, that closed (or, while open,
        opened) at `since` or later."""
        chosen = _chosen(text, account, since)
        query = (
            select(trades, instruments.c.expiry, instruments.c.strike)
            .outerjoin(instruments, _THE_CONTRACT)
            .where(chosen)
            .order_by(trades.c.last_at.desc(), trades.c.id.desc())
            .offset(offset)
            .limit(limit)
        )
        sums = select(
            func.count().label("total"),
            func.coalesce(func.sum(trades.c.gross), 0).label("gross"),
            func.coalesce(func.sum(trades.c.charges), 0).label("charges"),
            func.coalesce(func.sum(trades.c.net), 0).label("net"),
            (func.count() - func.count(trades.c.multiplier)).label("unsized"),
        ).where(chosen)

        def work(connection: Connection) -> TradeRows:
            totals = connection.execute(sums).one()
            rows = tuple(_trade(row) for row in connection.execute(query))
            return TradeRows(rows, totals.total, totals.gross, totals.charges, totals.net, totals.unsized)

        return await self._store.run(work)


def _chosen(text: str, account: AccountId | None, since: Nanos | None) -> ColumnElement[bool]:
    rules: list[ColumnElement[bool]] = [true()]
    rules.extend(trades.c.instrument.icontains(word, autoescape=True) for word in text.split())
    if account is not None:
        rules.append(trades.c.account == account)
    if since is not None:
        rules.append(trades.c.last_at >= since)
    return and_(*rules)


def _trade(row: Row[Any]) -> Trade:
    return Trade(
        account=AccountId(row.account),
        instrument=InstrumentId(row.instrument),
        segment=Segment(row.segment),
        product=Product(row.product),
        side=Side(row.side),
        quantity=row.quantity,
        entry_price=row.entry_price,
        opened_at=row.opened_at,
        exit_price=row.exit_price,
        closed_at=row.closed_at,
        gross=row.gross,
        charges=Charges(
            brokerage=Decimal(row.brokerage),
            transaction_tax=Decimal(row.transaction_tax),
            exchange_charge=Decimal(row.exchange_charge),
            sebi_fee=Decimal(row.sebi_fee),
            stamp_duty=Decimal(row.stamp_duty),
            gst=Decimal(row.gst),
            other=Decimal(row.other),
        ),
        net=row.net,
        price_scale=row.price_scale,
        broker=row.broker,
        kind=InstrumentKind(row.kind),
        entry_order=None if row.entry_order is None else BrokerOrderId(row.entry_order),
        exit_order=None if row.exit_order is None else BrokerOrderId(row.exit_order),
        source=Source(row.source),
        expiry=None if row.expiry is None else date.fromisoformat(row.expiry),
        strike=None if row.strike is None else Decimal(row.strike),
        multiplier=row.multiplier,
    )
