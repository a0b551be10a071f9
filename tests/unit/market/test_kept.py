from __future__ import annotations

from collections.abc import Callable

from app.domain.ids import InstrumentId
from app.domain.market import Tick
from app.market.kept import KEPT_PRICES, KeptPrices

TOKEN = 408065


class Prices:
    """Somebody listens already."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.on_watched_tick: Callable[[int, Tick], None] = lambda _token, tick: self.heard.append(tick.last_price)

    def tick(self, price: int, received_at: int = 0) -> None:
        self.on_watched_tick(TOKEN, Tick(InstrumentId("NSE:INFY"), price, received_at))


def test_an_instrument_that_never_ticked_has_no_prices() -> None:
    assert KeptPrices(Prices()).of(TOKEN) == ()


def test_prices_are_told_oldest_first_and_the_others_still_hear_them() -> None:
    prices = Prices()
    kept = KeptPrices(prices)
    for second, price in enumerate((1_500_00, 1_499_95, 1_500_05)):
        prices.tick(price, second * 1_000_000_000)
    assert [price for _, price in kept.of(TOKEN)] == [1_500_00, 1_499_95, 1_500_05] == prices.heard
    moments = [arrived for arrived, _ in kept.of(TOKEN)]
    assert moments == sorted(moments)
    assert kept.of(TOKEN + 1) == ()


def test_the_newest_stay() -> None:
    prices = Prices()
    kept = KeptPrices(prices)
    for price in range(KEPT_PRICES + 7):
        prices.tick(price)
    assert [price for _, price in kept.of(TOKEN)] == list(range(7, KEPT_PRICES + 7))
