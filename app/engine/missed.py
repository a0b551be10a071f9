"""Trades at a level that no packet showed: a feed sends a few packets a second, an exchange trades more often.

Two packets prove such a trade when the day's low (high) passed the level between them while the last price of neither
did. The level test is on prices that were shown, so this fires nothing by itself: whoever is told decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from app.domain.ids import StopId
from app.domain.market import Tick
from app.domain.money import Price
from app.domain.order import Side
from app.domain.stop import Stop, TriggerSource


@dataclass(frozen=True, slots=True)
class _Seen:
    low: Price | None
    high: Price | None
    volume: int | None
    levels: Mapping[StopId, Price]
    """In force then: one that was tightened since says nothing about what was traded before."""


class MissedTrades:
    """Of one account's armed stops. Loop thread only, after the frame was checked."""

    def __init__(self, armed_on: Callable[[int], Iterable[Stop]], missed: Callable[[Stop, Tick, Price], None]) -> None:
        self._armed_on = armed_on
        self._missed = missed
        """(stop, the packet that proves it, the price that was traded at)."""
        self._seen: dict[int, _Seen] = {}

    def look(self, token: int, tick: Tick) -> None:
        """Every whole packet of an instrument with an armed stop."""
        stops = [stop for stop in self._armed_on(token) if stop.plan.source is TriggerSource.LAST]
        before = self._seen.get(token)
        self._seen[token] = _Seen(tick.low, tick.high, tick.volume, {stop.id: stop.trigger for stop in stops})
        if before is None or not _traded(before.volume, tick.volume):
            return
        for stop in stops:
            level = before.levels.get(stop.id)
            price = None if level is None else _beyond(stop, level, before, tick)
            # Also by the level of now: the trader may have moved it away.
            if price and stop.is_hit(price) and not stop.is_hit(tick.last_price):
                self._missed(stop, tick, price)

    def forget(self) -> None:
        """The session is over: the next one's first packets are compared with nothing."""
        self._seen.clear()


def _traded(before: int | None, now: int | None) -> bool:
    return before is not None and now is not None and now > before


def _beyond(stop: Stop, level: Price, before: _Seen, tick: Tick) -> Price | None:
    """The day's new extreme, where it passed the level since the packet before."""
    if stop.side is Side.SELL:
        extreme, fell = tick.low, tick.low is not None and before.low is not None and tick.low < before.low
        return extreme if fell and extreme is not None and extreme <= level else None
    extreme, rose = tick.high, tick.high is not None and before.high is not None and tick.high > before.high
    return extreme if rose and extreme is not None and extreme >= level else None
