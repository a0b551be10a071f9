"""Routes of the margin and charge calculators (A11)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from app.simulator import margins
from app.simulator.charges import note
from app.simulator.figures import rupees
from app.simulator.kite import portfolio
from app.simulator.kite.envelope import success
from app.simulator.kite.server import items_of
from app.simulator.listing import Listing
from app.simulator.oms import OrderSystem
from app.simulator.refusal import Refused, bad_input
from app.simulator.refusals import multiplier


class CalculatorRoutes:
    """Handlers over one order system."""

    def __init__(self, oms: OrderSystem) -> None:
        self._oms = oms

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        app.router.add_post("/margins/orders", self.order_margins, name="margins:orders")
        app.router.add_post("/margins/basket", self.basket_margins, name="margins:basket")
        app.router.add_post("/charges/orders", self.charges, name="charges")

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
