"""How what each stop of a position owns (`claims`) follows the position (F4): on every reading of the positions and on
every fill.

A stop may grow again up to its quantity, but not while an exit of the same position is under way: fills and positions
are told apart, and the moment between them is no reason to sell more. Loop thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from app.domain.calendar import ist_date
from app.domain.errors import AppError
from app.domain.ids import BrokerOrderId, InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.order import Order, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, StopState, stop_of_tag
from app.engine.account import AccountState, PositionReading
from app.engine.claims import WAITS, Claims, split
from app.engine.delivery import DELIVERED
from app.engine.exit_plan import LOOKUP_SPACING, SETTLED_SECONDS
from app.engine.grouped import Grouped
from app.engine.record import StopRecord
from app.engine.watching import Watching
from app.runtime.loop import Tasks


class Shares:
    """Owner of the quantities of one account's armed stops."""

    def __init__(
        self,
        state: AccountState,
        record: StopRecord,
        stops: Grouped[StopId, Stop, PositionKey],
        claims: Claims,
        watching: Watching,
        known: Callable[[InstrumentId], Instrument],
        changed: Callable[[Stop], None],
        close_elsewhere: Callable[[Stop, str], Coroutine[Any, Any, None]],
        trades: Callable[[InstrumentId], bool],
        recall: Callable[[StopId], None],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._record = record
        self._stops = stops
        self._claims = claims
        self._watching = watching
        self._known = known
        self._changed = changed
        self._close_elsewhere = close_elsewhere
        self._trades = trades
        """Whether an instrument trades continuously now."""
        self._recall = recall
        """What has fired and not left: taken back where the position became smaller meanwhile."""
        self._tasks = tasks
        self.rewatch: Callable[[Stop], None] = _nothing
        """Gives a stop a fresh watch, with all that its plan asks for."""
        self.tell_levels: Callable[[], None] = _nothing
        """Levels that moved are kept."""
        self._unlisted: dict[StopId, float] = {}
        """Since when (loop time) the broker has not listed the position of an armed stop."""
        self._filled: dict[BrokerOrderId, int] = {}
        self._sold: dict[PositionKey, list[tuple[float, int, BrokerOrderId]]] = {}
        """(loop time, signed units, order) of fills of other orders than ours, until a reading knows them."""
        self._before: dict[BrokerOrderId, dict[StopId, int]] = {}
        """Units of the stops when such an order first filled: it may turn out to be one's own."""
        self._held_back: set[StopId] = set()
        """Not watched: fills say that the position is gone, and no reading has said so yet."""
        self._calm_at: dict[PositionKey, float] = {}
        """Loop time until which stops of a position do not grow."""
        state.on_positions.append(self._on_positions)
        state.on_order.append(self._on_order)

    def holds_back(self, stop: StopId) -> bool:
        """It is armed and not watched: fills of other orders say that its units are gone."""
        return stop in self._held_back

    # -- news --------------------------------------------------------------------------------------------------------

    def _on_positions(self, reading: PositionReading) -> None:
        for key in self._stops.groups:
            stops = self._claims.of(key)
            if not stops or (len(stops) == 1 and self._is_as_read(stops[0], reading)):
                continue
            later = [fill for fill in self._sold.get(key, ()) if fill[0] >= reading.began]
            if later:
                self._sold[key] = later
            else:
                self._sold.pop(key, None)
            self._confirm(key, reading)
            self.align(key, reading)

    def _is_as_read(self, stop: Stop, reading: PositionReading) -> bool:
        """It guards alone what the broker lists, to the unit, and nothing is under way: of five hundred stops all but
        a few, and to find that of each by the whole rule would hold the loop for milliseconds."""
        key = stop.key
        if stop.state is not StopState.ARMED or key.product in DELIVERED or key in self._sold or key in self._calm_at:
            return False
        position, watch = reading.positions.get(key), self._watching.of(stop.id)
        if position is None or watch is None or watch.fired or stop.id in self._unlisted:
            return False
        whole = stop.plan.quantity is None or stop.plan.quantity >= stop.quantity
        return whole and position.quantity == stop.quantity * -stop.side.sign

    def _on_order(self, order: Order) -> None:
        """A fill of an order that is not of our stops: what it took is not sold again, whatever the next reading takes
        to arrive."""
        before = self._filled.get(order.broker_order_id, 0)
        self._filled[order.broker_order_id] = order.filled_quantity
        delta = order.filled_quantity - before
        key = PositionKey(order.account, order.instrument, order.product)
        own = stop_of_tag(order.tag)
        if own is not None and own in self._stops:
            self._take_back(key, order.broker_order_id, self._stops[own])
            return
        if delta <= 0 or not self._claims.of(key):
            return
        now, number = asyncio.get_running_loop().time(), order.broker_order_id
        self._sold.setdefault(key, []).append((now, delta * order.side.sign, number))
        self._before.setdefault(number, {s.id: s.quantity for s in self._claims.of(key) if s.state in WAITS})
        for stop in self._claims.of(key):
            if stop.side is order.side and self._claims.is_leaving(stop):
                self._recall(stop.id)
        reading = self._state.reading
        if reading is not None:
            self._shrink(key, reading)

    def _take_back(self, key: PositionKey, number: BrokerOrderId, stop: Stop) -> None:
        """An order that was somebody else's is a stop's own: its trigger (GTT) sent it, and was named later. What it
        closed is not the stop's loss."""
        units = self._before.pop(number, {}).get(stop.id)
        if units is None:
            return
        if left := [fill for fill in self._sold.get(key, ()) if fill[2] != number]:
            self._sold[key] = left
        else:
            self._sold.pop(key, None)
        if stop.state in WAITS and stop.quantity < units:
            self._changed(replace(stop, quantity=units))

    def _confirm(self, key: PositionKey, reading: PositionReading) -> None:
        """Of delivery: whether it is certain now what was held when the day began."""
        delivery, today = self._state.delivery, ist_date(self._state.clock.now())
        if key.product not in DELIVERED or not self._trades(key.instrument) or delivery.certain(key):
            return
        if any(
            order.side is Side.SELL and order.filled_quantity
            for order in self._state.orders.of(key)
            if order.placed_at is None or ist_date(order.placed_at) == today
        ):
            return  # the row of the day may not have it yet
        guarded = sum(
            stop.quantity for stop in self._claims.of(key) if stop.fired_at is None or ist_date(stop.fired_at) == today
        )  # what one that fired on an earlier day has sold since may be known to nobody
        delivery.confirm(key, reading.positions.get(key), reading.began, guarded)

    def align(self, key: PositionKey, reading: PositionReading) -> None:
        """The stops of a position follow it: resized, or closed where their units are gone.

        Overnight positions of delivery become holdings, and no two brokers do it at the same minute: what is seen of
        shares while they do not trade decides nothing.
        """
        if not reading.knows(key) or (key.product in DELIVERED and not self._trades(key.instrument)):
            return
        quantity = reading.quantity(key)
        stops = [s for s in self._claims.of(key) if s.state in WAITS and not self._claims.is_leaving(s)]
        guarded = [stop for stop in stops if quantity * -stop.side.sign > 0]
        for stop in stops:
            if stop in guarded:
                self._unlisted.pop(stop.id, None)
            elif self._is_settled(stop) and (reading.lists(key) or self._gone_for_good(stop)):
                self._lose(stop, quantity)
        known = self._held(key, quantity)
        if guarded and not known:
            for stop in guarded:
                self._hold_back(stop)
            return  # the fills say so, the next reading decides
        under_way = any(map(self._claims.leaves, self._claims.of(key)))
        now = asyncio.get_running_loop().time()
        if under_way:
            self._calm_at[key] = now + SETTLED_SECONDS
        calm = now >= self._calm_at.get(key, 0.0)
        wanted = split(known, [stop.plan.quantity for stop in guarded])
        if not calm and not under_way:
            self._look_again(key)
        for stop, units in zip(guarded, wanted, strict=True):
            if calm:
                self._give(stop, units)
            elif units:
                self._give(stop, min(stop.quantity, units))  # none grows
            else:
                self._hold_back(stop)  # and none ends

    def _shrink(self, key: PositionKey, reading: PositionReading) -> None:
        """By fills alone: stops only become smaller, and where nothing is left they wait for a reading."""
        quantity = reading.quantity(key)
        known = self._held(key, quantity)
        guarded = [s for s in self._claims.of(key) if s.state in WAITS and quantity * -s.side.sign > 0]
        for stop, units in zip(guarded, split(known, [stop.plan.quantity for stop in guarded]), strict=True):
            if units == 0:
                self._hold_back(stop)
            elif units < stop.quantity:
                self._resize(stop, units)

    def _held(self, key: PositionKey, quantity: int) -> int:
        """Units in the position's direction, less what fills took away that the reading does not know."""
        sign = 1 if quantity > 0 else -1
        taken = sum(units for _, units, _ in self._sold.get(key, ()) if units * sign < 0)
        return max(0, (quantity + taken) * sign)

    # -- what follows from it ----------------------------------------------------------------------------------------

    def _give(self, stop: Stop, units: int) -> None:
        if units == 0:
            if stop.key in self._sold:
                self._hold_back(stop)  # a fill that the reading may have counted already: the next one decides
            elif self._is_settled(stop):
                self._end(stop, "its share of the position was closed elsewhere")
            return
        if stop.id in self._held_back:
            self._held_back.discard(stop.id)
            if self._watching.attached and stop.state is StopState.ARMED:
                again = replace(stop, quantity=units)
                self._changed(again)
                self.rewatch(again)
            return
        if units != stop.quantity:
            self._resize(stop, units)

    def _hold_back(self, stop: Stop) -> None:
        watch = self._watching.of(stop.id)
        if watch is not None and not watch.fired:
            self._held_back.add(stop.id)
            self.tell_levels()  # while they are still there to be read
            self._watching.stop(stop.id)

    def _resize(self, stop: Stop, units: int) -> None:
        """The prepared bytes change at once (an exit may never exceed the position); the tag stays as journalled."""
        watch = self._watching.of(stop.id)
        if watch is None or watch.fired:
            return
        resized = replace(stop, quantity=units)
        instrument = self._known(stop.key.instrument)
        watch.load = self._watching.prepare(resized, instrument).load
        self._changed(resized)
        detail = f"from {stop.quantity} to {units}"
        # A larger exit may be more orders than were written down.
        orders = self._record.unwritten(resized, self._watching.orders_of(watch, resized, instrument))
        self._tasks.start(self._record.keep(resized, "resized", detail, *orders), f"journal resize {stop.id}")

    def _lose(self, stop: Stop, quantity: int) -> None:
        """The position of an armed stop is gone, or the other way round."""
        self._unlisted.pop(stop.id, None)
        if self._claims.comes_back(stop.key):
            self._hold_back(stop)
            return
        turned = quantity != 0 and self._claims.is_short(stop.key)
        self._end(stop, self._turned_round(stop, quantity) if turned else "position closed elsewhere")

    def _turned_round(self, stop: Stop, quantity: int) -> str:
        """Said aloud: the trader has a position the other way now, and the stop that the eye is used to is gone."""
        symbol = self._known(stop.key.instrument).symbol
        self._record.alarm(
            stop,
            f"{symbol} was turned round by another order: this stop has ended, and the {quantity} units that are open"
            " now have none.",
            "Set a stop on the new position.",
            key="turned round",
        )
        return "position was turned round elsewhere"

    def _end(self, stop: Stop, note: str) -> None:
        self._held_back.discard(stop.id)
        self._watching.stop(stop.id)
        self._tasks.start(self._close_elsewhere(stop, note), f"close stop {stop.id}")

    def _is_settled(self, stop: Stop) -> bool:
        """It is watched, held back or suspended: recovery is through with it."""
        return (
            self._watching.of(stop.id) is not None
            or stop.id in self._held_back
            or (stop.state is StopState.SUSPENDED and self._watching.attached)
        )

    def _gone_for_good(self, stop: Stop) -> bool:
        """A closed position stays in the broker's list for the day. One that is missing must be missing twice, a second
        apart, before that counts as closed."""
        now = asyncio.get_running_loop().time()
        first = self._unlisted.setdefault(stop.id, now)
        if now - first >= LOOKUP_SPACING:
            return True
        if first == now:
            self._tasks.start(self._read_again(LOOKUP_SPACING * 1.1), f"is the position of {stop.id} gone")
        return False

    def _look_again(self, key: PositionKey) -> None:
        left = self._calm_at[key] - asyncio.get_running_loop().time()
        self._tasks.start(self._read_again(max(0.1, left)), f"stops of {key.instrument} after an exit")

    async def _read_again(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with contextlib.suppress(AppError):  # unknown is not flat
            await self._state.read_positions()


def _nothing(*_of: object) -> None:
    """Before the engine is whole."""
