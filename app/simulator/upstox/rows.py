"""The rows of orders, trades, positions and holdings as Upstox shows them (B8, B16). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.simulator.account import Holding, Position
from app.simulator.figures import rupees
from app.simulator.listing import Listing
from app.simulator.order import AMO_RECEIVED, CANCELLED, Fill, Order
from app.simulator.refusals import multiplier, worth
from app.simulator.upstox.form import product_word
from app.simulator.upstox.keys import isin_of, key_of, segment_of, symbol_of

AT_MARKET = frozenset({"MARKET", "SL-M"})
_NAMED = {"NCO": "NSCOM"}
"""Exchanges that rows of orders, trades and positions call otherwise."""


def order_row(order: Order, listing: Listing, user_id: str, requests: int) -> dict[str, Any]:
    """A row of the order book."""
    return {
        **_identity(listing),
        "product": product_word(order.product),
        "price": order.price / listing.price_scale,
        "quantity": order.quantity,
        "status": status_word(order.status, amo=order.variety == "amo"),
        "guid": None,
        "tag": order.tag,
        "instrument_token": key_of(listing),
        "placed_by": user_id,
        "order_type": order.order_type,
        "validity": order.validity,
        "trigger_price": order.trigger_price / listing.price_scale,
        "disclosed_quantity": order.disclosed_quantity,
        "transaction_type": order.side,
        "average_price": float(order.average_price()),
        "filled_quantity": order.filled,
        "pending_quantity": 0 if order.final else order.left,
        "status_message": order.status_message,
        "status_message_raw": order.status_message,
        "exchange_order_id": order.exchange_order_id,
        "parent_order_id": order.parent_order_id,
        "order_id": order.order_id,
        "variety": _variety(order.variety),
        "order_timestamp": order.order_timestamp,
        "exchange_timestamp": order.exchange_timestamp,
        "is_amo": order.variety == "amo",
        "order_request_id": str(requests),
        "order_ref_id": reference_of(order.order_id),
    }


def history_row(
    logged: Mapping[str, Any], order: Order, listing: Listing, user_id: str, request: int
) -> dict[str, Any]:
    """One earlier state, from what was logged of it."""
    row = order_row(order, listing, user_id, request)
    for absent in ("guid", "pending_quantity", "status_message_raw", "order_ref_id"):
        del row[absent]
    shown = order.order_type if logged["order_type"] == "LIMIT" and order.order_type in AT_MARKET else None
    row.update(
        price=0.0 if shown else float(logged["price"]),
        quantity=logged["quantity"],
        status=status_word(logged["status"], amo=order.variety == "amo"),
        order_type=shown or logged["order_type"],
        trigger_price=float(logged["trigger_price"]),
        average_price=float(logged["average_price"]),
        filled_quantity=logged["filled_quantity"],
        status_message=logged["status_message"],
        exchange_order_id=logged["exchange_order_id"],
        order_timestamp=logged["order_timestamp"],
        exchange_timestamp=logged["exchange_timestamp"],
    )
    return row


def order_update(row: dict[str, Any], listing: Listing, status: str) -> dict[str, Any]:
    """An order of the portfolio stream. `status` is the order's own, or that of the event."""
    symbol = f"{listing.tradingsymbol}-EQ" if segment_of(listing) == "NSE_EQ" else symbol_of(listing)
    return {
        "update_type": "order",
        **row,
        "user_id": row["placed_by"],
        "userId": row["placed_by"],
        "instrument_key": row["instrument_token"],
        "trading_symbol": symbol,
        "tradingsymbol": symbol,
        "status": status,
        "exchange_order_id": row["exchange_order_id"] or "",
        "status_message": row["status_message"] or "",
        "status_message_raw": row["status_message_raw"] or "",
        "parent_order_id": row["parent_order_id"] or "",
        "exchange_timestamp": row["exchange_timestamp"] or "",
        "guid": row["guid"] or "",
        "tag": row["tag"] or "",
    }


def trade_row(fill: Fill, order: Order | None, listing: Listing, *, words: bool) -> dict[str, Any]:
    """A trade of the day. `words`: times as 20-Nov-2026 10:00:00."""
    at = datetime.fromisoformat(fill.fill_timestamp)
    placed = datetime.fromisoformat(order.order_timestamp) if order is not None else at
    shape = "%d-%b-%Y %H:%M:%S" if words else "%Y-%m-%d %H:%M:%S"
    return {
        **_identity(listing),
        "product": product_word(fill.product),
        "instrument_token": key_of(listing),
        "order_type": order.order_type if order is not None else "LIMIT",
        "transaction_type": fill.side,
        "quantity": fill.quantity,
        "exchange_order_id": fill.exchange_order_id,
        "order_id": fill.order_id,
        "exchange_timestamp": at.strftime(shape),
        "average_price": fill.price / listing.price_scale,
        "trade_id": fill.trade_id,
        "order_ref_id": reference_of(fill.order_id),
        "order_timestamp": placed.strftime(shape),
    }


def position_row(
    position: Position, listing: Listing, last: int, close: int, nothing: str | None = None
) -> dict[str, Any]:
    """A row of the short-term positions. `nothing`: what a side without trades has for its price."""
    units = multiplier(listing)
    (bought, buy_value), (sold, sell_value) = position.buy, position.sell
    quantity, carried = position.quantity, position.overnight_quantity
    side = (bought, buy_value) if quantity > 0 else (sold, sell_value)
    open_at = position.open_value() if quantity >= 0 else -position.open_value()
    marked = worth(listing, quantity, last)
    return {
        **_identity(listing),
        "multiplier": float(units),
        "value": rupees(sell_value - buy_value),
        "pnl": rupees(sell_value - buy_value + marked),
        "product": product_word(position.product),
        "instrument_token": key_of(listing),
        "average_price": _price(side[1], side[0] * units) if quantity else None,
        "buy_value": buy_value / 100,
        "overnight_quantity": carried,
        "day_buy_value": position.bought_value / 100,
        "day_buy_price": _price(position.bought_value, position.bought * units) if position.bought else nothing,
        "overnight_buy_amount": position.overnight_value / 100 if carried > 0 else 0.0,
        "overnight_buy_quantity": max(0, carried),
        "day_buy_quantity": position.bought,
        "day_sell_value": position.sold_value / 100,
        "day_sell_price": _price(position.sold_value, position.sold * units) if position.sold else nothing,
        "overnight_sell_amount": position.overnight_value / 100 if carried < 0 else 0.0,
        "overnight_sell_quantity": max(0, -carried),
        "day_sell_quantity": position.sold,
        "quantity": quantity,
        "last_price": last / listing.price_scale,
        "unrealised": (marked - open_at) / 100,
        "realised": position.realised() / 100,
        "sell_value": sell_value / 100,
        "close_price": close / listing.price_scale,
        "buy_price": _price(buy_value, bought * units),
        "sell_price": _price(sell_value, sold * units),
    }


def position_update(position: Position, listing: Listing) -> dict[str, Any]:
    """A position of the portfolio stream: without prices of the market."""
    row = position_row(position, listing, 0, 0)
    for absent in ("last_price", "pnl", "unrealised", "realised", "close_price", "value", "tradingsymbol"):
        del row[absent]
    del row["trading_symbol"]
    return {
        "update_type": "position",
        **row,
        "instrument_key": row["instrument_token"],
        "exchange": segment_of(listing),
    }


def holding_row(holding: Holding, listing: Listing, last: int, close: int, sold_today: int) -> dict[str, Any]:
    """A row of the long-term holdings. `quantity` is all that is held, yesterday's purchases included."""
    held = holding.quantity + holding.t1_quantity
    average = holding.value / held / 100 if held else 0.0
    change = (last - close) / 100
    return {
        **_identity(listing),
        "isin": isin_of(listing),
        "cnc_used_quantity": min(sold_today, held),
        "collateral_type": "WC",
        "company_name": listing.name,
        "haircut": 0.0,
        "product": "D",
        "quantity": held,
        "last_price": last / 100,
        "close_price": close / 100,
        "pnl": (last / 100 - average) * held,
        "day_change": change,
        "day_change_percentage": change * 100 / (close / 100) if close else 0,
        "instrument_token": key_of(listing),
        "average_price": average,
        "collateral_quantity": 0,
        "collateral_update_quantity": 0,
        "t1_quantity": holding.t1_quantity,
    }


def holding_update(row: dict[str, Any], listing: Listing) -> dict[str, Any]:
    """A holding of the portfolio stream: without prices of the market."""
    kept = {
        name: value
        for name, value in row.items()
        if name not in ("last_price", "close_price", "pnl", "day_change", "day_change_percentage", "tradingsymbol")
    }
    del kept["trading_symbol"]
    return {
        "update_type": "holding",
        **kept,
        "instrument_key": row["instrument_token"],
        "exchange": segment_of(listing),
    }


def reference_of(order_id: str) -> str:
    """A second name of an order, derived from the first: its digits backwards."""
    return order_id[::-1]


def status_word(status: str, *, amo: bool) -> str:
    """A status as Upstox spells it (B7.6)."""
    if amo and status == CANCELLED:
        return "cancelled after market order"
    return "after market order req received" if status == AMO_RECEIVED else status.lower()


def _variety(variety: str) -> str:
    return {"regular": "SIMPLE"}.get(variety, variety.upper())


def _identity(listing: Listing) -> dict[str, Any]:
    symbol = symbol_of(listing)
    return {
        "exchange": _NAMED.get(listing.exchange, listing.exchange),
        "tradingsymbol": symbol,
        "trading_symbol": symbol,
    }


def _price(value: int, quantity: int) -> float:
    return value / quantity / 100 if quantity else 0.0
