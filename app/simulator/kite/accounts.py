"""Routes of the client: session, profile, funds, positions, holdings, margin and charge calculators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from app.simulator import margins
from app.simulator.auctions import Auctions
from app.simulator.charges import note
from app.simulator.figures import rupees, stamp
from app.simulator.kite import portfolio
from app.simulator.kite.envelope import session_dead, success
from app.simulator.kite.server import form_of, items_of
from app.simulator.kite.sessions import Sessions
from app.simulator.listing import Listing
from app.simulator.oms import OrderSystem
from app.simulator.refusal import Refused, bad_input
from app.simulator.refusals import is_option, multiplier

SEGMENTS = ("equity", "commodity")


class AccountRoutes:
    """Handlers over one order system and its client."""

    def __init__(
        self,
        oms: OrderSystem,
        auctions: Auctions,
        sessions: Sessions,
        token_ended: Callable[[], Awaitable[None]],
    ) -> None:
        self._oms = oms
        self._auctions = auctions
        self._sessions = sessions
        self._token_ended = token_ended

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_post("/session/token", self.exchange, name="session:exchange")
        router.add_delete("/session/token", self.logout, name="session:logout")
        router.add_post("/session/refresh_token", self.renew, name="session:renew")
        router.add_get("/user/profile", self.profile, name="profile")
        router.add_get("/user/margins", self.funds, name="margins:funds")
        router.add_get("/user/margins/{segment}", self.funds, name="margins:segment")
        router.add_get("/portfolio/positions", self.positions, name="positions")
        router.add_put("/portfolio/positions", self.convert, name="positions:convert")
        router.add_get("/portfolio/holdings", self.holdings, name="holdings")
        router.add_get("/portfolio/holdings/auctions", self.auctions, name="holdings:auctions")
        router.add_post("/margins/orders", self.order_margins, name="margins:orders")
        router.add_post("/margins/basket", self.basket_margins, name="margins:basket")
        router.add_post("/charges/orders", self.charges, name="charges")

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
            raise self._sessions.renew(api_key)
        if not self._sessions.end(api_key, request.query["access_token"]):
            raise session_dead()
        await self._token_ended()
        return success(data=True)

    async def renew(self, request: web.Request) -> web.Response:
        """POST /session/refresh_token."""
        raise self._sessions.renew((await form_of(request)).get("api_key", ""))

    async def profile(self, _request: web.Request) -> web.Response:
        """GET /user/profile."""
        return success(self._sessions.profile())

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

    async def positions(self, _request: web.Request) -> web.Response:
        """GET /portfolio/positions."""
        net, day = list[dict[str, Any]](), list[dict[str, Any]]()
        for position in self._oms.ledger.account.positions.values():
            quote = self._oms.market.quotes.get(position.token)
            if quote is None:
                continue
            net.append(portfolio.net_row(position, quote.listing, quote.last_price, quote.close))
            if position.bought or position.sold:
                day.append(portfolio.day_row(position, quote.listing, quote.last_price, quote.close))
        return success({"net": net, "day": day})

    async def holdings(self, _request: web.Request) -> web.Response:
        """GET /portfolio/holdings."""
        return success(self._holding_rows())

    def _holding_rows(self) -> list[dict[str, Any]]:
        account, today = self._oms.ledger.account, self._oms.market.clock.now()
        midnight = stamp(today.replace(hour=0, minute=0, second=0))
        rows = []
        for holding in account.holdings.values():
            quote = self._oms.market.quotes.get(holding.token)
            if quote is None:
                continue
            position = account.positions.get((holding.token, "CNC"))
            sold = max(0, position.sold - position.bought) if position else 0
            row = portfolio.holding_row(holding, quote.listing, quote.last_price, quote.close, sold, midnight)
            rows.append(row)
        return rows

    async def convert(self, _request: web.Request) -> web.Response:
        """PUT /portfolio/positions."""
        raise bad_input("Converting a position is not available on the paper exchange yet.")

    async def auctions(self, _request: web.Request) -> web.Response:
        """GET /portfolio/holdings/auctions: what the client holds and could sell in an auction now."""
        numbers = self._auctions.open
        rows = [(row, numbers.get(f"{row['exchange']}:{row['tradingsymbol']}")) for row in self._holding_rows()]
        return success([portfolio.auction_row(row, number) for row, number in rows if number])

    # -- calculators

    async def order_margins(self, request: web.Request) -> web.Response:
        """POST /margins/orders: each order by itself."""
        return success([self._margin(item)[0] for item in await items_of(request)])

    async def basket_margins(self, request: web.Request) -> web.Response:
        """POST /margins/basket. `final` is `initial`: the paper exchange gives no spread benefit."""
        found = [self._margin(item) for item in await items_of(request)]
        rows = [row for row, _ in found]
        total = margins.Margin(
            sum(m.var for _, m in found),
            sum(m.span for _, m in found),
            sum(m.exposure for _, m in found),
            sum(m.option_premium for _, m in found),
        )
        sums = {
            "type": "",
            "tradingsymbol": "",
            "exchange": "",
            "span": rupees(total.span),
            "exposure": rupees(total.exposure),
            "option_premium": rupees(total.option_premium),
            "additional": 0,
            "bo": 0,
            "cash": 0,
            "var": rupees(total.var),
            "pnl": {"realised": 0, "unrealised": 0},
            "leverage": 0,
            "charges": rows[0]["charges"],
            "total": rupees(sum(m.total for _, m in found)),
        }
        return success({"initial": sums, "final": dict(sums), "orders": rows, "charges": rows[0]["charges"]})

    async def charges(self, request: web.Request) -> web.Response:
        """POST /charges/orders: the virtual contract note."""
        rows = []
        on = self._oms.market.clock.now().date()
        for item in await items_of(request):
            listing, side, quantity = self._read(item)
            if not str(item.get("order_id", "")):
                raise bad_input("Invalid `order_id`.")
            price = _decimal(item, "average_price")
            if price <= 0:
                raise bad_input("Invalid `average_price`.")
            product = str(item.get("product", ""))
            turnover = price * quantity * multiplier(listing)
            rows.append(
                {
                    "transaction_type": side,
                    "tradingsymbol": listing.tradingsymbol,
                    "exchange": listing.exchange,
                    "variety": item.get("variety", ""),
                    "product": product,
                    "order_type": item.get("order_type", ""),
                    "quantity": quantity,
                    "price": float(price),
                    "charges": note(listing, product, side, turnover, on).row(),
                }
            )
        return success(rows)

    def _margin(self, item: dict[str, Any]) -> tuple[dict[str, Any], margins.Margin]:
        listing, side, quantity = self._read(item)
        product = str(item.get("product", ""))
        price = _decimal(item, "price") or _decimal(item, "trigger_price")
        paise = int(price * 100) or self._oms.market.quotes[listing.token].last_price
        margin = margins.required(listing, side, product, quantity, paise)
        turnover = Decimal(paise * quantity * multiplier(listing)) / 100
        charges = note(listing, product, side, turnover, self._oms.market.clock.now().date())
        return portfolio.margin_row(listing, product, margin, charges), margin

    def _read(self, item: dict[str, Any]) -> tuple[Listing, str, int]:
        key = f"{item.get('exchange', '')}:{item.get('tradingsymbol', '')}"
        listing = self._oms.market.listings.by_key.get(key)
        if listing is None or not listing.tradable:
            raise bad_input("Invalid `tradingsymbol`.")
        side = item.get("transaction_type")
        if side not in ("BUY", "SELL"):
            raise bad_input("Invalid `transaction_type`.")
        quantity = item.get("quantity")
        if isinstance(quantity, float) and quantity.is_integer():
            quantity = int(quantity)
        if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity <= 0:
            raise bad_input("Invalid `quantity`.")
        return listing, side, quantity


def _decimal(item: dict[str, Any], field: str) -> Decimal:
    value = item.get(field) or 0
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise _undecodable(field) from None
    if not number.is_finite():
        raise _undecodable(field)
    return number


def _undecodable(field: str) -> Refused:
    return bad_input(f"Invalid `{field}`.")
