"""What goes to addresses that the app has registered: order news (B17), triggers where asked for, and the token of a
login that was approved on the phone (B2.3). No signature, no repetition (neither is documented).

PUT  /simulator/webhook {"url": URL, "notifier": URL, "gtt": BOOL}: where they go, "" for nowhere; answers, as GET does,
     with that and how many were taken and not
POST /simulator/approve: the client approves the login that was asked for last
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from aiohttp import web

from app.simulator.admin import local, object_of
from app.simulator.kite.postback import checked
from app.simulator.refusal import bad_input
from app.simulator.upstox.envelope import json_response
from app.simulator.upstox.portfolio import GTT, ORDER, PortfolioFeed
from app.simulator.upstox.tokens import Tokens

SECONDS = 5.0
"""How long a registered address may take to answer."""


class Webhook:
    """Posts one after the other, in the order in which things happened. Loop thread only."""

    def __init__(self, tokens: Tokens, portfolio: PortfolioFeed) -> None:
        self._tokens = tokens
        self._url = ""
        self._gtt = False
        self._sent = 0
        self._failed = 0
        self._waiting: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        portfolio.heard = self._heard

    def add_to(self, app: web.Application) -> None:
        """Registers the routes; for programs on this machine only."""
        app.router.add_get("/simulator/webhook", local(self.show))
        app.router.add_put("/simulator/webhook", local(self.register))
        app.router.add_post("/simulator/approve", local(self.approve))

    async def show(self, _request: web.Request) -> web.Response:
        """Where news go, and how it went."""
        return json_response(
            {
                "url": self._url,
                "notifier": self._tokens.notifier_url,
                "gtt": self._gtt,
                "sent": self._sent,
                "failed": self._failed,
            }
        )

    async def register(self, request: web.Request) -> web.Response:
        """They go elsewhere."""
        document = await object_of(request)
        try:
            self._url = checked(str(document.get("url", "")))
            self._tokens.notifier_url = checked(str(document.get("notifier", "")))
        except ValueError as error:
            raise bad_input(f"{error}") from None
        self._gtt = document.get("gtt") is True
        return await self.show(request)

    async def approve(self, request: web.Request) -> web.Response:
        """The phone said yes: the token is made and leaves for the registered address."""
        self._waiting.put_nowait((self._tokens.notifier_url, self._tokens.approve()))
        return await self.show(request)

    def _heard(self, kind: str, document: dict[str, Any]) -> None:
        if self._url and (kind == ORDER or (kind == GTT and self._gtt)):
            self._waiting.put_nowait((self._url, document))

    async def run(self) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
            while True:
                url, document = await self._waiting.get()
                body = json.dumps(document, separators=(",", ":")).encode()
                try:
                    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                        taken = answer.ok
                except (aiohttp.ClientError, TimeoutError):
                    taken = False
                self._sent += taken
                self._failed += not taken
