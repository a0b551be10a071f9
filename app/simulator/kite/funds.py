"""Routes of mutual funds (A15): reading. Orders are refused, as the broker does: buying needs a payment by bank."""

from __future__ import annotations

import gzip

from aiohttp import web

from app.simulator.kite.envelope import success
from app.simulator.listing import samples
from app.simulator.refusal import Refused

REFUSED = "Mutual fund orders are not available through the API."


class FundRoutes:
    """The client has never bought any: its books of funds are empty."""

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_get("/mf/instruments", self.instruments, name="mf:instruments")
        for book in ("orders", "sips", "holdings"):
            router.add_get(f"/mf/{book}", self.nothing, name=f"mf:{book}")
        for book in ("orders", "sips"):
            router.add_get(f"/mf/{book}/{{id}}", self.unknown, name=f"mf:{book}:one")
            router.add_post(f"/mf/{book}", self.refused, name=f"mf:{book}:place")
            router.add_put(f"/mf/{book}/{{id}}", self.refused, name=f"mf:{book}:modify")
            router.add_delete(f"/mf/{book}/{{id}}", self.refused, name=f"mf:{book}:cancel")

    async def instruments(self, _request: web.Request) -> web.Response:
        """GET /mf/instruments: the shipped sample."""
        text = (samples() / "mf_instruments.csv").read_bytes()
        headers = {"Content-Encoding": "gzip"}
        return web.Response(body=gzip.compress(text, 6), content_type="text/csv", headers=headers)

    async def nothing(self, _request: web.Request) -> web.Response:
        """GET of a whole book."""
        return success([])

    async def unknown(self, _request: web.Request) -> web.Response:
        """GET of one order or plan."""
        raise Refused(404, "GeneralException", "Couldn't find that order or plan.")

    async def refused(self, _request: web.Request) -> web.Response:
        """Whatever would change something."""
        raise Refused(400, "GeneralException", REFUSED)
