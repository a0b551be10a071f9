"""The exchange of `tick_to_order`: the paper exchange with 3,000 shares, and a stopwatch at its door.

Commands on standard input, answers on standard output, one JSON document a line. A breach is printed here, by this
process's own timer, so that nobody else works at that moment.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

import uvloop
from aiohttp import web

from app.simulator.exchange import Exchange, Opening, Plan
from app.simulator.kite.orders import OrderRoutes
from app.simulator.kite.sessions import Credentials
from app.simulator.opening import open_market
from app.simulator.order import Fill
from app.simulator.quote import Quote
from app.simulator.tls import certificate
from app.simulator.upstox.door import UpstoxDoor

SHARES = 3_000
COLUMNS = """instrument_token exchange_token tradingsymbol name last_price expiry strike tick_size lot_size
instrument_type segment exchange"""
TICK = 5
"""Paise."""


def listing_file(folder: Path) -> Path:
    """3,000 shares as a Kite instrument file."""
    path = folder / "instruments.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS.split())
        for n in range(SHARES):
            number = 100_000 + n
            name = f"BENCH{n:04d}"
            writer.writerow([number * 256 + 1, number, name, name, 0, "", 0, 0.05, 1, "EQ", "NSE", "NSE"])
    return path


class Stopwatch:
    """When a token's breach left, and when its order arrived."""

    def __init__(self) -> None:
        self.sent: dict[bytes, int] = {}
        self._symbols: dict[bytes, str] = {}
        self.ticks = 0
        """Prices that the market gave out."""
        self.answer_s = 0.0
        """Seconds that the longest list of trades took to make."""

    def await_breach(self, token: int, symbol: str) -> None:
        """From now on the next frame with this token is stamped."""
        self._symbols[token.to_bytes(4, "big")] = symbol

    def batch(self, quotes: Sequence[Quote]) -> None:
        """Called with what changed."""
        self.ticks += len(quotes)

    def frame(self, payload: bytes) -> None:
        """Called just before a frame goes to the socket."""
        if self._symbols:
            now = perf_counter_ns()
            for token in [t for t in self._symbols if t in payload]:
                self.sent[self._symbols.pop(token).encode()] = now


async def serve(positions: int, seed: int, *, both: bool) -> None:
    """Until standard input closes. `both`: it speaks Upstox too."""
    with tempfile.TemporaryDirectory(prefix="bench-exchange-") as folder:
        market = open_market("random", seed=seed, instruments=listing_file(Path(folder)))
    context, ca_file = certificate(None)
    # One unit each: these shares trade thinly, and an exit that rests takes from the ten a second with new prices.
    openings = [Opening(f"NSE:BENCH{n:04d}", 1, "MIS") for n in range(positions)]
    exchange = Exchange(
        Plan(
            market=market,
            credentials=Credentials.new(),
            tls=context,
            faults=["limits=off"],
            cash=10**13,
            delay=(0.001, 0.002),
            openings=openings,
            brokers=("zerodha", "upstox") if both else ("zerodha",),
        )
    )
    watch = Stopwatch()
    exchange.market.add_listener(watch.batch)
    send = web.WebSocketResponse.send_bytes

    async def stamped(socket: web.WebSocketResponse, data: bytes, compress: int | None = None) -> None:
        watch.frame(data)
        await send(socket, data, compress)

    trades = OrderRoutes.trades

    async def timed(routes: OrderRoutes, request: web.Request) -> web.Response:
        began = perf_counter()
        answer = await trades(routes, request)
        watch.answer_s = max(watch.answer_s, perf_counter() - began)
        return answer

    OrderRoutes.trades = timed  # type: ignore[method-assign,assignment]  # likewise
    web.WebSocketResponse.send_bytes = stamped  # type: ignore[method-assign,assignment]  # the stopwatch at the door
    await exchange.start()
    credentials = exchange.credentials
    say(
        {
            **exchange.urls,
            "api_key": credentials.api_key,
            "api_secret": credentials.api_secret,
            "request_token": exchange.sessions.new_request_token(),
            "ca_file": str(ca_file),
            "upstox": None if exchange.upstox is None else upstox_line(exchange.upstox, str(ca_file)),
        }
    )
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        if command.get("fills"):
            add_fills(exchange, command["fills"])
        if "pace" in command:
            exchange.market.clock.speed = command["pace"]
            say(watch.ticks)
            continue
        if "crash" in command:
            say(await crash(exchange, watch, command["crash"], command["seconds"]))
            continue
        if "triggers" not in command:
            say("added")
            continue
        say(await breach(exchange, watch, command["triggers"], command["every"], random.Random(seed)))
    await exchange.stop()


def upstox_line(door: UpstoxDoor, ca_file: str) -> dict[str, str]:
    """How to log in to its second wire, with a code as its dialog gives."""
    code = door.tokens.new_code(door.urls["redirect_url"])
    return {**door.urls, **door.credentials.as_dict(), "code": code, "ca_file": ca_file}


def add_fills(exchange: Exchange, count: int) -> None:
    """So many executions more in the day's list: in and out again, in shares beyond the guarded ones."""
    records, market = exchange.oms.records, exchange.market
    now = market.clock.now()
    first = len(records.fills)
    for n in range(first, first + count):
        listing = market.listings.by_key[f"NSE:BENCH{1_000 + n // 2 % 500:04d}"]
        at = now - timedelta(seconds=(first + count - n) // 20)
        stamp = at.strftime("%Y-%m-%d %H:%M:%S")
        records.fills.append(
            Fill(
                trade_id=str(60_000_000 + n),
                order_id=f"{at:%y%m%d}{9_000_000_000 + n:013d}",
                exchange_order_id=str(1_300_000_000_000_000 + n),
                token=listing.token,
                exchange="NSE",
                tradingsymbol=listing.key.partition(":")[2],
                product="MIS",
                side="BUY" if n % 2 == 0 else "SELL",
                quantity=10,
                price=100_000 + 5 * (n % 400),
                fill_timestamp=stamp,
                order_time=stamp[11:],
                filled_ns=int(at.timestamp() * 1e9),
            )
        )


async def breach(
    exchange: Exchange, watch: Stopwatch, triggers: Mapping[str, int], every: float, dice: random.Random
) -> dict[str, Any]:
    """Prints a price beyond each stop, one after the other; microseconds from tick out to order in."""
    market = exchange.market
    await asyncio.sleep(1.5)  # a tick of the second in which a stop was armed does not count
    for symbol, trigger in triggers.items():
        await asyncio.sleep(every * dice.uniform(0.8, 1.2))
        quote: Quote = market.quotes[market.listings.by_key[f"NSE:{symbol}"].token]
        watch.await_breach(quote.listing.token, symbol)
        market.set_price(f"NSE:{symbol}", trigger - TICK)
    await asyncio.sleep(2.0)
    taken = {}
    doubled = 0
    wanted = set(triggers)
    for order in exchange.oms.records.orders.values():
        symbol = order.tradingsymbol
        if symbol in wanted and order.side == "SELL":
            doubled += symbol in taken
            taken[symbol] = (order.received_ns - watch.sent[symbol.encode()]) // 1_000
    return {
        "outside_us": list(taken.values()),
        "missing": len(wanted) - len(taken),
        "doubled": doubled,
        "answer_s": watch.answer_s,
    }


async def crash(exchange: Exchange, watch: Stopwatch, triggers: Mapping[str, int], seconds: float) -> dict[str, Any]:
    """Prints a price beyond every stop in one turn, so that one frame brings them all; when each exit came."""
    market = exchange.market
    await asyncio.sleep(1.5)
    for symbol, trigger in triggers.items():
        watch.await_breach(market.listings.by_key[f"NSE:{symbol}"].token, symbol)
        market.set_price(f"NSE:{symbol}", trigger - TICK)
    await asyncio.sleep(seconds)
    left = min(watch.sent[symbol.encode()] for symbol in triggers)
    arrived: dict[str, int] = {}
    doubled = 0
    for order in exchange.oms.records.orders.values():
        if order.tradingsymbol in triggers and order.side == "SELL":
            doubled += order.tradingsymbol in arrived
            arrived[order.tradingsymbol] = (order.received_ns - left) // 1_000
    return {"arrived_us": arrived, "missing": len(triggers) - len(arrived), "doubled": doubled}


def own_core(first: bool) -> None:
    """The exchange on one core, the workstation on the others: as if on two machines.

    Otherwise the kernel wakes the exchange on the core that has just written to it, and the writer waits a millisecond
    for its own measurement.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:1] if first else cores[1:])


def say(document: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    own_core(first=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), int(sys.argv[2]), both="both" in sys.argv))
