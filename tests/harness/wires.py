"""The two wires that a run may be played over: the same exchange, spoken to as Zerodha or as Upstox."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from app.brokers.base import BrokerFactory, Credentials
from app.brokers.upstox import instruments as upstox_lists
from app.brokers.upstox.factory import UPSTOX, UpstoxFactory
from app.brokers.zerodha import instruments as zerodha_lists
from app.brokers.zerodha.factory import ZERODHA, ZerodhaFactory
from app.domain.account import Endpoints
from app.domain.broker import BrokerInfo
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Instrument
from app.domain.listing import InstrumentMaker
from app.runtime.secret import Secret
from app.simulator.exchange import Exchange
from app.simulator.kite.sessions import Credentials as KiteCredentials
from app.simulator.listing import Listings
from app.simulator.upstox.instruments import file_row, shares_of
from app.simulator.upstox.tokens import UpstoxCredentials

DAY = 86_400_000_000_000
KITE = KiteCredentials("harnesskey", "harnesssecret", "HA1234", "harness-password", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
UPSTOX_CLIENT = UpstoxCredentials(
    "11111111-2222-4333-8444-555555555555", "abcdefghij", "HA1234", "9000000000", "123456", KITE.totp_secret
)


@dataclass(frozen=True, slots=True)
class Wire:
    """How an account talks to the exchange."""

    name: str
    info: BrokerInfo
    credentials: Credentials
    tag: re.Pattern[bytes]
    """Finds the tag of an order in what was written."""
    lives: int
    """Nanoseconds of a session. The exchange decides when it dies; one that lives long only reads at Upstox."""

    @property
    def account(self) -> AccountId:
        """The one account of a run."""
        return AccountId(f"{self.name}-H")

    def instruments(self, listings: Listings) -> dict[InstrumentId, Instrument]:
        """The exchange's list as this wire's adapter reads it. The list is the same in every run."""
        return dict(_instruments(self.name, listings))

    def factory(self, instruments: Mapping[InstrumentId, Instrument]) -> BrokerFactory:
        """Fresh, as in a program that has just started."""
        if self.name == ZERODHA.name:
            return ZerodhaFactory()
        factory = UpstoxFactory()
        factory.learn(instruments.values(), paper=True)
        return factory

    def endpoints(self, exchange: Exchange) -> Endpoints:
        """Where the exchange listens for it."""
        urls = exchange.urls if exchange.upstox is None else exchange.upstox.urls
        return Endpoints(urls["api_url"], urls["login_url"], urls["ws_url"], urls["redirect_url"], "")

    def token(self, exchange: Exchange) -> str:
        """What a login brings."""
        if exchange.upstox is None:
            asked = exchange.sessions.new_request_token()
            proof = hashlib.sha256(f"{KITE.api_key}{asked}{KITE.api_secret}".encode()).hexdigest()
            return str(exchange.sessions.exchange(KITE.api_key, asked, proof)["access_token"])
        tokens, back = exchange.upstox.tokens, exchange.upstox.urls["redirect_url"]
        form = {"grant_type": "authorization_code", "code": tokens.new_code(back), "redirect_uri": back}
        form |= {"client_id": UPSTOX_CLIENT.api_key, "client_secret": UPSTOX_CLIENT.api_secret}
        return str(tokens.exchange(form)["access_token"])


WIRES = {
    wire.name: wire
    for wire in (
        Wire(
            ZERODHA.name,
            ZERODHA,
            Credentials(KITE.api_key, Secret(KITE.api_secret)),
            re.compile(rb"[?&\n]tag=([A-Z0-9]+)"),
            400 * DAY,
        ),
        Wire(
            UPSTOX.name,
            UPSTOX,
            Credentials(UPSTOX_CLIENT.api_key, Secret(UPSTOX_CLIENT.api_secret)),
            re.compile(rb'"tag":\s?"([A-Z0-9]+)"'),
            17 * DAY // 24,
        ),
    )
}


@lru_cache(4)
def _instruments(name: str, listings: Listings) -> dict[InstrumentId, Instrument]:
    make = InstrumentMaker().make
    if name == ZERODHA.name:
        parts = zerodha_lists.read(listings.csv(None))
    else:
        rows = list(listings.by_token.values())
        shares = shares_of(rows)
        parts = upstox_lists.read(json.dumps([file_row(row, shares) for row in rows]).encode())
    made = (make(row) for part in parts for row in part.rows)
    return {instrument.id: instrument for instrument in made}
