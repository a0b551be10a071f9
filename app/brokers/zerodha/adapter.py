"""One logged-in Zerodha account behind the broker contract (`brokers.base`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

from app.brokers.base import (
    Credentials,
    ExchangeClockReading,
    ExitLine,
    Feed,
    FeedSink,
    OrderCost,
    Profile,
    Session,
)
from app.brokers.reading import UnreadOrders, gently
from app.brokers.rows import PRICE_SCALE, candle_from_row
from app.brokers.zerodha import mapping, margins, orders, quotes
from app.brokers.zerodha.rest import Limits, ZerodhaRest
from app.brokers.zerodha.specials import ZerodhaSpecials
from app.domain.account import Endpoints
from app.domain.errors import AuthorisationNeeded, BrokerError, Denied
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos, split_instrument_id
from app.domain.instrument import Exchange, Instrument
from app.domain.market import Candle, Interval, Quote, Tick
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, Placement, Variety
from app.domain.portfolio import Funds, Holding, Position
from app.runtime.clock import SystemClock, to_datetime
from app.runtime.helper import Helper

log = logging.getLogger(__name__)

QUOTE_KEYS = 200
"""Keys a quote request carries. Kite allows 1,000; the length of the address bites first."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a change of an order needs to know of it: its address and its price scale."""

    variety: str
    exchange: Exchange
    parent: BrokerOrderId | None


class ZerodhaSession(ZerodhaSpecials):
    """Reads and orders of one account. Loop thread."""

    def __init__(
        self,
        session: Session,
        credentials: Credentials,
        endpoints: Endpoints,
        helper: Helper | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(
            session.account,
            credentials,
            endpoints,
            ZerodhaRest(credentials, session.access_token, endpoints, helper, limits),
        )
        self._session = session
        self._credentials = credentials
        self._endpoints = endpoints
        self._seen: dict[BrokerOrderId, _Seen] = {}

    @property
    def account(self) -> AccountId:
        """Whose session this is."""
        return self._session.account

    @property
    def paper(self) -> bool:
        """Play money: every address is on this machine."""
        return self._endpoints.paper

    def feed(self, sink: FeedSink, *, orders: bool = True) -> Feed:
        """A tick stream of the account. Kite tells of orders on each of them."""
        from app.brokers.zerodha.ticker import ZerodhaFeed

        return ZerodhaFeed(self._session, self._credentials, self._endpoints, sink, orders=orders)

    def exit_line(self) -> ExitLine:
        """The account's warm connections for exits."""
        from app.brokers.zerodha.exit_line import ZerodhaExitLine

        return ZerodhaExitLine(self._session, self._credentials, self._endpoints)

    async def close(self) -> None:
        """Closes the connections; the session at the broker lives on."""
        await self._rest.close()

    async def profile(self) -> Profile:
        """Who the broker says is logged in."""
        return mapping.profile_from(await self._rest.get("/user/profile"))

    async def funds(self) -> Funds:
        """Cash and margin."""
        return mapping.funds_from(await self._rest.get("/user/margins"), self.account)

    async def orders(self) -> Sequence[Order]:
        """Today's order book. Raises PartlyRead."""
        unread = UnreadOrders()
        found = await self._rest.rows("/orders", self._order, urgent=True, kind=Order, unread=unread.hear)
        return unread.whole(self._remember(found))

    async def order_history(self, order: BrokerOrderId) -> Sequence[Order]:
        """The states that an order went through, oldest first."""
        return self._remember(await self._rest.rows(f"/orders/{quote(order, safe='')}", self._order, urgent=True))

    async def fills(self) -> Sequence[Fill]:
        """Today's executions; Kite has none of earlier days."""
        return await self._rest.rows("/trades", partial(mapping.fill_from_row, account=self.account), kind=Fill)

    async def reported_fills(self) -> Sequence[tuple[Fill, str]]:
        """The same, each with the row that it was made of."""
        make = partial(mapping.reported_fill_from_row, account=self.account)
        return await self._rest.rows("/trades", make, kind=tuple[Fill, str])

    async def positions(self) -> Sequence[Position]:
        """Net positions, the closed ones of today with quantity 0."""
        return await self._rest.rows(
            "/portfolio/positions",
            partial(mapping.position_from_row, account=self.account),
            at=("data", "net"),
            urgent=True,
            kind=Position,
        )

    async def holdings(self) -> Sequence[Holding]:
        """Shares in demat."""
        make = partial(mapping.holding_from_row, account=self.account)
        return await self._rest.rows("/portfolio/holdings", make, kind=Holding)

    async def instruments(self, exchange: Exchange | None = None) -> Sequence[Instrument]:
        """The broker's list of the day."""
        return await self._rest.instruments(exchange or "")

    async def save_instruments(self, into: Path) -> None:
        """The broker's list of the day to a file."""
        await self._rest.save_instruments(into)

    async def last_prices(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Price]:
        """Last traded prices. What the broker does not know is missing from the answer."""
        found = await self._quoted("/quote/ltp", instruments)
        return dict(await gently(found, lambda row: quotes.last_price_from(*row)))

    async def day_prices(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Tick]:
        """Last price with the day's open, high, low and previous close."""
        at = SystemClock().now()
        found = await self._quoted("/quote/ohlc", instruments)
        return dict(await gently(found, lambda row: (InstrumentId(row[0]), quotes.day_from(*row, at))))

    async def quotes(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Quote]:
        """Everything that the broker shows of them: depth, volume, circuit limits."""
        at = SystemClock().now()
        found = await self._quoted("/quote", instruments)
        return dict(await gently(found, lambda row: (InstrumentId(row[0]), quotes.quote_from(*row, at))))

    async def _quoted(self, path: str, instruments: Sequence[InstrumentId]) -> list[tuple[str, object]]:
        found: list[tuple[str, object]] = []
        for start in range(0, len(instruments), QUOTE_KEYS):
            found += (await self._rest.quotes(path, instruments[start : start + QUOTE_KEYS])).items()
        return found

    async def candles(self, instrument: Instrument, interval: Interval, start: Nanos, end: Nanos) -> Sequence[Candle]:
        """Past candles, oldest first, both ends included; long ranges in as many requests as Kite wants."""
        if interval not in mapping.INTERVALS:
            raise Denied(f"Zerodha keeps no candles of {int(interval)} s.", "Choose a minute or longer.")
        name, days = mapping.INTERVALS[interval]
        found: list[Candle] = []
        at, last = to_datetime(start), to_datetime(end)
        while at <= last:
            until = min(last, at + timedelta(days=days) - timedelta(seconds=1))
            found += await self._rest.history(
                instrument.token,
                name,
                at,
                until,
                lambda row: candle_from_row(row, instrument.price_scale),
            )
            at = until + timedelta(seconds=1)
        return found

    async def cost(self, request: OrderRequest, at_price: Price) -> OrderCost:
        """Margin and charges of an order, computed by the broker."""
        (margin,), (note,) = await asyncio.gather(
            self.order_margins([request]), self.contract_note([(request, at_price)])
        )
        return margins.cost_from(margin, note)

    async def exchange_time(self) -> Nanos:
        """The broker's clock now."""
        return (await self._rest.clock()).now

    async def exchange_clock(self) -> ExchangeClockReading:
        """The broker's clock, with a paper exchange's speed and hours."""
        return await self._rest.clock()

    async def place(self, request: OrderRequest) -> BrokerOrderId:
        """Sends an order, once. Of a sliced one, the number that its slices go by."""
        return (await self.place_sliced(request)).order

    async def place_sliced(self, request: OrderRequest) -> Placement:
        """Sends an order, once, and says what became of each slice where the broker cut it up.

        Raises AuthorisationNeeded with the page to open when holdings must be released first.
        """
        try:
            data = await self._rest.command("POST", f"/orders/{request.variety}", orders.order_form(request))
        except AuthorisationNeeded as refused:
            raise await self._with_page(refused, request.instrument) from refused
        placement = orders.placement_from(data)
        seen = _Seen(request.variety.value, Exchange(split_instrument_id(request.instrument)[0]), None)
        for order in (placement.order, *(one.order for one in placement.slices)):
            if order is not None:
                self._seen[order] = seen
        return placement

    async def _with_page(self, refused: AuthorisationNeeded, instrument: InstrumentId) -> AuthorisationNeeded:
        """The same refusal, with the page that asks for the authorisation where the broker gives one."""
        try:
            held = [h for h in await self.holdings() if h.instrument == instrument and h.isin and h.sellable]
            page = (await self.authorise([(h.isin, h.sellable) for h in held])).url
        except BrokerError as failure:
            log.info("no authorisation page: %s", failure)
            return refused
        return AuthorisationNeeded(refused.cause, detail=refused.detail, kind=refused.kind, url=page)

    async def modify(
        self,
        order: BrokerOrderId,
        *,
        quantity: int | None = None,
        price: Price | None = None,
        trigger_price: Price | None = None,
    ) -> None:
        """Changes what is given. Quantity is the order's total; it is sent only when it changes."""
        seen = await self._known(order)
        form: dict[str, str] = {}
        if quantity is not None:
            form["quantity"] = str(quantity)
        if price is not None:
            form["price"] = orders.rupees(price, PRICE_SCALE[seen.exchange])
        if trigger_price is not None:
            form["trigger_price"] = orders.rupees(trigger_price, PRICE_SCALE[seen.exchange])
        if seen.parent is not None:
            form["parent_order_id"] = seen.parent
        await self._rest.send("PUT", f"/orders/{seen.variety}/{quote(order, safe='')}", form)

    async def make_marketable(self, order: BrokerOrderId, price: Price, quantity: int) -> None:
        """A resting stop order becomes a LIMIT of so many units, without a trigger."""
        seen = await self._known(order)
        form = {
            "order_type": OrderKind.LIMIT.value,
            "quantity": str(quantity),
            "price": orders.rupees(price, PRICE_SCALE[seen.exchange]),
        }
        await self._rest.send("PUT", f"/orders/{seen.variety}/{quote(order, safe='')}", form)

    async def cancel(self, order: BrokerOrderId) -> None:
        """Cancels what is open of an order; of a cover order's second leg, leaves the position."""
        seen = await self._known(order)
        params = [("parent_order_id", seen.parent)] if seen.parent is not None else []
        await self._rest.send("DELETE", f"/orders/{seen.variety}/{quote(order, safe='')}", params=params)

    async def _known(self, order: BrokerOrderId) -> _Seen:
        if order not in self._seen:
            await self.order_history(order)
        if order not in self._seen:
            raise Denied("The broker does not list this order.", detail=order)
        return self._seen[order]

    @property
    def _order(self) -> Callable[[object], Order]:
        return partial(orders.order_from_row, account=self.account)

    def _remember(self, listed: list[Order]) -> list[Order]:
        for order in listed:
            parent = order.parent if order.variety == Variety.CO else None
            known = self._seen.get(order.broker_order_id)
            if known is None or (known.variety, known.parent) != (order.variety, parent):
                exchange = Exchange(split_instrument_id(order.instrument)[0])
                self._seen[order.broker_order_id] = _Seen(order.variety, exchange, parent)
        return listed
