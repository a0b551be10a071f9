from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kiteconnect import KiteConnect

from tests.paper_exchange import PaperExchange

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


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    """One for all tests of a module; its prices stand still until a test moves them."""
    with PaperExchange(*OPTIONS, "--opening-position", "NSE:SBIN=10@CNC") as running:
        yield running


@pytest.fixture(scope="module")
def kite(exchange: PaperExchange) -> Any:
    """The official client, logged in the official way."""
    client = KiteConnect(api_key=exchange.line["api_key"], root=exchange.line["api_url"])
    client.generate_session(exchange.request_token(), api_secret=exchange.line["api_secret"])
    return client
