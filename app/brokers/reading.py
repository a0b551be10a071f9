"""What reading a broker has in common, whichever it is: JSON or not, its clock, long answers and instrument lists made
into our types while the loop gets its turn in between."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

from app.brokers.base import ExchangeClockReading
from app.brokers.documents import Facts, decode_json
from app.brokers.http import Answer, HttpClient
from app.brokers.instrument_lines import unpack
from app.brokers.rows import Row
from app.domain.account import Endpoints
from app.domain.errors import BadAnswer, BrokerError, OutcomeUnknown, Unreachable
from app.domain.ids import BrokerOrderId
from app.domain.instrument import Instrument
from app.domain.listing import InstrumentMaker
from app.domain.order import Order
from app.domain.order_list import PartlyRead, UnreadOrder
from app.runtime.clock import from_datetime
from app.runtime.helper import Helper, HelperDied

S = TypeVar("S")
T = TypeVar("T")

TOO_MANY_MALFORMED = 0.05
"""Of a list's lines; more, and it is not used."""

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.0003
"""How long rows are mapped before the loop gets its turn: a firing stop waits at most this long for us."""


@dataclass(frozen=True, slots=True)
class Beside(Generic[T]):
    """How rows are converted in the helper process."""

    kind: type[T]
    """What they become."""
    make: Callable[..., T]
    """Of a row, and of the facts if there are any. A function of a module, or a `partial` of one."""
    facts: Facts | None = None


async def converted(
    http: HttpClient,
    body: bytes | bytearray,
    at: tuple[str, ...],
    convert: Callable[[Any], T],
    beside: Beside[T] | None = None,
) -> list[T]:
    """The array at a path of keys, each row converted; a long array in the helper process where it is said how. Raises
    BadAnswer."""
    found: list[T] = []
    if beside is not None and http.is_big(body):
        async with aclosing(http.made(body, at, beside.make, beside.kind, beside.facts)) as made:
            async for rows in made:
                found += rows
        return found
    turns = _Turns()
    async with aclosing(http.rows(body, at)) as batches:
        async for batch in batches:
            for row in batch:
                found.append(convert(row))
                await turns.given()
    return found


async def gently(rows: Iterable[S], convert: Callable[[S], T]) -> list[T]:
    """Each row converted, while the loop gets its turn in between."""
    found, turns = [], _Turns()
    for row in rows:
        found.append(convert(row))
        await turns.given()
    return found


class _Turns:
    """Long work on the loop that others may interrupt."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + SLICE_SECONDS

    async def given(self) -> None:
        """Once it has gone on for long enough, whatever is due comes first."""
        if time.perf_counter() > self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + SLICE_SECONDS


async def readable(
    http: HttpClient,
    body: bytes | bytearray,
    at: tuple[str, ...],
    convert: Callable[[Any], T],
    beside: Beside[T] | None,
    unread: Callable[[object, BadAnswer], None],
) -> list[T]:
    """As `converted`, but a row that cannot be read keeps no other away: it is handed over with the failure. Raises
    BadAnswer for an answer that is no such array."""
    try:
        return await converted(http, body, at, convert, beside)
    except BadAnswer as failure:
        log.info("not every row can be read: %s", failure)

    def careful(row: object) -> list[T]:
        try:
            return [convert(row)]
        except BadAnswer as failure:
            unread(row, failure)
            return []

    return [one for found in await converted(http, body, at, careful) for one in found]


class UnreadOrders:
    """Rows of a list of orders that cannot be read, as `rows` finds them."""

    def __init__(self) -> None:
        self._found: list[UnreadOrder] = []

    def hear(self, row: object, failure: BadAnswer) -> None:
        """One: what can be told of it. Both Indian brokers name these fields alike."""
        data: Mapping[str, object] = row if isinstance(row, Mapping) else {}
        number, tag = data.get("order_id"), data.get("tag", False)
        self._found.append(
            UnreadOrder(
                BrokerOrderId(number) if isinstance(number, str) and number else None,
                tag if isinstance(tag, str) else "" if tag is None else None,
                failure.detail or failure.cause,
            )
        )

    def whole(self, orders: list[Order]) -> list[Order]:
        """The list when it is. Raises PartlyRead."""
        if self._found:
            raise PartlyRead(orders, self._found)
        return orders


def document_of(
    answer: Answer, host: str, refused: Callable[[int, float | None], BrokerError], *, placement: bool
) -> Any:
    """The JSON of an answer, or the failure that it is instead of JSON. `refused` makes the error of (HTTP status,
    seconds asked to wait); what answered an order and cannot be read leaves its outcome unknown."""
    busy = answer.status >= 500 or answer.status in (408, 429)
    if answer.is_json:
        try:
            return decode_json(answer.body)
        except BadAnswer as bad:
            if placement:
                raise OutcomeUnknown("The broker's answer to an order cannot be read.", detail=bad.detail) from bad
            if busy:  # its status says enough, whatever became of its body
                raise refused(answer.status, answer.retry_after) from bad
            raise
    if placement and answer.status != 429:
        raise OutcomeUnknown("Something else than the broker answered an order.", detail=f"HTTP {answer.status}")
    if busy:
        raise refused(answer.status, answer.retry_after)
    # A 403 without JSON is the network in front of the broker, not a dead session.
    raise BadAnswer(
        f"{host} answered with a web page instead of data.",
        "The network may want a login of its own (hotel, office), or the address is wrong.",
        detail=f"HTTP {answer.status}, {answer.headers.get('content-type', 'no content type')}",
    )


async def clock_of(http: HttpClient, endpoints: Endpoints, document: Callable[[Answer], Any]) -> ExchangeClockReading:
    """The exchange's time: of a paper exchange from its own clock, of the real one from its Date header."""
    if endpoints.paper:
        row = Row(document(await http.request("GET", "/simulator/clock")), "clock")
        if "now" not in row.data:
            row = row.part("data")
        return ExchangeClockReading(row.time("now"), float(row.number("speed")), row.data.get("always_open") is True)
    date = (await http.request("GET", "/")).headers.get("date", "")
    try:
        return ExchangeClockReading(from_datetime(parsedate_to_datetime(date)))
    except ValueError:
        raise BadAnswer("The broker did not say what time it is.", detail=date) from None


async def instruments_of(
    body: bytes | bytearray, pack: Callable[[bytes | bytearray], Iterator[bytes]], helper: Helper | None
) -> list[Instrument]:
    """A list, cut up by `pack` in the helper process. Malformed lines are left out and counted in the log. Raises
    BadAnswer for an empty or mostly unreadable one, Unreachable when the helper died over it."""
    found: list[Instrument] = []
    malformed, maker = 0, InstrumentMaker()
    async with aclosing(_pieces(body, pack, helper)) as pieces:
        async for piece in pieces:
            part = unpack(piece)
            found.extend(map(maker.make, part.rows))
            malformed += part.malformed
            await asyncio.sleep(0)
    if malformed:
        log.warning("%d malformed lines in the instrument list, %d read", malformed, len(found))
    if not found or malformed > TOO_MANY_MALFORMED * (malformed + len(found)):
        raise BadAnswer(
            "The broker's instrument list is empty or broken.",
            "The one before stays in use.",
            detail=f"{len(found)} read, {malformed} malformed",
        )
    return found


async def _pieces(
    body: bytes | bytearray, pack: Callable[[bytes | bytearray], Iterator[bytes]], helper: Helper | None
) -> AsyncGenerator[bytes, None]:
    if helper is None:
        for piece in pack(body):
            yield piece
        return
    try:
        async with aclosing(helper.slices(pack, body)) as pieces:
            async for piece in pieces:
                yield piece
    except HelperDied as died:
        raise Unreachable("The helper process ended while it read the instrument list.") from died
