"""Rows of the journal's order intents. Called inside the journal's transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, or_, select, update

from app.domain.errors import StorageError
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos, OrderId, StopId, Tag
from app.domain.instrument import Product
from app.domain.intent import Intent, IntentNews
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Purpose, Side, Validity, Variety
from app.domain.stop import StopState
from app.storage.schema_journal import intents, stops

_ENDED = [state.value for state in StopState if state.is_final]
_FINAL = [status.value for status in OrderStatus if status.is_final]
_UNRESOLVED = (OrderStatus.SUBMITTED.value, OrderStatus.UNKNOWN.value)


def prepare(connection: Connection, stop: StopId, request: OrderRequest, at: Nanos, *, rewritable: bool) -> None:
    """The exit that a stop would send next. The same tag may be prepared again only while `rewritable`."""
    known = connection.execute(select(intents.c.stop).where(intents.c.tag == request.tag)).one_or_none()
    if known is None or known.stop != stop or not rewritable:
        # An order of a stop is named by its tag: one name less that could differ after a crash.
        add(connection, OrderId(str(request.tag)), stop, request, Purpose.EXIT, at)
        return
    connection.execute(update(intents).where(intents.c.tag == request.tag).values(_request_row(request)))


def add(
    connection: Connection, order_id: OrderId, stop: StopId | None, request: OrderRequest, purpose: Purpose, at: Nanos
) -> None:
    """An order that is about to be sent. Raises StorageError when its tag was used before, ValueError without one."""
    if request.tag is None:
        raise ValueError("an order intent needs a tag: without it the order cannot be found again")
    if connection.execute(select(intents.c.tag).where(intents.c.tag == request.tag)).first() is not None:
        raise StorageError(f"The tag {request.tag} already names another order.", "Nothing was sent.")
    row = _request_row(request) | {
        "tag": request.tag,
        "order_id": order_id,
        "stop": stop,
        "status": OrderStatus.SUBMITTED.value,
        "purpose": purpose.value,
        "created_at": at,
    }
    connection.execute(insert(intents), [row])


def take(connection: Connection, news: Sequence[IntentNews]) -> None:
    """What was learnt. A broker's number, once known, stays; an order that the journal does not know is left out: it
    was sent from another profile."""
    for one in news:
        values: dict[str, Any] = {
            "status": one.status.value,
            "resolved_at": None if one.status.value in _UNRESOLVED else one.at,
            "filled": one.filled,
            "changes": one.changes,
        }
        if one.broker_order_id is not None:
            values["broker_order_id"] = one.broker_order_id
        connection.execute(update(intents).where(intents.c.tag == one.tag).values(values))


def never_sent(connection: Connection, stop: StopId, at: Nanos) -> None:
    """A stop has ended: what was prepared for it and never left is no order any more."""
    unsent = (intents.c.stop == stop) & (intents.c.status == OrderStatus.SUBMITTED.value)
    connection.execute(update(intents).where(unsent).values(status=OrderStatus.DENIED.value, resolved_at=at))


def unresolved(account: AccountId) -> Select[Any]:
    """Orders of which nobody has said what became of them; exits only while their stop is open."""
    of_open_stop = or_(intents.c.stop.is_(None), stops.c.state.not_in(_ENDED))
    return (
        select(intents)
        .outerjoin(stops, intents.c.stop == stops.c.id)
        .where(intents.c.account == account, intents.c.status.in_(_UNRESOLVED), of_open_stop)
        .order_by(intents.c.created_at, intents.c.tag)
    )


def unfinished(account: AccountId) -> Select[Any]:
    """Orders that may still trade, as far as the journal knows, oldest first."""
    return (
        select(intents)
        .where(intents.c.account == account, intents.c.status.not_in(_FINAL))
        .order_by(intents.c.created_at, intents.c.tag)
    )


def closed_by(connection: Connection, stop: StopId, side: Side) -> int:
    """Units that a stop's exits have closed, less what went back, as far as the journal has heard."""
    filled = select(intents.c.side, func.sum(intents.c.filled)).where(intents.c.stop == stop).group_by(intents.c.side)
    return sum(int(units) * (1 if of == side.value else -1) for of, units in connection.execute(filled))


def unseen(connection: Connection, stop: StopId, side: Side, before: Nanos) -> int:
    """Units of a stop's exits of before a moment that may have filled unheard: nobody saw their orders end."""
    left = (
        select(func.sum(intents.c.quantity - intents.c.filled))
        .where(intents.c.stop == stop, intents.c.side == side.value, intents.c.created_at < before)
        .where(intents.c.status.not_in(_FINAL))
    )
    return int(connection.execute(left).scalar_one() or 0)


def _request_row(request: OrderRequest) -> dict[str, Any]:
    return {
        "account": request.account,
        "instrument": request.instrument,
        "side": request.side.value,
        "quantity": request.quantity,
        "product": request.product.value,
        "kind": request.kind.value,
        "price": request.price,
        "trigger_price": request.trigger_price,
        "validity": request.validity.value,
        "market_protection": request.market_protection,
        "variety": request.variety.value,
        "iceberg_legs": request.iceberg_legs,
        "autoslice": int(request.autoslice),
        "disclosed_quantity": request.disclosed_quantity,
        "valid_minutes": request.valid_minutes,
        "auction_number": request.auction_number,
    }


def intent_of(row: Row[Any]) -> Intent:
    """One row."""
    request = OrderRequest(
        account=AccountId(row.account),
        instrument=InstrumentId(row.instrument),
        side=Side(row.side),
        quantity=row.quantity,
        product=Product(row.product),
        kind=OrderKind(row.kind),
        price=row.price,
        trigger_price=row.trigger_price,
        validity=Validity(row.validity),
        tag=Tag(row.tag),
        market_protection=row.market_protection,
        variety=Variety(row.variety),
        iceberg_legs=row.iceberg_legs,
        autoslice=bool(row.autoslice),
        disclosed_quantity=row.disclosed_quantity,
        valid_minutes=row.valid_minutes,
        auction_number=row.auction_number,
    )
    return Intent(
        order_id=OrderId(row.order_id),
        tag=Tag(row.tag),
        request=request,
        created_at=row.created_at,
        stop=None if row.stop is None else StopId(row.stop),
        purpose=Purpose(row.purpose),
        status=OrderStatus(row.status),
        broker_order_id=None if row.broker_order_id is None else BrokerOrderId(row.broker_order_id),
        filled=row.filled,
        changes=row.changes,
    )
