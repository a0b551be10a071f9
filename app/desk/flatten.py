"""Flatten all: cancels what works, exits what is open, and says what the broker's books show afterwards (F9).

Positions leave through their stops, whose followers know what is on its way already: nothing is sold twice. Holdings
and triggers are touched only when asked for, orders from elsewhere too. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial

from app.desk.account import AccountDesk
from app.desk.flatten_asked import Work, delete_triggers, sell_holdings
from app.desk.flatten_books import (
    choice_words,
    closing,
    counted,
    key_of,
    open_positions,
    orphan_triggers,
    out_of_reach,
    position_words,
    running,
    working,
)
from app.desk.flatten_messages import FlattenChoice, FlattenPlan, FlattenReport
from app.desk.flatten_reading import EXITING, books, plan_of, together
from app.desk.patience import READ_SECONDS, patiently, soon
from app.desk.workspace import Workspace
from app.domain.errors import AppError, Denied, NotYet, Unreachable
from app.domain.events import AuditEntry, Level, Noticed
from app.domain.instrument import Product
from app.domain.money import said_price
from app.domain.order import Order, OrderStatus, Purpose
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import FiredBy
from app.engine.entry_bar import NoEntries
from app.engine.exit_plan import LOOKUP_SPACING
from app.engine.placing import unanswered
from app.engine.reads import Haste

log = logging.getLogger(__name__)

CANCEL_SECONDS = 5.0
"""Until cancelled orders must be gone from the book; then the exits go out all the same where no order of the trader's
could sell the position as well."""
EXIT_SECONDS = 60.0
LOOK_SECONDS = 0.3


class FlattenDesk:
    """Implements `desk.api.FlattenVerbs`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._busy = False

    async def plan(self, choice: FlattenChoice) -> FlattenPlan:
        """What there is to cancel and to exit, read now. Raises Denied when nobody is logged in."""
        plan = together(await asyncio.gather(*(plan_of(desk) for desk in self._desks(choice))))
        return replace(plan, out_of_reach=self._out_of_reach(choice))

    async def run(self, choice: FlattenChoice) -> FlattenReport:
        """Does it, in all accounts at once. What fails is in the report, in words. Raises Denied when it is being
        done already, or nobody is logged in."""
        if self._busy:
            raise Denied("Everything is being flattened already.", "Wait until that has ended.")
        works = [Work(desk, choice) for desk in self._desks(choice)]
        self._busy = True
        began = asyncio.get_running_loop().time()
        try:
            await asyncio.gather(*(self._flatten(work) for work in works))
        finally:
            self._busy = False
        took = int((asyncio.get_running_loop().time() - began) * 1000)
        report = FlattenReport(
            tuple(work.desk.account for work in works),
            sum(work.cancelled for work in works),
            sum(len(work.exited) for work in works),
            sum(work.sold for work in works),
            sum(work.deleted for work in works),
            sum(work.paused for work in works),
            (*(words for work in works for words in work.failed), *self._out_of_reach(choice)),
            tuple(words for work in works for words in (*sorted(work.left), *work.alone)),
            took,
        )
        self._tell(report)
        return report

    def _tell(self, report: FlattenReport) -> None:
        """Whoever asked may look elsewhere meanwhile. What is not flat is loud, until another try shows that it is."""
        if report.verified:
            done = [f"{counted(report.cancelled, 'order')} cancelled", f"{counted(report.exited, 'position')} exited"]
            done += [f"{counted(report.sold, 'holding')} sold"] if report.sold else []
            done += [f"{counted(report.deleted, 'trigger')} deleted"] if report.deleted else []
            told = Noticed(Level.INFO, "Verified flat", f"{', '.join(done)}.", repeat_key="flatten over:all")
        else:
            left = "; ".join(report.not_flat)
            told = Noticed(Level.ALARM, "Not everything is flat", left, "See to it now.", repeat_key="flatten:all")
        self._workspace.publish(told)

    def _desks(self, choice: FlattenChoice) -> list[AccountDesk]:
        if choice.accounts:
            desks = [self._workspace.account(account) for account in choice.accounts]
            for desk in desks:
                if not desk.active:
                    raise Denied(f"{desk.account} is not logged in.", "Log in, or flatten at the broker's own site.")
            return desks
        desks = list(self._workspace.live())
        if not desks:
            raise Denied("No account is logged in.", "Log in, or flatten at the broker's own site.")
        return desks

    def _out_of_reach(self, choice: FlattenChoice) -> tuple[str, ...]:
        """All accounts were asked for: one whose session has died is not flat because the others are."""
        asleep = [] if choice.accounts else [desk for desk in self._workspace.accounts.values() if not desk.active]
        return tuple(words for desk in asleep if (words := out_of_reach(desk)))

    # -- one account -------------------------------------------------------------------------------------------------

    async def _flatten(self, work: Work) -> None:
        """Entries are refused meanwhile: what is cancelled may not be asked for again by a timer."""
        bar = work.desk.orders.bar
        bar.set(NoEntries.FLATTENING, True)
        # No exit waits for the disk.
        asked = asyncio.ensure_future(self._audit(work.desk, "asked", choice_words(work.choice)))
        pausing = asyncio.ensure_future(self._pause_strategies(work))
        try:
            await self._steps(work)
        except AppError as failure:
            work.failed.append(f"{work.desk.account}: {failure}")
        finally:
            await pausing
            bar.set(NoEntries.FLATTENING, False)
        await asked
        words = "; ".join(work.failed) or "two readings of the broker's books show it"
        await self._audit(work.desk, "not flat" if work.failed else "verified flat", words)

    async def _steps(self, work: Work) -> None:
        orders, positions, _why = await books(work.desk, READ_SECONDS)
        mine, others = working(work.desk, orders)
        doomed = [*mine, *others] if work.choice.elsewhere else mine
        # An order of the trader's that would close a position as well must be gone before its exit is sent.
        waits = {key_of(order) for order in doomed}
        await asyncio.gather(
            self._cancel(work, doomed),
            *(self._leave(work, position.key) for position in open_positions(positions) if position.key not in waits),
        )
        # A holding that nobody buys keeps no position waiting.
        await asyncio.gather(self._until_flat(work), delete_triggers(work), sell_holdings(work, self._workspace))
        await self._verify(work)

    async def _pause_strategies(self, work: Work) -> None:
        """Or the next buy time would open again what is closed now."""
        for strategy in running(work.desk):
            try:
                await work.desk.strategies.pause(strategy.plan.id)
            except AppError as failure:
                work.failed.append(f"The strategy {strategy.plan.name} could not be paused: {failure}")
            else:
                work.paused += 1

    async def _cancel(self, work: Work, doomed: Sequence[Order]) -> None:
        """Returns when the book shows them gone, or after a while."""
        if not doomed:
            return
        desk, loop = work.desk, asyncio.get_running_loop()
        cancel = partial(desk.orders.cancel, purpose=Purpose.EXIT, confirmed=True)
        await asyncio.gather(*(_quietly(cancel(order.broker_order_id)) for order in doomed))
        wanted = {order.broker_order_id for order in doomed}
        until = loop.time() + CANCEL_SECONDS
        while True:
            await _quietly(soon(desk.state.read_orders, READ_SECONDS))  # news of orders come by themselves as well
            listed = [desk.state.orders[number] for number in wanted if number in desk.state.orders]
            ended = [order for order in listed if order.status.is_final]
            if len(ended) == len(wanted) or loop.time() >= until:
                work.cancelled = sum(order.status is OrderStatus.CANCELLED for order in ended)
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _leave(self, work: Work, key: PositionKey) -> None:
        desk = work.desk
        try:
            # Without an exit line (a command beside no workstation) nothing can be fired; then no stop watches either.
            if key.product is Product.CO or not desk.stops.can_fire:
                await desk.orders.square_off(key)
            else:
                await desk.stops.leave(key, FiredBy.TRADER)
        except (NotYet, Unreachable) as failure:  # nothing was sent
            log.info("%s is tried again: %s", key.instrument, failure.cause)
        except AppError as failure:
            work.refused.setdefault(key, str(failure))  # it is asked once; whether it is flat all the same is read
        else:
            work.exited.add(key)

    async def _until_flat(self, work: Work) -> None:
        """What is open still, or has been opened by an order that filled while it was cancelled, leaves too. An order
        whose answer is on its way is waited for."""
        desk, loop = work.desk, asyncio.get_running_loop()
        until = loop.time() + EXIT_SECONDS
        patience = READ_SECONDS
        while True:
            orders, listed, why = await books(desk, patience, Haste.ROUTINE)
            patience = CANCEL_SECONDS * 2  # what had to leave at once has left
            positions = open_positions(listed)
            mine, others = working(desk, orders)
            busy = closing([*mine, *others] if work.choice.elsewhere else mine, positions)
            todo = [p.key for p in positions if p.key not in work.refused]
            on_the_way = any(s.state in EXITING for p in positions for s in desk.stops.stops_on(p.key))
            unknown = unanswered(desk.state, desk.orders.wire.queue.waiting)
            if not (todo or on_the_way or why or unknown) or loop.time() >= until:
                return
            for key in todo:
                squared = key in work.exited and not desk.stops.can_fire
                if key not in busy and not squared:
                    await self._leave(work, key)
            await asyncio.sleep(LOOK_SECONDS)

    async def _verify(self, work: Work) -> None:
        """Twice in a row, a second apart: unknown is not flat, and a late fill may be on its way."""
        found = await self._look(work)
        while True:
            before = found
            await asyncio.sleep(LOOKUP_SPACING)
            found = await self._look(work)
            if bool(found) == bool(before):
                break
        work.failed += found

    async def _look(self, work: Work) -> list[str]:
        desk = work.desk
        try:
            positions = (await patiently(desk.state.read_positions, CANCEL_SECONDS)).positions.values()
            mine, others = working(desk, await patiently(desk.state.read_orders, CANCEL_SECONDS))
        except AppError as failure:
            return [f"{desk.account}: whether it is flat could not be read. {failure}"]
        found = [_still_open(position, work.refused.get(position.key)) for position in open_positions(positions)]
        asked = [*mine, *others] if work.choice.elsewhere else mine
        found += [f"{self._words(desk, order)} still works" for order in asked]
        for order in unanswered(desk.state, desk.orders.wire.queue.waiting):
            found.append(f"{self._words(desk, order)} was sent, and what became of it is not known: it may fill")
        found += orphan_triggers(desk)
        found += [f"Order {row.number} cannot be read: it may still work" for row in desk.state.unread.now]
        work.alone = [] if work.choice.elsewhere else [f"From elsewhere: {self._words(desk, o)}" for o in others]
        return found

    @staticmethod
    def _words(desk: AccountDesk, order: Order) -> str:
        left = order.quantity - order.filled_quantity
        instrument = desk.instrument(order.instrument)
        scale = 100 if instrument is None else instrument.price_scale
        price = order.trigger_price or order.price
        return (
            f"{order.side} {left} {order.instrument} {order.kind}{f' at {said_price(price, scale)}' if price else ''}"
        )

    async def _audit(self, desk: AccountDesk, what: str, detail: str) -> None:
        entry = AuditEntry(desk.clock.now(), desk.account, "flatten all", what, detail)
        try:
            await self._workspace.journal.audit(entry)
        except AppError as failure:
            words = f"That everything is flattened ({what}) is not in the audit trail."
            self._workspace.publish(Noticed(Level.WARNING, words, str(failure), "", desk.account))


def _still_open(position: Position, refused: str | None) -> str:
    if refused is None:
        return f"{position_words(position)} is still open"
    return f"{position.key.instrument} ({position.key.product}) could not be exited: {refused}"


async def _quietly(work: Awaitable[object]) -> None:
    """What could not be cancelled, or read, shows in the book later; it may have filled meanwhile."""
    try:
        await work
    except AppError as failure:
        log.info("not yet: %s", failure)
