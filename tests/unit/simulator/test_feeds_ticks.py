"""The recorded session of 2025-12-15, played as it was recorded."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from app.simulator.clock import IST
from app.simulator.feeds.ticks import upstox_message
from app.simulator.market import Market, Quote
from app.simulator.opening import open_market
from tests.shared_data import shared_data

FOLDER = "ticks_upstox_v3_20251215"
BHARATFORG, BSE = "NSE_EQ_INE465A01025", "NSE_EQ_INE118H01025"


def recorded(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(shared_data(FOLDER, f"{name}.jsonl.gz"), "rt") as file:
        for line in file:
            yield json.loads(line)


def replay(*names: str, **options: Any) -> Market:
    files = [str(shared_data(FOLDER, f"{name}.jsonl.gz")) for name in names]
    return open_market("replay:" + ",".join(files), speed=0, **options)


def received(message: dict[str, Any]) -> float:
    return datetime.fromisoformat(message["_insertion_time"]).replace(tzinfo=IST).timestamp()


def step_all(market: Market) -> Iterator[Quote]:
    while market.feed.next_at() is not None:
        yield from market.step()


def test_every_message_of_a_whole_session_becomes_one_tick() -> None:
    market = replay(BHARATFORG)
    count = 0
    for quote, message in zip(step_all(market), recorded(BHARATFORG), strict=True):
        feed = message["fullFeed"]["marketFF"]
        assert quote.last_price == round(feed["ltpc"]["ltp"] * 100)
        assert quote.last_quantity == int(feed["ltpc"]["ltq"])
        assert quote.last_trade_time == int(feed["ltpc"]["ltt"]) // 1000
        assert quote.volume == int(feed["vtt"])
        day = feed["marketOHLC"]["ohlc"][0]
        assert (quote.open, quote.high, quote.low) == tuple(round(day[n] * 100) for n in ("open", "high", "low"))
        assert quote.close == round(feed["ltpc"]["cp"] * 100)
        bids = [(round(b["bidP"] * 100), int(b["bidQ"]), 1) for b in feed["marketLevel"]["bidAskQuote"] if "bidP" in b]
        assert quote.depth_buy == bids
        assert (quote.buy_quantity, quote.sell_quantity) == (feed.get("tbq", 0), feed.get("tsq", 0))
        assert quote.timestamp >= quote.last_trade_time
        count += 1
    assert count == 11_445
    assert market.ended


def test_receive_times_pace_the_replay_gaps_included() -> None:
    market = replay(BHARATFORG)
    moments = []
    while (at := market.feed.next_at()) is not None:
        moments.append(at)
        market.step()
    source = [received(message) for message in recorded(BHARATFORG)]
    # one shift for the whole recording: its receiver's clock was slow, its trades would lie in the future
    assert {round(played - wrote, 3) for played, wrote in zip(moments, source, strict=True)} == {6.0}
    gaps = [b - a for a, b in pairwise(moments)]
    assert max(gaps) > 300


def test_volumes_that_go_backwards_and_trades_after_the_close_are_played() -> None:
    market = replay(BSE)
    volumes, after_close = [], 0
    close = datetime(2025, 12, 15, 15, 30, tzinfo=IST).timestamp()
    for quote in step_all(market):
        volumes.append(quote.volume)
        after_close += quote.last_trade_time > close
    assert sum(b < a for a, b in pairwise(volumes)) == 6
    assert after_close > 0
    assert volumes[-1] == 3_951_624


@pytest.mark.parametrize("name", [BHARATFORG, "NSE_FO_51507"])
def test_the_candles_served_are_the_feeds_own_minutes(name: str) -> None:
    market = replay(name)
    for _ in step_all(market):
        pass
    (token,) = market.quotes
    with gzip.open(shared_data("minute_1m_upstox_I1_20251215", f"{name}.csv.gz"), "rt") as file:
        expected = {
            datetime.fromisoformat(row["ts"]): (
                *(round(float(row[n]) * 100) for n in ("open", "high", "low", "close")),
                int(row["volume"]),
            )
            for row in csv.DictReader(file)
        }
    day = datetime(2025, 12, 15, tzinfo=IST), datetime(2025, 12, 15, 15, 29, tzinfo=IST)
    served = {row[0]: row[1:6] for row in market.candles(token, "minute", *day)}
    assert {at: served.get(at) for at in expected} == expected


def test_several_instruments_are_merged_by_time() -> None:
    names = (BHARATFORG, BSE, "NSE_FO_51460", "NSE_FO_51461")
    market = replay(*names)
    keys = {row.key for row in market.listings.by_token.values()}
    assert keys == {"NSE:BHARATFORG", "NSE:BSE", "NFO:BANKNIFTY25DEC59500CE", "NFO:BANKNIFTY25DEC59500PE"}
    played = []

    def hear(quotes: Sequence[Quote]) -> None:
        tokens = [quote.listing.token for quote in quotes]
        assert len(tokens) == len(set(tokens))
        played.append(market.clock.epoch())

    market.add_listener(hear)
    for _ in islice(step_all(market), 5_000):
        pass
    assert played == sorted(played)


def test_a_replay_of_ticks_goes_on_after_a_crash() -> None:
    lived, other = replay(BHARATFORG, "NSE_FO_51460"), replay(BHARATFORG, "NSE_FO_51460")
    for _ in range(2_000):
        lived.step()
    other.restore(json.loads(json.dumps(lived.snapshot())))
    for _ in range(200):
        assert [q.save() for q in lived.step()] == [q.save() for q in other.step()]


def test_a_later_clock_starts_with_the_state_of_that_moment() -> None:
    moment = datetime(2025, 12, 15, 10, 30, tzinfo=IST)
    market = replay(BHARATFORG, clock=moment)
    latest = None
    for message in recorded(BHARATFORG):
        if received(message) + 6.0 > moment.timestamp():
            break
        latest = upstox_message(message)
    assert latest is not None
    (quote,) = market.quotes.values()
    assert (quote.last_price, quote.volume) == (latest.last_price, latest.volume)
    following = market.feed.next_at()
    assert following is not None
    assert following > moment.timestamp()


def test_an_empty_bid_side_stays_empty() -> None:
    market = replay(BSE, clock=datetime(2025, 12, 15, 15, 44, 0, tzinfo=IST))
    (quote,) = market.quotes.values()
    for _ in step_all(market):
        pass
    assert quote.depth_buy == []
    assert quote.buy_quantity == 0
    assert quote.depth_sell == [(264_890, 3461, 1)]


def test_breeze_futures_play_in_the_order_of_their_times() -> None:
    market = open_market(f"replay:{shared_data('ticks_breeze_futures_20251117.csv.gz')}", speed=0)
    assert {row.tradingsymbol for row in market.listings.by_token.values()} == {"MCX", "RELIANCE", "TCS", "TRENT"}
    times = [quote.timestamp for quote in step_all(market)]
    assert times == sorted(times)
    assert len(times) == 5_535


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no messages"),
        ("{}\n", "not a recorded message"),
        ('{"fullFeed": {"marketFF": {"ltpc": {"ltp": 1, "ltt": "1000"}}}}\n', "no _insertion_time"),
        ("not json\n", "not a recorded message"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "NSE_FO_51460.jsonl"
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        open_market(f"replay:{file}")


def test_a_day_that_was_not_recorded_is_refused() -> None:
    with pytest.raises(ValueError, match="not recorded on 2025-12-16"):
        open_market(f"replay:{shared_data(FOLDER, BHARATFORG + '.jsonl.gz')}@2025-12-16")
