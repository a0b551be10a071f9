"""The official KiteTicker, unchanged, against the paper exchange: every mode, and order updates as in the sample."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.kiteconnect.test_shapes import differences, sample
from tests.paper_exchange import ROOT, PaperExchange

PROGRAM = Path(__file__).with_name("ticker_client.py")
PRICE = 1121.5
MARKET = {
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": "1",
    "product": "MIS",
    "order_type": "MARKET",
    "market_protection": "-1",
    "tag": "ticker",
}


def listen(exchange: PaperExchange, mode: str) -> Any:
    """What the client saw of a price that was printed and an order that was filled."""
    with exchange.client() as http:
        command = [sys.executable, str(PROGRAM), exchange.line["ws_url"], exchange.line["api_key"]]
        with subprocess.Popen(
            [*command, exchange.access_token, mode, str(PRICE)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            try:
                first = json.loads(program.stdout.readline())
                assert first == {"connected": True}
                exchange.print_price("NSE:INFY", PRICE)
                http.post("/orders/regular", data=MARKET)
                answer = json.loads(program.stdout.readline())
                assert program.wait(20) == 0
            finally:
                program.kill()
    return answer


@pytest.mark.parametrize("mode", ["ltp", "quote", "full"])
def test_ticks_and_order_updates(exchange: PaperExchange, mode: str) -> None:
    seen = listen(exchange, mode)
    with exchange.client() as http:
        quote = http.get("/quote", params={"i": "NSE:INFY"}).json()["data"]["NSE:INFY"]
    tick = seen["infy"]
    assert tick["last_price"] == PRICE
    assert (tick["tradable"], seen["nifty"]["tradable"]) == (True, False)
    if mode == "ltp":
        assert set(tick) == {"tradable", "mode", "instrument_token", "last_price"}
    else:
        theirs = dict(sample(f"ticker_{mode}.json"))
        renamed = {"last_quantity": "last_traded_quantity", "average_price": "average_traded_price"}
        renamed |= {"volume": "volume_traded", "buy_quantity": "total_buy_quantity"}
        renamed |= {"sell_quantity": "total_sell_quantity", "timestamp": "exchange_timestamp"}
        renamed |= {"last_trade_time": "last_trade_time"}
        expected = {renamed.get(key, key): value for key, value in theirs.items()}
        assert list(differences(tick, expected)) == []
        assert tick["ohlc"] == quote["ohlc"]
        assert tick["volume_traded"] == quote["volume"]
        assert set(seen["nifty"]) >= {"ohlc", "change"}
    if mode == "full":
        assert tick["depth"]["buy"] == quote["depth"]["buy"]
    check_updates(seen["updates"], exchange)


def check_updates(updates: list[dict[str, Any]], exchange: PaperExchange) -> None:
    assert [update["status"] for update in updates] == ["OPEN", "COMPLETE"]
    last = updates[-1]
    assert list(differences(last, sample("postback.json"))) == []
    signed = f"{last['order_id']}{last['order_timestamp']}{exchange.line['api_secret']}"
    assert last["checksum"] == hashlib.sha256(signed.encode()).hexdigest()
    assert (last["tag"], last["filled_quantity"], last["unfilled_quantity"]) == ("ticker", 1, 0)
