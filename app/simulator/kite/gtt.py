"""Routes of triggers that wait at the broker (A9): the condition and the orders travel as JSON inside form fields."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from app.simulator.bodies import decimal_number, form_of, json_value, whole_number
from app.simulator.figures import rupees
from app.simulator.gtt import ACTIVE, SINGLE, TWO_LEG, Gtt, GttEngine, Leg, with_sides
from app.simulator.kite.envelope import success
from app.simulator.kite.form import SIDES
from app.simulator.listing import Listing, Listings, scale_of
from app.simulator.order import APP_ID
from app.simulator.refusal import bad_input

_LEGS = {SINGLE: 1, TWO_LEG: 2}


class GttRoutes:
    """Handlers over one engine."""

    def __init__(self, engine: GttEngine, listings: Listings, user_id: str) -> None:
        self._engine = engine
        self._listings = listings
        self._user_id = user_id

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_post("/gtt/triggers", self.place, name="gtt:place")
        router.add_get("/gtt/triggers", self.listed, name="gtt:list")
        router.add_get("/gtt/triggers/{gtt_id}", self.one, name="gtt:one")
        router.add_put("/gtt/triggers/{gtt_id}", self.modify, name="gtt:modify")
        router.add_delete("/gtt/triggers/{gtt_id}", self.delete, name="gtt:delete")

    async def place(self, request: web.Request) -> web.Response:
        """POST /gtt/triggers."""
        return success({"trigger_id": self._engine.create(*self._read(await form_of(request))).id})

    async def modify(self, request: web.Request) -> web.Response:
        """PUT /gtt/triggers/{id}: the three fields in full."""
        read = self._read(await form_of(request))
        return success({"trigger_id": self._engine.change(_id(request), *read).id})

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /gtt/triggers/{id}."""
        return success({"trigger_id": self._engine.delete(_id(request)).id})

    async def listed(self, _request: web.Request) -> web.Response:
        """GET /gtt/triggers."""
        return success([self._row(gtt) for gtt in self._engine.listed()])

    async def one(self, request: web.Request) -> web.Response:
        """GET /gtt/triggers/{id}."""
        return success(self._row(self._engine.get(_id(request))))

    def _read(self, form: dict[str, str]) -> tuple[str, Listing, int, list[Leg]]:
        kind = form.get("type", "")
        if kind not in _LEGS:
            raise bad_input("Invalid `type`: single or two-leg.")
        condition, orders = _json(form, "condition"), _json(form, "orders")
        if not isinstance(condition, dict) or not isinstance(orders, list):
            raise bad_input("Invalid `condition` or `orders`.")
        key = f"{condition.get('exchange', '')}:{condition.get('tradingsymbol', '')}"
        listing = self._listings.by_key.get(key)
        if listing is None:
            raise bad_input(f"The instrument you are placing a trigger for ({key}) does not exist or has expired.")
        triggers = condition.get("trigger_values")
        if not isinstance(triggers, list) or len(triggers) != _LEGS[kind] or len(orders) != _LEGS[kind]:
            raise bad_input(f"A trigger of type {kind} needs {_LEGS[kind]} `trigger_values` and as many `orders`.")
        scale = listing.price_scale
        last = _price(condition.get("last_price"), "last_price", scale)
        legs = [
            _leg(order, key, _price(value, "trigger_values", scale), scale)
            for order, value in zip(orders, triggers, strict=True)
        ]
        return kind, listing, last, with_sides(kind, last, legs)

    def _row(self, gtt: Gtt) -> dict[str, Any]:
        exchange, _, symbol = gtt.key.partition(":")
        ended = {"rejection_reason": gtt.reason} if gtt.reason else None
        return {
            "id": gtt.id,
            "user_id": self._user_id,
            "parent_trigger": None,
            "type": gtt.kind,
            "created_at": gtt.created,
            "updated_at": gtt.updated,
            "expires_at": gtt.expires,
            "status": gtt.status,
            "condition": {
                "exchange": exchange,
                "last_price": rupees(gtt.last_price, scale_of(gtt.token)),
                "tradingsymbol": symbol,
                "trigger_values": [rupees(leg.trigger, scale_of(gtt.token)) for leg in gtt.legs],
                "instrument_token": gtt.token,
            },
            "orders": [self._order(gtt, leg, exchange, symbol) for leg in gtt.legs],
            "meta": {} if gtt.status == ACTIVE else ended,
        }

    def _order(self, gtt: Gtt, leg: Leg, exchange: str, symbol: str) -> dict[str, Any]:
        row: dict[str, Any] = {
            "exchange": exchange,
            "tradingsymbol": symbol,
            "product": leg.product,
            "order_type": leg.order_type,
            "transaction_type": leg.side,
            "quantity": leg.quantity,
            "price": rupees(leg.price, scale_of(gtt.token)),
        }
        if leg.outcome is None:
            return {**row, "result": None}
        fired = leg.outcome
        result = {
            "status": "failed" if fired.refusal else "success",
            "order_id": fired.order_id,
            "rejection_reason": fired.refusal,
        }
        return {
            **row,
            "result": {
                "account_id": self._user_id,
                **row,
                "validity": "DAY",
                "meta": json.dumps({"app_id": APP_ID, "gtt": gtt.id}, separators=(",", ":")),
                "timestamp": fired.at,
                "triggered_at": rupees(fired.price, scale_of(gtt.token)),
                "order_result": result,
            },
        }


def _id(request: web.Request) -> int:
    text = request.match_info["gtt_id"]
    try:
        return whole_number(text)
    except ValueError:
        raise bad_input("Invalid `trigger_id`.") from None


def _json(form: dict[str, str], field: str) -> Any:
    try:
        return json_value(form.get(field, ""), exact=True)
    except ValueError:
        raise bad_input(f"Invalid `{field}`: JSON is expected.") from None


def _price(value: object, field: str, scale: int) -> int:
    try:
        scaled = decimal_number(str(value)) * scale
    except ValueError:
        raise bad_input(f"Invalid `{field}`.") from None
    if isinstance(value, bool) or scaled != scaled.to_integral_value():
        raise bad_input(f"Invalid `{field}`.")
    return int(scaled)


def _leg(order: object, key: str, trigger: int, scale: int) -> Leg:
    if not isinstance(order, dict):
        raise bad_input("Invalid `orders`.")
    if f"{order.get('exchange', '')}:{order.get('tradingsymbol', '')}" != key:
        raise bad_input("Invalid `orders`: they must be of the condition's instrument.")
    side, quantity = order.get("transaction_type"), order.get("quantity")
    if side not in SIDES:
        raise bad_input("Invalid `transaction_type`.")
    if not isinstance(quantity, int) or isinstance(quantity, bool):
        raise bad_input("Invalid `quantity`.")
    return Leg(
        trigger=trigger,
        above=False,
        side=side,
        quantity=quantity,
        product=str(order.get("product", "")),
        order_type=str(order.get("order_type", "")),
        price=_price(order.get("price", 0), "price", scale),
    )
