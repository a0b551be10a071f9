"""Run as a program: the official KiteTicker in one mode, until it has seen the price and the order it waits for.

Its Twisted reactor starts once in a process, hence a process for each test. Speaks in lines of JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from kiteconnect import KiteTicker

INFY, NIFTY = 408065, 256265


def main(url: str, api_key: str, access_token: str, mode: str, price: str) -> None:
    ticker: Any = KiteTicker(api_key, access_token, root=url)
    seen: dict[int, dict[str, Any]] = {}
    updates: list[dict[str, Any]] = []

    def say(document: dict[str, Any]) -> None:
        print(json.dumps(document, default=lambda moment: moment.isoformat()), flush=True)  # noqa: T201 - its answer

    def finish_when_seen() -> None:
        done = any(update["status"] == "COMPLETE" for update in updates)
        if done and seen.get(INFY, {}).get("last_price") == float(price) and NIFTY in seen:
            say({"infy": seen[INFY], "nifty": seen[NIFTY], "updates": updates})
            ticker.stop()

    def on_connect(connection: Any, _response: Any) -> None:
        connection.subscribe([INFY, NIFTY])
        connection.set_mode(mode, [INFY, NIFTY])
        say({"connected": True})

    def on_ticks(_connection: Any, ticks: list[dict[str, Any]]) -> None:
        for tick in ticks:
            if tick["mode"] == mode:
                seen[tick["instrument_token"]] = tick
        finish_when_seen()

    def on_order_update(_connection: Any, update: dict[str, Any]) -> None:
        updates.append(update)
        finish_when_seen()

    ticker.on_connect, ticker.on_ticks, ticker.on_order_update = on_connect, on_ticks, on_order_update
    ticker.on_error = lambda _connection, code, reason: say({"error": f"{code} {reason}"})
    ticker.connect()


if __name__ == "__main__":
    main(*sys.argv[1:])
