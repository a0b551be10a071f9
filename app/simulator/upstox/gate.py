"""What every request to Upstox's wire passes: CDN, scripted faults, session, registered address, limits, envelope."""

from __future__ import annotations

import re
import time
import traceback

from aiohttp import web

from app.simulator.bodies import json_value, text_of
from app.simulator.faults import REQUEST, Faults
from app.simulator.refusal import Refused
from app.simulator.striking import Handler, Striker
from app.simulator.upstox.envelope import (
    INVALID_TOKEN,
    NOT_FOUND,
    SERVER_ERROR,
    UNSUPPORTED,
    failure,
    kind,
    refuse,
)
from app.simulator.upstox.keys import KeyBook
from app.simulator.upstox.limits import ApiLimits
from app.simulator.upstox.sandbox import Sandbox
from app.simulator.upstox.tokens import ACCESS, ANALYTICS, SANDBOX, Tokens, not_permitted

RECEIVED = web.RequestKey("received", int)
"""When the request's handling began, monotonic nanoseconds."""
KEYS = web.AppKey("keys", KeyBook)
TOKEN = web.RequestKey("token", str)
"""The bearer token, checked."""

USE = web.RequestKey("use", str)
"""Which kind of token it is."""

ORDER_ROUTES = frozenset({"place", "modify", "cancel"})
_OPEN = frozenset({"session", "login", "instruments", "historical", "calendar"})
"""Without a token (B6)."""
_NO_GATE = ("/simulator/", "/connect/done", "/feeds/")
"""The exchange's own routes, the redirect's landing page, and sockets with a single-use address."""
_LIBRARIES = {
    "libraries": ("python-urllib", "python-requests", "python-httpx", "python/", "aiohttp", "curl/", "go-http-client"),
    "urllib": ("python-urllib",),
}
_ALGO = re.compile(r"[\w -]{1,64}")
_READ_ONLY = frozenset({"GET"})


class Gate:
    """The one middleware of the Upstox port."""

    def __init__(self, tokens: Tokens, faults: Faults, sandbox: Sandbox) -> None:
        self._tokens = tokens
        self._sandbox = sandbox
        self._faults = faults
        self._limits = ApiLimits()
        self._striker = Striker(self._enveloped, failure, kind)

    @web.middleware
    async def pass_through(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Outermost first: the CDN, faults, the envelope, then who is asking."""
        request[RECEIVED] = time.monotonic_ns()
        route = route_of(request)
        if not route:
            return await self._enveloped(request, handler)
        if route != "feed" and self._is_library(request.headers.get("User-Agent", "")):
            return web.Response(text="error code: 1010", status=403, content_type="text/plain")
        instrument = await _instrument_of(request) if route == "place" else ""
        fault = self._faults.strike(REQUEST, route, instrument)
        if fault is None:
            return await self._enveloped(request, self._admit(route, handler))
        return await self._striker.strike(request, self._admit(route, handler), fault)

    def _is_library(self, agent: str) -> bool:
        """Whether the CDN takes the agent for a script (B1: error 1010)."""
        refused = _LIBRARIES.get(self._faults.switches.user_agent)
        return refused is not None and (not agent or agent.lower().startswith(refused))

    def _admit(self, route: str, handler: Handler) -> Handler:
        async def admitted(request: web.Request) -> web.StreamResponse:
            self._check(request, route)
            if request.get(USE) == SANDBOX:
                return await self._sandbox.answer(request)
            return await handler(request)

        return admitted

    def _check(self, request: web.Request, route: str) -> None:
        api = request.match_info.route.name or request.path
        if request.match_info.http_exception is not None:
            raise request.match_info.http_exception
        if request.headers.get("Api-Version", "2.0") not in ("2.0", "3.0"):
            raise refuse("UDAPI100015", "The Api-Version header is invalid", value=request.headers["Api-Version"])
        if route not in _OPEN:
            self._authorise(request, route)
        if route in ORDER_ROUTES and _ALGO.fullmatch(request.headers.get("X-Algo-Name", "none")) is None:
            raise refuse("UDAPI1156", "Invalid algo name", path="X-Algo-Name", value=request.headers["X-Algo-Name"])
        if self._faults.switches.static_ip == "on" and route in ORDER_ROUTES:
            raise refuse("UDAPI1154", "Access denied: the request came from an IP address that is not registered.", 403)
        if self._faults.switches.limits == "on" and route != "login":
            self._limits.request(f"{request.method} {api}", time.monotonic(), order=route in ORDER_ROUTES)

    def _authorise(self, request: web.Request, route: str) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise refuse(INVALID_TOKEN, "Invalid token used to access API", 401)
        use = request[USE] = self._tokens.kind_of(token)
        if use not in (ACCESS, SANDBOX) and (request.method not in _READ_ONLY or route in ORDER_ROUTES):
            raise not_permitted()
        if use == ANALYTICS and self._faults.switches.static_ip == "on" and route in _ACCOUNT_ROUTES:
            raise refuse("UDAPI1154", "Access denied: the request came from an IP address that is not registered.", 403)
        request[TOKEN] = token

    async def _enveloped(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            return failure(refused)
        except web.HTTPRedirection:
            raise
        except web.HTTPException as error:
            return failure(_translated(error))
        except ConnectionError:
            raise  # whoever asked has gone: nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - a bug is answered as Upstox answers one, and told on standard error
            traceback.print_exception(error)
            return failure(Refused(500, SERVER_ERROR, "Something went wrong... please contact us"))


_ACCOUNT_ROUTES = frozenset(
    {"orders", "order", "trades", "positions", "holdings", "margins", "profile", "history", "charges"}
)


def route_of(request: web.Request) -> str:
    """The name that faults know a request by; empty for the exchange's own routes."""
    if request.path.startswith(_NO_GATE):
        return ""
    name = request.match_info.route.name
    return name.partition(":")[0] if name else "other"


def _translated(error: web.HTTPException) -> Refused:
    if error.status == web.HTTPNotFound.status_code:
        return Refused(404, NOT_FOUND, "Resource not Found.")
    if error.status == web.HTTPMethodNotAllowed.status_code:
        return Refused(405, UNSUPPORTED, "This request is not supported by Upstox API")
    return Refused(error.status, kind(error.status), error.reason)


async def _instrument_of(request: web.Request) -> str:
    """What an order is for, as faults name instruments."""
    try:
        document = json_value(await text_of(request))
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    return request.app[KEYS].name(str(document.get("instrument_token", "")))
