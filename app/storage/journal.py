"""The journal: stops, order intents written before the wire, the audit trail. A write that returned is on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from app.domain.errors import Damaged
from app.domain.events import AuditEntry
from app.domain.ids import AccountId, InstrumentId, Nanos, OrderId, StopId
from app.domain.instrument import Product
from app.domain.intent import Intent, IntentNews
from app.domain.order import OrderRequest, Purpose, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import FiredBy, Stop, StopPlan, StopState
from app.storage import intents, trail
from app.storage.absences import Absences
from app.storage.day_stops import DayStops
from app.storage.flights import Flights
from app.storage.gtt_backstops import GttBackstops
from app.storage.schema_journal import runtime_state, stops
from app.storage.store import Store
from app.storage.strategies import Strategies

_FINAL = [state.value for state in StopState if state.is_final]
_BEFORE_FIRING = (StopState.ARMING.value, StopState.ARMED.value)


class Journal:
    """The journal's verbs, for the engine and the desk. Awaited on the loop; written on the journal's own thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.strategies = Strategies(store)
        self.absences = Absences(store)
        self.day_stops = DayStops(store)
        self.flights = Flights(store)
        self.gtt_backstops = GttBackstops(store)

    async def save_stop(self, stop: Stop, entry: AuditEntry, *exits: OrderRequest) -> None:
        """The stop as it now stands, its audit line, and the orders of its exit: all in one transaction, or none.

        An exit's tag is used once. The same tag may be prepared again only while the stop has not fired (a moved or
        resized stop); afterwards StorageError is raised.
        """

        def work(connection: Connection) -> None:
            before = connection.execute(select(stops.c.state).where(stops.c.id == stop.id)).scalar_one_or_none()
            row = _stop_row(stop, entry.at)
            changed = {name: value for name, value in row.items() if name != "id"}
            connection.execute(upsert(stops).values(row).on_conflict_do_update(index_elements=["id"], set_=changed))
            for request in exits:
                intents.prepare(connection, stop.id, request, entry.at, rewritable=before in _BEFORE_FIRING)
            if stop.state.is_final:
                intents.never_sent(connection, stop.id, entry.at)
            trail.append(connection, entry)

        await self._store.run(work)

    async def save_levels(self, moved: Sequence[Stop], at: Nanos) -> None:
        """Where armed stops stand now. One that the journal knows as fired or ended is left as it is."""
        change = (
            update(stops)
            .where(stops.c.id == bindparam("stop_id"), stops.c.state == StopState.ARMED.value)
            .values(
                trigger_price=bindparam("level"),
                best_price=bindparam("best"),
                seen_price=bindparam("price"),
                seen_at=bindparam("price_at"),
                updated_at=bindparam("at"),
            )
        )
        rows = [
            {
                "stop_id": s.id,
                "level": s.trigger,
                "best": s.best,
                "price": s.seen_price,
                "price_at": s.seen_at,
                "at": at,
            }
            for s in moved
        ]
        if rows:
            await self._store.change(lambda c: c.execute(change, rows))

    async def open_stops(self) -> list[Stop]:
        """All that are not final."""
        query = select(stops).where(stops.c.state.not_in(_FINAL)).order_by(stops.c.armed_at, stops.c.id)
        return await self._store.run(lambda c: [_stop(row) for row in c.execute(query)])

    async def stops_since(self, at: Nanos) -> list[Stop]:
        """The open ones, and those that changed or closed at `at` or later."""
        query = (
            select(stops)
            .where(or_(stops.c.state.not_in(_FINAL), stops.c.updated_at >= at, stops.c.closed_at >= at))
            .order_by(stops.c.armed_at, stops.c.id)
        )
        return await self._store.run(lambda c: [_stop(row) for row in c.execute(query)])

    async def recent_stops(self, ended: int) -> list[Stop]:
        """The open ones, and so many of those that ended last."""
        query = (
            select(stops)
            .where(
                or_(
                    stops.c.state.not_in(_FINAL),
                    stops.c.id.in_(
                        select(stops.c.id)
                        .where(stops.c.state.in_(_FINAL))
                        .order_by(stops.c.updated_at.desc(), stops.c.id)
                        .limit(ended)
                    ),
                )
            )
            .order_by(stops.c.armed_at, stops.c.id)
        )
        return await self._store.run(lambda c: [_stop(row) for row in c.execute(query)])

    async def record_intent(
        self, order_id: OrderId, request: OrderRequest, purpose: Purpose, entry: AuditEntry
    ) -> None:
        """An order that is about to be sent. Raises StorageError when its tag or order id was used before."""

        def work(connection: Connection) -> None:
            intents.add(connection, order_id, None, request, purpose, entry.at)
            trail.append(connection, entry)

        await self._store.run(work)

    async def record_news(self, news: Sequence[IntentNews], entries: Sequence[AuditEntry]) -> None:
        """What was learnt of orders, and the audit lines that say so."""

        def work(connection: Connection) -> None:
            intents.take(connection, news)
            trail.append(connection, *entries)

        await self._store.run(work)

    async def unresolved_intents(self, account: AccountId) -> list[Intent]:
        """Orders of which nobody has said what became of them, oldest first.

        Exits that were prepared and not sent are among them while their stop is open; its end settles them.
        """
        query = intents.unresolved(account)
        return await self._store.run(lambda c: [intents.intent_of(row) for row in c.execute(query)])

    async def unfinished_intents(self, account: AccountId) -> list[Intent]:
        """Orders that may still trade, as far as the journal knows, oldest first."""
        query = intents.unfinished(account)
        return await self._store.run(lambda c: [intents.intent_of(row) for row in c.execute(query)])

    async def closed_by(self, stop: StopId, side: Side) -> int:
        """Units that a stop's exits have closed, less what went back, as far as the journal has heard."""
        return await self._store.run(lambda c: intents.closed_by(c, stop, side))

    async def unseen(self, stop: StopId, side: Side, before: Nanos) -> int:
        """Units of a stop's exits of before a moment that may have filled unheard: nobody saw their orders end."""
        return await self._store.run(lambda c: intents.unseen(c, stop, side, before))

    async def audit(self, *entries: AuditEntry) -> None:
        """Lines that belong to no other write."""
        if entries:
            await self._store.change(lambda c: trail.append(c, *entries))

    async def audit_lines(self, limit: int = 200) -> list[AuditEntry]:
        """The newest lines, newest first."""
        return await self._store.run(lambda c: trail.newest(c, limit))

    async def check_audit(self) -> trail.TrailCheck:
        """Follows the seals from the first line to the last; a stop's write never waits for it."""
        return await trail.check(self._store)

    async def get_state(self, key: str) -> str | None:
        """A value that outlives the program."""
        query = select(runtime_state.c.value).where(runtime_state.c.key == key)
        return await self._store.run(lambda c: c.execute(query).scalar_one_or_none())

    async def put_state(self, key: str, value: str) -> None:
        """Remembers a value."""
        change = upsert(runtime_state).values(key=key, value=value)
        change = change.on_conflict_do_update(index_elements=["key"], set_={"value": value})
        await self._store.change(lambda c: c.execute(change))

    @property
    def store(self) -> Store:
        """The file itself, for work on it as a whole."""
        return self._store

    async def close(self) -> None:
        """Finishes what was asked for and closes the file."""
        await self._store.close()


def _stop_row(stop: Stop, at: Nanos) -> dict[str, Any]:
    return {
        "id": stop.id,
        "account": stop.key.account,
        "instrument": stop.key.instrument,
        "product": stop.key.product.value,
        "side": stop.side.value,
        "trigger_price": stop.trigger,
        "quantity": stop.quantity,
        "state": stop.state.value,
        "armed_at": stop.armed_at,
        "attempt": stop.attempt,
        "token": stop.token,
        "tick_size": stop.tick_size,
        "price_scale": stop.price_scale,
        "exit_order": stop.exit_order,
        "fired_at": stop.fired_at,
        "fired_price": stop.fired_price,
        "closed_at": stop.closed_at,
        "exit_average": stop.exit_average,
        "note": stop.note,
        "updated_at": at,
        "plan": msgspec.json.encode(stop.plan).decode(),
        "best_price": stop.best,
        "exit_at": stop.exit_at,
        "seen_price": stop.seen_price,
        "seen_at": stop.seen_at,
        "fired_by": None if stop.fired_by is None else stop.fired_by.value,
        "closed_before": stop.closed_before,
    }


def _stop(row: Row[Any]) -> Stop:
    return Stop(
        id=StopId(row.id),
        key=PositionKey(AccountId(row.account), InstrumentId(row.instrument), Product(row.product)),
        side=Side(row.side),
        trigger=row.trigger_price,
        quantity=row.quantity,
        state=StopState(row.state),
        armed_at=row.armed_at,
        plan=_plan(row),
        attempt=row.attempt,
        token=row.token,
        tick_size=row.tick_size,
        price_scale=row.price_scale,
        exit_order=row.exit_order,
        fired_at=row.fired_at,
        fired_price=row.fired_price,
        closed_at=row.closed_at,
        exit_average=row.exit_average,
        note=row.note,
        best=row.best_price,
        exit_at=row.exit_at,
        seen_price=row.seen_price,
        seen_at=row.seen_at,
        fired_by=None if row.fired_by is None else FiredBy(row.fired_by),
        closed_before=row.closed_before,
    )


def _plan(row: Row[Any]) -> StopPlan:
    """As it was asked; a stop from before there were plans is fixed at its trigger. Raises Damaged."""
    if row.plan is None:
        return StopPlan(row.trigger_price)
    try:
        return msgspec.json.decode(row.plan, type=StopPlan)
    except msgspec.DecodeError as error:
        raise Damaged(f"The plan of stop {row.id} cannot be read.", "Restore a backup.", detail=str(error)) from error
