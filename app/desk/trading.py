"""Orders as the window asks for them. Loop thread only."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from app.analytics.charge_table import ChargesUnknown
from app.analytics.charges import estimate
from app.brokers.parts import AuthorisationBroker
from app.desk.account import AccountDesk
from app.desk.conversion import convert
from app.desk.listed import listed
from app.desk.lots import size_of_lot
from app.desk.messages import OrderPreview
from app.desk.square_off import square_off
from app.desk.workspace import Workspace
from app.domain.calendar import ist_date
from app.domain.errors import AppError, Denied
from app.domain.fill import Charges
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, OrderId
from app.domain.instrument import Instrument, Product
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderRequest, Variety
from app.domain.portfolio import Conversion, HoldingsAuthorisation, PositionKey
from app.engine.limits import check_order

log = logging.getLogger(__name__)

FAR = 5
"""Percent from the last price beyond which a limit price is named unusual."""


class TradingDesk:
    """Implements `desk.api.TradingVerbs`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def orders(self) -> Sequence[Order]:
        """Today's, of all accounts, newest first; with those of ours that the broker does not list."""
        desks = self._workspace.accounts.values()
        found = [o for desk in desks for o in (*desk.state.orders.values(), *desk.state.unlisted.values())]
        return sorted(found, key=lambda order: (order.placed_at or 0, order.broker_order_id), reverse=True)

    async def preview(self, request: OrderRequest) -> OrderPreview:
        """Margin and charges before sending: the broker's figures, or our own estimate when it does not answer."""
        desk = self._workspace.account(request.account)
        instrument = listed(desk, request.instrument)
        last = await self._last_price(desk, instrument.id)
        denied = ""
        try:
            check_order(request, instrument)
            _deny_early(desk, request)
        except Denied as refusal:
            denied = str(refusal)
        at = request.price or last
        if not denied and not at and desk.rights.refused:
            blind = "This key gives no prices: what the order costs is not known before it is filled."
            return OrderPreview(0, Charges(), None, estimated=True, warnings=(blind,))
        if denied or not at:
            why = denied or "There is no price for this instrument yet."
            return OrderPreview(0, Charges(), None, estimated=True, denied=why)
        warnings = _warnings(request, instrument, last)
        try:
            cost = await desk.broker.cost(request, at)
            funds = await desk.broker.funds()
            return OrderPreview(cost.margin, cost.charges, funds.available, estimated=False, warnings=warnings)
        except AppError as failure:
            return await self._estimate(desk, request, instrument, at, (*warnings, failure.cause))

    async def _estimate(
        self, desk: AccountDesk, request: OrderRequest, instrument: Instrument, at: Price, warnings: tuple[str, ...]
    ) -> OrderPreview:
        """By our own tables. Where a lot's size is not known nothing is estimated, and that is said."""
        table, day = self._workspace.charges, ist_date(desk.clock.now()).isoformat()
        size = await size_of_lot(self._workspace, desk, instrument)
        if size is None:
            warnings = (*warnings, "How much a lot of it holds is not known yet, and so not what the order is worth.")
            return OrderPreview(0, Charges(), None, estimated=True, warnings=warnings)
        units = replace(request, quantity=request.quantity * size)
        try:
            charges = estimate(units, instrument, at, day, table)
        except ChargesUnknown:
            charges = Charges()
        value = units.quantity * at * 100 // instrument.price_scale
        return OrderPreview(value, charges, None, estimated=True, warnings=warnings)

    async def _last_price(self, desk: AccountDesk, instrument: InstrumentId) -> Price | None:
        """Of the account's own feed, else of another's: the views look at one feed alone. Else the broker is asked."""
        others = (other for other in self._workspace.live() if other is not desk)
        known = next((last for one in (desk, *others) if (last := one.last_price(instrument))), None)
        if known is not None or not desk.active:
            return known
        try:
            return (await desk.broker.last_prices([instrument])).get(instrument)
        except AppError as failure:
            log.info("what %s costs is not known: %s", instrument, failure.cause)
            return None

    async def place(self, request: OrderRequest) -> OrderId:
        """Journalled, sent once, acknowledged."""
        desk = self._workspace.account(request.account)
        _deny_early(desk, request)
        return await desk.orders.place(request)

    async def modify(
        self,
        account: AccountId,
        order: BrokerOrderId,
        *,
        quantity: int | None = None,
        price: Price | None = None,
        trigger_price: Price | None = None,
    ) -> None:
        """Changes an open order."""
        desk = self._workspace.account(account)
        await desk.orders.modify(order, quantity=quantity, price=price, trigger_price=trigger_price)

    async def cancel(self, account: AccountId, order: BrokerOrderId) -> None:
        """Asks for a cancel."""
        await self._workspace.account(account).orders.cancel(order)

    async def take_back(self, account: AccountId, order: OrderId) -> None:
        """An order that waits for its turn is not sent. Raises Denied when it has left."""
        if not self._workspace.account(account).orders.wire.queue.take_back(order):
            raise Denied("The order does not wait any more.", "See the orders list; it can be cancelled there.")

    async def square_off(self, position: PositionKey) -> OrderId:
        """Closes a whole position."""
        return await square_off(self._workspace.account(position.account), position)

    async def convert(self, conversion: Conversion) -> None:
        """Moves a position to another product, and its stop along."""
        await convert(self._workspace, conversion)

    async def authorise(self, account: AccountId, instrument: InstrumentId | None = None) -> HoldingsAuthorisation:
        """The page that releases holdings for sale."""
        desk = self._workspace.account(account)
        broker = desk.broker
        if not isinstance(broker, AuthorisationBroker):
            raise Denied("This broker needs no authorisation for sales.", "Sell as usual.")
        if instrument is None:
            return await broker.authorise()
        shares = [
            (h.isin, h.sellable) for h in desk.books.holdings if h.instrument == instrument and h.sellable and h.isin
        ]
        if not shares:
            raise Denied(f"None of {instrument} is held that could be sold.", "Refresh the holdings.")
        return await broker.authorise(shares)


def _deny_early(desk: AccountDesk, request: OrderRequest) -> None:
    """Raises Denied for an order for after the market while it trades: the broker would only refuse it."""
    known = desk.instrument(request.instrument)
    if request.variety is Variety.AMO and known is not None and desk.hours.scheduled(known, desk.clock.now()):
        raise Denied(
            "The market is open: orders for after the market are taken once it has closed.",
            "Send it as an order of now.",
        )


def _warnings(request: OrderRequest, instrument: Instrument, last: Price | None) -> tuple[str, ...]:
    found = []
    if request.kind is OrderKind.LIMIT and last and request.price:
        percent = abs(request.price - last) * 100 // last
        if percent >= FAR:
            found.append(f"The limit is {percent} % from the last price.")
    if request.product is Product.NRML and instrument.is_option and request.side.sign < 0:
        found.append("A sold option has no bounded loss.")
    return tuple(found)
