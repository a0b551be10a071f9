"""Quote sources from the command line: of a desk here, or of the workstation that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from app.desk.api import Desk
from app.desk.remote import Verb, call
from app.domain.ids import InstrumentId
from app.domain.quotes import PolledPrice, QuoteSources
from app.runtime.paths import ProfilePaths
from app.runtime.redaction import redact
from app.runtime.secret import Secret

SECONDS = 60.0
"""How long a workstation may take: a new key is proved with a real call."""


class RemoteQuotes:
    """The desk of the workstation that runs on a profile. Implements `desk.api_quotes.QuoteVerbs`."""

    def __init__(self, paths: ProfilePaths) -> None:
        self._paths = paths

    async def view(self) -> QuoteSources:
        """The same, in the workstation."""
        return await self._sources("quotes.view", {})

    async def arrange(self, order: Sequence[str]) -> QuoteSources:
        """The same, in the workstation."""
        return await self._sources("quotes.arrange", {"order": list(order)})

    async def switch(self, name: str, *, on: bool) -> QuoteSources:
        """The same, in the workstation."""
        return await self._sources("quotes.switch", {"name": name, "on": on})

    async def save_key(self, name: str, key: Secret, api_url: str = "") -> QuoteSources:
        """The same, in the workstation."""
        redact(key)
        return await self._sources("quotes.key", {"name": name, "key": key.reveal(), "api_url": api_url})

    async def forget_key(self, name: str) -> QuoteSources:
        """The same, in the workstation."""
        return await self._sources("quotes.forget", {"name": name})

    async def ask(self, instruments: Sequence[InstrumentId]) -> Sequence[PolledPrice]:
        """The same, in the workstation."""
        answer = await asyncio.to_thread(
            call, self._paths, "quotes.ask", {"instruments": list(instruments)}, timeout=SECONDS
        )
        return msgspec.convert(answer, list[PolledPrice])

    async def _sources(self, verb: str, params: Mapping[str, Any]) -> QuoteSources:
        answer = await asyncio.to_thread(call, self._paths, verb, params, timeout=SECONDS)
        return msgspec.convert(answer, QuoteSources)


def quote_verbs(desk: Desk) -> dict[str, Verb]:
    """What a workstation answers on its local socket."""

    async def view(_: Mapping[str, Any]) -> QuoteSources:
        return await desk.quotes.view()

    async def arrange(params: Mapping[str, Any]) -> QuoteSources:
        return await desk.quotes.arrange(msgspec.convert(params["order"], list[str]))

    async def switch(params: Mapping[str, Any]) -> QuoteSources:
        return await desk.quotes.switch(params["name"], on=bool(params["on"]))

    async def key(params: Mapping[str, Any]) -> QuoteSources:
        return await desk.quotes.save_key(params["name"], Secret(params["key"]), params["api_url"])

    async def forget(params: Mapping[str, Any]) -> QuoteSources:
        return await desk.quotes.forget_key(params["name"])

    async def ask(params: Mapping[str, Any]) -> Sequence[PolledPrice]:
        return await desk.quotes.ask(msgspec.convert(params["instruments"], list[InstrumentId]))

    return {
        "quotes.view": view,
        "quotes.arrange": arrange,
        "quotes.switch": switch,
        "quotes.key": key,
        "quotes.forget": forget,
        "quotes.ask": ask,
    }
