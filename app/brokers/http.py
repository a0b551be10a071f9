"""HTTP as a trading program needs it: total deadlines, size caps, exact decimals, and honesty about what was sent.

Used by every adapter for everything but the exit hot path. It never repeats a request by itself. For a placement it
tells apart what provably never left (`Unreachable`) from what was sent and not answered (`OutcomeUnknown`).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
import uuid
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from app import __version__
from app.brokers import tally
from app.brokers.documents import (
    Facts,
    cut_rows,
    decode_json,
    encode_json,
    made_rows,
    made_with_facts,
    names_asked,
    unpacked,
)
from app.brokers.link import tls_context
from app.brokers.pacing import seconds_asked
from app.domain.errors import BadAnswer, BrokerError, DiskFull, OutcomeUnknown, StorageError, Unreachable
from app.runtime.helper import Helper, HelperDied
from app.runtime.log import correlation

T = TypeVar("T")

MEGABYTE = 1 << 20
CONNECTIONS = 10
KEPT_FOR_ORDERS = 2
"""Connections that no read may hold: a broker whose reads hang must not keep an order from leaving."""
INLINE = 64 * 1024
"""Bodies above this are parsed in the helper process: `json.loads` of 3.7 MB holds the interpreter lock for 29 ms."""

log = logging.getLogger(__name__)

_OVER = httpx.ByteStream(b"")
"""Instead of the stream of an answer that was read."""

import_module("anyio._backends._asyncio")  # httpx loads it with the first request: 50 ms, which no stop shall wait for


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray

    @property
    def is_json(self) -> bool:
        """Whether the server calls it JSON."""
        return "json" in self.headers.get("content-type", "")

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait; None when it does not say, or says what makes no sense.

        A date counts from the answer's own `Date`, for this machine's clock may be wrong (RFC 9110, 10.2.3).
        """
        return seconds_asked(self.headers.get("retry-after", ""), self.headers.get("date", ""))


class _Sent:
    """Learns from httpcore's trace whether a request began to leave."""

    def __init__(self) -> None:
        self.anything = False

    async def __call__(self, event: str, _info: Mapping[str, Any]) -> None:
        if event == "http11.send_request_headers.started":
            self.anything = True


class HttpClient:
    """One client for one host, with its own few connections. Loop thread only."""

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        ca_file: str = "",
        helper: Helper | None = None,
        deadline: float = 7.0,
        cap: int = 16 * MEGABYTE,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.host = urlsplit(base_url).hostname or base_url
        self._helper = helper
        self._deadline = deadline
        self._cap = cap
        self._client = httpx.AsyncClient(
            headers={"User-Agent": f"Stopline/{__version__}", "Accept-Encoding": "gzip", **(headers or {})},
            verify=tls_context(ca_file) if base_url.startswith("https:") else False,
            # No proxy from the environment: the broker knows our registered address, not a proxy's.
            trust_env=False,
            timeout=httpx.Timeout(deadline, connect=min(5.0, deadline)),
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=4, keepalive_expiry=30.0),
        )
        self._reads = asyncio.Semaphore(CONNECTIONS - KEPT_FOR_ORDERS)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        form: Mapping[str, str | Sequence[str]] | None = None,
        json: Any = None,
        placement: bool = False,
        deadline: float | None = None,
        cap: int | None = None,
    ) -> Answer:
        """One request, one answer, of whatever status. The id of the click that caused it goes out as
        `X-Correlation-Id` and stands in the log lines of both ends (K1).

        Raises Unreachable (nothing was sent, or a read was not answered), OutcomeUnknown (a placement was sent and
        not answered whole), BadAnswer (too big, or compression that cannot be read).
        """
        action = correlation() or uuid.uuid4().hex[:12]
        sent = _Sent()
        seconds = self._deadline if deadline is None else deadline
        started = time.perf_counter()
        request = self._client.build_request(
            method,
            self.base_url + path,
            params=list(params) or None,
            data={key: value if isinstance(value, str) else list(value) for key, value in form.items()}
            if form is not None
            else None,
            content=encode_json(json) if json is not None else None,
            headers={"X-Correlation-Id": action, **({"Content-Type": "application/json"} if json is not None else {})},
            extensions={"trace": sent, "timeout": httpx.Timeout(seconds, connect=min(5.0, seconds)).as_dict()},
        )
        try:
            async with asyncio.timeout(seconds), nullcontext() if placement else self._reads:
                self._check_open()
                response = await self._client.send(request, stream=True)
                try:
                    body = await _read(response, self._cap if cap is None else cap)
                finally:
                    await _close(response)
        except (httpx.HTTPError, httpx.StreamError, TimeoutError, OSError, BrokerError) as failure:
            log.info("%s %s failed: %s [%s]", method, path, type(failure).__name__, action)
            tally.shared().unanswered(self.host)
            raise self._translated(failure, placement=placement, sent=sent.anything) from failure
        tally.shared().answered(self.host, response.status_code)
        level = logging.DEBUG if method == "GET" else logging.INFO
        log.log(level, "%s %s %d %.0f ms [%s]", method, path, response.status_code, since_ms(started), action)
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)

    async def save(self, path: str, into: Path, *, deadline: float, cap: int) -> Answer:
        """A GET whose body goes to a file as it came over the wire (gzip stays gzip), piece by piece.

        An answer that is not 200, or is a web page or JSON envelope of an error, is returned with its body (at most
        64 KB) and nothing is written. Raises Unreachable, BadAnswer (too big), DiskFull, StorageError.
        """
        started = time.perf_counter()
        request = self._client.build_request(
            "GET", self.base_url + path, timeout=httpx.Timeout(deadline, connect=min(5.0, deadline))
        )
        try:
            async with asyncio.timeout(deadline):
                response = await self._client.send(request, stream=True)
                try:
                    headers = {k.lower(): v for k, v in response.headers.items()}
                    kind = headers.get("content-type", "")
                    if response.status_code != 200 or "html" in kind:
                        return Answer(response.status_code, headers, await _read(response, INLINE))
                    await _write(response, into, cap)
                finally:
                    await _close(response)
        except (httpx.HTTPError, httpx.StreamError, TimeoutError, OSError, BrokerError) as failure:
            log.info("GET %s failed: %s", path, type(failure).__name__)
            raise self._translated(failure, placement=False, sent=True) from failure
        log.debug("GET %s saved in %.0f ms", path, since_ms(started))
        return Answer(response.status_code, headers, b"")

    async def rows(self, body: bytes | bytearray, at: tuple[str, ...]) -> AsyncGenerator[list[Any], None]:
        """The array at a path of keys in a JSON body, in batches; a big body is cut up in the helper process.

        Raises BadAnswer when it is not JSON or has no array there.
        """
        if self._helper is None or not self.is_big(body):
            for piece in cut_rows(body, at):
                yield decode_json(piece)
            return
        try:
            async with aclosing(self._helper.slices(cut_rows, body, at)) as pieces:
                async for piece in pieces:
                    yield decode_json(piece)
        except HelperDied as died:
            raise Unreachable("The helper process ended while it read the broker's answer.") from died

    def is_big(self, body: bytes | bytearray) -> bool:
        """Whether a body is read in the helper process."""
        return self._helper is not None and len(body) > INLINE

    async def made(
        self,
        body: bytes | bytearray,
        at: tuple[str, ...],
        make: Callable[..., T],
        kind: type[T],
        facts: Facts | None = None,
    ) -> AsyncGenerator[list[T], None]:
        """As `rows`, of a big body; each row is made into `kind` there, so `make` must be one that can be sent to the
        helper process: a function of a module, or a `partial` of one. It is given the `facts` as its second argument.
        """
        if self._helper is None:
            raise ValueError("there is no helper process")
        if facts is None:
            slices = self._helper.slices(made_rows, body, at, make)
        else:
            known, rest = facts.known, (facts.named, facts.learnt)
            slices = self._helper.slices(
                made_with_facts, body, at, make, *rest, reply=lambda asked: known(names_asked(asked))
            )
        try:
            async with aclosing(slices) as pieces:
                async for piece in pieces:
                    yield unpacked(piece, kind)
        except HelperDied as died:
            raise Unreachable("The helper process ended while it read the broker's answer.") from died

    def _check_open(self) -> None:
        """Raises Unreachable. A session may end while somebody waits for a turn on it."""
        if self._client.is_closed:
            raise Unreachable(f"The session at {self.host} has ended; nothing was sent.")

    def _translated(self, failure: Exception, *, placement: bool, sent: bool) -> Exception:
        if placement and sent:
            return OutcomeUnknown(f"{self.host} did not answer an order that was sent.", detail=_why(failure))
        if isinstance(failure, BrokerError):
            return failure
        if isinstance(failure, httpx.DecodingError):
            return BadAnswer(f"The answer of {self.host} is damaged.", detail=_why(failure))
        return Unreachable(_words(self.host, failure), detail=_why(failure))


def since_ms(started: float) -> float:
    """Milliseconds since a `perf_counter` reading."""
    return (time.perf_counter() - started) * 1000


async def _close(response: httpx.Response) -> None:
    """Gives the connection back. httpx's stream and its answer hold each other: let go of, both are freed at once, and
    no garbage collector has to find them, which may run rarely or never while stops are armed."""
    try:
        await response.aclose()
    finally:
        response.stream = _OVER


async def _read(response: httpx.Response, cap: int) -> bytearray:
    """The decompressed body, never more than `cap` bytes in memory: a small file can unpack to gigabytes."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("gzip", "identity", ""):
        raise BadAnswer("The broker's answer is compressed in a way that was not asked for.", detail=encoding)
    unpacker = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    body = bytearray()
    async for chunk in response.aiter_raw(64 * 1024):
        pending = chunk
        while pending:
            if unpacker is None:
                body += pending
                pending = b""
            else:
                try:
                    body += unpacker.decompress(pending, 256 * 1024)
                except zlib.error as bad:
                    raise BadAnswer("The broker's answer is damaged.", detail=str(bad)) from bad
                pending = unpacker.unconsumed_tail
            if len(body) > cap:
                raise BadAnswer(f"The broker's answer is larger than {cap // MEGABYTE or 1} MB and was not read.")
    if unpacker is not None and not unpacker.eof:
        raise BadAnswer("The broker's answer was cut off.")
    return body  # not copied: megabytes would hold the interpreter lock


async def _write(response: httpx.Response, into: Path, cap: int) -> None:
    """The body as it comes; not on the loop thread, for a disk may hang."""
    size = 0
    file = await asyncio.to_thread(_disk, lambda: into.open("wb"))
    try:
        async for chunk in response.aiter_raw(256 * 1024):
            size += len(chunk)
            if size > cap:
                raise BadAnswer(f"The broker's file is larger than {cap // MEGABYTE} MB and was not read.")
            await asyncio.to_thread(_disk, lambda chunk=chunk: file.write(chunk))
    finally:
        await asyncio.to_thread(_disk, file.close)


def _disk(work: Callable[[], T]) -> T:
    """What the disk says, in words and not taken for the network's."""
    try:
        return work()
    except OSError as failure:
        if failure.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("There is no space left to write the download.", detail=str(failure)) from failure
        raise StorageError(
            "The download cannot be written.", "Check the profile's folder.", detail=str(failure)
        ) from failure


def _why(failure: BaseException) -> str:
    return f"{type(failure).__name__}: {failure}"


def _words(host: str, failure: Exception) -> str:
    if isinstance(failure, httpx.ConnectTimeout | httpx.PoolTimeout):
        return f"{host} could not be reached in time."
    if isinstance(failure, httpx.TimeoutException | TimeoutError):
        return f"{host} did not answer in time."
    if isinstance(failure, httpx.ConnectError):
        text = str(failure).lower()
        if "certificate" in text or "ssl" in text:
            return f"{host} could not prove who it is (TLS certificate)."
        if "name" in text or "getaddrinfo" in text or "resolve" in text:
            return f"The address of {host} could not be found (DNS)."
        return f"{host} refused the connection or is not there."
    return f"The connection to {host} broke."
