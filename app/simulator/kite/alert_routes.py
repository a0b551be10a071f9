"""Routes of alerts (A10)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from aiohttp import web

from app.simulator.bodies import form_of, json_value
from app.simulator.figures import number
from app.simulator.kite.alerts import (
    ATO,
    ATTRIBUTE,
    CONSTANT,
    DELETED,
    DISABLED,
    ENABLED,
    INSTRUMENT,
    OPERATORS,
    SIMPLE,
    Alert,
    Alerts,
    Wish,
)
from app.simulator.kite.envelope import success
from app.simulator.kite.form import choice, decimal, whole
from app.simulator.listing import plain
from app.simulator.refusal import bad_input
from app.simulator.varieties import VARIETIES


class AlertRoutes:
    """Handlers over the client's alerts."""

    def __init__(self, alerts: Alerts, user_id: str) -> None:
        self._alerts = alerts
        self._user_id = user_id

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_post("/alerts", self.create, name="alerts:create")
        router.add_get("/alerts", self.listed, name="alerts:list")
        router.add_delete("/alerts", self.delete, name="alerts:delete")
        router.add_get("/alerts/{uuid}", self.one, name="alerts:one")
        router.add_put("/alerts/{uuid}", self.modify, name="alerts:modify")
        router.add_get("/alerts/{uuid}/history", self.history, name="alerts:history")

    async def create(self, request: web.Request) -> web.Response:
        """POST /alerts."""
        return success(self._row(self._alerts.create(_wish(await form_of(request)))))

    async def modify(self, request: web.Request) -> web.Response:
        """PUT /alerts/{uuid}: all fields anew."""
        wish = _wish(await form_of(request))
        return success(self._row(self._alerts.change(request.match_info["uuid"], wish)))

    async def listed(self, request: web.Request) -> web.Response:
        """GET /alerts, by pages when asked so."""
        query = dict(request.query)
        status = choice(query, "status", ("", ENABLED, DISABLED, DELETED), "")
        rows = [self._row(alert) for alert in self._alerts.listed(status)]
        size = whole(query, "page_size")
        if size is not None:
            page = whole(query, "page") or 1
            if size <= 0 or page <= 0:
                raise bad_input("Invalid `page` or `page_size`.")
            rows = rows[(page - 1) * size : page * size]
        return success(rows)

    async def one(self, request: web.Request) -> web.Response:
        """GET /alerts/{uuid}."""
        return success(self._row(self._alerts.get(request.match_info["uuid"])))

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /alerts?uuid=A&uuid=B."""
        names = request.query.getall("uuid", [])
        if not names:
            raise bad_input("Invalid `uuid`.")
        self._alerts.delete(names)
        return success(None)

    async def history(self, request: web.Request) -> web.Response:
        """GET /alerts/{uuid}/history."""
        return success(self._alerts.get(request.match_info["uuid"]).history)

    def _row(self, alert: Alert) -> dict[str, Any]:
        wish = alert.wish
        left, right = wish.lhs.partition(":"), wish.rhs.partition(":")
        row: dict[str, Any] = {
            "type": wish.kind,
            "user_id": self._user_id,
            "uuid": alert.uuid,
            "name": wish.name,
            "status": alert.status,
            "disabled_reason": alert.reason,
            "lhs_attribute": ATTRIBUTE,
            "lhs_exchange": left[0],
            "lhs_tradingsymbol": left[2],
            "operator": wish.operator,
            "rhs_type": INSTRUMENT if wish.rhs else CONSTANT,
            "rhs_attribute": ATTRIBUTE if wish.rhs else "",
            "rhs_exchange": right[0],
            "rhs_tradingsymbol": right[2],
            "rhs_constant": number(Decimal(wish.rhs_constant or 0)),
            "alert_count": alert.count,
            "created_at": alert.created,
            "updated_at": alert.updated,
        }
        return row if wish.basket is None else {**row, "basket": wish.basket}


def _wish(form: dict[str, str]) -> Wish:
    if not form.get("name"):
        raise bad_input("Invalid `name`.")
    kind = choice(form, "type", (SIMPLE, ATO))
    choice(form, "lhs_attribute", (ATTRIBUTE,))
    rhs, constant = "", ""
    if choice(form, "rhs_type", (CONSTANT, INSTRUMENT)) == INSTRUMENT:
        choice(form, "rhs_attribute", (ATTRIBUTE,))
        rhs = f"{form.get('rhs_exchange', '')}:{form.get('rhs_tradingsymbol', '')}"
    else:
        value = decimal(form, "rhs_constant")
        if value is None:
            raise bad_input("Invalid `rhs_constant`.")
        constant = plain(value)
    return Wish(
        name=form["name"],
        kind=kind,
        lhs=f"{form.get('lhs_exchange', '')}:{form.get('lhs_tradingsymbol', '')}",
        operator=choice(form, "operator", tuple(OPERATORS)),
        rhs_constant=constant,
        rhs=rhs,
        basket=_basket(form.get("basket", "")) if kind == ATO else None,
    )


def _basket(text: str) -> dict[str, Any]:
    try:
        basket = json_value(text)
    except ValueError:
        raise bad_input("Invalid `basket`: JSON is expected.") from None
    items = basket.get("items") if isinstance(basket, dict) else None
    if not isinstance(items, list) or not items:
        raise bad_input("Invalid `basket`: items are expected.")
    for item in items:
        params = item.get("params") if isinstance(item, dict) else None
        if not isinstance(params, dict) or not item.get("exchange") or not item.get("tradingsymbol"):
            raise bad_input("Invalid `basket`: every item needs an instrument and params.")
        if params.get("variety", "regular") not in VARIETIES:
            raise bad_input("Invalid `variety`.")
        if any((params.get("gtt") or {}).values()):
            raise bad_input("A trigger of a basket's item is not available on the paper exchange.")
    return dict(basket)
