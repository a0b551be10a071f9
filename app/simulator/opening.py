"""Builds the market that a command line asks for: feed, listings and clock that fit together."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from app.simulator.clock import IST, ExchangeClock, session_start
from app.simulator.feeds import Feed
from app.simulator.feeds.random import RandomFeed
from app.simulator.listing import load_file, load_sample
from app.simulator.market import Market


def open_market(
    feed: str = "random",
    *,
    seed: int = 1,
    speed: float = 1.0,
    clock: datetime | None = None,
    instruments: Path | str | None = None,
) -> Market:
    """A market that has not run yet.

    `feed` is `random` or `replay:SOURCE`. `clock` (naive: IST) is where the exchange's time begins; by default a random
    market begins at 10:00 of the latest weekday, a replay just before its first price. Raises ValueError, in words.
    """
    start = clock if clock is None or clock.tzinfo else clock.replace(tzinfo=IST)
    if feed == "random":
        start = start or session_start(datetime.now(UTC))
        on = start.astimezone(IST).date()
        listings = load_file(instruments, on) if instruments is not None else load_sample(on)
        source: Feed = RandomFeed(listings, seed)
    else:
        raise ValueError(f"unknown feed {feed!r}: use random or replay:FILE")
    return Market(source, ExchangeClock(start, speed))
