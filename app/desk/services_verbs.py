"""Services that only some brokers have, as the window and the command line ask for them (see `desk.api`).

Each raises Denied in words for an account whose broker does not have it, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from app.desk.messages import AccountView
from app.desk.services_messages import Approval, BasketPlan, ContractNote
from app.domain.alert import Alert, AlertFiring, AlertRequest
from app.domain.ids import AccountId, AlertId, InstrumentId, OrderId
from app.domain.instrument import Instrument
from app.domain.market import Candle
from app.domain.options import OptionChain
from app.domain.order import OrderRequest
from app.domain.portfolio import AuctionOffer
from app.runtime.secret import Secret


class ServiceVerbs(Protocol):
    """Alerts, auctions, baskets, contract notes, option chains, expired contracts, logins by approval."""

    async def alerts(self, account: AccountId) -> Sequence[Alert]:
        """Those that the broker keeps, newest first."""
        ...

    async def create_alert(self, request: AlertRequest) -> Alert:
        """Sent once."""
        ...

    async def change_alert(self, alert: Alert, request: AlertRequest) -> Alert:
        """The whole of it again. Raises Denied for one that places orders: they would be lost."""
        ...

    async def delete_alerts(self, account: AccountId, alerts: Sequence[AlertId]) -> None:
        """Ends them; the broker keeps their history."""
        ...

    async def alert_history(self, account: AccountId, alert: AlertId) -> Sequence[AlertFiring]:
        """When it fired, newest first."""
        ...

    async def auctions(self, account: AccountId) -> Sequence[AuctionOffer]:
        """Holdings that today's auctions take."""
        ...

    async def bid(self, offer: AuctionOffer, quantity: int, price: int) -> OrderId:
        """Sells part of a holding in its auction, at this price or better. Raises as `TradingVerbs.place`."""
        ...

    async def plan_basket(self, orders: Sequence[OrderRequest]) -> BasketPlan:
        """Margin and charges of orders of one account, before anything is sent."""
        ...

    async def contract_note(self, account: AccountId) -> ContractNote:
        """Charges of what was done today."""
        ...

    async def expiries(self, account: AccountId, underlying: InstrumentId) -> Sequence[date]:
        """Of the options that are listed, soonest first."""
        ...

    async def option_chain(self, account: AccountId, underlying: InstrumentId, expiry: date) -> OptionChain:
        """Every strike of an expiry."""
        ...

    async def past_expiries(self, account: AccountId, underlying: InstrumentId) -> Sequence[date]:
        """That the broker remembers, latest first."""
        ...

    async def expired(self, account: AccountId, underlying: InstrumentId, expiry: date) -> Sequence[Instrument]:
        """Contracts of a past expiry."""
        ...

    async def expired_days(self, account: AccountId, contract: Instrument, days: int = 60) -> Sequence[Candle]:
        """The last day candles of an expired contract, oldest first."""
        ...

    async def request_approval(self, account: AccountId) -> Approval:
        """Asks the broker to ask the trader, on the phone."""
        ...

    async def take_approval(self, account: AccountId, notice: Secret) -> AccountView:
        """The message that arrived at the registered address. Raises LoginFailed, BadAnswer in words."""
        ...
