"""Decoding Upstox's market feed: ours beside the official SDK's, on the same frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any

from app.brokers.upstox import codec
from app.domain.ids import InstrumentId

INSTRUMENTS = 200
ROUNDS = 10


def frames(per_frame: int) -> tuple[list[bytes], codec.Known]:
    """One full message of each instrument (five levels, greeks, two bars), in frames of so many; and their keys."""
    from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as official

    made, known = [], {}
    for start in range(0, INSTRUMENTS, per_frame):
        frame = official.FeedResponse(type=1, currentTs=1_765_771_373_700)
        for n in range(start, start + per_frame):
            key = f"NSE_FO|{50_000 + n}"
            known[key.encode()] = ((50_000 + n) << 8 | 2, 100)
            _fill(frame.feeds[key], 500 + n / 20)
        made.append(frame.SerializeToString())
    return made, known


def _fill(feed: Any, price: float) -> None:
    feed.requestMode = 1
    market = feed.fullFeed.marketFF
    market.ltpc.ltp, market.ltpc.ltt, market.ltpc.ltq, market.ltpc.cp = price, 1_765_771_373_598, 35, price + 4
    for level in range(5):
        market.marketLevel.bidAskQuote.add(bidQ=35 + level, bidP=price - level / 20, askQ=70, askP=price + level / 20)
    greeks = market.optionGreeks
    greeks.delta, greeks.theta, greeks.gamma, greeks.vega, greeks.rho = 0.51, -16.9, 0.0003, 48.4, 12.4
    for name, at in (("1d", 1_765_737_000_000), ("I1", 1_765_771_260_000)):
        market.marketOHLC.ohlc.add(
            interval=name, open=price, high=price + 9, low=price - 9, close=price, vol=231_350, ts=at
        )
    market.atp, market.vtt, market.oi, market.iv, market.tbq, market.tsq = price, 231_385, 338_625, 0.1, 22_155, 37_835


def _micros(action: Callable[[bytes], Any], payloads: Sequence[bytes], rounds: int) -> float:
    """For one instrument's update, in microseconds; the best of three."""
    best = float("inf")
    for _ in range(3):
        started = perf_counter()
        for _ in range(rounds):
            for payload in payloads:
                action(payload)
        best = min(best, perf_counter() - started)
    return best / rounds / INSTRUMENTS * 1e6


def run() -> dict[str, object]:
    """Microseconds an update: to the marks that stops are checked with, to the whole tick, and by the SDK; the ratio of
    the SDK's to the marks'. With one instrument a frame, and with ten."""
    from google.protobuf import json_format
    from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as official

    result: dict[str, object] = {}
    for name, per_frame in (("one_a_frame", 1), ("ten_a_frame", 10)):
        payloads, known = frames(per_frame)
        ours = _micros(partial(codec.marks, known=known), payloads, ROUNDS)
        whole = _micros(partial(_whole, known=known), payloads, 2)
        sdk = _micros(lambda payload: json_format.MessageToDict(official.FeedResponse.FromString(payload)), payloads, 1)
        result[name] = {
            "marks_us": round(ours, 3),
            "whole_tick_us": round(whole, 3),
            "sdk_us": round(sdk, 3),
            "ratio": round(sdk / ours, 1),
            "budget_ratio": 15,
        }
    return result


def _whole(payload: bytes, known: codec.Known) -> None:
    for _, packet in codec.packets(payload, known):
        codec.decode(packet, _OPTION, 0)


_OPTION = InstrumentId("NFO:BANKNIFTY25DEC59500CE")
