"""Which brokers there are: those that come with the program and those of installed packages. Only the composition root
reads it."""

from __future__ import annotations

from collections.abc import Sequence

from app.brokers.base import BrokerFactory
from app.brokers.finnhub.provider import FinnhubFactory
from app.brokers.providers import Found, find_providers
from app.brokers.quote_providers import Providers
from app.brokers.read_only import ReadingFactory
from app.brokers.upstox.factory import UpstoxFactory
from app.brokers.zerodha.factory import ZerodhaFactory
from app.domain.broker import BrokerListing, ProviderProblem
from app.domain.errors import Denied
from app.runtime.helper import Helper

OURS = "Stopline itself"


class Registry:
    """The brokers of this program. Built once, at start: a provider's import may take long."""

    def __init__(
        self, helper: Helper | None = None, *, third_parties: bool = False, folders: Sequence[str] = ()
    ) -> None:
        self._packages: dict[str, str] = {}
        self._factories: dict[str, BrokerFactory] = {}
        shipped: tuple[BrokerFactory, ...] = (ZerodhaFactory(helper), UpstoxFactory(helper))
        for factory in shipped:
            self._factories[factory.info.name] = factory
            self._packages[factory.info.name] = ""
        self.problems: tuple[ProviderProblem, ...] = ()
        """Third parties' providers that cannot be used."""
        if third_parties:
            self.problems = tuple(self._take(helper, folders))

    def _take(self, helper: Helper | None, folders: Sequence[str]) -> list[ProviderProblem]:
        problems: list[ProviderProblem] = []
        for found in find_providers(self._owner, helper, folders):
            if isinstance(found, Found):
                name = found.factory.info.name
                self._factories[name] = ReadingFactory(found.factory)
                self._packages[name] = found.package
            else:
                problems.append(found)
        return problems

    def _owner(self, name: str) -> str | None:
        package = self._packages.get(name)
        return None if package is None else package or OURS

    def available(self) -> tuple[BrokerListing, ...]:
        """What can be connected: ours first, in their order, then third parties' by title."""
        listings = [BrokerListing(self._factories[name].info, package) for name, package in self._packages.items()]
        return tuple(sorted(listings, key=lambda listing: listing.info.title if listing.package else ""))

    def quote_providers(self) -> Providers:
        """Who only quotes, by name (E6)."""
        shipped = (FinnhubFactory(),)
        return {factory.info.name: factory for factory in shipped}

    def factory(self, name: str) -> BrokerFactory:
        """The parts of one broker. Raises Denied for an unknown name."""
        try:
            return self._factories[name]
        except KeyError:
            missing = [problem for problem in self.problems if problem.provider == name]
            if missing:
                raise Denied(
                    f"The provider {name} of {missing[0].package} cannot be used: {missing[0].cause}",
                    missing[0].next_step,
                ) from None
            raise Denied(
                f"There is no broker called {name}.",
                f"Known: {', '.join(sorted(self._factories))}. A third party's comes with its package.",
            ) from None
