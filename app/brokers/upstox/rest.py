"""Upstox's REST calls: hosts, envelope, pacing. Gives JSON; `adapter` makes our types of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from app.brokers.base import ExchangeClockReading
from app.brokers.documents import beside_rows
from app.brokers.http import INLINE, MEGABYTE, Answer, HttpClient
from app.brokers.pacing import Window
from app.brokers.reading import Beside, clock_of, converted, document_of, instruments_of, readable
from app.brokers.rows import Row
from app.brokers.upstox.hosts import SANDBOX_PATHS, checked_socket, hosts_of, in_sandbox, takes_orders
from app.brokers.upstox.instruments import pack_file
from app.brokers.upstox.refusals import broker_error
from app.domain.account import Endpoints
from app.domain.errors import BadAnswer, Denied, OutcomeUnknown
from app.domain.instrument import Instrument
from app.runtime.helper import Helper
from app.runtime.secret import Secret

T = TypeVar("T")

Params = Sequence[tuple[str, str]]

FILES = "/market-quote/instruments/exchange"
INSTRUMENT_CAP = 128 * MEGABYTE
INSTRUMENT_DEADLINE = 60.0
CANDLE_DEADLINE = 15.0
"""Seconds, as the one above."""
PATIENCE = 20.0
"""Seconds that a read waits for its turn before it says that the half hour's requests are used up."""
MULTI_STATUS = 207

log = logging.getLogger(__name__)


class Limits:
    """One user's limits on reads, at 80 % of what is documented (Upstox, rate limiting: 50 a second, 500 a minute,
    2,000 in half an hour). Look-ups of orders and positions know only the hard limits (C9), and orders are not held up
    here at all: whoever places them keeps their limit, with room for exits. Shared by all sessions of a key."""

    def __init__(self) -> None:
        self._windows = (
            Window(50, 1.1, kept=10),
            Window(500, 60.0, kept=100, patience=PATIENCE),
            Window(2000, 1800.0, kept=400, patience=PATIENCE),
        )

    async def turn(self, *, urgent: bool = False) -> None:
        """Returns when a read may be sent. Raises RateLimited."""
        for window in self._windows:
            await window.turn(urgent=urgent)

    @property
    def used(self) -> float:
        """The share of the minute's or of the half hour's reads that is used, whichever is fuller."""
        return max(window.used for window in self._windows[1:])


class UpstoxRest:
    """One account's REST side. Loop thread."""

    def __init__(
        self,
        access_token: Secret | None,
        endpoints: Endpoints,
        helper: Helper | None = None,
        limits: Limits | None = None,
    ) -> None:
        headers = {"Accept": "application/json", "Api-Version": "2.0"}
        open_headers = dict(headers)
        if access_token is not None:
            headers["Authorization"] = f"Bearer {access_token.reveal()}"
        hosts = hosts_of(endpoints)
        self._http = HttpClient(hosts.main, headers=headers, ca_file=endpoints.ca_file, helper=helper)
        self._sandbox = in_sandbox(endpoints)
        self._orders = self._http
        if hosts.orders != hosts.main:
            self._orders = HttpClient(hosts.orders, headers=headers, ca_file=endpoints.ca_file, helper=helper)
        # The files are open to everybody: the token does not go there.
        self._files = HttpClient(hosts.files, headers=open_headers, ca_file=endpoints.ca_file, helper=helper)
        self._helper = helper
        self._endpoints = endpoints
        self._limits = limits or Limits()

    async def close(self) -> None:
        """Closes the connections."""
        for client in (self._http, self._orders, self._files):
            await client.close()

    @property
    def limits(self) -> Limits:
        """What this user's reads have used."""
        return self._limits

    async def get(self, path: str, params: Params = (), *, urgent: bool = False) -> Any:
        """`data` of a small answer."""
        return (await self.document(path, params, urgent=urgent))["data"]

    async def document(self, path: str, params: Params = (), *, urgent: bool = False) -> dict[str, Any]:
        """The whole envelope, for answers that say something beside `data`."""
        self._deny_lacking(path)
        await self._limits.turn(urgent=urgent)
        return self._success(await self._http.request("GET", path, params=params), placement=False)

    async def ask(self, path: str, body: Any) -> Any:
        """`data` of a calculator's answer: a read, though it is a POST."""
        self._deny_lacking(path)
        await self._limits.turn()
        return self._success(await self._http.request("POST", path, json=body), placement=False)["data"]

    async def rows(
        self,
        path: str,
        convert: Callable[[Any], T],
        *,
        at: tuple[str, ...] = ("data",),
        params: Params = (),
        urgent: bool = False,
        deadline: float | None = None,
        beside: Beside[T] | None = None,
        unread: Callable[[object, BadAnswer], None] | None = None,
    ) -> list[T]:
        """An array of an answer, each row converted. The loop gets its turn in between, however long the array; where
        it is said how, a long one is converted in the helper process. `unread` takes rows that cannot be read; without
        it one such row refuses the array."""
        self._deny_lacking(path)
        await self._limits.turn(urgent=urgent)
        answer = await self._http.request("GET", path, params=params, deadline=deadline)
        if answer.status != 200 or not answer.is_json or len(answer.body) <= INLINE:
            self._success(answer, placement=False)
        if unread is not None:
            return await readable(self._http, answer.body, at, convert, beside, unread)
        return await converted(self._http, answer.body, at, convert, beside)

    async def page(
        self, path: str, convert: Callable[[Any], T], params: Params
    ) -> tuple[list[T], dict[str, Any], bytes]:
        """One page of rows, converted while the loop gets its turn in between; what stands beside them; a digest of
        them as they came."""
        self._deny_lacking(path)
        await self._limits.turn()
        answer = await self._http.request("GET", path, params=params)
        if answer.status != 200 or not answer.is_json or len(answer.body) <= INLINE:
            self._success(answer, placement=False)
        beside, digest = await asyncio.to_thread(beside_rows, answer.body)
        return await converted(self._http, answer.body, ("data",), convert), beside, digest

    async def send(self, method: str, path: str, *, params: Params = (), body: Any = None) -> dict[str, Any]:
        """A placement, modification or cancellation, sent once, on the host that takes it. The whole answer.

        Raises Unreachable (never sent), OutcomeUnknown (sent, not answered), Rejected and the other refusals.
        """
        self._deny_lacking(path)
        http = self._orders if takes_orders(path) else self._http
        answer = await http.request(method, path, params=params, json=body, placement=True)
        return self._success(answer, placement=True)

    async def send_many(self, method: str, path: str, *, params: Params = (), body: Any = None) -> dict[str, Any]:
        """Several orders in one request: also an answer in which some or all lines were refused is an answer."""
        self._deny_lacking(path)
        answer = await self._http.request(method, path, params=params, json=body, placement=True)
        document = self._document(answer, placement=True)
        if isinstance(document, dict) and isinstance(document.get("summary"), dict):
            return document
        return self._success(answer, placement=True)

    async def form(self, path: str, fields: dict[str, str]) -> Any:
        """The whole of a form's answer (the token exchange has no envelope). Errors have their usual one."""
        self._deny_lacking(path)
        answer = await self._http.request("POST", path, form=fields, deadline=20.0)
        document = self._document(answer, placement=False)
        if answer.status != 200 or (isinstance(document, dict) and document.get("status") == "error"):
            refusal = document if isinstance(document, dict) else None
            raise broker_error(answer.status, refusal, answer.retry_after, placement=False)
        return document

    async def delete(self, path: str) -> Any:
        """`data` of a deletion that is not an order's."""
        self._deny_lacking(path)
        return self._success(await self._http.request("DELETE", path), placement=False)["data"]

    async def socket(self, path: str, params: Params = ()) -> str:
        """A stream's address, good for one connection."""
        row = Row(await self.get(path, params, urgent=True), "stream address")
        given = row.maybe_text("authorized_redirect_uri") or row.text("authorizedRedirectUri")
        return checked_socket(given, self._endpoints)

    async def save_instruments(self, name: str, into: Path) -> None:
        """A file of the instrument list, unread."""
        answer = await self._files.save(f"{FILES}/{name}.json.gz", into, deadline=120.0, cap=64 * MEGABYTE)
        if answer.status != 200 or answer.body:
            raise BadAnswer(
                f"{self._files.host} did not give the instrument list.",
                "The one before stays in use.",
                detail=f"HTTP {answer.status}",
            )

    async def instruments(self, name: str) -> list[Instrument]:
        """A file of the instrument list. Malformed lines are left out and counted in the log."""
        path = f"{FILES}/{name}.json.gz"
        answer = await self._files.request("GET", path, deadline=INSTRUMENT_DEADLINE, cap=INSTRUMENT_CAP)
        if answer.status != 200 and (answer.is_json or answer.status in (401, 429) or answer.status >= 500):
            self._success(answer, placement=False)
        if answer.status != 200 or "html" in answer.headers.get("content-type", ""):
            raise BadAnswer(
                f"{self._files.host} did not give the instrument list.",
                "The one before stays in use.",
                detail=f"HTTP {answer.status}, {answer.headers.get('content-type', 'no content type')}",
            )
        return await instruments_of(answer.body, pack_file, self._helper)

    async def clock(self) -> ExchangeClockReading:
        """The exchange's time."""
        return await clock_of(self._http, self._endpoints, self._bare)

    def _deny_lacking(self, path: str) -> None:
        """The sandbox takes orders and tells nothing. Raises Denied, before anything is sent."""
        if self._sandbox and path not in SANDBOX_PATHS:
            raise Denied(
                "Upstox's sandbox takes orders and tells nothing: no books, no prices, no streams.",
                "Practise with a paper account, which has everything.",
                detail=path,
            )

    def _bare(self, answer: Answer) -> Any:
        """Of what comes without an envelope: a paper exchange's clock. Its errors have theirs."""
        if answer.status != 200:
            return self._success(answer, placement=False)
        return self._document(answer, placement=False)

    def _document(self, answer: Answer, *, placement: bool) -> Any:
        """See `reading.document_of`."""
        return document_of(
            answer, self._http.host, lambda status, wait: broker_error(status, None, wait, placement=False),
            placement=placement,
        )  # fmt: skip

    def _success(self, answer: Answer, *, placement: bool) -> dict[str, Any]:
        """A success envelope; anything else raises."""
        document = self._document(answer, placement=placement)
        fine = isinstance(document, dict) and document.get("status") == "success" and "data" in document
        if fine and answer.status in (200, MULTI_STATUS):
            found: dict[str, Any] = document
            return found
        if isinstance(document, dict) and (document.get("status") == "error" or answer.status >= 400):
            raise broker_error(answer.status, document, answer.retry_after, placement=placement)
        if placement:
            raise OutcomeUnknown("The broker's answer to an order is neither yes nor no.", detail=str(answer.status))
        raise BadAnswer("The broker's answer is neither data nor an error.", detail=f"HTTP {answer.status}")
