"""Kite's REST calls: addresses, envelope, pacing. Gives JSON; `adapter` makes our types of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from app.brokers.base import Credentials, ExchangeClockReading
from app.brokers.http import INLINE, MEGABYTE, Answer, HttpClient
from app.brokers.pacing import Window
from app.brokers.reading import Beside, clock_of, converted, document_of, instruments_of, readable
from app.brokers.zerodha.instruments import pack_file
from app.brokers.zerodha.refusals import broker_error
from app.domain.account import Endpoints
from app.domain.errors import BadAnswer, OutcomeUnknown
from app.domain.instrument import Instrument
from app.runtime.helper import Helper
from app.runtime.secret import Secret

T = TypeVar("T")

INSTRUMENT_CAP = 64 * MEGABYTE
INSTRUMENT_DEADLINE = 60.0
CANDLE_DEADLINE = 15.0
"""Seconds, as the one above."""

log = logging.getLogger(__name__)


class Limits:
    """One API key's limits on reads, at 80 % of what is documented (Kite Connect, rate limits): quotes 1/s,
    historical 3/s, other reads 10/s. Look-ups of orders and positions know only the hard limit (C9), and orders are
    not held up here at all: whoever places them keeps their limit, with room for exits. Shared by all sessions of the
    key."""

    def __init__(self) -> None:
        self.quotes = Window(1, 1.25)
        self.history = Window(3, 1.25)
        # Of ten, one is left to the exit line, which keeps its connections warm by reading. A little longer than the
        # second: calls overtake each other on the way.
        self.reads = Window(9, 1.1, kept=2)


class ZerodhaRest:
    """One account's REST side. Loop thread."""

    def __init__(
        self,
        credentials: Credentials,
        access_token: Secret | None,
        endpoints: Endpoints,
        helper: Helper | None = None,
        limits: Limits | None = None,
    ) -> None:
        headers = {"X-Kite-Version": "3"}
        if access_token is not None:
            headers["Authorization"] = f"token {credentials.api_key}:{access_token.reveal()}"
        self._http = HttpClient(endpoints.api_url, headers=headers, ca_file=endpoints.ca_file, helper=helper)
        self._endpoints = endpoints
        self._helper = helper
        self._limits = limits or Limits()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def get(self, path: str, params: Sequence[tuple[str, str]] = ()) -> Any:
        """`data` of a small answer."""
        await self._limits.reads.turn()
        return await self._get(path, params)

    async def _get(self, path: str, params: Sequence[tuple[str, str]]) -> Any:
        return self._data(await self._http.request("GET", path, params=params), placement=False)

    async def post_json(self, path: str, body: Any, params: Sequence[tuple[str, str]] = ()) -> Any:
        """`data` of a calculator's answer: a read, though it is a POST."""
        await self._limits.reads.turn()
        return self._data(await self._http.request("POST", path, params=params, json=body), placement=False)

    async def rows(
        self,
        path: str,
        convert: Callable[[Any], T],
        *,
        at: tuple[str, ...] = ("data",),
        params: Sequence[tuple[str, str]] = (),
        urgent: bool = False,
        kind: type[T] | None = None,
        unread: Callable[[object, BadAnswer], None] | None = None,
    ) -> list[T]:
        """An array of an answer, each row converted. The loop gets its turn in between, however long the array; with
        the `kind` that `convert` gives, a long one is converted in the helper process. `unread` takes rows that cannot
        be read; without it one such row refuses the array."""
        await self._limits.reads.turn(urgent=urgent)
        return await self._rows(path, convert, at, params, kind=kind, unread=unread)

    async def _rows(
        self,
        path: str,
        convert: Callable[[Any], T],
        at: tuple[str, ...],
        params: Sequence[tuple[str, str]] = (),
        deadline: float | None = None,
        kind: type[T] | None = None,
        unread: Callable[[object, BadAnswer], None] | None = None,
    ) -> list[T]:
        answer = await self._http.request("GET", path, params=params, deadline=deadline)
        if answer.status != 200 or not answer.is_json or len(answer.body) <= INLINE:
            self._data(answer, placement=False)
        beside = None if kind is None else Beside(kind, convert)
        if unread is not None:
            return await readable(self._http, answer.body, at, convert, beside, unread)
        return await converted(self._http, answer.body, at, convert, beside)

    async def command(
        self,
        method: str,
        path: str,
        form: Mapping[str, str | Sequence[str]] | None = None,
        params: Sequence[tuple[str, str]] = (),
    ) -> Any:
        """Something that changes the account, sent once: `data` of its answer.

        Raises Unreachable (never sent), OutcomeUnknown (sent, not answered), Rejected and the other refusals.
        """
        answer = await self._http.request(method, path, params=params, form=form, placement=True)
        return self._data(answer, placement=True)

    async def send(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | None = None,
        params: Sequence[tuple[str, str]] = (),
    ) -> str:
        """A modification or cancellation of an order. The broker's order id."""
        data = await self.command(method, path, form, params)
        order = data.get("order_id") if isinstance(data, dict) else None
        if not isinstance(order, str) or not order:
            raise OutcomeUnknown("The broker took the order and did not say its number.", detail=str(data)[:80])
        return order

    async def quotes(self, path: str, keys: Sequence[str]) -> dict[str, Any]:
        """`/quote...` of at most a few hundred keys. Unknown keys are silently missing."""
        await self._limits.quotes.turn()
        data = await self._get(path, [("i", key) for key in keys])
        if not isinstance(data, dict):
            raise BadAnswer("The broker's quotes cannot be read.", detail=type(data).__name__)
        return data

    async def history(
        self, token: int, interval: str, start: datetime, end: datetime, convert: Callable[[Any], T]
    ) -> list[T]:
        """Candles of one request's range, both ends included."""
        await self._limits.history.turn()
        form = "%Y-%m-%d %H:%M:%S"
        return await self._rows(
            f"/instruments/historical/{token}/{interval}",
            convert,
            ("data", "candles"),
            [("from", start.strftime(form)), ("to", end.strftime(form))],
            CANDLE_DEADLINE,
        )

    async def instruments(self, exchange: str = "") -> list[Instrument]:
        """The whole list or one exchange's. Malformed lines are left out and counted in the log."""
        await self._limits.reads.turn()
        path = f"/instruments/{exchange}" if exchange else "/instruments"
        answer = await self._http.request("GET", path, deadline=INSTRUMENT_DEADLINE, cap=INSTRUMENT_CAP)
        if answer.status != 200 or answer.is_json or "html" in answer.headers.get("content-type", ""):
            self._data(answer, placement=False)
            raise BadAnswer("The broker's instrument list is not a list.")
        return await instruments_of(answer.body, pack_file, self._helper)

    async def save_instruments(self, into: Path, exchange: str = "") -> None:
        """The same list to a file, unread."""
        await self._limits.reads.turn()
        path = f"/instruments/{exchange}" if exchange else "/instruments"
        answer = await self._http.save(path, into, deadline=INSTRUMENT_DEADLINE, cap=INSTRUMENT_CAP)
        if answer.status != 200 or answer.body:
            self._data(answer, placement=False)
            raise BadAnswer("The broker's instrument list is not a list.")

    async def clock(self) -> ExchangeClockReading:
        """The exchange's time."""
        return await clock_of(self._http, self._endpoints, self._bare)

    def _bare(self, answer: Answer) -> Any:
        """Of what comes without an envelope: a paper exchange's clock. Its errors have theirs."""
        if answer.status != 200:
            return self._data(answer, placement=False)
        return self._document(answer, placement=False)

    def _document(self, answer: Answer, *, placement: bool) -> Any:
        """See `reading.document_of`."""
        return document_of(
            answer, self._http.host, lambda status, wait: broker_error(status, None, wait, placement=False),
            placement=placement,
        )  # fmt: skip

    def _data(self, answer: Answer, *, placement: bool) -> Any:
        """`data` of a success envelope; anything else raises."""
        document = self._document(answer, placement=placement)
        fine = isinstance(document, dict) and document.get("status") == "success" and "error_type" not in document
        if fine and answer.status == 200 and "data" in document:
            return document["data"]
        if isinstance(document, dict) and (document.get("status") == "error" or answer.status >= 400):
            raise broker_error(answer.status, document, answer.retry_after, placement=placement)
        if placement:
            raise OutcomeUnknown("The broker's answer to an order is neither yes nor no.", detail=str(answer.status))
        raise BadAnswer("The broker's answer is neither data nor an error.", detail=f"HTTP {answer.status}")
