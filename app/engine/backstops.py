"""Stop orders that rest at the exchange behind local stops, and outlive this computer. Behind stops of delivery a
trigger (GTT) stands instead, where the broker keeps such: `gtt_backstops`. Loop thread only.

`backstop_plan` decides; here is the I/O around it. The orders are found by their tags, also after a restart. They are
placed after their stop is armed, follow it, and are taken back when it has ended or its position is gone; once a stop
has fired, its follower makes them its exit. A backstop that the broker refused, or that somebody took back, is said
aloud and tried again only when the stop changes. What would sell more than is there goes as urgently as an exit; what
only follows its stop leaves exits their reserve.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from app.domain.errors import AppError, Denied, OutcomeUnknown, Unreachable
from app.domain.ids import BrokerOrderId, InstrumentId, StopId, Tag
from app.domain.instrument import Instrument
from app.domain.money import Price, in_rupees
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Purpose
from app.domain.stop import FIRST_BACKSTOP, LAST_SLICE, Stop, StopState, exit_tag, is_backstop, stop_of_tag
from app.engine import backstop_plan
from app.engine.account import AccountState
from app.engine.attempts import ACKNOWLEDGED_LOOKUPS
from app.engine.backstop_plan import Leg, Move, Nothing, Rest, TakeBack, Wanted, next_action
from app.engine.exit_plan import LOOKUP_SPACING, LOOKUPS, remaining
from app.engine.gtt_backstops import GttBackstops
from app.engine.gtt_book import GttJournal
from app.engine.orders import OrderManager
from app.engine.record import StopRecord
from app.engine.terms import ExitTerms
from app.engine.watching import Watching, exit_request
from app.runtime.loop import Tasks

REACH = 4
"""Bands that the limit price of a trigger's order lies beyond it: it may fire in an opening gap with nobody there to
price it anew, and sells at the best price there is."""
ROUNDS = 30
"""Actions in a row for one stop before it is left for the next change: the picture does not settle."""


class Backstops:
    """Owner of what rests behind one account's stops."""

    def __init__(
        self,
        state: AccountState,
        orders: OrderManager,
        record: StopRecord,
        stops: Mapping[StopId, Stop],
        watching: Watching,
        terms: ExitTerms,
        known: Callable[[InstrumentId], Instrument],
        tasks: Tasks,
        triggers: GttJournal,
        last_price: Callable[[InstrumentId], Price | None],
        trades: Callable[[InstrumentId], bool],
    ) -> None:
        self._state = state
        self._orders = orders
        self._record = record
        self._stops = stops
        self._watching = watching
        self._terms = terms
        self._known = known
        self._tasks = tasks
        self._trades = trades
        """Whether an instrument trades continuously now."""
        self._busy: set[StopId] = set()
        self._again: set[StopId] = set()
        self._behind: dict[StopId, dict[BrokerOrderId, Order]] = {}
        """Every order that was placed behind a stop, as last heard: a day has thousands of others."""
        self._numbers: dict[StopId, int] = {}
        """The last slice number that was used."""
        self._given_up: dict[StopId, Wanted] = {}
        """What could not be had: not asked for again until something else is wanted."""
        self._tight = False
        self._taken_back: set[BrokerOrderId] = set()
        """Ours to end."""
        self.triggers = GttBackstops(
            state, orders, record, triggers, stops, watching, known, last_price, self._by_trigger, tasks
        )
        watching.resting = self.legs
        state.on_order.insert(0, self._note)  # before those who ask what rests behind a stop
        state.on_order.append(self._on_order)

    def legs(self, stop: StopId) -> list[Order]:
        """Orders that rest behind a stop, in the order of their tags."""
        live = [order for order in self._behind.get(stop, {}).values() if not order.status.is_final]
        return sorted(live, key=lambda order: order.tag or "")

    @property
    def backed(self) -> dict[StopId, int]:
        """Units of stop orders that rest behind each stop."""
        return {
            stop: sum(remaining(o) for o in orders.values() if o.status is OrderStatus.TRIGGER_PENDING)
            for stop, orders in self._behind.items()
        }

    def begin(self) -> None:
        """A session is there, as a rule of another day: what could not be had, or ended with its day, is asked for
        anew."""
        self._given_up = {}
        self.triggers.begin()

    def follow(self, stop: Stop) -> None:
        """A stop has changed: what rests behind it is brought in step, soon."""
        self.triggers.follow(stop)
        if stop.plan.backstop is None and not self.legs(stop.id):
            return
        if stop.id in self._busy:
            self._again.add(stop.id)
        elif self._state.active:
            self._busy.add(stop.id)
            self._tasks.start(self._align(stop.id), f"backstop of {stop.id}")

    async def gone(self, stop: StopId) -> None:
        """Until nothing rests behind a stop that has ended. Raises Denied when something still does after a while."""
        for _ in range(ROUNDS):
            if not self.legs(stop) and not self.triggers.open_of(stop):
                return
            await asyncio.sleep(LOOKUP_SPACING / 2)
        raise Denied("What rested behind the stop is still at the broker.", "Take it back in the lists of the day.")

    def tighten(self, *, tight: bool) -> None:
        """The local stops see no prices (or see them again): what rests behind them moves up to them, or back."""
        if tight is not self._tight:
            self._tight = tight
            for stop in self._stops.values():
                if stop.state is StopState.ARMED:
                    self.follow(stop)

    def _note(self, order: Order) -> None:
        stop = stop_of_tag(order.tag) if is_backstop(order.tag) else None
        if stop is not None:
            self._behind.setdefault(stop, {})[order.broker_order_id] = order

    def _on_order(self, order: Order) -> None:
        stop = self._stops.get(stop_of_tag(order.tag) or StopId("")) if is_backstop(order.tag) else None
        if stop is None:
            return
        self._numbers[stop.id] = max(self._numbers.get(stop.id, 0), int((order.tag or "")[17:]))
        if stop.state is StopState.ARMED:
            self._watching.reload(stop, self._known(stop.key.instrument))
            if order.status.is_final and not order.filled_quantity and order.broker_order_id not in self._taken_back:
                self._lost(stop, order)
            self.follow(stop)
        if stop.state.is_final and not order.status.is_final:
            self.follow(stop)

    def _lost(self, stop: Stop, order: Order) -> None:
        """The broker or somebody else ended it."""
        want = self.wanted(stop)
        if want is not None and self._given_up.get(stop.id) != want:
            self._given_up[stop.id] = want
            if not self._trades(stop.key.instrument):  # an order of the day, and the day is over
                self._record.note(stop, "backstop ended", f"order {order.broker_order_id}: {order.status.value}")
                return
            why = order.status_text or f"It was {order.status.value}."
            self._record.alarm(
                stop, "The backstop is gone; the local stop stands alone.", "Move the stop to place it.", why
            )

    # -- bringing it in step -----------------------------------------------------------------------------------------

    async def _align(self, stop_id: StopId) -> None:
        try:
            for _ in range(ROUNDS):
                self._again.discard(stop_id)
                done = await self._one(stop_id)
                if done and stop_id not in self._again:
                    break
        finally:
            self._busy.discard(stop_id)

    async def _one(self, stop_id: StopId) -> bool:
        """One action. True: there is nothing (more) to do."""
        stop = self._stops[stop_id]
        if stop.state is StopState.ARMED and (not self._is_watched(stop_id) or not self._state.active):
            return True
        want = None if self.triggers.takes(stop) else self.wanted(stop)
        if want is not None and self._given_up.get(stop_id) == want:
            return True
        legs = [
            Leg(
                o.broker_order_id,
                remaining(o),
                o.trigger_price or 0,
                self._state.changes.get(o.broker_order_id, 0),
            )
            for o in self.legs(stop_id)
            if o.status is not OrderStatus.CANCEL_PENDING
        ]
        size = self._terms.slice_size(self._known(stop.key.instrument))
        renewable = self._numbers.get(stop_id, 0) + len(legs) <= LAST_SLICE
        action = next_action(stop, want, legs, size, renewable=renewable)
        if isinstance(action, Nothing):
            return True
        given_up = self._given_up
        try:
            if isinstance(action, TakeBack):
                await self._take_back(stop, action)
            elif isinstance(action, Move):
                await self._move(stop, action)
            elif want is not None:
                await self._rest(stop, want, action)
        except AppError as failure:
            if given_up is not self._given_up:
                return False  # it failed in a session that has ended; in this one it is asked for anew
            if want is not None:
                self._given_up[stop_id] = want
                told = "The backstop could not be kept in step; the local stop stands."
                self._record.alarm(stop, told, failure.next_step, str(failure))
            else:
                await asyncio.sleep(LOOKUP_SPACING)
            self._record.note(stop, "backstop failed", str(failure))
            return want is not None or not self._state.active
        return False

    def wanted(self, stop: Stop, reach: int = 1) -> Wanted | None:
        """What should rest behind an armed stop. `reach`: how many times the usual band its worst price lies beyond."""
        try:
            instrument = self._known(stop.key.instrument)
            pricer = self._terms.pricer(stop.key.account, instrument, stop.side, widen=reach)
        except Denied:
            return None
        return backstop_plan.wanted(stop, pricer, tight=self._tight)

    def _by_trigger(self, stop: Stop) -> Wanted | None:
        return self.wanted(stop, REACH)

    def _is_watched(self, stop_id: StopId) -> bool:
        watch = self._watching.of(stop_id)
        return watch is not None and not watch.fired

    async def _rest(self, stop: Stop, want: Wanted, action: Rest) -> None:
        for units in action.sizes:
            request = self._request(stop, want, units)
            told = f"{request.side} {units} at {in_rupees(want.trigger, stop.price_scale)}"
            await self._record.keep(self._stops[stop.id], "backstop", told, request)
            stands = partial(self._stands, stop.id, want)
            if not stands():
                return  # while the journal wrote
            lookups = ACKNOWLEDGED_LOOKUPS
            try:
                await self._orders.send(request, Purpose.PROTECT, stands)
            except OutcomeUnknown:
                lookups = LOOKUPS
            except Unreachable:
                if not stands():
                    return  # while it waited for its turn, behind exits perhaps: beside its own it would sell twice
                raise
            await self._seen(stop.id, request.tag or Tag(""), lookups)

    def _stands(self, stop_id: StopId, want: Wanted) -> bool:
        """Its stop has not fired or ended, nor has it moved behind it."""
        stop = self._stops[stop_id]
        now = self.wanted(stop) if self._is_watched(stop_id) else None
        return backstop_plan.stands(stop, now, want.trigger, want.quantity)

    def _request(self, stop: Stop, want: Wanted, units: int) -> OrderRequest:
        number = max(self._numbers.get(stop.id, 0) + 1, FIRST_BACKSTOP)
        if number > LAST_SLICE:
            raise Denied("The backstop was placed too often today.", "Disarm the stop and arm it anew.")
        self._numbers[stop.id] = number
        return replace(
            exit_request(stop, units, OrderKind.SL),
            price=want.price,
            trigger_price=want.trigger,
            tag=exit_tag(stop.id, stop.attempt, number),
        )

    async def _seen(self, stop: StopId, tag: Tag, lookups: int) -> None:
        """Until the order book shows it. Raises Denied when it does not within so many readings."""
        for _ in range(lookups):
            await self._state.read_orders()
            if any(order.tag == tag for order in self._state.orders.of(stop)):
                return
            await asyncio.sleep(LOOKUP_SPACING)
        raise Denied("The backstop did not reach the broker.", "Move the stop to place it.")

    async def _move(self, stop: Stop, action: Move) -> None:
        fits = partial(self._is_watched, stop.id)
        try:
            if action.trigger is None:
                await self._orders.modify(action.order, quantity=action.quantity, purpose=Purpose.EXIT, fits=fits)
            else:
                change = partial(self._orders.modify, action.order, price=action.price, trigger_price=action.trigger)
                await change(purpose=Purpose.PROTECT, fits=fits)
                told = in_rupees(action.trigger, stop.price_scale)
                self._record.note(stop, "backstop moved", f"order {action.order} to {told}")
        except Unreachable:
            if not fits():
                return  # while it waited for its turn its stop fired: the order is the exit now, and has its own price
            raise
        await self._settled(lambda order: self._shows(order, action), action.order)

    @staticmethod
    def _shows(order: Order, action: Move) -> bool:
        return order.trigger_price == action.trigger if action.quantity is None else order.quantity == action.quantity

    async def _take_back(self, stop: Stop, action: TakeBack) -> None:
        self._record.note(stop, "backstop taken back", f"{', '.join(action.orders)}: {action.reason}")
        for order in action.orders:
            self._taken_back.add(order)
            await self._orders.cancel(order, purpose=Purpose.EXIT)
            await self._settled(lambda known: known.status.is_final, order)

    async def _settled(self, done: Callable[[Order], bool], number: BrokerOrderId) -> None:
        """Until the order book shows it, for a few readings; what it shows then is what counts."""
        for _ in range(LOOKUPS + 1):
            with contextlib.suppress(AppError):
                await self._state.read_orders()
            known = self._state.orders.get(number)
            if known is None or known.status.is_final or done(known):
                return
            await asyncio.sleep(LOOKUP_SPACING)
