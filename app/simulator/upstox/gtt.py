"""Routes of triggers (B7.5): what their bodies must hold, and the rows they are shown as.

Of the codes 1126 to 1150 the documents give the range, not which is which: the ones here are ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from app.simulator.listing import scale_of
from app.simulator.upstox import form as forms
from app.simulator.upstox.envelope import INVALID_INPUT, refuse, success
from app.simulator.upstox.gate import RECEIVED
from app.simulator.upstox.guard import Guard
from app.simulator.upstox.jsons import json_of
from app.simulator.upstox.keys import key_of, segment_of, symbol_of
from app.simulator.upstox.portfolio import GTT, PortfolioFeed
from app.simulator.upstox.trading import Trading
from app.simulator.upstox.triggers import ABOVE, BELOW, ENTRY, IMMEDIATE, STOPLOSS, TARGET, Rule, Trigger, TriggerEngine

KINDS = {"SINGLE": (1, 1), "MULTIPLE": (2, 3)}
"""Type -> fewest and most rules."""


class GttRoutes:
    """Handlers over one engine."""

    def __init__(self, engine: TriggerEngine, trading: Trading, guard: Guard) -> None:
        self._engine = engine
        self._trading = trading
        self._guard = guard

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_post("/v3/order/gtt/place", self.place, name="place:gtt")
        router.add_put("/v3/order/gtt/modify", self.modify, name="modify:gtt")
        router.add_delete("/v3/order/gtt/cancel", self.cancel, name="cancel:gtt")
        router.add_get("/v3/order/gtt", self.read, name="order:gtt")

    async def place(self, request: web.Request) -> web.Response:
        """POST /v3/order/gtt/place."""
        body = await json_of(request)
        listing = self._trading.listing(body.get("instrument_token"))
        self._guard.check(listing)
        side = forms.choice(body, "transaction_type", forms.SIDES, INVALID_INPUT, INVALID_INPUT)
        product = forms.choice(body, "product", forms.PRODUCTS, INVALID_INPUT, INVALID_INPUT)
        kind, quantity, rules = _asked(body, listing.price_scale)
        made = self._engine.create(kind, listing, side, forms.product_of(listing, product), quantity, rules)
        return _timed(request, made)

    async def modify(self, request: web.Request) -> web.Response:
        """PUT /v3/order/gtt/modify."""
        body = await json_of(request)
        trigger = self._live(body.get("gtt_order_id"))
        _, quantity, rules = _asked(body, scale_of(trigger.token))
        self._engine.change(trigger, quantity, rules)
        return _timed(request, trigger)

    async def cancel(self, request: web.Request) -> web.Response:
        """DELETE /v3/order/gtt/cancel, with a JSON body."""
        trigger = self._live((await json_of(request)).get("gtt_order_id"))
        self._engine.cancel(trigger)
        return _timed(request, trigger)

    async def read(self, request: web.Request) -> web.Response:
        """GET /v3/order/gtt: one, or all."""
        wanted = request.query.get("gtt_order_id")
        found = [self._known(wanted)] if wanted else self._engine.listed()
        return success([trigger_row(trigger, self._trading) for trigger in found])

    def _known(self, trigger_id: object) -> Trigger:
        found = self._engine.get(trigger_id) if isinstance(trigger_id, str) else None
        if found is None:
            raise refuse("UDAPI1145", "GTT order not found", 404, path="gtt_order_id", value=trigger_id)
        return found

    def _live(self, trigger_id: object) -> Trigger:
        found = self._known(trigger_id)
        if not found.live:
            raise refuse("UDAPI1144", "The GTT order is over", path="gtt_order_id", value=found.id)
        return found


def trigger_row(trigger: Trigger, trading: Trading) -> dict[str, Any]:
    """A trigger with its legs."""
    listing = trading.oms.market.listings.by_token[trigger.token]
    return {
        "type": trigger.kind,
        "exchange": segment_of(listing),
        "quantity": trigger.quantity,
        "product": forms.product_word(trigger.product),
        "rules": [
            {
                "strategy": rule.strategy,
                "status": rule.status,
                "message": rule.message,
                "trigger_type": rule.trigger_type,
                "trigger_price": rule.trigger / listing.price_scale,
                "transaction_type": trigger.side if rule.strategy == ENTRY else trigger.exit_side(),
                "order_id": rule.order_id or None,
                "trailing_gap": rule.gap / listing.price_scale if rule.gap else None,
            }
            for rule in trigger.rules
        ],
        "trading_symbol": symbol_of(listing),
        "instrument_token": key_of(listing),
        "gtt_order_id": trigger.id,
        "expires_at": trigger.expires_us,
        "created_at": trigger.created_us,
    }


def announcer(trading: Trading, portfolio: PortfolioFeed) -> Callable[[Trigger], None]:
    """Tells the portfolio stream of a trigger that changed."""

    def announce(trigger: Trigger) -> None:
        row = trigger_row(trigger, trading)
        del row["trading_symbol"]
        portfolio.send(GTT, {"update_type": GTT, **row})

    return announce


def _asked(body: forms.Body, scale: int) -> tuple[str, int, list[Rule]]:
    """Type, quantity and rules. Raises Refused."""
    kind = forms.choice(body, "type", tuple(KINDS), "UDAPI1126", "UDAPI1126")
    quantity = forms.whole(body, "quantity", "UDAPI1052", "The quantity is not a whole number")
    if not quantity or quantity < 0:
        raise refuse("UDAPI1052", "The quantity cannot be zero", path="quantity", value=quantity)
    items = body.get("rules")
    fewest, most = KINDS[kind]
    if not isinstance(items, list) or not fewest <= len(items) <= most or not all(isinstance(i, dict) for i in items):
        raise refuse("UDAPI1127", f"A {kind} GTT order takes {fewest} to {most} rules", path="rules")
    rules = [_rule(item, scale) for item in items]
    strategies = [rule.strategy for rule in rules]
    if strategies.count(ENTRY) != 1:
        raise refuse("UDAPI1128", "Exactly one ENTRY rule is required", path="rules")
    if len(set(strategies)) < len(strategies):
        raise refuse("UDAPI1129", "At most one rule is allowed for a strategy", path="rules")
    return kind, quantity, rules


def _rule(item: forms.Body, scale: int) -> Rule:
    strategy = forms.choice(item, "strategy", (ENTRY, TARGET, STOPLOSS), "UDAPI1130", "UDAPI1130")
    when = forms.choice(item, "trigger_type", (ABOVE, BELOW, IMMEDIATE), "UDAPI1131", "UDAPI1131")
    if strategy != ENTRY and when != IMMEDIATE:
        raise refuse("UDAPI1132", f"The trigger_type of a {strategy} rule must be IMMEDIATE", path="trigger_type")
    trigger = forms.price(item, "trigger_price", scale) or 0
    if trigger <= 0:
        raise refuse("UDAPI1133", "The trigger_price is required", path="trigger_price")
    gap = forms.price(item, "trailing_gap", scale) or 0
    if gap and strategy != STOPLOSS:
        raise refuse("UDAPI1134", "The trailing_gap is for STOPLOSS rules alone", path="trailing_gap")
    percent = item.get("market_protection")
    return Rule(strategy, when, trigger, gap, str(percent) if percent else "")


def _timed(request: web.Request, trigger: Trigger) -> web.Response:
    latency = (time.monotonic_ns() - request[RECEIVED]) // 1_000_000
    return success({"gtt_order_ids": [trigger.id]}, metadata={"latency": latency})
