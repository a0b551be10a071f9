"""What protects each open position, and how much money nothing protects. Pure.

A position may be covered in parts: some units by a local stop with a backstop at the exchange, some by a trigger only.
The best protection counts first; a local stop that no live price reaches protects nothing. Money at risk is what the
units are worth at the last price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from app.domain.events import Event
from app.domain.gtt import Gtt, GttLeg, GttRole, GttStatus
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.money import Paise, Price
from app.domain.order import Order, OrderKind, Side
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, StopState, stop_of_tag

K = TypeVar("K")
V = TypeVar("V")


class Protection(StrEnum):
    """Kinds of protection."""

    NONE = "none"
    BLIND = "local, blind"
    """A local stop that no live price reaches, and nothing behind it."""
    GTT = "GTT at the broker"
    """A limit order that the broker sends when its trigger is reached: it may never fill."""
    BROKER = "broker stop"
    """A stop order that rests at the exchange, without a local stop that sees."""
    STRATEGY = "strategy"
    """The local stop of a strategy's share."""
    LOCAL = "local"
    GTT_TWIN = "local + GTT at the broker"
    """A local stop, and behind it a trigger at the broker that outlives this computer and the day."""
    TWIN = "local + backstop"
    """A local stop, and behind it an order at the exchange that outlives this computer."""

    @property
    def protects(self) -> bool:
        """Something would close the position."""
        return self not in (Protection.NONE, Protection.BLIND)


_STRENGTH = {kind: strength for strength, kind in enumerate(Protection)}


@dataclass(frozen=True, slots=True)
class Coverage:
    """One position's protection."""

    key: PositionKey
    kind: Protection
    """The weakest of those that its protected units have; NONE or BLIND where no unit has one."""
    units: int
    """Open, without sign."""
    protected: int
    at_risk: Paise
    unprotected: Paise
    parts: tuple[tuple[Protection, int], ...]
    """Units by kind, strongest first; together all units."""


@dataclass(frozen=True, slots=True)
class CoverageChanged(Event):
    """What protects the open positions of an account was worked out anew."""

    account: AccountId
    rows: tuple[Coverage, ...]


def coverage_of(
    positions: Iterable[Position],
    stops: Iterable[Stop],
    *,
    live: bool,
    backed: Mapping[StopId, int],
    orders: Iterable[Order] = (),
    gtts: Iterable[Gtt] = (),
    triggers: Mapping[StopId, int] | None = None,
    unwatched: AbstractSet[StopId] = frozenset(),
    last: Mapping[InstrumentId, Price] | None = None,
) -> tuple[Coverage, ...]:
    """Of all open positions, in their order.

    `live`: prices reach the stops, but for those that are `unwatched`. `backed` and `triggers`: units of each stop
    behind which an order, or a trigger, rests. `orders`: all of the account; those of `stops` are left out by their
    tags. `gtts`: those not ours.
    """
    prices = last or {}
    cover = covering(stops, live=live, backed=backed, orders=orders, gtts=gtts, triggers=triggers, unwatched=unwatched)
    return tuple(
        cover(position, prices.get(position.key.instrument, position.last_price))
        for position in positions
        if position.quantity
    )


def covering(
    stops: Iterable[Stop],
    *,
    live: bool,
    backed: Mapping[StopId, int],
    orders: Iterable[Order] = (),
    gtts: Iterable[Gtt] = (),
    triggers: Mapping[StopId, int] | None = None,
    unwatched: AbstractSet[StopId] = frozenset(),
) -> Callable[[Position, Price], Coverage]:
    """The same for one position at its last price after the other: five hundred are not looked at in one go on a thread
    where a stop may have to fire."""
    stops = tuple(stops)
    known = {stop.id for stop in stops}
    own = _grouped((stop.key, stop) for stop in stops if _guards(stop))
    resting = _grouped((_key_of(order), order) for order in orders if _is_broker_stop(order, known))
    waiting = _grouped(((gtt.account, gtt.instrument), gtt) for gtt in gtts if gtt.status is GttStatus.ACTIVE)
    behind = backed, triggers or {}
    sees = {stop.id for stop in stops if live and stop.id not in unwatched}

    def cover(position: Position, last: Price) -> Coverage:
        key = position.key
        around = own.get(key, ()), resting.get(key, ()), waiting.get((key.account, key.instrument), ())
        return _cover(position, last, _layers(position, *around, behind, sees))

    return cover


def _grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def _guards(stop: Stop) -> bool:
    """One that is suspended waits for the trader's answer and guards nothing."""
    return stop.has_level and not stop.state.is_final and stop.state is not StopState.SUSPENDED


def _key_of(order: Order) -> PositionKey:
    return PositionKey(order.account, order.instrument, order.product)


def _layers(
    position: Position,
    stops: Iterable[Stop],
    orders: Iterable[Order],
    gtts: Iterable[Gtt],
    resting: tuple[Mapping[StopId, int], Mapping[StopId, int]],
    sees: AbstractSet[StopId],
) -> list[tuple[Protection, int]]:
    side, found = position.exit_side, []
    for stop in stops:
        if stop.side is not side:
            continue
        orders_behind, triggers_behind = (units.get(stop.id, 0) for units in resting)
        behind = min(stop.quantity, orders_behind)
        waiting = min(stop.quantity - behind, triggers_behind)
        live = stop.id in sees
        own = Protection.LOCAL if stop.strategy is None else Protection.STRATEGY
        found.append((Protection.TWIN if live else Protection.BROKER, behind))
        found.append((Protection.GTT_TWIN if live else Protection.GTT, waiting))
        found.append((own if live else Protection.BLIND, stop.quantity - behind - waiting))
    found.extend((Protection.BROKER, order.quantity - order.filled_quantity) for order in orders if order.side is side)
    found.extend((Protection.GTT, _trigger_units(gtt, position, side)) for gtt in gtts)
    return sorted(((kind, units) for kind, units in found if units > 0), key=lambda part: -_STRENGTH[part[0]])


def _is_broker_stop(order: Order, known: AbstractSet[StopId]) -> bool:
    """A stop order from elsewhere, or by hand, or of a stop that nobody here knows; a backstop of ours is counted with
    its stop."""
    is_stop = order.kind in (OrderKind.SL, OrderKind.SL_M) and not order.status.is_final
    return is_stop and stop_of_tag(order.tag) not in known


def _trigger_units(gtt: Gtt, position: Position, side: Side) -> int:
    """Units that a trigger on the losing side would close: of an entry with exits its stop, once that is in."""
    return max(
        (
            leg.quantity
            for leg in gtt.legs
            if leg.side is side and leg.product is position.key.product and _would_stop(gtt, leg)
        ),
        default=0,
    )


def _would_stop(gtt: Gtt, leg: GttLeg) -> bool:
    if leg.role is not GttRole.TRIGGER:
        return leg.role is GttRole.STOP and gtt.entered
    return leg.trigger < gtt.last_price if leg.side is Side.SELL else leg.trigger > gtt.last_price


def _cover(position: Position, last: Price, layers: list[tuple[Protection, int]]) -> Coverage:
    units = abs(position.quantity)
    parts: dict[Protection, int] = {}
    left = units
    for kind, offered in layers:
        taken = min(offered, left)
        if taken:
            parts[kind] = parts.get(kind, 0) + taken
            left -= taken
    if left:
        parts[Protection.NONE] = left
    protected = sum(count for kind, count in parts.items() if kind.protects)
    protecting = [kind for kind in parts if kind.protects]
    weakest = min(protecting or parts, key=_STRENGTH.__getitem__)
    if not protecting and Protection.BLIND in parts:
        weakest = Protection.BLIND
    return Coverage(
        position.key,
        weakest,
        units,
        protected,
        _worth(position, units, last),
        _worth(position, units - protected, last),
        tuple(sorted(parts.items(), key=lambda part: -_STRENGTH[part[0]])),
    )


def _worth(position: Position, units: int, last: Price) -> Paise:
    return units * position.multiplier * last * 100 // position.price_scale


@dataclass(frozen=True, slots=True)
class CoverageSum:
    """Of several positions."""

    at_risk: Paise
    unprotected: Paise

    @property
    def protected_share(self) -> int:
        """Percent of the money at risk that something protects, rounded down; 100 where nothing is at risk."""
        return 100 if self.at_risk == 0 else (self.at_risk - self.unprotected) * 100 // self.at_risk


def sum_of(rows: Iterable[Coverage]) -> CoverageSum:
    """All together."""
    rows = tuple(rows)
    return CoverageSum(sum(row.at_risk for row in rows), sum(row.unprotected for row in rows))
