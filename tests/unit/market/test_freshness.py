"""Which first packets of a connection are of now."""

from __future__ import annotations

from app.market.freshness import SECOND, Freshness


class Clock:
    """Set by the scene; an hour ahead of the exchange, as a wrong one may be."""

    def __init__(self) -> None:
        self.seconds = 3_600.0

    def now(self) -> int:
        return int((10_000 + self.seconds) * SECOND)


def test_after_a_reconnect_only_a_price_of_now_decides() -> None:
    clock = Clock()
    fresh = Freshness(clock.now)
    fresh.saw(10_000)
    assert fresh.counts(7, 9_000)  # it has spoken on this connection: whatever it says is news
    clock.seconds += 40
    fresh.connected({7})
    assert not fresh.counts(7, 10_000)  # the last price before the gap
    assert fresh.counts(7, 10_036)
    assert fresh.counts(8, 10_000)
    fresh.awaiting.discard(7)
    assert fresh.counts(7, 10_001)


def test_old_packets_do_not_set_the_time_back() -> None:
    clock = Clock()
    fresh = Freshness(clock.now)
    fresh.saw(10_000)
    fresh.saw(9_000)
    fresh.saw(0)
    assert fresh.is_now(9_996)
    assert not fresh.is_now(9_990)


def test_before_the_feed_has_shown_any_time_our_clock_judges_with_slack() -> None:
    clock = Clock()
    fresh = Freshness(clock.now)
    fresh.connected({7})
    assert fresh.counts(7, 13_560)
    assert not fresh.counts(7, 13_500)
