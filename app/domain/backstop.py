"""A trigger (GTT) that rests at the broker behind a local stop of delivery, as the journal keeps it.

A broker's trigger has no room for a tag of ours: it is ours because the journal knows its number, or because it says
just what the journal says that was about to be asked for. The order that it sends gets its mark from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.domain.gtt import GttLeg
from app.domain.ids import BrokerOrderId, GttId, InstrumentId, Nanos, StopId, Tag


class RestingState(StrEnum):
    """Where such a trigger is."""

    ASKED = "asked"
    """On its way, or nobody has said whether it arrived."""
    RESTING = "resting"
    TRIGGERED = "triggered"
    """It has sent its order, which is an exit of the stop."""
    GONE = "gone"
    """Taken back, ended by somebody else, or it never arrived."""

    @property
    def is_open(self) -> bool:
        """It may still send an order."""
        return self in (RestingState.ASKED, RestingState.RESTING)


@dataclass(frozen=True, slots=True)
class RestingTrigger:
    """One trigger behind a stop."""

    tag: Tag
    """The mark of the order that it sends: stop, attempt and a number of its own."""
    stop: StopId
    instrument: InstrumentId
    leg: GttLeg
    """As last asked for, or seen in the broker's list."""
    state: RestingState
    asked_at: Nanos
    gtt: GttId | None = None
    """The broker's number; None until it is known."""
    alike: tuple[GttId, ...] = ()
    """Triggers that said the same before it was asked for: somebody else's."""
    order: BrokerOrderId | None = None
    """What it sent."""
    filled: int | None = None
    """Units that its order had filled when it ended; None: nobody has seen it end."""
    heard: int | None = None
    """Units that its order had filled when last heard of, the end not seen; None: nobody has heard of it at all."""
    held: int | None = None
    """Units of the whole position when it was last known to wait; None: not known."""
