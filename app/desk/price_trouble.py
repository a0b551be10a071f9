"""When prices fail an account's stops: silence that is said aloud, quotes that are asked for meanwhile, trades that no
packet showed. Nothing here fires a stop unless the trader chose so. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Protocol, runtime_checkable

from app.domain.errors import AppError
from app.domain.events import Event, FeedState, Level, Noticed
from app.domain.guard import AccountGuarding
from app.domain.ids import AccountId, InstrumentId
from app.domain.market import Quote, Tick
from app.domain.money import Price, said_price
from app.domain.stop import Stop, StopState
from app.engine.missed import MissedTrades
from app.engine.stops import StopEngine

log = logging.getLogger(__name__)

SECOND = 1_000_000_000
LOOK_SECONDS = 0.5
RED_SECONDS = 2.0
"""After a feed was found silent (which takes 3 s, or half a minute where the market may be quiet) or lost: an alarm."""
POLL_SECONDS = 2.0
"""Between two requests for quotes: brokers take one a second, and others ask too."""
_SILENT = (FeedState.SILENT, FeedState.DOWN, FeedState.REFUSED)


class Prices(Protocol):
    """What is asked of the account's feed."""

    @property
    def state(self) -> FeedState:
        """Of the guarding connection."""
        ...

    @property
    def is_now(self) -> Callable[[int], bool]:
        """Whether an exchange time (seconds) is of now."""
        ...

    on_watched_tick: Callable[[int, Tick], None]
    """Called with every whole packet of an instrument with a stop."""


@runtime_checkable
class FullQuotes(Protocol):
    """A broker whose quotes carry the exchange's time."""

    async def quotes(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Quote]:
        """Everything that the broker shows of them now. Raises AppError."""
        ...


class PriceTrouble:
    """Of one account."""

    def __init__(
        self,
        account: AccountId,
        stops: StopEngine,
        prices: Prices,
        trades: Callable[[InstrumentId], bool],
        chosen: Callable[[AccountId], AccountGuarding],
        publish: Callable[[Event], None],
    ) -> None:
        self._account = account
        self._stops = stops
        self._prices = prices
        self._trades = trades
        """Whether an instrument trades continuously now."""
        self._chosen = chosen
        self._publish = publish
        self._missed = MissedTrades(stops.armed_on, self._on_missed)
        self._silent_since: float | None = None
        self._told = False
        self._polled_at = 0.0
        self._polled: dict[InstrumentId, Price] = {}
        """By the quotes of this silence."""
        prices.on_watched_tick = self._missed.look
        stops.polled = self._price
        stops.prices_come(self._comes)

    async def run(self, broker: object) -> None:
        """For as long as a session lives."""
        self._missed.forget()
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = loop.time()
            if not self._silent():
                self._over()
                continue
            if self._silent_since is None:
                self._silent_since = now
            if now - self._silent_since >= RED_SECONDS:
                self._alarm(asks=isinstance(broker, FullQuotes))
                self._stops.backstops.tighten(tight=self._chosen(self._account).tightens)
            if self._chosen(self._account).polled_fires and now - self._polled_at >= POLL_SECONDS:
                self._polled_at = now
                await self._poll(broker)

    # -- silence -----------------------------------------------------------------------------------------------------

    def _silent(self) -> bool:
        return self._mute() and self._stops.watching > 0 and self._blind() > 0

    def _mute(self) -> bool:
        """One that was silent and is dialled anew brings nothing yet."""
        state = self._prices.state
        return state in _SILENT or (state is FeedState.CONNECTING and self._silent_since is not None)

    def _blind(self) -> int:
        """Armed stops whose market trades."""
        armed = (stop for stop in self._stops.stops if stop.state is StopState.ARMED)
        return sum(self._trades(stop.key.instrument) for stop in armed)

    def _alarm(self, *, asks: bool) -> None:
        if self._told:
            return
        self._told = True
        blind = self._blind()
        count = "1 stop is" if blind == 1 else f"{blind} stops are"
        chosen = self._chosen(self._account)
        done = "Watch the market elsewhere; Stopline dials again and again, and no old price fires a stop."
        if asks and chosen.polled_fires:
            done = "Quotes are asked for every two seconds and may fire them."
        behind = self._stops.backstops
        if chosen.tightens and (behind.backed or behind.triggers.backed):
            done += " Backstops move up to their stops."
        self._publish(
            Noticed(
                Level.ALARM,
                "No prices come",
                f"{count} blind: no price comes while the market trades.",
                done,
                self._account,
                f"silent:{self._account}",
            )
        )

    def _over(self) -> None:
        self._silent_since = None
        self._polled.clear()
        self._stops.backstops.tighten(tight=False)
        if not self._told:
            return
        self._told = False
        title, cause = "Prices come again", "Stops decide again."
        if self._prices.state is not FeedState.LIVE:  # what was blind has left, or its market has closed
            title, cause = "No stop is blind any more", "None that is armed is in a market that trades now."
        key = f"silent over:{self._account}"
        self._publish(Noticed(Level.INFO, title, cause, "", self._account, key))

    # -- quotes that are asked for -----------------------------------------------------------------------------------

    async def _poll(self, broker: object) -> None:
        """Quotes of what stops look at, through the same tests as ticks. Raises nothing: the feed is what counts."""
        if not isinstance(broker, FullQuotes):
            return
        tokens = {name: token for token, name in self._stops.looked_at.items()}
        try:
            quotes = await broker.quotes(sorted(tokens))
        except AppError as failure:
            log.info("quotes of %s while its feed is silent: %s", self._account, failure.cause)
            return
        if not self._silent():  # ticks have come meanwhile, and theirs is the newer word
            return
        fresh = [(tokens[name], one.tick) for name, one in quotes.items() if name in tokens and self._is_now(one.tick)]
        self._polled.update({tick.instrument: tick.last_price for _, tick in fresh})
        marks = [(token, tick.last_price, tick.volume or 0, _seconds(tick)) for token, tick in fresh]
        self._stops.check(marks, perf_counter_ns())
        for token, tick in fresh:
            self._stops.rich.look(token, tick)

    def _is_now(self, tick: Tick) -> bool:
        seconds = _seconds(tick)
        # A price of nought is none.
        return tick.last_price > 0 and seconds > 0 and self._prices.is_now(seconds)

    def _price(self, instrument: InstrumentId) -> Price | None:
        """What the last quote said, while the feed says nothing."""
        return self._polled.get(instrument) if self._polled and self._mute() else None

    def _comes(self, instrument: InstrumentId) -> bool:
        """What its last price says is so now."""
        return not self._mute() or instrument in self._polled

    # -- trades that no packet showed --------------------------------------------------------------------------------

    def _on_missed(self, stop: Stop, tick: Tick, price: Price) -> None:
        fires = self._chosen(self._account).missed_fires
        scale = stop.price_scale
        extreme = "low" if price <= tick.last_price else "high"
        self._publish(
            Noticed(
                Level.ALARM,
                f"Stop on {stop.key.instrument}",
                f"It traded at {said_price(price, scale)} (the day's new {extreme}), beyond the stop at "
                f"{said_price(stop.trigger, scale)}, and no packet showed that trade. The last price is "
                f"{said_price(tick.last_price, scale)}.",
                "The stop fires, as you chose."
                if fires
                else "The stop waits for a price. To get out now, exit by hand.",
                self._account,
                f"missed:{stop.id}",
            )
        )
        if fires:
            self._stops.check([(stop.token, price, tick.volume or 0, _seconds(tick))], perf_counter_ns())


def _seconds(tick: Tick) -> int:
    return (tick.exchange_time or 0) // SECOND
