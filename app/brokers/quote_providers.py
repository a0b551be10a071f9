"""The contract of a provider that only quotes (E6). It has no account, no session and no orders: a key and a price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from app.domain.instrument import Instrument
from app.domain.market import Tick
from app.domain.quotes import QuoteProviderInfo
from app.runtime.paths import resource
from app.runtime.secret import Secret


class QuoteProvider(Protocol):
    """One with its key, ready to be asked. Loop thread."""

    async def quote(self, instrument: Instrument) -> Tick | None:
        """Its last price with the time of the trade; None: it does not know the instrument.

        Raises NotPermitted (the key, or what its plan lacks), RateLimited, Unreachable, BadAnswer.
        """
        ...

    async def probe(self) -> None:
        """Proves a new key with a real call. Raises as `quote`, in words for whoever typed the key."""
        ...

    async def close(self) -> None:
        """Its connections."""
        ...


class QuoteProviderFactory(Protocol):
    """What there is of a provider before anybody has a key."""

    info: QuoteProviderInfo

    def covers(self, instrument: Instrument) -> bool:
        """Whether it could know the instrument; nothing is asked."""
        ...

    def open(self, key: Secret, api_url: str) -> QuoteProvider:
        """Nothing is asked yet."""
        ...


Providers = Mapping[str, QuoteProviderFactory]
"""By name."""


def shipped_provider(name: str) -> QuoteProviderInfo:
    """From its dated file. Raises ValueError that names the field."""
    try:
        return msgspec.json.decode(resource("quotes", f"{name}.json").read_bytes(), type=QuoteProviderInfo)
    except msgspec.DecodeError as bad:
        raise ValueError(f"quote provider {name}: {bad}") from bad
