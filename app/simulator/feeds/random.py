"""A seeded market that is always in session.

One factor drives all shares, a second the banks; each has its own noise. Futures follow their spot, options are
priced from it. The clock moves the market in steps of a quarter of a second; the same seed gives the same prices after
the same number of steps from the same start.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.simulator import pricing
from app.simulator.candles import SESSION_OPEN, Bar, day_start, local_day
from app.simulator.feeds.depth import draw_book
from app.simulator.feeds.past import SESSION_MINUTES, Past, beta, daily_noise, draw_minutes
from app.simulator.listing import Listing, Listings
from app.simulator.quote import Quote
from app.simulator.starting import spot_key, spots, years_left

if TYPE_CHECKING:
    from app.simulator.market import Market

STEP = 0.25
"""Exchange seconds."""
SESSION_SECONDS = SESSION_MINUTES * 60.0
MARKET_SIGMA = pricing.INDEX_VOLATILITY["NIFTY"] / math.sqrt(252 * SESSION_SECONDS)
"""Of the market factor's log return, per square root of a second."""
BANK_SIGMA = MARKET_SIGMA * 0.5
PULL = 1.0 / (6 * 3600)
"""Per second, towards the day's reference: days without a close must not drift off."""
FADE = 1.0 / 60
"""Per second: how a derivative that was pushed off its fair price comes back."""
BUSIEST, IDLEST = 4.0, 1.0 / 64
TOTAL_RATE = 3000.0
"""Updates a second of all listings together, at most."""
BANKS = frozenset(
    {"NIFTY BANK", "HDFCBANK", "ICICIBANK", "SBIN", "AXISBANK", "KOTAKBANK", "INDUSINDBK", "BANKBARODA", "PNB"}
    | {"FEDERALBNK", "YESBANK"}
)


class _State:
    """Where one price process stands: an underlying's level, or a derivative's distance from fair."""

    __slots__ = ("bank", "level", "market", "push", "reference", "step")

    def __init__(self, level: float) -> None:
        self.level = level
        self.reference = level
        self.push = 0.0
        self.market = 0.0
        self.bank = 0.0
        self.step = 0

    def save(self) -> list[float]:
        return [self.level, self.reference, self.push, self.market, self.bank, self.step]

    def load(self, saved: list[float]) -> None:
        self.level, self.reference, self.push, self.market, self.bank, step = saved
        self.step = int(step)


class RandomFeed:
    """The seeded market over any listings."""

    always_open = True
    keeps_past = False
    start_at: float | None = None

    def __init__(self, listings: Listings, seed: int = 1) -> None:
        self.listings = listings
        self.seed = seed
        self._step = 0
        self._from = 0.0
        """Exchange time of step 0; moved by jumps."""
        self._market = self._bank = 0.0
        self._states: dict[str, _State] = {}
        self._spot_of: dict[str, str] = {}
        self._past = Past(seed, 0, {}, listings.by_token)
        self._groups: list[tuple[float, list[int]]] = []
        self._mean: dict[int, float] = {}

    # -- set-up

    def begin(self, market: Market, at: float) -> None:
        """Draws the morning up to now for every listing, and the first books."""
        self._prepare(local_day(at), {row.token: row.previous_close for row in self.listings.by_token.values()})
        self._from = at
        self._open_day(market, at)

    def _prepare(self, anchor_day: int, closes: Mapping[int, int]) -> None:
        rows = self.listings.by_token
        self._past = Past(self.seed, anchor_day, dict(closes), rows)
        for row in rows.values():
            if not row.underlying:
                self._states[row.key] = _State(float(row.previous_close))
            else:
                self._states[row.key] = _State(0.0)
        for name, level in spots(rows.values()).items():
            key = spot_key(name, self.listings.by_key)
            self._spot_of[name] = key or f"spot {name}"
            if key is None:
                self._states[self._spot_of[name]] = _State(level)
        rates = {row.token: rate(row) for row in rows.values()}
        excess = max(1.0, sum(rates.values()) / TOTAL_RATE)
        groups: dict[float, list[int]] = {}
        for token, updates in rates.items():
            paced = 2.0 ** round(math.log2(max(IDLEST, updates / excess)))
            groups.setdefault(paced, []).append(token)
            self._mean[token] = rows[token].day_volume / (paced * SESSION_SECONDS)
        self._groups = sorted(groups.items())

    def _open_day(self, market: Market, at: float) -> None:
        """Opens with a gap; when the clock stands after 09:15, the minutes since then are drawn."""
        day = local_day(at)
        opening = day_start(day) + SESSION_OPEN * 60
        count = min(SESSION_MINUTES, max(0, int(at - opening) // 60))
        rng = random.Random(f"{self.seed}:{day}:open")
        jump, bank = rng.gauss(0.0, 0.004), rng.gauss(0.0, 0.002)
        run = rng.gauss(0.0, MARKET_SIGMA * math.sqrt(60.0 * count))
        before: dict[str, float] = {}
        for row in sorted(self.listings.by_token.values(), key=lambda listing: bool(listing.underlying)):
            state = self._states[row.key]
            if not row.underlying:
                state.level = self._tame(row, state.level * math.exp(beta(row) * jump + _banks(row) * bank))
                before[row.key] = state.level
                own = rng.gauss(0.0, daily_noise(row) * math.sqrt(count / SESSION_MINUTES))
                state.level = self._tame(row, state.level * math.exp(beta(row) * run + own))
                state.market, state.bank, state.step = self._market, self._bank, self._step
            spot = self._spot_of.get(row.underlying, "")
            first = self._fair(row, before.get(spot, self._states[spot].level), opening) if spot else before[row.key]
            last = self._fair(row, self._states[spot].level, at) if spot else state.level
            self._morning(market, row, (self._tame(row, first), self._tame(row, last)), opening, count, at)

    def _morning(
        self, market: Market, row: Listing, ends: tuple[float, float], opening: int, count: int, at: float
    ) -> None:
        quote = market.quotes[row.token]
        if row.underlying and not quote.oi:
            quote.set_oi(max(1, row.day_volume // (2 * row.lot_size)) * row.lot_size)
        if not count:
            return  # it has not opened yet; its last price is the previous close
        rng = random.Random(f"{self.seed}:{row.token}:{local_day(at)}:morning")
        first, last = row.on_tick(ends[0]), row.on_tick(ends[1])
        wide = abs(last - first) + first * daily_noise(row) * math.sqrt(count / SESSION_MINUTES)
        step = row.tick_size or 5
        high = max(first, last) + int(abs(rng.gauss(0.0, 0.4 * wide))) // step * step
        low = max(step, min(first, last) - int(abs(rng.gauss(0.0, 0.4 * wide))) // step * step)
        lots = int(row.day_volume * count / SESSION_MINUTES) // max(1, row.lot_size)
        volume = lots * row.lot_size
        bars = draw_minutes(rng, row, opening, count, (first, high, low, last), volume, quote.oi)
        for bar in bars:
            market.bars.put(row.token, bar)
        quote.open, quote.high, quote.low, quote.last_price = first, high, low, last
        quote.volume = volume
        quote.turnover = sum(bar[4] * bar[5] for bar in bars)
        quote.average_price = quote.turnover // volume if volume else 0
        quote.timestamp = int(at)
        if row.tradable:
            quote.last_trade_time = min(int(at), bars[-1][0] + 59) if volume else 0
            quote.last_quantity = row.lot_size if volume else 0
            self._book(rng, quote, ends[1])

    # -- playing

    def next_at(self) -> float | None:
        """Every quarter of a second, for ever."""
        return self._from + (self._step + 1) * STEP

    def play(self, market: Market) -> list[Quote]:
        """One step: the factors move, and by chance, as busy as they are, some listings trade."""
        self._step += 1
        at = self._from + self._step * STEP
        rng = random.Random(self.seed * 1_000_003 + self._step)
        self._market += rng.gauss(0.0, MARKET_SIGMA) * math.sqrt(STEP)
        self._bank += rng.gauss(0.0, BANK_SIGMA) * math.sqrt(STEP)
        changed = []
        for paced, tokens in self._groups:
            count = int(len(tokens) * paced * STEP + rng.random())
            for token in rng.sample(tokens, min(count, len(tokens))):
                quote = market.quotes[token]
                self._tick(market, rng, quote, at)
                changed.append(quote)
        return changed

    def _tick(self, market: Market, rng: random.Random, quote: Quote, at: float) -> None:
        row = quote.listing
        worth = self._worth(rng, row, at)
        if not row.tradable:
            market.trade(quote, row.on_tick(worth), 0, at)
            return
        self._book(rng, quote, worth)
        side = quote.depth_buy if rng.random() < 0.5 else quote.depth_sell
        lots = 1 + int(rng.expovariate(1.0) * self._mean[row.token] / row.lot_size)
        if row.underlying:
            quote.set_oi(max(row.lot_size, quote.oi + rng.choice((-1, 0, 1)) * lots * row.lot_size))
        market.trade(quote, side[0][0], lots * row.lot_size, at)

    def _worth(self, rng: random.Random, row: Listing, at: float) -> float:
        """What a listing is worth at this step; moves its process, or its underlying's, up to here."""
        if not row.underlying:
            return self._advance(rng, row.key, row)
        spot = self._spot_of[row.underlying]
        level = self._advance(rng, spot, self.listings.by_key.get(spot))
        state = self._states[row.key]
        elapsed = (self._step - state.step) * STEP
        state.push *= math.exp(-FADE * elapsed)
        state.step = self._step
        noise = rng.gauss(0.0, 0.0015 if row.is_option else 0.00003)
        return self._tame(row, self._fair(row, level, at) * math.exp(state.push + noise))

    def _advance(self, rng: random.Random, key: str, row: Listing | None) -> float:
        state = self._states[key]
        elapsed = (self._step - state.step) * STEP
        if elapsed > 0:
            strength, own = (beta(row), daily_noise(row)) if row else (1.0, 0.011)
            state.level *= math.exp(
                strength * (self._market - state.market)
                + (_banks(row) if row else 0.0) * (self._bank - state.bank)
                + rng.gauss(0.0, own * math.sqrt(elapsed / SESSION_SECONDS))
                - min(1.0, PULL * elapsed) * math.log(state.level / state.reference)
            )
            if row:
                state.level = self._tame(row, state.level)
            state.market, state.bank, state.step = self._market, self._bank, self._step
        return state.level

    def _fair(self, row: Listing, spot: float, at: float) -> float:
        years = years_left(row.expiry, at) if row.expiry else 0.0
        if not row.is_option:
            return pricing.forward(spot, years)
        strike = float(row.strike) * row.price_scale
        call = row.instrument_type == "CE"
        return pricing.option(spot, strike, years, pricing.volatility(row.underlying), call=call)

    @staticmethod
    def _tame(row: Listing, price: float) -> float:
        """Inside the limits, with room for a bid and an offer."""
        if not row.upper_circuit:
            return price
        return min(row.upper_circuit - 2.0 * row.tick_size, max(row.lower_circuit + 2.0 * row.tick_size, price))

    def _book(self, rng: random.Random, quote: Quote, worth: float) -> None:
        """Five levels a side around the fair price; the spread is a tick, or wider for what trades thinly."""
        row = quote.listing
        tick, lot = row.tick_size, row.lot_size
        thin = 0.004 if row.is_option else 0.0002
        gap = max(1, round(worth * thin / tick)) if rng.random() < 0.8 else 2
        bid = max(tick, int((worth - gap * tick / 2) // tick) * tick)
        ask = bid + gap * tick
        draw_book(rng, quote, bid, ask, max(1.0, self._mean.get(row.token, 1.0) * 2 / lot))

    # -- interruptions

    def jumped(self, market: Market, at: float) -> None:
        """Nothing trades in the skipped time. On a later day the market opens anew."""
        later = local_day(at) > market.day
        self._from = at - self._step * STEP
        if later:
            market.begin_day(local_day(at))
            for quote in market.quotes.values():
                state = self._states[quote.listing.key]
                if not quote.listing.underlying:
                    state.level = state.reference = float(quote.last_price)
            self._open_day(market, at)

    def moved(self, quote: Quote) -> None:
        """A share stays where it was pushed; a derivative drifts back to its fair price."""
        row = quote.listing
        state = self._states[row.key]
        if not row.underlying:
            state.level = state.reference = float(quote.last_price)
            state.market, state.bank, state.step = self._market, self._bank, self._step
            return
        at = self._from + self._step * STEP
        fair = self._fair(row, self._states[self._spot_of[row.underlying]].level, at)
        state.push = math.log(quote.last_price / max(fair, row.tick_size))
        state.step = self._step

    # -- past and position

    def minutes(self, token: int, start: int, end: int) -> list[Bar]:
        """Drawn on demand."""
        return self._past.minutes(token, start, end)

    def days(self, token: int, start: int, end: int) -> list[Bar]:
        """Drawn on demand."""
        return self._past.day_bars(token, start, end)

    def save(self) -> dict[str, object]:
        """Every process and the factors; random numbers need no state, they depend on the step alone."""
        return {
            "kind": "random",
            "seed": self.seed,
            "step": self._step,
            "from": self._from,
            "factors": [self._market, self._bank],
            "states": {key: state.save() for key, state in self._states.items()},
            "anchor_day": self._past.anchor_day,
            "closes": {str(token): close for token, close in self._past.closes.items()},
        }

    def load(self, saved: dict[str, object]) -> None:
        """Goes on from the saved step."""
        match saved:
            case {
                "kind": "random",
                "seed": int(seed),
                "step": int(step),
                "from": float(start),
                "anchor_day": int(anchor),
                "factors": [float(market), float(bank)],
                "states": dict(states),
                "closes": dict(closes),
            }:
                pass
            case _:
                raise ValueError(
                    "the saved market was a replay: start with the feed it had, or with another folder of state"
                )
        self.seed, self._step, self._from = seed, step, start
        self._market, self._bank = market, bank
        known = {row.token: row.previous_close for row in self.listings.by_token.values()}
        self._past = Past(seed, anchor, known | {int(t): c for t, c in closes.items()}, self.listings.by_token)
        for key, state in states.items():
            if key in self._states:
                self._states[key].load(state)


def _banks(row: Listing) -> float:
    return 1.0 if row.tradingsymbol in BANKS else 0.0


def rate(row: Listing) -> float:
    """Updates a second, from the usual day's turnover."""
    if not row.tradable:
        return 0.5 if row.tradingsymbol == "INDIA VIX" else 2.0
    crore = row.day_volume * row.previous_close / row.price_scale / 1e7
    return min(BUSIEST, 0.12 * math.sqrt(crore))
