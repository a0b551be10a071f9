"""Routes of the margin and charge calculators (A11)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from aiohttp import web

from app.simulator import margins, spreads
from app.simulator.bodies import MOST, decimal_number
from app.simulator.charges import note
from app.simulator.kite import portfolio
from app.simulator.kite.envelope import success
from app.simulator.kite.server import items_of
from app.simulator.listing import Listing
from app.simulator.oms import OrderSystem
from app.simulator.refusal import Refused, bad_input
from app.simulator.refusals import multiplier, worth


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
        rows = [self._margin(item) for item in await items_of(request)]
        return success([_compact(row) for row in rows] if _is_compact(request) else rows)

    async def basket_margins(self, request: web.Request) -> web.Response:
        """POST /margins/basket. `initial`: each order by itself; `final`: with the benefit of spreads, and with
        `consider_positions` beside what is held.
        """
        items = await items_of(request)
        rows = [self._margin(item) for item in items]
        stakes = [self._stake(item) for item in items]
        held = self._oms.ledger.stakes() if request.query.get("consider_positions", "").lower() == "true" else []
        alone = [spreads.together([], [stake]) for stake in stakes]
        initial = margins.Margin(
            sum(m.var for m in alone),
            sum(m.span for m in alone),
            sum(m.exposure for m in alone),
            sum(m.option_premium for m in alone),
        )
        total = sum(m.total for m in alone)
        final = spreads.together(held, stakes)
        sums = {"initial": portfolio.basket_row(initial, total), "final": portfolio.basket_row(final, final.total)}
        if _is_compact(request):
            sums = {name: _compact(row) for name, row in sums.items()}
            rows = [_compact(row) for row in rows]
        return success({**sums, "orders": rows, "charges": portfolio.NO_CHARGES})

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

    def _margin(self, item: dict[str, Any]) -> dict[str, Any]:
        stake, product = self._stake(item), str(item.get("product", ""))
        listing, side, quantity = self._read(item)
        margin = margins.required(listing, side, product, quantity, stake.price)
        turnover = Decimal(worth(listing, quantity, stake.price)) / 100
        charges = note(listing, product, side, turnover, self._oms.market.clock.now().date())
        return portfolio.margin_row(listing, product, margin, charges)

    def _stake(self, item: dict[str, Any]) -> spreads.Stake:
        listing, side, quantity = self._read(item)
        price = _decimal(item, "price") or _decimal(item, "trigger_price")
        asked = int(price * listing.price_scale) or self._oms.market.quotes[listing.token].last_price
        return spreads.Stake(listing, str(item.get("product", "")), quantity if side == "BUY" else -quantity, asked)

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
        if not isinstance(quantity, int) or isinstance(quantity, bool) or not 0 < quantity <= MOST:
            raise bad_input("Invalid `quantity`.")
        return listing, side, quantity


def _is_compact(request: web.Request) -> bool:
    return request.query.get("mode") == "compact"


def _compact(row: dict[str, Any]) -> dict[str, Any]:
    """Only the total, and what it is of (A11)."""
    return {field: row[field] for field in ("type", "tradingsymbol", "exchange", "total")}


def _decimal(item: dict[str, Any], field: str) -> Decimal:
    value = item.get(field) or 0
    try:
        number = decimal_number(str(value))
    except ValueError:
        raise _undecodable(field) from None
    if number > MOST:
        raise _undecodable(field)
    return number


def _undecodable(field: str) -> Refused:
    return bad_input(f"Invalid `{field}`.")
