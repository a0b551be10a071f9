"""A made-up order book around a price."""

from __future__ import annotations

import random

from app.simulator.quote import Level, Quote

LEVELS = 5


def draw_book(rng: random.Random, quote: Quote, bid: int, ask: int, usual_lots: float) -> None:
    """Five levels a side from the best bid and offer, `usual_lots` the mean size of one."""
    tick, lot = quote.listing.tick_size, quote.listing.lot_size
    buys: list[Level] = []
    sells: list[Level] = []
    for level in range(LEVELS):
        for side, price in ((buys, bid - level * tick), (sells, ask + level * tick)):
            lots = 1 + int(rng.expovariate(1.0) * usual_lots * (1 + 0.5 * level))
            if price > 0:
                side.append((price, lots * lot, 1 + int(lots**0.5 * rng.random())))
    quote.depth_buy, quote.depth_sell = buys, sells
    quote.buy_quantity = int(sum(level[1] for level in buys) * (15 + 10 * rng.random()))
    quote.sell_quantity = int(sum(level[1] for level in sells) * (15 + 10 * rng.random()))
