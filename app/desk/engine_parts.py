"""What an account's engine is built from: the journal as it sees it, and what all accounts share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.desk.day_charges import DayCharges
from app.domain.broker import BrokerInfo
from app.domain.calendar import Calendar
from app.domain.events import Event
from app.domain.guard import AccountGuarding
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Instrument
from app.engine.day_stop import DayStopJournal
from app.engine.flight import FlightJournal
from app.engine.orders import OrderJournal
from app.engine.record import StopJournal
from app.engine.rules import ExitRules
from app.engine.strategies.record import StrategyJournal
from app.market.charts import Charts
from app.market.underlyings import Underlyings
from app.runtime.loop import Tasks


class EngineJournal(StopJournal, OrderJournal, Protocol):
    """Stops, orders, portfolio stops and strategies in one file."""

    @property
    def flights(self) -> FlightJournal:
        """What happened around each exit."""
        ...

    @property
    def day_stops(self) -> DayStopJournal:
        """Portfolio stops."""
        ...

    @property
    def strategies(self) -> StrategyJournal:
        """Where strategies are kept."""
        ...


@dataclass(frozen=True, slots=True)
class Trading:
    """What every account's engine shares."""

    journal: EngineJournal
    rules: ExitRules
    calendar: Calendar
    charges: DayCharges
    instrument: Callable[[InstrumentId], Instrument | None]
    ends_in_auction: Callable[[Instrument], bool]
    info: Callable[[AccountId], BrokerInfo]
    charts: Charts
    underlyings: Underlyings
    publish: Callable[[Event], None]
    tasks: Tasks
    guarding: Callable[[AccountId], AccountGuarding] = AccountGuarding  # chosen for when prices fail
