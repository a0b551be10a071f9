"""Run as a program: one official streamer, until it has seen what it waits for. Speaks in lines of JSON.

Its addresses are literals inside the SDK, so the host in them is replaced where the socket library gets them; it never
ends its threads by itself, hence a process for each.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import upstox_client
from upstox_client.feeder import market_data_feeder_v3

INFY, NIFTY = "NSE_EQ|INE009A01021", "NSE_INDEX|Nifty 50"
OFFICIAL = "wss://api.upstox.com"


def say(document: object) -> None:
    print(json.dumps(document), flush=True)  # noqa: T201 - its answer


def redirect(base: str) -> None:
    """The paper exchange in place of the official host, for both streamers: they share the library."""
    library: Any = market_data_feeder_v3.websocket
    original = library.WebSocketApp

    def opened(url: str, **options: Any) -> Any:
        return original(url.replace(OFFICIAL, base), **options)

    library.WebSocketApp = opened


def market(client: Any, mode: str) -> Any:
    streamer: Any = upstox_client.MarketDataStreamerV3(client, [], mode)
    seen: list[dict[str, Any]] = []

    def on_message(message: dict[str, Any]) -> None:
        if message.get("type") == "market_info":
            say({"info": message["marketInfo"]})
            streamer.subscribe([INFY, NIFTY], mode)
            return
        seen.append(message)
        if message.get("type") == "live_feed":
            say({"snapshot": seen[0], "live": message})
            os._exit(0)
        say({"subscribed": True})

    streamer.on("message", on_message)
    return streamer


def portfolio(client: Any, _mode: str) -> Any:
    streamer: Any = upstox_client.PortfolioDataStreamer(client, position_update=True, gtt_update=True)
    told: list[dict[str, Any]] = []

    def on_message(message: str) -> None:
        told.append(json.loads(message))
        if told[-1]["update_type"] == "position":
            say({"told": told})
            os._exit(0)

    streamer.on("message", on_message)
    streamer.on("open", lambda: say({"open": True}))
    return streamer


def main(kind: str, base: str, token: str, mode: str) -> None:
    redirect(base)
    configuration: Any = upstox_client.Configuration()
    configuration.access_token = token
    client = upstox_client.ApiClient(configuration)
    streamer = {"market": market, "portfolio": portfolio}[kind](client, mode)
    streamer.on("error", lambda error: say({"error": str(error)}))
    streamer.connect()


if __name__ == "__main__":
    main(*sys.argv[1:])
