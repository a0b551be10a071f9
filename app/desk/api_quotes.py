"""Who is asked for prices that no feed brings, as the desk's callers see it (see `desk.api`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.ids import InstrumentId
from app.domain.quotes import PolledPrice, QuoteSources
from app.runtime.secret import Secret


class QuoteVerbs(Protocol):
    """Prices for the display only; none of them reaches a stop (E6)."""

    async def view(self) -> QuoteSources:
        """Who is asked, in order."""
        ...

    async def arrange(self, order: Sequence[str]) -> QuoteSources:
        """Another order; who is not named comes after. Raises Denied for somebody that there is not."""
        ...

    async def switch(self, name: str, *, on: bool) -> QuoteSources:
        """Whether a source may be asked at all."""
        ...

    async def save_key(self, name: str, key: Secret, api_url: str = "") -> QuoteSources:
        """A provider's key, proved with a real call before it is stored. Raises Denied, NotPermitted, Unreachable."""
        ...

    async def forget_key(self, name: str) -> QuoteSources:
        """Wiped; the provider is asked no more."""
        ...

    async def ask(self, instruments: Sequence[InstrumentId]) -> Sequence[PolledPrice]:
        """Prices from the first in the order that knows each; what nobody knows is missing."""
        ...
