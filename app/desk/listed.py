"""A contract as one account's own broker lists it. Pure."""

from __future__ import annotations

from app.desk.account import AccountDesk
from app.domain.errors import Denied
from app.domain.ids import InstrumentId
from app.domain.instrument import Instrument


def listed(desk: AccountDesk, instrument: InstrumentId) -> Instrument:
    """With that broker's tick and lot: a paper exchange or another broker may have others. Raises Denied."""
    found = desk.instrument(instrument)
    if found is None:
        raise Denied(f"{instrument} is not in the instrument list.", "Refresh the instruments.")
    return found
