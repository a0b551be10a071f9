"""The rows of positions, holdings and funds as Kite shows them (A6, A8), and the margin calculator (A11). Pure."""

from __future__ import annotations

from typing import Any

from app.simulator import margins
from app.simulator.account import Holding, Position
from app.simulator.charges import Note
from app.simulator.figures import number, rupees
from app.simulator.listing import Listing
from app.simulator.refusals import multiplier, worth


def net_row(position: Position, listing: Listing, last: int, close: int) -> dict[str, Any]:
    """The whole position, with what was carried over."""
    return _row(position, listing, last, close, position.overnight_quantity, position.buy, position.sell)


def day_row(position: Position, listing: Listing, last: int, close: int) -> dict[str, Any]:
    """Only what was done today."""
    bought, sold = (position.bought, position.bought_value), (position.sold, position.sold_value)
    return _row(position, listing, last, close, 0, bought, sold)


def _row(
    position: Position,
    listing: Listing,
    last: int,
    close: int,
    overnight: int,
    buy: tuple[int, int],
    sell: tuple[int, int],
) -> dict[str, Any]:
    units = multiplier(listing)
    quantity = buy[0] - sell[0]
    buy_price = _average(buy[1], buy[0] * units)
    sell_price = _average(sell[1], sell[0] * units)
    carried = worth(listing, abs(overnight), close)
    buy_m2m = position.bought_value + (carried if overnight > 0 else 0)
    sell_m2m = position.sold_value + (carried if overnight < 0 else 0)
    marked = worth(listing, quantity, last)
    pnl = sell[1] - buy[1] + marked
    return {
        "tradingsymbol": listing.tradingsymbol,
        "exchange": listing.exchange,
        "instrument_token": listing.token,
        "product": position.product,
        "quantity": quantity,
        "overnight_quantity": overnight,
        "multiplier": units,
        "average_price": 0 if quantity == 0 else buy_price if quantity > 0 else sell_price,
        "close_price": rupees(close, listing.price_scale),
        "last_price": rupees(last, listing.price_scale),
        "value": rupees(sell[1] - buy[1]),
        "pnl": rupees(pnl),
        "m2m": rupees(sell_m2m - buy_m2m + marked),
        "unrealised": rupees(pnl),
        "realised": 0,
        "buy_quantity": buy[0],
        "buy_price": buy_price,
        "buy_value": rupees(buy[1]),
        "buy_m2m": rupees(buy_m2m),
        "sell_quantity": sell[0],
        "sell_price": sell_price,
        "sell_value": rupees(sell[1]),
        "sell_m2m": rupees(sell_m2m),
        "day_buy_quantity": position.bought,
        "day_buy_price": _average(position.bought_value, position.bought * units),
        "day_buy_value": rupees(position.bought_value),
        "day_sell_quantity": position.sold,
        "day_sell_price": _average(position.sold_value, position.sold * units),
        "day_sell_value": rupees(position.sold_value),
    }


def _average(value: int, quantity: int) -> int | float:
    return number(value / quantity / 100) if quantity else 0


def holding_row(
    holding: Holding, listing: Listing, last: int, close: int, sold_today: int, authorised: tuple[int, str]
) -> dict[str, Any]:
    """A8.3. `quantity` is what is settled and not sold today; `authorised`: how much, since when."""
    held = holding.quantity + holding.t1_quantity
    average = holding.value / held / 100 if held else 0.0
    used = min(sold_today, held)
    settled = max(0, holding.quantity - used)
    change = (last - close) / 100
    return {
        "tradingsymbol": listing.tradingsymbol,
        "exchange": listing.exchange,
        "instrument_token": listing.token,
        "isin": listing.isin,
        "product": "CNC",
        "price": 0,
        "quantity": settled,
        "used_quantity": used,
        "t1_quantity": holding.t1_quantity - max(0, used - holding.quantity),
        "realised_quantity": settled,
        "authorised_quantity": authorised[0],
        "authorised_date": authorised[1],
        "authorisation": {},
        "opening_quantity": holding.opening_quantity,
        "short_quantity": 0,
        "collateral_quantity": 0,
        "collateral_type": "",
        "discrepancy": False,
        "average_price": number(average),
        "last_price": rupees(last),
        "close_price": rupees(close),
        "pnl": number((last / 100 - average) * (held - used)),
        "day_change": number(change),
        "day_change_percentage": number(change * 100 / (close / 100)) if close else 0,
        "mtf": {"quantity": 0, "used_quantity": 0, "average_price": 0, "value": 0, "initial_margin": 0},
    }


_AUCTION_FIELDS = (
    "tradingsymbol", "exchange", "instrument_token", "isin", "product", "price", "quantity", "t1_quantity",
    "realised_quantity", "authorised_quantity", "authorised_date", "opening_quantity", "collateral_quantity",
    "collateral_type", "discrepancy", "average_price", "last_price", "close_price", "pnl", "day_change",
    "day_change_percentage",
)  # fmt: skip


def auction_row(holding: dict[str, Any], number: str) -> dict[str, Any]:
    """A holding that is sought in an auction (A8): a part of its fields, and the auction's number."""
    return {**{field: holding[field] for field in _AUCTION_FIELDS}, "auction_number": number}


def funds_row(cash: int, net: int, used: margins.Margin, premium: int, realised: int) -> dict[str, Any]:
    """A segment of GET /user/margins. `net` is cash less debits, as in every sample. Paise."""
    return {
        "enabled": True,
        "net": rupees(net),
        "available": {
            "adhoc_margin": 0,
            "cash": rupees(cash),
            "opening_balance": rupees(cash),
            "live_balance": rupees(net),
            "collateral": 0,
            "intraday_payin": 0,
        },
        "utilised": {
            "debits": rupees(cash - net),
            "exposure": rupees(used.exposure),
            "m2m_realised": rupees(realised),
            "m2m_unrealised": 0,
            "option_premium": rupees(premium),
            "payout": 0,
            "span": rupees(used.span),
            "holding_sales": 0,
            "turnover": 0,
            "liquid_collateral": 0,
            "stock_collateral": 0,
            "delivery": rupees(used.var),
        },
    }


NO_CHARGES: dict[str, Any] = {
    "transaction_tax": 0,
    "transaction_tax_type": "",
    "exchange_turnover_charge": 0,
    "sebi_turnover_charge": 0,
    "brokerage": 0,
    "stamp_duty": 0,
    "gst": {"igst": 0, "cgst": 0, "sgst": 0, "total": 0},
    "total": 0,
}
"""The charges of a whole basket, which are to be ignored (A11)."""


def basket_row(margin: margins.Margin, total: int) -> dict[str, Any]:
    """`initial` or `final` of POST /margins/basket."""
    return {
        "type": "",
        "tradingsymbol": "",
        "exchange": "",
        "span": rupees(margin.span),
        "exposure": rupees(margin.exposure),
        "option_premium": rupees(margin.option_premium),
        "additional": 0,
        "bo": 0,
        "cash": 0,
        "var": rupees(margin.var),
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": 0,
        "charges": NO_CHARGES,
        "total": rupees(total),
    }


def margin_row(listing: Listing, product: str, margin: margins.Margin, charges: Note) -> dict[str, Any]:
    """An item of POST /margins/orders."""
    return {
        "type": "commodity" if listing.exchange in ("MCX", "NCO") else "equity",
        "tradingsymbol": listing.tradingsymbol,
        "exchange": listing.exchange,
        "span": rupees(margin.span),
        "exposure": rupees(margin.exposure),
        "option_premium": rupees(margin.option_premium),
        "additional": 0,
        "bo": 0,
        "cash": 0,
        "var": rupees(margin.var),
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": number(margins.leverage(listing, product)),
        "charges": charges.row(),
        "total": rupees(margin.total),
    }
