"""Routes of the client: session, profile, funds, addresses, kill switch, positions, holdings (B2, B3, B8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import time
from typing import Any

from aiohttp import web

from app.simulator.account import Conversion
from app.simulator.bodies import form_of
from app.simulator.faults import Faults
from app.simulator.upstox import rows
from app.simulator.upstox.envelope import INVALID_INPUT, json_response, refuse, success
from app.simulator.upstox.form import PRODUCTS, SIDES, choice, product_of, whole
from app.simulator.upstox.gate import TOKEN
from app.simulator.upstox.guard import Guard
from app.simulator.upstox.jsons import any_json, json_of
from app.simulator.upstox.tokens import Tokens
from app.simulator.upstox.trading import Trading

FUNDS_OPEN = time(5, 30)
_FUNDS_SEGMENTS = {"SEC": "equity", "COM": "commodity"}


class AccountRoutes:
    """Handlers over one order system and its client. `token_ended` follows every death of an access token."""

    def __init__(
        self, trading: Trading, tokens: Tokens, guard: Guard, faults: Faults, token_ended: Callable[[], Awaitable[None]]
    ) -> None:
        self._oms = trading.oms
        self._trading = trading
        self._tokens = tokens
        self._guard = guard
        self._faults = faults
        self._token_ended = token_ended

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_post("/v2/login/authorization/token", self.exchange, name="session:exchange")
        router.add_post("/v3/login/auth/token/request/{client_id}", self.request_token, name="session:request")
        router.add_delete("/v2/logout", self.logout, name="logout")
        router.add_get("/v2/user/profile", self.profile, name="profile")
        router.add_get("/v2/user/get-funds-and-margin", self.funds, name="margins:v2")
        router.add_get("/v3/user/get-funds-and-margin", self.funds_v3, name="margins:v3")
        router.add_get("/v2/user/ip", self.addresses, name="ip")
        router.add_put("/v2/user/ip", self.register, name="ip:change")
        router.add_get("/v2/user/kill-switch", self.kill_switch, name="killswitch")
        router.add_post("/v2/user/kill-switch", self.pull, name="killswitch:change")
        router.add_get("/v2/portfolio/short-term-positions", self.positions, name="positions")
        router.add_get("/v3/portfolio/mtf-positions", self.mtf_positions, name="positions:mtf")
        router.add_put("/v2/portfolio/convert-position", self.convert, name="convert")
        router.add_get("/v2/portfolio/long-term-holdings", self.holdings, name="holdings")

    # -- session

    async def exchange(self, request: web.Request) -> web.Response:
        """POST /v2/login/authorization/token: the one answer without an envelope."""
        form = await form_of(request)
        return json_response(self._tokens.exchange(form))

    async def request_token(self, request: web.Request) -> web.Response:
        """POST /v3/login/auth/token/request/{client_id}: the client approves, the token goes to the notifier."""
        body = await json_of(request)
        dies = self._tokens.death_of_request(request.match_info["client_id"], str(body.get("client_secret", "")))
        return success({"authorization_expiry": str(dies), "notifier_url": self._tokens.notifier_url})

    async def logout(self, request: web.Request) -> web.Response:
        """DELETE /v2/logout."""
        self._tokens.end(request[TOKEN])
        await self._token_ended()
        return success(data=True)

    async def profile(self, _request: web.Request) -> web.Response:
        """GET /v2/user/profile."""
        return success(self._tokens.profile())

    async def addresses(self, _request: web.Request) -> web.Response:
        """GET /v2/user/ip."""
        return success(self._guard.addresses())

    async def register(self, request: web.Request) -> web.Response:
        """PUT /v2/user/ip: every access token dies with it."""
        body = await json_of(request)
        self._guard.register(body.get("primary_ip"), body.get("secondary_ip"))
        answer = success(self._guard.addresses(invalidated=True))
        self._tokens.end_access()
        await self._token_ended()
        return answer

    async def kill_switch(self, _request: web.Request) -> web.Response:
        """GET /v2/user/kill-switch."""
        return success(self._guard.switches())

    async def pull(self, request: web.Request) -> web.Response:
        """POST /v2/user/kill-switch."""
        self._guard.pull(await any_json(request))
        return success(self._guard.switches())

    # -- money

    async def funds(self, request: web.Request) -> web.Response:
        """GET /v2/user/get-funds-and-margin: one pool, told as equity; commodity is zeros."""
        self._check_funds_open()
        segment = request.query.get("segment")
        if segment is not None and segment not in _FUNDS_SEGMENTS:
            raise refuse("UDAPI1066", "The segment is invalid", path="segment", value=segment)
        ledger = self._oms.ledger
        _, used = ledger.usage()
        available = ledger.available(self._oms.records.live())
        equity = {
            "used_margin": (used.total + ledger.blocked(self._oms.records.live())) / 100,
            "payin_amount": 0.0,
            "span_margin": used.span / 100,
            "adhoc_margin": 0.0,
            "notional_cash": 0.0,
            "available_margin": available / 100,
            "exposure_margin": used.exposure / 100,
        }
        found = {"equity": equity, "commodity": dict.fromkeys(equity, 0.0)}
        return success(found if segment is None else {_FUNDS_SEGMENTS[segment]: found[_FUNDS_SEGMENTS[segment]]})

    async def funds_v3(self, _request: web.Request) -> web.Response:
        """GET /v3/user/get-funds-and-margin. Nothing is pledged on the paper exchange."""
        self._check_funds_open()
        ledger = self._oms.ledger
        flow, used = ledger.usage()
        live = self._oms.records.live()
        available, blocked = ledger.available(live), ledger.blocked(live)
        loss = min(0, flow)
        delivery = {"total": 0.0, "equity": 0.0, "fo_settlement": 0.0}
        nothing = {"total": 0.0, "mtf": 0.0, "span_exposure": 0.0, "cash_margin_var_elm": 0.0, "premium_present": 0.0}
        return success(
            {
                "available_to_trade": {
                    "total": available / 100,
                    "cash_available_to_trade": {
                        "total": available / 100,
                        "cash": {
                            "opening_balance": ledger.account.cash / 100,
                            "added_today": 0.0,
                            "withdrawn_today": 0.0,
                            "amount_from_stock_sale": max(0, flow) / 100,
                            "unpaid_charges": 0.0,
                        },
                        "margin_used": {
                            "total": (used.total + blocked - loss) / 100,
                            "mtf": 0.0,
                            "loss": {"total": -loss / 100, "realised": -loss / 100, "unrealised": 0.0},
                            "span_exposure": (used.span + used.exposure) / 100,
                            "cash_margin_var_elm": (used.var + blocked) / 100,
                            "premium_present": 0.0,
                            "delivery_margin": delivery,
                        },
                    },
                    "pledge_available_to_trade": {
                        "margin_from_pledge": {"total": 0.0, "equity": 0.0, "mutual_funds": 0.0},
                        "margin_used": {**nothing, "delivery_margin": delivery},
                    },
                },
                "unavailable_to_trade": {
                    "cash_unavailable_to_trade": {"unsettled_profit": {"todays_profit": 0.0, "previous_days": 0.0}},
                    "pledge_unavailable_to_trade": {"equity": 0.0, "mutual_funds": 0.0},
                },
            }
        )

    def _check_funds_open(self) -> None:
        if self._faults.switches.funds_night == "closed" and self._oms.market.clock.now().time() < FUNDS_OPEN:
            raise refuse("UDAPI100072", "The Funds service is accessible from 5:30 AM to 12:00 AM IST daily.", 423)

    # -- portfolio

    async def positions(self, _request: web.Request) -> web.Response:
        """GET /v2/portfolio/short-term-positions."""
        found = list[dict[str, Any]]()
        nothing = "" if self._faults.switches.no_price == "empty" else None
        apart = self._faults.switches.mtf_listed == "apart"
        for position in self._oms.ledger.account.positions.values():
            quote = self._oms.market.quotes.get(position.token)
            if quote is not None and not (apart and position.product == "MTF"):
                found.append(rows.position_row(position, quote.listing, quote.last_price, quote.close, nothing))
        return success(found)

    async def mtf_positions(self, _request: web.Request) -> web.Response:
        """GET /v3/portfolio/mtf-positions: shares that were bought with the broker's money."""
        found = [
            rows.position_row(position, quote.listing, quote.last_price, quote.close)
            for position in self._oms.ledger.account.positions.values()
            if position.product == "MTF" and (quote := self._oms.market.quotes.get(position.token)) is not None
        ]
        return success(found)

    async def holdings(self, _request: web.Request) -> web.Response:
        """GET /v2/portfolio/long-term-holdings."""
        account = self._oms.ledger.account
        found = list[dict[str, Any]]()
        for holding in account.holdings.values():
            quote = self._oms.market.quotes.get(holding.token)
            if quote is None:
                continue
            position = account.positions.get((holding.token, "CNC"))
            sold = max(0, position.sold - position.bought) if position else 0
            found.append(rows.holding_row(holding, quote.listing, quote.last_price, quote.close, sold))
        return success(found)

    async def convert(self, request: web.Request) -> web.Response:
        """PUT /v2/portfolio/convert-position. What was carried over goes first, if it is enough."""
        body = await json_of(request)
        listing = self._trading.listing(body.get("instrument_token"))
        quantity = whole(body, "quantity", "UDAPI1052", "The quantity is not a whole number")
        if not quantity or quantity < 0:
            raise refuse("UDAPI1052", "The quantity cannot be zero", path="quantity", value=quantity)
        side = choice(body, "transaction_type", SIDES, INVALID_INPUT, INVALID_INPUT)
        names = ("old_product", "new_product")
        old, new = (choice(body, name, PRODUCTS, INVALID_INPUT, INVALID_INPUT) for name in names)
        before = self._oms.ledger.account.positions.get((listing.token, product_of(listing, old)))
        carried = before is not None and abs(before.overnight_quantity) >= quantity
        move = Conversion(product_of(listing, old), product_of(listing, new), side, quantity, overnight=carried)
        self._oms.ledger.convert(listing, move, self._oms.records.live())
        self._oms.records.commit(durable=True)
        return success({"status": "complete"})
