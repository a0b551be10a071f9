"""Which connection carries which instrument. Pure.

The first connection guards: what has a stop or a position, apart from the crowd of the watchlists, so that no burst of
theirs stands before a breach. The others share the rest; an instrument stays where it is as long as it has room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from app.domain.broker import StreamLimits
from app.domain.events import Level, Noticed
from app.domain.ids import AccountId

CHARTS = "charts"
"""The consumer whose instruments have an open chart."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Tokens by connection, the guarding one first."""

    lanes: tuple[frozenset[int], ...]
    left_out: frozenset[int] = frozenset()
    """Wanted, and there is no room: guarded ones never before all the others."""


def in_order(wanted: Mapping[str, Sequence[int]]) -> list[int]:
    """What several consumers want, who comes first where there is not room for all: what has a chart, then the shorter
    wish (one instrument of a ticket before a list of thousands), each in its own order."""
    consumers = sorted(wanted, key=lambda name: (name != CHARTS, len(wanted[name])))
    return list(dict.fromkeys(token for name in consumers for token in wanted[name]))


def without_room(account: AccountId, wanted: int, left_out: int) -> Noticed:
    """What the trader is told when not everything fits."""
    return Noticed(
        Level.WARNING,
        "Too many instruments",
        f"{wanted:,} are wanted, the broker's connections carry {wanted - left_out:,}. The last {left_out:,} get no "
        "live prices; where a source of quotes is on, theirs are asked for now and then.",
        "Shorten a watchlist. What has a stop, a position or a chart comes first, then the top of each list.",
        account,
        "too many instruments",
    )


def spread(
    guarded: AbstractSet[int],
    others: Iterable[int],
    canaries: AbstractSet[int],
    limits: StreamLimits,
    before: Sequence[AbstractSet[int]] = (),
) -> Spread:
    """Spreads what is wanted, the others in the order in which they come first. Every connection in use carries the
    canaries too, which is how its life is judged."""
    room = limits.instruments - len(canaries)
    home = {token: number for number, lane in enumerate(before) if number for token in lane}
    wanted = sorted(guarded - canaries)
    crowd = [*wanted[room:], *(token for token in others if token not in guarded and token not in canaries)]
    lanes: list[set[int]] = [set(wanted[:room])]
    if limits.connections == 1:
        free = room - len(lanes[0])
        lanes[0].update(crowd[:free])
        chosen, left_out = [], crowd[free:]
    else:
        lanes += [set() for _ in range(1, limits.connections)]
        free = room * (limits.connections - 1)
        chosen, left_out = crowd[:free], crowd[free:]
    homeless: list[int] = []
    for token in chosen:
        number = home.get(token, 0)
        if 0 < number < len(lanes) and len(lanes[number]) < room:
            lanes[number].add(token)
        else:
            homeless.append(token)
    number = 1
    for token in homeless:
        while len(lanes[number]) >= room:
            number += 1
        lanes[number].add(token)
    # Canaries ride where something else does, and on the guarding connection always.
    birds = frozenset(canaries)
    carried = [frozenset(lane) | birds if lane or not at else frozenset[int]() for at, lane in enumerate(lanes)]
    return Spread(tuple(carried), frozenset(left_out))
