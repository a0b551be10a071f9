"""What every request passes: who is asking, limits, scripted faults, the envelope around every answer."""

from __future__ import annotations

import time
import traceback
from typing import Any

from aiohttp import web

from app.simulator.bodies import form_of, json_value, text_of
from app.simulator.faults import REQUEST, Faults
from app.simulator.kite.envelope import failure, plan_refused, session_dead
from app.simulator.kite.sessions import Sessions
from app.simulator.limits import Limits
from app.simulator.oms import OrderSystem
from app.simulator.refusal import Refused, bad_input
from app.simulator.refusals import address_refused
from app.simulator.striking import Handler, Striker

RECEIVED = web.RequestKey("received", int)
"""When the request's handling began, monotonic nanoseconds."""

_ORDER_ROUTES = frozenset({"place", "modify", "cancel"})
_DATA_ROUTES = frozenset({"quote", "historical"})
"""Not for apps of the Personal plan; the ticker is refused at its handshake."""
_LIMIT_CLASS = {"quote": "quote", "historical": "historical"}
_NO_SESSION = frozenset({"session", "login"})


class Gate:
    """What every request passes, outermost first: envelope, faults, session, limits."""

    def __init__(self, sessions: Sessions, faults: Faults, oms: OrderSystem) -> None:
        self._sessions = sessions
        self._faults = faults
        self._oms = oms
        self._limits = Limits()
        self._striker = Striker(self._enveloped, failure, _kind)

    @web.middleware
    async def pass_through(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The one middleware."""
        request[RECEIVED] = time.monotonic_ns()
        route = route_of(request)
        if route == "":  # admin, ticker: their own rules
            return await self._enveloped(request, handler)
        instrument = await _instrument_of(request) if route == "place" else ""
        fault = self._faults.strike(REQUEST, route, instrument)
        if fault is None:
            return await self._enveloped(request, self._admit(route, handler))
        return await self._striker.strike(request, self._admit(route, handler), fault)

    def _admit(self, route: str, handler: Handler) -> Handler:
        async def admitted(request: web.Request) -> web.StreamResponse:
            if route != "login":
                self._check(request, route)
            return await handler(request)

        return admitted

    def _check(self, request: web.Request, route: str) -> None:
        switches = self._faults.switches
        if switches.version_header == "required" and request.headers.get("X-Kite-Version") != "3":
            raise bad_input("Missing or unknown `X-Kite-Version` header.")
        open_dump = route == "instruments" and switches.instruments_auth == "open"
        if route not in _NO_SESSION and not open_dump:
            self._authorise(request)
        if route in _ORDER_ROUTES and switches.static_ip == "on":
            raise address_refused(request.remote or "127.0.0.1", switches.static_ip_error)
        if route in _DATA_ROUTES and switches.plan == "personal":
            raise plan_refused(int(switches.plan_status))
        if route == "place":
            self._oms.records.placed_today += 1  # refused ones count too (A4)
        if switches.limits == "off":
            return
        changes = route in _ORDER_ROUTES or (route == "gtt" and request.method != "GET")
        if route == "place" or (changes and switches.modify_bucket == "orders"):
            self._limits.order(time.time(), self._oms.records.placed_today, placement=route == "place")
        elif route not in _NO_SESSION:
            self._limits.request(_LIMIT_CLASS.get(route, "other"), time.monotonic())

    def _authorise(self, request: web.Request) -> None:
        kind, _, pair = request.headers.get("Authorization", "").partition(" ")
        api_key, _, access_token = pair.partition(":")
        if kind != "token" or self._sessions.user_of(api_key, access_token) is None:
            raise session_dead()

    async def _enveloped(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            if refused.error_type == "HoldingException" and refused.status == web.HTTPBadRequest.status_code:
                refused.status = int(self._faults.switches.holding_status)
            return failure(refused)
        except web.HTTPRedirection:
            raise
        except web.HTTPException as error:
            return failure(_translated(error))
        except ConnectionError:
            raise  # whoever asked has gone: nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - a bug is answered as Kite answers one, and told on standard error
            traceback.print_exception(error)
            return failure(Refused(500, "GeneralException", "Something went wrong. Please try again later."))


_KINDS = {
    400: "OrderException",
    429: "NetworkException",
    502: "DataException",
    503: "NetworkException",
    504: "DataException",
}


def _kind(status: int) -> str:
    """The error type that goes with an HTTP status (A3)."""
    return _KINDS.get(status, "GeneralException")


def _translated(error: web.HTTPException) -> Refused:
    if error.status == web.HTTPNotFound.status_code:
        return Refused(404, "GeneralException", "Route not found")
    if error.status == web.HTTPMethodNotAllowed.status_code:
        return Refused(405, "GeneralException", "Method not allowed")
    kind = "InputException" if error.status < web.HTTPInternalServerError.status_code else "GeneralException"
    return Refused(error.status, kind, error.reason)


def route_of(request: web.Request) -> str:
    """The name that faults and limits know a request by; empty for the exchange's own routes."""
    name = request.match_info.route.name
    if name:
        return name.partition(":")[0]
    return "" if request.path.startswith(("/simulator/", "/ws", "/connect/done")) else "other"


async def _instrument_of(request: web.Request) -> str:
    try:
        form = await form_of(request)
    except Refused:
        return ":"  # the route says what is wrong with it
    return f"{form.get('exchange', '')}:{form.get('tradingsymbol', '')}"


async def items_of(request: web.Request) -> list[dict[str, Any]]:
    """The top-level JSON array of a calculator request."""
    try:
        items = json_value(await text_of(request))
    except ValueError:
        raise bad_input("Invalid JSON.") from None
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise bad_input("Invalid JSON: a list of orders is expected.")
    return items
