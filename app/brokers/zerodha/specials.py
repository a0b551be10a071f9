"""What Kite offers beside orders and reads: resting triggers, conversions, margins of baskets, authorisation of
holdings, auctions, alerts. The adapter is made of this and of what every broker has.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from app.brokers.base import Credentials
from app.brokers.rows import Row
from app.brokers.zerodha import alerts, gtt, mapping, margins
from app.brokers.zerodha.rest import ZerodhaRest
from app.domain.account import Endpoints
from app.domain.alert import Alert, AlertFiring, AlertRequest
from app.domain.errors import BadAnswer, OutcomeUnknown
from app.domain.gtt import Gtt, GttRequest
from app.domain.ids import AccountId, AlertId, GttId
from app.domain.margin import BasketMargin, Margin, PlannedNote, SegmentFunds
from app.domain.money import Price
from app.domain.order import OrderRequest
from app.domain.portfolio import AuctionOffer, Conversion, HoldingsAuthorisation

ALERT_PAGE = 100


class ZerodhaSpecials:
    """Bound to one logged-in account. Loop thread."""

    def __init__(self, account: AccountId, credentials: Credentials, endpoints: Endpoints, rest: ZerodhaRest) -> None:
        self._account = account
        self._api_key = credentials.api_key
        self._site = f"{urlsplit(endpoints.login_url).scheme}://{urlsplit(endpoints.login_url).netloc}"
        """Pages of the account live where its login page does."""
        self._rest = rest

    # -- resting triggers --------------------------------------------------------------------------------------------

    async def gtts(self) -> Sequence[Gtt]:
        """Those that wait, and the others of the last seven days."""
        return await self._rest.rows("/gtt/triggers", lambda row: gtt.gtt_from_row(row, self._account))

    async def gtt(self, number: GttId) -> Gtt:  # the module of this name is not hidden: a method is no global
        """One of any age."""
        return gtt.gtt_from_row(await self._rest.get(f"/gtt/triggers/{quote(number, safe='')}"), self._account)

    async def place_gtt(self, request: GttRequest) -> GttId:
        """Sends a trigger, once. It waits a year and fires once."""
        gtt.check_gtt(request)
        data = await self._rest.command("POST", "/gtt/triggers", gtt.gtt_form(request))
        return _numbered(data)

    async def modify_gtt(self, number: GttId, request: GttRequest) -> None:
        """Replaces what a trigger says."""
        gtt.check_gtt(request)
        _numbered(await self._rest.command("PUT", f"/gtt/triggers/{quote(number, safe='')}", gtt.gtt_form(request)))

    async def delete_gtt(self, number: GttId) -> None:
        """Takes a trigger back."""
        _numbered(await self._rest.command("DELETE", f"/gtt/triggers/{quote(number, safe='')}"))

    # -- positions and holdings --------------------------------------------------------------------------------------

    async def convert(self, conversion: Conversion) -> None:
        """Moves a position, or part of it, to another product."""
        data = await self._rest.command("PUT", "/portfolio/positions", mapping.conversion_form(conversion))
        if data is not True:
            raise OutcomeUnknown("The broker's answer to a conversion is neither yes nor no.", detail=str(data)[:80])

    async def authorise(self, shares: Sequence[tuple[str, int]] = ()) -> HoldingsAuthorisation:
        """A page that releases shares (ISIN, quantity) for sale at the depository (TPIN); all when none is named."""
        form: dict[str, str | Sequence[str]] = {}
        if shares:
            form["isin"] = [isin for isin, _ in shares]
            form["quantity"] = [str(quantity) for _, quantity in shares]
        data = await self._rest.command("POST", "/portfolio/holdings/authorise", form)
        request = quote(Row(data, "authorisation").text("request_id"), safe="")
        key = quote(self._api_key, safe="")
        page = f"{self._site}/connect/portfolio/authorise/holdings/{key}/{request}"
        return HoldingsAuthorisation(self._account, page)

    async def auctions(self) -> Sequence[AuctionOffer]:
        """Holdings that today's auctions take."""
        return await self._rest.rows(
            "/portfolio/holdings/auctions", lambda row: mapping.auction_from_row(row, self._account)
        )

    # -- money -------------------------------------------------------------------------------------------------------

    async def segment_funds(self) -> Sequence[SegmentFunds]:
        """The money of each segment, by head."""
        return margins.segment_funds_from(await self._rest.get("/user/margins"), self._account)

    async def order_margins(self, requests: Sequence[OrderRequest]) -> Sequence[Margin]:
        """What each order would block, taken alone."""
        data = await self._rest.post_json("/margins/orders", [margins.margin_item(request) for request in requests])
        if not isinstance(data, list) or len(data) != len(requests):
            raise BadAnswer("The broker's margin calculator answered something else.")
        return tuple(margins.margin_from(row) for row in data)

    async def basket_margin(
        self, orders: Sequence[tuple[OrderRequest, Price]], *, with_positions: bool = True
    ) -> BasketMargin:
        """What orders block together. Kite takes a MARKET order's price from the market, whatever was given here."""
        data = await self._rest.post_json(
            "/margins/basket",
            [margins.margin_item(request) for request, _ in orders],
            [("consider_positions", "true" if with_positions else "false")],
        )
        return margins.basket_from(data, len(orders))

    async def contract_note(self, orders: Sequence[tuple[OrderRequest, Price]]) -> Sequence[PlannedNote]:
        """What a contract note would charge for orders traded at these prices."""
        data = await self._rest.post_json("/charges/orders", margins.note_items(orders))
        return margins.notes_from(data, len(orders))

    # -- alerts ------------------------------------------------------------------------------------------------------

    async def alerts(self) -> Sequence[Alert]:
        """All that are not deleted, page after page."""
        found: dict[AlertId, Alert] = {}
        page = 1
        while True:
            params = [("page", str(page)), ("page_size", str(ALERT_PAGE))]
            rows = await self._rest.rows(
                "/alerts", lambda row: alerts.alert_from_row(row, self._account), params=params
            )
            fresh = {one.id: one for one in rows if one.id not in found}
            found |= fresh
            if len(rows) < ALERT_PAGE or not fresh:  # a page that repeats ends it too
                return tuple(found.values())
            page += 1

    async def create_alert(self, request: AlertRequest) -> Alert:
        """A new alert."""
        return alerts.alert_from_row(
            await self._rest.command("POST", "/alerts", alerts.alert_form(request)), self._account
        )

    async def modify_alert(self, alert: AlertId, request: AlertRequest) -> Alert:
        """Replaces what an alert says."""
        data = await self._rest.command("PUT", f"/alerts/{quote(alert, safe='')}", alerts.alert_form(request))
        return alerts.alert_from_row(data, self._account)

    async def delete_alerts(self, chosen: Sequence[AlertId]) -> None:
        """Takes alerts back; the broker keeps their history."""
        await self._rest.command("DELETE", "/alerts", params=[("uuid", alert) for alert in chosen])

    async def alert_history(self, alert: AlertId) -> Sequence[AlertFiring]:
        """When it fired."""
        return await self._rest.rows(f"/alerts/{quote(alert, safe='')}/history", alerts.firing_from_row)


def _numbered(data: object) -> GttId:
    """The trigger's number. An answer without one leaves open what happened."""
    try:
        return gtt.trigger_id_from(data)
    except BadAnswer as bad:
        raise OutcomeUnknown(
            "The broker took the trigger and did not say its number.",
            "Look at the list of triggers before you send it again.",
            detail=bad.detail,
        ) from bad
