"""Routes of brokerage, margins, trade history and profit-and-loss reports (B9)."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from aiohttp import web

from app.simulator import margins
from app.simulator.bodies import MOST, count
from app.simulator.charges import UPSTOX, depository_plan
from app.simulator.faults import Faults
from app.simulator.listing import Listing
from app.simulator.order import Fill
from app.simulator.refusals import multiplier
from app.simulator.upstox import reports
from app.simulator.upstox.brokerage import cost
from app.simulator.upstox.envelope import INVALID_INPUT, refuse, success
from app.simulator.upstox.form import PRODUCTS, SIDES, price, product_of, whole
from app.simulator.upstox.jsons import decimal_of, json_of
from app.simulator.upstox.trading import Trading

MOST_MARGINS = 20
PAGE_LIMIT = 5000
_YEAR = re.compile(r"(\d\d)(\d\d)")


class ChargeRoutes:
    """Handlers over one order system and its past."""

    def __init__(self, trading: Trading, faults: Faults) -> None:
        self._trading = trading
        self._oms = trading.oms
        self._faults = faults

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_get("/v2/charges/brokerage", self.brokerage, name="charges:brokerage")
        router.add_post("/v2/charges/margin", self.margin, name="charges:margin")
        router.add_get("/v2/charges/historical-trades", self.trades, name="history:trades")
        router.add_get("/v2/trade/profit-loss/metadata", self.metadata, name="history:metadata")
        router.add_get("/v2/trade/profit-loss/data", self.data, name="history:data")
        router.add_get("/v2/trade/profit-loss/charges", self.year_charges, name="history:charges")

    # -- calculators

    async def brokerage(self, request: web.Request) -> web.Response:
        """GET /v2/charges/brokerage."""
        query = request.query
        listing = self._trading.listing(query.get("instrument_token"))
        side, product = query.get("transaction_type", ""), query.get("product", "")
        if side not in SIDES or product not in PRODUCTS:
            raise refuse(INVALID_INPUT, "Invalid product or transaction_type")
        quantity = query.get("quantity", "")
        if not 1 <= count(quantity) <= MOST:
            raise refuse("UDAPI1052", "The quantity cannot be zero", path="quantity", value=quantity)
        rupees = decimal_of(query.get("price", ""), "price")
        if not 0 <= rupees <= MOST:
            raise refuse(INVALID_INPUT, "Invalid price", path="price", value=query["price"])
        turnover = rupees * count(quantity) * multiplier(listing)
        found = cost(listing, product_of(listing, product), side, turnover, self._oms.market.clock.now().date())
        made = found.note
        other = {
            "transaction": float(found.transaction),
            "clearing": 0.0,
            "sebi_turnover": float(made.sebi),
            "ipft": float(found.ipft),
        }
        depository = depository_plan(UPSTOX)
        plan = {"name": depository["name"], "min_expense": float(depository["fee"])}
        heads = {
            "total": float(made.total),
            "brokerage": float(made.brokerage),
            "taxes": {"gst": float(made.gst), "stt": float(made.tax), "stamp_duty": float(made.stamp)},
            "other_taxes": other,
            "dp_plan": plan,
            "otherTaxes": other,
            "dpPlan": plan,
        }
        return success({"charges": heads})

    async def margin(self, request: web.Request) -> web.Response:
        """POST /v2/charges/margin. `final_margin` is `required_margin`: no spread benefit on the paper exchange."""
        items = (await json_of(request)).get("instruments")
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise refuse(INVALID_INPUT, "Invalid Input", path="instruments")
        if len(items) > MOST_MARGINS:
            raise refuse(INVALID_INPUT, f"At most {MOST_MARGINS} instruments are allowed", path="instruments")
        found = [self._required(item) for item in items]
        total = sum(each.total for each in found) / 100
        return success({"margins": [_margin(each) for each in found], "required_margin": total, "final_margin": total})

    def _required(self, item: dict[str, Any]) -> margins.Margin:
        listing = self._trading.listing(item.get("instrument_key"), "instrument_key")
        quantity = whole(item, "quantity", "UDAPI1052", "The quantity is not a whole number")
        if not quantity or not 0 < quantity <= MOST:
            raise refuse("UDAPI1052", "The quantity cannot be zero", path="quantity", value=quantity)
        side, product = str(item.get("transaction_type", "")), str(item.get("product", ""))
        if side not in SIDES or product not in PRODUCTS:
            raise refuse(INVALID_INPUT, "Invalid product or transaction_type")
        asked = price(item, "price", listing.price_scale) or self._oms.market.quotes[listing.token].last_price
        return margins.required(listing, side, product_of(listing, product), quantity, asked)

    # -- history

    async def trades(self, request: web.Request) -> web.Response:
        """GET /v2/charges/historical-trades, paged."""
        query = request.query
        since, until = (_iso(query.get(name, ""), name) for name in ("start_date", "end_date"))
        segment = _segment(query.get("segment") or None)
        number, size = _page(request)
        rows = [reports.history_row(item) for item in self._dated(segment, since, until)]
        page = {
            "page_number": number,
            "page_size": size,
            "total_records": len(rows),
            "total_pages": -(-len(rows) // size),
        }
        return success(_cut(rows, number, size), meta_data={"page": page}, metaData={"page": page})

    async def metadata(self, request: web.Request) -> web.Response:
        """GET /v2/trade/profit-loss/metadata."""
        return success({"trades_count": len(self._closed(request)), "page_size_limit": PAGE_LIMIT})

    async def data(self, request: web.Request) -> web.Response:
        """GET /v2/trade/profit-loss/data, paged."""
        number, size = _page(request)
        page = {"page_number": number, "page_size": size}
        return success(_cut(self._closed(request), number, size), metadata={"page": page})

    async def year_charges(self, request: web.Request) -> web.Response:
        """GET /v2/trade/profit-loss/charges."""
        segment, since, until = _asked(request)
        return success({"charges_breakdown": reports.charges(self._dated(segment, since, until))})

    def _closed(self, request: web.Request) -> list[dict[str, Any]]:
        segment, since, until = _asked(request)
        return reports.closed_lots(self._dated(segment, date.min, until), since, until)

    def _dated(self, segment: str | None, since: date, until: date) -> list[reports.Dated]:
        days: dict[str, list[Fill]] = dict(self._oms.records.past)
        if self._faults.switches.history_today == "included":
            days[self._oms.records.day] = self._oms.records.fills
        listings: dict[int, Listing] = self._oms.market.listings.by_token
        return reports.dated(days, listings, segment, since, until)


def _margin(found: margins.Margin) -> dict[str, Any]:
    return {
        "span_margin": found.span / 100,
        "exposure_margin": found.exposure / 100,
        "equity_margin": found.var / 100,
        "net_buy_premium": max(0, found.option_premium) / 100,
        "additional_margin": 0.0,
        "total_margin": found.total / 100,
        "tender_margin": 0.0,
    }


def _asked(request: web.Request) -> tuple[str, date, date]:
    """Segment, first and last day of a report."""
    query = request.query
    segment = _segment(query.get("segment") or "")
    if not segment:
        raise refuse("UDAPI1067", "The segment is required", path="segment")
    year = _YEAR.fullmatch(query.get("financial_year", ""))
    if year is None or (int(year[1]) + 1) % 100 != int(year[2]):
        raise refuse(INVALID_INPUT, "Invalid financial_year", path="financial_year", value=query.get("financial_year"))
    since, until = date(2000 + int(year[1]), 4, 1), date(2001 + int(year[1]), 3, 31)
    if text := query.get("from_date"):
        since = max(since, _dashed(text, "from_date"))
    if text := query.get("to_date"):
        until = min(until, _dashed(text, "to_date"))
    return segment, since, until


def _segment(text: str | None) -> str | None:
    if text and text not in reports.SEGMENTS:
        raise refuse("UDAPI1066", "The segment is invalid", path="segment", value=text)
    return text


def _page(request: web.Request) -> tuple[int, int]:
    numbers = []
    for name, most in (("page_number", 10**6), ("page_size", PAGE_LIMIT)):
        text = request.query.get(name, "")
        if not 1 <= count(text) <= most:
            raise refuse(INVALID_INPUT, f"Invalid {name}", path=name, value=text)
        numbers.append(count(text))
    return numbers[0], numbers[1]


def _cut(rows: list[dict[str, Any]], number: int, size: int) -> list[dict[str, Any]]:
    return rows[(number - 1) * size : number * size]


def _iso(text: str, path: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refuse("UDAPI1088", "Invalid date", path=path, value=text) from None


def _dashed(text: str, path: str) -> date:
    """`31-03-2026`."""
    try:
        day, month, year = (int(part) for part in text.split("-"))
        return date(year, month, day)
    except ValueError:
        raise refuse("UDAPI1088", "Invalid date", path=path, value=text) from None
