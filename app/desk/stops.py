"""Stops as the window asks for them. Loop thread only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from app.desk.account import AccountDesk
from app.desk.listed import listed
from app.desk.messages import AuditLine, BackstopPreview, StopPreview
from app.desk.workspace import Workspace
from app.domain.calendar import ist_date
from app.domain.coverage import Coverage
from app.domain.day_stop import DayLimits, DayStop
from app.domain.errors import AppError, Denied
from app.domain.events import Level, Noticed
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.money import Price, Rounding, said_price, to_tick
from app.domain.order import OrderKind, OrderRequest
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, StopPlan, TrailKind, TriggerSource
from app.engine.arming import deny_backstop, deny_plan, deny_trigger, fresh_stop, open_position
from app.engine.pricing import Bounds

HUNDREDTH = Decimal("0.01")


class StopDesk:
    """Implements `desk.api.StopVerbs`."""

    def __init__(self, workspace: Workspace, coverage: Callable[[], Sequence[Coverage]]) -> None:
        self._workspace = workspace
        self._coverage = coverage
        self._told_alone = False

    async def coverage(self) -> Sequence[Coverage]:
        """What protects each open position."""
        return self._coverage()

    async def stops(self) -> Sequence[Stop]:
        """All that are not final, and those that ended today."""
        return [
            stop
            for desk in self._workspace.accounts.values()
            for stop in desk.stops.stops
            if not stop.state.is_final or ist_date(stop.closed_at or 0) == ist_date(desk.clock.now())
        ]

    async def preview(self, position: PositionKey, trigger: Price, backstop: Price | None = None) -> StopPreview:
        """What a stop at a price would mean; `denied` says why it cannot be armed there."""
        desk = self._workspace.account(position.account)
        instrument = listed(desk, position.instrument)
        held = open_position(desk.state.reading, position)
        snapped = to_tick(trigger, instrument.tick_size, Rounding.NEAREST)
        last = desk.last_price(instrument.id) or held.last_price
        denied = ""
        try:
            desk.rights.deny()
            deny_trigger(held, instrument, snapped, last)
            deny_backstop(held, instrument, StopPlan(snapped, backstop=backstop))
            self._deny_unreachable(desk, held, snapped, backstop)
        except Denied as refusal:
            denied = str(refusal)
        outcome, at = desk.outcome(held), max(snapped, instrument.tick_size)
        distance = last - snapped
        return StopPreview(
            trigger=snapped,
            quantity=abs(held.quantity),
            outcome=outcome.open_part(at),
            day_outcome=outcome.day_result(at),
            beyond=_beyond(desk.stops.circuit_limits(instrument.id), snapped),
            at_risk=self._risk(held, last, snapped),
            distance=distance,
            distance_percent=(Decimal(distance * 100) / last).quantize(HUNDREDTH) if last else Decimal(0),
            denied=denied,
            backstop=None if denied or backstop is None else await self._backstop(desk, held, snapped, backstop),
            alone=self._workspace.alone(),
        )

    def _deny_unreachable(self, desk: AccountDesk, held: Position, trigger: Price, distance: Price | None) -> None:
        """Raises Denied where today's prices end before the backstop: the exchange takes no order there. A trigger
        (GTT) rests over days, each with limits of its own."""
        instrument = listed(desk, held.key.instrument)
        plan = StopPlan(trigger, backstop=distance)
        stop = fresh_stop(held, instrument, plan, abs(held.quantity), desk.clock.now(), trigger)
        want = desk.stops.backstops.wanted(stop)
        if want is None or desk.stops.backstops.triggers.takes(stop):
            return
        limit = _beyond(desk.stops.circuit_limits(instrument.id), want.trigger)
        if limit is not None:
            at, end = (said_price(price, instrument.price_scale) for price in (want.trigger, limit))
            raise Denied(
                f"The backstop would rest at {at}, beyond today's circuit limit of {end}.", "Choose a smaller distance."
            )

    async def _backstop(
        self, desk: AccountDesk, held: Position, trigger: Price, distance: Price
    ) -> BackstopPreview | None:
        """Where it would rest, and what the broker says that it blocks."""
        instrument = listed(desk, held.key.instrument)
        plan = StopPlan(trigger, backstop=distance)
        stop = fresh_stop(held, instrument, plan, abs(held.quantity), desk.clock.now(), trigger)
        want = desk.stops.backstops.wanted(stop)
        if want is None:
            return None
        if desk.stops.backstops.triggers.takes(stop):
            return BackstopPreview(want.trigger, want.price, 0, gtt=True)
        order = OrderRequest(
            held.key.account, instrument.id, stop.side, want.quantity, held.key.product, OrderKind.SL, want.price,
            want.trigger,
        )  # fmt: skip
        try:
            return BackstopPreview(want.trigger, want.price, (await desk.broker.cost(order, want.price)).margin)
        except AppError as failure:
            return BackstopPreview(want.trigger, want.price, None, failure.cause)

    async def foresee(self, position: PositionKey, plan: StopPlan) -> StopPreview:
        """What a whole plan would mean. A trigger or target of an underlying has no outcome."""
        desk = self._workspace.account(position.account)
        instrument = listed(desk, position.instrument)
        held = open_position(desk.state.reading, position)
        looks = plan.source is TriggerSource.UNDERLYING
        level = plan.last_trigger or held.last_price if looks else plan.trigger
        foreseen = await self.preview(position, level, plan.backstop)
        units = foreseen.quantity if plan.quantity is None else min(plan.quantity, foreseen.quantity)
        found: dict[str, Any] = {"quantity": units, "at_risk": foreseen.at_risk * units // max(1, foreseen.quantity)}
        try:
            desk.rights.deny()
            deny_plan(held, instrument, plan, desk.last_price(instrument.id) or held.last_price)
            if plan.time_exit is not None:
                found["leaves_at"] = desk.hours.exit_at(instrument, plan.time_exit, desk.clock.now())
            if plan.trail is not None and plan.trail.kind is TrailKind.ATR:
                looked = listed(desk, plan.underlying) if looks and plan.underlying else instrument
                reach = await desk.surroundings.average_range(looked, plan.trail) * Fraction(plan.trail.amount)
                found["average_range"] = -int(-reach // 1)
            found["denied"] = ""
        except AppError as refusal:
            found["denied"] = str(refusal)
        if looks and plan.underlying is not None:
            found["looks_at"] = desk.last_price(plan.underlying)
        elif plan.target is not None:
            found["target_outcome"] = desk.outcome(held).open_part(max(plan.target, instrument.tick_size))
            found["target_beyond"] = _beyond(desk.stops.circuit_limits(instrument.id), plan.target)
        if units < foreseen.quantity:  # its share of the money
            for name in {"outcome", "target_outcome"} & {"outcome", *found}:
                found[name] = found.get(name, foreseen.outcome) * units // foreseen.quantity
            found["day_outcome"] = None  # the day goes on with what is left
        return replace(foreseen, **found)

    async def underlying(self, instrument: InstrumentId) -> InstrumentId | None:
        """What a contract is written on."""
        return self._workspace.underlyings.of(self._workspace.instrument(instrument))

    async def resume(self, stop: StopId, plan: StopPlan) -> Stop:
        """The answer to a suspended stop."""
        return await self._owner(stop).stops.resume(stop, plan)

    async def day_stops(self) -> Sequence[DayStop]:
        """One for each account."""
        for desk in self._workspace.accounts.values():
            await desk.day_stop.load()
        return [desk.day_stop.stop for desk in self._workspace.accounts.values()]

    async def set_day_limits(self, account: AccountId, limits: DayLimits) -> DayStop:
        """Tighter ones today, looser ones from tomorrow."""
        return await self._workspace.account(account).day_stop.set_limits(limits)

    @staticmethod
    def _risk(held: Position, last: Price, trigger: Price) -> int:
        """What would be lost from the last price to the trigger, in paise."""
        return abs(held.quantity * held.multiplier * (last - trigger)) * 100 // held.price_scale

    async def arm(self, position: PositionKey, plan: StopPlan) -> Stop:
        """Returns when the exit is durable and the level watches."""
        desk = self._workspace.account(position.account)
        self._workspace.deny_replaced()
        desk.rights.deny()
        armed = await desk.stops.arm(position, plan)
        alone = self._workspace.alone()
        if alone and not self._told_alone:
            self._told_alone = True
            title, _, rest = alone.partition(": ")
            self._workspace.publish(Noticed(Level.INFO, title, rest[:1].upper() + rest[1:], repeat_key="alone"))
        return armed

    async def move(self, stop: StopId, trigger: Price) -> Stop:
        """Another level."""
        return await self._owner(stop).stops.move(stop, trigger)

    async def change(self, stop: StopId, plan: StopPlan) -> Stop:
        """Another plan."""
        return await self._owner(stop).stops.change(stop, plan)

    async def disarm(self, stop: StopId) -> Stop:
        """Ends the watch."""
        return await self._owner(stop).stops.disarm(stop)

    async def audit(self, limit: int = 200) -> Sequence[AuditLine]:
        """The newest lines of the audit trail, newest first."""
        return [
            AuditLine(entry.at, entry.account, entry.subject, entry.what, entry.detail)
            for entry in await self._workspace.journal.audit_lines(limit)
        ]

    def _owner(self, stop: StopId) -> AccountDesk:
        for desk in self._workspace.accounts.values():
            if any(known.id == stop for known in desk.stops.stops):
                return desk
        raise Denied("There is no such stop.", "See the stops list.")


def _beyond(limits: Bounds, level: Price) -> Price | None:
    """The circuit limit that no price passes today on its way to a level."""
    if limits.lowest is not None and level < limits.lowest:
        return limits.lowest
    return limits.highest if limits.highest is not None and level > limits.highest else None
