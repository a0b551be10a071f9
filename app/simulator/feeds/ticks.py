"""Recorded ticks as tapes: an Upstox V3 feed recording (one decoded message a line), or Breeze's futures CSV.

Nothing is mended: volumes that go backwards, trades after the close and hours without a message are played as they
were recorded. Receive times drive the pacing. Where the receiver's clock was slow, so that trades seem to come from
the future, the whole recording is moved forward by the same time.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from app.simulator.candles import Bar, day_start, local_day
from app.simulator.clock import IST
from app.simulator.feeds.identity import fitted, identify
from app.simulator.feeds.replay import Event
from app.simulator.listing import Listings
from app.simulator.quote import Level, Quote

if TYPE_CHECKING:
    from app.simulator.market import Market

LOOK_AHEAD = 400
"""Messages read to learn tick size and clock error of a recording."""
_AT = '"_insertion_time":"'


class Message(NamedTuple):
    """One recorded state of an instrument. Prices in paise; None where the recording says nothing."""

    last_price: int
    last_quantity: int
    last_trade_time: float
    close: int
    average_price: int
    volume: int
    buy_quantity: int
    sell_quantity: int
    oi: int
    bids: list[Level]
    asks: list[Level]
    ohlc: tuple[int, int, int, int] | None = None
    """Of the day."""
    minute: Bar | None = None
    """The last whole minute, as the exchange's own feed gave it."""
    whole: Mapping[str, Any] | None = None
    """The recorded message itself, where it is one of Upstox's."""


class UpstoxTape:
    """One instrument's file, read line by line while it plays."""

    past: Sequence[Bar] = ()

    def __init__(self, path: Path, known: Listings, day: date | None = None) -> None:
        self._path = path
        self._whole = 0
        """Start of the last minute whose bar the recording gave."""
        head = list(islice(self._lines(), LOOK_AHEAD))
        if not head:
            raise ValueError(f"{path.name} holds no messages")
        messages = [_message(line, path.name) for line in head]
        early = max(m.last_trade_time - _received(line) for m, line in zip(messages, head, strict=True))
        self.slow = float(max(0, math.ceil(early)))
        """Seconds by which the receiver's clock was behind the exchange's, at least."""
        self._begins = _received(head[0])
        if day is not None and local_day(self.first) != day.toordinal() - 719_163:
            raise ValueError(f"{path.name} was not recorded on {day}")
        prices = [price for m in messages for price in (m.last_price, *(level[0] for level in (*m.bids, *m.asks)))]
        prices += [price for m in messages[-1:] if m.ohlc for price in m.ohlc]
        identity = identify(path.name.split(".")[0], known)
        self.listing = fitted(identity, messages[0].close, prices, messages[-1].volume)

    @property
    def first(self) -> float:
        """The first message."""
        return self._begins + self.slow

    @property
    def last(self) -> float:
        """The end of the recorded day: what comes last is only known when it has been read."""
        return day_start(local_day(self._begins) + 1) - 1.0

    def _lines(self) -> Iterator[str]:
        with _text(self._path) as file:
            for line in file:
                if line.strip():
                    yield line

    def events(self, since: float) -> Iterator[Event]:
        """The messages received at or after a moment."""
        token, name = self.listing.token, self._path.name
        for line in self._lines():
            at = _received(line) + self.slow
            if at >= since:
                yield Event(at, token, _message(line, name))

    def play(self, market: Market, quote: Quote, event: Event) -> None:
        """The quote becomes what the message says."""
        message = event.what
        assert isinstance(message, Message)  # noqa: S101 - events of this tape
        play_message(market, quote, message, event.at, self._whole)
        minute = message.minute
        if minute is not None and minute[0] > self._whole:
            self._whole = minute[0]
            market.bars.put(self.listing.token, (*minute[:6], message.oi))


def play_message(market: Market, quote: Quote, message: Message, at: float, whole: int = 0) -> None:
    """Takes a message over into quote and bars. A trade is told by a new trade time or a grown volume.

    `whole` is the last minute whose bar the recording itself gave: late trades do not change it.
    """
    traded = message.last_trade_time > quote.last_trade_time or message.volume > quote.volume
    grown = max(0, message.volume - quote.volume) if quote.volume else 0
    quote.recorded = message.whole
    quote.last_price = message.last_price
    quote.last_quantity = message.last_quantity
    quote.average_price = message.average_price
    quote.volume = message.volume
    quote.buy_quantity, quote.sell_quantity = message.buy_quantity, message.sell_quantity
    quote.close = message.close or quote.close
    if message.ohlc is not None:
        quote.open, quote.high, quote.low, _ = message.ohlc
    elif quote.open == 0:
        quote.open = quote.high = quote.low = message.last_price
    else:
        quote.high, quote.low = max(quote.high, message.last_price), min(quote.low, message.last_price)
    quote.last_trade_time = int(message.last_trade_time)
    quote.timestamp = max(int(at), quote.last_trade_time)
    quote.depth_buy, quote.depth_sell = message.bids, message.asks
    if message.oi:
        quote.set_oi(message.oi)
    if traded and message.last_trade_time >= whole + 60:
        market.bars.add(quote.listing.token, message.last_trade_time, message.last_price, grown, quote.oi)


def _text(path: Path) -> TextIO:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8")


def _received(line: str) -> float:
    """Receive time of a line, naive IST in the file, in Unix seconds."""
    start = line.rfind(_AT)
    if start < 0:
        raise ValueError("a recorded message has no _insertion_time")
    start += len(_AT)
    moment = datetime.fromisoformat(line[start : line.index('"', start)])
    return moment.replace(tzinfo=IST).timestamp()


def _message(line: str, source: str) -> Message:
    try:
        return upstox_message(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{source}: not a recorded message ({error})") from error


def upstox_message(decoded: dict[str, Any]) -> Message:
    """One decoded V3 message in mode full (B15). Absent numbers are zeros that the wire left out."""
    feed = decoded["fullFeed"]
    market = feed.get("marketFF") or feed["indexFF"]
    ltpc = market["ltpc"]
    ohlc, minute = None, None
    for candle in (market.get("marketOHLC") or {}).get("ohlc", ()):
        o, h, low, c = (_paise(candle.get(name, 0)) for name in ("open", "high", "low", "close"))
        if candle["interval"] == "1d":
            ohlc = (o, h, low, c)
        elif candle["interval"] == "I1" and o:
            minute = (int(candle["ts"]) // 1000, o, h, low, c, int(candle.get("vol", 0)), 0)
    levels = (market.get("marketLevel") or {}).get("bidAskQuote", ())
    return Message(
        last_price=_paise(ltpc["ltp"]),
        last_quantity=int(ltpc.get("ltq", 0)),
        last_trade_time=int(ltpc["ltt"]) / 1000,
        close=_paise(ltpc.get("cp", 0)),
        average_price=_paise(market.get("atp", 0)),
        volume=int(market.get("vtt", 0)),
        buy_quantity=int(market.get("tbq", 0)),
        sell_quantity=int(market.get("tsq", 0)),
        oi=int(market.get("oi", 0)),
        bids=_side(levels, "bidP", "bidQ"),
        asks=_side(levels, "askP", "askQ"),
        ohlc=ohlc,
        minute=minute,
        whole=decoded,
    )


def _paise(rupees: float) -> int:
    return round(rupees * 100)


def _side(levels: list[dict[str, Any]], price: str, quantity: str) -> list[Level]:
    """Levels that are there; the recording has no order counts: one each."""
    side = [(_paise(level.get(price, 0)), int(level.get(quantity, 0)), 1) for level in levels]
    return [level for level in side if level[0] and level[1]]


class BreezeTape:
    """One symbol of a Breeze futures CSV: cumulative volume, depth, and receive times that step backwards."""

    past: Sequence[Bar] = ()

    def __init__(self, symbol: str, rows: list[tuple[float, Message]], known: Listings) -> None:
        rows.sort(key=lambda row: row[0])
        self._rows = rows
        self.first, self.last = rows[0][0], rows[-1][0]
        prices = [message.last_price for _, message in rows]
        self.listing = fitted(identify(symbol, known), prices[0], prices, rows[-1][1].volume)

    def events(self, since: float) -> Iterator[Event]:
        """The rows at or after a moment."""
        return (Event(at, self.listing.token, message) for at, message in self._rows if at >= since)

    def play(self, market: Market, quote: Quote, event: Event) -> None:
        """The quote becomes what the row says."""
        assert isinstance(event.what, Message)  # noqa: S101 - events of this tape
        play_message(market, quote, event.what, event.at)


def is_breeze(path: Path) -> bool:
    """Whether a CSV is one of Breeze's, by its header."""
    with _text(path) as file:
        return file.readline().startswith("Symbol,exchange_timestamp,")


def read_breeze(path: Path, known: Listings) -> list[BreezeTape]:
    """A tape for each symbol. Lines that are no row (the recording has a stray one) are left out."""
    rows: dict[str, list[tuple[float, Message]]] = {}
    with _text(path) as file:
        for row in csv.DictReader(file):
            if not row.get("last_price") or not row.get("total_sell_qty"):
                continue
            at = datetime.fromisoformat(row["exchange_timestamp"]).replace(tzinfo=IST).timestamp()
            rows.setdefault(row["Symbol"], []).append((at, _breeze(row, at)))
    return [BreezeTape(symbol, found, known) for symbol, found in rows.items()]


def _breeze(row: dict[str, str], at: float) -> Message:
    def side(name: str) -> list[Level]:
        levels = [(_paise(float(row[f"{name}_price_{i}"])), int(row[f"{name}_qty_{i}"]), 1) for i in range(1, 6)]
        return [level for level in levels if level[0] and level[1]]

    price = _paise(float(row["last_price"]))
    return Message(
        last_price=price,
        last_quantity=int(row["last_traded_quantity"]),
        last_trade_time=at,
        close=0,
        average_price=0,
        volume=int(row["volume_traded"]),
        buy_quantity=int(row["total_buy_qty"]),
        sell_quantity=int(row["total_sell_qty"]),
        oi=int(row["open_interest"]),
        bids=side("bid"),
        asks=side("ask"),
    )
