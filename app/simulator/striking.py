"""Scripted faults of requests, the same for every wire: what they do to an answer, or to the line it travels on."""

from __future__ import annotations

import asyncio
import gzip
import http.client
from collections.abc import Awaitable, Callable

from aiohttp import web

from app.simulator.faults import Fault
from app.simulator.refusal import Refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MEGABYTE = 1024 * 1024
_PAGES = ("page", "page_number")


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
        answer = await self._enveloped(_page_before(request) if name == "repeat-page" else request, handler)
        if name == "delay":
            await asyncio.sleep(fault.seconds)
        if name == "lost-after":
            return _hang_up(request)
        if name in ("slow", "oversized"):
            return await _dragged(request, answer, fault)
        return await _mangled(request, answer, name)

    def _refusal(self, fault: Fault) -> web.Response | None:
        """The faults that answer without doing anything."""
        if fault.name == "status":
            code = int(fault.seconds)
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else None
            words = fault.text or "Something went wrong."
            return self._failure(Refused(code, fault.kind or self._kind(code), words, headers=headers))
        if fault.name == "throttle":
            headers = {"Retry-After": fault.value} if fault.value else None
            return self._failure(Refused(429, self._kind(429), "Too many requests", headers=headers))
        if fault.name in ("html-403", "html"):
            code = int(fault.seconds) or 403
            return web.Response(text=_html(code), status=code, content_type="text/html")
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


async def _dragged(request: web.Request, answer: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    """A body that comes too slowly, or does not end when it should: blanks after the JSON, of no announced length."""
    body = (
        bytes(answer.body) if isinstance(answer, web.Response) and isinstance(answer.body, bytes | bytearray) else b""
    )
    long = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
    slow = fault.name == "slow"
    if slow:
        long.content_length = len(body)
    try:
        await long.prepare(request)
        if slow:
            for place in range(len(body)):
                await long.write(body[place : place + 1])
                await asyncio.sleep(fault.seconds)
        else:
            await long.write(body)
            for _ in range(int(fault.seconds)):
                await long.write(b" " * MEGABYTE)
        await long.write_eof()
    except ConnectionError:  # the client had enough, which is what it is for
        _hang_up(request)
    return long


def _page_before(request: web.Request) -> web.Request:
    """The request for a later page, turned into one for the page before it."""
    for name in _PAGES:
        number = request.query.get(name, "")
        if number.isdigit() and int(number) > 1:
            return request.clone(rel_url=request.rel_url.update_query({name: str(int(number) - 1)}))
    return request


def _html(code: int) -> str:
    title = f"{code} {http.client.responses.get(code, '')}".strip()
    return f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
