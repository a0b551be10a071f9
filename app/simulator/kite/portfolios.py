"""Routes of positions and holdings: reading, converting, authorising a sale (A8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from app.simulator.account import Conversion
from app.simulator.auctions import Auctions
from app.simulator.bodies import fields_of, form_of
from app.simulator.depository import Depository
from app.simulator.figures import number, stamp
from app.simulator.kite import portfolio
from app.simulator.kite.envelope import success
from app.simulator.kite.form import PRODUCTS, SIDES, choice, whole
from app.simulator.oms import OrderSystem
from app.simulator.refusal import bad_input


class PortfolioRoutes:
    """Handlers over one order system, its auctions and its depository."""

    def __init__(self, oms: OrderSystem, auctions: Auctions, depository: Depository) -> None:
        self._oms = oms
        self._auctions = auctions
        self._depository = depository

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        router = app.router
        router.add_get("/portfolio/positions", self.positions, name="positions")
        router.add_put("/portfolio/positions", self.convert, name="positions:convert")
        router.add_get("/portfolio/holdings", self.holdings, name="holdings")
        router.add_get("/portfolio/holdings/summary", self.summary, name="holdings:summary")
        router.add_get("/portfolio/holdings/compact", self.compact, name="holdings:compact")
        router.add_get("/portfolio/holdings/auctions", self.auctions, name="holdings:auctions")
        router.add_post("/portfolio/holdings/authorise", self.authorise, name="holdings:authorise")

    async def positions(self, _request: web.Request) -> web.Response:
        """GET /portfolio/positions."""
        net, day = list[dict[str, Any]](), list[dict[str, Any]]()
        for position in self._oms.ledger.account.positions.values():
            quote = self._oms.market.quotes.get(position.token)
            if quote is None:
                continue
            net.append(portfolio.net_row(position, quote.listing, quote.last_price, quote.close))
            if position.bought or position.sold:
                day.append(portfolio.day_row(position, quote.listing, quote.last_price, quote.close))
        return success({"net": net, "day": day})

    async def holdings(self, _request: web.Request) -> web.Response:
        """GET /portfolio/holdings."""
        return success(self._holding_rows())

    def _holding_rows(self) -> list[dict[str, Any]]:
        account, today = self._oms.ledger.account, self._oms.market.clock.now()
        midnight = stamp(today.replace(hour=0, minute=0, second=0))
        rows = []
        for holding in account.holdings.values():
            quote = self._oms.market.quotes.get(holding.token)
            if quote is None:
                continue
            position = account.positions.get((holding.token, "CNC"))
            sold = max(0, position.sold - position.bought) if position else 0
            given = self._depository.of(holding.token)
            authorised = (given.quantity, given.at) if given else (0, midnight)
            row = portfolio.holding_row(holding, quote.listing, quote.last_price, quote.close, sold, authorised)
            rows.append(row)
        return rows

    async def summary(self, _request: web.Request) -> web.Response:
        """GET /portfolio/holdings/summary."""
        rows = self._holding_rows()
        held = [(row, row["quantity"] + row["t1_quantity"]) for row in rows]
        invested = sum(row["average_price"] * count for row, count in held)
        current = sum(row["last_price"] * count for row, count in held)
        before = sum(row["close_price"] * count for row, count in held)
        return success(
            {
                "total_pnl": number(current - invested),
                "total_pnl_percent": number((current - invested) * 100 / invested) if invested else 0,
                "today_pnl": number(current - before),
                "today_pnl_percent": number((current - before) * 100 / before) if before else 0,
                "invested_amount": number(invested),
                "current_value": number(current),
            }
        )

    async def compact(self, _request: web.Request) -> web.Response:
        """GET /portfolio/holdings/compact."""
        fields = ("exchange", "tradingsymbol", "instrument_token", "t1_quantity", "quantity")
        return success([{field: row[field] for field in fields} for row in self._holding_rows()])

    async def auctions(self, _request: web.Request) -> web.Response:
        """GET /portfolio/holdings/auctions: what the client holds and could sell in an auction now."""
        numbers = self._auctions.open
        rows = [(row, numbers.get(f"{row['exchange']}:{row['tradingsymbol']}")) for row in self._holding_rows()]
        return success([portfolio.auction_row(row, number) for row, number in rows if number])

    async def convert(self, request: web.Request) -> web.Response:
        """PUT /portfolio/positions."""
        form = await form_of(request)
        key = f"{form.get('exchange', '')}:{form.get('tradingsymbol', '')}"
        listing = self._oms.market.listings.by_key.get(key)
        if listing is None:
            raise bad_input("Invalid `tradingsymbol`.")
        quantity = whole(form, "quantity")
        if quantity is None:
            raise bad_input("Invalid `quantity`.")
        move = Conversion(
            old=choice(form, "old_product", PRODUCTS),
            new=choice(form, "new_product", PRODUCTS),
            side=choice(form, "transaction_type", SIDES),
            quantity=quantity,
            overnight=choice(form, "position_type", ("day", "overnight")) == "overnight",
        )
        self._oms.ledger.convert(listing, move, self._oms.records.live())
        return success(data=True)

    async def authorise(self, request: web.Request) -> web.Response:
        """POST /portfolio/holdings/authorise: `isin` and `quantity` repeat; without them all that is held."""
        form = await fields_of(request)
        isins = [value for value in form.getall("isin", []) if isinstance(value, str)]
        counts = [value for value in form.getall("quantity", []) if isinstance(value, str)]
        return success({"request_id": self._depository.ask(_shares(isins, counts) if isins else None)})


def _shares(isins: list[str], counts: list[str]) -> Mapping[str, int]:
    if len(isins) != len(counts):
        raise bad_input("As many `quantity` as `isin` are expected.")
    return {isin: whole({"quantity": count}, "quantity") or 0 for isin, count in zip(isins, counts, strict=True)}
