"""Fills of earlier days, page by page, from brokers that keep them (C6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta

from app.brokers.parts import FillPage, HistoryBroker, PastFill
from app.domain.calendar import ist_date
from app.domain.errors import BadAnswer, Denied
from app.domain.fill import Fill
from app.domain.ids import BrokerOrderId, FillId
from app.domain.sync import DataSet
from app.sync.aside import some_at_a_time
from app.sync.reader import Reader
from app.sync.target import Dates, SyncTarget

STARTS = 3
"""How often a range is read from its beginning, when pages moved while it was read."""
MOST_PAGES = 2_000


def refusal(target: SyncTarget, dates: Dates) -> Denied | None:
    """Why a broker cannot tell of these dates, in words; None when it can."""
    today = ist_date(target.now())
    if dates.since > dates.until:
        return Denied("The range ends before it begins.", "Choose another range.")
    if dates.since > today:
        return Denied("The range lies in the future.", "Choose another range.")
    if dates.since == today:
        return None  # it is the list of the day
    days = target.info.history_days if target.info is not None else None
    keeps = target.broker is None or isinstance(target.broker, HistoryBroker)
    if not keeps or days == 1:
        return Denied(
            f"{target.broker_title} gives the trades of today only; those from {_day(dates.since)} to "
            f"{_day(dates.until)} are not to be had over its API.",
            "Download the tradebook of these dates from the broker's web site (at Zerodha: Console, Reports, "
            "Tradebook) and import the file.",
        )
    if days is not None and dates.since < today - timedelta(days=days):
        first = (today - timedelta(days=days)).isoformat()
        return Denied(
            f"{target.broker_title} keeps trades of the last {days} days: from {first} on.",
            "Choose a later beginning, and import a file for what is older.",
        )
    return None


def _day(on: date) -> str:
    return f"{on.day} {on:%b %Y}"


async def read_range(broker: HistoryBroker, reader: Reader, dates: Dates) -> list[PastFill]:
    """Every fill of the dates. Pages that moved meanwhile, that repeat or that are none after the first, are read again
    from the first.

    Raises BadAnswer when they never come out right: a part is never taken for the whole.
    """
    reading = _Reading()
    for _ in range(STARTS):
        found = await reading.pages(broker, reader, dates)
        if found is not None:
            return found
    raise reading.odd or BadAnswer(
        f"The broker's pages of {dates} do not fit together.", "Try again later.", detail=f"{STARTS} readings differed"
    )


class _Reading:
    """One range's, as often as it is begun."""

    def __init__(self) -> None:
        self.odd: BadAnswer | None = None
        """What came last in place of a page."""

    async def pages(self, broker: HistoryBroker, reader: Reader, dates: Dates) -> list[PastFill] | None:
        """All of them, or None when they do not fit together. Raises what the first page does."""
        self.odd = None
        found: dict[object, PastFill] = {}
        heard = number = 0
        pages, empty = 1, False
        while number < pages:
            number += 1
            try:
                page = await _page(broker, reader, dates, number)
            except BadAnswer as odd:
                if number == 1:
                    raise
                self.odd = odd
                return None
            pages = page.pages
            if pages > MOST_PAGES:
                return None
            empty |= number < pages and not page.fills
            there: dict[object, PastFill] = {
                past.fill.id if past.fill.id.trade_id else (number, place): past
                for place, past in enumerate(page.fills)
            }
            if not found.keys().isdisjoint(there):
                return None  # one that stood on an earlier page: the pages moved, and another was passed over
            found |= there
            heard += len(page.fills)
            if number >= pages and (empty if page.total is None else heard != page.total):
                return None  # an empty page between others is a gap, unless the sum is right without it
        return list(found.values())


async def _page(broker: HistoryBroker, reader: Reader, dates: Dates, number: int) -> FillPage:
    return await reader.read(DataSet.TRADES, lambda: broker.fills_between(dates.since, dates.until, number))


async def completed(past: Iterable[PastFill], known: Mapping[FillId, Fill]) -> list[tuple[Fill, str]]:
    """Past fills with what the book knows better: a history often lacks the order, the time and the product.

    One whose order is not known is looked for by exchange, date, trade id and side, so that it is not counted twice.
    """
    by_rest: dict[tuple[str, ...], Fill] = {}
    async for fills in some_at_a_time(known.values()):
        by_rest.update((without_order(fill), fill) for fill in fills)
    done: list[tuple[Fill, str]] = []
    async for some in some_at_a_time(past):
        done += [(_completed(item, known, by_rest), item.raw) for item in some]
    return done


def _completed(item: PastFill, known: Mapping[FillId, Fill], by_rest: Mapping[tuple[str, ...], Fill]) -> Fill:
    fill = item.fill
    ours = known.get(fill.id) if item.order_known else by_rest.get(without_order(fill))
    if ours is None:
        return fill
    fill = replace(fill, source=ours.source)
    if not item.order_known:
        fill = replace(fill, id=ours.id, broker_order_id=BrokerOrderId(ours.broker_order_id))
    if not item.time_known:
        fill = replace(fill, filled_at=ours.filled_at)
    if not item.product_known:
        fill = replace(fill, product=ours.product)
    return fill


def without_order(fill: Fill) -> tuple[str, ...]:
    """What tells a fill apart where its order is not known."""
    identity = fill.id
    return identity.broker, identity.exchange, identity.segment, identity.trade_date, identity.trade_id, identity.side
