"""Orders as the brokers last told of them. A broker's own list is of today only; these stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, select
from sqlalchemy.dialects.sqlite import insert

from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos, OrderId, Tag
from app.domain.instrument import Product
from app.domain.order import IcebergLeg, Order, OrderKind, OrderStatus, Side, Validity
from app.storage.schema_book import orders
from app.storage.store import Store


class Orders:
    """The orders of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, told: Sequence[Order]) -> None:
        """Adds or replaces, by account and the broker's number. Orders that the broker never had are not kept."""
        rows = [_row(order) for order in told if order.broker_order_id]
        if not rows:
            return
        add = insert(orders)
        kept = {name: add.excluded[name] for name in rows[0] if name not in ("account", "broker_order_id")}
        change = add.on_conflict_do_update(index_elements=["account", "broker_order_id"], set_=kept)
        await self._store.run(lambda c: c.execute(change, rows))

    async def load(self, account: AccountId, since: Nanos = 0) -> list[Order]:
        """Those placed since a moment, oldest first; those without a time are always among them."""
        query = (
            select(orders)
            .where(orders.c.account == account, (orders.c.placed_at >= since) | orders.c.placed_at.is_(None))
            .order_by(orders.c.placed_at, orders.c.broker_order_id)
        )
        return await self._store.run(lambda c: [_order(row) for row in c.execute(query)])

    async def changes(self, account: AccountId) -> dict[BrokerOrderId, int]:
        """How often orders that may still be at work were changed from here: brokers allow so many, and do not say."""
        ended = [status.value for status in OrderStatus if status.is_final]
        query = select(orders.c.broker_order_id, orders.c.changes).where(
            orders.c.account == account, orders.c.changes > 0, orders.c.status.not_in(ended)
        )
        return await self._store.run(lambda c: {BrokerOrderId(row[0]): int(row[1]) for row in c.execute(query)})


def _row(order: Order) -> dict[str, Any]:
    return {
        "account": order.account,
        "broker_order_id": order.broker_order_id,
        "order_id": order.id,
        "exchange_order_id": order.exchange_order_id,
        "instrument": order.instrument,
        "side": order.side.value,
        "product": order.product.value,
        "kind": order.kind.value,
        "status": order.status.value,
        "quantity": order.quantity,
        "filled_quantity": order.filled_quantity,
        "pending_quantity": order.pending_quantity,
        "average_price": order.average_price,
        "price": order.price,
        "trigger_price": order.trigger_price,
        "tag": order.tag,
        "placed_at": order.placed_at,
        "updated_at": order.updated_at,
        "status_text": order.status_text,
        "validity": order.validity.value,
        "variety": order.variety,
        "parent": order.parent,
        "tags": msgspec.json.encode(order.tags).decode(),
        "disclosed_quantity": order.disclosed_quantity,
        "cancelled_quantity": order.cancelled_quantity,
        "valid_minutes": order.valid_minutes,
        "auction_number": order.auction_number,
        "iceberg": None if order.iceberg is None else msgspec.json.encode(order.iceberg).decode(),
        "changes": order.changes,
    }


def _order(row: Row[Any]) -> Order:
    return Order(
        account=AccountId(row.account),
        broker_order_id=BrokerOrderId(row.broker_order_id),
        instrument=InstrumentId(row.instrument),
        side=Side(row.side),
        product=Product(row.product),
        kind=OrderKind(row.kind),
        status=OrderStatus(row.status),
        quantity=row.quantity,
        filled_quantity=row.filled_quantity,
        pending_quantity=row.pending_quantity,
        average_price=row.average_price,
        price=row.price,
        trigger_price=row.trigger_price,
        tag=None if row.tag is None else Tag(row.tag),
        id=None if row.order_id is None else OrderId(row.order_id),
        exchange_order_id=row.exchange_order_id,
        placed_at=row.placed_at,
        updated_at=row.updated_at,
        status_text=row.status_text,
        validity=Validity(row.validity),
        variety=row.variety,
        parent=None if row.parent is None else BrokerOrderId(row.parent),
        tags=msgspec.json.decode(row.tags, type=tuple[str, ...]),
        disclosed_quantity=row.disclosed_quantity,
        cancelled_quantity=row.cancelled_quantity,
        valid_minutes=row.valid_minutes,
        auction_number=row.auction_number,
        iceberg=None if row.iceberg is None else msgspec.json.decode(row.iceberg, type=IcebergLeg),
        changes=row.changes,
    )
