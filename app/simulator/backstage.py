"""What happens on the broker's side of things, as tests need it: the part of the exchange's own door beside `admin`.

PUT  /simulator/gtt      {"id": N, "status": "disabled" | "cancelled" | "rejected", "reason": TEXT}
PUT  /simulator/auction  {"instrument": "NSE:SBIN", "number": "22"} begins one; {..., "price": 812.5} ends it: bids
                         up to the price are filled at it, the others cancelled; price 0: nothing is sold
PUT  /simulator/trade    {"instrument": "NSE:INFY", "quantity": 5 [, "product": "MIS"]}: the client buys (below nought:
                         sells) on another terminal, filled at once
PUT  /simulator/postback {"url": URL}: where order news are posted from now on, "" for nowhere; answers, as GET does,
                         {"url", "sent", "failed"}
DELETE /simulator/trade  ?exchange=NSE&trade_id=N: the exchange takes a trade back that was reported
"""

from __future__ import annotations

from decimal import Decimal

from aiohttp import web

from app.simulator.admin import local, object_of
from app.simulator.auctions import Auctions
from app.simulator.gtt import BY_BROKER, GttEngine
from app.simulator.happenings import Happenings
from app.simulator.kite.envelope import json_response
from app.simulator.kite.postback import Postback, checked
from app.simulator.market import Market
from app.simulator.refusal import bad_input


class Backstage:
    """Handlers; for programs on this machine only."""

    def __init__(
        self, gtts: GttEngine, auctions: Auctions, happenings: Happenings, postback: Postback, market: Market
    ) -> None:
        self._gtts = gtts
        self._auctions = auctions
        self._happenings = happenings
        self._postback = postback
        self._market = market

    def add_to(self, app: web.Application) -> None:
        """Registers the routes."""
        app.router.add_put("/simulator/gtt", local(self.end_gtt))
        app.router.add_put("/simulator/auction", local(self.auction))
        app.router.add_get("/simulator/postback", local(self.postback))
        app.router.add_put("/simulator/postback", local(self.set_postback))
        app.router.add_put("/simulator/trade", local(self.trade))
        app.router.add_delete("/simulator/trade", local(self.withdraw))

    async def end_gtt(self, request: web.Request) -> web.Response:
        """The broker ends a trigger."""
        document = await object_of(request)
        gtt_id, status = document.get("id"), document.get("status")
        if not isinstance(gtt_id, int) or status not in BY_BROKER:
            raise bad_input(f"An id and one of {', '.join(BY_BROKER)} are expected.")
        self._gtts.by_broker(gtt_id, status, str(document.get("reason", "")))
        return json_response({"status": "ok"})

    async def auction(self, request: web.Request) -> web.Response:
        """An auction begins or ends."""
        document = await object_of(request)
        key = str(document.get("instrument", ""))
        if key not in self._market.listings.by_key:
            raise bad_input(f"{key} is not listed.")
        if "number" in document:
            self._auctions.begin(key, str(document["number"]))
        else:
            price = document.get("price")
            if not isinstance(price, int | Decimal) or price < 0:
                raise bad_input("A number or a price is expected.")
            self._auctions.end(key, int(price * 100))
        return json_response({"status": "ok"})

    async def postback(self, _request: web.Request) -> web.Response:
        """Where order news go, and how it went."""
        posted = self._postback
        return json_response({"url": posted.url, "sent": posted.sent, "failed": posted.failed})

    async def set_postback(self, request: web.Request) -> web.Response:
        """They go elsewhere."""
        try:
            self._postback.url = checked(str((await object_of(request)).get("url", "")))
        except ValueError as error:
            raise bad_input(f"{error}") from None
        return await self.postback(request)

    async def trade(self, request: web.Request) -> web.Response:
        """A trade of another terminal."""
        document = await object_of(request)
        quantity = document.get("quantity")
        if not isinstance(quantity, int) or quantity == 0:
            raise bad_input("A quantity is expected.")
        key, product = str(document.get("instrument", "")), str(document.get("product", "MIS"))
        self._happenings.trade_elsewhere(key, quantity, product)
        return json_response({"status": "ok"})

    async def withdraw(self, request: web.Request) -> web.Response:
        """A trade that never was."""
        self._happenings.withdraw(request.query.get("exchange", ""), request.query.get("trade_id", ""))
        return json_response({"status": "ok"})
