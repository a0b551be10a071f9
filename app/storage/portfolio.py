"""Positions and holdings as last read from the brokers. A cache: after a restart it is shown with its age."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Table, delete, insert, select

from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.instrument import Product
from app.domain.portfolio import FundedShares, Holding, Position, PositionKey
from app.storage.contract_sizes import learn
from app.storage.schema_book import holdings, positions
from app.storage.store import Store


class Positions:
    """The positions of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def replace(self, account: AccountId, rows: Sequence[Position], at: Nanos) -> None:
        """All positions of an account, as read at a moment. What they tell of contracts' sizes is kept beyond them."""
        values = [_position_row(row, at) for row in rows]
        await _replace(self._store, positions, account, values, lambda c: learn(c, rows))

    async def load(self, account: AccountId) -> list[Position]:
        """As last read, by instrument and product."""
        query = (
            select(positions)
            .where(positions.c.account == account)
            .order_by(positions.c.instrument, positions.c.product)
        )
        return await self._store.run(lambda c: [_position(row) for row in c.execute(query)])


class Holdings:
    """The holdings of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def replace(self, account: AccountId, rows: Sequence[Holding], at: Nanos) -> None:
        """All holdings of an account, as read at a moment."""
        await _replace(self._store, holdings, account, [_holding_row(row, at) for row in rows])

    async def load(self, account: AccountId) -> list[Holding]:
        """As last read, by instrument."""
        query = select(holdings).where(holdings.c.account == account).order_by(holdings.c.instrument)
        return await self._store.run(lambda c: [_holding(row) for row in c.execute(query)])


async def _replace(
    store: Store,
    table: Table,
    account: AccountId,
    rows: list[dict[str, Any]],
    then: Callable[[Connection], None] = lambda _: None,
) -> None:
    if any(row["account"] != account for row in rows):
        raise ValueError(f"rows of another account than {account}")

    def work(connection: Connection) -> None:
        connection.execute(delete(table).where(table.c.account == account))
        if rows:
            connection.execute(insert(table), rows)
        then(connection)

    await store.run(work)


def _position_row(position: Position, at: Nanos) -> dict[str, Any]:
    return {
        "account": position.key.account,
        "instrument": position.key.instrument,
        "product": position.key.product.value,
        "quantity": position.quantity,
        "average_price": str(position.average_price),
        "last_price": position.last_price,
        "close_price": position.close_price,
        "buy_quantity": position.buy_quantity,
        "buy_value": str(position.buy_value),
        "sell_quantity": position.sell_quantity,
        "sell_value": str(position.sell_value),
        "multiplier": position.multiplier,
        "price_scale": position.price_scale,
        "read_at": at,
    }


def _position(row: Row[Any]) -> Position:
    return Position(
        key=PositionKey(AccountId(row.account), InstrumentId(row.instrument), Product(row.product)),
        quantity=row.quantity,
        average_price=Decimal(row.average_price),
        last_price=row.last_price,
        close_price=row.close_price,
        buy_quantity=row.buy_quantity,
        buy_value=Decimal(row.buy_value),
        sell_quantity=row.sell_quantity,
        sell_value=Decimal(row.sell_value),
        multiplier=row.multiplier,
        price_scale=row.price_scale,
    )


def _holding_row(holding: Holding, at: Nanos) -> dict[str, Any]:
    return {
        "account": holding.account,
        "instrument": holding.instrument,
        "isin": holding.isin,
        "quantity": holding.quantity,
        "t1_quantity": holding.t1_quantity,
        "average_price": str(holding.average_price),
        "last_price": holding.last_price,
        "close_price": holding.close_price,
        "read_at": at,
        "product": holding.product.value,
        "used_quantity": holding.used_quantity,
        "realised_quantity": holding.realised_quantity,
        "authorised_quantity": holding.authorised_quantity,
        "authorised_at": holding.authorised_at,
        "opening_quantity": holding.opening_quantity,
        "short_quantity": holding.short_quantity,
        "collateral_quantity": holding.collateral_quantity,
        "collateral_type": holding.collateral_type,
        "discrepancy": int(holding.discrepancy),
        "funded": None if holding.funded is None else msgspec.json.encode(holding.funded).decode(),
    }


def _holding(row: Row[Any]) -> Holding:
    return Holding(
        account=AccountId(row.account),
        instrument=InstrumentId(row.instrument),
        isin=row.isin,
        quantity=row.quantity,
        t1_quantity=row.t1_quantity,
        average_price=Decimal(row.average_price),
        last_price=row.last_price,
        close_price=row.close_price,
        product=Product(row.product),
        used_quantity=row.used_quantity,
        realised_quantity=row.realised_quantity,
        authorised_quantity=row.authorised_quantity,
        authorised_at=row.authorised_at,
        opening_quantity=row.opening_quantity,
        short_quantity=row.short_quantity,
        collateral_quantity=row.collateral_quantity,
        collateral_type=row.collateral_type,
        discrepancy=bool(row.discrepancy),
        funded=None if row.funded is None else msgspec.json.decode(row.funded, type=FundedShares),
    )
