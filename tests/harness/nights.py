"""Scripts of shares that are guarded over the night, with a trigger (GTT) at the broker behind their stop. Pure.

The program is closed or killed on the first day and started again on the next trading day: the order book is empty,
what was bought has become a holding, and a trigger may have fired while nobody was here, or fires in the opening gap
together with the stop.
"""

from __future__ import annotations

import random

from tests.harness.script import ARMED_BY, Act, Guarded, Kind, Night, Rule, Script, amount_of, lasts, sane

SHARES = ("NSE:HDFCBANK", "NSE:LT", "NSE:AXISBANK")
EVERY = 9
PLACE = 7
"""Of so many seeds in a row this one is such a script."""
TAIL = 25.0
_KINDS = (
    Kind.TRIGGER_FAILS,
    Kind.TRIGGER_FAILS,
    Kind.TRIGGER_FAILS,
    Kind.TRIGGER_DELETED,
    Kind.LOST_BEFORE,
    Kind.LOST_AFTER,
    Kind.LATE,
    Kind.SLOW_REPLY,
    Kind.SERVER_ERROR,
    Kind.BAD_READ,
    Kind.NO_NAME,
    Kind.BLACK_HOLE,
    Kind.IDLE_CLOSED,
    Kind.FEED_SILENT,
    Kind.UPDATE_LOST,
    Kind.UPDATE_LATE,
    Kind.PARTIAL,
    Kind.REJECTED,
    Kind.PHONE_CLOSE,
    Kind.PHONE_HALF,
    Kind.PHONE_GROW,
    Kind.MANUAL_EXIT,
    Kind.MOVED,
    Kind.DISK_BUSY,
    Kind.DISK_FULL,
    Kind.CHANGE_FAILS,
    Kind.STREAM_DOWN,
)
_NEXT_MORNING = (Kind.KILLED, Kind.KILLED_BETWEEN, Kind.TOKEN_DEATH, Kind.EXCHANGE_RESTART)
"""Only once the night is over: they start the program again themselves."""
_RULES = (Rule.FIXED, Rule.FIXED, Rule.FIXED, Rule.TRAIL_POINTS, Rule.TARGET, Rule.BREAK_EVEN)


def is_one(seed: int) -> bool:
    """Whether a seed plays a night."""
    return seed % EVERY == PLACE


def write(seed: int) -> Script:
    """The script of such a seed."""
    chance = random.Random(f"night {seed}")
    wire = "upstox" if chance.random() < 0.35 else "zerodha"
    night = _night(chance)
    names = chance.sample(SHARES, chance.choice((1, 1, 1, 2)))
    guarded = tuple(_shares(chance, name, night) for name in names)
    acts = [Act(night.at, Kind.NIGHT, 0)]
    acts += [act for _ in range(chance.choice((0, 1, 1, 2, 2, 3))) if (act := _act(chance, guarded, night, wire))]
    acts = sane(sorted(acts, key=lambda act: act.at))
    last = max([night.back, night.opens, *(g.breach for g in guarded), *(act.at + lasts(act) for act in acts)])
    return Script(seed, guarded, tuple(acts), last + TAIL, wire, night=night)


def _night(chance: random.Random) -> Night:
    at = round(ARMED_BY + chance.uniform(3.0, 9.0), 3)
    opens = at + 1.0 + chance.uniform(0.5, 20.0)
    back = chance.choice(
        (
            at + 0.9 + chance.uniform(0.2, opens - at - 0.5),  # before the market opens
            opens + chance.uniform(-0.3, 0.5),  # in the moment when it opens
            opens + chance.uniform(0.5, 25.0),
        )
    )
    return Night(at, chance.random() < 0.5, round(opens, 3), round(max(at + 1.2, back), 3))


def _shares(chance: random.Random, name: str, night: Night) -> Guarded:
    breach = chance.choice(
        (
            ARMED_BY + chance.uniform(1.0, 6.0),  # on the first day, or in its last second
            night.at + chance.uniform(-0.4, 0.9),
            night.opens,  # in the opening gap
            night.opens,
            night.opens,
            (night.opens + night.back) / 2,
            max(night.opens, night.back) + chance.uniform(0.0, 12.0),
        )
    )
    units = chance.choice((1, 10, 75, 200))
    return Guarded(
        name,
        "CNC",
        units,
        chance.randrange(30, 110),
        round(breach, 3),
        returns=False,
        thin=chance.random() < 0.1,
        rule=chance.choice(_RULES),
        gain=chance.choice((0, 0, chance.randrange(20, 150))),
        wins=chance.random() < 0.12,
        twin=True,
        depth=chance.choice((0.4, 0.8, 1.1, 1.5, 2.0, 3.0)),  # between the stop and its trigger, or beyond both
        beside=chance.choice((0, 0, units, 3 * units)),
        bought=chance.random() < 0.6,
    )


def _act(chance: random.Random, guarded: tuple[Guarded, ...], night: Night, wire: str) -> Act | None:
    kind = chance.choice(_KINDS + _NEXT_MORNING)
    if kind is Kind.STREAM_DOWN and wire != "upstox":
        return None
    about = chance.randrange(len(guarded))
    morning = max(night.back, night.opens)
    at = chance.choice(
        (
            guarded[about].breach + chance.choice((chance.uniform(-0.05, 0.1), chance.uniform(-2.0, 3.0))),
            guarded[about].breach + chance.uniform(-0.4, 0.4),
            night.back + chance.uniform(-0.5, 2.0),
            ARMED_BY - 1.9 + chance.uniform(0.0, 1.0),  # while the triggers are being placed
            morning + chance.uniform(0.0, 8.0),
        )
    )
    if kind in _NEXT_MORNING:
        at = max(at, night.back + 1.0)
    return Act(round(max(0.05, at), 4), kind, about, amount_of(chance, kind))
