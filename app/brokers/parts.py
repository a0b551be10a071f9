"""What a broker may do beyond the contract of `base`. Each part is a protocol of its own.

A session that has a part implements its protocol; a caller asks with `isinstance(session, GttBroker)`, and
`BrokerInfo.capabilities` says the same before anybody logs in. Everything said in `base` holds here too: a failed read
raises and is never empty, unknown words are `BadAnswer`, what creates something sends at most once and ends in
`OutcomeUnknown` when it cannot tell, and what the broker cannot do for this instrument or date is `Denied` in words,
before anything is sent. Deletions and conversions are never repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, runtime_checkable

from app.brokers.base import ExitLine, Login, Prepared, Session
from app.domain.alert import Alert, AlertFiring, AlertRequest
from app.domain.errors import BrokerError
from app.domain.fill import Charges, Fill
from app.domain.gtt import Gtt, GttRequest
from app.domain.ids import AccountId, AlertId, BrokerOrderId, GttId, InstrumentId, Nanos
from app.domain.instrument import Segment
from app.domain.margin import BasketMargin, PlannedNote
from app.domain.market import Quote
from app.domain.money import Price
from app.domain.order import OrderRequest, Placement
from app.domain.portfolio import AuctionOffer, Conversion, HoldingsAuthorisation
from app.runtime.secret import Secret

# -- trades of earlier days ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PastFill:
    """A fill of an earlier day. A history often knows less than the day did; what it does not know is said here.

    Where the order is not known, `fill.broker_order_id` and `fill.id.broker_order_id` are empty: look for the same
    exchange, segment, date, trade id and side before taking it for a new one. Where the time is not known,
    `fill.filled_at` is 00:00 of the trade date in the exchange's zone. Where the product is not known, `fill.product`
    is the one that carries (CNC for shares, NRML for the rest).
    """

    fill: Fill
    raw: str
    """The broker's own words (JSON), which the book keeps for later questions (C3)."""
    order_known: bool = True
    time_known: bool = True
    product_known: bool = True
    worth: Decimal | None = None
    """Rupees that the deal was worth, where the broker says it: it tells whether `fill.quantity` counts lots."""


@dataclass(frozen=True, slots=True)
class FillPage:
    """One page of a range of days. Where it stopped, a backfill goes on with `number + 1`."""

    fills: tuple[PastFill, ...]
    number: int
    """From 1."""
    pages: int
    """In the whole range, as the broker said with this page; 0 when the range is empty."""
    total: int | None = None
    """Fills in the whole range; None when the broker does not say. A reader who ends with another number starts
    again: pages move when fills arrive meanwhile."""


@runtime_checkable
class HistoryBroker(Protocol):
    """Fills of earlier days, by date."""

    async def fills_between(self, start: date, end: date, page: int = 1) -> FillPage:
        """One page of the fills of these days, both included, in the exchange's zone; of all segments.

        A page past the last one is empty, with the true `pages`. Raises Denied for a range that begins before the
        broker's history or ends before it begins.
        """
        ...


@runtime_checkable
class TradebookReader(Protocol):
    """A factory that reads the broker's own tradebook file, for days that its API does not tell of."""

    def read_tradebook(self, text: str, account: AccountId) -> Sequence[PastFill]:
        """Every fill of the file. Raises Denied for another file, BadAnswer for one that cannot be read whole."""
        ...


# -- prices ----------------------------------------------------------------------------------------------------------


@runtime_checkable
class FullQuoteSource(Protocol):
    """Everything that the broker shows of an instrument."""

    async def quotes(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Quote]:
        """With depth and circuit limits. What the broker does not know is missing from the answer."""
        ...


# -- resting orders --------------------------------------------------------------------------------------------------


@runtime_checkable
class GttBroker(Protocol):
    """Orders that rest at the broker until a price is reached. Several legs where `gtt_two_leg` says so."""

    async def gtts(self) -> Sequence[Gtt]:
        """Active ones, and those that the broker still lists."""
        ...

    async def gtt(self, gtt: GttId) -> Gtt:
        """One, of any age. Raises Rejected when the broker has none of this id."""
        ...

    async def place_gtt(self, request: GttRequest) -> GttId:
        """Sent at most once. Raises Denied when legs, product or order kind are not what this broker takes."""
        ...

    async def modify_gtt(self, gtt: GttId, request: GttRequest) -> None:
        """The whole of it again. Raises Rejected when it has triggered meanwhile."""
        ...

    async def delete_gtt(self, gtt: GttId) -> None:
        """Ends it. Raises Rejected when it has triggered or is gone."""
        ...


@runtime_checkable
class ConvertingBroker(Protocol):
    """A resting stop order becomes a marketable one by a change: no second order, no second margin."""

    async def make_marketable(self, order: BrokerOrderId, price: Price, quantity: int) -> None:
        """It is a LIMIT of so many units at this price from now on, without a trigger. Raises as `modify`."""
        ...


@runtime_checkable
class ConvertingLine(ExitLine, Protocol):
    """The same over the exit line, prepared while the stop is armed."""

    def prepare_change(self, order: BrokerOrderId, request: OrderRequest, price_scale: int = 100) -> Prepared:
        """The bytes that make `order` the LIMIT that `request` describes; `fire` puts the price in. The answer goes by
        the request's tag, which the order has had since it was placed."""
        ...


# -- several orders at once ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """What became of one of several orders. Exactly one of `order` and `error` is set."""

    order: BrokerOrderId | None
    error: BrokerError | None = None
    """Rejected, NotPermitted: refused for certain. OutcomeUnknown: look it up."""


@runtime_checkable
class ReadBudget(Protocol):
    """The broker counts requests over minutes: who reads all the time can use them up."""

    def reads_used(self) -> float:
        """The share of them that is used now, from 0 to 1; of several windows the fullest."""
        ...


@runtime_checkable
class SlicingBroker(Protocol):
    """The broker cuts up an order above the exchange's freeze quantity."""

    async def place_sliced(self, request: OrderRequest) -> Placement:
        """One request with `autoslice`, and what the broker made of it; all slices carry the request's tag.

        Raises as `place` does when the whole was refused or its outcome is not known.
        """
        ...


@runtime_checkable
class BasketBroker(Protocol):
    """Several orders in one request."""

    @property
    def basket_size(self) -> int:
        """Orders that one request takes."""
        ...

    async def place_basket(self, requests: Sequence[OrderRequest]) -> Sequence[PlacedOrder]:
        """An outcome for each request, in their order. Raises as `place` does when nothing is known of any."""
        ...


@runtime_checkable
class BasketMarginSource(Protocol):
    """Margin of several orders together."""

    async def basket_margin(
        self, orders: Sequence[tuple[OrderRequest, Price]], *, with_positions: bool = True
    ) -> BasketMargin:
        """For orders at these prices. `with_positions`: open positions count as hedges."""
        ...


@runtime_checkable
class ContractNoteSource(Protocol):
    """Charges of orders, as the contract note will have them."""

    async def contract_note(self, orders: Sequence[tuple[OrderRequest, Price]]) -> Sequence[PlannedNote]:
        """One for each order at the price it was, or would be, done at; in their order."""
        ...


# -- positions and holdings ------------------------------------------------------------------------------------------


@runtime_checkable
class ConversionBroker(Protocol):
    """A position changes its product."""

    async def convert(self, conversion: Conversion) -> None:
        """Raises Rejected in the broker's words, OutcomeUnknown when it was not answered: read positions again."""
        ...


@runtime_checkable
class AuthorisationBroker(Protocol):
    """Shares must be authorised before the broker may sell them (TPIN)."""

    async def authorise(self, shares: Sequence[tuple[str, int]] = ()) -> HoldingsAuthorisation:
        """A page for these (ISIN, quantity), or for all holdings."""
        ...


@runtime_checkable
class AuctionSource(Protocol):
    """Auctions in which holdings may be sold."""

    async def auctions(self) -> Sequence[AuctionOffer]:
        """Those that are open now."""
        ...


# -- alerts ----------------------------------------------------------------------------------------------------------


@runtime_checkable
class AlertBroker(Protocol):
    """Price alerts kept by the broker."""

    async def alerts(self) -> Sequence[Alert]:
        """All that are not deleted."""
        ...

    async def create_alert(self, request: AlertRequest) -> Alert:
        """Sent at most once."""
        ...

    async def modify_alert(self, alert: AlertId, request: AlertRequest) -> Alert:
        """The whole of it again."""
        ...

    async def delete_alerts(self, alerts: Sequence[AlertId]) -> None:
        """Ends them."""
        ...

    async def alert_history(self, alert: AlertId) -> Sequence[AlertFiring]:
        """When it fired."""
        ...


# -- reports and calendar --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RealisedRow:
    """A closed lot as the broker's tax report has it. Amounts in rupees."""

    name: str
    isin: str
    quantity: Decimal
    bought_on: date
    buy_average: Decimal
    buy_amount: Decimal
    sold_on: date
    sell_average: Decimal
    sell_amount: Decimal


@dataclass(frozen=True, slots=True)
class RealisedPage:
    """One page of a P&L report."""

    rows: tuple[RealisedRow, ...]
    number: int
    pages: int


@runtime_checkable
class ReportSource(Protocol):
    """Realised P&L and charges of a financial year (April to March, named by its first year), per segment."""

    async def realised(
        self, segment: Segment, year: int, start: date | None = None, end: date | None = None, page: int = 1
    ) -> RealisedPage:
        """One page of the report."""
        ...

    async def realised_charges(
        self, segment: Segment, year: int, start: date | None = None, end: date | None = None
    ) -> Charges:
        """The charges of the same trades."""
        ...


@dataclass(frozen=True, slots=True)
class SessionTiming:
    """When an exchange is open on one day."""

    exchange: str
    """The broker's code."""
    start: Nanos
    end: Nanos


class HolidayKind(StrEnum):
    """What is special about a day."""

    TRADING_HOLIDAY = "trading holiday"
    SETTLEMENT_HOLIDAY = "settlement holiday"
    SPECIAL_TIMING = "special timing"


@dataclass(frozen=True, slots=True)
class MarketDay:
    """A day that is not like others."""

    on: date
    description: str
    kind: HolidayKind
    closed: tuple[str, ...]
    """Exchanges without a session, by the broker's codes."""
    open: tuple[SessionTiming, ...]
    """Exchanges with one, and when."""


@runtime_checkable
class CalendarSource(Protocol):
    """Holidays and session times, as the broker has them."""

    async def market_days(self) -> Sequence[MarketDay]:
        """The special days of the current year."""
        ...

    async def market_day(self, on: date) -> MarketDay | None:
        """What is special about one day, of any year; None for a day like others."""
        ...

    async def session_timings(self, on: date) -> Sequence[SessionTiming]:
        """Every exchange's session on a day; empty when all are closed."""
        ...


# -- sessions --------------------------------------------------------------------------------------------------------


@runtime_checkable
class AddressSource(Protocol):
    """From where the broker takes orders."""

    async def registered_addresses(self) -> Sequence[str]:
        """IP addresses from which orders are taken; empty: none is registered."""
        ...


@runtime_checkable
class RefreshingLogin(Login, Protocol):
    """A login that renews a session without the trader, while `Session.refresh_token` lives."""

    async def refresh(self, session: Session) -> Session:
        """A fresh session for the same client. Raises SessionExpired when only a new login helps."""
        ...


@runtime_checkable
class TokenLogin(Login, Protocol):
    """A login that also takes an access token which the trader already has (A4)."""

    async def adopt(self, access_token: Secret) -> Session:
        """A session by this token, proved with a real call.

        Raises LoginFailed in words (no token of this broker, expired, not of this key), NotPermitted, Unreachable.
        """
        ...
