"""Which connection carries which instrument. Pure.

The first connection guards: what has a stop or a position, apart from the crowd of the watchlists, so that no burst of
theirs stands before a breach. The others share the rest; an instrument stays where it is as long as it is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from app.domain.broker import StreamLimits


@dataclass(frozen=True, slots=True)
class Spread:
    """Tokens by connection, the guarding one first."""

    lanes: tuple[frozenset[int], ...]
    left_out: frozenset[int] = frozenset()
    """Wanted, and there is no room: guarded ones never before all the others."""


def spread(
    guarded: AbstractSet[int],
    others: AbstractSet[int],
    canaries: AbstractSet[int],
    limits: StreamLimits,
    before: Sequence[AbstractSet[int]] = (),
) -> Spread:
    """Spreads what is wanted. Every connection in use carries the canaries too, which is how its life is judged."""
    room = limits.instruments - len(canaries)
    home = {token: number for number, lane in enumerate(before) if number for token in lane}
    wanted = sorted(guarded - canaries)
    rest = others - guarded - canaries
    # Who is there already comes before who is new, should there not be room for all.
    crowd = [*wanted[room:], *sorted(rest & home.keys()), *sorted(rest - home.keys())]
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
