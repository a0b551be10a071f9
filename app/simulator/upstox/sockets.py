"""How a client comes to its streams: authorise calls, redirects, and the single-use addresses they lead to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from app.simulator.faults import Faults
from app.simulator.upstox.envelope import NOT_FOUND, SERVER_ERROR, refuse, success
from app.simulator.upstox.feed import MarketFeed
from app.simulator.upstox.portfolio import PortfolioFeed
from app.simulator.upstox.tickets import Tickets

MARKET, PORTFOLIO = "market", "portfolio"


class SocketRoutes:
    """Handlers over both streams. `base` is the address of this port's sockets."""

    def __init__(self, market: MarketFeed, portfolio: PortfolioFeed, faults: Faults, base: Callable[[], str]) -> None:
        self._market = market
        self._portfolio = portfolio
        self._faults = faults
        self._base = base
        self._tickets = Tickets()

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_get("/v3/feed/market-data-feed", self.market, name="feed:market")
        router.add_get("/v3/feed/market-data-feed/authorize", self.market_address, name="socket:market")
        router.add_get("/v2/feed/portfolio-stream-feed", self.portfolio, name="feed:portfolio")
        router.add_get("/v2/feed/portfolio-stream-feed/authorize", self.portfolio_address, name="socket:portfolio")
        router.add_get("/v2/feed/market-data-feed", self.discontinued, name="feed:v2")
        router.add_get("/v2/feed/market-data-feed/authorize", self.discontinued, name="socket:v2")
        router.add_get("/feeds/{stream}", self.open)

    async def market(self, _request: web.Request) -> web.Response:
        """The feed's own address: a redirect."""
        raise web.HTTPFound(self._address(MARKET))

    async def market_address(self, _request: web.Request) -> web.Response:
        """GET …/authorize."""
        return success(_both(self._address(MARKET)))

    async def portfolio(self, request: web.Request) -> web.Response:
        """The stream's own address: a redirect."""
        raise web.HTTPFound(self._address(PORTFOLIO, self._types(request)))

    async def portfolio_address(self, request: web.Request) -> web.Response:
        """GET …/authorize."""
        return success(_both(self._address(PORTFOLIO, self._types(request))))

    async def discontinued(self, _request: web.Request) -> web.Response:
        """The feed of v2 ended on 2025-08-22."""
        raise refuse(NOT_FOUND, "The market data feed v2 is discontinued. Use v3.", 410)

    async def open(self, request: web.Request) -> web.StreamResponse:
        """A single-use address."""
        stream = request.match_info["stream"]
        if stream == PORTFOLIO and self._faults.stands("order-stream-down"):
            raise refuse(SERVER_ERROR, "The portfolio stream is not available", 503)
        ticket = self._tickets.take(stream, request.query.get("code", ""))
        if ticket is None:
            raise refuse("UDAPI100050", "Invalid token used to access API", 403)
        if stream == PORTFOLIO:
            return await self._portfolio.handle(request, ticket.types)
        if self._market.full:
            raise refuse("UDAPI100043", "The number of connections is exceeded", 403)
        return await self._market.handle(request)

    def _types(self, request: web.Request) -> tuple[str, ...]:
        return self._portfolio.types(request.query.get("update_types", ""))

    def _address(self, stream: str, types: tuple[str, ...] = ()) -> str:
        code = self._tickets.issue(stream, types)
        return f"{self._base()}/feeds/{stream}?requestId={code[:8]}&code={code}"


def _both(url: str) -> dict[str, Any]:
    """Both spellings."""
    return {"authorizedRedirectUri": url, "authorized_redirect_uri": url}
