"""What an Upstox client sets up and looks after: registered addresses, kill switch, market status, margin of a basket,
funded positions. Loop thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from ipaddress import ip_address

from app.brokers.market_parts import MarketPhase, MarketStatus, RegisteredAddresses, SegmentSwitch
from app.brokers.rows import Row
from app.brokers.upstox import mapping, requests
from app.brokers.upstox.part import UpstoxPart
from app.domain.errors import AddressRefused, BadAnswer, Denied, Rejected
from app.domain.margin import BasketMargin, Margin
from app.domain.money import Price
from app.domain.order import OrderRequest
from app.domain.portfolio import Position

MOST_MARGINS = 20
"""Orders that one margin request takes."""

_ADDRESSES = "/v2/user/ip"
_SWITCHES = "/v2/user/kill-switch"
_PHASES = {
    "PRE_OPEN_START": MarketPhase.PRE_OPEN,
    "PRE_OPEN_END": MarketPhase.PRE_OPEN_ENDED,
    "NORMAL_OPEN": MarketPhase.OPEN,
    "NORMAL_CLOSE": MarketPhase.CLOSED,
    "CLOSING_START": MarketPhase.CLOSING,
    "CLOSING_END": MarketPhase.CLOSING_ENDED,
}


class UpstoxCare(UpstoxPart):
    """Implements `AddressRegistrar`, `KillSwitchBroker`, `MarketStatusSource`, `BasketMarginSource`."""

    # -- addresses ---------------------------------------------------------------------------------------------------

    async def registered_addresses(self) -> Sequence[str]:
        """From which internet addresses orders are taken."""
        found = _addresses(await self._rest.get(_ADDRESSES))
        return [one for one in (found.primary, found.secondary) if one]

    async def register_addresses(self, primary: str, secondary: str = "") -> RegisteredAddresses:
        """New ones, once a week; every access token of the client dies with the change, this one too."""
        self._deny_reading()
        body: dict[str, str] = {}
        for name, value in (("primary_ip", primary), ("secondary_ip", secondary)):
            if value or name == "primary_ip":
                try:
                    body[name] = str(ip_address(value))
                except ValueError:
                    raise Denied(f'"{value}" is no internet address.', "Enter four numbers with dots.") from None
        try:
            answer = await self._rest.send("PUT", _ADDRESSES, body=body)
        except AddressRefused as refused:  # of these, and not of where this request came from
            raise Rejected(
                "The broker did not take the addresses.", "They change once a week.", detail=refused.detail
            ) from refused
        return _addresses(answer["data"])

    # -- kill switch -------------------------------------------------------------------------------------------------

    async def kill_switches(self) -> Sequence[SegmentSwitch]:
        """Every segment's."""
        return await self._rest.rows(_SWITCHES, _switch, urgent=True)

    async def set_kill_switches(self, pulled: Mapping[str, bool]) -> Sequence[SegmentSwitch]:
        """All or none; sent once."""
        self._deny_reading()
        body = [{"segment": name, "action": "ENABLE" if on else "DISABLE"} for name, on in pulled.items()]
        if not body:
            raise Denied("No segment was named.", "Choose at least one.")
        rows = (await self._rest.send("POST", _SWITCHES, body=body))["data"]
        if not isinstance(rows, list):
            raise BadAnswer("The broker's answer about the kill switch cannot be read.", "Read it again.")
        return [_switch(row) for row in rows]

    # -- markets and margins -----------------------------------------------------------------------------------------

    async def market_status(self, exchange: str) -> MarketStatus:
        """What an exchange is doing, by Upstox's code (NSE, NFO, MCX, ...)."""
        row = Row(await self._rest.get(f"/v2/market/status/{exchange}"), "market status")
        phase = _PHASES.get(row.text("status"))
        if phase is None:
            raise row.bad("status")
        auction = row.data.get("cas_eligible_status")
        return MarketStatus(
            row.text("exchange"),
            phase,
            row.whole("last_updated") * 1_000_000,
            "" if auction is None else row.part("cas_eligible_status").text("status"),
        )

    async def basket_margin(
        self, orders: Sequence[tuple[OrderRequest, Price]], *, with_positions: bool = True
    ) -> BasketMargin:
        """Of at most twenty orders. Whether what is held counts as a hedge is the broker's own choice."""
        if not with_positions:
            raise Denied("Upstox cannot be asked to leave out what is held.", "Ask with positions.")
        if not orders or len(orders) > MOST_MARGINS:
            raise Denied(f"One request takes 1 to {MOST_MARGINS} orders, not {len(orders)}.", "Ask in parts.")
        row = Row(await self._rest.ask("/v2/charges/margin", requests.margin_body(orders, self._directory)), "margin")
        items = row.data.get("margins")
        if not isinstance(items, list) or len(items) != len(orders):
            raise row.bad("margins")
        each = tuple(_margin(Row(item, "margin")) for item in items)
        return BasketMargin(_sum(each, row.number("required_margin")), _sum(each, row.number("final_margin")), each)

    async def mtf_positions(self) -> Sequence[Position]:
        """Shares bought with the broker's money and carried (margin trading facility)."""
        return await self._rest.rows(
            "/v3/portfolio/mtf-positions",
            lambda row: mapping.position_from_row(row, self._account, self._directory),
            urgent=True,
        )


def _addresses(data: object) -> RegisteredAddresses:
    row = Row(data, "address answer")
    return RegisteredAddresses(
        row.maybe_text("primary_ip") or "",
        row.maybe_text("secondary_ip") or "",
        row.data.get("access_tokens_invalidated") is True,
    )


def _switch(data: object) -> SegmentSwitch:
    row = Row(data, "kill switch")
    pulled = row.data.get("kill_switch_enabled")
    if not isinstance(pulled, bool):
        raise row.bad("kill_switch_enabled")
    return SegmentSwitch(row.text("segment"), pulled, row.maybe_text("segment_status") or "")


def _margin(row: Row) -> Margin:
    nothing = Decimal(0)
    return Margin(
        total=row.number("total_margin"),
        span=row.number("span_margin", nothing),
        exposure=row.number("exposure_margin", nothing),
        option_premium=row.number("net_buy_premium", nothing),
        additional=row.number("additional_margin", nothing) + row.number("tender_margin", nothing),
        cash=nothing,
        var=row.number("equity_margin", nothing),
        leverage=Decimal(1),
    )


def _sum(each: Sequence[Margin], total: Decimal) -> Margin:
    """The heads added up; the total is the broker's own."""

    def head(name: str) -> Decimal:
        return sum((getattr(one, name) for one in each), Decimal(0))

    return Margin(
        total, head("span"), head("exposure"), head("option_premium"), head("additional"), Decimal(0), head("var"),
        Decimal(1),
    )  # fmt: skip
