"""Prices for the display where no feed brings them (E6): who may be asked, in whose order, and what came of it.

Such a price never reaches a stop: it is an event of its own, which nothing of the engine hears.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.domain.broker import RateLimit
from app.domain.events import Event
from app.domain.ids import InstrumentId, Nanos
from app.domain.market import Tick


@dataclass(frozen=True, slots=True)
class QuoteProviderInfo:
    """A provider of quotes that is no broker. Its figures are dated: `resources/quotes/<name>.json`."""

    name: str
    title: str
    api_url: str
    documentation: str
    requests: tuple[RateLimit, ...]
    """All of them hold at once."""
    suffixes: tuple[tuple[str, str], ...] = ()
    """Exchange, and what follows the symbol there. An exchange that is not there is not quoted."""
    probe: str = ""
    """The provider's name of a share that trades every day: a new key is tried with it."""
    as_of: str = ""


@dataclass(frozen=True, slots=True)
class QuoteSource:
    """One that may be asked: a logged-in account, or a provider."""

    name: str
    """An account's id, or a provider's name."""
    title: str
    account: bool
    on: bool
    """The trader lets it be asked."""
    ready: bool
    """It can answer now: logged in, or its key is stored."""
    words: str = ""
    """Why it is not ready, or what its last failure was."""
    used: int = 0
    """Requests in the longest window of its limit; 0 for an account, whose requests are counted elsewhere."""
    limit: int = 0
    """Of these, at most; 0: counted elsewhere."""
    last_at: Nanos | None = None
    """When it last answered, by this machine's clock."""


@dataclass(frozen=True, slots=True)
class QuoteSources:
    """All of them, in the order in which they are asked."""

    sources: tuple[QuoteSource, ...]


@dataclass(frozen=True, slots=True)
class QuoteChoice:
    """What the trader chose; kept with the profile."""

    order: tuple[str, ...] = ()
    off: tuple[str, ...] = ()

    def arranged(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names there are in the chosen order; those that nobody has placed yet come after them."""
        there = list(dict.fromkeys(names))
        placed = [name for name in self.order if name in there]
        return (*placed, *(name for name in there if name not in self.order))


@dataclass(frozen=True, slots=True)
class PolledPrice:
    """A price that was asked for, and who told it."""

    tick: Tick
    source: str
    """Its title."""
    price_scale: int = 100
    """Minor units in a rupee."""


@dataclass(frozen=True, slots=True)
class PricesPolled(Event):
    """Prices for the display only."""

    prices: tuple[PolledPrice, ...]


def in_turn(
    wanted: Sequence[InstrumentId], asked_at: Mapping[InstrumentId, float], now: float, every: float, room: int
) -> list[InstrumentId]:
    """Which instruments to ask for now: at most `room`, none that was asked for less than `every` seconds ago, those
    that wait longest first, so that a long list under a small limit goes round and nobody starves."""
    due = [name for name in wanted if now - asked_at.get(name, -every) >= every]
    return sorted(due, key=lambda name: asked_at.get(name, -every))[: max(0, room)]
