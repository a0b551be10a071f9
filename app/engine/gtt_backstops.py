"""Triggers (GTT) that rest at the broker over days behind stops of delivery. Loop thread only.

`gtt_plan` decides; here is the I/O around it. A trigger is in the journal before it leaves, and is known again by its
number. It is written after its stop is armed, follows it, and is deleted when the stop fires, ends, or is not there any
more; then the broker's list proves that it is gone, or names the order that it sent: that order gets the mark of its
stop and is an exit like any other. A trigger that the journal does not know is somebody else's, and is left alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from app.domain.backstop import RestingState, RestingTrigger
from app.domain.calendar import ist_date
from app.domain.errors import AppError, Denied, OutcomeUnknown, Rejected, Unreachable
from app.domain.gtt import Gtt, GttLeg, GttRequest, as_asked
from app.domain.ids import GttId, InstrumentId, StopId, Tag
from app.domain.instrument import Instrument
from app.domain.money import Price, in_rupees
from app.domain.order import Purpose
from app.domain.stop import FIRST_BACKSTOP, FIRST_TRIGGERED, Stop, StopState
from app.engine.account import AccountState
from app.engine.backstop_plan import Nothing, Wanted, stands
from app.engine.delivery import DELIVERED
from app.engine.exit_plan import LOOKUP_SPACING, LOOKUPS
from app.engine.gtt_book import GttJournal, TriggerBook
from app.engine.gtt_plan import Delete, Rewrite, Write, leg_of, next_action
from app.engine.orders import OrderManager
from app.engine.record import StopRecord
from app.engine.watching import Watching
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

ROUNDS = 30
"""Actions in a row for one stop before it is left for the next change."""
ASKING_SECONDS = 5.0
"""Between two looks for a trigger that nobody answered for."""
LOOKED_SECONDS = 5.0
"""How long recovery waits to hear which triggers have fired meanwhile."""
TOLD_AFTER = 3
"""Failures to take one back before the trader is called."""


class GttBackstops:
    """Owner of the triggers behind one account's stops."""

    def __init__(
        self,
        state: AccountState,
        orders: OrderManager,
        record: StopRecord,
        journal: GttJournal,
        stops: Mapping[StopId, Stop],
        watching: Watching,
        known: Callable[[InstrumentId], Instrument],
        last_price: Callable[[InstrumentId], Price | None],
        wanted: Callable[[Stop], Wanted | None],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._orders = orders
        self._record = record
        self._journal = journal
        self._stops = stops
        self._watching = watching
        self._known = known
        self._last_price = last_price
        self._wanted = wanted
        self._tasks = tasks
        self._book = TriggerBook(state, journal, tasks)
        self._book.on_change, self._book.on_listed = self._changed, self._listed
        self._looked = asyncio.Event()
        """The journal's are known, and the broker's list was read in this session where there are any."""
        self._busy: set[StopId] = set()
        self._again: set[StopId] = set()
        self._given_up: dict[StopId, GttLeg] = {}
        """What could not be had: not asked for again until something else is wanted."""
        self._changes: dict[Tag, tuple[str, int]] = {}
        """Day, and how often it was changed on it."""
        self._taken: set[Tag] = set()
        """Ours to end."""
        self._failures: dict[StopId, int] = {}
        orders.gtts.on_read.append(self._book.hear)
        self.told: Callable[[Gtt], None] = self._book.told
        """The broker says by itself how one trigger stands."""
        self.open_of: Callable[[StopId], list[RestingTrigger]] = self._book.open_of
        """Those behind a stop that may still act, oldest first."""
        self.book = self._book

    def takes(self, stop: Stop) -> bool:
        """Whether a trigger stands behind it, and no order of the day."""
        return stop.key.product in DELIVERED and stop.plan.backstop is not None and self._orders.gtts.able

    @property
    def backed(self) -> dict[StopId, int]:
        """Units that rest behind each stop."""
        return self._book.backed

    @property
    def ids(self) -> set[GttId]:
        """The broker's numbers of ours."""
        return self._book.ids

    # -- session -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A session is there, as a rule of another day."""
        self._given_up = {}  # what still fails in the last session gives nothing up in this one
        self._looked.clear()
        if self._orders.gtts.able:
            self._tasks.start(self._look(), f"triggers behind stops of {self._state.account}")
        else:
            self._looked.set()

    async def looked(self) -> None:
        """Until it is known which of them have fired while nobody was here, or that cannot be told for now."""
        try:
            async with asyncio.timeout(LOOKED_SECONDS):
                await self._looked.wait()
        except TimeoutError:
            log.info("the triggers of %s are not known yet", self._state.account)

    async def reread(self) -> None:
        """With every reconciliation: one may have been deleted elsewhere, or have fired, and no broker need tell of it.
        Raises AppError."""
        if self._book.open and self._orders.gtts.able:
            await self._orders.gtts.read()
        if self._book.misses:
            await asyncio.sleep(LOOKUP_SPACING)
            await self._orders.gtts.read()

    async def _look(self) -> None:
        while self._state.active and not self._looked.is_set():
            try:
                await self._book.load()
                if self._book.open:
                    await self._orders.gtts.read()
            except AppError as failure:
                log.info("triggers behind stops: %s", failure)
                self._unknown(failure)
                await asyncio.sleep(LOOKUP_SPACING)
            else:
                self._looked.set()
        for one in self._book.open:
            self._begin_aligning(one.stop)

    def _unknown(self, failure: AppError) -> None:
        """Said aloud for each stop that asks for one; the same words are told once."""
        for stop in self._stops.values():
            if stop.state is StopState.ARMED and self.takes(stop):
                told = "The triggers (GTT) behind stops cannot be read yet; the local stop stands."
                self._record.alarm(stop, told, failure.next_step, str(failure))

    # -- keeping in step ---------------------------------------------------------------------------------------------

    def follow(self, stop: Stop) -> None:
        """A stop has changed: what rests behind it is brought in step, soon."""
        if self.takes(stop) or self.open_of(stop.id):
            self._begin_aligning(stop.id)

    async def settle(self, stop: StopId) -> None:
        """A position seems to be closed elsewhere: what the triggers of its stop have sent is known when this returns,
        as far as the broker can be read."""
        for _ in range(LOOKUPS + 1):
            if not self.open_of(stop):
                return
            try:
                await self._orders.gtts.read()
                await self._state.read_orders()
            except AppError as failure:
                log.info("triggers of %s: %s", self._state.account, failure)
                await asyncio.sleep(LOOKUP_SPACING)
            else:
                return

    def _begin_aligning(self, stop: StopId) -> None:
        if stop in self._busy:
            self._again.add(stop)
        elif self._state.active:
            self._busy.add(stop)
            self._tasks.start(self._align(stop), f"trigger behind {stop}")

    async def _align(self, stop: StopId) -> None:
        try:
            await self._looked.wait()
            for _ in range(ROUNDS):
                self._again.discard(stop)
                if await self._one(stop) and stop not in self._again:
                    break
        finally:
            self._busy.discard(stop)

    async def _one(self, stop_id: StopId) -> bool:
        """One action. True: there is nothing (more) to do for now."""
        stop = self._stops.get(stop_id)
        resting = self.open_of(stop_id)
        if not self._orders.gtts.able:
            return True
        if stop is None:  # of an earlier run, and forgotten since
            return not resting or await self._delete(Delete(resting[-1], "no stop of it is known"), Purpose.EXIT)
        if stop.state in (StopState.SUSPENDED, StopState.ARMING):
            return True
        want = self._want(stop)
        if stop.state is StopState.ARMED and not self._is_watched(stop_id):
            return True
        if want is not None and (self._given_up.get(stop_id) == want or self._book.acts(stop_id)):
            return True
        last = self._last_price(stop.key.instrument) or stop.seen_price
        changes = self._changed_today(resting[0].tag) if resting else 0
        action = next_action(stop, want, resting, last, changes)
        if isinstance(action, Nothing):
            return True
        if isinstance(action, Delete):
            # Behind a stop that fired it is wide: exits that are not out yet go first.
            fired = stop.state in (StopState.FIRED, StopState.EXITING)
            return await self._delete(action, Purpose.REPRICE if fired else Purpose.EXIT)
        given_up = self._given_up
        try:
            await (self._write(stop, action) if isinstance(action, Write) else self._rewrite(stop, action))
        except AppError as failure:
            if want is not None:
                given_up[stop_id] = want
            if given_up is self._given_up:
                told = "The trigger (GTT) behind it could not be kept in step; the local stop stands."
                self._record.alarm(stop, told, failure.next_step, str(failure))
            self._record.note(stop, "backstop failed", str(failure))
            return True
        return False

    def _want(self, stop: Stop) -> GttLeg | None:
        want = self._wanted(stop) if self.takes(stop) else None
        return None if want is None else leg_of(stop, want, limited=self._orders.wire.limits_triggers)

    def _is_watched(self, stop: StopId) -> bool:
        watch = self._watching.of(stop)
        return watch is not None and not watch.fired

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _write(self, stop: Stop, action: Write) -> None:
        listed = await self._orders.gtts.read()
        instrument, leg = stop.key.instrument, action.leg
        alike = tuple(g.id for g in listed if g.instrument == instrument and as_asked(g.legs) == (leg,))
        tag, held, now = self._next_tag(stop), await self._book.position(instrument, leg), self._state.clock.now()
        one = RestingTrigger(tag, stop.id, instrument, leg, RestingState.ASKED, now, alike=alike, held=held)
        await self._book.ask(one, f"trigger (GTT) {_words(stop, leg)}")
        gone = replace(one, state=RestingState.GONE)
        fits = partial(self._stands, stop.id, leg)
        if not fits():
            self._book.answered(one.tag)  # while the journal wrote
            await self._book.keep(gone, "backstop not sent", "the stop moved on")
            return
        try:
            place = partial(self._orders.gtts.place, purpose=Purpose.PROTECT, fits=fits)
            number = await place(self._request(stop, leg), self._known(instrument))
        except AppError as failure:
            self._book.answered(one.tag)
            if isinstance(failure, OutcomeUnknown) or isinstance(failure.__cause__, OutcomeUnknown):
                # It may turn up yet: nothing is put beside it before that is known.
                self._tasks.start(self._ask(one.tag), f"was the trigger of {stop.id} placed")
            else:
                await self._book.keep(gone, "backstop refused", str(failure))
                if not fits():
                    return  # while it waited for its turn
            raise
        self._book.answered(one.tag)
        if self._book[one.tag].state is RestingState.ASKED:
            await self._book.keep(
                replace(one, gtt=number, state=RestingState.RESTING), "backstop rests", f"GTT {number}"
            )

    def _stands(self, stop_id: StopId, leg: GttLeg) -> bool:
        """Its stop has not fired or ended, nor has it moved behind it."""
        stop = self._stops[stop_id]
        now = self._wanted(stop) if self.takes(stop) and self._is_watched(stop_id) else None
        return stands(stop, now, leg.trigger, leg.quantity)

    async def _ask(self, tag: Tag) -> None:
        """Until the list has shown it, or that can be ruled out."""
        while self._state.active and self._book[tag].state is RestingState.ASKED:
            await asyncio.sleep(ASKING_SECONDS)
            try:
                await self._orders.gtts.read()
            except AppError as failure:
                log.info("triggers of %s: %s", self._state.account, failure)

    async def _rewrite(self, stop: Stop, action: Rewrite) -> None:
        one, number = action.trigger, action.trigger.gtt or GttId("")
        self._changes[one.tag] = (self._today(), self._changed_today(one.tag) + 1)
        purpose = Purpose.EXIT if action.urgent else Purpose.PROTECT
        fits = partial(self._stands, stop.id, action.leg)
        try:
            change = partial(self._orders.gtts.modify, number, purpose=purpose, fits=fits)
            await change(self._request(stop, action.leg), self._known(stop.key.instrument))
        except Unreachable:
            if not fits():
                return  # while it waited for its turn; beside the exit of its stop it would sell a second time
            raise
        except Rejected:
            await self._orders.gtts.read()  # it may have fired, or be gone
            if not self._book[one.tag].state.is_open:
                return
            raise
        self._book.answered(one.tag)
        current = self._book[one.tag]
        if current.state is RestingState.RESTING:
            await self._book.keep(replace(current, leg=action.leg), "backstop moved", f"GTT {_words(stop, action.leg)}")

    async def _delete(self, action: Delete, purpose: Purpose) -> bool:
        """Until the list shows what became of it. True: not for now."""
        one = action.trigger
        if one.gtt is None:
            return True
        if one.tag not in self._taken:
            self._taken.add(one.tag)
            self._note(one, "backstop taken back", f"GTT {one.gtt}: {action.reason}")
        try:
            try:
                await self._orders.gtts.delete(one.gtt, purpose=purpose)
            except Rejected as refusal:
                log.info("trigger %s: %s", one.gtt, refusal)  # fired meanwhile, or ended: the list tells
            await self._orders.gtts.read()
        except AppError as failure:
            self._failed(one, failure)
        if not self._book[one.tag].state.is_open:
            self._failures.pop(one.stop, None)
            return False
        await asyncio.sleep(LOOKUP_SPACING)
        return not self._state.active

    def _failed(self, one: RestingTrigger, failure: AppError) -> None:
        count = self._failures[one.stop] = self._failures.get(one.stop, 0) + 1
        self._note(one, "backstop failed", str(failure))
        stop = self._stops.get(one.stop)
        if count == TOLD_AFTER and stop is not None:
            told = f"The trigger (GTT) {one.gtt} behind it could not be taken back yet."
            self._record.alarm(stop, told, "Stopline keeps trying; delete it at the broker.", str(failure))

    def _request(self, stop: Stop, leg: GttLeg) -> GttRequest:
        last = self._last_price(stop.key.instrument) or stop.seen_price or stop.trigger
        return GttRequest(stop.key.account, stop.key.instrument, last, (leg,))

    def _next_tag(self, stop: Stop) -> Tag:
        """Raises Denied when the numbers of this arming are used up."""
        for number in range(FIRST_TRIGGERED, FIRST_BACKSTOP):
            if stop.tag(number) not in self._book:
                return stop.tag(number)
        raise Denied("The trigger was placed too often.", "Disarm the stop and arm it anew.")

    # -- what the broker says ----------------------------------------------------------------------------------------

    def _listed(self, stop: StopId) -> None:
        """An orphan is swept, also where an earlier try failed."""
        known = self._stops.get(stop)
        if known is None or known.state is not StopState.ARMED:
            self._begin_aligning(stop)

    def _changed(self, before: RestingTrigger, now: RestingTrigger, why: str) -> None:
        stop = self._stops.get(now.stop)
        if stop is None:
            return
        gone = now.state is RestingState.GONE and now.tag not in self._taken
        if gone and stop.state is StopState.ARMED:
            self._lost(stop, before, why)
        self.follow(stop)

    def _lost(self, stop: Stop, one: RestingTrigger, why: str) -> None:
        """The broker or somebody else ended it: nobody fights over it."""
        want = self._want(stop)
        if want is not None:
            self._given_up[stop.id] = want
        what = "is gone" if one.gtt is not None else "never reached the broker"
        told = f"The trigger (GTT) behind it {what}; the local stop stands alone."
        self._record.alarm(stop, told, "Move the stop to place it.", why)

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _today(self) -> str:
        return ist_date(self._state.clock.now()).isoformat()

    def _changed_today(self, tag: Tag) -> int:
        day, count = self._changes.get(tag, ("", 0))
        return count if day == self._today() else 0

    def _note(self, one: RestingTrigger, what: str, detail: str) -> None:
        stop = self._stops.get(one.stop)
        if stop is not None:
            self._record.note(stop, what, detail)
        else:
            log.info("trigger %s of a stop that is not known: %s, %s", one.gtt, what, detail)


def _words(stop: Stop, leg: GttLeg) -> str:
    return f"{leg.side} {leg.quantity} at {in_rupees(leg.trigger, stop.price_scale)}"
