"""Kite's alerts to our types and back (Kite Connect v3, alerts). Pure.

Indices have the exchange `INDICES` here, unlike in quotes and in the instrument list.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.brokers.documents import encode_json
from app.brokers.rows import Row
from app.brokers.zerodha.orders import order_form
from app.domain.alert import Alert, AlertFiring, AlertKind, AlertRequest, AlertStatus, Comparison
from app.domain.errors import Denied
from app.domain.ids import AccountId, AlertId, InstrumentId, instrument_id, split_instrument_id

ATTRIBUTE = "LastTradedPrice"
"""The one attribute that can be watched."""


def alert_from_row(data: object, account: AccountId) -> Alert:
    """An alert as the broker keeps it."""
    row = Row(data, "alert")
    amount: Decimal | None = None
    other: InstrumentId | None = None
    against = row.text("rhs_type")
    if against == "constant":
        amount = row.number("rhs_constant")
    elif against == "instrument":
        other = instrument_id(row.text("rhs_exchange"), row.text("rhs_tradingsymbol"))
    else:
        raise row.bad("rhs_type")
    return Alert(
        account=account,
        id=AlertId(row.text("uuid")),
        name=row.text("name"),
        kind=row.one_of("type", AlertKind),
        status=row.one_of("status", AlertStatus),
        instrument=instrument_id(row.text("lhs_exchange"), row.text("lhs_tradingsymbol")),
        comparison=row.one_of("operator", Comparison),
        amount=amount,
        other=other,
        fired=row.whole("alert_count"),
        created_at=row.time("created_at"),
        updated_at=row.maybe_time("updated_at"),
        disabled_because=row.maybe_text("disabled_reason") or "",
    )


def firing_from_row(data: object) -> AlertFiring:
    """A row of an alert's history."""
    row = Row(data, "alert history row")
    return AlertFiring(
        alert=AlertId(row.text("uuid")),
        kind=row.one_of("type", AlertKind),
        condition=row.text("condition"),
        at=row.time("created_at"),
    )


def alert_form(request: AlertRequest) -> dict[str, str]:
    """The form of a new alert or of a change. Raises Denied unless there is exactly one thing to compare with."""
    if (request.amount is None) == (request.other is None):
        raise Denied("An alert compares with one thing.", "Give an amount, or another instrument.")
    exchange, symbol = split_instrument_id(request.instrument)
    form = {
        "name": request.name,
        "type": request.kind.value,
        "lhs_exchange": exchange,
        "lhs_tradingsymbol": symbol,
        "lhs_attribute": ATTRIBUTE,
        "operator": request.comparison.value,
    }
    if request.amount is not None:
        form |= {"rhs_type": "constant", "rhs_constant": f"{request.amount:f}"}
    elif request.other is not None:
        other_exchange, other_symbol = split_instrument_id(request.other)
        form |= {
            "rhs_type": "instrument",
            "rhs_exchange": other_exchange,
            "rhs_tradingsymbol": other_symbol,
            "rhs_attribute": ATTRIBUTE,
        }
    if request.orders:
        form["basket"] = encode_json(_basket(request)).decode()
    return form


def _basket(request: AlertRequest) -> dict[str, Any]:
    """Orders that go out when the alert fires; Kite wants an order's numbers as numbers here."""
    items = []
    for weight, order in enumerate(request.orders):
        params: dict[str, Any] = dict(order_form(order))
        exchange, symbol = params.pop("exchange"), params.pop("tradingsymbol")
        params["quantity"] = order.quantity
        for name in ("price", "trigger_price", "market_protection"):
            if name in params:
                params[name] = Decimal(params[name])
        params["variety"] = order.variety.value
        items.append(
            {"type": "insert", "tradingsymbol": symbol, "exchange": exchange, "weight": weight, "params": params}
        )
    return {"name": request.name, "type": "alert", "tags": [], "items": items}
