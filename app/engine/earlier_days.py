"""What exits and triggers (GTT) of a stop with units of its own sold on earlier days. No order of those days is listed,
and the position does not tell its units from others': the journal counts, and the position bounds what it has not seen.
Loop thread only.

Unknown is not flat: where the end of a trigger's order was not seen, the stop keeps what may be left, and says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from app.domain.backstop import RestingTrigger
from app.domain.calendar import ist_date, midnight_seconds
from app.domain.errors import StorageError
from app.domain.ids import StopId
from app.domain.stop import Stop, StopState
from app.engine.account import AccountState, PositionReading
from app.engine.gtt_backstops import GttBackstops
from app.engine.record import StopRecord
from app.runtime.loop import Tasks


@dataclass(frozen=True, slots=True)
class Sold:
    """What the triggers of one stop sold on earlier days."""

    units: int = 0
    guessed: tuple[RestingTrigger, ...] = ()
    """Those whose order nobody saw end, with what it is taken to have filled."""
    proven: bool = True
    """The position shows it to be so; else it is the least that it can be, or a likely figure."""


def sold_of(rows: list[RestingTrigger], held: int | None, settled: bool, others: int) -> Sold:
    """`held`: units of the position now; None: not known. `settled`: they trade, so that nothing is on its way into a
    holding. `others`: units that other orders of the same stop are known to have closed meanwhile."""
    units = sum(row.filled or 0 for row in rows)
    guessed, proven = [], True
    for row in rows:
        if row.filled is not None:
            continue
        least, most = row.heard or 0, row.leg.quantity
        # What was heard of counts until the position is certain; of what nobody heard it is all that there is to go by.
        usable = settled or row.heard is None
        gone = row.held - held - others - units if usable and held is not None and row.held is not None else None
        filled = least if gone is None else max(least, min(gone, most))
        proven = proven and gone == filled
        units += filled
        guessed.append(replace(row, filled=filled))
    return Sold(units, tuple(guessed), proven)


class EarlierDays:
    """Of one account's stops; asked once for each after a login."""

    def __init__(
        self,
        state: AccountState,
        record: StopRecord,
        stops: Mapping[StopId, Stop],
        triggers: GttBackstops,
        changed: Callable[[Stop], None],
        close: Callable[[Stop, str], Awaitable[None]],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._record = record
        self._stops = stops
        self._triggers = triggers
        self._changed = changed
        self._close = close
        self._tasks = tasks
        triggers.book.on_fired.append(self._on_fired)

    async def settle(self, stop: Stop, reading: PositionReading, *, settled: bool) -> Stop | None:
        """The stop with what is left of its units; None: nothing was, and it is closed."""
        if self._state.orders.of(stop.id):
            return stop
        rows = self._triggers.book.sent_by(stop.id)
        if stop.plan.quantity is None:
            return stop  # what the position has is its own
        closed = await self._closed_by(stop)
        held = reading.quantity(stop.key) * -stop.side.sign if reading.knows(stop.key) else None
        sold = sold_of(rows, held, settled, max(0, closed - stop.closed_before))
        # Of one that fired the units are those of then; the position has the last word on one that waits.
        fired = stop.state in (StopState.FIRED, StopState.EXITING)
        since = max(0, closed + sold.units - stop.closed_before)
        left = (min(stop.quantity, stop.plan.quantity) if fired else stop.plan.quantity) - since
        if sold.guessed and not sold.proven:
            self._tell_guess(stop, sold, max(0, left))
        if left <= 0:
            if left < 0:  # the program ended before it was taken back, and what was sold then is settled now
                told = "Its exit and its trigger (GTT) both traded on an earlier day:"
                more = f"{told} {-left} units more than it guarded."
                ask = "Check the position and the holding; what was sold short goes to auction."
                self._record.alarm(stop, more, ask)
            elif fired and sold.units:
                await self._tell_unseen(stop, 0)
            how = "its trigger (GTT) sold them" if sold.units else "its exits closed them"
            await self._close(stop, f"{how} on an earlier day")
            return None
        if fired:
            await self._tell_unseen(stop, left)
        if since:
            plan = replace(stop.plan, quantity=stop.plan.quantity - since)
            stop = replace(stop, quantity=min(stop.quantity, left), plan=plan, closed_before=closed + sold.units)
            self._changed(stop)
            await self._record.keep(stop, "resized", f"{since} units were closed on an earlier day")
        for row in sold.guessed:
            await self._triggers.book.take_as_ended(row)
        return stop

    def _on_fired(self, row: RestingTrigger) -> None:
        """A stop that ended on an earlier day may hear only now that its trigger has fired as well."""
        stop = self._stops.get(row.stop)
        if stop is None or stop.state is not StopState.CLOSED or stop.closed_at is None:
            return
        if ist_date(stop.closed_at) != ist_date(self._state.clock.now()):  # of today the order itself tells
            self._tasks.start(self._tell_both(stop, row.leg.quantity), f"trigger of {stop.id}, which has ended")

    async def _tell_both(self, stop: Stop, by_trigger: int) -> None:
        more = await self._closed_by(stop) - stop.closed_before + by_trigger - stop.quantity
        if more > 0:
            self._record.alarm(
                stop,
                "Its exit closed it on an earlier day, and its trigger (GTT) has fired as well: up to"
                f" {more} units more than it guarded may have been sold.",
                "Compare with the broker's order history and the holding; what was sold short goes to auction.",
                key="fired as well",
            )

    def _tell_guess(self, stop: Stop, sold: Sold, left: int) -> None:
        """The trader can look at the broker's own history; no list that we can read has that order any more."""
        known = sum(row.heard or 0 for row in sold.guessed)
        asked = sum(row.leg.quantity for row in sold.guessed)
        taken = sum(row.filled or 0 for row in sold.guessed)
        self._record.alarm(
            stop,
            f"Its trigger (GTT) fired on an earlier day, and nobody saw its order end: {known} of {asked} units were"
            f" seen to fill, {taken} are taken for sold, and {left} stay guarded.",
            "Compare with the broker's order history; correct the stop's quantity where it is wrong.",
            key="unseen end",
        )

    async def _tell_unseen(self, stop: Stop, left: int) -> None:
        """No list has its exits of an earlier day any more: what nobody saw end is closed again, aloud. The position
        does not tell whose units are gone, and unknown is not flat. `left`: 0 where its trigger sold them all."""
        clock = self._state.clock
        today = ist_date(clock.now())
        if stop.fired_at is None or ist_date(stop.fired_at) == today:
            return
        try:
            unseen = await self._record.unseen(stop, midnight_seconds(today) * 1_000_000_000)
        except StorageError as failure:  # it holds no exit back
            self._record.note(stop, "unknown", str(failure))
            unseen = left
        if unseen and left:
            which = f"the {left}" if unseen >= left else f"up to {unseen} of the {left}"
            may = f"{which} units that are closed now may have been closed then."
        else:
            may = f"up to {unseen} units more than it guarded may have been sold, for its trigger (GTT) sold them."
        if unseen:
            self._record.alarm(
                stop,
                f"Its exit left on an earlier day, and nobody saw its order end: {may}",
                "Compare with the broker's order history.",
                key="unseen end",
            )

    async def _closed_by(self, stop: Stop) -> int:
        try:
            return await self._record.closed_by(stop)
        except StorageError as failure:  # it holds no exit back
            self._record.alarm(stop, "What its exits closed on an earlier day cannot be read.", "Check the position.")
            self._record.note(stop, "unknown", str(failure))
            return stop.closed_before
