"""One logged-in Upstox account behind the broker contract (`brokers.base`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from app.brokers.base import ExchangeClockReading, ExitLine, Feed, FeedSink, OrderCost, Profile, Session
from app.brokers.parts import PlacedOrder
from app.brokers.reading import UnreadOrders
from app.brokers.upstox import mapping, quotes, requests, webhook
from app.brokers.upstox.auth import only_reads
from app.brokers.upstox.books import Convert, beside, reported_fill
from app.brokers.upstox.care import UpstoxCare
from app.brokers.upstox.contracts import UpstoxContracts
from app.brokers.upstox.exit_line import UpstoxExitLine
from app.brokers.upstox.keys import Directory
from app.brokers.upstox.older import UpstoxOlder
from app.brokers.upstox.outcomes import order_ids_of, outcomes_from
from app.brokers.upstox.part import stretches
from app.brokers.upstox.rest import Limits, UpstoxRest
from app.brokers.upstox.specials import UpstoxSpecials
from app.brokers.upstox.ticker import UpstoxFeed
from app.domain.account import Endpoints
from app.domain.errors import BadAnswer, Denied
from app.domain.fill import Fill
from app.domain.gtt import Gtt
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos
from app.domain.instrument import Exchange, Instrument
from app.domain.market import Candle, Interval, Quote, Tick
from app.domain.money import Price
from app.domain.order import Order, OrderRequest, Placement, SliceOutcome
from app.domain.portfolio import Funds, Holding, Position
from app.runtime.clock import to_datetime
from app.runtime.helper import Helper

T = TypeVar("T")

LEARN_SLICE = 500
"""Instruments taken up in one go: about 0.3 ms."""

FUNDED = "MTF"
"""Upstox's word for shares bought with the broker's money."""

BASKET = 10
"""Orders in one request: 25 in older texts, 10 in newer ones."""

_ORDERS = "/v3/order"
_TRADES = "/v2/order/trades/get-trades-for-day"


class UpstoxSession(UpstoxSpecials, UpstoxContracts, UpstoxCare, UpstoxOlder):
    """Reads and orders of one account. Loop thread."""

    def __init__(
        self,
        session: Session,
        endpoints: Endpoints,
        directory: Directory,
        helper: Helper | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(session, UpstoxRest(session.access_token, endpoints, helper, limits), directory)
        self._endpoints = endpoints
        self._seen: dict[BrokerOrderId, Order] = {}
        """Orders as last read: a change must repeat what stays."""
        self._funded = False
        """The profile names margin funding among the client's products."""

    @property
    def account(self) -> AccountId:
        """Whose session this is."""
        return self._session.account

    @property
    def paper(self) -> bool:
        """Play money: every address is on this machine."""
        return self._endpoints.paper

    def feed(self, sink: FeedSink, *, orders: bool = True) -> Feed:
        """A price connection of the account; with `orders` the portfolio stream beside it. A token that only
        reads opens none of orders."""
        orders = orders and not only_reads(self._session)
        return UpstoxFeed(
            self._session.account, self._rest, self._endpoints, self._directory, sink, self._notice, orders=orders
        )

    def exit_line(self) -> ExitLine:
        """The account's warm connections for exits."""
        return UpstoxExitLine(self._session, self._endpoints, self._directory)

    async def close(self) -> None:
        """Closes the connections; the session at the broker lives on."""
        await self._rest.close()

    def reads_used(self) -> float:
        """The share of the minute's or of the half hour's reads that is used."""
        return self._rest.limits.used

    # -- reads -------------------------------------------------------------------------------------------------------

    async def profile(self) -> Profile:
        """Who the broker says is logged in."""
        found = mapping.profile_from(await self._rest.get("/v2/user/profile"))
        self._funded = FUNDED in found.products
        return found

    async def funds(self) -> Funds:
        """Cash and margin, one pool for all segments."""
        return mapping.funds_from(await self._rest.get("/v3/user/get-funds-and-margin"), self.account)

    async def orders(self) -> Sequence[Order]:
        """Today's order book. Raises PartlyRead."""
        unread, path = UnreadOrders(), "/v2/order/retrieve-all"
        found = await self._book(path, mapping.order_from_row, Order, urgent=True, unread=unread.hear)
        return unread.whole(self._remember(found))

    async def order_history(self, order: BrokerOrderId) -> Sequence[Order]:
        """The states that an order went through, oldest first."""
        return await self._rest.rows("/v2/order/history", self._order, params=[("order_id", order)], urgent=True)

    async def order_details(self, order: BrokerOrderId) -> Order:
        """An order as it is now."""
        row = await self._rest.get("/v2/order/details", [("order_id", order)], urgent=True)
        return self._remember([self._order(row)])[0]

    async def confirmed_news(self, body: bytes) -> Order | Gtt:
        """What a message at the registered address is about, read anew: it carries no signature and proves nothing.
        Raises Denied for another client's, BadAnswer, Rejected for what the broker does not know."""
        news = webhook.news_from(body, self._session, self._directory)
        if isinstance(news, Gtt):
            return await self.gtt(news.id)
        return await self.order_details(news.broker_order_id)

    async def fills(self) -> Sequence[Fill]:
        """Today's executions. Those of earlier days: `fills_between`."""
        return await self._book(_TRADES, mapping.fill_from_row, Fill)

    async def reported_fills(self) -> Sequence[tuple[Fill, str]]:
        """The same, each with the row that it was made of."""
        return await self._book(_TRADES, reported_fill, tuple[Fill, str])

    async def order_fills(self, order: BrokerOrderId) -> Sequence[Fill]:
        """The executions of one order."""
        return await self._rest.rows("/v2/order/trades", self._fill, params=[("order_id", order)])

    async def positions(self) -> Sequence[Position]:
        """Net positions, the closed ones of today with quantity 0; the funded ones, which are listed apart, for clients
        who may have such."""
        reading = self._book("/v2/portfolio/short-term-positions", mapping.position_from_row, Position, urgent=True)
        if not self._funded:
            return await reading
        own, funded = await asyncio.gather(reading, self.mtf_positions())
        return list({one.key: one for one in (*own, *funded)}.values())

    async def holdings(self) -> Sequence[Holding]:
        """Shares in demat."""
        return await self._book("/v2/portfolio/long-term-holdings", mapping.holding_from_row, Holding)

    async def _book(
        self,
        path: str,
        convert: Convert[T],
        kind: type[T],
        *,
        urgent: bool = False,
        unread: Callable[[object, BadAnswer], None] | None = None,
    ) -> list[T]:
        account, directory = self.account, self._directory
        return await self._rest.rows(
            path,
            lambda row: convert(row, account, directory),
            urgent=urgent,
            beside=beside(convert, kind, account, directory),
            unread=unread,
        )

    async def instruments(self, exchange: Exchange | None = None) -> Sequence[Instrument]:
        """The broker's list of the day. There are files for NSE, BSE and MCX; the other exchanges stand in those."""
        found = await self._rest.instruments("complete")
        for start in range(0, len(found), LEARN_SLICE):
            self._directory.learn(found[start : start + LEARN_SLICE])
            await asyncio.sleep(0)
        return found if exchange is None else [one for one in found if one.exchange is exchange]

    async def save_instruments(self, into: Path) -> None:
        """The broker's list of the day to a file."""
        await self._rest.save_instruments("complete", into)

    async def last_prices(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Price]:
        """Last traded prices. What the broker does not know is missing from the answer."""
        return await self._quoted("ltp", instruments, quotes.last_price)

    async def day_prices(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Tick]:
        """Last price, open, high and low of the day."""
        now = time.time_ns()
        return await self._quoted("ohlc", instruments, lambda row, one: quotes.day(row, one, now))

    async def quotes(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Quote]:
        """Everything, with depth and circuit limits."""
        now = time.time_ns()
        return await self._quoted("quotes", instruments, lambda row, one: quotes.quote(row, one, now))

    async def candles(self, instrument: Instrument, interval: Interval, start: Nanos, end: Nanos) -> Sequence[Candle]:
        """Past candles, oldest first, both ends included. Days are asked for whole, the newest first, in as many
        requests as Upstox wants; today stands in a list of its own."""
        if interval not in mapping.INTERVALS:
            raise Denied(f"Upstox keeps no candles of {int(interval)} s.", "Choose a minute or longer.")
        unit, number, days = mapping.INTERVALS[interval]
        key = quote(instrument.key or self._directory.instrument(instrument.id).key, safe="")
        first, last = to_datetime(start).date(), to_datetime(end).date()
        paths = [
            f"/v3/historical-candle/{key}/{unit}/{number}/{until}/{since}"
            for since, until in stretches(first, last, days)
        ]
        if last >= await self._today():
            paths.append(f"/v3/historical-candle/intraday/{key}/{unit}/{number}")
        return await self._candles(paths, instrument.price_scale, start, end)

    async def cost(self, request: OrderRequest, at_price: Price) -> OrderCost:
        """Margin and charges of an order, computed by the broker."""
        margin, note = await asyncio.gather(
            self._rest.ask("/v2/charges/margin", requests.margin_body([(request, at_price)], self._directory)),
            self._rest.get("/v2/charges/brokerage", requests.brokerage_query(request, at_price, self._directory)),
        )
        return mapping.cost_from(margin, note)

    async def exchange_time(self) -> Nanos:
        """The broker's clock now."""
        return (await self._rest.clock()).now

    async def exchange_clock(self) -> ExchangeClockReading:
        """The broker's clock, with a paper exchange's speed and hours."""
        return await self._rest.clock()

    # -- orders ------------------------------------------------------------------------------------------------------

    async def place(self, request: OrderRequest) -> BrokerOrderId:
        """Sends an order, once (v3)."""
        return (await self._place(request, slices=request.autoslice)).order

    async def place_sliced(self, request: OrderRequest) -> Placement:
        """Sends an order, once; the broker cuts it up where it is above the freeze quantity."""
        return await self._place(request, slices=True)

    async def _place(self, request: OrderRequest, *, slices: bool) -> Placement:
        self._deny_reading()
        body = requests.order_body(request, self._directory, slices=slices)
        answer = await self._rest.send("POST", f"{_ORDERS}/place", body=body)
        ids = order_ids_of(answer)
        outcomes = tuple(SliceOutcome(one, "") for one in ids) if len(ids) > 1 else ()
        return Placement(ids[0], outcomes)

    @property
    def basket_size(self) -> int:
        """Orders that one request takes."""
        return BASKET

    async def place_basket(self, orders: Sequence[OrderRequest]) -> Sequence[PlacedOrder]:
        """Several orders in one request; each ends in its own way."""
        self._deny_reading()
        if not orders or len(orders) > BASKET:
            raise Denied(f"One request takes 1 to {BASKET} orders, not {len(orders)}.", "Send them in parts.")
        body = requests.basket_body(orders, self._directory)
        return outcomes_from(await self._rest.send_many("POST", "/v2/order/multi/place", body=body), len(orders))

    async def modify(
        self,
        order: BrokerOrderId,
        *,
        quantity: int | None = None,
        price: Price | None = None,
        trigger_price: Price | None = None,
    ) -> None:
        """Changes what is given; what stays is sent again as it was last read. Quantity is the order's total."""
        self._deny_reading()
        known = self._seen.get(order) or await self.order_details(order)
        body = requests.modify_body(known, quantity, price, trigger_price)
        await self._rest.send("PUT", f"{_ORDERS}/modify", body=body)
        self._seen.pop(order, None)  # whether it was taken shows in the next read

    async def make_marketable(self, order: BrokerOrderId, price: Price, quantity: int) -> None:
        """A resting stop order becomes a LIMIT of so many units, without a trigger."""
        self._deny_reading()
        known = self._seen.get(order) or await self.order_details(order)
        body = requests.marketable_body(order, quantity, price, known.instrument)
        await self._rest.send("PUT", f"{_ORDERS}/modify", body=body)
        self._seen.pop(order, None)

    async def cancel(self, order: BrokerOrderId) -> None:
        """Cancels what is open of an order."""
        self._deny_reading()
        await self._rest.send("DELETE", f"{_ORDERS}/cancel", params=[("order_id", order)])

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _today(self) -> date:
        return to_datetime((await self._rest.clock()).now).date()

    def _order(self, row: object) -> Order:
        return mapping.order_from_row(row, self.account, self._directory)

    def _fill(self, row: object) -> Fill:
        return mapping.fill_from_row(row, self.account, self._directory)

    def _notice(self, order: Order) -> None:
        """An order changed, says the stream."""
        self._seen[order.broker_order_id] = order

    def _remember(self, orders: list[Order]) -> list[Order]:
        for order in orders:
            self._seen[order.broker_order_id] = order
        return orders
