"""What is known of a broker before anybody logs in (L1): how to log in, what it can do, how often it may be asked.

Dated figures (limits, hours, history) come from `resources/brokers/*.json` or from the provider's own package.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from app.domain.account import Endpoints
from app.domain.ids import InstrumentId


class Support(StrEnum):
    """Whether a broker can do something. UNKNOWN is neither: nobody has said, so nobody relies on it.

    Compare with `is`; it has no truth value, because "no" and "unknown" would be true.
    """

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        raise TypeError("Support has three values: compare it with `is Support.YES`.")


class AuthKind(StrEnum):
    """How a session begins."""

    LOGIN_PAGE = "login page"
    """The broker's page in a browser, which redirects back with a one-time token."""
    HAND_MADE = "hand-made token"
    """A token made by hand at the broker's site; `Login.exchange` takes it."""
    KEYS = "keys"
    """Key and secret are enough; `Login.exchange("")` logs in without a page."""


class LimitScope(StrEnum):
    """Whose requests are counted together."""

    KEY = "key"
    """One API key."""
    ACCOUNT = "account"
    """One trading account, whatever key or program it uses."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `amount` calls of a kind in any `seconds`, as the broker documents it.

    Who asks in bulk stays at 80 % of it (C10); the exit path knows only the limit itself.
    """

    kind: str
    """`order` (every request that places, changes or cancels), `placement` (new orders only), `quote`, `history`,
    `read`; a call that has no kind of its own counts as `read`."""
    amount: int
    seconds: int
    scope: LimitScope = LimitScope.KEY


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many price connections one session may hold, and how many instruments each carries."""

    connections: int = 1
    instruments: int = 3_000


@dataclass(frozen=True, slots=True)
class Environment:
    """One world of a broker: live, or its own practice or demo. A paper exchange is told by its address."""

    name: str
    endpoints: Endpoints


@dataclass(frozen=True, slots=True)
class ConfigField:
    """One thing that the trader enters to connect. `api_key` and `api_secret` are the two that every broker has."""

    name: str
    label: str
    help: str = ""
    """Where to find it, in words."""
    secret: bool = False
    required: bool = True
    pattern: str = ""
    """A regular expression that the whole value matches; empty: anything."""
    example: str = ""


KEY_FIELDS: Final = (
    ConfigField("api_key", "API key", "From the broker's developer page."),
    ConfigField("api_secret", "API secret", "From the broker's developer page.", secret=True),
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a broker can do beyond what every broker must. Each is YES, NO or UNKNOWN, and UNKNOWN until said.

    Where a part has a protocol in `brokers.parts`, YES means that the session implements it and NO that it does not:
    the conformance suite checks that they agree.
    """

    trading: Support = Support.UNKNOWN
    """Places, modifies and cancels orders (`base.TradeBroker`)."""
    streaming: Support = Support.UNKNOWN
    """Live prices (`base.StreamBroker`)."""
    order_stream: Support = Support.UNKNOWN
    """Order updates arrive by themselves, by the feed's sink."""
    exit_line: Support = Support.UNKNOWN
    """Prepared exits over warm connections (`base.StreamBroker.exit_line`)."""
    quotes: Support = Support.UNKNOWN
    """Last prices on request (`base.QuoteSource`)."""
    candles: Support = Support.UNKNOWN
    """Past candles (`base.CandleSource`)."""
    order_cost: Support = Support.UNKNOWN
    """Margin and charges before an order is sent (`base.CostSource`)."""
    instruments: Support = Support.UNKNOWN
    """The list of what can be traded, over the API (`base.InstrumentSource`)."""
    trade_history: Support = Support.UNKNOWN
    """Fills of earlier days by date (`parts.HistoryBroker`); how far back says `BrokerInfo.history_days`."""
    gtt: Support = Support.UNKNOWN
    """Orders that rest at the broker until a trigger (`parts.GttBroker`)."""
    gtt_two_leg: Support = Support.UNKNOWN
    """Stop and target of which one cancels the other."""
    gtt_bracket: Support = Support.UNKNOWN
    """An entry whose fill wakes a target, a stop that may trail, or both (`GttKind.BRACKET`)."""
    gtt_limit: Support = Support.UNKNOWN
    """What a trigger sends has a limit price; NO: it goes at market, with protection."""
    amo: Support = Support.UNKNOWN
    """Orders taken after hours for the next session (`Variety.AMO`)."""
    iceberg: Support = Support.UNKNOWN
    """Orders in legs of which one shows at a time (`Variety.ICEBERG`)."""
    cover: Support = Support.UNKNOWN
    """An entry with a compulsory stop (`Variety.CO`)."""
    autoslice: Support = Support.UNKNOWN
    """The broker cuts up what is above the freeze quantity (`parts.SlicingBroker`)."""
    order_basket: Support = Support.UNKNOWN
    """Several orders in one request (`parts.BasketBroker`)."""
    basket_margin: Support = Support.UNKNOWN
    """Margin of several orders together (`parts.BasketMarginSource`)."""
    contract_note: Support = Support.UNKNOWN
    """Charges of executed orders (`parts.ContractNoteSource`)."""
    pnl_report: Support = Support.UNKNOWN
    """Realised P&L and charges of a financial year (`parts.ReportSource`)."""
    conversion: Support = Support.UNKNOWN
    """A position changes its product (`parts.ConversionBroker`)."""
    holdings_authorisation: Support = Support.UNKNOWN
    """Shares must be, and can be, authorised for sale (`parts.AuthorisationBroker`)."""
    auctions: Support = Support.UNKNOWN
    """Holdings offered in an auction can be listed (`parts.AuctionSource`)."""
    alerts: Support = Support.UNKNOWN
    """Price alerts kept by the broker (`parts.AlertBroker`)."""
    calendar: Support = Support.UNKNOWN
    """Holidays and session times (`parts.CalendarSource`)."""
    registered_address: Support = Support.UNKNOWN
    """The broker tells from which internet addresses orders are taken (`parts.AddressSource`)."""
    address_change: Support = Support.UNKNOWN
    """Those addresses can be changed over the API (`market_parts.AddressRegistrar`)."""
    kill_switch: Support = Support.UNKNOWN
    """The client can switch off trading at the broker itself (`market_parts.KillSwitchBroker`)."""
    market_status: Support = Support.UNKNOWN
    """Whether an exchange trades at this moment (`market_parts.MarketStatusSource`)."""
    option_chain: Support = Support.UNKNOWN
    """Option chains and Greeks (`market_parts.OptionSource`)."""
    expired_contracts: Support = Support.UNKNOWN
    """Contracts that are listed no more (`market_parts.ExpiredSource`)."""
    approval_login: Support = Support.UNKNOWN
    """A login that the trader approves on the phone (`market_parts.ApprovalLogin`)."""
    refresh_token: Support = Support.UNKNOWN
    """A session can be renewed without the trader (`parts.RefreshingLogin`)."""
    access_token: Support = Support.UNKNOWN
    """A session begins with an access token that the trader already has (`parts.TokenLogin`)."""
    extended_token: Support = Support.UNKNOWN
    """A second, longer-lived token that only reads (`Session.read_token`)."""
    analytics_token: Support = Support.UNKNOWN
    """A reading token made by hand at the broker's site."""

    def said(self) -> dict[str, Support]:
        """Each ability by its name, in the order above."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class BrokerInfo:
    """What the registry knows of a broker (L1)."""

    name: str
    """Lower-case letters, digits and underscores; part of account ids, so it never changes."""
    title: str
    auth: AuthKind
    real_time: bool
    """Prices come as they are traded, not delayed."""
    history_days: int | None
    """Days of trade history its API gives; 1 = today only; None = unknown."""
    documentation: str
    """Address of the API's documentation."""
    endpoints: Endpoints
    """Of the live world."""
    login_hosts: tuple[str, ...] = ()
    """Hosts that the embedded browser may load from during the login; the login page's own is always one of them."""
    session_dies_at: str = ""
    """Local wall time at which tokens die, `HH:MM`; empty: they have a length of life instead."""
    zone: str = "Asia/Kolkata"
    """Of the wall times above."""
    environments: tuple[Environment, ...] = ()
    """Beside live."""
    rate_limits: tuple[RateLimit, ...] = ()
    modifications: int | None = None
    """How often one order may be changed before it has to be cancelled and placed anew; None: nobody has said."""
    stream: StreamLimits = StreamLimits()
    canaries: tuple[InstrumentId, ...] = ()
    """Instruments that trade every second of a session, one per market: a price connection that hears nothing of them
    for 3 s is dead, whatever its socket says (E2)."""
    fields: tuple[ConfigField, ...] = KEY_FIELDS
    capabilities: Capabilities = Capabilities()
    redirect_parameter: str = "request_token"
    """The query parameter of the redirect that carries the one-time token."""
    as_of: str = ""
    """ISO date on which the dated figures were checked."""


@dataclass(frozen=True, slots=True)
class ProviderProblem:
    """A third-party provider that cannot be used, and why. The program goes on without it."""

    package: str
    """The installed package, with its version."""
    provider: str
    """The name of its entry point."""
    cause: str
    next_step: str


@dataclass(frozen=True, slots=True)
class BrokerListing:
    """A broker that can be connected."""

    info: BrokerInfo
    package: str = ""
    """The installed package that it comes from; empty: Stopline itself."""
