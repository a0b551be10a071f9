"""A door between an adapter and its service: everything goes through it, is counted, and may be broken on the way."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

from app.brokers.conformance.bench import Canned

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"})
_PAGE = b"<html><head><title>403</title></head><body>error code: 1010 <!-- canary --></body></html>"
_BOMB_MEGABYTES = 100


class Fault(StrEnum):
    """What becomes of an answer."""

    REFUSED_BY_CDN = "an HTML page with status 403"
    WEB_PAGE = "an HTML page with status 200"
    ELSEWHERE = "a redirect to another address"
    EMPTY = "status 200 without a body"
    NULL = "null for JSON"
    OTHER_JSON = "JSON of another shape"
    NOT_JSON = "JSON that ends in the middle"
    CUT = "a body that ends before its length"
    CUT_GZIP = "gzip that ends in the middle"
    BOMB = "gzip that unpacks to 100 MB"
    BROKEN_GATEWAY = "a gateway's page with status 502"
    SERVER_ERROR = "status 500 without a body"
    CLOSED = "a connection closed before the answer"
    LOST = "a request that was served, and a connection closed before the answer"
    SILENT = "no answer at all"


@dataclass(frozen=True, slots=True)
class Passed:
    """A request that came to the door."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


Change = Callable[[Any], Any]
"""What is done to the JSON of an answer."""


class Door:
    """One card's door. Use it as an async context manager."""

    def __init__(self, service: str) -> None:
        self._service = service.rstrip("/")
        self._fault: Fault | Canned | Change | None = None
        self._only_sending = False
        self.passed: list[Passed] = []
        self.connections: set[asyncio.BaseTransport] = set()
        self._closing = asyncio.Event()
        self._runner: web.ServerRunner | None = None
        self._client: ClientSession | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        self._client = ClientSession(
            connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar(), auto_decompress=False
        )
        self._runner = web.ServerRunner(
            web.Server(self._serve, access_log=None, keepalive_timeout=60.0), shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def shut(self) -> None:
        """Nobody gets in any more. A second call does nothing."""
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._client is not None:
            await self._client.close()
            self._client = None

    def break_answers(self, fault: Fault | Canned | Change | None, *, only_sending: bool = False) -> None:
        """From now on; None: no more. `only_sending`: those of requests that change something."""
        self._fault = fault
        self._only_sending = only_sending

    @property
    def sent(self) -> list[Passed]:
        """The requests that may change something: all but reads."""
        return [request for request in self.passed if request.method not in ("GET", "HEAD")]

    @property
    def open_connections(self) -> int:
        """To the adapter."""
        return sum(not transport.is_closing() for transport in self.connections)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.transport is not None:
            self.connections.add(request.transport)
        self.passed.append(Passed(request.method, request.path_qs, tuple(request.headers.items()), body))
        fault = self._fault
        if self._only_sending and request.method in ("GET", "HEAD"):
            fault = None
        if isinstance(fault, Fault):
            return await self._broken(request, body, fault)
        if isinstance(fault, Canned):
            return web.Response(status=fault.status, body=fault.body, headers=dict(fault.headers))
        answer, status, headers = await self._forward(request, body, plain=fault is not None)
        if fault is not None:
            answer = _changed(answer, fault)
        return web.Response(status=status, body=answer, headers=headers)

    async def _forward(
        self, request: web.BaseRequest, body: bytes, *, plain: bool
    ) -> tuple[bytes, int, dict[str, str]]:
        assert self._client is not None
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        if plain:
            headers["Accept-Encoding"] = "identity"
        where = f"{self._service}{request.raw_path}"
        async with self._client.request(
            request.method, where, data=body or None, headers=headers, allow_redirects=False
        ) as answer:
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP}
            return await answer.read(), answer.status, kept

    async def _broken(self, request: web.BaseRequest, body: bytes, fault: Fault) -> web.StreamResponse:
        if fault is Fault.SILENT:
            await self._closing.wait()
        if fault is Fault.LOST:
            await self._forward(request, body, plain=False)
        if fault in (Fault.SILENT, Fault.CLOSED, Fault.LOST):
            return _hung_up(request)
        if fault is Fault.CUT:
            return await _cut(request)
        status, content, headers = _CANNED[fault]
        return web.Response(status=status, body=content, headers=headers)


class Replaced:
    """Puts a word in the place of every value of some keys, however deep, and counts how often."""

    def __init__(self, keys: Iterable[str], by: str) -> None:
        self._keys = frozenset(keys)
        self._by = by
        self.times = 0

    def __call__(self, value: Any) -> Any:
        """The same document with the words replaced."""
        if isinstance(value, dict):
            return {key: self._value(key, inner) for key, inner in value.items()}
        return [self(item) for item in value] if isinstance(value, list) else value

    def _value(self, key: str, value: Any) -> Any:
        if key in self._keys and isinstance(value, str):
            self.times += 1
            return self._by
        return self(value)


def _changed(answer: bytes, change: Change) -> bytes:
    try:
        return json.dumps(change(json.loads(answer))).encode()
    except ValueError:
        return answer  # an answer that is not JSON has no keys


def _hung_up(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def _cut(request: web.BaseRequest) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    answer.content_length = 1000
    await answer.prepare(request)
    await answer.write(b'{"status":"success","data":[')
    if request.transport is not None:
        request.transport.close()
    return answer


_HTML = {"Content-Type": "text/html"}
_JSON = {"Content-Type": "application/json"}
_GZIP = {**_JSON, "Content-Encoding": "gzip"}
_HALF = b'{"status":"success","data":[{"a":'
_CANNED: dict[Fault, tuple[int, bytes, dict[str, str]]] = {
    Fault.REFUSED_BY_CDN: (403, _PAGE, _HTML),
    Fault.WEB_PAGE: (200, _PAGE, _HTML),
    Fault.ELSEWHERE: (302, b"", {"Location": "http://127.0.0.1:9/elsewhere"}),
    Fault.EMPTY: (200, b"", _JSON),
    Fault.NULL: (200, b"null", _JSON),
    Fault.OTHER_JSON: (200, b'{"hello":"world"}', _JSON),
    Fault.NOT_JSON: (200, _HALF, _JSON),
    Fault.CUT_GZIP: (200, gzip.compress(_HALF * 50)[:-12], _GZIP),
    Fault.BOMB: (200, gzip.compress(b" " * (_BOMB_MEGABYTES << 20), 1), _GZIP),
    Fault.BROKEN_GATEWAY: (502, b"<html>Bad gateway</html>", _HTML),
    Fault.SERVER_ERROR: (500, b"", {"Content-Type": "text/plain"}),
}
