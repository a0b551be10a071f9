"""Scripted faults of requests, the same for every wire: what they do to an answer, or to the line it travels on."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable

from aiohttp import web

from app.simulator.faults import Fault
from app.simulator.refusal import Refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HTML_403 = "<html><head><title>403 Forbidden</title></head><body><h1>403 Forbidden</h1></body></html>"


class Striker:
    """Strikes requests of one wire. `enveloped` runs a handler and wraps what it raises; `failure` wraps a refusal;
    `kind` names the error of an HTTP status as the wire does."""

    def __init__(
        self,
        enveloped: Callable[[web.Request, Handler], Awaitable[web.StreamResponse]],
        failure: Callable[[Refused], web.Response],
        kind: Callable[[int], str],
    ) -> None:
        self._enveloped = enveloped
        self._failure = failure
        self._kind = kind

    async def strike(self, request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
        """The scripted fault happens to this request."""
        name = fault.name
        refusal = self._refusal(fault)
        if refusal is not None:
            return refusal
        if name == "lost-before":
            return _hang_up(request)
        if name == "late-lost":
            await request.read()
            _hang_up(request)
        if name in ("accept-late", "late-lost"):
            await asyncio.sleep(fault.seconds)
        answer = await self._enveloped(request, handler)
        if name == "delay":
            await asyncio.sleep(fault.seconds)
        if name == "lost-after":
            return _hang_up(request)
        return await _mangled(request, answer, name)

    def _refusal(self, fault: Fault) -> web.Response | None:
        """The faults that answer without doing anything."""
        if fault.name == "status":
            code = int(fault.seconds)
            return self._failure(Refused(code, self._kind(code), fault.text or "Something went wrong."))
        if fault.name == "throttle":
            headers = {"Retry-After": fault.value} if fault.value else None
            return self._failure(Refused(429, self._kind(429), "Too many requests", headers=headers))
        if fault.name == "html-403":
            return web.Response(text=HTML_403, status=403, content_type="text/html")
        if fault.name == "refuse":
            words = fault.text or "Refused by a scripted fault."
            return self._failure(Refused(400, fault.value or self._kind(400), words))
        return None


async def _mangled(request: web.Request, answer: web.StreamResponse, name: str) -> web.StreamResponse:
    """The faults that spoil a finished answer."""
    if name not in ("bad-gzip", "cut-json", "close") or not isinstance(answer, web.Response):
        return answer
    body = bytes(answer.body) if isinstance(answer.body, bytes | bytearray) else b""
    if name == "bad-gzip":
        packed = gzip.compress(body)
        headers = {"Content-Encoding": "gzip"}
        half = packed[: len(packed) // 2]
        return web.Response(body=half, status=answer.status, content_type=answer.content_type, headers=headers)
    if name == "cut-json":
        return web.Response(body=body[: len(body) // 2], status=answer.status, content_type=answer.content_type)
    partial = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
    partial.content_length = len(body)
    await partial.prepare(request)
    await partial.write(body[: len(body) // 2])
    _hang_up(request)
    return partial


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
