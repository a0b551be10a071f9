"""Who is asked for prices, as a test wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.domain.ids import InstrumentId
from app.domain.quotes import PolledPrice, QuoteSource, QuoteSources
from app.runtime.secret import Secret
from tests.ui import scripted_market as market
from tests.ui.script import Script


class ScriptedQuotes:
    """Prices that no feed brings."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.sources = [
            QuoteSource(market.ACCOUNT, "Zerodha AB1234", account=True, on=True, ready=True),
            QuoteSource("finnhub", "Finnhub", account=False, on=True, ready=False, words="Its key is not stored."),
        ]

    async def view(self) -> QuoteSources:
        return QuoteSources(tuple(self.sources))

    async def arrange(self, order: Sequence[str]) -> QuoteSources:
        await self.script.enter("arrange quotes", tuple(order))
        self.sources.sort(key=lambda source: order.index(source.name))
        return await self.view()

    async def switch(self, name: str, *, on: bool) -> QuoteSources:
        await self.script.enter("switch quotes", name, on)
        return self._changed(name, on=on)

    async def save_key(self, name: str, key: Secret, api_url: str = "") -> QuoteSources:
        await self.script.enter("quote key", name, key.reveal(), api_url)
        return self._changed(name, ready=True, words="", limit=48)

    async def forget_key(self, name: str) -> QuoteSources:
        await self.script.enter("forget quote key", name)
        return self._changed(name, ready=False, words="Its key is not stored.")

    async def ask(self, instruments: Sequence[InstrumentId]) -> Sequence[PolledPrice]:
        raise AssertionError("no view asks for this")

    def _changed(self, name: str, **changes: object) -> QuoteSources:
        self.sources = [
            replace(source, **changes) if source.name == name else source  # type: ignore[arg-type]
            for source in self.sources
        ]
        return QuoteSources(tuple(self.sources))
