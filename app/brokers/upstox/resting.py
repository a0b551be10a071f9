"""Upstox's GTTs as our types. Pure.

A GTT has an entry and may have a target and a stop behind it; each is a rule with a state of its own. Rules have a
trigger and no price: what they send is an order at market with protection.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.brokers.rows import PRICE_SCALE, Row
from app.brokers.upstox.keys import Directory, market_of_key
from app.brokers.upstox.mapping import key_of, product_of
from app.domain.gtt import Gtt, GttKind, GttLeg, GttResult, GttRole, GttStatus
from app.domain.ids import AccountId, BrokerOrderId, GttId
from app.domain.order import OrderKind, Side

_KINDS: Mapping[str, GttKind] = {"SINGLE": GttKind.SINGLE, "MULTIPLE": GttKind.BRACKET}

_ROLES: Mapping[str, GttRole] = {"ENTRY": GttRole.ENTRY, "TARGET": GttRole.TARGET, "STOPLOSS": GttRole.STOP}
_ORDER = tuple(_ROLES)
_TYPES = frozenset({"ABOVE", "BELOW", "IMMEDIATE"})

_RULES: Mapping[str, GttStatus] = {
    "PENDING": GttStatus.ACTIVE,
    "SCHEDULED": GttStatus.ACTIVE,
    "OPEN": GttStatus.ACTIVE,
    "COMPLETED": GttStatus.TRIGGERED,
    "FAILED": GttStatus.TRIGGERED,
    "CANCELLED": GttStatus.CANCELLED,
    "EXPIRED": GttStatus.EXPIRED,
}


def gtt_from_row(data: object, account: AccountId, directory: Directory) -> Gtt:
    """A GTT as listed, or as the portfolio stream reports it."""
    row = Row(data, "GTT")
    key = key_of(row)
    scale = PRICE_SCALE[market_of_key(key).exchange]
    rules = row.data.get("rules")
    if not isinstance(rules, list) or not rules:
        raise row.bad("rules")
    parts = sorted((Row(rule, "GTT rule") for rule in rules), key=_place)
    kind = _KINDS.get(str(row.data.get("type")))
    if kind is None:
        raise row.bad("type")
    quantity, product = row.whole("quantity"), product_of(row, key)
    created = row.whole("created_at") * 1_000  # microseconds
    states = [_state(part) for part in parts]
    return Gtt(
        account=account,
        id=GttId(row.text("gtt_order_id")),
        instrument=directory.name(key, row.maybe_text("trading_symbol") or key),
        kind=kind,
        status=_whole(states),
        last_price=_stand_in(parts[0], scale),
        legs=tuple(
            GttLeg(
                trigger=part.price("trigger_price", scale),
                side=part.one_of("transaction_type", Side),
                quantity=quantity,
                product=product,
                price=0,
                kind=OrderKind.MARKET,
                role=GttRole.TRIGGER if kind is GttKind.SINGLE else _ROLES[part.text("strategy")],
                gap=part.maybe_price("trailing_gap", scale) or 0,
                at_once=part.text("strategy") == "ENTRY" and _when(part) == "IMMEDIATE",
            )
            for part in parts
        ),
        results=tuple(_result(part, state) for part, state in zip(parts, states, strict=True)),
        created_at=created,
        updated_at=created,
        expires_at=row.whole("expires_at") * 1_000 if row.data.get("expires_at") else None,
        refusal=next((part.maybe_text("message") or "" for part in parts if part.data.get("status") == "FAILED"), ""),
        price_scale=scale,
    )


def _place(rule: Row) -> int:
    """Entry, target, stop."""
    strategy = rule.text("strategy")
    if strategy not in _ROLES:
        raise rule.bad("strategy")
    return _ORDER.index(strategy)


def _when(rule: Row) -> str:
    found = rule.text("trigger_type")
    if found not in _TYPES:
        raise rule.bad("trigger_type")
    return found


def _stand_in(first: Row, scale: int) -> int:
    """Upstox says from which side the price comes, and not what it was: one on that side stands for it."""
    step = {"ABOVE": -1, "BELOW": 1}.get(_when(first), 0) if first.data.get("strategy") == "ENTRY" else 0
    return first.price("trigger_price", scale) + step


def _state(rule: Row) -> GttStatus:
    found = _RULES.get(str(rule.data.get("status")))
    if found is None:
        raise rule.bad("status")
    return found


def _whole(states: list[GttStatus]) -> GttStatus:
    """Of all rules together: alive while one of them is."""
    for status in (GttStatus.ACTIVE, GttStatus.TRIGGERED, GttStatus.EXPIRED):
        if status in states:
            return status
    return GttStatus.CANCELLED


def _result(rule: Row, state: GttStatus) -> GttResult | None:
    if state is not GttStatus.TRIGGERED:
        return None
    order = rule.maybe_text("order_id")
    failed = rule.data.get("status") == "FAILED"
    return GttResult(
        outcome="failed" if failed else "success",
        order=BrokerOrderId(order) if order and not failed else None,
        triggered_at=None,
        at=None,
        refusal=(rule.maybe_text("message") or "") if failed else "",
    )
