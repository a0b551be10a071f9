from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import upstox_client

from tests.upstox_exchange import UpstoxExchange

OPTIONS = (
    "--seed",
    "3",
    "--speed",
    "0",
    "--clock",
    "2026-11-20T11:00:00",
    "--fault",
    "limits=off",
    "--order-delay",
    "0-1",
    "--cash",
    "100000000",
)


class Sdk:
    """The official client, logged in the official way; only its hosts are set."""

    def __init__(self, exchange: UpstoxExchange) -> None:
        self.exchange = exchange
        self.configuration: Any = upstox_client.Configuration()
        self.configuration.host = self.configuration.order_host = exchange.line["api_url"]
        self.client: Any = upstox_client.ApiClient(self.configuration)
        line = exchange.line
        answer = self.api("LoginApi").token(
            "2.0",
            code=exchange.code(),
            client_id=line["api_key"],
            client_secret=line["api_secret"],
            redirect_uri=line["redirect_url"],
            grant_type="authorization_code",
        )
        self.token: str = answer.access_token
        self.configuration.access_token = self.token

    def api(self, name: str) -> Any:
        return getattr(upstox_client, name)(self.client)


@pytest.fixture(scope="module")
def exchange() -> Iterator[UpstoxExchange]:
    """One for all tests of a module; its prices stand still until a test moves them."""
    with UpstoxExchange(*OPTIONS, "--opening-position", "NSE:SBIN=10@CNC") as running:
        yield running


@pytest.fixture(scope="module")
def sdk(exchange: UpstoxExchange) -> Iterator[Sdk]:
    made = Sdk(exchange)
    yield made
    made.client.pool.close()
    made.client.pool.join()
    made.client.rest_client.pool_manager.clear()
