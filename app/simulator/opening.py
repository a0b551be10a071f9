"""Builds the market that a command line asks for: feed, listings and clock that fit together."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

from app.simulator.clock import IST, ExchangeClock, session_start
from app.simulator.feeds.bars import BarTape, read_bars
from app.simulator.feeds.identity import identify
from app.simulator.feeds.random import RandomFeed
from app.simulator.feeds.replay import Replay, Tape
from app.simulator.feeds.ticks import UpstoxTape, is_breeze, read_breeze
from app.simulator.listing import Listings, load_file, load_sample
from app.simulator.market import Market

_DAY = re.compile(r"(.+)@(\d{4}-\d\d-\d\d)")


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
        listings = _listings(instruments, start.astimezone(IST).date())
        return Market(RandomFeed(listings, seed), ExchangeClock(start, speed))
    kind, _, source = feed.partition(":")
    if kind != "replay" or not source:
        raise ValueError(f"unknown feed {feed!r}: use random or replay:FILE")
    replay = Replay(open_tapes(source, _listings(instruments, None)))
    if start is None and replay.start_at is not None:
        start = datetime.fromtimestamp(replay.start_at, IST)
    return Market(replay, ExchangeClock(start, speed))


def _listings(instruments: Path | str | None, on: date | None) -> Listings:
    return load_file(instruments, on) if instruments is not None else load_sample(on)


def open_tapes(source: str, known: Listings) -> list[Tape]:
    """The recordings that a source names: files or folders, separated by commas, and perhaps `@2023-04-03` to play
    one day of them. Each file is told by its content: recorded messages, a Breeze CSV, or bars."""
    day = None
    if match := _DAY.fullmatch(source):
        source, day = match[1], date.fromisoformat(match[2])
    tapes: list[Tape] = []
    for part in source.split(","):
        path = Path(part)
        if not path.exists():
            raise ValueError(f"no recording at {part}")
        found = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in found:
            if file.name.removesuffix(".gz").endswith((".csv", ".jsonl")):
                tapes += _tapes(file, known, day)
    recorded = [tape for tape in tapes if isinstance(tape, UpstoxTape)]
    for tape in recorded:  # one receiver wrote them all
        tape.slow = max(other.slow for other in recorded)
    return tapes


def _tapes(file: Path, known: Listings, day: date | None) -> list[Tape]:
    name = file.name.removesuffix(".gz")
    if name.endswith(".jsonl"):
        return [UpstoxTape(file, known, day)]
    if is_breeze(file):
        return list(read_breeze(file, known))
    return [BarTape(identify(name.removesuffix(".csv"), known), read_bars(file), day)]
