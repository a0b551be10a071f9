"""What Upstox calls a contract, and what we do. Pure.

Upstox names a contract by an instrument key, `SEGMENT|id`: shares by ISIN, indices by their display name, derivatives
by the exchange's own number. Ours are `EXCHANGE:SYMBOL` and an integer token. How symbols and
tokens are made is in `instruments`.

Source: Upstox developer documentation, instruments and field patterns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from app.brokers.upstox.instruments import tails
from app.brokers.upstox.segments import SEGMENTS
from app.domain.errors import BadAnswer, Denied
from app.domain.ids import InstrumentId, instrument_id
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment


@dataclass(frozen=True, slots=True)
class Market:
    """One of Upstox's segments."""

    exchange: Exchange
    code: int
    """Low byte of our tokens."""
    cash: bool = False
    index: bool = False


MARKETS: Mapping[str, Market] = {
    name: Market(exchange, code, cash=name.endswith("_EQ"), index=name.endswith("_INDEX"))
    for name, (exchange, code) in SEGMENTS.items()
}

ORDER_EXCHANGES: Mapping[str, Exchange] = {
    **{exchange.value: exchange for exchange in Exchange if exchange is not Exchange.NCO},
    "NSCOM": Exchange.NCO,
}
"""How rows of orders, trades and positions write the exchange."""


def market_of_key(key: str) -> Market:
    """The segment in front of a key. Raises BadAnswer for one that is not known."""
    segment = key.partition("|")[0]
    try:
        return MARKETS[segment]
    except KeyError:
        raise BadAnswer("The broker named a contract of an unknown market.", detail=key) from None


def contract_symbol(
    underlying: str, expiry: date, kind: InstrumentKind, strike: Decimal | None, *, weekly: bool
) -> str:
    """A derivative's symbol as the instrument list has it: `NIFTY26NOVFUT`, `NIFTY26NOV24000CE`, and for a weekly
    contract with month and day, `NIFTY26N2424000CE`."""
    month, week = tails(kind, expiry, strike)
    return underlying + (week if weekly else month)


def segment_of(market: Market, kind: InstrumentKind) -> Segment:
    """Which of our markets a contract trades in."""
    if kind is InstrumentKind.INDEX:
        return Segment.INDEX
    if market.exchange in (Exchange.MCX, Exchange.NCO):
        return Segment.COMMODITY
    if market.exchange in (Exchange.CDS, Exchange.BCD):
        return Segment.CURRENCY
    if kind is InstrumentKind.SHARE:
        return Segment.EQUITY
    return Segment.FUTURES if kind is InstrumentKind.FUTURE else Segment.OPTIONS


def kind_by_symbol(market: Market, symbol: str) -> InstrumentKind:
    """What a contract is, from its symbol alone, in either of the forms that Upstox prints: `NIFTY26NOV24000CE` and
    `NIFTY 24000 CE 24 NOV 26`. Raises BadAnswer."""
    if market.index:
        return InstrumentKind.INDEX
    if market.cash:
        return InstrumentKind.SHARE
    words = symbol.split()
    for letters, kind in (("FUT", InstrumentKind.FUTURE), ("CE", InstrumentKind.CALL), ("PE", InstrumentKind.PUT)):
        if letters in words[1:] or symbol.endswith(letters):
            return kind
    raise BadAnswer("The broker named a contract that is neither future nor option.", detail=symbol)


class Directory:
    """The contracts of the day by key and by id. One for all sessions of the broker; loop thread.

    What it does not know is still named: by the exchange and symbol that a row brings along.
    """

    def __init__(self) -> None:
        self._by_id: dict[InstrumentId, Instrument] = {}
        self._by_token: dict[int, Instrument] = {}
        self._tokens: dict[str, int] = {}
        """Of keys that do not say the token themselves: shares and indices."""
        self.on_renamed: list[Callable[[AbstractSet[int]], None]] = []
        """Called with the tokens of contracts that a list of today calls by another key: a split gives a share another
        ISIN."""

    def __len__(self) -> int:
        return len(self._by_id)

    def learn(self, instruments: Iterable[Instrument]) -> None:
        """Takes contracts up, a part of a list at a time; the newer one of a token stands."""
        renamed = set()
        for one in instruments:
            if one.key:
                before = self._by_token.get(one.token)
                if before is not None and before.key != one.key:
                    renamed.add(one.token)
                self._by_id[one.id] = one
                self._by_token[one.token] = one
                if self._arithmetic(one.key) != one.token:
                    self._tokens[one.key] = one.token
        if renamed:
            for handler in tuple(self.on_renamed):
                handler(renamed)

    def get(self, instrument: InstrumentId) -> Instrument | None:
        """One by our id."""
        return self._by_id.get(instrument)

    def instrument(self, instrument: InstrumentId) -> Instrument:
        """The same. Raises Denied."""
        found = self.get(instrument)
        if found is None:
            raise Denied(f"{instrument} is not in Upstox's instrument list.", "Refresh the instruments.")
        return found

    def by_key(self, key: str) -> Instrument | None:
        """One by the broker's key."""
        return self._by_token.get(self._tokens.get(key) or self._arithmetic(key))

    def by_token(self, token: int) -> Instrument | None:
        """One by our number."""
        return self._by_token.get(token)

    def name(self, key: str, symbol: str) -> InstrumentId:
        """Our id of a contract that a row names by key and symbol. Raises BadAnswer for an unknown market."""
        known = self.by_key(key)
        if known is not None:
            return known.id
        market = market_of_key(key)
        # Order updates write a share with its series behind it.
        return instrument_id(market.exchange.value, symbol.removesuffix("-EQ") if market.cash else symbol)

    @staticmethod
    def _arithmetic(key: str) -> int:
        segment, _, number = key.partition("|")
        market = MARKETS.get(segment)
        if market is None or market.cash or market.index or not number.isdecimal():
            return 0
        return int(number) << 8 | market.code
