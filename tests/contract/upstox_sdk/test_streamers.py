"""The official streamers, unchanged but for the host in their addresses, against the paper exchange."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import upstox_client

from tests.contract.upstox_sdk.conftest import Sdk
from tests.contract.upstox_sdk.test_every_method import INFY, NIFTY, body
from tests.paper_exchange import ROOT

PROGRAM = Path(__file__).with_name("streamer_client.py")
PRICE = 1121.5


@contextmanager
def streamer(sdk: Sdk, kind: str, mode: str = "full") -> Iterator[subprocess.Popen[str]]:
    base = sdk.exchange.line["api_url"].replace("http", "ws", 1)
    command = [sys.executable, str(PROGRAM), kind, base, sdk.token, mode]
    program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield program
        assert program.wait(20) == 0
    finally:
        program.kill()
        program.wait()
        assert program.stdout is not None
        program.stdout.close()


def line(program: subprocess.Popen[str], name: str) -> Any:
    assert program.stdout is not None
    document = json.loads(program.stdout.readline())
    assert name in document, document
    return document


@pytest.mark.parametrize("mode", ["ltpc", "full", "option_greeks"])
def test_market_data_in_every_mode(sdk: Sdk, mode: str) -> None:
    with streamer(sdk, "market", mode) as program:
        assert line(program, "info")["info"]["segmentStatus"]["NSE_EQ"] == "NORMAL_OPEN"
        line(program, "subscribed")
        sdk.exchange.print_price("NSE:INFY", PRICE)
        seen = line(program, "live")
    assert seen["snapshot"]["feeds"].keys() == {INFY, NIFTY}
    feed = seen["live"]["feeds"][INFY]
    quote = sdk.api("MarketQuoteV3Api").get_ltp(instrument_key=INFY).data["NSE_EQ:INFY"]
    if mode == "ltpc":
        ltpc = feed["ltpc"]
    elif mode == "full":
        body_ = feed["fullFeed"]["marketFF"]
        ltpc = body_["ltpc"]
        assert body_["vtt"] == str(quote.volume)
        assert len(body_["marketLevel"]["bidAskQuote"]) == 5
    else:
        ltpc = feed["firstLevelWithGreeks"]["ltpc"]
    assert (ltpc["ltp"], ltpc["cp"]) == (PRICE, quote.cp)


def test_orders_and_positions(sdk: Sdk) -> None:
    with streamer(sdk, "portfolio") as program:
        line(program, "open")
        request = upstox_client.PlaceOrderV3Request(**body(market_protection=-1, tag="streamed"))
        (order_id,) = sdk.api("OrderApiV3").place_order(request).data.order_ids
        told = line(program, "told")["told"]
    orders = [row for row in told if row["update_type"] == "order"]
    assert [row["status"] for row in orders] == ["open", "complete"]
    assert {row["order_id"] for row in orders} == {order_id}
    assert told[-1]["instrument_key"] == INFY
