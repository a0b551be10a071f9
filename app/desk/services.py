"""Services that only some brokers have: alerts, auctions, baskets, contract notes, chains. Loop thread only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from app.brokers.base import BrokerSession
from app.brokers.market_parts import ExpiredSource, OptionSource
from app.brokers.parts import AlertBroker, AuctionSource, BasketMarginSource, ContractNoteSource
from app.desk.account import AccountDesk
from app.desk.approval import Approvals
from app.desk.services_messages import BasketPlan, ContractNote, NotedOrder
from app.desk.session import SessionDesk
from app.desk.workspace import Workspace
from app.domain.alert import Alert, AlertFiring, AlertKind, AlertRequest
from app.domain.calendar import ist_date
from app.domain.errors import Denied
from app.domain.ids import AccountId, AlertId, InstrumentId, OrderId, instrument_id
from app.domain.instrument import Instrument, InstrumentKind, Product
from app.domain.margin import PlannedNote
from app.domain.market import Candle, Interval
from app.domain.money import Price, from_minor
from app.domain.options import OptionChain
from app.domain.order import Order, OrderKind, OrderRequest, Side, Variety
from app.domain.portfolio import AuctionOffer
from app.runtime.clock import SECOND

BASKET = 20
"""Orders that are planned together: what one margin request of every broker takes."""
BY_ORDER = 50
"""Orders of a day whose charges are asked for one by one, where the broker has no contract note: each is a request."""
INDICES = "INDICES"
"""The exchange by which alerts name an index."""
DAY = 86_400 * SECOND


class ServiceDesk(Approvals):
    """Implements `desk.services_verbs.ServiceVerbs`."""

    def __init__(self, workspace: Workspace, session: SessionDesk) -> None:
        super().__init__(workspace, session)
        self._workspace = workspace

    # -- alerts ------------------------------------------------------------------------------------------------------

    async def alerts(self, account: AccountId) -> Sequence[Alert]:
        """Those that the broker keeps, newest first."""
        found = await self._alerts(account).alerts()
        return sorted(found, key=lambda alert: alert.created_at, reverse=True)

    async def create_alert(self, request: AlertRequest) -> Alert:
        """Sent once."""
        broker = self._alerts(request.account)
        return await broker.create_alert(self._named(request))

    async def change_alert(self, alert: Alert, request: AlertRequest) -> Alert:
        """The whole of it again."""
        broker = self._alerts(alert.account)
        if alert.kind is AlertKind.ORDERS:
            raise Denied(
                "This alert places orders, which the broker does not tell and a change would lose.",
                "Change it at the broker's site, or delete it.",
            )
        return await broker.modify_alert(alert.id, self._named(request))

    async def delete_alerts(self, account: AccountId, alerts: Sequence[AlertId]) -> None:
        """Ends them."""
        if not alerts:
            raise Denied("No alert was chosen.", "Choose at least one.")
        await self._alerts(account).delete_alerts(alerts)

    async def alert_history(self, account: AccountId, alert: AlertId) -> Sequence[AlertFiring]:
        """When it fired, newest first."""
        found = await self._alerts(account).alert_history(alert)
        return sorted(found, key=lambda firing: firing.at, reverse=True)

    def _named(self, request: AlertRequest) -> AlertRequest:
        """Checked, with indices as alerts name them. Raises Denied."""
        if not request.name.strip():
            raise Denied("The alert has no name.", "Type one: the broker shows it when it fires.")
        if request.amount is not None and request.amount <= 0:
            raise Denied("The price of an alert is above zero.", "Type the price to wait for.")
        other = None if request.other is None else self._watched(request.other)
        return AlertRequest(
            request.account, request.name.strip(), self._watched(request.instrument), request.comparison,
            request.amount, other, request.orders,
        )  # fmt: skip

    def _watched(self, name: InstrumentId) -> InstrumentId:
        found = self._workspace.instrument(name)
        return instrument_id(INDICES, found.symbol) if found.kind is InstrumentKind.INDEX else found.id

    # -- auctions ----------------------------------------------------------------------------------------------------

    async def auctions(self, account: AccountId) -> Sequence[AuctionOffer]:
        """Holdings that today's auctions take."""
        broker: object = self._workspace.account(account).broker
        if not isinstance(broker, AuctionSource):
            raise self._lacks(account, "lists no auctions")
        return await broker.auctions()

    async def bid(self, offer: AuctionOffer, quantity: int, price: Price) -> OrderId:
        """Sells in the auction, by the way that every order takes."""
        if not 0 < quantity <= offer.quantity:
            raise Denied(f"The auction takes 1 to {offer.quantity} of this holding.", "Type another quantity.")
        request = OrderRequest(
            offer.account, offer.instrument, Side.SELL, quantity, Product.CNC, OrderKind.LIMIT, price,
            variety=Variety.AUCTION, auction_number=offer.auction_number,
        )  # fmt: skip
        return await self._workspace.account(offer.account).orders.place(request)

    # -- baskets and contract notes ----------------------------------------------------------------------------------

    async def plan_basket(self, orders: Sequence[OrderRequest]) -> BasketPlan:
        """Margin and charges together, before anything is sent."""
        accounts = {order.account for order in orders}
        if len(accounts) != 1 or len(orders) > BASKET:
            raise Denied(f"A basket is 1 to {BASKET} orders of one account.", "Plan in parts.")
        desk = self._workspace.account(accounts.pop())
        broker = desk.broker
        priced = await self._priced(desk, broker, orders)
        margin, lacks = None, ""
        if isinstance(broker, BasketMarginSource):
            margin = await broker.basket_margin(priced)
        else:
            lacks = "This broker computes no margin of a basket: each order alone is in the order ticket."
        notes = await self._charges(broker, priced)
        funds = await broker.funds()
        return BasketPlan(margin, notes, Decimal(funds.available) / 100, lacks)

    async def _priced(
        self, desk: AccountDesk, broker: BrokerSession, orders: Sequence[OrderRequest]
    ) -> list[tuple[OrderRequest, Price]]:
        """At which each is reckoned: its limit, else its trigger, else the last price. Raises Denied."""
        given = [o.price or o.trigger_price or desk.last_price(o.instrument) for o in orders]
        missing = list({o.instrument for o, price in zip(orders, given, strict=True) if not price})
        asked = await broker.last_prices(missing) if missing else {}
        found = [(o, price or asked.get(o.instrument, 0)) for o, price in zip(orders, given, strict=True)]
        for order, price in found:
            if not price:
                raise Denied(f"There is no price of {order.instrument} yet.", "Give a limit price.")
        return found

    async def contract_note(self, account: AccountId) -> ContractNote:
        """Charges of what was done today, at the prices it was done at."""
        desk = self._workspace.account(account)
        broker = desk.broker
        done = sorted(
            (order for order in await broker.orders() if order.filled_quantity > 0 and order.average_price),
            key=lambda order: (order.placed_at or 0, order.broker_order_id),
        )
        exact = isinstance(broker, ContractNoteSource)
        if not exact and len(done) > BY_ORDER:
            raise Denied(
                f"This broker computes charges order by order, and there are {len(done)} of today.",
                "See the charges in the trade book; the contract note arrives by mail in the evening.",
            )
        notes = await self._charges(broker, [_as_done(order) for order in done]) if done else ()
        lines = tuple(NotedOrder(order.broker_order_id, note) for order, note in zip(done, notes, strict=True))
        return ContractNote(account, lines, "contract note" if exact else "brokerage calculator")

    async def _charges(
        self, broker: BrokerSession, orders: Sequence[tuple[OrderRequest, Price]]
    ) -> tuple[PlannedNote, ...]:
        """From the broker's contract note, or order by order from its calculator."""
        if isinstance(broker, ContractNoteSource):
            return tuple(await broker.contract_note(orders))
        return tuple([await self._charged(broker, order, price) for order, price in orders])

    async def _charged(self, broker: BrokerSession, order: OrderRequest, price: Price) -> PlannedNote:
        instrument = self._workspace.instrument(order.instrument)
        charges = (await broker.cost(order, price)).charges
        return PlannedNote(
            order.instrument, order.side, order.product, order.kind, order.quantity,
            from_minor(price, instrument.price_scale), charges, charges.total, "",
        )  # fmt: skip

    # -- contracts ---------------------------------------------------------------------------------------------------

    async def expiries(self, account: AccountId, underlying: InstrumentId) -> Sequence[date]:
        """Of the options that are listed, soonest first."""
        found = await self._options(account).option_contracts(underlying)
        return sorted({one.expiry for one in found if one.expiry is not None})

    async def option_chain(self, account: AccountId, underlying: InstrumentId, expiry: date) -> OptionChain:
        """Every strike of an expiry."""
        return await self._options(account).option_chain(underlying, expiry)

    def _options(self, account: AccountId) -> OptionSource:
        broker: object = self._workspace.account(account).broker
        if not isinstance(broker, OptionSource):
            raise self._lacks(account, "tells no option chains")
        return broker

    async def past_expiries(self, account: AccountId, underlying: InstrumentId) -> Sequence[date]:
        """That the broker remembers, latest first."""
        return sorted(await self._expired(account).expiries(underlying), reverse=True)

    async def expired(self, account: AccountId, underlying: InstrumentId, expiry: date) -> Sequence[Instrument]:
        """Contracts of a past expiry: futures first, then by strike."""
        found = await self._expired(account).expired_contracts(underlying, expiry)
        return sorted(found, key=lambda one: (one.strike or Decimal(0), one.kind.value, one.id))

    async def expired_days(self, account: AccountId, contract: Instrument, days: int = 60) -> Sequence[Candle]:
        """The last day candles of an expired contract, oldest first."""
        if contract.expiry is None:
            raise Denied(f"{contract.id} never expires.", "Its chart shows all of it.")
        broker, now = self._expired(account), self._workspace.account(account).clock.now()
        end = now - (ist_date(now) - contract.expiry).days * DAY
        start = end - timedelta(days=days).days * DAY
        return await broker.expired_candles(contract, Interval.DAY, start, end)

    def _expired(self, account: AccountId) -> ExpiredSource:
        broker: object = self._workspace.account(account).broker
        if not isinstance(broker, ExpiredSource):
            raise self._lacks(account, "tells nothing of expired contracts")
        return broker

    def _alerts(self, account: AccountId) -> AlertBroker:
        broker: object = self._workspace.account(account).broker
        if not isinstance(broker, AlertBroker):
            raise self._lacks(account, "keeps no alerts")
        return broker

    def _lacks(self, account: AccountId, what: str) -> Denied:
        title = self._workspace.title(self._workspace.record(account).broker)
        return Denied(f"{title} {what}.", "Choose an account of another broker.")


def _as_done(order: Order) -> tuple[OrderRequest, Price]:
    """What was filled of an order, as a request at its average price."""
    known = {variety.value: variety for variety in Variety}
    request = OrderRequest(
        order.account, order.instrument, order.side, order.filled_quantity, order.product, order.kind, order.price,
        order.trigger_price, variety=known.get(order.variety, Variety.REGULAR),
    )  # fmt: skip
    return request, order.average_price or 0
