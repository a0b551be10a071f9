"""The market feed V3, served: subscriptions in binary frames, protobuf answers, no acknowledgements (B15).

An instrument's part of a message is made once and shared by all that want it in that mode. Instruments that change
together travel in one message; the same instrument twice takes two, so that no tick is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from aiohttp import WSMsgType, web

from app.simulator.bodies import json_value
from app.simulator.faults import Faults
from app.simulator.market import Market
from app.simulator.quote import Quote
from app.simulator.upstox import feeds, proto
from app.simulator.upstox.feeds import D30, FULL, GREEKS, LTPC
from app.simulator.upstox.keys import KeyBook
from app.simulator.upstox.line import Line, opened
from app.simulator.upstox.status import statuses

CONNECTIONS = {"off": 2, "on": 5}
"""Of one client, without and with Plus."""
MOST_OF_ONE = {LTPC: 5000, GREEKS: 3000, FULL: 2000, D30: 50}
MOST_MIXED = {LTPC: 2000, GREEKS: 2000, FULL: 1500, D30: 1500}
MALFORMED = bytes.fromhex("0801120aff")
"""A map entry longer than its message."""
CUT = bytes.fromhex("080112400a124e53455f494e4445587c4e69667479")


class Subscriber:
    """One connection and what it wants."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.modes: dict[int, str] = {}

    def room(self, mode: str) -> bool:
        """Whether one more key of a mode fits; what does not fit is ignored without a word."""
        counts: dict[str, int] = {}
        for wanted in self.modes.values():
            counts[wanted] = counts.get(wanted, 0) + 1
        mixed = any(other != mode for other in counts)
        return counts.get(mode, 0) < (MOST_MIXED if mixed and mode != D30 else MOST_OF_ONE)[mode]


class MarketFeed:
    """All connections of the client. Lives on the loop thread; the market tells it every batch."""

    def __init__(self, market: Market, keys: KeyBook, faults: Faults) -> None:
        self._market = market
        self._keys = keys
        self._faults = faults
        self._subscribers: set[Subscriber] = set()
        self._wanted: dict[int, dict[str, set[Subscriber]]] = {}
        self._statuses: dict[str, str] = {}
        market.add_listener(self._on_batch)

    # -- the market's side

    def _on_batch(self, quotes: Sequence[Quote]) -> None:
        if not self._subscribers:
            return
        entries: dict[Subscriber, list[bytes]] = {}
        for quote in quotes:
            by_mode = self._wanted.get(quote.listing.token)
            if by_mode is None:
                continue
            for mode, subscribers in by_mode.items():
                if subscribers:
                    made = self._entry(quote, mode)
                    for subscriber in subscribers:
                        entries.setdefault(subscriber, []).append(made)
        at = self._now()
        for subscriber, parts in entries.items():
            subscriber.line.send(proto.response("live_feed", parts, at))

    def _entry(self, quote: Quote, mode: str) -> bytes:
        message = feeds.feed(quote, mode, self._market)
        return proto.entry(proto.FEEDS, self._keys.key(quote.listing.token), proto.map_value("Feed", message))

    def _now(self) -> int:
        return int(self._market.clock.epoch() * 1000)

    def tell_statuses(self) -> None:
        """Market information goes out whenever a segment's status has changed. Call it often."""
        if self._subscribers and (found := statuses(self._market, self._faults.switches)) != self._statuses:
            self._statuses = found
            message = self._market_info()
            for subscriber in self._subscribers:
                subscriber.line.send(message)

    def _market_info(self) -> bytes:
        self._statuses = statuses(self._market, self._faults.switches)
        info = {"segmentStatus": self._statuses}
        return proto.encode("FeedResponse", {"type": "market_info", "currentTs": self._now(), "marketInfo": info})

    # -- the client's side

    @property
    def full(self) -> bool:
        """No further connection is taken."""
        return len(self._subscribers) >= CONNECTIONS[self._faults.switches.plus_plan]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The handshake, market information, then the client's requests until it leaves."""
        line = await opened(request)
        if line is None:
            return web.Response()
        subscriber = Subscriber(line)
        line.silent = self._silent
        self._subscribers.add(subscriber)
        line.send(self._market_info())
        writer = asyncio.create_task(line.write())
        try:
            async for message in line.socket:
                if message.type is WSMsgType.BINARY or self._faults.switches.text_frames == "taken":
                    self._request(subscriber, message.data)
        finally:
            self._forget(subscriber)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return line.socket

    def _request(self, subscriber: Subscriber, raw: bytes | str) -> None:
        """What makes no sense is ignored: there are no answers to requests."""
        try:
            match json_value(raw):
                case {"method": str(method), "data": {"instrumentKeys": list(keys), **rest}}:
                    pass
                case _:
                    return
        except ValueError:
            return
        tokens = [token for key in keys if isinstance(key, str) and (token := self._keys.token(key)) is not None]
        mode = rest.get("mode", LTPC)
        if method == "unsub":
            self._unsubscribe(subscriber, tokens)
        elif mode in feeds.MODES and (mode != D30 or self._faults.switches.plus_plan == "on"):
            if method == "change_mode":
                tokens = [token for token in tokens if token in subscriber.modes]
            elif method != "sub":
                return
            self._subscribe(subscriber, tokens, mode)

    def _subscribe(self, subscriber: Subscriber, tokens: list[int], mode: str) -> None:
        parts = []
        for token in tokens:
            before = subscriber.modes.pop(token, None)
            if before is not None:
                self._wanted[token][before].discard(subscriber)
            if not subscriber.room(mode):
                continue
            subscriber.modes[token] = mode
            self._wanted.setdefault(token, {}).setdefault(mode, set()).add(subscriber)
            parts.append(self._entry(self._market.quotes[token], mode))
        if parts:
            kind = "initial_feed" if self._faults.switches.first_feed == "initial" else "live_feed"
            subscriber.line.send(proto.response(kind, parts, self._now()))

    def _unsubscribe(self, subscriber: Subscriber, tokens: list[int]) -> None:
        for token in tokens:
            mode = subscriber.modes.pop(token, None)
            if mode is not None:
                self._wanted[token][mode].discard(subscriber)

    def _forget(self, subscriber: Subscriber) -> None:
        self._unsubscribe(subscriber, list(subscriber.modes))
        self._subscribers.discard(subscriber)

    # -- endings and faults

    _silent = False

    @property
    def silent(self) -> bool:
        """A dead feed: connections stay up and hear nothing."""
        return self._silent

    @silent.setter
    def silent(self, silent: bool) -> None:
        self._silent = silent
        for subscriber in self._subscribers:
            subscriber.line.silent = silent

    def inject(self, payload: bytes) -> None:
        """Sends any bytes to every connection."""
        for subscriber in self._subscribers:
            subscriber.line.send(payload)

    def drop_all(self) -> None:
        """Every line breaks, without a goodbye."""
        for subscriber in list(self._subscribers):
            self._forget(subscriber)
            subscriber.line.cut()

    async def close_all(self) -> None:
        """Ends every connection, as when the token dies."""
        await asyncio.gather(*(subscriber.line.close() for subscriber in list(self._subscribers)))
