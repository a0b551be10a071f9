"""Routes of the client: session, profile, funds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from app.simulator import margins
from app.simulator.bodies import form_of
from app.simulator.figures import stamp
from app.simulator.kite import portfolio
from app.simulator.kite.envelope import session_dead, success
from app.simulator.kite.sessions import Sessions
from app.simulator.oms import OrderSystem
from app.simulator.refusal import bad_input
from app.simulator.refusals import is_option

SEGMENTS = ("equity", "commodity")


class AccountRoutes:
    """Handlers over one order system and its client."""

    def __init__(
        self,
        oms: OrderSystem,
        sessions: Sessions,
        token_ended: Callable[[], Awaitable[None]],
    ) -> None:
        self._oms = oms
        self._sessions = sessions
        self._token_ended = token_ended

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_post("/session/token", self.exchange, name="session:exchange")
        router.add_delete("/session/token", self.logout, name="session:logout")
        router.add_post("/session/refresh_token", self.renew, name="session:renew")
        router.add_get("/user/profile", self.profile, name="profile")
        router.add_get("/user/profile/full", self.full_profile, name="profile:full")
        router.add_get("/user/margins", self.funds, name="margins:funds")
        router.add_get("/user/margins/{segment}", self.funds, name="margins:segment")

    async def exchange(self, request: web.Request) -> web.Response:
        """POST /session/token."""
        form = await form_of(request)
        return success(
            self._sessions.exchange(
                form.get("api_key", ""), form.get("request_token", ""), form.get("checksum", "").lower()
            )
        )

    async def logout(self, request: web.Request) -> web.Response:
        """DELETE /session/token."""
        api_key = request.query.get("api_key", "")
        if "access_token" not in request.query:
            self._sessions.forget_refresh(api_key, request.query.get("refresh_token", ""))
            return success(data=True)
        if not self._sessions.end(api_key, request.query["access_token"]):
            raise session_dead()
        await self._token_ended()
        return success(data=True)

    async def renew(self, request: web.Request) -> web.Response:
        """POST /session/refresh_token."""
        form = await form_of(request)
        asked = (form.get("api_key", ""), form.get("refresh_token", ""), form.get("checksum", "").lower())
        return success(self._sessions.renew(*asked))

    async def profile(self, _request: web.Request) -> web.Response:
        """GET /user/profile."""
        return success(self._sessions.profile())

    async def full_profile(self, _request: web.Request) -> web.Response:
        """GET /user/profile/full, as some clients know it (A6)."""
        begun = stamp(self._oms.market.clock.now().replace(month=1, day=1, hour=9, minute=0, second=0))
        profile = self._sessions.profile()
        more = {
            "twofa_type": "app_code",
            "phone": "*0000",
            "bank_accounts": [{"name": "Paper Bank", "branch": "Paper Lane", "account": "*0000"}],
            "dp_ids": ["0000000000000000"],
            "pan": "*0000",
            "tags": [],
            "password_timestamp": begun,
            "twofa_timestamp": begun,
            "meta": {**profile["meta"], "poa": "physical", "silo": "", "account_blocks": []},
        }
        return success({**profile, **more})

    async def funds(self, request: web.Request) -> web.Response:
        """GET /user/margins[/segment]. Commodity is an empty purse here."""
        segment = request.match_info.get("segment")
        if segment is not None and segment not in SEGMENTS:
            raise bad_input("Invalid `segment`.")
        ledger = self._oms.ledger
        cash, used = ledger.usage()
        net = ledger.available(self._oms.records.live())
        premium = realised = 0
        for position in ledger.account.positions.values():
            listing = self._oms.market.listings.by_token.get(position.token)
            if listing is not None and is_option(listing):
                premium += position.bought_value - position.sold_value
        realised = cash + premium
        rows = {
            "equity": portfolio.funds_row(ledger.account.cash, net, used, premium, realised),
            "commodity": portfolio.funds_row(0, 0, margins.Margin(), 0, 0),
        }
        return success(rows if segment is None else rows[segment])
